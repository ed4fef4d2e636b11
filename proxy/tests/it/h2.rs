//! HTTP/2 towards clients, frame by frame: floods and bounds. The rules of RFC 9113 are in `h2_conformance`.

use littoral_testkit::h2::{END_HEADERS, END_STREAM, Frames, Outcome, block, frame, kind};
use littoral_testkit::tls::{Authority, TlsClient};
use littoral_testkit::{Client, Node, Origin, Response};
use tokio::net::TcpStream;

use super::BINARY;

const PROTOCOL_ERROR: u32 = 1;
const REFUSED_STREAM: u32 = 7;
const ENHANCE_YOUR_CALM: u32 = 11;

async fn origin() -> Origin {
    Origin::start(|request| Response::ok(&["cache-control: max-age=60"], request.path.as_bytes())).await
}

/// A node that speaks HTTP/2 without TLS.
async fn node(origin: &Origin, more: &str) -> Node {
    let config = format!(
        "[listen]\nadmin = \"127.0.0.1:0\"\nhttp = [{{ bind = \"127.0.0.1:0\", h2c = true }}]\n{more}\n[[site]]\nhosts = [\"site.example\"]\norigin = [{:?}]\n",
        origin.url()
    );
    Node::start(BINARY, &config, &[]).await
}

async fn frames(node: &Node) -> Frames {
    Frames::begin(TcpStream::connect(node.address("http")).await.unwrap()).await
}

const GET: [(&str, &str); 4] =
    [(":method", "GET"), (":scheme", "http"), (":authority", "site.example"), (":path", "/a")];

#[tokio::test]
async fn requests_are_answered_with_and_without_tls_and_http_1_beside_them() {
    let origin = origin().await;
    let node = node(&origin, "").await;
    let mut client = frames(&node).await;
    for stream in [1, 3, 5] {
        client.get(stream, "site.example", "/a").await;
        assert_eq!(client.outcome(stream).await, Outcome::Status(200));
    }
    client.get(7, "other.example", "/a").await;
    assert_eq!(client.outcome(7).await, Outcome::Status(421));
    assert_eq!(node.get("site.example", "/a", &[]).await.status, 200);
    let mut slowly = Client::connect(node.address("http")).await;
    slowly.send("P").await;
    slowly.send("OST /a HTTP/1.1\r\nHost: site.example\r\nContent-Length: 0\r\n\r\n").await;
    assert_eq!(slowly.reply(false).await.unwrap().status, 200, "what begins like the preface but is none");

    let (authority, more) = (Authority::default(), "");
    let issued = authority.issue(&["site.example"]);
    let config = format!(
        "[listen]\n[[listen.https]]\nbind = \"127.0.0.1:0\"\ncert = \"c.pem\"\nkey = \"c.key\"\n{more}\n[[site]]\nhosts = [\"site.example\"]\norigin = [{:?}]\n",
        origin.url()
    );
    let files: [(&str, &[u8]); 2] = [("c.pem", issued.cert.as_bytes()), ("c.key", issued.key.as_bytes())];
    let node = Node::start(BINARY, &config, &files).await;
    let stream = TlsClient::plain(&authority, &["h2"]).connect(node.address("https"), "site.example").await.unwrap();
    let mut client = Frames::begin(stream).await;
    client.get(1, "site.example", "/a").await;
    assert_eq!(client.outcome(1).await, Outcome::Status(200));
}

#[tokio::test]
async fn without_h2c_a_preface_is_refused() {
    let origin = origin().await;
    let node = super::node_before(&origin, "").await;
    let mut client = Client::connect(node.address("http")).await;
    client.send("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").await;
    assert_eq!(client.reply(false).await.map(|reply| reply.status), Some(400));
}

/// Sends a flood in pieces and says how the connection ended.
async fn flooded(node: &Node, opening: &[u8], piece: &[u8], pieces: usize) -> Outcome {
    let (mut read, mut write) = TcpStream::connect(node.address("http")).await.unwrap().into_split();
    let mut hello = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0".to_vec();
    hello.extend_from_slice(opening);
    let piece = piece.to_vec();
    let sending = tokio::spawn(async move {
        let mut going = tokio::io::AsyncWriteExt::write_all(&mut write, &hello).await.is_ok();
        for _ in 0..pieces {
            going = going && tokio::io::AsyncWriteExt::write_all(&mut write, &piece).await.is_ok();
        }
        write
    });
    let mut answer = Vec::new();
    let _ = tokio::io::AsyncReadExt::read_to_end(&mut read, &mut answer).await;
    sending.abort();
    let mut at = 0;
    while let Some(head) = answer.get(at..at + 9) {
        let length = usize::from(head[0]) << 16 | usize::from(head[1]) << 8 | usize::from(head[2]);
        if head[3] == kind::GOAWAY
            && let Some(code) = answer.get(at + 13..at + 17)
        {
            return Outcome::GoAway(u32::from_be_bytes([code[0], code[1], code[2], code[3]]));
        }
        at += 9 + length;
    }
    Outcome::Closed
}

#[tokio::test]
async fn floods_of_frames_that_ask_for_nothing_end_the_connection() {
    let origin = origin().await;
    let node = node(&origin, "").await;
    let ping = frame(kind::PING, 0, 0, &[0; 8]).repeat(100);
    let settings = frame(kind::SETTINGS, 0, 0, &[]).repeat(100);
    let priority = frame(kind::PRIORITY, 0, 1, &[0, 0, 0, 0, 1]).repeat(100);
    let unknown = frame(0xbb, 0, 0, &[]).repeat(100);
    for (name, piece) in [("ping", ping), ("settings", settings), ("priority", priority), ("unknown", unknown)] {
        let outcome = flooded(&node, &[], &piece, 10_000).await;
        assert!(matches!(outcome, Outcome::GoAway(ENHANCE_YOUR_CALM) | Outcome::Closed), "{name}: {outcome:?}");
    }
    node.until("littoral_downstream_h2_ended_total{reason=\"flood\"}", 4.0).await;
    assert_eq!(node.get("site.example", "/a", &[]).await.status, 200, "the node is none the worse");
}

#[tokio::test]
async fn empty_data_frames_without_an_end_end_the_connection() {
    let origin = origin().await;
    let node = node(&origin, "").await;
    let post = [(":method", "POST"), (":scheme", "http"), (":authority", "site.example"), (":path", "/a")];
    let opening = frame(kind::HEADERS, END_HEADERS, 1, &block(&post));
    let outcome = flooded(&node, &opening, &frame(kind::DATA, 0, 1, &[]).repeat(100), 10_000).await;
    assert!(matches!(outcome, Outcome::GoAway(ENHANCE_YOUR_CALM) | Outcome::Closed), "{outcome:?}");
    node.until("littoral_downstream_h2_ended_total{reason=\"flood\"}", 1.0).await;
}

#[tokio::test]
async fn rapid_resets_end_the_connection_and_few_of_them_reach_the_origin() {
    let origin = origin().await;
    let node = node(&origin, "").await;
    let mut client = frames(&node).await;
    let mut many = Vec::new();
    for number in 0..2000_u32 {
        let path = format!("/{number}");
        let fields = [GET[0], GET[1], GET[2], (":path", &path)];
        many.extend(frame(kind::HEADERS, END_HEADERS | END_STREAM, 2 * number + 1, &block(&fields)));
        many.extend(frame(kind::RST_STREAM, 0, 2 * number + 1, &8_u32.to_be_bytes()));
    }
    client.raw(&many).await;
    let outcome = client.end().await;
    assert!(matches!(outcome, Outcome::GoAway(ENHANCE_YOUR_CALM) | Outcome::Closed), "{outcome:?}");
    node.until("littoral_downstream_h2_ended_total{reason=\"flood\"}", 1.0).await;
    assert!(origin.requests().len() <= 200, "{}", origin.requests().len());
}

#[tokio::test]
async fn endless_continuations_end_the_connection() {
    let origin = origin().await;
    let node = node(&origin, "").await;
    let opening = frame(kind::HEADERS, END_STREAM, 1, &block(&GET));
    for (name, payload) in
        [("empty", Vec::new()), ("small", block(&[("x", "y")])), ("large", block(&[("x", &"y".repeat(8000))]))]
    {
        let outcome = flooded(&node, &opening, &frame(kind::CONTINUATION, 0, 1, &payload).repeat(20), 1000).await;
        assert!(matches!(outcome, Outcome::GoAway(ENHANCE_YOUR_CALM) | Outcome::Closed), "{name}: {outcome:?}");
    }
    assert_eq!(origin.requests().len(), 0);
}

#[tokio::test]
async fn a_header_list_and_a_target_have_their_bounds() {
    let origin = origin().await;
    let node = node(&origin, "[limits]\nheader_bytes = \"8KiB\"\nuri_bytes = \"64B\"\nheader_fields = 10").await;
    let mut client = frames(&node).await;
    let path = format!("/{}", "a".repeat(64));
    client.get(1, "site.example", &path).await;
    assert_eq!(client.outcome(1).await, Outcome::Status(414));
    let names: Vec<String> = (0..20).map(|number| format!("x{number}")).collect();
    let mut fields = GET.to_vec();
    fields.extend(names.iter().map(|name| (name.as_str(), "y")));
    client.ask(3, &fields, true).await;
    assert_eq!(client.outcome(3).await, Outcome::Status(431));
    let long = "y".repeat(9000);
    let mut fields = GET.to_vec();
    fields.push(("x", &long));
    client.ask(5, &fields, true).await;
    let outcome = client.outcome(5).await;
    assert!(
        matches!(outcome, Outcome::Status(431) | Outcome::Reset(PROTOCOL_ERROR) | Outcome::GoAway(_)),
        "{outcome:?}"
    );
    assert_eq!(origin.requests().len(), 0);
}

#[tokio::test]
async fn streams_beyond_the_bound_are_refused_and_the_others_go_on() {
    let origin = Origin::start(|_| Response::with(&[], littoral_testkit::Body::Silence)).await;
    let node = node(&origin, "[limits]\nh2_streams = 2").await;
    let mut client = frames(&node).await;
    for stream in [1, 3, 5] {
        client.get(stream, "site.example", &format!("/{stream}")).await;
    }
    assert_eq!(client.outcome(5).await, Outcome::Reset(REFUSED_STREAM));
}

#[tokio::test]
async fn an_idle_connection_is_ended_and_pings_do_not_keep_it() {
    let origin = origin().await;
    let node = node(&origin, "[limits]\nkeepalive = \"300ms\"").await;
    let mut client = frames(&node).await;
    client.get(1, "site.example", "/a").await;
    assert_eq!(client.outcome(1).await, Outcome::Status(200));
    client.send(kind::PING, 0, 0, &[7; 8]).await;
    assert_eq!(client.end().await, Outcome::GoAway(0));
    node.until("littoral_downstream_h2_ended_total{reason=\"idle\"}", 1.0).await;
}

#[tokio::test]
async fn an_upload_that_stops_is_reset() {
    let origin = origin().await;
    let node = node(&origin, "[limits]\nbody_timeout = \"200ms\"").await;
    let mut client = frames(&node).await;
    let post = |length| [(":method", "POST"), GET[1], GET[2], GET[3], ("content-length", length)];
    client.ask(1, &post("9"), false).await;
    client.send(kind::DATA, 0, 1, b"abc").await;
    assert!(matches!(client.outcome(1).await, Outcome::Reset(_)));
    node.until("littoral_downstream_refused_total{reason=\"body_time\"}", 1.0).await;
    client.ask(3, &post("3"), false).await;
    client.send(kind::DATA, END_STREAM, 3, b"abc").await;
    assert_eq!(client.outcome(3).await, Outcome::Status(200), "one that is whole is answered");
}

#[tokio::test]
async fn a_client_that_asks_too_often_gets_429_and_a_connection_so_many_requests() {
    let origin = origin().await;
    let rates = "clients_exempt = []\nclient_request_rate = 1\nclient_burst = \"2s\"";
    let node = node(&origin, &format!("[limits]\n{rates}\nrequests = 8")).await;
    let mut client = frames(&node).await;
    let mut statuses = Vec::new();
    for number in 0..8 {
        client.get(2 * number + 1, "site.example", "/a").await;
        if number < 7 {
            statuses.push(client.outcome(2 * number + 1).await);
        }
    }
    assert!(statuses.starts_with(&[Outcome::Status(200), Outcome::Status(200)]), "{statuses:?}");
    assert!(statuses.contains(&Outcome::Status(429)), "{statuses:?}");
    assert_eq!(client.end().await, Outcome::GoAway(0), "no more than eight");
}

#[tokio::test]
async fn a_fresh_hit_is_the_same_over_http_1_and_http_2() {
    let body: Vec<u8> = (0..300_000_u32).map(|at| (at / 3) as u8).collect();
    let sent = body.clone();
    let made = std::time::SystemTime::now() - std::time::Duration::from_secs(100);
    let date = format!("date: {}", httpdate::fmt_http_date(made));
    let origin = Origin::start(move |_| {
        let fields = ["cache-control: max-age=600", "etag: \"a\"", "surrogate-key: k", "x-two: 1", "x-two: 2", &date];
        Response::ok(&fields, &sent)
    })
    .await;
    let node = node(&origin, "").await;
    node.get("site.example", "/a", &[]).await;
    let stream = TcpStream::connect(node.address("http")).await.unwrap();
    let (mut client, connection) = h2::client::handshake(stream).await.unwrap();
    tokio::spawn(connection);
    for method in ["GET", "HEAD"] {
        let mut over_1 = Client::connect(node.address("http")).await;
        over_1.send(format!("{method} /a HTTP/1.1\r\nHost: site.example\r\n\r\n")).await;
        let first = over_1.reply(method == "HEAD").await.unwrap();
        let request = http::Request::builder().method(method).uri("http://site.example/a").body(()).unwrap();
        let (response, _) = client.send_request(request, true).unwrap();
        let (head, mut incoming) = response.await.unwrap().into_parts();
        let mut whole = Vec::new();
        while let Some(piece) = incoming.data().await {
            let piece = piece.unwrap();
            assert!(piece.len() <= (16 << 10) - 9, "a frame of {} bytes takes two TLS records", piece.len());
            incoming.flow_control().release_capacity(piece.len()).unwrap();
            whole.extend_from_slice(&piece);
        }
        assert_eq!((head.status.as_u16(), &whole), (first.status, &first.body), "{method}");
        let expected = if method == "GET" { &body[..] } else { b"" };
        assert!(whole == expected);
        // Date is the origin's (RFC 9110 §6.6.1), whatever the time is now.
        assert_eq!(first.field("date"), httpdate::fmt_http_date(made));
        let seconds = |name: &str, value: &str| match name {
            "date" => value.to_owned(),
            _ => value.trim_end_matches(|digit: char| digit.is_ascii_digit()).to_owned(),
        };
        let mut fields: Vec<_> = head
            .headers
            .iter()
            .map(|(name, value)| (name.as_str().to_owned(), seconds(name.as_str(), value.to_str().unwrap())))
            .collect();
        let mut fields_1: Vec<_> =
            first.fields.iter().map(|(name, value)| (name.clone(), seconds(name, value))).collect();
        fields.sort();
        fields_1.sort();
        assert_eq!(fields, fields_1, "{method}");
    }
    assert_eq!(node.metrics().await["littoral_http_requests_total{outcome=\"hit\"}"], 4.0);
}

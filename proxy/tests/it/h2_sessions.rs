//! Requests over HTTP/2 that go on to an origin, judged by the h2 crate's client: interim responses, uploads and their repetition,
//! clients that leave, what origins see of them.

use std::future::poll_fn;

use bytes::Bytes;
use h2::client::{ResponseFuture, SendRequest};
use h2::{Reason, RecvStream};
use http::{HeaderMap, Request, Response};
use littoral_testkit::{self as kit, Body, Gate, Node, Origin};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use super::faults::{Act, origin_that, text};
use super::{BINARY, get};

/// An origin's final response, kept for a minute.
const END: &str = "HTTP/1.1 200 OK\r\nCache-Control: max-age=60\r\nContent-Length: 2\r\n\r\nok";

/// A node that speaks HTTP/2 without TLS, before these origins.
async fn node(origins: &[String], site: &str) -> Node {
    let config = format!(
        "[listen]\nadmin = \"127.0.0.1:0\"\nhttp = [{{ bind = \"127.0.0.1:0\", h2c = true }}]\n[[site]]\nhosts = [\"site.example\"]\norigin = [{}]\n{site}\n",
        origins.join(", ")
    );
    Node::start(BINARY, &config, &[]).await
}

/// As the config names an origin.
fn named(origin: &Origin) -> String {
    format!("{:?}", origin.url())
}

async fn client(node: &Node) -> SendRequest<Bytes> {
    let stream = TcpStream::connect(node.address("http")).await.unwrap();
    let (client, connection) = h2::client::handshake(stream).await.unwrap();
    tokio::spawn(connection);
    client
}

fn request(method: &str, fields: &[(&'static str, &'static str)]) -> Request<()> {
    let mut request = Request::builder().method(method).uri("http://site.example/a").body(()).unwrap();
    for (name, value) in fields {
        request.headers_mut().append(*name, value.parse().unwrap());
    }
    request
}

/// The next interim response; none: the final one is there.
async fn hint(response: &mut ResponseFuture) -> Option<Response<()>> {
    poll_fn(|cx| response.poll_informational(cx)).await.map(Result::unwrap)
}

/// All interim responses, and the status and body of the final one.
async fn answer(mut response: ResponseFuture) -> (Vec<Response<()>>, u16, Vec<u8>) {
    let mut hints = Vec::new();
    while let Some(next) = hint(&mut response).await {
        hints.push(next);
    }
    let (head, mut body) = response.await.unwrap().into_parts();
    (hints, head.status.as_u16(), whole(&mut body).await)
}

async fn whole(body: &mut RecvStream) -> Vec<u8> {
    let mut whole = Vec::new();
    while let Some(piece) = body.data().await {
        let piece = piece.unwrap();
        whole.extend_from_slice(&piece);
        let _ = body.flow_control().release_capacity(piece.len());
    }
    whole
}

/// An interim response with a link, and fields of a connection, which HTTP/2 has none of.
fn early(path: &str) -> Act {
    text(&format!(
        "HTTP/1.1 103 Early Hints\r\nConnection: keep-alive\r\nKeep-Alive: timeout=5\r\nLink: <{path}>; rel=preload\r\n\r\n"
    ))
}

fn links(hints: &[Response<()>]) -> Vec<&str> {
    hints.iter().map(|hint| hint.headers()["link"].to_str().unwrap()).collect()
}

#[tokio::test]
async fn hints_reach_a_client_of_http_2_while_its_response_is_made() {
    for method in ["GET", "HEAD", "POST"] {
        let (first, second) = (Gate::default(), Gate::default());
        let acts = [early("/a"), Act::Wait(first.clone()), early("/b"), Act::Wait(second.clone()), text(END)];
        let origin = origin_that(&acts).await;
        let node = node(&[named(&origin)], "").await;
        let mut client = client(&node).await;
        let (mut response, _) = client.send_request(request(method, &[]), true).unwrap();
        let mut hints = Vec::new();
        for gate in [first, second] {
            // The origin goes on when the client has the hint.
            hints.push(hint(&mut response).await.unwrap());
            gate.open();
        }
        let (more, status, body) = answer(response).await;
        assert_eq!((more.len(), status), (0, 200), "{method}");
        assert_eq!(body, if method == "HEAD" { &b""[..] } else { b"ok" });
        assert!(
            hints.iter().all(|hint| hint.status() == 103 && !hint.headers().contains_key("keep-alive")),
            "{hints:?}"
        );
        assert_eq!(links(&hints), ["</a>; rel=preload", "</b>; rel=preload"]);
        // Nothing of them is kept.
        let (response, _) = client.send_request(request("GET", &[]), true).unwrap();
        let (hints, status, body) = answer(response).await;
        assert_eq!((status, body.as_slice()), (200, &b"ok"[..]));
        assert_eq!(hints.len(), if method == "POST" { 2 } else { 0 }, "{method}");
    }
}

#[tokio::test]
async fn a_hint_that_comes_in_one_packet_with_a_response_that_is_kept_is_passed_on() {
    let head = "HTTP/1.1 103 Early Hints\r\nLink: </a>; rel=preload\r\n\r\n";
    let origin = origin_that(&[text(&format!("{head}{END}"))]).await;
    let node = node(&[named(&origin)], "").await;
    let (response, _) = client(&node).await.send_request(request("GET", &[]), true).unwrap();
    let (hints, status, body) = answer(response).await;
    assert_eq!((links(&hints), status, body.as_slice()), (vec!["</a>; rel=preload"], 200, &b"ok"[..]));
}

#[tokio::test]
async fn of_too_many_hints_the_first_are_passed_on_and_the_others_counted() {
    let large = format!("HTTP/1.1 103 Early Hints\r\nLink: </{}>\r\n\r\n", "a".repeat(20_000));
    for (acts, passed, dropped) in
        [(vec![early("/a"); 20], 16, 4.0), (vec![text(&large), text(&large), early("/b")], 2, 1.0)]
    {
        let origin = origin_that(&[acts, vec![text(END)]].concat()).await;
        let node = node(&[named(&origin)], "").await;
        let (response, _) = client(&node).await.send_request(request("GET", &[]), true).unwrap();
        let (hints, status, body) = answer(response).await;
        assert_eq!((hints.len(), status, body.as_slice()), (passed, 200, &b"ok"[..]));
        assert_eq!(node.metrics().await["littoral_downstream_h2_interim_dropped_total"], dropped);
    }
}

#[tokio::test]
async fn who_waits_for_100_gets_it_and_nobody_else() {
    let interim = text("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 102 Processing\r\n\r\n");
    for (fields, expected) in [(&[("expect", "100-continue")][..], &[100, 102][..]), (&[], &[102])] {
        // It does not close: that could take back what it sent, the body being unread.
        let origin = origin_that(&[interim.clone(), text(END), Act::Stall]).await;
        let node = node(&[named(&origin)], "").await;
        let (response, mut body) = client(&node).await.send_request(request("POST", fields), false).unwrap();
        body.send_data(Bytes::from_static(b"body"), true).unwrap();
        let (hints, status, _) = answer(response).await;
        let told: Vec<u16> = hints.iter().map(|hint| hint.status().as_u16()).collect();
        assert_eq!((told.as_slice(), status), (expected, 200), "{fields:?}");
    }
}

#[tokio::test]
async fn of_those_who_wait_for_one_fill_the_first_is_told_the_hints() {
    let gate = Gate::default();
    let origin = origin_that(&[early("/a"), Act::Wait(gate.clone()), text(END)]).await;
    let node = node(&[named(&origin)], "").await;
    let mut client = client(&node).await;
    let (mut first, _) = client.send_request(request("GET", &[]), true).unwrap();
    assert_eq!(hint(&mut first).await.unwrap().status(), 103);
    let (second, _) = client.send_request(request("GET", &[]), true).unwrap();
    gate.open();
    let (first, second) = tokio::join!(answer(first), answer(second));
    assert_eq!((first.0.len(), first.1, first.2.as_slice()), (0, 200, &b"ok"[..]));
    assert_eq!((second.0.len(), second.1, second.2.as_slice()), (0, 200, &b"ok"[..]));
}

/// An origin of HTTP/1.1 that reads requests whole. The first it answers by breaking off, the others with their bodies.
async fn origin_that_breaks_off_once() -> Origin {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let mut origin = Origin::start(|_| kit::Response::default()).await;
    origin.address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        for breaks in std::iter::once(true).chain(std::iter::repeat(false)) {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut request = Vec::new();
            let end = loop {
                assert!(stream.read_buf(&mut request).await.unwrap() > 0);
                if let Some(end) = request.windows(4).position(|end| end == b"\r\n\r\n") {
                    break end + 4;
                }
            };
            let head = String::from_utf8(request[..end].to_vec()).unwrap().to_lowercase();
            let told = head.split("content-length: ").nth(1).unwrap().split('\r').next().unwrap();
            let length: usize = told.parse().unwrap();
            while request.len() < end + length {
                assert!(stream.read_buf(&mut request).await.unwrap() > 0);
            }
            if breaks {
                stream.set_zero_linger().unwrap();
                continue;
            }
            let head = format!("HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: {length}\r\n\r\n");
            stream.write_all(&[head.as_bytes(), &request[end..]].concat()).await.unwrap();
        }
    });
    origin
}

/// Sends a body as there is room for it.
async fn upload(mut stream: h2::SendStream<Bytes>, mut body: Bytes) {
    while !body.is_empty() {
        stream.reserve_capacity(body.len());
        let Some(Ok(room)) = poll_fn(|cx| stream.poll_capacity(cx)).await else { return };
        let piece = body.split_to(room.min(body.len()));
        if stream.send_data(piece, body.is_empty()).is_err() {
            return;
        }
    }
}

#[tokio::test]
async fn an_upload_is_sent_again_as_long_as_its_beginning_is_kept() {
    for (bytes, expected) in [(40 << 10, 200), (1 << 20, 502)] {
        let origin = origin_that_breaks_off_once().await;
        let node = node(&[named(&origin)], "").await;
        let body = Bytes::from(super::noise(bytes, 7));
        let length = bytes.to_string();
        let mut put = request("PUT", &[]);
        put.headers_mut().insert("content-length", length.parse().unwrap());
        let mut client = client(&node).await;
        let (response, stream) = client.send_request(put, false).unwrap();
        let (answered, ()) = tokio::join!(answer(response), upload(stream, body.clone()));
        assert_eq!(answered.1, expected, "{bytes}");
        assert!(expected != 200 || answered.2 == body);
        assert!(!node.log().contains("panicked"), "{}", node.log());
    }
}

#[tokio::test]
async fn a_client_that_leaves_in_a_body_leaves_its_fill_to_others() {
    let gate = Gate::default();
    let held = gate.clone();
    let body = super::noise(200_000, 3);
    let (half, rest) = (body[..100_000].to_vec(), body[100_000..].to_vec());
    let gated = move |_: &kit::Request| {
        kit::Response::with(&["cache-control: max-age=60"], Body::Gated(half.clone(), held.clone(), rest.clone()))
    };
    let origin = Origin::start(gated).await;
    let node = node(&[named(&origin)], "").await;
    let mut client = client(&node).await;
    let (response, mut asking) = client.send_request(request("GET", &[]), true).unwrap();
    let mut response = response.await.unwrap().into_body();
    assert!(!response.data().await.unwrap().unwrap().is_empty());
    asking.send_reset(Reason::CANCEL);
    // The node has read the reset when it answers this.
    let (other, _) = client.send_request(Request::get("http://other.example/").body(()).unwrap(), true).unwrap();
    assert_eq!(other.await.unwrap().status(), 421);
    gate.open();
    assert!(get(&node, "/a").await.body == body);
    assert_eq!(origin.count("/a"), 1);
}

/// Bytes of a body that an origin of HTTP/2 has room for.
const ROOM: usize = 10_000;

/// The request that an origin of HTTP/2 got, and the body of it, of which nothing is read.
type Asked = (http::request::Parts, RecvStream, h2::server::SendResponse<Bytes>);

/// An origin of HTTP/2 as the config names it, and what it is asked.
async fn origin_of_http_2(more: &str) -> (String, tokio::sync::mpsc::UnboundedReceiver<Asked>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let name = format!("{{ url = \"http://{}\", h2 = true{more} }}", listener.local_addr().unwrap());
    let (sender, asked) = tokio::sync::mpsc::unbounded_channel();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let sender = sender.clone();
            tokio::spawn(async move {
                let mut options = h2::server::Builder::new();
                let mut connection = options.initial_window_size(ROOM as u32).handshake(stream).await.unwrap();
                while let Some(Ok((request, respond))) = connection.accept().await {
                    let (head, body) = request.into_parts();
                    let _ = sender.send((head, body, respond));
                }
            });
        }
    });
    (name, asked)
}

#[tokio::test]
async fn a_client_that_leaves_in_an_upload_is_noticed_though_the_origin_reads_nothing_of_it() {
    let (name, mut asked) = origin_of_http_2("").await;
    let node = node(&[name], "timeouts = { read = \"1h\", send = \"1h\" }").await;
    let mut client = client(&node).await;
    // With it the node has learned how much room there is.
    let (response, _) = client.send_request(request("GET", &[]), true).unwrap();
    let (_, _, mut respond) = asked.recv().await.unwrap();
    respond.send_response(Response::new(()), true).unwrap();
    assert_eq!(answer(response).await.1, 200);
    let (_response, mut stream) = client.send_request(request("POST", &[]), false).unwrap();
    // One piece, and more than the origin has room for: when that has come, the rest of it waits.
    stream.reserve_capacity(16_384);
    stream.send_data(Bytes::from(vec![1; 16_384]), false).unwrap();
    let (_, mut body, mut respond) = asked.recv().await.unwrap();
    let mut there = 0;
    while there < ROOM {
        there += body.data().await.unwrap().unwrap().len();
    }
    assert_eq!(there, ROOM);
    stream.send_reset(Reason::CANCEL);
    // It is told, without an end of its own to wait for.
    assert!(poll_fn(|cx| respond.poll_reset(cx)).await.is_ok());
    node.until("littoral_http_broken_total", 1.0).await;
    node.until("littoral_http_responses_total{class=\"none\"}", 1.0).await;
}

#[tokio::test]
async fn an_origin_of_http_2_is_told_that_trailers_are_taken_and_they_pass() {
    let (name, mut asked) = origin_of_http_2("").await;
    let node = node(&[name], "").await;
    for te in [true, false] {
        let fields: &[_] = if te { &[("te", "trailers"), ("content-type", "application/grpc")] } else { &[] };
        let (response, mut stream) = client(&node).await.send_request(request("POST", fields), false).unwrap();
        stream.send_data(Bytes::from_static(b"call"), true).unwrap();
        let (head, mut body, mut respond) = asked.recv().await.unwrap();
        assert_eq!(head.headers.get("te").map(|te| te.as_bytes()), te.then_some(&b"trailers"[..]));
        assert_eq!(whole(&mut body).await, b"call");
        let mut sending = respond.send_response(Response::new(()), false).unwrap();
        sending.send_data(Bytes::from_static(b"reply"), false).unwrap();
        let status: HeaderMap = [("grpc-status".parse().unwrap(), "0".parse().unwrap())].into_iter().collect();
        sending.send_trailers(status.clone()).unwrap();
        let mut body = response.await.unwrap().into_body();
        assert_eq!(whole(&mut body).await, b"reply");
        assert_eq!(body.trailers().await.unwrap(), Some(status));
    }
}

#[tokio::test]
async fn an_origin_with_a_host_of_its_own_is_asked_for_that_over_each_protocol() {
    let host = ", host = \"bucket.example:8080\"";
    let one = Origin::start(|_| kit::Response::ok(&["cache-control: no-store"], b"1")).await;
    let name = format!("{{ url = {}{host} }}", named(&one));
    let before = node(&[name], "").await;
    let (response, _) = client(&before).await.send_request(request("GET", &[]), true).unwrap();
    assert_eq!(answer(response).await.1, 200);
    assert_eq!(one.requests()[0].field("host"), Some("bucket.example:8080"));
    assert_eq!(one.requests()[0].fields.iter().filter(|(name, _)| name == "host").count(), 1);

    let (name, mut asked) = origin_of_http_2(host).await;
    let before = node(&[name], "").await;
    let (response, _) = client(&before).await.send_request(request("GET", &[]), true).unwrap();
    let (head, _, mut respond) = asked.recv().await.unwrap();
    assert_eq!((head.uri.authority().unwrap().as_str(), head.uri.path()), ("bucket.example:8080", "/a"));
    assert!(!head.headers.contains_key("host"));
    respond.send_response(Response::new(()), true).unwrap();
    assert_eq!(answer(response).await.1, 200);
}

#[tokio::test]
async fn what_is_stale_is_revalidated_in_the_background_for_a_client_of_http_2_too() {
    let origin =
        Origin::start(|_| kit::Response::ok(&["cache-control: max-age=0, stale-while-revalidate=60"], b"kept")).await;
    let node = node(&[named(&origin)], "").await;
    assert_eq!(get(&node, "/a").await.body, b"kept");
    let mut client = client(&node).await;
    let (response, _) = client.send_request(request("GET", &[("cookie", "a=1"), ("cookie", "b=2")]), true).unwrap();
    assert_eq!(answer(response).await.2, b"kept");
    origin.asked("/a", 2).await;
    let again = origin.requests()[1].clone();
    assert_eq!((again.field("host"), again.field("cookie")), (Some("site.example"), Some("a=1; b=2")));
}

#[tokio::test]
async fn the_background_asks_for_the_host_of_a_request_whose_target_was_rewritten() {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../assets/netcinema/manifest.mpd");
    let mpd = std::fs::read(path).unwrap();
    let origin = Origin::start(move |request| match request.path.ends_with(".mpd") {
        true => kit::Response::ok(&["cache-control: max-age=60"], &mpd),
        false => kit::Response::ok(&["cache-control: max-age=0, stale-while-revalidate=60"], b"kept"),
    })
    .await;
    let node = node(&[named(&origin)], "key = { query = \"ignore\" }\ndash = { auto = true }").await;
    get(&node, "/title/manifest.mpd").await;
    for (asked, sent) in [("/a?b", "/a"), ("/title/seg-auto-00003.m4s", "/title/seg-0-00003.m4s")] {
        let mut client = client(&node).await;
        for _ in 0..2 {
            let request =
                Request::get(format!("http://site.example{asked}")).header("cmcd-request", "mtp=80").body(()).unwrap();
            assert_eq!(answer(client.send_request(request, true).unwrap().0).await.2, b"kept", "{asked}");
        }
        origin.asked(sent, 2).await;
    }
    assert!(origin.requests().iter().all(|request| request.field("host") == Some("site.example")));
}

//! What origins do wrong on the wire, and what becomes of it: a status, or a body that is seen not to be whole; never a panic,
//! a place that stays taken, or an object that is kept.

use std::sync::Arc;
use std::time::{Duration, Instant};

use littoral_testkit::origin::h2::H2Origin;
use littoral_testkit::{Body, Client, Gate, Node, Origin, Response};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use super::{BINARY, config, get, node_before};

/// What an origin does once it has read a request.
#[derive(Debug, Clone)]
pub(super) enum Act {
    Send(Vec<u8>),
    /// Nothing more, for ever.
    Stall,
    /// Nothing more until the gate is open.
    Wait(Gate),
    /// RST instead of FIN.
    Reset,
}

pub(super) fn text(text: &str) -> Act {
    Act::Send(text.as_bytes().to_vec())
}

/// An origin that does this for every connection, once, and closes it.
pub(super) async fn origin_that(acts: &[Act]) -> Origin {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let mut origin = Origin::start(|_| Response::default()).await;
    origin.address = listener.local_addr().unwrap();
    let acts: Arc<[Act]> = acts.into();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(act(stream, acts.clone()));
        }
    });
    origin
}

async fn act(mut stream: TcpStream, acts: Arc<[Act]>) {
    let mut request = Vec::new();
    while !request.windows(4).any(|end| end == b"\r\n\r\n") {
        if stream.read_buf(&mut request).await.unwrap_or(0) == 0 {
            return;
        }
    }
    for act in acts.iter() {
        match act {
            Act::Send(bytes) => drop(stream.write_all(bytes).await),
            Act::Stall => std::future::pending().await,
            Act::Wait(gate) => gate.pass().await,
            Act::Reset => return stream.set_zero_linger().unwrap(),
        }
    }
}

const QUICK: &str = "[site]\ntimeouts = { read = \"150ms\" }";

/// Nothing is under way and nothing was kept, and nobody panicked.
async fn is_sound(node: &Node, origin: &Origin) {
    let open = format!("littoral_origin_requests_open{{origin=\"{}\"}}", origin.url());
    while node.metrics().await[&open] > 0.0 {}
    let metrics = node.metrics().await;
    assert_eq!((metrics["littoral_cache_objects"], metrics["littoral_cache_fills_open"]), (0.0, 0.0));
    assert!(!node.log().contains("panicked"), "{}", node.log());
}

#[tokio::test]
async fn what_breaks_before_the_head_is_whole_is_a_status() {
    let huge = |fields: usize| format!("HTTP/1.1 200 OK\r\n{}\r\n", "X-Filler: 0123456789\r\n".repeat(fields));
    let ok = "HTTP/1.1 200 OK\r\n";
    for (acts, expected) in [
        (vec![Act::Stall], 504),
        (vec![text("HTTP/1.1 20"), Act::Stall], 504),
        (vec![text("HTTP/1.1 200 OK\r\nCache-Control: max-age=60\r\nX-Half: "), Act::Stall], 504),
        (vec![Act::Reset], 502),
        (vec![], 502),
        (vec![text("HTTP/1.1 200 O"), Act::Reset], 502),
        (vec![text("garbage\r\n\r\n")], 502),
        (vec![text("\0\u{1}\u{2}\u{3} HTTP/1.1 200 OK\r\n\r\n")], 502),
        (vec![text("SSH-2.0-OpenSSH_9.9\r\n"), Act::Stall], 502),
        (vec![text(&format!("{ok}Content-Length: 1\r\nContent-Length: 2\r\n\r\nab"))], 502),
        (vec![text(&format!("{ok}Content-Length: -1\r\n\r\n"))], 502),
        (vec![text(&format!("{ok}Content-Length: 99999999999999999999999\r\n\r\n"))], 502),
        (vec![text(&format!("{ok}no colon\r\n\r\n"))], 502),
        (vec![text(&huge(2000))], 502),
        (vec![Act::Send(vec![b'x'; 4 << 20])], 502),
    ] {
        let origin = origin_that(&acts).await;
        let node = node_before(&origin, QUICK).await;
        let shown: String = format!("{acts:?}").chars().take(120).collect();
        assert_eq!(get(&node, "/a").await.status, expected, "{shown}");
        is_sound(&node, &origin).await;
    }
}

#[tokio::test]
async fn interim_responses_go_on_to_who_waits_and_are_not_kept() {
    let early = "HTTP/1.1 103 Early Hints\r\nLink: </a.css>; rel=preload\r\n\r\n";
    let end = "HTTP/1.1 200 OK\r\nCache-Control: max-age=60\r\nContent-Length: 2\r\n\r\nok";
    let come = Gate::default();
    let origin = origin_that(&[text(early), Act::Wait(come.clone()), text(end)]).await;
    let node = node_before(&origin, "").await;
    for hints in [1, 0] {
        let mut stream = TcpStream::connect(node.address("http")).await.unwrap();
        stream.write_all(b"GET /a HTTP/1.1\r\nHost: site.example\r\nConnection: close\r\n\r\n").await.unwrap();
        let mut told = Vec::new();
        // The final response comes when the hint has arrived.
        while hints > 0 && !told.ends_with(b"\r\n\r\n") {
            assert!(stream.read_buf(&mut told).await.unwrap() > 0);
        }
        come.open();
        stream.read_to_end(&mut told).await.unwrap();
        let told = String::from_utf8(told).unwrap();
        assert_eq!(told.matches(" 103 Early Hints").count(), hints, "{told}");
        let last = told.rsplit("HTTP/1.").next().unwrap();
        assert!(last.contains(" 200 OK") && last.ends_with("ok") && !last.contains("preload"), "{told}");
    }
}

#[tokio::test]
async fn an_interim_response_that_comes_in_one_packet_with_one_that_is_kept_goes_on_to_who_can_have_it() {
    let early = "HTTP/1.1 103 Early Hints\r\nLink: </a.css>; rel=preload\r\n\r\n";
    let end = "HTTP/1.1 200 OK\r\nCache-Control: max-age=60\r\nContent-Length: 2\r\n\r\nok";
    let origin = origin_that(&[text(&format!("{early}{early}{end}"))]).await;
    let node = node_before(&origin, "").await;
    for (target, version, hints) in [("/a", "1.1", 2), ("/b", "1.0", 0)] {
        let mut stream = TcpStream::connect(node.address("http")).await.unwrap();
        let asked = format!("GET {target} HTTP/{version}\r\nHost: site.example\r\nConnection: close\r\n\r\n");
        stream.write_all(asked.as_bytes()).await.unwrap();
        let mut told = String::new();
        stream.read_to_string(&mut told).await.unwrap();
        assert_eq!(told.matches(" 103 Early Hints").count(), hints, "{told}");
        let last = told.rsplit("HTTP/1.").next().unwrap();
        assert!(last.contains(" 200 OK") && last.ends_with("ok") && !last.contains("preload"), "{told}");
    }
}

#[tokio::test]
async fn what_breaks_in_the_body_is_seen_not_to_be_whole_and_is_not_kept() {
    let length = "HTTP/1.1 200 OK\r\nCache-Control: max-age=60\r\nContent-Length: 10\r\n\r\nhalf";
    let chunked = "HTTP/1.1 200 OK\r\nCache-Control: max-age=60\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n";
    for acts in [
        vec![text(length), Act::Stall],
        vec![text(length), Act::Reset],
        vec![text(length)],
        vec![text(chunked), Act::Stall],
        vec![text(chunked), Act::Reset],
        vec![text(chunked)],
        vec![text(chunked), text("zz\r\nhalf\r\n0\r\n\r\n")],
        vec![text(chunked), text("ffffffffffffffffff\r\nhalf")],
    ] {
        let origin = origin_that(&acts).await;
        let node = node_before(&origin, QUICK).await;
        for _ in 0..2 {
            let reply = get(&node, "/a").await;
            assert!(!reply.whole || reply.status == 502, "{acts:?}: {reply:?}");
        }
        is_sound(&node, &origin).await;
    }
}

#[tokio::test]
async fn what_breaks_before_the_first_byte_is_asked_of_the_next_origin() {
    for acts in [vec![Act::Reset], vec![], vec![text("garbage\r\n\r\n")], vec![Act::Stall]] {
        let broken = origin_that(&acts).await;
        let well = Origin::start(|_| Response::ok(&["cache-control: no-store"], b"well")).await;
        let node = Node::start(BINARY, &config(&[&broken, &well], QUICK), &[]).await;
        assert_eq!(get(&node, "/a").await.body, b"well", "{acts:?}");
    }
}

#[tokio::test]
async fn bytes_behind_the_told_length_answer_nobody() {
    let evil = "HTTP/1.1 200 OK\r\nCache-Control: no-store\r\nContent-Length: 4\r\n\r\ngoodHTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil";
    let origin = origin_that(&[text(evil), Act::Stall]).await;
    let node = node_before(&origin, "").await;
    let mut client = Client::connect(node.address("http")).await;
    for _ in 0..4 {
        let reply = client.get("site.example", "/a", &[]).await;
        assert_eq!((reply.status, reply.body.as_slice()), (200, &b"good"[..]));
    }
}

#[tokio::test]
async fn a_body_that_comes_byte_by_byte_is_passed_on_byte_by_byte() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let mut origin = Origin::start(|_| Response::default()).await;
    origin.address = listener.local_addr().unwrap();
    let node = node_before(&origin, "").await;
    let mut client = Client::connect(node.address("http")).await;
    client.send("GET /a HTTP/1.1\r\nHost: site.example\r\n\r\n").await;
    let (mut stream, _) = listener.accept().await.unwrap();
    stream.write_all(b"HTTP/1.1 200 OK\r\nCache-Control: max-age=60\r\nContent-Length: 20\r\n\r\n").await.unwrap();
    client.head().await.unwrap();
    for byte in 0..20_u8 {
        // The next one goes out when this one has come.
        stream.write_all(&[byte]).await.unwrap();
        assert_eq!(client.bytes(1).await, [byte]);
    }
    assert_eq!(get(&node, "/a").await.body, (0..20).collect::<Vec<u8>>(), "and the whole of it is kept");
}

#[tokio::test]
async fn an_origin_that_speaks_no_http_2_though_it_should_is_a_502() {
    for acts in [vec![text("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")], vec![Act::Reset], vec![text("garbage")]] {
        let origin = origin_that(&acts).await;
        let url = format!("{:?}", origin.url());
        let text = config(&[&origin], QUICK).replace(&url, &format!("{{ url = {url}, h2 = true }}"));
        let node = Node::start(BINARY, &text, &[]).await;
        assert_eq!(get(&node, "/a").await.status, 502, "{acts:?}");
        is_sound(&node, &origin).await;
    }
}

#[tokio::test]
async fn an_origin_that_trickles_is_cut_off_after_the_time_set_and_what_came_is_neither_kept_nor_resumed() {
    const TOTAL: Duration = Duration::from_millis(10);
    let (open, late) = (Gate::default(), Gate::default());
    open.open();
    let parts = [(open, b"a".to_vec()), (late.clone(), b"b".to_vec()), (Gate::default(), b"c".to_vec())];
    let fields = ["cache-control: max-age=60", "etag: \"a\""];
    let origin = Origin::start(move |_| Response::with(&fields, Body::Steps(3, parts.to_vec()))).await;
    let node = node_before(&origin, "[site]\ntimeouts = { total = \"10ms\" }\n").await;
    let trickle = async {
        origin.asked("/a", 1).await;
        let asked = Instant::now();
        while asked.elapsed() <= TOTAL {
            tokio::task::yield_now().await;
        }
        late.open();
    };
    let (reply, ()) = tokio::join!(get(&node, "/a"), trickle);
    // The last part never comes: without a bound it would be waited for. Where even the first is late, there is a status for it.
    assert!(reply.status == 504 || (!reply.whole && reply.body.len() < 3), "{reply:?}");
    let metrics = node.metrics().await;
    assert_eq!((metrics["littoral_origin_overdue_total"], metrics["littoral_cache_objects"]), (1.0, 0.0));
    assert_eq!(origin.count("/a"), 1);
}

#[tokio::test]
async fn what_goes_wrong_over_http_2_is_a_status_or_no_whole_body_and_not_kept_and_the_next_is_answered() {
    let mut origin = Origin::start(|_| Response::default()).await;
    origin.address = H2Origin::start(None).await.address;
    let url = format!("{:?}", origin.url());
    let more = format!("{QUICK}\nretry = {{ times = 0 }}");
    let node =
        Node::start(BINARY, &config(&[&origin], &more).replace(&url, &format!("{{ url = {url}, h2 = true }}")), &[])
            .await;
    for (what, status) in [("silent", 504), ("reset-head", 502), ("farewell", 502)] {
        assert_eq!(get(&node, &format!("/wrong/{what}")).await.status, status, "{what}");
        assert_eq!(get(&node, "/well").await.body, b"h2", "after {what}");
    }
    for what in ["stalled", "stalled-length", "reset", "reset-length", "short", "long"] {
        for _ in 0..2 {
            let reply = get(&node, &format!("/wrong/{what}")).await;
            assert!(!reply.whole || reply.status == 502, "{what}: {reply:?}");
            assert!(reply.status == 502 || b"half".starts_with(&reply.body), "{what}: {reply:?}");
        }
        assert_eq!(get(&node, "/well").await.body, b"h2", "after {what}");
    }
    is_sound(&node, &origin).await;
}

//! Fills in trouble: an origin that breaks off, clients that leave.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use littoral_testkit::h2::{END_STREAM, Frames, Outcome, kind};
use littoral_testkit::{Body, Client, Gate, Node, Origin, Reply, Request, Response};
use tokio::net::TcpStream;

use super::{BINARY, config, get, node_before};

const LENGTH: usize = 300_000;
const CUT: usize = 100_000;
const TAG: &str = "etag: \"a\"";

fn body(version: u8) -> Vec<u8> {
    (0..LENGTH).map(|at| (at / 1000) as u8 ^ version).collect()
}

fn fields(tag: &str) -> Vec<String> {
    vec!["cache-control: max-age=60".into(), tag.to_owned()]
}

/// A whole one of which only the start comes.
fn cut() -> Response {
    Response { status: 200, fields: fields(TAG), body: Body::CutShort(LENGTH, body(0)[..CUT].to_vec()) }
}

/// The part that a request asks for, `sent` bytes of it.
fn part(request: &Request, tag: &str, version: u8, sent: usize) -> Response {
    let range = request.field("range").and_then(|field| field.strip_prefix("bytes=")?.split_once('-')).unwrap();
    let (first, last): (usize, usize) = (range.0.parse().unwrap(), range.1.parse().unwrap());
    let fields = [fields(tag), vec![format!("content-range: bytes {first}-{last}/{LENGTH}")]].concat();
    let bytes = body(version)[first..=last].to_vec();
    let body = match sent < bytes.len() {
        true => Body::CutShort(bytes.len(), bytes[..sent].to_vec()),
        false => Body::Whole(bytes),
    };
    Response { status: 206, fields, body }
}

/// Breaks off whoever asks for the whole, and gives the rest to who asks for it.
fn broken_once(request: &Request) -> Response {
    if request.field("range").is_some() { part(request, TAG, 0, LENGTH) } else { cut() }
}

async fn resumed(node: &Node) -> [f64; 3] {
    let metrics = node.metrics().await;
    ["whole", "changed", "failed"]
        .map(|outcome| metrics[&format!("littoral_cache_fills_resumed_total{{outcome=\"{outcome}\"}}")])
}

fn is_whole(reply: &Reply) -> bool {
    reply.status == 200 && reply.whole && reply.body == body(0)
}

#[tokio::test]
async fn a_fill_whose_origin_breaks_off_goes_on_and_its_client_notices_nothing() {
    let origin = Origin::start(broken_once).await;
    let node = node_before(&origin, "").await;
    let field = ["Accept: text/x".to_owned(), "If-None-Match: \"b\"".to_owned()];
    let reply = node.get("site.example", "/a?b=c", &field.each_ref().map(String::as_str)).await;
    assert!(is_whole(&reply), "{} {} bytes", reply.status, reply.body.len());
    let asked = origin.requests();
    let rest = format!("bytes={CUT}-{}", LENGTH - 1);
    let expected = [Some(rest.as_str()), Some("\"a\""), Some("text/x"), Some("site.example"), None, None];
    let sent = ["range", "if-range", "accept", "host", "if-none-match", "x-littoral-resume"];
    assert_eq!((asked.len(), sent.map(|name| asked[1].field(name)), &*asked[1].path), (2, expected, "/a?b=c"));
    assert!(node.get("site.example", "/a?b=c", &[]).await.field("cache-status").contains("; hit"));
    assert_eq!(resumed(&node).await, [1.0, 0.0, 0.0]);
    let metrics = node.metrics().await;
    assert_eq!((metrics["littoral_http_broken_total"], metrics["littoral_origin_failures_total"]), (0.0, 0.0));
}

#[tokio::test]
async fn all_who_read_a_fill_that_breaks_off_get_what_they_asked_for() {
    for begun_by in ["GET", "HEAD", "part"] {
        let (first, second) = (Gate::default(), Gate::default());
        let steps = vec![(first.clone(), body(0)[..1000].to_vec()), (second.clone(), body(0)[1000..CUT].to_vec())];
        let origin = Origin::start(move |request| match request.field("range") {
            Some(_) => part(request, TAG, 0, LENGTH),
            None => Response { status: 200, fields: fields(TAG), body: Body::Steps(LENGTH, steps.clone()) },
        })
        .await;
        let node = node_before(&origin, "").await;
        let ask = |method: &str, field: &str| format!("{method} /a HTTP/1.1\r\nHost: site.example\r\n{field}\r\n");
        let mut clients = Vec::new();
        for who in [begun_by, "GET", "part"] {
            let mut client = Client::connect(node.address("http")).await;
            client.send(if who == "part" { ask("GET", "Range: bytes=500-200499\r\n") } else { ask(who, "") }).await;
            if clients.is_empty() {
                origin.asked("/a", 1).await;
                first.open();
            }
            let head = client.head().await.unwrap();
            clients.push((who, head.status, client));
        }
        second.open();
        for (who, status, client) in &mut clients {
            let (expected, first, end) = match *who {
                "HEAD" => (200, 0, 0),
                "GET" => (200, 0, LENGTH),
                _ => (206, 500, 200_500),
            };
            let came = client.bytes(end - first).await;
            assert!(
                *status == expected && came == body(0)[first..end],
                "{who} after {begun_by}: {status} {}",
                came.len()
            );
        }
        node.until("littoral_cache_fills_resumed_total{outcome=\"whole\"}", 1.0).await;
        assert!(is_whole(&get(&node, "/a").await));
        assert_eq!(origin.count("/a"), 2, "{begun_by}");
    }
}

#[tokio::test]
async fn a_client_of_http_2_notices_nothing_either() {
    let origin = Origin::start(broken_once).await;
    let text = config(&[&origin], "").replace("\"127.0.0.1:0\"]", "{ bind = \"127.0.0.1:0\", h2c = true }]");
    let node = Node::start(BINARY, &text, &[]).await;
    let mut client = Frames::begin(TcpStream::connect(node.address("http")).await.unwrap()).await;
    client.send(kind::WINDOW_UPDATE, 0, 0, &(LENGTH as u32).to_be_bytes()).await;
    client.get(1, "site.example", "/a").await;
    client.send(kind::WINDOW_UPDATE, 0, 1, &(LENGTH as u32).to_be_bytes()).await;
    assert_eq!(client.outcome(1).await, Outcome::Status(200));
    let (mut came, mut ended) = (Vec::new(), false);
    while !ended {
        let frame = client.next().await.unwrap();
        assert_ne!(frame.kind, kind::RST_STREAM);
        if frame.kind == kind::DATA {
            ended = frame.flags & END_STREAM > 0;
            came.extend(frame.payload);
        }
    }
    assert!(came == body(0), "{} bytes", came.len());
    assert_eq!(resumed(&node).await, [1.0, 0.0, 0.0]);
}

#[tokio::test]
async fn what_is_not_surely_the_rest_of_the_same_object_breaks_the_fill() {
    type Answer = fn(&Request) -> Response;
    let others: [(&str, Answer, usize, [f64; 3]); 6] = [
        (TAG, |request| part(request, "etag: \"b\"", 9, LENGTH), 2, [0.0, 1.0, 0.0]),
        (TAG, |request| part(request, "x: y", 0, LENGTH), 2, [0.0, 1.0, 0.0]),
        (
            TAG,
            |_| Response { status: 200, fields: fields("etag: \"b\""), body: Body::Whole(body(9)) },
            2,
            [0.0, 1.0, 0.0],
        ),
        (TAG, |_| Response { status: 404, fields: vec![], body: Body::Whole(b"no".to_vec()) }, 2, [0.0, 1.0, 0.0]),
        (TAG, |_| Response { status: 503, fields: vec![], body: Body::Whole(b"no".to_vec()) }, 4, [0.0, 0.0, 1.0]),
        ("etag: W/\"a\"", |_| Response::default(), 1, [0.0; 3]),
    ];
    for (tag, other, asked, expected) in others {
        let origin = Origin::start(move |request| match request.field("range") {
            Some(_) => other(request),
            None => Response { fields: fields(tag), ..cut() },
        })
        .await;
        let node = node_before(&origin, "").await;
        let reply = get(&node, "/a").await;
        assert!(!reply.whole && body(0).starts_with(&reply.body), "{tag} {} {} bytes", reply.status, reply.body.len());
        while resumed(&node).await != expected {}
        // 503 is retried within a request for the rest too.
        assert!(origin.count("/a") <= asked, "{tag}: {}", origin.count("/a"));
        while node.metrics().await["littoral_cache_fills_open"] > 0.0 {}
        assert_eq!(node.metrics().await["littoral_cache_objects"], 0.0);
    }
}

#[tokio::test]
async fn the_rest_is_asked_for_as_often_as_the_site_says_and_of_the_next_origin() {
    for (times, ends_well) in [(0, false), (1, false), (2, true)] {
        let asked = Arc::new(AtomicUsize::new(0));
        let script = move |asked: Arc<AtomicUsize>| {
            move |request: &Request| match asked.fetch_add(1, Relaxed) {
                0 => cut(),
                1 => part(request, TAG, 0, 50_000),
                _ => part(request, TAG, 0, LENGTH),
            }
        };
        let one = Origin::start(script(asked.clone())).await;
        let other = Origin::start(script(asked.clone())).await;
        let more = format!("[site]\nfill = {{ resume = {times} }}");
        let node = Node::start(BINARY, &config(&[&one, &other], &more), &[]).await;
        let reply = get(&node, "/a").await;
        assert_eq!(is_whole(&reply), ends_well, "{times}: {} bytes", reply.body.len());
        assert!(ends_well || !reply.whole);
        assert_eq!(asked.load(Relaxed), 1 + times, "{times}");
        assert_eq!(other.count("/a"), usize::from(times > 0), "{times}");
    }
}

#[tokio::test]
async fn a_slice_that_breaks_off_goes_on() {
    let asked = Arc::new(AtomicUsize::new(0));
    let origin = Origin::start(move |request| {
        let sent = if asked.fetch_add(1, Relaxed) == 1 { 1000 } else { LENGTH };
        part(request, TAG, 0, sent)
    })
    .await;
    let node = node_before(&origin, "[site]\nslice = \"64KiB\"").await;
    let reply = node.get("site.example", "/a", &["Range: bytes=0-199999"]).await;
    assert!(reply.status == 206 && reply.whole && reply.body == body(0)[..200_000], "{} bytes", reply.body.len());
    assert!(origin.requests().iter().any(|request| request.field("range") == Some("bytes=66536-131071")));
    assert_eq!(resumed(&node).await, [1.0, 0.0, 0.0]);
}

#[tokio::test]
async fn nobody_outside_can_ask_past_the_cache_for_a_rest() {
    let origin = Origin::start(|_| Response::ok(&["cache-control: max-age=60"], b"x")).await;
    let node = node_before(&origin, "").await;
    for outcome in ["fwd", "hit"] {
        let reply = node.get("site.example", "/a", &["X-Littoral-Resume: 0123456789abcdef0123456789abcdef"]).await;
        assert!(reply.field("cache-status").contains(outcome), "{reply:?}");
    }
    assert_eq!(origin.requests()[0].field("x-littoral-resume"), None);
}

#[tokio::test]
async fn a_range_of_what_is_being_filled_is_answered_as_soon_as_its_bytes_are_there() {
    let (first, second, never) = (Gate::default(), Gate::default(), Gate::default());
    let parts = [(&first, 0..1000), (&second, 1000..2000), (&never, 2000..LENGTH)];
    let steps: Vec<_> = parts.into_iter().map(|(gate, range)| (gate.clone(), body(0)[range].to_vec())).collect();
    let origin =
        Origin::start(move |_| Response { status: 200, fields: fields(TAG), body: Body::Steps(LENGTH, steps.clone()) })
            .await;
    let node = node_before(&origin, "").await;
    let ask = |range: &str| format!("GET /a HTTP/1.1\r\nHost: site.example\r\nRange: bytes={range}\r\n\r\n");
    let [mut leader, mut behind, mut ahead] = [
        Client::connect(node.address("http")).await,
        Client::connect(node.address("http")).await,
        Client::connect(node.address("http")).await,
    ];
    leader.send(ask("100-199")).await;
    first.open();
    assert_eq!(leader.reply(false).await.unwrap().body, body(0)[100..200], "also who began it");
    behind.send(ask("500-999")).await;
    assert_eq!(behind.reply(false).await.unwrap().body, body(0)[500..1000]);
    ahead.send(ask("1500-1999")).await;
    assert_eq!(ahead.head().await.unwrap().status, 206);
    second.open();
    assert_eq!(ahead.bytes(500).await, body(0)[1500..2000]);
    assert_eq!(origin.count("/a"), 1);
}

/// Bytes that come in so many pieces that a client that has left is noticed between two of them.
const MUCH: usize = 8 << 20;

struct Slow {
    origin: Origin,
    first: Gate,
    second: Gate,
    last: Gate,
}

/// A large object that comes in steps.
async fn slow() -> Slow {
    let [first, second, last] = [(); 3].map(|()| Gate::default());
    let parts = [(&first, 10), (&second, MUCH), (&last, 10)];
    let parts: Vec<_> = parts.into_iter().map(|(gate, length)| (gate.clone(), vec![7; length])).collect();
    let origin =
        Origin::start(move |_| Response::with(&["cache-control: max-age=60"], Body::Steps(MUCH + 20, parts.clone())))
            .await;
    Slow { origin, first, second, last }
}

/// A client that asks, gets something, and leaves.
async fn leave(node: &Node, slow: &Slow, path: &str) {
    let mut client = Client::connect(node.address("http")).await;
    client.send(format!("GET {path} HTTP/1.1\r\nHost: site.example\r\n\r\n")).await;
    slow.first.open();
    client.head().await.unwrap();
    assert_eq!(client.bytes(10).await.len(), 10);
}

fn ended(reason: &str) -> String {
    format!("littoral_cache_fills_unread_ended_total{{reason=\"{reason}\"}}")
}

#[tokio::test]
async fn a_fill_goes_on_when_its_client_leaves() {
    let slow = slow().await;
    let node = node_before(&slow.origin, "").await;
    leave(&node, &slow, "/a").await;
    slow.second.open();
    slow.last.open();
    node.until("littoral_cache_objects", 1.0).await;
    assert!(get(&node, "/a").await.field("cache-status").contains("; hit"));
    assert_eq!(slow.origin.count("/a"), 1);
}

#[tokio::test]
async fn no_more_fills_go_on_unread_than_the_site_says_nor_more_bytes_of_one() {
    for (limits, reason) in [("unread = 0", "fills"), ("unread_bytes = \"1MiB\"", "bytes")] {
        let slow = slow().await;
        let node = node_before(&slow.origin, &format!("[site]\nfill = {{ {limits} }}")).await;
        leave(&node, &slow, "/a").await;
        slow.second.open();
        node.until(&ended(reason), 1.0).await;
        while node.metrics().await["littoral_cache_fills_open"] > 0.0 {}
        assert_eq!(node.metrics().await["littoral_cache_objects"], 0.0, "{limits}");
    }
}

#[tokio::test]
async fn a_fill_that_somebody_reads_goes_on_whoever_began_it() {
    let slow = slow().await;
    let node = node_before(&slow.origin, "[site]\nfill = { unread = 0 }").await;
    let mut follower = Client::connect(node.address("http")).await;
    let mut client = Client::connect(node.address("http")).await;
    client.send("GET /a HTTP/1.1\r\nHost: site.example\r\n\r\n").await;
    slow.first.open();
    client.head().await.unwrap();
    follower.send("GET /a HTTP/1.1\r\nHost: site.example\r\n\r\n").await;
    follower.head().await.unwrap();
    drop(client);
    slow.second.open();
    slow.last.open();
    assert_eq!(follower.bytes(MUCH + 20).await.len(), MUCH + 20);
    assert_eq!(node.metrics().await[&ended("fills")], 0.0);
}

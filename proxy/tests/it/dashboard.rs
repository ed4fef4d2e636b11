//! The dashboard and what it hears: embedded files, their fields, the stream of events.

use littoral_testkit::{Body, Client, Gate, Node, Origin, Reply, Response};
use serde_json::Value;

use super::upgrade::upgrade;
use super::{get, node_before};

/// As README.md has it.
const STREAMS_MAX: usize = 16;

async fn ask(node: &Node, path: &str, fields: &[&str]) -> Reply {
    Client::connect(node.address("admin")).await.get("admin", path, fields).await
}

/// A client of `/v1/events`, its head read.
struct Stream {
    client: Client,
    reply: Reply,
}

impl Stream {
    async fn open(node: &Node) -> Self {
        let mut client = Client::connect(node.address("admin")).await;
        client.send("GET /v1/events HTTP/1.1\r\nHost: admin\r\n\r\n").await;
        let reply = client.head().await.expect("a response");
        Self { client, reply }
    }

    /// The next event of a name: its data.
    async fn next(&mut self, name: &str) -> Value {
        loop {
            let text = String::from_utf8_lossy(&self.reply.body).into_owned();
            if let Some((event, rest)) = text.split_once("\n\n") {
                self.reply.body = rest.as_bytes().to_vec();
                if let Some(data) = event.strip_prefix(&format!("event: {name}\ndata: ")) {
                    return serde_json::from_str(data).expect("JSON");
                }
                continue;
            }
            let before = self.reply.body.len();
            self.client.chunks_until(&mut self.reply, before + 1).await;
            assert!(self.reply.body.len() > before, "the stream ended");
        }
    }

    /// Reads to its end; whether that was told.
    async fn ends(mut self) -> bool {
        self.client.chunks_until(&mut self.reply, usize::MAX).await;
        self.reply.whole
    }
}

fn parts(page: &str) -> Vec<&str> {
    page.match_indices("\"/assets/").filter_map(|(at, _)| page[at + 1..].split('"').next()).collect()
}

#[tokio::test]
async fn the_page_allows_itself_nothing_from_outside_and_its_files_are_kept_for_good() {
    let node = node_before(&Origin::start(|_| Response::ok(&[], b"")).await, "").await;
    let page = ask(&node, "/", &[]).await;
    let policy = page.field("content-security-policy");
    assert!(policy.starts_with("default-src 'none'; script-src 'self'; style-src 'self';"), "{policy}");
    assert!(!policy.contains("unsafe") && !policy.contains("http") && !policy.contains('*'), "{policy}");
    assert_eq!((page.field("cache-control"), page.field("x-content-type-options")), ("no-cache", "nosniff"));
    let text = String::from_utf8(page.body.clone()).unwrap();
    let files = parts(&text);
    assert_eq!(files.len(), 5, "{text}");
    for path in files {
        let plain = ask(&node, path, &[]).await;
        assert_eq!((plain.status, plain.field("content-encoding")), (200, ""), "{path}");
        assert_eq!(plain.field("cache-control"), "public, max-age=31536000, immutable", "{path}");
        assert!(plain.field("content-type").starts_with("text/"), "{path}");
        let short = ask(&node, path, &["Accept-Encoding: br, gzip"]).await;
        assert_eq!((short.field("content-encoding"), short.field("vary")), ("gzip", "Accept-Encoding"), "{path}");
        assert!(short.body.len() < plain.body.len() && short.field("etag") != plain.field("etag"), "{path}");
        let mut unpacked = Vec::new();
        std::io::Read::read_to_end(&mut flate2::read::GzDecoder::new(&*short.body), &mut unpacked).unwrap();
        assert!(unpacked == plain.body, "{path}");
        let known = ask(&node, path, &[&format!("If-None-Match: \"x\", W/{}", plain.field("etag"))]).await;
        assert_eq!((known.status, known.body.len(), known.field("etag")), (304, 0, plain.field("etag")), "{path}");
    }
    assert_eq!(ask(&node, "/assets/app.js", &[]).await.status, 404);
    assert_eq!(ask(&node, "/assets/..%2fapp.js", &[]).await.status, 404);
}

#[tokio::test]
async fn events_tell_the_figures_as_they_move() {
    let origin = Origin::start(|_| Response::ok(&["cache-control: max-age=60"], b"x")).await;
    let node = node_before(&origin, "").await;
    let mut stream = Stream::open(&node).await;
    assert_eq!((stream.reply.status, stream.reply.field("content-type")), (200, "text/event-stream"));
    let first = stream.next("stats").await;
    assert_eq!((&first["requests"]["miss"], &first["requests"]["hit"]), (&0.into(), &0.into()), "{first}");
    assert_eq!(first["video"]["rate_switches"], serde_json::json!({ "up": 0.0, "down": 0.0 }), "{first}");
    for name in ["plugins", "clusters", "warm"] {
        assert_eq!(stream.next(name).await, serde_json::json!([]), "{name}");
    }
    get(&node, "/a").await;
    get(&node, "/a").await;
    loop {
        let stats = stream.next("stats").await;
        if stats["requests"]["miss"] == 1 && stats["requests"]["hit"] == 1 {
            break;
        }
    }
}

#[tokio::test]
async fn there_is_a_bound_on_streams_and_who_leaves_makes_room() {
    let node = node_before(&Origin::start(|_| Response::ok(&[], b"")).await, "").await;
    let mut streams = Vec::new();
    for _ in 0..STREAMS_MAX {
        let stream = Stream::open(&node).await;
        assert_eq!(stream.reply.status, 200);
        streams.push(stream);
    }
    let refused = ask(&node, "/v1/events", &[]).await;
    assert_eq!(refused.status, 503, "{}", String::from_utf8_lossy(&refused.body));
    let metrics = node.metrics().await;
    assert_eq!(metrics["littoral_events_open"], 16.0);
    assert_eq!(metrics["littoral_events_streams_total{outcome=\"taken\"}"], 16.0);
    assert_eq!(metrics["littoral_events_streams_total{outcome=\"refused\"}"], 1.0);
    streams.pop();
    node.until("littoral_events_open", 15.0).await;
    let mut another = Stream::open(&node).await;
    assert_eq!(another.reply.status, 200);
    another.next("stats").await;
    drop((streams, another));
    node.until("littoral_events_open", 0.0).await;
    assert_eq!(Stream::open(&node).await.next("stats").await["requests"]["hit"], 0, "after all had left");
}

#[tokio::test]
async fn streams_end_when_the_node_stops_while_requests_are_finished() {
    let gate = Gate::default();
    let held = gate.clone();
    let origin =
        Origin::start(move |_| Response::with(&[], Body::Gated(b"o".to_vec(), held.clone(), b"ne".to_vec()))).await;
    let mut node = node_before(&origin, "").await;
    let mut client = Client::connect(node.address("http")).await;
    client.send("GET /a HTTP/1.1\r\nHost: site.example\r\n\r\n").await;
    client.head().await.unwrap();
    let mut stream = Stream::open(&node).await;
    stream.next("stats").await;
    node.signal("TERM");
    assert!(stream.ends().await, "the last chunk came");
    assert_eq!(ask(&node, "/v1/events", &[]).await.status, 503, "it stops");
    gate.open();
    assert_eq!(node.ended().await, Some(0));
}

#[tokio::test]
async fn streams_end_when_another_process_has_taken_over_and_it_has_its_own() {
    let mut node = node_before(&Origin::start(|_| Response::ok(&[], b"")).await, "").await;
    let mut stream = Stream::open(&node).await;
    stream.next("stats").await;
    upgrade(&mut node).await;
    // Whether its last chunk is told is a race with the end of the process.
    stream.ends().await;
    assert_eq!(node.ended().await, Some(0), "no stream holds up its end");
    Stream::open(&node).await.next("stats").await;
}

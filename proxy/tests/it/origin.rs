//! Origins that fail, hang or are not there.

use littoral_testkit::{Body, Client, Node, Origin, Response};

use super::{BINARY, config, get, node_before};

/// An address nobody listens on: bound once and let go.
async fn nobody() -> Origin {
    let mut origin = Origin::start(|_| Response::default()).await;
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    origin.address = listener.local_addr().unwrap();
    origin
}

#[tokio::test]
async fn a_dead_origin_costs_one_retry_and_is_left_out_after_three_failures() {
    let (dead, alive) = (nobody().await, Origin::start(|_| Response::ok(&["cache-control: no-store"], b"alive")).await);
    let node = Node::start(BINARY, &config(&[&dead, &alive], ""), &[]).await;
    for _ in 0..12 {
        assert_eq!(get(&node, "/a").await.body, b"alive");
    }
    let metrics = node.metrics().await;
    assert_eq!(metrics["littoral_origin_ejections_total"], 1.0);
    assert_eq!(metrics["littoral_origin_retries_total"], 3.0, "once it is out, nobody tries it");
}

#[tokio::test]
async fn a_post_that_reached_an_origin_is_not_sent_twice() {
    let origin = Origin::start(|_| Response::with(&[], Body::CutShort(10, Vec::new()))).await;
    let node = node_before(&origin, "").await;
    let mut client = Client::connect(node.address("http")).await;
    client.send("POST /a HTTP/1.1\r\nHost: site.example\r\nContent-Length: 4\r\n\r\nbody").await;
    let _ = client.reply(false).await;
    assert_eq!(origin.count("/a"), 1);
}

#[tokio::test]
async fn a_post_passes_with_its_body_and_is_not_cached() {
    let origin = Origin::start(|_| Response::ok(&["cache-control: max-age=60"], b"done")).await;
    let node = node_before(&origin, "").await;
    let mut client = Client::connect(node.address("http")).await;
    for _ in 0..2 {
        client.send("POST /a HTTP/1.1\r\nHost: site.example\r\nContent-Length: 4\r\n\r\nbody").await;
        let reply = client.reply(false).await.unwrap();
        assert_eq!((reply.body.as_slice(), reply.field("cache-status")), (&b"done"[..], "littoral; fwd=method"));
    }
    assert_eq!(origin.count("/a"), 2);
}

#[tokio::test]
async fn a_silent_origin_is_a_504_and_a_missing_one_a_502() {
    let silent = Origin::start(|_| Response::with(&[], Body::Silence)).await;
    let node = node_before(&silent, "[site]\ntimeouts = { read = \"200ms\" }").await;
    assert_eq!(get(&node, "/a").await.status, 504);
    assert_eq!(silent.count("/a"), 1, "nobody waits twice for one origin");
    let dead = nobody().await;
    let node = node_before(&dead, "").await;
    let reply = get(&node, "/a").await;
    assert_eq!((reply.status, String::from_utf8_lossy(&reply.body).trim()), (502, "the origin failed"));
    assert_eq!(node.metrics().await["littoral_origin_failures_total"], 1.0);
}

#[tokio::test]
async fn a_stale_object_is_served_when_the_origin_fails_and_the_response_allowed_it() {
    let failing = std::sync::atomic::AtomicBool::new(false);
    let origin = Origin::start(move |request| match request.path.as_str() {
        // From here on the origin fails.
        "/fail" => {
            failing.store(true, std::sync::atomic::Ordering::Relaxed);
            Response::default()
        }
        "/allowed" | "/not" if failing.load(std::sync::atomic::Ordering::Relaxed) => {
            Response { status: 503, ..Response::default() }
        }
        "/allowed" => Response::ok(&["cache-control: max-age=0, stale-if-error=60"], b"old"),
        _ => Response::ok(&["cache-control: max-age=0"], b"old"),
    })
    .await;
    let node = node_before(&origin, "").await;
    for path in ["/allowed", "/not", "/fail"] {
        assert_eq!(get(&node, path).await.status, 200);
    }
    let allowed = get(&node, "/allowed").await;
    assert_eq!((allowed.status, allowed.body.as_slice()), (200, &b"old"[..]));
    assert!(
        allowed.field("cache-status").starts_with("littoral; fwd=stale; detail=stale-if-error; ttl="),
        "{allowed:?}"
    );
    assert_eq!(node.metrics().await["littoral_http_requests_total{outcome=\"stale\"}"], 1.0);
    assert_eq!(get(&node, "/not").await.status, 503);
    assert_eq!([origin.count("/allowed"), origin.count("/not")], [2, 2], "the origin was asked first");
}

#[tokio::test]
async fn a_client_that_leaves_is_no_failure_of_this_node() {
    let large = vec![7; 32 << 20];
    let origin = Origin::start(move |_| Response::ok(&["cache-control: max-age=60"], &large)).await;
    let node = node_before(&origin, "").await;
    for range in ["", "Range: bytes=1-\r\n"] {
        let mut leaver = Client::connect(node.address("http")).await;
        leaver.send(format!("GET /a HTTP/1.1\r\nHost: site.example\r\n{range}\r\n")).await;
        leaver.head().await.unwrap();
        drop(leaver);
        while node.metrics().await["littoral_http_connections_open"] > 0.0 {}
    }
    let metrics = node.metrics().await;
    assert_eq!(metrics["littoral_origin_failures_total"], 0.0, "{}", node.log());
    assert!(metrics["littoral_http_broken_total"] > 0.0);
}

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
    let dead = nobody().await;
    let node = node_before(&dead, "").await;
    let reply = get(&node, "/a").await;
    assert_eq!((reply.status, String::from_utf8_lossy(&reply.body).trim()), (502, "the origin failed"));
    assert_eq!(node.metrics().await["littoral_origin_failures_total"], 1.0);
}

#[tokio::test]
async fn a_stale_object_is_served_when_the_origin_fails_and_the_response_allowed_it() {
    let asked = std::sync::atomic::AtomicUsize::new(0);
    let origin = Origin::start(move |_| match asked.fetch_add(1, std::sync::atomic::Ordering::Relaxed) {
        0 => Response::ok(&["cache-control: max-age=0, stale-if-error=60"], b"old"),
        _ => Response::with(&[], Body::CutShort(5, Vec::new())),
    })
    .await;
    let node = node_before(&origin, "").await;
    get(&node, "/a").await;
    let reply = get(&node, "/a").await;
    assert!(reply.body == b"old" || reply.status == 502 || !reply.whole, "{reply:?}");
}

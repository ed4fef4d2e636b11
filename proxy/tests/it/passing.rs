//! Responses whose length is not told and that do not fit in the cache.

use littoral_testkit::{Body, Client, Gate, Origin, Response};

use super::{get, node_before};

const FRESH: &str = "cache-control: max-age=60";

/// `mebibytes` in chunks of 64 KiB.
fn chunks(mebibytes: usize) -> Vec<Vec<u8>> {
    (0..mebibytes * 16).map(|number| vec![number as u8; 64 << 10]).collect()
}

#[tokio::test]
async fn a_chunked_response_larger_than_the_largest_object_arrives_whole_and_is_not_kept() {
    let gate = Gate::default();
    let held = gate.clone();
    let origin =
        Origin::start(move |_| Response::with(&[FRESH], Body::GatedChunks(chunks(6), held.clone(), chunks(6)))).await;
    let node = node_before(&origin, "[cache]\nmemory = \"64MiB\"\nmax_object = \"8MiB\"").await;
    for round in 1..=3 {
        let mut client = Client::connect(node.address("http")).await;
        client.send("GET /a HTTP/1.1\r\nHost: site.example\r\n\r\n").await;
        let mut reply = client.head().await.unwrap();
        // The client is never further behind than what may be held for it.
        client.chunks_until(&mut reply, 6 << 20).await;
        gate.open();
        client.chunks_until(&mut reply, usize::MAX).await;
        let expected = [chunks(6), chunks(6)].concat().concat();
        assert!(reply.whole && reply.body == expected, "round {round}: {} bytes", reply.body.len());
        assert_eq!(origin.count("/a"), round, "nothing is kept");
        assert_eq!(reply.field("cache-status").contains("detail=too-large"), round > 1, "it is remembered");
    }
    let metrics = node.metrics().await;
    assert_eq!(
        (metrics["littoral_cache_fills_passed_total"], metrics["littoral_cache_fills_failed_total"]),
        (1.0, 0.0)
    );
    node.until("littoral_cache_memory_bytes", 0.0).await;
    assert_eq!(node.metrics().await["littoral_cache_objects"], 0.0);
}

#[tokio::test]
async fn a_full_cache_makes_room_for_chunked_responses_and_all_arrive_whole() {
    let origin = Origin::start(|request| match request.path.starts_with("/old") {
        true => Response::ok(&[FRESH], &vec![1; 4 << 20]),
        false => Response::with(&[FRESH], Body::Chunked(chunks(6))),
    })
    .await;
    let node = node_before(&origin, "[cache]\nmemory = \"64MiB\"\nmax_object = \"8MiB\"").await;
    for number in 0..15 {
        get(&node, &format!("/old/{number}")).await;
    }
    let mut clients = Vec::new();
    for number in 0..8 {
        let mut client = Client::connect(node.address("http")).await;
        client.send(format!("GET /new/{number} HTTP/1.1\r\nHost: site.example\r\n\r\n")).await;
        clients.push(tokio::spawn(async move { client.reply(false).await }));
    }
    for client in clients {
        let reply = client.await.unwrap().unwrap();
        assert!(reply.whole && reply.body.len() == 6 << 20, "{} bytes", reply.body.len());
    }
    let metrics = node.metrics().await;
    assert!(metrics["littoral_cache_evicted_total"] > 0.0 && metrics["littoral_cache_fills_failed_total"] == 0.0);
}

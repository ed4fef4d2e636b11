//! Bodies of `auto` segments at the pace that a player says it can use.

use littoral_testkit::{Client, Node, Origin, Response};

use super::node_before;

const FRESH: &str = "cache-control: max-age=60";
const PACED: &str = "littoral_rate_paced_total";

const MPD: &str = r#"<?xml version="1.0"?>
<MPD xmlns="urn:mpeg:dash:schema:mpd:2011" type="static" mediaPresentationDuration="PT4S"><Period><AdaptationSet contentType="video" segmentAlignment="true">
<SegmentTemplate media="seg-$RepresentationID$-$Number$.m4s" initialization="init-$RepresentationID$.m4s" duration="2" startNumber="1"/>
<Representation id="low" bandwidth="100000" height="360"/><Representation id="high" bandwidth="3000000" height="1080"/></AdaptationSet></Period></MPD>
"#;

/// Of four pieces: at 150 kbit/s the second waits for a quarter of a minute.
const BODY_BYTES: usize = 1 << 20;

async fn before(site: &str) -> (Origin, Node) {
    let origin = Origin::start(|request| match request.path.ends_with(".mpd") {
        true => Response::ok(&[FRESH], MPD.as_bytes()),
        false => Response::ok(&[FRESH], &vec![7; BODY_BYTES]),
    })
    .await;
    let node = node_before(&origin, &format!("[site]\ndash = {{ {site} }}")).await;
    (origin, node)
}

/// An `auto` segment for a player with so much media, that can use 1 kbit/s.
async fn whole(node: &Node, buffer_ms: u32) {
    let told = format!("CMCD-Request: mtp=100,bl={buffer_ms}");
    let reply = node.get("site.example", "/v/seg-auto-1.m4s", &[&told, "CMCD-Status: rtp=1"]).await;
    assert_eq!((reply.status, reply.field("x-littoral-representation"), reply.body.len()), (200, "low", BODY_BYTES));
}

#[tokio::test]
async fn what_is_stored_goes_at_the_pace_of_a_player_that_has_enough_and_all_else_at_once() {
    let (_origin, node) = before("auto = true, pace = true").await;
    // What comes from the origin, others may wait for; who is short of media is waited upon.
    whole(&node, 9000).await;
    node.until("littoral_cache_objects", 2.0).await;
    whole(&node, 900).await;
    assert_eq!(node.metrics().await[PACED], 0.0);
    let mut client = Client::connect(node.address("http")).await;
    client
        .send("GET /v/seg-auto-1.m4s HTTP/1.1\r\nHost: site.example\r\nCMCD-Request: mtp=100,bl=9000\r\nCMCD-Status: rtp=1\r\n\r\n")
        .await;
    assert_eq!(client.head().await.unwrap().status, 200);
    assert_eq!(client.bytes(200 << 10).await.len(), 200 << 10, "the first piece is not waited for");
    node.until(PACED, 1.0).await;
}

#[tokio::test]
async fn a_site_that_does_not_say_so_sends_as_fast_as_it_can() {
    let (_origin, node) = before("auto = true").await;
    for _ in 0..2 {
        whole(&node, 9000).await;
    }
    assert_eq!(node.metrics().await[PACED], 0.0);
}

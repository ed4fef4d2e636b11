//! What the rate policy says where players choose: `mb` of CMSD, and how much of a ladder is left in a client's manifest.

use littoral_testkit::node::plugin;
use littoral_testkit::{Client, Node, Origin, Response};

use super::{BINARY, config, node_before};

const FRESH: &str = "cache-control: max-age=60";
const HINT: &str = "[site]\ndash = { cmcd = true, cmsd = true, hint = true }";
const FILTER: &str = "[site]\ndash = { rewrite = { max_bandwidth = \"policy\" } }";
const MPD: &str = r#"<MPD xmlns="urn:mpeg:dash:schema:mpd:2011" type="static" mediaPresentationDuration="PT4S"><Period>
<AdaptationSet contentType="video"><SegmentTemplate media="seg-$RepresentationID$-$Number$.m4s" duration="2" startNumber="1"/>
<Representation id="low" bandwidth="300000"/><Representation id="mid" bandwidth="1000000"/><Representation id="high" bandwidth="3000000"/>
</AdaptationSet></Period></MPD>"#;

async fn origin() -> Origin {
    titled(MPD, &[FRESH, "cdn-cache-control: max-age=90", "expires: Mon, 02 Nov 2036 10:00:00 GMT"]).await
}

async fn titled(mpd: &'static str, fields: &'static [&'static str]) -> Origin {
    Origin::start(move |request| match request.path.split('?').next().is_some_and(|path| path.ends_with(".mpd")) {
        true => Response::ok(fields, mpd.as_bytes()),
        false => Response::ok(&[FRESH], b"segment"),
    })
    .await
}

/// `mb` of an answer to a request for `path` on a connection of its own.
async fn mb(node: &Node, path: &str, fields: &[&str]) -> Option<String> {
    let reply = node.get("site.example", path, fields).await;
    assert_eq!(reply.status, 200, "{path}");
    let told = reply.field("cmsd-dynamic").to_owned();
    told.split(';').find_map(|pair| pair.strip_prefix("mb=")).map(str::to_owned)
}

/// The representations in the manifest that a client gets, and how it may be kept.
async fn left(node: &Node, fields: &[&str]) -> (Vec<&'static str>, String) {
    let reply = node.get("site.example", "/v/manifest.mpd", fields).await;
    assert_eq!(reply.status, 200);
    assert_eq!((reply.field("expires"), reply.field("cdn-cache-control")), ("", ""));
    let text = String::from_utf8(reply.body.clone()).unwrap();
    let ids = ["low", "mid", "high"].into_iter().filter(|id| text.contains(&format!("id=\"{id}\""))).collect();
    (ids, reply.field("cache-control").to_owned())
}

async fn advice(node: &Node, of: &str, by: &str) -> f64 {
    node.metrics().await[&format!("littoral_rate_advice_total{{for={of:?},by={by:?}}}")]
}

#[tokio::test]
async fn players_that_say_what_they_ask_for_are_told_the_most_that_the_rate_policy_would_ask_for() {
    let origin = origin().await;
    let node = node_before(&origin, HINT).await;
    let video = "CMCD-Object: ot=v";
    let fast = ["CMCD-Request: mtp=9000,bl=9000", video];
    assert_eq!(mb(&node, "/v/seg-low-1.m4s", &fast).await, None, "no manifest was seen yet");
    assert_eq!(mb(&node, "/v/manifest.mpd", &fast).await, None);
    // A hit, a miss, and a hit by the framework: up one rung at a time from what the player has.
    assert_eq!(mb(&node, "/v/seg-low-1.m4s", &fast).await.as_deref(), Some("1000"));
    assert_eq!(mb(&node, "/v/seg-mid-1.m4s", &fast).await.as_deref(), Some("3000"));
    assert_eq!(mb(&node, "/v/seg-mid-1.m4s", &[&fast[..], &["If-Match: *"]].concat()).await.as_deref(), Some("3000"));
    let muxed = ["CMCD-Request: mtp=500,bl=9000", "CMCD-Object: ot=av"];
    assert_eq!(mb(&node, "/v/seg-high-2.m4s", &muxed).await.as_deref(), Some("300"));
    let query = "/v/seg-high-2.m4s?CMCD=bl%3D9000%2Cmtp%3D1200%2Cot%3Dv";
    assert_eq!(mb(&node, query, &[]).await.as_deref(), Some("1000"));
    for fields in [&[][..], &["CMCD-Request: mtp=9000"][..], &["CMCD-Request: mtp=9000", "CMCD-Object: ot=a"][..]] {
        assert_eq!(mb(&node, "/v/seg-mid-1.m4s", fields).await, None, "{fields:?}");
    }
    assert_eq!(mb(&node, "/v/other.m4s", &fast).await, None, "it is none of the title");
    assert_eq!(mb(&node, "/v/seg-low-2.m4s", &[video]).await, None, "nobody knows the throughput");
    assert_eq!((advice(&node, "hint", "native").await, advice(&node, "manifest", "native").await), (5.0, 0.0));
}

#[tokio::test]
async fn a_plugin_says_what_is_told_and_one_that_fails_costs_no_answer() {
    let origin = origin().await;
    let more = "[[plugin]]\nname = \"r\"\nfile = \"r.wasm\"\nKEYS\n[policy]\nrate = \"r\"\n[site]\n\
                dash = { cmcd = true, cmsd = true, hint = true, rewrite = { max_bandwidth = \"policy\" } }";
    // Of 4000 kbit/s the guest trusts 1000; the node's own rule, which stands in for one that fails, 3600.
    for (guest, keys, from_mid, ids, is_guest) in [
        ("rate-throughput", "config = { safety = 0.25 }", "1000", &["low", "mid"][..], true),
        ("trap", "", "3000", &["low", "mid", "high"][..], false),
    ] {
        let wasm = plugin(guest);
        let text = config(&[&origin], &more.replace("KEYS", keys));
        let node = Node::start(BINARY, &text, &[("r.wasm", &wasm)]).await;
        let told = ["CMCD-Request: mtp=4000,bl=9000", "CMCD-Object: ot=v"];
        assert_eq!(left(&node, &told).await.0, ids, "{guest}");
        assert_eq!(mb(&node, "/v/seg-mid-1.m4s", &told).await.as_deref(), Some(from_mid), "{guest}");
        let counts = (advice(&node, "hint", "guest").await, advice(&node, "manifest", "guest").await);
        assert_eq!(counts, if is_guest { (1.0, 1.0) } else { (0.0, 0.0) }, "{guest}");
        assert_eq!(node.metrics().await["littoral_http_broken_total"], 0.0, "{guest}");
    }
}

#[tokio::test]
async fn each_client_has_the_manifest_that_it_can_play_and_no_cache_below_keeps_it() {
    let origin = origin().await;
    let node = node_before(&origin, FILTER).await;
    let private = || "private, no-cache".to_owned();
    let all = vec!["low", "mid", "high"];
    assert_eq!(left(&node, &[]).await, (all.clone(), private()), "nothing is known of the client");
    for (throughput, ids) in [(100, &all[..1]), (1500, &all[..2]), (9000, &all[..]), (1500, &all[..2])] {
        let told = format!("CMCD-Request: mtp={throughput}");
        assert_eq!(left(&node, &[&told]).await, (ids.to_vec(), private()), "{throughput}");
    }
    // What is not buffered yet says nothing of what will be played; a buffer that runs empty does.
    assert_eq!(left(&node, &["CMCD-Request: mtp=1500,bl=0"]).await.0, all[..2]);
    assert_eq!(left(&node, &["CMCD-Request: mtp=1500,bl=500"]).await.0, all[..1]);
    assert_eq!(origin.count("/v/manifest.mpd"), 1, "stored is the whole ladder");
    assert_eq!((advice(&node, "manifest", "native").await, advice(&node, "hint", "native").await), (6.0, 0.0));
}

#[tokio::test]
async fn a_client_whose_rung_changes_has_another_validator_and_the_same_one_while_it_does_not() {
    let origin = origin().await;
    let node = node_before(&origin, FILTER).await;
    let mut client = Client::connect(node.address("http")).await;
    let slow = "CMCD-Request: mtp=500";
    let tag = client.get("site.example", "/v/manifest.mpd", &[slow]).await.field("etag").to_owned();
    let had = format!("If-None-Match: {tag}");
    let same = client.get("site.example", "/v/manifest.mpd", &[slow, &had]).await;
    assert_eq!((same.status, same.field("cache-control")), (304, "private, no-cache"));
    assert_eq!(client.get("site.example", "/v/manifest.mpd", &["CMCD-Request: mtp=9000", &had]).await.status, 200);
}

#[tokio::test]
async fn a_live_title_has_hints_and_a_ceiling_and_what_must_not_be_stored_stays_so() {
    const LIVE: &str = r#"<MPD xmlns="urn:mpeg:dash:schema:mpd:2011" type="dynamic" availabilityStartTime="2020-01-01T00:00:00Z"
timeShiftBufferDepth="PT20S"><Period start="PT0S"><AdaptationSet contentType="video">
<SegmentTemplate media="seg-$RepresentationID$-$Number$.m4s" duration="2" startNumber="0"/>
<Representation id="low" bandwidth="300000"/><Representation id="high" bandwidth="3000000"/></AdaptationSet></Period></MPD>"#;
    let fast = ["CMCD-Request: mtp=9000,bl=9000", "CMCD-Object: ot=v"];
    let stored = titled(LIVE, &[FRESH]).await;
    let node = node_before(&stored, HINT).await;
    node.get("site.example", "/v/manifest.mpd", &[]).await;
    let since_2020 =
        std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs() - 1_577_836_800;
    let path = format!("/v/seg-low-{}.m4s", since_2020 / 2 - 3);
    assert_eq!(mb(&node, &path, &fast).await.as_deref(), Some("3000"), "{path}");
    let unstored = titled(LIVE, &["cache-control: max-age=1, no-store"]).await;
    let node = node_before(&unstored, FILTER).await;
    assert_eq!(left(&node, &["CMCD-Request: mtp=900"]).await, (vec!["low"], "private, no-store".to_owned()));
}

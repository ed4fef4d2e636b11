//! Manifests rewritten for players: what they get, what is stored, and what passes as it is.

use std::io::{Read, Write};

use littoral_testkit::{Client, Node, Origin, Reply, Response};

use super::{BINARY, config, node_before};

const FRESH: &str = "cache-control: max-age=60";
const DASH: &str = "[site]\ndash = { rewrite = { base_urls = { \"http://o.example\" = \"https://edge.example\" }, max_height = 720 } }";

/// A title with two rungs; the higher one goes where 720 lines are the most.
const MPD: &str = r#"<?xml version="1.0"?>
<MPD xmlns="urn:mpeg:dash:schema:mpd:2011" type="static" mediaPresentationDuration="PT4S"><!-- kept -->
<Period><BaseURL>http://o.example/v/</BaseURL><AdaptationSet contentType="video" x:y="z" segmentAlignment="true">
<SegmentTemplate media="seg-$RepresentationID$-$Number$.m4s" initialization="init-$RepresentationID$.m4s" duration="2" startNumber="1"/>
<Representation id="low" bandwidth="300000" height="360"/><Representation id="high" bandwidth="3000000" height="1080"/></AdaptationSet></Period></MPD>
"#;

fn rewritten() -> String {
    let high = "<Representation id=\"high\" bandwidth=\"3000000\" height=\"1080\"/>";
    MPD.replace("http://o.example", "https://edge.example").replace(high, "")
}

/// An origin with a manifest that has these fields.
async fn origin(fields: &'static [&'static str]) -> Origin {
    Origin::start(move |request| match request.path.as_str() {
        "/v/manifest.mpd" if request.field("if-none-match") == Some("\"o1\"") => {
            Response { status: 304, ..Response::ok(fields, b"") }
        }
        _ => Response::ok(fields, MPD.as_bytes()),
    })
    .await
}

async fn manifest(node: &Node, fields: &[&str]) -> Reply {
    node.get("site.example", "/v/manifest.mpd", fields).await
}

async fn answered(node: &Node, outcome: &str) -> f64 {
    let name = format!("littoral_manifests_total{{site=\"site.example\",outcome={outcome:?}}}");
    node.metrics().await[&name]
}

#[tokio::test]
async fn players_get_a_manifest_under_the_rules_with_a_validator_and_a_length_of_its_own() {
    let origin = origin(&[FRESH, "etag: \"o1\"", "last-modified: Mon, 02 Nov 2026 10:00:00 GMT", "x-more: kept"]).await;
    let node = node_before(&origin, DASH).await;
    let first = manifest(&node, &[]).await;
    assert_eq!((first.status, String::from_utf8(first.body.clone()).unwrap()), (200, rewritten()));
    let tag = first.field("etag").to_owned();
    assert_ne!(tag, "\"o1\"");
    assert_eq!(
        (first.field("content-length"), first.field("x-more")),
        (rewritten().len().to_string().as_str(), "kept")
    );
    assert_eq!((first.field("last-modified"), first.field("accept-ranges")), ("", ""), "they are the origin's bytes'");
    let again = manifest(&node, &[]).await;
    assert_eq!((&again.body, again.field("etag")), (&first.body, tag.as_str()));
    assert!(again.field("cache-status").contains("hit"), "{}", again.field("cache-status"));
    let had = manifest(&node, &[&format!("If-None-Match: {tag}")]).await;
    assert_eq!((had.status, had.field("etag"), had.body.len()), (304, tag.as_str(), 0));
    for (field, status) in [
        ("If-None-Match: \"o1\"", 200),
        ("If-Modified-Since: Mon, 02 Nov 2026 10:00:00 GMT", 200),
        ("If-Match: \"o1\"", 412),
        ("Range: bytes=0-9", 200),
        ("X-Littoral-Manifest: 0123456789abcdef0123456789abcdef", 200),
    ] {
        let reply = manifest(&node, &[field]).await;
        assert_eq!(reply.status, status, "{field}");
        assert!(status != 200 || reply.body == first.body, "{field}");
    }
    let mut client = Client::connect(node.address("http")).await;
    client.send("HEAD /v/manifest.mpd HTTP/1.1\r\nHost: site.example\r\n\r\n").await;
    let head = client.reply(true).await.unwrap();
    let length = rewritten().len().to_string();
    assert_eq!((head.status, head.field("content-length"), head.field("etag")), (200, length.as_str(), tag.as_str()));
    // The connection goes on behind it, and other files are what they are.
    assert_eq!(client.get("site.example", "/v/other.xml", &[]).await.body, MPD.as_bytes());
    assert_eq!(origin.count("/v/manifest.mpd"), 1);
    assert_eq!(answered(&node, "rewritten").await, 9.0);
}

#[tokio::test]
async fn what_is_stored_is_the_origins_and_is_confirmed_by_its_validator() {
    let origin = origin(&["cache-control: max-age=0", "etag: \"o1\""]).await;
    let node = node_before(&origin, DASH).await;
    for _ in 0..2 {
        assert_eq!(String::from_utf8(manifest(&node, &[]).await.body).unwrap(), rewritten());
    }
    let asked = origin.requests();
    let conditions: Vec<_> = asked.iter().map(|request| request.field("if-none-match")).collect();
    assert_eq!(conditions, [None, Some("\"o1\"")]);
    assert!(asked.iter().all(|request| request.field("x-littoral-manifest").is_none()), "nobody is told how to ask");
}

#[tokio::test]
async fn a_manifest_that_comes_compressed_is_rewritten_and_sent_plain() {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(MPD.as_bytes()).unwrap();
    let coded = encoder.finish().unwrap();
    let origin = Origin::start(move |_| Response::ok(&[FRESH, "content-encoding: gzip", "etag: \"z\""], &coded)).await;
    let node = node_before(&origin, DASH).await;
    let reply = manifest(&node, &["Accept-Encoding: gzip"]).await;
    assert_eq!((reply.field("content-encoding"), String::from_utf8(reply.body.clone()).unwrap()), ("", rewritten()));
}

#[tokio::test]
async fn a_rewritten_manifest_is_sent_in_the_coding_that_the_client_takes() {
    let fields = &[FRESH, "content-type: application/dash+xml", "etag: \"o1\""];
    let origin = origin(fields).await;
    let node = node_before(&origin, &format!("{DASH}\ncompress = {{ min = \"1B\" }}")).await;
    let plain = manifest(&node, &[]).await;
    assert_eq!((plain.field("content-encoding"), plain.field("vary")), ("", "accept-encoding"));
    let tag = format!("W/{}", plain.field("etag"));
    for round in 0..2 {
        let coded = manifest(&node, &["Accept-Encoding: gzip"]).await;
        assert_eq!(
            (coded.field("content-encoding"), coded.field("vary"), coded.field("etag")),
            ("gzip", "accept-encoding", tag.as_str()),
            "{round}"
        );
        assert_eq!(coded.field("content-length"), coded.body.len().to_string());
        let mut text = String::new();
        flate2::read::GzDecoder::new(&coded.body[..]).read_to_string(&mut text).unwrap();
        assert_eq!(text, rewritten());
    }
    let had = manifest(&node, &["Accept-Encoding: gzip", &format!("If-None-Match: {tag}")]).await;
    assert_eq!((had.status, had.field("etag"), had.field("vary")), (304, tag.as_str(), "accept-encoding"));
    assert_eq!(origin.count("/v/manifest.mpd"), 1);
}

#[tokio::test]
async fn other_rules_make_another_validator_and_hold_for_what_is_stored_already() {
    let origin = origin(&[FRESH, "etag: \"o1\""]).await;
    let node = node_before(&origin, DASH).await;
    let before = manifest(&node, &[]).await;
    let more =
        DASH.replace("max_height = 720", "steering = { url = \"https://s.example/a?b=1&c=2\", default = \"ams1\" }");
    std::fs::write(node.file("node.toml"), config(&[&origin], &more)).unwrap();
    assert_eq!(node.admin("POST", "/v1/reload", "").await.0, 200);
    let after = manifest(&node, &[&format!("If-None-Match: {}", before.field("etag"))]).await;
    assert_eq!(after.status, 200);
    assert_ne!(after.field("etag"), before.field("etag"));
    let text = String::from_utf8(after.body).unwrap();
    let steering = "<ContentSteering defaultServiceLocation=\"ams1\">https://s.example/a?b=1&amp;c=2</ContentSteering>";
    assert!(text.contains(steering) && text.contains("id=\"high\""), "{text}");
    assert_eq!(origin.count("/v/manifest.mpd"), 1, "what is stored is as good as it was");
}

#[tokio::test]
async fn a_client_that_wants_only_what_is_stored_gets_that_rewritten_and_else_nothing() {
    let origin = origin(&[FRESH]).await;
    let node = node_before(&origin, &format!("{DASH}\nclient_directives = true")).await;
    assert_eq!(manifest(&node, &["Cache-Control: only-if-cached"]).await.status, 504);
    assert_eq!(origin.requests().len(), 0);
    assert_eq!(manifest(&node, &[]).await.status, 200);
    let stored = manifest(&node, &["Cache-Control: only-if-cached"]).await;
    assert_eq!((stored.status, String::from_utf8(stored.body).unwrap()), (200, rewritten()));
}

#[tokio::test]
async fn a_node_of_a_shield_rewrites_for_its_players_and_not_for_the_nodes_that_ask_it() {
    let origin = origin(&[FRESH, "etag: \"o1\""]).await;
    let start = async |name: &str, site: &str| {
        Node::start(BINARY, &config(&[&origin], &format!("[node]\nname = {name:?}\n[site]\n{site}")), &[]).await
    };
    let parent = start("parent", "dash = { rewrite = { auto = true }, auto = true }").await;
    let shield = format!("shield = {{ nodes = [\"http://{}\"] }}", parent.address("http"));
    let rules = DASH.trim_start_matches("[site]\n");
    let edge = start("edge", &format!("{rules}\n{shield}")).await;
    for _ in 0..2 {
        assert_eq!(String::from_utf8(manifest(&edge, &[]).await.body).unwrap(), rewritten());
    }
    let of_the_parent = String::from_utf8(manifest(&parent, &[]).await.body).unwrap();
    assert!(of_the_parent.contains("id=\"auto\""), "{of_the_parent}");
    assert_eq!(origin.count("/v/manifest.mpd"), 1);
    assert_eq!((answered(&edge, "rewritten").await, answered(&parent, "rewritten").await), (2.0, 1.0));
}

#[tokio::test]
async fn what_is_no_manifest_to_be_changed_passes_as_it_is() {
    let origin = Origin::start(|request| match request.path.as_str() {
        "/gone.mpd" => Response { status: 404, ..Response::ok(&[FRESH], b"gone") },
        "/coded.mpd" => Response::ok(&[FRESH, "content-encoding: x-own", "etag: \"c\""], b"\x01\x02"),
        "/kept.mpd" => Response::ok(&["cache-control: max-age=60, no-transform", "etag: \"k\""], MPD.as_bytes()),
        "/torn.mpd" => Response::ok(&[FRESH], b"<MPD><BaseURL>http://o.example/"),
        _ => Response::ok(&[FRESH, "etag: \"l\""], &[b" ".repeat(4 << 20), MPD.as_bytes().to_vec()].concat()),
    })
    .await;
    let node = node_before(&origin, DASH).await;
    let get = async |path: &str| node.get("site.example", path, &[]).await;
    let gone = get("/gone.mpd").await;
    assert_eq!((gone.status, gone.body), (404, b"gone".to_vec()));
    let coded = get("/coded.mpd").await;
    let told = [coded.field("content-encoding"), coded.field("etag")];
    assert_eq!((told, &coded.body[..]), (["x-own", "\"c\""], &b"\x01\x02"[..]));
    let kept = get("/kept.mpd").await;
    assert_eq!((kept.field("etag"), &kept.body[..]), ("\"k\"", MPD.as_bytes()));
    let large = get("/large.mpd").await;
    assert_eq!((large.field("etag"), large.body.len(), large.whole), ("\"l\"", (4 << 20) + MPD.len(), true));
    assert_eq!(answered(&node, "passed").await, 4.0);
    assert_eq!(get("/torn.mpd").await.status, 200);
    assert_eq!(answered(&node, "verbatim").await, 1.0);
}

#[tokio::test]
async fn a_manifest_that_leaves_the_choice_to_the_edge_hides_no_rung_from_it() {
    let origin = Origin::start(|request| match request.path.ends_with(".mpd") {
        true => Response::ok(&[FRESH], MPD.replace("<BaseURL>http://o.example/v/</BaseURL>", "").as_bytes()),
        false => Response::ok(&[FRESH], b"segment"),
    })
    .await;
    let node = node_before(&origin, "[site]\ndash = { auto = true, rewrite = { auto = true } }").await;
    let text = String::from_utf8(manifest(&node, &[]).await.body).unwrap();
    assert!(text.contains("id=\"auto\"") && !text.contains("id=\"low\"") && !text.contains("id=\"high\""), "{text}");
    for (throughput, chosen) in [(100, "low"), (9000, "high")] {
        let told = format!("CMCD-Request: mtp={throughput},bl=9000");
        let session = format!("CMCD-Session: sid=\"{throughput}\"");
        let reply = node.get("site.example", "/v/seg-auto-1.m4s", &[&told, &session]).await;
        assert_eq!((reply.status, reply.field("x-littoral-representation")), (200, chosen));
    }
    assert_eq!((origin.count("/v/seg-low-1.m4s"), origin.count("/v/seg-high-1.m4s")), (1, 1));
}

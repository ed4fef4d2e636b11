//! What a player will ask for next is fetched before it does: from what it says and from manifests, within the bounds of its site.

use littoral_testkit::{Body, Client, Gate, Node, Origin, Reply, Response};

use super::{get, node_before};

const FRESH: &str = "cache-control: max-age=60";
const SITE: &str = "site=\"site.example\"";

const MPD: &str = r#"<?xml version="1.0"?>
<MPD xmlns="urn:mpeg:dash:schema:mpd:2011" type="static" mediaPresentationDuration="PT8S"><Period><AdaptationSet contentType="video" segmentAlignment="true">
<SegmentTemplate media="$RepresentationID$/seg-$Number$.m4s" initialization="$RepresentationID$/init.m4s" duration="2" startNumber="1"/>
<Representation id="low" bandwidth="300000" height="360"/><Representation id="high" bandwidth="3000000" height="1080"/></AdaptationSet></Period></MPD>
"#;

async fn origin() -> Origin {
    Origin::start(|request| match request.path.as_str() {
        "/v/manifest.mpd" => Response::ok(&[FRESH], MPD.as_bytes()),
        path if path.contains("gone") => Response { status: 404, ..Response::ok(&[], b"gone") },
        path if path.contains("private") => Response::ok(&["cache-control: private"], b"yours"),
        _ => Response::ok(&[FRESH], b"segment"),
    })
    .await
}

fn site(more: &str) -> String {
    format!("[site]\ndash = {{ prefetch = {{ {more} }} }}")
}

async fn count(node: &Node, name: &str, label: &str) -> f64 {
    node.metrics().await[&format!("littoral_prefetch_{name}_total{{{SITE},{label}}}")]
}

/// Waits until a count is what it should come to: what is fetched ahead is nobody's answer.
async fn comes_to(node: &Node, name: &str, label: &str, expected: f64) {
    node.until(&format!("littoral_prefetch_{name}_total{{{SITE},{label}}}"), expected).await;
}

async fn stored(node: &Node, objects: f64) {
    node.until("littoral_cache_objects", objects).await;
}

fn is_hit(reply: &Reply) -> bool {
    reply.field("cache-status").contains("littoral; hit")
}

#[tokio::test]
async fn the_object_that_a_player_names_is_a_hit_when_it_asks_for_it() {
    let origin = origin().await;
    let node = node_before(&origin, &site("")).await;
    let mut client = Client::connect(node.address("http")).await;
    // A miss, and then hits on the shortest way: each names the next.
    for number in 1..=4 {
        let told = format!("CMCD-Request: nor=\"seg-{}.m4s\"", number + 1);
        let reply = client.get("site.example", &format!("/o/seg-{number}.m4s"), &[&told]).await;
        assert_eq!((reply.status, is_hit(&reply)), (200, number > 1), "{number}");
        stored(&node, f64::from(number) + 1.0).await;
    }
    // In the query too, which is part of no key.
    let path = "/o/seg-5.m4s?CMCD=nor%3D%22..%252Fp%252Fseg-6.m4s%22";
    assert!(is_hit(&client.get("site.example", path, &[]).await));
    stored(&node, 6.0).await;
    assert!(is_hit(&get(&node, "/p/seg-6.m4s").await));
    comes_to(&node, "ended", "outcome=\"useful\"", 5.0).await;
    assert_eq!(count(&node, "begun", "source=\"cmcd\"").await, 5.0);
    assert_eq!(node.metrics().await[&format!("littoral_prefetch_bytes_total{{{SITE}}}")], 5.0 * 7.0);
    assert!(origin.requests().iter().all(|request| origin.count(&request.path) == 1));
    let ahead =
        origin.requests().into_iter().filter(|request| request.field("user-agent") == Some("littoral-prefetch"));
    let ahead: Vec<_> = ahead.map(|request| request.field("x-littoral-manifest").map(str::to_owned)).collect();
    assert_eq!(ahead, [const { None }; 5], "nobody is told the token");
}

#[tokio::test]
async fn where_a_player_says_nothing_the_manifest_says_what_comes_next() {
    let origin = origin().await;
    let node = node_before(&origin, &site("")).await;
    assert_eq!(get(&node, "/v/manifest.mpd").await.status, 200);
    let order = ["init.m4s", "seg-1.m4s", "seg-2.m4s", "seg-3.m4s", "seg-4.m4s"];
    for (at, name) in order.iter().enumerate() {
        assert_eq!(is_hit(&get(&node, &format!("/v/high/{name}")).await), at > 0, "{name}");
        stored(&node, (at + 3).min(6) as f64).await;
    }
    comes_to(&node, "ended", "outcome=\"useful\"", 4.0).await;
    assert_eq!(
        count(&node, "begun", "source=\"manifest\"").await,
        4.0,
        "nothing comes behind the last, and nothing of itself"
    );
    assert_eq!(origin.count("/v/high/seg-5.m4s"), 0);
    assert_eq!(origin.requests().len(), 6);
}

#[tokio::test]
async fn a_request_for_what_is_being_fetched_ahead_waits_for_that_and_is_no_second_one() {
    let gate = Gate::default();
    let held = gate.clone();
    let origin = Origin::start(move |request| match request.path.as_str() {
        "/2" => Response::with(&[FRESH], Body::Held(held.clone(), b"segment".to_vec())),
        _ => Response::ok(&[FRESH], b"segment"),
    })
    .await;
    let node = node_before(&origin, &site("")).await;
    assert_eq!(node.get("site.example", "/1", &["CMCD-Request: nor=\"2\""]).await.status, 200);
    origin.asked("/2", 1).await;
    let mut client = Client::connect(node.address("http")).await;
    client.send("GET /2 HTTP/1.1\r\nHost: site.example\r\n\r\n").await;
    gate.open();
    assert_eq!(client.reply(false).await.unwrap().body, b"segment");
    assert_eq!(origin.count("/2"), 1);
    comes_to(&node, "ended", "outcome=\"useful\"", 1.0).await;
}

#[tokio::test]
async fn only_this_site_is_asked_and_nothing_that_is_there_or_would_not_stay() {
    let origin = origin().await;
    let node = node_before(&origin, &site("manifest = false")).await;
    let ask = async |named: &str| {
        let told = format!("CMCD-Request: nor=\"{named}\"");
        assert_eq!(node.get("site.example", "/o/1", &[&told]).await.status, 200);
    };
    for named in ["http%3A%2F%2F127.0.0.1%2Fx", "%2F%2Fother.example%2Fx", "file%3A%2F%2F%2Fetc%2Fpasswd"] {
        ask(named).await;
    }
    comes_to(&node, "unfetched", "reason=\"foreign\"", 3.0).await;
    ask("1").await;
    comes_to(&node, "unfetched", "reason=\"present\"", 1.0).await;
    ask("gone").await;
    comes_to(&node, "ended", "outcome=\"failed\"", 1.0).await;
    ask("private").await;
    comes_to(&node, "ended", "outcome=\"failed\"", 2.0).await;
    let paths: Vec<_> = origin.requests().into_iter().map(|request| request.path).collect();
    assert_eq!(paths, ["/o/1", "/o/gone", "/o/private"]);
}

#[tokio::test]
async fn no_more_is_fetched_ahead_than_the_site_says() {
    for (bounds, reason) in [("at_once = 1", "at_once"), ("by_session = 1", "session"), ("rate = \"1kbps\"", "budget")]
    {
        let gate = Gate::default();
        let held = gate.clone();
        let origin = Origin::start(move |request| match request.path.as_str() {
            // At 1 kbit/s it is paid for in nine minutes.
            "/2" => Response::with(&[FRESH], Body::Held(held.clone(), vec![0; 64 << 10])),
            _ => Response::ok(&[FRESH], b"segment"),
        })
        .await;
        let node = node_before(&origin, &site(bounds)).await;
        let ask = async |named: u8| {
            let named = format!("CMCD-Request: nor=\"{named}\"");
            let told = ["CMCD-Session: sid=\"s\"", &named];
            assert_eq!(node.get("site.example", "/1", &told).await.status, 200);
        };
        ask(2).await;
        origin.asked("/2", 1).await;
        if reason == "budget" {
            gate.open();
            node.until(&format!("littoral_prefetch_bytes_total{{{SITE}}}"), f64::from(64 << 10)).await;
        }
        ask(3).await;
        assert_eq!(count(&node, "unfetched", &format!("reason=\"{reason}\"")).await, 1.0, "{reason}");
        assert_eq!(origin.count("/3"), 0);
        if reason != "budget" {
            gate.open();
            stored(&node, 2.0).await;
            // The place is given back behind the last byte.
            while origin.count("/4") == 0 {
                ask(4).await;
            }
        }
    }
}

#[tokio::test]
async fn a_site_that_does_not_say_so_fetches_nothing_ahead() {
    let origin = origin().await;
    let node = node_before(&origin, "[site]\ndash = { cmcd = true }").await;
    for number in 1..=2 {
        let told = "CMCD-Request: nor=\"3\"";
        assert_eq!(node.get("site.example", &format!("/o/{number}"), &[told]).await.status, 200);
    }
    assert!(node.metrics().await.keys().all(|name| !name.starts_with("littoral_prefetch_")));
    let paths: Vec<_> = origin.requests().into_iter().map(|request| request.path).collect();
    assert_eq!(paths, ["/o/1", "/o/2"]);
}

/// Manifests of two periods, the second in another directory; live, where the first two segments are there since 1970 and the third will
/// be in 2255; and of one file with an index.
fn periods(path: &str) -> Response {
    let set = |rest: &str| {
        format!(
            "<AdaptationSet contentType=\"video\">{rest}<Representation id=\"a\" bandwidth=\"3000\"/></AdaptationSet></Period>"
        )
    };
    let template = |directory: &str, more: &str, timeline: &str| {
        format!(
            "<SegmentTemplate media=\"{directory}/$Number$.m4s\" initialization=\"{directory}/i.mp4\" startNumber=\"1\" {more}>{timeline}</SegmentTemplate>"
        )
    };
    let two = [template("p1", "duration=\"2\"", ""), template("p2", "duration=\"2\"", "")];
    let live = template(
        "live",
        "",
        "<SegmentTimeline><S t=\"0\" d=\"2\" r=\"1\"/><S t=\"9000000000\" d=\"2\"/></SegmentTimeline>",
    );
    let indexed = "<Representation id=\"f\" bandwidth=\"3000\"><BaseURL>f.mp4</BaseURL><SegmentBase indexRange=\"10-65\">\
                   <Initialization range=\"0-9\"/></SegmentBase></Representation></AdaptationSet></Period>";
    let text = match path {
        "/p/manifest.mpd" => format!(
            "<MPD xmlns=\"urn:mpeg:dash:schema:mpd:2011\" type=\"static\"><Period duration=\"PT2S\">{}<Period duration=\"PT4S\">{}</MPD>",
            set(&two[0]),
            set(&two[1])
        ),
        "/l/manifest.mpd" => format!(
            "<MPD xmlns=\"urn:mpeg:dash:schema:mpd:2011\" type=\"dynamic\" availabilityStartTime=\"1970-01-01T00:00:00Z\"><Period start=\"PT0S\">{}</MPD>",
            set(&live)
        ),
        "/r/manifest.mpd" => format!(
            "<MPD xmlns=\"urn:mpeg:dash:schema:mpd:2011\" type=\"static\" mediaPresentationDuration=\"PT4S\"><Period>\
             <AdaptationSet contentType=\"video\">{indexed}</MPD>"
        ),
        _ => "segment".to_owned(),
    };
    Response::ok(&[FRESH], text.as_bytes())
}

#[tokio::test]
async fn behind_the_last_segment_of_a_period_the_beginning_of_the_next_is_fetched() {
    let origin = Origin::start(|request| periods(&request.path)).await;
    let node = node_before(&origin, &site("")).await;
    assert_eq!(get(&node, "/p/manifest.mpd").await.status, 200);
    assert!(!is_hit(&get(&node, "/p/p1/1.m4s").await));
    stored(&node, 4.0).await;
    assert!(is_hit(&get(&node, "/p/p2/i.mp4").await) && is_hit(&get(&node, "/p/p2/1.m4s").await));
    stored(&node, 5.0).await;
    assert!(is_hit(&get(&node, "/p/p2/2.m4s").await));
    comes_to(&node, "ended", "outcome=\"useful\"", 3.0).await;
    assert_eq!(count(&node, "begun", "source=\"manifest\"").await, 3.0);
}

#[tokio::test]
async fn of_a_live_manifest_what_is_there_is_fetched_and_nothing_before_its_time() {
    let origin = Origin::start(|request| periods(&request.path)).await;
    let node = node_before(&origin, &site("")).await;
    assert_eq!(get(&node, "/l/manifest.mpd").await.status, 200);
    get(&node, "/l/live/1.m4s").await;
    stored(&node, 3.0).await;
    assert!(is_hit(&get(&node, "/l/live/2.m4s").await));
    comes_to(&node, "ended", "outcome=\"useful\"", 1.0).await;
    // The third, whose time is in 2255, was neither asked for then nor now.
    assert!(!is_hit(&get(&node, "/l/live/3.m4s").await));
    assert_eq!((count(&node, "begun", "source=\"manifest\"").await, origin.count("/l/live/3.m4s")), (1.0, 1));
}

/// A file of 216 bytes whose index, from 10 to 65, lists segments of 100 and 50 bytes.
fn indexed_file() -> Vec<u8> {
    let words = [56, 0x7369_6478, 0, 1, 1000, 0, 0, 2, 100, 2000, 0, 50, 2000, 0];
    let index: Vec<u8> = words.iter().flat_map(|word: &u32| word.to_be_bytes()).collect();
    [vec![b'i'; 10], index, vec![b'1'; 100], vec![b'2'; 50]].concat()
}

#[tokio::test]
async fn behind_a_range_of_a_file_the_next_one_that_its_index_lists_is_fetched() {
    let origin = Origin::start(|request| {
        let file = indexed_file();
        let asked = request.field("range").and_then(|range| range.strip_prefix("bytes=")?.split_once('-'));
        match asked.filter(|_| request.path == "/r/f.mp4") {
            Some((first, last)) => {
                let (first, last) = (first.parse::<usize>().unwrap(), last.parse::<usize>().unwrap());
                let range = format!("content-range: bytes {first}-{last}/{}", file.len());
                Response { status: 206, ..Response::ok(&[FRESH, "etag: \"f\"", &range], &file[first..=last]) }
            }
            None => periods(&request.path),
        }
    })
    .await;
    let node = node_before(&origin, "[site]\nranges = \"forward\"\ndash = { prefetch = {} }").await;
    assert_eq!(get(&node, "/r/manifest.mpd").await.status, 200);
    let part = async |range: &str, more: &str| {
        node.get("site.example", "/r/f.mp4", &[&format!("Range: bytes={range}"), more]).await.status
    };
    // Asks nobody else: answered as soon as it is stored.
    let comes = async |range: &str| while part(range, "Cache-Control: only-if-cached").await != 206 {};
    assert_eq!(part("0-65", "Accept: */*").await, 206);
    comes("0-65").await;
    let asked = async |at: usize| {
        origin.asked("/r/f.mp4", at + 1).await;
        let of_file: Vec<_> = origin.requests().into_iter().filter(|request| request.path == "/r/f.mp4").collect();
        of_file[at].field("range").map(str::to_owned)
    };
    assert_eq!(asked(1).await.as_deref(), Some("bytes=66-165"));
    comes("66-165").await;
    assert_eq!(asked(2).await.as_deref(), Some("bytes=166-215"));
    comes("166-215").await;
    comes_to(&node, "ended", "outcome=\"useful\"", 2.0).await;
    assert_eq!(origin.count("/r/f.mp4"), 3);
}

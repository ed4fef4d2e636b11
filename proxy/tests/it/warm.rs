//! Warm jobs against a real node: whole, interrupted, refused and cancelled.

use std::collections::HashSet;
use std::path::PathBuf;
use std::sync::Mutex;

use littoral_testkit::{Body, Gate, Node, Origin, Response};
use serde_json::Value;

use super::{BINARY, node_before};

const MANIFEST: &str = "http://site.example/manifest.mpd";
const FRESH: &str = "cache-control: max-age=600";

fn asset(path: &str) -> Option<Vec<u8>> {
    let root = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../assets/netcinema");
    std::fs::read(root.join(path.trim_start_matches('/'))).ok()
}

/// The title as its origin has it.
fn title(path: &str) -> Response {
    asset(path).map_or(Response { status: 404, ..Response::default() }, |bytes| Response::ok(&[FRESH], &bytes))
}

/// An origin whose segments end only behind a gate.
async fn holding() -> (Origin, Gate) {
    let gate = Gate::default();
    let held = gate.clone();
    let origin = Origin::start(move |request| match request.path.ends_with(".m4s") {
        true => Response::with(&[FRESH], Body::Gated(b"first".to_vec(), held.clone(), b"second".to_vec())),
        false => title(&request.path),
    })
    .await;
    (origin, gate)
}

async fn order(node: &Node, body: &Value) -> Value {
    let (status, job) = node.admin("POST", "/v1/warm", &body.to_string()).await;
    assert!(status < 300, "{status} {job}");
    serde_json::from_str(&job).unwrap()
}

/// Asks after a job until it has ended.
async fn ended(node: &Node, job: &Value) -> Value {
    loop {
        let (_, told) = node.admin("GET", &format!("/v1/warm/{}", job["id"]), "").await;
        let told: Value = serde_json::from_str(&told).unwrap();
        if !["waiting", "running"].contains(&told["state"].as_str().unwrap()) {
            return told;
        }
    }
}

#[tokio::test]
async fn every_object_of_a_warmed_title_is_a_hit_for_its_first_viewer() {
    let origin = Origin::start(|request| title(&request.path)).await;
    let node = node_before(&origin, "").await;
    let job = ended(&node, &order(&node, &serde_json::json!({ "url": MANIFEST })).await).await;
    assert_eq!((job["state"].as_str(), job["failed_count"].as_u64()), (Some("done"), Some(0)), "{job}");
    let fetched: HashSet<String> = origin.requests().into_iter().map(|request| request.path).collect();
    assert_eq!((job["done"].as_u64(), job["total"].as_u64()), (Some(fetched.len() as u64), Some(fetched.len() as u64)));
    assert!(fetched.len() > 40, "{fetched:?}");
    for path in &fetched {
        let reply = super::get(&node, path).await;
        assert!(reply.field("cache-status").starts_with("littoral; hit"), "{path}: {}", reply.field("cache-status"));
        assert_eq!(Some(reply.body), asset(path), "{path}");
    }
    assert_eq!(origin.requests().len(), fetched.len(), "each was fetched once");
    let again = ended(&node, &order(&node, &serde_json::json!({ "url": MANIFEST })).await).await;
    assert_eq!((again["state"].as_str(), &again["hits"]), (Some("done"), &again["total"]), "nothing is left to do");
}

#[tokio::test]
async fn an_origin_that_fails_half_way_delays_a_job_and_what_it_never_gives_is_named() {
    let seen = Mutex::new(HashSet::new());
    let origin = Origin::start(move |request| {
        let first = seen.lock().unwrap().insert(request.path.clone());
        let segment = request.path.trim_end_matches(".m4s");
        match segment.get(segment.len().saturating_sub(1)..) {
            Some("3") if request.path.contains("seg-0-") => Response { status: 404, ..Response::default() },
            Some("5") if first => Response { status: 503, ..Response::default() },
            Some("7") if first => Response::with(&[FRESH], Body::CutShort(5000, vec![0; 100])),
            _ => title(&request.path),
        }
    })
    .await;
    let node = node_before(&origin, "").await;
    let job = ended(&node, &order(&node, &serde_json::json!({ "url": MANIFEST })).await).await;
    let missing: Vec<String> =
        job["failed"].as_array().unwrap().iter().map(|failed| failed["url"].to_string()).collect();
    let refused: HashSet<String> = origin
        .requests()
        .into_iter()
        .map(|request| request.path)
        .filter(|path| path.contains("seg-0-") && path.ends_with("3.m4s"))
        .collect();
    assert_eq!((job["state"].as_str(), job["failed_count"].as_u64()), (Some("incomplete"), Some(refused.len() as u64)));
    assert!(!refused.is_empty() && refused.iter().all(|path| missing.iter().any(|url| url.contains(path))), "{job}");
    assert_eq!(job["done"].as_u64().unwrap() + job["failed_count"].as_u64().unwrap(), job["total"].as_u64().unwrap());
    assert!(job["retries"].as_u64().unwrap() > 0);
    assert_eq!(super::get(&node, "/seg-1-00007.m4s").await.body, asset("/seg-1-00007.m4s").unwrap());
}

#[tokio::test]
async fn only_the_representations_asked_for_are_fetched_and_a_wrong_order_is_told_what_is_wrong() {
    let origin = Origin::start(|request| title(&request.path)).await;
    let node = node_before(&origin, "").await;
    let job = serde_json::json!({ "url": MANIFEST, "representations": ["1"], "pin": "1h" });
    assert_eq!(ended(&node, &order(&node, &job).await).await["state"], "done");
    let others = origin.requests().into_iter().filter(|request| request.path.contains("-0-")).count();
    assert_eq!((others, origin.requests().len() > 5), (0, true));
    let unknown = serde_json::json!({ "url": MANIFEST, "representations": ["v9"] });
    let unknown = ended(&node, &order(&node, &unknown).await).await;
    assert!(unknown["error"].as_str().unwrap().contains("v9"), "{unknown}");
    for (body, said) in [
        (r#"{"url":"http://other.example/manifest.mpd"}"#, "no [[site]]"),
        (r#"{"url":"manifest.mpd"}"#, "no URL of a manifest"),
        (r#"{"url":"http://site.example/m.mpd","rate":"fast"}"#, "40Gbps"),
    ] {
        let (status, told) = node.admin("POST", "/v1/warm", body).await;
        assert!(status == 422 && told.contains(said), "{status} {told}");
    }
}

#[tokio::test]
async fn a_cancelled_job_ends_and_keeps_what_it_has() {
    let (origin, gate) = holding().await;
    let node = node_before(&origin, "").await;
    let job = order(&node, &serde_json::json!({ "url": MANIFEST })).await;
    while origin.requests().iter().filter(|request| request.path.ends_with(".m4s")).count() == 0 {
        tokio::task::yield_now().await;
    }
    let (status, told) = node.admin("DELETE", &format!("/v1/warm/{}", job["id"]), "").await;
    assert!(status == 200 && told.contains("\"cancelled\""), "{status} {told}");
    gate.open();
    assert_eq!(ended(&node, &job).await["state"], "cancelled");
    assert!(super::get(&node, "/manifest.mpd").await.field("cache-status").starts_with("littoral; hit"));
    assert_eq!(node.admin("GET", "/v1/warm/99", "").await.0, 404);
}

#[tokio::test]
async fn the_command_follows_a_job_in_json_lines_and_its_exit_code_says_how_it_ended() {
    let origin = Origin::start(|request| title(&request.path)).await;
    let node = node_before(&origin, "").await;
    for (url, code, state) in [(MANIFEST, 0, "done"), ("http://site.example/no.mpd", 1, "failed")] {
        let admin = node.address("admin").to_string();
        let command = tokio::process::Command::new(BINARY).args(["warm", url, "--admin", &admin]).output();
        let output = command.await.unwrap();
        let said = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
        let last: Value = serde_json::from_str(said.lines().last().unwrap()).unwrap();
        assert_eq!((output.status.code(), last["state"].as_str()), (Some(code), Some(state)), "{said}");
    }
}

/// A title in HLS: a variant in files, audio in one, and one that goes on; what is elsewhere is not this node's.
fn playlist(path: &str) -> Response {
    let text = match path {
        "/index.m3u8" => {
            "#EXTM3U\n#EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID=\"a\",NAME=\"en\",URI=\"audio.m3u8\"\n\
             #EXT-X-STREAM-INF:BANDWIDTH=900000,STABLE-VARIANT-ID=\"v0\",AUDIO=\"a\"\nvideo.m3u8\n\
             #EXT-X-STREAM-INF:BANDWIDTH=100000,STABLE-VARIANT-ID=\"live\"\nlive.m3u8\n\
             #EXT-X-STREAM-INF:BANDWIDTH=100000,STABLE-VARIANT-ID=\"far\"\nhttp://other.example/video.m3u8\n"
        }
        "/video.m3u8" => {
            "#EXTM3U\n#EXT-X-TARGETDURATION:4\n#EXT-X-MAP:URI=\"init.mp4\"\n#EXTINF:4,\nv1.m4s\n#EXTINF:4,\nv2.m4s\n#EXT-X-ENDLIST\n"
        }
        "/audio.m3u8" => {
            "#EXTM3U\n#EXT-X-TARGETDURATION:4\n#EXTINF:4,\n#EXT-X-BYTERANGE:2@0\na.mp4\n#EXTINF:4,\n#EXT-X-BYTERANGE:2\na.mp4\n#EXT-X-ENDLIST\n"
        }
        "/live.m3u8" => "#EXTM3U\n#EXT-X-TARGETDURATION:4\n#EXTINF:4,\nl1.m4s\n",
        _ => path,
    };
    Response::ok(&[FRESH], text.as_bytes())
}

#[tokio::test]
async fn a_title_in_hls_is_warmed_by_its_playlists_and_what_of_it_cannot_be_is_named() {
    let origin = Origin::start(|request| playlist(&request.path)).await;
    let node = node_before(&origin, "").await;
    let url = "http://site.example/index.m3u8";
    let asked = serde_json::json!({ "url": url, "representations": ["v0", "a/en"] });
    let job = ended(&node, &order(&node, &asked).await).await;
    assert_eq!((job["state"].as_str(), job["done"].as_u64(), job["total"].as_u64()), (Some("done"), Some(7), Some(7)));
    let mut fetched: Vec<String> = origin.requests().into_iter().map(|request| request.path).collect();
    fetched.sort();
    let all = ["/a.mp4", "/audio.m3u8", "/index.m3u8", "/init.mp4", "/v1.m4s", "/v2.m4s", "/video.m3u8"];
    assert_eq!(fetched, all);
    for path in all {
        let reply = super::get(&node, path).await;
        assert!(reply.field("cache-status").starts_with("littoral; hit"), "{path}: {}", reply.field("cache-status"));
    }
    let job = ended(&node, &order(&node, &serde_json::json!({ "url": url })).await).await;
    assert_eq!((job["state"].as_str(), job["hits"].as_u64()), (Some("incomplete"), Some(7)), "{job}");
    assert_eq!(
        (job["done"].as_u64(), job["failed_count"].as_u64(), job["total"].as_u64()),
        (Some(8), Some(2), Some(10))
    );
    let failed = job["failed"].to_string();
    assert!(failed.contains("#EXT-X-ENDLIST (live)") && failed.contains("421 Misdirected"), "{failed}");
    let unknown = serde_json::json!({ "url": url, "representations": ["v9"] });
    let unknown = ended(&node, &order(&node, &unknown).await).await;
    assert!(unknown["error"].as_str().unwrap().contains("v9"), "{unknown}");
    let one = serde_json::json!({ "url": "http://site.example/video.m3u8" });
    assert_eq!(ended(&node, &order(&node, &one).await).await["total"], 4);
}

#[tokio::test]
async fn lists_and_sitemaps_are_warmed_title_by_title_and_a_dry_run_fetches_none_of_their_segments() {
    let origin = Origin::start(|request| match request.path.as_str() {
        "/new.txt" => Response::ok(&[FRESH], b"# new\n/index.m3u8\n/trailer.mp4\n/gone.mpd\n"),
        "/map.xml" => Response::ok(&[FRESH], b"<sitemapindex><sitemap><loc>/1.xml</loc></sitemap></sitemapindex>"),
        "/1.xml" => Response::ok(
            &[FRESH],
            b"<urlset><url><loc>/trailer.mp4</loc></url><url><loc>/audio.m3u8</loc></url></urlset>",
        ),
        "/gone.mpd" => Response { status: 404, ..Response::default() },
        path => playlist(path),
    })
    .await;
    let node = node_before(&origin, "").await;
    let list = "http://site.example/new.txt";
    let dry = serde_json::json!({ "url": list, "representations": ["v0", "a/en"], "rate": "8kbps", "dry_run": true });
    let planned = ended(&node, &order(&node, &dry).await).await;
    // 8 s at 900 kbit/s; of the audio and the trailer nothing is told.
    let expected = serde_json::json!({ "objects": 5, "stored": 0, "bytes": 900_000, "unmeasured": 2, "seconds": 900 });
    assert_eq!((planned["state"].as_str(), &planned["expected"]), (Some("incomplete"), &expected), "{planned}");
    assert!(planned["failed"].to_string().contains("/gone.mpd") && planned["failed_count"] == 1, "{planned}");
    assert!(origin.requests().iter().all(|request| request.path != "/v1.m4s" && request.path != "/trailer.mp4"));
    let job = serde_json::json!({ "url": "http://site.example/map.xml" });
    let job = ended(&node, &order(&node, &job).await).await;
    assert_eq!(
        (job["state"].as_str(), job["done"].as_u64(), job["total"].as_u64()),
        (Some("done"), Some(5), Some(5)),
        "{job}"
    );
    let given = "http://site.example/audio.m3u8\nhttp://site.example/v1.m4s\n";
    let job = ended(&node, &order(&node, &serde_json::json!({ "list": given })).await).await;
    assert_eq!(
        (job["state"].as_str(), &job["expected"]["stored"], &job["url"]),
        (Some("done"), &serde_json::json!(1), &Value::Null),
        "{job}"
    );
    for path in ["/trailer.mp4", "/a.mp4", "/v1.m4s"] {
        assert!(super::get(&node, path).await.field("cache-status").starts_with("littoral; hit"), "{path}");
    }
    let (status, told) =
        node.admin("POST", "/v1/warm", r#"{"list":"http://site.example/a\nhttp://169.254.169.254/b\n"}"#).await;
    assert!(status == 422 && told.contains("no [[site]]"), "{status} {told}");
}

#[tokio::test]
async fn a_job_that_had_not_ended_goes_on_after_a_restart_and_one_that_had_does_not() {
    let gate = Gate::default();
    let held = gate.clone();
    let origin = Origin::start(move |request| match request.path.ends_with("a.mp4") {
        true => Response::with(&[FRESH], Body::Gated(b"first".to_vec(), held.clone(), b"second".to_vec())),
        false => playlist(&request.path),
    })
    .await;
    let directory = tempfile::tempdir().unwrap();
    let (data, file) = (format!("[node]\ndata = {:?}", directory.path()), directory.path().join("warm.json"));
    let mut node = node_before(&origin, &data).await;
    let (video, audio) = ("http://site.example/video.m3u8", "http://site.example/audio.m3u8");
    assert_eq!(ended(&node, &order(&node, &serde_json::json!({ "url": video })).await).await["state"], "done");
    order(&node, &serde_json::json!({ "url": audio, "pin": "2h" })).await;
    origin.asked("/a.mp4", 1).await;
    assert!(std::fs::read_to_string(&file).unwrap().contains("audio.m3u8"));
    node.signal("KILL");
    node.ended().await;
    gate.open();
    drop(node);
    let node = node_before(&origin, &data).await;
    let jobs = loop {
        let jobs: Value = serde_json::from_str(&node.admin("GET", "/v1/warm", "").await.1).unwrap();
        if jobs.as_array().is_some_and(|jobs| !jobs.is_empty()) {
            break jobs;
        }
    };
    assert_eq!((jobs.as_array().unwrap().len(), &jobs[0]["url"]), (1, &serde_json::json!(audio)));
    assert_eq!(ended(&node, &jobs[0]).await["state"], "done");
    assert!(super::get(&node, "/a.mp4").await.field("cache-status").starts_with("littoral; hit"));
    // What is kept after the last one has ended: nothing.
    while std::fs::read_to_string(&file).unwrap() != "[]" {
        node.metrics().await;
    }
}

#[tokio::test]
async fn a_big_object_is_read_at_the_rate_and_a_viewer_who_waits_for_it_is_not() {
    let origin = Origin::start(|_| Response::ok(&[FRESH], &vec![7; 48 << 20])).await;
    let node = node_before(&origin, "").await;
    let job = order(&node, &serde_json::json!({ "list": "http://site.example/film.mp4\n", "rate": "8kbps" })).await;
    origin.asked("/film.mp4", 1).await;
    let reply = super::get(&node, "/film.mp4").await;
    assert!(reply.field("cache-status").contains("collapsed"), "it is in flight: {}", reply.field("cache-status"));
    assert_eq!((reply.status, reply.body.len(), origin.requests().len()), (200, 48 << 20, 1));
    let (status, told) = node.admin("DELETE", &format!("/v1/warm/{}", job["id"]), "").await;
    assert!(status == 200, "{told}");
}

async fn command(node: &Node, arguments: &[&str]) -> (Option<i32>, String) {
    let admin = node.address("admin").to_string();
    let command = tokio::process::Command::new(BINARY).arg("warm").args(arguments).args(["--admin", &admin]).output();
    let output = command.await.unwrap();
    (output.status.code(), String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned())
}

#[tokio::test]
async fn jobs_are_listed_shown_and_cancelled_from_the_command_line() {
    let (origin, gate) = holding().await;
    let node = node_before(&origin, "").await;
    assert_eq!(command(&node, &["list"]).await, (Some(0), "no job has been posted since this node began\n".into()));
    let job = order(&node, &serde_json::json!({ "url": MANIFEST, "window": "00:00-23:59 Asia/Tokyo" })).await;
    let id = job["id"].to_string();
    let (code, told) = command(&node, &["list"]).await;
    let words: Vec<&str> = told.lines().nth(1).unwrap().split_whitespace().collect();
    assert!(code == Some(0) && words[0] == id && words.last() == Some(&MANIFEST), "{told}");
    let (code, told) = command(&node, &["show", &id]).await;
    assert!(code == Some(0) && told.contains("state") && told.contains(MANIFEST), "{told}");
    let (code, told) = command(&node, &["show", &id, "--json"]).await;
    let told: Value = serde_json::from_str(&told).unwrap();
    assert_eq!((code, &told["id"], told.get("eta_s").is_some()), (Some(0), &job["id"], true));
    let (code, told) = command(&node, &["cancel", &id]).await;
    assert!(code == Some(0) && told.starts_with(&format!("job {id} is cancelled: ")), "{told}");
    gate.open();
    assert_eq!(ended(&node, &job).await["state"], "cancelled");
    let (code, told) = command(&node, &["show", "99"]).await;
    assert!(code == Some(1) && told.contains("404") && told.contains("99"), "{told}");
    // What names nothing to fetch says how both are used.
    let (code, told) = command(&node, &[]).await;
    assert!(code == Some(2) && told.contains("littoral warm"), "{told}");
}

#[tokio::test]
async fn no_object_is_begun_while_the_link_carries_more_than_leaves_room_for_jobs() {
    let origin = Origin::start(|request| title(&request.path)).await;
    let node = node_before(&origin, "[limits]\nwarm_ceiling = \"1bps\"\nwarm_interface = \"lo\"\n").await;
    // Asking is traffic of its own.
    while node.metrics().await["littoral_warm_link_bits_per_second"] <= 1.0 {}
    let job = order(&node, &serde_json::json!({ "url": MANIFEST })).await;
    loop {
        let (_, told) = node.admin("GET", &format!("/v1/warm/{}", job["id"]), "").await;
        let told: Value = serde_json::from_str(&told).unwrap();
        assert_eq!(told["state"], "running", "{told}");
        if told["waits_for"] == "link" {
            break;
        }
    }
    assert!(origin.requests().iter().all(|request| !request.path.ends_with(".m4s")));
    let text = std::fs::read_to_string(node.file("node.toml")).unwrap();
    std::fs::write(node.file("node.toml"), text.replace("warm_ceiling = \"1bps\"\nwarm_interface = \"lo\"\n", ""))
        .unwrap();
    assert_eq!(node.admin("POST", "/v1/reload", "").await.0, 200);
    let told = ended(&node, &job).await;
    assert_eq!((told["state"].as_str(), &told["waits_for"]), (Some("done"), &Value::Null), "{told}");
}

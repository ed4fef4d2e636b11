//! Warm jobs by popularity: a node's own access log says what the next one is pushed, and in which order.

use littoral_testkit::{Node, Origin, Request, Response};
use serde_json::Value;

use super::access_log::lines;
use super::{BINARY, get, node_before, noise, shield};

const FRESH: &str = "cache-control: max-age=600";
/// Two titles of ten segments in two representations each.
const TITLES: &str = "http://site.example/a/manifest.mpd\nhttp://site.example/b/manifest.mpd\n";
const MANIFEST: &str = r#"<?xml version="1.0"?><MPD xmlns="urn:mpeg:dash:schema:mpd:2011" type="static"
 mediaPresentationDuration="PT40S" minBufferTime="PT4S"><Period><AdaptationSet contentType="video" mimeType="video/mp4">
 <SegmentTemplate media="$RepresentationID$/seg-$Number$.m4s" initialization="$RepresentationID$/init.mp4" duration="4"/>
 <Representation id="1080p" bandwidth="4000" height="1080"/><Representation id="360p" bandwidth="1000" height="360"/>
 </AdaptationSet></Period></MPD>"#;

fn title(request: &Request) -> Response {
    match request.path.as_str() {
        path if path.ends_with(".mpd") => Response::ok(&[FRESH], MANIFEST.as_bytes()),
        path if path.contains("1080p/seg") => Response::ok(&[FRESH], &noise(4000, 1)),
        path if path.contains("/seg") => Response::ok(&[FRESH], &noise(1100, 2)),
        _ => Response::ok(&[FRESH], &noise(600, 3)),
    }
}

/// A node that some have watched: `a` by few, in 1080p and to its end; `b` by many, in 360p, who leave soon. Its log is `file`.
async fn watched(origin: &Origin, format: &str) -> Node {
    let node = node_before(origin, &format!("[log]\naccess = {{ file = \"a.log\", format = {format:?} }}")).await;
    let mut count = 0;
    for (title, rung, viewers, segments) in [("a", "1080p", 6, 10), ("b", "360p", 20, 4)] {
        for _ in 0..viewers {
            for segment in 1..=segments {
                assert_eq!(get(&node, &format!("/{title}/{rung}/seg-{segment}.m4s")).await.status, 200);
                count += 1;
            }
        }
    }
    lines(&node, "a.log", count).await;
    node
}

/// Runs `littoral warm` against a node; its exit code and the last it said.
async fn warm(node: &Node, arguments: &[&str]) -> (Option<i32>, Value, String) {
    let list = node.file("titles.txt");
    std::fs::write(&list, TITLES).unwrap();
    let admin = node.address("admin").to_string();
    let command = tokio::process::Command::new(BINARY)
        .args(["warm", "--json", "--admin", &admin, "--list", list.to_str().unwrap()])
        .args(arguments)
        .output();
    let output = command.await.unwrap();
    let told = String::from_utf8_lossy(&output.stdout);
    let last = serde_json::from_str(told.lines().last().unwrap_or("null")).unwrap();
    (output.status.code(), last, String::from_utf8_lossy(&output.stderr).into_owned())
}

#[tokio::test]
async fn what_a_nodes_log_says_is_watched_most_for_its_bytes_is_pushed_first_in_what_viewers_see() {
    let origin = Origin::start(title).await;
    for format in ["json", "combined"] {
        let before = watched(&origin, format).await;
        let log = before.file("a.log").display().to_string();
        let node = node_before(&origin, "").await;
        let asked = origin.requests().len();
        let by = ["--by-popularity", &log, "--share", "0.8", "--rate", "1Gbps"];
        let (code, job, problem) = warm(&node, &by).await;
        assert_eq!((code, &job["state"]), (Some(0), &Value::from("done")), "{job} {problem}");
        let fetched: Vec<String> = origin.requests()[asked..].iter().map(|request| request.path.clone()).collect();
        let at = |path: &str| fetched.iter().position(|fetched| fetched == path);
        // Two manifests, and of each title one representation with its initialisation segment.
        assert_eq!((fetched.len(), job["total"].as_u64()), (2 + 2 * 11, Some(24)), "{fetched:?}");
        assert!(fetched.iter().all(|path| !path.contains("/a/360p/") && !path.contains("/b/1080p/")), "{fetched:?}");
        let order = ["/b/360p/seg-1.m4s", "/b/360p/seg-10.m4s", "/a/1080p/seg-1.m4s", "/a/1080p/seg-10.m4s"];
        let order = order.map(|path| at(path).unwrap());
        assert!(order.is_sorted(), "{fetched:?}");
        assert!(get(&node, "/a/1080p/seg-3.m4s").await.field("cache-status").starts_with("littoral; hit"));
    }
}

#[tokio::test]
async fn a_budget_is_spent_on_the_best_and_a_dry_run_says_what_it_brings() {
    let origin = Origin::start(title).await;
    let before = watched(&origin, "json").await;
    let log = before.file("a.log").display().to_string();
    let node = node_before(&origin, "").await;
    let asked = origin.requests().len();
    let by = ["--by-popularity", &log, "--bytes", "4500B", "--rate", "1Mbps"];
    let (code, job, problem) = warm(&node, &[&by[..], &["--dry-run"]].concat()).await;
    let expected = &job["expected"];
    assert_eq!(code, Some(0), "{job} {problem}");
    // All there is are 44 objects; the initialisation segments are small, and four segments of `b` fit beside them.
    assert_eq!(
        (&expected["objects"], &expected["left_out"], &expected["bytes"]),
        (&8.into(), &36.into(), &4400.into())
    );
    // Each of the four is asked for for sure; of all that was asked for, 60 times 4000 and 80 times 1100 bytes, they are 1.3 %.
    assert_eq!(expected["gain"]["share"], 0.0134, "{expected}");
    assert!(origin.requests()[asked..].iter().all(|request| request.path.ends_with(".mpd")));
    let (_, job, _) = warm(&node, &by).await;
    assert_eq!(job["state"], "done", "{job}");
    for segment in 1..=4 {
        let reply = get(&node, &format!("/b/360p/seg-{segment}.m4s")).await;
        assert!(reply.field("cache-status").starts_with("littoral; hit"), "{segment}");
    }
    assert_eq!(origin.requests()[asked..].iter().filter(|request| request.path.contains("/seg-")).count(), 4);
}

#[tokio::test]
async fn siblings_each_push_their_part_and_together_each_object_once() {
    let origin = Origin::start(title).await;
    let before = watched(&origin, "json").await;
    let log = before.file("a.log").display().to_string();
    let nodes = shield::siblings(&origin, true).await;
    let asked = origin.requests().len();
    let objects = async |node: &Node, more: &[&str]| {
        let dry = [&["--by-popularity", &log, "--dry-run"], more].concat();
        warm(node, &dry).await.1["expected"]["objects"].as_u64().unwrap()
    };
    let mut parts = Vec::new();
    for place in ["all", "deep", "home"] {
        for copies in ["1", "2"] {
            let mut sum = 0;
            for node in &nodes {
                sum += objects(node, &["--place", place, "--copies", copies]).await;
            }
            parts.push(sum);
        }
    }
    let [all, twice, head, head_twice, tail, tail_again] = parts[..] else { panic!("{parts:?}") };
    assert_eq!((all, head + tail, twice, head_twice, tail_again), (44, 44, 44 + head, 2 * head, tail), "{parts:?}");
    assert!(head > 8 && tail > 8, "{parts:?}");
    for node in &nodes {
        let (_, job, problem) = warm(node, &["--by-popularity", &log, "--place", "all"]).await;
        assert_eq!(job["state"], "done", "{job} {problem}");
        assert!((1..44).contains(&job["expected"]["objects"].as_u64().unwrap()), "{job}");
    }
    let pushed: Vec<String> = origin.requests()[asked..].iter().map(|request| request.path.clone()).collect();
    let media = pushed.iter().filter(|path| !path.ends_with(".mpd"));
    let mut once: Vec<&String> = media.clone().collect();
    once.sort();
    once.dedup();
    assert_eq!((media.count(), once.len()), (44, 44));
}

#[tokio::test]
async fn a_log_that_is_none_and_a_place_that_is_nowhere_are_refused_before_anything_is_fetched() {
    let origin = Origin::start(title).await;
    let node = node_before(&origin, "").await;
    let log = node.file("bad.log");
    for (bytes, said) in [
        (&b"\x1f\x8b\x08\x00not gzip"[..], "bad.log: cannot be read"),
        (&vec![b'x'; 1 << 20], "bad.log: line 1, at offset 0: longer than 65536 bytes"),
        (&[0xff, 0x00, b'\n'], "bad.log: line 1, at offset 0: no line of an access log"),
    ] {
        std::fs::write(&log, bytes).unwrap();
        let (code, _, problem) = warm(&node, &["--by-popularity", log.to_str().unwrap()]).await;
        assert!(code == Some(2) && problem.contains(said) && problem.len() < 500, "{problem}");
    }
    for (order, said) in [
        (r#"{"url":"http://site.example/a/manifest.mpd","place":"deep"}"#, "needs popularity"),
        (r#"{"url":"http://site.example/a/manifest.mpd","popularity":{"span_ms":-1}}"#, "popularity"),
        (
            r#"{"url":"http://site.example/a/manifest.mpd","place":"node","popularity":{"span_ms":0,"requests":0,"bytes":0,"forgotten":0,"reach":[],"shares":[],"titles":[],"objects":[]}}"#,
            "names no [[cluster]]",
        ),
    ] {
        let (status, told) = node.admin("POST", "/v1/warm", order).await;
        assert!(status == 422 && told.contains(said), "{status} {told}");
    }
    assert!(origin.requests().is_empty());
}

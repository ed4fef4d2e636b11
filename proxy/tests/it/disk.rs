//! The disk tier of a running node: what it serves after a restart, after a crash, and on disks that cannot be used.

use std::path::Path;
use std::time::Duration;

use littoral_testkit::{Node, Origin, Response};

use super::{BINARY, config, get, noise};

const FRESH: &str = "cache-control: max-age=600";

fn on_disk(origin: &Origin, directory: &Path, memory: &str) -> String {
    let disk = format!("disk = {{ path = {directory:?}, size = \"64MiB\", min_free = \"0\" }}");
    config(&[origin], &format!("[cache]\nmemory = {memory:?}\n{disk}"))
}

/// A body that is the same for everybody who knows the path.
fn body_of(path: &str) -> Vec<u8> {
    let seed = path.bytes().fold(7_usize, |sum, byte| sum.wrapping_mul(31).wrapping_add(byte as usize));
    let length = if path.starts_with("/small/") { 40_000 } else { 1000 + seed % 300_000 };
    (0..length).map(|at| (at / 3 + seed) as u8).collect()
}

async fn origin() -> Origin {
    Origin::start(|request| Response::ok(&[FRESH, "surrogate-key: all", "etag: \"a\""], &body_of(&request.path))).await
}

/// Waits until so many objects have been written since the start.
async fn written(node: &Node, count: f64) {
    let written = async { while node.metrics().await["littoral_cache_disk_writes_total"] < count {} };
    tokio::time::timeout(Duration::from_secs(60), written).await.expect("written");
}

async fn end(mut node: Node, signal: &str) {
    node.signal(signal);
    node.ended().await;
}

#[tokio::test]
async fn variants_that_are_only_on_disk_are_told_with_the_one_that_a_request_gets() {
    let origin = Origin::start(|request| {
        let coding = request.field("accept-encoding").unwrap_or("identity").to_owned();
        Response::ok(&[FRESH, "vary: accept-encoding, x-tier"], coding.as_bytes())
    })
    .await;
    let directory = tempfile::tempdir().unwrap();
    let config =
        on_disk(&origin, directory.path(), "8MiB").replace("hosts =", "encodings = [\"br\", \"gzip\"]\nhosts =");
    let node = Node::start(BINARY, &config, &[]).await;
    for fields in [&["Accept-Encoding: br"][..], &["Accept-Encoding: gzip"], &[], &["X-Tier: gold"]] {
        node.get("site.example", "/a", fields).await;
    }
    end(node, "TERM").await;
    let node = Node::start(BINARY, &config, &[]).await;
    let ask = async |fields: &str| {
        let (_, said) = node.admin("GET", &format!("/v1/cache/object?url=http://site.example/a{fields}"), "").await;
        serde_json::from_str::<serde_json::Value>(&said).unwrap()
    };
    let told = ask("&field=accept-encoding:gzip").await;
    let variants = told["variants"].as_array().unwrap();
    assert_eq!((&told["state"], &told["tier"], variants.len()), (&"fresh".into(), &"disk".into(), 3), "{told}");
    let selected: Vec<_> = variants.iter().filter(|variant| variant["selected"] == true).collect();
    assert_eq!(selected.iter().map(|variant| &variant["bytes"]).collect::<Vec<_>>(), [&serde_json::json!(4)], "{told}");
    // Nobody can tell what clients may say in a field of the origin's own: it has to be asked about.
    let gold = ask("&field=x-tier:gold").await;
    let bytes: Vec<_> =
        gold["variants"].as_array().unwrap().iter().map(|variant| variant["selected"] == true).collect();
    assert_eq!(bytes, [false, true], "{gold}");
    // In memory and on disk it is one.
    assert_eq!(node.get("site.example", "/a", &["Accept-Encoding: gzip"]).await.body, b"gzip");
    let told = ask("").await;
    let tiers: Vec<_> = told["variants"].as_array().unwrap().iter().map(|variant| variant["tier"].clone()).collect();
    assert_eq!(tiers.iter().filter(|tier| **tier == "memory").count(), 2, "{told}");
    assert_eq!(tiers.len(), 3, "{told}");
    assert_eq!(origin.count("/a"), 4);
}

#[tokio::test]
async fn a_restarted_node_serves_from_disk_without_asking_the_origin() {
    let (origin, directory) = (origin().await, tempfile::tempdir().unwrap());
    let config = on_disk(&origin, directory.path(), "8MiB");
    let node = Node::start(BINARY, &config, &[]).await;
    for path in ["/a", "/b", "/c"] {
        assert_eq!(get(&node, path).await.body, body_of(path));
    }
    // What waits to be written when it is told to end is written.
    end(node, "TERM").await;
    let node = Node::start(BINARY, &config, &[]).await;
    for path in ["/a", "/b", "/c"] {
        let reply = get(&node, path).await;
        assert!(reply.field("cache-status").starts_with("littoral; hit; ttl="), "{reply:?}");
        assert_eq!((reply.body, origin.count(path)), (body_of(path), 1));
    }
    let metrics = node.metrics().await;
    assert_eq!(metrics["littoral_cache_disk_hits_total"], 3.0);
    let (_, stats) = node.admin("GET", "/v1/stats", "").await;
    assert!(stats.contains("\"in_use\":true"), "{stats}");
}

#[tokio::test]
async fn what_was_purged_is_gone_also_when_the_node_is_killed_right_after() {
    for purge in ["{\"url\":\"http://site.example/a\"}", "{\"regex\":\"/a$\"}", "{\"key\":\"all\"}", "{\"all\":true}"] {
        let (origin, directory) = (origin().await, tempfile::tempdir().unwrap());
        let config = on_disk(&origin, directory.path(), "8MiB");
        let node = Node::start(BINARY, &config, &[]).await;
        get(&node, "/a").await;
        written(&node, 1.0).await;
        let (status, done) = node.admin("POST", "/v1/purge", purge).await;
        assert!(status == 200 && done.contains("\"purged\":1"), "{done}");
        end(node, "KILL").await;
        let node = Node::start(BINARY, &config, &[]).await;
        assert!(get(&node, "/a").await.field("cache-status").contains("fwd=uri-miss"), "{purge}");
        assert_eq!(origin.count("/a"), 2);
    }
}

#[tokio::test]
async fn a_node_killed_while_it_fills_serves_only_whole_bodies_afterwards() {
    let (origin, directory) = (origin().await, tempfile::tempdir().unwrap());
    let config = on_disk(&origin, directory.path(), "8MiB");
    for round in 0..4 {
        let node = Node::start(BINARY, &config, &[]).await;
        let filling: Vec<_> = (0..20).map(|number| format!("/{round}/{number}")).collect();
        for path in &filling {
            assert_eq!(get(&node, path).await.body, body_of(path));
        }
        // Some are written by now, one is being written, others wait.
        end(node, "KILL").await;
    }
    let node = Node::start(BINARY, &config, &[]).await;
    for round in 0..4 {
        for number in 0..20 {
            let path = format!("/{round}/{number}");
            assert_eq!(get(&node, &path).await.body, body_of(&path), "{path}");
        }
    }
    let metrics = node.metrics().await;
    assert_eq!(metrics["littoral_cache_disk_corrupt_total"], 0.0);
    assert!(metrics["littoral_cache_disk_hits_total"] > 0.0, "something was written");
}

#[tokio::test]
async fn a_node_whose_disk_cannot_be_used_goes_on_from_memory_and_says_so() {
    let (origin, directory) = (origin().await, tempfile::tempdir().unwrap());
    // Nobody, not even root, can make a directory there.
    let config = on_disk(&origin, Path::new("/proc/littoral"), "8MiB");
    let node = Node::start(BINARY, &config, &[]).await;
    get(&node, "/a").await;
    assert!(get(&node, "/a").await.field("cache-status").starts_with("littoral; hit"));
    assert_eq!(node.metrics().await["littoral_cache_disk_in_use{disk=\"/proc/littoral\"}"], 0.0);
    let (_, stats) = node.admin("GET", "/v1/stats", "").await;
    assert!(stats.contains("cannot make /proc/littoral"), "{stats}");
    assert_eq!(node.admin("POST", "/v1/purge", "{\"all\":true}").await.0, 200);
    // The same for a directory that another node uses.
    let config = on_disk(&origin, directory.path(), "8MiB");
    let (first, second) = (Node::start(BINARY, &config, &[]).await, Node::start(BINARY, &config, &[]).await);
    let in_use = format!("littoral_cache_disk_in_use{{disk=\"{}\"}}", directory.path().display());
    assert_eq!((first.metrics().await[&in_use], second.metrics().await[&in_use]), (1.0, 0.0));
}

#[tokio::test]
async fn what_does_not_fit_in_memory_comes_from_disk() {
    let (origin, directory) = (origin().await, tempfile::tempdir().unwrap());
    let config = on_disk(&origin, directory.path(), "1MiB");
    let node = Node::start(BINARY, &config, &[]).await;
    // Small ones, which are admitted however full memory is.
    let paths: Vec<_> = (0..60).map(|number| format!("/small/{number}")).collect();
    for (number, path) in paths.iter().enumerate() {
        get(&node, path).await;
        written(&node, (number + 1) as f64).await;
    }
    for path in &paths {
        assert_eq!(get(&node, path).await.body, body_of(path));
    }
    assert_eq!(origin.requests().len(), paths.len(), "each was asked for once");
    assert!(node.metrics().await["littoral_cache_evicted_total"] > 0.0, "memory was too small");
}

#[tokio::test]
async fn a_large_object_is_served_from_disk_whole_and_in_ranges_without_taking_memory() {
    let (directory, body) = (tempfile::tempdir().unwrap(), noise(1_000_000, 7));
    let served = body.clone();
    let origin = Origin::start(move |request| match request.field("if-none-match") {
        Some("\"a\"") => Response { status: 304, ..Response::ok(&["cache-control: max-age=600", "x-new: 1"], b"") },
        _ => Response::ok(&[FRESH, "etag: \"a\""], &served),
    })
    .await;
    let config = on_disk(&origin, directory.path(), "4MiB");
    let node = Node::start(BINARY, &config, &[]).await;
    assert!(get(&node, "/large").await.body == body);
    end(node, "TERM").await;
    let node = Node::start(BINARY, &config, &[]).await;
    for (range, expected) in
        [("0-0", &body[..1]), ("262143-262144", &body[262_143..=262_144]), ("-5", &body[999_995..])]
    {
        let reply = node.get("site.example", "/large", &[&format!("range: bytes={range}")]).await;
        assert_eq!((reply.status, &reply.body[..]), (206, expected), "{range}");
        assert!(reply.field("cache-status").starts_with("littoral; hit"), "{reply:?}");
    }
    let ranges = node.get("site.example", "/large", &["range: bytes=3-4,500000-500001"]).await;
    assert!(ranges.status == 206 && ranges.field("content-type").starts_with("multipart/byteranges"), "{ranges:?}");
    assert!(get(&node, "/large").await.body == body);
    let metrics = node.metrics().await;
    assert_eq!((metrics["littoral_cache_disk_streamed_total"], metrics["littoral_cache_objects"]), (5.0, 0.0));
    // Soft purged, it is confirmed by the origin where it lies.
    assert_eq!(node.admin("POST", "/v1/purge", "{\"url\":\"http://site.example/large\",\"soft\":true}").await.0, 200);
    assert!(get(&node, "/large").await.body == body);
    node.until("littoral_cache_disk_confirmed_total", 1.0).await;
    let confirmed = get(&node, "/large").await;
    assert!(confirmed.field("x-new") == "1" && confirmed.body == body, "{:?}", confirmed.fields);
    assert!(confirmed.field("cache-status").starts_with("littoral; hit"), "{:?}", confirmed.fields);
    assert_eq!(origin.count("/large"), 2);
}

fn cache(arguments: &[&str]) -> (Option<i32>, String) {
    let output = std::process::Command::new(BINARY).arg("cache").args(arguments).output().unwrap();
    let told = [output.stdout, output.stderr].concat();
    (output.status.code(), String::from_utf8_lossy(&told).into_owned())
}

#[tokio::test]
async fn what_lies_on_a_disk_is_listed_shown_and_verified_without_a_node() {
    let (origin, directory) = (origin().await, tempfile::tempdir().unwrap());
    let node = Node::start(BINARY, &on_disk(&origin, directory.path(), "8MiB"), &[]).await;
    get(&node, "/a").await;
    get(&node, "/b").await;
    end(node, "TERM").await;
    let path = directory.path().to_str().unwrap();
    let (code, listed) = cache(&["ls", path]);
    assert!(code == Some(0) && listed.lines().count() == 2 && listed.contains(" whole   site.example/a"), "{listed}");
    let url = "http://site.example/a";
    let (code, shown) = cache(&["show", path, "--url", url]);
    assert!(code == Some(0) && shown.contains("etag: \"a\""), "{shown}");
    let (_, shown) = cache(&["show", path, "--url", url, "--json"]);
    let shown: serde_json::Value = serde_json::from_str(&shown).unwrap();
    assert_eq!(shown["body_bytes"], body_of("/a").len());
    assert_eq!(cache(&["show", path, "--url", "http://site.example/none"]).0, Some(1));
    let (code, verified) = cache(&["verify", path]);
    assert!(code == Some(0) && verified.starts_with("2 files, "), "{verified}");
    let file = shown["file"].as_str().unwrap();
    let mut bytes = std::fs::read(file).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    std::fs::write(file, bytes).unwrap();
    let (code, verified) = cache(&["verify", path]);
    assert!(code == Some(1) && verified.contains("a block of the body on disk has changed"), "{verified}");
    assert_eq!(cache(&["ls", "/nowhere"]).0, Some(2));
}

#[tokio::test]
async fn a_disk_that_cannot_work_is_refused_with_its_place_and_the_fix() {
    let origin = origin().await;
    for (disk, expected) in [
        ("{ path = \"x\", size = \"1KiB\" }", "cache.disk.size is at least 1MiB"),
        ("{ path = \"x\", size = \"1GiB\", weight = 0 }", "cache.disk.weight is 1 to 1000"),
        ("{ path = \"node.toml\", size = \"1GiB\" }", "is no directory: name one"),
        ("[{ path = \"x\", size = \"1GiB\" }, { path = \"x/y\", size = \"1GiB\" }]", "another disk's directory"),
        ("{ path = \"x\", size = \"1GiB\", fsync = \"all\" }", "expected `none` or `data`"),
        ("{ path = \"x\" }", "size"),
        ("3", "a disk, such as { path ="),
    ] {
        let config = config(&[&origin], &format!("[cache]\ndisk = {disk}"));
        let (code, told) = littoral_testkit::refused(BINARY, &config, &[]);
        assert_eq!(code, Some(2), "{told}");
        assert!(told.contains(expected) && told.contains("node.toml:"), "{disk}: {told}");
    }
}

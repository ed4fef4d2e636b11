//! The access log: what its lines say, where they go, and that nothing a client sends can forge one.

use std::time::Instant;

use littoral_testkit::node::plugin;
use littoral_testkit::{Body, Client, Gate, Node, Origin, Response};
use serde_json::Value;

use super::{BINARY, config, get, node_before};

const FRESH: &str = "cache-control: max-age=60";

/// Waits until a log has so many lines, and reads them.
pub(crate) async fn lines(node: &Node, file: &str, count: usize) -> Vec<String> {
    loop {
        let text = std::fs::read_to_string(node.file(file)).unwrap_or_default();
        if text.lines().count() >= count && text.ends_with('\n') {
            return text.lines().map(str::to_owned).collect();
        }
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn a_line_says_of_a_miss_and_of_a_hit_what_was_done_and_how_long_it_took() {
    let origin = Origin::start(|_| Response::ok(&[FRESH], b"hello")).await;
    let node = node_before(&origin, "[log]\naccess = { file = \"a.log\", format = \"json\" }").await;
    let mut client = Client::connect(node.address("http")).await;
    let fields = ["User-Agent: a \"quoted\" one", "Referer: http://r.example/", "X-Request-ID: 77"];
    for _ in 0..2 {
        client.get("site.example", "/a?b=c", &fields).await;
    }
    let logged = lines(&node, "a.log", 2).await;
    let [miss, hit] = [0, 1].map(|at| serde_json::from_str::<Value>(&logged[at]).unwrap());
    for line in [&miss, &hit] {
        let said = ["client", "host", "method", "path", "protocol", "user_agent", "referer", "request_id", "end"];
        let said = said.map(|field| line[field].as_str().unwrap());
        let agent = "a \"quoted\" one";
        let path = "/a?b=c";
        let expected = ["127.0.0.1", "site.example", "GET", path, "HTTP/1.1", agent, "http://r.example/", "77", "ok"];
        assert_eq!(said, expected);
        assert_eq!((&line["status"], &line["bytes"], &line["tls"]), (&200.into(), &5.into(), &Value::Null));
        assert!(line["total_us"].as_u64().unwrap() >= line["send_us"].as_u64().unwrap(), "{line}");
        assert!((58..=60).contains(&line["ttl"].as_i64().unwrap()), "{line}");
    }
    assert_eq!((&miss["outcome"], &miss["reason"], &miss["attempts"]), (&"miss".into(), &"uri-miss".into(), &1.into()));
    assert_eq!(miss["origin"], origin.address.to_string());
    for stage in ["lookup_us", "connect_us", "first_byte_us", "origin_us"] {
        assert!(miss[stage].is_u64(), "{stage}: {miss}");
    }
    assert_eq!((&hit["outcome"], &hit["reason"], &hit["origin"]), (&"hit".into(), &Value::Null, &Value::Null));
    assert_eq!(node.metrics().await["littoral_access_log_lines_total"], 2.0);
}

#[tokio::test]
async fn a_client_cannot_write_a_line_of_its_own() {
    let origin = Origin::start(|_| Response::ok(&[FRESH], b"x")).await;
    let node = node_before(&origin, "[log]\naccess = { file = \"a.log\" }").await;
    let forged = "User-Agent: x\" 200 1\t127.0.0.9 - - \u{85}";
    for path in ["/a", "/a"] {
        node.get("site.example", path, &[forged]).await;
    }
    for line in lines(&node, "a.log", 2).await {
        assert!(line.is_ascii() && line.matches('"').count() == 6, "{line}");
        assert!(line.contains(r#""x\x22 200 1\x09"#) && line.starts_with("127.0.0.1 - - ["), "{line}");
    }
}

#[tokio::test]
async fn a_log_that_was_moved_away_is_opened_again_by_signal_and_by_reload() {
    let origin = Origin::start(|_| Response::ok(&[FRESH], b"x")).await;
    let node = node_before(&origin, "[log]\naccess = { file = \"a.log\", format = \"$path\" }").await;
    let rotate = |to: &str| std::fs::rename(node.file("a.log"), node.file(to)).unwrap();
    get(&node, "/1").await;
    assert_eq!(lines(&node, "a.log", 1).await, ["/1"]);
    rotate("a.log.1");
    node.signal("USR1");
    while !node.file("a.log").exists() {}
    get(&node, "/2").await;
    assert_eq!(lines(&node, "a.log", 1).await, ["/2"]);
    rotate("a.log.2");
    assert_eq!(node.admin("POST", "/v1/reload", "").await.0, 200);
    while !node.file("a.log").exists() {}
    get(&node, "/3").await;
    assert_eq!(lines(&node, "a.log", 1).await, ["/3"]);
    assert_eq!(lines(&node, "a.log.1", 1).await, ["/1"]);
    assert_eq!(lines(&node, "a.log.2", 1).await, ["/2"]);
}

#[tokio::test]
async fn a_reload_starts_changes_and_ends_the_log_and_a_bad_one_changes_nothing() {
    let origin = Origin::start(|_| Response::ok(&[FRESH], b"x")).await;
    let mut node = node_before(&origin, "").await;
    let without = std::fs::read_to_string(node.file("node.toml")).unwrap();
    let with =
        |log: &str| std::fs::write(node.file("node.toml"), format!("{without}\n[log]\naccess = {log}\n")).unwrap();
    get(&node, "/1").await;
    // What is logged is logged when its client has its answer already.
    while node.metrics().await["littoral_http_connections_open"] > 0.0 {}
    with("{ file = \"a.log\", format = \"$path\" }");
    assert_eq!(node.admin("POST", "/v1/reload", "").await.0, 200);
    get(&node, "/2").await;
    // Lanes of two workers have no order among each other.
    lines(&node, "a.log", 1).await;
    with("{ file = \"a.log\", format = \"$pth\" }");
    let (status, said) = node.admin("POST", "/v1/reload", "").await;
    assert!(status == 422 && said.contains("did you mean $path?"), "{said}");
    with("{ file = \".\" }");
    let (status, said) = node.admin("POST", "/v1/reload", "").await;
    assert!(status == 422 && said.contains("cannot write the access log"), "{said}");
    get(&node, "/3").await;
    lines(&node, "a.log", 2).await;
    with("{ file = \"a.log\", format = \"new $path\", sample = 1.0 }");
    assert_eq!(node.admin("POST", "/v1/reload", "").await.0, 200);
    get(&node, "/4").await;
    with("{ file = \"a.log\", sample = 0.0 }");
    assert_eq!(node.admin("POST", "/v1/reload", "").await.0, 200);
    get(&node, "/5").await;
    assert_eq!(lines(&node, "a.log", 3).await, ["/2", "/3", "new /4"]);
    node.signal("TERM");
    assert_eq!(node.ended().await, Some(0));
}

#[tokio::test]
async fn what_was_logged_is_written_before_the_node_ends_and_a_broken_answer_is_told() {
    let origin = Origin::start(|_| Response::with(&[FRESH], Body::CutShort(9, b"x".to_vec()))).await;
    let log = "[log]\naccess = { file = \"a.log\", format = \"$path $status $bytes $end\" }";
    let mut node = node_before(&origin, log).await;
    get(&node, "/1").await;
    // Its line is put when the response has ended, which the client sees first.
    while node.metrics().await["littoral_access_log_lines_total"] < 1.0 {}
    node.signal("TERM");
    assert_eq!(node.ended().await, Some(0));
    let line = std::fs::read_to_string(node.file("a.log")).unwrap();
    assert!(line.starts_with("/1 ") && line.ends_with(" broken\n"), "{line}");
}

#[tokio::test]
async fn what_is_refused_before_it_is_read_is_logged_as_well() {
    let origin = Origin::start(|_| Response::ok(&[], b"x")).await;
    let more = "[limits]\nheader_timeout = \"100ms\"\nheader_bytes = \"1KiB\"\n[log]\naccess = { file = \"access\", format = \"$method $path $protocol $status $queue_us\" }";
    let mut node = node_before(&origin, more).await;
    for (bytes, status) in [
        ("GET /bare HTTP/1.1\nHost: site.example\r\n\r\n".to_owned(), 400),
        ("\0\r\n\r\n".to_owned(), 400),
        (format!("GET /long HTTP/1.1\r\nHost: site.example\r\nX: {}\r\n\r\n", "x".repeat(2000)), 431),
        ("GET /slow HTTP/1.1\r\nHost: site.ex".to_owned(), 408),
    ] {
        let mut client = Client::connect(node.address("http")).await;
        client.send(&bytes).await;
        assert_eq!(client.reply(false).await.map(|reply| reply.status), Some(status), "{bytes}");
    }
    node.signal("TERM");
    assert_eq!(node.ended().await, Some(0));
    let written = std::fs::read_to_string(node.file("access")).unwrap();
    let mut lines: Vec<&str> = written.lines().collect();
    lines.sort_unstable();
    let mut expected =
        ["GET /bare HTTP/1.1 400 -", "- - - 400 -", "GET /long HTTP/1.1 431 -", "GET /slow HTTP/1.1 408 -"];
    expected.sort_unstable();
    assert_eq!(lines, expected);
}

#[tokio::test]
async fn a_line_says_how_long_a_request_waited_for_room_at_its_origin() {
    let gate = Gate::default();
    let held = gate.clone();
    let origin = Origin::start(move |_| Response::with(&[], Body::Held(held.clone(), b"x".to_vec()))).await;
    let only =
        format!("origin = [{{ url = {:?}, max_connections = 1, queue = 1, queue_timeout = \"60s\" }}]", origin.url());
    let config = config(&[&origin], "[log]\naccess = { file = \"a.log\", format = \"$path $status $queue_us\" }");
    let config = config.replace(&format!("origin = [{:?}]", origin.url()), &only);
    let node = Node::start(BINARY, &config, &[]).await;
    let second = async {
        origin.asked("/1", 1).await;
        let waiting = async {
            while node.metrics().await["littoral_origin_queued_total"] < 1.0 {}
            let waits = Instant::now();
            assert!(node.metrics().await["littoral_http_requests_total{outcome=\"miss\"}"] < 1.0);
            let waited = waits.elapsed();
            gate.open();
            waited
        };
        tokio::join!(get(&node, "/2"), waiting).1
    };
    let (_, waited) = tokio::join!(get(&node, "/1"), second);
    let queued = |lines: &[String], path: &str| -> u128 {
        let line = lines.iter().find(|line| line.starts_with(path)).unwrap();
        line.rsplit(' ').next().unwrap().parse().unwrap()
    };
    let logged = lines(&node, "a.log", 2).await;
    // It was seen to wait for so long, and the other had the place at once.
    assert!(queued(&logged, "/2 200 ") >= waited.as_micros(), "{logged:?} {waited:?}");
    assert!(queued(&logged, "/1 200 ") < queued(&logged, "/2 200 "), "{logged:?}");
}

#[tokio::test]
async fn a_line_says_which_generation_of_a_plugin_decided() {
    let asset = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../assets/netcinema/manifest.mpd");
    let mpd = std::fs::read(asset).unwrap();
    let origin = Origin::start(move |request| match request.path.ends_with(".mpd") {
        true => Response::ok(&[FRESH], &mpd),
        false => Response::ok(&[FRESH], request.path.as_bytes()),
    })
    .await;
    let top = "[log]\naccess = { file = \"a.log\", format = \"$path $rate_generation $cache_generation\" }\n\
        [[plugin]]\nname = \"r\"\nfile = \"r.wasm\"\n[[plugin]]\nname = \"e\"\nfile = \"e.wasm\"\n\
        [policy]\nrate = \"r\"\nevict = \"e\"\n[site]\ndash = { auto = true }";
    let files = [("r.wasm", plugin("rate-throughput")), ("e.wasm", plugin("evict-lfu-size"))];
    let files = files.each_ref().map(|(name, wasm)| (*name, wasm.as_slice()));
    let node = Node::start(BINARY, &config(&[&origin], top), &files).await;
    let auto = "/title/seg-auto-00003.m4s";
    get(&node, "/title/manifest.mpd").await;
    get(&node, "/a").await;
    get(&node, "/a").await;
    get(&node, auto).await;
    assert_eq!(node.admin("POST", "/v1/plugins/r/reload", "").await.0, 200);
    assert_eq!(node.admin("POST", "/v1/plugins/e/reload", "").await.0, 200);
    get(&node, "/b").await;
    get(&node, auto).await;
    let mut logged = lines(&node, "a.log", 6).await;
    logged.iter_mut().for_each(|line| *line = line.replace("/title/", ""));
    logged.sort();
    // What was there already asked nobody whether it is stored.
    let (first, again): (Vec<_>, Vec<_>) =
        logged.iter().filter(|line| line.starts_with("seg-")).partition(|line| line.contains(" 1 "));
    assert!(first.len() == 1 && first[0].ends_with(" 1 1"), "{logged:?}");
    assert!(again.len() == 1 && again[0].contains(" 2 "), "{logged:?}");
    logged.retain(|line| !line.starts_with("seg-"));
    assert_eq!(logged, ["/a - -", "/a - 1", "/b - 2", "manifest.mpd - 1"]);
}

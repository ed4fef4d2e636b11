//! Every guest that misbehaves, under load: whatever it does, no request fails, and what it says is bounded.

use std::collections::HashMap;
use std::net::SocketAddr;

use littoral_testkit::node::plugin;
use littoral_testkit::{Client, Node, Origin, Response};

use super::plugins::{ZONE, origin, seated};
use super::{BINARY, config};

/// Clients at a time, and requests of each.
const CLIENTS: usize = 8;
const EACH: usize = 40;
/// Objects they ask for: more than fit, so that there are hits, misses and evictions.
const OBJECTS: usize = 60;

/// Loads a node with hits, misses and, where `auto`, choices of a representation. Each request is answered whole.
async fn load(address: SocketAddr, what: &'static str, auto: bool) {
    let clients: Vec<_> = (0..CLIENTS).map(|client| tokio::spawn(ask(address, what, auto, client))).collect();
    for client in clients {
        client.await.unwrap();
    }
}

async fn ask(address: SocketAddr, what: &'static str, auto: bool, client: usize) {
    let mut connection = Client::connect(address).await;
    for request in 0..EACH {
        let path = match auto && request % 8 == 0 {
            true => "/title/seg-auto-00003.m4s".to_owned(),
            false => format!("/{}", (client * 7 + request / 2) % OBJECTS),
        };
        let reply = connection.get("site.example", &path, &["CMCD-Request: mtp=9000,bl=9000"]).await;
        assert_eq!((reply.status, reply.whole), (200, true), "{what}: {path}: {reply:?}");
    }
}

fn sum(metrics: &HashMap<String, f64>, name: &str) -> f64 {
    metrics.iter().filter(|(key, _)| key.starts_with(name)).map(|(_, value)| value).sum()
}

#[tokio::test]
async fn policies_that_misbehave_cost_no_request_under_load() {
    let origin = origin().await;
    for (guest, how) in [
        ("spin", ""),
        ("grow", ""),
        ("trap", ""),
        ("nonsense", ""),
        ("policy-faults", "recurse"),
        ("policy-faults", "log"),
        ("policy-faults", "count"),
    ] {
        let keys = format!("file = \"p.wasm\"\nconfig = {{ how = \"{how}\" }}");
        let config = seated(&origin, "p").replace("file = \"p.wasm\"", &keys);
        let node = Node::start(BINARY, &config, &[("p.wasm", &plugin(guest)), ("z.zone", ZONE)]).await;
        load(node.address("http"), guest, true).await;
        let (status, told) = node.admin("GET", "/v1/explain?client=192.0.2.7&name=s.z.example", "").await;
        assert!(status == 200 && told.contains("203.0.113.1"), "{guest} {how}: {told}");
        let metrics = node.metrics().await;
        assert!(sum(&metrics, "littoral_plugin_faults_total") >= 3.0, "{guest} {how}");
        assert_eq!(metrics["littoral_http_broken_total"], 0.0, "{guest} {how}");
        assert!(sum(&metrics, "littoral_plugin_counts_total").is_finite(), "{guest} {how}");
        let series = metrics.keys().filter(|key| key.starts_with("littoral_plugin_counts_total")).count();
        assert!(series <= 64, "{guest} {how}: {series} series");
    }
}

#[tokio::test]
async fn a_policy_that_traps_in_init_keeps_a_running_node_from_changing() {
    let origin = origin().await;
    let good = plugin("evict-lfu-size");
    let config = seated(&origin, "p").replace("route = \"p\"\nrate = \"p\"\n", "");
    let node = Node::start(BINARY, &config, &[("p.wasm", &good), ("z.zone", ZONE)]).await;
    let hostile = config.replace("file = \"p.wasm\"", "file = \"q.wasm\"\nconfig = { how = \"init\" }");
    std::fs::write(node.file("q.wasm"), plugin("policy-faults")).unwrap();
    std::fs::write(node.file("node.toml"), &hostile).unwrap();
    let (status, said) = node.admin("POST", "/v1/reload", "").await;
    assert!(status == 422 && said.contains("its init failed"), "{said}");
    load(node.address("http"), "init", false).await;
    assert_eq!(node.metrics().await["littoral_http_broken_total"], 0.0);
}

#[tokio::test]
async fn filters_that_misbehave_cost_no_request_under_load() {
    let body = vec![b'x'; 100 << 10];
    let origin = Origin::start(move |_| Response::ok(&["cache-control: max-age=60"], &body)).await;
    let faults = [
        ("spin", "request", "deadline"),
        ("grow", "request", "memory"),
        ("trap", "response", "trap"),
        ("recurse", "request", "trap"),
        ("wild", "request", "nonsense"),
        ("odd", "request", "nonsense"),
        ("header", "response", "nonsense"),
        ("framing", "origin", "nonsense"),
        ("flood", "request", "nonsense"),
        ("count", "request", "deadline"),
        ("spin", "body", "deadline"),
        ("trap", "body", "trap"),
        ("hold", "body", "nonsense"),
        ("slow", "request", ""),
        ("log", "request", ""),
    ];
    let keys = |how: &str, at: &str| format!("config = {{ how = \"{how}\", at = \"{at}\" }}");
    let (first, at, _) = faults[0];
    let more = format!(
        "[node]\ndata = \"data\"\n[cache]\nmemory = \"2MiB\"\nmax_object = \"1MiB\"\n[[plugin]]\nname = \"f\"\nfile = \"f.wasm\"\n{}\n[site]\nfilters = [\"f\"]",
        keys(first, at)
    );
    let files = [("f.wasm", &plugin("filter-faults")[..])];
    let node = Node::start(BINARY, &config(&[&origin], &more), &files).await;
    let toml = std::fs::read_to_string(node.file("node.toml")).unwrap();
    for (how, at, kind) in faults {
        std::fs::write(node.file("node.toml"), toml.replace(&keys(first, faults[0].1), &keys(how, at))).unwrap();
        assert_eq!(node.admin("POST", "/v1/reload", "").await.0, 200, "{how} at {at}");
        let fault = format!("littoral_filter_faults_total{{plugin=\"f\",point=\"{at}\",kind=\"{kind}\"}}");
        let before = sum(&node.metrics().await, &fault);
        load(node.address("http"), how, false).await;
        let metrics = node.metrics().await;
        assert!(kind.is_empty() || sum(&metrics, &fault) > before, "{how} at {at}: no fault");
        assert_eq!(metrics["littoral_http_broken_total"], 0.0, "{how} at {at}");
    }
    // What it logged last: a line that is cut, ten a second whatever number of instances, and the rest is counted.
    let said = node.log();
    assert!(said.lines().filter(|line| line.contains("flood ")).all(|line| line.len() < 1500), "lines are bounded");
    let dropped = node.metrics().await["littoral_plugin_dropped_total{plugin=\"f\",what=\"line\"}"];
    let logged = said.lines().filter(|line| line.contains("flood ")).count() as f64;
    assert!(dropped > 1000.0 && logged < dropped / 10.0, "{logged} lines logged, {dropped} dropped");
}

#[tokio::test]
async fn all_plugins_together_keep_one_bound_and_a_request_does_without_what_finds_no_room() {
    let origin = Origin::start(|_| Response::ok(&["cache-control: max-age=60"], b"x")).await;
    let more = "[plugins]\nmemory = \"1MiB\"\n[[plugin]]\nname = \"f\"\nfile = \"f.wasm\"\nconfig = { how = \"\", at = \"response\" }\n[site]\nfilters = [\"f\"]";
    let node = Node::start(BINARY, &config(&[&origin], more), &[("f.wasm", &plugin("filter-faults"))]).await;
    let (_, told) = node.admin("GET", "/v1/plugins", "").await;
    assert!(
        told.contains(
            r#""grants":{"bodies":true,"deadline_ms":10,"memory_bytes":4194304,"places":false,"store_bytes":0}"#
        ),
        "{told}"
    );
    let get = async || node.get("site.example", "/a", &[]).await;
    let without = get().await;
    assert_eq!((without.status, without.field("x-half")), (200, ""));
    let metrics = node.metrics().await;
    assert!(metrics["littoral_plugin_all_memory_refused_total"] >= 1.0, "it found no room");
    assert_eq!(metrics["littoral_plugin_faults_total{plugin=\"f\",kind=\"busy\"}"], 4.0, "once at each point");
    assert_eq!(metrics["littoral_plugin_quarantined{plugin=\"f\"}"], 0.0, "it is not held against it");
    let roomy =
        std::fs::read_to_string(node.file("node.toml")).unwrap().replace("memory = \"1MiB\"", "memory = \"64MiB\"");
    std::fs::write(node.file("node.toml"), roomy).unwrap();
    assert_eq!(node.admin("POST", "/v1/reload", "").await.0, 200);
    assert_eq!(get().await.field("x-half"), "done");
    // What ended gives its own back.
    node.until("littoral_plugin_all_memory_bytes", 0.0).await;
}

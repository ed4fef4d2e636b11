//! Plugins that cannot be loaded: a node starts without them, says why, and goes on trying.

use std::process::Command;

use littoral_testkit::node::plugin;
use littoral_testkit::{Node, Origin, PATIENCE, Response, refused};
use serde_json::Value;
use tokio::io::AsyncReadExt;
use tokio::net::{TcpStream, UdpSocket};
use tokio::time::timeout;

use super::plugins::{ZONE, origin, seated};
use super::{BINARY, REQUIRED, config, services, upgrade};

const EXPLAIN: &str = "/v1/explain?client=192.0.2.7&name=s.z.example";
const LOADED: &str = "littoral_plugin_loaded{plugin=\"p\"}";
/// No answer of any policy.
const WRONG: &[u8] = b"[[case]]\nname = \"small\"\nadmit = {}\nexpect = { verdict = \"bypass\" }\n";
const RIGHT: &[u8] = b"[[case]]\nname = \"small\"\nadmit = {}\nexpect = { verdict = \"admit\" }\n";

/// `littoral check` of a node's config.
fn checked(node: &Node) -> (Option<i32>, String) {
    let output = Command::new(BINARY).args(["check", "-c"]).arg(node.file("node.toml")).output().unwrap();
    (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
}

/// What `/v1/plugins` tells of a plugin.
async fn told(node: &Node, name: &str) -> Value {
    let plugins: Value = serde_json::from_str(&node.admin("GET", "/v1/plugins", "").await.1).unwrap();
    plugins.as_array().unwrap().iter().find(|plugin| plugin["name"] == name).unwrap().clone()
}

async fn turned_away(node: &Node, name: &str) -> f64 {
    node.metrics().await[&format!("littoral_plugin_turned_away_total{{plugin={name:?}}}")]
}

/// A config with a cache policy that has these keys.
fn evicting(origin: &Origin, keys: &str) -> String {
    let text = seated(origin, "p").replace("route = \"p\"\nrate = \"p\"\n", "");
    text.replace("file = \"p.wasm\"", &format!("file = \"p.wasm\"\n{keys}"))
}

#[tokio::test]
async fn a_node_starts_without_a_policy_that_cannot_be_loaded_and_the_native_one_decides() {
    let origin = origin().await;
    let pin = format!("file = \"p.wasm\"\nsha256 = \"{}\"", "0".repeat(64));
    let trust =
        "[plugins]\ntrusted_keys = [\"ed25519:d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a\"]\n";
    let [geo, rate, faults] = ["route-geo", "rate-throughput", "policy-faults"].map(plugin);
    for (file, keys, more, expected) in [
        (&geo[..], "file = \"none.wasm\"", "", "none.wasm: cannot be read"),
        (&geo, "file = \"none.wasm\"\ndeadline = \"9ms\"", "", "none.wasm: cannot be read"),
        (b"no component", "file = \"p.wasm\"", "", "it is no WebAssembly component: build one"),
        (&rate, "file = \"p.wasm\"", "", "expected littoral:plugin/routing@0.1.x"),
        (&geo, &pin, "", "put the right file there or change the pin"),
        (&geo, "file = \"p.wasm\"", trust, "it is not signed: sign it with"),
        (&faults, "file = \"p.wasm\"\nconfig = { how = \"init\" }", "", "its init failed"),
        (&geo, "file = \"p.wasm\"\nvectors = \"v.toml\"", "", "v.toml"),
        (&geo, "file = \"p.wasm\"\nvectors = \"none.toml\"", "", "none.toml"),
    ] {
        let text = seated(&origin, "p").replace("rate = \"p\"\nevict = \"p\"\n", "").replace("file = \"p.wasm\"", keys);
        let text = text + more;
        let files = [("p.wasm", file), ("v.toml", WRONG), ("z.zone", ZONE)];
        let node = Node::start(BINARY, &text, &files).await;
        let log = node.log();
        let lines: Vec<_> = log.lines().filter(|line| line.contains("ERROR")).collect();
        assert!(lines.len() == 1 && lines[0].contains(expected), "{keys}: {log}");
        let is = told(&node, "p").await;
        assert_eq!((is["state"].as_str(), is["generation"].as_u64()), (Some("not-loaded"), Some(0)), "{keys}: {is}");
        assert!(is["problem"].as_str().unwrap().contains(expected), "{keys}: {is}");
        let metrics = node.metrics().await;
        assert_eq!((metrics[LOADED], metrics["littoral_plugin_generation{plugin=\"p\"}"]), (0.0, 0.0));
        let (status, decided) = node.admin("GET", EXPLAIN, "").await;
        assert!(status == 200 && decided.contains("203.0.113.1") && !decided.contains("\"p\""), "{keys}: {decided}");
        assert_eq!(node.admin("GET", "/readyz", "").await.0, 200);
        let (code, said) = checked(&node);
        assert!(code == Some(2) && said.contains(expected), "{keys}: check: {code:?} {said}");
        let required = match more {
            "" => text + REQUIRED,
            _ => text.replace("[plugins]\n", REQUIRED),
        };
        let (code, said) = refused(BINARY, &required, &files);
        assert!(code == Some(2) && said.contains(expected), "{keys}: required: {code:?} {said}");
    }
}

#[tokio::test]
async fn what_could_not_be_loaded_is_tried_again_by_itself() {
    let origin = origin().await;
    let files = [("p.wasm", &plugin("evict-lfu-size")[..]), ("v.toml", WRONG), ("z.zone", ZONE)];
    let node = Node::start(BINARY, &evicting(&origin, "vectors = \"v.toml\""), &files).await;
    assert_eq!(node.metrics().await[LOADED], 0.0);
    std::fs::write(node.file("v.toml"), RIGHT).unwrap();
    node.until(LOADED, 1.0).await;
    assert_eq!(told(&node, "p").await["state"], "running");
}

#[tokio::test]
async fn what_could_not_be_loaded_is_tried_when_it_or_the_config_is_reloaded() {
    let origin = origin().await;
    let files = [("p.wasm", &plugin("evict-lfu-size")[..]), ("v.toml", WRONG), ("z.zone", ZONE)];
    for path in ["/v1/plugins/p/reload", "/v1/reload"] {
        let text = evicting(&origin, "vectors = \"v.toml\"");
        let node = Node::start(BINARY, &text, &files).await;
        let (status, said) = node.admin("POST", path, "").await;
        assert!(said.contains("1 of 1 vectors of "), "{path}: {said}");
        assert_eq!(status, if path == "/v1/reload" { 200 } else { 422 }, "the rest of a config is put in force");
        let (status, said) = node.admin("POST", "/v1/plugins/p/promote", "").await;
        assert!(status == 422 && said.contains("is not loaded: "), "{said}");
        // What is new and cannot be loaded has the config refused, as ever.
        let other = format!("{text}\n[[plugin]]\nname = \"q\"\nfile = \"none.wasm\"\n");
        std::fs::write(node.file("node.toml"), &other).unwrap();
        let (status, said) = node.admin("POST", "/v1/reload", "").await;
        assert!(status == 422 && said.contains("none.wasm: cannot be read"), "{said}");
        std::fs::write(node.file("node.toml"), &text).unwrap();
        std::fs::write(node.file("v.toml"), RIGHT).unwrap();
        let (status, said) = node.admin("POST", path, "").await;
        assert!(status == 200 && !said.contains("vectors"), "{path}: {said}");
        assert_eq!(node.metrics().await[LOADED], 1.0, "{path}");
    }
}

#[tokio::test]
async fn requests_go_past_a_filter_that_is_not_loaded_unless_it_is_closed() {
    let origin = Origin::start(|_| Response::ok(&["cache-control: max-age=60"], b"x")).await;
    let keys = "config = { response = { set = { x-seen = \"1\" } } }";
    for (on_fault, status) in [("", 200), ("on_fault = \"closed\"", 503)] {
        let more =
            format!("[[plugin]]\nname = \"p\"\nfile = \"f.wasm\"\n{keys}\n{on_fault}\n[site]\nfilters = [\"p\"]\n");
        let node = Node::start(BINARY, &config(&[&origin], &more), &[]).await;
        for _ in 0..2 {
            let reply = node.get("site.example", "/a", &[]).await;
            assert_eq!((reply.status, reply.field("x-seen")), (status, ""), "{on_fault}");
        }
        assert_eq!(turned_away(&node, "p").await, if status == 503 { 2.0 } else { 0.0 });
        std::fs::write(node.file("f.wasm"), plugin("filter-headers")).unwrap();
        node.until(LOADED, 1.0).await;
        let reply = node.get("site.example", "/a", &[]).await;
        assert_eq!((reply.status, reply.field("x-seen")), (200, "1"), "{on_fault}");
    }
}

#[tokio::test]
async fn listeners_of_services_that_are_not_loaded_are_bound_and_close_at_once_or_drop() {
    let origin = services::origin().await;
    let more = ["service", "datagram"].map(|kind| {
        let plugin = format!("[[plugin]]\nname = \"{kind}\"\nfile = \"{kind}.wasm\"\n");
        plugin + &format!("[[listen.{kind}]]\nbind = \"127.0.0.1:0\"\nplugin = \"{kind}\"\n")
    });
    let swarm = "[[plugin]]\nname = \"swarm\"\nfile = \"swarm.wasm\"\ndeadline = \"500ms\"\n[[listen.swarm]]\nbind = \"127.0.0.1:0\"\ndatagrams = \"127.0.0.1:0\"\nplugin = \"swarm\"\n";
    let text = config(&[&origin], &(more.concat() + swarm));
    let node = Node::start(BINARY, &text, &[]).await;
    for name in ["service", "swarm"] {
        let mut stream = TcpStream::connect(node.address(name)).await.unwrap();
        let ended = timeout(PATIENCE, stream.read(&mut [0; 8])).await.expect("it is closed");
        assert!(matches!(ended, Ok(0) | Err(_)), "{name}: {ended:?}");
    }
    for (name, kind, count) in [("datagram", "datagram", 1.0), ("swarm", "swarm-datagram", 2.0)] {
        let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        socket.send_to(b"lost", node.address(kind)).await.unwrap();
        node.until(&format!("littoral_plugin_turned_away_total{{plugin={name:?}}}"), count).await;
    }
    assert_eq!(turned_away(&node, "service").await, 1.0);
    services::serves_http(&node).await;
    for (name, file) in
        [("service", "service-uppercase"), ("datagram", "datagram-uppercase"), ("swarm", "swarm-faults")]
    {
        std::fs::write(node.file(&format!("{name}.wasm")), plugin(file)).unwrap();
        node.until(&format!("littoral_plugin_loaded{{plugin={name:?}}}"), 1.0).await;
    }
    let mut talk = services::talk(node.address("service")).await;
    assert_eq!(talk.ask("hello").await.unwrap(), "HELLO");
    let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    socket.send_to(b"hello", node.address("datagram")).await.unwrap();
    let mut buffer = [0; 16];
    let length = timeout(PATIENCE, socket.recv(&mut buffer)).await.expect("it answers").unwrap();
    assert_eq!(&buffer[..length], b"HELLO");
    node.until("littoral_swarm_starts_total{plugin=\"swarm\"}", 1.0).await;
    let mut talk = services::talk(node.address("swarm")).await;
    assert_eq!(talk.ask("echo x").await.unwrap(), "x");
}

#[tokio::test]
async fn a_plugin_runs_alone_while_its_candidate_cannot_be_loaded() {
    let origin = origin().await;
    let text = evicting(&origin, "candidate = \"c.wasm\"\nshare = 10");
    let node = Node::start(BINARY, &text, &[("p.wasm", &plugin("evict-lfu-size")), ("z.zone", ZONE)]).await;
    let is = told(&node, "p").await;
    assert_eq!(is["state"], "running");
    assert!(is["candidate_problem"].as_str().unwrap().contains("c.wasm: cannot be read"), "{is}");
    let (status, said) = node.admin("POST", "/v1/reload", "").await;
    assert!(status == 200 && said.contains("its candidate is not loaded: "), "{said}");
    std::fs::write(node.file("c.wasm"), plugin("evict-lru")).unwrap();
    while told(&node, "p").await["rollout"]["state"] != "running" {}
    assert!(told(&node, "p").await["candidate_problem"].is_null());
}

#[tokio::test]
async fn an_upgrade_is_refused_while_what_works_here_cannot_be_loaded_there() {
    let origin = origin().await;
    let files = [("p.wasm", &plugin("evict-lfu-size")[..]), ("v.toml", RIGHT), ("z.zone", ZONE)];
    let mut node = Node::start(BINARY, &evicting(&origin, "vectors = \"v.toml\""), &files).await;
    std::fs::write(node.file("v.toml"), WRONG).unwrap();
    let (status, said) = node.admin("POST", "/v1/upgrade", "").await;
    assert!(status != 200 && said.contains("this one goes on"), "{status} {said}");
    assert!(node.log().contains("1 of 1 vectors of "), "{}", node.log());
    assert_eq!(told(&node, "p").await["state"], "running");
    std::fs::write(node.file("v.toml"), RIGHT).unwrap();
    upgrade::upgrade(&mut node).await;
    assert_eq!(node.ended().await, Some(0));
}

#[tokio::test]
async fn what_is_not_loaded_here_need_not_be_there_for_an_upgrade() {
    let origin = origin().await;
    let files = [("p.wasm", b"no component".as_slice()), ("z.zone", ZONE)];
    let mut node = Node::start(BINARY, &evicting(&origin, ""), &files).await;
    upgrade::upgrade(&mut node).await;
    assert_eq!(node.ended().await, Some(0));
    assert_eq!(told(&node, "p").await["state"], "not-loaded");
}

//! Guests that misbehave, in every seat, under traffic: no request fails.

use littoral_testkit::node::plugin;
use littoral_testkit::{Client, Node, Origin, Response};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::{BINARY, config, services};

pub(super) const ZONE: &[u8] = b"$ORIGIN z.example.\n@ 60 IN SOA ns h 1 1 1 1 1\n@ 60 IN NS ns\nns 60 IN A 192.0.2.1\n";

/// A config with `name` in all three seats, DASH and a service.
pub(super) fn seated(origin: &Origin, name: &str) -> String {
    let more = format!(
        "dns = [\"127.0.0.1:0\"]\n[cache]\nmemory = \"2MiB\"\nmax_object = \"1MiB\"\n[[plugin]]\nname = \"p\"\nfile = \"p.wasm\"\n\
         [policy]\nroute = \"{name}\"\nrate = \"{name}\"\nevict = \"{name}\"\n[[zone]]\nname = \"z.example.\"\nfile = \"z.zone\"\n\
         [[service]]\nname = \"s.z.example.\"\nclusters = [\"*\"]\nttl = \"1s\"\n\
         [[cluster]]\nid = \"one\"\ntier = \"home\"\nat = [0, 0]\ncapacity = \"1Gbps\"\nnodes = [{{ v4 = \"203.0.113.1\" }}]\n[site]\ndash = {{ auto = true }}"
    );
    config(&[origin], &more)
}

/// An origin with a title and files of any name.
pub(super) async fn origin() -> Origin {
    let asset = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../assets/netcinema/manifest.mpd");
    let mpd = std::fs::read(asset).unwrap();
    Origin::start(move |request| match request.path.ends_with(".mpd") {
        true => Response::ok(&["cache-control: max-age=60"], &mpd),
        false => Response::ok(&["cache-control: max-age=60"], &vec![1; 100 << 10]),
    })
    .await
}

#[tokio::test]
async fn a_guest_that_misbehaves_in_every_seat_never_costs_a_request() {
    let origin = origin().await;
    for name in ["spin", "grow", "trap", "nonsense"] {
        let wasm = plugin(name);
        let node = Node::start(BINARY, &seated(&origin, "p"), &[("p.wasm", &wasm), ("z.zone", ZONE)]).await;
        let mut client = Client::connect(node.address("http")).await;
        for number in 0..60 {
            // Twice: what was asked for before is admitted when it is crowded, so that something is evicted.
            for _ in 0..2 {
                let file = client.get("site.example", &format!("/{number}"), &[]).await;
                assert_eq!((file.status, file.whole), (200, true), "{name}");
            }
            let auto =
                client.get("site.example", "/title/seg-auto-00003.m4s", &["CMCD-Request: mtp=9000,bl=9000"]).await;
            assert_eq!(
                (auto.status, auto.field("x-littoral-representation").is_empty()),
                (200, false),
                "{name}: {auto:?}"
            );
            let (status, told) = node.admin("GET", "/v1/explain?client=192.0.2.7&name=s.z.example", "").await;
            assert!(status == 200 && told.contains("203.0.113.1"), "{name}: {told}");
        }
        let metrics = node.metrics().await;
        let faults: f64 = metrics
            .iter()
            .filter(|(key, _)| key.starts_with("littoral_plugin_faults_total"))
            .map(|(_, count)| count)
            .sum();
        assert!(faults >= 3.0, "{name}: {faults} faults");
        let bound = metrics["littoral_cache_memory_bound_bytes"];
        assert!(
            metrics["littoral_cache_memory_bytes"] <= bound && metrics["littoral_cache_evicted_total"] > 0.0,
            "{name}"
        );
        assert_eq!(metrics["littoral_http_broken_total"], 0.0, "{name}");
    }
}

#[tokio::test]
async fn the_last_backtrace_of_a_policy_a_filter_and_a_service_names_functions_of_the_guest() {
    let origin = services::origin().await;
    let more = "filters = [\"f\"]\n[policy]\nevict = \"p\"\n[[plugin]]\nname = \"p\"\nfile = \"p.wasm\"\n\
                [[plugin]]\nname = \"f\"\nfile = \"f.wasm\"\nconfig = { how = \"trap\", at = \"request\" }\n";
    let text = services::config(&origin, services::STORE, "") + more;
    let guests = ["trap", "filter-faults", "service-faults"].map(plugin);
    let files: [(&str, &[u8]); 3] = [("p.wasm", &guests[0]), ("f.wasm", &guests[1]), ("s.wasm", &guests[2])];
    let node = Node::start(BINARY, &text, &files).await;
    services::serves_http(&node).await;
    let mut peer = TcpStream::connect(node.address("service")).await.unwrap();
    peer.write_all(b"trap\n").await.unwrap();
    // It is counted before its connection ends.
    let _ = peer.read_to_end(&mut Vec::new()).await;
    let told: serde_json::Value = serde_json::from_str(&node.admin("GET", "/v1/plugins", "").await.1).unwrap();
    for (name, function) in [("p", "cache@0.1.0#admit"), ("f", "filter@0.1.0#on-request"), ("s", "service@0.1.0#serve")]
    {
        let one = told.as_array().unwrap().iter().find(|one| one["name"] == name).unwrap();
        let lines: Vec<_> = one["last_backtrace"].as_array().unwrap().iter().filter_map(|line| line.as_str()).collect();
        assert!(lines[0].contains("unreachable"), "{name}: {one}");
        assert!(lines.iter().any(|line| line.contains(function)), "{name}: {lines:?}");
    }
}

#[tokio::test]
async fn a_policy_is_replaced_under_traffic_by_the_api_and_by_a_changed_file() {
    let origin = origin().await;
    let good = plugin("evict-lfu-size");
    let config = seated(&origin, "p").replace("route = \"p\"\nrate = \"p\"\n", "");
    let node = Node::start(BINARY, &config, &[("p.wasm", &good), ("z.zone", ZONE)]).await;
    let address = node.address("http");
    let (stop, mut stopped) = tokio::sync::watch::channel(false);
    let load = tokio::spawn(async move {
        let mut client = Client::connect(address).await;
        let mut sent = 0;
        while !*stopped.borrow_and_update() {
            let reply = client.get("site.example", &format!("/{}", sent % 50), &[]).await;
            assert_eq!((reply.status, reply.whole), (200, true));
            sent += 1;
        }
        sent
    });
    assert_eq!(node.admin("POST", "/v1/plugins/p/reload", "").await, (200, r#"{"generation":2}"#.into()));
    // The same policy with a custom section more: a changed file that behaves as before.
    std::fs::write(node.file("p.new"), [&good[..], b"\0\x02\x01x"].concat()).unwrap();
    std::fs::rename(node.file("p.new"), node.file("p.wasm")).unwrap();
    while node.metrics().await["littoral_plugin_generation{plugin=\"p\"}"] < 3.0 {}
    std::fs::write(node.file("p.wasm"), b"no component").unwrap();
    let (status, said) = node.admin("POST", "/v1/plugins/p/reload", "").await;
    assert!(status == 422 && said.contains("p.wasm"), "{said}");
    stop.send(true).unwrap();
    assert!(load.await.unwrap() > 0);
    assert_eq!(node.metrics().await["littoral_http_broken_total"], 0.0);
}

#[tokio::test]
async fn a_reload_adds_a_plugin_seats_it_and_takes_it_out_again() {
    let origin = origin().await;
    let (evict, trap) = (plugin("evict-lfu-size"), plugin("trap"));
    let before = seated(&origin, "p").replace("route = \"p\"\nrate = \"p\"\n", "");
    let node = Node::start(BINARY, &before, &[("p.wasm", &evict), ("t.wasm", &trap), ("z.zone", ZONE)]).await;
    let with_trap = before.replace("evict = \"p\"", "evict = \"t\"") + "[[plugin]]\nname = \"t\"\nfile = \"t.wasm\"\n";
    std::fs::write(node.file("node.toml"), with_trap).unwrap();
    assert_eq!(node.admin("POST", "/v1/reload", "").await, (200, r#"{"needs_restart":[],"reloaded":true}"#.into()));
    assert_eq!(node.get("site.example", "/1", &[]).await.status, 200);
    assert_eq!(node.metrics().await["littoral_plugin_faults_total{plugin=\"t\",kind=\"trap\"}"], 1.0);
    assert!(node.admin("GET", "/v1/plugins", "").await.1.contains(r#""state":"running""#));
    std::fs::write(node.file("node.toml"), &before).unwrap();
    node.admin("POST", "/v1/reload", "").await;
    assert!(!node.admin("GET", "/v1/plugins", "").await.1.contains("\"t\""));
}

#[tokio::test]
async fn a_reload_in_which_one_plugin_fails_changes_none() {
    let origin = origin().await;
    let (evict, rate) = (plugin("evict-lfu-size"), plugin("rate-throughput"));
    let more = "[[plugin]]\nname = \"r\"\nfile = \"r.wasm\"\n";
    let before = seated(&origin, "p").replace("route = \"p\"\nrate = \"p\"\n", "") + more;
    let node = Node::start(BINARY, &before, &[("p.wasm", &evict), ("r.wasm", &rate), ("z.zone", ZONE)]).await;
    let changed = before.replace("file = \"p.wasm\"", "file = \"p.wasm\"\nfuel = 5000");
    let one_fails = changed.replace("file = \"r.wasm\"", "file = \"r.wasm\"\nconfig = { safety = 7 }");
    std::fs::write(node.file("node.toml"), &one_fails).unwrap();
    let (status, said) = node.admin("POST", "/v1/reload", "").await;
    assert!(status == 422 && said.contains("safety is 0.1 to 1.0"), "{said}");
    let generations = async || {
        let metrics = node.metrics().await;
        ["p", "r"].map(|name| metrics[&format!("littoral_plugin_generation{{plugin=\"{name}\"}}")])
    };
    assert_eq!(generations().await, [1.0, 1.0]);
    std::fs::write(node.file("node.toml"), &changed).unwrap();
    assert_eq!(node.admin("POST", "/v1/reload", "").await.0, 200);
    assert_eq!(generations().await, [2.0, 1.0]);
}

/// What `littoral plugin compile` makes of a core module: how it ended, its output, its complaint.
fn compile(core: &[u8]) -> (Option<i32>, Vec<u8>, String) {
    use std::io::Write;
    use std::process::Stdio;
    let mut command = std::process::Command::new(BINARY);
    command.args(["plugin", "compile"]).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    child.stdin.take().unwrap().write_all(core).unwrap();
    let output = child.wait_with_output().unwrap();
    (output.status.code(), output.stdout, String::from_utf8_lossy(&output.stderr).into_owned())
}

#[test]
fn a_process_of_its_own_compiles_a_module_or_says_in_one_line_why_not() {
    let (ended, code, complaint) = compile(b"\0asm\x01\0\0\0");
    assert!(ended == Some(0) && code.starts_with(b"\x7fELF") && complaint.is_empty(), "{complaint}");
    let (ended, code, complaint) = compile(b"\0asm\x01\0\0\0\xff");
    assert!(ended == Some(1) && code.is_empty() && complaint.lines().count() == 1, "{complaint}");
    assert!(complaint.contains("it cannot be compiled: "), "{complaint}");
}

#[tokio::test]
async fn a_plugin_whose_vectors_fail_is_not_loaded_and_the_old_one_stays() {
    let origin = origin().await;
    let (evict, trap) = (plugin("evict-lfu-size"), plugin("trap"));
    let vectors = b"[[case]]\nname = \"small\"\nadmit = {}\nexpect = { verdict = \"admit\" }\n";
    let config = seated(&origin, "p")
        .replace("route = \"p\"\nrate = \"p\"\n", "")
        .replace("file = \"p.wasm\"", "file = \"p.wasm\"\nvectors = \"v.toml\"");
    let node = Node::start(BINARY, &config, &[("p.wasm", &evict), ("v.toml", vectors), ("z.zone", ZONE)]).await;
    std::fs::write(node.file("p.wasm"), &trap).unwrap();
    let (status, said) = node.admin("POST", "/v1/plugins/p/reload", "").await;
    assert!(status == 422 && said.contains("1 of 1 vectors of ") && said.contains("small"), "{said}");
    assert_eq!(node.get("site.example", "/1", &[]).await.status, 200);
    let metrics = node.metrics().await;
    assert_eq!(metrics["littoral_plugin_generation{plugin=\"p\"}"], 1.0);
    assert_eq!(metrics["littoral_plugin_faults_total{plugin=\"p\",kind=\"trap\"}"], 0.0);
}

/// A component with a signature of a key that is made for it, and the public key.
fn signed(component: &[u8]) -> (Vec<u8>, String) {
    let (key, _) = littoral_plugin_host::signature::SecretKey::generate().unwrap();
    (key.sign(component).unwrap(), key.public().to_string())
}

#[tokio::test]
async fn a_node_that_trusts_keys_loads_what_they_signed_and_nothing_else() {
    let origin = origin().await;
    let evict = plugin("evict-lfu-size");
    let ((good, key), (strange, _)) = (signed(&evict), signed(&evict));
    let mut tampered = good.clone();
    tampered[100] ^= 1;
    let trust = format!("[plugins]\ntrusted_keys = [\"{key}\"]\n");
    let config = seated(&origin, "p").replace("route = \"p\"\nrate = \"p\"\n", "");
    let strict = config.clone() + &trust;
    let node = Node::start(BINARY, &strict, &[("p.wasm", &good), ("z.zone", ZONE)]).await;
    assert!(node.admin("GET", "/v1/plugins", "").await.1.contains(&format!("\"signed_by\":\"{key}\"")));
    for (file, expected) in [
        (&evict, "it is not signed: sign it with `littoral plugin sign"),
        (&strange, "which is not among plugins.trusted_keys"),
        (&tampered, "it was changed after ed25519:"),
    ] {
        std::fs::write(node.file("p.wasm"), file).unwrap();
        let (status, said) = node.admin("POST", "/v1/plugins/p/reload", "").await;
        assert!(status == 422 && said.contains(expected), "{said}");
    }
    assert_eq!(node.metrics().await["littoral_plugin_generation{plugin=\"p\"}"], 1.0);
    // While signing is introduced, it is a warning.
    std::fs::write(node.file("p.wasm"), &evict).unwrap();
    std::fs::write(node.file("node.toml"), strict + "signature = \"warn\"\n").unwrap();
    assert_eq!(node.admin("POST", "/v1/reload", "").await.0, 200);
    assert!(node.admin("GET", "/v1/plugins", "").await.1.contains("\"signed_by\":null"));
    assert_eq!(node.get("site.example", "/1", &[]).await.status, 200);
}

#[tokio::test]
async fn a_plugin_is_loaded_from_its_directory_with_its_vectors_and_again_when_its_file_is_replaced() {
    let origin = origin().await;
    let kept = tempfile::tempdir().unwrap();
    let (at, evict) = (kept.path(), plugin("evict-lfu-size"));
    let put = |name: &str, bytes: &[u8]| {
        std::fs::write(at.join(".new"), bytes).unwrap();
        std::fs::rename(at.join(".new"), at.join(name)).unwrap();
    };
    put("lfu.wasm", &evict);
    put("vectors.toml", b"[[case]]\nname = \"small\"\nadmit = {}\nexpect = { verdict = \"admit\" }\n");
    let config = seated(&origin, "p").replace("route = \"p\"\nrate = \"p\"\n", "");
    let config = config.replace("file = \"p.wasm\"", &format!("file = {at:?}"));
    let node = Node::start(BINARY, &config, &[("z.zone", ZONE)]).await;
    let generation = "littoral_plugin_generation{plugin=\"p\"}";
    assert_eq!(node.metrics().await[generation], 1.0, "{}", node.log());
    put("lfu.wasm", &plugin("evict-lru"));
    node.until(generation, 2.0).await;
    // One that fails the vectors is not loaded, and neither is a directory of which nobody can say what is meant.
    put("lfu.wasm", &plugin("trap"));
    let (status, said) = node.admin("POST", "/v1/plugins/p/reload", "").await;
    assert!(status == 422 && said.contains("1 of 1 vectors of ") && said.contains("vectors.toml"), "{said}");
    put("other.wasm", &evict);
    let (status, said) = node.admin("POST", "/v1/plugins/p/reload", "").await;
    assert!(status == 422 && said.contains("lfu.wasm and other.wasm: leave one there"), "{said}");
    assert_eq!(node.metrics().await[generation], 2.0);
}

//! Round-trip times from edge to decision, with real nodes: edges measure and tell, a node that directs hears them and answers by them.

use std::process::Command;

use littoral_testkit::node::plugin;
use littoral_testkit::{Client, Node, Origin, PATIENCE, Response};

use super::BINARY;
use super::upgrade::upgrade;

const ZONE: &[u8] = b"$ORIGIN cdn.example.\n$TTL 60\n@ IN SOA ns h 1 1 1 1 30\n@ IN NS ns\nns IN A 192.0.2.1\n";
/// A client near the cluster `one`, whose only node is at 127.0.0.1.
const CLIENT: &str = "198.51.100.0/24";

/// An edge at an address of this machine, with more keys of `[rtt]`.
fn edge_config(at: &str, rtt: &str) -> String {
    format!("[listen]\nhttp = [\"{at}:0\"]\nadmin = \"127.0.0.1:0\"\n[rtt]\n{rtt}\n")
}

/// A site whose origin is not there.
const SITE: &str = "[[site]]\nhosts = [\"*\"]\norigin = [\"http://127.0.0.1:9\"]";

async fn edge(at: &str) -> Node {
    Node::start(BINARY, &edge_config(at, &format!("tell = [\"127.0.0.0/8\"]\n{SITE}")), &[]).await
}

/// Tells an edge what somebody has measured from there.
async fn learn(edge: &Node, us: u32) {
    let text = format!("littoral-rtt 1\n{CLIENT} {us} 9 0\n");
    assert_eq!(edge.admin("POST", "/v1/rtt", &text).await, (200, "{\"taken\":1}".to_owned()));
}

/// A node that directs to two clusters, one at 127.0.0.1 and near [`CLIENT`], and asks their nodes, at these ports, for what they measured.
async fn director(ports: [u16; 2], age: &str) -> Node {
    let cluster = |id: &str, place: &str, address: &str, port: u16| {
        format!(
            "[[cluster]]\nid = \"{id}\"\ntier = \"home\"\nat = {place}\ncapacity = \"1Gbps\"\nnodes = [{{ v4 = \"{address}\" }}]\n\
             health = {{ port = {port}, down_after = 1000000, timeout = \"20s\" }}\n"
        )
    };
    let config = format!(
        "[listen]\ndns = [\"127.0.0.1:0\"]\nadmin = \"127.0.0.1:0\"\n{}{}\
         [geo]\noverride = [{{ prefix = \"198.51.0.0/16\", at = [48.9, 2.4] }}]\n[rtt]\nhear = \"50ms\"\nage = \"{age}\"\n\
         [[plugin]]\nname = \"p\"\nfile = \"p.wasm\"\nvectors = \"p.toml\"\n[policy]\nroute = \"p\"\n\
         [[zone]]\nname = \"cdn.example.\"\nfile = \"k.zone\"\n\
         [[service]]\nname = \"svc.cdn.example.\"\nclusters = [\"*\"]\nttl = \"20s\"\n",
        cluster("one", "[52.4, 4.9]", "127.0.0.1", ports[0]),
        cluster("two", "[40.7, -74.0]", "127.0.0.2", ports[1]),
    );
    let vectors = concat!(env!("CARGO_MANIFEST_DIR"), "/../plugins/policy/route-rtt/vectors.toml");
    let vectors = std::fs::read(vectors).unwrap();
    let files: [(&str, &[u8]); 3] = [("p.wasm", &plugin("route-rtt")), ("p.toml", &vectors), ("k.zone", ZONE)];
    Node::start(BINARY, &config, &files).await
}

/// What dig is told for a client subnet.
async fn asked(node: &Node, subnet: &str) -> String {
    let address = node.address("dns");
    let mut command = Command::new("dig");
    command
        .args([format!("@{}", address.ip()), "-p".into(), address.port().to_string(), format!("+subnet={subnet}")])
        .args(["+norec", "+tries=2", "svc.cdn.example", "A"]);
    let output = tokio::task::spawn_blocking(move || command.output()).await.unwrap();
    String::from_utf8_lossy(&output.expect("dig; `make setup` installs it").stdout).into_owned()
}

async fn until_answered(node: &Node, address: &str) -> String {
    let end = format!("\tA\t{address}\n");
    let asking = async {
        loop {
            let told = asked(node, CLIENT).await;
            if told.contains(&end) {
                return told;
            }
        }
    };
    tokio::time::timeout(PATIENCE, asking).await.unwrap_or_else(|_| panic!("{CLIENT} never gets {address}"))
}

fn ports(edges: [&Node; 2]) -> [u16; 2] {
    edges.map(|edge| edge.address("http").port())
}

#[tokio::test]
async fn answers_follow_what_edges_tell_and_distance_stands_in_when_they_fall_silent() {
    let (one, two) = (edge("127.0.0.1").await, edge("127.0.0.2").await);
    let patient = director(ports([&one, &two]), "1h").await;
    let hasty = director(ports([&one, &two]), "1s").await;
    for node in [&patient, &hasty] {
        let told = until_answered(node, "127.0.0.1").await;
        assert!(told.contains("CLIENT-SUBNET: 198.51.100.0/24/16"), "the whole network is alike: {told}");
    }
    learn(&one, 90_000).await;
    learn(&two, 12_000).await;
    until_answered(&hasty, "127.0.0.2").await;
    let told = until_answered(&patient, "127.0.0.2").await;
    assert!(told.contains("CLIENT-SUBNET: 198.51.100.0/24/24"), "{told}");
    // Its neighbours are not measured, and are told so.
    for (neighbour, scope) in [("198.51.101.0/24", 24), ("198.51.96.0/24", 22), ("198.51.200.0/24", 17)] {
        let told = asked(&patient, neighbour).await;
        let subnet = format!("CLIENT-SUBNET: {neighbour}/{scope}");
        assert!(told.contains("\tA\t127.0.0.1\n") && told.contains(&subnet), "{subnet}: {told}");
    }
    let (_, told) = patient.admin("GET", "/v1/explain?client=198.51.100.7&name=svc.cdn.example", "").await;
    let told: serde_json::Value = serde_json::from_str(&told).unwrap();
    assert_eq!((&told["reason"], &told["policy"], &told["clusters"][0]), (&"rtt".into(), &"p".into(), &"two".into()));
    let rtt = &told["candidates"][1]["rtt"];
    assert_eq!((&rtt["us"], &rtt["samples"], &rtt["decides"]), (&12_000.into(), &9.into(), &true.into()));
    assert_eq!((&rtt["prefix"], &rtt["by"]), (&CLIENT.into(), &two.address("http").to_string().into()));
    let metrics = patient.metrics().await;
    assert_eq!((metrics["littoral_rtt_known"], metrics["littoral_rtt_heard_total{outcome=\"refused\"}"]), (1.0, 0.0));
    assert!(metrics["littoral_dns_decisions_total{reason=\"rtt\"}"] >= 1.0);
    learn(&two, 200_000).await;
    until_answered(&patient, "127.0.0.1").await;
    learn(&two, 12_000).await;
    until_answered(&hasty, "127.0.0.2").await;
    // The second one tells no more: who does not wait for it for long goes by distance again, and the other by what it knows.
    for edge in [&one, &two] {
        std::fs::write(edge.file("node.toml"), edge_config(&edge.address("http").ip().to_string(), SITE)).unwrap();
        assert_eq!(edge.admin("POST", "/v1/reload", "").await.0, 200);
    }
    until_answered(&hasty, "127.0.0.1").await;
    hasty.until("littoral_rtt_known", 0.0).await;
    assert_eq!(patient.metrics().await["littoral_rtt_known"], 1.0);
}

#[tokio::test]
async fn the_policy_tells_what_it_goes_by_when_it_is_asked_to_explain() {
    let (one, two) = (edge("127.0.0.1").await, edge("127.0.0.2").await);
    let node = director(ports([&one, &two]), "1h").await;
    learn(&one, 90_000).await;
    learn(&two, 12_000).await;
    until_answered(&node, "127.0.0.2").await;
    let calls = async || node.metrics().await["littoral_plugin_calls_total{plugin=\"p\"}"];
    let before = calls().await;
    let (_, told) = node.admin("GET", "/v1/explain?client=198.51.100.7&name=svc.cdn.example", "").await;
    let told: serde_json::Value = serde_json::from_str(&told).unwrap();
    let terms = |at: usize| {
        let terms = told["candidates"][at]["terms"].as_array().unwrap().iter();
        terms
            .map(|term| (term["name"].as_str().unwrap().to_owned(), term["value"].as_f64().unwrap()))
            .collect::<Vec<_>>()
    };
    let named = |figures: [f64; 4]| {
        let names = ["measured-us", "slower-us", "margin-us", "cost-us"].map(str::to_owned);
        names.into_iter().zip(figures).collect::<Vec<_>>()
    };
    assert_eq!(terms(0), named([90_000.0, 0.0, -9_000.0, 81_000.0]), "by distance it would be the first: {told}");
    assert_eq!(terms(1), named([12_000.0, 0.0, 0.0, 12_000.0]), "{told}");
    assert_eq!(told["terms_missing"], serde_json::Value::Null, "{told}");
    assert_eq!(calls().await, before + 1.0, "the decision is a call, what it is made of is none");
}

#[tokio::test]
async fn what_a_hostile_node_tells_is_refused_and_counted_and_changes_nothing() {
    let hostile = Origin::start(|request| match request.path.as_str() {
        "/.well-known/littoral/rtt" => Response::ok(&[], b"littoral-rtt 1\n198.51.100.0/24 0 1 1\n"),
        _ => Response::ok(&[], b"{}"),
    })
    .await;
    let port = hostile.url().rsplit(':').next().unwrap().parse().unwrap();
    // At the other cluster's address nobody listens.
    let node = director([port, port], "1h").await;
    let refused = async { while node.metrics().await["littoral_rtt_heard_total{outcome=\"refused\"}"] < 2.0 {} };
    tokio::time::timeout(PATIENCE, refused).await.expect("a text that is refused");
    let metrics = node.metrics().await;
    assert_eq!((metrics["littoral_rtt_known"], metrics["littoral_rtt_heard_total{outcome=\"heard\"}"]), (0.0, 0.0));
    assert!(metrics["littoral_rtt_heard_total{outcome=\"failed\"}"] >= 1.0, "the other one does not answer at all");
    assert!(node.log().contains("round-trip times are refused"), "{}", node.log());
    until_answered(&node, "127.0.0.1").await;
}

#[tokio::test]
async fn an_edge_measures_its_connections_and_tells_whom_it_should() {
    let origin = Origin::start(|_| Response::ok(&["cache-control: max-age=60"], b"x")).await;
    let more = format!("measure = true\nsamples = 5\n[[site]]\nhosts = [\"*\"]\norigin = [{:?}]", origin.url());
    let node = Node::start(BINARY, &edge_config("127.0.0.1", &format!("tell = [\"192.0.2.1\"]\n{more}")), &[]).await;
    let mut client = Client::connect(node.address("http")).await;
    for _ in 0..50 {
        assert_eq!(client.get("site.example", "/a", &[]).await.status, 200);
    }
    let metrics = node.metrics().await;
    assert_eq!(
        metrics["littoral_rtt_measured_total{outcome=\"kept\"}"], 1.0,
        "once for a connection, whatever it asks for"
    );
    assert_eq!(node.admin("GET", "/v1/rtt", "").await.1, "littoral-rtt 1\n", "too few to be told");
    for _ in 0..5 {
        let told = node.get("site.example", "/.well-known/littoral/rtt", &[]).await;
        assert_eq!((told.status, &told.body[..]), (403, &b"rtt.tell does not name you\n"[..]));
    }
    let (_, told) = node.admin("GET", "/v1/rtt", "").await;
    assert!(told.contains("\n127.0.0.0/24 "), "{told}");
    let metrics = node.metrics().await;
    assert_eq!((metrics["littoral_rtt_told_total{outcome=\"refused\"}"], metrics["littoral_rtt_kept"]), (5.0, 1.0));
    let (status, told) = node.admin("POST", "/v1/rtt", "nonsense").await;
    assert!(status == 400 && told.contains("line 1: it begins with"), "{told}");
    // Without `tell` the path is the sites'.
    std::fs::write(node.file("node.toml"), edge_config("127.0.0.1", &more)).unwrap();
    assert_eq!(node.admin("POST", "/v1/reload", "").await.0, 200);
    let told = node.get("site.example", "/.well-known/littoral/rtt", &[]).await;
    assert_eq!((told.status, &told.body[..]), (200, &b"x"[..]));
}

#[tokio::test]
async fn what_was_measured_outlives_an_upgrade_and_a_restart_and_a_broken_file_costs_one_warning() {
    let data = tempfile::tempdir().unwrap();
    let config = format!("[node]\ndata = {:?}\n{}", data.path(), edge_config("127.0.0.1", SITE));
    let mut node = Node::start(BINARY, &config, &[]).await;
    learn(&node, 21_500).await;
    let told = async |node: &Node| node.admin("GET", "/v1/rtt", "").await.1;
    let is_known = |told: &str| told.contains(&format!("\n{CLIENT} 21500 9 "));
    upgrade(&mut node).await;
    let text = told(&node).await;
    assert!(is_known(&text), "{text}\n{}", node.log());
    assert_eq!(node.ended().await, Some(0));
    // Killed, with the file as it was handed over.
    drop(node);
    let mut node = Node::start(BINARY, &config, &[]).await;
    let text = told(&node).await;
    assert!(is_known(&text), "{text}\n{}", node.log());
    let text = "littoral-rtt 1\n192.0.2.0/24 9000 5 0\n";
    assert_eq!(node.admin("POST", "/v1/rtt", text).await.0, 200);
    node.signal("TERM");
    assert_eq!(node.ended().await, Some(0));
    let mut node = Node::start(BINARY, &config, &[]).await;
    let text = told(&node).await;
    assert!(is_known(&text) && text.contains("\n192.0.2.0/24 9000 5 "), "{text}\n{}", node.log());
    node.signal("TERM");
    assert_eq!(node.ended().await, Some(0));
    let file = data.path().join("rtt");
    let broken = std::fs::read_to_string(&file).unwrap().replace(" 21500 ", " 11500 ");
    std::fs::write(&file, broken).unwrap();
    let node = Node::start(BINARY, &config, &[]).await;
    assert_eq!(told(&node).await, "littoral-rtt 1\n");
    assert_eq!(node.log().matches("kept round-trip times cannot be used").count(), 1, "{}", node.log());
}

#[tokio::test]
async fn prefixes_that_may_be_probed_are_and_what_clients_show_stands_before_it() {
    // Who is probed: one answers, the other has nobody at that port.
    let listener = std::net::TcpListener::bind("127.0.7.9:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let grant =
        "[rtt.probe]\nallow = [\"127.0.7.0/24\", \"127.0.8.1/32\"]\naddresses = [\"127.0.7.9\"]\nevery = \"1s\"";
    let rtt = format!("tell = [\"127.0.0.0/8\"]\n{grant}\nport = {port}\n{SITE}");
    let probing = Node::start(BINARY, &edge_config("127.0.0.1", &rtt), &[]).await;
    let idle = edge("127.0.0.2").await;
    for outcome in ["answered", "refused"] {
        until_at_least(&probing, &format!("littoral_rtt_probes_total{{outcome=\"{outcome}\"}}"), 1.0).await;
    }
    let (_, told) = probing.admin("GET", "/v1/rtt", "").await;
    let lines: Vec<_> = told.lines().skip(1).collect();
    assert!(lines.len() == 2 && lines.iter().all(|line| line.ends_with(" probes")), "{told}");
    assert!(lines[0].starts_with("127.0.7.0/24 ") && lines[1].starts_with("127.0.8.0/24 "), "{told}");
    let node = director(ports([&probing, &idle]), "10m").await;
    node.until("littoral_rtt_known", 2.0).await;
    let means = async || {
        let (_, told) = node.admin("GET", "/v1/explain?client=127.0.7.30&name=svc.cdn.example", "").await;
        let told: serde_json::Value = serde_json::from_str(&told).unwrap();
        told["candidates"][0]["rtt"]["means"].clone()
    };
    assert_eq!(means().await, "probes");
    let text = "littoral-rtt 1\n127.0.7.0/24 21500 9 0\n";
    assert_eq!(probing.admin("POST", "/v1/rtt", text).await, (200, "{\"taken\":1}".to_owned()));
    until_at_least(&probing, "littoral_rtt_probes_total{outcome=\"known\"}", 1.0).await;
    let (_, told) = probing.admin("GET", "/v1/rtt", "").await;
    // Figures of the other prefix may be any, and are of probes.
    let of_clients: Vec<_> = told.lines().filter(|line| line.starts_with("127.0.7.0/24 ")).collect();
    assert!(of_clients.len() == 1 && of_clients[0].starts_with("127.0.7.0/24 21500 9 "), "{told}");
    assert!(!of_clients[0].ends_with(" probes"), "{told}");
    let heard = async { while means().await != "connections" {} };
    tokio::time::timeout(PATIENCE, heard).await.expect("what connections show is heard");
    assert_eq!(
        idle.metrics().await["littoral_rtt_probes_total{outcome=\"answered\"}"],
        0.0,
        "nothing is granted there"
    );
}

async fn until_at_least(node: &Node, sample: &str, value: f64) {
    let came = async { while node.metrics().await.get(sample).is_none_or(|now| *now < value) {} };
    tokio::time::timeout(PATIENCE, came).await.unwrap_or_else(|_| panic!("{sample} never gets {value}"));
}

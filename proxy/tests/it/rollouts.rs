//! Roll-outs on a node: begun, ended by faults, changed and promoted under load, and who is asked.

use std::net::{Ipv4Addr, SocketAddr};

use littoral_testkit::node::plugin;
use littoral_testkit::{Client, Node, Origin, Response};
use serde_json::Value;
use tokio::net::TcpSocket;

use super::cli::littoral;
use super::load::Load;
use super::plugins::{ZONE, seated};
use super::{BINARY, config};

/// The same component in other bytes.
fn twin(name: &str, number: u8) -> Vec<u8> {
    [&plugin(name)[..], &[0, 2, 1, number]].concat()
}

/// A node with `filter-headers` and a candidate, whose config has `keys` more.
async fn filtered(origin: &Origin, candidate: &[u8], keys: &str) -> Node {
    let more = format!(
        "[[plugin]]\nname = \"f\"\nfile = \"f.wasm\"\ncandidate = \"c.wasm\"\non_fault = \"closed\"\n\
         config = {{ request = {{ set = {{ x-a = \"1\" }} }}, response = {{ set = {{ x-seen = \"1\" }} }} }}\n{keys}\n\
         [site]\nfilters = [\"f\"]\ndefault_ttl = \"1m\"\n"
    );
    let files: [(&str, &[u8]); 2] = [("f.wasm", &plugin("filter-headers")), ("c.wasm", candidate)];
    Node::start(BINARY, &config(&[origin], &more), &files).await
}

/// What `/v1/plugins` tells of a plugin.
async fn told(node: &Node, name: &str) -> Value {
    let plugins: Value = serde_json::from_str(&node.admin("GET", "/v1/plugins", "").await.1).unwrap();
    plugins.as_array().unwrap().iter().find(|plugin| plugin["name"] == name).unwrap().clone()
}

/// Waits until a plugin's roll-out is in this state.
async fn is_in(node: &Node, name: &str, state: &str) {
    while told(node, name).await["rollout"]["state"] != state {}
}

async fn roll_out(node: &Node, name: &str, percent: u8) -> (u16, String) {
    node.admin("POST", &format!("/v1/plugins/{name}/rollout"), &format!("{{\"percent\":{percent}}}")).await
}

/// Puts another file in the place of one, at once.
fn replace(node: &Node, name: &str, content: &[u8]) {
    std::fs::write(node.file("next"), content).unwrap();
    std::fs::rename(node.file("next"), node.file(name)).unwrap();
}

#[tokio::test]
async fn no_request_fails_while_candidates_of_a_filter_are_tried_fail_and_are_promoted() {
    let origin = Origin::start(|_| Response::ok(&["cache-control: max-age=60"], b"hello")).await;
    let node = filtered(&origin, &twin("filter-headers", 1), "").await;
    let (load, clients) = Load::plain(node.address("http"));
    load.answers(10).await;
    assert_eq!(roll_out(&node, "f", 100).await, (200, r#"{"generation":2}"#.into()));
    load.answers(10).await;
    let metrics = node.metrics().await;
    assert_eq!(metrics["littoral_plugin_rollout_percent{plugin=\"f\"}"], 100.0);
    assert!(metrics["littoral_plugin_rollout_calls_total{plugin=\"f\",side=\"candidate\"}"] > 0.0);
    // The new file is tried at once, at the share that the config gives.
    assert_eq!(roll_out(&node, "f", 0).await.0, 200);
    replace(&node, "c.wasm", &plugin("filter-trap"));
    while told(&node, "f").await["rollout"]["generation"] != 3 {}
    roll_out(&node, "f", 100).await;
    is_in(&node, "f", "rolled-back").await;
    load.answers(10).await;
    let now = told(&node, "f").await;
    assert_eq!((now["generation"].as_u64(), now["state"].as_str()), (Some(1), Some("running")), "{now}");
    assert!(now["rollout"]["candidate"]["faults"].as_u64() >= Some(3), "{now}");
    assert_eq!(now["rollout"]["present"]["faults"], 0, "{now}");
    replace(&node, "c.wasm", &twin("filter-headers", 2));
    is_in(&node, "f", "running").await;
    assert_eq!(roll_out(&node, "f", 50).await.0, 200);
    load.answers(10).await;
    assert_eq!(node.admin("POST", "/v1/plugins/f/promote", "").await, (200, r#"{"generation":4}"#.into()));
    load.answers(10).await;
    assert_eq!(load.end(clients).await, (0, 0), "requests that failed, clients that nobody met");
    assert_eq!(node.metrics().await["littoral_http_broken_total"], 0.0);
    assert_eq!(told(&node, "f").await["generation"], 4);
    assert_eq!(node.get("site.example", "/hit", &[]).await.field("x-seen"), "1");
}

#[tokio::test]
async fn no_request_fails_while_a_candidate_of_a_policy_in_every_seat_fails_at_everything() {
    let origin = Origin::start(|_| Response::ok(&["cache-control: max-age=60"], &[b'x'; 20 << 10])).await;
    let keys = "file = \"p.wasm\"\ncandidate = \"c.wasm\"\nshare = 100";
    let seats = seated(&origin, "p").replace("route = \"p\"\nrate = \"p\"\n", "").replace("file = \"p.wasm\"", keys);
    let (present, candidate) = (plugin("evict-lfu-size"), plugin("trap"));
    let files: [(&str, &[u8]); 3] = [("p.wasm", &present), ("c.wasm", &candidate), ("z.zone", ZONE)];
    let node = Node::start(BINARY, &seats, &files).await;
    let (load, clients) = Load::plain(node.address("http"));
    is_in(&node, "p", "rolled-back").await;
    load.answers(10).await;
    assert_eq!(load.end(clients).await, (0, 0));
    let now = told(&node, "p").await;
    assert_eq!((now["generation"].as_u64(), now["state"].as_str()), (Some(1), Some("running")), "{now}");
    assert!(now["rollout"]["fault"].as_str().unwrap().contains("trapped"), "{now}");
    let faults = node.metrics().await["littoral_plugin_rollout_faults_total{plugin=\"p\",side=\"present\"}"];
    assert_eq!(faults, 0.0);
}

#[tokio::test]
async fn all_requests_of_a_client_and_all_points_of_each_are_of_one_generation() {
    let origin = Origin::start(|_| Response::ok(&["cache-control: max-age=60"], b"hello")).await;
    let node = filtered(&origin, &twin("filter-headers", 1), "share = 50").await;
    let round = async || {
        for number in 2..62 {
            let socket = TcpSocket::new_v4().unwrap();
            socket.bind(SocketAddr::from((Ipv4Addr::new(127, 0, 0, number), 0))).unwrap();
            let mut client = Client::over(socket.connect(node.address("http")).await.unwrap());
            for path in ["/a", "/b"] {
                assert_eq!(client.get("site.example", path, &[]).await.field("x-seen"), "1");
            }
        }
        let sides = told(&node, "f").await["rollout"].clone();
        ["present", "candidate"].map(|side| sides[side]["calls"].as_u64().unwrap())
    };
    let first = round().await;
    // Two requests at two points each.
    assert_eq!((first[0] + first[1], first[0] % 4, first[1] % 4), (240, 0, 0), "{first:?}");
    assert!(first[0] > 0 && first[1] > 0, "{first:?}");
    assert_eq!(round().await, first.map(|calls| 2 * calls));
}

#[tokio::test]
async fn an_operator_rolls_out_from_the_terminal() {
    let origin = Origin::start(|_| Response::ok(&[], b"hello")).await;
    let node = filtered(&origin, &twin("filter-headers", 1), "").await;
    let admin = node.address("admin").to_string();
    let tool = async |arguments: &[&str], code: i32, expected: &str| {
        let (ended, said) = littoral(&[&["plugin"], arguments, &["--admin", &admin]].concat()).await;
        assert!(ended == Some(code) && said.contains(expected), "{arguments:?}: {ended:?} {said}");
    };
    tool(&["rollout", "f", "2.5"], 0, "f: generation 2 is asked about 2.5 % of the requests").await;
    tool(&["ls"], 0, "1 + 2 at 2.5%").await;
    tool(&["abort", "f"], 0, "f: generation 1 runs alone").await;
    tool(&["promote", "f"], 1, "its candidate is not tried now").await;
    tool(&["rollout", "f", "101"], 2, "a share is 0 to 100 percent, not 101").await;
    tool(&["rollout", "nobody", "5"], 1, "no plugin is called").await;
    tool(&["rollout", "f", "100"], 0, "generation 3").await;
    tool(&["promote", "f"], 0, "generation 3 runs; now name its file").await;
    // The config still names both files, and says nothing new.
    assert_eq!(node.admin("POST", "/v1/reload", "").await.0, 200);
    assert_eq!(told(&node, "f").await["generation"], 3);
}

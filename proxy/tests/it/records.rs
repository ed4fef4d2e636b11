//! What a node's policies decide is recorded, and replayed by the command that authors have.

use std::process::Command;

use littoral_testkit::node::{plugin, plugin_file};
use littoral_testkit::{Node, Origin, Response};

use super::{BINARY, config};

#[tokio::test]
async fn decisions_of_a_running_node_are_recorded_and_replayed() {
    let origin = Origin::start(|_| Response::ok(&["cache-control: max-age=60"], b"x")).await;
    let more =
        "[[plugin]]\nname = \"keep\"\nfile = \"keep.wasm\"\nrecord = \"keep.jsonl\"\n[policy]\nevict = \"keep\"\n";
    let node = Node::start(BINARY, &config(&[&origin], more), &[("keep.wasm", &plugin("evict-lfu-size"))]).await;
    for number in 0..5 {
        assert_eq!(node.get("site.example", &format!("/{number}"), &[]).await.status, 200);
    }
    node.until("littoral_plugin_recorded_total{plugin=\"keep\",outcome=\"written\"}", 5.0).await;
    assert_eq!(node.metrics().await["littoral_plugin_recorded_total{plugin=\"keep\",outcome=\"dropped\"}"], 0.0);
    let told: serde_json::Value = serde_json::from_str(&node.admin("GET", "/v1/plugins", "").await.1).unwrap();
    assert_eq!(told[0]["record"]["decisions"], 5);
    let replay = |name: &str, more: &[&str]| {
        let mut command = Command::new(BINARY);
        let output =
            command.args(["plugin", "replay"]).arg(node.file("keep.jsonl")).arg(plugin_file(name)).args(more).output();
        let output = output.unwrap();
        (output.status.code(), String::from_utf8(output.stdout).unwrap())
    };
    let (ended, said) = replay("evict-lfu-size", &[]);
    assert!(ended == Some(0) && said.starts_with("admit: 5 asked, 0 answered otherwise, 0 faults, "), "{said}");
    let (ended, said) = replay("nonsense", &[]);
    assert!(ended == Some(1) && said.contains("     5  admit -> bypass\n") && said.contains("generation 1"), "{said}");
    let told: serde_json::Value = serde_json::from_str(&replay("nonsense", &["--json"]).1).unwrap();
    assert_eq!(told["functions"]["admit"]["different"], 5);
    assert_eq!(replay("nowhere", &[]).0, Some(2));
    let ls =
        Command::new(BINARY).args(["plugin", "ls", "--admin", &node.address("admin").to_string()]).output().unwrap();
    let told = String::from_utf8(ls.stdout).unwrap();
    let line: Vec<_> = told.lines().nth(1).unwrap().split_whitespace().collect();
    assert!(line.starts_with(&["keep", "cache", "running", "1", "5", "0"]) && told.contains("recorded in "), "{told}");
}

//! What a node's policies decide is recorded, and replayed by the command that authors have.

use std::process::Command;

use littoral_testkit::node::{plugin, plugin_file};
use littoral_testkit::{Body, Client, Gate, Node, Origin, Response};

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

#[tokio::test]
async fn admission_is_asked_once_for_each_fill_however_many_read_it_and_however_it_goes_on() {
    let gate = Gate::default();
    let held = gate.clone();
    let fields = ["cache-control: max-age=60", "etag: \"a\""];
    let origin = Origin::start(move |request| match (request.path.as_str(), request.field("range")) {
        ("/shared", _) => Response::with(&fields, Body::Gated(b"first ".to_vec(), held.clone(), b"second".to_vec())),
        ("/broken", None) => Response::with(&fields, Body::CutShort(10, b"half".to_vec())),
        ("/broken", Some(_)) => {
            let fields = [fields[0], fields[1], "content-range: bytes 4-9/10"];
            Response { status: 206, ..Response::ok(&fields, b"the re") }
        }
        _ => Response::ok(&fields, b"x"),
    })
    .await;
    let directory = tempfile::tempdir().unwrap();
    let more = format!(
        "[cache]\ndisk = {{ path = {:?}, size = \"64MiB\", min_free = \"0\" }}\n\
         [[plugin]]\nname = \"keep\"\nfile = \"keep.wasm\"\nrecord = \"keep.jsonl\"\n[policy]\nevict = \"keep\"\n",
        directory.path()
    );
    let node = Node::start(BINARY, &config(&[&origin], &more), &[("keep.wasm", &plugin("evict-lfu-size"))]).await;
    let mut readers = Vec::new();
    for _ in 0..4 {
        let mut reader = Client::connect(node.address("http")).await;
        reader.send("GET /shared HTTP/1.1\r\nHost: site.example\r\n\r\n").await;
        reader.head().await.unwrap();
        readers.push(reader);
    }
    gate.open();
    for reader in &mut readers {
        assert_eq!(reader.bytes(12).await, b"first second");
    }
    assert_eq!(node.get("site.example", "/broken", &[]).await.body, b"halfthe re");
    node.until("littoral_cache_objects", 2.0).await;
    for path in ["/shared", "/broken", "/shared", "/broken", "/plain", "/plain"] {
        assert_eq!(node.get("site.example", path, &[]).await.status, 200);
    }
    assert_eq!(["/shared", "/broken", "/plain"].map(|path| origin.count(path)), [1, 2, 1]);
    // Decisions are written in the order they were made, and that of /plain was the last.
    let written = "littoral_plugin_recorded_total{plugin=\"keep\",outcome=\"written\"}";
    while node.metrics().await[written] < 3.0 {}
    let output = Command::new(BINARY)
        .args(["plugin", "replay"])
        .args([node.file("keep.jsonl"), plugin_file("evict-lfu-size")])
        .output()
        .unwrap();
    let said = String::from_utf8(output.stdout).unwrap();
    assert!(said.starts_with("admit: 3 asked, "), "{said}");
}

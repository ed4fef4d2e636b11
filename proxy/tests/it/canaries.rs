//! Vectors of services before a generation goes live, in a node; and the author's tools that ask them.

use littoral_testkit::node::{plugin, plugin_file};
use littoral_testkit::{Node, refused};

use super::services::{config, origin, talk};
use super::{BINARY, REQUIRED, author::tool};

const VECTORS: &str = "[[case]]\nname = \"loud\"\nturns = [{ says = \"hello\\n\", hears = \"HELLO\\n\" }]\n";

#[tokio::test]
async fn a_service_that_fails_its_vectors_stays_out_with_the_case_and_one_that_is_mended_comes_in() {
    let origin = origin().await;
    // It dials, so that the one which takes its place may import that.
    let config = config(&origin, "vectors = \"v.toml\"\ndial = [\"a.example:25\"]", "");
    let (good, bad) = (plugin("service-uppercase"), plugin("service-gateway"));
    let node = Node::start(BINARY, &config, &[("s.wasm", &good), ("v.toml", VECTORS.as_bytes())]).await;
    std::fs::write(node.file("s.wasm"), &bad).unwrap();
    let (status, said) = node.admin("POST", "/v1/plugins/s/reload", "").await;
    assert!(status == 422 && said.contains("1 of 1 vectors of ") && said.contains("loud"), "{said}");
    assert!(said.contains(r#"turn 1: expected \"HELLO\\n\", got \"no: "#), "{said}");
    assert_eq!(talk(node.address("service")).await.ask("still").await.unwrap(), "STILL");
    assert_eq!(node.metrics().await["littoral_plugin_generation{plugin=\"s\"}"], 1.0);
    let mended = [&good[..], b"\0\x02\x01x"].concat();
    std::fs::write(node.file("s.wasm"), mended).unwrap();
    // Who watches the file may have been faster.
    assert_eq!(node.admin("POST", "/v1/plugins/s/reload", "").await.0, 200);
    assert!(node.metrics().await["littoral_plugin_generation{plugin=\"s\"}"] >= 2.0);
    assert_eq!(talk(node.address("service")).await.ask("mended").await.unwrap(), "MENDED");
}

#[tokio::test]
async fn a_node_does_not_start_with_a_service_that_it_requires_and_that_fails_its_vectors() {
    let origin = origin().await;
    let config = config(&origin, "vectors = \"v.toml\"", "") + REQUIRED;
    let vectors = VECTORS.replace("HELLO", "hello");
    let files: [(&str, &[u8]); 2] = [("s.wasm", &plugin("service-uppercase")), ("v.toml", vectors.as_bytes())];
    let (_, said) = refused(BINARY, &config, &files);
    assert!(said.contains(r#"turn 1: expected "hello\n", got "HELLO\n""#), "{said}");
}

#[test]
fn the_tools_ask_services_and_tell_conversations() {
    let directory = tempfile::tempdir().unwrap();
    let vectors = directory.path().join("v.toml").display().to_string();
    std::fs::write(&vectors, VECTORS).unwrap();
    let service = plugin_file("service-uppercase").display().to_string();
    let (ended, out, said) = tool(&["test", &service, "--vectors", &vectors]);
    assert_eq!((ended, out.as_str()), (Some(0), "ok    loud\n1 of 1 cases pass\n"), "{said}");
    let (ended, out, _) = tool(&["run", &service, "turns = [{ says = \"a\\n\" }]"]);
    assert!(
        ended == Some(0) && out.starts_with("client: \"a\\n\"\nservice to client: \"A\\n\"\n  the client ended"),
        "{out}"
    );
    let (ended, out, _) = tool(&["run", &service, "turns = [{ says = \"a\\n\", hears = \"b\" }]", "--json"]);
    let told: serde_json::Value = serde_json::from_str(&out).unwrap();
    assert!(ended == Some(1) && told["differs"] == "turn 1: expected \"b\", got \"A\\n\"", "{told}");
    let (ended, _, said) = tool(&["run", &service, "turns = [{ sayz = \"a\" }]"]);
    assert!(ended == Some(2) && said.contains("1:12: unknown field `sayz`"), "{said}");
    let (ended, out, _) = tool(&["bench", &service, "--calls", "64", "--vectors", &vectors]);
    assert!(ended == Some(0) && out.contains("serve ") && out.contains("  loud"), "{out}");
    let (ended, _, said) = tool(&["bench", &service, "--calls", "64"]);
    assert!(ended == Some(2) && said.contains("name --vectors"), "{said}");
}

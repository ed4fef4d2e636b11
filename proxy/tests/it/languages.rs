//! Plugins in other languages than Rust, from `plugins/examples`: built by the command that authors have, and tried where they are for.

use std::path::Path;
use std::process::Command;

use littoral_testkit::{Node, Origin, Response};

use super::{BINARY, config};

/// Builds one; `None` says why not.
fn built(name: &str, tools: &[&str]) -> Option<tempfile::TempDir> {
    if let Some(tool) = tools.iter().find(|tool| Command::new(tool).arg("--version").output().is_err()) {
        eprintln!("{name} is not tried: {tool} is not installed here");
        return None;
    }
    let out = tempfile::tempdir().unwrap();
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("../plugins/examples").join(name);
    let output =
        Command::new(BINARY).args(["plugin", "build"]).arg(source).arg("--out").arg(out.path()).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && !said.contains("warning"), "{name}: {said}");
    Some(out)
}

/// Asks the vectors that came with it.
fn passes_its_vectors(name: &str, tools: &[&str]) {
    let Some(out) = built(name, tools) else { return };
    let file = out.path().join(format!("{name}.wasm"));
    let output = Command::new(BINARY).args(["plugin", "test"]).arg(file).output().unwrap();
    assert!(output.status.success(), "{name}: {}", String::from_utf8_lossy(&output.stdout));
}

#[test]
fn a_policy_in_c_passes_its_vectors() {
    passes_its_vectors("c-policy", &["clang", "wasm-ld"]);
}

#[tokio::test]
async fn a_filter_in_c_answers_requests() {
    let Some(out) = built("c-filter", &["clang", "wasm-ld"]) else { return };
    let wasm = std::fs::read(out.path().join("c-filter.wasm")).unwrap();
    let origin = Origin::start(|_| Response::ok(&["cache-control: max-age=60"], b"x")).await;
    let more = "filters = [\"tls\"]\n[[plugin]]\nname = \"tls\"\nfile = \"tls.wasm\"\nconfig = { port = 8443 }\n";
    let node = Node::start(BINARY, &config(&[&origin], &format!("[site]\n{more}")), &[("tls.wasm", &wasm)]).await;
    for _ in 0..100 {
        let reply = node.get("site.example", "/a?b=c", &[]).await;
        assert_eq!((reply.status, reply.field("location")), (308, "https://site.example:8443/a?b=c"));
    }
    let told: serde_json::Value = serde_json::from_str(&node.admin("GET", "/v1/plugins", "").await.1).unwrap();
    assert!(told[0]["calls"] == 100 && told[0]["faults"]["trap"] == 0, "{told}");
}

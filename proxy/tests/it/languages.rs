//! Plugins in other languages than Rust, from `plugins/examples`: built by the command that authors have, and tried where they are for.

use std::path::Path;
use std::process::Command;

use littoral_testkit::{Node, Origin, Response};

use super::{BINARY, compilers, config};

/// Builds one.
fn built(name: &str) -> tempfile::TempDir {
    let out = tempfile::tempdir().unwrap();
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("../plugins/examples").join(name);
    let output =
        Command::new(BINARY).args(["plugin", "build"]).arg(source).arg("--out").arg(out.path()).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && !said.contains("warning"), "{name}: {said}");
    out
}

/// Where the part of JavaScript's compiler is that is made for this system; npm leaves it out where there is none.
const QJS: &str = "@andreiltd";

/// Asks the vectors that came with it.
fn passes_its_vectors(name: &str) {
    let out = built(name);
    let file = out.path().join(format!("{name}.wasm"));
    let output = Command::new(BINARY).args(["plugin", "test"]).arg(file).output().unwrap();
    let said = [output.stdout, output.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).concat();
    assert!(output.status.success(), "{name}: {said}");
}

#[test]
fn a_policy_in_c_passes_its_vectors() {
    if compilers::of_c() {
        passes_its_vectors("c-policy");
    }
}

#[test]
fn a_filter_in_c_passes_its_vectors() {
    if compilers::of_c() {
        passes_its_vectors("c-filter");
    }
}

#[tokio::test]
async fn a_filter_in_c_answers_requests() {
    if !compilers::of_c() {
        return;
    }
    let out = built("c-filter");
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

#[test]
fn a_policy_in_assemblyscript_passes_its_vectors() {
    if compilers::of_npm("assemblyscript") {
        passes_its_vectors("as-policy");
    }
}

#[test]
fn a_filter_in_assemblyscript_passes_its_vectors() {
    if compilers::of_npm("assemblyscript") {
        passes_its_vectors("as-filter");
    }
}

#[tokio::test]
async fn a_filter_in_assemblyscript_answers_and_changes_responses() {
    if !compilers::of_npm("assemblyscript") {
        return;
    }
    let out = built("as-filter");
    let wasm = std::fs::read(out.path().join("as-filter.wasm")).unwrap();
    let origin = Origin::start(|_| Response::ok(&["cache-control: max-age=60"], b"x")).await;
    let more =
        "filters = [\"bots\"]\n[[plugin]]\nname = \"bots\"\nfile = \"bots.wasm\"\nconfig = { agent = \"BadBot/\" }\n";
    let node = Node::start(BINARY, &config(&[&origin], &format!("[site]\n{more}")), &[("bots.wasm", &wasm)]).await;
    for _ in 0..200 {
        let refused = node.get("site.example", "/", &["User-Agent: BadBot/1.0"]).await;
        assert_eq!((refused.status, refused.field("cache-control")), (403, "no-store"));
        let served = node.get("site.example", "/", &["User-Agent: Mozilla/5.0"]).await;
        assert_eq!((served.status, served.field("x-checked")), (200, "agent"));
    }
    let told: serde_json::Value = serde_json::from_str(&node.admin("GET", "/v1/plugins", "").await.1).unwrap();
    assert_eq!(
        (&told[0]["calls"], &told[0]["faults"]["memory"]),
        (&600.into(), &0.into()),
        "what it allocates is collected: {told}"
    );
}

#[test]
fn a_policy_in_javascript_passes_its_vectors() {
    if compilers::of_npm(QJS) {
        passes_its_vectors("js-policy");
    }
}

#[test]
fn a_filter_in_javascript_passes_its_vectors() {
    if compilers::of_npm(QJS) {
        passes_its_vectors("js-filter");
    }
}

#[tokio::test]
async fn a_filter_in_javascript_answers_and_changes_responses_without_a_store() {
    if !compilers::of_npm(QJS) {
        return;
    }
    let out = built("js-filter");
    let wasm = std::fs::read(out.path().join("js-filter.wasm")).unwrap();
    let origin = Origin::start(|_| Response::ok(&["cache-control: max-age=60"], b"x")).await;
    let more = "filters = [\"bots\"]\n[[plugin]]\nname = \"bots\"\nfile = \"bots.wasm\"\non_fault = \"closed\"\ndeadline = \"1s\"\nconfig = { agent = \"^BadBot/|curl\" }\n";
    let node = Node::start(BINARY, &config(&[&origin], &format!("[site]\n{more}")), &[("bots.wasm", &wasm)]).await;
    for _ in 0..200 {
        let refused = node.get("site.example", "/", &["User-Agent: BadBot/1.0"]).await;
        assert_eq!((refused.status, refused.field("cache-control")), (403, "no-store"));
        let served = node.get("site.example", "/", &["User-Agent: Mozilla/5.0"]).await;
        assert_eq!((served.status, served.field("x-checked")), (200, "agent"));
    }
    let told: serde_json::Value = serde_json::from_str(&node.admin("GET", "/v1/plugins", "").await.1).unwrap();
    assert_eq!((&told[0]["calls"], &told[0]["faults"]["memory"]), (&600.into(), &0.into()), "{told}");
}

#[tokio::test]
async fn a_policy_in_javascript_decides_for_a_node_with_the_fuel_it_is_granted() {
    if !compilers::of_npm(QJS) {
        return;
    }
    let out = built("js-policy");
    let wasm = std::fs::read(out.path().join("js-policy.wasm")).unwrap();
    let vectors = std::fs::read(out.path().join("js-policy.vectors.toml")).unwrap();
    let origin = Origin::start(|_| Response::ok(&[], b"x")).await;
    let more = "[policy]\nrate = \"js\"\n[[plugin]]\nname = \"js\"\nfile = \"js.wasm\"\nvectors = \"js.toml\"\nfuel = 2000000\n";
    let files = [("js.wasm", &wasm[..]), ("js.toml", &vectors[..])];
    let node = Node::start(BINARY, &config(&[&origin], more), &files).await;
    let told: serde_json::Value = serde_json::from_str(&node.admin("GET", "/v1/plugins", "").await.1).unwrap();
    assert_eq!((&told[0]["name"], &told[0]["generation"]), (&"js".into(), &1.into()), "{told}");
}

#[test]
fn examples_in_assemblyscript_have_the_bindings_that_new_projects_get() {
    let plugins = Path::new(env!("CARGO_MANIFEST_DIR")).join("../plugins");
    let read = |place: String| {
        std::fs::read_to_string(plugins.join(&place)).unwrap_or_else(|error| panic!("{place}: {error}"))
    };
    for (example, world, files) in
        [("as-policy", "rate-policy", &["world.ts"][..]), ("as-filter", "http-filter", &["world.ts", "exchange.ts"])]
    {
        let mut pairs = vec![("common", "littoral.ts")];
        pairs.extend(files.iter().map(|file| (world, *file)));
        for (of, file) in pairs {
            let ours = read(format!("host/templates/assemblyscript/{of}/{file}.in"));
            assert!(
                read(format!("examples/{example}/{file}")) == ours,
                "plugins/examples/{example}/{file} is old: copy the template"
            );
        }
    }
}

//! `littoral plugin` as its users run it: what it prints, and its exit codes.

use std::path::Path;
use std::process::Command;

use littoral_testkit::node::plugin_file;

use super::BINARY;

/// Runs `littoral plugin …`: its exit code, its output, its complaint.
pub(super) fn tool(arguments: &[&str]) -> (Option<i32>, String, String) {
    let output = Command::new(BINARY).arg("plugin").args(arguments).output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (output.status.code(), text(output.stdout), text(output.stderr))
}

fn policy(name: &str) -> String {
    plugin_file(name).display().to_string()
}

fn vectors_of(name: &str) -> String {
    let policies = Path::new(env!("CARGO_MANIFEST_DIR")).join("../plugins/policy");
    policies.join(name).join("vectors.toml").display().to_string()
}

#[test]
fn test_asks_the_authors_vectors_and_ends_with_1_when_one_fails() {
    let (geo, vectors) = (policy("route-geo"), vectors_of("route-geo"));
    let (ended, out, _) = tool(&["test", &geo, "--vectors", &vectors]);
    assert!(ended == Some(0) && out.contains("ok    the nearest comes first ("), "{out}");
    assert!(out.ends_with("6 of 6 cases pass\n"), "{out}");
    let trap = policy("trap");
    let (ended, out, _) = tool(&["test", &trap, "--vectors", &vectors]);
    assert!(ended == Some(1) && out.contains("FAIL  the nearest comes first: it trapped: "), "{out}");
    let (ended, out, _) = tool(&["test", &trap, "--vectors", &vectors, "--json"]);
    let told: serde_json::Value = serde_json::from_str(&out).unwrap();
    assert!(ended == Some(1) && told["failed"] == 6, "{told}");
    assert!(told["cases"][0]["problem"].as_str().unwrap().contains("it trapped"), "{told}");
    // Beside the component, when nobody says where.
    let directory = tempfile::tempdir().unwrap();
    let (file, beside) = (directory.path().join("geo.wasm"), directory.path().join("geo.vectors.toml"));
    std::fs::copy(&geo, &file).unwrap();
    let file = file.display().to_string();
    let (ended, _, said) = tool(&["test", &file]);
    assert!(ended == Some(2) && said.contains("geo.vectors.toml: no such file; write it, or name"), "{said}");
    std::fs::copy(&vectors, beside).unwrap();
    assert_eq!(tool(&["test", &file]).0, Some(0));
}

#[test]
fn check_tells_everything_for_which_a_node_refuses_a_component_and_what_to_do() {
    let geo = policy("route-geo");
    assert_eq!(tool(&["check", &geo]), (Some(0), format!("{geo}: ok\n"), String::new()));
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("p.wasm");
    // Asks for a clock, and has half of a world.
    let text = r#"(component
        (import "wasi:clocks/wall-clock@0.2.3" (instance))
        (core module (memory (export "memory") 40)
          (func (export "littoral:plugin/routing@0.1.0#decide") (param i64) (result i32) i32.const 0))
        (instance $any) (export "littoral:plugin/routing@0.1.0" (instance $any)))"#;
    std::fs::write(&file, wat::parse_str(text).unwrap()).unwrap();
    let file = file.display().to_string();
    let (ended, out, _) = tool(&["check", &file]);
    assert_eq!(ended, Some(1));
    for expected in [
        "things for which a node refuses it",
        "- it imports wasi:clocks/wall-clock@0.2.3\n  a policy is a pure function without I/O, clock",
        "- it does not export control\n",
        "- routing.decide is (i64) -> i32\n  the contract has it as (i64, i64, i64, f32, f32, f32, i32, i64, i64, i64) -> i32",
        "- it does not export cabi_realloc",
        "- it starts with 2621440 bytes of memory, 2097152 are given\n  set `memory`",
    ] {
        assert!(out.contains(expected), "{expected}: {out}");
    }
    let told: serde_json::Value = serde_json::from_str(&tool(&["check", &file, "--json"]).1).unwrap();
    assert!(told["ok"] == false && told["problems"].as_array().unwrap().len() == 8, "{told}");
    let (ended, out, _) = tool(&["check", &policy("rate-throughput"), "--config", "{\"safety\": 7}"]);
    assert!(ended == Some(1) && out.contains("it refuses its config: safety is 0.1 to 1.0, not 7\n  give it"), "{out}");
    assert_eq!(tool(&["check", "nowhere.wasm"]).0, Some(2));
}

#[test]
fn every_shipped_filter_passes_its_vectors_and_one_that_expects_something_else_fails() {
    let filters = std::fs::read_dir(std::path::Path::new(&policy("route-geo")).parent().unwrap()).unwrap().flatten();
    let vectors: Vec<_> = filters.map(|file| file.path().display().to_string()).collect();
    let shipped: Vec<_> = vectors
        .iter()
        .filter_map(|file| file.strip_suffix(".vectors.toml"))
        .filter(|name| name.contains("/filter-"))
        .collect();
    assert!(shipped.len() >= 14, "{shipped:?}");
    for name in shipped {
        let (ended, out, said) = tool(&["test", &format!("{name}.wasm")]);
        assert!(ended == Some(0) && out.contains(" cases pass\n"), "{name}: {out}{said}");
    }
    let directory = tempfile::tempdir().unwrap();
    let wrong = directory.path().join("wrong.toml").display().to_string();
    let case = "[[case]]\nname = \"n\"\nrequest = { target = \"/robots.txt\" }\n";
    let config = "config = { answers = { \"/robots.txt\" = {} } }";
    std::fs::write(&wrong, format!("{config}\n{case}expect = {{ passes = true }}")).unwrap();
    let (ended, out, _) = tool(&["test", &policy("filter-respond"), "--vectors", &wrong]);
    assert!(ended == Some(1) && out.contains("FAIL  n: it replies 200: \"\"\n0 of 1 cases pass"), "{out}");
    std::fs::write(&wrong, format!("{config}\n{case}expect = {{ pases = true }}")).unwrap();
    let (ended, _, said) = tool(&["test", &policy("filter-respond"), "--vectors", &wrong]);
    assert!(ended == Some(2) && said.contains("wrong.toml: 5:12: unknown field `pases`"), "{said}");
}

#[test]
fn run_takes_a_request_past_a_filter_and_says_what_became_of_it() {
    let asked = "config = { rules = { \"/old\" = \"/new\" } }\nrequest = { target = \"/old\" }";
    let (ended, out, _) = tool(&["run", &policy("filter-redirects"), asked, "--json"]);
    let told: serde_json::Value = serde_json::from_str(&out).unwrap();
    assert!(ended == Some(0) && told["reply"]["fields"]["location"] == serde_json::json!(["/new"]), "{told}");
    let (ended, _, said) = tool(&["run", &policy("filter-redirects"), "request = 1"]);
    assert!(ended == Some(2) && said.contains("1:11: invalid type"), "{said}");
    let faulty = "config = { how = \"trap\", at = \"request\" }";
    let (ended, _, said) = tool(&["run", &policy("filter-faults"), faulty]);
    assert!(ended == Some(2) && said.contains("it trapped"), "{said}");
}

#[test]
fn run_calls_a_policy_once_and_says_what_it_took() {
    let geo = policy("route-geo");
    let asked = "cluster = [{ index = 0, load_permille = 500 }, { index = 1 }]\ndecide = { candidates = [0, 1] }";
    let (ended, out, _) = tool(&["run", &geo, asked]);
    assert!(
        ended == Some(0) && out.starts_with("decide: clusters [1, 0], ttl 0 s\n") && out.contains(" of 50000 fuel, "),
        "{out}"
    );
    let told: serde_json::Value = serde_json::from_str(&tool(&["run", &geo, asked, "--json"]).1).unwrap();
    assert_eq!(told["reply"]["choice"]["clusters"], serde_json::json!([1, 0, 65535]));
    let (ended, out, _) = tool(&["run", &policy("spin"), "admit = {}"]);
    assert!(ended == Some(1) && out.starts_with("admit: it ran out of fuel"), "{out}");
    let (ended, _, said) = tool(&["run", &geo, "select = {}"]);
    assert!(ended == Some(2) && said.contains("route-geo.wasm: it does not export rate"), "{said}");
    let (ended, _, said) = tool(&["run", &geo, "decide = 1"]);
    assert!(ended == Some(2) && said.contains("1:10: invalid type"), "{said}");
}

#[test]
fn inspect_tells_sizes_types_and_sections() {
    let geo = policy("route-geo");
    let (ended, out, _) = tool(&["inspect", &geo]);
    let decide = "littoral:plugin/routing@0.1.0#decide: (i64, i64, i64, f32, f32, f32, i32, i64, i64, i64) -> i32";
    assert!(ended == Some(0) && out.contains(decide) && out.contains("  worlds   explained-routing-policy\n"), "{out}");
    let told: serde_json::Value = serde_json::from_str(&tool(&["inspect", &geo, "--json"]).1).unwrap();
    assert_eq!(told["bytes"], std::fs::metadata(&geo).unwrap().len());
    assert!(
        told["core"]["memory_min_bytes"].as_u64().unwrap() > 0 && told["core"]["memory_exported"] == true,
        "{told}"
    );
    assert!(told["custom_sections"].as_array().unwrap().iter().all(|section| section["name"].is_string()), "{told}");
    assert_eq!(tool(&["inspect", "nowhere.wasm"]).0, Some(2));
}

#[test]
fn bench_measures_every_function_and_ends_with_1_when_one_faults() {
    let rate = policy("rate-throughput");
    let told: serde_json::Value =
        serde_json::from_str(&tool(&["bench", &rate, "--calls", "2048", "--json"]).1).unwrap();
    let [one] = &told.as_array().unwrap()[..] else { panic!("{told}") };
    assert!(one["function"] == "select" && one["calls"] == 2048 && one["fault"].is_null(), "{one}");
    assert!(one["p50_ns"].as_f64().unwrap() > 0.0 && one["fuel"].as_u64().unwrap() > 0, "{one}");
    assert!(one["p99_ns"].as_f64().unwrap() >= one["p50_ns"].as_f64().unwrap(), "{one}");
    let (ended, out, _) = tool(&["bench", &rate, "--calls", "64", "--vectors", &vectors_of("rate-throughput")]);
    assert!(ended == Some(0) && out.contains("it falls at once\n"), "{out}");
    let (ended, out, _) = tool(&["bench", &policy("spin"), "--calls", "64"]);
    assert!(ended == Some(1) && out.contains("among 8 clusters: it ran out of fuel"), "{out}");
}

#[test]
fn bench_measures_a_filter_at_each_point_that_a_request_leads_to() {
    let measured = |arguments: &[&str]| -> Vec<serde_json::Value> {
        let (_, told, said) = tool(&[&["bench"], arguments, &["--calls", "1024", "--json"]].concat());
        serde_json::from_str(&told).unwrap_or_else(|error| panic!("{error}: {told} {said}"))
    };
    let config = r#"{"replace": {"stage": "scene"}}"#;
    let told = measured(&[&policy("filter-replace"), "--config", config]);
    let functions: Vec<_> = told.iter().map(|one| one["function"].as_str().unwrap()).collect();
    assert!(functions.contains(&"origin") && functions.contains(&"body"), "{functions:?}");
    for one in &told {
        assert!(one["fault"].is_null() && one["calls"] == 1024 && one["fuel_limit"].is_null(), "{one}");
        assert!(one["p99_ns"].as_f64() >= one["p50_ns"].as_f64() && one["p50_ns"].as_f64() > Some(0.0), "{one}");
        assert!(one["memory_bytes"].as_u64() > Some(0), "{one}");
    }
    let fuel = |function: &str| told.iter().find(|one| one["function"] == function).unwrap()["fuel"].as_u64().unwrap();
    assert!(fuel("body") > 65_536 && fuel("body") > fuel("origin") && fuel("origin") > 0, "every byte is looked at");
    let headers = policy("filter-headers");
    let of_vectors = measured(&[&headers, "--vectors", &headers.replace(".wasm", ".vectors.toml")]);
    let names: Vec<_> = of_vectors.iter().map(|one| one["question"].as_str().unwrap()).collect();
    assert!(names.contains(&"each message is edited by its own table"), "{names:?}");
    assert_eq!(of_vectors, of_vectors.iter().filter(|one| one["fault"].is_null()).cloned().collect::<Vec<_>>());
    let trap = r#"{"how": "trap", "at": "response"}"#;
    let (ended, out, _) = tool(&["bench", &policy("filter-faults"), "--calls", "64", "--config", trap]);
    assert!(ended == Some(1) && out.contains("response") && out.contains("it trapped"), "{out}");
}

#[test]
fn a_key_signs_components_in_place_and_verify_says_whose_they_are() {
    let directory = tempfile::tempdir().unwrap();
    let path = |name: &str| directory.path().join(name).display().to_string();
    let (key, file) = (path("release.key"), path("p.wasm"));
    let (ended, public, _) = tool(&["keygen", &key]);
    let public = public.trim().to_owned();
    assert!(ended == Some(0) && public.starts_with("ed25519:") && public.len() == 72, "{public}");
    assert_eq!(std::fs::read_to_string(path("release.key.pub")).unwrap().trim(), public);
    let mode = std::os::unix::fs::PermissionsExt::mode(&std::fs::metadata(&key).unwrap().permissions());
    assert_eq!(mode & 0o777, 0o600, "nobody else reads a secret");
    let (ended, _, said) = tool(&["keygen", &key]);
    assert!(ended == Some(2) && said.contains("release.key: cannot be made"), "a key that is there stays: {said}");
    std::fs::copy(policy("route-geo"), &file).unwrap();
    let (ended, _, said) = tool(&["verify", "--trusted", &public, &file]);
    assert!(ended == Some(1) && said.contains("p.wasm: it is not signed: sign it with"), "{said}");
    assert_eq!(tool(&["sign", "--key", &key, &file]).1, format!("{file}: signed by {public}\n"));
    assert_eq!(tool(&["verify", "--trusted", &public, &file]).1, format!("{file}: signed by {public}\n"));
    assert!(tool(&["inspect", &file]).1.contains("littoral-signature-1 (96 bytes)"));
    assert_eq!(tool(&["check", &file]).0, Some(0), "it is a component as before");
    assert_eq!(tool(&["test", &file, "--vectors", &vectors_of("route-geo")]).0, Some(0));
    let (ended, _, said) = tool(&["sign", "--key", &file, &file]);
    assert!(ended == Some(2) && said.contains("it is no secret key: make one with"), "{said}");
    let (ended, _, said) = tool(&["sign", "--key", &key, &key]);
    assert!(ended == Some(2) && said.contains("no WebAssembly component"), "{said}");
}

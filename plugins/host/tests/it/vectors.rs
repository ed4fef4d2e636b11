//! The author's vectors: run with the shipped policies, and as the canary of a generation.

use std::path::{Path, PathBuf};

use littoral_plugin_host::vectors::Verified;
use littoral_plugin_host::{Interface, PluginSpec, author};

use super::{flow, guest, host, rows, spec};

fn written(text: &str) -> (tempfile::TempDir, PathBuf) {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("v.toml");
    std::fs::write(&file, text).unwrap();
    (directory, file)
}

/// What becomes of one case of a guest.
fn verified(name: &str, case: &str) -> Verified {
    let (_directory, file) = written(&format!("[[case]]\nname = \"c\"\n{case}"));
    let config = "{}";
    author::test(&guest(name), &file, config).unwrap().remove(0)
}

fn problem(name: &str, case: &str) -> String {
    verified(name, case).problem.unwrap_or_else(|| panic!("{case} passes"))
}

#[test]
fn every_shipped_policy_passes_the_vectors_beside_it() {
    let policies = Path::new(env!("CARGO_MANIFEST_DIR")).join("../policy");
    let mut tried = 0;
    for policy in std::fs::read_dir(policies).unwrap().flatten() {
        let name = policy.file_name().to_string_lossy().into_owned();
        let verified = author::test(&guest(&name), &policy.path().join("vectors.toml"), "{}").unwrap();
        for case in &verified {
            assert_eq!(case.problem, None, "{name}: {}", case.name);
        }
        tried += verified.len();
    }
    assert!(tried >= 15, "{tried}");
}

#[test]
fn a_case_that_fails_says_what_was_expected_and_what_came() {
    let large = "admit = { object = { bytes = 1048576 }, fill_permille = 950 }\n";
    let said = problem("evict-lfu-size", &format!("{large}expect = {{ verdict = \"admit\" }}"));
    assert_eq!(said, "expected admit; it answers bypass");
    let said = problem("route-geo", "decide = { candidates = [3] }\nexpect = { clusters = [4], ttl_s = 1 }");
    assert_eq!(said, "expected clusters [4], ttl_s 1; it answers clusters [3], ttl 0 s");
    let said = problem("rate-throughput", "config = { safety = 0.5 }\nexpect = { refused = \"x\" }");
    assert!(said.contains("it took the config"), "{said}");
    let said = problem("rate-throughput", "decide = {}\nexpect = { first = 1 }");
    assert_eq!(said, "it does not export routing");
    let said = problem("nonsense", "decide = { candidates = [1] }\nexpect = { first = 1 }");
    assert_eq!(said, "its answer makes no sense");
    assert_eq!(verified("spin", "admit = {}\nexpect = { fault = \"fuel\" }").problem, None);
    let passed = verified("evict-lfu-size", &format!("{large}expect = {{ verdict = \"bypass\" }}"));
    assert!(passed.problem.is_none() && passed.fuel.is_some_and(|fuel| (1..10_000).contains(&fuel)), "{passed:?}");
}

#[test]
fn a_trap_is_told_with_the_names_of_the_functions_it_happened_in() {
    let said = problem("trap", "decide = {}\nexpect = { first = 1 }");
    assert!(said.starts_with("it trapped: wasm trap: ") && said.contains("routing@0.1.0#decide"), "{said}");
}

#[test]
fn a_policy_that_keeps_something_from_call_to_call_is_found_out() {
    let pure = "(param i64 i32 i32 i32 i32 i32 i64 i64) (result i32)\n";
    let counts = "(i32.store8 (i32.const 16) (i32.add (i32.load8_u (i32.const 16)) (i32.const 1)))\n";
    let guest = include_str!("puppet.wat").replace(pure, &format!("{pure}{counts}"));
    let (directory, vectors) = written(
        "ladder = [{ id = 1, kbps = [1, 2, 3] }]\n\
         [[case]]\nname = \"c\"\nselect = { state = 16, ladder = 1 }\nexpect = { rung = 1 }",
    );
    let file = directory.path().join("p.wasm");
    std::fs::write(&file, wat::parse_str(guest).unwrap()).unwrap();
    let said = author::test(&file, &vectors, "{}").unwrap().remove(0).problem.unwrap();
    assert!(said.starts_with("asked again it answers rung 2") && said.contains("keeps nothing"), "{said}");
}

#[test]
fn a_generation_whose_vectors_fail_does_not_go_live_and_the_old_one_stays() {
    let (directory, vectors) =
        written("[[case]]\nname = \"nearest\"\ndecide = { candidates = [0, 1] }\nexpect = { first = 0 }");
    let file = directory.path().join("p.wasm");
    std::fs::copy(guest("route-geo"), &file).unwrap();
    let spec = PluginSpec { vectors: Some(vectors.clone()), ..spec("p", file.clone()) };
    let plugin = host().load(spec.clone(), Some(Interface::Routing)).unwrap();
    plugin.push_clusters(1, rows());
    std::fs::copy(guest("nonsense"), &file).unwrap();
    let said = plugin.reload(None).unwrap_err().to_string();
    assert!(
        said.contains("p.wasm: 1 of 1 vectors of ") && said.contains("first \"nearest\": its answer makes no sense"),
        "{said}"
    );
    assert_eq!((plugin.decide(&flow()).unwrap().clusters[0], plugin.status().generation), (1, 1));
    std::fs::remove_file(&vectors).unwrap();
    let said = host().load(spec, None).unwrap_err().to_string();
    assert!(said.contains("its vectors: ") && said.contains("v.toml: cannot be read"), "{said}");
}

#[test]
fn a_case_of_a_filter_tells_whom_it_dials_and_begins_with_an_empty_disk() {
    let asked = |what: &str, more: &str| format!("request = {{ fields = {{ x-do = {what:?} }} }}\n{more}\n");
    let dial = |hears: &str| {
        format!("dial = [{{ host = \"a.example\", port = 7, turns = [{{ hears = {hears:?}, says = \"HI\\n\" }}] }}]")
    };
    let hi = |hears| asked("ask a.example 7 hi", &dial(hears)) + "expect = { reply = { body = \"HI\\n\" } }";
    assert_eq!(verified("filter-outside", &hi("hi\n")).problem, None);
    let said = problem("filter-outside", &hi("ho\n"));
    assert!(said.contains("dial a.example:7: turn 1: expected"), "{said}");
    let said = problem("filter-outside", &(asked("get a", &dial("hi\n")) + "expect = { reply = { status = 200 } }"));
    assert!(said.contains("expected that it is dialled, it was not"), "{said}");
    let nobody = asked("ask a.example 7 hi", "") + "expect = { reply = { body = \"no: it may not be dialled\\n\" } }";
    assert_eq!(verified("filter-outside", &nobody).problem, None);
    for (what, body) in [("put a 1", "kept\\n"), ("get a", "none\\n"), ("commits 3", "3\\n")] {
        let case = asked(what, &format!("expect = {{ reply = {{ body = \"{body}\" }} }}"));
        assert_eq!(verified("filter-outside", &case).problem, None, "{what}");
    }
}

#[test]
fn a_case_of_a_swarm_tells_what_is_answered_by_http() {
    let case = |url: &str, hears: &str| {
        format!(
            "fetch = [{{ url = \"http://t.example/announce\", body = \"peers\" }}]\nturns = [{{ opened = 1 }}, {{ data = 1, says = \"get {url}\\n\", hears = {{ 1 = {hears:?} }} }}]\n"
        )
    };
    assert_eq!(verified("swarm-fetch", &case("http://t.example/announce", "200 peers\n")).problem, None);
    assert_eq!(verified("swarm-fetch", &case("http://other.example/", "it may not be asked\n")).problem, None);
    let said = problem("swarm-fetch", &case("http://t.example/announce", "404\n"));
    assert!(said.contains("200 peers"), "{said}");
}

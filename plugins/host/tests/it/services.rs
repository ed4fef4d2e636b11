//! Vectors of services: played with the shipped examples, and as the canary of a generation.

use std::path::{Path, PathBuf};

use littoral_plugin_host::HostSettings;
use littoral_plugin_host::author;
use littoral_plugin_host::service::{ServiceHost, ServiceSpec};

use super::{guest, now_ms};

fn written(text: &str) -> (tempfile::TempDir, PathBuf) {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("v.toml");
    std::fs::write(&file, text).unwrap();
    (directory, file)
}

/// What is wrong with the last of the cases that a text has.
fn problem(name: &str, cases: &str) -> Option<String> {
    let (_directory, file) = written(cases);
    author::test(&guest(name), &file, "{}").unwrap().pop().unwrap().problem
}

/// What is wrong with one case, which is there.
fn fails(name: &str, case: &str) -> String {
    problem(name, &format!("[[case]]\nname = \"c\"\n{case}")).unwrap_or_else(|| panic!("{case} passes"))
}

fn passes(name: &str, case: &str) {
    assert_eq!(problem(name, &format!("[[case]]\nname = \"c\"\n{case}")), None, "{case}");
}

#[test]
fn every_shipped_service_passes_the_vectors_beside_it() {
    let examples = Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples");
    for (name, cases) in [
        ("service-uppercase", 4),
        ("service-gateway", 2),
        ("service-notes", 3),
        ("service-outbox", 4),
        ("datagram-uppercase", 1),
        ("swarm-pieces", 2),
    ] {
        let verified = author::test(&guest(name), &examples.join(name).join("vectors.toml"), "{}").unwrap();
        assert_eq!(verified.len(), cases, "{name}");
        for case in &verified {
            assert_eq!(case.problem, None, "{name}: {}", case.name);
        }
    }
}

#[test]
fn a_conversation_that_differs_is_told_with_the_turn_and_with_what_was_expected_and_came() {
    let said = fails("service-uppercase", "turns = [{ says = \"a\\n\" }, { says = \"b\\n\", hears = \"b\\n\" }]");
    assert_eq!(said, r#"turn 2: expected "b\n", got "B\n""#);
    let said = fails("service-uppercase", "turns = [{ says = \"a\\n\" }]\nexpect = { ends = \"service\" }");
    assert_eq!(said, "expected that the service ends the connection, the client did");
    let said = fails("service-uppercase", "expect = { refused = \"x\" }");
    assert!(said.contains("expected that it fails with"), "{said}");
    let said = fails("service-uppercase", "ticks = 1");
    assert!(said.contains("it exports no timer"), "{said}");
    let said = fails("datagram-uppercase", "turns = [{ sends = \"a\" }, { sends = \"b\", answers = [\"b\"] }]");
    assert_eq!(said, r#"turn 2: expected answers ["b"], got ["B"]"#);
    passes("service-uppercase", "turns = [{ says = \"a\\n\" }, { trouble = \"ending\" }]");
}

#[test]
fn tls_begins_when_the_service_says_so_and_what_was_sent_in_plain_is_not_read_after_it() {
    let turns = "turns = [{ says = \"secure\\n\", hears = \"false true\\n\" }, \
                 { says = \"starttls\\necho injected\\n\", hears = \"go\\n\" }, \
                 { says = \"secure\\n\", hears = \"true false\\n\" }]";
    passes("service-faults", &format!("tls = \"starttls\"\n{turns}"));
    let said = fails("service-faults", turns);
    assert_eq!(said, r#"turn 1: expected "false true\n", got "false false\n""#);
    passes("service-faults", "tls = \"implicit\"\nturns = [{ says = \"secure\\n\", hears = \"true false\\n\" }]");
}

#[test]
fn who_is_dialled_is_scripted_and_nobody_else_is_there() {
    let dial = |turns: &str| {
        format!(
            "turns = [{{ says = \"dial a.example 25 plain\\n\" }}, {{ says = \"ask 0 hi\\n\" }}]\n\
             dial = [{{ host = \"a.example\", port = 25, turns = [{turns}] }}]"
        )
    };
    passes("service-gateway", &dial("{ hears = \"hi\\n\", says = \"ho\\n\" }"));
    let said = fails("service-gateway", &dial("{ hears = \"ho\\n\", says = \"ho\\n\" }"));
    assert_eq!(said, r#"dial a.example:25: turn 1: expected "ho\n", got "hi\n""#);
    let said = fails("service-gateway", &dial("{ hears = \"hi\\n\", says = \"a\\n\" }, { hears = \"more\\n\" }"));
    assert!(said.starts_with("dial a.example:25: turn 2: it was never come to"), "{said}");
    let said = fails("service-gateway", "turns = [{ says = \"quit\\n\" }]\ndial = [{ host = \"a\", port = 1 }]");
    assert_eq!(said, "dial a:1: expected that it is dialled, it was not");
    passes(
        "service-gateway",
        "turns = [{ says = \"dial localhost 22 plain\\n\", hears = \"no: it may not be dialled\\n\" }]",
    );
}

#[test]
fn a_swarm_is_told_events_and_what_it_sends_and_closes_is_compared() {
    let piece = |outcome: &str| {
        format!(
            "config = {{ url = \"http://a.example/\", bytes = 2 }}\n\
             content = [{{ url = \"http://a.example/\", body = \"abc\" }}]\n\
             turns = [{{ opened = 1 }}, {{ data = 1, says = \"piece 1\\n\", {outcome} }}]"
        )
    };
    passes("swarm-pieces", &piece("hears = { 1 = \"piece 1 1\\nc\" }, closes = []"));
    let said = fails("swarm-pieces", &piece("hears = { 1 = \"piece 1 1\\nb\" }"));
    assert_eq!(said, r#"turn 2: connection 1: expected "piece 1 1\nb", got "piece 1 1\nc""#);
    let said = fails("swarm-pieces", &piece("hears = {}"));
    assert_eq!(said, r#"turn 2: connection 1: expected "", got "piece 1 1\nc""#);
    let said = fails("swarm-pieces", &piece("closes = [1]"));
    assert_eq!(said, "turn 2: expected closes [1], got []");
    let said = fails("swarm-pieces", &piece("answers = [{ to = \"192.0.2.1:5\", says = \"pong\" }]"));
    assert_eq!(said, r#"turn 2: expected answers [to 192.0.2.1:5 "pong"], got []"#);
    let (_directory, vectors) = written(&format!("[[case]]\nname = \"c\"\n{}", piece("hears = {}")));
    let measured = author::bench(&guest("swarm-pieces"), Some(&vectors), "{}", 1).unwrap();
    assert!(measured[0].function == "tell" && measured[0].fault.is_none() && measured[0].fuel > 100, "{measured:?}");
}

#[test]
fn run_tells_the_conversation_and_bench_what_a_connection_and_a_message_cost() {
    let told =
        author::run_service(&guest("service-uppercase"), "turns = [{ says = \"a\\n\", hears = \"b\\n\" }]").unwrap();
    let spoken: Vec<_> = told.spoken.iter().map(|one| (one.from.as_str(), one.what.as_str())).collect();
    assert_eq!(spoken, [("client", r#""a\n""#), ("service", r#""A\n""#)]);
    assert_eq!(told.differs.as_deref(), Some(r#"turn 1: expected "b\n", got "A\n""#));
    assert_eq!(told.ended.as_deref(), Some("the client ended the connection"));
    for (name, function) in [("service-uppercase", "serve"), ("datagram-uppercase", "handle")] {
        let turn = if function == "serve" { "{ says = \"a\\n\" }" } else { "{ sends = \"a\" }" };
        let (_directory, vectors) = written(&format!("[[case]]\nname = \"c\"\nturns = [{turn}]"));
        let measured = author::bench(&guest(name), Some(&vectors), "{}", 1).unwrap();
        let [one] = &measured[..] else { panic!("{measured:?}") };
        assert_eq!((one.function, one.question.as_str(), &one.fault), (function, "c", &None));
        assert!(one.fuel > 100 && one.p50_ns > 0.0 && one.memory_bytes > 0, "{one:?}");
    }
    let said = author::bench(&guest("service-uppercase"), None, "{}", 1).unwrap_err();
    assert!(said.contains("name --vectors"), "{said}");
}

#[test]
fn a_generation_whose_vectors_fail_does_not_go_live_and_the_old_one_stays() {
    let (directory, vectors) = written("[[case]]\nname = \"loud\"\nturns = [{ says = \"a\\n\", hears = \"A\\n\" }]");
    let file = directory.path().join("s.wasm");
    std::fs::copy(guest("service-uppercase"), &file).unwrap();
    let spec = ServiceSpec { name: "s".into(), file: file.clone(), vectors: Some(vectors), ..ServiceSpec::default() };
    let spec = ServiceSpec { config: "{}".into(), ..spec };
    let host = ServiceHost::new(HostSettings { cache_dir: None, compiler: None, now_ms }).unwrap();
    let service = host.load(spec).unwrap();
    let granted = |mut spec: ServiceSpec| {
        spec.dial = Some(littoral_plugin_host::service::DialSpec { reaches: Vec::new(), authorities: None });
        spec
    };
    std::fs::copy(guest("service-gateway"), &file).unwrap();
    let said = service.reload(Some(granted(service.spec()))).unwrap_err().to_string();
    assert!(said.contains("1 of 1 vectors of ") && said.contains("first \"loud\": turn 1: expected"), "{said}");
    assert_eq!(service.generation(), 1);
    std::fs::copy(guest("service-uppercase"), &file).unwrap();
    assert_eq!(service.reload(None).unwrap(), 2);
}

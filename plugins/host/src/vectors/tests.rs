//! What a file of vectors may say; how cases are judged is tried with real guests in `tests/it`.

use super::*;

const CASE: &str = "[[case]]\nname = \"c\"\n";

/// The complaint about a file with these lines after a case's head.
fn refusal(lines: &str) -> String {
    Vectors::parse(&format!("{CASE}{lines}"), false).unwrap_err()
}

#[test]
fn a_file_that_cannot_be_vectors_is_told_where_and_what_to_write() {
    for (lines, expected) in [
        ("", "it asks nothing: write decide, select, admit, score or exact"),
        ("expect = { rung = 1 }", "asks nothing: write decide"),
        ("decide = {}\nadmit = {}\nexpect = { first = 1 }", "one question each"),
        ("decide = {}\nexpect = {}", "expect has of decide one or more of: first, clusters, ttl_s; or fault alone"),
        ("decide = {}\nexpect = { rung = 1 }", "one or more of: first, clusters, ttl_s"),
        ("select = {}\nexpect = { rung = 1, fault = \"trap\" }", "or fault alone"),
        ("admit = {}\nexpect = { verdict = \"maybe\" }", "4:22: unknown variant `maybe`"),
        ("decide = { canditates = [1] }\nexpect = { first = 1 }", "3:12: unknown field `canditates`"),
        ("decide = { candidates = [64] }\nexpect = { first = 1 }", "a candidate is 0 to 63, not 64"),
        ("score = {}\nexpect = { order = [], refused = \"x\" }", "expect has of score"),
        ("expect = { refused = \"x\" }\nladder = [{ id = 1, kbps = 5 }]", "invalid type"),
    ] {
        let found = refusal(lines);
        assert!(found.contains(expected) && !found.contains('\n'), "{lines}: {found}");
    }
    assert_eq!(Vectors::parse("", false).unwrap_err(), "it has no [[case]]");
}

#[test]
fn vectors_are_bounded() {
    let case = format!("{CASE}admit = {{}}\nexpect = {{ verdict = \"admit\" }}\n");
    assert!(Vectors::parse(&case.repeat(CASES_MAX), false).is_ok());
    assert!(Vectors::parse(&case.repeat(CASES_MAX + 1), false).unwrap_err().contains("256 are the most"));
    let rungs = vec!["1"; RUNGS_MAX + 1].join(",");
    assert!(
        refusal(&format!("select = {{}}\nexpect = {{ rung = 0 }}\nladder = [{{ id = 1, kbps = [{rungs}] }}]"))
            .contains("65 rungs; 64")
    );
    let sample = vec!["{}"; SAMPLE_MAX + 1].join(",");
    assert!(
        refusal(&format!("score = {{ sample = [{sample}] }}\nexpect = {{ order = [] }}"))
            .contains("a sample of 65; 64")
    );
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("v.toml");
    std::fs::write(&file, vec![b'#'; VECTORS_BYTES_MAX as usize + 1]).unwrap();
    assert!(Vectors::read(&file).unwrap_err().contains("v.toml: it has 1048577 bytes"));
}

#[test]
fn json_says_the_same_as_toml() {
    let toml =
        format!("{CASE}decide = {{ candidates = [0, 63], place = [0.0, 1.0, 0.5] }}\nexpect = {{ clusters = [63] }}");
    let json = r#"{"case":[{"name":"c","decide":{"candidates":[0,63],"place":[0,1,0.5]},"expect":{"clusters":[63]}}]}"#;
    let (toml, json) = (Vectors::parse(&toml, false).unwrap(), Vectors::parse(json, true).unwrap());
    assert_eq!(toml, json);
    let [(_, Question::Decide(flow), _)] = &json.questions()[..] else { panic!("{json:?}") };
    assert_eq!((flow.candidates, flow.zone), (1 | 1 << 63, 65535));
}

#[test]
fn a_tier_in_which_something_cannot_happen_is_told_with_its_step() {
    for (rest, expected) in [
        ("steps = []", "exact has 0 steps: 1 to 1024"),
        ("steps = [{ used = 1, gone = 1 }]", "step 1: one of used, arrives and gone"),
        ("steps = [{ now_ms = 1 }]", "step 1: nothing happens"),
        ("steps = [{ used = 4294967295 }]", "step 1: handles of vectors are below"),
        ("steps = [{ need = 1 }] }\nexpect = { first = 1", "exact stands alone"),
    ] {
        let text = format!("[[case]]\nname = \"c\"\nexact = {{ bytes = 1, {rest} }}");
        let said = Vectors::parse(&text, false).unwrap_err();
        assert!(said.contains(expected), "{rest}: {said}");
    }
}

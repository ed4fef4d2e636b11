//! What a file of cases may say of a filter, and how what came is judged.

use super::*;
use crate::limits::CASES_MAX;

fn case(text: &str) -> Result<Vectors, String> {
    Vectors::parse(&format!("[[case]]\nname = \"n\"\n{text}"), false)
}

fn seen() -> Seen {
    let fields = |text: &str| toml::from_str::<Message>(text).unwrap().fields;
    let left = |text: &str| Left { status: 200, fields: fields(text), body: Some("b".into()) };
    Seen {
        request: fields("fields = { x-tier = \"edge\" }"),
        target: "/a".into(),
        stored: Some(left("fields = { etag = \"1\" }")),
        response: Some(left("fields = { vary = [\"a\", \"b\"] }")),
        ..Seen::default()
    }
}

fn judged(expect: &str) -> Result<(), String> {
    case(&format!("origin = {{}}\nexpect = {{ {expect} }}"))?.case[0].expect.as_ref().unwrap().judge(Ok(seen()))
}

#[test]
fn what_cannot_be_asked_or_expected_is_refused_with_its_place() {
    for (text, expected) in [
        ("", "case \"n\": it expects nothing"),
        ("expect = {}", "one or more of"),
        ("expect = { passes = false }", "one or more of"),
        ("expect = { passes = true, reply = {} }", "one or more of"),
        ("expect = { response = {} }", "write what the origin answers"),
        ("request = { taget = \"/\" }\nexpect = { passes = true }", "unknown field `taget`"),
        ("request = { fields = { Accept = \"x\" } }\nexpect = { passes = true }", "\"Accept\" is no field name"),
        ("request = { country = \"nl\" }\nexpect = { passes = true }", "two capital letters"),
        ("times = 0\nexpect = { passes = true }", "1 to 1000"),
        ("times = 1001\nexpect = { passes = true }", "1 to 1000"),
    ] {
        let said = case(text).unwrap_err();
        assert!(said.contains(expected), "{text}: {said}");
    }
    assert!(Vectors::parse("", false).unwrap_err().contains("no [[case]]"));
    let many = "[[case]]\nname = \"n\"\nexpect = { passes = true }\n".repeat(CASES_MAX + 1);
    assert!(Vectors::parse(&many, false).unwrap_err().contains("are the most"));
}

#[test]
fn each_thing_that_is_expected_is_compared_and_nothing_else() {
    for good in [
        "passes = true",
        "request = { x-tier = \"edge\" }",
        "request = { x-gone = [] }, target = \"/a\"",
        "stored = { fields = { etag = \"1\" }, body = \"b\" }",
        "response = { status = 200, fields = { vary = [\"a\", \"b\"], server = [] } }",
    ] {
        assert_eq!(judged(good), Ok(()), "{good}");
    }
    for (wrong, told) in [
        ("request = { x-tier = [] }", "expected request field x-tier [], it is [\"edge\"]"),
        ("target = \"/b\"", "expected target \"/b\", it is \"/a\""),
        ("lookup = \"/b\"", "expected lookup \"/b\", there is none"),
        ("stored = { body = \"c\" }", "expected stored body \"c\", it is \"b\""),
        ("response = { fields = { vary = \"a\" } }", "expected response field vary [\"a\"], it is [\"a\", \"b\"]"),
        ("response = { status = 404 }", "expected response status 404, it is 200"),
        ("reply = {}", "expected that it replies"),
        ("fault = \"trapped\"", "expected that it fails with \"trapped\""),
    ] {
        let said = judged(wrong).unwrap_err();
        assert!(said.starts_with(told), "{wrong}: {said}");
    }
}

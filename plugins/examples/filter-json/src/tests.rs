//! However a body is cut, what comes out is what the rules say, and JSON.

use littoral_plugin::filter::sketch::Sketch;
use serde_json::{Value, json};

use super::*;

fn filter(config: &str) -> Json {
    Json::new(config).unwrap()
}

/// A body through the filter in pieces of `size`.
fn through(filter: &mut Json, body: &[u8], size: usize) -> Vec<u8> {
    filter.on_origin(&mut Sketch::get("/", &[]).answered(200, &[]));
    let pieces = body.chunks(size).enumerate();
    pieces.flat_map(|(at, piece)| filter.on_body(piece, (at + 1) * size >= body.len()).out).collect()
}

#[test]
fn members_and_elements_are_removed_and_set_however_a_body_is_cut() {
    let config = r#"{"remove": ["/user/email", "/items/*/cost", "/a~1b", "/list/1"], "set": {"/links/self": {"x": [1]}, "/n": null}}"#;
    let body = r#" { "user" : { "email" : "a\"}\\" , "name":"n" }, "items":[{"cost":{"deep":[1,2,{"cost":3}]},"id":1},{"id":2,"cost":-1.5e3},{"cost":true}],
        "links" : {"self":"http:\/\/old","next":"u\u0041"}, "a/b":1,"n":12,"list":[1,[2],3],"\u0075ser":{"email":[]},"cost":0,"e":{},"f":[] } "#;
    let expected = json!({
        "user": {}, "items": [{"id": 1}, {"id": 2}, {}], "links": {"self": {"x": [1]}, "next": "uA"}, "n": null,
        "list": [1, 3], "cost": 0, "e": {}, "f": []
    });
    let mut filter = filter(config);
    let whole = through(&mut filter, body.as_bytes(), body.len());
    assert!(String::from_utf8_lossy(&whole).contains(r#""user":{"name":"n"}"#), "the first of two with one name too");
    for size in 1..body.len() {
        let out = through(&mut filter, body.as_bytes(), size);
        assert_eq!(out, whole, "{size}");
        assert_eq!(serde_json::from_slice::<Value>(&out).unwrap(), expected, "{size}");
    }
}

#[test]
fn what_no_rule_names_comes_out_with_the_same_meaning() {
    let mut filter = filter(r#"{"remove": ["/none"]}"#);
    for body in
        ["1", "-0.5e-7", "\"\\\"\"", "null", " [ ] ", "{}", "[[[1,2],[]],{\"a\":{\"b\":[null,true]}}]", "\"é€😀\""]
    {
        let out = through(&mut filter, body.as_bytes(), 1);
        let (was, is): (Value, Value) = (serde_json::from_str(body).unwrap(), serde_json::from_slice(&out).unwrap());
        assert_eq!(was, is, "{body}");
    }
}

#[test]
fn what_is_no_json_is_refused_where_it_stops_being_some() {
    let rules = Rules::of([("/a".to_owned(), None)].into_iter()).unwrap();
    let deep = "[".repeat(200);
    for body in [
        "",
        "{",
        "[1",
        "[1,]",
        "{\"a\":1,}",
        "{\"a\" 1}",
        "{a:1}",
        "[1 2]",
        "tru",
        "nul",
        "01",
        "1.",
        "]",
        "{]",
        "[}",
        "\"a",
        "1 2",
        "{\"a\":1}}",
        "\"\n\"",
        "{\"\\x\":1}",
        "<html>",
        "{\"a\":x}",
        &deep,
    ] {
        let mut machine = Machine::default();
        let read = machine.read(&rules, body.as_bytes(), &mut Vec::new()).and_then(|()| machine.end());
        assert!(read.is_err(), "{body:?}");
    }
}

#[test]
fn removed_values_leave_nothing_behind_even_when_what_follows_is_broken() {
    let rules = Rules::of([("/secret".to_owned(), None)].into_iter()).unwrap();
    let mut out = Vec::new();
    let read = Machine::default().read(&rules, br#"{"a":1,"secret":{"k":"hidden"},"b":oops}"#, &mut out);
    assert!(read.is_err());
    assert_eq!(String::from_utf8(out).unwrap(), r#"{"a":1,"b":"#);
}

#[test]
fn only_bodies_of_the_named_types_are_read_and_paths_are_checked() {
    let mut filter = filter(r#"{"remove": ["/a"], "types": ["application/json", "application/ld+json"]}"#);
    let mut asks = |media: &str| filter.on_origin(&mut Sketch::get("/", &[]).answered(200, &[("content-type", media)]));
    assert_eq!([asks("application/LD+json; a=b"), asks("text/html"), asks("")], [true, false, false]);
    for wrong in ["{}", r#"{"remove": ["a"]}"#, r#"{"remov": []}"#] {
        assert!(Json::new(wrong).is_err(), "{wrong}");
    }
    let many: Vec<_> = (0..257).map(|rule| format!("\"/{rule}\"")).collect();
    assert!(Json::new(&format!(r#"{{"remove": [{}]}}"#, many.join(","))).unwrap_err().contains("256 are the most"));
}

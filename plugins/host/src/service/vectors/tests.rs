//! What a file of cases of services may say; how cases are judged is tried with real guests in `tests/it`.

use super::*;

fn refused(kind: Kind, text: &str) -> String {
    Vectors::parse(text, false, kind).err().unwrap_or_else(|| panic!("{text} is taken"))
}

#[test]
fn what_cannot_be_played_is_told_with_its_place_and_what_to_write() {
    let case = "[[case]]\nname = \"c\"\n";
    for (kind, rest, expected) in [
        (Kind::Connections, "turns = [{ say = \"a\" }]", "3:12: unknown field `say`"),
        (Kind::Connections, "turns = [{ says = 5 }]", "3:19: bytes are a text, or { hex"),
        (Kind::Connections, "", "write turns"),
        (Kind::Connections, "turns = [{}]", "turn 1: write `says`, `hears` or both"),
        (Kind::Connections, "turns = [{ hears = \"a\" }, { hears = \"b\" }]", "turn 2: the client says nothing"),
        (Kind::Connections, "turns = [{ trouble = \"timeout\" }, { says = \"b\" }]", "turn 1: no turn comes after"),
        (Kind::Connections, "turns = [{ says = \"a\", trouble = \"ending\" }]", "write one"),
        (
            Kind::Connections,
            "continues = true\nturns = [{ says = \"a\" }]",
            "it continues the case before, and is the first",
        ),
        (Kind::Connections, "ticks = 1001", "at most 1000"),
        (Kind::Connections, "turns = [{ says = \"a\" }]\nexpect = { tick = 5 }", "write how often it `ticks`"),
        (Kind::Connections, "expect = { refused = \"x\", fault = \"y\" }", "fault or refused alone"),
        (Kind::Connections, "dial = [{ host = \"A\", port = 1 }]", "dial A:1: host is an address, or a name in lower"),
        (
            Kind::Connections,
            "dial = [{ host = \"a\", port = 1, refused = \"no\" }]",
            "refused is one of not-granted, not-found",
        ),
        (Kind::Connections, "fetch = [{ url = \"a\" }]", "a URL that has no scheme"),
        (Kind::Connections, "amplification = 5\nturns = [{ says = \"a\" }]", "amplification is for datagrams"),
        (Kind::Datagrams, "tls = \"implicit\"\nturns = [{ sends = \"a\" }]", "are for connections"),
        (
            Kind::Datagrams,
            "turns = [{ sends = \"a\", answers = [\"abcd\"] }]",
            "turn 1: answers of 4 bytes never go out",
        ),
        (Kind::Swarm, "turns = [{ opened = 1, closed = 1 }]", "turn 1: one of opened, data, ended, writable"),
        (Kind::Swarm, "turns = [{ data = 1 }]", "turn 1: data and says go together"),
        (Kind::Swarm, "turns = [{ opened = 1, hears = { a = \"b\" } }]", "it is the number of a connection"),
        (Kind::Swarm, "ticks = 1", "let time pass with `after_ms`"),
        (
            Kind::Connections,
            "turns = [{ says = \"a\" }]\ncontent = [{ url = \"a\", body = \"\" }]",
            "content is for swarms",
        ),
    ] {
        let said = refused(kind, &format!("{case}{rest}"));
        assert!(said.contains(expected), "{rest}: {said}");
    }
    assert_eq!(refused(Kind::Connections, ""), "it has no [[case]]");
    let many = format!("{case}turns = [{{ says = \"a\" }}]\n").repeat(257);
    assert!(refused(Kind::Connections, &many).contains("256 are the most"));
    let json = r#"{"case": [{"name": "c", "turns": [{"says": "a", "hears": {"hex": "41"}}]}]}"#;
    assert!(Vectors::parse(json, true, Kind::Connections).is_ok());
}

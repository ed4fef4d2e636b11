//! Lookups in a zone, and what is said of a bad file.

use super::*;

const TEXT: &str = "\
$ORIGIN example.org.
$TTL 300
@       IN SOA ns hostmaster 7 3600 600 86400 60
@       IN NS  ns
@       IN MX  10 mail
ns      IN A   192.0.2.1
mail    IN A   192.0.2.2
        IN AAAA 2001:db8::2
www     IN CNAME mail
txt     IN TXT \"hello world\"
a.deep  IN A   192.0.2.3
*.wild  IN A   192.0.2.4
sub     IN NS  ns.sub
ns.sub  IN A   192.0.2.5
";

fn zone() -> Zone {
    Zone::parse("example.org.", TEXT, "example.zone").unwrap()
}

fn tell(name: &str, qtype: RecordType) -> Told {
    zone().tell(&LowerName::from(Name::from_str(name).unwrap()), qtype)
}

fn count(told: &Told) -> usize {
    if let Told::Answer(records) = told { records.len() } else { 0 }
}

#[test]
fn records_aliases_and_negatives_are_told_apart() {
    assert_eq!(count(&tell("mail.example.org.", RecordType::AAAA)), 1);
    assert_eq!(count(&tell("MAIL.Example.org.", RecordType::A)), 1);
    assert!(
        matches!(tell("www.example.org.", RecordType::A), Told::Alias(_, target) if target.to_string() == "mail.example.org.")
    );
    assert_eq!(count(&tell("www.example.org.", RecordType::CNAME)), 1);
    assert_eq!(tell("mail.example.org.", RecordType::TXT), Told::NoData);
    assert_eq!(tell("nothing.example.org.", RecordType::A), Told::NoName);
    assert_eq!(zone().negative_soa().ttl, 60);
}

#[test]
fn an_empty_non_terminal_exists_and_a_wildcard_stands_for_missing_names_only() {
    assert_eq!(tell("deep.example.org.", RecordType::A), Told::NoData);
    assert_eq!(tell("b.deep.example.org.", RecordType::A), Told::NoName);
    let Told::Answer(records) = tell("x.y.wild.example.org.", RecordType::A) else { unreachable!("a wildcard") };
    assert_eq!(records[0].name.to_string(), "x.y.wild.example.org.");
    assert_eq!(tell("x.wild.example.org.", RecordType::TXT), Told::NoData);
    assert_eq!(tell("wild.example.org.", RecordType::A), Told::NoData);
}

#[test]
fn below_a_delegation_there_is_only_the_referral() {
    let Told::Referral(servers, glue) = tell("host.sub.example.org.", RecordType::A) else {
        unreachable!("a referral")
    };
    assert_eq!((servers.len(), glue.len()), (1, 1));
}

#[test]
fn any_is_answered_with_one_set() {
    assert_eq!(count(&tell("mail.example.org.", RecordType::ANY)), 1);
}

#[test]
fn a_bad_file_is_told_its_line_and_what_to_do() {
    let check = |text: &str, expected: &[&str]| {
        let problem = Zone::parse("example.org.", text, "bad.zone").unwrap_err().to_string();
        assert!(expected.iter().all(|part| problem.contains(part)), "{problem}");
    };
    check(&TEXT.replace("192.0.2.2", "192.0.2.999"), &["bad.zone: line 7: "]);
    check("$ORIGIN example.org.\n@ 60 IN NS ns\n", &["bad.zone", "has no SOA record: add one"]);
    check(&format!("{TEXT}other.example.net. IN A 192.0.2.9\n"), &["outside the zone"]);
    check(&format!("{TEXT}www IN A 192.0.2.9\n"), &["CNAME"]);
    check("$INCLUDE /etc/passwd\n", &["$INCLUDE"]);
}

proptest::proptest! {
    #[test]
    fn no_text_makes_it_panic(text in "[@$a-zA-Z0-9 .\"();\\\\\n-]{0,200}") {
        let _ = Zone::parse("example.org.", &text, "any");
    }
}

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

/// The zone of RFC 4592 §2.2.1, and what its §2.2.1 and §2.2.3 say of it.
#[test]
fn wildcards_are_those_of_the_example_in_rfc_4592() {
    let text = "$ORIGIN example.\n$TTL 3600\n@ SOA ns h 1 2 3 4 5\n@ NS ns.example.com.\n@ NS ns.example.net.\n\
                * TXT \"this is a wildcard\"\n* MX 10 host1\nsub.* TXT \"this is not a wildcard\"\n\
                host1 A 192.0.2.1\n_ssh._tcp.host1 SRV 0 0 22 host1\n_ssh._tcp.host2 SRV 0 0 22 host1\n\
                subdel NS ns.example.com.\nsubdel NS ns.example.net.\nx.*.ent A 192.0.2.9\n";
    let zone = Zone::parse("example.", text, "rfc4592.zone").unwrap();
    let tell = |name: &str, qtype| match zone.tell(&Name::from_str(name).unwrap().into(), qtype) {
        Told::Answer(records) => format!("{} {}", records[0].name, records[0].data),
        Told::NoData => "no data".into(),
        Told::NoName => "no name".into(),
        Told::Referral(..) => "referral".into(),
        told => unreachable!("{told:?}"),
    };
    for (name, qtype, expected) in [
        ("host3.example.", RecordType::MX, "host3.example. 10 host1.example."),
        ("host3.example.", RecordType::A, "no data"),
        ("foo.bar.example.", RecordType::TXT, "foo.bar.example. this is a wildcard"),
        ("host1.example.", RecordType::MX, "no data"),
        ("sub.*.example.", RecordType::MX, "no data"),
        ("_telnet._tcp.host1.example.", RecordType::SRV, "no name"),
        ("host.subdel.example.", RecordType::A, "referral"),
        ("ghost.*.example.", RecordType::MX, "no name"),
        ("*.example.", RecordType::TXT, "*.example. this is a wildcard"),
        ("_tcp.host2.example.", RecordType::TXT, "no data"),
        // The wildcard is there only because of a name below it: it gives nothing, and yet the name is not missing.
        ("y.ent.example.", RecordType::A, "no data"),
        ("z.y.ent.example.", RecordType::TXT, "no data"),
    ] {
        assert_eq!(tell(name, qtype), expected, "{name} {qtype}");
    }
}

#[test]
fn the_upper_side_of_a_delegation_answers_for_its_ds_records_and_nothing_else() {
    assert_eq!(tell("sub.example.org.", RecordType::DS), Told::NoData);
    assert!(matches!(tell("sub.example.org.", RecordType::A), Told::Referral(..)));
    assert!(matches!(tell("x.sub.example.org.", RecordType::DS), Told::Referral(..)));
    assert_eq!(tell("example.org.", RecordType::DS), Told::NoData);
}

#[test]
fn a_reverse_zone_names_addresses_of_both_families() {
    let text = |host: &str| {
        format!(
            "$TTL 60\n@ SOA ns.example.org. h.example.org. 1 1 1 1 1\n@ NS ns.example.org.\n{host} PTR www.example.org.\n"
        )
    };
    for (apex, host) in [("2.0.192.in-addr.arpa", "7"), ("8.b.d.0.1.0.0.2.ip6.arpa", "7.0.0.0")] {
        let zone = Zone::parse(apex, &text(host), "reverse.zone").unwrap();
        let name = Name::from_str(&format!("{host}.{apex}.")).unwrap().into();
        let Told::Answer(records) = zone.tell(&name, RecordType::PTR) else { unreachable!("a name") };
        assert_eq!(records[0].data.to_string(), "www.example.org.");
    }
}

#[test]
fn below_a_delegation_there_is_only_the_referral() {
    let Told::Referral(servers, glue) = tell("host.sub.example.org.", RecordType::A) else {
        unreachable!("a referral")
    };
    assert_eq!((servers.len(), glue.len()), (1, 1));
}

#[test]
fn any_is_answered_with_one_set_and_an_alias_is_one() {
    assert_eq!(count(&tell("www.example.org.", RecordType::ANY)), 1);
    assert_eq!(count(&tell("mail.example.org.", RecordType::ANY)), 1);
}

/// The zone of `TEXT` with more lines, which begin at line 15.
fn with(more: &str) -> Result<Zone, GeoError> {
    Zone::parse("example.org.", &format!("{TEXT}{more}"), "bad.zone")
}

fn check(problem: Result<Zone, GeoError>, expected: &str) {
    let problem = problem.unwrap_err().to_string();
    assert!(problem.contains(expected) && problem.lines().count() == 1, "{expected:?} is not in {problem:?}");
}

#[test]
fn a_bad_file_is_told_its_line_and_what_to_do() {
    let parse = |text: &str| Zone::parse("example.org.", text, "bad.zone");
    check(parse(&TEXT.replace("192.0.2.2", "192.0.2.999")), "bad.zone:7: A takes one IPv4 address, such as 192.0.2.1");
    check(parse("$ORIGIN example.org.\n@ 60 IN NS ns\n"), "bad.zone: example.org. has no SOA record: add one");
    check(parse("@ 60 IN SOA ns h 1 1 1 1 1\n"), "bad.zone: example.org. has no NS record: add one");
    check(parse("@ IN SOA ns h 1 1 1 1 1\n"), "bad.zone:1: no TTL is known for it: put a line such as $TTL 3600");
    check(parse("  60 IN SOA ns h 1 1 1 1 1\n"), "bad.zone:1: the first record has no name");
    for (more, expected) in [
        ("other.example.net. A 192.0.2.9\n", "bad.zone:15: other.example.net. is outside the zone"),
        ("\nwww A 192.0.2.9\n", "bad.zone:16: www.example.org. has a CNAME beside other records"),
        ("ns CNAME mail\n", "bad.zone:15: ns.example.org. has a CNAME beside other records"),
        ("www CNAME ns\n", "bad.zone:15: www.example.org. has a second CNAME record: keep one"),
        ("@ SOA ns h 2 1 1 1 1\n", "bad.zone:15: example.org. has a second SOA record: keep one"),
        (
            "low SOA ns h 2 1 1 1 1\n",
            "bad.zone:15: a SOA record at low.example.org., below the apex example.org.: remove",
        ),
        ("$INCLUDE /etc/passwd\n", "bad.zone:15: $INCLUDE is not followed: put the records into this file"),
        ("$GENERATE 1-2 a A 192.0.2.1\n", "bad.zone:15: $GENERATE is not known"),
        ("mail ALIAS www\n", "bad.zone:15: mail.example.org. has an ALIAS beside addresses of its own: keep one"),
        ("l ALIAS www\nl A 192.0.2.1\n", "bad.zone:16: l.example.org. has an ALIAS beside addresses of its own"),
        ("l ALIAS www\nl ANAME ns\n", "bad.zone:16: l.example.org. has a second ANAME record: keep one"),
        ("a CH TXT x\n", "bad.zone:15: a record of class CH: only IN is served"),
        ("a -5 IN A 192.0.2.1\n", "bad.zone:15: \"-5\" is no TTL, no class and no type served here: write NAME TTL"),
        ("a 2147483648 A 192.0.2.1\n", "bad.zone:15: a TTL of 2147483648 is too long: at most 2147483647"),
        ("$TTL 99999999999\n", "bad.zone:15: a TTL of 99999999999 is too long"),
        ("a DNSKEY 257 3 13 00\n", "bad.zone:15: \"DNSKEY\" is no TTL, no class and no type served here"),
        ("a DS 1 13 2 00\n", "bad.zone:15: DS takes key tag"),
        ("a DS 1 13 9 +f\n", "bad.zone:15: DS takes key tag"),
        (
            "a A 192.0.2.1 192.0.2.2\n",
            "bad.zone:15: A takes one IPv4 address, such as 192.0.2.1; it has \"192.0.2.1 192",
        ),
        ("a AAAA ::1 ::2\n", "bad.zone:15: AAAA takes one IPv6 address"),
        ("a CAA 0 issue ca.example more\n", "bad.zone:15: CAA takes flags, a tag and a value"),
        ("a MX mail\n", "bad.zone:15: MX takes a preference and a name"),
        ("a NS a..b\n", "bad.zone:15: \"a..b\" is no name: each label between dots has 1 to 63 octets"),
        ("a CAA 0 issue \"c\\097\"\n", "bad.zone:15: an escape \\DDD in CAA is not read: write the character"),
        ("a TXT \"\\999\"\n", "bad.zone:15: an escape \\DDD has three digits, 000 to 255"),
        ("a\n", "bad.zone:15: a record without a type: write NAME TTL IN TYPE DATA"),
        ("a TXT (\n\"b\"\n", "bad.zone:15: \"(\" is never closed"),
    ] {
        check(with(more), expected);
    }
    check(with(&format!("a TXT {}\n", "x".repeat(256))), "bad.zone:15: a string of 256 octets: at most 255; cut it");
    let strings = "\"0123456789abcdef\" ".repeat(4000);
    check(with(&format!("a TXT ({strings})\n")), "bad.zone:15: this TXT record does not fit into a message");
}

#[test]
fn the_line_is_right_behind_comments_and_strings_and_far_down() {
    let more = "; see (x and $INCLUDE\nt TXT \"(;\" \"\\\"(\"\n";
    with(more).unwrap();
    let far: String = (0..3000).map(|number| format!("h{number} A 192.0.2.1\n")).collect();
    check(with(&format!("{more}{far}bad A x\n")), "bad.zone:3017: A takes one IPv4 address");
}

#[test]
fn a_file_that_is_not_utf_8_is_told_its_line() {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), [TEXT.as_bytes(), b"t TXT \xe9\n"].concat()).unwrap();
    check(Zone::load("example.org", file.path()), ":15: an octet that is not UTF-8: save the file as UTF-8");
}

#[test]
fn a_set_holds_no_more_records_than_a_message() {
    let many: String = (0..=SET_RECORDS_MAX).map(|number| format!("a TXT {number}\n")).collect();
    check(with(&many), "bad.zone:4111: a.example.org. has more than 4096 TXT records");
}

#[test]
fn escapes_are_octets_and_strings_stand_in_parentheses_too() {
    let zone = with("e TXT ( \"a\\034b \\\\\" ; one\n \"\\200\" c\\;d )\nf\\.g\\032h A 192.0.2.1\n").unwrap();
    let Told::Answer(records) = zone.tell(&Name::from_str("e.example.org.").unwrap().into(), RecordType::TXT) else {
        unreachable!("a record")
    };
    let RData::TXT(text) = &records[0].data else { unreachable!("a TXT record") };
    let strings: Vec<&[u8]> = text.txt_data.iter().map(AsRef::as_ref).collect();
    assert_eq!(strings, [&b"a\"b \\"[..], b"\xc8", b"c;d"]);
    let name = Name::from_labels([&b"f.g h"[..], b"example", b"org"]).unwrap();
    assert_eq!(count(&zone.tell(&name.into(), RecordType::A)), 1);
}

#[test]
fn names_are_relative_to_the_origin_wherever_they_stand() {
    let text = "\u{feff}$TTL 60\n@ SOA ns h 1 1 1 1 1\n@ NS ns\n$ORIGIN sub\nA A 192.0.2.1\n@ MX 10 @\n\
                h HTTPS 1 svc alpn=\"h2\"\n$origin deep\nb 1h IN A 192.0.2.2\nb 192.0.2.3\n";
    let text = text.replace("b 192", "  A 192");
    let zone = Zone::parse("example.org", &text, "good.zone").unwrap();
    let tell = |name: &str, kind| match zone.tell(&Name::from_str(name).unwrap().into(), kind) {
        Told::Answer(records) => records,
        told => unreachable!("{name}: {told:?}"),
    };
    assert_eq!(tell("a.sub.example.org.", RecordType::A).len(), 1);
    assert_eq!(tell("sub.example.org.", RecordType::MX)[0].data.to_string(), "10 sub.example.org.");
    assert_eq!(tell("h.sub.example.org.", RecordType::HTTPS)[0].data.to_string(), "1 svc.sub.example.org. alpn=h2,");
    let deep = tell("b.deep.sub.example.org.", RecordType::A);
    // What $TTL says goes before the last one stated (RFC 2308 §4).
    assert_eq!(deep.iter().map(|record| record.ttl).collect::<Vec<_>>(), [3600, 60]);
}

/// Whether another program takes a text for a zone; `None`, said aloud, where it is not installed.
fn judged(program: &str, package: &str, flags: &[&str], apex: &str, text: &str) -> Option<bool> {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), text).unwrap();
    match std::process::Command::new(program).args(flags).arg(apex).arg(file.path()).output() {
        Ok(output) => Some(output.status.success()),
        Err(error) => {
            littoral_testkit::outsider::absent(program, package, &error);
            None
        }
    }
}

/// What Debian's BIND and Knot say of a text, where they are installed.
fn judges(apex: &str, text: &str) -> [Option<bool>; 2] {
    let bind = judged("named-checkzone", "bind9-utils", &[], apex, text);
    [bind, judged("kzonecheck", "knot-dnssecutils", &["-o"], apex, text)]
}

#[test]
fn named_checkzone_and_kzonecheck_agree_on_what_is_a_zone() {
    let all = "s SRV 0 5 443 www\np PTR www\nc CAA 0 issue \"ca.example\"\nh HTTPS 1 . alpn=h2\n\
               v SVCB 1 mail port=53\nx HINFO \"a\" \"b\"\nt TLSA 3 1 1 aabb\nu SSHFP 1 1 0123456789abcdef0123456789abcdef01234567\nn NAPTR 1 1 \"u\" \"\" \"\" .\n";
    let agree = |more: &str, taken: bool| {
        assert_eq!(with(more).is_ok(), taken, "{more}");
        let [bind, knot] = judges("example.org", &format!("{TEXT}{more}"));
        assert!(bind.is_none_or(|bind| bind == taken), "named-checkzone: {more}");
        // Of several SOA records Knot takes one and says nothing.
        let silent = more.contains(" SOA ");
        assert!(knot.is_none_or(|knot| knot == taken || silent), "kzonecheck: {more}");
    };
    for more in ["", all, "a.b.c A 192.0.2.1\n*.w TXT x\n", "d NS ns.d\nns.d AAAA 2001:db8::1\n"] {
        agree(more, true);
    }
    for more in [
        "www A 192.0.2.9\n",
        "ns CNAME mail\n",
        "a A 192.0.2.999\n",
        "a AAAA ::1 ::2\n",
        "a MX mail\n",
        "a NS a..b\n",
        "a TXT \"b\n",
        "@ SOA ns h 2 1 1 1 1\n",
        "low SOA ns h 2 1 1 1 1\n",
    ] {
        agree(more, false);
    }
}

#[test]
fn named_checkzone_and_kzonecheck_take_reverse_zones_and_what_was_read_of_tables() {
    let reverse = "$TTL 60\n@ SOA ns.example.org. h.example.org. 1 1 1 1 1\n@ NS ns.example.org.\n7.0.0.0 PTR www.example.org.\n\
                   8 CNAME 8.0-15\n0-15 NS ns.example.org.\n";
    let tables = "ttl = 300\nrecord = [{ name = \"@\", type = \"SOA\", data = \"ns h 7 1h 10m 7d 60\" }, { name = \"@\", type = \"NS\", data = \"ns\" },\n\
                  { name = \"ns\", type = \"A\", data = [\"192.0.2.1\", \"192.0.2.2\"] }, { name = \"*.w\", type = \"TXT\", data = '\"a b\" \"c\"' }]\n";
    for (apex, zone) in [
        ("2.0.192.in-addr.arpa", Zone::parse("2.0.192.in-addr.arpa", reverse, "reverse.zone")),
        ("8.b.d.0.1.0.0.2.ip6.arpa", Zone::parse("8.b.d.0.1.0.0.2.ip6.arpa", reverse, "reverse.zone")),
        ("example.org", Zone::parse_tables("example.org", tables, "zone.toml")),
    ] {
        let zone = zone.unwrap();
        // As we read it, and not as it was written.
        let records = std::iter::once(zone.body().soa()).chain(zone.body().records());
        let text: String = records.map(|record| format!("{record}\n")).collect();
        assert!(judges(apex, &text).into_iter().flatten().all(|taken| taken), "{apex}:\n{text}");
    }
}

proptest::proptest! {
    #[test]
    fn no_text_makes_it_panic(text in "[@$a-zA-Z0-9 .\"();\\\\\n-]{0,200}") {
        let _ = Zone::parse("example.org.", &text, "any");
    }
}

#[test]
fn what_an_error_quotes_of_a_file_takes_no_line_of_its_own() {
    // Found by fuzzing: a quoted string goes on over line ends.
    let error = Zone::parse("example.", "$TTL \"a\nb\"\n", "zone.txt").unwrap_err();
    assert_eq!(error.0, "zone.txt:1: $TTL a b: write seconds or such as 1h");
}

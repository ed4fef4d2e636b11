//! Zones of tables beside the same zones of master files.

use super::*;

/// A record of each type that is served: name, TTL, type and data.
const RECORDS: [(&str, u32, &str, &str); 27] = [
    ("@", 3600, "SOA", "ns hostmaster 7 1h 10m 1d 30"),
    ("@", 60, "NS", "ns"),
    ("@", 60, "NS", "ns.elsewhere.example."),
    ("ns", 60, "A", "192.0.2.1"),
    ("ns", 60, "AAAA", "2001:db8::1"),
    ("www", 60, "CNAME", "ns"),
    ("*.w", 5, "TXT", "\"a ; b\" c \"\\\"\\195\\169\""),
    ("p", 60, "PTR", "@"),
    ("@", 60, "MX", "10 mail"),
    ("_s._tcp", 60, "SRV", "0 5 443 www"),
    ("c", 60, "CAA", "0 issue \"ca.example\""),
    ("cert", 60, "CERT", "1 1 13 aGVsbG8="),
    ("cs", 60, "CSYNC", "7 3 A NS AAAA"),
    ("d", 60, "NS", "ns.d"),
    ("ns.d", 60, "A", "192.0.2.3"),
    ("d", 60, "DS", "20326 8 2 e06d44b80b8f1d39a95c0b0d7c65d08458e880409bbc683457104237c7f8ec8d"),
    ("hi", 60, "HINFO", "\"cpu\" \"os\""),
    ("h", 60, "HTTPS", "1 . alpn=h2"),
    ("n", 60, "NAPTR", "100 10 \"u\" \"sip\" \"!^.*$!x!\" ."),
    ("o", 60, "OPENPGPKEY", "aGVsbG8="),
    ("sm", 60, "SMIMEA", "3 1 1 d2abde240d7cd3ee6b4b28c54df034b97983a1d16e8a410e4561cb106618e971"),
    ("sh", 60, "SSHFP", "1 1 0123456789abcdef0123456789abcdef01234567"),
    ("v", 60, "SVCB", "1 mail port=53"),
    ("t", 60, "TLSA", "3 1 1 d2abde240d7cd3ee6b4b28c54df034b97983a1d16e8a410e4561cb106618e971"),
    ("alias", 60, "ALIAS", "ns"),
    ("far.example.org.", 60, "A", "192.0.2.9"),
    ("\\065.esc", 60, "A", "192.0.2.8"),
];

fn master() -> String {
    RECORDS.map(|(name, ttl, kind, data)| format!("{name} {ttl} IN {kind} {data}\n")).concat()
}

fn tables() -> String {
    let record = |(name, ttl, kind, data): (&str, u32, &str, &str)| {
        format!("[[record]]\nname = {name:?}\nttl = {ttl}\ntype = {kind:?}\ndata = {data:?}\n")
    };
    RECORDS.map(record).concat()
}

fn problem(text: &str) -> String {
    Zone::parse_tables("example.org", text, "z.toml").err().map_or_else(String::new, |error| error.0)
}

#[test]
fn tables_are_the_zone_that_a_master_file_with_the_same_records_is() {
    let [of_tables, of_master] =
        [Zone::parse_tables("example.org", &tables(), "z.toml"), Zone::parse("example.org.", &master(), "z.zone")]
            .map(|zone| zone.unwrap_or_else(|error| unreachable!("{error}")));
    assert_eq!(of_tables.body.sets, of_master.body.sets);
    assert_eq!((&of_tables.body.soa, of_tables.body.negative_ttl), (&of_master.body.soa, of_master.body.negative_ttl));
    let kinds: std::collections::HashSet<_> = of_tables.body.sets.values().flat_map(|types| types.keys()).collect();
    assert_eq!(kinds.len(), 22, "each type that is served");
}

#[test]
fn a_ttl_may_be_the_zones_and_data_a_list() {
    let head = "ttl = \"1h\"\n[[record]]\nname = \"@\"\ntype = \"soa\"\ndata = \"ns h 1 1 1 1 30\"\n\
                [[record]]\nname = \"@\"\ntype = \"NS\"\ndata = [\"ns\", \"ns2\"]\n";
    let text = format!("{head}[[record]]\nname = \"a\"\ntype = \"A\"\nttl = \"1m30s\"\ndata = [\"192.0.2.1\"]\n");
    let zone = Zone::parse_tables("example.org", &text, "z.toml").unwrap_or_else(|error| unreachable!("{error}"));
    let mut ttls: Vec<_> =
        zone.body.sets.values().flat_map(|types| types.values()).flatten().map(|record| record.ttl).collect();
    ttls.sort_unstable();
    assert_eq!(ttls, [90, 3600, 3600, 3600]);
}

#[test]
fn what_is_wrong_is_told_with_its_file_line_and_key() {
    let head = "ttl = 60\n[[record]]\nname = \"@\"\ntype = \"SOA\"\ndata = \"ns h 1 1 1 1 30\"\n\
                [[record]]\nname = \"@\"\ntype = \"NS\"\ndata = \"ns\"\n";
    assert_eq!(problem(head), "");
    let more = |name: &str, kind: &str, data: &str| {
        problem(&format!("{head}[[record]]\nname = {name}\ntype = {kind}\ndata = {data}\n"))
    };
    for (told, says) in [
        (more("\"a\"", "\"A\"", "\"192.0.2\""), "z.toml:13: record.2.data: A takes one IPv4 address"),
        (more("\"a\"", "\"WKS\"", "\"x\""), "z.toml:12: record.2.type: \"WKS\" is no TTL, no class and no type"),
        (more("\"a\"", "\"60\"", "\"x\""), "z.toml:12: record.2.type: "),
        (more("\"a b\"", "\"A\"", "\"192.0.2.1\""), "z.toml:11: record.2.name: \"a b\": write one word"),
        (more("\"\"", "\"A\"", "\"192.0.2.1\""), "z.toml:11: record.2.name: \"\": write one word"),
        (more("\"x.example.com.\"", "\"A\"", "\"192.0.2.1\""), "z.toml:11: record.2.name: x.example.com. is outside"),
        (more("\"a\"", "\"TXT\"", "\"v=DMARC1; p=none\""), "z.toml:13: record.2.data: a ; would begin a comment"),
        (more("\"a\"", "\"TXT\"", "\"\"\"a\nb\"\"\""), "z.toml:13: record.2.data: more than one line"),
        (more("\"a\"", "\"TXT\"", "[]"), "z.toml:13: record.2.data: it has no data"),
        (more("\"a\"", "\"TXT\"", "7"), "z.toml:13: invalid type: integer `7`, expected the data of a record"),
        (more("\"a\"", "\"TXT\"", "\"x\"\nclass = \"CH\""), "z.toml:14: unknown field `class`"),
        (more("\"a\"", "\"TXT\"", "\"x\"\nttl = -1"), "z.toml:14: record.2.ttl: \"-1\" is no time"),
        (
            more("\"a\"", "\"TXT\"", "\"x\"\nttl = 4294967295"),
            "z.toml:14: record.2.ttl: a TTL of 4294967295 is too long",
        ),
        (problem(&head.replace("ttl = 60", "")), "z.toml:3: record.0.name: no TTL is known for it"),
        (problem("ttl = 60\n"), "z.toml:1: record: example.org. has no SOA record"),
        (problem("ttl = 60\n[[record]\n"), "z.toml:2: "),
    ] {
        assert!(told.starts_with(says) && !told.contains('\n'), "{says}\n{told}");
    }
}

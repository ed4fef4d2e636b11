//! A small fixed world: two zones, a service, two clusters with a coverage zone each. Tests and fuzzers share it.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use littoral_geo::dnssec::Dnssec;
use littoral_geo::peers::{Peers, Transfer, Update};
use littoral_geo::tsig::Secret;
use littoral_geo::{Cluster, Director, GeoConfig, NativeGeo, Node, Service, ZoneSource};

const NETCINEMA: &str = "\
$ORIGIN netcinema.example.
$TTL 60
@     IN SOA ns hostmaster 1 3600 600 86400 30
@     IN NS  ns
@     IN ALIAS a1105.kingcdn.example.
ns    IN A   192.0.2.53
video IN CNAME a1105.kingcdn.example.
loop  IN CNAME loop.kingcdn.example.
";
const KINGCDN: &str = "\
$ORIGIN kingcdn.example.
$TTL 60
@   IN SOA ns hostmaster 1 3600 600 86400 30
@   IN NS  ns
ns  IN A   192.0.2.54
loop IN CNAME loop.netcinema.example.
big IN TXT \"0123456789012345678901234567890123456789012345678901234567890123456789\"
";

const TYPES_ZONE: &str = "\
$ORIGIN types.example.
$TTL 60
@     IN SOA ns hostmaster 1 3600 600 86400 30
@     IN NS  ns
@     IN ALIAS ns
ns    IN A   192.0.2.55
ns    IN AAAA 2001:db8::55
www   IN CNAME ns
@     IN MX  10 mail
@     IN TXT \"one\" \"two words\"
7     IN PTR www
_sip._tcp IN SRV 1 2 5060 ns
@     IN CAA 0 issue \"ca.example\"
@     IN HTTPS 1 . alpn=h2
svc   IN SVCB 1 ns port=53
*.w   IN A   192.0.2.56
sub   IN NS  ns.sub
ns.sub IN A  192.0.2.57
";
/// A signed zone with a service of its own, below one that has its DS record.
pub(crate) const CHILD: &str = "\
$ORIGIN child.signed.example.
$TTL 300
@   IN SOA ns hostmaster 1 3600 600 86400 30
@   IN NS  ns
ns  IN A   127.0.0.1
www IN AAAA 2001:db8::1
www IN A    192.0.2.60
";
/// Its key, made by dnssec-keygen: the files' name, and what they have.
pub(crate) const CHILD_KEY: [&str; 3] = [
    "Kchild.signed.example.+015+49956",
    "child.signed.example. IN DNSKEY 257 3 15 HiDgP815NIiGwJDQDaLxWWOk7YeQoNeNjur1+g7IWx0=\n",
    "Private-key-format: v1.2\nAlgorithm: 15 (ED25519)\nPrivateKey: 4KAYJxQ+g5txByDn7T4CZ+Y4f3YXxHsP0oh0LxpN8vc=\n",
];
/// Names of addresses: of IPv4, some of them in a zone of somebody else (RFC 2317), and of IPv6.
const REVERSE_ZONE: &str = "\
$ORIGIN 2.0.192.in-addr.arpa.
$TTL 60
@      IN SOA ns.types.example. hostmaster.types.example. 1 3600 600 86400 30
@      IN NS  ns.types.example.
55     IN PTR ns.types.example.
56     IN CNAME 56.48-63
48-63  IN NS  ns.types.example.
57     IN CNAME 7.types.example.
";
const REVERSE_ZONE_OF_IPV6: &str = "\
$ORIGIN 8.b.d.0.1.0.0.2.ip6.arpa.
$TTL 60
@      IN SOA ns.types.example. hostmaster.types.example. 1 3600 600 86400 30
@      IN NS  ns.types.example.
5.5.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0 IN PTR ns.types.example.
";
/// Owner, type and data of that zone as others print them; no owner is the apex.
#[allow(dead_code, reason = "fuzzers do not ask for them")]
pub(crate) const TYPES: &[(&str, &str, &str)] = &[
    ("ns", "A", "192.0.2.55"),
    ("ns", "AAAA", "2001:db8::55"),
    ("www", "CNAME", "ns.types.example."),
    ("www", "A", "ns.types.example.\n192.0.2.55"),
    ("", "SOA", "ns.types.example. hostmaster.types.example. 1 3600 600 86400 30"),
    ("", "NS", "ns.types.example."),
    ("", "A", "192.0.2.55"),
    ("", "AAAA", "2001:db8::55"),
    ("", "MX", "10 mail.types.example."),
    ("", "TXT", "\"one\" \"two words\""),
    ("", "CAA", "0 issue \"ca.example\""),
    ("", "HTTPS", "1 . alpn=h2"),
    ("7", "PTR", "www.types.example."),
    ("_sip._tcp", "SRV", "1 2 5060 ns.types.example."),
    ("svc", "SVCB", "1 ns.types.example. port=53"),
    ("x.y.w", "A", "192.0.2.56"),
    ("w", "A", ""),
    ("host.sub", "A", ""),
    ("nothing", "A", ""),
];

/// A cluster of one node that covers a prefix.
pub(crate) fn cluster(id: &str, node: &str, prefix: &str) -> Cluster {
    Cluster {
        id: id.into(),
        deep: false,
        at: [0.0, 0.0],
        capacity_mbps: 1,
        nodes: vec![Node { v4: Some(node.parse().unwrap()), v6: None, weight: 1 }],
        draining: false,
        prefixes: vec![prefix.parse().unwrap()],
        systems: Vec::new(),
    }
}

/// Writes the key of [`CHILD`] into `directory`.
pub(crate) fn put_child_key(directory: &Path) {
    let [name, public, private] = CHILD_KEY;
    std::fs::write(directory.join(format!("{name}.key")), public).unwrap();
    std::fs::write(directory.join(format!("{name}.private")), private).unwrap();
}

/// The director of this world; its zone files are read and gone.
pub(crate) fn director() -> Director {
    let directory = tempfile::tempdir().unwrap();
    let big: String = (0..40).map(|number| format!("big IN TXT \"{number:090}\"\n")).collect();
    // Longer than is followed.
    let chain: String = (0..20).map(|at| format!("chain{at} IN CNAME chain{}\n", at + 1)).collect();
    let zone = |name: &str, text: &str| {
        let file = directory.path().join(name);
        std::fs::write(&file, text).unwrap();
        ZoneSource { name: name.into(), file, ..ZoneSource::default() }
    };
    // Too long for who may not have asked: for anybody, and for so short a question.
    let middle: String = (0..8).map(|number| format!("middle IN TXT \"{number:090}\"\n")).collect();
    let short: String = (0..4).map(|number| format!("@ IN TXT \"{number:090}\"\n")).collect();
    put_child_key(directory.path());
    let dnssec = Some(Dnssec { keys: directory.path().into(), validity: Duration::from_secs(86_400) });
    // Copies go to a part of the clients, changes are taken from who has the secret; the disk has no room for any.
    let peers = Peers {
        transfer: Some(Transfer { allow: vec!["10.1.0.0/16".parse().unwrap()], key: None, notify: Vec::new() }),
        update: Some(Update { key: "ddns".into(), allow: Vec::new(), journal: directory.path().join("gone/journal") }),
        ..Peers::default()
    };
    let secret = Secret { name: "ddns".into(), algorithm: "hmac-sha256".into(), secret: vec![7; 32] };
    let zones = vec![
        zone("l.", &format!("$TTL 60\n@ IN SOA ns hostmaster 1 3600 600 86400 30\n@ IN NS ns.types.example.\n{short}")),
        zone("netcinema.example.", &format!("{NETCINEMA}{chain}")),
        zone("kingcdn.example.", &format!("{KINGCDN}{big}{middle}")),
        ZoneSource { peers, ..zone("types.example.", TYPES_ZONE) },
        ZoneSource { dnssec, ..zone("child.signed.example.", CHILD) },
        zone("2.0.192.in-addr.arpa.", REVERSE_ZONE),
        zone("8.b.d.0.1.0.0.2.ip6.arpa.", REVERSE_ZONE_OF_IPV6),
    ];
    let service = |name: &str| Service {
        name: name.into(),
        clusters: vec!["*".into()],
        ttl: Duration::from_secs(30),
        answers: 2,
    };
    let clusters = vec![cluster("one", "203.0.113.1", "10.1.0.0/16"), cluster("two", "203.0.113.2", "10.2.0.0/16")];
    let config = GeoConfig {
        databases: Vec::new(),
        database_max_age: Duration::ZERO,
        coverage: Vec::new(),
        overrides: Vec::new(),
        secrets: vec![secret],
        clusters,
        zones,
        services: ["a1105.kingcdn.example.", "a1105.child.signed.example."].map(service).into(),
    };
    Director::new(config, Arc::new(NativeGeo::default())).unwrap().0
}

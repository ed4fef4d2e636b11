//! Signed zones, judged by two validators of others: `delv` and, as a resolver that walks from the upper to the lower zone,
//! `unbound-host`. What of it they do not look at is asked byte by byte.

use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use hickory_proto::op::{Message, ResponseCode};
use hickory_proto::rr::RecordType;
use hickory_proto::serialize::binary::BinEncodable;
use littoral_geo::dnssec::Dnssec;
use littoral_geo::server::{Handler, Settings};
use littoral_geo::{Director, GeoConfig, NativeGeo, Service, ZoneSource};
use littoral_testkit::outsider::absent;

use crate::dns::{Running, has, running_as};
use crate::edns::{opt, query};
use crate::world::{CHILD, cluster, put_child_key};

const PARENT: &str = "\
$ORIGIN signed.example.
$TTL 300
@      IN SOA ns hostmaster 1 3600 600 86400 30
@      IN NS  ns
@      IN MX  10 Mail
@      IN ALIAS far
ns     IN A   192.0.2.54
ns     IN A   192.0.2.53
far    IN A   192.0.2.55
Mail   IN A   192.0.2.56
Mail 60 IN A  192.0.2.57
www    IN CNAME ns
video  IN CNAME a1105
out    IN CNAME www.child
ent.b  IN TXT \"below a name without records\"
*.w    IN TXT \"Wild\"
*.w    IN HTTPS 1 Ns.w alpn=h2
sub.w  IN A   192.0.2.58
_sip._tcp IN SRV 1 2 5060 Ns
child  IN NS  ns.child
ns.child IN A 127.0.0.1
child  IN DS  49956 15 2 871a9494ac728c310f8046cba518642ad4f3e704a08ec315bc066b13 42d02354
insecure IN NS ns.insecure
ns.insecure IN A 127.0.0.1
";
const INSECURE: &str = "\
$ORIGIN insecure.signed.example.
$TTL 300
@   IN SOA ns hostmaster 1 3600 600 86400 30
@   IN NS  ns
ns  IN A   127.0.0.1
";
/// Flags, tag, public and private half of keys made by dnssec-keygen: the entry, and two others.
pub(crate) const KEYS: [(u16, u16, &str, &str); 3] = [
    (
        257,
        22646,
        "AHasqv1gbQnGE2sAKSOoSDGwdlg+8EWRWBUkdCAAu0OaeC9OoZ7FoE+s 93xIXx+zJRN0yaJGkoxaAr5FrCFCqg==",
        "B/nSKIRWOrM3kl5NPMyuFSmmwOJ6b85hPiQfpsbdrA0=",
    ),
    (
        256,
        11739,
        "1O0AKYqX1gDoffdwPNl8x0O0v27ICzW43BmsByJya2bcN3Jr6YjYHp66 fnHnM28eWA8ZFd/jhQ1T8mlDZ3nFHw==",
        "dAxxCw2z2zFK2C4Bp7kf/xJG3E7p6/OOrQ9otD7UOj0=",
    ),
    (
        256,
        58030,
        "adwbjE74YmzjIY8SX3dQ69Fk6r3ufSZNPrOO+t7LoECLuroXKA+j1mGF 29y8hDIAF/ggdQcjtEyRRYqRWajAmQ==",
        "CDCQqv+Kulso2jF+e/WYkaNAy8XPn/6NAtmnbeSQ8C4=",
    ),
];
const A: u16 = 1;
const DO_AND_CO: [u8; 2] = [0xc0, 0];

fn put_key(directory: &Path, at: usize, times: &str) {
    let (flags, tag, public, private) = KEYS[at];
    let file = |ending: &str| directory.join(format!("Ksigned.example.+013+{tag}.{ending}"));
    let record = format!("signed.example. IN DNSKEY {flags} 3 13 {public}\n");
    std::fs::write(file("key"), record).unwrap();
    let private = format!("Private-key-format: v1.3\nAlgorithm: 13 (ECDSAP256SHA256)\nPrivateKey: {private}\n{times}");
    std::fs::write(file("private"), private).unwrap();
}

/// A config whose zones and keys are in `directory`.
fn config(directory: &Path) -> GeoConfig {
    let dnssec = Some(Dnssec { keys: directory.into(), validity: Duration::from_secs(86_400) });
    let zone = |name: &str, text: &str, dnssec| {
        let file = directory.join(format!("{name}zone"));
        std::fs::write(&file, text).unwrap();
        ZoneSource { name: name.into(), file, dnssec, ..ZoneSource::default() }
    };
    let zones = vec![
        zone("signed.example.", PARENT, dnssec.clone()),
        zone("child.signed.example.", CHILD, dnssec),
        zone("insecure.signed.example.", INSECURE, None),
    ];
    let name = "a1105.signed.example.".into();
    let service = Service { name, clusters: vec!["*".into()], ttl: Duration::from_secs(30), answers: 2 };
    let clusters = vec![cluster("one", "203.0.113.1", "10.1.0.0/16"), cluster("two", "203.0.113.2", "10.2.0.0/16")];
    GeoConfig { clusters, zones, services: vec![service], ..GeoConfig::default() }
}

fn keys(directory: &Path) {
    put_key(directory, 0, "");
    put_key(directory, 1, "");
    put_child_key(directory);
}

/// A director of signed zones, and the directory of its files.
fn signed() -> (Director, tempfile::TempDir) {
    let directory = tempfile::tempdir().unwrap();
    keys(directory.path());
    (Director::new(config(directory.path()), Arc::new(NativeGeo::default())).unwrap().0, directory)
}

/// What another program prints, or `None`, said aloud, where it is not installed.
async fn said(mut command: Command, package: &'static str) -> Option<String> {
    let output = tokio::task::spawn_blocking(move || (command.output(), command)).await.unwrap();
    match output {
        (Ok(output), _) => Some(String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned()),
        (Err(error), command) => {
            absent(&command.get_program().to_string_lossy(), package, &error);
            None
        }
    }
}

/// What delv makes of a question when it trusts the key of the upper zone and nothing else.
async fn delv(running: &Running, anchors: &Path, name: &str, kind: &str) -> Option<String> {
    let mut command = Command::new("delv");
    let (server, port) = (format!("@{}", running.address.ip()), running.address.port().to_string());
    command.args([&server, "-p", &port, "-a", anchors.to_str().unwrap(), "+root=signed.example", name, kind]);
    said(command, "bind9-dnsutils").await
}

fn anchors(directory: &Path) -> std::path::PathBuf {
    let (flags, _, public, _) = KEYS[0];
    let file = directory.join("anchors");
    std::fs::write(&file, format!("trust-anchors {{ \"signed.example.\" static-key {flags} 3 13 \"{public}\"; }};\n"))
        .unwrap();
    file
}

/// Questions, and what is in the answer that is proven, or that nothing is there.
const PROVEN: &[(&str, &str, &str)] = &[
    ("signed.example", "SOA", "hostmaster.signed.example."),
    ("signed.example", "DNSKEY", "257 3 13"),
    ("signed.example", "MX", "Mail.signed.example."),
    // An ALIAS, a set of several addresses, a set whose records had two TTLs, letters of both sizes.
    ("signed.example", "A", "192.0.2.55"),
    ("ns.signed.example", "A", "192.0.2.53"),
    ("mail.signed.example", "A", "192.0.2.57"),
    ("MAIL.Signed.Example", "A", "192.0.2.56"),
    ("_sip._tcp.signed.example", "SRV", "5060"),
    ("www.signed.example", "A", "192.0.2.54"),
    // Chosen.
    ("a1105.signed.example", "A", "203.0.113.1"),
    ("video.signed.example", "A", "203.0.113.1"),
    // Out of wildcards.
    ("x.y.w.signed.example", "TXT", "\"Wild\""),
    ("x.w.signed.example", "HTTPS", "Ns.w.signed.example."),
    // Of the lower zone, over its DS records.
    ("child.signed.example", "DS", "49956 15 2"),
    ("www.child.signed.example", "AAAA", "2001:db8::1"),
    ("out.signed.example", "A", "192.0.2.60"),
    ("ns.signed.example", "NSEC", "\\000.ns.signed.example. A RRSIG NSEC"),
];
const DENIED: &[(&str, &str)] = &[
    ("nothing.signed.example", "A"),
    ("a.b.c.nothing.signed.example", "MX"),
    ("ns.signed.example", "AAAA"),
    ("b.signed.example", "A"),
    ("x.w.signed.example", "A"),
    ("sub.w.signed.example", "TXT"),
    ("below.sub.w.signed.example", "TXT"),
    ("a1105.signed.example", "AAAA"),
    ("a1105.signed.example", "MX"),
    ("signed.example", "AAAA"),
    ("nothing.child.signed.example", "A"),
    ("child.signed.example", "MX"),
];

#[tokio::test(flavor = "multi_thread")]
async fn delv_finds_all_that_is_there_proven_and_all_that_is_not_denied() {
    let (director, directory) = signed();
    let (running, anchors) = (running_as(director), anchors(directory.path()));
    for (name, kind, expected) in PROVEN {
        let Some(text) = delv(&running, &anchors, name, kind).await else { return };
        has(&text.to_lowercase(), &["; fully validated", &expected.to_lowercase()]);
    }
    for (name, kind) in DENIED {
        let text = delv(&running, &anchors, name, kind).await.unwrap();
        has(&text, &["; negative response, fully validated"]);
    }
    let text = delv(&running, &anchors, "ns.insecure.signed.example", "A").await.unwrap();
    has(&text, &["; unsigned answer", "127.0.0.1"]);
    let counters = running.director.counters();
    let (made, kept) = (counters.signatures_made.load(Relaxed), counters.signatures_kept.load(Relaxed));
    assert!(made > 30 && kept > 20 && running.director.signatures_held() as u64 == made, "{made} made, {kept} kept");
}

#[tokio::test(flavor = "multi_thread")]
async fn unbound_walks_the_chain_of_trust_and_finds_a_zone_without_keys_insecure() {
    let (director, directory) = signed();
    let running = running_as(director);
    let zones = ["signed.example.", "child.signed.example.", "insecure.signed.example."];
    let stub = |zone: &&str| format!("stub-zone:\n name: {zone}\n stub-addr: 127.0.0.1@{}\n", running.address.port());
    let (flags, _, public, _) = KEYS[0];
    let server = format!(
        "server:\n do-not-query-localhost: no\n chroot: \"\"\n username: \"\"\n trust-anchor: \"signed.example. DNSKEY {flags} 3 13 {public}\"\n"
    );
    let file = directory.path().join("unbound.conf");
    std::fs::write(&file, server + &zones.iter().map(stub).collect::<String>()).unwrap();
    let ask = async |name: &str, kind: &str| {
        let mut command = Command::new("unbound-host");
        command.args(["-C", file.to_str().unwrap(), "-v", "-t", kind, name]);
        said(command, "unbound-host").await
    };
    for (name, kind, expected) in PROVEN {
        let Some(text) = ask(name, kind).await else { return };
        // Not of types that this version of it has no word for.
        let printed = if matches!(*kind, "HTTPS" | "NSEC") { "" } else { expected };
        has(&text, &["(secure)"]);
        assert!(text.to_lowercase().contains(&printed.to_lowercase()), "{printed:?} is missing in:\n{text}");
    }
    for (name, kind) in DENIED {
        has(&ask(name, kind).await.unwrap(), &["has no ", "(secure)"]);
    }
    has(&ask("ns.insecure.signed.example", "A").await.unwrap(), &["127.0.0.1", "(insecure)"]);
}

/// A query with EDNS flags, DO among them.
fn ask(director: &Arc<Director>, name: &str, kind: u16, flags: [u8; 2]) -> Message {
    let handler = Handler::with(director.clone(), Settings::default());
    let mut opt = opt(1232, 0, &[]);
    opt[7..9].copy_from_slice(&flags);
    let client = SocketAddr::from(([10, 1, 3, 7], 5353));
    // What is answered without the library must not leave out signatures.
    let query = query(name, kind, 1, &[opt]);
    let response = handler.respond(&query, client);
    Message::from_vec(&response.unwrap()).unwrap()
}

fn kinds(message: &Message) -> (Vec<RecordType>, Vec<RecordType>) {
    let kinds = |records: &[hickory_proto::rr::Record]| records.iter().map(|record| record.record_type()).collect();
    (kinds(&message.answers), kinds(&message.authorities))
}

#[test]
fn a_name_that_is_not_there_has_the_code_that_the_client_understands() {
    use RecordType::{NSEC, RRSIG, SOA};
    let (director, _directory) = signed();
    let director = Arc::new(director);
    let denied = vec![SOA, RRSIG, NSEC, RRSIG];
    for (flags, code, authority) in [
        ([0, 0], ResponseCode::NXDomain, vec![SOA]),
        ([0x80, 0], ResponseCode::NoError, denied.clone()),
        (DO_AND_CO, ResponseCode::NXDomain, denied.clone()),
    ] {
        let response = ask(&director, "nothing.signed.example", A, flags);
        assert_eq!(response.metadata.response_code, code, "{flags:?}");
        assert_eq!(kinds(&response), (Vec::new(), authority), "{flags:?}");
        assert_eq!(u16::from(*response.edns.as_ref().unwrap().flags()), u16::from_be_bytes(flags));
        assert!(!response.metadata.authentic_data);
    }
    let nsec = ask(&director, "nothing.signed.example", A, DO_AND_CO).authorities[2].clone();
    let data = nsec.data.to_bytes().unwrap();
    // RRSIG, NSEC and NXNAME, and a TTL that is the negative one.
    assert!(data.ends_with(&[0, 17, 0, 0, 0, 0, 0, 3, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x80]), "{nsec:?}");
    assert_eq!(nsec.ttl, 30);
    // The type itself is nobody's to ask for (§3.5).
    assert_eq!(ask(&director, "ns.signed.example", 128, [0x80, 0]).metadata.response_code, ResponseCode::FormErr);
}

#[test]
fn only_who_asks_for_signatures_gets_them_and_a_zone_without_keys_has_none() {
    use RecordType::{A as Address, DS, NS, NSEC, RRSIG, SOA};
    let (director, _directory) = signed();
    let director = Arc::new(director);
    for (name, kind, flags, expected) in [
        ("ns.signed.example", A, [0, 0], (vec![Address; 2], vec![])),
        ("ns.signed.example", A, [0x80, 0], (vec![Address, Address, RRSIG], vec![])),
        ("a1105.signed.example", A, [0, 0], (vec![Address], vec![])),
        ("a1105.signed.example", A, [0x80, 0], (vec![Address, RRSIG], vec![])),
        ("a1105.signed.example", 28, [0x80, 0], (vec![], vec![SOA, RRSIG, NSEC, RRSIG])),
        ("ns.insecure.signed.example", A, [0x80, 0], (vec![Address], vec![])),
        ("insecure.signed.example", 28, [0x80, 0], (vec![], vec![SOA])),
        ("insecure.signed.example", 43, [0x80, 0], (vec![], vec![SOA, RRSIG, NSEC, RRSIG])),
        ("child.signed.example", 43, [0x80, 0], (vec![DS, RRSIG], vec![])),
        ("child.signed.example", 43, [0, 0], (vec![DS], vec![])),
        ("ns.signed.example", 46, [0, 0], (vec![RRSIG], vec![])),
    ] {
        assert_eq!(kinds(&ask(&director, name, kind, flags)), expected, "{name} {kind} {flags:?}");
    }
    // Delegated to others: with the DS set, or with the proof that there is none.
    let (other, directory) = signed();
    let mut config = config(directory.path());
    config.zones.truncate(1);
    other.reload(config).unwrap();
    let other = Arc::new(other);
    assert_eq!(kinds(&ask(&other, "www.child.signed.example", A, [0x80, 0])), (vec![], vec![NS, DS, RRSIG]));
    assert_eq!(kinds(&ask(&other, "www.insecure.signed.example", A, [0x80, 0])), (vec![], vec![NS, NSEC, RRSIG]));
    assert_eq!(kinds(&ask(&other, "www.insecure.signed.example", A, [0, 0])), (vec![], vec![NS]));
}

/// Which keys the DNSKEY set has, by their flags and how many, and who signs it and an address.
fn roles(director: &Arc<Director>) -> (usize, Vec<u16>, Vec<u16>) {
    let signers = |message: &Message| -> Vec<u16> {
        let signatures = message.answers.iter().filter(|record| record.record_type() == RecordType::RRSIG);
        let data = signatures.map(|record| record.data.to_bytes().unwrap());
        data.map(|data| u16::from_be_bytes(data[16..18].try_into().unwrap())).collect()
    };
    let keys = ask(director, "signed.example", 48, [0x80, 0]);
    let count = keys.answers.iter().filter(|record| record.record_type() == RecordType::DNSKEY).count();
    (count, signers(&keys), signers(&ask(director, "ns.signed.example", A, [0x80, 0])))
}

#[test]
fn a_roll_over_follows_the_times_of_the_keys_and_what_cannot_be_read_keeps_the_old_ones() {
    let (director, directory) = signed();
    let (director, at) = (Arc::new(director), directory.path());
    let day = |days: i64| {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs() as i64 + days * 86_400;
        // The form of key files, by way of the civil calendar.
        let (z, of_day) = (now / 86_400 + 719_468, now % 86_400);
        let (era, doe) = (z / 146_097, z % 146_097);
        let yoe = (doe - doe / 1460 + doe / 36_524 - doe / 146_096) / 365;
        let doy = doe - (365 * yoe + yoe / 4 - yoe / 100);
        let (mp, year) = ((5 * doy + 2) / 153, yoe + era * 400);
        let (day, month) = (doy - (153 * mp + 2) / 5 + 1, if mp < 10 { mp + 3 } else { mp - 9 });
        let year = if month <= 2 { year + 1 } else { year };
        format!("{year:04}{month:02}{day:02}{:02}{:02}{:02}", of_day / 3600, of_day / 60 % 60, of_day % 60)
    };
    assert_eq!(roles(&director), (2, vec![22646], vec![11739]));
    // Published ahead; then it signs, while the old one is still known; then that is gone.
    put_key(at, 2, &format!("Publish: {}\nActivate: {}\n", day(-1), day(1)));
    director.reload(config(at)).unwrap();
    assert_eq!(roles(&director), (3, vec![22646], vec![11739]));
    put_key(at, 2, &format!("Publish: {}\nActivate: {}\n", day(-3), day(-1)));
    put_key(at, 1, &format!("Inactive: {}\nDelete: {}\n", day(-1), day(2)));
    director.reload(config(at)).unwrap();
    assert_eq!(roles(&director), (3, vec![22646], vec![58030]));
    put_key(at, 1, &format!("Inactive: {}\nDelete: {}\n", day(-3), day(-1)));
    director.reload(config(at)).unwrap();
    assert_eq!(roles(&director), (2, vec![22646], vec![58030]));
    // The entry alone signs all.
    put_key(at, 2, &format!("Inactive: {}\n", day(-1)));
    director.reload(config(at)).unwrap();
    assert_eq!(roles(&director), (2, vec![22646], vec![22646]));
    // None would be left, or one is broken: a warning, and nothing changes.
    put_key(at, 0, &format!("Inactive: {}\n", day(-1)));
    let warnings = director.reload(config(at)).unwrap();
    has(&warnings.concat(), &["none of the 3 keys of zone signed.example. is active now", "keeps the keys it had"]);
    std::fs::remove_file(at.join("Ksigned.example.+013+22646.private")).unwrap();
    let warnings = director.reload(config(at)).unwrap();
    has(&warnings.concat(), &["22646.private: cannot be read", "zone signed.example. keeps the keys it had"]);
    assert_eq!(roles(&director), (2, vec![22646], vec![22646]));
    let fresh = Director::new(config(at), Arc::new(NativeGeo::default())).err().unwrap();
    has(&fresh.to_string(), &["22646.private: cannot be read", "a key is two files"]);
}

#[test]
fn signed_answers_fit_a_datagram_or_are_cut() {
    let (director, _directory) = signed();
    let director = Arc::new(director);
    for (name, kind, _) in PROVEN {
        let kind = u16::from(kind.parse::<RecordType>().unwrap());
        let response = ask(&director, name, kind, [0x80, 0]);
        let length = response.to_vec().unwrap().len();
        assert!(length <= 1232 && !response.metadata.truncation, "{name} {kind}: {length}");
    }
    let handler = Handler::with(director, Settings::default());
    let mut small = opt(512, 0, &[]);
    small[7] = 0x80;
    let cut =
        handler.respond(&query("nothing.signed.example", A, 1, &[small]), SocketAddr::from(([10, 1, 3, 7], 5353)));
    let cut = cut.unwrap();
    let message = Message::from_vec(&cut).unwrap();
    assert!(cut.len() <= 512 && (message.metadata.truncation || kinds(&message).1.len() == 4));
}

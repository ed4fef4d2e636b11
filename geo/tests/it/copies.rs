//! Two servers of one zone: copies as `kdig` and `dig` fetch them, and a secondary of ours that follows its primary and outlives it.

use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use littoral_geo::peers::{Peers, Primary, Transfer};
use littoral_geo::server::Listeners;
use littoral_geo::stub::lookup;
use littoral_geo::tsig::Secret;
use littoral_geo::{Counters, Director, GeoConfig, NativeGeo, ZoneSource};
use littoral_testkit::outsider::absent;

use crate::dns::{Running, has, serving};

pub(crate) const NAME: &str = "copied.example.";
const PATIENCE: Duration = Duration::from_secs(5);
/// 32 bytes, as other programs are told of them.
const SECRET: &[u8; 32] = b"a secret of thirty-two bytes ...";
pub(crate) const SECRET_BASE64: &str = "YSBzZWNyZXQgb2YgdGhpcnR5LXR3byBieXRlcyAuLi4=";

pub(crate) fn zone(serial: u32, more: &str) -> String {
    format!(
        "$ORIGIN {NAME}\n$TTL 60\n@ IN SOA ns hostmaster {serial} 3600 600 86400 30\n@ IN NS ns\nns IN A 192.0.2.1\n@ IN ALIAS ns\n\
         sub IN NS ns.sub\nns.sub IN A 192.0.2.9\nsub IN DS 1 13 2 0000000000000000000000000000000000000000000000000000000000000000\n\
         @ IN HTTPS 1 . alpn=h2\n{more}"
    )
}

pub(crate) fn config(file: &Path, peers: Peers) -> GeoConfig {
    let secret = Secret { name: "xfr".into(), algorithm: "hmac-sha256".into(), secret: SECRET.to_vec() };
    let zones = vec![ZoneSource { name: NAME.into(), file: file.into(), peers, ..ZoneSource::default() }];
    GeoConfig { secrets: vec![secret], zones, ..GeoConfig::default() }
}

pub(crate) fn listeners() -> Listeners {
    Listeners::bind(&["127.0.0.1:0".parse().unwrap()], 1, |_| None).unwrap()
}

pub(crate) fn running(listeners: Listeners, config: GeoConfig) -> Running {
    serving(listeners, Director::new(config, Arc::new(NativeGeo::default())).unwrap().0)
}

pub(crate) fn transfer(notify: Vec<SocketAddr>) -> Option<Transfer> {
    Some(Transfer { allow: vec!["127.0.0.0/8".parse().unwrap()], key: Some("xfr".into()), notify })
}

pub(crate) fn secondary_of(address: SocketAddr) -> Peers {
    Peers { primary: Some(Primary { address, key: Some("xfr.".into()) }), ..Peers::default() }
}

/// What a server says of a name of the zone: code and addresses.
pub(crate) async fn told(address: SocketAddr, name: &str) -> (u16, Vec<String>) {
    match lookup(address, &format!("{name}.{NAME}"), None, PATIENCE).await {
        Ok(answer) => (answer.code, answer.addresses().iter().map(ToString::to_string).collect()),
        Err(error) => panic!("{name}: {error}"),
    }
}

/// Asks until the answer is the one that is waited for.
pub(crate) async fn until_told(address: SocketAddr, name: &str, expected: (u16, &[&str])) {
    let asking = async {
        while told(address, name).await != (expected.0, expected.1.iter().map(ToString::to_string).collect()) {
            tokio::task::yield_now().await;
        }
    };
    assert!(tokio::time::timeout(Duration::from_secs(20), asking).await.is_ok(), "{name} is never {expected:?}");
}

async fn said(program: &'static str, server: SocketAddr, arguments: &[&str]) -> Option<String> {
    let mut command = Command::new(program);
    command.args([&format!("@{}", server.ip()), "-p", &server.port().to_string()]).args(arguments);
    match tokio::task::spawn_blocking(move || command.output()).await.unwrap() {
        Ok(output) => Some(String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned()),
        Err(error) => {
            absent(program, if program == "dig" { "bind9-dnsutils" } else { "knot-dnsutils" }, &error);
            None
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn kdig_and_dig_copy_a_zone_whole_or_by_its_changes_with_the_key_and_not_without() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("zone");
    // Enough for many messages.
    let many: String = (0..5000).map(|number| format!("host{number} IN TXT \"{number:060}\"\n")).collect();
    std::fs::write(&file, zone(7, &many)).unwrap();
    let config = || config(&file, Peers { transfer: transfer(Vec::new()), ..Peers::default() });
    let primary = running(listeners(), config());
    let key = format!("hmac-sha256:xfr:{SECRET_BASE64}");
    let Some(whole) = said("kdig", primary.address, &["-y", &key, NAME, "AXFR"]).await else { return };
    has(&whole, &["host4999.copied.example.", "TYPE65305", "192.0.2.1", "IN\tDS\t1 13 2", "HTTPS", "5009 records"]);
    assert!(!whole.contains(";; WARNING") && !whole.contains(";; ERROR"), "{}", &whole[whole.len() - 500..]);
    has(&said("kdig", primary.address, &[NAME, "AXFR"]).await.unwrap(), &["REFUSED"]);
    let wrong = key.replace("YSBz", "YSBy");
    has(&said("dig", primary.address, &["-y", &wrong, NAME, "AXFR"]).await.unwrap(), &["BADSIG", "Transfer failed"]);
    let unknown = key.replace("xfr", "other");
    has(&said("dig", primary.address, &["-y", &unknown, NAME, "AXFR"]).await.unwrap(), &["BADKEY", "Transfer failed"]);
    // A change of two records, told by its own.
    std::fs::write(&file, zone(8, &many.replace("host4999 IN TXT", "other IN A 192.0.2.7\nhost4999 IN TXT \"new\"")))
        .unwrap();
    primary.director.reload(config()).unwrap();
    let changes = said("dig", primary.address, &["-y", &key, NAME, "IXFR=7"]).await.unwrap();
    has(&changes, &["\"new\"", "other.copied.example.", "XFR size: 7 records"]);
    let none = said("dig", primary.address, &["-y", &key, NAME, "IXFR=8"]).await.unwrap();
    has(&none, &["XFR size: 1 records"]);
    let forgotten = said("dig", primary.address, &["-y", &key, NAME, "IXFR=3"]).await.unwrap();
    has(&forgotten, &["XFR size: 5010 records"]);
    // In a datagram go the changes that it holds, else the SOA record, which is to bring the client by TCP.
    let datagram = async |serial: &str| {
        said("dig", primary.address, &["-y", &key, "+notcp", "+ignore", NAME, serial]).await.unwrap()
    };
    let records = |text: &str| text.lines().filter(|line| !line.starts_with(';') && line.contains("\tIN\t")).count();
    let changes = datagram("IXFR=7").await;
    has(&changes, &["\"new\"", "other.copied.example.", "(UDP)"]);
    assert_eq!(records(&changes), 7, "{changes}");
    for serial in ["IXFR=8", "IXFR=3"] {
        let newest = datagram(serial).await;
        has(&newest, &["hostmaster.copied.example. 8 3600", "(UDP)"]);
        assert_eq!(records(&newest), 1, "{newest}");
    }
    assert_eq!(records(&said("dig", primary.address, &["+notcp", NAME, "IXFR=7"]).await.unwrap()), 0);
    // A question that is signed is answered signed.
    let signed = said("dig", primary.address, &["-y", &key, NAME, "SOA"]).await.unwrap();
    has(&signed, &["NOERROR", "TSIG PSEUDOSECTION"]);
    assert!(!signed.contains("verify"), "{signed}");
    let counters = primary.director.counters();
    assert_eq!((counters.transfers.load(Relaxed), counters.transfers_refused.load(Relaxed)), (5, 2));
    assert_eq!(counters.tsig_refused.load(Relaxed), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_signed_answer_is_cut_where_its_signature_would_make_it_too_long_for_a_datagram() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("zone");
    let texts: String = (0..12)
        .map(|step| format!("t{step} IN TXT \"{}\" \"{}\"\n", "x".repeat(220), "y".repeat(109 + 12 * step)))
        .collect();
    std::fs::write(&file, zone(1, &texts)).unwrap();
    let server = running(listeners(), config(&file, Peers::default()));
    let key = format!("hmac-sha256:xfr:{SECRET_BASE64}");
    let mut cut_by_the_signature = 0;
    for (step, size) in (0..12).flat_map(|step| [(step, 512), (step, 600)]) {
        let (name, offer) = (format!("t{step}.{NAME}"), format!("+bufsize={size}"));
        let edns = if size == 512 { "+noedns" } else { offer.as_str() };
        let asked = ["+norec", "+notcp", "+ignore", edns, &name, "TXT"];
        let Some(plain) = said("dig", server.address, &asked).await else { return };
        let signed = said("dig", server.address, &[&["-y", key.as_str()][..], &asked[..]].concat()).await.unwrap();
        let octets = |told: &str| {
            let size = told.lines().find_map(|line| line.strip_prefix(";; MSG SIZE  rcvd: ")).unwrap();
            size.trim().parse::<u32>().unwrap()
        };
        assert!(octets(&plain) <= size && octets(&signed) <= size, "{name}: {signed}");
        let is_cut = |told: &str| told.contains("flags: qr aa tc;");
        has(&signed, &["TSIG PSEUDOSECTION", "NOERROR"]);
        assert!(!signed.contains("verify") && (is_cut(&signed) || signed.contains("ANSWER: 1")), "{signed}");
        cut_by_the_signature += u32::from(is_cut(&signed) && !is_cut(&plain));
    }
    assert!(cut_by_the_signature > 2, "some fit without a signature only: {cut_by_the_signature}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_secondary_follows_its_primary_and_answers_when_that_is_gone() {
    let directory = tempfile::tempdir().unwrap();
    let (file, copy) = (directory.path().join("zone"), directory.path().join("copy"));
    let (first, second) = (listeners(), listeners());
    let (primary_at, secondary_at) = (first.addresses()[0], second.addresses()[0]);
    // Without a copy nothing is known.
    let secondary = running(second, config(&copy, secondary_of(primary_at)));
    drop(first);
    until_told(secondary_at, "ns", (2, &[])).await;
    std::fs::write(&file, zone(1, "www IN A 192.0.2.2\n")).unwrap();
    let of_primary = || config(&file, Peers { transfer: transfer(vec![secondary_at]), ..Peers::default() });
    let first = Listeners::bind(&[primary_at], 1, |_| None).unwrap();
    let primary = running(first, of_primary());
    until_told(secondary_at, "www", (0, &["192.0.2.2"])).await;
    // A change is told, and only it is sent.
    std::fs::write(&file, zone(2, "www IN A 192.0.2.3\nmore IN A 192.0.2.4\n")).unwrap();
    primary.director.reload(of_primary()).unwrap();
    until_told(secondary_at, "www", (0, &["192.0.2.3"])).await;
    assert_eq!(told(secondary_at, "more").await, (0, vec!["192.0.2.4".into()]));
    assert!(secondary.director.counters().notifies.load(Relaxed) >= 1);
    // Gone is the primary, and the secondary starts anew out of its copy.
    drop(primary);
    assert_eq!(told(secondary_at, "www").await, (0, vec!["192.0.2.3".into()]));
    drop(secondary);
    let again = running(listeners(), config(&copy, secondary_of(primary_at)));
    assert_eq!(told(again.address, "www").await, (0, vec!["192.0.2.3".into()]));
    assert_eq!(told(again.address, "sub").await.0, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_copy_that_its_primary_does_not_confirm_any_more_is_not_served() {
    let directory = tempfile::tempdir().unwrap();
    let (file, copy) = (directory.path().join("zone"), directory.path().join("copy"));
    std::fs::write(&file, zone(1, "").replace("3600 600 86400", "1 1 2")).unwrap();
    let first = running(listeners(), config(&file, Peers { transfer: transfer(Vec::new()), ..Peers::default() }));
    let secondary = running(listeners(), config(&copy, secondary_of(first.address)));
    until_told(secondary.address, "ns", (0, &["192.0.2.1"])).await;
    drop(first);
    until_told(secondary.address, "ns", (2, &[])).await;
    // Nor after a start.
    let again = running(listeners(), config(&copy, secondary_of(secondary.address)));
    assert_eq!(told(again.address, "ns").await.0, 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_primary_with_another_key_or_without_one_is_not_believed() {
    let directory = tempfile::tempdir().unwrap();
    let (file, copy) = (directory.path().join("zone"), directory.path().join("copy"));
    std::fs::write(&file, zone(1, "")).unwrap();
    let open = Transfer { allow: vec!["127.0.0.0/8".parse().unwrap()], ..Transfer::default() };
    let mut other = config(&file, Peers { transfer: Some(open), ..Peers::default() });
    other.secrets[0].secret = vec![1; 32];
    let first = running(listeners(), other);
    let secondary = running(listeners(), config(&copy, secondary_of(first.address)));
    let failed = &secondary.director.counters().fetches[Counters::fetched("failed")];
    let failing = async {
        while failed.load(Relaxed) == 0 {
            tokio::task::yield_now().await;
        }
    };
    assert!(tokio::time::timeout(PATIENCE, failing).await.is_ok());
    assert_eq!(told(secondary.address, "ns").await.0, 2);
}

#[test]
fn relations_that_cannot_be_are_told_with_what_to_do() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("zone");
    std::fs::write(&file, zone(1, "")).unwrap();
    let problem = |config| Director::new(config, Arc::new(NativeGeo::default())).err().unwrap().to_string();
    let nobody = Peers { transfer: Some(Transfer::default()), ..Peers::default() };
    has(
        &problem(config(&file, nobody)),
        &["zone \"copied.example.\" may be copied by nobody: name addresses or a key"],
    );
    let unknown =
        Peers { transfer: Some(Transfer { key: Some("none".into()), ..Transfer::default() }), ..Peers::default() };
    has(&problem(config(&file, unknown)), &["names the DNS key \"none\", which is not there: add it"]);
    let mut short = config(&file, Peers::default());
    short.secrets[0].secret = vec![1; 8];
    has(&problem(short.clone()), &["the DNS key \"xfr\" has a secret of 8 bytes: at least 16"]);
    short.secrets[0].algorithm = "hmac-md5".into();
    has(&problem(short), &["hmac-sha256, hmac-sha384 and hmac-sha512 are used"]);
    // A master file where a copy is to be.
    has(&problem(config(&file, secondary_of("127.0.0.1:53".parse().unwrap()))), &["no journal of a zone"]);
}

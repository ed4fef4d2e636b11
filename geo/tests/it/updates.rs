//! Changes of a zone as `nsupdate` sends them: taken from who may, kept over a start, seen at the secondary.

use std::io::Write;
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use littoral_geo::peers::{Peers, Update};
use littoral_geo::{Director, NativeGeo};
use littoral_testkit::outsider::absent;

use crate::copies::{config, listeners, running, secondary_of, told, transfer, until_told, zone};
use crate::dns::has;

const KEY: &str = "hmac-sha256:xfr YSBzZWNyZXQgb2YgdGhpcnR5LXR3byBieXRlcyAuLi4=";

/// What nsupdate says of some lines, empty when all went well; `None`, said aloud, where it is not installed.
async fn nsupdate(server: SocketAddr, key: Option<&str>, lines: &str) -> Option<String> {
    let key = key.map(|key| format!("key {key}\n")).unwrap_or_default();
    let (ip, port) = (server.ip(), server.port());
    let input = format!("server {ip} {port}\nzone copied.example.\n{key}ttl 60\n{lines}\nsend\n");
    let run = move || {
        let mut command = Command::new("nsupdate");
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
        child.stdin.take().unwrap().write_all(input.as_bytes())?;
        child.wait_with_output()
    };
    match tokio::task::spawn_blocking(run).await.unwrap() {
        Ok(output) => Some(String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned()),
        Err(error) => {
            absent("nsupdate", "bind9-dnsutils", &error);
            None
        }
    }
}

fn peers(directory: &Path, notify: Vec<SocketAddr>) -> Peers {
    let update = Update { key: "xfr".into(), allow: Vec::new(), journal: directory.join("journal") };
    Peers { transfer: transfer(notify), update: Some(update), ..Peers::default() }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_is_in_force_at_once_seen_at_the_secondary_and_there_after_a_start() {
    let directory = tempfile::tempdir().unwrap();
    let at = directory.path();
    std::fs::write(at.join("zone"), zone(1, "old IN A 192.0.2.8\n")).unwrap();
    let (first, second) = (listeners(), listeners());
    let (primary_at, secondary_at) = (first.addresses()[0], second.addresses()[0]);
    let of_primary = || config(&at.join("zone"), peers(at, vec![secondary_at]));
    let primary = running(first, of_primary());
    let secondary = running(second, config(&at.join("copy"), secondary_of(primary_at)));
    until_told(secondary_at, "old", (0, &["192.0.2.8"])).await;
    let lines = "update add new.copied.example. 30 A 192.0.2.7\nupdate add new.copied.example. A 192.0.2.6\nupdate delete old.copied.example. A";
    let Some(said) = nsupdate(primary_at, Some(KEY), lines).await else { return };
    assert_eq!(said, "");
    assert_eq!(told(primary_at, "new").await, (0, vec!["192.0.2.7".into(), "192.0.2.6".into()]));
    until_told(secondary_at, "new", (0, &["192.0.2.7", "192.0.2.6"])).await;
    assert_eq!(told(secondary_at, "old").await.0, 3);
    // Twice the same changes nothing, not even the serial.
    assert_eq!(nsupdate(primary_at, Some(KEY), "update add new.copied.example. 60 A 192.0.2.7").await.unwrap(), "");
    let counters = primary.director.counters();
    assert_eq!((counters.updates.load(Relaxed), counters.updates_refused.load(Relaxed)), (2, 0));
    let fetches = &secondary.director.counters().fetches;
    assert_eq!([0, 1].map(|at: usize| fetches[at].load(Relaxed)), [1, 1], "a change, and before it the whole zone");
    // A reload and a start find what was taken.
    primary.director.reload(of_primary()).unwrap();
    assert_eq!(told(primary_at, "old").await.0, 3);
    drop(primary);
    assert_eq!(told(secondary_at, "new").await.0, 0);
    let again = running(listeners(), of_primary());
    assert_eq!((told(again.address, "new").await.1.len(), told(again.address, "old").await.0), (2, 3));
    // What comes then goes on from there.
    assert_eq!(nsupdate(again.address, Some(KEY), "update delete new.copied.example.").await.unwrap(), "");
    assert_eq!(told(again.address, "new").await.0, 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn only_who_may_changes_what_may_be_changed_when_what_must_be_is() {
    let directory = tempfile::tempdir().unwrap();
    let at = directory.path();
    std::fs::write(at.join("zone"), zone(1, "old IN A 192.0.2.8\nalias IN CNAME old\n")).unwrap();
    let primary = running(listeners(), config(&at.join("zone"), peers(at, Vec::new())));
    let wrong = KEY.replace("YSBz", "YSBy");
    let ask = async |key, lines: &str| nsupdate(primary.address, key, lines).await;
    let add = "update add new.copied.example. A 192.0.2.7";
    let Some(said) = ask(None, add).await else { return };
    has(&said, &["REFUSED"]);
    has(&ask(Some(&wrong), add).await.unwrap(), &["NOTAUTH(BADSIG)"]);
    for (wanted, code) in [
        ("prereq yxdomain none.copied.example.", "NXDOMAIN"),
        ("prereq nxdomain old.copied.example.", "YXDOMAIN"),
        ("prereq yxrrset old.copied.example. TXT", "NXRRSET"),
        ("prereq nxrrset old.copied.example. A", "YXRRSET"),
        ("prereq yxrrset old.copied.example. A 192.0.2.9", "NXRRSET"),
        ("prereq yxdomain www.elsewhere.example.", "NOTZONE"),
        ("update add www.elsewhere.example. A 192.0.2.7", "NOTZONE"),
        ("update add x.copied.example. 60 TYPE65305 \\# 1 00", "REFUSED"),
        ("update add x.copied.example. 60 NSEC old.copied.example. A", "REFUSED"),
        // An ALIAS has no addresses of its own.
        ("update add copied.example. A 192.0.2.7", "REFUSED"),
    ] {
        has(&ask(Some(KEY), &format!("{wanted}\n{add}")).await.unwrap(), &[code]);
        assert_eq!(told(primary.address, "new").await.0, 3, "{wanted}");
    }
    let held = "prereq yxdomain old.copied.example.\nprereq nxrrset old.copied.example. TXT\nprereq yxrrset old.copied.example. A 192.0.2.8";
    // What cannot stand beside what is there is passed over; the last server and the SOA record stay (RFC 2136 §3.4.2).
    let passed = "update add alias.copied.example. A 192.0.2.7\nupdate add old.copied.example. CNAME ns.copied.example.\n\
                  update delete copied.example. NS\nupdate delete copied.example. SOA\nupdate delete copied.example. HTTPS";
    assert_eq!(ask(Some(KEY), &format!("{held}\n{passed}\n{add}")).await.unwrap(), "");
    assert_eq!(told(primary.address, "new").await, (0, vec!["192.0.2.7".into()]));
    assert_eq!(told(primary.address, "alias").await, (0, vec!["192.0.2.8".into()]));
    let counters = primary.director.counters();
    assert_eq!((counters.updates.load(Relaxed), counters.updates_refused.load(Relaxed)), (1, 11));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_zone_file_with_a_higher_serial_takes_the_place_of_its_journal_and_no_other_does() {
    let directory = tempfile::tempdir().unwrap();
    let (at, file) = (directory.path(), directory.path().join("zone"));
    std::fs::write(&file, zone(5, "")).unwrap();
    let of_primary = || config(&file, peers(at, Vec::new()));
    let primary = running(listeners(), of_primary());
    let Some(said) = nsupdate(primary.address, Some(KEY), "update add new.copied.example. A 192.0.2.7").await else {
        return;
    };
    assert_eq!(said, "");
    std::fs::write(&file, zone(4, "")).unwrap();
    let fresh = Director::new(of_primary(), Arc::new(NativeGeo::default())).err().unwrap().to_string();
    has(
        &fresh,
        &["journal: the zone's file has the serial 4, which is none of the journal's, 5 to 6: take back the file"],
    );
    let warnings = primary.director.reload(of_primary()).unwrap();
    has(&warnings.concat(), &["stays as it was"]);
    assert_eq!(told(primary.address, "new").await.0, 0);
    std::fs::write(&file, zone(7, "newer IN A 192.0.2.6\n")).unwrap();
    let warnings = primary.director.reload(of_primary()).unwrap();
    has(&warnings.concat(), &["older than the zone's file (7); put aside as", "journal.superseded"]);
    assert_eq!((told(primary.address, "new").await.0, told(primary.address, "newer").await.0), (3, 0));
    let said = nsupdate(primary.address, Some(KEY), "update add new.copied.example. A 192.0.2.7").await.unwrap();
    assert_eq!((said.as_str(), told(primary.address, "new").await.0), ("", 0));
    // One that another process has written is not written over; a reload reads it.
    let journal = std::fs::read(at.join("journal")).unwrap();
    std::fs::write(at.join("journal"), [&journal[..], &journal[24..]].concat()).unwrap();
    let said = nsupdate(primary.address, Some(KEY), "update delete new.copied.example. A").await.unwrap();
    has(&said, &["SERVFAIL"]);
    assert_eq!(told(primary.address, "new").await.0, 0);
    std::fs::write(at.join("journal"), journal).unwrap();
    // Two zones in one file would lose what one of them has.
    let mut twice = of_primary();
    let mut other = twice.zones[0].clone();
    other.name = "other.example.".into();
    other.file = at.join("other");
    std::fs::write(&other.file, zone(1, "").replace("copied", "other")).unwrap();
    twice.zones.push(other);
    let problem = primary.director.reload(twice).unwrap_err().to_string();
    has(&problem, &["zone \"other.example.\" is written to", "journal, as another one is: name another file"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn questions_are_answered_while_a_change_waits_for_the_disk() {
    let directory = tempfile::tempdir().unwrap();
    let at = directory.path();
    std::fs::write(at.join("zone"), zone(1, "old IN A 192.0.2.8\n")).unwrap();
    // One thread answers.
    let primary = running(listeners(), config(&at.join("zone"), peers(at, Vec::new())));
    assert_eq!(told(primary.address, "old").await.0, 0);
    // Whoever opens a pipe to write waits for a reader.
    let journal = at.join("journal");
    assert!(Command::new("mkfifo").arg(&journal).status().unwrap().success());
    let change = nsupdate(primary.address, Some(KEY), "update add new.copied.example. A 192.0.2.7");
    let mut change = Box::pin(change);
    let udp = &primary.director.counters().udp;
    let before = udp.load(Relaxed);
    while udp.load(Relaxed) < before + 3 {
        tokio::select! {
            said = &mut change => return assert!(said.is_none(), "answered before it was written: {said:?}"),
            answer = told(primary.address, "old") => assert_eq!(answer, (0, vec!["192.0.2.8".into()])),
        }
    }
    // What cannot be kept is not in force.
    let reader = tokio::task::spawn_blocking(move || std::fs::File::open(journal));
    has(&change.await.unwrap_or_default(), &["SERVFAIL"]);
    drop(reader.await);
    assert_eq!(told(primary.address, "new").await.0, 3);
}

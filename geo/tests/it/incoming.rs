//! What a secondary of ours makes of a primary's answers: of a primary that says what a test has it say, and of Knot's.

use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use hickory_proto::op::{Message, MessageType, OpCode, ResponseCode};
use hickory_proto::rr::rdata::{A, NS, SOA};
use hickory_proto::rr::{Name, RData, Record, RecordType};
use littoral_geo::Counters;
use littoral_geo::peers::{Peers, Primary};
use littoral_testkit::outsider::absent;
use parking_lot::Mutex;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use crate::copies::{NAME, SECRET_BASE64, config, listeners, running, secondary_of, told, transfer, until_told, zone};
use crate::dns::Running;

/// What a primary answers: messages, each with its records, then it closes.
type Script = Arc<Mutex<Box<dyn Fn(RecordType, u32) -> Answer + Send>>>;
type Answer = Result<Vec<Vec<Record>>, ResponseCode>;

fn name(label: &str) -> Name {
    format!("{label}{}{NAME}", if label.is_empty() { "" } else { "." }).parse().unwrap()
}

fn soa(serial: u32) -> Record {
    let times = |serial| SOA::new(name("ns"), name("h"), serial, 3600, 600, 86_400, 30);
    Record::from_rdata(name(""), 60, RData::SOA(times(serial)))
}

fn a(label: &str, last: u8) -> Record {
    Record::from_rdata(name(label), 60, RData::A(A::new(192, 0, 2, last)))
}

fn whole(serial: u32, more: &[Record]) -> Answer {
    let ns = Record::from_rdata(name(""), 60, RData::NS(NS(name("ns"))));
    Ok(vec![vec![soa(serial), ns, a("ns", 1)], [more, &[soa(serial)]].concat()])
}

/// A primary, what it was asked for, and by which serial.
struct Scripted {
    address: SocketAddr,
    script: Script,
    asked: Arc<Mutex<Vec<(RecordType, u32)>>>,
}

impl Scripted {
    async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let first: Box<dyn Fn(RecordType, u32) -> Answer + Send> = Box::new(|_, _| whole(1, &[a("old", 1)]));
        let (script, asked) = (Arc::new(Mutex::new(first)), Arc::new(Mutex::new(Vec::new())));
        let (of_server, log) = (script.clone(), asked.clone());
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let length = stream.read_u16().await.unwrap();
                let mut query = vec![0; length.into()];
                stream.read_exact(&mut query).await.unwrap();
                let query = Message::from_vec(&query).unwrap();
                let kind = query.queries[0].query_type();
                let serial = query.authorities.first().map_or(0, |record| match &record.data {
                    RData::SOA(soa) => soa.serial,
                    _ => panic!("no SOA record in a question for changes"),
                });
                log.lock().push((kind, serial));
                let answer = (of_server.lock())(kind, serial);
                let mut bytes = Vec::new();
                for records in answer.as_ref().cloned().unwrap_or(vec![Vec::new()]) {
                    let mut message = Message::new(query.metadata.id, MessageType::Response, OpCode::Query);
                    message.add_query(query.queries[0].clone());
                    message.metadata.response_code = answer.as_ref().err().copied().unwrap_or(ResponseCode::NoError);
                    message.add_answers(records);
                    let message = message.to_vec().unwrap();
                    bytes.extend((message.len() as u16).to_be_bytes());
                    bytes.extend(message);
                }
                stream.write_all(&bytes).await.unwrap();
            }
        });
        Self { address, script, asked }
    }

    /// From now on it answers changes like this, and whole zones with this one.
    fn says(&self, changes: Answer, other: Answer) {
        let of = move |kind, _| if kind == RecordType::IXFR { changes.clone() } else { other.clone() };
        *self.script.lock() = Box::new(of);
    }

    fn was_asked(&self) -> Vec<(RecordType, u32)> {
        std::mem::take(&mut *self.asked.lock())
    }
}

/// A secondary of it that has its first version.
async fn secondary(primary: &Scripted, copy: &Path) -> Running {
    let peers = Peers { primary: Some(Primary { address: primary.address, key: None }), ..Peers::default() };
    let secondary = running(listeners(), config(copy, peers));
    until_told(secondary.address, "old", (0, &["192.0.2.1"])).await;
    assert_eq!(primary.was_asked(), [(RecordType::AXFR, 0)]);
    secondary
}

/// Until so many askings have come to this end.
async fn until_counted(secondary: &Running, outcome: &str, count: u64) {
    let counter = &secondary.director.counters().fetches[Counters::fetched(outcome)];
    let counting = async {
        while counter.load(Relaxed) < count {
            tokio::task::yield_now().await;
        }
    };
    let ended = tokio::time::timeout(std::time::Duration::from_secs(20), counting).await;
    assert!(ended.is_ok(), "{outcome}: {counter:?}, not {count}");
}

fn asks_again(secondary: &Running) {
    assert!(secondary.director.reload_zone(NAME).unwrap().is_copy);
}

#[tokio::test(flavor = "multi_thread")]
async fn several_changes_are_made_one_after_the_other_and_a_restart_finds_what_came_of_them() {
    let directory = tempfile::tempdir().unwrap();
    let (primary, copy) = (Scripted::start().await, directory.path().join("copy"));
    let secondary = secondary(&primary, &copy).await;
    // Cut where a reader may stumble: behind each SOA record, and within what goes and comes.
    let cut = vec![
        vec![soa(4), soa(1)],
        vec![a("old", 1), soa(2)],
        vec![a("one", 2)],
        vec![a("two", 3), soa(2), soa(3)],
        vec![soa(3), a("one", 2)],
        vec![soa(4)],
        vec![a("one", 4), soa(4)],
    ];
    primary.says(Ok(cut), Err(ResponseCode::ServFail));
    asks_again(&secondary);
    until_counted(&secondary, "changes", 1).await;
    for at in [secondary.address, running(listeners(), config(&copy, secondary_of(primary.address))).address] {
        assert_eq!(told(at, "old").await.0, 3);
        assert_eq!(told(at, "one").await, (0, vec!["192.0.2.4".into()]));
        assert_eq!(told(at, "two").await, (0, vec!["192.0.2.3".into()]));
    }
    assert_eq!(primary.was_asked()[0], (RecordType::IXFR, 1));
    // All of them at once, and that there is nothing new.
    primary.says(Ok(vec![vec![soa(9), soa(4), a("two", 3), soa(9), a("two", 9), soa(9)]]), Err(ResponseCode::ServFail));
    asks_again(&secondary);
    until_told(secondary.address, "two", (0, &["192.0.2.9"])).await;
    primary.says(Ok(vec![vec![soa(9)]]), Err(ResponseCode::ServFail));
    asks_again(&secondary);
    until_counted(&secondary, "same", 1).await;
    // A whole zone is as good an answer.
    primary.says(whole(10, &[a("two", 10)]), Err(ResponseCode::ServFail));
    asks_again(&secondary);
    until_told(secondary.address, "two", (0, &["192.0.2.10"])).await;
    let counted = |label: &str| secondary.director.counters().fetches[Counters::fetched(label)].load(Relaxed);
    assert_eq!(["changes", "whole", "same", "unfit", "failed"].map(counted), [2, 2, 1, 0, 0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn changes_that_are_of_no_use_have_the_whole_zone_asked_for_at_once() {
    let directory = tempfile::tempdir().unwrap();
    let (primary, copy) = (Scripted::start().await, directory.path().join("copy"));
    let secondary = secondary(&primary, &copy).await;
    let one = |records: Vec<Record>| Ok(vec![records]);
    for (number, unfit) in (2_u8..).zip([
        // What is to go is not there, what is to come is.
        one(vec![soa(50), soa(1), a("none", 1), soa(50), soa(50)]),
        one(vec![soa(50), soa(2), soa(50), a("old", 2), soa(50)]),
        // They begin or end elsewhere.
        one(vec![soa(50), soa(99), soa(50), soa(50)]),
        one(vec![soa(50), soa(4), soa(5), soa(50)]),
        // The result is no zone.
        one(vec![soa(50), soa(5), Record::from_rdata(name(""), 60, RData::NS(NS(name("ns")))), soa(50), soa(50)]),
        // An answer that ends early, has nothing in it, or is none.
        one(vec![soa(50)]),
        one(vec![soa(50), soa(7), a("old", 7)]),
        Ok(vec![]),
        Err(ResponseCode::NotImp),
        Err(ResponseCode::FormErr),
    ]) {
        let (serial, before) = (u32::from(number), u32::from(number) - 1);
        primary.says(unfit, whole(serial, &[a("old", number)]));
        asks_again(&secondary);
        until_told(secondary.address, "old", (0, &[&format!("192.0.2.{number}")])).await;
        assert_eq!(primary.was_asked(), [(RecordType::IXFR, before), (RecordType::AXFR, 0)], "{number}");
        until_counted(&secondary, "unfit", u64::from(before)).await;
        until_counted(&secondary, "whole", u64::from(number)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_primary_tells_while_it_is_asked_is_not_forgotten() {
    let directory = tempfile::tempdir().unwrap();
    let (primary, copy) = (Scripted::start().await, directory.path().join("copy"));
    let secondary = secondary(&primary, &copy).await;
    // It has answered that there is nothing new when it says that there is.
    let (director, told) = (secondary.director.clone(), Mutex::new(false));
    *primary.script.lock() = Box::new(move |_, _| {
        if std::mem::replace(&mut *told.lock(), true) {
            return whole(2, &[a("old", 2)]);
        }
        director.reload_zone(NAME).unwrap();
        Ok(vec![vec![soa(1)]])
    });
    asks_again(&secondary);
    until_told(secondary.address, "old", (0, &["192.0.2.2"])).await;
    assert_eq!(primary.was_asked(), [(RecordType::IXFR, 1); 2]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_primary_that_has_gone_back_is_not_followed() {
    let directory = tempfile::tempdir().unwrap();
    let (primary, copy) = (Scripted::start().await, directory.path().join("copy"));
    let secondary = secondary(&primary, &copy).await;
    for (count, older) in [(1, Ok(vec![vec![soa(0)]])), (2, whole(0, &[a("old", 7)]))] {
        primary.says(older, whole(0, &[a("old", 7)]));
        asks_again(&secondary);
        until_counted(&secondary, "failed", count).await;
        assert_eq!(told(secondary.address, "old").await, (0, vec!["192.0.2.1".into()]));
    }
}

/// A process of another's that ends with the test.
struct Ended(Child);

impl Drop for Ended {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Knot with a config, in a directory of its own; `None`, said aloud, where it is not installed.
fn knot(directory: &Path, at: SocketAddr, zone: &str) -> Option<Ended> {
    let work = directory.display();
    let text = format!(
        "server:\n    rundir: {work}\n    listen: {}@{}\ndatabase:\n    storage: {work}\nlog:\n  - target: {work}/log\n    any: info\n\
         key:\n  - id: xfr\n    algorithm: hmac-sha256\n    secret: {SECRET_BASE64}\n{zone}",
        at.ip(),
        at.port()
    );
    std::fs::write(directory.join("knot.conf"), text).unwrap();
    let program = if Path::new("/usr/sbin/knotd").exists() { "/usr/sbin/knotd" } else { "knotd" };
    let mut command = Command::new(program);
    command.arg("-c").arg(directory.join("knot.conf")).stdout(Stdio::null()).stderr(Stdio::null());
    command.spawn().map(Ended).map_err(|error| absent("knotd", "knot", &error)).ok()
}

/// An address that nobody has for the moment.
fn free() -> SocketAddr {
    listeners().addresses()[0]
}

fn logged(directory: &Path) -> String {
    std::fs::read_to_string(directory.join("log")).unwrap_or_default()
}

#[tokio::test(flavor = "multi_thread")]
async fn knot_as_a_primary_is_followed_by_its_changes() {
    let directory = tempfile::tempdir().unwrap();
    let (knot_at, ours) = (free(), listeners());
    let our_address = ours.addresses()[0];
    let file = directory.path().join("zone");
    std::fs::write(&file, zone(1, "old IN A 192.0.2.2\n").replace("@ IN ALIAS ns\n", "")).unwrap();
    let of_zone = format!(
        "remote:\n  - id: ours\n    address: {}@{}\n    key: xfr\nacl:\n  - id: copy\n    key: xfr\n    action: transfer\n  - id: change\n    \
         address: 127.0.0.1\n    action: update\n    key: xfr\n\
         zone:\n  - domain: {NAME}\n    file: {}\n    notify: ours\n    acl: [copy, change]\n    zonefile-load: difference\n    zonefile-sync: -1\n    \
         journal-content: changes\n",
        our_address.ip(),
        our_address.port(),
        file.display()
    );
    let secondary = running(ours, config(&directory.path().join("copy"), secondary_of(knot_at)));
    let Some(_knot) = knot(directory.path(), knot_at, &of_zone) else { return };
    until_told(our_address, "old", (0, &["192.0.2.2"])).await;
    let failed = secondary.director.counters().fetches[Counters::fetched("failed")].load(Relaxed);
    for (serial, label) in [(2, "one"), (3, "two")] {
        let change = format!(
            "server {} {}\nzone {NAME}\nkey hmac-sha256:xfr {SECRET_BASE64}\nupdate add {label}.{NAME} 60 A 192.0.2.{serial}\n\
             update delete old.{NAME}\nsend\n",
            knot_at.ip(),
            knot_at.port()
        );
        std::fs::write(directory.path().join("change"), change).unwrap();
        let output = Command::new("nsupdate").arg(directory.path().join("change")).output();
        let output = match output {
            Ok(output) => output,
            Err(error) => return absent("nsupdate", "bind9-dnsutils", &error),
        };
        assert!(output.status.success(), "{output:?}: {}", logged(directory.path()));
        until_told(our_address, label, (0, &[&format!("192.0.2.{serial}")])).await;
        assert_eq!(told(our_address, "old").await.0, 3);
    }
    until_counted(&secondary, "changes", 2).await;
    let counted = |label: &str| secondary.director.counters().fetches[Counters::fetched(label)].load(Relaxed);
    assert_eq!((counted("whole"), counted("unfit"), counted("failed")), (1, 0, failed));
    let log = logged(directory.path());
    assert_eq!(log.matches("IXFR, outgoing").count(), 4, "begun and ended twice: {log}");
}

#[tokio::test(flavor = "multi_thread")]
async fn knot_as_a_secondary_follows_our_changes() {
    let directory = tempfile::tempdir().unwrap();
    let (knot_at, ours) = (free(), listeners());
    let our_address = ours.addresses()[0];
    let of_zone = format!(
        "remote:\n  - id: ours\n    address: {}@{}\n    key: xfr\nacl:\n  - id: told\n    key: xfr\n    action: notify\n\
         zone:\n  - domain: {NAME}\n    storage: {}\n    master: ours\n    acl: told\n",
        our_address.ip(),
        our_address.port(),
        directory.path().display()
    );
    let file = directory.path().join("zone");
    let of_ours = || config(&file, Peers { transfer: transfer(vec![knot_at]), ..Peers::default() });
    std::fs::write(&file, zone(1, "www IN A 192.0.2.2\n")).unwrap();
    let primary = running(ours, of_ours());
    let Some(_knot) = knot(directory.path(), knot_at, &of_zone) else { return };
    until_known(knot_at, "www", "192.0.2.2", directory.path()).await;
    for serial in 2..5 {
        std::fs::write(&file, zone(serial, &format!("www IN A 192.0.2.{serial}\n"))).unwrap();
        primary.director.reload(of_ours()).unwrap();
        until_known(knot_at, "www", &format!("192.0.2.{serial}"), directory.path()).await;
    }
    let log = logged(directory.path());
    assert!(log.contains("IXFR, incoming") && !log.contains("error: [copied.example.] IXFR"), "{log}");
}

/// Until a server that may not be up yet answers this address.
async fn until_known(server: SocketAddr, label: &str, address: &str, directory: &Path) {
    let patience = std::time::Duration::from_secs(1);
    let asking = async {
        loop {
            let answer = littoral_geo::stub::lookup(server, &format!("{label}.{NAME}"), None, patience).await;
            if answer.is_ok_and(|answer| answer.addresses().iter().any(|known| known.to_string() == address)) {
                return;
            }
            tokio::task::yield_now().await;
        }
    };
    let asked = tokio::time::timeout(std::time::Duration::from_secs(20), asking).await;
    assert!(asked.is_ok(), "{label} is never {address}: {}", logged(directory));
}

//! Swarms that lie about their memory: each event is a fault or an answer, what they ask for is checked before anybody hears of it, and the
//! next instance starts.

use std::net::SocketAddr;
use std::pin::pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use littoral_plugin_host::HostSettings;
use littoral_plugin_host::fetch::Fetching;
use littoral_plugin_host::service::swarm::{Actor, Algorithm, Event, Outside, Refusal, Unsent};
use littoral_plugin_host::service::{DialSpec, Service, ServiceHost, ServiceSpec, Target};

use super::marionette::{Marionette, Operation};
use super::{advance, now_ms};

/// Hears what is asked for.
#[derive(Default, Clone)]
struct Heard(Arc<Mutex<Vec<String>>>);

impl Heard {
    fn note(&self, what: String) {
        self.0.lock().unwrap().push(what);
    }

    fn taken(&self) -> Vec<String> {
        std::mem::take(&mut self.0.lock().unwrap())
    }
}

impl Outside for Heard {
    fn send(&mut self, connection: u32, data: Vec<u8>) -> u32 {
        self.note(format!("send {connection} {}", String::from_utf8_lossy(&data)));
        data.len() as u32
    }
    fn splice(&mut self, connection: u32, content: u32, at: u64, length: u32) -> Result<(), Unsent> {
        self.note(format!("splice {connection} {content} {at} {length}"));
        Ok(())
    }
    fn close(&mut self, connection: u32) {
        self.note(format!("close {connection}"));
    }
    fn dial(&mut self, target: Target) -> Result<u32, Refusal> {
        self.note(format!("dial {}:{}", target.host, target.port));
        Ok(1)
    }
    fn send_to(&mut self, to: SocketAddr, data: &[u8], is_listed: (bool, bool)) -> bool {
        self.note(format!("send-to {to} {} {is_listed:?}", data.len()));
        true
    }
    fn set_timer(&mut self, id: u32, after: Duration) -> bool {
        self.note(format!("timer {id} {after:?}"));
        true
    }
    fn cancel_timer(&mut self, _id: u32) {}
    fn find(&mut self, url: &str) -> Result<u32, Refusal> {
        self.note(format!("find {url}"));
        Ok(1)
    }
    fn release(&mut self, _content: u32) {}
    fn digest(&mut self, content: u32, at: u64, length: u32, algorithm: Algorithm) -> Result<u32, Refusal> {
        self.note(format!("digest {content} {at} {length} {algorithm:?}"));
        Ok(1)
    }
    fn await_answer(&mut self, _fetching: Fetching) -> Option<u32> {
        self.note("await".to_owned());
        None
    }
}

fn wait<T>(future: impl Future<Output = T>) -> T {
    let mut future = pin!(future);
    loop {
        if let Poll::Ready(done) = future.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
            return done;
        }
    }
}

/// A swarm that is moved by what comes on a connection, and who hears of it.
struct Moved {
    marionette: Marionette,
    service: Arc<Service>,
    heard: Heard,
    _directory: tempfile::TempDir,
}

impl Moved {
    fn new() -> Self {
        let (marionette, directory) = (Marionette::of("swarm-service", &["durable"]), tempfile::tempdir().unwrap());
        let file = directory.path().join("marionette.wasm");
        std::fs::write(&file, &marionette.component).unwrap();
        let host = ServiceHost::new(HostSettings { cache_dir: None, compiler: None, now_ms }).unwrap();
        let reaches = vec!["peer.example:6881".parse().unwrap(), "192.0.2.0/24:*".parse().unwrap()];
        let dial = Some(DialSpec { reaches, authorities: None });
        let spec =
            ServiceSpec { name: "marionette".into(), file, dial, store_bytes: 1 << 20, ..ServiceSpec::default() };
        Self { marionette, service: host.load(spec).unwrap(), heard: Heard::default(), _directory: directory }
    }

    /// Whether it lives on after a program, and what was asked for.
    fn run(&self, operations: &[Operation<'_>], behind: &[u8]) -> (bool, Vec<String>) {
        advance(60_000);
        let actor = wait(Actor::start(&self.service, Box::new(self.heard.clone()), None)).ok().unwrap();
        let bytes = self.marionette.program(operations, behind);
        let (actor, _) = wait(actor.tell(&Event::Data { connection: 1, bytes }));
        (actor.is_some(), self.heard.taken())
    }
}

#[test]
fn a_swarm_that_calls_with_good_pointers_is_heard() {
    let moved = Moved::new();
    // The text is behind six operations.
    let at = 6 * 32;
    let operations: &[Operation<'_>] = &[
        ("swarm-host.send", &[7, at, 4]),
        ("swarm-host.splice", &[7, 3, 100, 50, 1024]),
        ("swarm-host.dial", &[at + 4, 12, 6881, 1024]),
        ("swarm-host.find", &[at + 16, 9, 1024]),
        ("swarm-host.set-timer", &[5, 1500]),
        ("swarm-host.digest", &[3, 0, 64 << 20, 1, 1024]),
    ];
    let told = moved.service.status().manifest.capabilities;
    let told: Vec<_> = told.iter().map(|(key, of)| (*key, of.asked, of.granted)).collect();
    let expected = [
        ("content", true, false),
        ("dial", true, true),
        ("durable", false, false),
        ("http", false, false),
        ("store", false, true),
    ];
    assert!(told.iter().zip(expected).all(|(told, expected)| told.0 == expected.0 && told.2 == expected.2), "{told:?}");
    let heard = moved.run(operations, b"pongpeer.examplehttp://a/");
    let expected = [
        "send 7 pong",
        "splice 7 3 100 50",
        "dial peer.example:6881",
        "find http://a/",
        "timer 5 1.5s",
        "digest 3 0 67108864 Sha256",
    ];
    assert_eq!(heard, (true, expected.map(String::from).to_vec()));
}

#[test]
fn a_swarm_reaches_nobody_who_is_not_granted() {
    let moved = Moved::new();
    let dials: &[Operation<'_>] =
        &[("swarm-host.dial", &[64, 12, 80, 1024]), ("swarm-host.dial", &[64, 9, 6881, 1024])];
    assert_eq!(moved.run(dials, b"peer.example"), (true, Vec::new()), "another port, another name");
    // ::ffff:0:0 with its low bits as a number of 32 bits that keeps its sign, and a port beyond 16 bits of it.
    let ask: &[Operation<'_>] = &[("swarm-host.send-to", &[0, 1, 6881, 0, 10])];
    assert_eq!(moved.run(ask, b""), (true, vec!["send-to [::1]:6881 10 (false, false)".into()]), "told that it is not");
}

#[test]
fn a_swarm_whose_pointers_are_wild_fails_and_is_heard_of_no_more() {
    let moved = Moved::new();
    let (outside, last) = (u32::MAX, 65_535);
    let cases: &[(&str, &[Operation<'_>])] = &[
        ("bytes outside", &[("swarm-host.send", &[1, outside, 8])]),
        ("bytes of all memory there could be", &[("swarm-host.send", &[1, 0, outside])]),
        ("bytes that wrap", &[("swarm-host.send-to", &[0, 1, 1, outside - 1, 16])]),
        ("a datagram that is none", &[("swarm-host.send-to", &[0, 1, 1, 0, 65_508])]),
        ("a name outside", &[("swarm-host.dial", &[last, 8, 80, 1024])]),
        ("a name that is no text", &[("write", &[2048, outside]), ("swarm-host.dial", &[2048, 4, 80, 1024])]),
        ("a URL over the end", &[("swarm-host.find", &[65_530, 16, 1024])]),
        ("a place for the result outside", &[("swarm-host.find", &[0, 0, outside - 3])]),
        ("a place for the result that is not aligned", &[("swarm-host.digest", &[0, 0, 0, 0, 1025])]),
        ("an algorithm that is none", &[("swarm-host.digest", &[0, 0, 0, 2, 1024])]),
        ("more than is summed up", &[("swarm-host.digest", &[0, 0, (64 << 20) + 1, 0, 1024])]),
        ("memory beyond its bound", &[("grow", &[5000])]),
        ("a table beyond its bound", &[("grow", &[0, 100_000])]),
    ];
    for (what, operations) in cases {
        let before: u64 = moved.service.status().faults.values().sum();
        let after_it = [*operations, &[("swarm-host.close", &[9])]].concat();
        let (lives, heard) = moved.run(&after_it, b"x");
        let faults = moved.service.status().faults.values().sum::<u64>() - before;
        // What it is answered has no place, which is seen when there is an answer.
        let is_other = |heard: &&String| !what.starts_with("a place") || heard.starts_with("close");
        let heard: Vec<_> = heard.iter().filter(is_other).collect();
        assert!(!lives && faults == 1, "{what}: {:?}", moved.service.status().last_fault);
        assert!(heard.is_empty(), "{what}: {heard:?}");
        let told = moved.service.status().last_backtrace;
        assert!(told.len() > 1 && told.iter().all(|line| !line.is_empty()), "{what}: the reason and where: {told:?}");
    }
    assert_eq!(
        moved.run(&[("swarm-host.close", &[9])], b""),
        (true, vec!["close 9".into()]),
        "and the next one starts"
    );
    // What it hands on is read as any answer.
    advance(60_000);
    let actor = wait(Actor::start(&moved.service, Box::new(moved.heard.clone()), None)).ok().unwrap();
    let bytes = moved.marionette.program(&[("end", &[65_532])], b"");
    let (actor, _) = wait(actor.tell(&Event::Data { connection: 1, bytes }));
    assert_eq!(wait(actor.unwrap().stop()), None, "it points over the end");
}

//! Round-trip times to clients, as this node's own connections show them: measured when one is accepted, kept by prefix, told to the nodes that
//! choose clusters. Asking others for theirs is [`hear`]'s, keeping the table for the next process [`kept`]'s, asking prefixes themselves, where that is granted, [`probe`]'s; deciding by them is
//! the director's.
//!
//! The kernel has measured the handshake when a connection is accepted, so one question to it gives a sample of the way without what a
//! response fills its queues with; requests cost nothing. Invariants: at most [`A_SECOND_MAX`] connections a second are measured; nobody waits
//! for the table; it has at most `rtt.prefixes` rows.

use std::net::IpAddr;
use std::os::fd::AsRawFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering::Relaxed};

use littoral_geo::limits::RTT_US_MAX;
use littoral_geo::rtt::{Prefix, Row, parse, write};
use parking_lot::Mutex;
use pingora::protocols::l4::ext::get_tcp_info;

use crate::clock::elapsed_ms;
use crate::config;
use crate::observe::figures::Counter;
use kept::Keeping;
use probe::{Outcome, Probing};
use table::Table;

pub(crate) mod hear;
pub(crate) mod kept;
pub mod probe;
mod table;

/// Where a node tells its times.
pub const PATH: &str = "/.well-known/littoral/rtt";
/// Connections measured in a second.
const A_SECOND_MAX: u32 = 1000;

/// What a node knows of the ways to its clients.
#[derive(Default)]
pub struct Rtt {
    measures: AtomicBool,
    /// The second that is counted in, and the connections measured in it.
    second: AtomicU64,
    in_second: AtomicU32,
    table: Mutex<Table>,
    probing: Probing,
    keeping: Mutex<Keeping>,
    /// Probes by what came of them.
    pub(crate) probes: [Counter; Outcome::LABELS.len()],
    /// Connections by what came of measuring them, as in [`Rtt::OUTCOMES`].
    pub(crate) measured: [Counter; 4],
    /// Those who asked and were told, and those who may not.
    pub(crate) told: [Counter; 2],
}

impl Rtt {
    /// Kept; beyond what a second may have; the table was being read; the kernel does not know.
    pub(crate) const OUTCOMES: [&'static str; 4] = ["kept", "limited", "busy", "unknown"];

    /// Goes by a config from now on.
    pub fn put(&self, config: &config::Rtt) {
        self.table.lock().bound(config.prefixes, config.samples, config.keep.0.as_secs());
        self.measures.store(config.measure, Relaxed);
    }

    /// Probes what a config grants from now on. Within a runtime.
    pub fn probe(self: &Arc<Self>, config: &config::Rtt) {
        self.probing.follow(self, &config.probe);
    }

    /// Whether connections of a prefix say enough to go by.
    fn is_measured(&self, prefix: Prefix) -> bool {
        self.table.lock().is_measured(prefix, now_s())
    }

    /// A connection of a client has been accepted.
    pub(crate) fn accepted(&self, connection: &impl AsRawFd, client: IpAddr) {
        if !self.measures.load(Relaxed) {
            return;
        }
        let now_s = now_s();
        let outcome = match self.may_measure(now_s) {
            false => 1,
            true => match handshake_us(connection) {
                None => 3,
                Some(us) => self.table.try_lock().map_or(2, |mut table| {
                    table.note(Prefix::of(client), us, now_s);
                    0
                }),
            },
        };
        self.measured[outcome].add(1);
    }

    /// Whether this second has room for one more. Threads that meet at its edge may let a few more through.
    fn may_measure(&self, now_s: u64) -> bool {
        if self.second.swap(now_s, Relaxed) != now_s {
            self.in_second.store(0, Relaxed);
        }
        self.in_second.fetch_add(1, Relaxed) < A_SECOND_MAX
    }

    /// The times as they are told.
    pub fn text(&self) -> String {
        let rows: Vec<Row> = self.table.lock().told(now_s());
        write(rows.iter())
    }

    /// Takes times that somebody else has measured from here, in the same form, in place of those that are known of their prefixes. Says
    /// how many they are.
    ///
    /// # Errors
    /// The line and what is wrong with it; then nothing was taken.
    pub fn learn(&self, text: &str) -> Result<usize, String> {
        let (rows, now_s) = (parse(text)?, now_s());
        let mut table = self.table.lock();
        rows.iter().for_each(|row| table.learn(row, now_s));
        Ok(rows.len())
    }

    /// Prefixes in the table, and how many had to leave it.
    pub(crate) fn kept(&self) -> (u64, u64) {
        let table = self.table.lock();
        (table.len() as u64, table.evicted())
    }
}

/// Seconds of a clock that does not go back, and that began so long ago that whatever is known has an age in it.
fn now_s() -> u64 {
    u64::from(u32::MAX) + elapsed_ms() / 1000
}

/// The round-trip time of a connection's handshake in microseconds, where the kernel knows one: not of a unix socket, and not when the client
/// had to be answered again.
fn handshake_us(connection: &impl AsRawFd) -> Option<u32> {
    let told = get_tcp_info(connection.as_raw_fd()).ok()?;
    let least = Some(told.tcpi_min_rtt).filter(|us| (1..=RTT_US_MAX).contains(us));
    let us = least.unwrap_or(told.tcpi_rtt);
    ((1..=RTT_US_MAX).contains(&us) && told.tcpi_total_retrans == 0).then_some(us)
}

#[cfg(test)]
mod tests {
    use std::net::{TcpListener, TcpStream};
    use std::time::Duration;

    use super::*;
    use crate::config::units::Span;

    fn measuring(samples: u32) -> Rtt {
        let rtt = Rtt::default();
        rtt.put(&config::Rtt { measure: true, samples, keep: Span(Duration::from_secs(60)), ..config::Rtt::default() });
        rtt
    }

    fn outcomes(rtt: &Rtt) -> [u64; 4] {
        rtt.measured.each_ref().map(Counter::sum)
    }

    #[test]
    fn an_accepted_connection_is_measured_and_its_prefix_told_once_it_has_enough() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let _client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (connection, client) = listener.accept().unwrap();
        let rtt = measuring(2);
        rtt.accepted(&connection, client.ip());
        assert_eq!((rtt.text().lines().count(), outcomes(&rtt)), (1, [1, 0, 0, 0]));
        rtt.accepted(&connection, client.ip());
        let rows = parse(&rtt.text()).unwrap();
        assert_eq!((rows[0].prefix.to_string().as_str(), rows[0].samples), ("127.0.0.0/24", 2));
        assert!((1..1_000_000).contains(&rows[0].rtt_us), "{rows:?}");
        rtt.put(&config::Rtt::default());
        rtt.accepted(&connection, client.ip());
        assert_eq!(outcomes(&rtt), [2, 0, 0, 0], "switched off it asks nobody");
    }

    #[test]
    fn what_cannot_be_measured_is_counted_and_so_is_what_would_be_too_much() {
        let (one, _other) = std::os::unix::net::UnixStream::pair().unwrap();
        let rtt = measuring(1);
        rtt.accepted(&one, IpAddr::from([127, 0, 0, 1]));
        assert_eq!(outcomes(&rtt), [0, 0, 0, 1]);
        let free = (0..2 * A_SECOND_MAX).filter(|_| rtt.may_measure(7)).count();
        assert_eq!((free, rtt.may_measure(7), rtt.may_measure(8)), (A_SECOND_MAX as usize, false, true));
    }

    #[test]
    fn times_from_elsewhere_are_told_on_and_a_wrong_text_changes_nothing() {
        let rtt = measuring(3);
        let text = "littoral-rtt 1\n198.51.100.0/24 21500 7 0\n";
        assert_eq!((rtt.learn(text), rtt.text()), (Ok(1), text.to_owned()));
        assert!(rtt.learn(&format!("{text}198.51.100.0/24 0 7 0\n")).unwrap_err().starts_with("line 3: "));
        assert_eq!(rtt.text(), text);
    }
}

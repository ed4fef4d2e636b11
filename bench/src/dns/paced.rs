//! How long answers take at 70 % of what each server can do: queries at a fixed rate, whatever the answers do.
//!
//! Time runs from when a query was due, so that one who makes us wait pays for those behind, too. Invariant: a run with a lost query does not count.

use std::fmt::Write as _;
use std::net::{SocketAddr, UdpSocket};
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use serde::Serialize;

use super::server::{Name, Running};
use super::world::{Query, World};
use super::{Case, Spread, load};

/// The share of its capacity that a server is asked for.
const SHARE: f64 = 0.7;
/// Sockets that ask; the kernel has one place for each.
const SOCKETS: usize = 4;
/// Queries that may be under way: ids are told apart.
const IDS: usize = 1 << 16;
/// How long the last answers are waited for.
const GRACE: Duration = Duration::from_millis(500);

/// One server in one round.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Round {
    number: u32,
    server: Name,
    capacity_qps: f64,
    p50_us: f64,
    p99_us: f64,
    /// How late queries left, 99th percentile: the generator's own part.
    late_p99_us: f64,
}

/// Measures what a server can do, and then its answers at a part of it.
pub(super) fn measured(up: &Running, number: u32, world: &World, seconds: u64) -> Result<Round> {
    let capacity_qps = load(up, world.file(Case::Chosen), seconds)? as f64 / seconds as f64;
    let seen = Asking::new(up.address, &world.chosen_queries)?.run(SHARE * capacity_qps, seconds)?;
    let [p50_us, p99_us] = [50, 99].map(|percent| percentile(&seen.answered_us, percent));
    let late_p99_us = percentile(&seen.late_us, 99);
    eprintln!(
        "round {} {:<8} {capacity_qps:>8.0} a second at most, at {SHARE} of it p50 {p50_us:.0} p99 {p99_us:.0} µs",
        number + 1,
        up.name.title()
    );
    Ok(Round { number, server: up.name, capacity_qps, p50_us, p99_us, late_p99_us })
}

/// What came of a run, sorted.
struct Seen {
    answered_us: Vec<f32>,
    late_us: Vec<f32>,
}

struct Asking<'a> {
    sockets: Vec<UdpSocket>,
    queries: &'a [Query],
    /// By id when a query was due; none is under way where there is nothing.
    due: Vec<Option<Duration>>,
    seen: Seen,
}

impl<'a> Asking<'a> {
    fn new(server: SocketAddr, queries: &'a [Query]) -> Result<Self> {
        let socket = |_| -> Result<UdpSocket> {
            let socket = UdpSocket::bind("127.0.0.1:0")?;
            socket.connect(server)?;
            socket.set_nonblocking(true)?;
            Ok(socket)
        };
        let sockets = (0..SOCKETS).map(socket).collect::<Result<_>>()?;
        let seen = Seen { answered_us: Vec::new(), late_us: Vec::new() };
        Ok(Self { sockets, queries, due: vec![None; IDS], seen })
    }

    fn run(mut self, rate: f64, seconds: u64) -> Result<Seen> {
        let (total, started) = ((rate * seconds as f64) as u64, Instant::now());
        let due = |number: u64| Duration::from_secs_f64(number as f64 / rate);
        let mut message = Vec::new();
        for number in 0..total {
            loop {
                let now = started.elapsed();
                if now >= due(number) {
                    self.seen.late_us.push((now - due(number)).as_secs_f32() * 1e6);
                    break;
                }
                self.receive(started);
            }
            let id = number as usize % IDS;
            ensure!(self.due[id].replace(due(number)).is_none(), "a query was not answered while 65,536 others were");
            message.clear();
            message.extend(&self.queries[number as usize % self.queries.len()].message);
            message[..2].copy_from_slice(&(id as u16).to_be_bytes());
            self.sockets[id % SOCKETS].send(&message)?;
        }
        let end = Instant::now() + GRACE;
        while Instant::now() < end {
            self.receive(started);
        }
        let lost = self.due.iter().flatten().count();
        ensure!(lost == 0, "{lost} of {total} queries were not answered");
        self.seen.answered_us.sort_by(f32::total_cmp);
        self.seen.late_us.sort_by(f32::total_cmp);
        Ok(self.seen)
    }

    fn receive(&mut self, started: Instant) {
        let mut response = [0; 1500];
        for socket in &self.sockets {
            while let Ok(length) = socket.recv(&mut response) {
                let id = usize::from(u16::from_be_bytes([response[0], response[1]]));
                let due = self.due[id].take().filter(|_| length > 12 && response[3] & 15 == 0);
                let taken = due.map(|due| (started.elapsed() - due).as_secs_f32() * 1e6);
                self.seen.answered_us.extend(taken);
            }
        }
    }
}

fn percentile(sorted: &[f32], percent: usize) -> f64 {
    let at = (sorted.len() * percent / 100).min(sorted.len().saturating_sub(1));
    sorted.get(at).map_or(f64::NAN, |value| f64::from(*value))
}

/// The table, and whether the mark is met: in the same round no longer than gdnsd.
pub(super) fn markdown(rounds: &[Round]) -> String {
    let mut text = "\n## Answers at 70 % of each one's capacity (chosen, with a client subnet)\n\n\
                    | server | capacity, queries a second | p50, µs | p99, µs | littoral's p99 to it | mark |\n|---|---|---|---|---|---|\n"
        .to_owned();
    let of = |server, value: &dyn Fn(&Round) -> f64| -> Vec<f64> {
        rounds.iter().filter(|round| round.server == server).map(value).collect()
    };
    for server in Name::ALL {
        let Some(p99) = Spread::of(of(server, &|round| round.p99_us)) else { continue };
        let own = |number| rounds.iter().find(|round| (round.number, round.server) == (number, Name::Littoral));
        let theirs = rounds.iter().filter(|round| round.server == server && server != Name::Littoral);
        let ratio = Spread::of(theirs.filter_map(|them| Some(own(them.number)?.p99_us / them.p99_us)).collect());
        let mark = ratio
            .as_ref()
            .filter(|_| server == Name::Gdnsd)
            .map_or(String::new(), |ratio| format!("≤ 1.00: {}", if ratio.median <= 1.0 { "met" } else { "missed" }));
        let spread =
            |value: &dyn Fn(&Round) -> f64| Spread::of(of(server, value)).map_or(String::new(), |of| of.text());
        let _ = writeln!(
            text,
            "| {} | {} | {} | {} | {} | {mark} |",
            server.title(),
            spread(&|round| round.capacity_qps),
            spread(&|round| round.p50_us),
            p99.text(),
            ratio.map_or(String::new(), |ratio| ratio.text()),
        );
    }
    let late = Spread::of(rounds.iter().map(|round| round.late_p99_us).collect());
    let _ = writeln!(text, "\nThe generator's own delay, p99: {} µs.", late.map_or(String::new(), |late| late.text()));
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_round_is_compared_with_gdnsds_of_the_same_number() {
        let round = |number, server, p99_us| Round {
            number,
            server,
            capacity_qps: 1000.0,
            p50_us: 1.0,
            p99_us,
            late_p99_us: 2.0,
        };
        let rounds = [
            round(0, Name::Littoral, 10.0),
            round(0, Name::Gdnsd, 20.0),
            round(1, Name::Littoral, 30.0),
            round(1, Name::Gdnsd, 20.0),
            round(2, Name::Gdnsd, 1.0),
        ];
        let text = markdown(&rounds);
        assert!(text.contains("| gdnsd | 1000.00 (1000.00–1000.00) | 1.00 (1.00–1.00) | 20.00 (1.00–20.00) | 1.50 (0.50–1.50) | ≤ 1.00: missed |"), "{text}");
        assert!(!text.contains("knot"), "{text}");
        assert_eq!(percentile(&[1.0, 2.0, 3.0], 50), 2.0);
        assert!(percentile(&[], 99).is_nan());
    }
}

//! A flood of five times what a server can answer, from other networks, and what becomes meanwhile of those who ask at a modest rate.
//!
//! The flood leaves in bursts that the kernel cuts (UDP_SEGMENT), as else one core could not send it; each of its sockets has an address in a network of its own.
//! Who asks is a resolver that asked before the flood began, one that brings back the cookie it was given then, and newcomers. Invariant: an answer
//! counts only for the query it answers, and only as long as a resolver would wait.

use std::fmt::Write as _;
use std::io::IoSlice;
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::os::fd::AsRawFd;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use nix::sys::socket::{ControlMessage, MsgFlags, sendmsg, setsockopt, sockopt};
use serde::Serialize;

use super::server::{Name, Running};
use super::world::{Query, World};
use super::{Case, Spread, ask, load};

/// Times the capacity that the flood is.
const TIMES: f64 = 5.0;
/// Networks that it comes from.
const SOURCES: u16 = 256;
/// Queries of a burst, all of one length.
const BURST: usize = 32;
/// Sockets of who is known, and of newcomers, which are older than [`PATIENCE`] when they are closed; queries of each kind in a second.
const SOCKETS: usize = 8;
const NEWCOMERS: usize = 400;
const RATE: f64 = 500.0;
/// How often is looked for answers.
const LOOK: Duration = Duration::from_millis(2);
/// How long a resolver waits for an answer.
const PATIENCE: Duration = Duration::from_millis(800);
/// How long those who are known ask before the flood.
const QUIET: Duration = Duration::from_secs(2);
/// The share of queries of those who asked before that are answered; docs/dns.md says so.
const STATED: f64 = 0.95;

/// Who asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
enum Kind {
    Known,
    Cookie,
    Newcomer,
}

impl Kind {
    const ALL: [Self; 3] = [Self::Known, Self::Cookie, Self::Newcomer];

    fn title(self) -> &'static str {
        match self {
            Self::Known => "asked before",
            Self::Cookie => "with a cookie",
            Self::Newcomer => "newcomers",
        }
    }
}

/// One server in one round.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Round {
    server: Name,
    capacity_qps: f64,
    /// What the flood was, as a multiple of that.
    times: f64,
    /// Of each kind the share that was answered; `None`: the server gives no cookies.
    answered: [Option<f64>; 3],
}

/// Floods a server for so many seconds.
pub(super) fn measured(up: &Running, number: u32, world: &World, seconds: u64) -> Result<Round> {
    let capacity_qps = load(up, world.file(Case::Static), seconds)? as f64 / seconds as f64;
    let mut flood = Flood::new(up.address, world, number)?;
    let mut asking = Vec::new();
    for kind in Kind::ALL {
        asking.push(Asking::new(kind, up.address, world, number)?);
    }
    let started = Instant::now();
    while started.elapsed() < QUIET {
        asking[..2].iter_mut().try_for_each(|one| one.go_on(started))?;
    }
    asking.iter_mut().for_each(Asking::begin);
    let (started, time) = (Instant::now(), Duration::from_secs(seconds));
    while started.elapsed() < time {
        flood.go_on(started, TIMES * capacity_qps)?;
        asking.iter_mut().try_for_each(|one| one.go_on(started))?;
    }
    let times = flood.sent as f64 / started.elapsed().as_secs_f64() / capacity_qps;
    let end = Instant::now() + PATIENCE;
    while Instant::now() < end {
        asking.iter_mut().for_each(Asking::receive);
    }
    let answered = [0, 1, 2].map(|at: usize| asking[at].share());
    eprintln!(
        "round {} {:<8} {capacity_qps:>8.0} a second at most, flood of {times:.1} times: {answered:.3?}",
        number + 1,
        up.name.title()
    );
    Ok(Round { server: up.name, capacity_qps, times, answered })
}

/// A socket with this address, connected.
fn socket(address: [u8; 4], server: SocketAddr) -> Result<UdpSocket> {
    let socket = UdpSocket::bind((Ipv4Addr::from(address), 0)).context("an address of loopback")?;
    socket.connect(server)?;
    socket.set_nonblocking(true)?;
    Ok(socket)
}

struct Flood {
    sockets: Vec<UdpSocket>,
    bursts: Vec<Vec<u8>>,
    /// Bytes of a query.
    length: u16,
    sent: u64,
}

impl Flood {
    /// From networks that no round before had.
    fn new(server: SocketAddr, world: &World, round: u32) -> Result<Self> {
        let of = |source: u16| {
            let socket = socket([127, 1 + (round % 100) as u8, source as u8, 1], server)?;
            // Nobody reads what comes back.
            setsockopt(&socket, sockopt::RcvBuf, &1)?;
            Ok(socket)
        };
        let length = world.static_queries.iter().map(|query| query.message.len()).max().unwrap_or_default();
        let longest: Vec<&Query> =
            world.static_queries.iter().filter(|query| query.message.len() == length).take(64 * BURST).collect();
        let bursts = longest.chunks_exact(BURST).map(|some| some.iter().flat_map(|one| one.message.clone()).collect());
        let sockets = (0..SOURCES).map(of).collect::<Result<_>>()?;
        Ok(Self { sockets, bursts: bursts.collect(), length: length as u16, sent: 0 })
    }

    /// Sends what is due, but not more at once than lets others in between.
    fn go_on(&mut self, started: Instant, rate: f64) -> Result<()> {
        let due = (started.elapsed().as_secs_f64() * rate) as u64;
        for _ in 0..8 {
            if self.sent >= due {
                break;
            }
            let at = self.sent as usize / BURST;
            let (socket, burst) = (&self.sockets[at % self.sockets.len()], &self.bursts[at % self.bursts.len()]);
            let cut = [ControlMessage::UdpGsoSegments(&self.length)];
            // What the kernel has no room for was sent all the same, as far as the server is concerned.
            let sent = sendmsg::<()>(socket.as_raw_fd(), &[IoSlice::new(burst)], &cut, MsgFlags::MSG_DONTWAIT, None);
            match sent {
                Ok(_) | Err(nix::Error::ECONNREFUSED) => self.sent += BURST as u64,
                Err(nix::Error::EAGAIN | nix::Error::ENOBUFS) => break,
                Err(error) => return Err(error).context("a burst of queries"),
            }
        }
        Ok(())
    }
}

/// One kind of those who ask.
struct Asking<'a> {
    kind: Kind,
    server: SocketAddr,
    round: u32,
    looked: Instant,
    sockets: Vec<UdpSocket>,
    cookies: Vec<Option<Vec<u8>>>,
    queries: &'a [Query],
    /// By id when a query went out that was not answered.
    under_way: Vec<Option<Instant>>,
    sent: u64,
    answered: u64,
}

impl<'a> Asking<'a> {
    fn new(kind: Kind, server: SocketAddr, world: &'a World, round: u32) -> Result<Self> {
        let count = if kind == Kind::Newcomer { NEWCOMERS } else { SOCKETS };
        let of = |number: usize| socket([127, 200 + kind as u8, (number % 256) as u8, 1], server);
        let sockets: Vec<_> = (0..count).map(of).collect::<Result<_>>()?;
        let (cookies, under_way, looked) = (vec![None; count], vec![None; 1 << 16], Instant::now());
        let queries = &world.static_queries;
        Ok(Self { kind, server, round, looked, sockets, cookies, queries, under_way, sent: 0, answered: 0 })
    }

    /// From here on it counts. Of a server that gives no cookies none is brought back.
    fn begin(&mut self) {
        self.receive();
        (self.sent, self.answered) = (0, 0);
        self.under_way.fill(None);
        if self.kind == Kind::Cookie && self.cookies.iter().any(Option::is_none) {
            self.sockets.clear();
        }
    }

    /// Asks what is due, and takes what has come.
    fn go_on(&mut self, started: Instant) -> Result<()> {
        while !self.sockets.is_empty() && (self.sent as f64) < started.elapsed().as_secs_f64() * RATE {
            let id = self.sent as usize % self.under_way.len();
            if self.kind == Kind::Newcomer {
                // Each is of another network.
                let at = self.sent as usize % self.sockets.len();
                let (network, host) = ((self.sent % 256) as u8, 1 + (self.sent / 256 % 250) as u8);
                self.sockets[at] = socket([127, 100 + (self.round % 100) as u8, network, host], self.server)?;
            }
            let at = id % self.sockets.len();
            let mut message = self.queries[id % self.queries.len()].message.clone();
            message[..2].copy_from_slice(&(id as u16).to_be_bytes());
            if self.kind == Kind::Cookie {
                let ours = [&[7; 7][..], &[at as u8]].concat();
                ask::add_cookie(&mut message, self.cookies[at].as_ref().unwrap_or(&ours));
            }
            // A socket that is full is a query that is lost.
            let _ = self.sockets[at].send(&message);
            self.under_way[id] = Some(Instant::now());
            self.sent += 1;
        }
        if self.looked.elapsed() > LOOK {
            self.receive();
            self.looked = Instant::now();
        }
        Ok(())
    }

    fn receive(&mut self) {
        let mut response = [0; 1500];
        for (socket, cookie) in self.sockets.iter().zip(&mut self.cookies) {
            while let Ok(length) = socket.recv(&mut response) {
                let id = usize::from(u16::from_be_bytes([response[0], response[1]]));
                let sent = self.under_way[id].take().filter(|_| length > 12 && response[3] & 15 == 0);
                self.answered += u64::from(sent.is_some_and(|sent| sent.elapsed() <= PATIENCE));
                if self.kind == Kind::Cookie && cookie.is_none() {
                    *cookie = ask::cookie(&response[..length]);
                }
            }
        }
    }

    fn share(&self) -> Option<f64> {
        (self.sent > 0).then(|| self.answered as f64 / self.sent as f64)
    }
}

/// The table, and whether what is stated holds.
pub(super) fn markdown(rounds: &[Round]) -> String {
    let mut text = format!(
        "\n## A flood of {TIMES} times the capacity, from {SOURCES} other networks\n\nOf {RATE} queries a second of each kind the share that was answered within {} ms.\n\n\
         | server | capacity, queries a second | flood, times it | {} | {} | {} | stated |\n|---|---|---|---|---|---|---|\n",
        PATIENCE.as_millis(),
        Kind::Known.title(),
        Kind::Cookie.title(),
        Kind::Newcomer.title()
    );
    for server in Name::ALL {
        let of: Vec<&Round> = rounds.iter().filter(|round| round.server == server).collect();
        let spread = |value: &dyn Fn(&Round) -> Option<f64>| {
            Spread::of(of.iter().filter_map(|round| value(round)).collect()).map_or("–".into(), |of| of.text())
        };
        if of.is_empty() {
            continue;
        }
        let least = of.iter().flat_map(|round| round.answered[..2].iter().flatten().copied()).fold(1.0, f64::min);
        let full = of.iter().all(|round| round.times >= 0.98 * TIMES);
        let stated = match (server, full, least >= STATED) {
            (Name::Littoral, true, true) => format!("≥ {STATED}: met"),
            (Name::Littoral, true, false) => format!("≥ {STATED}: missed"),
            (Name::Littoral, false, _) => "the flood was too small".into(),
            _ => String::new(),
        };
        let _ = writeln!(
            text,
            "| {} | {} | {} | {} | {} | {} | {stated} |",
            server.title(),
            spread(&|round| Some(round.capacity_qps)),
            spread(&|round| Some(round.times)),
            spread(&|round| round.answered[0]),
            spread(&|round| round.answered[1]),
            spread(&|round| round.answered[2]),
        );
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_stated_holds_only_in_a_flood_that_was_one() {
        let round = |times, known| Round {
            server: Name::Littoral,
            capacity_qps: 1000.0,
            times,
            answered: [Some(known), Some(0.99), Some(0.1)],
        };
        assert!(markdown(&[round(5.0, 0.96), round(5.0, 1.0)]).contains("≥ 0.95: met"));
        assert!(markdown(&[round(5.0, 0.94), round(5.0, 1.0)]).contains("≥ 0.95: missed"));
        assert!(markdown(&[round(4.0, 1.0)]).contains("the flood was too small"));
        assert!(!markdown(&[]).contains("littoral"));
    }
}

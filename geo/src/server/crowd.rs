//! Whom a UDP thread answers when more comes than it can answer, so that a flood of others' queries does not decide it.
//!
//! Without it the kernel drops what finds the socket full, and of a flood five times what can be answered four fifths of everybody's. To receive a query costs half of what
//! an answer costs, so it is the kernel that must drop, by [`sieve`]: it lets pass the networks that asked most while all was quiet, and of strangers a share, which halves as long as
//! the socket is never empty and doubles when it mostly is. A known network that asks far more than others is a stranger, too: addresses can be forged.
//!
//! Invariant: in quiet times everybody is answered, and memory is fixed. A second in which the socket overflows teaches nothing, lest a flood makes itself known.

use std::net::{IpAddr, UdpSocket};
use std::time::Duration;

use super::sieve::{self, ALL, KEYS_MAX, Network};

/// Networks whose queries a thread counts; 64 kB in all.
const SLOTS: usize = 1 << 11;
/// The most that is counted of one.
const COUNT_MAX: u32 = 1 << 20;
/// Queries received in a row, without the socket ever being empty, after which the kernel is asked how many it has dropped.
const LOOK_EVERY: u32 = 64;
/// How often is looked whether it copes.
const PERIOD: Duration = Duration::from_millis(50);
/// Periods that make a second's lesson, and in which it must cope well before more strangers pass.
const LESSON_PERIODS: u32 = 20;
const CALM_PERIODS: u32 = 10;
/// Of the looks for a query those that find none, in percent: less, and it does not cope; more, and there is time for twice as many strangers.
const COPES_PERCENT: u64 = 5;
const IDLES_PERCENT: u64 = 60;
/// Periods without a query, from which on it is idle, and not only kept from its processor.
const IDLE_PERIODS: u32 = 3;
/// Of strangers those that pass at first, and at least.
const FIRST: u32 = ALL / 8;
const FEWEST: u32 = ALL / 4096;
/// Queries of a network in a period, from which on it is a stranger: some 13,000 a second.
const NETWORK_QUERIES: u32 = 640;

/// How many queries came of which networks: those that ask most stay (Misra and Gries 1982, with one counter a place).
struct Tally {
    slots: Box<[(Network, u32)]>,
    /// So that nobody outside knows whose places are one.
    secret: u64,
}

impl Tally {
    fn new(secret: u64) -> Self {
        Self { slots: vec![(Network::default(), 0); SLOTS].into(), secret }
    }

    fn place(&self, network: Network) -> usize {
        let mixed = (network.number() ^ self.secret).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        ((mixed ^ mixed >> 32).wrapping_mul(self.secret | 1) >> 48) as usize % SLOTS
    }

    fn add(&mut self, network: Network, count: u32) {
        let slot = &mut self.slots[self.place(network)];
        *slot = match *slot {
            (known, before) if known == network => (known, (before + count).min(COUNT_MAX)),
            (known, before) if before >= count => (known, before - count),
            (_, before) => (network, count - before),
        };
    }

    fn of(&self, network: Network) -> u32 {
        let (known, count) = self.slots[self.place(network)];
        if known == network { count } else { 0 }
    }

    fn forget(&mut self) {
        self.slots.fill((Network::default(), 0));
    }
}

/// What one thread knows of how it copes.
pub(super) struct Crowd {
    /// Who asked in quiet times, and who asks now.
    known: Tally,
    now: Tally,
    /// Of [`ALL`] strangers those that pass; all in quiet times.
    share: u32,
    /// What the kernel has dropped, as it last said.
    dropped: u32,
    /// Queries received since the socket was empty.
    run: u32,
    /// Of this period: queries, how often the socket was empty, and whether it overflowed.
    queries: u32,
    empties: u32,
    overflowed: bool,
    /// Whether the kernel is to be asked with the next query.
    look: bool,
    /// Whether the filter has just been taken away: what it has dropped is no overflow.
    opened: bool,
    ends: Duration,
    /// Periods since the last lesson, or since things were bad.
    periods: u32,
}

/// What is to be done with the socket's filter.
#[derive(Debug, PartialEq, Eq)]
enum Turn {
    Nothing,
    /// Strangers pass by this share of [`ALL`].
    Sieve(u32),
    Open,
}

impl Crowd {
    pub(super) fn new() -> Self {
        let secret = rand::random();
        Self {
            known: Tally::new(secret),
            now: Tally::new(secret),
            share: ALL,
            dropped: 0,
            run: 0,
            queries: 0,
            empties: 0,
            overflowed: false,
            look: false,
            opened: false,
            ends: Duration::ZERO,
            periods: 0,
        }
    }

    /// Nothing waits.
    pub(super) fn emptied(&mut self) {
        (self.run, self.empties) = (0, self.empties + 1);
    }

    /// Whether it is time to ask the kernel how many it has dropped.
    pub(super) fn is_to_look(&self) -> bool {
        self.look || self.opened || self.run % LOOK_EVERY == LOOK_EVERY - 1
    }

    /// What it said; how many that is more than before.
    pub(super) fn dropped(&mut self, count: u32) -> u32 {
        let more = count.wrapping_sub(std::mem::replace(&mut self.dropped, count));
        self.overflowed |= more > 0 && !self.opened;
        self.look = false;
        more
    }

    /// A query was received on `socket`.
    pub(super) fn came(&mut self, client: IpAddr, now: Duration, socket: &UdpSocket) {
        self.run = self.run.wrapping_add(1);
        self.queries += 1;
        self.now.add(Network::of(client), 1);
        // A clock that was set back ends the period.
        if now < self.ends && self.ends - now <= PERIOD {
            return;
        }
        let passed = 1 + (now.saturating_sub(self.ends).as_nanos() / PERIOD.as_nanos()).min(1000) as u32;
        match self.turn(passed) {
            Turn::Nothing => {}
            Turn::Open => {
                sieve::detach(socket);
                tracing::info!("all DNS queries are answered again");
            }
            Turn::Sieve(share) => self.sieve(socket, share),
        }
        self.ends = now + PERIOD;
    }

    fn sieve(&mut self, socket: &UdpSocket, share: u32) {
        let networks = self.favoured();
        let passes = format_args!("1 of {}", ALL / share).to_string();
        match sieve::attach(socket, &networks, share) {
            Ok(()) => tracing::warn!(
                networks = networks.len(),
                strangers = passes,
                "more DNS queries than can be answered: those of known networks pass, and a share of others"
            ),
            Err(error) => tracing::warn!(%error, "more DNS queries than can be answered, and no filter can be set"),
        }
    }

    /// So many periods have passed, of which something is known of the first.
    fn turn(&mut self, passed: u32) -> Turn {
        // Of a socket that is asked for a part of what it can answer, the rest of all looks find it empty (and a long time without any, too).
        let emptied = u64::from(self.empties) * 100 / u64::from(self.queries.max(1));
        let was_idle = passed > IDLE_PERIODS;
        let (copes, idles) = (emptied >= COPES_PERCENT || was_idle, emptied >= IDLES_PERCENT || was_idle);
        let turn = if self.share == ALL {
            self.learn(passed, copes)
        } else if !copes {
            self.periods = 0;
            self.share = (self.share / 2).max(FEWEST);
            Turn::Sieve(self.share)
        } else {
            self.periods = if idles { self.periods + passed } else { 0 };
            let doublings = (self.periods / CALM_PERIODS).min(16);
            if doublings == 0 {
                Turn::Nothing
            } else {
                self.periods = 0;
                self.share = (self.share << doublings).min(ALL);
                if self.share == ALL { Turn::Open } else { Turn::Sieve(self.share) }
            }
        };
        if self.share != ALL {
            self.look = true;
            if turn == Turn::Nothing {
                self.now.forget();
            }
        }
        (self.queries, self.empties, self.overflowed, self.opened) = (0, 0, false, turn == Turn::Open);
        turn
    }

    /// In quiet times: what came in the last second is known, unless it was too much.
    fn learn(&mut self, passed: u32, copes: bool) -> Turn {
        if self.overflowed && !copes {
            (self.share, self.periods) = (FIRST, 0);
            return Turn::Sieve(FIRST);
        }
        self.periods = if self.overflowed { 0 } else { self.periods + passed };
        if self.overflowed {
            self.now.forget();
        }
        if self.periods >= LESSON_PERIODS {
            self.periods = 0;
            for (network, count) in self.now.slots.iter().copied().filter(|(_, count)| *count > 0) {
                self.known.add(network, count);
            }
            self.now.forget();
        }
        Turn::Nothing
    }

    /// The known networks that asked most, without those that ask too much now; with that what is known of now is used up.
    fn favoured(&mut self) -> Vec<Network> {
        let mut known: Vec<(Network, u32)> = self.known.slots.iter().copied().filter(|(_, count)| *count > 0).collect();
        known.retain(|(network, _)| self.now.of(*network) <= NETWORK_QUERIES);
        known.sort_unstable_by_key(|(_, count)| std::cmp::Reverse(*count));
        known.truncate(KEYS_MAX);
        self.now.forget();
        known.into_iter().map(|(network, _)| network).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn network(text: &str) -> Network {
        Network::of(text.parse().unwrap())
    }

    /// A period with these queries, each from the next network, in which the socket was so often empty.
    fn period(crowd: &mut Crowd, from: &[&str], queries: u32, empties: u32, overflows: bool) -> Turn {
        for at in 0..queries {
            crowd.now.add(network(from[at as usize % from.len()]), 1);
        }
        (crowd.queries, crowd.empties) = (queries, empties);
        if overflows {
            let dropped = crowd.dropped;
            crowd.dropped(dropped + 1);
        }
        crowd.turn(1)
    }

    #[test]
    fn in_quiet_times_nothing_is_sieved_however_busy_it_is() {
        let mut crowd = Crowd::new();
        for _ in 0..100 {
            assert_eq!(period(&mut crowd, &["192.0.2.1"], 9000, 0, false), Turn::Nothing, "busy, and nothing lost");
            assert_eq!(period(&mut crowd, &["192.0.2.1"], 9000, 900, true), Turn::Nothing, "a burst");
        }
    }

    #[test]
    fn a_socket_that_overflows_and_is_never_empty_is_sieved_by_who_asked_before() {
        let mut crowd = Crowd::new();
        for _ in 0..LESSON_PERIODS {
            period(&mut crowd, &["192.0.2.1", "2001:db8::1"], 100, 50, false);
        }
        // The flood is not learned of, though it came in the same second.
        period(&mut crowd, &["198.51.100.1"], 9000, 1, false);
        assert_eq!(period(&mut crowd, &["198.51.100.1"], 9000, 9, true), Turn::Sieve(FIRST));
        let mut favoured = crowd.favoured();
        favoured.sort_unstable();
        assert_eq!(favoured, [network("192.0.2.9"), network("2001:db8:7::")]);
        // It does not cope: fewer strangers pass, down to the fewest.
        assert_eq!(period(&mut crowd, &["192.0.2.1"], 9000, 0, false), Turn::Sieve(FIRST / 2));
        for _ in 0..20 {
            period(&mut crowd, &["192.0.2.1"], 9000, 0, false);
        }
        assert_eq!(crowd.share, FEWEST);
    }

    #[test]
    fn a_known_network_that_asks_far_too_much_is_a_stranger() {
        let mut crowd = Crowd::new();
        for _ in 0..LESSON_PERIODS {
            period(&mut crowd, &["192.0.2.1", "203.0.113.1"], 100, 50, false);
        }
        period(&mut crowd, &["192.0.2.1"], NETWORK_QUERIES + 1, 0, true);
        assert_eq!(crowd.favoured(), [network("203.0.113.1")]);
    }

    #[test]
    fn strangers_pass_again_as_soon_as_there_is_time_for_them() {
        let mut crowd = Crowd::new();
        period(&mut crowd, &["192.0.2.1"], 9000, 0, true);
        // It copes, but has no time for twice as many.
        for _ in 0..100 {
            assert_eq!(period(&mut crowd, &["192.0.2.1"], 1000, 500, false), Turn::Nothing);
        }
        let calm = |crowd: &mut Crowd| (0..CALM_PERIODS).map(|_| period(crowd, &["192.0.2.1"], 100, 90, false)).last();
        assert_eq!(calm(&mut crowd), Some(Turn::Sieve(2 * FIRST)));
        assert_eq!(calm(&mut crowd), Some(Turn::Sieve(4 * FIRST)));
        assert_eq!(calm(&mut crowd), Some(Turn::Open));
        // What the filter has dropped is told afterwards, and is no overflow, however busy it is by then.
        assert!(crowd.is_to_look());
        assert_eq!(period(&mut crowd, &["192.0.2.1"], 9000, 0, true), Turn::Nothing);
        // So they do when nothing came for long.
        period(&mut crowd, &["192.0.2.1"], 9000, 0, true);
        crowd.queries = 1;
        assert_eq!(crowd.turn(1000), Turn::Open);
    }

    #[test]
    fn the_kernel_is_asked_in_a_run_of_queries_only() {
        let mut crowd = Crowd::new();
        crowd.run = LOOK_EVERY - 2;
        assert!(!crowd.is_to_look());
        crowd.run += 1;
        assert!(crowd.is_to_look());
        crowd.emptied();
        assert!(!crowd.is_to_look());
        assert_eq!((crowd.dropped(7), crowd.dropped(7), crowd.dropped(9)), (7, 0, 2));
    }

    #[test]
    fn who_asks_most_keeps_a_place_that_others_share() {
        let mut tally = Tally::new(0x1234_5678_9abc_def7);
        let all: Vec<Network> = (0..20_000_u32).map(|at| Network::of(IpAddr::V4((at << 8).into()))).collect();
        tally.add(all[5], 1000);
        all.iter().for_each(|network| tally.add(*network, 1));
        assert!(tally.of(all[5]) > 900);
    }
}

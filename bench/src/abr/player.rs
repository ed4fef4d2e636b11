//! The headless player: a buffer that empties as time passes, and a rule that is asked for each segment.
//!
//! It is sabre's model (Spiteri, Sitaraman, Sparacio, MMSys 2018), so that figures can be compared: the first segment is of the
//! lowest rung and its time counts as start, not as stall; a segment that was given up is asked about anew; averages are over the time
//! it all took, counted in segments. Invariant: every segment is played once, in order.

use std::collections::VecDeque;

use littoral_rate::estimate::Estimate;
use littoral_rate::{Ask, Choice, Fetched, Ladder, Progress, Rule};
use serde::Serialize;

use super::movie::{Movie, Period};
use super::network::{Network, Transfer};

/// Segments whose sizes a rule may look at, beginning with the one it is asked for.
const SIZES_AHEAD: usize = 8;

/// One request, for who compares decisions.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Decision {
    /// Number of the segment.
    pub segment: usize,
    /// Rung.
    pub rung: usize,
    /// What came of it.
    pub transfer: Transfer,
    /// Buffer when it was asked for, when it had come, ms.
    pub buffer_ms: (f64, f64),
}

/// What a session was like.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Session {
    /// Mean rate of what was played over all the time it took, kbit/s.
    pub rate_kbps: f64,
    /// Times that the player stood still; the start is none.
    pub stalls: u64,
    /// How long it stood still, s.
    pub stall_s: f64,
    /// Share of all the time.
    pub stall_share: f64,
    /// Changes of rung while playing.
    pub switches: u64,
    /// Mean change of rate per segment's time, kbit/s.
    pub change_kbps: f64,
    /// All the time it took, s.
    pub play_s: f64,
    /// Per segment: rate in Mbit/s, less its change, less the highest rate for each second of stall.
    pub qoe: f64,
    /// The same of the logarithm of the rate over the lowest one.
    pub qoe_log: f64,
    /// sabre's score: utility per segment's time, less five for each segment's time of stall.
    pub score: f64,
}

/// What was played so far.
#[derive(Debug, Default)]
struct Played {
    /// Rungs in the buffer, and how much of the first was played.
    buffer: VecDeque<usize>,
    played_ms: f64,
    last: Option<usize>,
    play_ms: f64,
    stall_ms: f64,
    stalls: u64,
    switches: u64,
    kbps: f64,
    utility: f64,
    change_kbps: f64,
    change_utility: f64,
}

impl Played {
    fn level_ms(&self, segment_ms: f64) -> f64 {
        segment_ms * self.buffer.len() as f64 - self.played_ms
    }

    /// Time passes.
    fn pass(&mut self, mut ms: f64, segment_ms: f64, ladder: &Ladder) {
        if self.buffer.is_empty() {
            self.stall_ms += ms;
            self.play_ms += ms;
            return;
        }
        if self.played_ms > 0.0 {
            if ms + self.played_ms < segment_ms {
                self.played_ms += ms;
                self.play_ms += ms;
                return;
            }
            ms -= segment_ms - self.played_ms;
            self.play_ms += segment_ms - self.played_ms;
            self.buffer.pop_front();
            self.played_ms = 0.0;
        }
        while ms > 0.0 {
            let Some(rung) = self.buffer.front().copied() else {
                self.stall_ms += ms;
                self.play_ms += ms;
                self.stalls += 1;
                return;
            };
            self.begin(rung, ladder);
            if ms >= segment_ms {
                self.buffer.pop_front();
                self.play_ms += segment_ms;
                ms -= segment_ms;
            } else {
                self.played_ms = ms;
                self.play_ms += ms;
                return;
            }
        }
    }

    /// A segment begins to play.
    fn begin(&mut self, rung: usize, ladder: &Ladder) {
        self.kbps += ladder.kbps(rung);
        self.utility += ladder.utility(rung);
        if let Some(last) = self.last.filter(|last| *last != rung) {
            self.switches += 1;
            self.change_kbps += (ladder.kbps(rung) - ladder.kbps(last)).abs();
            self.change_utility += (ladder.kbps(rung) / ladder.kbps(last)).ln().abs();
        }
        self.last = Some(rung);
    }

    fn session(&self, movie: &Movie, ladder: &Ladder) -> Session {
        let (segment_ms, segments) = (movie.segment_duration_ms, movie.segment_sizes_bits.len() as f64);
        let times = self.play_ms / segment_ms;
        let top = ladder.kbps(ladder.top()) / 1000.0;
        let stall_s = self.stall_ms / 1000.0;
        Session {
            rate_kbps: self.kbps / times,
            stalls: self.stalls,
            stall_s,
            stall_share: self.stall_ms / self.play_ms,
            switches: self.switches,
            change_kbps: self.change_kbps / times,
            play_s: self.play_ms / 1000.0,
            qoe: ((self.kbps - self.change_kbps) / 1000.0 - top * stall_s) / segments,
            qoe_log: (self.utility - self.change_utility - ladder.utility(ladder.top()) * stall_s) / segments,
            score: (self.utility - 5.0 * self.stall_ms / segment_ms) / times,
        }
    }
}

/// Plays `movie` over `trace` with a buffer of `buffer_ms`, and tells `watch` each request.
pub fn play(
    movie: &Movie,
    trace: &[Period],
    buffer_ms: f64,
    rule: &mut dyn Rule,
    mut watch: impl FnMut(&Decision),
) -> Session {
    let (segment_ms, sizes, ladder) = (movie.segment_duration_ms, &movie.segment_sizes_bits, movie.ladder());
    let (mut network, mut estimate, mut played) = (Network::new(trace), Estimate::new(segment_ms), Played::default());
    let first = network.fetch(sizes[0][0]);
    note(&mut estimate, &first);
    played.play_ms = first.ms;
    played.buffer.push_back(0);
    watch(&Decision { segment: 0, rung: 0, transfer: first, buffer_ms: (0.0, segment_ms) });
    let mut segment = 1;
    while segment < sizes.len() {
        let too_full = played.level_ms(segment_ms) + segment_ms - buffer_ms;
        if too_full > 0.0 {
            played.pass(too_full, segment_ms, &ladder);
            network.wait(too_full);
            rule.waited(too_full);
        }
        let ask = Ask {
            buffer_ms: played.level_ms(segment_ms),
            buffer_max_ms: buffer_ms,
            kbps: estimate.kbps(),
            latency_ms: estimate.latency_ms(),
            segment_ms,
            segment,
            segments: Some(sizes.len()),
            sizes: &sizes[segment..sizes.len().min(segment + SIZES_AHEAD)],
        };
        let Choice { rung, wait_ms } = rule.choose(&ladder, &ask);
        let rung = rung.min(ladder.top());
        if wait_ms > 0.0 {
            played.pass(wait_ms, segment_ms, &ladder);
            network.wait(wait_ms);
        }
        let before = played.level_ms(segment_ms);
        let bits = sizes[segment][rung];
        let whole = Progress { rung, bits, done_bits: 0.0, ms: 0.0, latency_ms: 0.0, buffer_ms: before, segment_ms };
        let transfer = network.watch(whole, before, |progress| rule.abandon(&ladder, progress));
        played.pass(transfer.ms, segment_ms, &ladder);
        if transfer.abandoned_for.is_none() {
            played.buffer.push_back(rung);
        }
        let after = played.level_ms(segment_ms);
        let Transfer { bits, ms, latency_ms, abandoned_for } = transfer;
        rule.fetched(&ladder, &Fetched { rung, bits, ms, latency_ms, buffer_ms: after, abandoned_for });
        watch(&Decision { segment, rung, transfer, buffer_ms: (before, after) });
        if abandoned_for.is_none() {
            note(&mut estimate, &transfer);
            segment += 1;
        }
    }
    played.pass(played.level_ms(segment_ms), segment_ms, &ladder);
    played.session(movie, &ladder)
}

/// What a segment that came says of the network.
fn note(estimate: &mut Estimate, transfer: &Transfer) {
    let ms = transfer.ms - transfer.latency_ms;
    estimate.push(ms, transfer.bits / ms, transfer.latency_ms);
}

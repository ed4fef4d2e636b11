//! Ours: the rung that is worth most, with the buffer that it leaves behind and what throughput has been like of late.
//!
//! A second of buffer is a second of throughput that is still to be spent, and one part more of rate is worth the same on every
//! rung (utility is the logarithm of the rate): so it is worth `1 / p` of a segment's utility, `p` being a segment's duration. Less so the
//! nearer the buffer is to full, since the player will have to wait and what it could have fetched is lost; more so the nearer it is to empty,
//! since it is what a stall will be spared by. Both chances are taken to fall by `e` with every fifth of the buffer:
//!
//! ```text
//! h(b) = (b - w e^(-(max - b) / w) - 5 w e^(-b / w)) / p        w = max / 5
//! ```
//!
//! A segment of rung `m` that takes `t` is worth `ln(R_m / R_1) - 5 stall / p + h(b - t + p)`, of which the mean is taken over what the
//! throughput may be: the estimate, as wrong as it was for each of the last four segments, and as right or wrong as assumed. The highest wins.
//! A segment on its way is given up when another is worth more than the rest of it. There is no tuning to a network: where throughput is
//! steady the errors are small, and the rule spends what there is; where it is not, it keeps what the errors would cost.
//!
//! What is set is what a stall is worth (five segments' utility, as BOLA's authors score it), how far the ends of the buffer reach, how
//! much is assumed, and how little a change of rate is liked.

use crate::{Ask, Choice, Fetched, Ladder, Progress, Rule};

/// What a segment's duration of stall costs, in utility.
const STALL: f64 = 5.0;
/// Over which share of the buffer the chance of its being empty, or full, falls by `e`.
const REACH: f64 = 0.2;
/// What a change of rate costs, for each `e` that it is changed by, in utility.
const CHANGE: f64 = 0.1;
/// Segments whose errors are remembered.
pub const REMEMBERED: usize = 4;
/// What is assumed beside: throughput over estimate.
const ASSUMED: [f64; 3] = [0.7, 1.0, 1.0 / 0.7];
/// Between what an error is kept, as a logarithm: a segment that stood still for a minute is not all that counts.
const ERROR: (f64, f64) = (-3.0, 1.0);
/// A segment is not given up before, ms.
const GRACE_MS: f64 = 500.0;

/// The rule.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Littoral {
    /// Logarithms of throughput over estimate, in turns, and how many there were.
    errors: [f64; REMEMBERED],
    known: usize,
    /// What was estimated for the segment on its way.
    estimate: Option<f64>,
    last: Option<usize>,
    buffer_max_ms: f64,
    left_ms: f64,
    /// For which rung a segment was given up: the next try is no higher, so that there is an end to it.
    at_most: Option<usize>,
}

impl Littoral {
    /// A session that goes on: logarithms of throughput over estimate for its last segments, and the last rung.
    pub fn after(errors: impl IntoIterator<Item = f64>, last: Option<usize>) -> Self {
        let mut rule = Self { last, ..Self::default() };
        errors.into_iter().for_each(|error| rule.note(error));
        rule
    }

    /// Throughput was so much of what was estimated, as a logarithm.
    fn note(&mut self, error: f64) {
        self.errors[self.known % REMEMBERED] = error.clamp(ERROR.0, ERROR.1);
        self.known += 1;
    }

    /// What a buffer is worth.
    fn buffer(&self, ms: f64, segment_ms: f64) -> f64 {
        let reach = REACH * self.buffer_max_ms;
        // More than is left of the title cannot be spent.
        let room = self.buffer_max_ms.min(self.left_ms) - ms;
        (ms - reach * (-room / reach).exp() - STALL * reach * (-ms / reach).exp()) / segment_ms
    }

    /// What it is worth to fetch `bits` of `rung` at `kbps`, more or less.
    fn worth(&self, rung: usize, bits: f64, kbps: f64, latency_ms: f64, now: &Now) -> f64 {
        let of = |share: f64| {
            let ms = latency_ms + bits / (kbps * share);
            let after = ((now.buffer_ms - ms).max(0.0) + now.segment_ms).min(self.buffer_max_ms);
            self.buffer(after, now.segment_ms) - STALL * (ms - now.buffer_ms).max(0.0) / now.segment_ms
        };
        let errors = &self.errors[..self.known.min(REMEMBERED)];
        let shares = errors.iter().map(|error| error.exp()).chain(ASSUMED);
        let mean = shares.map(of).sum::<f64>() / (errors.len() + ASSUMED.len()) as f64;
        let utility = now.ladder.utility(rung);
        let change = self.last.map_or(0.0, |last| (utility - now.ladder.utility(last)).abs());
        utility - CHANGE * change + mean
    }
}

/// The moment of a decision.
struct Now<'a> {
    ladder: &'a Ladder,
    buffer_ms: f64,
    segment_ms: f64,
}

impl Rule for Littoral {
    fn choose(&mut self, ladder: &Ladder, ask: &Ask) -> Choice {
        self.buffer_max_ms = ask.buffer_max_ms.max(ask.segment_ms);
        let left = ask.segments.map_or(f64::INFINITY, |all| all.saturating_sub(ask.segment + 1) as f64);
        self.left_ms = left * ask.segment_ms;
        self.estimate = ask.kbps.filter(|kbps| *kbps > 0.0);
        let Some(kbps) = self.estimate else { return Choice::now(0) };
        let now = Now { ladder, buffer_ms: ask.buffer_ms, segment_ms: ask.segment_ms };
        let worth = |rung| self.worth(rung, ask.bits(ladder, 0, rung), kbps, ask.latency_ms, &now);
        Choice::now(highest(self.at_most.unwrap_or(usize::MAX).min(ladder.top()), worth))
    }

    fn abandon(&mut self, ladder: &Ladder, progress: &Progress) -> Option<usize> {
        let Progress { rung, bits, done_bits, ms, latency_ms, buffer_ms, segment_ms } = *progress;
        let (left, transfer_ms) = (bits - done_bits, ms - latency_ms);
        let estimate = self.estimate.filter(|_| ms >= GRACE_MS && rung > 0 && left > 0.0)?;
        // What was estimated counts as much as a segment's duration of what is seen.
        let kbps = (estimate * segment_ms + done_bits) / (segment_ms + transfer_ms);
        let now = Now { ladder, buffer_ms, segment_ms };
        let mut best = (self.worth(rung, left, kbps, 0.0, &now), None);
        for lower in 0..rung {
            let whole = bits * ladder.kbps(lower) / ladder.kbps(rung);
            let worth = self.worth(lower, whole, kbps, latency_ms, &now);
            if whole < left && worth > best.0 {
                best = (worth, Some(lower));
            }
        }
        best.1
    }

    fn fetched(&mut self, _ladder: &Ladder, fetched: &Fetched) {
        self.at_most = fetched.abandoned_for;
        self.last = Some(fetched.rung);
        let kbps = fetched.bits / (fetched.ms - fetched.latency_ms);
        if let Some(estimate) = self.estimate.filter(|_| kbps > 0.0 && kbps.is_finite()) {
            self.note((kbps / estimate).ln());
        }
    }
}

/// The highest of what rises to one rung and falls from there, in few looks: utility is concave in the bits that are fetched, and so is
/// the worth of the buffer that is left.
fn highest(top: usize, worth: impl Fn(usize) -> f64) -> usize {
    let (mut low, mut high) = (0, top);
    while low < high {
        let middle = usize::midpoint(low, high);
        if worth(middle + 1) > worth(middle) { low = middle + 1 } else { high = middle }
    }
    low
}

#[cfg(test)]
mod tests {
    use super::*;

    const SEGMENT_MS: f64 = 3000.0;

    fn ladder() -> Ladder {
        Ladder::new([250.0, 500.0, 1000.0, 2000.0, 4000.0, 6000.0])
    }

    fn ask(kbps: f64, buffer_ms: f64) -> Ask<'static> {
        Ask {
            buffer_ms,
            buffer_max_ms: 25_000.0,
            kbps: Some(kbps),
            latency_ms: 50.0,
            segment_ms: SEGMENT_MS,
            segment: 9,
            segments: None,
            sizes: &[],
        }
    }

    fn rung(errors: &[f64], kbps: f64, buffer_ms: f64) -> usize {
        let errors = errors.iter().map(|share| share.ln());
        Littoral::after(errors, None).choose(&ladder(), &ask(kbps, buffer_ms)).rung
    }

    #[test]
    fn more_throughput_and_more_buffer_never_choose_less() {
        for buffer_ms in [0.0, 2_000.0, 9_000.0, 22_000.0] {
            let rungs: Vec<usize> = (1..40).map(|step| rung(&[], f64::from(step) * 200.0, buffer_ms)).collect();
            assert!(rungs.is_sorted() && rungs[0] < rungs[38], "{buffer_ms} ms: {rungs:?}");
        }
        let rungs: Vec<usize> = (0..25).map(|step| rung(&[], 1_500.0, f64::from(step) * 1000.0)).collect();
        assert!(rungs.is_sorted() && rungs[0] < 2 && rungs[24] > 2, "{rungs:?}");
    }

    #[test]
    fn errors_of_late_are_paid_for_and_forgotten_after_four() {
        let (steady, wild) = ([1.0; 4], [0.2, 1.0, 0.2, 1.0]);
        assert!(rung(&wild, 2_500.0, 9_000.0) < rung(&steady, 2_500.0, 9_000.0));
        let forgotten: Vec<f64> = wild.into_iter().chain(steady).collect();
        assert_eq!(rung(&forgotten, 2_500.0, 9_000.0), rung(&steady, 2_500.0, 9_000.0));
    }

    #[test]
    fn few_looks_find_the_rung_that_is_worth_most_of_all() {
        let now = Now { ladder: &ladder(), buffer_ms: 8_000.0, segment_ms: SEGMENT_MS };
        let rule =
            Littoral { buffer_max_ms: 25_000.0, left_ms: f64::INFINITY, ..Littoral::after([-0.4, 0.3], Some(2)) };
        for kbps in (1..60).map(|step| f64::from(step) * 120.0) {
            let worth = |rung| rule.worth(rung, now.ladder.kbps(rung) * SEGMENT_MS, kbps, 50.0, &now);
            assert_eq!(highest(5, worth), crate::bola::best(now.ladder, worth), "{kbps} kbit/s");
        }
    }

    #[test]
    fn a_segment_that_will_not_come_in_time_is_given_up_for_lower_ones_until_there_is_none() {
        let (ladder, mut rule) = (ladder(), Littoral::default());
        let mut given_up = vec![rule.choose(&ladder, &ask(6_000.0, 9_000.0)).rung];
        loop {
            let rung = given_up[given_up.len() - 1];
            let bits = ladder.kbps(rung) * SEGMENT_MS;
            let slow = Progress {
                rung,
                bits,
                done_bits: 5_000.0,
                ms: 6_000.0,
                latency_ms: 50.0,
                buffer_ms: 1_000.0,
                segment_ms: SEGMENT_MS,
            };
            let Some(lower) = rule.abandon(&ladder, &slow) else { break };
            assert_eq!(rule.abandon(&ladder, &Progress { ms: 100.0, ..slow }), None, "not that soon");
            let abandoned_for = Some(lower);
            let came =
                Fetched { rung, bits: 5_000.0, ms: 6_000.0, latency_ms: 50.0, buffer_ms: 1_000.0, abandoned_for };
            rule.fetched(&ladder, &came);
            given_up.push(rule.choose(&ladder, &ask(6_000.0, 9_000.0)).rung);
        }
        assert!(given_up.len() > 1 && given_up.windows(2).all(|pair| pair[1] < pair[0]), "{given_up:?}");
    }
}

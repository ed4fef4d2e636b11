//! RobustMPC: the best first step of the next five segments, for a throughput that may be as wrong as it has been of late
//! (Yin, Jindal, Sekar, Sinopoli, SIGCOMM 2015).
//!
//! The prediction is the harmonic mean of the last five segments' throughputs, divided by one and the greatest error among their
//! predictions. The plan is worth its rates, less their changes, less `mu` for each second of stall, in Mbit/s; `mu` is the
//! highest rate. Of ladders with more than six rungs the first step is any, each later one a neighbour of the one before: plans
//! that jump again are hardly ever worth more, and there are 810 of ten rungs instead of 100,000. Waiting for the first byte counts
//! as throughput. A plan is not followed where even its best rest could not make it the best, so that a policy at the edge has the same answer in a
//! small part of the looks.

use std::cell::Cell;

use crate::{Ask, Choice, Fetched, Ladder, Rule};

/// Segments looked ahead, and remembered.
pub const HORIZON: usize = 5;

/// Up to so many rungs every plan is looked at.
const FREE_RUNGS: usize = 6;
/// What sums of the same figures in another order may differ by, kbit/s.
const ROUNDING: f64 = 1e-6;

/// The rule.
#[derive(Debug, Clone, PartialEq)]
pub struct Mpc {
    /// Segments looked at for a decision at most.
    looks: u32,
    /// Throughputs of the last segments, kbit/s, and how wrong their predictions were; oldest first.
    past: Vec<(f64, f64)>,
    predicted: Option<f64>,
    last: usize,
}

impl Default for Mpc {
    fn default() -> Self {
        Self { looks: u32::MAX, past: Vec::new(), predicted: None, last: 0 }
    }
}

impl Mpc {
    /// A session that goes on: throughputs and errors of its last segments, oldest first, the last prediction, the last rung.
    pub fn after(past: impl IntoIterator<Item = (f64, f64)>, predicted: Option<f64>, last: usize) -> Self {
        Self { past: past.into_iter().take(HORIZON).collect(), predicted, last, ..Self::default() }
    }

    /// With a bound of how many segments of plans are looked at for one decision, for who has to be done in time; the best plan found so far
    /// decides then.
    #[must_use]
    pub fn within(self, looks: u32) -> Self {
        Self { looks, ..self }
    }

    /// The harmonic mean, and what it is divided by.
    fn predict(&self) -> Option<(f64, f64)> {
        let inverse: f64 = self.past.iter().map(|(kbps, _)| 1.0 / kbps).sum();
        let error = self.past.iter().map(|(_, error)| *error).fold(0.0, f64::max);
        (!self.past.is_empty()).then(|| (self.past.len() as f64 / inverse, 1.0 + error))
    }

    /// A segment came at `kbps`.
    pub fn note(&mut self, kbps: f64) {
        let error = self.predicted.map_or(0.0, |predicted| (predicted - kbps).abs() / kbps);
        if self.past.len() >= HORIZON {
            self.past.remove(0);
        }
        self.past.push((kbps, error));
    }
}

/// What is looked ahead with.
struct Plan<'a> {
    ladder: &'a Ladder,
    ask: &'a Ask<'a>,
    kbps: f64,
    steps: usize,
    /// Segments that may still be looked at.
    looks: Cell<u32>,
}

impl Plan<'_> {
    /// The best rung for the segment `at` after `last`, the lower one of equals, and what the rest of the plan is worth with it. What cannot
    /// be worth `least` is not looked at, which changes nothing: whoever asks has something better.
    fn best(&self, at: usize, last: usize, buffer_ms: f64, least: f64) -> (f64, usize) {
        let (top, mut best) = (self.ladder.top(), (f64::NEG_INFINITY, last));
        let free = at == 0 || self.ladder.rungs() <= FREE_RUNGS;
        let (low, high) = if free { (0, top) } else { (last.saturating_sub(1), (last + 1).min(top)) };
        // What comes in time first: it is the best most often, and the rest is then seldom looked at.
        let in_time = self.in_time(at, buffer_ms);
        let first = (low..high).rev().find(|rung| self.ladder.kbps(rung + 1) <= in_time).map_or(low, |rung| rung + 1);
        for step in 0..=high - low {
            let up = Some(first + step).filter(|rung| *rung <= high);
            let down = first.checked_sub(step).filter(|rung| *rung >= low && step > 0);
            for rung in up.into_iter().chain(down) {
                let Some(left) = self.looks.get().checked_sub(1) else { return best };
                self.looks.set(left);
                let worth = self.worth(at, rung, last, buffer_ms, least.max(best.0));
                if worth > best.0 || (worth == best.0 && rung < best.1) {
                    best = (worth, rung);
                }
            }
        }
        best
    }

    /// The most that steps from `at` on are worth, with `rung` the first of them.
    fn worth(&self, at: usize, rung: usize, last: usize, buffer_ms: f64, least: f64) -> f64 {
        let (ladder, ask) = (self.ladder, self.ask);
        let took = ask.bits(ladder, at, rung) / self.kbps;
        let stall = (took - buffer_ms).max(0.0);
        let buffer_ms = ((buffer_ms - took).max(0.0) + ask.segment_ms).min(ask.buffer_max_ms);
        let worth = ladder.kbps(rung)
            - (ladder.kbps(rung) - ladder.kbps(last)).abs()
            - ladder.kbps(ladder.top()) * stall / 1000.0;
        if at + 1 >= self.steps || worth + self.most(at + 1, rung, buffer_ms) + ROUNDING < least {
            return worth + if at + 1 >= self.steps { 0.0 } else { f64::NEG_INFINITY };
        }
        worth + self.best(at + 1, rung, buffer_ms, least - worth).0
    }

    /// More than the steps from `at` on can be worth: as if all of a sum of rates came in one piece, changed to once.
    fn most(&self, at: usize, last: usize, buffer_ms: f64) -> f64 {
        if !self.ask.sizes.is_empty() {
            return f64::INFINITY;
        }
        let (first, top, last) = (self.ladder.kbps(0), self.ladder.kbps(self.ladder.top()), self.ladder.kbps(last));
        let steps = (self.steps - at) as f64;
        let (in_time, stall) = (self.in_time(at, buffer_ms), steps * top * self.ask.segment_ms / (1000.0 * self.kbps));
        // One more kbit/s of each is worth one for each step, one more or less for the change, and beyond what comes in time less the stall.
        let each = if steps - 1.0 > stall {
            top
        } else if steps + 1.0 > stall {
            in_time.max(last)
        } else {
            in_time
        };
        let each = each.max(first).min(top);
        steps * each - (each - last).abs() - stall * (each - in_time).max(0.0)
    }

    /// The rate at which the steps from `at` on come just in time, kbit/s.
    fn in_time(&self, at: usize, buffer_ms: f64) -> f64 {
        let (steps, segment_ms) = ((self.steps - at) as f64, self.ask.segment_ms);
        self.kbps * (buffer_ms + (steps - 1.0) * segment_ms) / (steps * segment_ms)
    }
}

impl Rule for Mpc {
    fn choose(&mut self, ladder: &Ladder, ask: &Ask) -> Choice {
        let (mean, divisor) = self.predict().unwrap_or((ask.kbps.unwrap_or(0.0), 1.0));
        self.predicted = Some(mean);
        let steps = ask.segments.map_or(HORIZON, |all| HORIZON.min(all.saturating_sub(ask.segment)).max(1));
        let plan = Plan { ladder, ask, kbps: mean / divisor, steps, looks: Cell::new(self.looks) };
        let (_, rung) = plan.best(0, self.last.min(ladder.top()), ask.buffer_ms, f64::NEG_INFINITY);
        Choice::now(rung)
    }

    fn fetched(&mut self, _ladder: &Ladder, fetched: &Fetched) {
        if fetched.abandoned_for.is_none() && fetched.ms > 0.0 {
            self.note(fetched.bits / fetched.ms);
        }
        self.last = fetched.rung;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The best first step by looking at every plan.
    fn exhaustive(ladder: &Ladder, ask: &Ask, kbps: f64, last: usize) -> usize {
        fn worth(ladder: &Ladder, ask: &Ask, kbps: f64, step: (usize, usize, usize), buffer_ms: f64) -> f64 {
            let (at, rung, last) = step;
            let took = ask.bits(ladder, at, rung) / kbps;
            let stall = (took - buffer_ms).max(0.0);
            let buffer_ms = ((buffer_ms - took).max(0.0) + ask.segment_ms).min(ask.buffer_max_ms);
            let changed = (ladder.kbps(rung) - ladder.kbps(last)).abs();
            let worth_here = ladder.kbps(rung) - changed - ladder.kbps(ladder.top()) * stall / 1000.0;
            let next = match ladder.rungs() <= FREE_RUNGS {
                true => 0..=ladder.top(),
                false => rung.saturating_sub(1)..=(rung + 1).min(ladder.top()),
            };
            if at + 1 == HORIZON {
                return worth_here;
            }
            let after = next.map(|next| worth(ladder, ask, kbps, (at + 1, next, rung), buffer_ms));
            worth_here + after.fold(f64::NEG_INFINITY, f64::max)
        }
        crate::bola::best(ladder, |rung| worth(ladder, ask, kbps, (0, rung, last), ask.buffer_ms))
    }

    #[test]
    fn what_is_not_looked_at_could_not_have_been_better() {
        let mut random = 1_u64;
        let mut draw = |most: f64| {
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (random >> 33) as f64 / f64::from(1_u32 << 31) * most
        };
        for ladder in [
            &[100.0, 400.0, 1000.0, 3000.0][..],
            &[300.0, 750.0, 1200.0, 1850.0, 2850.0, 4300.0],
            &[230.0, 331.0, 477.0, 688.0, 991.0, 1427.0, 2056.0, 2962.0, 5027.0, 6000.0],
        ] {
            let ladder = Ladder::new(ladder.iter().copied());
            for _ in 0..60 {
                let (kbps, last) = (50.0 * draw(7.0).exp(), draw(ladder.rungs() as f64) as usize);
                let ask = Ask {
                    buffer_ms: draw(25_000.0),
                    buffer_max_ms: 25_000.0,
                    kbps: Some(kbps),
                    latency_ms: 0.0,
                    segment_ms: 1000.0 + draw(6000.0),
                    segment: 0,
                    segments: None,
                    sizes: &[],
                };
                let chosen = Mpc::after([], None, last).choose(&ladder, &ask).rung;
                assert_eq!(chosen, exhaustive(&ladder, &ask, kbps, last), "{ask:?}, {last} before");
            }
        }
    }
}

//! RobustMPC: the best first step of the next five segments, for a throughput that may be as wrong as it has been of late
//! (Yin, Jindal, Sekar, Sinopoli, SIGCOMM 2015).
//!
//! The prediction is the harmonic mean of the last five segments' throughputs, divided by one and the greatest error among their
//! predictions. The plan is worth its rates, less their changes, less `mu` for each second of stall, in Mbit/s; `mu` is the
//! highest rate. Of ladders with more than six rungs the first step is any, each later one a neighbour of the one before: plans
//! that jump again are hardly ever worth more, and there are 810 of ten rungs instead of 100,000. Waiting for the first byte counts
//! as throughput.

use crate::{Ask, Choice, Fetched, Ladder, Rule};

/// Segments looked ahead, and remembered.
pub const HORIZON: usize = 5;

/// Up to so many rungs every plan is looked at.
const FREE_RUNGS: usize = 6;

/// The rule.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Mpc {
    /// Throughputs of the last segments, kbit/s, and how wrong their predictions were; oldest first.
    past: Vec<(f64, f64)>,
    predicted: Option<f64>,
    last: usize,
}

impl Mpc {
    /// A session that goes on: throughputs and errors of its last segments, oldest first, the last prediction, the last rung.
    pub fn after(past: impl IntoIterator<Item = (f64, f64)>, predicted: Option<f64>, last: usize) -> Self {
        Self { past: past.into_iter().take(HORIZON).collect(), predicted, last }
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
}

impl Plan<'_> {
    /// The most that steps from `at` on are worth, with `rung` the first of them.
    fn worth(&self, at: usize, rung: usize, last: usize, buffer_ms: f64) -> f64 {
        let (ladder, ask) = (self.ladder, self.ask);
        let took = ask.bits(ladder, at, rung) / self.kbps;
        let stall = (took - buffer_ms).max(0.0);
        let buffer_ms = ((buffer_ms - took).max(0.0) + ask.segment_ms).min(ask.buffer_max_ms);
        let worth = ladder.kbps(rung)
            - (ladder.kbps(rung) - ladder.kbps(last)).abs()
            - ladder.kbps(ladder.top()) * stall / 1000.0;
        if at + 1 >= self.steps {
            return worth;
        }
        let next = if ladder.rungs() <= FREE_RUNGS {
            0..=ladder.top()
        } else {
            rung.saturating_sub(1)..=(rung + 1).min(ladder.top())
        };
        worth + next.map(|next| self.worth(at + 1, next, rung, buffer_ms)).fold(f64::NEG_INFINITY, f64::max)
    }
}

impl Rule for Mpc {
    fn choose(&mut self, ladder: &Ladder, ask: &Ask) -> Choice {
        let (mean, divisor) = self.predict().unwrap_or((ask.kbps.unwrap_or(0.0), 1.0));
        self.predicted = Some(mean);
        let steps = ask.segments.map_or(HORIZON, |all| HORIZON.min(all.saturating_sub(ask.segment)).max(1));
        let plan = Plan { ladder, ask, kbps: mean / divisor, steps };
        let worth = |rung| plan.worth(0, rung, self.last.min(ladder.top()), ask.buffer_ms);
        let rung = crate::bola::best(ladder, worth);
        Choice::now(rung)
    }

    fn fetched(&mut self, _ladder: &Ladder, fetched: &Fetched) {
        if fetched.abandoned_for.is_none() && fetched.ms > 0.0 {
            self.note(fetched.bits / fetched.ms);
        }
        self.last = fetched.rung;
    }
}

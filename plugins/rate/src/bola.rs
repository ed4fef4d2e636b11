//! BOLA: the rung with the best worth for its bits at the buffer's level (Spiteri, Urgaonkar, Sitaraman, INFOCOM 2016).
//!
//! `argmax (V (v_m + gp) - B) / R_m` with `v_m = ln(R_m / R_1)`. *Basic* has one V for the whole title, *finite* one that fits what
//! there is of it before and behind, so that it neither waits long for a first good picture nor leaves a full buffer at the end.
//! When it would rise above what throughput sustains, it either keeps to that and waits (O), or goes one above it (U).

use crate::{Ask, Choice, Ladder, Progress, Rule};

/// What buffering is worth beside the picture, as `gamma * p` of the paper, s.
pub const GAMMA_P: f64 = 5.0;

/// Which form of the rule.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// One trade-off for the whole title; gives nothing up.
    Basic,
    /// A trade-off that follows how far the title is.
    Finite,
}

/// What happens where the buffer says more than the throughput sustains.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rise {
    /// Keeps to what is sustained, and waits (O: few oscillations).
    Sustained,
    /// Goes one rung above what is sustained (U: more utility).
    OneAbove,
}

/// The rule.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Bola {
    form: Form,
    rise: Rise,
    /// V of the paper, in ms.
    v: f64,
    last: usize,
}

impl Bola {
    /// A session's beginning.
    pub fn new(form: Form, rise: Rise) -> Self {
        Self { form, rise, v: 0.0, last: 0 }
    }

    /// A session in which `last` was chosen last.
    pub fn after(form: Form, rise: Rise, last: usize) -> Self {
        Self { last, ..Self::new(form, rise) }
    }

    /// The rung it chose last.
    pub fn last(&self) -> usize {
        self.last
    }

    fn objective(&self, ladder: &Ladder, rung: usize, buffer_ms: f64, bits: f64) -> f64 {
        (self.v * (ladder.utility(rung) + GAMMA_P) - buffer_ms) / bits
    }

    /// Which buffer this form reckons with.
    fn buffer_ms(&self, ask: &Ask) -> f64 {
        if self.form == Form::Basic {
            return ask.buffer_max_ms;
        }
        let behind = ask.segments.map_or(usize::MAX, |all| all.saturating_sub(ask.segment));
        let from_edge = (ask.segment.min(behind) as f64 / 2.0).max(3.0);
        ask.buffer_max_ms.min(from_edge * ask.segment_ms)
    }
}

/// The best rung by an objective over all of them; the lower one of equals.
pub(crate) fn best(ladder: &Ladder, objective: impl Fn(usize) -> f64) -> usize {
    (1..ladder.rungs()).fold(0, |best, rung| if objective(rung) > objective(best) { rung } else { best })
}

impl Rule for Bola {
    fn choose(&mut self, ladder: &Ladder, ask: &Ask) -> Choice {
        self.v = (self.buffer_ms(ask) - ask.segment_ms) / (ladder.utility(ladder.top()) + GAMMA_P);
        let wanted = best(ladder, |rung| self.objective(ladder, rung, ask.buffer_ms, ladder.kbps(rung)));
        let sustained = ladder.carried(ask.kbps.unwrap_or(0.0), ask.latency_ms, ask.segment_ms);
        let mut choice = Choice::now(wanted);
        if wanted > self.last && wanted > sustained {
            choice = match self.rise {
                _ if self.last > sustained => Choice::now(self.last),
                Rise::OneAbove => Choice::now(sustained + 1),
                // Where the buffer is too full for the sustained rung, until it is not.
                Rise::Sustained => {
                    let level = self.v * (GAMMA_P + ladder.utility(sustained));
                    Choice { rung: sustained, wait_ms: (ask.buffer_ms - level).max(0.0) }
                }
            };
        }
        self.last = choice.rung;
        choice
    }

    fn abandon(&mut self, ladder: &Ladder, progress: &Progress) -> Option<usize> {
        let left = progress.bits - progress.done_bits;
        if self.form == Form::Basic || progress.done_bits <= 0.0 || left <= 0.0 {
            return None;
        }
        let mut best = self.objective(ladder, progress.rung, progress.buffer_ms, left);
        if best < 0.0 {
            return None;
        }
        let mut abandoned = None;
        for rung in 0..progress.rung {
            let bits = progress.bits * ladder.kbps(rung) / ladder.kbps(progress.rung);
            let objective = self.objective(ladder, rung, progress.buffer_ms, bits);
            if bits < left && objective > best {
                (best, abandoned) = (objective, Some(rung));
            }
        }
        self.last = abandoned.unwrap_or(self.last);
        abandoned
    }
}

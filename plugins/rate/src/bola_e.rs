//! BOLA-E, what dash.js plays: BOLA with a buffer of its own imagination on top of the real one.
//!
//! The *placeholder* stands for media that would be in the buffer, had the player not had to wait for other reasons (start,
//! a full buffer, the end of a live window); it lets the rule begin at what throughput carries and keeps it from falling
//! when nothing is wrong (Spiteri, Sitaraman, Sparacio, MMSys 2018). The insufficient-buffer rule looks after a nearly empty
//! buffer.

use crate::bola::{GAMMA_P, best};
use crate::throughput::BufferShare;
use crate::{Ask, Choice, Fetched, Ladder, Progress, Rule};

pub use crate::bola::Rise;

/// Buffer at which the lowest rung is still preferred, ms.
const BUFFER_MIN_MS: f64 = 10_000.0;
/// Buffer that the rule wants beyond that for each rung, ms.
const BUFFER_PER_RUNG_MS: f64 = 2000.0;

/// The rule.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct BolaE {
    rise: Rise,
    /// Without the insufficient-buffer rule, and over the real buffer (sabre's BOLA-PL).
    plain: bool,
    share: BufferShare,
    steady: bool,
    placeholder_ms: f64,
    last: usize,
    /// Trade-off of the paper in ms, and gp with it; they follow from ladder and buffer.
    v: f64,
    gp: f64,
}

impl BolaE {
    /// A session's beginning.
    pub fn new(rise: Rise) -> Self {
        let share = BufferShare::default();
        Self { rise, plain: false, share, steady: false, placeholder_ms: 0.0, last: 0, v: 0.0, gp: 0.0 }
    }

    /// Without the insufficient-buffer rule, over the player's own buffer.
    pub fn plain(rise: Rise) -> Self {
        Self { plain: true, ..Self::new(rise) }
    }

    /// A session that goes on: with this placeholder and this last rung, after so many decisions.
    pub fn after(rise: Rise, placeholder_ms: f64, last: usize, decisions: u32) -> Self {
        // The first is made without it.
        let share = BufferShare::after(decisions.saturating_sub(1));
        Self { share, steady: decisions > 0, placeholder_ms, last, ..Self::new(rise) }
    }

    /// The placeholder, ms.
    pub fn placeholder_ms(&self) -> f64 {
        self.placeholder_ms
    }

    /// Sets the trade-off for a ladder and a buffer.
    pub(crate) fn fit(&mut self, ladder: &Ladder, ask: &Ask) {
        let span = ladder.utility(ladder.top());
        if self.plain {
            self.gp = GAMMA_P - 1.0;
            self.v = (ask.buffer_max_ms - ask.segment_ms) / (1.0 + span + self.gp);
        } else {
            let buffer = (BUFFER_MIN_MS + BUFFER_PER_RUNG_MS * ladder.rungs() as f64).max(ask.buffer_max_ms);
            self.gp = (utility(ladder, ladder.top()) - 1.0) / (buffer / BUFFER_MIN_MS - 1.0);
            self.v = BUFFER_MIN_MS / self.gp;
        }
    }

    fn objective(&self, ladder: &Ladder, rung: usize, buffer_ms: f64, bits: f64) -> f64 {
        (self.v * (utility(ladder, rung) + self.gp) - buffer_ms) / bits
    }

    /// From which level on `rung` is preferred to all below.
    fn level_min(&self, ladder: &Ladder, rung: usize) -> f64 {
        let (kbps, worth) = (ladder.kbps(rung), utility(ladder, rung));
        let over = |lower: usize| {
            let (low_kbps, low_worth) = (ladder.kbps(lower), utility(ladder, lower));
            if low_worth < worth {
                self.v * (self.gp + (kbps * low_worth - low_kbps * worth) / (kbps - low_kbps))
            } else {
                0.0
            }
        };
        (0..rung).map(over).fold(0.0, f64::max)
    }

    /// Up to which level `rung` is fetched without waiting.
    fn level_max(&self, ladder: &Ladder, rung: usize) -> f64 {
        self.v * (utility(ladder, rung) + self.gp)
    }

    fn start(&mut self, ladder: &Ladder, ask: &Ask) -> Choice {
        let Some(kbps) = ask.kbps else {
            return Choice::now(self.last);
        };
        self.steady = true;
        let rung = ladder.carried(kbps, ask.latency_ms, ask.segment_ms);
        self.placeholder_ms = (self.level_min(ladder, rung) - ask.buffer_ms).max(0.0);
        Choice::now(rung)
    }
}

/// Here the lowest rung is worth 1.
fn utility(ladder: &Ladder, rung: usize) -> f64 {
    ladder.utility(rung) + 1.0
}

impl Rule for BolaE {
    fn choose(&mut self, ladder: &Ladder, ask: &Ask) -> Choice {
        self.fit(ladder, ask);
        if !self.steady {
            return self.start(ladder, ask);
        }
        let kbps = ask.kbps.unwrap_or(0.0);
        let level = ask.buffer_ms + self.placeholder_ms;
        let mut rung = best(ladder, |rung| self.objective(ladder, rung, level, ladder.kbps(rung)));
        let sustained = ladder.carried(kbps, ask.latency_ms, ask.segment_ms);
        if rung > self.last && rung > sustained {
            rung = self.last.max(sustained) + usize::from(self.rise == Rise::OneAbove);
        }
        let above = ask.buffer_ms + self.placeholder_ms - self.level_max(ladder, rung);
        let mut wait_ms = 0.0;
        if above > self.placeholder_ms {
            wait_ms = above - self.placeholder_ms;
            self.placeholder_ms = 0.0;
        } else if above > 0.0 {
            self.placeholder_ms -= above;
        }
        if rung == ladder.top() {
            wait_ms = 0.0;
        }
        if !self.plain {
            let bounded = self.share.bounded(ladder, rung, ask, kbps);
            if bounded < rung {
                (rung, wait_ms) = (bounded, 0.0);
                let most = (self.level_min(ladder, rung) - ask.buffer_ms).max(0.0);
                self.placeholder_ms = self.placeholder_ms.min(most);
            }
        }
        Choice { rung, wait_ms }
    }

    fn abandon(&mut self, ladder: &Ladder, progress: &Progress) -> Option<usize> {
        let left = progress.bits - progress.done_bits;
        if progress.done_bits <= 0.0 || left <= 0.0 {
            return None;
        }
        // Another segment begins with another latency: what will be by then.
        let level = (progress.buffer_ms + self.placeholder_ms - progress.latency_ms).max(0.0);
        let kbps = progress.done_bits / (progress.ms - progress.latency_ms);
        let left = left - progress.latency_ms * kbps;
        if left <= 0.0 {
            return None;
        }
        let (mut best, mut abandoned) = (self.objective(ladder, progress.rung, level, left), None);
        for rung in 0..progress.rung {
            let bits = progress.bits * ladder.kbps(rung) / ladder.kbps(progress.rung);
            let objective = self.objective(ladder, rung, level, bits);
            if bits < left && objective > best {
                (best, abandoned) = (objective, Some(rung));
            }
        }
        abandoned
    }

    fn waited(&mut self, ms: f64) {
        self.placeholder_ms += ms;
    }

    fn fetched(&mut self, ladder: &Ladder, fetched: &Fetched) {
        self.last = fetched.rung;
        let level = fetched.buffer_ms;
        if let Some(rung) = fetched.abandoned_for {
            let wanted = if rung > 0 { self.level_min(ladder, rung) } else { BUFFER_MIN_MS };
            self.placeholder_ms = self.placeholder_ms.min((wanted - level).max(0.0));
            return;
        }
        let before = level + fetched.ms;
        self.placeholder_ms = self.placeholder_ms.min((self.level_max(ladder, fetched.rung) - before).max(0.0));
        if level > 0.0 {
            self.placeholder_ms = self.placeholder_ms.max(self.level_min(ladder, fetched.rung) - before);
        }
    }
}

//! The throughput rule: the highest rung that a safe share of the estimate carries.
//!
//! With it the insufficient-buffer rule: what is fetched must come before the buffer is empty, with less trust at every
//! decision, and giving up a segment that would take nearly two. After dash.js, as sabre has it.

use crate::{Ask, Choice, Ladder, Progress, Rule};

/// Share of the estimate that is trusted.
pub const SAFETY: f64 = 0.9;
/// Share of the buffer's worth that a segment may take: at the first decision, and at least.
const BUFFER_SHARE: (f64, f64) = (0.9, 0.5);
/// A segment is not given up before, ms.
const GRACE_MS: f64 = 500.0;
/// A segment that would take more than so many durations is given up.
const SLOW: f64 = 1.8;

/// How much of what the buffer is worth a segment may take; shrinks with every decision.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct BufferShare(pub(crate) f64);

impl Default for BufferShare {
    fn default() -> Self {
        Self(BUFFER_SHARE.0)
    }
}

impl BufferShare {
    /// As it is after so many decisions.
    pub(crate) fn after(decisions: u32) -> Self {
        let share = BUFFER_SHARE.0.powi(decisions.saturating_add(1).min(64) as i32);
        Self(share.max(BUFFER_SHARE.1))
    }

    /// The highest rung up to `rung` that comes before the buffer is empty.
    pub(crate) fn bounded(&mut self, ladder: &Ladder, rung: usize, ask: &Ask, kbps: f64) -> usize {
        let bits = self.0 * (ask.buffer_ms - ask.latency_ms) * kbps;
        self.0 = (self.0 * BUFFER_SHARE.0).max(BUFFER_SHARE.1);
        ladder.within(rung, bits, ask.segment_ms)
    }
}

/// The rule.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Throughput {
    share: BufferShare,
}

impl Throughput {
    /// As it is after `decisions`, for who cannot keep it from one to the next.
    pub fn after(decisions: u32) -> Self {
        Self { share: BufferShare::after(decisions) }
    }
}

impl Rule for Throughput {
    fn choose(&mut self, ladder: &Ladder, ask: &Ask) -> Choice {
        let kbps = ask.kbps.unwrap_or(0.0);
        let carried = ladder.carried(kbps * SAFETY, ask.latency_ms, ask.segment_ms);
        Choice::now(self.share.bounded(ladder, carried, ask, kbps))
    }

    fn abandon(&mut self, ladder: &Ladder, progress: &Progress) -> Option<usize> {
        let transfer_ms = progress.ms - progress.latency_ms;
        if progress.ms < GRACE_MS || transfer_ms <= 0.0 {
            return None;
        }
        let kbps = progress.done_bits / transfer_ms;
        let left = progress.bits - progress.done_bits;
        if progress.ms + left / kbps <= SLOW * progress.segment_ms {
            return None;
        }
        let rung = ladder.carried(kbps * SAFETY, progress.latency_ms, progress.segment_ms);
        let bits = progress.bits * ladder.kbps(rung) / ladder.kbps(progress.rung);
        (rung < progress.rung && bits < left).then_some(rung)
    }
}

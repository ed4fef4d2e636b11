//! Rules that choose the representation of a player's next segment.
//!
//! Each rule is a struct with the few figures it remembers of a session; it is told what happened and asked what to fetch. The
//! policies in `plugins/policy/rate-*` are these rules as guests, `littoral-bench abr` plays whole traces with them. Where a rule is
//! published and has a reference implementation (sabre, of the authors of BOLA), it decides as that does, oddities included:
//! a test of the player's compares them decision by decision. What the network does and what the player measures is left to the
//! caller.
//!
//! Invariant: pure. No clock, no entropy, no I/O, and no panic for any figures, infinite and not-a-number included.

pub mod bba;
pub mod bola;
pub mod bola_e;
pub mod dynamic;
pub mod edge;
pub mod estimate;
pub mod ladder;
pub mod littoral;
pub mod mpc;
pub mod throughput;

pub use ladder::Ladder;

/// What a rule is asked with. Times in ms, rates in kbit/s, which is bit/ms.
#[derive(Debug, Clone, Copy)]
pub struct Ask<'a> {
    /// Media in the player's buffer.
    pub buffer_ms: f64,
    /// The most that the buffer may hold.
    pub buffer_max_ms: f64,
    /// Estimated throughput; `None` before the first segment.
    pub kbps: Option<f64>,
    /// Estimated time to the first byte.
    pub latency_ms: f64,
    /// Duration of a segment.
    pub segment_ms: f64,
    /// Number of the segment that is to be fetched, from 0.
    pub segment: usize,
    /// Segments of the title; `None` when unknown or live.
    pub segments: Option<usize>,
    /// Bits of the next segments in each representation, the one asked for first; empty where unknown, and then a segment is
    /// taken to have its representation's rate.
    pub sizes: &'a [Vec<f64>],
}

impl Ask<'_> {
    /// Bits of the segment `ahead` of the one asked for.
    pub fn bits(&self, ladder: &Ladder, ahead: usize, rung: usize) -> f64 {
        let known = self.sizes.get(ahead).and_then(|sizes| sizes.get(rung)).copied();
        known.unwrap_or_else(|| ladder.kbps(rung) * self.segment_ms)
    }
}

/// What a rule answers.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Choice {
    /// The rung, below the ladder's length.
    pub rung: usize,
    /// How long to wait before asking for it, ms.
    pub wait_ms: f64,
}

impl Choice {
    /// At once.
    pub fn now(rung: usize) -> Self {
        Self { rung, wait_ms: 0.0 }
    }
}

/// How far a segment has come.
#[derive(Debug, Clone, Copy)]
pub struct Progress {
    /// Its rung.
    pub rung: usize,
    /// Bits it has.
    pub bits: f64,
    /// Bits that have come.
    pub done_bits: f64,
    /// Since it was asked for, ms.
    pub ms: f64,
    /// Of that until the first byte, ms.
    pub latency_ms: f64,
    /// Media in the buffer now, ms.
    pub buffer_ms: f64,
    /// Duration of a segment, ms.
    pub segment_ms: f64,
}

/// A segment that came whole, or was given up.
#[derive(Debug, Clone, Copy)]
pub struct Fetched {
    /// Its rung.
    pub rung: usize,
    /// Bits that came.
    pub bits: f64,
    /// How long it took, ms.
    pub ms: f64,
    /// Of that until the first byte, ms.
    pub latency_ms: f64,
    /// Media in the buffer afterwards, ms.
    pub buffer_ms: f64,
    /// Given up for this rung.
    pub abandoned_for: Option<usize>,
}

/// A rule with its memory of one session.
pub trait Rule {
    /// What to fetch next.
    fn choose(&mut self, ladder: &Ladder, ask: &Ask) -> Choice;

    /// Whether to give a segment up, and for which rung.
    fn abandon(&mut self, _ladder: &Ladder, _progress: &Progress) -> Option<usize> {
        None
    }

    /// The player waited because its buffer was full.
    fn waited(&mut self, _ms: f64) {}

    /// A segment is done with.
    fn fetched(&mut self, _ladder: &Ladder, _fetched: &Fetched) {}
}

//! Exact policies for tests: seated, replaced, broken and away when they are told to be.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};

use littoral_evict::{Exact, Object, named};

use super::Keep;
use crate::evict::{Candidate, Eviction, LfuSize, Verdict};

/// A native policy in the seat, of a version that tests change; 0 is none. While it is broken, it faults at the next question.
pub(crate) struct Seats {
    name: &'static str,
    shared: Arc<Shared>,
}

/// What tests change.
#[derive(Default)]
pub(crate) struct Shared {
    pub(crate) version: AtomicU64,
    pub(crate) broken: AtomicBool,
    pub(crate) started: AtomicU64,
}

struct Native {
    policy: Box<dyn Exact + Send>,
    shared: Arc<Shared>,
}

impl Seats {
    /// Of version 1.
    pub(crate) fn new(name: &'static str) -> Self {
        Self { name, shared: Arc::new(Shared { version: AtomicU64::new(1), ..Shared::default() }) }
    }

    pub(crate) fn shared(&self) -> Arc<Shared> {
        self.shared.clone()
    }
}

impl Eviction for Seats {
    fn admit(&self, object: &Candidate, fill: u16, now_ms: u64, rand: u64) -> Verdict {
        LfuSize.admit(object, fill, now_ms, rand)
    }
    fn score(&self, sample: &[Candidate], now_ms: u64, rand: u64, scores: &mut [f32]) {
        LfuSize.score(sample, now_ms, rand, scores);
    }
    fn exact(&self) -> Option<u64> {
        Some(self.shared.version.load(Relaxed)).filter(|version| *version > 0)
    }
    fn keep(&self, bytes: u64) -> Option<(u64, Box<dyn Keep>)> {
        self.shared.started.fetch_add(1, Relaxed);
        let native = Native { policy: named(self.name, bytes)?, shared: self.shared.clone() };
        Some((self.exact()?, Box::new(native)))
    }
}

impl Keep for Native {
    fn is_broken(&self) -> bool {
        self.shared.broken.load(Relaxed)
    }
}

impl Exact for Native {
    fn used(&mut self, handle: u32, now_ms: u64, go: &mut Vec<u32>) {
        self.policy.used(handle, now_ms, go);
    }
    fn arrives(&mut self, object: &Object, need: u64, now_ms: u64, go: &mut Vec<u32>) {
        self.policy.arrives(object, need, now_ms, go);
    }
    fn evict(&mut self, need: u64, now_ms: u64, go: &mut Vec<u32>) {
        self.policy.evict(need, now_ms, go);
    }
    fn gone(&mut self, handle: u32) {
        self.policy.gone(handle);
    }
}

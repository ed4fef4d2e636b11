//! Room on a disk: what an exact policy names, else the policy's choice among a sample of its index, on the thread that writes.

use std::sync::atomic::Ordering::Relaxed;
use std::time::SystemTime;

use super::exact::Telling;
use super::index::Item;
use super::{Shared, Volume};
use crate::entry::millis;
use crate::evict::{Candidate, Eviction};
use crate::limits::EVICTION_SAMPLE;

/// Objects evicted for one that is written because the file system is nearly full, before it is left unwritten.
const EVICTIONS_FOR_FLOOR: usize = 64;

impl Volume {
    /// Evicts until `bytes` fit into the disk's size and leave its file system the bytes that are others'. `false` when they
    /// cannot be made to fit.
    pub(super) fn make_room(&self, bytes: u64, telling: &mut Telling<'_>, shared: &Shared) -> bool {
        let bound = self.settings().bytes;
        if bytes > bound {
            return false;
        }
        let now_ms = millis(SystemTime::now());
        while self.index.bytes().saturating_add(bytes) > bound {
            if !telling.evict_one() && !self.evict_one(shared, now_ms) {
                return false;
            }
        }
        for _ in 0..EVICTIONS_FOR_FLOOR {
            match self.files.free_bytes(&self.root) {
                Ok(free) if free < self.settings().min_free.saturating_add(bytes) => {}
                Ok(_) => return true,
                Err(error) => {
                    self.failed("asking for free space", &error, &shared.counters);
                    return false;
                }
            }
            if !telling.evict_one() && !self.evict_one(shared, now_ms) {
                return false;
            }
        }
        false
    }

    fn evict_one(&self, shared: &Shared, now_ms: u64) -> bool {
        let Some(policy) = shared.policy.get() else { return false };
        let now_s = u32::try_from(now_ms / 1000).unwrap_or(u32::MAX);
        let mut sample = Vec::with_capacity(EVICTION_SAMPLE);
        let mut random = || shared.random.next();
        self.index.sample(now_s, &mut random, &mut sample);
        let Some(worst) = lowest(policy.load().as_ref().as_ref(), &sample, now_ms, random()) else {
            return false;
        };
        self.remove_now(worst.id(), shared);
        shared.counters.evicted.fetch_add(1, Relaxed);
        true
    }
}

fn lowest(policy: &dyn Eviction, sample: &[Item], now_ms: u64, rand: u64) -> Option<Item> {
    let mut candidates = [Candidate::default(); EVICTION_SAMPLE];
    let mut scores = [0.0_f32; EVICTION_SAMPLE];
    let now_s = u32::try_from(now_ms / 1000).unwrap_or(u32::MAX);
    for (candidate, item) in candidates.iter_mut().zip(sample) {
        *candidate = item.candidate(now_s);
    }
    let drawn = sample.len();
    policy.score(&candidates[..drawn], now_ms, rand, &mut scores[..drawn]);
    (0..drawn).min_by(|a, b| scores[*a].total_cmp(&scores[*b])).map(|worst| sample[worst])
}

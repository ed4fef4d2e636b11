//! The dense index: every published entry in one vector, so that a uniform sample costs no walk.
//!
//! Held on insert, remove and sample only; a hit never comes here.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};

use parking_lot::Mutex;

use crate::entry::Entry;
use crate::evict::{Candidate, Eviction};
use crate::limits::EVICTION_SAMPLE;

/// What stands in a dense index: an entry of a node, or an object of a trace that is replayed.
pub trait Resident {
    /// Where the index notes its place.
    fn place(&self) -> &AtomicU32;
    /// Until when it is pinned (Unix milliseconds), 0 when it is not.
    fn pinned_until_ms(&self) -> u64;
    /// What an eviction policy sees of it.
    fn candidate(&self, now_ms: u64) -> Candidate;
}

/// Entries in no particular order; each knows its place.
#[derive(Debug)]
pub struct DenseIndex<T = Entry> {
    entries: Mutex<Vec<Arc<T>>>,
}

/// Where an entry is that is not in the index.
const NOWHERE: u32 = u32::MAX;

impl<T> Default for DenseIndex<T> {
    fn default() -> Self {
        Self { entries: Mutex::default() }
    }
}

impl<T: Resident> DenseIndex<T> {
    pub(crate) fn insert(&self, entry: &Arc<T>) {
        let mut entries = self.entries.lock();
        let place = u32::try_from(entries.len()).unwrap_or(NOWHERE - 1);
        entry.place().store(place, Relaxed);
        entries.push(entry.clone());
    }

    /// Takes `entry` out; `false` when it is not there (any more).
    pub(crate) fn remove(&self, entry: &Arc<T>) -> bool {
        let mut entries = self.entries.lock();
        let place = entry.place().load(Relaxed) as usize;
        if !entries.get(place).is_some_and(|there| Arc::ptr_eq(there, entry)) {
            return false;
        }
        entries.swap_remove(place);
        entry.place().store(NOWHERE, Relaxed);
        if let Some(moved) = entries.get(place) {
            moved.place().store(place as u32, Relaxed);
        }
        true
    }

    /// Does something while `entry` cannot be taken out; `false` when it is not there (any more), and nothing is done.
    pub(crate) fn if_there(&self, entry: &Arc<T>, act: impl FnOnce()) -> bool {
        let entries = self.entries.lock();
        let there = entries.get(entry.place().load(Relaxed) as usize).is_some_and(|there| Arc::ptr_eq(there, entry));
        if there {
            act();
        }
        there
    }

    /// Number of published entries.
    pub fn len(&self) -> usize {
        self.entries.lock().len()
    }

    /// Whether nothing is published.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Draws up to [`EVICTION_SAMPLE`] entries that are not pinned at `now_ms`, from places given by `next`.
    pub(crate) fn sample(&self, now_ms: u64, mut next: impl FnMut() -> u64, into: &mut Vec<Arc<T>>) {
        into.clear();
        let entries = self.entries.lock();
        if entries.is_empty() {
            return;
        }
        // Four times as many draws as places: enough unless nearly everything is pinned.
        for _ in 0..4 * EVICTION_SAMPLE {
            let entry = &entries[(next() % entries.len() as u64) as usize];
            if entry.pinned_until_ms() <= now_ms && !into.iter().any(|drawn| Arc::ptr_eq(drawn, entry)) {
                into.push(entry.clone());
            }
            if into.len() == EVICTION_SAMPLE.min(entries.len()) {
                break;
            }
        }
    }

    /// Up to `most` entries below `place`, which moves down to the first of them; none at the end of the walk. From
    /// [`usize::MAX`] downwards it meets every entry that is there all the while: what is taken out lets only entries from
    /// above come down.
    pub(crate) fn walk(&self, place: &mut usize, most: usize) -> Vec<Arc<T>> {
        let entries = self.entries.lock();
        let end = entries.len().min(*place);
        *place = end.saturating_sub(most);
        entries[*place..end].to_vec()
    }

    /// A snapshot of all entries.
    #[cfg(test)]
    pub(crate) fn all(&self) -> Vec<Arc<T>> {
        self.entries.lock().clone()
    }
}

/// The place of the lowest score, or of the first entry when the policy scores nothing comparable.
pub(crate) fn lowest<T: Resident>(policy: &dyn Eviction, sample: &[Arc<T>], now_ms: u64, rand: u64) -> Option<usize> {
    let mut candidates = [Candidate::default(); EVICTION_SAMPLE];
    let mut scores = [0.0_f32; EVICTION_SAMPLE];
    let drawn = sample.len();
    for (candidate, entry) in candidates.iter_mut().zip(sample) {
        *candidate = entry.candidate(now_ms);
    }
    policy.score(&candidates[..drawn], now_ms, rand, &mut scores[..drawn]);
    (0..drawn).min_by(|a, b| scores[*a].total_cmp(&scores[*b]))
}

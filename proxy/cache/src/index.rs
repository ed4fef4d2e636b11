//! The dense index: every published entry in one vector, so that a uniform sample costs no walk.
//!
//! Held on insert, remove and sample only; a hit never comes here.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use parking_lot::Mutex;

use crate::entry::Entry;
use crate::limits::EVICTION_SAMPLE;

/// Entries in no particular order; each knows its place.
#[derive(Debug, Default)]
pub struct DenseIndex {
    entries: Mutex<Vec<Arc<Entry>>>,
}

/// Where an entry is that is not in the index.
const NOWHERE: u32 = u32::MAX;

impl DenseIndex {
    pub(crate) fn insert(&self, entry: &Arc<Entry>) {
        let mut entries = self.entries.lock();
        let place = u32::try_from(entries.len()).unwrap_or(NOWHERE - 1);
        entry.usage.place.store(place, Relaxed);
        entries.push(entry.clone());
    }

    /// Takes `entry` out; `false` when it is not there (any more).
    pub(crate) fn remove(&self, entry: &Arc<Entry>) -> bool {
        let mut entries = self.entries.lock();
        let place = entry.usage.place.load(Relaxed) as usize;
        if !entries.get(place).is_some_and(|there| Arc::ptr_eq(there, entry)) {
            return false;
        }
        entries.swap_remove(place);
        entry.usage.place.store(NOWHERE, Relaxed);
        if let Some(moved) = entries.get(place) {
            moved.usage.place.store(place as u32, Relaxed);
        }
        true
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
    pub(crate) fn sample(&self, now_ms: u64, mut next: impl FnMut() -> u64, into: &mut Vec<Arc<Entry>>) {
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
    pub(crate) fn walk(&self, place: &mut usize, most: usize) -> Vec<Arc<Entry>> {
        let entries = self.entries.lock();
        let end = entries.len().min(*place);
        *place = end.saturating_sub(most);
        entries[*place..end].to_vec()
    }

    /// A snapshot of all entries.
    #[cfg(test)]
    pub(crate) fn all(&self) -> Vec<Arc<Entry>> {
        self.entries.lock().clone()
    }
}

//! The memory tier's table: the only module that names moka.
//!
//! moka finds entries and, should the evictor ever stall, drops the least recently used ones above its ceiling. The hard
//! bound is not its matter: that is [`crate::budget`], which counts what is really held.

use std::hash::{BuildHasher, Hasher};
use std::sync::Arc;

use moka::sync::Cache;

use crate::entry::Entry;

/// Entries by slot.
#[derive(Debug)]
pub(crate) struct Table {
    entries: Cache<u128, Arc<Entry>, SlotHash>,
}

/// Slots are hashes already; half of one is a good hash.
#[derive(Debug, Clone, Default)]
pub(crate) struct SlotHash(u64);

impl Table {
    /// `dropped` learns of entries that moka itself gave up.
    pub(crate) fn new(ceiling: u64, dropped: impl Fn(Arc<Entry>) + Send + Sync + 'static) -> Self {
        let entries = Cache::builder()
            .max_capacity(ceiling)
            .eviction_policy(moka::policy::EvictionPolicy::lru())
            .weigher(|_, entry: &Arc<Entry>| u32::try_from(entry.cost()).unwrap_or(u32::MAX))
            .eviction_listener(move |_, entry, cause| {
                if cause.was_evicted() {
                    dropped(entry);
                }
            })
            .build_with_hasher(SlotHash::default());
        Self { entries }
    }

    pub(crate) fn get(&self, slot: u128) -> Option<Arc<Entry>> {
        self.entries.get(&slot)
    }

    pub(crate) fn insert(&self, entry: Arc<Entry>) {
        self.entries.insert(entry.slot(), entry);
    }

    /// Removes what is in `slot`.
    pub(crate) fn remove(&self, slot: u128) -> Option<Arc<Entry>> {
        self.entries.remove(&slot)
    }

    /// Lets moka forget removed entries, which it otherwise does a few hundred operations later.
    pub(crate) fn settle(&self) {
        self.entries.run_pending_tasks();
    }
}

impl BuildHasher for SlotHash {
    type Hasher = Self;
    fn build_hasher(&self) -> Self {
        Self(0)
    }
}

impl Hasher for SlotHash {
    fn finish(&self) -> u64 {
        self.0
    }
    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = self.0.rotate_left(8) ^ u64::from(*byte);
        }
    }
    fn write_u128(&mut self, slot: u128) {
        self.0 = slot as u64;
    }
}

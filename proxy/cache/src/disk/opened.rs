//! Objects on disk that are asked for again and again: kept open, their header read, what of their body was verified remembered.
//!
//! What is kept here is what reading an object back came to, so that doing it again costs no system call. Who takes it has to ask
//! again what may have changed since: purges, and whether the object is still there. Invariant: nothing is kept that was read
//! before its file was last replaced, changed or removed.

use std::num::NonZeroUsize;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, AtomicUsize, Ordering::Relaxed};

use lru::LruCache;
use parking_lot::Mutex;

use super::Streamed;
use crate::budget::Reservation;
use crate::entry::Entry;
use crate::limits::OPENED_OBJECTS;

/// Counters of changes, so that a change to one object seldom keeps another from being kept.
const CHANGES: usize = 64;

/// An object that is kept open.
#[derive(Debug)]
pub(crate) struct Kept {
    pub(crate) id: u128,
    pub(crate) entry: Arc<Entry>,
    pub(crate) body: Streamed,
    /// Purges with a lower number do not name it.
    pub(crate) purges: AtomicU64,
    /// Uses after which it is read back anew, so that the policy is asked whether memory is to have it.
    pub(crate) uses_left: AtomicU32,
    pub(crate) _room: Reservation,
}

/// All of them, by slot.
#[derive(Debug)]
pub(crate) struct Opened {
    objects: Mutex<Objects>,
    count: AtomicUsize,
    changes: [AtomicU64; CHANGES],
}

#[derive(Debug)]
struct Objects {
    kept: LruCache<u128, Arc<Kept>>,
    /// The slot of an object.
    slots: std::collections::HashMap<u128, u128>,
}

/// What [`Opened::keep`] needs to know: the changes before the object was read.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Before(u64);

impl Default for Opened {
    fn default() -> Self {
        let bound = NonZeroUsize::new(OPENED_OBJECTS).unwrap_or(NonZeroUsize::MIN);
        let objects = Objects { kept: LruCache::new(bound), slots: std::collections::HashMap::new() };
        let changes = [const { AtomicU64::new(0) }; CHANGES];
        Self { objects: Mutex::new(objects), count: AtomicUsize::new(0), changes }
    }
}

impl Opened {
    /// To be called before the object `id` is read.
    pub(crate) fn before(&self, id: u128) -> Before {
        Before(self.changes_of(id).load(Relaxed))
    }

    /// Keeps an object, unless it may have changed since; the one used longest ago goes for it.
    pub(crate) fn keep(&self, before: Before, slot: u128, kept: Arc<Kept>) {
        let mut objects = self.objects.lock();
        let id = kept.id;
        if self.changes_of(id).load(Relaxed) != before.0 {
            return;
        }
        let gone = objects.kept.push(slot, kept);
        if let Some((_, gone)) = &gone {
            objects.slots.remove(&gone.id);
        }
        objects.slots.insert(id, slot);
        self.count.store(objects.kept.len(), Relaxed);
        // Its file is closed by whoever was last to hold it, but not under the lock.
        drop(objects);
        drop(gone);
    }

    /// What is kept in a slot.
    pub(crate) fn get(&self, slot: u128) -> Option<Arc<Kept>> {
        if self.count.load(Relaxed) == 0 {
            return None;
        }
        self.objects.lock().kept.get(&slot).cloned()
    }

    /// Closes an object that was replaced, changed or removed; those who read it read on.
    pub(crate) fn forget(&self, id: u128) {
        let mut objects = self.objects.lock();
        self.changes_of(id).fetch_add(1, Relaxed);
        let slot = objects.slots.remove(&id);
        let gone = slot.and_then(|slot| objects.kept.pop(&slot));
        self.count.store(objects.kept.len(), Relaxed);
        drop(objects);
        drop(gone);
    }

    /// Closes all.
    pub(crate) fn clear(&self) {
        let mut objects = self.objects.lock();
        self.changes.iter().for_each(|changes| _ = changes.fetch_add(1, Relaxed));
        objects.kept.clear();
        objects.slots.clear();
        self.count.store(0, Relaxed);
    }

    /// How many are kept.
    pub(crate) fn len(&self) -> usize {
        self.count.load(Relaxed)
    }

    fn changes_of(&self, id: u128) -> &AtomicU64 {
        &self.changes[id as usize % CHANGES]
    }
}

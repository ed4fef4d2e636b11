//! What one instance has noted for its next commit, and what it reads meanwhile: what is stored, with its own changes.
//!
//! Invariants: a draft has at most [`CHANGES_MAX`] entries of [`DRAFT_BYTES_MAX`] bytes, and all of a plugin have [`DRAFTS_BYTES_MAX`]; what
//! was noted is gone after a commit, whatever became of it.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use super::limits::{CHANGES_MAX, DRAFT_BYTES_MAX, DRAFTS_BYTES_MAX, ENTRY_BYTES};
use super::{Durable, Refusal, file::Use};

/// Values by keys; `None`: no value.
type Values = BTreeMap<Vec<u8>, Option<Vec<u8>>>;

/// Changes that are made together, if what they expect is so.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Batch {
    /// New values; `None` removes.
    pub(super) changes: Values,
    /// Values that must be there when they are made; `None`: none.
    pub(super) expected: Values,
}

impl Batch {
    fn entries(&self) -> usize {
        self.changes.len() + self.expected.len()
    }
}

/// The draft of one instance.
#[derive(Debug)]
pub(crate) struct Draft {
    pub(super) store: Arc<Durable>,
    batch: Batch,
    bytes: usize,
}

impl Draft {
    pub(crate) fn of(store: Arc<Durable>) -> Self {
        Self { store, batch: Batch::default(), bytes: 0 }
    }

    /// The value of a key.
    pub(crate) async fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, Refusal> {
        match self.batch.changes.get(key) {
            Some(noted) => Ok(noted.clone()),
            None => self.store.get(key).await,
        }
    }

    /// The first keys that begin with `prefix` and come behind `after`, in their order.
    pub(crate) async fn keys(&self, prefix: &[u8], after: Option<&[u8]>, most: usize) -> Result<Vec<Vec<u8>>, Refusal> {
        let from = match after {
            Some(after) if after >= prefix => Bound::Excluded(after),
            _ => Bound::Included(prefix),
        };
        let noted = self.batch.changes.range::<[u8], _>((from, Bound::Unbounded));
        let noted: Vec<_> = noted.take_while(|(key, _)| key.starts_with(prefix)).collect();
        let removed = noted.iter().filter(|(_, value)| value.is_none()).count();
        // So many that those which are left are enough: what is noted is never put before a key that was not read.
        let stored = self.store.keys(prefix, after, most + removed).await?;
        let mut keys: BTreeSet<Vec<u8>> = stored.into_iter().collect();
        for (key, value) in noted {
            match value {
                Some(_) => keys.insert(key.clone()),
                None => keys.remove(key),
            };
        }
        Ok(keys.into_iter().take(most).collect())
    }

    /// Notes that a key gets a value.
    pub(crate) fn put(&mut self, key: Vec<u8>, value: Vec<u8>) -> Result<(), Refusal> {
        self.note(key, Some(value), |batch| &mut batch.changes)
    }

    /// Notes that a key is removed.
    pub(crate) fn remove(&mut self, key: Vec<u8>) -> Result<(), Refusal> {
        self.note(key, None, |batch| &mut batch.changes)
    }

    /// Notes that the commit is for the case only that a key has this value then, or none.
    pub(crate) fn expect(&mut self, key: Vec<u8>, value: Option<Vec<u8>>) -> Result<(), Refusal> {
        self.note(key, value, |batch| &mut batch.expected)
    }

    /// Forgets what was noted.
    pub(crate) fn discard(&mut self) {
        self.batch = Batch::default();
        self.store.noted.fetch_sub(std::mem::take(&mut self.bytes), Relaxed);
    }

    /// Forgets what was noted, as nothing may be committed now.
    pub(crate) fn refuse(&mut self) {
        self.discard();
        self.store.held.figures.refused(Refusal::Busy);
    }

    /// Makes the changes, all or none; whether there were any.
    pub(crate) async fn commit(&mut self) -> Result<bool, Refusal> {
        let batch = std::mem::take(&mut self.batch);
        let committed = match batch.entries() {
            0 => Ok(false),
            _ => self.store.commit(batch).await.map(|()| true),
        };
        // Until here they were somewhere.
        self.discard();
        committed
    }

    /// Whether nothing is noted.
    pub(crate) fn is_empty(&self) -> bool {
        self.batch.entries() == 0
    }

    /// What the store holds, and what it may hold.
    pub(crate) fn usage(&self) -> (Use, Use) {
        self.store.usage()
    }

    fn note(&mut self, key: Vec<u8>, value: Option<Vec<u8>>, of: fn(&mut Batch) -> &mut Values) -> Result<(), Refusal> {
        let charge = |key: &[u8], value: &Option<Vec<u8>>| ENTRY_BYTES + key.len() + value.as_ref().map_or(0, Vec::len);
        let entries = self.batch.entries();
        let place = of(&mut self.batch);
        let before = place.get(&key).map(|known| charge(&key, known));
        let (more, less) = (charge(&key, &value), before.unwrap_or(0));
        let bytes = self.bytes - less + more;
        let refused = |refusal| {
            self.store.held.figures.refused(refusal);
            Err(refusal)
        };
        if (before.is_none() && entries >= CHANGES_MAX) || bytes > DRAFT_BYTES_MAX + CHANGES_MAX * ENTRY_BYTES {
            return refused(Refusal::TooMuch);
        }
        let all = |noted: usize| Some(noted - less + more).filter(|noted| *noted <= DRAFTS_BYTES_MAX);
        if self.store.noted.fetch_update(Relaxed, Relaxed, all).is_err() {
            return refused(Refusal::Busy);
        }
        place.insert(key, value);
        self.bytes = bytes;
        Ok(())
    }
}

impl Drop for Draft {
    fn drop(&mut self) {
        self.discard();
    }
}

//! What all instances of a filter or service share: entries with an end, in memory, within the bytes that the operator granted.
//!
//! The clock comes with the call. Its lock is held for one operation and never while a guest runs.

use lru::LruCache;
use parking_lot::Mutex;

use crate::filter::limits::{ENTRY_BYTES, KEY_BYTES_MAX, STORED_BYTES_MAX};

/// The store of a filter or service.
#[derive(Debug)]
pub(crate) struct Store {
    entries: Mutex<Entries>,
}

#[derive(Debug)]
struct Entries {
    of: LruCache<Box<[u8]>, Entry>,
    bytes: usize,
    granted: usize,
    evicted: u64,
}

#[derive(Debug)]
struct Entry {
    value: Vec<u8>,
    /// Unix milliseconds.
    ends_ms: u64,
}

/// What a store holds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Serialize)]
pub struct Held {
    /// Entries, those included whose time is over and that nobody has asked for since.
    pub entries: usize,
    /// Bytes they are charged.
    pub bytes: usize,
    /// Bytes granted.
    pub granted: usize,
    /// Entries that went because it was full.
    pub evicted: u64,
}

impl Store {
    pub(crate) fn new(granted: usize) -> Self {
        Self { entries: Mutex::new(Entries { of: LruCache::unbounded(), bytes: 0, granted, evicted: 0 }) }
    }

    /// From now on it has so many bytes.
    pub(crate) fn grant(&self, bytes: usize) {
        let mut entries = self.entries.lock();
        entries.granted = bytes;
        entries.shrink();
    }

    pub(crate) fn held(&self) -> Held {
        let entries = self.entries.lock();
        let Entries { bytes, granted, evicted, .. } = *entries;
        Held { entries: entries.of.len(), bytes, granted, evicted }
    }

    pub(crate) fn get(&self, key: &[u8], now_ms: u64) -> Result<Option<Vec<u8>>, String> {
        check(key, &[])?;
        Ok(self.entries.lock().current(key, now_ms).cloned())
    }

    pub(crate) fn put(&self, key: &[u8], value: Vec<u8>, ttl_ms: u64, now_ms: u64) -> Result<(), String> {
        check(key, &value)?;
        self.entries.lock().put(key, value, end(ttl_ms, now_ms));
        Ok(())
    }

    pub(crate) fn remove(&self, key: &[u8]) -> Result<(), String> {
        check(key, &[])?;
        self.entries.lock().remove(key);
        Ok(())
    }

    pub(crate) fn swap(
        &self,
        key: &[u8],
        expected: Option<&[u8]>,
        value: Vec<u8>,
        ttl_ms: u64,
        now_ms: u64,
    ) -> Result<bool, String> {
        check(key, &value)?;
        let mut entries = self.entries.lock();
        let is_as_expected = entries.current(key, now_ms).map(Vec::as_slice) == expected;
        if is_as_expected {
            entries.put(key, value, end(ttl_ms, now_ms));
        }
        Ok(is_as_expected)
    }

    pub(crate) fn add(&self, key: &[u8], delta: i64, ttl_ms: u64, now_ms: u64) -> Result<i64, String> {
        check(key, &[])?;
        let mut entries = self.entries.lock();
        let counted = entries.current(key, now_ms).and_then(|value| value.as_slice().try_into().ok());
        let sum = counted.map_or(0, i64::from_le_bytes).wrapping_add(delta);
        match entries.of.get_mut(key).filter(|_| counted.is_some()) {
            Some(entry) => entry.value.copy_from_slice(&sum.to_le_bytes()),
            None => entries.put(key, sum.to_le_bytes().into(), end(ttl_ms, now_ms)),
        }
        Ok(sum)
    }
}

impl Entries {
    /// The value that is there and not over.
    fn current(&mut self, key: &[u8], now_ms: u64) -> Option<&Vec<u8>> {
        if self.of.peek(key).is_some_and(|entry| entry.ends_ms <= now_ms) {
            self.remove(key);
        }
        self.of.get(key).map(|entry| &entry.value)
    }

    fn put(&mut self, key: &[u8], value: Vec<u8>, ends_ms: u64) {
        self.remove(key);
        self.bytes += charge(key, &value);
        self.of.put(key.into(), Entry { value, ends_ms });
        self.shrink();
    }

    fn remove(&mut self, key: &[u8]) {
        if let Some(entry) = self.of.pop(key) {
            self.bytes -= charge(key, &entry.value);
        }
    }

    fn shrink(&mut self) {
        while self.bytes > self.granted
            && let Some((key, entry)) = self.of.pop_lru()
        {
            self.bytes -= charge(&key, &entry.value);
            self.evicted += 1;
        }
    }
}

fn charge(key: &[u8], value: &[u8]) -> usize {
    ENTRY_BYTES + key.len() + value.len()
}

fn end(ttl_ms: u64, now_ms: u64) -> u64 {
    if ttl_ms == 0 { u64::MAX } else { now_ms.saturating_add(ttl_ms) }
}

fn check(key: &[u8], value: &[u8]) -> Result<(), String> {
    match key.is_empty() || key.len() > KEY_BYTES_MAX || value.len() > STORED_BYTES_MAX {
        true => Err("a key or value of the store that is too long, or no key".into()),
        false => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_end_when_they_were_told_to() {
        let store = Store::new(1 << 20);
        store.put(b"a", b"1".into(), 10, 100).unwrap();
        store.put(b"b", b"2".into(), 0, 100).unwrap();
        assert_eq!(store.get(b"a", 109).unwrap().unwrap(), b"1");
        assert_eq!((store.get(b"a", 110).unwrap(), store.get(b"b", u64::MAX - 1).unwrap()), (None, Some(b"2".into())));
        assert_eq!(store.held().entries, 1);
    }

    #[test]
    fn a_full_store_forgets_what_was_used_least_recently_and_never_holds_more_than_was_granted() {
        let store = Store::new(3 * (ENTRY_BYTES + 2));
        for key in [b"a", b"b", b"c"] {
            store.put(key, b"x".into(), 0, 1).unwrap();
        }
        store.get(b"a", 1).unwrap();
        store.put(b"d", b"x".into(), 0, 1).unwrap();
        let there = |key: &[u8]| store.get(key, 1).unwrap().is_some();
        assert_eq!([there(b"a"), there(b"b"), there(b"c"), there(b"d")], [true, false, true, true]);
        store.put(b"e", vec![0; STORED_BYTES_MAX], 0, 1).unwrap();
        assert!(store.held().bytes <= store.held().granted && store.held().evicted >= 2);
        store.grant(0);
        assert_eq!((store.held().entries, store.held().bytes), (0, 0));
    }

    #[test]
    fn of_those_who_swap_at_once_one_succeeds_and_counters_keep_their_end() {
        let store = Store::new(1 << 20);
        assert!(store.swap(b"k", None, b"1".into(), 0, 1).unwrap());
        assert!(!store.swap(b"k", None, b"2".into(), 0, 1).unwrap());
        assert!(store.swap(b"k", Some(b"1"), b"2".into(), 0, 1).unwrap());
        assert_eq!([store.add(b"n", 2, 10, 100).unwrap(), store.add(b"n", 3, 10, 105).unwrap()], [2, 5]);
        assert_eq!(store.add(b"n", 1, 10, 110).unwrap(), 1, "it began anew");
        assert_eq!(store.add(b"k", 1, 0, 1).unwrap(), 1, "no counter before");
    }

    #[test]
    fn keys_and_values_are_bounded() {
        let store = Store::new(1 << 20);
        assert!(store.get(b"", 1).is_err() && store.get(&[0; KEY_BYTES_MAX + 1], 1).is_err());
        assert!(store.put(b"k", vec![0; STORED_BYTES_MAX + 1], 0, 1).is_err());
    }
}

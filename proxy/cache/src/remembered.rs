//! Keys remembered for a while, in a fixed table without locks: one machine word each. A key may be forgotten early, when
//! another takes its place; one that was not remembered is taken for one with a chance of about 2^-32.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// Seconds of Unix time fit in the lower half of a word until the year 2106.
const SECONDS: u64 = u32::MAX as u64;

/// Places by the hash of a key: in each the upper half of a word is from the hash, the lower says until when (Unix seconds).
#[derive(Debug)]
pub(crate) struct Remembered {
    places: Box<[AtomicU64]>,
}

impl Remembered {
    /// With room for `keys` of them, a power of two.
    pub(crate) fn new(keys: usize) -> Self {
        debug_assert!(keys.is_power_of_two());
        Self { places: (0..keys).map(|_| AtomicU64::new(0)).collect() }
    }

    pub(crate) fn remember(&self, hash: u128, until_ms: u64) {
        let until_s = (until_ms / 1000).min(SECONDS);
        self.place(hash).store(mark(hash) | until_s, Relaxed);
    }

    pub(crate) fn contains(&self, hash: u128, now_ms: u64) -> bool {
        let known = self.place(hash).load(Relaxed);
        known & !SECONDS == mark(hash) && now_ms / 1000 < known & SECONDS
    }

    pub(crate) fn forget(&self, hash: u128) {
        let place = self.place(hash);
        let known = place.load(Relaxed);
        if known & !SECONDS == mark(hash) {
            // Should another key have come in between, it stays.
            let _ = place.compare_exchange(known, 0, Relaxed, Relaxed);
        }
    }

    fn place(&self, hash: u128) -> &AtomicU64 {
        &self.places[hash as usize & (self.places.len() - 1)]
    }
}

/// Bits of the hash that do not choose the place.
fn mark(hash: u128) -> u64 {
    (hash >> 64) as u64 & !SECONDS
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_remembered_for_its_time_until_it_is_forgotten_or_another_takes_its_place() {
        let remembered = Remembered::new(16);
        let (key, neighbour, twin) = (7_u128 << 96 | 3, 7_u128 << 96 | 4, 8_u128 << 96 | 3);
        remembered.remember(key, 9000);
        assert!(remembered.contains(key, 8999) && !remembered.contains(key, 9000));
        assert!(!remembered.contains(neighbour, 0) && !remembered.contains(twin, 0));
        remembered.forget(twin);
        assert!(remembered.contains(key, 0));
        remembered.forget(key);
        assert!(!remembered.contains(key, 0));
        remembered.remember(key, 9000);
        remembered.remember(twin, 9000);
        assert!(!remembered.contains(key, 0) && remembered.contains(twin, 0));
    }
}

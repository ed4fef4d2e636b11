//! Objects whose length was not told and turned out too large: while such a response would be fresh, the next one passes by
//! from its first byte, at the speed of its client, instead of being held for as long as it fits.

use std::collections::VecDeque;

use parking_lot::Mutex;

use crate::limits::OUTGROWN_KEYS;

/// Hashes of keys, and until when (Unix milliseconds) each is remembered.
#[derive(Debug, Default)]
pub(crate) struct Outgrown {
    keys: Mutex<VecDeque<(u128, u64)>>,
}

impl Outgrown {
    pub(crate) fn remember(&self, hash: u128, until_ms: u64) {
        let mut keys = self.keys.lock();
        keys.retain(|(known, _)| *known != hash);
        if keys.len() == OUTGROWN_KEYS {
            keys.pop_front();
        }
        keys.push_back((hash, until_ms));
    }

    pub(crate) fn contains(&self, hash: u128, now_ms: u64) -> bool {
        self.keys.lock().iter().any(|(known, until_ms)| *known == hash && now_ms < *until_ms)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_remembered_for_its_time_and_until_many_newer_ones_came() {
        let outgrown = Outgrown::default();
        outgrown.remember(7, 100);
        assert!(outgrown.contains(7, 99) && !outgrown.contains(7, 100) && !outgrown.contains(8, 0));
        for other in 0..OUTGROWN_KEYS as u128 {
            outgrown.remember(1000 + other, 100);
        }
        assert!(!outgrown.contains(7, 99) && outgrown.contains(1000, 99));
    }
}

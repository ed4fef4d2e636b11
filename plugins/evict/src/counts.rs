//! Numbers by key in a table of bounded size. When it is full the numbers are halved and those that become 0 forgotten.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};

/// A map by keys that are numbers.
pub(crate) type ByKey<V> = HashMap<u64, V, BuildHasherDefault<Mixed>>;

/// Keys need not be hashes. Who chooses keys can make them collide;
/// the caller hashes with a secret where that matters.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Mixed(u64);

impl Hasher for Mixed {
    fn finish(&self) -> u64 {
        self.0
    }
    fn write(&mut self, bytes: &[u8]) {
        bytes.iter().for_each(|byte| self.0 = mix(self.0 ^ u64::from(*byte)));
    }
    fn write_u32(&mut self, number: u32) {
        self.0 = mix(u64::from(number));
    }
    fn write_u64(&mut self, number: u64) {
        self.0 = mix(number);
    }
}

/// Spreads a number over all bits (the finalizer of SplitMix64).
pub fn mix(key: u64) -> u64 {
    let mut mixed = key.wrapping_add(0x9e37_79b9_7f4a_7c15);
    mixed = (mixed ^ mixed >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ mixed >> 31
}

/// The table.
#[derive(Debug, Clone)]
pub struct Counts {
    known: ByKey<u32>,
    keys_max: usize,
}

impl Counts {
    /// For at most so many keys.
    pub fn new(keys_max: usize) -> Self {
        Self { known: ByKey::default(), keys_max: keys_max.max(1) }
    }

    /// The number of a key; 0 when there is none.
    pub fn get(&self, key: u64) -> u32 {
        self.known.get(&key).copied().unwrap_or(0)
    }

    /// Adds one.
    pub fn add(&mut self, key: u64) {
        if let Some(number) = self.known.get_mut(&key) {
            *number = number.saturating_add(1);
            return;
        }
        if self.known.len() >= self.keys_max {
            self.halve();
        }
        self.known.insert(key, 1);
    }

    /// Halves all numbers, and forgets those that become 0; all of them when that makes no room.
    pub fn halve(&mut self) {
        self.known.retain(|_, number| {
            *number /= 2;
            *number > 0
        });
        if self.known.len() >= self.keys_max {
            self.known.clear();
        }
    }
}

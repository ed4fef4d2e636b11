//! Uses by key in a table of bounded size. When it is full they are halved and those that become 0 forgotten.

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

/// The table: open addressing, eight bytes for each key. Two keys are taken for one with a chance of 2^-40.
#[derive(Debug, Clone)]
pub struct Counts {
    /// Mark above, number below; number 0: free. The low bits of the mark say where a key is looked for first.
    slots: Vec<u64>,
    used: usize,
    keys_max: usize,
}

/// Bits of a number.
const NUMBER_BITS: u32 = 24;
/// The largest number.
const NUMBER_MAX: u64 = (1 << NUMBER_BITS) - 1;
/// Slots at first; a power of two.
const SLOTS_MIN: usize = 1 << 10;

impl Counts {
    /// For at most so many keys, and not more than 2^24.
    pub fn new(keys_max: usize) -> Self {
        Self { slots: vec![0; SLOTS_MIN], used: 0, keys_max: keys_max.clamp(1, 1 << 24) }
    }

    /// The number of a key; 0 when there is none.
    pub fn get(&self, key: u64) -> u32 {
        (self.slots[self.place(mix(key) >> NUMBER_BITS)] & NUMBER_MAX) as u32
    }

    /// Adds one.
    pub fn add(&mut self, key: u64) {
        let mark = mix(key) >> NUMBER_BITS;
        let mut place = self.place(mark);
        if self.slots[place] == 0 {
            if self.used >= self.keys_max {
                self.halve();
            } else if (self.used + 1) * 4 > self.slots.len() * 3 {
                self.rebuild(self.slots.len() * 2, |number| number);
            }
            place = self.place(mark);
            self.used += 1;
        }
        let number = (self.slots[place] & NUMBER_MAX).saturating_add(1).min(NUMBER_MAX);
        self.slots[place] = mark << NUMBER_BITS | number;
    }

    /// Halves all numbers, and forgets those that become 0; all of them when that makes no room.
    pub fn halve(&mut self) {
        self.rebuild(self.slots.len(), |number| number / 2);
        if self.used >= self.keys_max {
            self.rebuild(self.slots.len(), |_| 0);
        }
    }

    /// Where the key with this mark is, or would be.
    fn place(&self, mark: u64) -> usize {
        let last = self.slots.len() - 1;
        let mut at = mark as usize & last;
        while self.slots[at] != 0 && self.slots[at] >> NUMBER_BITS != mark {
            at = (at + 1) & last;
        }
        at
    }

    fn rebuild(&mut self, slots: usize, number: impl Fn(u64) -> u64) {
        let old = std::mem::replace(&mut self.slots, vec![0; slots]);
        self.used = 0;
        for slot in old.into_iter().filter(|slot| *slot != 0) {
            let (mark, number) = (slot >> NUMBER_BITS, number(slot & NUMBER_MAX));
            if number > 0 {
                let place = self.place(mark);
                self.slots[place] = mark << NUMBER_BITS | number;
                self.used += 1;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_counted_and_fade_when_there_are_too_many() {
        let mut counts = Counts::new(5_000);
        for key in 0..4_000_u64 {
            (0..=key % 3).for_each(|_| counts.add(key));
        }
        assert!((0..4_000).all(|key| u64::from(counts.get(key)) == key % 3 + 1) && counts.get(9_999) == 0);
        (10_000..11_001_u64).for_each(|key| counts.add(key));
        assert_eq!([counts.get(3), counts.get(4), counts.get(5), counts.get(11_000)], [0, 1, 1, 1]);
        // However many come, no more are kept.
        (0..100_000_u64).for_each(|key| counts.add(key));
        assert!(counts.used <= 5_000 && counts.slots.len() <= 8_192);
    }
}

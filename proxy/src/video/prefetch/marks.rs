//! What was fetched ahead and not asked for yet: a mark for each, until somebody asks for the object, another takes its place, or it has
//! waited too long.
//!
//! A mark is one word of a table of fixed size, found by the object's hash, so that who asks takes no lock. Two objects may share a place;
//! of 2^40 tags one is wrong, which is a count wrong by one.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// Marks at once. More displace others, which count as wasted.
const MARKS: usize = 1 << 12;
/// So long an object may wait to be asked for, in s.
const WAITS_S: u64 = 600;
/// Low bits of a mark, with the time it was made at, in s; 0 is no mark.
const TIME_BITS: u32 = 24;
const TIME: u64 = (1 << TIME_BITS) - 1;

/// The table.
#[derive(Debug)]
pub(super) struct Marks(Box<[AtomicU64]>);

impl Default for Marks {
    fn default() -> Self {
        Self((0..MARKS).map(|_| AtomicU64::new(0)).collect())
    }
}

impl Marks {
    /// Marks an object. Whether that has displaced another.
    pub(super) fn set(&self, hash: u128, now_s: u64) -> bool {
        let before = self.place(hash).swap(mark(hash, now_s), Relaxed);
        before != 0 && before & !TIME != mark(hash, 0) & !TIME
    }

    /// Takes the mark of an object away. Whether it had one.
    pub(super) fn take(&self, hash: u128) -> bool {
        let place = self.place(hash);
        let found = place.load(Relaxed);
        // One of two who ask at once has it.
        found != 0
            && found & !TIME == mark(hash, 0) & !TIME
            && place.compare_exchange(found, 0, Relaxed, Relaxed).is_ok()
    }

    /// Takes those away that have waited too long. How many.
    pub(super) fn sweep(&self, now_s: u64) -> u64 {
        let is_old = |found: u64| found != 0 && (now_s.wrapping_add(1).wrapping_sub(found & TIME)) & TIME > WAITS_S;
        let swept = self.0.iter().filter(|place| {
            let found = place.load(Relaxed);
            is_old(found) && place.compare_exchange(found, 0, Relaxed, Relaxed).is_ok()
        });
        swept.count() as u64
    }

    fn place(&self, hash: u128) -> &AtomicU64 {
        &self.0[hash as usize % MARKS]
    }
}

/// Never 0: a second is added to the time, and of a time that would be 0 again another.
fn mark(hash: u128, now_s: u64) -> u64 {
    ((hash >> 64) as u64) << TIME_BITS | (now_s.wrapping_add(1) & TIME).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mark_is_taken_once_by_its_object_and_by_no_other() {
        let marks = Marks::default();
        let (one, twin) = (7 | 1 << 64, 7 | 2 << 64);
        assert!(!marks.set(one, 0) && !marks.set(one, 5), "the same again displaces nothing");
        assert!(!marks.take(twin) && marks.take(one) && !marks.take(one));
        assert!(!marks.set(one, 0) && marks.set(twin, 0), "it was in the way");
        assert!(!marks.take(one) && marks.take(twin));
        assert!(!marks.take(0), "no mark is no mark");
    }

    #[test]
    fn what_waits_too_long_is_given_up() {
        let marks = Marks::default();
        for now_s in [0, u64::from(u32::MAX), (1 << 24) - 2] {
            marks.set(1, now_s);
            assert_eq!(marks.sweep(now_s + WAITS_S), 0, "{now_s}");
            assert_eq!(marks.sweep(now_s + WAITS_S + 2), 1, "{now_s}");
            assert!(!marks.take(1));
        }
    }
}

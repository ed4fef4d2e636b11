//! Bytes in a time: a bucket that fills at a rate, holds a second of it, and may be overdrawn by what was begun before it was empty.
//!
//! One word, so that it takes no lock. It is handed the time, in ms that never go back.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// How long the bucket fills until it is full, in ms.
const FULL_MS: u64 = 1000;

/// The bucket: what it says is the time at which all that was spent is paid for, in µs.
#[derive(Debug)]
pub(super) struct Budget {
    bytes_per_s: u64,
    paid_us: AtomicU64,
}

impl Budget {
    /// Full, at `bits_per_s`.
    pub(super) fn new(bits_per_s: u64) -> Self {
        Self { bytes_per_s: (bits_per_s / 8).max(1), paid_us: AtomicU64::new(0) }
    }

    /// Whether anything is left at `now_ms`.
    pub(super) fn has_some(&self, now_ms: u64) -> bool {
        self.paid_us.load(Relaxed) < (now_ms + FULL_MS) * 1000
    }

    /// Takes so many bytes out, more than there are if need be.
    pub(super) fn spend(&self, bytes: u64, now_ms: u64) {
        let cost_us =
            u64::try_from(u128::from(bytes) * 1_000_000 / u128::from(self.bytes_per_s)).unwrap_or(u64::MAX / 4);
        let spent = |paid: u64| Some(paid.max(now_ms * 1000).saturating_add(cost_us));
        // The function never declines.
        let _ = self.paid_us.fetch_update(Relaxed, Relaxed, spent);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_of_it_may_be_spent_at_once_and_what_is_overdrawn_is_waited_for() {
        let budget = Budget::new(8_000_000);
        assert!(budget.has_some(0));
        budget.spend(999_000, 0);
        assert!(budget.has_some(0));
        // Begun with something left, it may be large.
        budget.spend(3_001_000, 0);
        assert!(!budget.has_some(0) && !budget.has_some(3000));
        assert!(budget.has_some(3001));
        budget.spend(1_000_000, 60_000);
        assert!(!budget.has_some(60_000) && budget.has_some(60_001), "no more than a second is saved up");
    }

    #[test]
    fn nothing_that_is_spent_makes_it_turn_round() {
        let budget = Budget::new(8);
        budget.spend(u64::MAX, 5);
        budget.spend(u64::MAX, 5);
        assert!(!budget.has_some(1 << 40));
    }
}

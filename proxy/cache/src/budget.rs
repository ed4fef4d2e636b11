//! The byte bound. Every object, published or in flight, holds a [`Reservation`]; dropping the last reader of an evicted
//! object gives its bytes back, so the figure is what memory really holds and not what the index believes.
//!
//! Invariant: `used <= bound + overdraft`, whatever the order of calls.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use crate::limits::OVERDRAFT_BYTES;

/// A shared bound on bytes.
#[derive(Debug)]
pub struct Budget {
    bound: AtomicU64,
    used: AtomicU64,
}

/// Bytes taken from a [`Budget`], given back on drop.
#[derive(Debug)]
pub struct Reservation {
    budget: Arc<Budget>,
    bytes: u64,
}

impl Budget {
    /// A budget of `bound` bytes.
    pub fn new(bound: u64) -> Arc<Self> {
        Arc::new(Self { bound: AtomicU64::new(bound), used: AtomicU64::new(0) })
    }

    /// Bytes that may be used.
    pub fn bound(&self) -> u64 {
        self.bound.load(Relaxed)
    }

    /// Bytes in use.
    pub fn used(&self) -> u64 {
        self.used.load(Relaxed)
    }

    /// Use in permille of the bound, saturating at `u16::MAX`.
    pub fn fill_permille(&self) -> u16 {
        u16::try_from(self.used().saturating_mul(1000) / self.bound().max(1)).unwrap_or(u16::MAX)
    }

    /// Changes the bound; what is above a smaller one is evicted by the next round.
    pub fn set_bound(&self, bound: u64) {
        self.bound.store(bound, Relaxed);
    }

    /// Takes `bytes`, or `None` when they do not fit.
    pub fn reserve(self: &Arc<Self>, bytes: u64) -> Option<Reservation> {
        self.take(bytes, self.bound()).then(|| Reservation { budget: self.clone(), bytes })
    }

    /// Of no bytes, for what takes none.
    pub(crate) fn nothing(self: &Arc<Self>) -> Reservation {
        Reservation { budget: self.clone(), bytes: 0 }
    }

    fn take(&self, bytes: u64, ceiling: u64) -> bool {
        let fits = |used: u64| used.checked_add(bytes).filter(|total| *total <= ceiling);
        self.used.fetch_update(Relaxed, Relaxed, fits).is_ok()
    }
}

impl Reservation {
    /// Bytes held.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Takes over what `more` holds of the same budget.
    pub(crate) fn absorb(&mut self, mut more: Self) {
        debug_assert!(Arc::ptr_eq(&self.budget, &more.budget));
        self.bytes += std::mem::take(&mut more.bytes);
    }

    /// Grows by `bytes`, into the overdraft when the bound is reached. `false` when even that is full.
    #[must_use]
    pub fn grow(&mut self, bytes: u64) -> bool {
        let ceiling = self.budget.bound().saturating_add(OVERDRAFT_BYTES);
        let taken = self.budget.take(bytes, ceiling);
        if taken {
            self.bytes += bytes;
        }
        taken
    }

    /// Gives back what is above `bytes`.
    pub fn shrink_to(&mut self, bytes: u64) {
        let surplus = self.bytes.saturating_sub(bytes);
        self.budget.used.fetch_sub(surplus, Relaxed);
        self.bytes -= surplus;
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        self.budget.used.fetch_sub(self.bytes, Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reservation_beyond_the_bound_is_refused_and_a_dropped_one_returns_its_bytes() {
        let budget = Budget::new(100);
        let first = budget.reserve(60).expect("fits");
        assert!(budget.reserve(41).is_none());
        drop(first);
        assert_eq!(budget.used(), 0);
        assert!(budget.reserve(100).is_some());
    }

    #[test]
    fn growth_may_use_the_overdraft_but_not_more() {
        let budget = Budget::new(100);
        let mut held = budget.reserve(100).expect("fits");
        assert!(held.grow(OVERDRAFT_BYTES));
        assert!(!held.grow(1));
        held.shrink_to(40);
        assert_eq!(budget.used(), 40);
    }
}

//! Linear memory of all guests of the process together: however many plugins, threads and requests there are, it has one bound.
//!
//! Each instance has a [`Share`], which grows with it and is given back when it ends. Invariant: the shares together never exceed the
//! bound that held when they grew.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};

static USED: AtomicUsize = AtomicUsize::new(0);
static BOUND: AtomicUsize = AtomicUsize::new(usize::MAX);
static REFUSED: AtomicU64 = AtomicU64::new(0);

/// From now on all guests together may have so many bytes. What they have already they keep.
pub fn bound(bytes: usize) {
    BOUND.store(bytes, Relaxed);
}

/// Bytes that all guests have now.
pub fn used() -> usize {
    USED.load(Relaxed)
}

/// How often one wanted more than there was.
pub fn refused() -> u64 {
    REFUSED.load(Relaxed)
}

/// What one instance has of it.
#[derive(Debug, Default)]
pub(crate) struct Share(usize);

impl Share {
    /// Takes more; whether there was enough.
    pub(crate) fn grow(&mut self, bytes: usize) -> bool {
        let bound = BOUND.load(Relaxed);
        let more = |used: usize| used.checked_add(bytes).filter(|sum| *sum <= bound);
        let fits = USED.fetch_update(Relaxed, Relaxed, more).is_ok();
        if fits {
            self.0 += bytes;
        } else {
            REFUSED.fetch_add(1, Relaxed);
        }
        fits
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        USED.fetch_sub(self.0, Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_shares_together_keep_the_bound_and_what_ends_gives_its_own_back() {
        let before = used();
        bound(before + 100);
        let (mut one, mut other) = (Share::default(), Share::default());
        assert!(one.grow(60) && !other.grow(60) && other.grow(40));
        assert_eq!((used() - before, refused() > 0), (100, true));
        drop(one);
        assert!(other.grow(60) && !other.grow(usize::MAX));
        drop(other);
        assert_eq!(used(), before);
        bound(usize::MAX);
    }
}

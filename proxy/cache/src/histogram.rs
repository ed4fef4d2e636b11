//! Histograms that threads can add to without meeting: relaxed counters by bucket, one set of them per thread, summed when
//! read. Exposition is the reader's; here nothing is divided or named.

use std::marker::PhantomData;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};

/// Sets of counters; threads beyond share.
const STRIPES: usize = 16;
/// Bounds a scale may have; one more bucket takes what is above the last.
pub const BOUNDS_MAX: usize = 18;

/// What is measured, and where its buckets end.
pub trait Scale {
    /// Upper bounds (inclusive) in the unit that is recorded, growing, at most [`BOUNDS_MAX`].
    const BOUNDS: &'static [u64];
    /// How many of that unit make one of the unit told.
    const PER_UNIT: f64;
}

/// Recorded in microseconds, told in seconds: 100 µs to 60 s.
#[derive(Debug)]
pub struct Seconds;

/// Recorded and told in bytes: 256 B to 1 GiB.
#[derive(Debug)]
pub struct Bytes;

impl Scale for Seconds {
    const BOUNDS: &'static [u64] = &[
        100, 250, 500, 1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 100_000, 250_000, 500_000, 1_000_000, 2_500_000,
        5_000_000, 10_000_000, 30_000_000, 60_000_000,
    ];
    const PER_UNIT: f64 = 1e6;
}

impl Scale for Bytes {
    const BOUNDS: &'static [u64] =
        &[1 << 8, 1 << 10, 1 << 12, 1 << 14, 1 << 16, 1 << 18, 1 << 20, 1 << 22, 1 << 24, 1 << 26, 1 << 28, 1 << 30];
    const PER_UNIT: f64 = 1.0;
}

const _: () = assert!(Seconds::BOUNDS.len() <= BOUNDS_MAX && Bytes::BOUNDS.len() <= BOUNDS_MAX);

/// A histogram.
#[derive(Debug)]
pub struct Histogram<S> {
    stripes: [Stripe; STRIPES],
    scale: PhantomData<S>,
}

#[derive(Debug, Default)]
#[repr(align(64))]
struct Stripe {
    buckets: [AtomicU64; BOUNDS_MAX + 1],
    sum: AtomicU64,
}

/// What a histogram holds, in the unit told.
#[derive(Debug, Clone, PartialEq)]
pub struct Snapshot {
    /// Upper bound and how many were at most that, growing.
    pub buckets: Vec<(f64, u64)>,
    /// All of them together.
    pub sum: f64,
    /// How many.
    pub count: u64,
}

impl<S> Default for Histogram<S> {
    fn default() -> Self {
        Self { stripes: Default::default(), scale: PhantomData }
    }
}

impl<S: Scale> Histogram<S> {
    /// Adds a value in the unit recorded: two relaxed additions to lines of this thread.
    pub fn record(&self, value: u64) {
        let stripe = &self.stripes[stripe()];
        let bucket = S::BOUNDS.partition_point(|bound| *bound < value);
        stripe.buckets[bucket].fetch_add(1, Relaxed);
        stripe.sum.fetch_add(value, Relaxed);
    }

    /// What it holds.
    pub fn snapshot(&self) -> Snapshot {
        let in_bucket = |at: usize| self.stripes.iter().map(|stripe| stripe.buckets[at].load(Relaxed)).sum::<u64>();
        let mut count = 0;
        let mut buckets = Vec::with_capacity(S::BOUNDS.len());
        for (at, bound) in S::BOUNDS.iter().enumerate() {
            count += in_bucket(at);
            buckets.push((*bound as f64 / S::PER_UNIT, count));
        }
        count += in_bucket(S::BOUNDS.len());
        let sum: u64 = self.stripes.iter().map(|stripe| stripe.sum.load(Relaxed)).sum();
        Snapshot { buckets, sum: sum as f64 / S::PER_UNIT, count }
    }
}

impl Histogram<Seconds> {
    /// Adds a time.
    pub fn record_time(&self, time: std::time::Duration) {
        self.record(u64::try_from(time.as_micros()).unwrap_or(u64::MAX));
    }
}

fn stripe() -> usize {
    use std::cell::Cell;
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    thread_local!(static MINE: Cell<usize> = Cell::new(NEXT.fetch_add(1, Relaxed) % STRIPES));
    MINE.with(Cell::get)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_fall_into_the_first_bucket_that_holds_them_and_the_rest_above_all() {
        let histogram = Histogram::<Bytes>::default();
        for value in [0, 256, 257, 1 << 30, (1 << 30) + 1] {
            histogram.record(value);
        }
        let Snapshot { buckets, sum, count } = histogram.snapshot();
        assert_eq!((buckets[0], buckets[1], buckets[11]), ((256.0, 2), (1024.0, 3), (1_073_741_824.0, 4)));
        assert_eq!((count, sum), (5, 513.0 + 2_147_483_649.0));
    }

    #[test]
    fn times_of_many_threads_are_summed_in_seconds() {
        let histogram = Histogram::<Seconds>::default();
        std::thread::scope(|scope| {
            for _ in 0..20 {
                scope.spawn(|| histogram.record_time(std::time::Duration::from_micros(300)));
            }
        });
        let Snapshot { buckets, sum, count } = histogram.snapshot();
        assert_eq!((count, buckets[1].1, buckets[2]), (20, 0, (0.0005, 20)));
        assert!((sum - 0.006).abs() < 1e-9);
    }
}

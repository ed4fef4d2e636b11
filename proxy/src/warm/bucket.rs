//! The token bucket that jobs read by: what it holds at most is what may be read at once.
//!
//! Bytes are paid for after they were read, so that a level below nothing is what is owed; who owes waits before the next read, and
//! back-pressure does the rest. The rate comes with each call, since a reload may change it. Invariant: whatever the rate was, no more than
//! it times the time, [`BURST_BYTES`] and one read are taken.

use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::Instant;

/// Tokens of a bucket nobody has read from for a while.
pub(super) const BURST_BYTES: u64 = 256 << 10;
/// The longest that is waited before it is reckoned again.
const WAIT_MAX_S: f64 = 3600.0;

/// A bucket, full.
#[derive(Debug, Default)]
pub(super) struct Bucket(Mutex<Level>);

#[derive(Debug, Default)]
struct Level {
    /// Bytes that are missing to a full one; above [`BURST_BYTES`] it owes.
    taken: f64,
    /// Until when it was filled.
    at: Option<Instant>,
}

impl Bucket {
    /// Pays for bytes that were read, at so many bits a second.
    pub(super) fn take(&self, bytes: u64, rate: u64) {
        let mut level = self.0.lock();
        level.fill(rate);
        level.taken += bytes as f64;
    }

    /// How long until nothing is owed, at most an hour.
    pub(super) fn owed(&self, rate: u64) -> Duration {
        let mut level = self.0.lock();
        level.fill(rate);
        let owed = (level.taken - BURST_BYTES as f64).max(0.0);
        // Rounded up: a clock of milliseconds would come to a fraction of a byte for ever.
        let seconds = (owed * 8.0 / rate.max(1) as f64).min(WAIT_MAX_S);
        Duration::from_millis((seconds * 1000.0).ceil() as u64)
    }
}

impl Level {
    fn fill(&mut self, rate: u64) {
        let now = Instant::now();
        let since = self.at.replace(now).map_or(Duration::ZERO, |at| now - at);
        self.taken = (self.taken - since.as_secs_f64() * rate as f64 / 8.0).max(0.0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 64 KiB a second.
    const RATE: u64 = 8 * (64 << 10);

    #[tokio::test(start_paused = true)]
    async fn a_bucket_gives_its_burst_at_once_and_then_its_rate() {
        let bucket = Bucket::default();
        bucket.take(BURST_BYTES, RATE);
        assert_eq!(bucket.owed(RATE), Duration::ZERO);
        let (begun, mut read) = (Instant::now(), 0);
        while read < 100 << 20 {
            tokio::time::sleep(bucket.owed(RATE)).await;
            bucket.take(100_000, RATE);
            read += 100_000;
            let most = begun.elapsed().as_secs_f64() * RATE as f64 / 8.0 + 100_000.0 + 1.0;
            assert!(read as f64 <= most, "{read} of {most}");
        }
        let least = begun.elapsed().as_secs_f64() * RATE as f64 / 8.0;
        assert!(read as f64 >= least * 0.99, "{read} of {least}");
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_not_read_is_saved_up_to_the_burst_and_no_further() {
        let bucket = Bucket::default();
        bucket.take(2 * BURST_BYTES, RATE);
        tokio::time::sleep(Duration::from_secs(86_400)).await;
        bucket.take(BURST_BYTES + (64 << 10), RATE);
        assert_eq!(bucket.owed(RATE), Duration::from_secs(1));
        assert_eq!(bucket.owed(2 * RATE), Duration::from_millis(500), "by the rate of now");
        bucket.take(1 << 40, 1);
        assert_eq!(bucket.owed(1), Duration::from_secs(3600), "it is reckoned again then");
    }
}

//! How fast a swarm may go, and how soon it may come again. Pure: times come with the calls.

use std::time::Duration;

use super::limits::{AHEAD, BACKOFF_MAX, BACKOFF_MIN, HEALTHY};

/// What a guest may compute in the long run: a share of a core. It may be ahead of that by [`AHEAD`] of its share, and then waits.
#[derive(Debug)]
pub struct Allowance {
    /// Of a second, each second.
    share: f64,
    /// Seconds it may still compute; negative: it has to wait.
    left: f64,
    /// When that was, since the beginning.
    at: Duration,
}

impl Allowance {
    /// Of so many percent of a core.
    pub fn of(percent: u32) -> Self {
        let share = f64::from(percent.max(1)) / 100.0;
        Self { share, left: share * AHEAD.as_secs_f64(), at: Duration::ZERO }
    }

    /// Notes that it has computed for so long, until `now` (since the beginning). How long it has to wait.
    pub fn charge(&mut self, took: Duration, now: Duration) -> Duration {
        let passed = now.saturating_sub(self.at).as_secs_f64();
        self.at = self.at.max(now);
        let full = self.share * AHEAD.as_secs_f64();
        self.left = (self.left + passed * self.share).min(full) - took.as_secs_f64();
        match self.left < 0.0 {
            true => Duration::from_secs_f64((-self.left / self.share).min(BACKOFF_MAX.as_secs_f64())),
            false => Duration::ZERO,
        }
    }
}

/// How long a swarm that failed waits for its next instance.
#[derive(Debug, Default)]
pub struct Backoff {
    times: u32,
}

impl Backoff {
    /// Notes that an instance failed that had lived for so long; how long to wait.
    pub fn failed_after(&mut self, lived: Duration) -> Duration {
        if lived >= HEALTHY {
            self.times = 0;
        }
        let wait = BACKOFF_MIN.saturating_mul(1 << self.times.min(16)).min(BACKOFF_MAX);
        self.times = self.times.saturating_add(1);
        wait
    }

    /// Something else is tried: it begins anew.
    pub fn forget(&mut self) {
        self.times = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: fn(u64) -> Duration = Duration::from_millis;

    #[test]
    fn in_the_long_run_it_computes_for_its_share_and_no_more() {
        let mut allowance = Allowance::of(25);
        // 62.5 ms ahead, then each millisecond costs four.
        assert_eq!(allowance.charge(MS(62), MS(0)), MS(0));
        assert!(allowance.charge(MS(1), MS(0)) >= MS(1));
        let (mut now, mut computed) = (MS(0), MS(0));
        while now < Duration::from_secs(100) {
            let wait = allowance.charge(MS(2), now + MS(2));
            computed += MS(2);
            now += MS(2) + wait;
        }
        let share = computed.as_secs_f64() / now.as_secs_f64();
        assert!((0.24..0.26).contains(&share), "{share}");
        // Who rests has no more than the start ahead.
        assert_eq!(allowance.charge(MS(62), Duration::from_secs(10_000)), MS(0));
        assert!(allowance.charge(MS(2), Duration::from_secs(10_000)) > MS(0));
    }

    #[test]
    fn one_that_fails_again_and_again_waits_ever_longer_up_to_five_minutes() {
        let mut backoff = Backoff::default();
        let waits: Vec<u64> = (0..12).map(|_| backoff.failed_after(MS(5)).as_secs()).collect();
        assert_eq!(waits, [1, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300, 300]);
        assert_eq!(backoff.failed_after(HEALTHY).as_secs(), 1);
        assert_eq!(backoff.failed_after(MS(5)).as_secs(), 2);
        backoff.forget();
        assert_eq!(backoff.failed_after(MS(5)).as_secs(), 1);
    }
}

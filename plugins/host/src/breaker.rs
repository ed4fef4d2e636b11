//! The breaker: three faults in ten seconds put a plugin in quarantine, each time for twice as long.
//!
//! Pure but for its own state; the clock comes with the call.

use crate::limits::{FAULT_WINDOW_MS, FAULTS_MAX, QUARANTINE_MAX_MS, QUARANTINE_MIN_MS};

/// Faults of late and how often they led to quarantine.
#[derive(Debug, Default)]
pub(crate) struct Breaker {
    faults: [u64; FAULTS_MAX],
    at: usize,
    quarantines: u32,
}

impl Breaker {
    /// Notes a fault; the end of the quarantine when this was one too many.
    pub(crate) fn fault(&mut self, now_ms: u64) -> Option<u64> {
        self.faults[self.at] = now_ms.max(1);
        self.at = (self.at + 1) % FAULTS_MAX;
        let oldest = self.faults[self.at];
        if oldest == 0 || now_ms.saturating_sub(oldest) > FAULT_WINDOW_MS {
            return None;
        }
        self.faults = [0; FAULTS_MAX];
        let length = QUARANTINE_MIN_MS.saturating_mul(1 << self.quarantines.min(20)).min(QUARANTINE_MAX_MS);
        self.quarantines += 1;
        Some(now_ms + length)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn three_faults_within_ten_seconds_are_one_too_many_and_the_next_time_is_longer() {
        let mut breaker = Breaker::default();
        assert_eq!([breaker.fault(0), breaker.fault(5_000), breaker.fault(10_000)], [None, None, Some(11_000)]);
        assert_eq!([breaker.fault(20_000), breaker.fault(20_000), breaker.fault(20_000)], [None, None, Some(22_000)]);
    }

    #[test]
    fn faults_far_apart_are_forgiven_and_no_quarantine_is_longer_than_five_minutes() {
        let mut breaker = Breaker::default();
        assert!((0..50).all(|step| breaker.fault(step * 6_000).is_none()));
        let mut last = None;
        for _ in 0..60 {
            last = breaker.fault(1_000_000).or(last);
        }
        assert_eq!(last, Some(1_000_000 + QUARANTINE_MAX_MS));
    }
}

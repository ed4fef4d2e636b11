//! The breaker: three faults in ten seconds put a plugin in quarantine, each time for twice as long, until it was healthy
//! for a while.
//!
//! Pure but for its own state; the clock comes with the call.

use crate::limits::{FAULT_WINDOW_MS, FAULTS_MAX, HEALTHY_SPELL_MS, QUARANTINE_MAX_MS, QUARANTINE_MIN_MS};

/// Faults of late and how often they led to quarantine.
#[derive(Debug, Default)]
pub(crate) struct Breaker {
    faults: [u64; FAULTS_MAX],
    at: usize,
    /// Quarantines without a healthy spell between two of them.
    quarantines: u32,
    /// The end of the last one; 0 before the first.
    until_ms: u64,
}

impl Breaker {
    /// Notes a fault; the end of the quarantine when this was one too many. Faults in quarantine are of calls that had begun
    /// before it, and do not count.
    pub(crate) fn fault(&mut self, now_ms: u64) -> Option<u64> {
        if now_ms < self.until_ms {
            return None;
        }
        self.faults[self.at] = now_ms.max(1);
        self.at = (self.at + 1) % FAULTS_MAX;
        let oldest = self.faults[self.at];
        if oldest == 0 || now_ms.saturating_sub(oldest) > FAULT_WINDOW_MS {
            return None;
        }
        if now_ms - self.until_ms >= HEALTHY_SPELL_MS {
            self.quarantines = 0;
        }
        let length = QUARANTINE_MIN_MS.saturating_mul(1 << self.quarantines.min(20)).min(QUARANTINE_MAX_MS);
        self.faults = [0; FAULTS_MAX];
        self.quarantines += 1;
        self.until_ms = now_ms.saturating_add(length);
        Some(self.until_ms)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Three faults at once and the length of the quarantine they lead to.
    fn quarantine(breaker: &mut Breaker, now_ms: u64) -> u64 {
        assert_eq!([breaker.fault(now_ms), breaker.fault(now_ms)], [None, None]);
        breaker.fault(now_ms).unwrap() - now_ms
    }

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
        let mut now_ms = 1_000_000;
        let mut longest = 0;
        for _ in 0..40 {
            longest = quarantine(&mut breaker, now_ms);
            now_ms += longest;
        }
        assert_eq!(longest, QUARANTINE_MAX_MS);
    }

    #[test]
    fn after_a_healthy_spell_the_next_quarantine_is_short_again() {
        let mut breaker = Breaker::default();
        let mut now_ms = 1_000_000;
        for length in [1_000, 2_000, 4_000] {
            assert_eq!(quarantine(&mut breaker, now_ms), length);
            now_ms += length;
        }
        now_ms += HEALTHY_SPELL_MS - 1;
        assert_eq!(quarantine(&mut breaker, now_ms), 8_000, "not long enough");
        now_ms += 8_000 + HEALTHY_SPELL_MS;
        assert_eq!(quarantine(&mut breaker, now_ms), 1_000);
        assert_eq!(quarantine(&mut breaker, now_ms + 1_000), 2_000, "and is doubled again");
    }

    #[test]
    fn faults_of_calls_that_were_under_way_do_not_make_a_quarantine_longer() {
        let mut breaker = Breaker::default();
        assert_eq!(quarantine(&mut breaker, 1_000_000), 1_000);
        assert!((0..9).all(|_| breaker.fault(1_000_000).is_none()));
        assert_eq!(quarantine(&mut breaker, 1_001_000), 2_000);
    }
}

//! The breaker: three faults in ten seconds put a plugin in quarantine, each time for twice as long, until it was healthy
//! for a while. And the gate that is shut meanwhile.
//!
//! Pure but for its own state; the clock comes with the call.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use crate::limits::{FAULT_WINDOW_MS, FAULTS_MAX, HEALTHY_SPELL_MS, PROBE_MS, QUARANTINE_MAX_MS, QUARANTINE_MIN_MS};

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

/// Whether a plugin is called. After a quarantine as many calls come one at a time, with [`PROBE_MS`] from one to the next, as there are faults to a
/// quarantine: all at once could each compute up to its deadline before the first has failed.
#[derive(Debug, Default)]
pub(crate) struct Gate {
    /// 0: open. Else until when it is shut, and in the lowest bits how many calls come one at a time then.
    state: AtomicU64,
}

/// Bits of a [`Gate`]'s state that count calls.
const CALLS_BITS: u32 = 2;
const CALLS: u64 = (1 << CALLS_BITS) - 1;
const _: () = assert!(FAULTS_MAX as u64 <= CALLS);

impl Gate {
    /// Shuts it until then.
    pub(crate) fn shut(&self, until_ms: u64) {
        self.state.store(until_ms << CALLS_BITS | FAULTS_MAX as u64, Relaxed);
    }

    /// Opens it to everybody.
    pub(crate) fn open(&self) {
        self.state.store(0, Relaxed);
    }

    /// Until when it is shut, if it is.
    pub(crate) fn until_ms(&self, now_ms: impl FnOnce() -> u64) -> Option<u64> {
        let until_ms = self.state.load(Relaxed) >> CALLS_BITS;
        (until_ms > 0 && now_ms() < until_ms).then_some(until_ms)
    }

    /// Whether it is shut, for calls that do not go on side by side: when it no longer is, it is open to all of them.
    pub(crate) fn is_shut(&self, now_ms: impl FnOnce() -> u64) -> bool {
        let state = self.state.load(Relaxed);
        if state == 0 {
            return false;
        }
        let is_shut = now_ms() < state >> CALLS_BITS;
        if !is_shut {
            // Unless it has just been shut again.
            let _ = self.state.compare_exchange(state, 0, Relaxed, Relaxed);
        }
        is_shut
    }

    /// Whether calls under way are to end too: it is shut, and nobody has come alone since.
    pub(crate) fn ends(&self, now_ms: impl FnOnce() -> u64) -> bool {
        let state = self.state.load(Relaxed);
        state & CALLS == FAULTS_MAX as u64 && now_ms() < state >> CALLS_BITS
    }

    /// Whether one more may be called now. Who is told so has to.
    pub(crate) fn admits(&self, now_ms: impl FnOnce() -> u64) -> bool {
        let state = self.state.load(Relaxed);
        if state == 0 {
            return true;
        }
        let (now_ms, until_ms, calls) = (now_ms(), state >> CALLS_BITS, state & CALLS);
        let next = if calls > 0 { (now_ms + PROBE_MS) << CALLS_BITS | (calls - 1) } else { 0 };
        // Another may have been faster, or it has just been shut again.
        now_ms >= until_ms && self.state.compare_exchange(state, next, Relaxed, Relaxed).is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn after_a_quarantine_three_calls_come_one_at_a_time_and_then_all() {
        let gate = Gate::default();
        let admitted = |now_ms| (0..64).filter(|_| gate.admits(|| now_ms)).count();
        assert_eq!((admitted(5), gate.until_ms(|| 5)), (64, None));
        gate.shut(1_000);
        assert_eq!((admitted(999), gate.until_ms(|| 999)), (0, Some(1_000)));
        assert_eq!([1_000, 1_099, 1_100, 1_199].map(admitted), [1, 0, 1, 0]);
        assert!(gate.until_ms(|| 1_199).is_some() && gate.until_ms(|| 1_200).is_none());
        assert_eq!([1_200, 1_299, 1_300, 1_300].map(admitted), [1, 0, 64, 64]);
        gate.shut(5_000);
        assert!(gate.ends(|| 4_999) && !gate.ends(|| 5_000));
        assert_eq!(admitted(5_000), 1);
        assert!(!gate.ends(|| 5_000), "nor the one that came alone");
        gate.shut(9_000);
        assert_eq!([5_500, 9_000].map(admitted), [0, 1], "one that fails shuts it again");
        gate.open();
        assert_eq!(admitted(9_001), 64);
        gate.shut(12_000);
        assert!(gate.is_shut(|| 11_999) && !gate.is_shut(|| 12_000));
        assert_eq!(admitted(0), 64, "opened to all");
    }

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

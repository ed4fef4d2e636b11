//! The time that a guest may compute, in ticks of the clock that interrupts it.
//!
//! Whether a tick fell into time that was waited cannot be seen: the clock goes on, and the first thing a guest meets when it runs again is
//! one tick, however long it waited. Invariant: what was waited is given back, and never more than the whole.

use std::time::Duration;

use crate::filter::limits::{INIT_MS, TICK_MS};

const TICK: Duration = Duration::from_millis(TICK_MS);

#[derive(Debug)]
pub(crate) struct Time {
    left: u64,
    whole: u64,
    /// Waited, and not given back yet.
    waited: Duration,
}

impl Time {
    /// What `init` has; then so many milliseconds each time.
    pub(crate) fn of(deadline_ms: u64) -> Self {
        // Two more: the first tick may come at once, and one is due after each time that was waited.
        Self { left: INIT_MS / TICK_MS, whole: deadline_ms.div_ceil(TICK_MS) + 2, waited: Duration::ZERO }
    }

    /// From now on it has all of it.
    pub(crate) fn begin_anew(&mut self) {
        self.left = self.whole;
    }

    /// From now on it has what `init` has.
    pub(super) fn begin_long(&mut self) {
        self.left = INIT_MS / TICK_MS;
    }

    /// Notes a tick; whether it has any time left.
    pub(crate) fn tick(&mut self) -> bool {
        self.left = self.left.saturating_sub(1);
        self.left > 0
    }

    /// Notes that it waited so long for what gives it no time anew: at most one tick of that is held against it, and of several short waits
    /// as many as there were ticks.
    pub(crate) fn waited(&mut self, time: Duration) {
        self.waited += time.min(TICK);
        if self.waited >= TICK {
            self.waited -= TICK;
            self.left = (self.left + 1).min(self.whole);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waiting_costs_nothing_and_computing_beside_it_costs_what_it_takes() {
        let mut time = Time::of(10);
        time.begin_anew();
        // A long wait brings one tick, and four short ones another.
        for wait in [1000, 2, 3].map(Duration::from_millis) {
            assert!(time.tick());
            time.waited(wait);
        }
        assert_eq!((time.left, time.whole), (7, 7));
        for _ in 0..100 {
            (0..4).for_each(|_| time.waited(TICK / 4));
            assert!(time.tick());
        }
        assert_eq!(time.left, 6, "the last tick is given back by the next wait");
        // One that computes for two ticks between short waits has soon had its time.
        let rounds = std::iter::repeat_with(|| {
            time.waited(TICK / 4);
            time.tick() && time.tick()
        });
        assert!(rounds.take_while(|has_time| *has_time).count() < 5);
    }
}

//! The player's clock and buffer: what has been fetched, what has been watched, and when the picture stood still.
//!
//! The clock is the player's, not the machine's: a download advances it by the time it took or by the time the link would
//! have needed, whichever is longer, and a wait advances it by the wait; whoever drives it decides how much of that is
//! really waited. No I/O here. Invariant: the buffer is never negative, and all time is either watched, start-up or stall.

use std::time::Duration;

use serde::Serialize;

/// A time in which the picture stood still.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Stall {
    /// When it began, in ms of the player's clock.
    pub at_ms: u64,
    /// How long it lasted, in ms.
    pub ms: u64,
}

/// Clock and buffer of one player.
#[derive(Debug, Default)]
pub(super) struct Clock {
    now: Duration,
    buffer: Duration,
    started_at: Option<Duration>,
    stalls: Vec<Stall>,
    stalled: bool,
}

impl Clock {
    /// Time passes: while playing the buffer drains, and when it is empty the picture stands still.
    pub(super) fn pass(&mut self, time: Duration) {
        let begun = self.now;
        self.now += time;
        if self.started_at.is_none() {
            return;
        }
        let missing = time.saturating_sub(self.buffer);
        let watched_until = begun + (time - missing);
        self.buffer = self.buffer.saturating_sub(time);
        if missing.is_zero() {
            return;
        }
        match self.stalls.last_mut().filter(|_| self.stalled) {
            Some(stall) => stall.ms += millis(missing),
            None => self.stalls.push(Stall { at_ms: millis(watched_until), ms: millis(missing) }),
        }
        self.stalled = true;
    }

    /// A segment has arrived; playing starts when `enough` is buffered.
    pub(super) fn arrived(&mut self, duration: Duration, enough: Duration) {
        self.buffer += duration;
        self.stalled = false;
        if self.started_at.is_none() && self.buffer >= enough {
            self.started_at = Some(self.now);
        }
    }

    /// How long to wait until `more` fits below `most`.
    pub(super) fn until_room(&self, more: Duration, most: Duration) -> Duration {
        match self.started_at {
            Some(_) => (self.buffer + more).saturating_sub(most.max(more)),
            None => Duration::ZERO,
        }
    }

    /// Time since the player's first question.
    pub(super) fn now(&self) -> Duration {
        self.now
    }

    /// Media fetched and not watched.
    pub(super) fn buffer(&self) -> Duration {
        self.buffer
    }

    /// When playing started, from the first question.
    pub(super) fn started_at(&self) -> Option<Duration> {
        self.started_at
    }

    pub(super) fn stalls(self) -> Vec<Stall> {
        self.stalls
    }
}

/// Whole milliseconds.
pub(super) fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn playing_starts_when_enough_is_buffered_and_not_before() {
        let mut clock = Clock::default();
        clock.pass(SECOND);
        clock.arrived(SECOND, 2 * SECOND);
        assert_eq!(clock.started_at(), None);
        clock.pass(SECOND);
        clock.arrived(SECOND, 2 * SECOND);
        assert_eq!(clock.started_at(), Some(2 * SECOND));
        assert_eq!(clock.buffer(), 2 * SECOND);
    }

    #[test]
    fn an_empty_buffer_is_one_stall_until_the_next_segment() {
        let mut clock = Clock::default();
        clock.arrived(2 * SECOND, SECOND);
        clock.pass(3 * SECOND);
        clock.pass(SECOND);
        clock.arrived(2 * SECOND, SECOND);
        clock.pass(SECOND);
        assert_eq!(clock.buffer(), SECOND);
        assert_eq!(clock.stalls(), [Stall { at_ms: 2000, ms: 2000 }]);
    }

    #[test]
    fn a_full_buffer_asks_for_just_the_wait_that_makes_room() {
        let mut clock = Clock::default();
        clock.arrived(10 * SECOND, SECOND);
        assert_eq!(clock.until_room(2 * SECOND, 10 * SECOND), 2 * SECOND);
        assert_eq!(clock.until_room(2 * SECOND, 12 * SECOND), Duration::ZERO);
        clock.pass(2 * SECOND);
        assert_eq!(clock.until_room(2 * SECOND, 10 * SECOND), Duration::ZERO);
    }
}

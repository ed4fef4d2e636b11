//! Whether an origin is asked: what requests and probes met, as a circuit breaker with slow start.
//!
//! Closed: it is asked. Open (*left out*, *ejected*): it is not, for a time that doubles with every failure more. Half-open
//! (*on trial*): that time is over, and one request at a time goes to it; its outcome closes or opens the breaker. It opens
//! after [`FAILURES_MAX`] failures in a row or when [`FAILED_PERCENT`] of at least [`WINDOW_REQUESTS_MIN`] requests of a
//! window failed. Probes keep an origin out on their own account. What share of a site's origins may be out, and who is asked
//! when all are, is [`super::Origins`]'. Time is handed in, in milliseconds of [`crate::clock`].

use std::time::Duration;

use parking_lot::Mutex;

use crate::config::origin::OriginHealth;

/// Failures in a row after which an origin is left out for a while.
pub const FAILURES_MAX: u32 = 3;
/// Failures in percent of the requests of a window after which it is, too.
pub const FAILED_PERCENT: u32 = 50;
/// Requests that a window needs to say anything.
pub const WINDOW_REQUESTS_MIN: u32 = 20;
/// The window.
pub const WINDOW: Duration = Duration::from_secs(10);
/// How long it is left out first; doubled with every further failure.
pub const EJECTION_MIN: Duration = Duration::from_secs(5);
/// How long it is left out at most.
pub const EJECTION_MAX: Duration = Duration::from_secs(60);
/// How long a trial goes on that nobody tells the outcome of; then the next request is one.
pub const TRIAL_MAX: Duration = Duration::from_secs(20);
/// The least share of its weight that slow start gives, in percent.
pub const SLOW_START_PERCENT_MIN: u64 = 10;

/// The health of one origin.
#[derive(Debug, Default)]
pub struct Health(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    breaker: Breaker,
    /// In a row.
    failures: u32,
    /// Times left out in a row.
    ejections: u32,
    window: Window,
    down: bool,
    /// Probes in a row that said otherwise.
    streak: u32,
    /// When it came back last.
    back_ms: Option<u64>,
}

#[derive(Debug, Default)]
struct Window {
    number: u64,
    asked: u32,
    failed: u32,
}

#[derive(Debug, Default, Clone, Copy)]
enum Breaker {
    #[default]
    Closed,
    Open {
        until_ms: u64,
    },
    Trial {
        until_ms: u64,
    },
}

/// What a failure led to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// It is asked as before, or was out already.
    AsBefore,
    /// It is left out from now on.
    Ejected,
    /// It would be, but too many others are.
    Spared,
}

impl Health {
    /// Whether requests go to it.
    pub fn is_in(&self, now_ms: u64) -> bool {
        let state = self.0.lock();
        !state.down
            && match state.breaker {
                Breaker::Closed => true,
                Breaker::Open { until_ms } | Breaker::Trial { until_ms } => until_ms <= now_ms,
            }
    }

    /// Whether it is out or on trial: what counts against the share that may be.
    pub fn is_ailing(&self) -> bool {
        let state = self.0.lock();
        state.down || !matches!(state.breaker, Breaker::Closed)
    }

    /// A request is about to go to it. `false`: it is on trial, and another request is the trial.
    pub fn begin(&self, now_ms: u64) -> bool {
        let mut state = self.0.lock();
        match state.breaker {
            Breaker::Closed => true,
            Breaker::Open { until_ms } | Breaker::Trial { until_ms } if until_ms <= now_ms => {
                state.breaker = Breaker::Trial { until_ms: now_ms + millis(TRIAL_MAX) };
                true
            }
            Breaker::Open { .. } | Breaker::Trial { .. } => false,
        }
    }

    /// It answered. `true` when that brought it back.
    pub fn succeeded(&self, now_ms: u64) -> bool {
        let mut state = self.0.lock();
        state.failures = 0;
        state.window.note(now_ms, false);
        let was_trial = matches!(state.breaker, Breaker::Trial { .. });
        if was_trial {
            (state.breaker, state.ejections) = (Breaker::Closed, 0);
            (state.back_ms, state.window) = (Some(now_ms), Window::default());
        }
        was_trial
    }

    /// It did not answer, or with 502, 503 or 504; `spared` when it may not be left out for that. One that is out already,
    /// asked because all others are out too, stays out longer.
    pub fn failed(&self, now_ms: u64, spared: bool) -> Verdict {
        let mut state = self.0.lock();
        state.failures += 1;
        state.window.note(now_ms, true);
        let closed = matches!(state.breaker, Breaker::Closed);
        if closed && state.failures < FAILURES_MAX && !state.window.is_bad() {
            return Verdict::AsBefore;
        }
        if closed && spared {
            return Verdict::Spared;
        }
        let out = (EJECTION_MIN * 2_u32.pow(state.ejections.min(8))).min(EJECTION_MAX);
        let was_out = matches!(state.breaker, Breaker::Open { until_ms } if until_ms > now_ms);
        state.ejections += 1;
        state.breaker = Breaker::Open { until_ms: now_ms + millis(out) };
        state.window = Window::default();
        if was_out { Verdict::AsBefore } else { Verdict::Ejected }
    }

    /// A probe's outcome. `Some` when that changed whether it is up.
    pub fn probed(&self, now_ms: u64, well: bool, rule: &OriginHealth) -> Option<bool> {
        let mut state = self.0.lock();
        state.streak = if well == state.down { state.streak + 1 } else { 0 };
        if state.streak < if state.down { rule.up_after } else { rule.down_after } {
            return None;
        }
        (state.down, state.streak) = (!well, 0);
        if well {
            state.back_ms = Some(now_ms);
        }
        Some(well)
    }

    /// Nobody probes it any more: what probes met is forgotten.
    pub fn unprobed(&self) {
        let mut state = self.0.lock();
        (state.down, state.streak) = (false, 0);
    }

    /// The percentage of its weight that counts, within `slow_start` after it came back.
    pub fn weight_percent(&self, now_ms: u64, slow_start: Duration) -> u64 {
        let Some(back_ms) = self.0.lock().back_ms else { return 100 };
        let since = now_ms.saturating_sub(back_ms);
        match millis(slow_start) {
            whole if since < whole => (since * 100 / whole).max(SLOW_START_PERCENT_MIN),
            _ => 100,
        }
    }
}

impl Window {
    fn note(&mut self, now_ms: u64, failed: bool) {
        let number = now_ms / millis(WINDOW);
        if number != self.number {
            *self = Self { number, asked: 0, failed: 0 };
        }
        self.asked = self.asked.saturating_add(1);
        self.failed = self.failed.saturating_add(failed.into());
    }

    fn is_bad(&self) -> bool {
        let percent = u64::from(self.failed) * 100 / u64::from(self.asked.max(1));
        self.asked >= WINDOW_REQUESTS_MIN && percent >= u64::from(FAILED_PERCENT)
    }
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const OUT: u64 = EJECTION_MIN.as_millis() as u64;

    fn ejected() -> Health {
        let health = Health::default();
        let verdicts = [(); 3].map(|()| health.failed(0, false));
        assert_eq!(verdicts, [Verdict::AsBefore, Verdict::AsBefore, Verdict::Ejected]);
        health
    }

    #[test]
    fn three_failures_in_a_row_leave_it_out_and_a_success_between_does_not() {
        let health = ejected();
        assert!(!health.is_in(OUT - 1) && health.is_in(OUT));
        let mixed = Health::default();
        for _ in 0..WINDOW_REQUESTS_MIN / 3 - 1 {
            mixed.failed(0, false);
            mixed.failed(0, false);
            mixed.succeeded(0);
        }
        assert!(mixed.is_in(0));
    }

    #[test]
    fn one_request_is_the_trial_and_decides() {
        let health = ejected();
        assert!(!health.begin(OUT - 1));
        assert!(health.begin(OUT) && !health.begin(OUT) && !health.is_in(OUT), "one at a time");
        assert_eq!(health.failed(OUT, false), Verdict::Ejected);
        assert!(!health.is_in(3 * OUT - 1) && health.begin(3 * OUT), "twice as long");
        assert!(health.succeeded(3 * OUT) && health.is_in(3 * OUT) && !health.is_ailing());
        assert_eq!(health.failed(3 * OUT, false), Verdict::AsBefore, "it counts from the start");
    }

    #[test]
    fn a_trial_without_an_outcome_is_followed_by_another() {
        let health = ejected();
        assert!(health.begin(OUT) && health.begin(OUT + millis(TRIAL_MAX)));
    }

    #[test]
    fn an_answer_to_an_earlier_request_ends_no_ejection() {
        let health = ejected();
        assert!(!health.succeeded(1) && !health.is_in(1));
    }

    #[test]
    fn half_of_many_requests_failing_in_a_window_leaves_it_out() {
        let (half, less, slow) = (Health::default(), Health::default(), Health::default());
        let verdicts: Vec<Verdict> = (0..WINDOW_REQUESTS_MIN)
            .filter_map(|number| match number % 2 {
                0 => half.succeeded(0).then_some(Verdict::AsBefore),
                _ => Some(half.failed(0, false)),
            })
            .collect();
        assert_eq!(verdicts.last(), Some(&Verdict::Ejected));
        for number in 0..10 * WINDOW_REQUESTS_MIN {
            let _ = if number % 3 == 0 { less.failed(0, false) == Verdict::AsBefore } else { less.succeeded(0) };
            let window = u64::from(number / 10) * millis(WINDOW);
            let _ =
                if number % 2 == 0 { slow.failed(window, false) == Verdict::AsBefore } else { slow.succeeded(window) };
        }
        assert!(less.is_in(0) && slow.is_in(0), "a third; half of few");
    }

    #[test]
    fn one_that_is_spared_is_left_out_with_the_next_failure_that_is_not() {
        let health = Health::default();
        let verdicts = [true, true, true, true, false].map(|spared| health.failed(0, spared));
        use Verdict::{AsBefore, Ejected, Spared};
        assert_eq!(verdicts, [AsBefore, AsBefore, Spared, Spared, Ejected]);
        assert_eq!(health.failed(1, false), AsBefore, "out already");
        assert!(!health.is_in(2 * OUT) && health.is_in(2 * OUT + 1), "but longer");
    }

    #[test]
    fn probes_take_it_out_and_back_after_so_many_in_a_row() {
        let (health, rule) =
            (Health::default(), OriginHealth { down_after: 2, up_after: 3, ..OriginHealth::default() });
        let outcomes = [false, true, false, false, true, true, false, true, true, true];
        let told = outcomes.map(|well| health.probed(0, well, &rule));
        let expected = [None, None, None, Some(false), None, None, None, None, None, Some(true)];
        assert_eq!(told, expected);
        health.probed(0, false, &rule);
        health.probed(0, false, &rule);
        assert!(!health.is_in(u64::MAX / 2) && health.is_ailing());
        health.unprobed();
        assert!(health.is_in(0));
    }

    #[test]
    fn after_it_came_back_its_weight_grows_linearly() {
        let health = ejected();
        let slow = Duration::from_secs(10);
        assert_eq!(health.weight_percent(0, slow), 100, "it was never away");
        health.begin(OUT);
        health.succeeded(OUT);
        let percents = [0, 2_000, 5_000, 9_999, 10_000].map(|later| health.weight_percent(OUT + later, slow));
        assert_eq!(percents, [SLOW_START_PERCENT_MIN, 20, 50, 99, 100]);
        assert_eq!(health.weight_percent(OUT, Duration::ZERO), 100);
    }
}

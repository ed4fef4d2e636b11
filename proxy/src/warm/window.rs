//! The hours of the day in which a job may fetch, in UTC.

use std::str::FromStr;
use std::time::Duration;

const MINUTE_S: u64 = 60;
const DAY_S: u64 = 86_400;

/// From a minute of the day to another; it may go over midnight.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Window {
    from_s: u64,
    to_s: u64,
}

impl Window {
    /// How long until it is open; nothing when it is.
    pub(super) fn opens_in(self, unix_s: u64) -> Duration {
        let now = unix_s % DAY_S;
        if self.is_open(now) { Duration::ZERO } else { Duration::from_secs((self.from_s + DAY_S - now) % DAY_S) }
    }

    /// Since when it is open; `None` when it is not.
    pub(super) fn opened_s(self, unix_s: u64) -> Option<u64> {
        let now = unix_s % DAY_S;
        self.is_open(now).then(|| unix_s.saturating_sub((now + DAY_S - self.from_s) % DAY_S))
    }

    /// Whether it is open so many seconds into a day.
    fn is_open(self, now: u64) -> bool {
        if self.from_s < self.to_s {
            (self.from_s..self.to_s).contains(&now)
        } else {
            now >= self.from_s || now < self.to_s
        }
    }
}

impl FromStr for Window {
    type Err = String;

    /// `02:00-06:00`
    fn from_str(text: &str) -> Result<Self, String> {
        let problem = || format!("{text:?} is no window: write two times of the day in UTC, such as \"02:00-06:00\"");
        let (from, to) = text.split_once('-').ok_or_else(problem)?;
        let (from_s, to_s) = (seconds(from).ok_or_else(problem)?, seconds(to).ok_or_else(problem)?);
        if from_s == to_s { Err(problem()) } else { Ok(Self { from_s, to_s }) }
    }
}

fn seconds(time: &str) -> Option<u64> {
    let (hours, minutes) = time.trim().split_once(':')?;
    let (hours, minutes): (u64, u64) = (hours.parse().ok()?, minutes.parse().ok()?);
    (hours < 24 && minutes < 60).then_some((hours * 60 + minutes) * MINUTE_S)
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: u64 = 3600;

    #[test]
    fn a_window_is_open_between_its_times_also_over_midnight() {
        let night: Window = "02:00-06:00".parse().unwrap();
        let late: Window = "22:30-01:00".parse().unwrap();
        for (window, at, opens_in) in [
            (night, 3 * HOUR, 0),
            (night, 2 * HOUR, 0),
            (night, 6 * HOUR, 20 * HOUR),
            (night, DAY_S + HOUR, HOUR),
            (late, 23 * HOUR, 0),
            (late, 0, 0),
            (late, HOUR, 21 * HOUR + HOUR / 2),
        ] {
            assert_eq!(window.opens_in(at), Duration::from_secs(opens_in), "{window:?} at {at}");
        }
    }

    #[test]
    fn a_window_that_is_none_says_how_to_write_one() {
        for text in ["", "2-6", "02:00", "24:00-06:00", "02:60-06:00", "02:00-02:00"] {
            assert!(text.parse::<Window>().unwrap_err().contains("02:00-06:00"), "{text}");
        }
    }
}

//! The hours of the day in which a job may fetch, by the clocks of a time zone.
//!
//! Where clocks are set forward over the hour at which a window opens or closes, it does as much later; where they are set back, it opens at the first of
//! two such hours, and closes at the first of two. Invariant: a window opens once for each day of its zone.

use std::str::FromStr;
use std::time::Duration;

use jiff::civil::{Date, Time};
use jiff::tz::TimeZone;
use jiff::{Timestamp, ToSpan};

/// From a minute of the day to another; it may go over midnight.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Window {
    from: Time,
    to: Time,
    /// The one it names; else it is the place's.
    zone: Option<TimeZone>,
}

/// A time zone by its name in the IANA database, such as `Europe/Amsterdam`.
///
/// # Errors
/// That there is none, in a sentence.
pub(crate) fn zone(name: &str) -> Result<TimeZone, String> {
    TimeZone::get(name)
        .map_err(|_| format!("{name:?} is no time zone: write one such as \"Europe/Amsterdam\" or \"UTC\""))
}

impl Window {
    /// In its own zone, or else in this one.
    pub(super) fn by(mut self, place: &TimeZone) -> Self {
        self.zone.get_or_insert_with(|| place.clone());
        self
    }

    /// The zone it goes by.
    pub(super) fn zone(&self) -> &str {
        self.zone.as_ref().and_then(TimeZone::iana_name).unwrap_or("UTC")
    }

    /// How long until it is open; nothing when it is.
    pub(super) fn opens_in(&self, unix_s: u64) -> Duration {
        match self.opened_s(unix_s) {
            Some(_) => Duration::ZERO,
            None => {
                let next = self.openings(unix_s).map(|(opens, _)| opens).find(|opens| *opens > unix_s);
                Duration::from_secs(next.unwrap_or(unix_s) - unix_s)
            }
        }
    }

    /// Since when it is open; `None` when it is not.
    pub(super) fn opened_s(&self, unix_s: u64) -> Option<u64> {
        self.openings(unix_s).find(|(opens, closes)| (*opens..*closes).contains(&unix_s)).map(|(opens, _)| opens)
    }

    /// Of the days around, in order: when it opens and closes, in s since 1970.
    fn openings(&self, unix_s: u64) -> impl Iterator<Item = (u64, u64)> {
        let zone = self.zone.clone().unwrap_or(TimeZone::UTC);
        let now = Timestamp::from_second(i64::try_from(unix_s).unwrap_or(i64::MAX)).unwrap_or(Timestamp::MAX);
        let today = now.to_zoned(zone.clone()).date();
        let (from, to) = (self.from, self.to);
        let at = move |day: Date, time: Time| {
            let zoned = zone.to_zoned(day.to_datetime(time)).ok()?;
            u64::try_from(zoned.timestamp().as_second()).ok()
        };
        (-1..=2_i32).filter_map(move |days| {
            let day = today.checked_add(days.days()).ok()?;
            let last = if from < to { day } else { day.tomorrow().ok()? };
            Some((at(day, from)?, at(last, to)?))
        })
    }
}

impl FromStr for Window {
    type Err = String;

    /// `02:00-06:00` or `02:00-06:00 Europe/Amsterdam`
    fn from_str(text: &str) -> Result<Self, String> {
        let problem = || {
            format!(
                "{text:?} is no window: write two times of the day, such as \"02:00-06:00\" or \"02:00-06:00 Europe/Amsterdam\""
            )
        };
        let (hours, name) =
            text.trim().split_once(' ').map_or((text.trim(), None), |(hours, name)| (hours, Some(name)));
        let (from, to) = hours.split_once('-').ok_or_else(problem)?;
        let (from, to) = (time(from).ok_or_else(problem)?, time(to).ok_or_else(problem)?);
        if from == to {
            return Err(problem());
        }
        Ok(Self { from, to, zone: name.map(|name| zone(name.trim())).transpose()? })
    }
}

fn time(text: &str) -> Option<Time> {
    let (hours, minutes) = text.trim().split_once(':')?;
    Time::new(hours.parse().ok()?, minutes.parse().ok()?, 0, 0).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: u64 = 3600;
    const DAY_S: u64 = 24 * HOUR;

    #[test]
    fn a_window_is_open_between_its_times_also_over_midnight() {
        let night: Window = "02:00-06:00".parse().unwrap();
        let late: Window = "22:30-01:00".parse().unwrap();
        for (window, at, opens_in) in [
            (&night, DAY_S + 3 * HOUR, 0),
            (&night, DAY_S + 2 * HOUR, 0),
            (&night, DAY_S + 6 * HOUR, 20 * HOUR),
            (&night, 2 * DAY_S + HOUR, HOUR),
            (&late, DAY_S + 23 * HOUR, 0),
            (&late, DAY_S, 0),
            (&late, DAY_S + HOUR, 21 * HOUR + HOUR / 2),
        ] {
            assert_eq!(window.opens_in(at), Duration::from_secs(opens_in), "{window:?} at {at}");
        }
    }

    /// In s since 1970.
    fn at(text: &str) -> u64 {
        text.parse::<Timestamp>().unwrap().as_second().try_into().unwrap()
    }

    #[test]
    fn a_window_goes_by_the_clocks_of_its_zone_in_summer_and_in_winter() {
        let night: Window = "02:00-06:00 Europe/Amsterdam".parse().unwrap();
        assert_eq!(night.opened_s(at("2026-07-01T00:30:00Z")), Some(at("2026-07-01T00:00:00Z")));
        assert_eq!(night.opened_s(at("2026-12-01T00:30:00Z")), None);
        assert_eq!(night.opens_in(at("2026-12-01T00:30:00Z")), Duration::from_secs(HOUR / 2));
        let place = zone("America/New_York").unwrap();
        let by_place = "02:00-06:00".parse::<Window>().unwrap().by(&place);
        assert_eq!(by_place.opened_s(at("2026-12-01T08:00:00Z")), Some(at("2026-12-01T07:00:00Z")));
        assert_eq!(night.clone().by(&place), night, "what it names itself counts");
        assert_eq!((by_place.zone(), night.zone()), ("America/New_York", "Europe/Amsterdam"));
    }

    #[test]
    fn a_window_opens_once_on_the_days_on_which_clocks_are_set() {
        // Forward from 02:00 to 03:00 on 2026-03-29, back from 03:00 to 02:00 on 2026-10-25.
        let night: Window = "02:30-06:00 Europe/Amsterdam".parse().unwrap();
        assert_eq!(night.opened_s(at("2026-03-29T01:29:59Z")), None);
        assert_eq!(night.opened_s(at("2026-03-29T02:00:00Z")), Some(at("2026-03-29T01:30:00Z")), "03:30");
        for now in ["2026-10-25T00:30:00Z", "2026-10-25T01:30:00Z", "2026-10-25T04:59:59Z"] {
            assert_eq!(night.opened_s(at(now)), Some(at("2026-10-25T00:30:00Z")), "{now}: the first 02:30");
        }
        assert_eq!(night.opened_s(at("2026-10-25T05:00:00Z")), None);
    }

    #[test]
    fn a_window_that_is_none_says_how_to_write_one() {
        for text in ["", "2-6", "02:00", "24:00-06:00", "02:60-06:00", "02:00-02:00"] {
            assert!(text.parse::<Window>().unwrap_err().contains("02:00-06:00"), "{text}");
        }
        assert!("02:00-06:00 Europe/Nowhere".parse::<Window>().unwrap_err().contains("Europe/Amsterdam"));
    }
}

//! Durations and instants as an MPD writes them (XML Schema Part 2 §3.2.6 and §3.2.7), in milliseconds.
//!
//! What is finer than a millisecond is cut off. Years count 365 days and months 30, as the reference player has it.
//!
//! Invariant: no text overflows; what cannot be computed with is refused.

use super::ManifestError;
use crate::limits::DURATION_DIGITS_MAX;

const SECOND: u64 = 1000;
const DAY: u64 = 86_400 * SECOND;
/// The parts of a duration in their order: whether it stands behind the `T`, its letter, its length in ms.
const PARTS: [(bool, char, u64); 6] = [
    (false, 'Y', 365 * DAY),
    (false, 'M', 30 * DAY),
    (false, 'D', DAY),
    (true, 'H', 3600 * SECOND),
    (true, 'M', 60 * SECOND),
    (true, 'S', SECOND),
];

/// Reads an `xs:duration`; what would be longer than `u64::MAX` ms is that long.
///
/// # Errors
/// [`ManifestError::TooMany`] when a number in it has more than [`DURATION_DIGITS_MAX`] digits, [`ManifestError::Malformed`] when
/// it is none, or negative.
pub(super) fn duration_ms(text: &str) -> Result<u64, ManifestError> {
    let text = text.trim();
    let problem =
        || ManifestError::Malformed(format!("{:?} is no duration, such as PT1M30.5S", super::shortened(text)));
    if has_long_number(text) {
        return Err(ManifestError::TooMany("digits in a duration"));
    }
    let mut rest = text.strip_prefix('P').ok_or_else(problem)?;
    let (mut total, mut in_time, mut next) = (0_u64, false, 0);
    while !rest.is_empty() {
        if let Some(time) = rest.strip_prefix('T').filter(|time| !in_time && !time.is_empty()) {
            (in_time, rest) = (true, time);
        }
        let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
        let whole: u64 = rest[..digits].parse().map_err(|_| problem())?;
        let (fraction_ms, behind) = fraction(&rest[digits..]);
        let letter = behind.chars().next().ok_or_else(problem)?;
        let is_this = |part: &(bool, char, u64)| part.0 == in_time && part.1 == letter;
        let found = next + PARTS[next..].iter().position(is_this).ok_or_else(problem)?;
        if behind.len() < rest.len() - digits && letter != 'S' {
            return Err(problem());
        }
        total = total.saturating_add(whole.saturating_mul(PARTS[found].2)).saturating_add(fraction_ms);
        (next, rest) = (found + 1, &behind[1..]);
    }
    (next > 0).then_some(total).ok_or_else(problem)
}

/// The milliseconds of a fraction at the beginning of `text`, and what is behind it.
fn fraction(text: &str) -> (u64, &str) {
    let Some(digits) = text.strip_prefix('.') else { return (0, text) };
    let length = digits.bytes().take_while(u8::is_ascii_digit).count();
    let place = |(at, digit): (usize, u8)| u64::from(digit - b'0') * [100, 10, 1][at];
    (digits[..length].bytes().take(3).enumerate().map(place).sum(), &digits[length..])
}

/// Whether one of its numbers has more digits than allowed. Digits of a fraction do not count.
fn has_long_number(text: &str) -> bool {
    let mut digits = 0;
    let mut in_fraction = false;
    text.bytes().any(|byte| {
        in_fraction = byte == b'.' || byte == b',' || (in_fraction && byte.is_ascii_digit());
        digits = if byte.is_ascii_digit() && !in_fraction { digits + 1 } else { 0 };
        digits > DURATION_DIGITS_MAX
    })
}

/// Reads an `xs:dateTime` as ms since 1970-01-01T00:00:00Z; without a zone it is UTC (ISO/IEC 23009-1 §5.3.1.2). `None` when it
/// is none, or before 1970.
pub(super) fn date_time_ms(text: &str) -> Option<u64> {
    let (date, time) = text.trim().split_once('T')?;
    let (time, zone_minutes) = zone(time)?;
    let (clock, subsecond_ms) = match time.find('.') {
        Some(point) => (&time[..point], fraction(&time[point..]).0),
        None => (time, 0),
    };
    let [year, month, day] = three(date, '-')?;
    let [hour, minute, second] = three(clock, ':')?;
    let is_date = (1970..=9999).contains(&year) && (1..=12).contains(&month) && (1..=31).contains(&day);
    if !is_date || hour > 24 || minute > 59 || second > 60 {
        return None;
    }
    let seconds = days_since_1970(year, month, day) * 86_400 + hour * 3600 + (minute - zone_minutes) * 60 + second;
    u64::try_from(seconds * 1000).ok().map(|ms| ms + subsecond_ms)
}

/// The time without its zone, and the zone in minutes east of Greenwich.
fn zone(time: &str) -> Option<(&str, i64)> {
    if let Some(time) = time.strip_suffix('Z') {
        return Some((time, 0));
    }
    let Some(sign) = time.rfind(['+', '-']) else { return Some((time, 0)) };
    let (hours, minutes) = time[sign + 1..].split_once(':')?;
    let minutes = number(hours)?.checked_mul(60)? + number(minutes)?;
    (minutes <= 14 * 60).then(|| (&time[..sign], if time[sign..].starts_with('-') { -minutes } else { minutes }))
}

fn three(text: &str, between: char) -> Option<[i64; 3]> {
    let mut parts = text.splitn(3, between).map(number);
    Some([parts.next()??, parts.next()??, parts.next()??])
}

/// A number of at most four digits.
fn number(text: &str) -> Option<i64> {
    let is_short = text.len() <= 4 && text.bytes().all(|byte| byte.is_ascii_digit());
    is_short.then(|| text.parse().ok()).flatten()
}

/// Days from 1970-01-01 to a date of the Gregorian calendar: years begin in March, so that the leap day is their last.
fn days_since_1970(year: i64, month: i64, day: i64) -> i64 {
    let (year, month) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let of_month = (153 * month + 2) / 5;
    year * 365 + year / 4 - year / 100 + year / 400 + of_month + day - 1 - 719_468
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_read_to_the_millisecond() {
        for (text, ms) in [
            ("PT1S", 1000),
            ("PT0H0M49.598000000S", 49_598),
            (" PT1H2M3.0405S ", 3_723_040),
            ("P1Y2M3DT4H", (365 + 60 + 3) * DAY + 4 * 3_600_000),
            ("P1D", DAY),
            ("PT0.5S", 500),
        ] {
            assert_eq!(duration_ms(text), Ok(ms), "{text}");
        }
    }

    #[test]
    fn what_is_no_duration_or_too_long_a_one_is_refused() {
        for text in
            ["", "P", "PT", "1S", "PT1", "-PT1S", "PT1S1M", "PT1.5M", "P1S", "PT1D", "PT1S ?", "PT1,5S", "PTT1S"]
        {
            assert!(matches!(duration_ms(text), Err(ManifestError::Malformed(_))), "{text}");
        }
        for text in ["PT00258388001312280849M", "P12345678901Y", "-PT12345678901S", "PT1H12345678901.5S"] {
            assert_eq!(duration_ms(text), Err(ManifestError::TooMany("digits in a duration")), "{text}");
        }
        let longest = "P9999999999Y9999999999M9999999999DT9999999999H9999999999M9999999999.999999999999S";
        assert!(duration_ms(longest).is_ok());
    }

    #[test]
    fn instants_are_read_in_every_zone() {
        for (text, expected) in [
            ("1970-01-01T00:00:00Z", Some(0)),
            ("1970-01-01T00:00:00", Some(0)),
            ("2024-02-29T12:00:00.250Z", Some(1_709_208_000_250)),
            ("2026-11-21T01:30:00+01:30", Some(1_795_219_200_000)),
            ("2026-11-20T20:00:00-04:00", Some(1_795_219_200_000)),
            ("1969-12-31T23:59:59Z", None),
            ("2026-13-01T00:00:00Z", None),
            ("2026-11-21", None),
            ("2026-11-21T00:00", None),
            ("99999999999999999999-01-01T00:00:00Z", None),
            ("2026-11-21T00:00:00+99999999:00", None),
        ] {
            assert_eq!(date_time_ms(text), expected, "{text}");
        }
    }

    proptest::proptest! {
        #[test]
        fn no_text_makes_it_panic(text in "[-+PYMDTHSZ.,:0-9 ]{0,60}", any in proptest::arbitrary::any::<String>()) {
            let _ = (duration_ms(&text), date_time_ms(&text), duration_ms(&any), date_time_ms(&any));
        }
    }
}

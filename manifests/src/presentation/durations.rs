//! Refuses durations too long to be computed with, before the manifest is parsed.
//!
//! The parser of the manifest multiplies and adds what stands in an `xs:duration` without looking for overflow, so that a long
//! number would stop a process built with checks, and mean something else in one without. Whether an attribute is a duration is
//! not known here: one that is written like a duration is treated as one.
//!
//! Invariant: of what [`check`] lets pass, every duration fits 64 bits of seconds.

use quick_xml::events::Event;
use quick_xml::{Reader, XmlVersion};

use super::ManifestError;
use crate::limits::DURATION_DIGITS_MAX;

/// Looks at every attribute of an MPD.
///
/// # Errors
/// [`ManifestError::TooMany`] when a number of a duration has more than [`DURATION_DIGITS_MAX`] digits,
/// [`ManifestError::Malformed`] when the text is no XML.
pub(super) fn check(text: &str) -> Result<(), ManifestError> {
    let malformed = |error: quick_xml::Error| ManifestError::Malformed(super::first_line(&error.to_string()));
    let mut reader = Reader::from_str(text);
    // The parser behind this judges the nesting.
    reader.config_mut().check_end_names = false;
    loop {
        let element = match reader.read_event().map_err(malformed)? {
            Event::Start(element) | Event::Empty(element) => element,
            Event::Eof => return Ok(()),
            _ => continue,
        };
        for attribute in element.attributes().with_checks(false) {
            let attribute = attribute.map_err(|error| malformed(error.into()))?;
            // Most attributes can be no duration, not even by a character reference.
            if !attribute.value.contains(['P', '&']) {
                continue;
            }
            if has_long_number(&attribute.normalized_value(XmlVersion::Implicit1_0).map_err(malformed)?) {
                return Err(ManifestError::TooMany("digits in a duration"));
            }
        }
    }
}

/// Whether this is written like a duration (XML Schema Part 2 §3.2.6) and one of its numbers has more digits than allowed. Digits
/// of a fraction do not count.
fn has_long_number(value: &str) -> bool {
    let Some(mut rest) = value.strip_prefix(['+', '-']).unwrap_or(value).strip_prefix('P') else { return false };
    loop {
        rest = rest.strip_prefix('T').unwrap_or(rest);
        let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
        let is_number = rest[digits..].starts_with(['Y', 'M', 'W', 'D', 'H', 'S', '.', ',']);
        match () {
            () if digits == 0 || !is_number => return false,
            () if digits > DURATION_DIGITS_MAX => return true,
            () if rest[digits..].starts_with(['.', ',']) => return false,
            () => rest = &rest[digits + 1..],
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_written_like_a_duration_may_not_have_long_numbers() {
        for long in ["PT00258388001312280849M", "-P1Y10000000000D", "PT1H12345678901.5S", "+P12345678901Y"] {
            assert!(has_long_number(long), "{long}");
        }
        for fine in [
            "P20240101120000",
            "PT1.12345678901234S",
            "P9999999999Y",
            "12345678901S",
            "",
            "P",
            "PTS",
            "PLAYER12345678901S",
        ] {
            assert!(!has_long_number(fine), "{fine}");
        }
    }
}

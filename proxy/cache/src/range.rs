//! Single byte ranges (RFC 9110 §14): what a `Range` field asks of a body of known length.
//!
//! Several ranges in one field are answered with the whole body, which §14.2 allows; multipart answers are not built.

/// Longest Range field that is read; a longer one is ignored, as §14.2 allows.
const RANGE_FIELD_BYTES: usize = 128;

/// What a Range field means for one body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ByteRange {
    /// Absent, malformed, of another unit or of several ranges: send everything.
    Whole,
    /// Send `first..=last`.
    Part {
        /// Offset of the first byte.
        first: u64,
        /// Offset of the last byte, below the length.
        last: u64,
    },
    /// Nothing of it exists: 416.
    Unsatisfiable,
}

/// Reads a Range field for a body of `length` bytes.
pub fn parse(field: &[u8], length: u64) -> ByteRange {
    single(field, length).unwrap_or(ByteRange::Whole)
}

fn single(field: &[u8], length: u64) -> Option<ByteRange> {
    if field.len() > RANGE_FIELD_BYTES {
        return None;
    }
    let text = std::str::from_utf8(field).ok()?.trim();
    let (unit, spec) = text.split_once('=')?;
    if !unit.trim().eq_ignore_ascii_case("bytes") || spec.contains(',') {
        return None;
    }
    let (first, last) = spec.trim().split_once('-')?;
    match (digits(first)?, digits(last)?) {
        (None, None) => None,
        (None, Some(0)) => Some(ByteRange::Unsatisfiable),
        (None, Some(suffix)) => Some(match length {
            0 => ByteRange::Unsatisfiable,
            _ => ByteRange::Part { first: length.saturating_sub(suffix), last: length - 1 },
        }),
        (Some(first), Some(last)) if last < first => None,
        (Some(first), _) if first >= length => Some(ByteRange::Unsatisfiable),
        (Some(first), last) => Some(ByteRange::Part { first, last: last.unwrap_or(u64::MAX).min(length - 1) }),
    }
}

/// `None` for what is no number, `Some(None)` for nothing at all.
fn digits(text: &str) -> Option<Option<u64>> {
    match text.trim() {
        "" => Some(None),
        number if number.bytes().all(|byte| byte.is_ascii_digit()) => Some(Some(number.parse().unwrap_or(u64::MAX))),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ByteRange::{Part, Unsatisfiable, Whole};

    fn check(field: &str, length: u64, expected: ByteRange) {
        assert_eq!(parse(field.as_bytes(), length), expected, "{field} of {length}");
    }

    #[test]
    fn ranges_are_read_as_rfc_9110_section_14_says() {
        check("bytes=0-4", 10, Part { first: 0, last: 4 });
        check("bytes=5-", 10, Part { first: 5, last: 9 });
        check("bytes=-3", 10, Part { first: 7, last: 9 });
        check("bytes=-30", 10, Part { first: 0, last: 9 });
        check("bytes=2-99", 10, Part { first: 2, last: 9 });
        check("Bytes = 0-0", 10, Part { first: 0, last: 0 });
        check("bytes=2-99999999999999999999999", 10, Part { first: 2, last: 9 });
    }

    #[test]
    fn what_lies_outside_the_body_is_unsatisfiable() {
        for (field, length) in [("bytes=10-", 10), ("bytes=-0", 10), ("bytes=-1", 0), ("bytes=0-", 0)] {
            check(field, length, Unsatisfiable);
        }
    }

    #[test]
    fn malformed_foreign_and_multiple_ranges_are_ignored() {
        for field in
            ["", "bytes", "bytes=", "bytes=-", "bytes=4-2", "bytes=a-b", "items=0-1", "bytes=0-1,3-4", "bytes=+1-2"]
        {
            check(field, 10, Whole);
        }
    }
}

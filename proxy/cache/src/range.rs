//! Byte ranges (RFC 9110 §14): what a Range field asks of a body of known length.
//!
//! Ranges that overlap or nearly touch are answered as one, in ascending order; a field that asks for more than the body, or for
//! too many, is answered with the whole body (§14.2 allows both).

/// Longest Range field that is read; a longer one is ignored, as §14.2 allows.
pub const RANGE_FIELD_BYTES: usize = 1024;

/// Ranges of one field; one with more is ignored.
pub const RANGES_MAX: usize = 32;

/// Ranges with a gap up to this are answered as one: a part's own fields cost about as much (§15.3.7.2).
const GAP_BYTES: u64 = 80;

/// Bytes `first..=last`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Part {
    /// Offset of the first byte.
    pub first: u64,
    /// Offset of the last byte, below the length.
    pub last: u64,
}

/// What a Range field means for one body.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ByteRange {
    /// Absent, malformed, of another unit or too much of it: send everything.
    Whole,
    /// Send these, ascending and apart; never empty.
    Parts(Vec<Part>),
    /// Nothing of it exists: 416.
    Unsatisfiable,
}

/// Reads a Range field for a body of `length` bytes.
pub fn parse(field: &[u8], length: u64) -> ByteRange {
    let Some(mut parts) = listed(field, length) else {
        return ByteRange::Whole;
    };
    parts.sort_unstable_by_key(|part| part.first);
    let mut joined: Vec<Part> = Vec::with_capacity(parts.len());
    for part in parts {
        match joined.last_mut() {
            Some(before) if part.first <= before.last.saturating_add(GAP_BYTES + 1) => {
                before.last = before.last.max(part.last)
            }
            _ => joined.push(part),
        }
    }
    if joined.is_empty() { ByteRange::Unsatisfiable } else { ByteRange::Parts(joined) }
}

/// The satisfiable ranges in the order given; `None` when the field is to be ignored.
fn listed(field: &[u8], length: u64) -> Option<Vec<Part>> {
    if field.len() > RANGE_FIELD_BYTES {
        return None;
    }
    let text = std::str::from_utf8(field).ok()?.trim();
    let (unit, set) = text.split_once('=')?;
    if !unit.trim().eq_ignore_ascii_case("bytes") {
        return None;
    }
    let specs = set.split(',').map(str::trim).filter(|spec| !spec.is_empty());
    let (mut parts, mut read, mut bytes) = (Vec::new(), 0, 0_u64);
    for spec in specs {
        read += 1;
        if let Some(part) = one(spec, length)? {
            bytes = bytes.saturating_add(part.last - part.first + 1);
            parts.push(part);
        }
    }
    // More bytes than there are: overlapping on purpose (§17.15).
    (1..=RANGES_MAX).contains(&read).then_some(parts).filter(|_| bytes <= length)
}

/// `None`: malformed. `Some(None)`: nothing of it exists.
fn one(spec: &str, length: u64) -> Option<Option<Part>> {
    let (first, last) = spec.split_once('-')?;
    Some(match (digits(first)?, digits(last)?) {
        (None, None) => return None,
        (None, Some(suffix)) if suffix == 0 || length == 0 => None,
        (None, Some(suffix)) => Some(Part { first: length.saturating_sub(suffix), last: length - 1 }),
        (Some(first), Some(last)) if last < first => return None,
        (Some(first), _) if first >= length => None,
        (Some(first), last) => Some(Part { first, last: last.unwrap_or(u64::MAX).min(length - 1) }),
    })
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
    use super::ByteRange::{Parts, Unsatisfiable, Whole};
    use super::*;
    use proptest::prelude::*;

    fn check(field: &str, length: u64, expected: ByteRange) {
        assert_eq!(parse(field.as_bytes(), length), expected, "{field} of {length}");
    }

    fn parts(parts: &[(u64, u64)]) -> ByteRange {
        Parts(parts.iter().map(|(first, last)| Part { first: *first, last: *last }).collect())
    }

    #[test]
    fn one_range_is_read_as_rfc_9110_section_14_says() {
        check("bytes=0-4", 10, parts(&[(0, 4)]));
        check("bytes=5-", 10, parts(&[(5, 9)]));
        check("bytes=-3", 10, parts(&[(7, 9)]));
        check("bytes=-30", 10, parts(&[(0, 9)]));
        check("bytes=2-99", 10, parts(&[(2, 9)]));
        check("Bytes = 0-0", 10, parts(&[(0, 0)]));
        check("bytes=2-99999999999999999999999", 10, parts(&[(2, 9)]));
    }

    #[test]
    fn several_come_in_order_and_neighbours_as_one() {
        check("bytes=500-599,0-99", 1000, parts(&[(0, 99), (500, 599)]));
        check("bytes=0-99, 100-199", 1000, parts(&[(0, 199)]));
        check("bytes=0-99,180-199,281-290", 1000, parts(&[(0, 199), (281, 290)]));
        check("bytes=0-99,400-499,-100,2000-", 1000, parts(&[(0, 99), (400, 499), (900, 999)]));
        check("bytes=,0-9 ,", 1000, parts(&[(0, 9)]));
    }

    #[test]
    fn what_lies_outside_the_body_is_unsatisfiable() {
        for (field, length) in
            [("bytes=10-", 10), ("bytes=-0", 10), ("bytes=-1", 0), ("bytes=0-", 0), ("bytes=10-11,12-", 10)]
        {
            check(field, length, Unsatisfiable);
        }
    }

    #[test]
    fn malformed_foreign_and_greedy_ranges_are_ignored() {
        for field in [
            "",
            "bytes",
            "bytes=",
            "bytes=-",
            "bytes=4-2",
            "bytes=a-b",
            "items=0-1",
            "bytes=+1-2",
            "bytes=0-1,x",
            "bytes=0-,0-",
            "bytes=,",
        ] {
            check(field, 10, Whole);
        }
        let many: Vec<String> = (0..=RANGES_MAX).map(|at| format!("{0}-{0}", at * 200)).collect();
        check(&format!("bytes={}", many.join(",")), 100_000, Whole);
    }

    proptest! {
        /// The judge: which bytes are asked for, one by one.
        #[test]
        fn every_byte_asked_for_is_sent_and_none_is_sent_twice(
            specs in prop::collection::vec((0_u64..500, 0_u64..500), 1..6), length in 1_u64..400,
        ) {
            let field: Vec<String> = specs.iter().map(|(first, more)| format!("{first}-{}", first + more)).collect();
            let wanted = |byte: u64| specs.iter().any(|(first, more)| (*first..=first + more).contains(&byte));
            match parse(format!("bytes={}", field.join(",")).as_bytes(), length) {
                Parts(parts) => {
                    prop_assert!(parts.windows(2).all(|pair| pair[0].last + GAP_BYTES + 1 < pair[1].first));
                    prop_assert!(parts.iter().all(|part| part.first <= part.last && part.last < length));
                    for byte in (0..length).filter(|byte| wanted(*byte)) {
                        prop_assert!(parts.iter().any(|part| (part.first..=part.last).contains(&byte)));
                    }
                }
                Unsatisfiable => prop_assert!(!(0..length).any(wanted)),
                Whole => prop_assert!(specs.iter().map(|(first, more)| (first + more + 1).min(length).saturating_sub(*first)).sum::<u64>() > length),
            }
        }
    }
}

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

    /// A range as it is asked for, one kind in three.
    #[derive(Debug, Clone, Copy)]
    enum Spec {
        Between(u64, u64),
        From(u64),
        Last(u64),
    }

    impl Spec {
        fn text(self) -> String {
            match self {
                Self::Between(first, last) => format!("{first}-{last}"),
                Self::From(first) => format!("{first}-"),
                Self::Last(bytes) => format!("-{bytes}"),
            }
        }

        /// Whether it names this byte of a body of `length` bytes.
        fn names(self, byte: u64, length: u64) -> bool {
            match self {
                Self::Between(first, last) => (first..=last).contains(&byte),
                Self::From(first) => byte >= first,
                Self::Last(bytes) => byte + bytes >= length,
            }
        }
    }

    /// Most bodies are much longer than a range, so that gaps wider than those closed are common, and overlaps too.
    fn spec() -> impl Strategy<Value = Spec> {
        prop_oneof![
            4 => (0_u64..1200, 0_u64..150).prop_map(|(first, more)| Spec::Between(first, first + more)),
            1 => (0_u64..1200).prop_map(Spec::From),
            1 => (0_u64..300).prop_map(Spec::Last),
        ]
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2000))]

        /// The judge: which bytes are asked for, one by one; those to send are these, and gaps between them that are short.
        #[test]
        fn every_byte_asked_for_is_sent_once_and_no_other_but_in_short_gaps(
            specs in prop::collection::vec(spec(), 1..6), length in 0_u64..1000,
        ) {
            let field: Vec<String> = specs.iter().map(|spec| spec.text()).collect();
            let times = |byte: u64| specs.iter().filter(|spec| spec.names(byte, length)).count();
            let asked: Vec<u64> = (0..length).filter(|byte| times(*byte) > 0).collect();
            match parse(format!("bytes={}", field.join(",")).as_bytes(), length) {
                Parts(parts) => {
                    let mut expected: Vec<Part> = Vec::new();
                    for byte in asked {
                        match expected.last_mut() {
                            Some(part) if byte - part.last <= 81 => part.last = byte,
                            _ => expected.push(Part { first: byte, last: byte }),
                        }
                    }
                    prop_assert_eq!(parts, expected);
                }
                Unsatisfiable => prop_assert!(asked.is_empty()),
                Whole => prop_assert!((0..length).map(times).sum::<usize>() as u64 > length),
            }
        }
    }
}

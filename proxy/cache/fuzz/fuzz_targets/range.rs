//! Any bytes as a Range field: parts lie within the body, ascend, and do not touch; and where the field is plainly written,
//! they begin and end where a range of it does, so that nothing is sent that nobody asked for.
#![no_main]

use littoral_cache::range::{ByteRange, RANGES_MAX, parse};

/// Where a range begins and ends, and after how many bytes: from the text alone, `None` for what is not plainly `a-b`, `a-` or `-n`.
fn asked(spec: &str, length: u64) -> Option<(u64, u64)> {
    // A number too large for any type is beyond every body.
    let number = |text: &str| (!text.trim().is_empty()).then(|| text.trim().parse().unwrap_or(u128::MAX));
    let (first, last) = spec.split_once('-')?;
    let end = u128::from(length);
    let (first, end) = match (number(first), number(last)) {
        (Some(first), Some(last)) => (first, end.min(last.saturating_add(1))),
        (Some(first), None) => (first, end),
        (None, Some(bytes)) => (end.saturating_sub(bytes), end),
        (None, None) => return None,
    };
    (first < end).then(|| (first as u64, end as u64 - 1))
}

libfuzzer_sys::fuzz_target!(|input: (u64, &[u8])| {
    let (length, field) = input;
    if let ByteRange::Parts(parts) = parse(field, length) {
        assert!((1..=RANGES_MAX).contains(&parts.len()));
        assert!(parts.iter().all(|part| part.first <= part.last && part.last < length));
        assert!(parts.windows(2).all(|pair| pair[1].first - pair[0].last > 81));
        let text = std::str::from_utf8(field).expect("only text is a range");
        let (_, set) = text.split_once('=').expect("a range has a unit");
        let mut left: Vec<(u64, u64)> = set.split(',').filter_map(|spec| asked(spec.trim(), length)).collect();
        left.sort_unstable();
        let mut left = left.into_iter().peekable();
        for part in parts {
            // What is asked for fills the part from its first byte to its last, but for gaps of up to 80 bytes.
            let mut next = part.first;
            let mut gap = 0;
            while let Some((first, last)) = left.next_if(|(first, _)| *first <= part.last) {
                assert!((part.first..=next.saturating_add(gap)).contains(&first) && last <= part.last);
                (next, gap) = (next.max(last.saturating_add(1)), 80);
            }
            assert_eq!(next, part.last + 1);
        }
        assert_eq!(left.next(), None);
    }
});

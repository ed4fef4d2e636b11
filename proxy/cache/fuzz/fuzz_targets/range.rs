//! Any bytes as a Range field: parts lie within the body, ascend, and do not touch.
#![no_main]

use littoral_cache::range::{ByteRange, RANGES_MAX, parse};

libfuzzer_sys::fuzz_target!(|input: (u64, &[u8])| {
    let (length, field) = input;
    if let ByteRange::Parts(parts) = parse(field, length) {
        assert!((1..=RANGES_MAX).contains(&parts.len()));
        assert!(parts.iter().all(|part| part.first <= part.last && part.last < length));
        assert!(parts.windows(2).all(|pair| pair[0].last + 1 < pair[1].first));
    }
});

//! Any bytes as the fields that say how long a response may be used, and as those of a request: the answer is never longer than
//! what was said, and conditions never panic.
#![no_main]

use std::time::{Duration, SystemTime};

use http::{HeaderMap, HeaderValue, StatusCode};
use littoral_cache::conditions::{evaluate, if_range};
use littoral_cache::control::{CacheControl, SECONDS_MAX};
use littoral_cache::demand::{Demand, is_idle};
use littoral_cache::freshness::{Rules, assess};
use littoral_cache::vary::{Selectors, Vary};

/// Fields that are read somewhere, each filled with a line of the input.
const FIELDS: [&str; 16] = [
    "cache-control", "cdn-cache-control", "surrogate-control", "littoral-cache-control", "expires", "date", "age",
    "last-modified", "etag", "vary", "if-none-match", "if-match", "if-modified-since", "if-range", "pragma", "set-cookie",
];

libfuzzer_sys::fuzz_target!(|input: &[u8]| {
    let mut headers = HeaderMap::new();
    for (name, line) in FIELDS.iter().cycle().zip(input.split(|byte| *byte == b'\n').take(64)) {
        if let Ok(value) = HeaderValue::from_bytes(line) {
            headers.append(*name, value);
        }
    }
    let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_700_000_000);
    if let Ok(storable) = assess(&HeaderMap::new(), StatusCode::OK, &headers, (now, now), &Rules::default()) {
        let lifetime = storable.lifetime;
        let seconds = lifetime.fresh_until.duration_since(lifetime.born).expect("fresh after it was born").as_secs();
        assert!(seconds <= u64::from(SECONDS_MAX));
        let control = CacheControl::targeted(&headers).unwrap_or_else(|| CacheControl::of(&headers));
        if let Some(said) = control.s_maxage.or(control.max_age) {
            assert!(seconds <= u64::from(said));
        }
    }
    if headers.get_all("cache-control").iter().all(|value| is_idle(value.as_bytes())) {
        assert_eq!(Demand::of(&headers).stale_if_error, None);
    }
    evaluate(&headers, StatusCode::OK, &headers);
    if_range(&headers, &headers);
    Vary::of(&headers).variance(&headers, &Selectors::default());
});

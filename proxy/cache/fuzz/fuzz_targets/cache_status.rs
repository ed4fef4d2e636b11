//! Any text as a Cache-Status field: reading it never panics, and what this node writes behind whatever came is read as it was meant.
#![no_main]

use littoral_cache::{FwdReason, Outcome, is_hit};

libfuzzer_sys::fuzz_target!(|input: &str| {
    is_hit(input);
    for (outcome, hit) in [(Outcome::Hit, true), (Outcome::Miss(FwdReason::Stale), false), (Outcome::Collapsed, false)] {
        let mut own = String::new();
        outcome.write_status(Some(input.len() as i64 - 9), true, &mut own);
        assert_eq!(is_hit(&own), hit, "{own}");
        // A field of other caches before, if it is one, changes nothing.
        let behind = format!("{input}, {own}");
        assert!(!is_hit(&behind) || hit, "{behind}");
    }
});

//! Any text of round-trip times: refused in one line, or read as it would be written.
#![no_main]

use libfuzzer_sys::fuzz_target;
use littoral_geo::rtt::{Rtts, Told, merged, parse, write};

fuzz_target!(|text: &str| match parse(text) {
    Err(problem) => assert!(problem.starts_with("line ") && !problem.contains('\n'), "{problem}"),
    Ok(rows) => {
        assert_eq!(parse(&write(rows.iter())).as_ref(), Ok(&rows));
        let told = Told { heard_ms: 0, until_ms: 1, by: String::new(), rows: merged(rows).0 };
        let (rtts, _) = Rtts::new([(0, &told)].into_iter(), None);
        for row in &told.rows {
            let (found, scope) = rtts.find(row.prefix.address(), 0);
            assert_eq!((found.to(0), scope), (Some(row.rtt_us), row.prefix.length()));
        }
    }
});

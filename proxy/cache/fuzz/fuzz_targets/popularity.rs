//! Popularity as one process tells it to another: any bytes are refused or an estimate whose every answer is a number, and what is learnt of
//! any log is accepted.
#![no_main]

use libfuzzer_sys::fuzz_target;
use littoral_cache::popularity::{Estimate, Figures, Popularity};
use littoral_cache::trace::{Form, Reader};

const PATHS: [&str; 3] = ["/title/720p/seg-3.m4s", "/title/720p/init.mp4", "/poster.jpg"];

fuzz_target!(|data: &[u8]| {
    if let Ok(figures) = Figures::from_json(data) {
        let estimate = Estimate::new(figures);
        assert!(estimate.mean_bytes() > 0);
        for path in PATHS {
            let watched = estimate.watched("a.example", path).unwrap_or_else(|| estimate.object("a.example", path));
            for (at, count) in [(0, 1), (3, 10), (5000, 100_000)] {
                let hits = estimate.hits(&watched, at, count);
                assert!(hits.is_finite() && hits >= 0.0, "{watched:?} {hits}");
            }
        }
    }
    let (mut reader, mut learnt) = (Reader::new(data, Form::Log), Popularity::default());
    while let Ok(Some(request)) = reader.next_request() {
        learnt.saw(&request);
    }
    let json = serde_json::to_vec(&learnt.figures()).expect("invariant: figures are JSON");
    Figures::from_json(&json).expect("invariant: what is learnt is accepted");
});

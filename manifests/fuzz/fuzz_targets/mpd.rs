//! Any bytes as a manifest, on demand and at some time when live, and as the index of whatever representations it lists.
#![no_main]

use littoral_manifests::{Presentation, Title};

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let base = url::Url::parse("http://host/title/manifest.mpd").expect("invariant: a constant URL");
    // The end of the input says what time it is.
    let now = bytes.last_chunk().map_or(0, |last| u64::from_le_bytes(*last));
    let live = [now, now % 4_000_000_000_000].map(|now| Presentation::parse_at(bytes, &base, now));
    let listed = live.into_iter().chain([Presentation::parse(bytes, &base)]).flatten();
    for mut presentation in listed {
        for representation in &mut presentation.representations {
            assert!(!representation.places.is_empty());
            let _ = representation.index_fetched(bytes);
            for segment in (0..representation.segments.len()).take(3) {
                let found = representation.resource(segment);
                let _ = found.map(|found| representation.elsewhere(&found, 1));
            }
        }
        for found in presentation.resources(|_| true).into_iter().take(3) {
            let path = found.url.path();
            let _ = presentation.behind(path, found.range);
            if let Some((representation, at)) = presentation.index_at(path) {
                let _ = presentation.behind_in(representation, bytes, path, found.range.or(Some(at)));
            }
        }
        let title = Title::new(presentation);
        let _ = title.find("/title/seg-auto-1.m4s").map(|segment| title.resolve(segment, 0).is_some());
    }
});

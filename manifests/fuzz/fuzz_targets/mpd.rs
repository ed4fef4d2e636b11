//! Any bytes as a manifest, and as the index of whatever representations it lists.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let base = url::Url::parse("http://host/title/manifest.mpd").expect("invariant: a constant URL");
    if let Ok(mut presentation) = littoral_manifests::Presentation::parse(bytes, &base) {
        for representation in &mut presentation.representations {
            let _ = representation.index_fetched(bytes);
        }
        let title = littoral_manifests::Title::new(presentation);
        let _ = title.find("/title/seg-auto-1.m4s").map(|segment| title.resolve(segment, 0).is_some());
    }
});

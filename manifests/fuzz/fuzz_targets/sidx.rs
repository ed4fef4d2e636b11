//! Any bytes as a segment index: what is read never claims more than was there.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    if let Some(index) = littoral_manifests::sidx::parse(bytes) {
        assert!(index.end <= bytes.len() && index.timescale > 0);
        assert!(index.subsegments.len() * 12 <= bytes.len());
    }
});

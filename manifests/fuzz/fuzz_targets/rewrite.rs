//! Any bytes as a manifest to rewrite: without rules it comes out as it went in; with rules, what was well-formed stays so, and
//! chunks make no difference.
#![no_main]

#[path = "../../tests/rewriting/properties.rs"]
mod properties;

use littoral_manifests::rewrite::{Rules, ServiceLocation, SteeringRule};
use properties::{is_well_formed, rewritten};

/// The rules that the bits of `which` choose.
fn rules(which: u8) -> Rules {
    let bit = |at: u8| which >> at & 1 == 1;
    Rules {
        origins: vec![("https://o.example".into(), "https://e.example/?a&b".into()); usize::from(bit(0))],
        max_height: bit(1).then_some(720),
        max_bandwidth: bit(2).then_some(5),
        codecs: vec!["avc1".into(); usize::from(bit(3))],
        languages: vec!["en".into(); usize::from(bit(4))],
        steering: bit(5).then(|| SteeringRule { url: "https://s/?a&<b>".into(), ..SteeringRule::default() }),
        locations: vec![ServiceLocation { name: "\"a\"".into(), url: "https://a/".into() }; usize::from(bit(6))],
        auto: bit(7),
    }
}

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    // The end of the input, which is a comment to XML or nothing, chooses the rules and the chunks.
    let (which, chunk) = (bytes.last().copied().unwrap_or(0), 1 + bytes.len() % 61);
    assert!(rewritten(bytes, &Rules::default(), chunk) == bytes, "without rules it is the same");
    for which in [which, !which, 0xff] {
        let out = rewritten(bytes, &rules(which), chunk);
        assert!(out == rewritten(bytes, &rules(which), usize::MAX), "chunks make no difference");
        assert!(!is_well_formed(bytes) || is_well_formed(&out), "it stays well-formed");
    }
});

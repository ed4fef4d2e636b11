//! The contract holds: guests that were built for 0.1.0, and are kept here as they were, load and answer as they did.

use std::path::Path;

use littoral_plugin_host::author;

#[test]
fn a_guest_built_for_0_1_0_keeps_loading_and_answering() {
    let kept = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/contract-0.1.0");
    for name in ["route-geo", "evict-lfu-size"] {
        let file = kept.join(name).with_extension("wasm");
        assert_eq!(author::check(&file, "{}"), Ok(Vec::new()), "{name}");
        let vectors = author::vectors_of(&file).unwrap();
        for case in author::test(&file, &vectors, "{}").unwrap() {
            assert_eq!(case.problem, None, "{name}: {}", case.name);
        }
    }
    let file = kept.join("service-uppercase.wasm");
    assert_eq!(author::check(&file, "{}"), Ok(Vec::new()), "a node serves connections with it");
    assert_eq!(author::inspect(&file).unwrap().worlds, ["stream-service"]);
    for name in ["route-geo", "evict-lfu-size", "service-uppercase"] {
        let file = kept.join(name).with_extension("wasm");
        let exports = author::inspect(&file).unwrap().exports;
        assert!(exports.iter().all(|export| export.ends_with("@0.1.0")), "it is what it was: {exports:?}");
    }
}

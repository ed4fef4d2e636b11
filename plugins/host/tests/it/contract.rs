//! The contract holds: guests that were built for 0.1.0, and are kept here as they were, load and answer as they did. Those that serve do so on a
//! node, in `proxy/tests/it/contract.rs`.

use std::path::{Path, PathBuf};

use littoral_plugin_host::{Event, Interface, What, author};

use super::{host, spec};

/// Each with the world that it was built for.
const KEPT: [(&str, &str); 9] = [
    ("route-geo", "routing-policy"),
    ("rate", "rate-policy"),
    ("evict-lfu-size", "cache-policy"),
    ("evict-lru", "cache-exact-policy"),
    ("filter", "http-filter"),
    ("timed-filter", "timed-http-filter"),
    ("service-uppercase", "stream-service"),
    ("datagram-uppercase", "datagram-service"),
    ("swarm", "swarm-service"),
];

fn kept(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/contract-0.1.0").join(name).with_extension("wasm")
}

#[test]
fn guests_built_for_0_1_0_are_what_they_were_and_a_node_takes_them() {
    for (name, world) in KEPT {
        let file = kept(name);
        assert_eq!(author::check(&file, "{}"), Ok(Vec::new()), "{name}");
        let told = author::inspect(&file).unwrap();
        assert!(told.worlds.contains(&world), "{name}: {:?}", told.worlds);
        assert!(told.exports.iter().all(|export| export.ends_with("@0.1.0")), "{name}: {:?}", told.exports);
    }
}

#[test]
fn policies_and_filters_built_for_0_1_0_answer_as_they_did() {
    for name in ["route-geo", "rate", "evict-lfu-size", "evict-lru", "filter", "timed-filter"] {
        let file = kept(name);
        let vectors = author::vectors_of(&file).unwrap_or_else(|| panic!("{name} has cases"));
        for case in author::test(&file, &vectors, "{}").unwrap() {
            assert_eq!(case.problem, None, "{name}: {}", case.name);
        }
    }
}

#[test]
fn an_exact_policy_built_for_0_1_0_names_who_goes_as_it_did() {
    let plugin = host().load(spec("kept", kept("evict-lru")), Some(Interface::Exact)).unwrap();
    let mut keeper = plugin.keeper(1000).unwrap().expect("an exact policy");
    let event =
        |what, handle: u32| Event { what, handle, key: handle.into(), bytes: 10, now_ms: 0, fetch_us: 0, title: None };
    let mut go = Vec::new();
    (0..3).for_each(|handle| keeper.tell(event(What::Arrives, handle), &mut go));
    keeper.tell(event(What::Used, 0), &mut go);
    keeper.tell(event(What::Gone, 1), &mut go);
    keeper.ask(Some(event(What::Arrives, 3)), 10, &mut go);
    keeper.ask(None, 15, &mut go);
    assert_eq!((&go[..], keeper.fault()), (&[2, 0, 3][..], None));
}

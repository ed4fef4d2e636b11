//! Every answer is checked before anybody sees it. The guest is `puppet.wat`, which answers what it was told to.

use std::sync::Arc;

use littoral_plugin_host::{Choice, Fault, Flow, Interface, Plugin};

use super::{advance, flow, host, spec};

const NONE: u16 = u16::MAX;

/// The puppet with `words` in its memory from address 0.
fn puppet(words: Vec<u32>) -> (tempfile::TempDir, Arc<Plugin>) {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("puppet.wasm");
    std::fs::write(&file, wat::parse_str(include_str!("puppet.wat")).unwrap()).unwrap();
    let plugin = host().load(spec("puppet", file), Some(Interface::Routing)).unwrap();
    plugin.push_ladder(1, words);
    (directory, plugin)
}

/// What the host makes of a choice among the clusters 0, 1 and 2.
fn decided([first, second, third]: [u16; 3]) -> Result<[u16; 3], Fault> {
    let pair = |low: u16, high: u16| u32::from(low) | u32::from(high) << 16;
    let (_directory, plugin) = puppet(vec![pair(first, second), pair(third, 30)]);
    let choice = plugin.decide(&Flow { key: 0, candidates: 0b111, ..flow() })?;
    assert_eq!(choice, Choice { clusters: choice.clusters, ttl_s: 30 });
    Ok(choice.clusters)
}

#[test]
fn a_choice_names_candidates_each_once_and_nothing_after_the_end_of_its_list() {
    for good in [[0, 1, 2], [2, 0, NONE], [1, NONE, NONE], [NONE, NONE, NONE]] {
        assert_eq!(decided(good), Ok(good));
    }
    for bad in [[3, 0, 1], [0, 64, 1], [0, 1, 65534], [1, 1, 2], [0, 2, 0], [0, 2, 2], [1, NONE, 2], [NONE, 1, NONE]] {
        assert_eq!(decided(bad), Err(Fault::Nonsense), "{bad:?}");
    }
}

#[test]
fn an_answer_outside_of_the_guests_memory_is_nonsense() {
    let (_directory, plugin) = puppet(vec![0; 64]);
    for outside in [65_529, 65_536, u64::from(u32::MAX)] {
        assert_eq!(plugin.decide(&Flow { key: outside, ..flow() }), Err(Fault::Nonsense), "{outside}");
        advance(60_000);
    }
}

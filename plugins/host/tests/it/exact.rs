//! Exact policies as guests: told in order, asked for bytes, and left alone once they faulted.

use littoral_plugin_host::{Event, Fault, Interface, What};

use littoral_plugin_host::author;

use super::{guest, load};

fn event(what: What, handle: u32) -> Event {
    Event { what, handle, key: u64::from(handle), bytes: 10, now_ms: 0, fetch_us: 0, title: None }
}

#[test]
fn an_exact_guest_names_who_goes_as_its_native_twin_does() {
    for (name, gone) in [("evict-lru", [1, 2]), ("evict-sieve", [1, 2]), ("evict-gdsf", [1, 2])] {
        let (plugin, mut go) = (load(name, Interface::Exact), Vec::new());
        let mut keeper = plugin.keeper(1000).unwrap().expect("an exact policy");
        (0..4).for_each(|handle| keeper.tell(event(What::Arrives, handle), &mut go));
        keeper.tell(event(What::Used, 0), &mut go);
        keeper.tell(event(What::Used, 3), &mut go);
        assert!(go.is_empty(), "{name}: nothing was asked for");
        keeper.ask(Some(event(What::Arrives, 4)), 10, &mut go);
        keeper.tell(event(What::Gone, 9), &mut go);
        keeper.ask(None, 10, &mut go);
        // What arrived last was never used either, and came after.
        assert_eq!((&go[..], keeper.fault()), (&gone[..], None), "{name}");
    }
}

#[test]
fn a_segment_that_nobody_is_ahead_of_is_named_first() {
    let (plugin, mut go) = (load("evict-littoral", Interface::Exact), Vec::new());
    let mut keeper = plugin.keeper(1000).unwrap().expect("an exact policy");
    let segment = |what, number: u32| Event {
        title: Some((7, 1, number)),
        now_ms: u64::from(number) * 4000,
        ..event(what, number)
    };
    (0..3).for_each(|number| keeper.tell(segment(What::Arrives, number), &mut go));
    keeper.tell(Event { now_ms: 12_000, ..segment(What::Used, 0) }, &mut go);
    keeper.ask(None, 10, &mut go);
    assert_eq!(go, [0], "who plays is past it");
}

#[test]
fn a_policy_that_keeps_nothing_has_no_keeper_and_one_that_faulted_is_not_asked_again() {
    assert!(load("evict-lfu-size", Interface::Cache).keeper(1000).unwrap().is_none());
    let (plugin, mut go) = (load("evict-lru", Interface::Exact), Vec::new());
    let mut keeper = plugin.keeper(1000).unwrap().expect("an exact policy");
    // A row for each handle up to this one does not fit into its memory.
    keeper.ask(Some(event(What::Arrives, 16_000_000)), 0, &mut go);
    let (fault, words) = keeper.fault().expect("a fault");
    assert!(matches!(fault, Fault::Memory | Fault::Trap), "{words}");
    keeper.ask(Some(event(What::Arrives, 1)), 10, &mut go);
    assert!(go.is_empty());
}

/// What is wrong with a tier of four objects in which this happens then.
fn problem(name: &str, then: &str) -> Option<String> {
    let arrives: String =
        (0..4).map(|handle| format!("{{ arrives = {{ handle = {handle}, bytes = 10 }} }}, ")).collect();
    let text = format!("[[case]]\nname = \"c\"\nexact = {{ bytes = 40, steps = [{arrives}{then}] }}");
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("v.toml");
    std::fs::write(&file, text).unwrap();
    author::test(&guest(name), &file, "{}").unwrap().remove(0).problem
}

#[test]
fn vectors_tell_an_exact_policy_what_happens_and_say_who_was_to_go() {
    for name in ["evict-lru", "evict-sieve", "evict-gdsf"] {
        assert_eq!(problem(name, "{ used = 0 }, { need = 10, go = [1] }"), None, "{name}");
    }
    let said = problem("evict-lru", "{ used = 0 }, { need = 10, go = [0] }").unwrap();
    assert_eq!(said, "step 6: expected go [0], got [1]");
    let said = problem("evict-lru", "{ need = 10 }, { used = 0 }").unwrap();
    assert_eq!(said, "step 6: 0 is not there: it never came, or has gone");
    let said = problem("evict-lfu-size", "{ need = 10 }").unwrap();
    assert!(said.contains("it does not export cache-exact"), "{said}");
    let text = "exact = { bytes = 40, steps = [{ arrives = { handle = 7, bytes = 5 } }, { need = 1 }] }";
    let ran = author::run(&guest("evict-lru"), text).unwrap();
    assert_eq!((ran.function, ran.go, ran.words.as_str()), ("step", Some(vec![7]), "[7] go"));
    let vectors = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../policy/evict-lru/vectors.toml");
    let measured = author::bench(&guest("evict-lru"), Some(&vectors), "{}", 1).unwrap();
    let step = measured.iter().find(|one| one.function == "step").unwrap();
    assert!(step.fault.is_none() && step.fuel > 10 && step.p50_ns > 0.0, "{step:?}");
}

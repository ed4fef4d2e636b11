//! Words of drained clusters: which one holds, what is kept of them, and how much.

use std::sync::Arc;

use littoral_geo::{Cluster, GeoConfig};

use super::*;

const THEN: u64 = 1_700_000_000_000;

fn config(ids: &[&str]) -> GeoConfig {
    let cluster = |id: &&str| Cluster {
        id: (*id).to_owned(),
        deep: false,
        at: [0.0, 0.0],
        capacity_mbps: 1000,
        nodes: Vec::new(),
        draining: false,
        prefixes: Vec::new(),
        systems: Vec::new(),
    };
    GeoConfig { clusters: ids.iter().map(cluster).collect(), ..GeoConfig::default() }
}

fn drains(ids: &[&str]) -> Drains {
    let routing = Arc::new(littoral_geo::NativeGeo::default());
    Drains::new(Arc::new(Director::new(config(ids), routing).unwrap().0))
}

fn draining(drains: &Drains) -> Vec<String> {
    let views = drains.director.clusters().into_iter();
    views.filter(|cluster| cluster.draining).map(|cluster| cluster.id).collect()
}

fn word(cluster: &str, drained: bool, at_ms: u64, by: &str) -> Word {
    Word { cluster: cluster.into(), drained, at_ms, since_ms: THEN, by: by.into() }
}

#[test]
fn a_command_that_is_repeated_changes_nothing_but_how_late_it_is() {
    let drains = drains(&["one", "two"]);
    let first = drains.order("one", true, "a").unwrap();
    assert!(first.changed && first.draining && !first.kept, "{first:?}");
    let word_of = || drains.words().remove(0);
    let before = word_of();
    let again = drains.order("one", true, "b").unwrap();
    assert_eq!((again.changed, again.draining), (false, true));
    let after = word_of();
    assert_eq!(after.since_ms, before.since_ms);
    assert!(after.at_ms > before.at_ms, "{after:?}");
    assert_eq!(draining(&drains), ["one"]);
    let back = drains.order("one", false, "a").unwrap();
    assert_eq!((back.changed, back.draining, back.by), (true, false, None));
    assert!(!drains.order("one", false, "a").unwrap().changed && draining(&drains).is_empty());
    let unknown = drains.order("three", true, "a").unwrap_err().to_string();
    assert_eq!(unknown, "no [[cluster]] of this node has the id \"three\"; there are: one, two");
}

#[test]
fn of_two_deciders_the_later_word_holds_at_both_in_whichever_order_it_comes() {
    let words = [word("one", true, THEN + 5, "a"), word("one", false, THEN + 6, "b"), word("one", true, THEN + 6, "a")];
    for order in [[0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]] {
        let drains = drains(&["one"]);
        for at in order {
            drains.hear(vec![words[at].clone()]);
        }
        assert_eq!(drains.words(), [words[1].clone()], "{order:?}");
        assert!(draining(&drains).is_empty() && !drains.hear(words.to_vec()), "{order:?}");
    }
    let drains = drains(&["one"]);
    drains.hear(vec![word("one", true, UNIX_MS_MAX - 7, "fast"), word("other", true, THEN, "a")]);
    assert_eq!((draining(&drains), drains.words().len()), (vec!["one".to_owned()], 1), "others are not of this config");
    // A command is later than what is known, however wrong the clock was that said it.
    assert!(drains.order("one", false, "b").unwrap().changed);
    assert_eq!(drains.words()[0].at_ms, UNIX_MS_MAX - 6);
}

#[test]
fn a_word_outlives_the_process_a_reload_and_the_absence_of_its_cluster() {
    let directory = tempfile::tempdir().unwrap();
    let before = drains(&["one", "two"]);
    before.resume(Some(directory.path()));
    assert!(before.order("two", true, "a").unwrap().kept);
    let after = drains(&["one", "two"]);
    after.resume(Some(directory.path()));
    assert_eq!(draining(&after), ["two"]);
    assert_eq!(after.words(), before.words());
    for ids in [&["one"][..], &["two", "one"]] {
        after.director.reload(config(ids)).unwrap();
        after.apply();
    }
    assert_eq!(draining(&after), ["two"]);
    after.hand_over();
    assert_eq!(after.order("two", false, "a"), Err(Undone::HandedOver));
    assert!(!after.hear(vec![word("two", false, UNIX_MS_MAX, "b")]) && draining(&after) == ["two"]);
    after.take_back();
    assert!(after.order("two", false, "a").unwrap().changed);
}

#[test]
fn a_file_that_is_not_right_to_the_last_byte_drains_nobody() {
    let text = text_of(&[word("one", true, THEN, "a")]);
    assert_eq!(words_of(&text).unwrap().len(), 1);
    for at in 0..text.len() {
        let mut bytes = text.clone().into_bytes();
        bytes[at] ^= 1;
        let changed = String::from_utf8(bytes).unwrap();
        assert!(words_of(&changed).is_err(), "{at}: {changed}");
        assert!(words_of(&text[..at]).is_err(), "cut off at {at}");
    }
    assert!(words_of(&text_of(&[word("", true, THEN, "a")])).is_err(), "what nobody writes");
    let directory = tempfile::tempdir().unwrap();
    std::fs::write(directory.path().join(FILE), &text[1..]).unwrap();
    let drains = drains(&["one"]);
    drains.resume(Some(directory.path()));
    assert!(draining(&drains).is_empty());
    assert!(drains.order("one", true, "a").unwrap().kept, "it is replaced by one that is right");
    assert_eq!(words_of(&std::fs::read_to_string(directory.path().join(FILE)).unwrap()).unwrap(), drains.words());
}

#[test]
fn words_of_clusters_that_are_gone_make_room_the_oldest_first() {
    let mut words = std::collections::BTreeMap::new();
    let known = ["new".to_owned(), "c0".to_owned()];
    for number in 0..WORDS_MAX {
        put(&mut words, word(&format!("c{number}"), true, THEN + number as u64, "a"), &known);
    }
    put(&mut words, word("new", true, THEN + 1000, "a"), &known);
    assert_eq!(words.len(), WORDS_MAX);
    assert!(words.contains_key("c0") && words.contains_key("new") && !words.contains_key("c1"));
    assert!(text_of(&words.into_values().collect::<Vec<_>>()).len() as u64 <= FILE_BYTES_MAX);
}

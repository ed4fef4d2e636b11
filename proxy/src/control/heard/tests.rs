//! What is heard, at times that the tests hand in.

use super::*;
use crate::control::message::VERSION;

const BOUNDS: Bounds = Bounds { silent_after_ms: 5_000, max_age_ms: 300_000 };

fn report(run: u64, seq: u64, load: u16) -> Report {
    let program = "0".into();
    Report { v: VERSION, run, seq, up: true, load, program, serving: None, directing: None, generation: 1 }
}

fn speaker(cluster: &str, node: &str) -> Speaker {
    (cluster.into(), node.into())
}

fn verdict(heard: &Heard, cluster: &str, now_ms: u64) -> Option<Verdict> {
    heard.verdicts(now_ms).get(cluster).copied()
}

/// Two clusters of one node each, heard at 1000.
fn two() -> Heard {
    let mut heard = Heard::new(BOUNDS);
    heard.hear(speaker("ams", "a"), report(1, 1, 100), 900).unwrap();
    heard.hear(speaker("fra", "f"), report(1, 1, 300), 1_000).unwrap();
    heard
}

#[test]
fn before_anything_is_heard_nothing_is_said() {
    let heard = Heard::new(BOUNDS);
    assert_eq!((heard.freshness(1), heard.verdicts(1).len(), heard.age_ms(1)), (Freshness::None, 0, None));
}

#[test]
fn a_cluster_is_as_loaded_as_its_nodes_that_take_clients_are_on_average() {
    let mut heard = two();
    heard.hear(speaker("ams", "b"), report(1, 1, 301), 1_000).unwrap();
    assert_eq!(verdict(&heard, "ams", 1_000), Some(Verdict::Up(200)));
    heard.hear(speaker("ams", "b"), Report { up: false, ..report(1, 2, 301) }, 1_100).unwrap();
    assert_eq!(verdict(&heard, "ams", 1_100), Some(Verdict::Up(100)));
    heard.hear(speaker("ams", "a"), Report { up: false, ..report(1, 2, 0) }, 1_200).unwrap();
    assert_eq!(verdict(&heard, "ams", 1_200), Some(Verdict::Stopping));
}

#[test]
fn a_node_that_falls_silent_while_others_speak_is_silent_after_the_bound_and_not_before() {
    let mut heard = two();
    heard.hear(speaker("fra", "f"), report(1, 2, 300), 5_900).unwrap();
    assert_eq!(verdict(&heard, "ams", 5_900), Some(Verdict::Up(100)));
    heard.hear(speaker("fra", "f"), report(1, 3, 300), 5_901).unwrap();
    assert_eq!(verdict(&heard, "ams", 5_901), Some(Verdict::Silent));
    assert_eq!(verdict(&heard, "fra", 5_901), Some(Verdict::Up(300)));
    heard.hear(speaker("ams", "a"), report(1, 2, 50), 6_000).unwrap();
    assert_eq!(verdict(&heard, "ams", 6_000), Some(Verdict::Up(50)), "and is back with its next word");
}

#[test]
fn its_own_reports_tell_a_partition_from_the_only_other_node_gone() {
    let mut heard = Heard::new(BOUNDS);
    heard.hear(speaker("ams", "a"), report(1, 1, 100), 1_000).unwrap();
    heard.way_is_there(4_000);
    heard.way_is_there(6_001);
    assert_eq!((verdict(&heard, "ams", 6_001), heard.freshness(6_001)), (Some(Verdict::Silent), Freshness::Fresh));
}

#[test]
fn in_a_partition_the_last_state_is_kept_and_said_to_be_and_given_up_after_the_bound() {
    let heard = two();
    let before = heard.verdicts(1_000);
    for (now_ms, freshness, holds) in [
        (6_000, Freshness::Fresh, true),
        (6_001, Freshness::Kept, true),
        (301_000, Freshness::Kept, true),
        (301_001, Freshness::Old, false),
        (u64::MAX, Freshness::Old, false),
    ] {
        assert_eq!(heard.freshness(now_ms), freshness, "at {now_ms}");
        assert_eq!(heard.verdicts(now_ms), if holds { before.clone() } else { BTreeMap::new() }, "at {now_ms}");
    }
}

#[test]
fn when_a_partition_ends_nobody_is_held_for_silent_before_he_had_time_to_speak() {
    for away_ms in [10_000, 400_000] {
        let mut heard = two();
        let back = 1_000 + away_ms;
        heard.hear(speaker("fra", "f"), report(1, 2, 310), back).unwrap();
        assert_eq!((heard.freshness(back), verdict(&heard, "ams", back)), (Freshness::Fresh, Some(Verdict::Up(100))));
        heard.way_is_there(back + 4_000);
        heard.way_is_there(back + 5_000);
        assert_eq!(verdict(&heard, "ams", back + 5_000), Some(Verdict::Up(100)));
        heard.way_is_there(back + 5_001);
        assert_eq!(verdict(&heard, "ams", back + 5_001), Some(Verdict::Silent), "he did not use it");
    }
}

#[test]
fn reports_that_come_late_or_twice_change_nothing_unless_their_node_has_fallen_silent() {
    let mut heard = two();
    heard.hear(speaker("ams", "a"), report(2, 1, 10), 1_100).unwrap();
    for late in [report(2, 1, 99), report(1, 9, 99)] {
        assert_eq!(heard.hear(speaker("ams", "a"), late, 1_200), Err(Refused::Late));
    }
    assert_eq!(verdict(&heard, "ams", 1_200), Some(Verdict::Up(10)));
    heard.way_is_there(6_000);
    heard.way_is_there(6_101);
    assert_eq!(heard.hear(speaker("ams", "a"), report(1, 1, 20), 6_102), Ok(()), "its clock was set back");
}

#[test]
fn who_is_not_expected_is_refused_and_forgotten() {
    let mut heard = two();
    heard.expect(Expected { clusters: vec!["ams".into()], nodes: vec!["a".into(), "n".into()] });
    assert_eq!(heard.nodes().count(), 1);
    for (cluster, node, outcome) in
        [("fra", "a", Err(Refused::Cluster)), ("ams", "x", Err(Refused::Node)), ("ams", "n", Ok(())), ("", "n", Ok(()))]
    {
        assert_eq!(heard.hear(speaker(cluster, node), report(1, 5, 0), 1_100), outcome, "{cluster} {node}");
    }
    assert_eq!(heard.verdicts(1_100).len(), 1, "who is of no cluster has no verdict");
}

#[test]
fn nodes_beyond_the_bound_are_refused_until_one_is_silent() {
    let mut heard = Heard::new(BOUNDS);
    for number in 0..NODES_HEARD_MAX {
        heard.hear(speaker("c", &number.to_string()), report(1, 1, 0), 1_000 + number as u64 / 4096).unwrap();
    }
    assert_eq!(heard.hear(speaker("c", "more"), report(1, 1, 0), 1_500), Err(Refused::Full));
    heard.way_is_there(5_000);
    heard.way_is_there(9_000);
    assert_eq!(heard.hear(speaker("c", "more"), report(1, 1, 0), 9_000), Ok(()));
    assert_eq!(heard.nodes().count(), NODES_HEARD_MAX);
}

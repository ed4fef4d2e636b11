//! Votes, at times that the tests hand in.

use super::*;
use crate::control::heard::{Bounds, Expected};
use crate::control::message::VERSION;

const BOUNDS: Bounds = Bounds { silent_after_ms: 5_000, max_age_ms: 300_000 };

fn heard() -> Heard {
    let mut heard = Heard::new(BOUNDS);
    heard.expect(Expected { clusters: vec!["ams".into(), "fra".into()], nodes: Vec::new() });
    heard.way_is_there(1_000);
    heard
}

fn decider(node: &str) -> Speaker {
    (String::new(), node.into())
}

fn votes(seq: u64, up: &[&str], down: &[&str]) -> Votes {
    let names = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
    Votes { v: VERSION, run: 1, seq, up: names(up), down: names(down) }
}

fn own(up: bool) -> Found {
    [("ams".to_owned(), up)].into()
}

/// What is made of `ams`; `None`: its own probes decide.
fn outcome(ballot: &mut Ballot, heard: &Heard, own: &Found, now_ms: u64) -> Option<bool> {
    ballot.count(heard, own, Quorum::Majority, now_ms).get("ams").map(|outcome| outcome.up)
}

#[test]
fn a_cluster_is_down_when_more_than_half_of_the_deciders_find_it_so() {
    for (own_up, others, up) in [
        (false, &[][..], None),
        (false, &[true], Some(true)),
        (true, &[false], Some(true)),
        (false, &[false], Some(false)),
        (false, &[true, true], Some(true)),
        (true, &[false, false], Some(false)),
        (false, &[false, true], Some(false)),
        (false, &[false, true, true], Some(true)),
    ] {
        let (mut ballot, mut heard) = (Ballot::default(), heard());
        for (number, other) in others.iter().enumerate() {
            let votes = if *other { votes(1, &["ams"], &[]) } else { votes(1, &[], &["ams"]) };
            ballot.hear(&mut heard, decider(&number.to_string()), votes, 1_000).unwrap();
        }
        assert_eq!(outcome(&mut ballot, &heard, &own(own_up), 1_000), up, "{own_up} {others:?}");
        let overruled = ballot.outcomes().get("ams").is_some_and(Outcome::is_overruled);
        assert_eq!(overruled, up.is_some_and(|up| up != own_up), "{own_up} {others:?}");
    }
}

#[test]
fn a_number_is_a_quorum_too_and_fewer_deciders_than_that_are_all_it_takes() {
    for (quorum, down, of, up) in
        [(1, 1, 3, false), (2, 1, 3, true), (2, 2, 3, false), (3, 2, 2, false), (3, 1, 2, true), (2, 0, 2, true)]
    {
        let (mut ballot, mut heard) = (Ballot::default(), heard());
        for number in 0..of {
            let votes = if number < down { votes(1, &[], &["ams"]) } else { votes(1, &["ams"], &[]) };
            ballot.hear(&mut heard, decider(&number.to_string()), votes, 1_000).unwrap();
        }
        // This node does not probe: it goes by those who do.
        let outcomes = ballot.count(&heard, &Found::new(), Quorum::Number(quorum), 1_000);
        assert_eq!((outcomes["ams"].up, outcomes["ams"].of), (up, of), "{quorum}: {down} of {of}");
    }
}

#[test]
fn who_falls_silent_has_no_vote_and_who_is_left_alone_goes_by_its_own_probes() {
    let (mut ballot, mut heard) = (Ballot::default(), heard());
    ballot.hear(&mut heard, decider("a"), votes(1, &["ams"], &[]), 1_000).unwrap();
    ballot.hear(&mut heard, decider("b"), votes(1, &["ams"], &[]), 3_000).unwrap();
    heard.way_is_there(6_001);
    ballot.count(&heard, &own(false), Quorum::Majority, 6_001);
    let Outcome { up, down, of, needed, .. } = ballot.outcomes()["ams"];
    assert_eq!((up, down, of, needed), (true, 1, 2, 2), "b alone is heard");
    heard.way_is_there(8_001);
    assert_eq!(outcome(&mut ballot, &heard, &own(false), 8_001), None);
}

#[test]
fn in_a_partition_the_outcome_holds_until_the_own_probes_find_something_new_or_the_bound_is_over() {
    let begin = || {
        let (mut ballot, mut heard) = (Ballot::default(), heard());
        ballot.hear(&mut heard, decider("a"), votes(1, &["ams"], &[]), 1_000).unwrap();
        assert_eq!(outcome(&mut ballot, &heard, &own(false), 1_000), Some(true));
        (ballot, heard)
    };
    let (mut ballot, heard) = begin();
    for (own_up, now_ms, up) in [(false, 7_000, Some(true)), (true, 8_000, None), (false, 9_000, None)] {
        assert_eq!(outcome(&mut ballot, &heard, &own(own_up), now_ms), up, "{own_up} at {now_ms}");
    }
    let (mut ballot, mut heard) = begin();
    for (now_ms, up) in [(7_000, Some(true)), (301_000, Some(true)), (301_001, None)] {
        assert_eq!(outcome(&mut ballot, &heard, &own(false), now_ms), up, "at {now_ms}");
    }
    heard.way_is_there(400_000);
    assert_eq!(outcome(&mut ballot, &heard, &own(false), 400_000), None, "what was given up does not come back");
}

#[test]
fn what_went_down_while_nobody_was_heard_is_down_by_the_own_probes() {
    let (mut ballot, mut heard) = (Ballot::default(), heard());
    for node in ["a", "b"] {
        ballot.hear(&mut heard, decider(node), votes(1, &["ams"], &[]), 1_000).unwrap();
    }
    assert_eq!(outcome(&mut ballot, &heard, &own(true), 1_000), Some(true));
    assert_eq!(outcome(&mut ballot, &heard, &own(false), 20_000), None, "their last votes do not hold it up");
}

#[test]
fn votes_of_strangers_of_before_and_on_what_is_not_here_are_not_kept() {
    let (mut ballot, mut heard) = (Ballot::default(), heard());
    ballot.hear(&mut heard, decider("a"), votes(2, &["elsewhere"], &["ams"]), 1_000).unwrap();
    assert_eq!(ballot.hear(&mut heard, decider("a"), votes(2, &["ams"], &[]), 1_100), Err(Refused::Late));
    let strange = ("lhr".to_owned(), "x".to_owned());
    assert_eq!(ballot.hear(&mut heard, strange, votes(1, &["ams"], &[]), 1_100), Err(Refused::Cluster));
    assert_eq!(ballot.count(&heard, &Found::new(), Quorum::Majority, 1_100).len(), 1);
    assert_eq!(outcome(&mut ballot, &heard, &Found::new(), 1_100), Some(false));
    heard.expect(Expected { clusters: vec!["fra".into()], nodes: vec!["b".into()] });
    ballot.expect(&heard);
    assert_eq!((ballot.of("ams").count(), ballot.outcomes().len()), (0, 0));
}

#[test]
fn deciders_beyond_the_bound_are_refused_until_one_is_silent() {
    let (mut ballot, mut heard) = (Ballot::default(), heard());
    for number in 0..DECIDERS_MAX {
        ballot.hear(&mut heard, decider(&number.to_string()), votes(1, &["ams"], &[]), 1_000).unwrap();
    }
    assert_eq!(ballot.hear(&mut heard, decider("more"), votes(1, &["ams"], &[]), 1_500), Err(Refused::Full));
    heard.way_is_there(4_000);
    heard.way_is_there(6_001);
    assert_eq!(ballot.hear(&mut heard, decider("more"), votes(1, &["ams"], &[]), 6_001), Ok(()));
    assert_eq!(ballot.of("ams").count(), DECIDERS_MAX);
}

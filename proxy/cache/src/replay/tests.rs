//! Tiers without bodies: their bounds, whatever a policy says. Hit ratios are compared in `tests/replay.rs`.

use super::*;
use crate::evict::LfuSize;

/// Names nothing, or what is not there.
struct Liar;

impl Exact for Liar {
    fn used(&mut self, _handle: u32, _now_ms: u64, go: &mut Vec<u32>) {
        go.push(99);
    }
    fn arrives(&mut self, _object: &Object, _need: u64, _now_ms: u64, go: &mut Vec<u32>) {
        go.push(7);
    }
    fn evict(&mut self, _need: u64, _now_ms: u64, _go: &mut Vec<u32>) {}
    fn gone(&mut self, _handle: u32) {}
}

fn ask(tier: &mut impl Tier, id: u64, bytes: u64) {
    tier.request(&Request { id, bytes, now_ms: tier.tally().requests * 1000, ..Request::default() });
}

#[test]
fn a_policy_that_names_nothing_that_is_there_breaks_no_bound() {
    let mut tier = Exactly::new(Liar, 100);
    for id in 0..50 {
        ask(&mut tier, id % 3, 40);
    }
    let tally = tier.tally();
    assert!(tier.used <= 100 && tally.nonsense > 0 && tally.refused > 0, "{tally:?}");
    assert_eq!(tally.hits + 2 + tally.refused, 50, "two stay, the third never comes in");
}

#[test]
fn the_nodes_policy_keeps_what_is_asked_for_again_within_the_bound() {
    let mut tier = Sampled::new(&LfuSize, 10_000);
    for round in 0..2000_u64 {
        ask(&mut tier, 1, 1000);
        ask(&mut tier, 1000 + round, 1000);
        assert!(tier.used <= 10_000 && tier.index.len() == tier.there.len());
    }
    let tally = tier.tally();
    assert_eq!((tally.requests, tally.hits, tally.hit_bytes), (4000, 1999, 1_999_000), "{tally:?}");
    ask(&mut tier, 5, 10_001);
    assert_eq!(tier.tally().refused, tally.refused + 1, "what is larger than the tier");
}

#[test]
fn a_replay_comes_out_the_same_again() {
    let run = || {
        let mut tier = Sampled::new(&LfuSize, 5_000);
        (0..20_000_u64).for_each(|number| ask(&mut tier, mix(number) % 97, mix(number % 97) % 300 + 1));
        tier.tally()
    };
    assert_eq!(run(), run());
}

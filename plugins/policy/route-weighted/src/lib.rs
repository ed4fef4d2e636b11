//! Which cluster: each gets the share of the clients that the operator gives it, or that its capacity is of all, wherever they are.
//!
//! ```toml
//! config = { shares = { ams = 70, fra = 20, lhr = 10 }, zones = true }
//! ```
//!
//! Shares are weights, by the names of `[[cluster]]` or as a list in that order; a name that none has is logged and passed over. A cluster without one, or with 0, is named only when nobody else is a candidate.
//! Without `shares` capacities are the weights.
//! A client stays where it is (its prefix and service decide, by weighted rendezvous hashing): a share that grows takes clients of
//! the others, and nobody else moves. With `zones` a client in a coverage zone is not drawn for: its cluster comes first.

use std::collections::BTreeMap;

use littoral_plugin::policy::named::Who;
use littoral_plugin::policy::{CLUSTERS_MAX, Choice, Cluster, Explained, Flow, Routing, Term, lot};
use serde::Deserialize;

/// What the operator says.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Config {
    /// Of each cluster; none: their capacities.
    shares: Shares,
    /// Whether coverage zones come first.
    zones: bool,
}

/// Shares of clusters.
#[derive(Debug, Deserialize)]
#[serde(untagged, expecting = "expected shares: a table by name, or a list in the order of [[cluster]]")]
enum Shares {
    InOrder(Vec<f32>),
    ByName(BTreeMap<String, f32>),
}

impl Default for Shares {
    fn default() -> Self {
        Self::InOrder(Vec::new())
    }
}

impl Shares {
    /// Whose, and how much.
    fn all(&self) -> Vec<(Who, f32)> {
        match self {
            Self::InOrder(all) => (0..).map(Who::Number).zip(all.iter().copied()).collect(),
            Self::ByName(all) => all.iter().map(|(name, share)| (Who::Name(name.clone()), *share)).collect(),
        }
    }
}

/// Shares by the places of clusters in candidate masks; what is of none of them is left out.
fn by_place(given: impl Iterator<Item = (u16, f32)>) -> [f32; CLUSTERS_MAX] {
    let mut shares = [0.0; CLUSTERS_MAX];
    for (index, share) in given {
        if let Some(room) = shares.get_mut(usize::from(index)) {
            *room = share;
        }
    }
    shares
}

/// The policy.
#[derive(Debug)]
pub struct RouteWeighted {
    given: Shares,
    shares: [f32; CLUSTERS_MAX],
    by_capacity: bool,
    zones: bool,
}

impl Routing for RouteWeighted {
    fn new(config: &str) -> Result<Self, String> {
        let Config { shares: given, zones } = littoral_plugin::config(config)?;
        let shares = given.all();
        if shares.len() > CLUSTERS_MAX {
            return Err(format!("{} shares: there are at most {CLUSTERS_MAX} clusters", shares.len()));
        }
        if let Some((_, wrong)) = shares.iter().find(|(_, share)| !(0.0..=1e6).contains(share)) {
            return Err(format!("a share is 0 to 1000000, not {wrong}"));
        }
        let by_capacity = shares.is_empty();
        if !by_capacity && shares.iter().all(|(_, share)| *share == 0.0) {
            return Err("all shares are 0: give clusters some".into());
        }
        let numbered = shares.iter().filter(|(who, _)| matches!(who, Who::Number(_)));
        let shares = by_place(numbered.map(|(who, share)| (who.index(), *share)));
        Ok(Self { given, shares, by_capacity, zones })
    }

    fn clusters(&mut self, all: &[Cluster]) {
        self.shares = match self.by_capacity {
            true => by_place(all.iter().map(|cluster| (cluster.index, cluster.capacity_mbps as f32))),
            false => by_place(self.given.all().iter().map(|(who, share)| (who.index(), *share))),
        };
    }

    fn decide(&self, flow: &Flow) -> Choice {
        let share = |index: u16| self.shares[usize::from(index)];
        let mut choice = Choice::by_lot(flow.candidates, flow.rand, share);
        if choice == Choice::NOBODY {
            // Nobody with a share is left: all are equal.
            choice = Choice::by_lot(flow.candidates, flow.rand, |_| 1.0);
        }
        let in_zone = 1_u64.checked_shl(flow.zone.into()).is_some_and(|bit| flow.candidates & bit != 0);
        if self.zones && in_zone {
            let [first, second, third] = choice.clusters;
            choice.clusters = match flow.zone {
                zone if zone == first => [first, second, third],
                zone if zone == second => [zone, first, third],
                zone => [zone, first, second],
            };
        }
        choice
    }
}

impl Explained for RouteWeighted {
    fn terms(&self, flow: &Flow) -> Vec<Term> {
        let shared = Term::of_each(flow.candidates, |index| {
            let share = self.shares[usize::from(index)];
            // The least of those with a share wins.
            let lot = if share > 0.0 { -lot(flow.rand, index).ln() / share } else { 0.0 };
            let in_zone = self.zones && index == flow.zone;
            [("in-zone", f32::from(in_zone)), ("share", share), ("lot", lot)]
        });
        // No share, no lot; and none counts where coverage zones do not.
        let counts = |term: &Term| (term.name != "in-zone" || self.zones) && (term.name != "lot" || term.value > 0.0);
        shared.into_iter().filter(counts).collect()
    }
}

littoral_plugin::export_policy!(RouteWeighted, routing, "../../wit", terms);

#[cfg(test)]
mod tests {
    use littoral_plugin::env::logged;
    use littoral_plugin::policy::named;
    use littoral_plugin::policy::sketch::Seat;

    use super::*;

    fn seat(config: &str) -> Seat<RouteWeighted> {
        Seat::routing(config, &[]).unwrap()
    }

    fn firsts(config: &str, candidates: u64) -> Vec<u16> {
        let seat = seat(config);
        let first = |rand| seat.decide(&Flow { rand, candidates, ..Flow::default() }).unwrap().clusters[0];
        (0..10_000).map(first).collect()
    }

    #[test]
    fn each_cluster_gets_its_share_and_a_share_that_grows_moves_nobody_else() {
        let before = firsts(r#"{"shares": [70, 20, 10]}"#, 0b1111);
        let count = |firsts: &[u16], cluster| firsts.iter().filter(|first| **first == cluster).count();
        assert!((6_800..7_200).contains(&count(&before, 0)) && (900..1_100).contains(&count(&before, 2)));
        assert_eq!(count(&before, 3), 0);
        let after = firsts(r#"{"shares": [70, 20, 30]}"#, 0b1111);
        assert!(before.iter().zip(&after).all(|(before, after)| before == after || *after == 2));
        assert!((2_350..2_650).contains(&count(&after, 2)));
    }

    #[test]
    fn who_has_no_share_serves_when_nobody_else_can_and_a_zone_comes_first_where_it_may() {
        assert!(firsts(r#"{"shares": [1, 1]}"#, 0b1000).iter().all(|first| *first == 3));
        let capacity = |index| Cluster { index, capacity_mbps: u32::from(index == 1), ..Cluster::default() };
        let by_capacity = Seat::<RouteWeighted>::routing("{}", &[capacity(0), capacity(1)]).unwrap();
        let first = |rand| by_capacity.decide(&Flow { rand, candidates: 0b11, ..Flow::default() }).unwrap().clusters[0];
        assert!((0..100).all(|rand| first(rand) == 1));
        let in_zone = Flow { zone: 2, candidates: 0b111, ..Flow::default() };
        let told = |config| seat(config).decide(&in_zone).unwrap();
        assert_eq!(told(r#"{"shares": [1, 1, 0], "zones": true}"#).clusters[0], 2);
        assert_ne!(told(r#"{"shares": [1, 1, 0]}"#).clusters[0], 2);
    }

    #[test]
    fn shares_are_given_by_name_whatever_the_order() {
        named::tell(&["ams", "fra"]);
        let by_name = seat(r#"{"shares": {"fra": 1, "nyc": 5, "ams": 0}}"#);
        let first = |rand| by_name.decide(&Flow { rand, candidates: 0b111, ..Flow::default() }).unwrap().clusters[0];
        assert!((0..100).all(|rand| first(rand) == 1));
        assert!(logged().iter().any(|(_, line)| line.contains("\"nyc\"")));
        named::tell(&[]);
    }

    #[test]
    fn shares_that_are_none_are_refused() {
        for (config, problem) in [
            (r#"{"shares": [0, 0]}"#, "all shares are 0"),
            (r#"{"shares": [1, -1]}"#, "a share is 0 to 1000000, not -1"),
            (r#"{"shares": "all"}"#, "expected shares: a table by name"),
            (r#"{"share": [1]}"#, "unknown field `share`"),
        ] {
            assert!(RouteWeighted::new(config).unwrap_err().contains(problem), "{config}");
        }
    }
}

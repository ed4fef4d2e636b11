//! Which cluster: among those that are near, always the same one for a service, so that what it serves is kept once in a region and not
//! in each cluster of it.
//!
//! ```toml
//! config = { near = 0.05 }
//! ```
//!
//! Near are the clusters whose distance `1 - cos` from the client exceeds that of the nearest by `near` at most (0.05 are some 2,000 km
//! for a client at the nearest one); with an unknown place all are. Among them the service's key decides by lot, each as often as
//! its capacity is of all (weighted rendezvous hashing): a cluster that goes down gives its services to the others of the region and
//! takes none from them when it comes back. Where a name stands for content, as `show-17.cdn.example` does, that is consistent hashing
//! of content. Load is left out: a full cluster is no candidate.

use littoral_plugin::policy::{CLUSTERS_MAX, Choice, Cluster, Explained, Flow, Routing, Term, lot};
use serde::Deserialize;

/// What the operator says.
#[derive(Debug, Clone, Copy, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Config {
    /// How much farther than the nearest a cluster may be.
    near: f32,
}

impl Default for Config {
    fn default() -> Self {
        Self { near: 0.05 }
    }
}

/// The policy.
#[derive(Debug)]
pub struct RouteHash {
    near: f32,
    /// Place and capacity of each cluster.
    rows: [([f32; 3], f32); CLUSTERS_MAX],
}

impl RouteHash {
    fn distance(&self, flow: &Flow, index: u16) -> f32 {
        let place = self.rows[usize::from(index)].0;
        1.0 - place.iter().zip(flow.place).map(|(a, b)| a * b).sum::<f32>()
    }

    /// The candidates that are near, one bit each.
    #[inline]
    fn near(&self, flow: &Flow) -> u64 {
        let nearest = Choice::cheapest(flow.candidates, |index| self.distance(flow, index));
        let Some(first) = nearest.named().first() else { return 0 };
        let reach = self.distance(flow, *first) + self.near;
        let near = |index: &u16| flow.candidates >> index & 1 == 1 && self.distance(flow, *index) <= reach;
        (0..CLUSTERS_MAX as u16).filter(near).fold(0, |mask: u64, index| mask | 1 << index)
    }
}

impl Routing for RouteHash {
    fn new(config: &str) -> Result<Self, String> {
        let Config { near } = littoral_plugin::config(config)?;
        match (0.0..=2.0).contains(&near) {
            true => Ok(Self { near, rows: [([0.0; 3], 0.0); CLUSTERS_MAX] }),
            false => Err(format!("near is 0 to 2, not {near}")),
        }
    }

    fn clusters(&mut self, all: &[Cluster]) {
        self.rows = [([0.0; 3], 0.0); CLUSTERS_MAX];
        for cluster in all {
            // One without a capacity has the weight of the smallest.
            self.rows[usize::from(cluster.index)] = (cluster.place, cluster.capacity_mbps.max(1) as f32);
        }
    }

    fn decide(&self, flow: &Flow) -> Choice {
        let mask = self.near(flow);
        if mask == 0 {
            return Choice::NOBODY;
        }
        let mut choice = Choice::by_lot(mask, flow.key, |index| self.rows[usize::from(index)].1);
        // Behind them the nearest of the others.
        let others = Choice::cheapest(flow.candidates & !mask, |index| self.distance(flow, index));
        let named = choice.named().len();
        choice.clusters[named..].copy_from_slice(&others.clusters[..3 - named]);
        choice
    }
}

impl Explained for RouteHash {
    fn terms(&self, flow: &Flow) -> Vec<Term> {
        let near = self.near(flow);
        Term::of_each(flow.candidates, |index| {
            let capacity = self.rows[usize::from(index)].1;
            [
                ("near", f32::from(near >> index & 1 == 1)),
                ("distance", self.distance(flow, index)),
                ("capacity-mbps", capacity),
                // The least of the near ones wins.
                ("lot", -lot(flow.key, index).ln() / capacity.max(1.0)),
            ]
        })
    }
}

littoral_plugin::export_policy!(RouteHash, routing, "../../wit", terms);

#[cfg(test)]
mod tests {
    use littoral_plugin::policy::sketch::Seat;

    use super::*;

    const HERE: [f32; 3] = [1.0, 0.0, 0.0];

    /// Three clusters near each other, the last twice as large, and one far away.
    fn seat(config: &str) -> Seat<RouteHash> {
        let places = [HERE, [0.99, 0.141, 0.0], [0.99, 0.0, 0.141], [0.0, 1.0, 0.0]];
        let row = |(index, place)| Cluster {
            index,
            place,
            healthy: true,
            capacity_mbps: if index == 2 { 2000 } else { 1000 },
            ..Cluster::default()
        };
        Seat::routing(config, &(0..).zip(places).map(row).collect::<Vec<_>>()).unwrap()
    }

    fn of(seat: &Seat<RouteHash>, key: u64, candidates: u64) -> Choice {
        seat.decide(&Flow { key, place: HERE, candidates, ..Flow::default() }).unwrap()
    }

    #[test]
    fn services_are_spread_over_the_near_clusters_by_capacity_and_only_those_of_a_lost_one_move() {
        let seat = seat("{}");
        let all: Vec<Choice> = (0..4000).map(|key| of(&seat, key, 0b1111)).collect();
        let count = |cluster| all.iter().filter(|choice| choice.clusters[0] == cluster).count();
        assert!((900..1100).contains(&count(0)) && (1900..2100).contains(&count(2)) && count(3) == 0);
        for (key, was) in (0..).zip(&all) {
            let now = of(&seat, key, 0b1011).clusters[0];
            assert_eq!(now, if was.clusters[0] == 2 { was.clusters[1] } else { was.clusters[0] });
        }
    }

    #[test]
    fn who_is_elsewhere_in_the_region_gets_the_same_and_what_is_far_comes_last() {
        let seat = seat("{}");
        for key in 0..50 {
            let elsewhere = Flow { key, place: [0.995, 0.0, 0.0998], candidates: 0b1111, ..Flow::default() };
            assert_eq!(seat.decide(&elsewhere).unwrap(), of(&seat, key, 0b1111));
            assert_eq!(of(&seat, key, 0b1001).named(), [0, 3]);
        }
        assert_eq!(of(&self::seat(r#"{"near": 0}"#), 9, 0b1111).clusters[0], 0);
        assert_eq!(of(&seat, 9, 0), Choice::NOBODY);
        assert!(RouteHash::new(r#"{"near": 3}"#).unwrap_err().contains("near is 0 to 2, not 3"));
    }
}

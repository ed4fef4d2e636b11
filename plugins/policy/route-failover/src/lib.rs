//! Which cluster: the first of a chain that is there, so that whoever loses a cluster gets the backup that was planned, and not the next
//! nearest, which everybody else would get, too.
//!
//! ```toml
//! config = { chain = ["ams", "lhr", "fra"] }                              # one for all
//! config = { backups = { ams = ["lhr", "fra"], fra = ["ams"] } }          # of each cluster, for the clients it is nearest to
//! ```
//!
//! Clusters are named as in `[[cluster]]`, or numbered in that order, from 0 (`backups = [[2, 1], [2], [0, 1]]`). A name that none has is
//! logged and passed over. With `backups` the primary of a client is that of the coverage zone
//! it is in, else the nearest of all that serve everybody, whether it is there or not; where the place is unknown, the first.
//! Candidates that no chain names come last, by distance; without any config that is all of them.

use std::collections::BTreeMap;

use littoral_plugin::policy::named::Who;
use littoral_plugin::policy::{CLUSTERS_MAX, Choice, Cluster, Explained, Flow, NONE, Routing, Term};
use serde::Deserialize;

/// What the operator says.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Config {
    /// Primary and backups of everybody.
    chain: Vec<Who>,
    /// Backups of each cluster.
    backups: Backups,
}

/// Backups of clusters.
#[derive(Debug, Deserialize)]
#[serde(untagged, expecting = "expected backups of clusters: a table by name, or a list in the order of [[cluster]]")]
enum Backups {
    InOrder(Vec<Vec<Who>>),
    ByName(BTreeMap<String, Vec<Who>>),
}

impl Default for Backups {
    fn default() -> Self {
        Self::InOrder(Vec::new())
    }
}

impl Backups {
    /// Whose, and which.
    fn all(&self) -> Vec<(Who, &[Who])> {
        match self {
            Self::InOrder(all) => (0..).zip(all).map(|(number, backups)| (Who::Number(number), &backups[..])).collect(),
            Self::ByName(all) => all.iter().map(|(name, backups)| (Who::Name(name.clone()), &backups[..])).collect(),
        }
    }
}

/// The places of clusters in candidate masks; those that are not there are left out.
fn places(named: &[Who]) -> Vec<u16> {
    named.iter().map(Who::index).filter(|index| *index != NONE).collect()
}

/// The policy.
#[derive(Debug)]
pub struct RouteFailover {
    config: Config,
    /// The chain of everybody, and the backups of each cluster, by their places.
    chain: Vec<u16>,
    backups: Vec<Vec<u16>>,
    /// Place of each cluster, and whether it may be a primary.
    rows: [([f32; 3], bool); CLUSTERS_MAX],
}

impl RouteFailover {
    fn distance(&self, flow: &Flow, index: u16) -> f32 {
        let place = self.rows[usize::from(index)].0;
        1.0 - place.iter().zip(flow.place).map(|(a, b)| a * b).sum::<f32>()
    }

    /// Whose client it is.
    fn primary(&self, flow: &Flow) -> u16 {
        if flow.zone != NONE {
            return flow.zone;
        }
        let serves_all = (0..).zip(&self.rows).filter(|(_, (_, serves_all))| *serves_all);
        let all = serves_all.fold(0, |mask: u64, (index, _): (u16, _)| mask | 1 << index);
        Choice::cheapest(all, |index| self.distance(flow, index)).clusters[0]
    }
}

impl Routing for RouteFailover {
    fn new(config: &str) -> Result<Self, String> {
        let config: Config = littoral_plugin::config(config)?;
        let backups = config.backups.all();
        if !config.chain.is_empty() && !backups.is_empty() {
            return Err("it has both chain and backups: keep one of them".into());
        }
        config.chain.iter().try_for_each(Who::check)?;
        for (whose, backups) in backups {
            whose.check()?;
            backups.iter().try_for_each(Who::check)?;
        }
        Ok(Self { config, chain: Vec::new(), backups: Vec::new(), rows: [([0.0; 3], false); CLUSTERS_MAX] })
    }

    fn clusters(&mut self, all: &[Cluster]) {
        self.rows = [([0.0; 3], false); CLUSTERS_MAX];
        for cluster in all {
            self.rows[usize::from(cluster.index)] = (cluster.place, !cluster.deep);
        }
        self.chain = places(&self.config.chain);
        self.backups = vec![Vec::new(); CLUSTERS_MAX];
        for (whose, backups) in self.config.backups.all() {
            if let Some(room) = self.backups.get_mut(usize::from(whose.index())) {
                *room = places(backups);
            }
        }
    }

    fn decide(&self, flow: &Flow) -> Choice {
        let primary = if self.config.chain.is_empty() { self.primary(flow) } else { NONE };
        let backups = self.backups.get(usize::from(primary)).unwrap_or(&self.chain);
        let (mut left, mut choice, mut at) = (flow.candidates, Choice::NOBODY, 0);
        for index in std::iter::once(primary).chain(backups.iter().copied()) {
            let bit = 1_u64.checked_shl(index.into()).unwrap_or(0) & left;
            if bit != 0 && at < choice.clusters.len() {
                choice.clusters[at] = index;
                (left, at) = (left & !bit, at + 1);
            }
        }
        let others = Choice::cheapest(left, |index| self.distance(flow, index));
        choice.clusters[at..].copy_from_slice(&others.clusters[..3 - at]);
        choice
    }
}

impl Explained for RouteFailover {
    fn terms(&self, flow: &Flow) -> Vec<Term> {
        let primary = if self.config.chain.is_empty() { self.primary(flow) } else { NONE };
        let backups = self.backups.get(usize::from(primary)).unwrap_or(&self.chain);
        let order: Vec<u16> =
            (std::iter::once(primary).filter(|index| *index != NONE)).chain(backups.clone()).collect();
        let terms = Term::of_each(flow.candidates, |index| {
            let place = order.iter().position(|of| *of == index).map_or(0, |at| at + 1);
            [("place-in-chain", place as f32), ("distance", self.distance(flow, index))]
        });
        // Who is in no chain has no place in one.
        terms.into_iter().filter(|term| term.name != "place-in-chain" || term.value > 0.0).collect()
    }
}

littoral_plugin::export_policy!(RouteFailover, routing, "../../wit", terms);

#[cfg(test)]
mod tests {
    use littoral_plugin::env::logged;
    use littoral_plugin::policy::named;
    use littoral_plugin::policy::sketch::Seat;

    use super::*;

    fn chosen(config: &str, place: [f32; 3], zone: u16, candidates: u64) -> Vec<u16> {
        let places = [[1.0, 0.0, 0.0], [0.9, 0.44, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]];
        let row = |(index, place)| Cluster { index, place, deep: index == 3, ..Cluster::default() };
        let clusters: Vec<_> = (0..).zip(places).map(row).collect();
        let seat = Seat::<RouteFailover>::routing(config, &clusters).unwrap();
        seat.decide(&Flow { place, zone, candidates, ..Flow::default() }).unwrap().named().to_vec()
    }

    const HERE: [f32; 3] = [1.0, 0.0, 0.0];

    #[test]
    fn a_chain_is_gone_along_by_those_who_are_there() {
        let chain = r#"{"chain": [2, 1]}"#;
        assert_eq!(chosen(chain, HERE, NONE, 0b111), [2, 1, 0]);
        assert_eq!(chosen(chain, HERE, NONE, 0b011), [1, 0]);
        assert_eq!(chosen(chain, HERE, 0, 0b001), [0]);
        assert!(chosen(chain, HERE, NONE, 0).is_empty());
        assert_eq!(chosen("{}", HERE, NONE, 0b111), [0, 1, 2]);
    }

    #[test]
    fn whoever_loses_a_cluster_gets_its_backup_and_not_the_next_nearest() {
        let backups = r#"{"backups": [[2], [0], [1]]}"#;
        assert_eq!(chosen(backups, HERE, NONE, 0b111), [0, 2, 1]);
        assert_eq!(chosen(backups, HERE, NONE, 0b110), [2, 1]);
        assert_eq!(chosen(backups, [0.9, 0.44, 0.0], NONE, 0b101), [0, 2]);
        // A zone's cluster is the primary; one that serves only its own is for nobody else.
        assert_eq!(chosen(backups, HERE, 1, 0b111), [1, 0, 2]);
        assert_eq!(chosen(backups, [0.0, 0.1, 0.99], NONE, 0b111)[0], 2);
        assert_eq!(chosen(backups, HERE, 3, 0b1111), [3, 0, 1]);
    }

    #[test]
    fn clusters_are_named_and_whoever_is_not_there_is_passed_over() {
        named::tell(&["ams", "fra", "lhr"]);
        assert_eq!(chosen(r#"{"chain": ["lhr", "nyc", "fra"]}"#, HERE, NONE, 0b111), [2, 1, 0]);
        let backups = r#"{"backups": {"ams": ["lhr"], "nyc": ["fra"], "fra": [0]}}"#;
        assert_eq!(chosen(backups, HERE, NONE, 0b111), [0, 2, 1]);
        assert_eq!(chosen(backups, HERE, 1, 0b101), [0, 2]);
        assert!(logged().iter().any(|(_, line)| line.contains("\"nyc\"")));
        named::tell(&[]);
    }

    #[test]
    fn a_config_that_names_two_orders_or_nobody_is_refused() {
        for (config, problem) in [
            (r#"{"chain": [1], "backups": [[1]]}"#, "both chain and backups"),
            (r#"{"chain": [64]}"#, "there is no cluster 64: they are 0 to 63"),
            (r#"{"backups": {"ams": [99]}}"#, "there is no cluster 99"),
            (r#"{"backups": "ams"}"#, "expected backups of clusters"),
            (r#"{"chains": [1]}"#, "unknown field `chains`"),
        ] {
            assert!(RouteFailover::new(config).unwrap_err().contains(problem), "{config}");
        }
    }
}

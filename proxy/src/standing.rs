//! How each cluster is by all who say so, told to the director as one state: what probes found here, what a quorum of the deciders makes of
//! theirs, and what its nodes say by the control plane.
//!
//! Invariants: a quorum counts more than this node's own probes, what was seen more than silence, and a node's own word that it stops more
//! than an answered probe; of whom nobody says anything counts as up and without load.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use littoral_geo::Director;
use parking_lot::Mutex;

use crate::control::heard::Verdict;
use crate::control::votes::{Found, Outcome};

/// What is said of the clusters.
pub struct Standing {
    director: Arc<Director>,
    said: Mutex<HashMap<String, Said>>,
}

/// What probes find.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Probed {
    /// Whether it is up.
    pub(crate) up: bool,
    /// Its load in permille.
    pub(crate) load: u16,
    /// Whether enough were made to tell others.
    pub(crate) is_sure: bool,
}

/// What is said of one.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Said {
    /// By this node's probes.
    probed: Option<Probed>,
    /// By the quorum: whether it is up.
    voted: Option<bool>,
    /// By its nodes.
    told: Option<Verdict>,
}

impl Said {
    /// Whether it is up, and its load in permille.
    fn state(self) -> (bool, u16) {
        let (up, load) = self.probed.map_or((true, 0), |probed| (probed.up, probed.load));
        let up = self.voted.unwrap_or(up);
        match self.told {
            None => (up, load),
            Some(Verdict::Up(told)) => (up, told),
            Some(Verdict::Stopping) => (false, load),
            // A node that only the control plane does not reach still serves.
            Some(Verdict::Silent) => (up && (self.probed.is_some() || self.voted.is_some()), load),
        }
    }
}

impl Standing {
    /// Nothing is said yet.
    pub(crate) fn new(director: Arc<Director>) -> Self {
        Self { director, said: Mutex::default() }
    }

    /// Who is told.
    pub(crate) fn director(&self) -> &Arc<Director> {
        &self.director
    }

    /// What a probe found; `None`: nobody probes it any more.
    pub(crate) fn probed(&self, cluster: &str, state: Option<Probed>) {
        let mut said = self.said.lock();
        let of = said.entry(cluster.to_owned()).or_default();
        of.probed = state;
        let (up, load) = of.state();
        self.director.set_cluster_state(cluster, up, load);
        said.retain(|_, of| *of != Said::default());
    }

    /// What this node's probes are sure of.
    pub(crate) fn found(&self) -> Found {
        let said = self.said.lock();
        let sure = |(cluster, of): (&String, &Said)| {
            of.probed.filter(|probed| probed.is_sure).map(|probed| (cluster.clone(), probed.up))
        };
        said.iter().filter_map(sure).collect()
    }

    /// What nodes say of all clusters, and what the deciders make of them; of those that are not named nothing is said any more.
    pub(crate) fn told(&self, verdicts: &BTreeMap<String, Verdict>, outcomes: &BTreeMap<String, Outcome>) {
        let mut said = self.said.lock();
        for cluster in verdicts.keys().chain(outcomes.keys()) {
            said.entry(cluster.clone()).or_default();
        }
        for (cluster, of) in said.iter_mut() {
            let told = verdicts.get(cluster).copied();
            let voted = outcomes.get(cluster).map(|outcome| outcome.up);
            if (of.told, of.voted) != (told, voted) {
                (of.told, of.voted) = (told, voted);
                let (up, load) = of.state();
                self.director.set_cluster_state(cluster, up, load);
            }
        }
        said.retain(|_, of| *of != Said::default());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_seen_here_counts_more_than_silence_and_a_nodes_own_word_more_than_a_probe() {
        let found = |(up, load)| Probed { up, load, is_sure: true };
        for (probed, told, state) in [
            (None, None, (true, 0)),
            (None, Some(Verdict::Up(70)), (true, 70)),
            (None, Some(Verdict::Silent), (false, 0)),
            (None, Some(Verdict::Stopping), (false, 0)),
            (Some((true, 40)), None, (true, 40)),
            (Some((true, 40)), Some(Verdict::Up(70)), (true, 70)),
            (Some((true, 40)), Some(Verdict::Silent), (true, 40)),
            (Some((true, 40)), Some(Verdict::Stopping), (false, 40)),
            (Some((false, 0)), Some(Verdict::Up(70)), (false, 70)),
            (Some((false, 0)), Some(Verdict::Silent), (false, 0)),
        ] {
            let probed = probed.map(found);
            assert_eq!(Said { probed, told, voted: None }.state(), state, "{probed:?} {told:?}");
        }
    }

    #[test]
    fn a_quorum_counts_more_than_what_is_seen_here_and_less_than_a_nodes_own_word() {
        let found = |up| Some(Probed { up, load: 40, is_sure: true });
        for (probed, voted, told, state) in [
            (found(false), true, None, (true, 40)),
            (found(true), false, None, (false, 40)),
            (found(true), false, Some(Verdict::Up(70)), (false, 70)),
            (found(false), true, Some(Verdict::Silent), (true, 40)),
            (None, true, Some(Verdict::Silent), (true, 0)),
            (None, false, None, (false, 0)),
            (found(true), true, Some(Verdict::Stopping), (false, 40)),
        ] {
            let said = Said { probed, told, voted: Some(voted) };
            assert_eq!(said.state(), state, "{said:?}");
        }
    }
}

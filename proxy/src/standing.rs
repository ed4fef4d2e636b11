//! How each cluster is by all who say so, told to the director as one state: what probes found, and what its nodes say by the control plane.
//!
//! Invariants: what was seen here counts more than silence there, and a node's own word that it stops more than an answered probe; of whom
//! nobody says anything counts as up and without load.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use littoral_geo::Director;
use parking_lot::Mutex;

use crate::control::heard::Verdict;

/// What is said of the clusters.
pub struct Standing {
    director: Arc<Director>,
    said: Mutex<HashMap<String, Said>>,
}

/// What is said of one.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Said {
    /// By probes: whether it is up, and its load in permille.
    probed: Option<(bool, u16)>,
    /// By its nodes.
    told: Option<Verdict>,
}

impl Said {
    /// Whether it is up, and its load in permille.
    fn state(self) -> (bool, u16) {
        let (up, load) = self.probed.unwrap_or((true, 0));
        match self.told {
            None => (up, load),
            Some(Verdict::Up(told)) => (up, told),
            Some(Verdict::Stopping) => (false, load),
            // A node that only the control plane does not reach still serves.
            Some(Verdict::Silent) => (up && self.probed.is_some(), load),
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
    pub(crate) fn probed(&self, cluster: &str, state: Option<(bool, u16)>) {
        let mut said = self.said.lock();
        let of = said.entry(cluster.to_owned()).or_default();
        of.probed = state;
        let (up, load) = of.state();
        self.director.set_cluster_state(cluster, up, load);
        said.retain(|_, of| *of != Said::default());
    }

    /// What nodes say of all clusters; of those that are not named nothing is said any more.
    pub(crate) fn told(&self, verdicts: &BTreeMap<String, Verdict>) {
        let mut said = self.said.lock();
        for cluster in verdicts.keys() {
            said.entry(cluster.clone()).or_default();
        }
        for (cluster, of) in said.iter_mut() {
            let told = verdicts.get(cluster).copied();
            if of.told != told {
                of.told = told;
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
            assert_eq!(Said { probed, told }.state(), state, "{probed:?} {told:?}");
        }
    }
}

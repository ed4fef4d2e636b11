//! What was heard of other nodes last, and what it is worth at a given time.
//!
//! It reads no clock: the time is handed in, in milliseconds that never go back. Invariants: nobody is held for silent while nothing at all is
//! heard, so that a partition changes no verdict before [`Bounds::max_age_ms`]; after that no cluster has a verdict; no more than
//! [`NODES_HEARD_MAX`] nodes are kept.

use std::collections::BTreeMap;

use super::message::Report;

/// Nodes that are kept; when one more speaks, one that is silent makes room, or it is refused.
pub const NODES_HEARD_MAX: usize = 4096;

/// How old is how old.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bounds {
    /// A node that is not heard for longer, while others are, is silent.
    pub silent_after_ms: u64,
    /// What is older is not gone by.
    pub max_age_ms: u64,
}

/// What of all that was heard is worth.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Freshness {
    /// Nothing was ever heard.
    None,
    /// Somebody is heard, this node's own reports included: the way is there.
    Fresh,
    /// Nobody is heard any more: what was heard last holds.
    Kept,
    /// For too long: it does not hold any more.
    Old,
}

impl Freshness {
    /// As labels, in the order of the variants.
    pub const LABELS: [&'static str; 4] = ["none", "fresh", "kept", "old"];

    /// Its label.
    pub fn label(self) -> &'static str {
        Self::LABELS[self as usize]
    }
}

/// What the nodes of a cluster say of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// Some take clients, with this load in permille on average.
    Up(u16),
    /// Those that are heard stop.
    Stopping,
    /// All are silent.
    Silent,
}

/// Why a report is not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refused {
    /// Its cluster is not of this config.
    Cluster,
    /// Its node is not named in `control.nodes`.
    Node,
    /// A later one of its node was taken already.
    Late,
    /// There is no room for one more node.
    Full,
}

/// A node as it was heard last.
#[derive(Debug, Clone)]
pub struct Known {
    /// What it said.
    pub report: Report,
    /// When.
    pub heard_ms: u64,
}

/// Whom to believe: the clusters and nodes there are.
#[derive(Debug, Clone, Default)]
pub struct Expected {
    /// Clusters; none: all.
    pub clusters: Vec<String>,
    /// Nodes; none: all.
    pub nodes: Vec<String>,
}

/// A cluster, empty when the node is of none, and a node.
pub type Speaker = (String, String);

/// All that was heard.
#[derive(Debug)]
pub struct Heard {
    bounds: Bounds,
    expected: Expected,
    nodes: BTreeMap<Speaker, Known>,
    /// When anybody was heard last.
    last_ms: Option<u64>,
    /// When somebody was heard again after nobody had been: silence counts from here.
    resumed_ms: u64,
}

impl Expected {
    /// Whether somebody may speak.
    ///
    /// # Errors
    /// Why not.
    pub fn admit(&self, (cluster, node): &Speaker) -> Result<(), Refused> {
        if !cluster.is_empty() && !self.clusters.is_empty() && !self.clusters.contains(cluster) {
            return Err(Refused::Cluster);
        }
        self.admit_node(node)
    }

    /// The same of a node alone.
    ///
    /// # Errors
    /// As [`Self::admit`].
    pub fn admit_node(&self, node: &String) -> Result<(), Refused> {
        match self.nodes.is_empty() || self.nodes.contains(node) {
            true => Ok(()),
            false => Err(Refused::Node),
        }
    }
}

impl Heard {
    /// Nothing yet.
    pub fn new(bounds: Bounds) -> Self {
        Self { bounds, expected: Expected::default(), nodes: BTreeMap::new(), last_ms: None, resumed_ms: 0 }
    }

    /// Whom to believe from now on; others are forgotten.
    pub fn expect(&mut self, expected: Expected) {
        self.nodes.retain(|speaker, _| expected.admit(speaker).is_ok());
        self.expected = expected;
    }

    /// Whom to believe.
    pub fn expected(&self) -> &Expected {
        &self.expected
    }

    /// The way to others is there: something came by it, if only this node's own word.
    pub fn way_is_there(&mut self, now_ms: u64) {
        let was_fresh = self.freshness(now_ms) == Freshness::Fresh;
        if !was_fresh {
            self.resumed_ms = now_ms;
        }
        self.last_ms = Some(now_ms);
    }

    /// A node has told how it is.
    ///
    /// # Errors
    /// Why that is not taken.
    pub fn hear(&mut self, speaker: Speaker, report: Report, now_ms: u64) -> Result<(), Refused> {
        self.expected.admit(&speaker)?;
        if let Some(known) = self.nodes.get(&speaker) {
            let is_later = (report.run, report.seq) > (known.report.run, known.report.seq);
            // A clock that was set back makes a newer process look older: it is believed once the other one is silent.
            if !is_later && !self.is_silent(known) {
                return Err(Refused::Late);
            }
        } else if self.nodes.len() >= NODES_HEARD_MAX {
            let silent = self.nodes.iter().filter(|(_, known)| self.is_silent(known));
            let longest = silent.min_by_key(|(_, known)| known.heard_ms).map(|(speaker, _)| speaker.clone());
            self.nodes.remove(&longest.ok_or(Refused::Full)?);
        }
        self.way_is_there(now_ms);
        self.nodes.insert(speaker, Known { report, heard_ms: now_ms });
        Ok(())
    }

    /// Whether a node has been silent while others were not.
    pub fn is_silent(&self, known: &Known) -> bool {
        self.is_silent_since(known.heard_ms)
    }

    /// The same of one that was heard last at a time.
    pub fn is_silent_since(&self, heard_ms: u64) -> bool {
        let since = heard_ms.max(self.resumed_ms);
        self.last_ms.is_some_and(|last| last.saturating_sub(since) > self.bounds.silent_after_ms)
    }

    /// Milliseconds since anybody was heard.
    pub fn age_ms(&self, now_ms: u64) -> Option<u64> {
        self.last_ms.map(|last| now_ms.saturating_sub(last))
    }

    /// What all of it is worth now.
    pub fn freshness(&self, now_ms: u64) -> Freshness {
        match self.age_ms(now_ms) {
            None => Freshness::None,
            Some(age) if age <= self.bounds.silent_after_ms => Freshness::Fresh,
            Some(age) if age <= self.bounds.max_age_ms => Freshness::Kept,
            Some(_) => Freshness::Old,
        }
    }

    /// What the nodes of each cluster say; of clusters whose nodes were never heard, and when all is too old, nothing.
    pub fn verdicts(&self, now_ms: u64) -> BTreeMap<String, Verdict> {
        let mut verdicts = BTreeMap::new();
        if matches!(self.freshness(now_ms), Freshness::None | Freshness::Old) {
            return verdicts;
        }
        let mut clusters: BTreeMap<&str, Vec<&Known>> = BTreeMap::new();
        for ((cluster, _), known) in self.nodes.iter().filter(|((cluster, _), _)| !cluster.is_empty()) {
            clusters.entry(cluster).or_default().push(known);
        }
        for (cluster, nodes) in clusters {
            let heard: Vec<_> = nodes.into_iter().filter(|known| !self.is_silent(known)).collect();
            let loads: Vec<u64> =
                heard.iter().filter(|known| known.report.up).map(|known| known.report.load.into()).collect();
            let verdict = match loads.iter().sum::<u64>().checked_div(loads.len() as u64) {
                Some(mean) => Verdict::Up(u16::try_from(mean).unwrap_or(u16::MAX)),
                None if heard.is_empty() => Verdict::Silent,
                None => Verdict::Stopping,
            };
            verdicts.insert(cluster.to_owned(), verdict);
        }
        verdicts
    }

    /// All nodes that were heard.
    pub fn nodes(&self) -> impl Iterator<Item = (&Speaker, &Known)> {
        self.nodes.iter()
    }
}

#[cfg(test)]
mod tests;

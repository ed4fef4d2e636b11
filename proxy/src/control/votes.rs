//! What deciders find of clusters by their probes, and what a quorum of them makes of it at a given time.
//!
//! It reads no clock: the time is handed in, as it is to [`super::heard`], which says who is silent. Invariants: the vote of a silent decider
//! does not count; a cluster of which no other decider says anything has no outcome, so that its own probes decide; in a partition an outcome
//! holds until this node's own probes find something else than they did before, or until all is too old; no more than [`DECIDERS_MAX`]
//! deciders are kept.

use std::collections::BTreeMap;

use super::heard::{Freshness, Heard, Refused, Speaker};
use super::message::Votes;
use crate::config::Quorum;

/// Deciders that are kept; when one more votes, one that is silent makes room, or it is refused.
pub const DECIDERS_MAX: usize = 256;

/// What each cluster is found to be: up or not.
pub type Found = BTreeMap<String, bool>;

/// What the deciders make of a cluster.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Outcome {
    /// Whether it is up.
    pub up: bool,
    /// What this node's own probes find.
    pub own: Option<bool>,
    /// How many find it down.
    pub down: usize,
    /// Of how many, this node included where it probes.
    pub of: usize,
    /// How many would have to.
    pub needed: usize,
}

impl Outcome {
    /// Whether it is another one than this node's own probes find.
    pub fn is_overruled(&self) -> bool {
        self.own.is_some_and(|own| own != self.up)
    }
}

/// What one decider found last.
#[derive(Debug, Clone)]
struct Cast {
    run: u64,
    seq: u64,
    heard_ms: u64,
    found: Found,
}

/// All votes.
#[derive(Debug, Default)]
pub struct Ballot {
    cast: BTreeMap<Speaker, Cast>,
    /// The outcomes when somebody was heard last.
    counted: BTreeMap<String, Outcome>,
    /// Those in force.
    now: BTreeMap<String, Outcome>,
}

impl Ballot {
    /// A decider other than this node has told what it finds. Of clusters that `heard` does not expect nothing is kept.
    ///
    /// # Errors
    /// Why that is not taken.
    pub fn hear(&mut self, heard: &mut Heard, speaker: Speaker, votes: Votes, now_ms: u64) -> Result<(), Refused> {
        heard.expected().admit(&speaker)?;
        if let Some(known) = self.cast.get(&speaker) {
            let is_later = (votes.run, votes.seq) > (known.run, known.seq);
            if !is_later && !heard.is_silent_since(known.heard_ms) {
                return Err(Refused::Late);
            }
        } else if self.cast.len() >= DECIDERS_MAX {
            let silent = self.cast.iter().filter(|(_, cast)| heard.is_silent_since(cast.heard_ms));
            let longest = silent.min_by_key(|(_, cast)| cast.heard_ms).map(|(speaker, _)| speaker.clone());
            self.cast.remove(&longest.ok_or(Refused::Full)?);
        }
        heard.way_is_there(now_ms);
        let Votes { run, seq, up, down, .. } = votes;
        let known = |cluster: &String| heard.expected().clusters.contains(cluster);
        let both =
            up.into_iter().map(|cluster| (cluster, true)).chain(down.into_iter().map(|cluster| (cluster, false)));
        let found = both.filter(|(cluster, _)| known(cluster)).collect();
        self.cast.insert(speaker, Cast { run, seq, heard_ms: now_ms, found });
        Ok(())
    }

    /// Forgets whom `heard` does not expect any more.
    pub fn expect(&mut self, heard: &Heard) {
        let expected = heard.expected();
        self.cast.retain(|speaker, _| expected.admit(speaker).is_ok());
        for outcomes in [&mut self.counted, &mut self.now] {
            outcomes.retain(|cluster, _| expected.clusters.contains(cluster));
        }
    }

    /// Counts the votes, `own` among them: what holds from now on.
    pub fn count(&mut self, heard: &Heard, own: &Found, quorum: Quorum, now_ms: u64) -> &BTreeMap<String, Outcome> {
        match heard.freshness(now_ms) {
            Freshness::Fresh => {
                self.counted = self.counted_now(heard, own, quorum);
                self.now = self.counted.clone();
            }
            Freshness::Kept => {
                let as_before = |cluster: &String, outcome: &Outcome| own.get(cluster).copied() == outcome.own;
                self.counted.retain(|cluster, outcome| as_before(cluster, outcome));
                self.now = self.counted.clone();
            }
            Freshness::None | Freshness::Old => *self = Self::default(),
        }
        &self.now
    }

    fn counted_now(&self, heard: &Heard, own: &Found, quorum: Quorum) -> BTreeMap<String, Outcome> {
        let mut counts: BTreeMap<&String, (usize, usize)> = BTreeMap::new();
        let heard_of = self.cast.values().filter(|cast| !heard.is_silent_since(cast.heard_ms));
        for (cluster, up) in heard_of.flat_map(|cast| &cast.found) {
            let (down, of) = counts.entry(cluster).or_default();
            (*down, *of) = (*down + usize::from(!up), *of + 1);
        }
        let outcome = |(cluster, (down, of)): (&String, (usize, usize))| {
            let own = own.get(cluster).copied();
            let (down, of) = (down + usize::from(own == Some(false)), of + usize::from(own.is_some()));
            let needed = quorum.of(of);
            (cluster.clone(), Outcome { up: down < needed, own, down, of, needed })
        };
        counts.into_iter().map(outcome).collect()
    }

    /// What holds since the last count.
    pub fn outcomes(&self) -> &BTreeMap<String, Outcome> {
        &self.now
    }

    /// What each decider that was heard finds of a cluster, and when it said so.
    pub fn of<'a>(&'a self, cluster: &'a str) -> impl Iterator<Item = (&'a Speaker, bool, u64)> {
        self.cast.iter().filter_map(move |(speaker, cast)| Some((speaker, *cast.found.get(cluster)?, cast.heard_ms)))
    }
}

#[cfg(test)]
mod tests;

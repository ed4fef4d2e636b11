//! What the control plane counts, and what it calls how things ended.

use super::heard::Refused;
use super::message::Unread;
use crate::observe::figures::Counter;

/// How a message that was heard ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// It is gone by.
    Taken,
    /// It has more bytes than such a message may have.
    Large,
    /// It is not written as such a message is.
    Malformed,
    /// It is of another version.
    Version,
    /// Its cluster is not of this config, or it has none where one is needed.
    Cluster,
    /// Its node is not in `control.nodes`.
    Node,
    /// A later one of its node was taken already.
    Late,
    /// There is no room for it.
    Full,
}

impl Outcome {
    /// As labels, in the order of the variants.
    pub(crate) const LABELS: [&'static str; 8] =
        ["taken", "large", "malformed", "version", "cluster", "node", "late", "full"];
}

impl From<Unread> for Outcome {
    fn from(unread: Unread) -> Self {
        match unread {
            Unread::Large => Self::Large,
            Unread::Malformed => Self::Malformed,
            Unread::Version => Self::Version,
        }
    }
}

impl From<Refused> for Outcome {
    fn from(refused: Refused) -> Self {
        match refused {
            Refused::Cluster => Self::Cluster,
            Refused::Node => Self::Node,
            Refused::Late => Self::Late,
            Refused::Full => Self::Full,
        }
    }
}

/// What became of a purge.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Purged {
    /// It is kept for others.
    Sent,
    /// It was refused before others could have it.
    Unsent,
    /// It was done for others.
    Done,
    /// It is this node's own that came back.
    Own,
    /// It is not believed, or cannot be read.
    Refused,
    /// It could not be done.
    Failed,
}

impl Purged {
    /// As labels, in the order of the variants.
    pub(crate) const LABELS: [&'static str; 6] = ["sent", "unsent", "done", "own", "refused", "failed"];
}

/// What is counted.
#[derive(Default)]
pub(crate) struct Counts {
    /// Messages heard, by [`Outcome`].
    heard: [Counter; Outcome::LABELS.len()],
    /// Purges, by [`Purged`].
    purges: [Counter; Purged::LABELS.len()],
    /// Messages told.
    pub(crate) sent: Counter,
    /// Messages that were to be told, and could not be.
    pub(crate) unsent: Counter,
    /// Purges that this node cannot get any more; where their number is not known, one.
    pub(crate) missed: Counter,
    /// Times that messages came faster than they were taken.
    pub(crate) slow: Counter,
}

impl Counts {
    /// A message ended.
    pub(super) fn heard(&self, outcome: Outcome) {
        self.heard[outcome as usize].add(1);
    }

    /// A purge ended.
    pub(super) fn purge(&self, outcome: Purged) {
        self.purges[outcome as usize].add(1);
    }

    /// Purges that ended so.
    pub(super) fn purges(&self, outcome: Purged) -> u64 {
        self.purges[outcome as usize].sum()
    }

    /// Messages heard, by label.
    pub(super) fn all_heard(&self) -> impl Iterator<Item = (&'static str, u64)> {
        Outcome::LABELS.into_iter().zip(self.heard.iter().map(Counter::sum))
    }

    /// Purges, by label.
    pub(super) fn all_purges(&self) -> impl Iterator<Item = (&'static str, u64)> {
        Purged::LABELS.into_iter().zip(self.purges.iter().map(Counter::sum))
    }
}

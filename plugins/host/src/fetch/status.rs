//! What became of a plugin's requests, for whoever operates it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::time::Duration;

use serde::Serialize;

use super::{Answer, Refused};

/// What all instances of a plugin have asked, in all generations.
#[derive(Default)]
pub(crate) struct Fetched {
    pub(super) open: Arc<AtomicUsize>,
    outcomes: [AtomicU64; Refused::KINDS.len()],
    sent: AtomicU64,
    received: AtomicU64,
    waited_ns: AtomicU64,
}

/// The same as figures.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct FetchedStatus {
    /// Requests under way.
    pub open: usize,
    /// What became of the others.
    pub outcomes: BTreeMap<&'static str, u64>,
    /// Bytes of bodies that were sent.
    pub sent_bytes: u64,
    /// Bytes of bodies that came.
    pub received_bytes: u64,
    /// Time that was waited for all of them, ns.
    pub waited_ns: u64,
}

impl Fetched {
    pub(super) fn noted(&self, outcome: &Result<Answer, Refused>, sent: usize, waited: Duration) {
        let kind = outcome.as_ref().err().map_or(Refused::ANSWERED, |refused| *refused as usize);
        self.outcomes[kind].fetch_add(1, Relaxed);
        self.waited_ns.fetch_add(waited.as_nanos() as u64, Relaxed);
        if let Ok(answer) = outcome {
            self.sent.fetch_add(sent as u64, Relaxed);
            self.received.fetch_add(answer.body.len() as u64, Relaxed);
        }
    }

    /// What it comes to.
    pub(crate) fn told(&self) -> FetchedStatus {
        let counts = self.outcomes.iter().map(|count| count.load(Relaxed));
        FetchedStatus {
            open: self.open.load(Relaxed),
            outcomes: Refused::KINDS.into_iter().zip(counts).collect(),
            sent_bytes: self.sent.load(Relaxed),
            received_bytes: self.received.load(Relaxed),
            waited_ns: self.waited_ns.load(Relaxed),
        }
    }
}

//! What a swarm is and did, for whoever operates it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};

use serde::Serialize;

use super::actor::Event;

/// What is counted while it runs, here and by whoever drives it.
#[derive(Debug, Default)]
pub struct SwarmFigures {
    /// Connections there are, or are being made.
    pub open: Arc<AtomicUsize>,
    /// Instances that were started and have the listener.
    pub starts: AtomicU64,
    /// Connections that are over.
    pub closed: AtomicU64,
    /// Connections that were not taken: no place, or no instance.
    pub refused: AtomicU64,
    /// Bytes read from peers.
    pub read: AtomicU64,
    /// Bytes sent to them that were the guest's.
    pub written: AtomicU64,
    /// Bytes sent to them from the cache.
    pub spliced: AtomicU64,
    /// Bytes summed up.
    pub summed: AtomicU64,
    /// Datagrams that were dropped before the guest was told: it was behind, or there was none.
    pub dropped_datagrams: AtomicU64,
    /// Datagrams that it sent.
    pub sent_datagrams: AtomicU64,
    /// Datagrams that it wanted to send and might not.
    pub refused_datagrams: AtomicU64,
    /// Timers that are set.
    pub timers: AtomicUsize,
    /// Contents that are held.
    pub contents: AtomicUsize,
    /// Bytes queued for connections.
    pub queued: AtomicUsize,
    /// Time in which it was told nothing, as it had computed for more than its share, ns.
    pub paused_ns: AtomicU64,
    pub(super) busy_ns: AtomicU64,
    pub(super) events: [AtomicU64; Event::KINDS.len()],
}

/// What a swarm has and did beside what services do.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct SwarmStatus {
    /// Instances that were started.
    pub starts: u64,
    /// What it was told, by what.
    pub events: BTreeMap<&'static str, u64>,
    /// Bytes that went from the cache to peers.
    pub spliced_bytes: u64,
    /// Bytes of contents summed up.
    pub summed_bytes: u64,
    /// Datagrams by what became of them.
    pub datagrams: BTreeMap<&'static str, u64>,
    /// Timers that are set.
    pub timers: usize,
    /// Contents that are held.
    pub contents: usize,
    /// Bytes queued for connections.
    pub queued_bytes: usize,
    /// Time in which it was told nothing, as it had computed for more than its share, ns.
    pub paused_ns: u64,
}

impl SwarmFigures {
    pub(in crate::service) fn status(&self) -> SwarmStatus {
        let count = |count: &AtomicU64| count.load(Relaxed);
        SwarmStatus {
            starts: count(&self.starts),
            events: Event::KINDS.into_iter().zip(self.events.iter().map(count)).collect(),
            spliced_bytes: count(&self.spliced),
            summed_bytes: count(&self.summed),
            datagrams: BTreeMap::from([
                ("dropped", count(&self.dropped_datagrams)),
                ("sent", count(&self.sent_datagrams)),
                ("refused", count(&self.refused_datagrams)),
            ]),
            timers: self.timers.load(Relaxed),
            contents: self.contents.load(Relaxed),
            queued_bytes: self.queued.load(Relaxed),
            paused_ns: count(&self.paused_ns),
        }
    }

    /// Time it has computed, ns.
    pub(in crate::service) fn busy_ns(&self) -> u64 {
        self.busy_ns.load(Relaxed)
    }
}

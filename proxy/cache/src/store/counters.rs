//! What the store counts.

use std::sync::atomic::AtomicU64;

use crate::histogram::{Bytes, Histogram, Seconds};
use crate::target::Target;

/// What the store counted since it was made.
#[derive(Debug, Default)]
pub struct Counters {
    /// Objects published.
    pub published: AtomicU64,
    /// How long the fills of published objects took.
    pub fill_time: Histogram<Seconds>,
    /// Bytes of their bodies.
    pub object_bytes: Histogram<Bytes>,
    /// Fills that ended badly.
    pub fills_failed: AtomicU64,
    /// Fills that turned out not to fit and passed by.
    pub fills_passed: AtomicU64,
    /// Readers of those cut off for being too far behind.
    pub readers_cut: AtomicU64,
    /// Objects not published because the policy said so.
    pub not_admitted: AtomicU64,
    /// Objects refused because there was no room even after eviction.
    pub no_room: AtomicU64,
    /// Objects evicted by the policy.
    pub evicted: AtomicU64,
    /// Bytes evicted by the policy.
    pub evicted_bytes: AtomicU64,
    /// Objects evicted by samples for a request that could not wait for the exact policy.
    pub evicted_in_haste: AtomicU64,
    /// Handles that the exact policy named and that were not there.
    pub exact_nonsense: AtomicU64,
    /// Exact policies that were given up because they faulted.
    pub exact_broken: AtomicU64,
    /// Objects that the table itself dropped: the policy did not keep up.
    pub evicted_by_ceiling: AtomicU64,
    /// Purges asked for, by [`Target::KINDS`].
    pub purges: [AtomicU64; Target::KINDS.len()],
    /// Objects removed by purges.
    pub purged: AtomicU64,
    /// Objects made stale by soft purges.
    pub expired: AtomicU64,
    /// Objects removed because their origin said, asked to confirm them, that they are no more.
    pub discarded: AtomicU64,
    /// Fills that a purge kept from being published.
    pub fills_purged: AtomicU64,
    /// Pieces of objects put together with others, or made whole objects of.
    pub pieces_joined: AtomicU64,
    /// Pieces that went because there were too many of their object.
    pub pieces_dropped: AtomicU64,
    /// Surrogate keys ignored for their number or length.
    pub surrogate_keys_ignored: AtomicU64,
}

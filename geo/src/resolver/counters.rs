//! What the resolver counts. Relaxed: figures for people, not for decisions.

use std::sync::atomic::AtomicU64;

use crate::counters::count;

/// Counters since start.
#[derive(Debug, Default)]
pub struct Counters {
    /// Questions of clients over UDP, and over TCP.
    pub udp: AtomicU64,
    /// See [`Self::udp`].
    pub tcp: AtomicU64,
    /// Questions and connections of those who are not on the list.
    pub refused: AtomicU64,
    /// Questions that could not be read or are of no kind that is answered.
    pub malformed: AtomicU64,
    /// Answers out of the cache, and those that were looked for.
    pub hits: AtomicU64,
    /// See [`Self::hits`].
    pub misses: AtomicU64,
    /// Questions to servers, and those of them that a client's subnet went with.
    pub asked: AtomicU64,
    /// See [`Self::asked`].
    pub asked_for_subnets: AtomicU64,
    /// Datagrams that came while an answer was waited for and were not it: another id, question or spelling.
    pub forged: AtomicU64,
    /// Answers that DNSSEC shows to be false.
    pub bogus: AtomicU64,
    /// Answers cut for UDP.
    pub truncated: AtomicU64,
    /// What ran into a bound, by [`Counters::LIMITS`].
    pub limited: [AtomicU64; Counters::LIMITS.len()],
    /// Responses by [`crate::Counters::RCODES`].
    pub rcodes: [AtomicU64; crate::Counters::RCODES.len()],
}

/// A bound that a question ran into.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Limit {
    /// As many lookups were under way as may be.
    Lookups,
    /// As many connections were open as may be.
    Connections,
    /// The lookup took too long.
    Time,
    /// The lookup would have asked servers too often.
    Questions,
    /// A chain of aliases is too long.
    Aliases,
}

impl Counters {
    /// Labels of [`Self::limited`].
    pub const LIMITS: [&'static str; 5] = ["lookups", "connections", "time", "questions", "aliases"];

    pub(super) fn limited(&self, limit: Limit) {
        count(&self.limited[limit as usize]);
    }

    pub(super) fn rcode(&self, code: u16) {
        count(&self.rcodes[if code <= 5 { usize::from(code) } else { 6 + usize::from(code != 16) }]);
    }
}

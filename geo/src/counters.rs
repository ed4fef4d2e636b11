//! What the DNS side counts. Relaxed: figures for people, not for decisions.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use hickory_server::net::xfer::Protocol;

/// Counters since start.
#[derive(Debug, Default)]
pub struct Counters {
    /// Queries over UDP.
    pub udp: AtomicU64,
    /// Queries over TCP.
    pub tcp: AtomicU64,
    /// Queries over TLS, which [`Self::tcp`] counts, too.
    pub encrypted: AtomicU64,
    /// Queries over HTTPS, which [`Self::tcp`] counts, too.
    pub https: AtomicU64,
    /// Requests over HTTPS that carry no message.
    pub https_refused: AtomicU64,
    /// TCP connections closed for [`crate::limits::TCP_CONNECTIONS_MAX`].
    pub tcp_refused: AtomicU64,
    /// Queries with a client subnet.
    pub ecs: AtomicU64,
    /// Answers that were cut for UDP.
    pub truncated: AtomicU64,
    /// Answers that were cut, and dropped, for the bounds on answers.
    pub rate_cut: AtomicU64,
    /// See [`Self::rate_cut`].
    pub rate_dropped: AtomicU64,
    /// Queries over UDP that the kernel dropped because more came than could be answered.
    pub dropped: AtomicU64,
    /// Queries that could not be read or are not allowed.
    pub malformed: AtomicU64,
    /// Signatures made for answers, and taken from those kept.
    pub signatures_made: AtomicU64,
    /// See [`Self::signatures_made`].
    pub signatures_kept: AtomicU64,
    /// Requests whose signature (TSIG) was not right.
    pub tsig_refused: AtomicU64,
    /// Copies of zones sent, and refused to who may not and when as many were under way as may be.
    pub transfers: AtomicU64,
    /// See [`Self::transfers`].
    pub transfers_refused: AtomicU64,
    /// Changes told by primaries.
    pub notifies: AtomicU64,
    /// Copies of zones asked for: those that brought changes, a whole zone, or nothing new, changes that could not be used, upon which the
    /// whole zone was asked for, and those that failed.
    pub fetches: [AtomicU64; Counters::FETCHES.len()],
    /// Changes of zones accepted (UPDATE), and refused.
    pub updates: AtomicU64,
    /// See [`Self::updates`].
    pub updates_refused: AtomicU64,
    /// Round-trip times that there was no room for.
    pub rtts_left_out: AtomicU64,
    /// Routing policy answers that were refused.
    pub refused_choices: AtomicU64,
    /// Responses: noerror, formerr, servfail, nxdomain, notimp, refused, badvers, other.
    pub rcodes: [AtomicU64; Counters::RCODES.len()],
    /// Decisions by [`Counters::REASONS`].
    pub reasons: [AtomicU64; Counters::REASONS.len()],
}

impl Counters {
    /// Labels of [`Self::rcodes`].
    pub const RCODES: [&'static str; 8] =
        ["noerror", "formerr", "servfail", "nxdomain", "notimp", "refused", "badvers", "other"];
    /// Labels of [`Self::fetches`].
    pub const FETCHES: [&'static str; 5] = ["changes", "whole", "same", "unfit", "failed"];
    /// Labels of [`Self::reasons`].
    pub const REASONS: [&'static str; 9] =
        ["deep", "coverage", "geo", "load", "all-down", "no-candidate", "override", "no-room", "rtt"];

    /// The place of a label in [`Self::fetches`].
    pub fn fetched(label: &str) -> usize {
        Self::FETCHES.iter().position(|known| *known == label).unwrap_or_default()
    }

    pub(crate) fn query(&self, protocol: Protocol) {
        count(if protocol == Protocol::Udp { &self.udp } else { &self.tcp });
    }

    pub(crate) fn rcode(&self, code: u16) {
        let at = match code {
            0..=5 => usize::from(code),
            16 => 6,
            _ => 7,
        };
        self.rcodes[at].fetch_add(1, Relaxed);
    }

    pub(crate) fn reason(&self, reason: &str) {
        if let Some(at) = Self::REASONS.iter().position(|known| *known == reason) {
            self.reasons[at].fetch_add(1, Relaxed);
        }
    }
}

/// Adds one.
pub(crate) fn count(counter: &AtomicU64) {
    counter.fetch_add(1, Relaxed);
}

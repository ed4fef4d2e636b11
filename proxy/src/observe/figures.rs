//! What is counted on the request path: relaxed counters, spread over cache lines by thread, summed when read.

use std::cell::Cell;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::time::Duration;

use littoral_cache::Outcome;
use littoral_cache::freshness::Unstorable;
use littoral_cache::histogram::{Histogram, Seconds};

use super::access::Stamps;
use crate::request::unread::TooMuch;

/// Lines a counter is spread over; threads beyond share.
pub(crate) const STRIPES: usize = 16;

/// A counter that threads can add to without meeting.
#[derive(Debug, Default)]
pub struct Counter {
    stripes: [Stripe; STRIPES],
}

#[derive(Debug, Default)]
#[repr(align(64))]
struct Stripe(AtomicU64);

impl Counter {
    /// Adds to it.
    pub fn add(&self, amount: u64) {
        self.stripes[stripe()].0.fetch_add(amount, Relaxed);
    }

    /// The sum.
    pub fn sum(&self) -> u64 {
        self.stripes.iter().map(|stripe| stripe.0.load(Relaxed)).sum()
    }
}

/// The line of this thread.
pub(crate) fn stripe() -> usize {
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    thread_local!(static MINE: Cell<usize> = Cell::new(NEXT.fetch_add(1, Relaxed) % STRIPES));
    MINE.with(Cell::get)
}

/// Status classes, as metric labels.
pub const CLASSES: [&str; 6] = ["none", "1xx", "2xx", "3xx", "4xx", "5xx"];

/// Reasons for not storing, as metric labels.
pub const UNSTORABLE: [Unstorable; 11] = [
    Unstorable::NoStore,
    Unstorable::Private,
    Unstorable::NoCache,
    Unstorable::SetCookie,
    Unstorable::Authorised,
    Unstorable::Status,
    Unstorable::NoLifetime,
    Unstorable::VaryAny,
    Unstorable::TooLarge,
    Unstorable::NoRoom,
    Unstorable::Request,
];

/// Why a client's connection is closed at once.
#[derive(Debug, Clone, Copy)]
pub enum Denied {
    /// An allow or deny list says so.
    List,
    /// It does not come from those who must speak the PROXY protocol.
    Source,
    /// It brought no good PROXY header, or not in time.
    Header,
    /// Its client has too many.
    ClientConnections,
    /// Its client comes too often.
    ClientRate,
}

impl Denied {
    /// As metric labels, in the order of the variants.
    pub const LABELS: [&str; 5] = ["list", "source", "header", "client_connections", "client_rate"];
}

/// Why a request is refused before anybody asks what it is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refused {
    /// It is no HTTP, or could be read in two ways.
    Malformed,
    /// Its head took too long.
    HeadTime,
    /// Its body is too large.
    Body,
    /// Its body came too slowly.
    BodyTime,
    /// Its target is too long.
    Uri,
    /// Its client asks too often.
    Rate,
    /// Its head is too large.
    Head,
}

impl Refused {
    /// As metric labels, in the order of the variants.
    pub const LABELS: [&str; 7] = ["malformed", "head_time", "body", "body_time", "uri", "rate", "head"];

    /// The status the client is told.
    pub fn status(self) -> u16 {
        [400, 408, 413, 408, 414, 429, 431][self as usize]
    }
}

/// Why an HTTP/2 connection was ended by us.
#[derive(Debug, Clone, Copy)]
pub enum H2Ended {
    /// No stream for `limits.keepalive`.
    Idle,
    /// Too many frames that only cost: PING, SETTINGS, resets, CONTINUATION.
    Flood,
    /// Too many malformed requests.
    Malformed,
    /// It broke the protocol.
    Protocol,
}

impl H2Ended {
    /// As metric labels, in the order of the variants.
    pub const LABELS: [&str; 4] = ["idle", "flood", "malformed", "protocol"];
}

/// How a fill ended that went on after its origin broke off.
#[derive(Debug, Clone, Copy)]
pub enum Resumed {
    /// Whole.
    Whole,
    /// The object had changed, or no range of it was to be had.
    Changed,
    /// The rest did not come.
    Failed,
}

impl Resumed {
    /// As metric labels, in the order of the variants.
    pub const LABELS: [&str; 3] = ["whole", "changed", "failed"];
}

/// The counters of the request path.
#[derive(Debug, Default)]
pub struct Figures {
    /// Requests by [`Outcome::LABELS`].
    pub outcomes: [Counter; Outcome::LABELS.len()],
    /// How long requests took, by [`Outcome::LABELS`].
    pub durations: [Histogram<Seconds>; Outcome::LABELS.len()],
    /// How long origins took to answer once there was a connection.
    pub first_byte: Histogram<Seconds>,
    /// Requests by [`CLASSES`].
    pub classes: [Counter; CLASSES.len()],
    /// Bytes of bodies sent to clients.
    pub sent_bytes: Counter,
    /// Requests that ended with an error after their head was sent, or without one.
    pub broken: Counter,
    /// Requests refused because they had passed this node before.
    pub loops: Counter,
    /// Clients told of the cluster that is chosen for them: redirected, and as content steering.
    pub steered: [Counter; 2],
    /// Times an origin was asked.
    pub fetches: Counter,
    /// Times an origin was asked again.
    pub retries: Counter,
    /// Times an origin was not asked again because the budget for that was spent.
    pub retries_refused: Counter,
    /// Origins left out for failing.
    pub ejections: Counter,
    /// Failures after which an origin was not left out because too many others are.
    pub spared: Counter,
    /// Probes of origins that went well, and those that failed.
    pub probes: [Counter; 2],
    /// Times a node of a shield was asked.
    pub shielded: Counter,
    /// Times that failed, so that an origin was asked.
    pub shield_failures: Counter,
    /// Answers of origins cut off because they took too long as a whole.
    pub overdue: Counter,
    /// Lookups of origins' names that found an address, and those that did not.
    pub lookups: [Counter; 2],
    /// Requests that had to wait for an origin's room.
    pub queued: Counter,
    /// Requests refused because every queue was full.
    pub queues_full: Counter,
    /// Requests refused because they had waited too long.
    pub queue_timeouts: Counter,
    /// Requests answered by the error path.
    pub failures: Counter,
    /// Responses not stored, by [`UNSTORABLE`].
    pub unstorable: [Counter; UNSTORABLE.len()],
    /// Fills that went on after their origin broke off, by [`Resumed`].
    pub resumed: [Counter; Resumed::LABELS.len()],
    /// Fills ended because nobody read them any more, by [`TooMuch`].
    pub unread_ended: [Counter; TooMuch::LABELS.len()],
    /// URLs invalidated by unsafe requests.
    pub invalidated: Counter,
    /// Purges and invalidations that the other process of an upgrade did not confirm.
    pub upgrade_unconfirmed: Counter,
    /// Client connections accepted.
    pub connections: Counter,
    /// Client connections closed at once for [`crate::config::Limits::connections`].
    pub connections_refused: Counter,
    /// Client connections closed for who they are, by [`Denied`].
    pub denied: [Counter; Denied::LABELS.len()],
    /// Requests refused before anybody asks what they are for, by [`Refused`].
    pub refused: [Counter; Refused::LABELS.len()],
    /// HTTP/2 connections ended by us, by [`H2Ended`].
    pub h2_ended: [Counter; H2Ended::LABELS.len()],
    /// Interim responses not passed on to clients of HTTP/2, being too many.
    pub interim_dropped: Counter,
    /// Times no connection could be accepted, for want of file descriptors or memory.
    pub accept_failures: Counter,
    /// TLS handshakes done.
    pub tls_handshakes: Counter,
    /// Of these, sessions that went on.
    pub tls_resumed: Counter,
    /// TLS handshakes that failed, by [`crate::listen::tls::FAILURES`].
    pub tls_failures: [Counter; crate::listen::tls::FAILURES.len()],
    /// Connections closed for a head that took too long.
    pub header_timeouts: Counter,
    /// Connections open now.
    pub open: AtomicUsize,
}

impl Figures {
    /// A request is about to be answered.
    pub fn request(&self, outcome: Option<Outcome>, status: u16) {
        if let Some(outcome) = outcome {
            self.outcomes[outcome.label_index()].add(1);
        }
        self.classes[usize::from(status / 100).min(CLASSES.len() - 1)].add(1);
    }

    /// A request has ended after `time`; what was never answered from or past the cache has no outcome.
    pub fn took(&self, outcome: Option<Outcome>, time: Duration) {
        if let Some(outcome) = outcome {
            self.durations[outcome.label_index()].record_time(time);
        }
    }

    /// An origin has answered.
    pub(crate) fn first_byte(&self, stamps: &Stamps) {
        if let Some((connected, answered)) = stamps.connected.zip(stamps.answered) {
            self.first_byte.record_time(answered.saturating_duration_since(connected));
        }
    }

    pub(crate) fn resumed(&self, how: Resumed) {
        self.resumed[how as usize].add(1);
    }

    pub(crate) fn denied(&self, why: Denied) {
        self.denied[why as usize].add(1);
    }

    pub(crate) fn refused(&self, why: Refused) {
        self.refused[why as usize].add(1);
    }

    pub(crate) fn h2_ended(&self, why: H2Ended) {
        self.h2_ended[why as usize].add(1);
    }

    pub(crate) fn fetch(&self, again: bool) {
        self.fetches.add(1);
        if again {
            self.retries.add(1);
        }
    }

    pub(crate) fn unstorable(&self, reason: Unstorable) {
        let at = UNSTORABLE.iter().position(|known| *known == reason);
        self.unstorable[at.expect("invariant: UNSTORABLE lists every reason")].add(1);
    }

    pub(crate) fn header_timeout(&self) {
        self.header_timeouts.add(1);
    }

    /// Hits and all cacheable requests so far.
    pub fn hits_and_requests(&self) -> (u64, u64) {
        let sums = self.outcomes.each_ref().map(Counter::sum);
        (sums[Outcome::Hit.label_index()], sums.iter().sum())
    }
}

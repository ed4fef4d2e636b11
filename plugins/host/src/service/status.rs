//! What a service is and did, for whoever operates it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};

use parking_lot::Mutex;
use serde::Serialize;

use super::outbound::Dialled;
use super::swarm::{SwarmFigures, SwarmStatus};
use super::wire::Trouble;
use crate::asked::Asked;
use crate::durable::DurableHeld;
use crate::fetch::FetchedStatus;
use crate::filter::Fault;
use crate::generations::GenerationStatus;
use crate::status::{Counters, Dropped, Grants, State};
use crate::store::Held;
use crate::tick::TicksStatus;
use crate::trace::LastFault;

/// How a connection ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// As the service wanted.
    Done,
    /// The service said that something was wrong.
    Error,
    /// The service failed.
    Fault,
    /// It was cut off: the node stopped, its time was over.
    Cut,
    /// It was not served: no place, quarantine.
    Refused,
}

impl Outcome {
    /// Labels, in the order of the variants.
    pub const LABELS: [&'static str; 5] = ["done", "error", "fault", "cut", "refused"];
}

/// What is counted while it serves.
#[derive(Default)]
pub(super) struct Figures {
    pub(super) open: AtomicUsize,
    pub(super) ended: [AtomicU64; Outcome::LABELS.len()],
    pub(super) faults: [AtomicU64; Fault::KINDS.len()],
    pub(super) troubles: [AtomicU64; Trouble::KINDS.len()],
    pub(super) read: AtomicU64,
    pub(super) written: AtomicU64,
    /// Bytes read ahead that were thrown away when TLS began.
    pub(super) discarded: AtomicU64,
    /// Answers to datagrams that there was no room for.
    pub(super) dropped_answers: AtomicU64,
    pub(super) busy_ns: AtomicU64,
    pub(super) memory_bytes: AtomicU64,
    pub(super) last_fault: Mutex<LastFault>,
    /// Of a swarm, the rest.
    pub(super) swarm: Arc<SwarmFigures>,
}

/// What a service has dialled.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct DialledStatus {
    /// Connections there are now.
    pub open: usize,
    /// What became of dialling.
    pub outcomes: BTreeMap<&'static str, u64>,
    /// Bytes read from whom it dialled.
    pub read_bytes: u64,
    /// Bytes written to them.
    pub written_bytes: u64,
    /// What became of operations on these connections, where they did not do what they were asked.
    pub troubles: BTreeMap<&'static str, u64>,
}

impl DialledStatus {
    pub(crate) fn of(dialled: &Dialled) -> Self {
        let (open, outcomes) = dialled.told();
        let Figures { troubles, read, written, .. } = &*dialled.figures;
        let troubles = Trouble::KINDS.into_iter().zip(troubles.iter().map(|count| count.load(Relaxed)));
        Self {
            open,
            outcomes: outcomes.into_iter().collect(),
            read_bytes: read.load(Relaxed),
            written_bytes: written.load(Relaxed),
            troubles: troubles.collect(),
        }
    }
}

/// What a service is and did.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct ServiceStatus {
    /// Its name.
    pub name: String,
    /// Whether it serves.
    pub state: State,
    /// The file of the generation that runs.
    pub file: String,
    /// What it exports.
    pub interfaces: [&'static str; 1],
    /// Time it may compute between two operations that moved bytes, ms.
    pub deadline_ms: u64,
    /// Linear memory an instance may have, bytes.
    pub memory_bound_bytes: u64,
    /// What it may use.
    pub grants: Grants,
    /// What its file asks for, beside what it is granted.
    pub manifest: Asked,
    /// Number of the generation that runs.
    pub generation: u64,
    /// Of that file.
    pub sha256: String,
    /// The trusted key that signed it.
    pub signed_by: Option<String>,
    /// Connections that have ended, or datagrams that were handled.
    pub calls: u64,
    /// The same by how.
    pub ended: BTreeMap<&'static str, u64>,
    /// Connections there are now.
    pub open: usize,
    /// Faults by kind.
    pub faults: BTreeMap<&'static str, u64>,
    /// What became of operations on connections, where they did not do what they were asked.
    pub troubles: BTreeMap<&'static str, u64>,
    /// Bytes read from clients.
    pub read_bytes: u64,
    /// Bytes written to them.
    pub written_bytes: u64,
    /// Bytes that came in plain behind a wish for TLS, and were thrown away.
    pub discarded_bytes: u64,
    /// Answers to datagrams that were too many or too large for what had come.
    pub dropped_answers: u64,
    /// Time it has computed, its operations on connections included, ns.
    pub busy_ns: u64,
    /// The same for a connection in the mean, ns; 0 before the first has ended.
    pub mean_ns: u64,
    /// Linear memory of the largest instance, bytes.
    pub memory_bytes: u64,
    /// What it holds in its store, where it is granted one.
    pub store: Option<Held>,
    /// What it has dialled, where it is granted that.
    pub dialled: Option<DialledStatus>,
    /// What it has and did beside that, where it is a swarm.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub swarm: Option<SwarmStatus>,
    /// What it has asked by HTTP, where it is granted that.
    pub fetched: Option<FetchedStatus>,
    /// What it does outside of connections and datagrams, where it ticks.
    pub ticks: Option<TicksStatus>,
    /// What it keeps on disk, where it is granted that.
    pub durable: Option<DurableHeld>,
    /// Clients that are refused for now, as it failed in their connections.
    pub clients_refused: usize,
    /// Unix milliseconds; 0 when it is in use.
    pub quarantined_until_ms: u64,
    /// What runs.
    pub generations: Vec<GenerationStatus>,
    /// The last fault in words.
    pub last_fault: Option<String>,
    /// Its reason, and the guest's functions it happened in, innermost first; empty when it was in none.
    pub last_backtrace: Vec<String>,
    /// What it counts by itself, by number; those at 0 are left out.
    pub counters: BTreeMap<u32, u64>,
    /// What it said beyond its bounds.
    pub dropped: Dropped,
}

impl Figures {
    /// Adds what is counted of a swarm.
    pub(super) fn tell_of_swarm(&self, status: &mut ServiceStatus) {
        let (swarm, told) = (&self.swarm, self.swarm.status());
        status.calls = told.events.values().sum();
        status.open = swarm.open.load(Relaxed);
        status.ended.insert("done", swarm.closed.load(Relaxed));
        status.ended.insert("refused", swarm.refused.load(Relaxed));
        (status.read_bytes, status.written_bytes) = (swarm.read.load(Relaxed), swarm.written.load(Relaxed));
        status.busy_ns = swarm.busy_ns();
        status.mean_ns = status.busy_ns.checked_div(status.calls).unwrap_or(0);
        status.swarm = Some(told);
    }

    /// A status with what was counted; what the service is remains to be said.
    pub(super) fn status(&self, counters: &Counters) -> ServiceStatus {
        let of = |labels: &'static [&'static str], counts: &[AtomicU64]| -> BTreeMap<&'static str, u64> {
            labels.iter().zip(counts).map(|(label, count)| (*label, count.load(Relaxed))).collect()
        };
        let ended = of(&Outcome::LABELS, &self.ended);
        let (calls, busy_ns) = (ended.values().sum(), self.busy_ns.load(Relaxed));
        let LastFault { words, trace } = self.last_fault.lock().clone();
        ServiceStatus {
            calls,
            ended,
            open: self.open.load(Relaxed),
            faults: of(&Fault::KINDS, &self.faults),
            troubles: of(&Trouble::KINDS, &self.troubles),
            read_bytes: self.read.load(Relaxed),
            written_bytes: self.written.load(Relaxed),
            discarded_bytes: self.discarded.load(Relaxed),
            dropped_answers: self.dropped_answers.load(Relaxed),
            busy_ns,
            mean_ns: busy_ns.checked_div(calls).unwrap_or(0),
            memory_bytes: self.memory_bytes.load(Relaxed),
            last_fault: words,
            last_backtrace: trace,
            counters: counters.used(),
            dropped: counters.dropped(),
            ..ServiceStatus::default()
        }
    }
}

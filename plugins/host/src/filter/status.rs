//! What a filter is and did, for whoever operates it.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use parking_lot::Mutex;
use serde::Serialize;

use super::fault::Fault;
use super::guest::Point;
use crate::asked::Asked;
use crate::fetch::FetchedStatus;
use crate::generations::GenerationStatus;
use crate::rollout::Rollout;
use crate::service::{DialledStatus, DurableHeld};
use crate::status::{Counters, Dropped, Grants, State};
use crate::store::Held;
use crate::tick::TicksStatus;
use crate::trace::LastFault;

const POINTS: usize = Point::ALL.len();
const KINDS: usize = Fault::KINDS.len();

/// What is counted while it is called.
#[derive(Default)]
pub(super) struct Figures {
    pub(super) calls: [AtomicU64; POINTS],
    pub(super) faults: [[AtomicU64; KINDS]; POINTS],
    timed: AtomicU64,
    timed_ns: AtomicU64,
    memory_bytes: AtomicU64,
    pub(super) last_fault: Mutex<LastFault>,
}

/// What a filter is and did.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct FilterStatus {
    /// Its name.
    pub name: String,
    /// Whether it is asked.
    pub state: State,
    /// The file of the generation that runs.
    pub file: String,
    /// What it exports.
    pub interfaces: [&'static str; 1],
    /// Where it is called.
    pub points: Vec<&'static str>,
    /// Whether an instance serves one request after another.
    pub reuse: bool,
    /// By what its calls go: `core`, on the thread that asks, or `fiber`, where it lets others run.
    pub path: &'static str,
    /// What becomes of a request when it fails.
    pub on_fault: &'static str,
    /// Time a call may compute, ms.
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
    /// Calls, those that failed included.
    pub calls: u64,
    /// The same by point.
    pub calls_by_point: BTreeMap<&'static str, u64>,
    /// Faults by kind.
    pub faults: BTreeMap<&'static str, u64>,
    /// The same by point; those at 0 are left out.
    pub faults_by_point: BTreeMap<&'static str, BTreeMap<&'static str, u64>>,
    /// Mean of the timed calls (one in 16), ns; 0 before the first.
    pub mean_ns: u64,
    /// Instances there are now.
    pub instances: usize,
    /// Linear memory of the largest, bytes.
    pub memory_bytes: u64,
    /// What it holds in its store, where it is granted one.
    pub store: Option<Held>,
    /// What it has asked by HTTP, where it is granted that.
    pub fetched: Option<FetchedStatus>,
    /// What it has dialled, where it is granted that.
    pub dialled: Option<DialledStatus>,
    /// What it keeps on disk, where it does.
    pub durable: Option<DurableHeld>,
    /// What it does outside of requests, where it ticks.
    pub ticks: Option<TicksStatus>,
    /// Unix milliseconds; 0 when it is in use.
    pub quarantined_until_ms: u64,
    /// The candidate that is tried beside it, or was last.
    pub rollout: Option<Rollout>,
    /// What runs, and the candidate that is tried beside it.
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
    pub(super) fn timed(&self, took: Duration, memory_bytes: usize) {
        self.timed.fetch_add(1, Relaxed);
        self.timed_ns.fetch_add(took.as_nanos() as u64, Relaxed);
        self.has_memory(memory_bytes);
    }

    /// Notes how much an instance has.
    pub(super) fn has_memory(&self, bytes: usize) {
        self.memory_bytes.fetch_max(bytes as u64, Relaxed);
    }

    /// A status with what was counted; what the filter is remains to be said.
    pub(super) fn status(&self, counters: &Counters) -> FilterStatus {
        let by_point = |count: &dyn Fn(usize) -> u64| -> BTreeMap<&'static str, u64> {
            Point::ALL.into_iter().map(|point| (point.as_str(), count(point as usize))).collect()
        };
        let of_kind = |point: usize, kind: usize| self.faults[point][kind].load(Relaxed);
        let kinds = |count: &dyn Fn(usize) -> u64| -> BTreeMap<&'static str, u64> {
            Fault::KINDS.into_iter().enumerate().map(|(kind, name)| (name, count(kind))).collect()
        };
        let faults_by_point = Point::ALL.into_iter().map(|point| {
            let mut kinds = kinds(&|kind| of_kind(point as usize, kind));
            kinds.retain(|_, count| *count > 0);
            (point.as_str(), kinds)
        });
        let timed = self.timed.load(Relaxed);
        let LastFault { words, trace } = self.last_fault.lock().clone();
        FilterStatus {
            interfaces: ["filter"],
            calls: self.calls.iter().map(|calls| calls.load(Relaxed)).sum(),
            calls_by_point: by_point(&|point| self.calls[point].load(Relaxed)),
            faults: kinds(&|kind| (0..POINTS).map(|point| of_kind(point, kind)).sum()),
            faults_by_point: faults_by_point.filter(|(_, kinds)| !kinds.is_empty()).collect(),
            mean_ns: self.timed_ns.load(Relaxed).checked_div(timed).unwrap_or(0),
            memory_bytes: self.memory_bytes.load(Relaxed),
            last_fault: words,
            last_backtrace: trace,
            counters: counters.used(),
            dropped: counters.dropped(),
            ..FilterStatus::default()
        }
    }
}

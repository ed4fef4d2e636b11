//! What a plugin is and did, for whoever operates it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use parking_lot::Mutex;
use serde::Serialize;

use crate::limits::COUNTERS_MAX;
use crate::record::Recorded;
use crate::types::Fault;

/// What is counted while it is called.
#[derive(Default)]
pub(crate) struct Figures {
    pub(crate) calls: AtomicU64,
    pub(crate) faults: [AtomicU64; Fault::KINDS.len()],
    pub(crate) fuel: AtomicU64,
    pub(crate) timed: AtomicU64,
    pub(crate) timed_ns: AtomicU64,
    pub(crate) memory_bytes: AtomicU64,
    pub(crate) last_fault: Mutex<LastFault>,
    pub(crate) counters: Arc<Counters>,
}

/// The last fault, for whoever looks for its reason.
#[derive(Debug, Clone, Default)]
pub(crate) struct LastFault {
    words: Option<String>,
    trace: Vec<String>,
}

/// What a plugin counts by itself (`env.count`), in all its instances and generations.
pub(crate) struct Counters([AtomicU64; COUNTERS_MAX]);

impl Default for Counters {
    fn default() -> Self {
        Self([const { AtomicU64::new(0) }; COUNTERS_MAX])
    }
}

impl Counters {
    /// Adds; a counter that there is not is ignored, as the contract says.
    pub(crate) fn add(&self, counter: u32, delta: u64) {
        if let Some(counter) = self.0.get(counter as usize) {
            counter.fetch_add(delta, Relaxed);
        }
    }

    pub(crate) fn used(&self) -> BTreeMap<u32, u64> {
        let counts = self.0.iter().map(|counter| counter.load(Relaxed));
        (0..).zip(counts).filter(|(_, count)| *count > 0).collect()
    }
}

/// Whether a plugin decides.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum State {
    /// The last generation that was loaded is asked.
    #[default]
    Running,
    /// Nothing is asked: the native policy answers for now. Whether it was rolled back before is told when this is over.
    Quarantined,
    /// An earlier generation is asked: the last one that was loaded faulted at once.
    RolledBack,
}

/// What a plugin is and did.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Status {
    /// Its name.
    pub name: String,
    /// Whether it decides.
    pub state: State,
    /// The file of the generation that runs.
    pub file: String,
    /// Its interfaces.
    pub interfaces: Vec<&'static str>,
    /// Number of the generation that runs. It grows with each reload; a rollback goes back to an earlier one.
    pub generation: u64,
    /// Of that file.
    pub sha256: String,
    /// Who of `plugins.trusted_keys` signed it.
    pub signed_by: Option<String>,
    /// Calls so far, those that failed included.
    pub calls: u64,
    /// Faults by [`Fault::KINDS`].
    pub faults: BTreeMap<&'static str, u64>,
    /// Fuel used.
    pub fuel: u64,
    /// Mean of the timed calls (one in 64), ns; 0 before the first.
    pub mean_ns: u64,
    /// Linear memory of the largest instance, bytes.
    pub memory_bytes: u64,
    /// Unix milliseconds; 0 when it is in use.
    pub quarantined_until_ms: u64,
    /// The last fault in words.
    pub last_fault: Option<String>,
    /// Its reason, and the guest's functions it happened in, innermost first; empty when it was in none.
    pub last_backtrace: Vec<String>,
    /// What it counts by itself, by number; those at 0 are left out.
    pub counters: BTreeMap<u32, u64>,
    /// Where its decisions are recorded, and how many were.
    pub record: Option<Recorded>,
}

impl Figures {
    /// Notes a fault and where the guest was. An instance that could not be started has been told by [`Self::refused`].
    pub(crate) fn faulted(&self, fault: Fault, trace: &[String]) {
        if fault != Fault::Init {
            *self.last_fault.lock() = LastFault { words: Some(fault.to_string()), trace: trace.to_vec() };
        }
    }

    /// Notes why an instance could not be started.
    pub(crate) fn refused(&self, problem: String) -> Fault {
        *self.last_fault.lock() = LastFault { words: Some(Fault::Init.to_string()), trace: vec![problem] };
        Fault::Init
    }

    /// A status with what was counted; what the plugin is remains to be said.
    pub(crate) fn status(&self) -> Status {
        let timed = self.timed.load(Relaxed);
        let LastFault { words, trace } = self.last_fault.lock().clone();
        let faults = self.faults.each_ref().map(|faults| faults.load(Relaxed));
        Status {
            calls: self.calls.load(Relaxed),
            faults: Fault::KINDS.into_iter().zip(faults).collect(),
            fuel: self.fuel.load(Relaxed),
            mean_ns: self.timed_ns.load(Relaxed).checked_div(timed).unwrap_or(0),
            memory_bytes: self.memory_bytes.load(Relaxed),
            last_fault: words,
            last_backtrace: trace,
            counters: self.counters.used(),
            ..Status::default()
        }
    }
}

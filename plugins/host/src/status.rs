//! What a plugin is and did, for whoever operates it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Instant;

use parking_lot::Mutex;
use serde::Serialize;

use crate::asked::{Asked, Limits};
use crate::generations::GenerationStatus;
use crate::limits::{COUNTERS_MAX, LOG_LINES_PER_SECOND};
use crate::record::Recorded;
use crate::rollout::Rollout;
use crate::trace::LastFault;
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

/// What a plugin counts and says by itself (`env`), in all its instances and generations together: however many of these there
/// are, it does not get to say more.
pub(crate) struct Counters {
    of: [AtomicU64; COUNTERS_MAX],
    since: Instant,
    /// Second since then of the last line, and lines of that second.
    second: AtomicU64,
    lines: AtomicU64,
    dropped_counts: AtomicU64,
    dropped_lines: AtomicU64,
}

impl Default for Counters {
    fn default() -> Self {
        Self {
            of: [const { AtomicU64::new(0) }; COUNTERS_MAX],
            since: Instant::now(),
            second: AtomicU64::new(0),
            lines: AtomicU64::new(0),
            dropped_counts: AtomicU64::new(0),
            dropped_lines: AtomicU64::new(0),
        }
    }
}

impl Counters {
    /// Adds; a counter that there is not is ignored, as the contract says.
    pub(crate) fn add(&self, counter: u32, delta: u64) {
        match self.of.get(counter as usize) {
            Some(counter) => counter.fetch_add(delta, Relaxed),
            None => self.dropped_counts.fetch_add(1, Relaxed),
        };
    }

    /// Whether one more line may be logged now; one that may not is counted.
    pub(crate) fn may_log(&self) -> bool {
        self.may_log_in(self.since.elapsed().as_secs())
    }

    fn may_log_in(&self, second: u64) -> bool {
        // Threads that meet at the turn of a second may log a line more each.
        if self.second.swap(second, Relaxed) != second {
            self.lines.store(0, Relaxed);
        }
        let may = self.lines.fetch_add(1, Relaxed) < LOG_LINES_PER_SECOND;
        if !may {
            self.dropped_lines.fetch_add(1, Relaxed);
        }
        may
    }

    pub(crate) fn used(&self) -> BTreeMap<u32, u64> {
        let counts = self.of.iter().map(|counter| counter.load(Relaxed));
        (0..).zip(counts).filter(|(_, count)| *count > 0).collect()
    }

    pub(crate) fn dropped(&self) -> Dropped {
        Dropped { lines: self.dropped_lines.load(Relaxed), counts: self.dropped_counts.load(Relaxed) }
    }
}

/// What a plugin said beyond its bounds, and nobody heard.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Dropped {
    /// Lines of the log.
    pub lines: u64,
    /// Counts of counters that there are not.
    pub counts: u64,
}

/// What the operator grants a plugin: what it may use besides its own computing, and how much. What is not its kind's is left out.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Grants {
    /// Linear memory of an instance, bytes.
    pub memory_bytes: u64,
    /// Fuel of a call, where the operator says so.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fuel: Option<u64>,
    /// Time a call may compute, ms.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub deadline_ms: Option<u64>,
    /// Bytes of its store.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub store_bytes: Option<u64>,
    /// Whom it may dial.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dial: Option<Vec<String>>,
    /// Which contents of the cache it may send.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub content: Option<Vec<String>>,
    /// Whom it may ask by HTTP.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub http: Option<Vec<String>>,
    /// Bytes it may keep on disk.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub durable_bytes: Option<u64>,
    /// Entries it may keep there.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub durable_keys: Option<u64>,
    /// Whether it may rewrite bodies.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bodies: Option<bool>,
    /// Whether it is told where clients are.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub places: Option<bool>,
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
    /// What it may use.
    pub grants: Grants,
    /// What its file asks for, beside what it is granted.
    pub manifest: Asked,
    /// What it has at most, whether the operator says so or not.
    pub limits: Limits,
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
    /// The candidate that is tried beside it, or was last.
    pub rollout: Option<Rollout>,
    /// What runs, and the candidate that is tried beside it.
    pub generations: Vec<GenerationStatus>,
    /// Where its decisions are recorded, and how many were.
    pub record: Option<Recorded>,
    /// What it said beyond its bounds.
    pub dropped: Dropped,
}

impl Figures {
    /// Notes a fault and where the guest was. An instance that could not be started has been told by [`Self::refused`].
    pub(crate) fn faulted(&self, fault: Fault, trace: &[String]) {
        if fault != Fault::Init {
            *self.last_fault.lock() = LastFault::new(fault.to_string(), trace);
        }
    }

    /// Notes why an instance could not be started.
    pub(crate) fn refused(&self, problem: String) -> Fault {
        *self.last_fault.lock() = LastFault::new(Fault::Init.to_string(), &[problem]);
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
            dropped: self.counters.dropped(),
            ..Status::default()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plugin_logs_ten_lines_a_second_however_many_instances_it_has_and_the_others_are_counted() {
        let counters = Counters::default();
        let logged = |second| (0..1000).filter(|_| counters.may_log_in(second)).count();
        assert_eq!([logged(0), logged(0), logged(1), logged(7)], [10, 0, 10, 10]);
        assert_eq!(counters.dropped(), Dropped { lines: 3970, counts: 0 });
    }

    #[test]
    fn counters_that_there_are_not_are_counted_and_nothing_else() {
        let counters = Counters::default();
        for counter in [0, 63, 64, u32::MAX] {
            counters.add(counter, 2);
        }
        assert_eq!(counters.used(), [(0, 2), (63, 2)].into());
        assert_eq!(counters.dropped(), Dropped { lines: 0, counts: 2 });
    }
}

//! Which loading of a plugin runs: the one that was loaded last, the one before it, or none for a while.
//!
//! The same for policies, filters and whatever else is loaded; what a loading consists of, who calls it and what a fault is are
//! theirs. Invariants: a number names one loading, and is not used again; what is said of a loading that no longer runs changes
//! nothing; no lock is held while a file is loaded or a guest runs, but for that of who reloads.

use std::fmt::Display;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use arc_swap::{ArcSwap, Guard};
use parking_lot::{Mutex, MutexGuard};

use crate::breaker::Breaker;
use crate::limits::ROLLBACK_WINDOW_MS;
use crate::signature::PublicKey;
use crate::status::State;

/// One loading of a plugin: what the operator said of it, and what it is made from.
pub(crate) struct Generation<S, C> {
    /// Given when it is adopted; 1 for the first.
    pub(crate) number: u64,
    pub(crate) spec: S,
    /// Of the file it was loaded from.
    pub(crate) sha256: String,
    pub(crate) signed_by: Option<PublicKey>,
    pub(crate) loaded_ms: u64,
    pub(crate) code: C,
}

/// All that is known of a plugin's loadings.
pub(crate) struct Generations<S, C> {
    now_ms: fn() -> u64,
    /// Held by whoever reloads for as long as that takes: one after another. No caller takes it.
    reloading: Mutex<()>,
    standing: Mutex<Standing<S, C>>,
    current: ArcSwap<Generation<S, C>>,
    quarantined_until_ms: AtomicU64,
}

/// How a plugin stands apart from what runs. Locked for moments only.
struct Standing<S, C> {
    /// What the operator wants. After a rollback it is not what runs.
    spec: S,
    /// Of the last loading. It only grows.
    number: u64,
    /// Of the file of the last loading.
    sha256: String,
    /// What ran before, while it is worth going back to.
    previous: Option<Arc<Generation<S, C>>>,
    breaker: Breaker,
}

/// How a plugin stands, for its status.
pub(crate) struct Stands<S, C> {
    pub(crate) generation: Arc<Generation<S, C>>,
    pub(crate) state: State,
    /// 0: it is not in quarantine.
    pub(crate) quarantined_until_ms: u64,
}

impl<S: Clone + PartialEq, C> Generations<S, C> {
    /// With its first loading. `now_ms` is the host's clock.
    pub(crate) fn new(first: Generation<S, C>, now_ms: fn() -> u64) -> Self {
        let standing = Standing {
            spec: first.spec.clone(),
            number: first.number,
            sha256: first.sha256.clone(),
            previous: None,
            breaker: Breaker::default(),
        };
        Self {
            now_ms,
            reloading: Mutex::default(),
            standing: Mutex::new(standing),
            current: ArcSwap::from_pointee(first),
            quarantined_until_ms: AtomicU64::new(0),
        }
    }

    /// What the operator wants.
    pub(crate) fn spec(&self) -> S {
        self.standing.lock().spec.clone()
    }

    /// What runs.
    pub(crate) fn current(&self) -> Guard<Arc<Generation<S, C>>> {
        self.current.load()
    }

    /// For who reloads: while this is held nobody else does.
    pub(crate) fn alone(&self) -> MutexGuard<'_, ()> {
        self.reloading.lock()
    }

    /// Whether the last loading, even if it was rolled back, was of a file with this sha256.
    pub(crate) fn was_loaded(&self, sha256: &str) -> bool {
        self.standing.lock().sha256 == sha256
    }

    /// Has a loading run from now on; its number. `announce` is told what runs before anything else can take its place.
    pub(crate) fn adopt(&self, mut next: Generation<S, C>, announce: impl FnOnce(&Generation<S, C>)) -> u64 {
        let mut standing = self.standing.lock();
        next.number = standing.number + 1;
        let next = Arc::new(next);
        let old = self.current.swap(next.clone());
        // The same once more is nothing to go back to: what ran before it still is.
        if old.sha256 != next.sha256 || old.spec != next.spec {
            standing.previous = Some(old);
        }
        (standing.spec, standing.number) = (next.spec.clone(), next.number);
        standing.sha256.clone_from(&next.sha256);
        // A new file is a new chance.
        standing.breaker = Breaker::default();
        self.quarantined_until_ms.store(0, Relaxed);
        announce(&next);
        next.number
    }

    /// Whether nothing is to be called for now.
    pub(crate) fn is_quarantined(&self) -> bool {
        let until = self.quarantined_until_ms.load(Relaxed);
        if until == 0 {
            return false;
        }
        let lasts = (self.now_ms)() < until;
        if !lasts {
            // Over, unless another thread has just begun a new one.
            let _ = self.quarantined_until_ms.compare_exchange(until, 0, Relaxed, Relaxed);
        }
        lasts
    }

    /// Whether one fault too many would be a rollback: what runs was loaded a moment ago, and there is something to go back to.
    pub(crate) fn is_on_trial(&self) -> bool {
        let standing = self.standing.lock();
        let young = (self.now_ms)().saturating_sub(self.current.load().loaded_ms) <= ROLLBACK_WINDOW_MS;
        young && standing.previous.is_some()
    }

    /// Takes note of a fault of a call to loading `number`, and does what it leads to: one too many is a rollback right after a
    /// reload, else quarantine. `announce` is told what runs after a rollback.
    pub(crate) fn failed(
        &self,
        plugin: &str,
        fault: &dyn Display,
        number: u64,
        announce: impl FnOnce(&Generation<S, C>),
    ) {
        let now_ms = (self.now_ms)();
        let mut standing = self.standing.lock();
        let running = self.current.load_full();
        // A call that began before a reload or a rollback says nothing about what runs now.
        if running.number != number {
            return;
        }
        let Some(until) = standing.breaker.fault(now_ms) else { return };
        let young = now_ms.saturating_sub(running.loaded_ms) <= ROLLBACK_WINDOW_MS;
        match standing.previous.take().filter(|_| young) {
            Some(previous) => {
                let (bad, good) = (number, previous.number);
                self.current.store(previous.clone());
                standing.breaker = Breaker::default();
                announce(&previous);
                tracing::error!(plugin, bad, good, %fault, "faults right after a reload: rolled back");
            }
            None => {
                self.quarantined_until_ms.store(until, Relaxed);
                tracing::error!(plugin, until, %fault, "in quarantine");
            }
        }
    }

    /// How it stands.
    pub(crate) fn stands(&self) -> Stands<S, C> {
        let until = self.quarantined_until_ms.load(Relaxed);
        let quarantined_until_ms = if until > (self.now_ms)() { until } else { 0 };
        // Together, so that nobody takes the moment of a reload for a rollback.
        let (generation, last) = {
            let standing = self.standing.lock();
            (self.current.load_full(), standing.number)
        };
        let state = match generation.number == last {
            _ if quarantined_until_ms > 0 => State::Quarantined,
            false => State::RolledBack,
            true => State::Running,
        };
        Stands { generation, state, quarantined_until_ms }
    }
}

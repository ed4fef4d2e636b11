//! Which loading of a plugin runs: the one that was loaded last, the one before it, or none for a while; and which is tried beside it.
//!
//! The same for policies, filters and whatever else is loaded; what a loading consists of, who calls it and what a fault is are
//! theirs. Invariants: a number names one loading, and is not used again; what is said of a loading that no longer runs changes
//! nothing; no lock is held while a file is loaded or a guest runs, but for that of who reloads.

use std::fmt::Display;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use arc_swap::{ArcSwap, Guard};
use parking_lot::{Mutex, MutexGuard};
use serde::Serialize;

use crate::breaker::{Breaker, Gate};
use crate::engine::{Content, LoadError};
use crate::limits::ROLLBACK_WINDOW_MS;
use crate::rollout::{Rollout, RolloutState, Side, Tallies, Trial};
use crate::signature::PublicKey;
use crate::status::State;

mod rollouts;

use rollouts::Rollouts;
pub(crate) use rollouts::Wish;

/// What the operator says of a plugin.
pub(crate) trait Spec: Clone + PartialEq {
    /// The file it is loaded from.
    fn file(&self) -> &Path;
}

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
    pub(crate) count: Count,
}

/// What one loading was called for, and what it failed at.
#[derive(Default)]
pub(crate) struct Count {
    calls: AtomicU64,
    faults: AtomicU64,
}

impl Count {
    /// Notes a call.
    pub(crate) fn called(&self) {
        self.calls.fetch_add(1, Relaxed);
    }
}

/// A generation that is asked now, the one that runs or the candidate beside it, and what it did.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct GenerationStatus {
    /// Its number.
    pub generation: u64,
    /// Of its file.
    pub sha256: String,
    /// Calls of it; of a service connections, of datagrams those it was handed, of a swarm events.
    pub calls: u64,
    /// Faults that were held against it.
    pub faults: u64,
}

/// What is asked now.
pub(crate) struct Running<S, C> {
    pub(crate) present: Arc<Generation<S, C>>,
    pub(crate) trial: Option<Trial<S, C>>,
}

/// The loading that is asked about somebody, and where that is counted while there are two.
pub(crate) struct Chosen<S, C> {
    pub(crate) generation: Arc<Generation<S, C>>,
    pub(crate) side: Side,
    pub(crate) tallies: Option<Arc<Tallies>>,
}

impl<S, C> Running<S, C> {
    /// Who is asked about whom `who` names; it is not called where there is nothing to choose.
    pub(crate) fn choose(&self, who: impl FnOnce() -> u64) -> Chosen<S, C> {
        let Some(trial) = &self.trial else {
            return Chosen { generation: self.present.clone(), side: Side::Present, tallies: None };
        };
        let side = trial.side_of(who());
        let generation = match side {
            Side::Present => self.present.clone(),
            Side::Candidate => trial.candidate.clone(),
        };
        Chosen { generation, side, tallies: Some(trial.tallies.clone()) }
    }

    /// Counts a fault of loading `number`, while there are two.
    pub(crate) fn faulted(&self, number: u64) {
        let Some(trial) = &self.trial else { return };
        match number {
            number if number == trial.candidate.number => trial.tallies.faulted(Side::Candidate),
            number if number == self.present.number => trial.tallies.faulted(Side::Present),
            _ => {}
        }
    }

    fn candidate(&self) -> Option<&Generation<S, C>> {
        self.trial.as_ref().map(|trial| &*trial.candidate)
    }

    /// What it and the candidate did.
    fn told(&self) -> Vec<GenerationStatus> {
        let of = |one: &Generation<S, C>| GenerationStatus {
            generation: one.number,
            sha256: one.sha256.clone(),
            calls: one.count.calls.load(Relaxed),
            faults: one.count.faults.load(Relaxed),
        };
        [Some(&*self.present), self.candidate()].into_iter().flatten().map(of).collect()
    }

    /// Whether a loading of this number is one of those.
    pub(crate) fn has(&self, number: u64) -> bool {
        self.present.number == number || self.trial.as_ref().is_some_and(|trial| trial.candidate.number == number)
    }
}

/// All that is known of a plugin's loadings.
pub(crate) struct Generations<S, C> {
    now_ms: fn() -> u64,
    /// Held by whoever reloads for as long as that takes: one after another. No caller takes it.
    reloading: Mutex<()>,
    standing: Mutex<Standing<S, C>>,
    running: ArcSwap<Running<S, C>>,
    gate: Arc<Gate>,
}

/// How a plugin stands apart from what runs. Locked for moments only.
struct Standing<S, C> {
    /// What the operator wants. After a rollback it is not what runs.
    spec: S,
    /// Of the last loading. It only grows.
    number: u64,
    /// The last loading that was to run alone, and its file's sha256.
    adopted: u64,
    sha256: String,
    /// When what runs began to.
    since_ms: u64,
    /// What ran before, while it is worth going back to.
    previous: Option<Arc<Generation<S, C>>>,
    breaker: Breaker,
    rollouts: Rollouts<S>,
}

/// How a plugin stands, for its status.
pub(crate) struct Stands<S, C> {
    pub(crate) generation: Arc<Generation<S, C>>,
    pub(crate) state: State,
    /// 0: it is not in quarantine.
    pub(crate) quarantined_until_ms: u64,
    pub(crate) rollout: Option<Rollout>,
    /// What runs, and the candidate beside it.
    pub(crate) generations: Vec<GenerationStatus>,
}

impl<S: Spec, C> Generations<S, C> {
    /// With its first loading. `now_ms` is the host's clock; quarantine shuts the gate.
    pub(crate) fn new(first: Generation<S, C>, now_ms: fn() -> u64, gate: Arc<Gate>) -> Self {
        let standing = Standing {
            spec: first.spec.clone(),
            number: first.number,
            adopted: first.number,
            sha256: first.sha256.clone(),
            since_ms: first.loaded_ms,
            previous: None,
            breaker: Breaker::default(),
            rollouts: Rollouts::default(),
        };
        Self {
            now_ms,
            reloading: Mutex::default(),
            standing: Mutex::new(standing),
            running: ArcSwap::from_pointee(Running { present: Arc::new(first), trial: None }),
            gate,
        }
    }

    /// What the operator wants.
    pub(crate) fn spec(&self) -> S {
        self.standing.lock().spec.clone()
    }

    /// What is asked.
    pub(crate) fn running(&self) -> Guard<Arc<Running<S, C>>> {
        self.running.load()
    }

    /// What runs, whatever is tried beside it.
    pub(crate) fn current(&self) -> Arc<Generation<S, C>> {
        self.running.load().present.clone()
    }

    /// For who reloads: while this is held nobody else does.
    pub(crate) fn alone(&self) -> MutexGuard<'_, ()> {
        self.reloading.lock()
    }

    /// What its file holds, if that is something else than at the last loading, even if that was rolled back; as [`Self::alone`] otherwise.
    ///
    /// # Errors
    /// That the file cannot be read.
    pub(crate) fn changed(&self) -> Result<Option<(MutexGuard<'_, ()>, S, Content)>, LoadError> {
        let (alone, spec) = (self.alone(), self.spec());
        let content = Content::read(spec.file())?;
        let was_loaded = self.standing.lock().sha256 == content.sha256;
        Ok((!was_loaded).then_some((alone, spec, content)))
    }

    /// Has a loading run from now on; its number. What is tried beside it still is. `announce` is told what runs before anything else
    /// can take its place.
    pub(crate) fn adopt(&self, mut next: Generation<S, C>, announce: impl FnOnce(&Running<S, C>)) -> u64 {
        let mut standing = self.standing.lock();
        next.number = standing.number + 1;
        standing.number = next.number;
        standing.since_ms = next.loaded_ms;
        standing.rollouts.replaced = None;
        let trial = self.running.load().trial.clone();
        self.put(&mut standing, Arc::new(next), trial, announce)
    }

    /// Has `next` run, with what is tried beside it; its number.
    fn put(
        &self,
        standing: &mut Standing<S, C>,
        next: Arc<Generation<S, C>>,
        trial: Option<Trial<S, C>>,
        announce: impl FnOnce(&Running<S, C>),
    ) -> u64 {
        let old = self.current();
        // The same once more is nothing to go back to: what ran before it still is.
        if old.sha256 != next.sha256 || old.spec != next.spec {
            standing.previous = Some(old);
        }
        (standing.spec, standing.adopted) = (next.spec.clone(), next.number);
        standing.sha256.clone_from(&next.sha256);
        // A new file is a new chance.
        standing.breaker = Breaker::default();
        self.gate.open();
        let number = next.number;
        self.run(Running { present: next, trial }, announce);
        number
    }

    /// To be called with the lock held, so that what is announced last is what runs.
    fn run(&self, running: Running<S, C>, announce: impl FnOnce(&Running<S, C>)) {
        let running = Arc::new(running);
        self.running.store(running.clone());
        announce(&running);
    }

    /// Whether nothing is to be called for now.
    pub(crate) fn is_quarantined(&self) -> bool {
        self.gate.is_shut(self.now_ms)
    }

    /// Whether one more may be called, which behind a quarantine come one at a time. Who is told so has to call it.
    pub(crate) fn admits(&self) -> bool {
        self.gate.admits(self.now_ms)
    }

    /// How long nothing is to be called, where that is so.
    pub(crate) fn quarantined_for(&self) -> Option<Duration> {
        let until_ms = self.gate.until_ms(self.now_ms)?;
        Some(Duration::from_millis(until_ms.saturating_sub((self.now_ms)())))
    }

    /// Whether one fault too many would be a rollback: what runs was loaded a moment ago, and there is something to go back to.
    pub(crate) fn is_on_trial(&self) -> bool {
        let standing = self.standing.lock();
        let young = (self.now_ms)().saturating_sub(standing.since_ms) <= ROLLBACK_WINDOW_MS;
        young && standing.previous.is_some()
    }

    /// Takes note of a fault of a call to loading `number`, and does what it leads to: one too many is a rollback right after a
    /// reload, else quarantine; of a candidate, the end of its roll-out. `announce` is told what runs after that.
    pub(crate) fn failed(&self, plugin: &str, fault: &dyn Display, number: u64, announce: impl FnOnce(&Running<S, C>)) {
        let now_ms = (self.now_ms)();
        let mut standing = self.standing.lock();
        let running = self.running.load_full();
        for one in [Some(&*running.present), running.candidate()].into_iter().flatten() {
            one.count.faults.fetch_add(u64::from(one.number == number), Relaxed);
        }
        if let Some(trial) = running.trial.as_ref().filter(|trial| trial.candidate.number == number) {
            if standing.rollouts.breaker.fault(now_ms).is_some() {
                self.end(&mut standing, RolloutState::RolledBack, trial, Some(fault), announce);
                let present = running.present.number;
                tracing::error!(plugin, candidate = number, present, %fault, "faults of a candidate: its roll-out has ended");
            }
            return;
        }
        // A call that began before a reload or a rollback says nothing about what runs now.
        if running.present.number != number {
            return;
        }
        let Some(until) = standing.breaker.fault(now_ms) else { return };
        let young = now_ms.saturating_sub(standing.since_ms) <= ROLLBACK_WINDOW_MS;
        match standing.previous.take().filter(|_| young) {
            Some(previous) => {
                let (bad, good) = (number, previous.number);
                standing.breaker = Breaker::default();
                self.run(Running { present: previous, trial: running.trial.clone() }, announce);
                tracing::error!(plugin, bad, good, %fault, "faults right after a reload: rolled back");
            }
            None => {
                self.gate.shut(until);
                tracing::error!(plugin, until, %fault, "in quarantine");
            }
        }
    }

    /// How it stands.
    pub(crate) fn stands(&self) -> Stands<S, C> {
        let quarantined_until_ms = self.gate.until_ms(self.now_ms).unwrap_or(0);
        // Together, so that nobody takes the moment of a reload for a rollback.
        let (generation, adopted, rollout, generations) = {
            let standing = self.standing.lock();
            let running = self.running.load();
            (running.present.clone(), standing.adopted, standing.rollouts.told(&running), running.told())
        };
        let state = match generation.number == adopted {
            _ if quarantined_until_ms > 0 => State::Quarantined,
            false => State::RolledBack,
            true => State::Running,
        };
        Stands { generation, state, quarantined_until_ms, rollout, generations }
    }
}

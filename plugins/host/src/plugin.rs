//! A loaded plugin: its generations, what was pushed to it, its instances per thread, its breaker and its figures.
//!
//! A call takes the thread's own instance, made anew when the generation changed or after a fault, and told again what
//! was pushed. One atomic number says whether anything changed.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Instant;

use arc_swap::ArcSwap;
use parking_lot::Mutex;
use serde::Serialize;
use wasmtime::{Linker, Module};

use crate::breaker::Breaker;
use crate::component::Interface;
use crate::engine::{Host, LoadError, PluginSpec};
use crate::instance::{Guest, Instance};
use crate::limits::{CLUSTERS_MAX, FUEL_CACHE, FUEL_DECISION, LADDERS_MAX, ROLLBACK_WINDOW_MS, RUNGS_MAX};
use crate::types::{Answer, Ask, Choice, ClusterRow, Fault, Flow, Object, Verdict};

/// One call in this many is timed.
const TIMED_EVERY: u64 = 64;

/// One version of a plugin's file, ready to be instantiated.
pub(crate) struct Generation {
    pub(crate) number: u64,
    pub(crate) module: Module,
    pub(crate) linker: Linker<Guest>,
    pub(crate) interfaces: Vec<Interface>,
    pub(crate) sha256: String,
    pub(crate) memory_bytes: usize,
    pub(crate) fuel: Option<u64>,
    pub(crate) loaded_ms: u64,
}

/// What was pushed, to be told to every new instance.
#[derive(Default)]
struct Pushed {
    version: u64,
    clusters: Vec<ClusterRow>,
    ladders: BTreeMap<u32, Vec<u32>>,
}

/// A loaded plugin.
pub struct Plugin {
    id: usize,
    host: Arc<Host>,
    spec: Mutex<PluginSpec>,
    wanted: Option<Interface>,
    current: ArcSwap<Generation>,
    previous: Mutex<Option<Arc<Generation>>>,
    pushed: Mutex<Pushed>,
    /// Grows with every reload, rollback and push.
    epoch: AtomicU64,
    breaker: Mutex<Breaker>,
    quarantined_until_ms: AtomicU64,
    figures: Figures,
}

impl std::fmt::Debug for Plugin {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Plugin").field("name", &self.name()).finish_non_exhaustive()
    }
}

#[derive(Default)]
struct Figures {
    calls: AtomicU64,
    faults: [AtomicU64; Fault::KINDS.len()],
    fuel: AtomicU64,
    timed: AtomicU64,
    timed_ns: AtomicU64,
    memory_bytes: AtomicU64,
    last_fault: Mutex<Option<String>>,
}

/// What a plugin is and did.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Status {
    /// Its name.
    pub name: String,
    /// Its file.
    pub file: String,
    /// Its interfaces.
    pub interfaces: Vec<&'static str>,
    /// Grows with each reload.
    pub generation: u64,
    /// Of its file.
    pub sha256: String,
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
}

/// A thread's instance of a plugin.
struct Slot {
    epoch: u64,
    generation: u64,
    instance: Option<Instance>,
    /// The operator's bound on fuel.
    fuel: Option<u64>,
    calls: u64,
}

thread_local!(static SLOTS: RefCell<Vec<Option<Slot>>> = const { RefCell::new(Vec::new()) });

impl Plugin {
    pub(crate) fn new(
        id: usize,
        host: Arc<Host>,
        spec: PluginSpec,
        wanted: Option<Interface>,
        generation: Generation,
    ) -> Self {
        Self {
            id,
            host,
            spec: Mutex::new(spec),
            wanted,
            current: ArcSwap::from_pointee(generation),
            previous: Mutex::new(None),
            pushed: Mutex::default(),
            epoch: AtomicU64::new(1),
            breaker: Mutex::default(),
            quarantined_until_ms: AtomicU64::new(0),
            figures: Figures::default(),
        }
    }

    /// Its name.
    pub fn name(&self) -> String {
        self.spec.lock().name.clone()
    }

    /// Its config in force.
    pub fn spec(&self) -> PluginSpec {
        self.spec.lock().clone()
    }

    /// Loads its file again, perhaps with another config. The old generation stays in force until the new one is, and if
    /// the new one fails.
    ///
    /// # Errors
    /// Why the old one stays.
    pub fn reload(&self, spec: Option<PluginSpec>) -> Result<u64, LoadError> {
        let spec = spec.unwrap_or_else(|| self.spec());
        let number = self.current.load().number + 1;
        let generation = self.host.generation(&spec, self.wanted, number)?;
        *self.spec.lock() = spec;
        let old = self.current.swap(Arc::new(generation));
        *self.previous.lock() = Some(old);
        // A new file is a new chance.
        *self.breaker.lock() = Breaker::default();
        self.quarantined_until_ms.store(0, Relaxed);
        self.epoch.fetch_add(1, Relaxed);
        Ok(number)
    }

    /// Tells it the clusters. The first [`CLUSTERS_MAX`] count.
    pub fn push_clusters(&self, version: u64, mut clusters: Vec<ClusterRow>) {
        clusters.truncate(CLUSTERS_MAX);
        let mut pushed = self.pushed.lock();
        (pushed.version, pushed.clusters) = (version, clusters);
        self.epoch.fetch_add(1, Relaxed);
    }

    /// Tells it a ladder. Rungs beyond [`RUNGS_MAX`] are not told; of too many ladders the lowest id is forgotten.
    pub fn push_ladder(&self, id: u32, mut kbps: Vec<u32>) {
        kbps.truncate(RUNGS_MAX);
        let mut pushed = self.pushed.lock();
        pushed.ladders.insert(id, kbps);
        if pushed.ladders.len() > LADDERS_MAX {
            pushed.ladders.pop_first();
        }
        self.epoch.fetch_add(1, Relaxed);
    }

    /// Which cluster.
    ///
    /// # Errors
    /// See [`Fault`]; the native policy answers then.
    pub fn decide(&self, flow: &Flow) -> Result<Choice, Fault> {
        self.call(FUEL_DECISION, |instance| {
            let choice = instance.decide(flow)?;
            if choice.is_among(flow.candidates) { Ok(choice) } else { Err(Fault::Nonsense) }
        })
    }

    /// Which representation; `rungs` is the length of the ladder.
    ///
    /// # Errors
    /// See [`Fault`].
    pub fn select(&self, ask: &Ask, rungs: usize) -> Result<Answer, Fault> {
        self.call(FUEL_DECISION, |instance| {
            let answer = instance.select(ask)?;
            if usize::from(answer.rung) < rungs.max(1) { Ok(answer) } else { Err(Fault::Nonsense) }
        })
    }

    /// Whether to keep an object.
    ///
    /// # Errors
    /// See [`Fault`].
    pub fn admit(&self, object: &Object, fill_permille: u16, now_ms: u64, rand: u64) -> Result<Verdict, Fault> {
        self.call(FUEL_CACHE, |instance| instance.admit(object, fill_permille, now_ms, rand))
    }

    /// Scores a sample; `scores` has its length.
    ///
    /// # Errors
    /// See [`Fault`].
    pub fn score(&self, sample: &[Object], now_ms: u64, rand: u64, scores: &mut [f32]) -> Result<(), Fault> {
        self.call(FUEL_CACHE, |instance| instance.score(sample, now_ms, rand, scores))
    }

    fn call<R>(&self, fuel: u64, call: impl FnOnce(&mut Instance) -> Result<R, Fault>) -> Result<R, Fault> {
        let until = self.quarantined_until_ms.load(Relaxed);
        if until != 0 {
            if self.host.now_ms() < until {
                return Err(Fault::Quarantined);
            }
            self.quarantined_until_ms.store(0, Relaxed);
        }
        let outcome = SLOTS.with_borrow_mut(|slots| {
            if slots.len() <= self.id {
                slots.resize_with(self.id + 1, || None);
            }
            let slot = slots[self.id].get_or_insert_with(|| Slot {
                epoch: 0,
                generation: 0,
                instance: None,
                fuel: None,
                calls: 0,
            });
            let outcome = self.call_in(slot, fuel, call);
            if outcome.is_err() {
                // Whatever state the guest is in, nobody uses it again.
                slot.instance = None;
            }
            outcome
        });
        outcome.inspect_err(|fault| self.failed(*fault))
    }

    fn call_in<R>(
        &self,
        slot: &mut Slot,
        fuel: u64,
        call: impl FnOnce(&mut Instance) -> Result<R, Fault>,
    ) -> Result<R, Fault> {
        let epoch = self.epoch.load(Relaxed);
        if slot.epoch != epoch || slot.instance.is_none() {
            self.renew(slot, epoch)?;
        }
        let fuel = slot.fuel.unwrap_or(fuel);
        let instance = slot.instance.as_mut().ok_or(Fault::Init)?;
        self.figures.calls.fetch_add(1, Relaxed);
        slot.calls += 1;
        instance.refuel(fuel);
        let started = slot.calls.is_multiple_of(TIMED_EVERY).then(Instant::now);
        let outcome = call(instance);
        self.figures.fuel.fetch_add(fuel.saturating_sub(instance.fuel_left()), Relaxed);
        if let Some(started) = started {
            self.figures.timed.fetch_add(1, Relaxed);
            self.figures.timed_ns.fetch_add(started.elapsed().as_nanos() as u64, Relaxed);
            self.figures.memory_bytes.fetch_max(instance.memory_bytes() as u64, Relaxed);
        }
        outcome
    }

    /// Makes the thread's instance what it should be: of the current generation, told all that was pushed.
    fn renew(&self, slot: &mut Slot, epoch: u64) -> Result<(), Fault> {
        let generation = self.current.load();
        if slot.generation != generation.number || slot.instance.is_none() {
            let (name, config) = {
                let spec = self.spec.lock();
                (spec.name.clone(), spec.config.clone())
            };
            let Generation { linker, module, interfaces, memory_bytes, .. } = &**generation;
            let made = Instance::new(&name, linker, module, interfaces, *memory_bytes);
            let mut instance = made.map_err(|_| Fault::Init)?;
            instance.init(&config).map_err(|_| Fault::Init)?;
            self.figures.memory_bytes.fetch_max(instance.memory_bytes() as u64, Relaxed);
            (slot.instance, slot.fuel) = (Some(instance), generation.fuel);
        }
        let pushed = self.pushed.lock();
        let instance = slot.instance.as_mut().ok_or(Fault::Init)?;
        if !pushed.clusters.is_empty() {
            instance.clusters(pushed.version, &pushed.clusters)?;
        }
        for (id, kbps) in &pushed.ladders {
            instance.ladder(*id, kbps)?;
        }
        (slot.epoch, slot.generation) = (epoch, generation.number);
        Ok(())
    }

    fn failed(&self, fault: Fault) {
        let Some(kind) = fault.kind_index() else { return };
        let now_ms = self.host.now_ms();
        self.figures.faults[kind].fetch_add(1, Relaxed);
        *self.figures.last_fault.lock() = Some(fault.to_string());
        let Some(until) = self.breaker.lock().fault(now_ms) else {
            return;
        };
        let generation = self.current.load_full();
        let young = now_ms.saturating_sub(generation.loaded_ms) <= ROLLBACK_WINDOW_MS;
        match self.previous.lock().take().filter(|_| young) {
            Some(previous) => {
                let (bad, good) = (generation.number, previous.number);
                self.current.store(previous);
                self.epoch.fetch_add(1, Relaxed);
                tracing::error!(plugin = self.name(), bad, good, fault = %fault, "faults right after a reload: rolled back");
            }
            None => {
                self.quarantined_until_ms.store(until, Relaxed);
                tracing::error!(plugin = self.name(), until, fault = %fault, "in quarantine: the native policy answers");
            }
        }
    }

    /// What it is and did.
    pub fn status(&self) -> Status {
        let (generation, spec, figures) = (self.current.load(), self.spec(), &self.figures);
        let (timed, until) = (figures.timed.load(Relaxed), self.quarantined_until_ms.load(Relaxed));
        Status {
            name: spec.name,
            file: spec.file.display().to_string(),
            interfaces: generation.interfaces.iter().map(|interface| interface.as_str()).collect(),
            generation: generation.number,
            sha256: generation.sha256.clone(),
            calls: figures.calls.load(Relaxed),
            faults: Fault::KINDS
                .into_iter()
                .zip(figures.faults.each_ref().map(|faults| faults.load(Relaxed)))
                .collect(),
            fuel: figures.fuel.load(Relaxed),
            mean_ns: figures.timed_ns.load(Relaxed).checked_div(timed).unwrap_or(0),
            memory_bytes: figures.memory_bytes.load(Relaxed),
            quarantined_until_ms: if until > self.host.now_ms() { until } else { 0 },
            last_fault: figures.last_fault.lock().clone(),
        }
    }
}

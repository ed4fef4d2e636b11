//! A loaded policy: what was pushed to it, its instances per thread and its figures.
//!
//! A call takes the thread's own instance, made anew when the generation changed or after a fault, and told again what
//! was pushed. One atomic number says whether anything changed. What a candidate fails at is asked of what runs beside it.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{
    AtomicU64,
    Ordering::{Acquire, Relaxed, Release},
};
use std::time::Instant;

use parking_lot::{Mutex, MutexGuard};
use wasmtime::{Linker, Module};

use crate::asked::{Asked, Limits};
use crate::component::Interface;
use crate::engine::{Content, Host, LoadError, PluginSpec};
use crate::generations::{self, Generations, Spec, Stands};
use crate::instance::{Guest, Instance};
use crate::limits::{CLUSTERS_MAX, RUNGS_MAX};
use crate::query::{Choose, Decide, Keep, Query, Rank};
use crate::question::{Admit, Snapshot};
use crate::record::{RecordSpec, Recorder, Told};
use crate::rollout::Side;
use crate::status::{Counters, Figures, Grants, Status};
use crate::types::{Answer, Ask, Choice, ClusterRow, Fault, Flow, Object, Verdict};

mod rollouts;
mod slot;
mod terms;

pub use rollouts::Planned;
use slot::{SLOTS, Seat, Slot, slot_of};

/// One call in this many is timed.
pub(crate) const TIMED_EVERY: u64 = 64;

/// One loading of a policy: all that an instance is made from, its own config included.
pub(crate) type Generation = generations::Generation<PluginSpec, Code>;
/// What is asked.
type Running = generations::Running<PluginSpec, Code>;

impl Spec for PluginSpec {
    fn file(&self) -> &Path {
        &self.file
    }
}

/// What a policy's file gives.
pub(crate) struct Code {
    pub(crate) module: Module,
    pub(crate) linker: Linker<Guest>,
    pub(crate) interfaces: Vec<Interface>,
    pub(crate) memory_bytes: usize,
    /// Whether it asks for what was measured.
    pub(crate) reads_measured: bool,
    /// Whether it asks for prices.
    pub(crate) reads_priced: bool,
    /// What its file asks for.
    pub(crate) asked: Asked,
}

impl Generation {
    /// A new instance that has taken the config and counts in `counters`.
    ///
    /// # Errors
    /// What is missing or failed.
    pub(crate) fn instance(&self, counters: Arc<Counters>) -> Result<Instance, String> {
        self.started(&self.spec.config, counters)
    }

    /// The same with another config.
    pub(crate) fn started(&self, config: &str, counters: Arc<Counters>) -> Result<Instance, String> {
        let Code { module, linker, interfaces, memory_bytes, .. } = &self.code;
        let mut instance = Instance::new(&self.spec.name, linker, module, interfaces, *memory_bytes, counters)?;
        instance.init(config)?;
        Ok(instance)
    }
}

/// What was pushed so far.
#[derive(Default)]
struct Pushed {
    /// Grows with each push, so that a record can say what a decision knew.
    number: u64,
    all: Snapshot,
}

/// A loaded plugin.
pub struct Plugin {
    id: usize,
    /// Held by nobody else: threads look through a weak one whether the plugin is still there.
    alive: Arc<()>,
    host: Arc<Host>,
    name: String,
    wanted: Option<Interface>,
    generations: Generations<PluginSpec, Code>,
    pushed: Mutex<Pushed>,
    recorder: Mutex<Option<Recorder>>,
    /// Grows with every reload, rollback and push, after what it announces: who sees the new number sees that too.
    epoch: AtomicU64,
    pub(crate) figures: Figures,
}

impl std::fmt::Debug for Plugin {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Plugin").field("name", &self.name()).finish_non_exhaustive()
    }
}

/// A generation that has been loaded and tried and waits to take over. While it waits, nobody else reloads the plugin.
pub struct Prepared<'a> {
    plugin: &'a Plugin,
    generation: Generation,
    _alone: MutexGuard<'a, ()>,
}

impl std::fmt::Debug for Prepared<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Prepared").field("plugin", &self.plugin.name).finish_non_exhaustive()
    }
}

impl Prepared<'_> {
    /// The interfaces it serves, as status tells them.
    pub fn interfaces(&self) -> Vec<&'static str> {
        self.generation.code.interfaces.iter().map(|interface| interface.as_str()).collect()
    }

    /// Makes it the generation that runs; returns its number.
    pub fn adopt(self) -> u64 {
        let Self { plugin, generation, .. } = self;
        plugin.record(generation.spec.record.as_ref());
        plugin.generations.adopt(generation, |running| plugin.runs(running))
    }
}

impl Plugin {
    pub(crate) fn new(id: usize, host: Arc<Host>, wanted: Option<Interface>, generation: Generation) -> Self {
        let record = generation.spec.record.clone();
        let plugin = Self {
            id,
            alive: Arc::default(),
            name: generation.spec.name.clone(),
            wanted,
            generations: Generations::new(generation, host.clock(), Arc::default()),
            host,
            pushed: Mutex::default(),
            recorder: Mutex::default(),
            epoch: AtomicU64::new(1),
            figures: Figures::default(),
        };
        plugin.record(record.as_ref());
        plugin
    }

    /// Has decisions recorded as they are wanted from now on. Calls go on meanwhile.
    fn record(&self, wanted: Option<&RecordSpec>) {
        // The old one writes what it holds before another may open the same file; no call waits for that.
        let old = self.recorder.lock().take_if(|recorder| Some(recorder.spec()) != wanted);
        drop(old);
        let mut recorder = self.recorder.lock();
        if let (None, Some(wanted)) = (&*recorder, wanted) {
            let pushed = self.pushed.lock();
            let started = Recorder::start(&self.name, wanted, pushed.number, &pushed.all);
            drop(pushed);
            *recorder = started.inspect(|recorder| recorder.running(&self.generations.running()));
        }
    }

    /// The generation that runs.
    pub(crate) fn generation(&self) -> Arc<Generation> {
        self.generations.current()
    }

    /// Announces what is asked from now on.
    fn runs(&self, running: &Running) {
        if let Some(recorder) = &*self.recorder.lock() {
            recorder.running(running);
        }
        self.changed();
    }

    /// Keeps what is pushed, and has it noted in the record.
    fn push(&self, keep: impl FnOnce(&mut Snapshot), told: impl FnOnce(u64) -> Told) {
        let recorder = self.recorder.lock();
        let mut pushed = self.pushed.lock();
        pushed.number += 1;
        keep(&mut pushed.all);
        if let Some(recorder) = &*recorder {
            recorder.lane().told(told(pushed.number), pushed.number, &pushed.all);
        }
        self.changed();
    }

    /// Tells all threads to look again at what runs and what was pushed.
    fn changed(&self) {
        self.epoch.fetch_add(1, Release);
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What the operator wants: what [`Self::reload`] loads, and after a rollback not what runs.
    pub fn spec(&self) -> PluginSpec {
        self.generations.spec()
    }

    /// Loads its file again, perhaps with another config. The old generation stays in force until the new one is, and if
    /// the new one fails. Reloads at once are made one after another.
    ///
    /// # Errors
    /// Why the old one stays.
    pub fn reload(&self, spec: Option<PluginSpec>) -> Result<u64, LoadError> {
        self.prepare(spec).map(Prepared::adopt)
    }

    /// Loads and tries its file as [`Self::reload`] does, and leaves it to the caller when the new generation takes over: for
    /// whoever changes several plugins or none.
    ///
    /// # Errors
    /// As [`Self::reload`].
    pub fn prepare(&self, spec: Option<PluginSpec>) -> Result<Prepared<'_>, LoadError> {
        let alone = self.generations.alone();
        let spec = spec.unwrap_or_else(|| self.spec());
        let content = Content::read(&spec.file)?;
        self.prepared(alone, spec, &content)
    }

    /// Loads its file again if it holds something else than when it was last loaded, even if that was rolled back: for whoever
    /// watches files and cannot know that somebody else has loaded it already. `None`: nothing was loaded.
    ///
    /// # Errors
    /// As [`Self::reload`].
    pub fn reload_if_changed(&self) -> Result<Option<u64>, LoadError> {
        let Some((alone, spec, content)) = self.generations.changed()? else { return Ok(None) };
        self.prepared(alone, spec, &content).map(|prepared| Some(prepared.adopt()))
    }

    fn prepared<'a>(
        &'a self,
        alone: MutexGuard<'a, ()>,
        spec: PluginSpec,
        content: &Content,
    ) -> Result<Prepared<'a>, LoadError> {
        let generation = self.host.generation(spec, self.wanted, content)?;
        Ok(Prepared { plugin: self, generation, _alone: alone })
    }

    /// Tells it the clusters. The first [`CLUSTERS_MAX`] count.
    pub fn push_clusters(&self, version: u64, mut clusters: Vec<ClusterRow>) {
        clusters.truncate(CLUSTERS_MAX);
        let all = clusters.clone();
        let keep = |known: &mut Snapshot| (known.version, known.clusters) = (version, clusters);
        self.push(keep, |snapshot| Told::Clusters { snapshot, version, all });
    }

    /// Tells it a ladder. Rungs beyond [`RUNGS_MAX`] are not told; of too many ladders the lowest id is forgotten.
    pub fn push_ladder(&self, id: u32, mut kbps: Vec<u32>) {
        kbps.truncate(RUNGS_MAX);
        let rungs = kbps.clone();
        self.push(|known| known.keep_ladder(id, kbps), |snapshot| Told::Ladder { snapshot, id, kbps: rungs });
    }

    /// Which of its generations decides with state of its own, in the lower half of a number that no other plugin's has; `None` when
    /// it keeps none, or is in quarantine.
    pub fn exact(&self) -> Option<u64> {
        let generation = self.generations.current();
        let exact = generation.code.interfaces.contains(&Interface::Exact) && !self.generations.is_quarantined();
        exact.then_some(((self.id as u64 + 1) << 32) | generation.number)
    }

    /// Whether its decisions depend on what was measured, or those of a candidate beside it.
    pub fn reads_measured(&self) -> bool {
        let running = self.generations.running();
        let of_trial = || running.trial.as_ref().is_some_and(|trial| trial.candidate.code.reads_measured);
        running.present.code.reads_measured || of_trial()
    }

    /// Whether its decisions go by prices. Not while it is in quarantine, when another policy decides, nor while a candidate that does not is
    /// tried beside it.
    pub fn reads_priced(&self) -> bool {
        let running = self.generations.running();
        let trial_reads = running.trial.as_ref().is_none_or(|trial| trial.candidate.code.reads_priced);
        running.present.code.reads_priced && trial_reads && !self.generations.is_quarantined()
    }

    /// Which cluster.
    ///
    /// # Errors
    /// See [`Fault`]; the native policy answers then.
    pub fn decide(&self, flow: &Flow) -> Result<Choice, Fault> {
        self.call(Decide(flow))
    }

    /// Which representation; `rungs` is the length of the ladder.
    ///
    /// # Errors
    /// See [`Fault`].
    pub fn select(&self, ask: &Ask, rungs: usize) -> Result<Answer, Fault> {
        self.call(Choose(ask, rungs))
    }

    /// Whether to keep an object.
    ///
    /// # Errors
    /// See [`Fault`].
    pub fn admit(&self, object: &Object, fill_permille: u16, now_ms: u64, rand: u64) -> Result<Verdict, Fault> {
        self.call(Keep(Admit { object: *object, fill_permille, now_ms, rand }))
    }

    /// Scores a sample; `scores` has its length.
    ///
    /// # Errors
    /// See [`Fault`].
    pub fn score(&self, sample: &[Object], now_ms: u64, rand: u64, scores: &mut [f32]) -> Result<(), Fault> {
        self.call(Rank { sample, now_ms, rand, scores })
    }

    /// The generation whose instance this thread called last; 0 when it has called none.
    pub fn called(&self) -> u64 {
        SLOTS.with_borrow(|slots| slots.get(self.id).and_then(Option::as_ref).map_or(0, |slot| slot.called))
    }

    fn call<Q: Query>(&self, mut query: Q) -> Result<Q::Answer, Fault> {
        let (outcome, side) = self.ask(&mut query, None);
        match (outcome, side) {
            // Nobody is worse off for being among the candidate's.
            (Err(_), Side::Candidate) => self.ask(&mut query, Some(Side::Present)).0,
            (outcome, _) => outcome,
        }
    }

    /// Asks one side: who it is about says which, unless `only` does.
    fn ask<Q: Query>(&self, query: &mut Q, only: Option<Side>) -> (Result<Q::Answer, Fault>, Side) {
        let (outcome, side, number) = SLOTS.with_borrow_mut(|slots| {
            let slot = slot_of(slots, self.id, &self.alive);
            let epoch = self.epoch.load(Acquire);
            if slot.epoch != epoch {
                self.look(slot, epoch);
            }
            let side = only.unwrap_or_else(|| slot.side_of(|| query.who()));
            if side == Side::Present && self.generations.is_quarantined() {
                return (Err(Fault::Quarantined), side, 0);
            }
            let outcome = self.call_in(slot, side, query);
            let (seat, tallies) = slot.asked(side);
            // What is asked a second time is no call of its own.
            if let Some(tallies) = tallies.filter(|_| only.is_none()) {
                tallies.called(side);
            }
            if let Err(fault) = &outcome {
                // Whatever state the guest is in, nobody uses it again.
                let instance = seat.instance.take();
                self.figures.faulted(*fault, instance.as_ref().map_or(&[], |instance| instance.trace()));
            }
            let (number, told) = (seat.generation, seat.told);
            slot.called = number;
            if let Some(lane) = &slot.lane {
                lane.decided(number, told, query, &outcome);
            }
            (outcome, side, number)
        });
        (outcome.inspect_err(|fault| self.failed(*fault, number)), side)
    }

    fn call_in<Q: Query>(&self, slot: &mut Slot, side: Side, query: &mut Q) -> Result<Q::Answer, Fault> {
        if !slot.is_ready(side) {
            self.renew(slot, side)?;
        }
        slot.generation(side).iter().for_each(|generation| generation.count.called());
        let (seat, tallies) = slot.asked(side);
        let fuel = seat.fuel.unwrap_or(Q::FUEL);
        let instance = seat.instance.as_mut().ok_or(Fault::Init)?;
        self.figures.calls.fetch_add(1, Relaxed);
        seat.calls += 1;
        instance.refuel(fuel);
        let started = seat.calls.is_multiple_of(TIMED_EVERY).then(Instant::now);
        let outcome = query.ask(instance);
        self.figures.fuel.fetch_add(fuel.saturating_sub(instance.fuel_left()), Relaxed);
        if let Some(started) = started {
            let took = started.elapsed();
            self.figures.timed.fetch_add(1, Relaxed);
            self.figures.timed_ns.fetch_add(took.as_nanos() as u64, Relaxed);
            self.figures.memory_bytes.fetch_max(instance.memory_bytes() as u64, Relaxed);
            tallies.into_iter().for_each(|tallies| tallies.timed(side, took));
        }
        outcome
    }

    /// Has the thread know what runs and where decisions go.
    fn look(&self, slot: &mut Slot, epoch: u64) {
        slot.put(self.generations.running().clone());
        slot.lane = self.recorder.lock().as_ref().map(|recorder| recorder.lane().clone());
        slot.epoch = epoch;
    }

    /// Makes the thread's instance of a side what it should be: of its generation, told all that was pushed.
    fn renew(&self, slot: &mut Slot, side: Side) -> Result<(), Fault> {
        let generation = slot.generation(side).ok_or(Fault::Init)?.clone();
        let epoch = slot.epoch;
        let seat = slot.asked(side).0;
        if seat.generation != generation.number || seat.instance.is_none() {
            *seat = Seat { generation: generation.number, ..Seat::default() };
            let started = generation.instance(self.figures.counters.clone());
            let instance = started.map_err(|problem| self.figures.refused(problem))?;
            self.figures.memory_bytes.fetch_max(instance.memory_bytes() as u64, Relaxed);
            (seat.instance, seat.fuel) = (Some(instance), generation.spec.fuel);
        }
        let pushed = self.pushed.lock();
        pushed.all.tell(seat.instance.as_mut().ok_or(Fault::Init)?)?;
        (seat.told, seat.epoch) = (pushed.number, epoch);
        Ok(())
    }

    /// Counts a fault of a call to generation `number`, and does what it leads to.
    pub(crate) fn failed(&self, fault: Fault, number: u64) {
        let Some(kind) = fault.kind_index() else { return };
        self.figures.faults[kind].fetch_add(1, Relaxed);
        self.generations.running().faulted(number);
        self.generations.failed(&self.name, &fault, number, |running| self.runs(running));
    }

    /// What it is and did.
    pub fn status(&self) -> Status {
        let Stands { generation, state, quarantined_until_ms, rollout, generations } = self.generations.stands();
        let mut status = self.figures.status();
        status.name.clone_from(&self.name);
        status.state = state;
        status.file = generation.spec.file.display().to_string();
        status.interfaces = generation.code.interfaces.iter().map(|interface| interface.as_str()).collect();
        let memory_bytes = generation.code.memory_bytes as u64;
        status.grants = Grants { memory_bytes, fuel: generation.spec.fuel, ..Grants::default() };
        status.manifest = generation.code.asked.beside(&status.grants);
        status.limits = Limits::of(&generation.code.interfaces, memory_bytes, generation.spec.fuel);
        status.generation = generation.number;
        status.sha256 = generation.sha256.clone();
        status.signed_by = generation.signed_by.map(|key| key.to_string());
        status.quarantined_until_ms = quarantined_until_ms;
        (status.rollout, status.generations) = (rollout, generations);
        status.record = self.recorder.lock().as_ref().map(Recorder::status);
        status
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::HostSettings;

    #[test]
    fn faults_of_calls_that_began_before_a_rollback_are_not_held_against_what_runs_now() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), wat::parse_str(include_str!("../tests/it/puppet.wat")).unwrap()).unwrap();
        let spec = PluginSpec::new("puppet", file.path());
        let host = Host::new(HostSettings { cache_dir: None, compiler: None, now_ms: || 1 }).unwrap();
        let plugin = host.load(spec.clone(), None).unwrap();
        plugin.reload(Some(PluginSpec { fuel: Some(1), ..spec })).unwrap();
        // Eight threads were in a call of generation 2, and three of them have had it rolled back.
        (0..8).for_each(|_| plugin.failed(Fault::Fuel, 2));
        let status = plugin.status();
        assert_eq!((status.generation, status.quarantined_until_ms), (1, 0));
        assert_eq!(status.faults["fuel"], 8);
    }
}

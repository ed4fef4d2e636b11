//! A loaded filter: its instances and its figures.
//!
//! A call takes an instance that this thread has kept, or a new one, and nobody else has it until the call ends. No lock is held
//! while a guest runs; one that failed is dropped. What a candidate fails at is asked of what runs beside it.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicU8;
use std::sync::atomic::Ordering::{Acquire, Relaxed, Release};
use std::time::Instant;

use wasmtime::component::InstancePre;

use super::body::Rewriter;
use super::fault::{Failure, Fault};
use super::guest::{Guest, Point};
use super::host::{FilterHost, FilterSpec};
use super::instance::{Core, Instance, Manifest, Recipe, Said};
use super::limits::{DEADLINE_MS_DEFAULT, INSTANCES_MAX, MEMORY_BYTES_DEFAULT};
use super::message::{Changes, Exchange, Reply};
use super::outside;
use super::status::{Figures, FilterStatus};
use crate::asked::Asked;
use crate::bounds::Place;
use crate::durable::Durable;
use crate::fetch::{FetchSpec, Granted};
use crate::generations::{self, Chosen, Generations, Spec, Stands};
use crate::rollout::Side;
use crate::runtime::Shared;
use crate::service::{DialSpec, DialledStatus, Wires};
use crate::status::Grants;

mod idle;
mod rollouts;
mod ticks;

pub use rollouts::Planned;

/// Calls of one instance, before it makes room for a new one: guests leak.
const CALLS_MAX: u64 = 10_000;
/// One call in this many is timed.
const TIMED_EVERY: u64 = 16;

/// One loading of a filter.
pub(crate) type Generation = generations::Generation<FilterSpec, Code>;
/// What is asked.
type Running = generations::Running<FilterSpec, Code>;

impl Spec for FilterSpec {
    fn file(&self) -> &Path {
        &self.file
    }
}

/// What a filter's file gives.
pub(crate) struct Code {
    pub(super) pre: InstancePre<Guest>,
    /// Its core module, where that may be called itself.
    pub(super) core: Option<Core>,
    pub(super) manifest: Manifest,
    /// Whether it asks where clients are.
    pub(super) wants_places: bool,
    /// Whether it ticks.
    pub(super) ticks: bool,
    /// Whom it may ask by HTTP.
    pub(super) fetch: Option<Arc<Granted>>,
    /// What it keeps on disk.
    pub(super) durable: Option<Arc<Durable>>,
    /// What it dials from.
    pub(super) wires: Option<Wires>,
    /// Whether its fuel is counted.
    pub(super) metered: bool,
    /// What its file asks for.
    pub(super) asked: Asked,
}

impl Generation {
    /// Grants what it keeps on disk as much as its config says.
    fn grant_durable(&self) {
        if let (Some(durable), Some(granted)) = (&self.code.durable, &self.spec.durable) {
            durable.grant(granted.bytes, granted.keys);
        }
    }
}

impl Code {
    /// By what its calls go.
    fn path(&self) -> &'static str {
        match &self.core {
            Some(core) if !core.slow.load(Relaxed) => "core",
            _ => "fiber",
        }
    }
}

/// A loaded filter.
pub struct Filter {
    id: usize,
    /// Held by nobody else: threads look through a weak one whether the filter is still there.
    alive: Arc<()>,
    host: Arc<FilterHost>,
    shared: Shared,
    generations: Generations<FilterSpec, Code>,
    /// The points that what runs, or is tried beside it, asks for, a bit each; above them, whether faults close.
    asks: AtomicU8,
    pub(super) figures: Figures,
}

impl std::fmt::Debug for Filter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Filter").field("name", &self.shared.name).finish_non_exhaustive()
    }
}

/// What a filter has kept for later points of a request, and which generation of it did.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Kept {
    generation: u64,
    bytes: Vec<u8>,
}

impl Kept {
    /// Nothing.
    pub const NOTHING: Self = Self { generation: 0, bytes: Vec::new() };

    /// Whether it is nothing.
    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// What was kept.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }
}

impl From<Vec<u8>> for Kept {
    /// As if the first generation had kept it.
    fn from(bytes: Vec<u8>) -> Self {
        Self { generation: 1, bytes }
    }
}

/// What became of a call.
pub struct Called {
    /// What was lent.
    pub exchange: Box<dyn Exchange>,
    /// What the filter keeps: what it had kept before, unless this call changed it.
    pub kept: Kept,
    /// What it said and changed.
    pub outcome: Result<(Verdict, Changes), Fault>,
}

/// What a filter wants.
pub enum Verdict {
    /// Nothing more.
    Next,
    /// It answers the request.
    Reply(Reply),
    /// It has the request looked up under this target.
    LookUp(String),
    /// It rewrites the body.
    Rewrite(Box<Rewriter>),
}

const CLOSED: u8 = 1 << 7;

impl Filter {
    pub(super) fn new(id: usize, host: Arc<FilterHost>, shared: Shared, generation: Generation) -> Self {
        generation.grant_durable();
        let generations = Generations::new(generation, shared.now_ms, shared.gate.clone());
        let asks = AtomicU8::new(asks_of(&generations.running()));
        Self { id, alive: Arc::default(), host, shared, generations, asks, figures: Figures::default() }
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.shared.name
    }

    /// What the operator wants.
    pub fn spec(&self) -> FilterSpec {
        self.generations.spec()
    }

    /// Has all further calls of what runs let others run.
    pub(crate) fn slowed(&self) {
        self.generations.current().code.core.iter().for_each(|core| core.slow.store(true, Relaxed));
    }

    /// Whether it is called at a point.
    pub fn asks(&self, point: Point) -> bool {
        self.asks.load(Relaxed) & (1 << point as u8) != 0
    }

    /// Whether a request fails when it does.
    pub fn is_closed(&self) -> bool {
        self.asks.load(Relaxed) & CLOSED != 0
    }

    /// Grants and asks what the generations that are asked from now on are to have and ask for.
    fn runs(&self, running: &Running) {
        self.shared.store.grant(running.present.spec.store_bytes);
        running.present.grant_durable();
        self.asks.store(asks_of(running), Release);
        self.shared.ticks.turn();
    }

    /// Calls it at a point that it asks for. Whose client the exchange is says which generation, where there are two.
    pub async fn call(self: &Arc<Self>, point: Point, exchange: Box<dyn Exchange>, kept: Kept) -> Called {
        let chosen = self.generations.running().choose(|| exchange.who());
        let side = chosen.side;
        let called = self.call_on(chosen, point, exchange, kept).await;
        match (&called.outcome, side) {
            // Nobody is worse off for being among the candidate's.
            (Err(_), Side::Candidate) => {
                let present = Chosen { generation: self.generations.current(), side: Side::Present, tallies: None };
                self.call_on(present, point, called.exchange, called.kept).await
            }
            _ => called,
        }
    }

    async fn call_on(
        self: &Arc<Self>,
        chosen: Chosen<FilterSpec, Code>,
        point: Point,
        exchange: Box<dyn Exchange>,
        kept: Kept,
    ) -> Called {
        let Chosen { generation, side, tallies } = chosen;
        // The other one does, or another did until a moment ago.
        if !generation.code.manifest.asks(point) {
            return Called { exchange, kept, outcome: Ok((Verdict::Next, Changes::default())) };
        }
        let count = self.figures.calls[point as usize].fetch_add(1, Relaxed);
        generation.count.called();
        tallies.iter().for_each(|tallies| tallies.called(side));
        let mut instance = match self.instance(&generation, side).await {
            Ok(instance) => instance,
            Err(failure) => {
                self.failed(point, &failure, generation.number);
                return Called { exchange, kept, outcome: Err(failure.fault) };
            }
        };
        let started = count.is_multiple_of(TIMED_EVERY).then(Instant::now);
        let number = generation.number;
        // An earlier generation cannot know what a later one means.
        let (shown, mut unshown) = if kept.generation <= number { (kept, None) } else { (Kept::NOTHING, Some(kept)) };
        // Between these two nothing but the guest has the exchange.
        instance.lend(point, exchange, shown.bytes);
        let said = instance.ask(point).await;
        let (exchange, bytes, mut changes) = instance.end();
        generation.code.core.iter().filter(|_| instance.was_slow()).for_each(|core| core.slow.store(true, Relaxed));
        if let Some(started) = started {
            let took = started.elapsed();
            self.figures.timed(took, instance.memory_bytes());
            tallies.iter().for_each(|tallies| tallies.timed(side, took));
        }
        let exchange = exchange.expect("invariant: what was lent is only taken back here");
        let keeps = changes.kept.take().filter(|_| said.is_ok()).map(|bytes| Kept { generation: number, bytes });
        let kept = keeps.or_else(|| unshown.take()).unwrap_or(Kept { generation: shown.generation, bytes });
        let outcome = match said {
            Ok(said) => Ok((self.verdict(said, instance), changes)),
            Err(failure) => {
                self.failed(point, &failure, number);
                Err(failure.fault)
            }
        };
        Called { exchange, kept, outcome }
    }

    fn verdict(self: &Arc<Self>, said: Said, instance: Box<Instance>) -> Verdict {
        let verdict = match said {
            Said::Rewrite => return Verdict::Rewrite(Box::new(Rewriter::new(self.clone(), instance))),
            Said::Next => Verdict::Next,
            Said::Reply(reply) => Verdict::Reply(reply),
            Said::LookUp(target) => Verdict::LookUp(target),
        };
        self.give_back(instance);
        verdict
    }

    /// An instance of a generation; or why there is none.
    async fn instance(&self, generation: &Generation, side: Side) -> Result<Box<Instance>, Failure> {
        if side == Side::Present && !self.generations.admits() {
            return Err(Fault::Quarantined.into());
        }
        match self.idle(generation) {
            Some(instance) => Ok(instance),
            None => start(generation, &self.shared, true).await.map(Box::new),
        }
    }

    /// Counts a fault of a call to generation `number`, and does what it leads to.
    pub(super) fn failed(&self, point: Point, failure: &Failure, number: u64) {
        let fault = failure.fault;
        self.figures.faults[point as usize][fault as usize].fetch_add(1, Relaxed);
        self.generations.running().faulted(number);
        if fault == Fault::GaveUp && self.shared.counters.may_log() {
            tracing::warn!(plugin = self.name(), point = point.as_str(), why = %failure.text, "it gave up");
        }
        if !fault.is_its_own() {
            return;
        }
        *self.figures.last_fault.lock() = failure.last(&format!("at {}: ", point.as_str()));
        self.generations.failed(self.name(), &failure.text, number, |runs| self.runs(runs));
    }

    /// What it is and did.
    pub fn status(&self) -> FilterStatus {
        let Stands { generation, state, quarantined_until_ms, rollout, generations } = self.generations.stands();
        let manifest = generation.code.manifest;
        let mut status = self.figures.status(&self.shared.counters);
        status.name.clone_from(&self.shared.name);
        status.state = state;
        status.file = generation.spec.file.display().to_string();
        status.points = Point::ALL.into_iter().filter(|point| manifest.asks(*point)).map(Point::as_str).collect();
        status.reuse = manifest.reuse;
        status.path = generation.code.path();
        status.on_fault = if generation.spec.closed { "closed" } else { "open" };
        status.deadline_ms = generation.spec.deadline_ms.unwrap_or(DEADLINE_MS_DEFAULT);
        status.memory_bound_bytes = generation.spec.memory_bytes.unwrap_or(MEMORY_BYTES_DEFAULT) as u64;
        status.grants = Grants {
            memory_bytes: status.memory_bound_bytes,
            deadline_ms: Some(status.deadline_ms),
            store_bytes: Some(generation.spec.store_bytes as u64),
            bodies: Some(manifest.bodies),
            places: Some(generation.code.wants_places),
            http: generation.spec.http.as_ref().map(FetchSpec::written),
            dial: generation.spec.dial.as_ref().map(DialSpec::written),
            durable_bytes: generation.spec.durable.as_ref().map(|granted| granted.bytes),
            durable_keys: generation.spec.durable.as_ref().map(|granted| granted.keys),
            ..Grants::default()
        };
        status.manifest = generation.code.asked.beside(&status.grants);
        status.fetched = generation.spec.http.is_some().then(|| self.shared.fetched.told());
        status.dialled = generation.spec.dial.is_some().then(|| DialledStatus::of(&self.shared.dialled));
        status.durable = generation.code.durable.as_ref().map(|durable| durable.held());
        status.store = (generation.spec.store_bytes > 0).then(|| self.shared.store.held());
        status.generation = generation.number;
        status.sha256.clone_from(&generation.sha256);
        status.signed_by = generation.signed_by.map(|key| key.to_string());
        status.instances = self.shared.instances.load(Acquire);
        self.tell_ticks(&generation, &mut status);
        status.quarantined_until_ms = quarantined_until_ms;
        (status.rollout, status.generations) = (rollout, generations);
        status
    }
}

/// A new instance.
pub(super) async fn start(generation: &Generation, shared: &Shared, may_yield: bool) -> Result<Instance, Failure> {
    started(generation, &generation.spec.config, shared, may_yield).await
}

/// The same with another config.
pub(super) async fn started(
    generation: &Generation,
    config: &str,
    shared: &Shared,
    may_yield: bool,
) -> Result<Instance, Failure> {
    let place = Place::take(&shared.instances, INSTANCES_MAX).ok_or(Fault::Busy)?;
    let spec = &generation.spec;
    let recipe = Recipe {
        pre: &generation.code.pre,
        core: generation.code.core.as_ref().filter(|core| !core.slow.load(Relaxed)),
        config,
        memory_bytes: spec.memory_bytes.unwrap_or(MEMORY_BYTES_DEFAULT),
        deadline_ms: spec.deadline_ms.unwrap_or(DEADLINE_MS_DEFAULT),
        fetch: generation.code.fetch.as_ref(),
        outside: match &shared.outside {
            Some(scripted) => scripted.granted(),
            None => outside::Granted {
                durable: generation.code.durable.as_ref(),
                dial: spec.dial.as_ref(),
                wires: generation.code.wires.as_ref(),
                is_scripted: false,
            },
        },
        generation: generation.number,
        metered: generation.code.metered,
        shared,
        place,
    };
    Instance::start(recipe, may_yield).await
}

fn asks_of(running: &Running) -> u8 {
    let candidate = running.trial.as_ref().map(|trial| trial.candidate.code.manifest);
    let asks = |point: &Point| {
        running.present.code.manifest.asks(*point) || candidate.is_some_and(|manifest| manifest.asks(*point))
    };
    let closed = if running.present.spec.closed { CLOSED } else { 0 };
    Point::ALL.into_iter().filter(asks).fold(closed, |asks, point| asks | 1 << point as u8)
}

//! A loaded filter: its instances and its figures.
//!
//! A call takes an instance that this thread has kept, or a new one, and nobody else has it until the call ends. No lock is held
//! while a guest runs; one that failed is dropped.

use std::cell::RefCell;
use std::sync::atomic::AtomicU8;
use std::sync::atomic::Ordering::{Acquire, Relaxed, Release};
use std::sync::{Arc, Weak};
use std::time::Instant;

use wasmtime::component::InstancePre;

use super::body::Rewriter;
use super::fault::{Failure, Fault};
use super::guest::{Guest, Point};
use super::host::{FilterHost, FilterSpec};
use super::instance::{Instance, Manifest, Recipe, Said};
use super::limits::{DEADLINE_MS_DEFAULT, IDLE_MAX, INSTANCES_MAX, MEMORY_BYTES_DEFAULT, TICK_MS};
use super::message::{Changes, Exchange, Reply};
use super::status::{Figures, FilterStatus};
use crate::bounds::Place;
use crate::engine::{Content, LoadError};
use crate::generations::{self, Generations, Stands};
use crate::runtime::Shared;
use crate::status::Grants;

/// Calls of one instance, before it makes room for a new one: guests leak.
const CALLS_MAX: u64 = 10_000;
/// One call in this many is timed.
const TIMED_EVERY: u64 = 16;

/// One loading of a filter.
pub(crate) type Generation = generations::Generation<FilterSpec, Code>;

/// What a filter's file gives.
pub(crate) struct Code {
    pub(super) pre: InstancePre<Guest>,
    pub(super) manifest: Manifest,
    /// Whether it asks where clients are.
    pub(super) wants_places: bool,
}

/// A generation that has been loaded and tried and waits to take over.
pub struct Prepared(Generation);

impl Prepared {
    /// Whether it is called at a point.
    pub fn asks(&self, point: Point) -> bool {
        self.0.code.manifest.asks(point)
    }

    /// Whether it asks where clients are.
    pub fn wants_places(&self) -> bool {
        self.0.code.wants_places
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
    /// The points that the current generation asks for, a bit each; above them, whether faults close.
    asks: AtomicU8,
    pub(super) figures: Figures,
}

impl std::fmt::Debug for Filter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Filter").field("name", &self.shared.name).finish_non_exhaustive()
    }
}

/// What became of a call.
pub struct Called {
    /// What was lent.
    pub exchange: Box<dyn Exchange>,
    /// What the filter had kept before this call.
    pub kept: Vec<u8>,
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

/// Instances that a thread keeps. In boxes, as they are handed about between calls.
#[allow(clippy::vec_box, reason = "an instance is large, and comes and goes in its box")]
struct Idle {
    filter: Weak<()>,
    instances: Vec<Box<Instance>>,
}

thread_local!(static IDLE: RefCell<Vec<Option<Idle>>> = const { RefCell::new(Vec::new()) });

impl Filter {
    pub(super) fn new(id: usize, host: Arc<FilterHost>, shared: Shared, generation: Generation) -> Self {
        let asks = AtomicU8::new(asks_of(&generation));
        let generations = Generations::new(generation, shared.now_ms);
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

    /// Whether it is called at a point.
    pub fn asks(&self, point: Point) -> bool {
        self.asks.load(Relaxed) & (1 << point as u8) != 0
    }

    /// Whether it asks where clients are.
    pub fn wants_places(&self) -> bool {
        self.generations.current().code.wants_places
    }

    /// Whether a request fails when it does.
    pub fn is_closed(&self) -> bool {
        self.asks.load(Relaxed) & CLOSED != 0
    }

    /// Loads its file again, perhaps with another config; the number of the new generation. The old one stays in force until the
    /// new one is, and if the new one fails.
    ///
    /// # Errors
    /// Why the old one stays.
    pub fn reload(&self, spec: Option<FilterSpec>) -> Result<u64, LoadError> {
        self.prepare(spec).map(|prepared| self.adopt(prepared))
    }

    /// Loads its file again if it holds something else than when it was last loaded.
    ///
    /// # Errors
    /// As [`Self::reload`].
    pub fn reload_if_changed(&self) -> Result<Option<u64>, LoadError> {
        let _alone = self.generations.alone();
        let spec = self.spec();
        let content = Content::read(&spec.file)?;
        if self.generations.was_loaded(&content.sha256) {
            return Ok(None);
        }
        let generation = self.host.generation(spec, &content, &self.shared)?;
        Ok(Some(self.adopt(Prepared(generation))))
    }

    /// Loads and tries its file as [`Self::reload`] does, and leaves it to the caller when [`Self::adopt`] puts it in force.
    ///
    /// # Errors
    /// As [`Self::reload`].
    pub fn prepare(&self, spec: Option<FilterSpec>) -> Result<Prepared, LoadError> {
        let spec = spec.unwrap_or_else(|| self.spec());
        let content = Content::read(&spec.file)?;
        self.host.generation(spec, &content, &self.shared).map(Prepared)
    }

    /// Makes it the generation that runs; its number.
    pub fn adopt(&self, Prepared(generation): Prepared) -> u64 {
        self.generations.adopt(generation, |runs| self.runs(runs))
    }

    /// Grants and asks what the generation that runs from now on is to have and asks for.
    fn runs(&self, generation: &Generation) {
        self.shared.store.grant(generation.spec.store_bytes);
        self.asks.store(asks_of(generation), Release);
    }

    /// Calls it at a point that it asks for.
    pub async fn call(self: &Arc<Self>, point: Point, exchange: Box<dyn Exchange>, kept: Vec<u8>) -> Called {
        let count = self.figures.calls[point as usize].fetch_add(1, Relaxed);
        let mut instance = match self.instance().await {
            Ok(instance) => instance,
            Err((failure, generation)) => {
                self.failed(point, &failure, generation);
                return Called { exchange, kept, outcome: Err(failure.fault) };
            }
        };
        let started = count.is_multiple_of(TIMED_EVERY).then(Instant::now);
        // Between these two nothing but the guest has the exchange.
        instance.lend(point, exchange, kept);
        let said = instance.ask(point).await;
        let (exchange, kept, changes) = instance.end();
        if let Some(started) = started {
            self.figures.timed(started.elapsed(), instance.memory_bytes());
        }
        let exchange = exchange.expect("invariant: what was lent is only taken back here");
        let outcome = match said {
            Ok(said) => Ok((self.verdict(said, instance), changes)),
            Err(failure) => {
                self.failed(point, &failure, instance.generation);
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

    /// An instance of the current generation; or why there is none, and of which.
    async fn instance(&self) -> Result<Box<Instance>, (Failure, u64)> {
        let generation = Arc::clone(&self.generations.current());
        let number = generation.number;
        if self.generations.is_quarantined() {
            return Err((Fault::Quarantined.into(), number));
        }
        let kept = IDLE.with_borrow_mut(|idle| {
            let instances = idle_of(idle, self.id, &self.alive);
            instances.retain(|instance| instance.generation == number);
            instances.pop()
        });
        match kept {
            Some(instance) => Ok(instance),
            None => start(&generation, &self.shared, true).await.map(Box::new).map_err(|failure| (failure, number)),
        }
    }

    pub(super) fn give_back(&self, instance: Box<Instance>) {
        if !instance.manifest.reuse || instance.calls >= CALLS_MAX {
            return;
        }
        IDLE.with_borrow_mut(|idle| {
            let instances = idle_of(idle, self.id, &self.alive);
            if instances.len() < IDLE_MAX {
                instances.push(instance);
            }
        });
    }

    /// Counts a fault of a call to generation `number`, and does what it leads to.
    pub(super) fn failed(&self, point: Point, failure: &Failure, number: u64) {
        let fault = failure.fault;
        self.figures.faults[point as usize][fault as usize].fetch_add(1, Relaxed);
        if !fault.is_its_own() {
            return;
        }
        *self.figures.last_fault.lock() = Some(format!("at {}: {fault}: {}", point.as_str(), failure.text));
        self.generations.failed(self.name(), &failure.text, number, |runs| self.runs(runs));
    }

    /// What it is and did.
    pub fn status(&self) -> FilterStatus {
        let Stands { generation, state, quarantined_until_ms } = self.generations.stands();
        let manifest = generation.code.manifest;
        let mut status = self.figures.status(&self.shared.counters);
        status.name.clone_from(&self.shared.name);
        status.state = state;
        status.file = generation.spec.file.display().to_string();
        status.points = Point::ALL.into_iter().filter(|point| manifest.asks(*point)).map(Point::as_str).collect();
        status.reuse = manifest.reuse;
        status.on_fault = if generation.spec.closed { "closed" } else { "open" };
        status.deadline_ms = generation.spec.deadline_ms.unwrap_or(DEADLINE_MS_DEFAULT);
        status.memory_bound_bytes = generation.spec.memory_bytes.unwrap_or(MEMORY_BYTES_DEFAULT) as u64;
        status.grants = Grants {
            memory_bytes: status.memory_bound_bytes,
            fuel: None,
            deadline_ms: Some(status.deadline_ms),
            store_bytes: Some(generation.spec.store_bytes as u64),
            bodies: Some(manifest.bodies),
            places: Some(generation.code.wants_places),
        };
        status.store = (generation.spec.store_bytes > 0).then(|| self.shared.store.held());
        status.generation = generation.number;
        status.sha256.clone_from(&generation.sha256);
        status.signed_by = generation.signed_by.map(|key| key.to_string());
        status.instances = self.shared.instances.load(Acquire);
        status.quarantined_until_ms = quarantined_until_ms;
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
        config,
        memory_bytes: spec.memory_bytes.unwrap_or(MEMORY_BYTES_DEFAULT),
        // One more: the first tick may come at once.
        deadline_ticks: spec.deadline_ms.unwrap_or(DEADLINE_MS_DEFAULT).div_ceil(TICK_MS) + 1,
        generation: generation.number,
        shared,
        place,
    };
    Instance::start(recipe, may_yield).await
}

fn asks_of(generation: &Generation) -> u8 {
    let points = Point::ALL.into_iter().filter(|point| generation.code.manifest.asks(*point));
    let closed = if generation.spec.closed { CLOSED } else { 0 };
    points.fold(closed, |asks, point| asks | 1 << point as u8)
}

/// This thread's instances of the filter with this id. Meeting a new filter is when those that were taken out are forgotten.
#[allow(clippy::vec_box, reason = "as for `Idle`")]
fn idle_of<'a>(idle: &'a mut Vec<Option<Idle>>, id: usize, alive: &Arc<()>) -> &'a mut Vec<Box<Instance>> {
    if idle.len() <= id {
        idle.iter_mut().for_each(|of| drop(of.take_if(|of| of.filter.strong_count() == 0)));
        idle.resize_with(id + 1, || None);
    }
    &mut idle[id].get_or_insert_with(|| Idle { filter: Arc::downgrade(alive), instances: Vec::new() }).instances
}

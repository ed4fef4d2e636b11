//! A loaded service: its generations, who is served, and its figures.
//!
//! No lock is held while a guest runs. A connection that was begun ends on the generation it began with.

use std::future::poll_fn;
use std::net::IpAddr;
use std::path::Path;
use std::pin::pin;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use wasmtime::component::InstancePre;

use super::connection::Connection;
use super::culprits::Culprits;
use super::guest::Guest;
use super::host::{ServiceHost, ServiceSpec};
use super::instance::{Instance, Recipe};
use super::limits::{CONNECTIONS_TOTAL, DEADLINE_MS_DEFAULT};
use super::outbound::DialSpec;
use super::status::{DialledStatus, Figures, Outcome, ServiceStatus};
use super::swarm::{self, SwarmFigures};
use super::wire::Wire;
use crate::asked::Asked;
use crate::bounds::Place;
use crate::durable::Durable;
use crate::engine::{Content, LoadError};
use crate::fetch::{FetchSpec, Granted, Scope};
use crate::filter::limits::MEMORY_BYTES_DEFAULT;
use crate::filter::{self, Failure, Fault};
use crate::generations::{self, Generations, Spec, Stands};
use crate::runtime::Shared;
use crate::status::Grants;

/// One loading of a service.
pub(super) type Generation = generations::Generation<ServiceSpec, Code>;

impl Spec for ServiceSpec {
    fn file(&self) -> &Path {
        &self.file
    }
}

/// What a service's file gives.
pub(super) struct Code {
    pub(super) pre: InstancePre<Guest>,
    pub(super) kind: Kind,
    /// Whether it ticks.
    pub(super) ticks: bool,
    /// What it keeps on disk, where it was granted that.
    pub(super) durable: Option<Arc<Durable>>,
    /// Whom it may ask by HTTP.
    pub(super) fetch: Option<Arc<Granted>>,
    /// Whether fuel is counted.
    pub(super) is_metered: bool,
    /// What its file asks for.
    pub(super) asked: Asked,
}

/// What it serves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// World `stream-service`.
    Connections,
    /// World `datagram-service`.
    Datagrams,
    /// World `swarm-service`.
    Swarm,
}

impl Kind {
    /// What it exports.
    fn as_str(self) -> &'static str {
        match self {
            Self::Connections => "service",
            Self::Datagrams => "datagrams",
            Self::Swarm => "swarm",
        }
    }

    /// What of it has requests by HTTP in common.
    fn scope(self) -> Scope {
        match self {
            Self::Connections => Scope::Connection,
            // A swarm imports no `fetch`.
            Self::Datagrams | Self::Swarm => Scope::Call,
        }
    }

    /// Milliseconds it may compute at a time, where the operator says nothing.
    fn deadline_ms(self) -> u64 {
        match self {
            Self::Connections => DEADLINE_MS_DEFAULT,
            Self::Datagrams => filter::limits::DEADLINE_MS_DEFAULT,
            Self::Swarm => swarm::limits::DEADLINE_MS_DEFAULT,
        }
    }

    /// Linear memory, where the operator says nothing.
    fn memory_bytes(self) -> usize {
        match self {
            Self::Connections | Self::Datagrams => MEMORY_BYTES_DEFAULT,
            Self::Swarm => swarm::limits::MEMORY_BYTES_DEFAULT,
        }
    }
}

/// A generation that has been loaded and tried and waits to take over.
pub struct Prepared(Generation);

/// Told which generation runs from now on.
type Announce = Box<dyn Fn(u64) + Send + Sync>;

/// A loaded service.
pub struct Service {
    host: Arc<ServiceHost>,
    pub(super) shared: Shared,
    generations: Generations<ServiceSpec, Code>,
    culprits: Culprits,
    announce: OnceLock<Announce>,
    pub(super) figures: Arc<Figures>,
}

impl std::fmt::Debug for Service {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Service").field("name", &self.shared.name).finish_non_exhaustive()
    }
}

/// Counts a connection as open while it lives, and then how it ended.
struct Open<'a> {
    figures: &'a Figures,
    outcome: Outcome,
}

impl Drop for Open<'_> {
    fn drop(&mut self) {
        self.figures.open.fetch_sub(1, Relaxed);
        self.figures.ended[self.outcome as usize].fetch_add(1, Relaxed);
    }
}

impl Generation {
    /// Grants what it keeps on disk as much as its config says.
    fn grant_durable(&self) {
        if let (Some(durable), Some(granted)) = (&self.code.durable, &self.spec.durable) {
            durable.grant(granted.bytes, granted.keys);
        }
    }
}

impl Service {
    pub(super) fn new(host: Arc<ServiceHost>, shared: Shared, generation: Generation) -> Self {
        generation.grant_durable();
        let generations = Generations::new(generation, shared.now_ms, shared.gate.clone());
        let (culprits, announce) = (Culprits::default(), OnceLock::new());
        Self { host, shared, generations, culprits, announce, figures: Arc::default() }
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.shared.name
    }

    /// What the operator wants.
    pub fn spec(&self) -> ServiceSpec {
        self.generations.spec()
    }

    /// Number of the generation that runs.
    pub fn generation(&self) -> u64 {
        self.generations.current().number
    }

    /// Has `told` called with the number of each generation that runs from now on. Once; it must not call the service.
    pub fn announce(&self, told: impl Fn(u64) + Send + Sync + 'static) {
        let _ = self.announce.set(Box::new(told));
    }

    /// Loads its file again, perhaps with another config; the number of the new generation. The old one stays in force until the
    /// new one is, and if the new one fails.
    ///
    /// # Errors
    /// Why the old one stays.
    pub fn reload(&self, spec: Option<ServiceSpec>) -> Result<u64, LoadError> {
        self.prepare(spec).map(|prepared| self.adopt(prepared))
    }

    /// Loads its file again if it holds something else than when it was last loaded.
    ///
    /// # Errors
    /// As [`Self::reload`].
    pub fn reload_if_changed(&self) -> Result<Option<u64>, LoadError> {
        let Some((_alone, spec, content)) = self.generations.changed()? else { return Ok(None) };
        let generation = self.of_its_kind(self.host.generation(spec, &content, &self.shared)?)?;
        Ok(Some(self.adopt(Prepared(generation))))
    }

    /// Loads and tries its file as [`Self::reload`] does, and leaves it to the caller when [`Self::adopt`] puts it in force.
    ///
    /// # Errors
    /// As [`Self::reload`].
    pub fn prepare(&self, spec: Option<ServiceSpec>) -> Result<Prepared, LoadError> {
        let spec = spec.unwrap_or_else(|| self.spec());
        let content = Content::read(&spec.file)?;
        self.of_its_kind(self.host.generation(spec, &content, &self.shared)?).map(Prepared)
    }

    /// Refuses a loading that serves something else than who asks for it has.
    fn of_its_kind(&self, generation: Generation) -> Result<Generation, LoadError> {
        let (is, was) = (generation.code.kind, self.generations.current().code.kind);
        if is == was {
            return Ok(generation);
        }
        let problem = format!(
            "it exports {}, and what it would replace {}: give it a name of its own",
            is.as_str(),
            was.as_str()
        );
        Err(LoadError::new(&generation.spec.file, problem))
    }

    /// Whether it answers datagrams, and has no connections.
    pub fn is_of_datagrams(&self) -> bool {
        self.generations.current().code.kind == Kind::Datagrams
    }

    /// Whether one instance of it has all connections and datagrams of a listener.
    pub fn is_swarm(&self) -> bool {
        self.generations.current().code.kind == Kind::Swarm
    }

    /// What the operator said of what runs.
    pub fn running_spec(&self) -> ServiceSpec {
        self.current().spec.clone()
    }

    /// What is counted where it is a swarm.
    pub fn swarm(&self) -> &Arc<SwarmFigures> {
        &self.figures.swarm
    }

    /// How long nothing is to be called, where that is so.
    pub(super) fn quarantined_for(&self) -> Option<Duration> {
        self.generations.quarantined_for()
    }

    /// What runs.
    pub(super) fn current(&self) -> Arc<Generation> {
        self.generations.current()
    }

    /// Whether it may be called once more. Who is told so has to.
    pub(super) fn admits(&self) -> bool {
        self.generations.admits()
    }

    /// Counts a fault in handling a datagram with generation `number`. Who sent it cannot be known, so that it says little of the service,
    /// unless it cannot even be started or is new.
    pub(super) fn datagram_failed(&self, failure: &Failure, number: u64) -> Outcome {
        let fault = failure.fault;
        self.figures.faults[fault as usize].fetch_add(1, Relaxed);
        if fault == Fault::GaveUp {
            return self.gave_up(failure);
        }
        if !fault.is_its_own() {
            return Outcome::Refused;
        }
        if self.shared.counters.may_log() {
            tracing::warn!(plugin = self.name(), fault = %failure.text, "a datagram was not answered");
        }
        *self.figures.last_fault.lock() = failure.last("");
        if fault == Fault::Init || self.generations.is_on_trial() {
            self.generations.failed(self.name(), &failure.text, number, |runs| self.runs(runs));
        }
        Outcome::Fault
    }

    /// Counts a fault of a tick of generation `number`. Nobody is served worse for it, so that it has consequences only where the generation is new.
    pub(super) fn tick_failed(&self, failure: &Failure, number: u64) {
        let fault = failure.fault;
        self.shared.ticks.failed(fault);
        self.figures.faults[fault as usize].fetch_add(1, Relaxed);
        if self.shared.counters.may_log() {
            tracing::warn!(plugin = self.name(), %fault, why = %failure.text, "a tick failed");
        }
        if !fault.is_its_own() {
            return;
        }
        *self.figures.last_fault.lock() = failure.last("at tick: ");
        if self.generations.is_on_trial() {
            self.generations.failed(self.name(), &failure.text, number, |runs| self.runs(runs));
        }
    }

    /// Counts a fault of a swarm of generation `number`, and does what it leads to. All that is its own, whoever made it fail.
    pub(super) fn swarm_failed(&self, failure: &Failure, number: u64) {
        let fault = failure.fault;
        self.figures.faults[fault as usize].fetch_add(1, Relaxed);
        if !fault.is_its_own() {
            return;
        }
        if self.shared.counters.may_log() {
            tracing::warn!(plugin = self.name(), fault = %failure.text, "a swarm failed: its connections are closed");
        }
        *self.figures.last_fault.lock() = failure.last("");
        self.generations.failed(self.name(), &failure.text, number, |runs| self.runs(runs));
    }

    /// Notes that it gave up, which is not held against anybody.
    fn gave_up(&self, failure: &Failure) -> Outcome {
        if self.shared.counters.may_log() {
            tracing::warn!(plugin = self.name(), why = %failure.text, "it gave up");
        }
        Outcome::Fault
    }

    /// Makes it the generation that runs; its number.
    pub fn adopt(&self, Prepared(generation): Prepared) -> u64 {
        self.culprits.forget();
        self.generations.adopt(generation, |runs| self.runs(runs))
    }

    /// Grants what the generation that runs from now on is to have.
    fn runs(&self, running: &generations::Running<ServiceSpec, Code>) {
        let generation = &running.present;
        self.shared.store.grant(generation.spec.store_bytes);
        generation.grant_durable();
        if let Some(announce) = self.announce.get() {
            announce(generation.number);
        }
        self.shared.ticks.turn();
    }

    /// Notes a connection that found all places of its listener taken.
    pub fn refused(&self) {
        self.figures.ended[Outcome::Refused as usize].fetch_add(1, Relaxed);
    }

    /// Serves a connection to its end. `begun` is told the number of the generation that does.
    pub async fn serve(&self, wire: Box<dyn Wire>, begun: impl FnOnce(u64)) -> Outcome {
        let generation = self.generations.current();
        begun(generation.number);
        generation.count.called();
        let client = wire.peer().ip();
        self.figures.open.fetch_add(1, Relaxed);
        let mut open = Open { figures: &self.figures, outcome: Outcome::Cut };
        let mut serving = pin!(self.serve_on(&generation, wire, client));
        // Every piece of its work, and no wait.
        open.outcome = poll_fn(|context| {
            let since = Instant::now();
            let polled = serving.as_mut().poll(context);
            self.figures.busy_ns.fetch_add(since.elapsed().as_nanos() as u64, Relaxed);
            polled
        })
        .await;
        open.outcome
    }

    async fn serve_on(&self, generation: &Generation, wire: Box<dyn Wire>, client: IpAddr) -> Outcome {
        let number = generation.number;
        let refused = self.culprits.is_refused(client, (self.shared.now_ms)());
        if refused || !self.generations.admits() {
            return self.failed(&Fault::Quarantined.into(), client, false, number);
        }
        let connection = Connection::new(wire, self.figures.clone());
        let mut instance = match start(generation, &self.shared, connection, true).await {
            Ok(instance) => instance,
            Err((failure, has_heard)) => return self.failed(&failure, client, has_heard, number),
        };
        let said = instance.serve().await;
        self.figures.memory_bytes.fetch_max(instance.memory_bytes() as u64, Relaxed);
        let outcome = match said {
            Ok(Ok(())) => Outcome::Done,
            Ok(Err(text)) => {
                if self.shared.counters.may_log() {
                    tracing::info!(plugin = self.name(), %client, "a connection ended: {text}");
                }
                Outcome::Error
            }
            Err((failure, has_heard)) => self.failed(&failure, client, has_heard, number),
        };
        // What it leads to has been done: a peer may take its time to go.
        instance.close().await;
        outcome
    }

    /// Counts a fault in a connection of `client` to generation `number`, and does what it leads to.
    fn failed(&self, failure: &Failure, client: IpAddr, has_heard: bool, number: u64) -> Outcome {
        let fault = failure.fault;
        self.figures.faults[fault as usize].fetch_add(1, Relaxed);
        if fault == Fault::GaveUp {
            return self.gave_up(failure);
        }
        if !fault.is_its_own() {
            return Outcome::Refused;
        }
        if self.shared.counters.may_log() {
            tracing::warn!(plugin = self.name(), %client, fault = %failure.text, "a connection failed");
        }
        *self.figures.last_fault.lock() = failure.last("");
        // A client cannot be blamed for what happens before it has said anything, nor for what a new generation does.
        let is_own = !has_heard || self.generations.is_on_trial();
        if is_own || self.culprits.fault(client, (self.shared.now_ms)()) {
            self.generations.failed(self.name(), &failure.text, number, |runs| self.runs(runs));
        }
        Outcome::Fault
    }

    /// What it is and did.
    pub fn status(&self) -> ServiceStatus {
        let Stands { generation, state, quarantined_until_ms, generations, .. } = self.generations.stands();
        let spec = &generation.spec;
        let mut status = self.figures.status(&self.shared.counters);
        status.name.clone_from(&self.shared.name);
        status.state = state;
        status.file = spec.file.display().to_string();
        status.interfaces = [generation.code.kind.as_str()];
        status.deadline_ms = spec.deadline_ms.unwrap_or(generation.code.kind.deadline_ms());
        status.memory_bound_bytes = spec.memory_bytes.unwrap_or(generation.code.kind.memory_bytes()) as u64;
        status.grants = Grants {
            memory_bytes: status.memory_bound_bytes,
            deadline_ms: Some(status.deadline_ms),
            store_bytes: Some(spec.store_bytes as u64),
            dial: spec.dial.as_ref().map(DialSpec::written),
            content: (generation.code.kind == Kind::Swarm)
                .then(|| spec.content.iter().map(ToString::to_string).collect()),
            http: spec.http.as_ref().map(FetchSpec::written),
            durable_bytes: spec.durable.as_ref().map(|granted| granted.bytes),
            durable_keys: spec.durable.as_ref().map(|granted| granted.keys),
            ..Grants::default()
        };
        status.manifest = generation.code.asked.beside(&status.grants);
        status.store = (spec.store_bytes > 0).then(|| self.shared.store.held());
        status.durable = generation.code.durable.as_ref().map(|durable| durable.held());
        if generation.code.kind == Kind::Swarm {
            self.figures.tell_of_swarm(&mut status);
        } else if spec.dial.is_some() {
            status.dialled = Some(DialledStatus::of(&self.shared.dialled));
        }
        status.fetched = spec.http.is_some().then(|| self.shared.fetched.told());
        status.ticks = generation.code.ticks.then(|| self.shared.ticks.status());
        status.generation = generation.number;
        status.sha256.clone_from(&generation.sha256);
        status.signed_by = generation.signed_by.map(|key| key.to_string());
        (status.quarantined_until_ms, status.generations) = (quarantined_until_ms, generations);
        status.clients_refused = self.culprits.refused((self.shared.now_ms)());
        status
    }
}

/// A new instance for a connection; or why there is none, and whether the peer had said anything.
pub(super) async fn start(
    generation: &Generation,
    shared: &Shared,
    connection: Connection,
    may_yield: bool,
) -> Result<Instance, (Failure, bool)> {
    let recipe = recipe(generation, shared).map_err(|failure| (failure, false))?;
    Instance::start(recipe, connection, may_yield).await
}

/// What an instance is made from, its place included.
pub(super) fn recipe<'a>(generation: &'a Generation, shared: &'a Shared) -> Result<Recipe<'a>, Failure> {
    let place = Place::take(&shared.instances, CONNECTIONS_TOTAL as usize);
    let (spec, code) = (&generation.spec, &generation.code);
    Ok(Recipe {
        pre: &code.pre,
        config: &spec.config,
        memory_bytes: spec.memory_bytes.unwrap_or(code.kind.memory_bytes()),
        deadline_ms: spec.deadline_ms.unwrap_or(code.kind.deadline_ms()),
        shared,
        durable: code.durable.as_ref(),
        dial: spec.dial.as_ref(),
        fetch: code.fetch.as_ref(),
        scope: code.kind.scope(),
        is_metered: code.is_metered,
        place: place.ok_or(Fault::Busy)?,
    })
}

//! The instance of a swarm: started, told of one event after another, stopped.
//!
//! Invariant: one that has failed is not told anything more, for it is gone with its failure.

use std::future::poll_fn;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

use wasmtime::Store;
use wasmtime::component::{Instance as Component, InstancePre, TypedFunc};

use super::bindings::exports::littoral::plugin::swarm::{Guest as Swarm, GuestIndices as SwarmIndices};
use super::calls::{Calls, endpoint};
use super::figures::SwarmFigures;
use super::limits::HANDOFF_BYTES_MAX;
use super::outside::{Nowhere, Outside};
use crate::bounds::{Place, failure_of};
use crate::fetch::{self, Answer, Refusal, Refused, Response};
use crate::filter::{Failure, Fault};
use crate::runtime::Shared;
use crate::service::connection::Connection;
use crate::service::guest::Guest;
use crate::service::instance::{Recipe, bounded, fuel_of, store_of};
use crate::service::plugin::{Generation, Service, recipe};
use crate::service::wire::Nowhere as NoConnection;

/// What a swarm is told.
#[derive(Debug, Clone, PartialEq, Eq)]
#[allow(missing_docs, reason = "each is what the export of its name says in the contract")]
pub enum Event {
    Opened { connection: u32, peer: SocketAddr, inbound: bool },
    Data { connection: u32, bytes: Vec<u8> },
    Ended { connection: u32 },
    Writable { connection: u32 },
    Closed { connection: u32 },
    Datagram { from: SocketAddr, bytes: Vec<u8> },
    Timer { id: u32 },
    Found { content: u32, length: Option<u64> },
    Digested { number: u32, sum: Option<Vec<u8>> },
    Answered { number: u32, outcome: Result<Answer, Refused> },
}

impl Event {
    /// Labels of all kinds, in the order of the variants.
    pub const KINDS: [&'static str; 10] =
        ["opened", "data", "ended", "writable", "closed", "datagram", "timer", "found", "digested", "answered"];

    fn kind(&self) -> usize {
        match self {
            Self::Opened { .. } => 0,
            Self::Data { .. } => 1,
            Self::Ended { .. } => 2,
            Self::Writable { .. } => 3,
            Self::Closed { .. } => 4,
            Self::Datagram { .. } => 5,
            Self::Timer { .. } => 6,
            Self::Found { .. } => 7,
            Self::Digested { .. } => 8,
            Self::Answered { .. } => 9,
        }
    }
}

/// The interface of answers, in the version that is linked.
const ANSWERS: &str = "littoral:plugin/swarm-answers@0.1.0";
/// Its function.
type Answers = TypedFunc<(u32, Result<Response, Refusal>), ()>;

/// It failed, or could not be started. What that leads to was done; whoever drives it closes its connections and waits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Failed;

/// A started instance of a swarm.
pub struct Actor {
    service: Arc<Service>,
    instance: Instance,
    generation: Arc<Generation>,
}

/// What is below it.
pub(in crate::service) struct Instance {
    store: Store<Guest>,
    exports: Swarm,
    /// Where it asks by HTTP.
    answers: Option<Answers>,
    _place: Place,
}

impl Instance {
    /// Starts one that asks `outside`; `handoff` is what the one before it gave.
    ///
    /// # Errors
    /// Why there is none.
    pub(in crate::service) async fn start(
        recipe: Recipe<'_>,
        outside: Box<dyn Outside>,
        handoff: Option<&[u8]>,
        may_yield: bool,
    ) -> Result<Self, Failure> {
        let nowhere = Connection::new(Box::new(NoConnection), Arc::default());
        let (pre, config): (&InstancePre<Guest>, &str) = (recipe.pre, recipe.config);
        let mut store = store_of(&recipe, nowhere, may_yield);
        let reaches = recipe.dial.map(|granted| granted.reaches.clone()).unwrap_or_default();
        store.data_mut().swarm = Some(Calls::new(outside, reaches));
        let started = async {
            let component = pre.instantiate_async(&mut store).await?;
            let exports = SwarmIndices::new(pre)?.load(&mut store, &component)?;
            let answers = answers(&mut store, &component)?;
            let told = exports.call_start(&mut store, config, handoff).await?;
            wasmtime::Result::Ok(((exports, answers), told))
        };
        match started.await {
            Ok(((exports, answers), Ok(()))) => {
                store.data_mut().begins = false;
                Ok(Self { store, exports, answers, _place: recipe.place })
            }
            Ok((_, Err(text))) => Err(Failure::new(Fault::Init, format!("it refuses its config: {}", bounded(text)))),
            Err(error) => Err(failure_of(&error, &store.data().bounds).at_start("start")),
        }
    }

    /// Tells it of an event.
    ///
    /// # Errors
    /// How it failed.
    pub(in crate::service) async fn tell(&mut self, event: &Event) -> Result<(), Failure> {
        let (store, swarm, answers) = (&mut self.store, &self.exports, self.answers.as_ref());
        let guest = store.data_mut();
        guest.time.begin_anew();
        guest.turn.begin();
        let slot = guest.turn.slot();
        store.set_epoch_deadline(1);
        let telling = async {
            match event {
                Event::Opened { connection, peer, inbound } => {
                    swarm.call_opened(store, *connection, endpoint(*peer), *inbound).await
                }
                Event::Data { connection, bytes } => swarm.call_data(store, *connection, bytes).await,
                Event::Ended { connection } => swarm.call_ended(store, *connection).await,
                Event::Writable { connection } => swarm.call_writable(store, *connection).await,
                Event::Closed { connection } => swarm.call_closed(store, *connection).await,
                Event::Datagram { from, bytes } => swarm.call_datagram(store, endpoint(*from), bytes).await,
                Event::Timer { id } => swarm.call_timer(store, *id).await,
                Event::Found { content, length } => swarm.call_found(store, *content, *length).await,
                Event::Digested { number, sum } => swarm.call_digested(store, *number, sum.as_deref()).await,
                Event::Answered { number, outcome } => match answers {
                    Some(answers) => answers.call_async(store, (*number, fetch::told(outcome.clone()))).await,
                    // One that asks has it.
                    None => Ok(()),
                },
            }
        };
        slot.during(telling).await.map_err(|error| failure_of(&error, &self.store.data().bounds))
    }

    /// Bytes of its linear memory.
    pub(in crate::service) fn memory_bytes(&self) -> usize {
        self.store.data().bounds.memory
    }

    /// Fuel it has used, where that is counted.
    pub(in crate::service) fn fuel(&self) -> u64 {
        fuel_of(&self.store)
    }

    async fn stop(&mut self) -> Result<Vec<u8>, Failure> {
        let guest = self.store.data_mut();
        guest.time.begin_long();
        let slot = guest.turn.slot();
        self.store.set_epoch_deadline(1);
        let given = slot.during(self.exports.call_stop(&mut self.store)).await;
        let given = given.map_err(|error| failure_of(&error, &self.store.data().bounds))?;
        match given.len() <= HANDOFF_BYTES_MAX {
            true => Ok(given),
            false => {
                let problem = format!("it hands {} bytes on: at most {HANDOFF_BYTES_MAX}", given.len());
                Err(Failure::new(Fault::Nonsense, problem))
            }
        }
    }
}

/// Where it is told what came of its requests, if it exports that.
fn answers(store: &mut Store<Guest>, of: &Component) -> wasmtime::Result<Option<Answers>> {
    let Some(interface) = of.get_export_index(&mut *store, None, ANSWERS) else { return Ok(None) };
    let answered = of.get_export_index(&mut *store, Some(&interface), "answered");
    let answered = answered.ok_or_else(|| wasmtime::Error::msg("its swarm-answers have no answered"))?;
    of.get_typed_func(&mut *store, answered).map(Some)
}

/// Starts an instance that nothing is outside of, as a test of its file and config.
pub(in crate::service) async fn try_one(generation: &Generation, shared: &Shared) -> Result<(), Failure> {
    let recipe = recipe(generation, shared)?;
    Instance::start(recipe, Box::new(Nowhere), None, false).await.map(drop)
}

/// Waits for it, and notes how long it computed, without what it waited.
async fn timed<T>(figures: &SwarmFigures, work: impl Future<Output = T>) -> (T, Duration) {
    let (mut work, mut took) = (pin!(work), Duration::ZERO);
    let done = poll_fn(|context| {
        let since = Instant::now();
        let polled = work.as_mut().poll(context);
        took += since.elapsed();
        polled
    })
    .await;
    figures.busy_ns.fetch_add(took.as_nanos() as u64, Relaxed);
    (done, took)
}

impl Actor {
    /// Starts an instance of the generation that runs. `handoff` is what the one before it gave.
    ///
    /// # Errors
    /// It failed, or is in quarantine.
    pub async fn start(
        service: &Arc<Service>,
        outside: Box<dyn Outside>,
        handoff: Option<&[u8]>,
    ) -> Result<Self, Failed> {
        let (generation, service) = (service.current(), service.clone());
        let number = generation.number;
        let started = async {
            if !service.admits() {
                return Err(Fault::Quarantined.into());
            }
            Instance::start(recipe(&generation, &service.shared)?, outside, handoff, true).await
        };
        let (started, _) = timed(service.swarm(), started).await;
        match started {
            Ok(instance) => Ok(Self { service, instance, generation }),
            Err(failure) => {
                service.swarm_failed(&failure, number);
                Err(Failed)
            }
        }
    }

    /// Number of its generation.
    pub fn generation(&self) -> u64 {
        self.generation.number
    }

    /// Tells it of an event. How long it computed, and whether it goes on: `None` if it failed.
    pub async fn tell(mut self, event: &Event) -> (Option<Self>, Duration) {
        self.generation.count.called();
        let figures = self.service.swarm().clone();
        figures.events[event.kind()].fetch_add(1, Relaxed);
        let (told, took) = timed(&figures, self.instance.tell(event)).await;
        self.service.figures.memory_bytes.fetch_max(self.memory_bytes() as u64, Relaxed);
        match told {
            Ok(()) => (Some(self), took),
            Err(failure) => {
                self.service.swarm_failed(&failure, self.generation.number);
                (None, took)
            }
        }
    }

    /// Tells it that it ends. What it hands on; none if it failed.
    pub async fn stop(mut self) -> Option<Vec<u8>> {
        let (given, _) = timed(&self.service.swarm().clone(), self.instance.stop()).await;
        given.map_err(|failure| self.service.swarm_failed(&failure, self.generation.number)).ok()
    }

    fn memory_bytes(&self) -> usize {
        self.instance.memory_bytes()
    }
}

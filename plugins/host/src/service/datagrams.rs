//! Services of datagrams: an instance answers one after another.
//!
//! Anybody can send one in anybody's name: nothing that a datagram leads to is held against its sender, and what goes out is bounded by what
//! came in. Invariant: who handles has an instance to itself, and after a fault a new one.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Instant;

use wasmtime::Store;
use wasmtime::component::{Instance as Component, InstancePre};

use super::bindings::datagram::DatagramService;
use super::bindings::datagram::exports::littoral::plugin::datagrams::Sender;
use super::connection::Connection;
use super::guest::Guest;
use super::instance::{Recipe, bounded, fuel_of, store_of};
use super::limits::ANSWERS_MAX;
use super::plugin::{Generation, Service, recipe};
use super::status::Outcome;
use super::ticks::Ticker;
use super::wire::Wire;
use crate::bounds::{Place, failure_of};
use crate::filter::{Failure, Fault};

/// Datagrams of one instance, before it makes room for a new one: guests leak.
const CALLS_MAX: u64 = 10_000;

/// A started instance.
pub(super) struct Instance {
    store: Store<Guest>,
    component: Component,
    exports: DatagramService,
    generation: u64,
    calls: u64,
    _place: Place,
}

impl Instance {
    /// Starts an instance and has it take its config.
    pub(super) async fn start(
        recipe: Recipe<'_>,
        connection: Connection,
        generation: u64,
        may_yield: bool,
    ) -> Result<Self, Failure> {
        let (pre, config): (&InstancePre<Guest>, &str) = (recipe.pre, recipe.config);
        let mut store = store_of(&recipe, connection, may_yield);
        store.data_mut().commits = Some(recipe.shared.commits.clone());
        let started = async {
            let component = pre.instantiate_async(&mut store).await?;
            let exports = DatagramService::new(&mut store, &component)?;
            let told = exports.littoral_plugin_datagrams().call_init(&mut store, config).await?;
            wasmtime::Result::Ok(((component, exports), told))
        };
        match started.await {
            Ok(((component, exports), Ok(()))) => {
                store.data_mut().begins = false;
                Ok(Self { store, component, exports, generation, calls: 0, _place: recipe.place })
            }
            Ok((_, Err(text))) => Err(Failure::new(Fault::Init, format!("it refuses its config: {}", bounded(text)))),
            Err(error) => Err(failure_of(&error, &store.data().bounds).at_start("init")),
        }
    }

    /// Itself, as what ticks.
    pub(super) fn ticker(&mut self) -> Ticker<'_> {
        Ticker { store: &mut self.store, component: &self.component }
    }

    pub(super) async fn handle(&mut self, from: SocketAddr, data: &[u8]) -> Result<Vec<Vec<u8>>, Failure> {
        self.calls += 1;
        let guest = self.store.data_mut();
        guest.time.begin_anew();
        guest.asking.begin();
        guest.turn.begin();
        let slot = guest.turn.slot();
        self.store.set_epoch_deadline(1);
        let sender = Sender { address: from.ip().to_canonical().to_string(), port: from.port() };
        let called = self.exports.littoral_plugin_datagrams().call_handle(&mut self.store, &sender, data);
        let called = slot.during(called).await;
        let answers = called.map_err(|error| failure_of(&error, &self.store.data().bounds))?;
        if let Some(draft) = &mut self.store.data_mut().draft {
            draft.discard();
        }
        Ok(answers)
    }

    /// Whether it may handle another one: what it has dialled ends with it.
    pub(super) fn is_good_for_more(&self) -> bool {
        self.calls < CALLS_MAX && self.store.data().dials.as_ref().is_none_or(|dials| dials.count == 0)
    }
}

/// What datagrams are dialled from.
pub type Wires = Arc<dyn Fn() -> Box<dyn Wire> + Send + Sync>;

/// Who handles datagrams, one after another.
pub struct Handler {
    service: Arc<Service>,
    wires: Wires,
    instance: Option<Box<Instance>>,
}

impl Handler {
    /// One of a service's, which dials by one of `wires` for each instance.
    pub fn of(service: Arc<Service>, wires: Wires) -> Self {
        Self { service, wires, instance: None }
    }

    /// Notes that handling a datagram was ended as it lasted too long, a fault.
    pub fn overdue(&self) {
        let outcome = self.service.datagram_failed(&Fault::Deadline.into(), self.service.generation());
        self.service.figures.ended[outcome as usize].fetch_add(1, Relaxed);
    }

    /// Answers to a datagram, of at most `room` bytes together; none when it is not answered.
    pub async fn handle(&mut self, from: SocketAddr, data: &[u8], room: usize) -> Vec<Vec<u8>> {
        let figures = self.service.figures.clone();
        let since = Instant::now();
        figures.read.fetch_add(data.len() as u64, Relaxed);
        let (outcome, (answers, dropped)) = match self.answers(from, data).await {
            Ok(answers) => (Outcome::Done, within(answers, room)),
            Err((failure, generation)) => (self.service.datagram_failed(&failure, generation), (Vec::new(), 0)),
        };
        // One that computes for long has let others run meanwhile, which is counted as its own time.
        figures.busy_ns.fetch_add(since.elapsed().as_nanos() as u64, Relaxed);
        figures.ended[outcome as usize].fetch_add(1, Relaxed);
        figures.dropped_answers.fetch_add(dropped, Relaxed);
        figures.written.fetch_add(answers.iter().map(|answer| answer.len() as u64).sum(), Relaxed);
        answers
    }

    async fn answers(&mut self, from: SocketAddr, data: &[u8]) -> Result<Vec<Vec<u8>>, (Failure, u64)> {
        let generation: Arc<Generation> = self.service.current();
        let number = generation.number;
        generation.count.called();
        let kept = self.instance.take().filter(|kept| kept.generation == number);
        if !self.service.admits() {
            return Err((Fault::Quarantined.into(), number));
        }
        let told = |failure| (failure, number);
        let mut instance = match kept {
            Some(instance) => instance,
            None => {
                let recipe = recipe(&generation, &self.service.shared).map_err(told)?;
                Box::new(Instance::start(recipe, Connection::none((self.wires)()), number, true).await.map_err(told)?)
            }
        };
        let answers = instance.handle(from, data).await.map_err(told)?;
        self.service.figures.memory_bytes.fetch_max(instance.memory_bytes() as u64, Relaxed);
        self.instance = Some(instance).filter(|instance| instance.is_good_for_more());
        Ok(answers)
    }
}

impl Instance {
    /// Bytes of its linear memory.
    pub(super) fn memory_bytes(&self) -> usize {
        self.store.data().bounds.memory
    }

    /// Fuel it has used, where that is counted.
    pub(super) fn fuel(&self) -> u64 {
        fuel_of(&self.store)
    }
}

/// The first answers that fit, and how many do not.
pub(super) fn within(answers: Vec<Vec<u8>>, mut room: usize) -> (Vec<Vec<u8>>, u64) {
    let all = answers.len();
    let fits = |answer: &Vec<u8>| {
        let fits = answer.len() <= room;
        room -= if fits { answer.len() } else { 0 };
        fits
    };
    let left: Vec<_> = answers.into_iter().take(ANSWERS_MAX).filter(fits).collect();
    let dropped = (all - left.len()) as u64;
    (left, dropped)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_have_as_much_room_as_there_is_and_the_others_are_counted() {
        let answer = |bytes: usize| vec![b'x'; bytes];
        let sizes = |answers: Vec<Vec<u8>>| answers.iter().map(Vec::len).collect::<Vec<_>>();
        let (left, dropped) = within(vec![answer(5), answer(6), answer(4), answer(1)], 10);
        assert_eq!((sizes(left), dropped), (vec![5, 4, 1], 1));
        let (left, dropped) = within(vec![answer(0); ANSWERS_MAX + 3], 0);
        assert_eq!((left.len(), dropped), (ANSWERS_MAX, 3));
    }
}

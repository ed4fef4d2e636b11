//! What a service does outside of connections and datagrams.

use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use wasmtime::Store;
use wasmtime::component::Instance as Component;

use super::connection::Connection;
use super::datagrams;
use super::guest::Guest;
use super::instance::Instance;
use super::plugin::{Generation, Kind, Service, recipe};
use super::wire::Wire;
use crate::bounds::failure_of;
use crate::fetch::Scope;
use crate::filter::{Failure, Fault};
use crate::tick::{self, Ticked, Ticking, Ticks, ticked};

/// An instance of any kind, as what ticks.
pub(super) struct Ticker<'a> {
    pub(super) store: &'a mut Store<Guest>,
    pub(super) component: &'a Component,
}

impl Ticker<'_> {
    /// Has it tick. When it wants to again.
    pub(super) async fn tick(self) -> Result<u64, Failure> {
        let guest = self.store.data_mut();
        guest.time.begin_anew();
        guest.asking.begin();
        let slot = guest.turn.slot();
        self.store.set_epoch_deadline(1);
        let said = slot.during(tick::call(self.store, self.component)).await;
        said.map_err(|error| failure_of(&error, &self.store.data().bounds))
    }

    fn memory_bytes(&self) -> usize {
        self.store.data().bounds.memory
    }
}

/// Whether an instance has what its generation says it has, if that is a timer.
pub(super) fn check(generation: &Generation, ticker: Ticker<'_>) -> Result<(), String> {
    match generation.code.ticks {
        true => tick::function(ticker.store, ticker.component).map(drop).map_err(|error| format!("{error:#}")),
        false => Ok(()),
    }
}

impl Service {
    async fn ticked(&self, wire: Box<dyn Wire>) -> Ticked {
        let generation = self.current();
        if !generation.code.ticks {
            return Ticked::Never;
        }
        if let Some(left) = self.quarantined_for() {
            return Ticked::Quarantined(left);
        }
        let _under_way = self.shared.ticks.begins((self.shared.now_ms)());
        match self.ticked_by(&generation, Connection::none(wire)).await {
            Ok(after_ms) => {
                self.shared.ticks.done();
                ticked(after_ms)
            }
            Err(failure) => {
                self.tick_failed(&failure, generation.number);
                Ticked::Failed
            }
        }
    }

    /// A tick in an instance of its own.
    async fn ticked_by(&self, generation: &Generation, connection: Connection) -> Result<u64, Failure> {
        let mut recipe = recipe(generation, &self.shared)?;
        // It asks as one call does, whatever it is else.
        recipe.scope = Scope::Call;
        match generation.code.kind {
            Kind::Connections => {
                let started = Instance::start(recipe, connection, true).await;
                let mut instance = started.map_err(|(failure, _)| failure)?;
                self.has_ticked(instance.ticker()).await
            }
            Kind::Datagrams => {
                let mut instance = datagrams::Instance::start(recipe, connection, generation.number, true).await?;
                self.has_ticked(instance.ticker()).await
            }
            // One that says it does is not loaded.
            Kind::Swarm => Ok(0),
        }
    }

    async fn has_ticked(&self, ticker: Ticker<'_>) -> Result<u64, Failure> {
        self.figures.memory_bytes.fetch_max(ticker.memory_bytes() as u64, Relaxed);
        ticker.tick().await
    }
}

impl Ticks for Service {
    fn generation(&self) -> u64 {
        self.current().number
    }

    fn turned(&self, number: u64) -> Pin<Box<dyn Future<Output = ()> + Send + '_>> {
        self.shared.ticks.turned(move || self.current().number != number)
    }

    fn tick(&self, wire: Box<dyn Wire>) -> Ticking<'_> {
        Box::pin(self.ticked(wire))
    }

    fn overdue(&self) {
        self.tick_failed(&Fault::Deadline.into(), self.current().number);
    }

    fn waits(&self, until: Option<Duration>) {
        self.shared.ticks.due(until.map_or(0, |until| (self.shared.now_ms)() + until.as_millis() as u64));
    }
}

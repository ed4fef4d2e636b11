//! One instance of a service: started for a connection, it serves it and ends.

use std::sync::Arc;

use wasmtime::component::{Instance as Component, InstancePre};
use wasmtime::{Store, UpdateDeadline};

use super::bindings::StreamService;
use super::connection::Connection;
use super::guest::Guest;
use super::outbound::{DialSpec, Dials};
use super::ticks::Ticker;
use super::time::Time;
use crate::ambient::Ambient;
use crate::bounds::{Bounds, Place, failure_of};
use crate::durable::{Draft, Durable};
use crate::fetch::{Asking, Granted, Scope};
use crate::filter::limits::HANDED_BYTES_MAX;
use crate::filter::{Failure, Fault};
use crate::limits::ERROR_BYTES_MAX;
use crate::runtime::Shared;
use crate::turn::Turn;

/// A started instance.
pub(super) struct Instance {
    store: Store<Guest>,
    component: Component,
    exports: StreamService,
    _place: Place,
}

/// What an instance is made from.
pub(super) struct Recipe<'a> {
    pub(super) pre: &'a InstancePre<Guest>,
    pub(super) config: &'a str,
    pub(super) memory_bytes: usize,
    pub(super) deadline_ms: u64,
    pub(super) shared: &'a Shared,
    pub(super) durable: Option<&'a Arc<Durable>>,
    pub(super) dial: Option<&'a DialSpec>,
    pub(super) fetch: Option<&'a Arc<Granted>>,
    /// What a call of it is.
    pub(super) scope: Scope,
    /// Whether fuel is counted, in an engine that does: for measurements.
    pub(super) is_metered: bool,
    pub(super) place: Place,
}

impl Instance {
    /// Starts an instance for a connection and has it take its config.
    pub(super) async fn start(
        recipe: Recipe<'_>,
        connection: Connection,
        may_yield: bool,
    ) -> Result<Self, (Failure, bool)> {
        let mut store = store_of(&recipe, connection, may_yield);
        let Recipe { pre, config, place, .. } = recipe;
        let started = async {
            let component = pre.instantiate_async(&mut store).await?;
            let exports = StreamService::new(&mut store, &component)?;
            let told = exports.littoral_plugin_service().call_init(&mut store, config).await?;
            wasmtime::Result::Ok(((component, exports), told))
        };
        match started.await {
            Ok(((component, exports), Ok(()))) => {
                let guest = store.data_mut();
                guest.time.begin_anew();
                guest.begins = false;
                Ok(Self { store, component, exports, _place: place })
            }
            Ok((_, Err(text))) => {
                Err((Failure::new(Fault::Init, format!("it refuses its config: {}", bounded(text))), false))
            }
            Err(error) => {
                let failure = failure_of(&error, &store.data().bounds).at_start("init");
                Err((failure, store.data().connection.has_heard))
            }
        }
    }

    /// Serves the connection. What the guest says in the end; or its fault, and whether the peer had said anything by then.
    pub(super) async fn serve(&mut self) -> Result<Result<(), String>, (Failure, bool)> {
        let slot = self.store.data_mut().turn.slot();
        let said = slot.during(self.exports.littoral_plugin_service().call_serve(&mut self.store)).await;
        let guest = self.store.data();
        match said {
            Ok(said) => Ok(said.map_err(bounded)),
            Err(error) => Err((failure_of(&error, &guest.bounds), guest.connection.has_heard)),
        }
    }

    /// Itself, as what ticks.
    pub(super) fn ticker(&mut self) -> Ticker<'_> {
        Ticker { store: &mut self.store, component: &self.component }
    }

    /// Ends the connection so that the peer gets what was written last.
    pub(super) async fn close(mut self) {
        self.store.data_mut().connection.close().await;
    }

    /// Bytes of its linear memory.
    pub(super) fn memory_bytes(&self) -> usize {
        self.store.data().bounds.memory
    }

    /// Fuel it has used, where that is counted.
    pub(super) fn fuel(&self) -> u64 {
        fuel_of(&self.store)
    }
}

/// Fuel that a guest has used, where that is counted.
pub(super) fn fuel_of(store: &Store<Guest>) -> u64 {
    store.get_fuel().map_or(0, |left| u64::MAX - left)
}

/// A store for an instance, bounded as its recipe says.
pub(super) fn store_of(recipe: &Recipe<'_>, connection: Connection, may_yield: bool) -> Store<Guest> {
    let Recipe { pre, memory_bytes, deadline_ms, shared, durable, dial, fetch, scope, is_metered, .. } = recipe;
    let guest = Guest {
        ambient: Ambient::of(&shared.name, &shared.counters, &shared.store, shared.now_ms),
        bounds: Bounds::of(*memory_bytes),
        time: Time::of(*deadline_ms),
        may_yield,
        connection,
        draft: durable.cloned().map(Draft::of),
        commits: None,
        dials: dial.map(|spec| Dials::new(spec.clone(), shared.dialled.clone())),
        swarm: None,
        asking: Asking::of(*fetch, &shared.fetched, *scope),
        turn: Turn::of(&shared.turns),
        begins: true,
    };
    let mut store = Store::new(pre.component().engine(), guest);
    store.limiter(|guest| &mut guest.bounds);
    if *is_metered {
        // It fails in an engine that does not count, which then says 0.
        let _ = store.set_fuel(u64::MAX);
    }
    store.set_hostcall_fuel(HANDED_BYTES_MAX);
    store.set_epoch_deadline(1);
    store.epoch_deadline_callback(|mut context| {
        let guest = context.data_mut();
        Ok(match guest.time.tick() {
            false => UpdateDeadline::Interrupt,
            true if guest.may_yield => guest.turn.tick(&mut guest.bounds),
            true => UpdateDeadline::Continue(1),
        })
    });
    store
}

/// An error text as long as it may be.
pub(super) fn bounded(mut text: String) -> String {
    text.truncate(text.floor_char_boundary(ERROR_BYTES_MAX));
    text
}

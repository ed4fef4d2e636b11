//! One instance of a filter: its store, its exports, and a call of them with its bounds.
//!
//! A call ends by its deadline: at each tick of the engine's clock that meets the guest computing, one of its ticks is gone, and
//! others get the thread, unless it goes by the core path ([`super::flat`]). Invariant: what an exchange is lent for comes back, whatever
//! the guest did.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use parking_lot::Mutex;
use wasmtime::component::{Instance as Component, InstancePre};
use wasmtime::{InstancePre as CorePre, Store, UpdateDeadline};

use super::bindings::HttpFilter;
use super::bindings::exports::littoral::plugin::filter::{Manifest as Told, Points, Reply as Own};
use super::fault::{Failure, Fault};
use super::flat::{Found, Functions, Told as CoreTold};
use super::guest::{Guest, Point};
use super::limits::{HANDED_BYTES_MAX, HELD_BYTES_MAX, OUT_BYTES_MAX};
use super::message::{Changes, Exchange, Reply, reply, target};
use super::outside::{self, Outside};
use crate::ambient::Ambient;
use crate::bounds::{Bounds, Place, at_once, failure_of};
use crate::fetch::{Asking, Granted, Scope};
use crate::limits::ERROR_BYTES_MAX;
use crate::runtime::Shared;
use crate::service::Wire;
use crate::service::time::Time;
use crate::tick;
use crate::turn::Turn;

/// What a filter asks for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Manifest {
    /// In the order of [`Point::ALL`], but for the body.
    pub(super) points: [bool; 4],
    /// Whether it may ask for bodies.
    pub(super) bodies: bool,
    /// Whether an instance serves one request after another.
    pub(super) reuse: bool,
}

impl Manifest {
    fn of(told: Told) -> Result<Self, String> {
        let flags = [Points::REQUEST, Points::LOOKUP, Points::ORIGIN, Points::RESPONSE];
        let points = flags.map(|point| told.points.contains(point));
        match (points.contains(&true), told.bodies && !points[2]) {
            (false, _) => Err("it asks for no point of a request: name at least one in its manifest".into()),
            (_, true) => Err("it asks for bodies but not for the point `origin`: name it in its manifest".into()),
            _ => Ok(Self { points, bodies: told.bodies, reuse: told.reuse }),
        }
    }

    /// Whether it is called there.
    pub(super) fn asks(self, point: Point) -> bool {
        self.points.get(point as usize).map_or(self.bodies, |asks| *asks)
    }
}

/// What a guest said at a point.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Said {
    Next,
    Reply(Reply),
    LookUp(String),
    Rewrite,
}

/// The core module of a filter that may be called itself.
pub(super) struct Core {
    pub(super) found: Found,
    pub(super) pre: CorePre<Guest>,
    /// A call computed for so long that others should have run: from now on they do.
    pub(super) slow: AtomicBool,
}

/// What it exports, by the path its calls go.
#[allow(
    clippy::large_enum_variant,
    reason = "an instance lies in a box of its own, and this is on the way of every call"
)]
enum Exports {
    Component(Component, HttpFilter),
    Core(Functions),
}

/// A started instance.
pub(super) struct Instance {
    store: Store<Guest>,
    exports: Exports,
    pub(super) manifest: Manifest,
    pub(super) generation: u64,
    pub(super) calls: u64,
    /// It has left a connection open, which ended with its call: what the guest still holds of it leads nowhere.
    pub(super) is_spent: bool,
    _place: Place,
}

/// What an instance is made from.
pub(super) struct Recipe<'a> {
    pub(super) pre: &'a InstancePre<Guest>,
    /// Called instead, if it is there.
    pub(super) core: Option<&'a Core>,
    pub(super) config: &'a str,
    pub(super) memory_bytes: usize,
    pub(super) deadline_ms: u64,
    pub(super) fetch: Option<&'a Arc<Granted>>,
    pub(super) outside: outside::Granted<'a>,
    pub(super) generation: u64,
    /// Whether its engine counts fuel.
    pub(super) metered: bool,
    pub(super) shared: &'a Shared,
    pub(super) place: Place,
}

impl Instance {
    /// Starts an instance and has it take its config.
    pub(super) async fn start(recipe: Recipe<'_>, may_yield: bool) -> Result<Self, Failure> {
        let Recipe { pre, core, config, memory_bytes, deadline_ms, fetch, outside, .. } = recipe;
        let Recipe { generation, metered, shared, place, .. } = recipe;
        let guest = Guest {
            ambient: Ambient::of(&shared.name, &shared.counters, &shared.store, shared.now_ms),
            bounds: Bounds::of(memory_bytes),
            time: Time::of(deadline_ms),
            may_yield: may_yield && core.is_none(),
            turn: Turn::of(&shared.turns),
            point: Point::Lookup,
            exchange: None,
            kept: Vec::new(),
            changes: Changes::default(),
            asking: Asking::of(shared.scripted.as_ref().or(fetch), &shared.fetched, Scope::Call),
            outside: Mutex::new(Outside::of(outside, shared)),
            begins: true,
            ticks: false,
            heap: None,
            interrupts: 0,
        };
        let mut store = Store::new(pre.component().engine(), guest);
        store.limiter(|guest| &mut guest.bounds);
        if metered {
            store.set_fuel(u64::MAX).map_err(|error| Failure::new(Fault::Init, error.to_string()))?;
        }
        store.set_hostcall_fuel(HANDED_BYTES_MAX);
        store.set_epoch_deadline(1);
        store.epoch_deadline_callback(|mut context| {
            let guest = context.data_mut();
            guest.interrupts += 1;
            Ok(match guest.time.tick() {
                false => UpdateDeadline::Interrupt,
                true if guest.may_yield => guest.turn.tick(&mut guest.bounds),
                true => UpdateDeadline::Continue(1),
            })
        });
        let started = async {
            if let Some(core) = core {
                return start_core(core, &mut store, config);
            }
            let component = pre.instantiate_async(&mut store).await?;
            let exports = HttpFilter::new(&mut store, &component)?;
            let told = exports.littoral_plugin_filter().call_init(&mut store, config).await?;
            wasmtime::Result::Ok((Exports::Component(component, exports), told))
        };
        let (exports, told) = match started.await {
            Ok((exports, Ok(told))) => (exports, told),
            Ok((_, Err(mut text))) => {
                text.truncate(text.floor_char_boundary(ERROR_BYTES_MAX));
                return Err(Failure::new(Fault::Init, format!("it refuses its config: {text}")));
            }
            Err(error) => {
                return Err(failure_of(&error, &store.data().bounds).at_start("init"));
            }
        };
        let manifest = Manifest::of(told).map_err(|why| Failure::new(Fault::Init, why))?;
        store.data_mut().begins = false;
        Ok(Self { store, exports, manifest, generation, calls: 0, is_spent: false, _place: place })
    }

    /// Fuel it has used since it was started; 0 where none is counted.
    pub(super) fn fuel(&self) -> u64 {
        self.store.get_fuel().map_or(0, |left| u64::MAX - left)
    }

    /// Bytes of its linear memory.
    pub(super) fn memory_bytes(&self) -> usize {
        self.store.data().bounds.memory
    }

    /// Whether its calls go by the core path.
    pub(super) fn is_core(&self) -> bool {
        matches!(self.exports, Exports::Core(_))
    }

    /// Whether others should have run meanwhile, and could not. A single tick may meet a call that began a moment ago.
    pub(super) fn was_slow(&self) -> bool {
        self.is_core() && self.store.data().interrupts > 1
    }

    fn begin(&mut self, point: Point, may_yield: bool) {
        self.calls += 1;
        let may_yield = may_yield && !self.is_core();
        let guest = self.store.data_mut();
        (guest.may_yield, guest.point, guest.interrupts) = (may_yield, point, 0);
        guest.time.begin_anew();
        guest.turn.begin();
        guest.asking.begin();
        // At the next tick: the one under way is not counted whole.
        self.store.set_epoch_deadline(1);
    }

    /// Calls the guest at a point before bodies. The exchange comes back with [`Self::end`].
    pub(super) async fn ask(&mut self, point: Point) -> Result<Said, Failure> {
        let store = &mut self.store;
        let said = match &self.exports {
            Exports::Component(_, exports) => {
                let exports = exports.littoral_plugin_filter();
                match point {
                    Point::Request => exports.call_on_request(store).await.map(replied),
                    Point::Lookup => exports.call_on_lookup(store).await.map(looked_up),
                    Point::Origin => exports.call_on_origin(store).await.map(|wants| wanted(wants, self.manifest)),
                    Point::Response => exports.call_on_response(store).await.map(|()| Ok(Said::Next)),
                    Point::Body => Ok(Ok(Said::Next)),
                }
            }
            Exports::Core(functions) => match point {
                Point::Request => functions.on_request(store).map(replied),
                Point::Lookup => functions.on_lookup(store).map(looked_up),
                Point::Origin => functions.on_origin(store).map(|wants| wanted(wants, self.manifest)),
                Point::Response => functions.on_response(store).map(|()| Ok(Said::Next)),
                Point::Body => Ok(Ok(Said::Next)),
            },
        };
        let said = said.map_err(|error| failure_of(&error, &self.store.data().bounds))?;
        said.map_err(|why| Failure::new(Fault::Nonsense, why))
    }

    /// Whether it has what it says it has, if that is a timer.
    pub(super) fn check_timer(&mut self) -> Result<(), Failure> {
        let Exports::Component(component, _) = &self.exports else { return Ok(()) };
        let found = tick::function(&mut self.store, component);
        found.map(drop).map_err(|error| Failure::new(Fault::Init, format!("{error:#}")))
    }

    /// Has it tick, without an exchange, from where it may dial. When it wants to again.
    pub(super) async fn tick(&mut self, wire: Box<dyn Wire>) -> Result<u64, Failure> {
        // A point at which nothing is changed.
        self.begin(Point::Lookup, true);
        let guest = self.store.data_mut();
        guest.ticks = true;
        guest.outside.get_mut().tick_from(wire);
        // What exports more than `filter` goes by the component runtime.
        let Exports::Component(component, _) = &self.exports else { return Ok(0) };
        let said = tick::call(&mut self.store, component).await;
        said.map_err(|error| failure_of(&error, &self.store.data().bounds))
    }

    /// Lends it an exchange for [`Self::ask`].
    pub(super) fn lend(&mut self, point: Point, exchange: Box<dyn Exchange>, kept: Vec<u8>) {
        self.begin(point, true);
        let guest = self.store.data_mut();
        (guest.exchange, guest.kept) = (Some(exchange), kept);
    }

    /// Takes back what was lent, and what was kept before, with the changes.
    pub(super) fn end(&mut self) -> (Option<Box<dyn Exchange>>, Vec<u8>, Changes) {
        let guest = self.store.data_mut();
        guest.turn.release();
        self.is_spent |= guest.outside.get_mut().end();
        (guest.exchange.take(), std::mem::take(&mut guest.kept), std::mem::take(&mut guest.changes))
    }

    /// Hands it a piece of a body, without letting others run: who asks waits for no one. What comes out, and how much is held.
    pub(super) fn piece(&mut self, data: &[u8], last: bool) -> Result<(Vec<u8>, usize), Failure> {
        self.begin(Point::Body, false);
        let store = &mut self.store;
        let called = match &self.exports {
            Exports::Component(_, exports) => at_once(exports.littoral_plugin_filter().call_on_body(store, data, last)),
            Exports::Core(functions) => functions.on_body(store, data, last),
        };
        let piece = called.map_err(|error| failure_of(&error, &self.store.data().bounds))?;
        let hold = piece.hold as usize;
        let most = if last { 0 } else { HELD_BYTES_MAX.min(data.len()) };
        if piece.out.len() > OUT_BYTES_MAX || hold > most {
            let why = format!("{} bytes out and {hold} of {} held, last: {last}", piece.out.len(), data.len());
            return Err(Failure::new(Fault::Nonsense, why));
        }
        Ok((piece.out, hold))
    }
}

/// Starts it by the core path, and has it take its config.
fn start_core(core: &Core, store: &mut Store<Guest>, config: &str) -> wasmtime::Result<(Exports, CoreTold)> {
    let instance = core.pre.instantiate(&mut *store)?;
    let functions = Functions::of(store, instance, &core.found)?;
    let told = functions.init(store, config)?;
    Ok((Exports::Core(functions), told))
}

fn replied(said: Option<Own>) -> Result<Said, String> {
    said.map_or(Ok(Said::Next), |own| reply(own.status, own.fields, own.body).map(Said::Reply))
}

fn looked_up(said: Option<String>) -> Result<Said, String> {
    said.map_or(Ok(Said::Next), |other| target(other).map(Said::LookUp))
}

fn wanted(wants: bool, manifest: Manifest) -> Result<Said, String> {
    match wants {
        true if !manifest.bodies => Err("it wants a body; its manifest says it never does".into()),
        true => Ok(Said::Rewrite),
        false => Ok(Said::Next),
    }
}

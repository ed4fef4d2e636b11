//! Ticks: what a filter or service does by itself, outside of requests, at times that it says.
//!
//! Calling is here and with the plugins ([`Ticks`]); waiting between two ticks, and ending one that lasts too long, is the caller's. Invariants: a tick has
//! an instance of its own and the bounds of its plugin's calls; a plugin in quarantine does not tick; what a tick fails at fails nothing else.

use std::collections::BTreeMap;
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::task::{Poll, Waker};
use std::time::Duration;

use parking_lot::Mutex;
use serde::Serialize;
use wasmtime::component::{Instance, TypedFunc};
use wasmtime::{AsContextMut, Store};

use crate::filter::Fault;
use crate::service::Wire;

pub mod limits;

use limits::{BACKOFF_MAX, BACKOFF_MIN, INTERVAL_MAX, INTERVAL_MIN};

/// Who exports it ticks.
const TIMER: &str = "littoral:plugin/timer@0.1.0";

/// What became of a tick.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ticked {
    /// The next one is due so much later.
    Again(Duration),
    /// What runs ticks no more, or never did.
    Never,
    /// It failed.
    Failed,
    /// Nothing was called: the plugin is in quarantine for so long.
    Quarantined(Duration),
}

/// A tick under way. Dropped, it ends, and what it has stored stays.
pub type Ticking<'a> = Pin<Box<dyn Future<Output = Ticked> + Send + 'a>>;

/// What ticks: a filter or a service. Whoever has it tick waits for one before the next.
pub trait Ticks: Send + Sync {
    /// Number of the generation that runs.
    fn generation(&self) -> u64;
    /// Waits until another generation runs than the one of this number. For one who waits at a time.
    fn turned(&self, number: u64) -> Pin<Box<dyn Future<Output = ()> + Send + '_>>;
    /// A tick of what runs. What it dials, it dials by `wire`, which is no connection itself.
    fn tick(&self, wire: Box<dyn Wire>) -> Ticking<'_>;
    /// Notes that a tick was ended as it lasted too long, a fault.
    fn overdue(&self);
    /// Notes how long it is until the next tick; `None`: there is none.
    fn waits(&self, until: Option<Duration>);
}

/// How long to wait after so many ticks in a row that failed, the last one included.
pub fn backoff(failures: u32) -> Duration {
    BACKOFF_MIN.saturating_mul(1 << failures.saturating_sub(1).min(16)).min(BACKOFF_MAX)
}

/// What a guest says of its next tick.
pub(crate) fn ticked(after_ms: u64) -> Ticked {
    match after_ms {
        0 => Ticked::Never,
        after_ms => Ticked::Again(Duration::from_millis(after_ms).clamp(INTERVAL_MIN, INTERVAL_MAX)),
    }
}

/// The function of an instance.
///
/// # Errors
/// That there is none of this type.
pub(crate) fn function<G: 'static>(store: &mut Store<G>, of: &Instance) -> wasmtime::Result<TypedFunc<(), (u64,)>> {
    let timer = of.get_export_index(store.as_context_mut(), None, TIMER);
    let tick = timer.and_then(|timer| of.get_export_index(store.as_context_mut(), Some(&timer), "tick"));
    let tick = tick.ok_or_else(|| wasmtime::Error::msg("its timer has no tick"))?;
    of.get_typed_func(store.as_context_mut(), tick)
}

/// Has an instance tick; what it says.
///
/// # Errors
/// How it failed.
pub(crate) async fn call<G: Send + 'static>(store: &mut Store<G>, of: &Instance) -> wasmtime::Result<u64> {
    let tick = function(store, of)?;
    tick.call_async(store.as_context_mut(), ()).await.map(|(after_ms,)| after_ms)
}

/// What a plugin's ticks were and are, in all its generations.
#[derive(Default)]
pub(crate) struct Tally {
    done: AtomicU64,
    faults: [AtomicU64; Fault::KINDS.len()],
    under_way: AtomicBool,
    /// Unix milliseconds; 0: none is due.
    next_ms: AtomicU64,
    last_ms: AtomicU64,
    /// Who waits for another generation.
    waits: Mutex<Option<Waker>>,
}

/// While it is there, a tick is under way.
pub(crate) struct UnderWay<'a>(&'a Tally);

impl Drop for UnderWay<'_> {
    fn drop(&mut self) {
        self.0.under_way.store(false, Relaxed);
    }
}

impl Tally {
    /// Notes that a tick begins now, in Unix milliseconds.
    pub(crate) fn begins(&self, now_ms: u64) -> UnderWay<'_> {
        self.under_way.store(true, Relaxed);
        self.last_ms.store(now_ms, Relaxed);
        UnderWay(self)
    }

    /// Notes one that ended well.
    pub(crate) fn done(&self) {
        self.done.fetch_add(1, Relaxed);
    }

    /// Notes one that failed.
    pub(crate) fn failed(&self, fault: Fault) {
        self.faults[fault as usize].fetch_add(1, Relaxed);
    }

    /// Notes when the next one is due, in Unix milliseconds; 0: never.
    pub(crate) fn due(&self, at_ms: u64) {
        self.next_ms.store(at_ms, Relaxed);
    }

    /// Wakes who waits for another generation.
    pub(crate) fn turn(&self) {
        if let Some(waker) = self.waits.lock().take() {
            waker.wake();
        }
    }

    /// Waits until `has_turned`, which is looked at whenever [`Self::turn`] was called.
    pub(crate) fn turned<'a>(
        &'a self,
        has_turned: impl Fn() -> bool + Send + 'a,
    ) -> Pin<Box<dyn Future<Output = ()> + Send + 'a>> {
        Box::pin(poll_fn(move |context| {
            // Before it is looked at: what turns meanwhile wakes.
            *self.waits.lock() = Some(context.waker().clone());
            if has_turned() { Poll::Ready(()) } else { Poll::Pending }
        }))
    }

    /// How many failed of a kind.
    pub(crate) fn faults(&self) -> impl Iterator<Item = (&'static str, u64)> {
        Fault::KINDS.into_iter().zip(self.faults.iter().map(|count| count.load(Relaxed)))
    }

    /// What it is and was.
    pub(crate) fn status(&self) -> TicksStatus {
        TicksStatus {
            outcomes: self.faults().filter(is_called).chain([(DONE, self.done.load(Relaxed))]).collect(),
            under_way: self.under_way.load(Relaxed),
            last_ms: self.last_ms.load(Relaxed),
            next_ms: self.next_ms.load(Relaxed),
        }
    }
}

/// Whether there is a tick that ends so: none begins in quarantine.
fn is_called((kind, _): &(&'static str, u64)) -> bool {
    *kind != Fault::KINDS[Fault::Quarantined as usize]
}

/// The outcome of a tick that ended well, beside the kinds of faults.
const DONE: &str = "done";

/// What the ticks of a plugin are and were.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct TicksStatus {
    /// How they ended: `done`, or the kind of fault.
    pub outcomes: BTreeMap<&'static str, u64>,
    /// Whether one is under way.
    pub under_way: bool,
    /// When the last one began, Unix milliseconds; 0 before the first.
    pub last_ms: u64,
    /// When the next one is due, Unix milliseconds; 0: never again, before the first, or where nobody has it tick.
    pub next_ms: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_guest_says_of_its_next_tick_is_within_bounds() {
        let again = |ms| Ticked::Again(Duration::from_millis(ms));
        assert_eq!(
            [ticked(0), ticked(1), ticked(100), ticked(60_000)],
            [Ticked::Never, again(100), again(100), again(60_000)]
        );
        assert_eq!(ticked(u64::MAX), Ticked::Again(INTERVAL_MAX));
    }

    #[test]
    fn after_each_failure_more_it_is_waited_twice_as_long_up_to_five_minutes() {
        let waits: Vec<u64> = (1..12).map(|failures| backoff(failures).as_secs()).collect();
        assert_eq!(waits, [1, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300]);
        assert_eq!(backoff(u32::MAX), BACKOFF_MAX);
    }
}

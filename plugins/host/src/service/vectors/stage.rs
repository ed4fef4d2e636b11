//! What a case of an author's vectors has around it: a clock that stands, a store, a disk of its own, answers to what it asks by HTTP.
//!
//! Invariants: nothing but the text, the config and the guest's own chance decides what comes out; nobody real is dialled or asked, and
//! nothing that is kept outlives the cases; a case ends, whatever the guest waits for.

use std::cell::Cell;
use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::thread::Thread;
use std::time::{Duration, Instant};

use crate::durable::Scratch;
use crate::filter::limits::STORE_BYTES_MAX;
use crate::filter::{Failure, Fault, Told, granted};
use crate::runtime::Shared;
use crate::service::instance::Recipe;
use crate::service::outbound::DialSpec;
use crate::service::plugin::{Generation, recipe};

/// Time that a case may take by the clock on the wall; its own clock may go on for as long as it likes.
const CASE_TIME_MAX: Duration = Duration::from_secs(10);

thread_local!(static NOW_MS: Cell<u64> = const { Cell::new(0) });

/// The clock of the case on this thread.
pub(super) fn now_ms() -> u64 {
    NOW_MS.get()
}

/// So much time has passed in the case on this thread.
pub(super) fn passes(time: Duration) {
    NOW_MS.set(NOW_MS.get().saturating_add(u64::try_from(time.as_millis()).unwrap_or(u64::MAX)));
}

/// What one case leaves to the next that continues it.
pub(super) struct Stage {
    shared: Shared,
    durable: Option<Scratch>,
    /// Where the clock stands between cases.
    now_ms: u64,
    dial: DialSpec,
}

impl Stage {
    /// A new one, of a generation, with the clock at `now_ms`.
    ///
    /// # Errors
    /// That there is no place for what it keeps.
    pub(super) fn new(generation: &Generation, now_ms: u64) -> Result<Self, Failure> {
        let shared = Shared::new(&generation.spec.name, STORE_BYTES_MAX, self::now_ms);
        let durable = generation.code.durable.as_ref().map(|_| Scratch::new()).transpose();
        let durable = durable.map_err(|text| Failure::new(Fault::Init, text))?;
        Ok(Self { shared, durable, now_ms, dial: DialSpec::anybody() })
    }

    /// Sets the clock, unless it stays where the case before left it, and has these answer what is asked by HTTP.
    pub(super) fn begin(&mut self, now_ms: Option<u64>, fetch: &[Told]) {
        NOW_MS.set(now_ms.unwrap_or(self.now_ms));
        self.shared.scripted = Some(granted(fetch));
    }

    /// Notes where the clock stands now.
    pub(super) fn end(&mut self) {
        self.now_ms = self::now_ms();
    }

    /// What an instance is made from.
    pub(super) fn recipe<'a>(&'a self, generation: &'a Generation, config: &'a str) -> Result<Recipe<'a>, Failure> {
        let mut recipe = recipe(generation, &self.shared)?;
        recipe.config = config;
        recipe.durable = self.durable.as_ref().map(|scratch| &scratch.store);
        recipe.dial = Some(&self.dial);
        recipe.fetch = self.shared.scripted.as_ref();
        Ok(recipe)
    }
}

/// Wakes the thread that waits.
struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

/// What wakes this thread.
pub(crate) fn waker() -> Waker {
    Waker::from(Arc::new(Unpark(std::thread::current())))
}

/// Polls what waits for a disk and for nobody else, for as long as a case may take.
///
/// # Errors
/// That it took longer.
pub(super) fn waited<T>(future: impl Future<Output = T>) -> Result<T, Failure> {
    let (mut future, until) = (pin!(future), Instant::now() + CASE_TIME_MAX);
    let waker = waker();
    loop {
        if let Poll::Ready(done) = future.as_mut().poll(&mut Context::from_waker(&waker)) {
            return Ok(done);
        }
        let left = until.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(Failure::new(Fault::Deadline, format!("a case may take {} s", CASE_TIME_MAX.as_secs())));
        }
        std::thread::park_timeout(left);
    }
}

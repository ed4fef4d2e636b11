//! Whose turn it is to compute for long.
//!
//! A guest that computes lets others have the thread at each tick of the clock. If all calls of a plugin could go on like that side by side, one that
//! never returns would have as many of them at it as may be open, before the first has met its deadline and counts as a fault: whatever else a thread
//! does would get its turn once in so many ticks. So a call that has met two ticks goes on when it is its turn, one on each processor, first come first
//! served; and what still waits when its plugin is put in quarantine is ended. Calls that are short meet no tick, or one.
//! Invariant: who waits for anything else has no turn, so that nobody waits for one who waits for him.

use std::collections::VecDeque;
use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::thread::available_parallelism;

use futures_channel::oneshot::{Sender, channel};
use parking_lot::Mutex;
use wasmtime::UpdateDeadline;

use crate::bounds::Bounds;
use crate::breaker::Gate;

/// The turns of a plugin.
pub(crate) struct Turns {
    queue: Mutex<Queue>,
    gate: Arc<Gate>,
    now_ms: fn() -> u64,
}

struct Queue {
    free: usize,
    waiting: VecDeque<Sender<Held>>,
}

/// A turn; dropped, it is the next one's.
struct Held(Arc<Turns>);

impl Drop for Held {
    fn drop(&mut self) {
        let next = {
            let mut queue = self.0.queue.lock();
            let next = queue.waiting.pop_front();
            queue.free += usize::from(next.is_none());
            next
        };
        // Who has gone meanwhile gives it back, which passes it on.
        let _ = next.map(|next| next.send(Self(self.0.clone())));
    }
}

impl Turns {
    /// Of a plugin that `gate` shuts, by the host's clock.
    pub(crate) fn new(gate: Arc<Gate>, now_ms: fn() -> u64) -> Arc<Self> {
        let free = available_parallelism().map_or(1, usize::from);
        Arc::new(Self { queue: Mutex::new(Queue { free, waiting: VecDeque::new() }), gate, now_ms })
    }

    fn take(self: &Arc<Self>) -> Result<Held, impl Future<Output = Option<Held>> + Send + use<>> {
        let mut queue = self.queue.lock();
        if queue.free > 0 {
            queue.free -= 1;
            return Ok(Held(self.clone()));
        }
        let (give, get) = channel();
        queue.waiting.retain(|waiting| !waiting.is_canceled());
        queue.waiting.push_back(give);
        Err(async { get.await.ok() })
    }
}

/// What a call has of its plugin's turns.
pub(crate) struct Turn {
    turns: Arc<Turns>,
    /// There from the first tick that was one too many.
    slot: Option<Arc<Slot>>,
    /// Ticks that met the call computing.
    ticks: u32,
}

/// Where its turn is while it has one.
#[derive(Default)]
pub(crate) struct Slot {
    held: Mutex<Option<Held>>,
    /// A tick has stopped it; what else it waits for has not.
    yields: AtomicBool,
}

impl Slot {
    /// Does its work; whenever that waits for anything but a tick, it has no turn.
    pub(crate) async fn during<T>(self: Arc<Self>, work: impl Future<Output = T>) -> T {
        let mut work = pin!(work);
        poll_fn(|context| {
            let polled = work.as_mut().poll(context);
            if !self.yields.swap(false, Relaxed) || polled.is_ready() {
                self.held.lock().take();
            }
            polled
        })
        .await
    }
}

impl Turn {
    /// Of a call that has not computed yet.
    pub(crate) fn of(turns: &Arc<Turns>) -> Self {
        Self { turns: turns.clone(), slot: None, ticks: 0 }
    }

    /// A call begins.
    pub(crate) fn begin(&mut self) {
        self.ticks = 0;
        self.release();
    }

    /// It waits for somebody else from now on, or is over.
    pub(crate) fn release(&mut self) {
        if let Some(slot) = &self.slot {
            slot.held.lock().take();
        }
    }

    /// For [`Slot::during`].
    pub(crate) fn slot(&mut self) -> Arc<Slot> {
        self.slot.get_or_insert_default().clone()
    }

    /// A tick met it computing, and it may let others run: it goes on at the next chance, or when its turn comes; it is ended where its plugin has been put
    /// in quarantine meanwhile.
    pub(crate) fn tick(&mut self, bounds: &mut Bounds) -> UpdateDeadline {
        self.ticks += 1;
        // A single one may meet a call that began a moment ago.
        if self.ticks < 2 {
            return UpdateDeadline::Yield(1);
        }
        let slot = self.slot.get_or_insert_default();
        slot.yields.store(true, Relaxed);
        if slot.held.lock().is_some() {
            return UpdateDeadline::Yield(1);
        }
        if self.turns.gate.ends(self.turns.now_ms) {
            bounds.is_cut = true;
            return UpdateDeadline::Interrupt;
        }
        match self.turns.take() {
            Ok(held) => {
                *slot.held.lock() = Some(held);
                UpdateDeadline::Yield(1)
            }
            Err(waiting) => {
                let (slot, turns) = (slot.clone(), self.turns.clone());
                let waits = async move {
                    let held = waiting.await;
                    // At the next tick it is ended, having none.
                    if !turns.gate.ends(turns.now_ms) {
                        *slot.held.lock() = held;
                    }
                };
                UpdateDeadline::YieldCustom(1, Box::pin(waits))
            }
        }
    }
}

//! What one instance on the component runtime may have: its memory and tables, and its place among those of its plugin.

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::task::{Context, Poll, Waker};

use wasmtime::{PoolConcurrencyLimitError, ResourceLimiter, Trap};

use crate::ambient::Nonsense;
use crate::fetch::GaveUp;
use crate::filter::{Failure, Fault};
use crate::limits::TABLE_ELEMENTS_MAX;
use crate::total::Share;
use crate::trace::backtrace;

/// Bounds memory and tables of an instance, all of them together.
#[derive(Debug, Default)]
pub(crate) struct Bounds {
    memory_max: usize,
    pub(crate) memory: usize,
    elements: usize,
    /// It asked for more.
    refused: bool,
    /// It might have more, but all guests together have too much.
    crowded: bool,
    /// It was ended for its plugin's being in quarantine.
    pub(crate) is_cut: bool,
    share: Share,
}

impl ResourceLimiter for Bounds {
    fn memory_growing(&mut self, current: usize, desired: usize, _most: Option<usize>) -> wasmtime::Result<bool> {
        let more = desired - current.min(desired);
        let memory = self.memory.saturating_add(more);
        if memory <= self.memory_max && !self.share.grow(more) {
            self.crowded = true;
            return Err(wasmtime::Error::msg("all plugins together have as much memory as plugins.memory allows"));
        }
        self.grow(memory <= self.memory_max, |bounds| bounds.memory = memory)
    }

    fn table_growing(&mut self, current: usize, desired: usize, _most: Option<usize>) -> wasmtime::Result<bool> {
        let elements = self.elements.saturating_add(desired - current.min(desired));
        self.grow(elements <= TABLE_ELEMENTS_MAX, |bounds| bounds.elements = elements)
    }
}

impl Bounds {
    /// Of an instance that may have so many bytes of linear memory.
    pub(crate) fn of(memory_max: usize) -> Self {
        Self { memory_max, ..Self::default() }
    }

    fn grow(&mut self, fits: bool, grow: impl FnOnce(&mut Self)) -> wasmtime::Result<bool> {
        if !fits {
            self.refused = true;
            return Err(wasmtime::Error::msg("it asked for more memory than it may have"));
        }
        grow(self);
        Ok(true)
    }
}

/// One of as many things as there may be at a time: instances of a plugin, connections of a listener. Dropped, it is another's.
#[derive(Debug)]
pub struct Place(Arc<AtomicUsize>);

impl Place {
    /// `None` when `most` are taken.
    pub fn take(taken: &Arc<AtomicUsize>, most: usize) -> Option<Self> {
        let took = taken.fetch_update(Relaxed, Relaxed, |taken| (taken < most).then_some(taken + 1));
        took.ok().map(|_| Self(taken.clone()))
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Relaxed);
    }
}

/// Why a call failed, in words, and where the guest was.
pub(crate) fn failure_of(error: &wasmtime::Error, bounds: &Bounds) -> Failure {
    let fault = match error.downcast_ref::<Trap>() {
        _ if error.is::<Nonsense>() => Fault::Nonsense,
        _ if error.is::<GaveUp>() => Fault::GaveUp,
        _ if bounds.refused => Fault::Memory,
        _ if bounds.crowded => Fault::Busy,
        _ if error.is::<PoolConcurrencyLimitError>() => Fault::Busy,
        Some(Trap::Interrupt) if bounds.is_cut => Fault::Quarantined,
        Some(Trap::Interrupt) => Fault::Deadline,
        Some(_) => Fault::Trap,
        // What the canonical ABI refuses: pointers out of bounds, text that is none.
        None => Fault::Nonsense,
    };
    let text = error.root_cause().to_string();
    // Nobody looks for what was none of its doing, and that may be often.
    let trace = if fault.is_its_own() { backtrace(Some(text.clone()), error) } else { Vec::new() };
    Failure { fault, text, trace }
}

/// Runs what never waits.
pub(crate) fn at_once<T>(future: impl Future<Output = wasmtime::Result<T>>) -> wasmtime::Result<T> {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(result) => result,
        Poll::Pending => Err(wasmtime::Error::msg("it waited where it must not")),
    }
}

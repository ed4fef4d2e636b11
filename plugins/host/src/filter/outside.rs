//! What a filter has outside of the request at hand, where it is granted that: what it keeps on disk, and whom it dials.
//!
//! Invariants: what is outside is there at `request` and `origin` and while it ticks, and nowhere else; what a call has noted and not committed, and
//! whom it has dialled, is gone when the call ends; all that one call waits for here has one bound.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::limits::WAIT_MS_MAX;
use crate::durable::kept::Keeper;
use crate::durable::{Draft, Durable};
use crate::runtime::Shared;
use crate::service::time::Time;
use crate::service::{DialSpec, Dialer, Dials, Nowhere, Rate, Wire, Wires};
use crate::within::Within;

/// What a generation is granted of it.
#[derive(Clone, Copy, Default)]
pub(super) struct Granted<'a> {
    pub(super) durable: Option<&'a Arc<Durable>>,
    pub(super) dial: Option<&'a DialSpec>,
    pub(super) wires: Option<&'a Wires>,
    /// Whether a text tells it: then time passes only where that says so.
    pub(super) is_scripted: bool,
}

/// What one instance has of it.
pub(super) struct Outside {
    draft: Option<Draft>,
    dials: Option<Dials>,
    commits: Arc<Rate>,
    wires: Option<Wires>,
    /// What is dialled from, and what wakes who waits too long; of the call at hand once it uses them.
    near: Box<dyn Wire>,
    clock: Box<dyn Wire>,
    is_wired: bool,
    is_scripted: bool,
    /// When the call at hand has waited for long enough.
    until: Option<Instant>,
}

impl Outside {
    pub(super) fn of(granted: Granted<'_>, shared: &Shared) -> Self {
        let Granted { durable, dial, wires, is_scripted } = granted;
        Self {
            draft: durable.cloned().map(Draft::of),
            dials: dial.map(|spec| Dials::new(spec.clone(), shared.dialled.clone())),
            commits: shared.commits.clone(),
            wires: wires.cloned(),
            near: Box::new(Nowhere),
            clock: Box::new(Nowhere),
            is_wired: false,
            is_scripted,
            until: None,
        }
    }

    /// A tick begins, which dials from here.
    pub(super) fn tick_from(&mut self, wire: Box<dyn Wire>) {
        (self.near, self.is_wired) = (wire, true);
    }

    /// A call ends. Whether it has left a connection open.
    pub(super) fn end(&mut self) -> bool {
        if let Some(draft) = &mut self.draft {
            draft.discard();
        }
        let were_open = self.dials.as_mut().is_some_and(Dials::close);
        if self.is_wired {
            (self.near, self.clock, self.is_wired) = (Box::new(Nowhere), Box::new(Nowhere), false);
        }
        self.until = None;
        were_open
    }

    fn wire(&mut self) {
        if !self.is_wired
            && let Some(wires) = &self.wires
        {
            (self.near, self.is_wired) = (wires(), true);
            if !self.is_scripted {
                self.clock = wires();
            }
        }
    }

    /// As it keeps something on disk, in a tick or not.
    pub(super) fn keeper<'a>(
        &'a mut self,
        time: &'a mut Time,
        ticks: bool,
        forbidden: Option<&'static str>,
    ) -> Keeper<'a> {
        self.wire();
        let within =
            Within { until: &mut self.until, most: Duration::from_millis(WAIT_MS_MAX), clock: &mut *self.clock };
        // Whoever has it tick bounds a tick.
        let (within, commits) = if ticks { (None, None) } else { (Some(within), Some(&*self.commits)) };
        Keeper { draft: self.draft.as_mut(), time, commits, within, forbidden }
    }

    /// As it dials, in a tick or not.
    pub(super) fn dialer<'a>(
        &'a mut self,
        time: &'a mut Time,
        ticks: bool,
        forbidden: Option<&'static str>,
    ) -> Dialer<'a> {
        self.wire();
        let within =
            Within { until: &mut self.until, most: Duration::from_millis(WAIT_MS_MAX), clock: &mut *self.clock };
        let within = (!ticks).then_some(within);
        Dialer { dials: self.dials.as_mut(), wire: &mut *self.near, time, within, forbidden }
    }
}

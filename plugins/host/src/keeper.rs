//! An exact policy at work: one instance that decides for one tier, told of what happens there in order.
//!
//! Events that need no answer wait and go with the next that does, or when there are many of them. What is named too early or too
//! late is the caller's to check. Invariant: after a fault the instance is not called again.

use std::sync::Arc;

use crate::component::Interface;
use crate::instance::{Instance, in_words};
use crate::limits::EVENTS_MAX;
use crate::plugin::Plugin;
use crate::status::Counters;
use crate::types::{Event, Fault};

/// The instance.
pub struct Keeper {
    instance: Instance,
    events: Vec<Event>,
    fault: Option<(Fault, String)>,
}

impl std::fmt::Debug for Keeper {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Keeper").field("fault", &self.fault).finish_non_exhaustive()
    }
}

impl Plugin {
    /// Starts an instance that decides for a tier of so many bytes; `None` when it is no exact policy.
    ///
    /// # Errors
    /// One line: why it cannot be started.
    pub fn keeper(&self, bytes: u64) -> Result<Option<Keeper>, String> {
        let generation = self.generation();
        if !generation.code.interfaces.contains(&Interface::Exact) {
            return Ok(None);
        }
        let mut instance = generation.instance(Arc::<Counters>::default())?;
        instance.start(bytes).map_err(|fault| instance.words(fault))?;
        Ok(Some(Keeper { instance, events: Vec::with_capacity(EVENTS_MAX), fault: None }))
    }
}

impl Keeper {
    /// Tells of something that need not be answered at once; what it names all the same goes into `go`.
    pub fn tell(&mut self, event: Event, go: &mut Vec<u32>) {
        self.events.push(event);
        if self.events.len() >= EVENTS_MAX {
            self.step(0, go);
        }
    }

    /// Tells of the last thing that happened, and asks for `need` bytes.
    pub fn ask(&mut self, event: Option<Event>, need: u64, go: &mut Vec<u32>) {
        self.events.extend(event);
        self.step(need, go);
    }

    /// Why it is no longer asked, once it faulted: the kind, and in words.
    pub fn fault(&self) -> Option<(Fault, &str)> {
        self.fault.as_ref().map(|(fault, words)| (*fault, words.as_str()))
    }

    fn step(&mut self, need: u64, go: &mut Vec<u32>) {
        if self.fault.is_none()
            && let Err(fault) = self.instance.step(&self.events, need, go)
        {
            self.fault = Some((fault, in_words(fault, self.instance.trace())));
        }
        self.events.clear();
    }
}

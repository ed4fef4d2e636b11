//! An exact policy at work: one instance that decides for one tier, told of what happens there in order.
//!
//! Events that need no answer wait and go with the next that does, or when there are many of them. What is named too early or too
//! late is the caller's to check. Its calls, fuel and faults are the plugin's, whose breaker judges them. Invariant: after a fault the
//! instance is not called again.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Instant;

use crate::component::Interface;
use crate::instance::{Instance, in_words};
use crate::limits::{EVENTS_MAX, FUEL_STEP};
use crate::plugin::{Plugin, TIMED_EVERY};
use crate::types::{Event, Fault};

/// The instance.
pub struct Keeper {
    plugin: Arc<Plugin>,
    /// Whose instance it is.
    generation: u64,
    instance: Instance,
    events: Vec<Event>,
    fault: Option<(Fault, String)>,
    steps: u64,
}

impl std::fmt::Debug for Keeper {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Keeper").field("plugin", &self.plugin).field("fault", &self.fault).finish_non_exhaustive()
    }
}

impl Plugin {
    /// Starts an instance that decides for a tier of so many bytes; `None` when it is no exact policy.
    ///
    /// # Errors
    /// One line: why it cannot be started, which is a fault.
    pub fn keeper(self: &Arc<Self>, bytes: u64) -> Result<Option<Keeper>, String> {
        let generation = self.generation();
        if !generation.code.interfaces.contains(&Interface::Exact) {
            return Ok(None);
        }
        let started = generation.instance(self.figures.counters.clone()).and_then(|mut instance| {
            let started = instance.start(bytes).map_err(|fault| instance.words(fault));
            started.map(|()| instance)
        });
        let instance = started.inspect_err(|problem| {
            let fault = self.figures.refused(problem.clone());
            self.failed(fault, generation.number);
        })?;
        let (plugin, events) = (self.clone(), Vec::with_capacity(EVENTS_MAX));
        Ok(Some(Keeper { plugin, generation: generation.number, instance, events, fault: None, steps: 0 }))
    }
}

impl Keeper {
    /// The plugin's generation that it is of.
    pub fn generation(&self) -> u64 {
        self.generation
    }

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

    /// Whether nothing waits to be told.
    pub fn is_up_to_date(&self) -> bool {
        self.events.is_empty()
    }

    /// It named what is not there: a fault.
    pub fn lied(&mut self) {
        if self.fault.is_none() {
            self.failed(Fault::Nonsense);
        }
    }

    /// Why it is no longer asked, once it faulted: the kind, and in words.
    pub fn fault(&self) -> Option<(Fault, &str)> {
        self.fault.as_ref().map(|(fault, words)| (*fault, words.as_str()))
    }

    fn step(&mut self, need: u64, go: &mut Vec<u32>) {
        if self.fault.is_none() {
            let figures = &self.plugin.figures;
            figures.calls.fetch_add(1, Relaxed);
            self.steps += 1;
            let started = self.steps.is_multiple_of(TIMED_EVERY).then(Instant::now);
            let outcome = self.instance.step(&self.events, need, go);
            figures.fuel.fetch_add(FUEL_STEP.saturating_sub(self.instance.fuel_left()), Relaxed);
            if let Some(started) = started {
                figures.timed.fetch_add(1, Relaxed);
                figures.timed_ns.fetch_add(started.elapsed().as_nanos() as u64, Relaxed);
                figures.memory_bytes.fetch_max(self.instance.memory_bytes() as u64, Relaxed);
            }
            if let Err(fault) = outcome {
                self.failed(fault);
            }
        }
        self.events.clear();
    }

    #[cold]
    fn failed(&mut self, fault: Fault) {
        self.plugin.figures.faulted(fault, self.instance.trace());
        self.plugin.failed(fault, self.generation);
        self.fault = Some((fault, in_words(fault, self.instance.trace())));
    }
}

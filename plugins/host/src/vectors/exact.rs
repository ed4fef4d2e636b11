//! Cases of exact policies of the cache: what happens in a tier, in order, and who is to go.
//!
//! A case is told one event at a time, and then once more as a node tells it: what needs no answer goes with the next that does. Both times the
//! same have to go. Invariant: who is named is there and is named once, as in a tier.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde::Deserialize;

use crate::component::Interface;
use crate::instance::Instance;
use crate::limits::{EVENTS_MAX, FUEL_STEP, GONE_MAX};
use crate::plugin::Generation;
use crate::types::{Event, What};

/// Steps of a case: what is told again goes in one call.
const STEPS_MAX: usize = EVENTS_MAX;

/// A tier, and what happens in it.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Tier {
    bytes: u64,
    steps: Vec<Step>,
}

/// Something that happens, or room that is needed.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Step {
    used: Option<u32>,
    arrives: Option<Arrives>,
    gone: Option<u32>,
    now_ms: u64,
    /// Bytes that are asked for.
    need: u64,
    /// Who is to go, in this order.
    go: Option<Vec<u32>>,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Arrives {
    handle: u32,
    /// As the handle, where it is not said.
    key: Option<u64>,
    bytes: u64,
    fetch_us: u32,
    /// Its title, with `rung` and `segment`, where it is part of one.
    title: Option<u32>,
    rung: u16,
    segment: u32,
}

impl Step {
    fn event(&self) -> Option<Event> {
        let of = |what, handle| Event { what, handle, key: 0, bytes: 0, now_ms: self.now_ms, fetch_us: 0, title: None };
        let arrival = |Arrives { handle, key, bytes, fetch_us, title, rung, segment }: Arrives| Event {
            key: key.unwrap_or(handle.into()),
            bytes,
            fetch_us,
            title: title.map(|title| (title, rung, segment)),
            ..of(What::Arrives, handle)
        };
        let used = || self.used.map(|handle| of(What::Used, handle));
        let gone = || self.gone.map(|handle| of(What::Gone, handle));
        self.arrives.map(arrival).or_else(used).or_else(gone)
    }

    fn check(&self) -> Result<(), &'static str> {
        let events = [self.used.is_some(), self.arrives.is_some(), self.gone.is_some()];
        match events.into_iter().filter(|there| *there).count() {
            0 if self.need == 0 => Err("nothing happens: write used, arrives, gone or need"),
            0 | 1 => match self.event().is_some_and(|event| event.handle as usize >= GONE_MAX) {
                true => Err("handles of vectors are below 1048576: a tier begins with small ones"),
                false => Ok(()),
            },
            _ => Err("one of used, arrives and gone: write a step for each"),
        }
    }
}

/// Who is there.
#[derive(Default)]
struct There(BTreeSet<u32>);

impl There {
    /// # Errors
    /// That the text tells of something that cannot happen.
    fn happens(&mut self, event: &Event) -> Result<(), String> {
        let handle = event.handle;
        let is_there = match event.what {
            What::Arrives => self.0.insert(handle),
            What::Gone => self.0.remove(&handle),
            What::Used => self.0.contains(&handle),
        };
        match (is_there, event.what) {
            (true, _) => Ok(()),
            (false, What::Arrives) => Err(format!("{handle} arrives and is there: give it another handle")),
            (false, _) => Err(format!("{handle} is not there: it never came, or has gone")),
        }
    }

    /// # Errors
    /// Who is named and is not there.
    fn go(&mut self, named: &[u32]) -> Result<(), String> {
        match named.iter().find(|handle| !self.0.remove(handle)) {
            Some(handle) => Err(format!("it names {handle}, which is not there")),
            None => Ok(()),
        }
    }
}

impl Tier {
    /// # Errors
    /// Which step cannot be, and what to write instead.
    pub(crate) fn check(&self) -> Result<(), String> {
        if self.steps.is_empty() || self.steps.len() > STEPS_MAX {
            return Err(format!("exact has {} steps: 1 to {STEPS_MAX}", self.steps.len()));
        }
        let told = |(number, step): (usize, &Step)| step.check().map_err(|why| format!("step {}: {why}", number + 1));
        self.steps.iter().enumerate().try_for_each(told)
    }

    /// A new instance that decides for it.
    fn started(&self, generation: &Generation, config: &str) -> Result<Instance, String> {
        if !generation.code.interfaces.contains(&Interface::Exact) {
            return Err(format!("it does not export {}", Interface::Exact.as_str()));
        }
        let mut instance = generation.started(config, Arc::default())?;
        instance.start(self.bytes).map_err(|fault| instance.words(fault))?;
        Ok(instance)
    }

    /// All that go, in order, with the fuel of the dearest step and the memory afterwards.
    ///
    /// # Errors
    /// The step, what was expected and what came.
    pub(crate) fn play(&self, generation: &Generation, config: &str) -> Result<(Vec<u32>, u64, usize), String> {
        let mut instance = self.started(generation, config)?;
        let (mut there, mut all, mut fuel) = (There::default(), Vec::new(), 0);
        for (number, step) in self.steps.iter().enumerate() {
            let told = |what: String| format!("step {}: {what}", number + 1);
            let (event, mut go) = (step.event(), Vec::new());
            event.iter().try_for_each(|event| there.happens(event)).map_err(told)?;
            let stepped = instance.step(event.as_slice(), step.need, &mut go);
            fuel = fuel.max(FUEL_STEP.saturating_sub(instance.fuel_left()));
            stepped.map_err(|fault| told(instance.words(fault)))?;
            there.go(&go).map_err(told)?;
            match &step.go {
                Some(expected) if *expected != go => return Err(told(format!("expected go {expected:?}, got {go:?}"))),
                _ => all.extend(go),
            }
        }
        let together = self.together(generation, config)?;
        match together == all {
            true => Ok((all, fuel, instance.memory_bytes())),
            false => Err(format!("told as a node tells it, {together:?} go, and one event at a time {all:?}")),
        }
    }

    /// All that go when what needs no answer waits for the next that does.
    fn together(&self, generation: &Generation, config: &str) -> Result<Vec<u32>, String> {
        let mut instance = self.started(generation, config)?;
        let (mut waiting, mut go) = (Vec::new(), Vec::new());
        let mut tell = |events: &mut Vec<Event>, need| {
            let stepped = instance.step(events, need, &mut go);
            events.clear();
            stepped.map_err(|fault| format!("told as a node tells it, {}", instance.words(fault)))
        };
        for step in &self.steps {
            // Bytes are for an arrival where that is the last event, and here they are for nobody.
            if step.event().is_none() && waiting.last().is_some_and(|last: &Event| last.what == What::Arrives) {
                tell(&mut waiting, 0)?;
            }
            waiting.extend(step.event());
            if step.need > 0 {
                tell(&mut waiting, step.need)?;
            }
        }
        tell(&mut waiting, 0)?;
        Ok(go)
    }

    /// How long so many steps take, begun anew as often as it has to be; starts are not counted.
    ///
    /// # Errors
    /// How the policy failed.
    pub(crate) fn timed(&self, generation: &Generation, config: &str, steps: u32) -> Result<Duration, String> {
        let (mut took, mut left, mut go) = (Duration::ZERO, steps as usize, Vec::new());
        while left > 0 {
            let mut instance = self.started(generation, config)?;
            let started = Instant::now();
            for step in self.steps.iter().take(left) {
                go.clear();
                let stepped = instance.step(step.event().as_slice(), step.need, &mut go);
                stepped.map_err(|fault| instance.words(fault))?;
            }
            took += started.elapsed();
            left = left.saturating_sub(self.steps.len());
        }
        Ok(took)
    }
}

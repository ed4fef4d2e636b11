//! What the operator says of roll-outs, and what is told of them.

use std::sync::Arc;

use littoral_plugin_host::filter::Filter;
use littoral_plugin_host::{GenerationStatus, Plugin, Rollout, RolloutState, Share, Told};

use super::Plugins;
use crate::observe::metrics::Sample;

/// A plugin that may have a candidate.
enum Named {
    Policy(Arc<Plugin>),
    Filter(Arc<Filter>),
}

/// What an operator wants of a roll-out.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Wanted {
    /// That the candidate has this share; it is loaded if none is tried now.
    Share(Share),
    /// That the candidate takes over.
    Promotion,
    /// That it ends.
    End,
}

impl Plugins {
    /// Does what the operator wants of a plugin's roll-out; the number of the candidate, or of what runs now.
    ///
    /// # Errors
    /// One line: why nothing has changed.
    pub fn roll_out(&self, name: &str, wanted: Wanted) -> Result<u64, String> {
        let told = match (self.named(name)?, wanted) {
            (Named::Policy(plugin), Wanted::Share(share)) => plugin.roll_out(share),
            (Named::Policy(plugin), Wanted::Promotion) => plugin.promote(),
            (Named::Policy(plugin), Wanted::End) => plugin.abort(),
            (Named::Filter(filter), Wanted::Share(share)) => filter.roll_out(share),
            (Named::Filter(filter), Wanted::Promotion) => filter.promote(),
            (Named::Filter(filter), Wanted::End) => filter.abort(),
        };
        told.map_err(|problem| format!("plugin {name:?}: {problem}"))
    }

    fn named(&self, name: &str) -> Result<Named, String> {
        if let Some(plugin) = self.loaded.read().iter().find(|plugin| plugin.name() == name) {
            return Ok(Named::Policy(plugin.clone()));
        }
        if let Some(filter) = self.filters.all().into_iter().find(|filter| filter.name() == name) {
            return Ok(Named::Filter(filter));
        }
        if let Some(problem) = self.absent.problem(name) {
            return Err(format!("plugin {name:?} is not loaded: {problem}"));
        }
        match self.services.named(name) {
            Some(_) => Err(format!("plugin {name:?} is a service: only policies and filters are rolled out by shares")),
            None => Err(format!("no plugin is called {name:?}")),
        }
    }
}

/// What is told of a plugin's roll-out, the one under way or else the last one.
pub(crate) fn samples(name: &str, label: &(&'static str, String), rollout: Option<&Rollout>) -> Vec<Sample> {
    let Some(rollout) = rollout else { return Vec::new() };
    let one = |value: f64| vec![(value, vec![label.clone()])];
    let sides = |count: fn(&Told) -> u64| {
        let of = |(side, told): (&str, &Told)| (count(told) as f64, vec![label.clone(), ("side", side.to_owned())]);
        [("present", &rollout.present), ("candidate", &rollout.candidate)].into_iter().map(of).collect()
    };
    match name {
        "littoral_plugin_rollout_percent" => match rollout.state {
            RolloutState::Running => one(rollout.percent.percent()),
            _ => one(0.0),
        },
        "littoral_plugin_rollout_generation" => one(rollout.generation as f64),
        "littoral_plugin_rollout_calls_total" => sides(|told| told.calls),
        "littoral_plugin_rollout_faults_total" => sides(|told| told.faults),
        _ => Vec::new(),
    }
}

/// What is told of the generations of a plugin that are asked now.
pub(crate) fn generations(name: &str, label: &(&'static str, String), told: &[GenerationStatus]) -> Vec<Sample> {
    let count: fn(&GenerationStatus) -> u64 = match name {
        "littoral_plugin_generation_calls_total" => |one| one.calls,
        "littoral_plugin_generation_faults_total" => |one| one.faults,
        _ => return Vec::new(),
    };
    let of =
        |one: &GenerationStatus| (count(one) as f64, vec![label.clone(), ("generation", one.generation.to_string())]);
    told.iter().map(of).collect()
}

//! Which policy decides in a replay: by name one of the native ones, else a plugin.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use littoral_cache::replay::{Exactly, Sampled, Tally, Tier};
use littoral_cache::{Eviction, LfuSize};
use littoral_evict::{Exact, Littoral, Metric, NAMES, named};
use littoral_plugin_host::Plugin;

use crate::plugins::Kept;

/// What says how a policy is made.
pub(super) struct Options<'a> {
    /// Where plugins are by name.
    pub(super) plugins: Option<&'a Path>,
    /// Config of a plugin.
    pub(super) config: &'a str,
    /// For ours.
    pub(super) metric: Metric,
}

/// What ours makes large, as an argument.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum MetricArg {
    /// The share of requests that are hits.
    Objects,
    /// The share of bytes that are.
    Bytes,
    /// Both, half way between.
    Both,
}

impl From<MetricArg> for Metric {
    fn from(metric: MetricArg) -> Self {
        match metric {
            MetricArg::Objects => Self::Objects,
            MetricArg::Bytes => Self::Bytes,
            MetricArg::Both => Self::Both,
        }
    }
}

/// A policy that has been found.
pub(super) struct Choice {
    /// As it was named.
    pub(super) name: String,
    kind: Kind,
}

enum Kind {
    Native,
    Exact(Metric),
    Guest(Box<dyn Eviction>, Arc<Plugin>),
}

/// A pass over a trace with the tier it is given.
type Pass<'a> = Box<dyn FnOnce(&mut dyn Tier) -> Result<Duration, String> + 'a>;

/// Finds a policy by its name.
///
/// # Errors
/// What it is instead, and what there is.
pub(super) fn find(name: &str, options: &Options<'_>) -> Result<Choice, String> {
    let kind = match name {
        "native" => Kind::Native,
        name if NAMES.contains(&name) => Kind::Exact(options.metric),
        name => {
            let file = file(name, options)?;
            let (policy, plugin) = crate::plugins::eviction_policy(&file, options.config)?;
            Kind::Guest(policy, plugin)
        }
    };
    Ok(Choice { name: name.to_owned(), kind })
}

fn file(name: &str, options: &Options<'_>) -> Result<PathBuf, String> {
    let named = options.plugins.map(|plugins| plugins.join(format!("{name}.wasm")));
    [Some(PathBuf::from(name)), named].into_iter().flatten().find(|path| path.is_file()).ok_or_else(|| {
        let there = NAMES.join(", ");
        format!("no policy is called {name:?}: there are native, {there}, files, and plugins in --plugins by name")
    })
}

impl Choice {
    /// Replays with a fresh tier: how long it took, what came of it, and how many answers of a plugin were faults.
    pub(super) fn replay(
        &self,
        capacity: u64,
        pass: impl FnOnce(&mut dyn Tier) -> Result<Duration, String>,
    ) -> Result<(Duration, Tally, u64), String> {
        let sampled = |policy: &dyn Eviction, pass: Pass<'_>| {
            let mut tier = Sampled::new(policy, capacity);
            pass(&mut tier).map(|took| (took, tier.tally()))
        };
        match &self.kind {
            Kind::Native => sampled(&LfuSize, Box::new(pass)).map(|(took, tally)| (took, tally, 0)),
            Kind::Guest(policy, plugin) => {
                if let Some(keeper) = plugin.keeper(capacity)? {
                    let mut tier = Exactly::new(Kept::at_once(keeper), capacity);
                    let took = pass(&mut tier)?;
                    return match tier.policy().keeper().fault() {
                        Some((_, words)) => Err(format!("{}: {words}", self.name)),
                        None => Ok((took, tier.tally(), 0)),
                    };
                }
                let before = faults(plugin);
                let (took, tally) = sampled(policy.as_ref(), Box::new(pass))?;
                Ok((took, tally, faults(plugin) - before))
            }
            Kind::Exact(metric) => {
                let policy = match self.name.as_str() {
                    "littoral" => Some(Box::new(Littoral::new(capacity, *metric)) as Box<dyn Exact + Send>),
                    name => named(name, capacity),
                };
                let policy = policy.ok_or_else(|| format!("no policy is called {:?}", self.name))?;
                let mut tier = Exactly::new(policy, capacity);
                let took = pass(&mut tier)?;
                Ok((took, tier.tally(), 0))
            }
        }
    }
}

fn faults(plugin: &Plugin) -> u64 {
    plugin.status().faults.values().sum()
}

//! What plugins cost: each figure that has a mark, with its spread over rounds and whether the mark is met; and what a call of each
//! shipped filter costs.
//!
//! [`calls`] and [`filters`] time calls in this process, by the very way a node's call takes, and [`reloads`] those of what is loaded again
//! meanwhile; [`nodes`] loads nodes with and without plugins; [`idle`] starts one with a hundred; [`sentences`] has a service beside a native
//! server; [`envoy`] has Envoy beside it, as far as that can be had; [`soak`] loads nodes whose guests misbehave. Invariant: a ratio compares
//! two nodes within one round.

mod calls;
mod envoy;
mod filters;
mod idle;
mod nodes;
mod reloads;
pub mod sentences;
pub mod soak;
mod subjects;

use std::fmt::Write as _;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use clap::{Args, ValueEnum};

use crate::compare::{Built, memory_backed_directory, prepare};
use crate::machine::{self, Machine};
use crate::report::Spread;
use envoy::Envoy;

/// What `littoral-bench plugins` takes.
#[derive(Args, Clone, Debug)]
pub struct Options {
    /// What is measured
    #[command(flatten)]
    pub built: Built,
    /// Parts to measure; all when none is named
    #[arg(long = "part", value_delimiter = ',')]
    pub parts: Vec<Part>,
    /// Rounds; a figure is given with its spread over them
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=100))]
    pub rounds: u32,
    /// Seconds of load per node and object in a round
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u64).range(1..=600))]
    pub seconds: u64,
    /// Plugins of the node that is idle
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=400))]
    pub idle: u32,
    /// What is compared with
    #[command(flatten)]
    pub envoy: Envoy,
    /// Where the tables go
    #[arg(long, default_value = "bench/results")]
    pub out: PathBuf,
}

/// A part of the measurements.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Part {
    /// Calls of policies, and of a filter
    Calls,
    /// A call of each shipped filter
    Filters,
    /// Calls while plugins are loaded again
    Reloads,
    /// CPU time of a hit in a node with plugins
    Hits,
    /// Memory and time to start of a node with many plugins
    Idle,
    /// Messages of a service beside those of a native server
    Sentences,
    /// What a header filter adds in Envoy
    Envoy,
}

/// What a figure counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Unit {
    Nanos,
    Micros,
    Millis,
    Times,
    MiB,
}

/// One figure.
#[derive(Clone, Debug)]
struct Figure {
    what: String,
    unit: Unit,
    /// Most that it may be; `None`: it is told and has no mark.
    mark: Option<f64>,
    spread: Spread,
}

impl Figure {
    fn new(what: impl Into<String>, unit: Unit, mark: Option<f64>, values: Vec<f64>) -> Result<Self> {
        let what = what.into();
        let spread = Spread::of(values).with_context(|| format!("{what} was not measured"))?;
        Ok(Self { what, unit, mark, spread })
    }

    fn row(&self) -> String {
        let Self { what, unit, mark, spread } = self;
        let met = mark.map_or("", |mark| if spread.median <= mark { "met" } else { "missed" });
        let mark = mark.map_or_else(String::new, |mark| format!("≤ {}", unit.write(mark)));
        let Spread { min, median, max } = spread;
        format!("| {what} | {mark} | {} | {}–{} | {met} |\n", unit.write(*median), unit.digits(*min), unit.digits(*max))
    }
}

impl Unit {
    fn digits(self, value: f64) -> String {
        match self {
            Self::Nanos | Self::Millis => format!("{value:.0}"),
            Self::Micros | Self::Times | Self::MiB => format!("{value:.2}"),
        }
    }

    fn write(self, value: f64) -> String {
        let name = match self {
            Self::Nanos => "ns",
            Self::Micros => "µs",
            Self::Millis => "ms",
            Self::Times => "×",
            Self::MiB => "MiB",
        };
        format!("{} {name}", self.digits(value))
    }
}

impl Options {
    fn wants(&self, part: Part) -> bool {
        self.parts.is_empty() || self.parts.contains(&part)
    }

    fn time(&self) -> Duration {
        Duration::from_secs(self.seconds)
    }
}

/// Measures, prints the tables, and writes `LATEST-PLUGINS.md`.
///
/// # Errors
/// When a plugin is not built, a node does not start, or a call does not do what it should.
pub fn run(options: &Options) -> Result<()> {
    machine::raise_descriptors();
    let machine = Machine::describe()?;
    ensure!(
        options.built.plugins.is_dir(),
        "{} is missing; build it with make plugins",
        options.built.plugins.display()
    );
    let mut marked = Vec::new();
    if options.wants(Part::Calls) {
        marked.extend(calls::policies(&options.built.plugins, options.rounds)?);
        marked.extend(filters::marked(&options.built.plugins, options.rounds)?);
    }
    if options.wants(Part::Reloads) {
        marked.extend(reloads::measured(&options.built.plugins, options.rounds)?);
    }
    if [Part::Reloads, Part::Hits, Part::Idle].into_iter().any(|part| options.wants(part)) {
        let work = memory_backed_directory()?;
        let (_origin, place) = prepare(&options.built, work.path())?;
        if options.wants(Part::Reloads) {
            marked.extend(reloads::in_a_node(&place, work.path(), options.rounds, options.seconds)?);
        }
        if options.wants(Part::Hits) {
            marked.extend(nodes::hits(&place, options.rounds, options.time())?);
        }
        if options.wants(Part::Idle) {
            marked.extend(idle::many(&place, options.idle, options.rounds)?);
        }
    }
    if options.wants(Part::Sentences) {
        let work = memory_backed_directory()?;
        let Built { littoral, plugins } = &options.built;
        marked.extend(sentences::measured(littoral, plugins, work.path(), options.rounds, options.time())?);
    }
    if options.wants(Part::Envoy) {
        let work = memory_backed_directory()?;
        marked.extend(envoy::answers(&options.envoy, work.path(), options.rounds, options.time())?);
    }
    let shipped = if options.wants(Part::Filters) {
        filters::shipped(&options.built.plugins, options.rounds)?
    } else {
        Vec::new()
    };
    let told = tables(&machine, options.rounds, &marked, &shipped);
    println!("{told}");
    std::fs::create_dir_all(&options.out)?;
    let path = options.out.join("LATEST-PLUGINS.md");
    std::fs::write(&path, told).with_context(|| format!("cannot write {}", path.display()))
}

fn tables(machine: &Machine, rounds: u32, marked: &[Figure], shipped: &[Figure]) -> String {
    let Machine { date, commit, cpu, cores, load_before, .. } = machine;
    let mut out = format!(
        "What plugins cost, measured {date} at {commit}, {cpu} ({cores} cores), load average {load_before} before; medians of {rounds} rounds.\n"
    );
    for (title, figures) in [("what", marked), ("a call of a shipped filter", shipped)] {
        if !figures.is_empty() {
            let _ = write!(out, "\n| {title} | mark | measured | min–max | |\n|---|---|---|---|---|\n");
            figures.iter().for_each(|figure| out += &figure.row());
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_says_what_was_measured_and_whether_that_meets_the_mark() {
        let row = |mark| Figure::new("a call", Unit::Micros, mark, vec![2.0, 1.0, 4.0]).expect("values").row();
        assert_eq!(row(Some(2.0)), "| a call | ≤ 2.00 µs | 2.00 µs | 1.00–4.00 | met |\n");
        assert_eq!(row(Some(1.9)), "| a call | ≤ 1.90 µs | 2.00 µs | 1.00–4.00 | missed |\n");
        assert_eq!(row(None), "| a call |  | 2.00 µs | 1.00–4.00 |  |\n");
        assert!(Figure::new("a call", Unit::Times, None, Vec::new()).is_err());
    }
}

//! Which cluster clients get, in a generated world, beside the best there is: `littoral-bench select`.
//!
//! The decisions are those of the node's own director and policies ([`simulate`], [`seat`], [`guest`]), not of a copy; `world` is what they
//! are made in, `optimum` the linear program, `outcome` what is said of it. All of it follows from seeds: no clock, no entropy.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, Result, ensure};
use clap::Args;
use littoral_geo::{NativeGeo, Routing};
use route_hash::RouteHash;
use route_load::RouteLoad;
use route_rtt::RouteRtt;

use guest::Guest;
use outcome::{Outcome, SHARE};
use seat::{Native, Reads};
use simulate::{Event, Simulation};
use world::{Size, World};

pub mod guest;
pub mod optimum;
pub mod outcome;
pub mod seat;
pub mod simulate;
pub mod world;

/// What `littoral-bench select` takes.
#[derive(Args, Clone, Debug)]
pub struct Options {
    /// Seeds of the worlds. The rule of prices was made on 1 to 5; 101 and on had no part in it
    #[arg(long = "seed", value_delimiter = ',', default_values_t = [101, 102, 103, 104, 105])]
    pub seeds: Vec<u64>,
    /// Blocks of clients
    #[arg(long, default_value_t = 6000, value_parser = clap::value_parser!(u32).range(10..=16_384))]
    pub blocks: u32,
    /// Clusters
    #[arg(long, default_value_t = 24, value_parser = clap::value_parser!(u32).range(2..=64))]
    pub clusters: u32,
    /// Exponent of the blocks' demand
    #[arg(long, default_value_t = 0.6)]
    pub zipf: f64,
    /// What clusters can do, as a multiple of the demand
    #[arg(long, default_value_t = 1.4)]
    pub capacity: f64,
    /// Policies; all when none is named
    #[arg(long = "policy", value_delimiter = ',')]
    pub policies: Vec<String>,
    /// Ask the guests in this directory in place of their code compiled natively
    #[arg(long, value_name = "DIRECTORY")]
    pub plugins: Option<PathBuf>,
    /// Print every figure as JSON
    #[arg(long)]
    pub json: bool,
}

/// The policies: what each is called, and its config.
const POLICIES: [(&str, &str); 5] =
    [("geo-only", "{}"), ("geo+load", "{}"), ("route-hash", "{}"), ("route-rtt", "{}"), ("route-load", "{}")];
/// What happens, one after the other, and for how many seconds.
pub const EVENTS: [(Event, u64); 4] =
    [(Event::Steady, 900), (Event::Crowd, 600), (Event::Steady, 600), (Event::Loss, 600)];
/// The last seconds of each are its state of rest.
pub const REST_S: usize = 300;

/// A policy in its seat, and whether clusters tell it loads.
fn seat(name: &str, config: &str, plugins: Option<&Path>) -> Result<(Arc<dyn Routing>, bool)> {
    if let Some(plugins) = plugins {
        let (file, tells) = if name.starts_with("geo") { ("route-geo", name != "geo-only") } else { (name, true) };
        return Ok((Arc::new(Guest::new(&plugins.join(format!("{file}.wasm")), config)?), tells));
    }
    let reads = |rtts: bool, prices: bool| Reads { rtts, prices };
    let routing: Arc<dyn Routing> = match name {
        "geo-only" | "geo+load" => Arc::new(NativeGeo::default()),
        "route-hash" => Arc::new(Native::<RouteHash>::new(config, reads(false, false))?),
        "route-rtt" => Arc::new(Native::<RouteRtt>::new(config, reads(true, false))?),
        _ => Arc::new(Native::<RouteLoad>::new(config, reads(true, true))?),
    };
    Ok((routing, name != "geo-only"))
}

/// What is demanded, and what clusters can do.
type Problem = (Vec<f64>, Vec<f64>);

/// All policies in the world of a seed.
///
/// # Errors
/// When a plugin is not there, or a world has no optimum: its clusters cannot do what is demanded.
pub fn outcomes(options: &Options, seed: u64) -> Result<Vec<Outcome>> {
    let Options { zipf, capacity, .. } = *options;
    let size = Size { blocks: options.blocks as usize, clusters: options.clusters as usize, zipf, capacity };
    let world = World::new(seed, size);
    // The best there is does not depend on the policy, but for which cluster is the busiest and lost.
    let mut known: Vec<(Problem, [f64; 2])> = Vec::new();
    let mut outcomes = Vec::new();
    for (name, config) in POLICIES.iter().filter(|(name, _)| options.wants(name)) {
        let (routing, tells) = seat(name, config, options.plugins.as_deref())?;
        let mut simulation = Simulation::new(&world, routing, tells, seed)?;
        for (at, (event, seconds)) in EVENTS.into_iter().enumerate() {
            let seen = simulation.run(event, seconds)?;
            // What follows a crowd brings the demand back, and is there for that alone.
            if at == 2 {
                continue;
            }
            let problem = (seen.demand.clone(), seen.capacity.clone());
            let best = match known.iter().find(|(of, _)| *of == problem) {
                Some((_, best)) => *best,
                None => {
                    let of = |share| optimum::mean_ms(&world.rtt_ms, &seen.demand, &seen.capacity, share);
                    let best = [of(SHARE)?, of(1.0)?];
                    known.push((problem, best));
                    best
                }
            };
            outcomes.push(Outcome::of(name, seed, &seen, best[0], best[1], REST_S));
        }
    }
    Ok(outcomes)
}

impl Options {
    fn wants(&self, policy: &str) -> bool {
        self.policies.is_empty() || self.policies.iter().any(|wanted| wanted == policy)
    }
}

/// Simulates and prints.
///
/// # Errors
/// As [`outcomes`], and when a policy is named that there is not.
pub fn run(options: &Options) -> Result<()> {
    let names = POLICIES.map(|(name, _)| name);
    let unknown = options.policies.iter().find(|wanted| !names.contains(&wanted.as_str()));
    ensure!(unknown.is_none(), "no policy {:?}: there are {}", unknown.map_or("", |name| name), names.join(", "));
    let mut all = Vec::new();
    for seed in &options.seeds {
        all.extend(outcomes(options, *seed).with_context(|| format!("the world of seed {seed}"))?);
    }
    match options.json {
        true => println!("{}", serde_json::to_string_pretty(&all)?),
        false => print!("{}", table(options, &all)),
    }
    Ok(())
}

/// Medians over the seeds, with the worst.
fn table(options: &Options, all: &[Outcome]) -> String {
    let Options { seeds, blocks, clusters, zipf, capacity, plugins, .. } = options;
    let by = if plugins.is_some() { "guests" } else { "their code, natively" };
    let mut out = format!(
        "{blocks} blocks (Zipf {zipf}), {clusters} clusters of {capacity} × the demand, seeds {seeds:?}; policies: {by}. Medians over the \
         seeds, in brackets the worst.\n\n\
         | event | policy | mean, ms | p95, ms | beyond the optimum | beyond it at full capacity | overload | busiest | moves per TTL | at rest, TTLs | shortest TTL | marks met |\n\
         |---|---|---|---|---|---|---|---|---|---|---|---|\n"
    );
    for event in [Event::Steady, Event::Crowd, Event::Loss].map(Event::as_str) {
        for (policy, _) in POLICIES {
            let of: Vec<&Outcome> = all.iter().filter(|one| one.event == event && one.policy == policy).collect();
            if of.is_empty() {
                continue;
            }
            let met = of.iter().filter(|one| one.meets()).count();
            let spread = |value: &dyn Fn(&Outcome) -> f64| {
                let mut values: Vec<f64> = of.iter().map(|one| value(one)).collect();
                values.sort_by(f64::total_cmp);
                (values[values.len() / 2], values[values.len() - 1])
            };
            let both = |value: &dyn Fn(&Outcome) -> f64, digits: usize| {
                let (median, worst) = spread(value);
                let tell = |value: f64| if value.is_finite() { format!("{value:.digits$}") } else { "never".into() };
                format!("{} ({})", tell(median), tell(worst))
            };
            let _ = writeln!(
                out,
                "| {event} | {policy} | {} | {} | {} % | {} % | {} % | {} % | {} % | {} | {:.0} s | {met} of {} |",
                both(&|one| one.mean_ms, 1),
                both(&|one| one.p95_ms, 0),
                both(&|one| 100.0 * one.gap(), 1),
                both(&|one| 100.0 * (one.mean_ms / one.brim_ms - 1.0), 1),
                both(&|one| 100.0 * one.over, 2),
                both(&|one| 100.0 * one.peak, 0),
                both(&|one| 100.0 * one.moves, 1),
                both(&|one| one.ttls.unwrap_or(f64::INFINITY), 1),
                spread(&|one| one.shortest_ttl_s).0,
                of.len(),
            );
        }
    }
    out
}

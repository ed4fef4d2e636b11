//! Guests that misbehave, under load: no request may fail, and the 99th percentile stays within a tenth of the node's without them.
//!
//! Each guest has a node of its own beside one without plugins; both are loaded in turn, at one fixed rate, with hits, misses and
//! evictions. The percentile is that of all rounds together: of one round it is a matter of what else the machine does. Clients of a service or swarm that misbehaves come while either is loaded: what they have it compute takes the core from both, so that
//! what is compared is what else it does to its node. How long a guest that never returns holds a core is timed in this process. Invariant: it
//! ends well only if every answer was whole, the percentiles and the bounds on time held.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Instant;

use anyhow::{Context, Result, anyhow, ensure};
use clap::Args;
use littoral_plugin_host::filter::{Fault, Filter, FilterHost, FilterSpec, Point};
use littoral_plugin_host::{Flow, Host, HostSettings, Plugin, PluginSpec};

mod cases;
mod clients;

use cases::Case;
use clients::Clients;

use super::filters::call;
use super::subjects::fresh;
use crate::compare::{Built, memory_backed_directory, prepare};
use crate::engine::{Guests, Running, start_littoral};
use crate::fetch;
use crate::load::open;
use crate::machine;
use crate::origin::Object;
use crate::report::Spread;
use crate::workload::{self, Scripts};

/// Room of a cache, in MiB, and what is asked for: four times as much.
const CACHE_MIB: u64 = 16;
const OBJECTS: u64 = 4096;
const OBJECT_BYTES: usize = 16 << 10;
/// Largest ratio of the percentile with to that without.
const P99_TIMES: f64 = 1.10;
/// How many times fewer requests come where a guest was asked to wait: each waits for it, and there is one thread.
const WAITING_RATE_LESS: f64 = 20.0;
/// Calls of a guest that never returns, and the milliseconds that each may hold a core: the deadline, and two ticks of the clock
/// that ends it.
const SPINS: u32 = 50;
const DEADLINE_MS: u64 = 10;
const FILTER_SPIN_MS: f64 = DEADLINE_MS as f64 + 4.0;
/// The same for a policy, which has fuel instead.
const POLICY_SPIN_MS: f64 = 1.0;

/// What a node calls it when a plugin was not called for its being in quarantine.
const QUARANTINED: &str = "quarantined";

/// What `littoral-bench soak-plugins` takes.
#[derive(Args, Clone, Debug)]
pub struct Options {
    /// What is measured
    #[command(flatten)]
    pub built: Built,
    /// Rounds for each guest
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=i64::from(open::TOGETHER_MAX)))]
    pub rounds: u32,
    /// Seconds of load in a round, on each of two nodes
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u64).range(1..=600))]
    pub seconds: u64,
    /// Requests a second
    #[arg(long, default_value_t = 2000.0)]
    pub rate: f64,
    /// Only guests whose line in the table has this in it
    #[arg(long)]
    pub only: Option<String>,
}

/// Runs all of it and prints a line for each guest.
///
/// # Errors
/// When a request failed, a percentile or a time was beyond its bound.
pub fn run(options: &Options) -> Result<()> {
    machine::raise_descriptors();
    let spins = spins(&options.built.plugins)?;
    let work = memory_backed_directory()?;
    let (_origin, place) = prepare(&options.built, work.path())?;
    let objects: Vec<_> = (1..=OBJECTS).map(|number| Object { bytes: OBJECT_BYTES, number }).collect();
    let paths = Scripts::new(work.path()).paths("soak-plugins", &workload::sequence(&objects))?;
    let without = start_littoral(&place, "without", CACHE_MIB, &Guests::default())?;
    println!("| guest | p99 without | p99 with, ÷ | min–max | faults | not called | |\n|---|---|---|---|---|---|---|");
    let mut beyond = 0;
    for Case { title, guests, clients, waits } in cases::all(&place)? {
        if options.only.as_ref().is_some_and(|only| !title.contains(only.as_str())) {
            continue;
        }
        let with = start_littoral(&place, &title.replace([' ', ':'], "-"), CACHE_MIB, &guests)?;
        let _clients = clients.map(|clients| Clients::come(&clients, &with.server.ready)).transpose()?;
        let rate = if waits { options.rate / WAITING_RATE_LESS } else { options.rate };
        let (p99_us, ratio) = compared((rate, options), &paths, &without, &with).with_context(|| title.clone())?;
        let (faults, not_called) = faults_of(with.admin.context("it has no admin API")?)?;
        let holds = ratio.median <= P99_TIMES;
        beyond += u32::from(!holds && !waits);
        let met = match (waits, holds) {
            (true, _) => "as asked",
            (_, true) => "met",
            (_, false) => "missed",
        };
        let Spread { min, median, max } = ratio;
        println!("| {title} | {p99_us:.0} µs | {median:.2} | {min:.2}–{max:.2} | {faults} | {not_called} | {met} |");
    }
    println!("\nNo request failed.\n\n| holds a core | bound | median | longest |\n|---|---|---|---|");
    for (title, bound, Spread { median, max, .. }) in &spins {
        println!("| {title} | {bound:.1} ms | {median:.2} ms | {max:.2} ms |");
    }
    ensure!(beyond == 0, "the 99th percentile is beyond {P99_TIMES} times that without, with {beyond} of these guests");
    let held = spins.iter().all(|(_, bound, spread)| spread.median <= *bound);
    ensure!(held, "a guest held a core for longer than its bound");
    Ok(())
}

/// The percentile without, in µs, how many times that the one with is, both of all rounds together, and the least and greatest of a round.
fn compared(
    (rate, options): (f64, &Options),
    paths: &Path,
    without: &Running,
    with: &Running,
) -> Result<(f64, Spread)> {
    let run = |node: &Running| open::measure(node.address, paths, rate, options.seconds);
    let (mut plain, mut burdened) = (Vec::new(), Vec::new());
    for round in 0..options.rounds {
        // In turn, so that neither has what comes second.
        for is_first in [true, false] {
            match is_first == round.is_multiple_of(2) {
                true => plain.push(run(without)?),
                false => burdened.push(run(with)?),
            }
        }
    }
    let ratios = plain.iter().zip(&burdened).map(|(plain, burdened)| burdened.p99_us / plain.p99_us).collect();
    let Spread { min, max, .. } = Spread::of(ratios).context("no round")?;
    let (plain, burdened) = (open::p99_together(&plain), open::p99_together(&burdened));
    Ok((plain, Spread { min, median: burdened / plain, max }))
}

/// Faults that a node tells of its plugins, and how often it has not called one for its being in quarantine.
fn faults_of(admin: SocketAddr) -> Result<(u64, u64)> {
    let told: serde_json::Value = serde_json::from_slice(&fetch::get(admin, "/v1/plugins")?)?;
    let kinds = told.as_array().into_iter().flatten().filter_map(|plugin| plugin["faults"].as_object()).flatten();
    let counts = kinds.filter_map(|(kind, count)| Some((kind == QUARANTINED, count.as_u64()?)));
    let (not_called, faults): (Vec<_>, Vec<_>) = counts.partition(|(is_quarantined, _)| *is_quarantined);
    let sum = |counts: Vec<(bool, u64)>| counts.into_iter().map(|(_, count)| count).sum();
    Ok((sum(faults), sum(not_called)))
}

/// A minute passes whenever somebody looks, so that no guest is put in quarantine.
static NOW_MS: AtomicU64 = AtomicU64::new(1);

/// How long guests that never return hold a core, in milliseconds, and how long they may.
fn spins(plugins: &Path) -> Result<Vec<(&'static str, f64, Spread)>> {
    let settings = || HostSettings { cache_dir: None, compiler: None, now_ms: || NOW_MS.fetch_add(60_000, Relaxed) };
    let told = |problem: String| anyhow!(problem);
    let policy = Host::new(settings()).map_err(told)?.load(PluginSpec::new("spin", plugins.join("spin.wasm")), None)?;
    let spec = FilterSpec {
        name: "spin".to_owned(),
        file: plugins.join("filter-faults.wasm"),
        config: r#"{"how": "spin", "at": "request"}"#.to_owned(),
        deadline_ms: Some(DEADLINE_MS),
        ..FilterSpec::default()
    };
    let filter = FilterHost::new(settings()).map_err(told)?.load(spec)?;
    Ok(vec![
        ("a policy that never returns", POLICY_SPIN_MS, times(|| spin_policy(&policy))?),
        ("a filter that never returns", FILTER_SPIN_MS, times(|| spin_filter(&filter))?),
    ])
}

fn times(spin: impl Fn() -> Result<()>) -> Result<Spread> {
    let timed = (0..SPINS).map(|_| {
        let started = Instant::now();
        spin()?;
        Ok(started.elapsed().as_secs_f64() * 1e3)
    });
    Spread::of(timed.collect::<Result<_>>()?).context("nothing was timed")
}

fn spin_policy(policy: &Plugin) -> Result<()> {
    let fault = policy.decide(&Flow { candidates: 1, ..Flow::default() });
    ensure!(fault == Err(littoral_plugin_host::Fault::Fuel), "it was not stopped by its fuel: {fault:?}");
    Ok(())
}

fn spin_filter(filter: &Arc<Filter>) -> Result<()> {
    let fault = call(filter, Point::Request, &fresh().asked).outcome.err();
    ensure!(fault == Some(Fault::Deadline), "it was not stopped at its deadline: {fault:?}");
    Ok(())
}

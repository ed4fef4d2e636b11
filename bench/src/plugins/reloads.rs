//! Calls on one thread while another loads the plugin again and again: how long the longest took; and requests to a node whose plugins are
//! loaded again all the time.
//!
//! A call's time is the clock's, waiting for others included; unless the kernel gave the core to somebody else meanwhile, which is
//! no pause of the host's making: then it is its thread's own CPU time. Invariant: every call is answered, and each loading is one that serves.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, ensure};
use littoral_plugin_host::filter::{FilterHost, Point};
use littoral_plugin_host::{Host, HostSettings, Object as Candidate, PluginSpec};
use nix::time::{ClockId, clock_gettime};

use super::filters::{call, load};
use super::nodes::{self, FIVE};
use super::subjects::header_only;
use super::{Figure, Unit};
use crate::compare::warm;
use crate::engine::{Place, start_littoral};
use crate::fetch;
use crate::load::open;
use crate::origin::Object;
use crate::workload::Scripts;

/// Loadings in a round.
const RELOADS: u32 = 50;
/// Microseconds of the longest call.
const PAUSE_US: f64 = 1_000.0;
/// Microseconds from which on it is looked whether a call was all its thread did.
const LONG_US: f64 = 100.0;

/// Requests a second to a node whose plugins are loaded again.
const RATE: f64 = 2_000.0;
/// Time from one of its loadings to the next.
const RELOADS_EVERY: Duration = Duration::from_millis(100);
/// Room of its cache, in MiB.
const CACHE_MIB: u64 = 64;
/// What is hit.
const HIT: Object = Object { bytes: 1 << 10, number: 0 };

/// How much longer hits of a node take, of a thousand all but one, while its five plugins are loaded again in turn. Every answer is whole, and each
/// loading one that serves, or it is an error.
pub(super) fn in_a_node(place: &Place, work: &Path, rounds: u32, seconds: u64) -> Result<Vec<Figure>> {
    let node = start_littoral(place, "reloads", CACHE_MIB, &nodes::five(place)?)?;
    let admin = node.admin.context("it has no admin API")?;
    warm(node.address, place.origin, &[HIT])?;
    let paths = Scripts::new(work).paths("reloads", &[HIT])?;
    let p999_us = || anyhow::Ok(open::measure(node.address, &paths, RATE, seconds)?.p999_us);
    let (mut alone, mut longer) = (Vec::new(), Vec::new());
    for _ in 0..rounds {
        let without = p999_us()?;
        let with = beside_reloads(admin, p999_us)?;
        alone.push(without);
        longer.push(with - without);
    }
    let what = format!("a node's hits, 999 of 1000, {RATE} a second");
    let every = RELOADS_EVERY.as_millis();
    Ok(vec![
        Figure::new(what.clone(), Unit::Micros, None, alone)?,
        Figure::new(
            format!("{what}: added by loading a plugin every {every} ms"),
            Unit::Micros,
            Some(PAUSE_US),
            longer,
        )?,
    ])
}

/// What is measured while a thread has the node load its plugins, one after the other.
fn beside_reloads(admin: SocketAddr, measured: impl Fn() -> Result<f64>) -> Result<f64> {
    let is_over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let is_over = &is_over;
        let reloads = scope.spawn(move || {
            for name in FIVE.iter().cycle() {
                if is_over.load(Relaxed) {
                    break;
                }
                fetch::post(admin, &format!("/v1/plugins/{name}/reload"), "")?;
                std::thread::park_timeout(RELOADS_EVERY);
            }
            anyhow::Ok(())
        });
        let measured = measured();
        is_over.store(true, Relaxed);
        reloads.thread().unpark();
        reloads.join().map_err(|_| anyhow!("the thread that reloads has panicked"))??;
        measured
    })
}

/// A policy's calls, and a filter's.
pub(super) fn measured(plugins: &Path, rounds: u32) -> Result<Vec<Figure>> {
    // As in a node, which has a process of its own compile, what was compiled is loaded here.
    let compiled = tempfile::tempdir()?;
    let settings = || HostSettings { cache_dir: Some(compiled.path().to_owned()), compiler: None, now_ms: || 1 };
    let policies = Host::new(settings()).map_err(|problem| anyhow!(problem))?;
    let policy = policies.load(PluginSpec::new("policy", plugins.join("evict-lfu-size.wasm")), None)?;
    let object = Candidate { id: 1, bytes: 1000, hits: 3, ..Candidate::default() };
    let admits = || policy.admit(&object, 900, 1, 1).map(drop).map_err(|fault| anyhow!("{fault}"));
    let of_policy = (0..rounds).map(|_| round(admits, || Ok(policy.reload(None)?)));
    let mut figures = vec![figure("evict-lfu-size: admit", of_policy.collect::<Result<_>>()?)?];
    let (subject, hosts) = (header_only(), FilterHost::new(settings()).map_err(|problem| anyhow!(problem))?);
    let filter = load(&hosts, plugins, &subject)?;
    let answers = || {
        let called = call(&filter, Point::Response, &subject.asked);
        called.outcome.map(drop).map_err(|fault| anyhow!("{fault}"))
    };
    let of_filter = (0..rounds).map(|_| round(answers, || Ok(filter.reload(None)?)));
    figures.push(figure("filter-headers: one point", of_filter.collect::<Result<_>>()?)?);
    Ok(figures)
}

fn figure(what: &str, longest_us: Vec<f64>) -> Result<Figure> {
    let what = format!("{what}, the longest call while it is loaded {RELOADS} times");
    Figure::new(what, Unit::Micros, Some(PAUSE_US), longest_us)
}

/// Calls on this thread as long as another one reloads; the longest, in microseconds.
fn round(ask: impl Fn() -> Result<()>, reload: impl Fn() -> Result<u64> + Sync) -> Result<f64> {
    ask()?;
    let is_over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let (is_over, reload) = (&is_over, &reload);
        let reloads = scope.spawn(move || {
            let numbers = (0..RELOADS).map(|_| reload()).collect::<Result<Vec<_>>>();
            is_over.store(true, Relaxed);
            numbers
        });
        let longest = longest(ask, is_over);
        let numbers = reloads.join().map_err(|_| anyhow!("the thread that reloads has panicked"))??;
        ensure!(numbers.windows(2).all(|pair| pair[0] < pair[1]), "not each loading serves: {numbers:?}");
        longest
    })
}

fn longest(ask: impl Fn() -> Result<()>, is_over: &AtomicBool) -> Result<f64> {
    let (mut longest_us, mut preempted) = (0.0_f64, preemptions()?);
    while !is_over.load(Relaxed) {
        let (began, began_cpu_us) = (Instant::now(), cpu_us()?);
        ask()?;
        let (cpu_us, mut took_us) = (cpu_us()? - began_cpu_us, began.elapsed().as_secs_f64() * 1e6);
        if took_us > LONG_US {
            let before = std::mem::replace(&mut preempted, preemptions()?);
            took_us = if preempted > before { cpu_us } else { took_us };
        }
        longest_us = longest_us.max(took_us);
    }
    Ok(longest_us)
}

/// CPU time of this thread.
fn cpu_us() -> Result<f64> {
    let now = clock_gettime(ClockId::CLOCK_THREAD_CPUTIME_ID)?;
    Ok(now.tv_sec() as f64 * 1e6 + now.tv_nsec() as f64 / 1e3)
}

/// How often the kernel took the core from this thread.
fn preemptions() -> Result<u64> {
    let status = std::fs::read_to_string("/proc/thread-self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("nonvoluntary_ctxt_switches:"));
    Ok(line.context("the kernel does not tell how often it interrupts a thread")?.trim().parse()?)
}

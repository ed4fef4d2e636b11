//! A load of minutes at nine tenths of what littoral can do: hits, misses, evictions and purges at once, over HTTP/1.1 and over
//! HTTP/2 with TLS. Nothing may fail, and memory may not grow.
//!
//! wrk asks for the mix over plain connections, one request in fifty for an object nobody has; h2load asks over HTTP/2. Both are
//! paced, each at its share of what a short run at full speed showed. The cache is smaller than what is asked for, so that it
//! evicts all the time. Invariant: it ends well only if both generators counted no error, the server never restarted, and
//! resident memory after the first fifth of the time stayed within 5 %.

use std::process::{Child, Output};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use clap::Args;

use crate::compare::{Built, memory_backed_directory, prepare};
use crate::engine::{Engine, Running, Setup};
use crate::fetch::{self, Client};
use crate::load::{Ask, Generator, paced_h2load};
use crate::machine::{self, resident_bytes};
use crate::origin::Object;
use crate::report::Spread;
use crate::workload::{self, Draws, Scripts};

/// Room of the cache, in MiB; the mix alone has 320.
const CACHE_MIB: u64 = 256;
/// What each generator puts on the server, of what it could alone: nine tenths together.
const WRK_SHARE: f64 = 0.6;
const H2LOAD_SHARE: f64 = 0.3;
/// Time of the runs at full speed.
const FULL: Duration = Duration::from_secs(5);
/// A connection of wrk waits so long before each request, in ms: their number makes the rate.
const PAUSE_MS: u32 = 20;
/// One request of wrk in so many is a miss.
const MISS_EACH: u32 = 50;
/// Connections of h2load.
const H2_CONNECTIONS: u32 = 16;
/// Most connections of wrk.
const WRK_CONNECTIONS_MAX: u32 = 4000;
/// Seconds between two purges, and between two looks at the memory.
const BEAT: Duration = Duration::from_secs(1);
/// Share of the time before memory is compared.
const SETTLING: f64 = 0.2;
/// How far resident memory may be from its median.
const FLAT: f64 = 0.05;

/// What `littoral-bench soak` takes.
#[derive(Args, Clone, Debug)]
pub struct Options {
    /// What is measured
    #[command(flatten)]
    pub built: Built,
    /// How long
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u64).range(1..=1440))]
    pub minutes: u64,
}

/// Runs the load and prints what was seen.
///
/// # Errors
/// When anything failed, or memory was not flat.
pub fn run(options: &Options) -> Result<()> {
    machine::raise_descriptors();
    let work = memory_backed_directory()?;
    let (_origin, place) = prepare(&options.built, work.path())?;
    let node = Engine::Littoral.start(&place, &Setup::memory("soak", CACHE_MIB))?;
    // All of the mix once: from here on the cache is full and evicts.
    let mut client = Client::connect(node.address)?;
    workload::mix().into_iter().try_for_each(|object| client.get(object).map(drop))?;
    let scripts = Scripts::new(work.path());
    let requests = workload::sequence(&workload::mix());
    let time = Duration::from_secs(options.minutes * 60);
    let (wrk, h2load) = generators(&node, &scripts, &requests, time)?;
    let memory = watch(&node, time)?;
    let (plain, http2) = (ended(wrk, Generator::Wrk)?, ended(h2load, Generator::H2loadH2)?);
    fetch::check(node.address, requests[0])?;
    let flat = Spread::of(memory).context("memory was never looked at")?;
    let (least, most) = (flat.min / flat.median, flat.max / flat.median);
    println!(
        "{} min: {plain} requests over HTTP/1.1, {http2} over HTTP/2, no error; memory {:.0} MiB, {:.1} % to +{:.1} %",
        options.minutes,
        flat.median / f64::from(1 << 20),
        (least - 1.0) * 100.0,
        (most - 1.0) * 100.0
    );
    ensure!(least >= 1.0 - FLAT && most <= 1.0 + FLAT, "memory was not flat within {:.0} %", FLAT * 100.0);
    Ok(())
}

/// Measures what the node can do and starts both generators at their shares of it.
fn generators(node: &Running, scripts: &Scripts, requests: &[Object], time: Duration) -> Result<(Child, Child)> {
    let tls = node.tls.context("it serves no TLS")?;
    let paths = scripts.paths("soak", requests)?;
    let full = Ask::Script(scripts.paced("full", requests, MISS_EACH, 0)?);
    let wrk = Generator::Wrk.run(node.address, &full, 64, FULL)?.requests_per_second;
    let most = paced_h2load(tls, &paths, H2_CONNECTIONS, f64::from(u16::MAX), FULL).output()?;
    let h2load = Generator::H2loadH2.read(&String::from_utf8_lossy(&most.stdout))?.requests_per_second;
    let rate = wrk * WRK_SHARE;
    let connections = ((rate * f64::from(PAUSE_MS) / 1e3) as u32).clamp(1, WRK_CONNECTIONS_MAX);
    let each = h2load * H2LOAD_SHARE / f64::from(H2_CONNECTIONS);
    eprintln!(
        "soak: full speed {wrk:.0} requests/s (wrk), {h2load:.0} (h2load); from now {rate:.0} on {connections} connections, and {:.0}",
        h2load * H2LOAD_SHARE
    );
    let paced = Ask::Script(scripts.paced("soak", requests, MISS_EACH, PAUSE_MS)?);
    let wrk = Generator::Wrk.command(node.address, &paced, connections, time).spawn()?;
    let h2load = paced_h2load(tls, &paths, H2_CONNECTIONS, each, time).spawn()?;
    Ok((wrk, h2load))
}

/// Purges an object of the mix each beat, softly each other time, and looks at the memory, until the time is over.
fn watch(node: &Running, time: Duration) -> Result<Vec<f64>> {
    let admin = node.admin.context("it has no admin API")?;
    let (mix, mut draws, begun, mut memory) = (workload::mix(), Draws::new(5), Instant::now(), Vec::new());
    let mut beats = 0;
    while begun.elapsed() + BEAT < time {
        machine::wait(BEAT);
        let object = mix[(draws.bits() % mix.len() as u64) as usize];
        let soft = beats % 2 == 1;
        let order = format!("{{\"url\":\"http://{}{}\",\"soft\":{soft}}}", fetch::HOST, object.path());
        fetch::post(admin, "/v1/purge", &order)?;
        if begun.elapsed() > time.mul_f64(SETTLING) {
            memory.push(resident_bytes(node.server.pid())? as f64);
        }
        beats += 1;
    }
    Ok(memory)
}

/// Waits for a generator; how many requests it had answered.
fn ended(generator: Child, kind: Generator) -> Result<u64> {
    let Output { status, stdout, stderr } = generator.wait_with_output()?;
    if !status.success() {
        bail!("{} ended with {status}: {}", kind.name(), String::from_utf8_lossy(&stderr).trim());
    }
    Ok(kind.read(&String::from_utf8_lossy(&stdout))?.requests)
}

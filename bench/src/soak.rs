//! A load of minutes at nine tenths of what littoral can do: hits, misses, evictions and purges at once, over HTTP/1.1 and over
//! HTTP/2 with TLS. Nothing may fail, and memory may not grow.
//!
//! wrk asks for the mix over plain connections, one request in fifty for an object nobody has; h2load asks over HTTP/2. Both are
//! paced, each at its share of what a short run at full speed showed. The cache is smaller than what is asked for, so that it
//! evicts all the time. Invariant: it ends well only if both generators counted no error and made the load they were to make, the
//! server never restarted, and resident memory after the first fifth of the time stayed within 5 %.

use std::process::{Child, Output};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use clap::Args;

use crate::compare::{Built, memory_backed_directory, prepare};
use crate::engine::{Engine, Running, Setup};
use crate::fetch::{self, Client};
use crate::load::{Ask, Generator, Load, paced_h2load};
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
/// A connection of wrk waits so long before each request, in ms: their number makes the rate. Long beside what an answer takes, which
/// is what the rate falls short by.
const PAUSE_MS: u32 = 100;
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
/// Least share of the rate asked for that a generator must have had.
const KEPT_UP: f64 = 0.95;
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
    let (plain, http2) = (wrk.ended()?, h2load.ended()?);
    fetch::check(node.address, requests[0])?;
    let flat = Spread::of(memory).context("memory was never looked at")?;
    let (least, most) = (flat.min / flat.median, flat.max / flat.median);
    println!(
        "{} min: {} requests over HTTP/1.1 ({:.0} % of the rate asked for), {} over HTTP/2 ({:.0} %), no error; \
         memory {:.0} MiB, {:.1} % to +{:.1} %",
        options.minutes,
        plain.0.requests,
        plain.1 * 100.0,
        http2.0.requests,
        http2.1 * 100.0,
        flat.median / f64::from(1 << 20),
        (least - 1.0) * 100.0,
        (most - 1.0) * 100.0
    );
    ensure!(least >= 1.0 - FLAT && most <= 1.0 + FLAT, "memory was not flat within {:.0} %", FLAT * 100.0);
    Ok(())
}

/// Measures what the node can do and starts both generators at their shares of it.
fn generators(node: &Running, scripts: &Scripts, requests: &[Object], time: Duration) -> Result<(Paced, Paced)> {
    let tls = node.tls.context("it serves no TLS")?;
    let paths = scripts.paths("soak", requests)?;
    let full = Ask::Script(scripts.paced("full", requests, MISS_EACH, 0)?);
    let wrk = Generator::Wrk.run(node.address, &full, 64, FULL)?.requests_per_second;
    let most = paced_h2load(tls, &paths, H2_CONNECTIONS, f64::from(u16::MAX), FULL).output()?;
    let h2load = Generator::H2loadH2.read(&String::from_utf8_lossy(&most.stdout))?.requests_per_second;
    let rate = wrk * WRK_SHARE;
    let connections = (rate * f64::from(PAUSE_MS) / 1e3).ceil() as u32;
    ensure!(connections <= WRK_CONNECTIONS_MAX, "{rate:.0} requests/s need {connections} connections of wrk");
    let each = h2load * H2LOAD_SHARE / f64::from(H2_CONNECTIONS);
    eprintln!(
        "soak: full speed {wrk:.0} requests/s (wrk), {h2load:.0} (h2load); from now {rate:.0} on {connections} connections, and {:.0}",
        h2load * H2LOAD_SHARE
    );
    let paced = Ask::Script(scripts.paced("soak", requests, MISS_EACH, PAUSE_MS)?);
    let wrk = Generator::Wrk.command(node.address, &paced, connections, time).spawn()?;
    let wrk = Paced { child: wrk, kind: Generator::Wrk, rate };
    let h2load = paced_h2load(tls, &paths, H2_CONNECTIONS, each, time).spawn()?;
    Ok((wrk, Paced { child: h2load, kind: Generator::H2loadH2, rate: each * f64::from(H2_CONNECTIONS) }))
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

/// A generator that runs, and the requests a second it is to make.
struct Paced {
    child: Child,
    kind: Generator,
    rate: f64,
}

impl Paced {
    /// Waits for it; what it saw, and the share of its rate that it had.
    fn ended(self) -> Result<(Load, f64)> {
        let Output { status, stdout, stderr } = self.child.wait_with_output()?;
        if !status.success() {
            bail!("{} ended with {status}: {}", self.kind.name(), String::from_utf8_lossy(&stderr).trim());
        }
        let load = self.kind.read(&String::from_utf8_lossy(&stdout))?;
        Ok((load, kept_up(self.kind, self.rate, &load)?))
    }
}

/// The share of its rate that a generator had. One that fell behind, or was held back, has made another load than the one to be proved.
fn kept_up(kind: Generator, rate: f64, load: &Load) -> Result<f64> {
    let share = load.requests_per_second / rate;
    ensure!(
        share >= KEPT_UP,
        "{} fell behind: {:.0} of {rate:.0} requests/s, {KEPT_UP} of them is the least",
        kind.name(),
        load.requests_per_second
    );
    Ok(share)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_generator_that_falls_behind_its_rate_is_refused() {
        let share = |requests_per_second| {
            kept_up(Generator::Wrk, 1000.0, &Load { requests_per_second, ..Load::default() }).ok()
        };
        assert_eq!([share(940.0), share(950.0), share(1000.0)], [None, Some(0.95), Some(1.0)]);
    }
}

//! The comparison: warm cached hits, rounds interleaved across the engines, then memory per object and time to start.
//!
//! The engines are all up during all rounds, and each round visits every size, generator and engine, beginning with
//! another engine each time, so that a slow minute of the machine hits them alike. Ratios are taken within a round.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use clap::Args;
use tempfile::TempDir;

use crate::engine::{Engine, Place, Running};
use crate::fetch;
use crate::load::Generator;
use crate::machine::{CpuTime, GENERATOR_CORE, Machine, Server, directory_bytes, resident_bytes};
use crate::origin::Object;
use crate::report::{Memory, Results, Round};

/// What `littoral-bench hits` takes.
#[derive(Args, Clone, Debug)]
pub struct Options {
    /// The binary under test
    #[arg(long, default_value = "target/dist/littoral")]
    pub littoral: PathBuf,
    /// Directory of the built policies
    #[arg(long, default_value = "target/plugins")]
    pub plugins: PathBuf,
    /// Rounds; ratios are given with the spread over them
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=100))]
    pub rounds: u32,
    /// Seconds of load per engine, size and generator in a round
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u64).range(1..=600))]
    pub seconds: u64,
    /// Connections the generator keeps busy
    #[arg(long, default_value_t = 32, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub connections: u32,
    /// Object sizes in bytes
    #[arg(long, value_delimiter = ',', default_values_t = [1 << 10, 64 << 10, 1 << 20])]
    pub sizes: Vec<usize>,
    /// Objects of 64 KiB to cache when memory is measured; 0 leaves that out
    #[arg(long, default_value_t = 2048, value_parser = clap::value_parser!(u64).range(0..=10_000))]
    pub memory_objects: u64,
    /// Starts of littoral to time; 0 leaves that out
    #[arg(long, default_value_t = 7)]
    pub starts: u32,
    /// Where the results go
    #[arg(long, default_value = "bench/results")]
    pub out: PathBuf,
}

/// Runs everything and writes `DATE-COMMIT.json` and `LATEST.md`.
///
/// # Errors
/// When the machine has one core, the origin does not start, or no engine can be measured. One engine that is missing,
/// or a round that went wrong, is noted in the results instead.
pub fn run(options: &Options) -> Result<()> {
    let work = memory_backed_directory()?;
    let mut bench = Bench::prepare(options, &work)?;
    let engines = bench.start_engines();
    ensure!(!engines.is_empty(), "no engine could be started: {}", bench.results.skipped.join("; "));
    bench.warm(&engines)?;
    for round in 0..options.rounds {
        bench.round(round, &engines);
    }
    drop(engines);
    bench.measure_memory();
    if let Err(reason) = bench.time_starts() {
        bench.results.skipped.push(format!("time to start: {reason:#}"));
    }
    let path = bench.results.write(&options.out)?;
    println!("{}", bench.results.markdown());
    println!("written: {} and {}", path.display(), options.out.join("LATEST.md").display());
    ensure!(!bench.results.rounds.is_empty(), "no round was valid: {}", bench.results.invalid.join("; "));
    Ok(())
}

/// tmpfs where there is one, because nginx keeps its cache in files.
fn memory_backed_directory() -> Result<TempDir> {
    let mut builder = tempfile::Builder::new();
    builder.prefix("littoral-bench-");
    builder.tempdir_in("/dev/shm").or_else(|_| builder.tempdir()).context("no directory to work in")
}

struct Bench<'a> {
    options: &'a Options,
    place: Place,
    /// Held to keep the origin running.
    _origin: Server,
    results: Results,
}

impl<'a> Bench<'a> {
    fn prepare(options: &'a Options, work: &TempDir) -> Result<Self> {
        let machine = Machine::describe()?;
        if machine.load_before > 1.0 {
            eprintln!("warning: load average is {}; others use these cores, ratios will be noisy", machine.load_before);
        }
        let own = std::env::current_exe()?;
        let mut origin =
            Server::start(GENERATOR_CORE, &[&own.to_string_lossy(), "origin"], work.path().join("origin.stderr"))?;
        let address = *origin.ready_line()?.get("http").context("the origin is not ready")?;
        let place = Place {
            littoral: options.littoral.clone(),
            plugins: options.plugins.clone(),
            origin: address,
            work: work.path().to_owned(),
        };
        let results = Results::new(machine, options.rounds, options.seconds, options.connections);
        Ok(Self { options, place, _origin: origin, results })
    }

    /// Starts every engine that is there; notes each that is not, with the reason.
    fn start_engines(&mut self) -> Vec<Running> {
        let mut running = Vec::new();
        for engine in Engine::ALL {
            let started = engine.version(&self.place).and_then(|version| {
                self.results.versions.insert(engine, version);
                engine.start(&self.place, "hits")
            });
            match started {
                Ok(started) => running.push(started),
                Err(reason) => self.skip(engine, &reason),
            }
        }
        running
    }

    fn skip(&mut self, engine: Engine, reason: &anyhow::Error) {
        eprintln!("skipped: {}: {reason:#}", engine.name());
        self.results.skipped.push(format!("{}: {reason:#}", engine.name()));
    }

    fn objects(&self) -> Vec<Object> {
        self.options.sizes.iter().map(|&bytes| Object { bytes, number: 0 }).collect()
    }

    /// Every engine answers every object twice; the second answer must not have asked the origin.
    fn warm(&self, engines: &[Running]) -> Result<()> {
        for engine in engines {
            for object in self.objects() {
                fetch::check(engine.address, object)?;
                let asked = self.asked()?;
                fetch::check(engine.address, object)?;
                ensure!(self.asked()? == asked, "{} does not cache {}", engine.engine.name(), object.path());
            }
        }
        Ok(())
    }

    fn round(&mut self, number: u32, engines: &[Running]) {
        for object in self.objects() {
            for generator in [Generator::Wrk, Generator::H2load] {
                let first = number as usize % engines.len();
                for engine in engines[first..].iter().chain(&engines[..first]) {
                    match self.measure(number, engine, object, generator) {
                        Ok(round) => self.note(round),
                        Err(reason) => {
                            let name = engine.engine.name();
                            let line = format!("round {number}, {name}, {} bytes: {reason:#}", object.bytes);
                            eprintln!("invalid: {line}");
                            self.results.invalid.push(line);
                        }
                    }
                }
            }
        }
    }

    fn note(&mut self, round: Round) {
        eprintln!(
            "round {} {:>8} B {:<6} {:<13} {:>8.2} µs/request {:>9.0} requests/s",
            round.number + 1,
            round.object_bytes,
            round.generator,
            round.engine.name(),
            round.cpu_us_per_request,
            round.requests_per_second
        );
        self.results.rounds.push(round);
    }

    /// One load on one engine. The CPU time is the server's, over exactly the requests the generator counted.
    fn measure(&self, number: u32, engine: &Running, object: Object, generator: Generator) -> Result<Round> {
        let asked = self.asked()?;
        let pid = engine.server.pid();
        let before = CpuTime::of_tree(pid)?;
        let time = Duration::from_secs(self.options.seconds);
        let load = generator.run(engine.address, &object.path(), self.options.connections, time)?;
        let used = CpuTime::of_tree(pid)?.since(&before);
        fetch::check(engine.address, object)?;
        let missed = self.asked()? - asked;
        if missed > 0 {
            bail!("{missed} requests went to the origin; these were not all hits");
        }
        Ok(Round {
            number,
            engine: engine.engine,
            generator: format!("{generator:?}").to_lowercase(),
            object_bytes: object.bytes,
            requests: load.requests,
            requests_per_second: load.requests_per_second,
            cpu_us_per_request: used.as_secs_f64() * 1e6 / load.requests as f64,
            p50_us: load.p50_us,
            p99_us: load.p99_us,
        })
    }

    /// How many objects the origin has been asked for so far.
    fn asked(&self) -> Result<u64> {
        origin_count(self.place.origin)
    }

    /// Memory per cached object, of a fresh instance of each engine that was measured.
    fn measure_memory(&mut self) {
        if self.options.memory_objects == 0 {
            return;
        }
        let engines: Vec<Engine> = self.results.versions.keys().copied().collect();
        for engine in engines {
            match self.fill(engine) {
                Ok(memory) => self.results.memory.push(memory),
                Err(reason) => {
                    self.results.skipped.push(format!("memory of {}: {reason:#}", engine.name()));
                }
            }
        }
    }

    fn fill(&self, engine: Engine) -> Result<Memory> {
        let object = |number| Object { bytes: 64 << 10, number };
        let objects = self.options.memory_objects;
        let running = engine.start(&self.place, "memory")?;
        // One object first, so that what is allocated once on the way of a miss does not count.
        fetch::check(running.address, object(0))?;
        let before = self.held(&running)?;
        for number in 1..=objects {
            fetch::check(running.address, object(number))?;
        }
        let after = self.held(&running)?;
        let asked = self.asked()?;
        for number in 1..=objects {
            fetch::check(running.address, object(number))?;
        }
        let missed = self.asked()? - asked;
        ensure!(missed == 0, "{missed} of {objects} objects were not kept");
        let bytes = after.saturating_sub(before);
        Ok(Memory { engine, objects, object_bytes: 64 << 10, held_bytes: bytes })
    }

    /// Resident memory plus, for an engine that stores in files on tmpfs, those files: tmpfs is memory too.
    fn held(&self, running: &Running) -> Result<u64> {
        let store = running.store.as_deref().map(directory_bytes).transpose()?;
        Ok(resident_bytes(running.server.pid())? + store.unwrap_or(0))
    }

    /// From spawning littoral to its first proxied 200, with plugins compiled by a start before.
    fn time_starts(&mut self) -> Result<()> {
        if self.options.starts == 0 || !self.results.versions.contains_key(&Engine::Littoral) {
            return Ok(());
        }
        let object = Object { bytes: 1 << 10, number: 1 };
        drop(Engine::Littoral.start(&self.place, "start")?);
        for _ in 0..self.options.starts {
            let spawned = Instant::now();
            let running = Engine::Littoral.start(&self.place, "start")?;
            fetch::check(running.address, object)?;
            self.results.start_ms.push(spawned.elapsed().as_secs_f64() * 1e3);
        }
        Ok(())
    }
}

fn origin_count(origin: SocketAddr) -> Result<u64> {
    let body = fetch::get(origin, "/count")?;
    Ok(std::str::from_utf8(&body)?.parse()?)
}

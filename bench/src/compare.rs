//! The comparison: rounds of load interleaved across the engines, then the figures that are taken once.
//!
//! All engines of a group of cases are up during its rounds, and each round visits every case and engine, beginning with
//! another engine each time, so that a slow minute of the machine hits them alike. Ratios are taken within a round.

mod once;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use clap::Args;
use tempfile::TempDir;

use crate::case::Case;
use crate::engine::{Engine, Place, Running, Setup};
use crate::fetch::{self, Client};
use crate::load::{Ask, Generator, open};
use crate::machine::{self, CpuTime, GENERATOR_CORE, Machine, Server};
use crate::origin::Object;
use crate::report::{Results, Round};
use crate::tls::Tls;
use crate::workload::{self, Scripts};

pub use once::index;

/// Room of the caches that hold everything a group asks for, in MiB.
const HITS_MIB: u64 = 1024;
/// Room where every request is a miss, in MiB: full before the first round, so that what is measured goes on for ever.
const MISS_MIB: u64 = 256;
/// Size of the objects that are missed, in bytes.
const MISS_BYTES: usize = 64 << 10;
/// A cache that still asks the origin for something after so many passes does not keep it.
const PASSES_MAX: u32 = 20;
/// Share of what an engine can do at which its latency is measured.
const LATENCY_SHARE: f64 = 0.7;
/// A generator that is late by more than this share of the latency has measured itself.
const LATE_SHARE_MAX: f64 = 0.5;

/// What is measured, of a build.
#[derive(Args, Clone, Debug)]
pub struct Built {
    /// The binary under test
    #[arg(long, default_value = "target/dist/littoral")]
    pub littoral: PathBuf,
    /// Directory of the built plugins
    #[arg(long, default_value = "target/plugins")]
    pub plugins: PathBuf,
}

/// What `littoral-bench run` takes.
#[derive(Args, Clone, Debug)]
pub struct Options {
    /// What is measured
    #[command(flatten)]
    pub built: Built,
    /// Cases to measure; all when none is named
    #[arg(long = "case", value_delimiter = ',')]
    pub cases: Vec<Case>,
    /// Engines to leave out
    #[arg(long, value_delimiter = ',', value_parser = engine_named)]
    pub without: Vec<Engine>,
    /// Few and short rounds: enough to see which mark is far off, in some minutes
    #[arg(long)]
    pub quick: bool,
    /// Rounds; ratios are given with the spread over them [default: 5, quick: 3]
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=100))]
    pub rounds: Option<u32>,
    /// Seconds of load per engine and case in a round [default: 3, quick: 1]
    #[arg(long, value_parser = clap::value_parser!(u64).range(1..=600))]
    pub seconds: Option<u64>,
    /// Connections the generator keeps busy
    #[arg(long, default_value_t = 32, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub connections: u32,
    /// Objects of 64 KiB to cache when memory is measured
    #[arg(long, default_value_t = 2048, value_parser = clap::value_parser!(u64).range(1..=10_000))]
    pub memory_objects: u64,
    /// Idle connections to hold
    #[arg(long, default_value_t = 10_000, value_parser = clap::value_parser!(u32).range(1..=20_000))]
    pub idle: u32,
    /// Objects in the index of a disk [default: 10000000, quick: 1000000]
    #[arg(long)]
    pub index_objects: Option<u64>,
    /// Starts of littoral to time
    #[arg(long, default_value_t = 7)]
    pub starts: u32,
    /// Directory of a real file system for the disk case
    #[arg(long, default_value = "target")]
    pub disk: PathBuf,
    /// Where the results go
    #[arg(long, default_value = "bench/results")]
    pub out: PathBuf,
}

impl Options {
    fn rounds(&self) -> u32 {
        self.rounds.unwrap_or(if self.quick { 3 } else { 5 })
    }

    fn seconds(&self) -> u64 {
        self.seconds.unwrap_or(if self.quick { 1 } else { 3 })
    }

    fn index_objects(&self) -> u64 {
        self.index_objects.unwrap_or(if self.quick { 1_000_000 } else { 10_000_000 })
    }

    fn wants(&self, case: Case) -> bool {
        self.cases.is_empty() || self.cases.contains(&case)
    }
}

fn engine_named(name: &str) -> Result<Engine, String> {
    let names = || Engine::ALL.map(Engine::name).join(", ");
    Engine::ALL.into_iter().find(|engine| engine.name() == name).ok_or_else(|| format!("the engines are {}", names()))
}

/// Runs everything and writes `DATE-COMMIT.json` and `LATEST.md`.
///
/// # Errors
/// When the machine has one core, the origin does not start, or nothing could be measured. One engine that is missing, or a
/// round that went wrong, is noted in the results instead.
pub fn run(options: &Options) -> Result<()> {
    machine::raise_descriptors();
    let work = memory_backed_directory()?;
    std::fs::create_dir_all(&options.disk)?;
    let disk = tempfile::Builder::new().prefix("bench-disk-").tempdir_in(&options.disk)?;
    let mut bench = Bench::prepare(options, &work)?;
    bench.hits();
    bench.misses();
    bench.disks(disk.path());
    bench.once();
    let path = bench.results.write(&options.out)?;
    println!("{}", bench.results.markdown());
    println!("written: {} and {}", path.display(), options.out.join("LATEST.md").display());
    ensure!(!bench.results.is_empty(), "nothing was measured: {}", bench.results.skipped.join("; "));
    Ok(())
}

/// tmpfs where there is one, because nginx keeps its cache in files.
pub(crate) fn memory_backed_directory() -> Result<TempDir> {
    let mut builder = tempfile::Builder::new();
    builder.prefix("littoral-bench-");
    builder.tempdir_in("/dev/shm").or_else(|_| builder.tempdir()).context("no directory to work in")
}

/// Starts the origin, and says where everything is.
///
/// # Errors
/// When the origin does not start.
pub(crate) fn prepare(built: &Built, work: &Path) -> Result<(Server, Place)> {
    let own = std::env::current_exe()?;
    let mut origin = Server::start(GENERATOR_CORE, &[&own.to_string_lossy(), "origin"], work.join("origin.stderr"))?;
    let address = *origin.ready_line()?.get("http").context("the origin is not ready")?;
    let place = Place {
        littoral: built.littoral.clone(),
        plugins: built.plugins.clone(),
        origin: address,
        work: work.to_owned(),
        tls: Tls::make(work)?,
    };
    Ok((origin, place))
}

/// How many objects the origin has been asked for so far.
///
/// # Errors
/// When it does not say.
pub(crate) fn asked(origin: SocketAddr) -> Result<u64> {
    let body = fetch::get(origin, "/count")?;
    Ok(std::str::from_utf8(&body)?.parse()?)
}

/// Asks for all objects until the origin is not asked any more. Caches that write behind an answer need several passes.
///
/// # Errors
/// When an answer is wrong, or an object is never kept.
pub(crate) fn warm(server: SocketAddr, origin: SocketAddr, objects: &[Object]) -> Result<()> {
    let mut client = Client::connect(server)?;
    for pass in 0..PASSES_MAX {
        let before = asked(origin)?;
        for &object in objects {
            let body = client.get(object)?;
            ensure!(pass > 0 || body == object.body(), "{} has a wrong body", object.path());
        }
        if asked(origin)? == before {
            return Ok(());
        }
    }
    bail!("it does not keep all of {} objects", objects.len())
}

/// What a case puts on a server.
struct Demand {
    generator: Generator,
    ask: Ask,
    /// One object of it, to sample.
    sample: Object,
}

struct Bench<'a> {
    options: &'a Options,
    place: Place,
    scripts: Scripts,
    /// Held to keep the origin running.
    _origin: Server,
    /// Numbers below were asked for in misses.
    missed: u64,
    results: Results,
}

impl<'a> Bench<'a> {
    fn prepare(options: &'a Options, work: &TempDir) -> Result<Self> {
        let machine = Machine::describe()?;
        if machine.load_before > 1.0 {
            eprintln!("warning: load average is {}; others use these cores, ratios will be noisy", machine.load_before);
        }
        let (origin, place) = prepare(&options.built, work.path())?;
        let mut results = Results::new(machine, options.rounds(), options.seconds(), options.connections);
        for engine in Engine::ALL.into_iter().filter(|engine| !options.without.contains(engine)) {
            match engine.version(&place) {
                Ok(version) => drop(results.versions.insert(engine, version)),
                Err(reason) => skip(&mut results, &format!("{}: {reason:#}", engine.name())),
            }
        }
        Ok(Self { options, place, scripts: Scripts::new(work.path()), _origin: origin, missed: 1 << 32, results })
    }

    /// The engines of this run that can be measured in any of these cases.
    fn engines(&self, cases: &[Case]) -> Vec<Engine> {
        let able = |engine: &Engine| cases.iter().any(|case| case.beyond(*engine).is_none());
        self.results.versions.keys().copied().filter(able).collect()
    }

    /// Starts the engines for some cases and warms each; notes those with which that does not work.
    fn start(&mut self, cases: &[Case], setup: &Setup, warm: impl Fn(&Self, &Running) -> Result<()>) -> Vec<Running> {
        let mut running = Vec::new();
        for engine in self.engines(cases) {
            let started = engine.start(&self.place, setup).and_then(|started| {
                warm(self, &started)?;
                Ok(started)
            });
            match started {
                Ok(started) => running.push(started),
                Err(reason) => {
                    skip(&mut self.results, &format!("{} ({}): {reason:#}", engine.name(), setup.label));
                }
            }
        }
        running
    }

    /// Everything that one cache in memory answers.
    fn hits(&mut self) {
        let cases: Vec<Case> = Case::HITS.into_iter().filter(|&case| self.options.wants(case)).collect();
        if cases.is_empty() {
            return;
        }
        let mut objects: Vec<Object> = [1 << 10, 64 << 10, 1 << 20].map(|bytes| Object { bytes, number: 0 }).into();
        if cases.iter().any(|case| matches!(case, Case::Mix | Case::Latency)) {
            objects.extend(workload::mix());
        }
        let warm = |bench: &Self, engine: &Running| warm(engine.address, bench.place.origin, &objects);
        let engines = self.start(&cases, &Setup::memory("hits", HITS_MIB), warm);
        self.rounds(&cases, &engines);
    }

    /// Every request is for another object; the cache is full.
    fn misses(&mut self) {
        if !self.options.wants(Case::Miss) {
            return;
        }
        let fill = |bench: &Self, engine: &Running| {
            let (before, wanted) = (asked(bench.place.origin)?, (MISS_MIB << 20) / MISS_BYTES as u64);
            let mut first = 1 << 40;
            for _ in 0..PASSES_MAX {
                let script = bench.scripts.once_each("fill", MISS_BYTES, first)?;
                let time = Duration::from_secs(1);
                Generator::Wrk.run(engine.address, &Ask::Script(script), bench.options.connections, time)?;
                first += 1 << 32;
                if asked(bench.place.origin)? - before > wanted {
                    break;
                }
            }
            Ok(())
        };
        let engines = self.start(&[Case::Miss], &Setup::memory("miss", MISS_MIB), fill);
        self.rounds(&[Case::Miss], &engines);
    }

    /// Objects lie in files of a real file system, and in the page cache.
    fn disks(&mut self, disk: &Path) {
        if !self.options.wants(Case::Disk) {
            return;
        }
        let setup = Setup { label: "disk", cache_mib: HITS_MIB, disk: Some(disk.to_owned()) };
        let objects = workload::on_disk();
        let warm = |bench: &Self, engine: &Running| warm(engine.address, bench.place.origin, &objects);
        let engines = self.start(&[Case::Disk], &setup, warm);
        self.rounds(&[Case::Disk], &engines);
    }

    fn rounds(&mut self, cases: &[Case], engines: &[Running]) {
        for number in 0..self.options.rounds() {
            for &case in cases {
                let able: Vec<&Running> = engines.iter().filter(|up| case.beyond(up.engine).is_none()).collect();
                let first = number as usize % able.len().max(1);
                for up in able[first..].iter().chain(&able[..first]) {
                    for generator in self.generators(case) {
                        let measured = match case {
                            Case::Latency => self.latency(number, up),
                            _ => self.measure(number, case, up, generator),
                        };
                        self.note(number, case, up.engine, measured);
                    }
                }
            }
        }
    }

    /// A second generator checks the first one, where there is time for it.
    fn generators(&self, case: Case) -> Vec<Generator> {
        match case {
            Case::Hit1k | Case::Hit64k | Case::Hit1m if !self.options.quick => vec![Generator::Wrk, Generator::H2load],
            Case::Tls => vec![Generator::H2loadTls],
            Case::H2 => vec![Generator::H2loadH2],
            Case::Connect => vec![Generator::WrkClose],
            _ => vec![Generator::Wrk],
        }
    }

    fn note(&mut self, number: u32, case: Case, engine: Engine, measured: Result<Round>) {
        match measured {
            Ok(round) => {
                eprintln!(
                    "round {} {:<9} {:<6} {:<14} {:>8.2} µs/request {:>9.0} requests/s, p99 {:>7.0} µs",
                    number + 1,
                    case.name(),
                    round.generator,
                    engine.name(),
                    round.cpu_us_per_request,
                    round.requests_per_second,
                    round.p99_us.unwrap_or(f64::NAN)
                );
                self.results.rounds.push(round);
            }
            Err(reason) => {
                let line = format!("round {}, {}, {}: {reason:#}", number + 1, case.name(), engine.name());
                eprintln!("invalid: {line}");
                self.results.invalid.push(line);
            }
        }
    }

    fn demand(&mut self, case: Case, generator: Generator) -> Result<Demand> {
        let one = |bytes| Object { bytes, number: 0 };
        let path = |object: Object| (Ask::Path(object.path()), object);
        let (ask, sample) = match case {
            Case::Hit1k | Case::Connect => path(one(1 << 10)),
            Case::Hit1m => path(one(1 << 20)),
            Case::Mix => {
                let requests = workload::sequence(&workload::mix());
                (Ask::Script(self.scripts.in_turn("mix", &requests)?), requests[0])
            }
            Case::Disk => {
                let objects = workload::on_disk();
                (Ask::Script(self.scripts.in_turn("disk", &objects)?), objects[0])
            }
            Case::Miss => {
                let first = self.missed;
                self.missed += 1 << 24;
                let script = self.scripts.once_each("miss", MISS_BYTES, first)?;
                (Ask::Script(script), Object { bytes: MISS_BYTES, number: first })
            }
            _ => path(one(64 << 10)),
        };
        Ok(Demand { generator, ask, sample })
    }

    /// One load on one engine. The CPU time is the server's, over exactly the requests the generator counted.
    fn measure(&mut self, number: u32, case: Case, up: &Running, generator: Generator) -> Result<Round> {
        let demand = self.demand(case, generator)?;
        let peer = match generator {
            Generator::H2loadTls | Generator::H2loadH2 => up.tls.context("it speaks no TLS")?,
            _ => up.address,
        };
        let before = asked(self.place.origin)?;
        let pid = up.server.pid();
        let used = CpuTime::of_tree(pid)?;
        let time = Duration::from_secs(self.options.seconds());
        let load = demand.generator.run(peer, &demand.ask, self.options.connections, time)?;
        let used = CpuTime::of_tree(pid)?.since(&used);
        let missed = asked(self.place.origin)? - before;
        if case == Case::Miss {
            ensure!(missed >= load.requests, "only {missed} of {} requests went to the origin", load.requests);
        } else {
            fetch::check(up.address, demand.sample)?;
            ensure!(missed == 0, "{missed} requests went to the origin; these were not all hits");
        }
        Ok(Round {
            number,
            engine: up.engine,
            case,
            generator: generator.name().to_owned(),
            requests: load.requests,
            requests_per_second: load.requests_per_second,
            cpu_us_per_request: used.as_secs_f64() * 1e6 / load.requests as f64,
            p50_us: load.p50_us,
            p99_us: load.p99_us,
        })
    }

    /// What the engine can do in a closed loop, and then its latency below that.
    fn latency(&mut self, number: u32, up: &Running) -> Result<Round> {
        let full = self.measure(number, Case::Mix, up, Generator::Wrk)?;
        let rate = full.requests_per_second * LATENCY_SHARE;
        let paths = self.scripts.paths("latency", &workload::sequence(&workload::mix()))?;
        let pid = up.server.pid();
        let used = CpuTime::of_tree(pid)?;
        let seen = open::measure(up.address, &paths, rate, self.options.seconds())?;
        let used = CpuTime::of_tree(pid)?.since(&used);
        let late = seen.late_p99_us;
        ensure!(
            late < seen.p99_us * LATE_SHARE_MAX,
            "the generator itself was late by {late:.0} µs; it had no core of its own"
        );
        Ok(Round {
            number,
            engine: up.engine,
            case: Case::Latency,
            generator: "open".to_owned(),
            requests: seen.requests,
            requests_per_second: rate,
            cpu_us_per_request: used.as_secs_f64() * 1e6 / (rate * self.options.seconds() as f64),
            p50_us: Some(seen.p50_us),
            p99_us: Some(seen.p99_us),
        })
    }
}

fn skip(results: &mut Results, line: &str) {
    eprintln!("skipped: {line}");
    results.skipped.push(line.to_owned());
}

//! The comparison of the DNS side: CPU time per query of littoral beside gdnsd and Knot, with one map and one zone for all; [`paced`] is
//! about how long answers take, [`flood`] about who is answered in a flood, [`inside`] about what is measured without a socket.
//!
//! Each server has one thread for UDP on the server's core; dnsperf asks from the generator's, always with the same number of
//! queries under way. The servers take turns within each round, and a ratio compares two of the same round. Invariant: a round
//! counts only if every query was answered with NOERROR, and no server is measured before its answers were compared with
//! those of the others.

mod ask;
mod flood;
mod inside;
mod paced;
mod server;
mod world;

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail, ensure};
use clap::{Args, ValueEnum};
use serde::Serialize;

use crate::compare::memory_backed_directory;
use crate::machine::{CpuTime, GENERATOR_CORE, Machine, raise_descriptors, resident_bytes, stay_on};
use server::{Name, Running};
use world::World;

/// Queries under way at a time.
const UNDER_WAY: &str = "100";
/// Answers that are compared before anything is measured.
const SAMPLES: usize = 500;

/// What `littoral-bench dns` takes.
#[derive(Args, Clone, Debug)]
pub struct Options {
    /// The binary under test
    #[arg(long, default_value = "target/dist/littoral")]
    pub littoral: PathBuf,
    /// Rounds; ratios are given with the spread over them
    #[arg(long, default_value_t = 7, value_parser = clap::value_parser!(u32).range(1..=100))]
    pub rounds: u32,
    /// Seconds of load per server and case in a round
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u64).range(1..=600))]
    pub seconds: u64,
    /// IPv4 /24 in the map, each of one of 16 clusters
    #[arg(long, default_value_t = 60_000, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub prefixes: u32,
    /// Only these; then the table is printed, and no file written
    #[arg(long = "part", value_delimiter = ',')]
    pub parts: Vec<Part>,
    /// Built guests, for what one adds to a query
    #[arg(long, default_value = "target/plugins")]
    pub plugins: PathBuf,
    /// Where the results go
    #[arg(long, default_value = "bench/results")]
    pub out: PathBuf,
}

/// What there is to measure.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Part {
    /// CPU time per query, beside gdnsd and Knot
    Cpu,
    /// 99th percentile at 70 % of the capacity, beside gdnsd
    Latency,
    /// Who is answered while a flood of five times the capacity comes
    Flood,
    /// What the routing guest adds to a query
    Guest,
    /// Build of a map of five million prefixes, and lookups in it
    Map,
}

/// What is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum Case {
    /// The address of a service, each query with a client subnet of its own
    Chosen,
    /// Addresses of 1,000 names of a zone
    Static,
}

impl Case {
    const ALL: [Self; 2] = [Self::Chosen, Self::Static];

    /// With whom littoral is compared, and the largest ratio.
    fn mark(self) -> (Name, f64) {
        match self {
            Self::Chosen => (Name::Gdnsd, 1.25),
            Self::Static => (Name::Knot, 1.0),
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Chosen => "chosen, with a client subnet",
            Self::Static => "static",
        }
    }
}

/// One server in one case of one round.
#[derive(Clone, Debug, Serialize)]
struct Round {
    number: u32,
    case: Case,
    server: Name,
    cpu_us_per_query: f64,
    queries: u64,
    memory_mib: u64,
}

/// All of it.
#[derive(Debug, Serialize)]
struct Results {
    machine: Machine,
    versions: BTreeMap<Name, String>,
    prefixes: u32,
    seconds: u64,
    rounds: Vec<Round>,
    paced: Vec<paced::Round>,
    floods: Vec<flood::Round>,
    inside: Vec<inside::Figure>,
    /// Rounds that do not count and servers that are not there, with the reason.
    left_out: Vec<String>,
}

/// Runs everything and writes `DATE-COMMIT-dns.json` and `LATEST-DNS.md`, or prints the parts that are wanted.
///
/// # Errors
/// When the machine has one core, dnsperf is not there, or littoral could not be measured. Another server that is missing, or a
/// round that went wrong, is noted instead.
pub fn run(options: &Options) -> Result<()> {
    let work = memory_backed_directory()?;
    let world = World::make(work.path(), options.prefixes)?;
    let machine = Machine::describe()?;
    if machine.load_before > 1.0 {
        eprintln!("warning: load average is {}; others use these cores, ratios will be noisy", machine.load_before);
    }
    raise_descriptors();
    stay_on(GENERATOR_CORE)?;
    let mut results = Results::new(machine, options);
    if [Part::Cpu, Part::Latency, Part::Flood].into_iter().any(|part| options.wants(part)) {
        let running = results.started(options, &world);
        (0..options.rounds).for_each(|number| results.round(options, number, &running, &world));
    }
    if options.wants(Part::Guest) {
        results.inside.extend(inside::guest(&world, &options.plugins, options.rounds)?);
    }
    if options.wants(Part::Map) {
        results.inside.extend(inside::map(options.rounds)?);
    }
    let text = results.markdown();
    println!("{text}");
    if options.parts.is_empty() {
        std::fs::create_dir_all(&options.out)?;
        let stem = format!("{}-{}-dns.json", results.machine.date, results.machine.commit);
        std::fs::write(options.out.join(stem), serde_json::to_vec_pretty(&results)?)?;
        std::fs::write(options.out.join("LATEST-DNS.md"), text)?;
    }
    let is_measured = results.rounds.iter().any(|round| round.server == Name::Littoral);
    ensure!(is_measured || !options.wants(Part::Cpu), "littoral was not measured");
    Ok(())
}

impl Options {
    fn wants(&self, part: Part) -> bool {
        self.parts.is_empty() || self.parts.contains(&part)
    }
}

/// Asks a server what all have to answer alike.
fn agreed(up: &Running, world: &World) -> Result<()> {
    for (case, queries) in [(Case::Static, &world.static_queries), (Case::Chosen, &world.chosen_queries)] {
        if !up.name.can(case) {
            continue;
        }
        for query in queries.iter().take(SAMPLES) {
            let told = ask::address(up.address, &query.message)?;
            ensure!(told == query.expected, "{}: it answers {told} and not {}", case.name(), query.expected);
        }
    }
    Ok(())
}

fn measured(up: &Running, case: Case, number: u32, world: &World, seconds: u64) -> Result<Round> {
    let before = CpuTime::of_tree(up.server.pid())?;
    let queries = load(up, world.file(case), seconds)?;
    let spent = CpuTime::of_tree(up.server.pid())?.since(&before);
    let cpu_us_per_query = spent.as_secs_f64() * 1e6 / queries as f64;
    let memory_mib = resident_bytes(up.server.pid())? >> 20;
    eprintln!("round {} {:<29} {:<8} {cpu_us_per_query:>6.2} µs/query", number + 1, case.name(), up.name.title());
    Ok(Round { number, case, server: up.name, cpu_us_per_query, queries, memory_mib })
}

/// How many queries were answered.
fn load(up: &Running, file: &Path, seconds: u64) -> Result<u64> {
    let output = Command::new("taskset")
        .args(["-c", &GENERATOR_CORE.to_string(), "dnsperf", "-B", "-c", "16", "-q", UNDER_WAY, "-d"])
        .arg(file)
        .args(["-l", &seconds.to_string(), "-s", &up.address.ip().to_string(), "-p", &up.address.port().to_string()])
        .stdin(Stdio::null())
        .output()
        .context("dnsperf cannot be run; Debian has it in dnsperf")?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    if !output.status.success() {
        bail!("dnsperf: {}", String::from_utf8_lossy(&output.stderr).trim());
    }
    completed(&text)
}

/// Reads what dnsperf prints.
fn completed(text: &str) -> Result<u64> {
    let figure = |label: &str| {
        let line = text.lines().find_map(|line| line.trim().strip_prefix(label));
        let word = line.and_then(|line| line.split_whitespace().next());
        word.and_then(|word| word.parse::<u64>().ok()).with_context(|| format!("dnsperf printed no {label:?}"))
    };
    let (sent, completed) = (figure("Queries sent:")?, figure("Queries completed:")?);
    ensure!(completed > 0 && sent == completed, "{} of {sent} queries were not answered", sent - completed);
    let codes = text.lines().find_map(|line| line.trim().strip_prefix("Response codes:")).map(str::trim);
    ensure!(
        codes == Some(&format!("NOERROR {completed} (100.00%)")),
        "not all NOERROR: {}",
        codes.unwrap_or("nothing")
    );
    Ok(completed)
}

impl Results {
    fn new(machine: Machine, options: &Options) -> Self {
        Self {
            machine,
            versions: BTreeMap::new(),
            prefixes: options.prefixes,
            seconds: options.seconds,
            rounds: Vec::new(),
            paced: Vec::new(),
            floods: Vec::new(),
            inside: Vec::new(),
            left_out: Vec::new(),
        }
    }

    /// The servers that are there and answer as all do.
    fn started(&mut self, options: &Options, world: &World) -> Vec<Running> {
        let mut running = Vec::new();
        for name in Name::ALL {
            match name.start(&options.littoral, world).and_then(|up| agreed(&up, world).map(|()| up)) {
                Ok(up) => {
                    self.versions.insert(name, up.version.clone());
                    running.push(up);
                }
                Err(reason) => self.leave_out(format!("{}: {reason:#}", name.title())),
            }
        }
        running
    }

    /// One round of what is wanted; the servers take turns, and another one is the first each time.
    fn round(&mut self, options: &Options, number: u32, running: &[Running], world: &World) {
        let first = number as usize % running.len().max(1);
        let in_turn = || running[first..].iter().chain(&running[..first]);
        let seconds = options.seconds;
        let label = |what: &str, up: &Running| format!("round {}, {what}, {}", number + 1, up.name.title());
        for case in Case::ALL.into_iter().filter(|_| options.wants(Part::Cpu)) {
            for up in in_turn().filter(|up| up.name.can(case)) {
                match measured(up, case, number, world, seconds) {
                    Ok(round) => self.rounds.push(round),
                    Err(reason) => self.leave_out(format!("{}: {reason:#}", label(case.name(), up))),
                }
            }
        }
        for up in in_turn().filter(|up| options.wants(Part::Latency) && up.name.can(Case::Chosen)) {
            match paced::measured(up, number, world, seconds) {
                Ok(round) => self.paced.push(round),
                Err(reason) => self.leave_out(format!("{}: {reason:#}", label("latency", up))),
            }
        }
        for up in in_turn().filter(|_| options.wants(Part::Flood)) {
            match flood::measured(up, number, world, seconds) {
                Ok(round) => self.floods.push(round),
                Err(reason) => self.leave_out(format!("{}: {reason:#}", label("flood", up))),
            }
        }
    }

    fn leave_out(&mut self, line: String) {
        eprintln!("left out: {line}");
        self.left_out.push(line);
    }

    /// CPU time per query of a server in the rounds of a case.
    fn figures(&self, case: Case, server: Name) -> BTreeMap<u32, f64> {
        let wanted = self.rounds.iter().filter(|round| round.case == case && round.server == server);
        wanted.map(|round| (round.number, round.cpu_us_per_query)).collect()
    }

    fn markdown(&self) -> String {
        let Machine { cpu, cores, kernel, load_before, date, commit } = &self.machine;
        let mut text = format!(
            "# DNS\n\n{date}, {commit}; {cpu}, {cores} cores, Linux {kernel}, load before {load_before}; \
             {} prefixes, {} s a round, one thread each. Medians, in brackets the least and the most.\n",
            self.prefixes, self.seconds
        );
        for (section, is_there) in [
            (self.cpu(), !self.rounds.is_empty()),
            (paced::markdown(&self.paced), !self.paced.is_empty()),
            (flood::markdown(&self.floods), !self.floods.is_empty()),
            (inside::markdown(&self.inside), !self.inside.is_empty()),
        ] {
            text.push_str(if is_there { &section } else { "" });
        }
        for (name, version) in &self.versions {
            let _ = write!(text, "\n- {}: {version}", name.title());
        }
        for line in &self.left_out {
            let _ = write!(text, "\n- left out: {line}");
        }
        text.push('\n');
        text
    }

    fn cpu(&self) -> String {
        let mut text = "\n## CPU time per query\n\n| case | server | µs per query | littoral to it | mark |\n|---|---|---|---|---|\n".to_owned();
        for case in Case::ALL {
            let own = self.figures(case, Name::Littoral);
            for server in Name::ALL.into_iter().filter(|server| server.can(case)) {
                let theirs = self.figures(case, server);
                let ratios = theirs.iter().filter_map(|(number, them)| Some(own.get(number)? / them)).collect();
                let (against, limit) = case.mark();
                let mark = Spread::of(ratios).filter(|_| server == against).map_or(String::new(), |ratio| {
                    format!("≤ {limit:.2}: {}", if ratio.median <= limit { "met" } else { "missed" })
                });
                let ratio =
                    Spread::of(theirs.iter().filter_map(|(number, them)| Some(own.get(number)? / them)).collect());
                let ratio = ratio.filter(|_| server != Name::Littoral).map_or(String::new(), |ratio| ratio.text());
                let figures =
                    Spread::of(theirs.into_values().collect()).map_or("not measured".into(), |all| all.text());
                let _ = writeln!(text, "| {} | {} | {figures} | {ratio} | {mark} |", case.name(), server.title());
            }
        }
        text
    }
}

/// Median, least and most.
struct Spread {
    median: f64,
    least: f64,
    most: f64,
}

impl Spread {
    fn of(mut figures: Vec<f64>) -> Option<Self> {
        figures.sort_by(f64::total_cmp);
        let (least, most) = (*figures.first()?, *figures.last()?);
        Some(Self { median: figures[figures.len() / 2], least, most })
    }

    fn text(&self) -> String {
        format!("{:.2} ({:.2}–{:.2})", self.median, self.least, self.most)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PRINTED: &str = "Statistics:\n\n  Queries sent:         400\n  Queries completed:    400 (100.00%)\n  Queries lost:         0 \
                           (0.00%)\n\n  Response codes:       NOERROR 400 (100.00%)\n";

    #[test]
    fn a_run_with_a_lost_query_or_another_code_does_not_count() {
        assert_eq!(completed(PRINTED).expect("a run"), 400);
        let lost = PRINTED.replace("completed:    400", "completed:    399");
        assert!(completed(&lost).expect_err("a loss").to_string().starts_with("1 of 400"));
        let refused = PRINTED.replace("NOERROR 400 (100.00%)", "NOERROR 399 (99.75%), REFUSED 1 (0.25%)");
        assert!(completed(&refused).expect_err("a refusal").to_string().starts_with("not all NOERROR"));
        assert!(completed("").is_err());
    }

    #[test]
    fn a_ratio_is_taken_within_a_round_and_a_mark_is_judged_by_the_median() {
        let machine = Machine {
            cpu: "c".into(),
            cores: 2,
            kernel: "k".into(),
            load_before: 0.0,
            date: "d".into(),
            commit: "c".into(),
        };
        let round = |number, server, cpu_us_per_query| Round {
            number,
            case: Case::Static,
            server,
            cpu_us_per_query,
            queries: 1,
            memory_mib: 1,
        };
        let rounds = [(0, 1.0, 2.0), (1, 3.0, 2.0), (2, 1.0, 1.25)]
            .into_iter()
            .flat_map(|(number, own, knot)| [round(number, Name::Littoral, own), round(number, Name::Knot, knot)]);
        let results = Results {
            machine,
            versions: BTreeMap::new(),
            prefixes: 1,
            seconds: 1,
            rounds: rounds.collect(),
            paced: Vec::new(),
            floods: Vec::new(),
            inside: Vec::new(),
            left_out: vec!["gdnsd: none".into()],
        };
        let text = results.markdown();
        assert!(text.contains("| static | knot | 2.00 (1.25–2.00) | 0.80 (0.50–1.50) | ≤ 1.00: met |"), "{text}");
        assert!(text.contains("| chosen, with a client subnet | gdnsd | not measured |  |  |"), "{text}");
        assert!(text.contains("left out: gdnsd: none"), "{text}");
    }
}

//! What a run leaves: a JSON file with every round, and Markdown tables of medians and ratios.
//!
//! [`marks`] says which mark was met. Invariant: a ratio compares two engines within one round; the spread is over rounds, never
//! over engines.

mod marks;

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};

use crate::case::Case;
use crate::engine::Engine;
use crate::machine::Machine;

/// Lines between which [`render`] puts the table into a README.
const BEGIN: &str = "<!-- bench:begin -->";
const END: &str = "<!-- bench:end -->";

/// Everything one run measured.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Results {
    /// Where and when.
    pub machine: Machine,
    /// Rounds asked for.
    pub rounds_asked: u32,
    /// Seconds of load per measurement.
    pub seconds: u64,
    /// Connections of the generator.
    pub connections: u32,
    /// Version line of each engine that was started.
    pub versions: BTreeMap<Engine, String>,
    /// What was left out and why.
    pub skipped: Vec<String>,
    /// Measurements that did not count and why.
    pub invalid: Vec<String>,
    /// Measurements that count.
    pub rounds: Vec<Round>,
    /// Memory per cached object.
    pub memory: Vec<Memory>,
    /// Memory of idle connections.
    pub idle: Vec<Idle>,
    /// Memory of the index of a disk.
    pub index: Option<Index>,
    /// Milliseconds from spawning littoral to its first proxied answer.
    pub start_ms: Vec<f64>,
}

/// One load on one engine.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Round {
    /// Which round, from 0.
    pub number: u32,
    /// The engine.
    pub engine: Engine,
    /// The case.
    pub case: Case,
    /// `wrk`, `h2load`, or `open` for the open loop.
    pub generator: String,
    /// Answers counted.
    pub requests: u64,
    /// Answers per second; of the open loop, requests.
    pub requests_per_second: f64,
    /// CPU time of the server's process tree, user and system, divided by the answers.
    pub cpu_us_per_request: f64,
    /// Median latency; not of h2load.
    pub p50_us: Option<f64>,
    /// 99th percentile of latency; not of h2load.
    pub p99_us: Option<f64>,
}

/// Memory that cached objects took.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Memory {
    /// The engine.
    pub engine: Engine,
    /// Objects cached.
    pub objects: u64,
    /// Size of each.
    pub object_bytes: u64,
    /// Growth of resident memory, and of the files on tmpfs where bodies lie there.
    pub held_bytes: u64,
}

/// Memory that idle connections took.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Idle {
    /// The engine.
    pub engine: Engine,
    /// Connections held, each used once.
    pub connections: u64,
    /// Growth of resident memory.
    pub held_bytes: u64,
    /// All of resident memory with them.
    pub total_bytes: u64,
}

/// Memory of the index of a disk.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct Index {
    /// Objects in it.
    pub objects: u64,
    /// Growth of resident memory.
    pub held_bytes: u64,
}

/// Minimum, median and maximum of some values.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Spread {
    /// Smallest.
    pub min: f64,
    /// Middle one, or the mean of the two in the middle.
    pub median: f64,
    /// Largest.
    pub max: f64,
}

impl Spread {
    /// The spread of some values; `None` of no value.
    #[must_use]
    pub fn of(mut values: Vec<f64>) -> Option<Self> {
        values.sort_by(f64::total_cmp);
        let (min, max) = (*values.first()?, *values.last()?);
        let middle = values.len() / 2;
        let median =
            if values.len() % 2 == 1 { values[middle] } else { f64::midpoint(values[middle - 1], values[middle]) };
        Some(Self { min, median, max })
    }
}

impl Results {
    /// Results without any measurement yet.
    #[must_use]
    pub fn new(machine: Machine, rounds_asked: u32, seconds: u64, connections: u32) -> Self {
        Self {
            machine,
            rounds_asked,
            seconds,
            connections,
            versions: BTreeMap::new(),
            skipped: Vec::new(),
            invalid: Vec::new(),
            rounds: Vec::new(),
            memory: Vec::new(),
            idle: Vec::new(),
            index: None,
            start_ms: Vec::new(),
        }
    }

    /// Whether nothing counts.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        let Self { rounds, memory, idle, index, start_ms, .. } = self;
        rounds.is_empty() && memory.is_empty() && idle.is_empty() && index.is_none() && start_ms.is_empty()
    }

    /// Writes `DATE-COMMIT.json` and `LATEST.md` into a directory, and gives the path of the first.
    ///
    /// # Errors
    /// When the directory cannot be written.
    pub fn write(&self, directory: &Path) -> Result<PathBuf> {
        fs::create_dir_all(directory)?;
        let path = directory.join(format!("{}-{}.json", self.machine.date, self.machine.commit));
        fs::write(&path, serde_json::to_string_pretty(self)? + "\n")
            .with_context(|| format!("cannot write {}", path.display()))?;
        fs::write(directory.join("LATEST.md"), self.markdown())?;
        Ok(path)
    }

    /// All tables.
    #[must_use]
    pub fn markdown(&self) -> String {
        let machine = &self.machine;
        let mut out = format!(
            "Measured {} at {}, {} ({} cores), Linux {}, load average {} before; {} rounds of {} s, {} connections; \
             server on one core, generator on another.\n\n",
            machine.date,
            machine.commit,
            machine.cpu,
            machine.cores,
            machine.kernel,
            machine.load_before,
            self.rounds_asked,
            self.seconds,
            self.connections
        );
        for table in [self.marks_table(), self.cpu_table(), self.rate_table(), self.memory_table()] {
            out.push_str(&table);
        }
        if let Some(start) = Spread::of(self.start_ms.clone()) {
            let runs = self.start_ms.len();
            let _ = writeln!(
                out,
                "littoral, start to first proxied answer, compiled plugins cached: {:.0} ms ({:.0}–{:.0}, {runs} starts).\n",
                start.median, start.min, start.max
            );
        }
        for (engine, version) in &self.versions {
            let _ = writeln!(out, "- {}: {version}", engine.name());
        }
        for line in &self.skipped {
            let _ = writeln!(out, "- skipped: {line}");
        }
        for line in &self.invalid {
            let _ = writeln!(out, "- not counted: {line}");
        }
        out
    }

    /// The cases that were measured under load, with their generators, in the order of the report.
    fn cases(&self) -> Vec<(Case, &str)> {
        let mut cases: Vec<_> = self.rounds.iter().map(|round| (round.case, round.generator.as_str())).collect();
        // wrk before h2load
        cases.sort_by_key(|&(case, generator)| (case, std::cmp::Reverse(generator)));
        cases.dedup();
        cases
    }

    /// The engines that were measured, in the order of the report.
    fn engines(&self) -> impl Iterator<Item = Engine> {
        Engine::ALL.into_iter().filter(|engine| self.versions.contains_key(engine))
    }

    fn values(&self, case: (Case, &str), engine: Engine, value: impl Fn(&Round) -> Option<f64>) -> BTreeMap<u32, f64> {
        self.rounds
            .iter()
            .filter(|round| (round.case, round.generator.as_str()) == case && round.engine == engine)
            .filter_map(|round| Some((round.number, value(round)?)))
            .collect()
    }

    /// CPU per request, or latency in the case that is about it.
    fn figure(&self, case: (Case, &str), engine: Engine) -> BTreeMap<u32, f64> {
        self.values(case, engine, |round| match round.case {
            Case::Latency => round.p99_us,
            _ => Some(round.cpu_us_per_request),
        })
    }

    /// Ratios of [`Self::figure`], littoral over another engine, one per round in which both counted.
    fn ratios(&self, case: (Case, &str), other: Engine) -> Vec<f64> {
        let others = self.figure(case, other);
        let ours = self.figure(case, Engine::Littoral);
        ours.iter().filter_map(|(number, ours)| Some(ours / others.get(number)?)).collect()
    }

    fn header(&self, first: &str, last: &str) -> String {
        let titles: Vec<&str> = self.engines().map(Engine::title).collect();
        let line = format!("| {first} | generator | {} |{last}\n", titles.join(" | "));
        let columns = line.matches('|').count() - 1;
        line + "|" + &"---|".repeat(columns) + "\n"
    }

    fn cpu_table(&self) -> String {
        let cases: Vec<_> = self.cases().into_iter().filter(|&(case, _)| case != Case::Latency).collect();
        if cases.is_empty() {
            return String::new();
        }
        let mut out = String::from(
            "CPU µs per request (server, user + system): medians over rounds; last: median (min–max).\n\n",
        );
        out += &self.header("case", " littoral ÷ without policies |");
        for case in cases {
            let _ = write!(out, "| {} | {} |", case.0.name(), case.1);
            for engine in self.engines() {
                let _ = write!(out, " {} |", median(self.figure(case, engine).into_values(), 2));
            }
            let _ = writeln!(out, " {} |", spread(self.ratios(case, Engine::LittoralBare)));
        }
        out + "\n"
    }

    fn rate_table(&self) -> String {
        let cases: Vec<_> = self.cases().into_iter().filter(|&(_, generator)| generator != "h2load").collect();
        if cases.is_empty() {
            return String::new();
        }
        let mut out = String::from(
            "Requests per second / p50 µs / p99 µs, medians: under full load (wrk), and in an open loop at 70 % of each engine's own full \
             load.\n\n",
        );
        out += &self.header("case", "");
        for case in cases {
            let _ = write!(out, "| {} | {} |", case.0.name(), case.1);
            for engine in self.engines() {
                let rate = median(self.values(case, engine, |round| Some(round.requests_per_second)).into_values(), 0);
                let p50 = median(self.values(case, engine, |round| round.p50_us).into_values(), 0);
                let p99 = median(self.values(case, engine, |round| round.p99_us).into_values(), 0);
                let _ = write!(out, " {rate} / {p50} / {p99} |");
            }
            out.push('\n');
        }
        out + "\n"
    }

    fn memory_table(&self) -> String {
        let mut out = String::new();
        if !self.memory.is_empty() {
            out += "| memory | objects | per object | ÷ bytes cached |\n|---|---|---|---|\n";
        }
        for memory in &self.memory {
            let each = memory.held_bytes as f64 / memory.objects as f64;
            let ratio = each / memory.object_bytes as f64;
            let (name, objects, kind) = (memory.engine.title(), memory.objects, size(memory.object_bytes));
            let _ = writeln!(out, "| {name} | {objects} × {kind} | {:.1} KiB | {ratio:.2} |", each / 1024.0);
        }
        if !self.idle.is_empty() {
            out += "\n| idle connections | number | growth per connection | all of its memory with them |\n|---|---|---|---|\n";
        }
        for Idle { engine, connections, held_bytes, total_bytes } in &self.idle {
            let (each, total) = (held_bytes / connections.max(&1), total_bytes >> 20);
            let _ = writeln!(out, "| {} | {connections} | {each} B | {total} MiB |", engine.title());
        }
        if let Some(Index { objects, held_bytes }) = self.index {
            let each = held_bytes as f64 / objects as f64;
            let _ = writeln!(out, "\nIndex of a disk, {objects} objects: {each:.0} B of memory each.");
        }
        if out.is_empty() { out } else { out + "\n" }
    }
}

/// Prints the tables of a results file, and puts them between the bench markers of a README.
///
/// # Errors
/// When the file is no results file, or the README has no markers.
pub fn render(results: &Path, readme: Option<&Path>) -> Result<()> {
    let text = fs::read_to_string(results).with_context(|| format!("cannot read {}", results.display()))?;
    let results: Results =
        serde_json::from_str(&text).with_context(|| format!("{} is no results file", results.display()))?;
    let table = results.markdown();
    println!("{table}");
    if let Some(readme) = readme {
        let old = fs::read_to_string(readme).with_context(|| format!("cannot read {}", readme.display()))?;
        let new = splice(&old, &table)
            .with_context(|| format!("{} has no line {BEGIN} followed by {END}", readme.display()))?;
        fs::write(readme, new)?;
    }
    Ok(())
}

fn splice(text: &str, table: &str) -> Option<String> {
    let begin = text.find(BEGIN)? + BEGIN.len();
    let end = begin + text[begin..].find(END)?;
    Some(format!("{}\n{}\n{}", &text[..begin], table.trim_end(), &text[end..]))
}

fn size(bytes: u64) -> String {
    match bytes {
        bytes if bytes >= 1 << 20 && bytes % (1 << 20) == 0 => format!("{} MiB", bytes >> 20),
        bytes if bytes >= 1 << 10 && bytes % (1 << 10) == 0 => format!("{} KiB", bytes >> 10),
        bytes => format!("{bytes} B"),
    }
}

fn median(values: impl Iterator<Item = f64>, digits: usize) -> String {
    Spread::of(values.collect()).map_or_else(|| "–".to_owned(), |spread| format!("{:.digits$}", spread.median))
}

fn spread(values: Vec<f64>) -> String {
    Spread::of(values)
        .map_or_else(|| "–".to_owned(), |spread| format!("{:.2} ({:.2}–{:.2})", spread.median, spread.min, spread.max))
}

#[cfg(test)]
mod tests;

//! Records: every decision of a policy, with what it was asked and what it knew, in a bounded file for `littoral plugin replay`.
//!
//! Whoever called the guest puts a copy into the plugin's queue, and one thread writes. A queue that is full loses the decision and
//! counts it: a slow disk never slows a call. What a line looks like is [`line`]'s.
//!
//! Invariants: on the way of a call no lock is taken and no file touched, and without a record nothing is done at all. PATH and `PATH.1` have
//! together at most the bytes of the config, and each can be replayed by itself.

use std::fs::File;
use std::io::Write;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use crossbeam_queue::ArrayQueue;
use parking_lot::Mutex;
use serde::Serialize;

pub(crate) mod line;

use crate::engine::PluginSpec;
use crate::generations::Running;
use crate::limits::{RECORD_QUEUE, RECORD_TOLD_MAX};
use crate::plugin::Code;
use crate::query::Query;
use crate::question::{Question, Reply, Snapshot};
use crate::types::{ClusterRow, Fault};
use line::Line;

/// Generations that a new file begins with.
const GENERATIONS_MAX: usize = 3;
/// How often the writer looks.
const WRITE_EVERY: Duration = Duration::from_millis(50);

/// Where a plugin's decisions are recorded, and how much of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecordSpec {
    /// The file; the one before is `FILE.1`.
    pub file: PathBuf,
    /// Bytes of both together.
    pub bytes: u64,
}

/// What was counted of a record.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Recorded {
    /// The file.
    pub file: PathBuf,
    /// Decisions written.
    pub decisions: u64,
    /// Decisions lost because the writer did not keep up.
    pub dropped: u64,
    /// Writes that failed, whatever they held.
    pub failed: u64,
}

#[derive(Debug, Default)]
pub(crate) struct Counts {
    decisions: AtomicU64,
    dropped: AtomicU64,
    failed: AtomicU64,
}

/// One decision on its way to the writer.
#[derive(Debug)]
struct Decided {
    generation: u64,
    /// Number of the last thing the instance had been told.
    snapshot: u64,
    question: Question,
    outcome: Result<Reply, Fault>,
}

/// What is between those who call and the writer.
#[derive(Debug)]
pub(crate) struct Lane {
    queue: ArrayQueue<Decided>,
    told: Mutex<Vec<Told>>,
    ends: AtomicBool,
    counts: Arc<Counts>,
}

/// What changes seldom, and may not be lost.
#[derive(Debug)]
pub(crate) enum Told {
    Generation { number: u64, sha256: String, config: String },
    Clusters { snapshot: u64, version: u64, all: Vec<ClusterRow> },
    Ladder { snapshot: u64, id: u32, kbps: Vec<u32> },
    All { number: u64, snapshot: Snapshot },
}

impl Told {
    fn number(&self) -> u64 {
        match self {
            Self::Generation { .. } => 0,
            Self::Clusters { snapshot, .. } | Self::Ladder { snapshot, .. } => *snapshot,
            Self::All { number, .. } => *number,
        }
    }
}

impl Lane {
    /// Notes a decision, or that there was no room for it.
    pub(crate) fn decided<Q: Query>(
        &self,
        generation: u64,
        snapshot: u64,
        query: &Q,
        outcome: &Result<Q::Answer, Fault>,
    ) {
        if self.queue.is_full() {
            self.counts.dropped.fetch_add(1, Relaxed);
            return;
        }
        let outcome = outcome.as_ref().map(|answer| query.reply(answer)).map_err(|fault| *fault);
        if self.queue.push(Decided { generation, snapshot, question: query.question(), outcome }).is_err() {
            self.counts.dropped.fetch_add(1, Relaxed);
        }
    }

    /// Notes what was told; `all` is what is known with it. Of too much only the outcome is kept.
    pub(crate) fn told(&self, told: Told, number: u64, all: &Snapshot) {
        let mut waiting = self.told.lock();
        if waiting.len() < RECORD_TOLD_MAX {
            return waiting.push(told);
        }
        waiting.retain(|told| matches!(told, Told::Generation { .. }));
        waiting.truncate(RECORD_TOLD_MAX / 2);
        waiting.push(Told::All { number, snapshot: all.clone() });
    }

    /// Notes a generation that is called from now on.
    pub(crate) fn generation(&self, number: u64, sha256: &str, config: &str) {
        let told = Told::Generation { number, sha256: sha256.to_owned(), config: config.to_owned() };
        self.told.lock().push(told);
    }
}

/// A record in force. Dropped, it writes what it holds and ends.
pub(crate) struct Recorder {
    spec: RecordSpec,
    lane: Arc<Lane>,
    counts: Arc<Counts>,
    writer: Option<std::thread::JoinHandle<()>>,
}

impl Recorder {
    /// Starts one for a plugin that knows `all`. What cannot be opened or written is logged and counted, and tried again.
    pub(crate) fn start(plugin: &str, spec: &RecordSpec, number: u64, all: &Snapshot) -> Option<Self> {
        let counts = Arc::<Counts>::default();
        let told = vec![Told::All { number, snapshot: all.clone() }];
        let (queue, ends) = (ArrayQueue::new(RECORD_QUEUE), AtomicBool::new(false));
        let lane = Arc::new(Lane { queue, told: Mutex::new(told), ends, counts: counts.clone() });
        let writer = Writer {
            plugin: plugin.to_owned(),
            spec: spec.clone(),
            lane: lane.clone(),
            file: None,
            written: 0,
            is_failing: false,
            number: 0,
            known: Snapshot::default(),
            generations: Vec::new(),
        };
        let thread = std::thread::Builder::new().name("plugin-record".into()).spawn(move || writer.run());
        let thread =
            thread.inspect_err(|error| tracing::error!(plugin, %error, "its decisions are not recorded")).ok()?;
        Some(Self { spec: spec.clone(), lane, counts, writer: Some(thread) })
    }

    /// Notes the generations that are called from now on.
    pub(crate) fn running(&self, running: &Running<PluginSpec, Code>) {
        let candidate = running.trial.as_ref().map(|trial| &trial.candidate);
        for generation in candidate.into_iter().chain([&running.present]) {
            self.lane.generation(generation.number, &generation.sha256, &generation.spec.config);
        }
    }

    pub(crate) fn lane(&self) -> &Arc<Lane> {
        &self.lane
    }

    pub(crate) fn spec(&self) -> &RecordSpec {
        &self.spec
    }

    pub(crate) fn status(&self) -> Recorded {
        let Counts { decisions, dropped, failed } = &*self.counts;
        let of = |count: &AtomicU64| count.load(Relaxed);
        Recorded { file: self.spec.file.clone(), decisions: of(decisions), dropped: of(dropped), failed: of(failed) }
    }
}

impl Drop for Recorder {
    fn drop(&mut self) {
        self.lane.ends.store(true, Relaxed);
        if let Some(writer) = self.writer.take() {
            writer.thread().unpark();
            // It panics nowhere; if it did, what it held is lost with it.
            let _ = writer.join();
        }
    }
}

/// A generation, as a record has it.
struct Loading {
    number: u64,
    sha256: String,
    config: String,
}

struct Writer {
    plugin: String,
    spec: RecordSpec,
    lane: Arc<Lane>,
    file: Option<File>,
    /// Bytes of the file.
    written: u64,
    /// The last write failed: told once.
    is_failing: bool,
    /// What a new file begins with, so that it can be replayed by itself.
    number: u64,
    known: Snapshot,
    /// Those that were told last: a call may still be in the one before, and one may be tried beside what runs.
    generations: Vec<Loading>,
}

impl Writer {
    fn run(mut self) {
        loop {
            let ends = self.lane.ends.load(Relaxed);
            self.write_what_waits();
            if ends {
                return;
            }
            std::thread::park_timeout(WRITE_EVERY);
        }
    }

    fn write_what_waits(&mut self) {
        // Decisions first: what they were told of has been noted before them.
        let mut decided: Vec<_> = std::iter::from_fn(|| self.lane.queue.pop()).take(RECORD_QUEUE).collect();
        let told = std::mem::take(&mut *self.lane.told.lock());
        decided.sort_by_key(|decided| decided.snapshot);
        let mut decided = decided.into_iter().peekable();
        for told in told {
            let before = told.number();
            while let Some(decided) = decided.next_if(|decided| decided.snapshot < before) {
                self.write_decision(decided);
            }
            self.learn(told);
        }
        decided.for_each(|decided| self.write_decision(decided));
        if let Some(Err(error)) = self.file.as_mut().map(File::flush) {
            self.failed(&error);
        }
    }

    fn write_decision(&mut self, Decided { generation, snapshot, question, outcome }: Decided) {
        let (reply, fault) = match outcome {
            Ok(reply) => (Some(reply), None),
            Err(fault) => (None, Some(fault)),
        };
        if self.write(&Line::Decision { generation, snapshot, question, reply, fault }) {
            self.lane.counts.decisions.fetch_add(1, Relaxed);
        }
    }

    /// Writes what was told, and keeps it for the next file.
    fn learn(&mut self, told: Told) {
        let line = match told {
            Told::Generation { number, sha256, config } => {
                if let Some(at) = self.generations.iter().position(|known| known.number == number) {
                    self.generations[at..].rotate_left(1);
                    return;
                }
                if self.generations.len() == GENERATIONS_MAX {
                    self.generations.remove(0);
                }
                let loading = Loading { number, sha256, config };
                let line = line_of(&loading);
                self.generations.push(loading);
                Some(line)
            }
            Told::Clusters { snapshot, version, all } => {
                self.number = snapshot;
                (self.known.version, self.known.clusters) = (version, all.clone());
                Some(Line::Clusters { snapshot, version, all })
            }
            Told::Ladder { snapshot, id, kbps } => {
                self.number = snapshot;
                self.known.keep_ladder(id, kbps.clone());
                Some(Line::Ladder { snapshot, id, kbps })
            }
            Told::All { number, snapshot } => {
                (self.number, self.known) = (number, snapshot);
                return self.write_all_known();
            }
        };
        if let Some(line) = line {
            self.write(&line);
        }
    }

    fn write_all_known(&mut self) {
        if self.file.is_some() {
            for line in self.known_lines() {
                self.write(&line);
            }
            return;
        }
        // A new file begins with it.
        if let Err(error) = self.begin() {
            self.failed(&error);
        }
    }

    fn known_lines(&self) -> Vec<Line> {
        let Snapshot { version, clusters, ladders } = &self.known;
        let snapshot = self.number;
        let clusters = Line::Clusters { snapshot, version: *version, all: clusters.clone() };
        let ladders = ladders.iter().map(|(id, kbps)| Line::Ladder { snapshot, id: *id, kbps: kbps.clone() });
        [clusters].into_iter().chain(ladders).collect()
    }

    /// Writes a line, into a new file where the one there is is full. Whether it is written.
    fn write(&mut self, line: &Line) -> bool {
        let Ok(mut text) = serde_json::to_vec(line) else { return false };
        text.push(b'\n');
        let is_full = self.written + text.len() as u64 > self.spec.bytes / 2;
        if (self.file.is_none() || is_full)
            && let Err(error) = self.begin()
        {
            self.failed(&error);
            return false;
        }
        match self.put(&text) {
            Ok(()) => true,
            Err(error) => {
                self.failed(&error);
                false
            }
        }
    }

    /// A new file, which begins with all that is known.
    fn begin(&mut self) -> std::io::Result<()> {
        let mut before = self.spec.file.clone().into_os_string();
        before.push(".1");
        match std::fs::rename(&self.spec.file, before) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        (self.file, self.written) = (Some(File::create(&self.spec.file)?), 0);
        let mut lines = vec![Line::Record { version: line::VERSION, plugin: self.plugin.clone() }];
        lines.extend(self.generations.iter().map(line_of));
        lines.extend(self.known_lines());
        for line in lines {
            let mut text = serde_json::to_vec(&line)?;
            text.push(b'\n');
            if self.written + text.len() as u64 > self.spec.bytes / 2 {
                return Err(std::io::Error::other(
                    "what the plugin knows alone has more bytes than half of record_bytes",
                ));
            }
            self.put(&text)?;
        }
        Ok(())
    }

    fn put(&mut self, text: &[u8]) -> std::io::Result<()> {
        if let Some(file) = &mut self.file {
            file.write_all(text)?;
            self.written += text.len() as u64;
            self.is_failing = false;
        }
        Ok(())
    }

    /// A file with half a line in it is left: the next line begins another.
    fn failed(&mut self, error: &std::io::Error) {
        self.lane.counts.failed.fetch_add(1, Relaxed);
        self.file = None;
        if !std::mem::replace(&mut self.is_failing, true) {
            let (plugin, file) = (&self.plugin, self.spec.file.display());
            tracing::error!(plugin, %file, %error, "its decisions cannot be recorded; see that there is room and that the node may write there");
        }
    }
}

fn line_of(Loading { number, sha256, config }: &Loading) -> Line {
    let config = serde_json::from_str(config).unwrap_or_default();
    Line::Generation { number: *number, sha256: sha256.clone(), config }
}

#[cfg(test)]
mod tests;

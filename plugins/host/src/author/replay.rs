//! Replaying a record: another version of a policy is asked what a node's policy was asked, and told what that was told.
//!
//! A record is read line by line, so that its size does not matter. Whatever was recorded last may be half a line.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read};
use std::path::Path;

use serde::Serialize;

use crate::limits::RECORD_LINE_BYTES_MAX;
use crate::plugin::Generation;
use crate::question::{Question, Reply, Snapshot, Trial};
use crate::record::line::{Line, VERSION};
use crate::types::Fault;

/// Differences told one by one.
const DIFFERENCES_TOLD: usize = 20;
/// Kinds of differences told apart.
const KINDS_MAX: usize = 64;

/// How another version does on a record.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Replayed {
    /// Whose decisions they were.
    pub plugin: String,
    /// By function.
    pub functions: BTreeMap<&'static str, Tally>,
    /// From what to what answers changed, and how often.
    pub changes: BTreeMap<String, u64>,
    /// The first differences.
    pub differences: Vec<Difference>,
    /// Decisions that cannot be compared: made on what was known before, or of an interface it does not export.
    pub skipped: u64,
    /// The record ends with half a line.
    pub is_cut: bool,
}

/// How often it answers the same.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Tally {
    /// Questions asked.
    pub asked: u64,
    /// Answered otherwise; a fault in place of an answer is another answer.
    pub different: u64,
    /// Not answered, by the version that is tried.
    pub faults: u64,
    /// Fuel of all calls.
    pub fuel: u64,
}

/// A question with two answers.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Difference {
    /// The line of the record.
    pub line: u64,
    /// The generation that answered then.
    pub generation: u64,
    /// What was asked.
    pub question: Question,
    /// What was answered then.
    pub then: String,
    /// What is answered now.
    pub now: String,
}

impl Replayed {
    /// Whether every answer is the same.
    pub fn is_same(&self) -> bool {
        self.functions.values().all(|tally| tally.different == 0)
    }
}

/// Asks a component what a record holds; `config` is JSON, the recorded one where there is none.
///
/// # Errors
/// One line: a file cannot be read, is no record, or the component cannot be loaded.
pub fn replay(record: &Path, file: &Path, config: Option<&str>) -> Result<Replayed, String> {
    let told = |problem: String| format!("{}: {problem}", record.display());
    let opened = std::fs::File::open(record).map_err(|error| told(format!("cannot be read: {error}")))?;
    let (mut lines, mut number) = (BufReader::new(opened), 0);
    let mut replay: Option<Replay<'_>> = None;
    loop {
        let mut text = Vec::new();
        let read = (&mut lines).take(RECORD_LINE_BYTES_MAX).read_until(b'\n', &mut text);
        if read.map_err(|error| told(format!("cannot be read: {error}")))? == 0 {
            break;
        }
        number += 1;
        let line: Line = match serde_json::from_slice(&text) {
            Ok(line) => line,
            // A node that was killed leaves the last line as it was.
            Err(_) if replay.is_some() && text.last() != Some(&b'\n') => {
                replay.iter_mut().for_each(|replay| replay.found.is_cut = true);
                break;
            }
            Err(error) => return Err(told(format!("line {number} is none of a record: {error}"))),
        };
        match (&mut replay, line) {
            (None, Line::Record { version: VERSION, plugin }) => {
                replay = Some(Replay::new(plugin, file, config));
            }
            (None, Line::Record { version, .. }) => {
                return Err(told(format!("it is of version {version}, this program reads {VERSION}")));
            }
            (None, _) => return Err(told("it is no record: `[[plugin]] record` writes one".into())),
            (Some(replay), line) => replay.take(number, line)?,
        }
    }
    replay.map(|replay| replay.found).ok_or_else(|| told("it is empty".into()))
}

/// A replay under way.
struct Replay<'a> {
    file: &'a Path,
    /// Loaded when its config is known.
    loaded: Option<Generation>,
    /// The operator's, or the recorded one.
    config: String,
    is_config_given: bool,
    known: Snapshot,
    /// Number of the last thing told.
    number: u64,
    /// Told all that is known; made anew when that changes, or after a fault.
    trial: Option<Trial>,
    found: Replayed,
}

impl<'a> Replay<'a> {
    fn new(plugin: String, file: &'a Path, config: Option<&str>) -> Self {
        let found = Replayed { plugin, ..Replayed::default() };
        Self {
            file,
            loaded: None,
            config: config.unwrap_or("{}").to_owned(),
            is_config_given: config.is_some(),
            known: Snapshot::default(),
            number: 0,
            trial: None,
            found,
        }
    }

    fn take(&mut self, line: u64, read: Line) -> Result<(), String> {
        match read {
            Line::Record { .. } => {}
            Line::Generation { config, .. } if !self.is_config_given => {
                (self.config, self.trial) = (config.to_string(), None);
            }
            Line::Generation { .. } => {}
            Line::Clusters { snapshot, version, all } => {
                (self.known.version, self.known.clusters) = (version, all);
                (self.number, self.trial) = (snapshot, None);
            }
            Line::Ladder { snapshot, id, kbps } => {
                self.known.keep_ladder(id, kbps);
                (self.number, self.trial) = (snapshot, None);
            }
            Line::Decision { snapshot, generation, question, reply, fault } => {
                if snapshot < self.number {
                    self.found.skipped += 1;
                    return Ok(());
                }
                let then = reply.ok_or(fault.unwrap_or(Fault::Trap));
                return self.ask(line, generation, question, then);
            }
        }
        Ok(())
    }

    fn ask(
        &mut self,
        line: u64,
        generation: u64,
        question: Question,
        then: Result<Reply, Fault>,
    ) -> Result<(), String> {
        let loaded = match &mut self.loaded {
            Some(loaded) => loaded,
            place => place.insert(super::generation(self.file, &self.config, None)?),
        };
        if !loaded.code.interfaces.contains(&question.interface()) {
            self.found.skipped += 1;
            return Ok(());
        }
        let trial = match &mut self.trial {
            Some(trial) => trial,
            place => {
                let trial = Trial::new(loaded, &self.config, &self.known);
                place.insert(trial.map_err(|problem| format!("{problem}; hand it another config with --config"))?)
            }
        };
        let (now, fuel) = trial.ask(&question);
        let told = now.as_ref().err().map(|fault| trial.told(*fault));
        let tally = self.found.functions.entry(question.as_str()).or_default();
        (tally.asked, tally.fuel) = (tally.asked + 1, tally.fuel + fuel);
        if now.is_err() {
            tally.faults += 1;
            self.trial = None;
        }
        if is_same(&then, &now) {
            return Ok(());
        }
        tally.different += 1;
        let kind = format!("{} -> {}", gist(&then), gist(&now));
        let changes = &mut self.found.changes;
        let kind = if changes.len() < KINDS_MAX || changes.contains_key(&kind) { kind } else { "others".to_owned() };
        *changes.entry(kind).or_default() += 1;
        if self.found.differences.len() < DIFFERENCES_TOLD {
            let words =
                |outcome: &Result<Reply, Fault>| outcome.as_ref().map_or_else(ToString::to_string, ToString::to_string);
            let now = told.unwrap_or_else(|| words(&now));
            let difference = Difference { line, generation, question, then: words(&then), now };
            self.found.differences.push(difference);
        }
        Ok(())
    }
}

/// Scores are the same when they evict in the same order.
fn is_same(then: &Result<Reply, Fault>, now: &Result<Reply, Fault>) -> bool {
    match (then, now) {
        (Ok(Reply::Scores(then)), Ok(Reply::Scores(now))) => crate::vectors::order(then) == crate::vectors::order(now),
        _ => then == now,
    }
}

/// What matters most of an answer, to count changes by.
fn gist(outcome: &Result<Reply, Fault>) -> String {
    match outcome {
        Err(fault) => fault.as_str().to_owned(),
        Ok(Reply::Choice(choice)) => {
            choice.named().first().map_or("nobody".to_owned(), |first| format!("cluster {first}"))
        }
        Ok(Reply::Answer(answer)) => format!("rung {}", answer.rung),
        Ok(Reply::Verdict(verdict)) => Reply::Verdict(*verdict).to_string(),
        Ok(Reply::Scores(scores)) => {
            crate::vectors::order(scores).first().map_or("none".to_owned(), |first| format!("evicts number {first}"))
        }
    }
}

//! Vectors: the author's questions with the answers he expects, in a file that people read and write.
//!
//! TOML, or JSON in a file of that extension. A case has an instance of its own, told the case's snapshot, and is asked
//! twice: a policy is a pure function, so that another answer the second time is a failure too. What `expect` leaves out is
//! not compared. As a canary the same file keeps a new generation from going live.

use std::path::Path;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::limits::{CASES_MAX, CLUSTERS_MAX, LADDERS_MAX, RUNGS_MAX, SAMPLE_MAX, VECTORS_BYTES_MAX};
use crate::plugin::Generation;
use crate::question::{Admit, Question, Reply, Score, Select, Snapshot, Trial};
use crate::types::{Ask, ClusterRow, Fault, Flow, Verdict};

pub(crate) mod exact;

/// A file of cases.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Vectors {
    /// Instead of the config the plugin is loaded with.
    config: Option<serde_json::Value>,
    /// Fuel of a call for the author's tools; a node's operator says so with `plugin.fuel`.
    fuel: Option<u64>,
    #[serde(default)]
    cluster: Vec<ClusterRow>,
    #[serde(default)]
    ladder: Vec<Ladder>,
    #[serde(default)]
    case: Vec<Case>,
}

#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
struct Ladder {
    id: u32,
    kbps: Vec<u32>,
}

/// One question and what is expected.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
struct Case {
    name: String,
    config: Option<serde_json::Value>,
    cluster: Option<Vec<ClusterRow>>,
    ladder: Option<Vec<Ladder>>,
    decide: Option<Flow>,
    select: Option<Ask>,
    admit: Option<Admit>,
    score: Option<Score>,
    /// What an exact policy of the cache is told, which has its expectations with it.
    exact: Option<exact::Tier>,
    #[serde(default)]
    expect: Expect,
}

/// What is expected; each field by itself.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Expect {
    /// Of `decide`: the first cluster; all clusters; the TTL.
    first: Option<u16>,
    clusters: Option<Vec<u16>>,
    ttl_s: Option<u16>,
    /// Of `select`.
    rung: Option<u8>,
    pace_kbps: Option<u32>,
    hold_ms: Option<u16>,
    state: Option<u64>,
    /// Of `admit`.
    verdict: Option<Verdict>,
    /// Of `score`: the sample's places, the one that is evicted first in front; or the very scores.
    order: Option<Vec<usize>>,
    scores: Option<Vec<f32>>,
    /// No answer but this fault.
    fault: Option<Fault>,
    /// No question: its `init` refuses the config with a text that has this in it.
    refused: Option<String>,
}

/// How one case went.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Verified {
    /// The case.
    pub name: String,
    /// What was expected and what came, when these differ.
    pub problem: Option<String>,
    /// Fuel of the call; `None` for a filter, which is bounded by time.
    pub fuel: Option<u64>,
}

impl Vectors {
    /// Reads a file of cases.
    ///
    /// # Errors
    /// One line with the file, the place and what is expected there.
    pub fn read(file: &Path) -> Result<Self, String> {
        read(file, Self::parse)
    }

    /// Reads the text of such a file.
    ///
    /// # Errors
    /// The place and what is expected there.
    pub fn parse(text: &str, json: bool) -> Result<Self, String> {
        let vectors: Self = parsed(text, json, |vectors: &Self| vectors.case.len())?;
        for case in &vectors.case {
            let told = |problem| format!("case {:?}: {problem}", case.name);
            match &case.exact {
                Some(tier) => case.fits_exact().and_then(|()| tier.check()).map_err(told)?,
                None => {
                    case.question(&Snapshot::default()).and_then(|asked| case.fits(asked.as_ref())).map_err(told)?
                }
            }
            bounded(case.clusters(&vectors), case.ladders(&vectors)).map_err(told)?;
        }
        Ok(vectors)
    }

    /// Fuel of a call where the author's tools ask.
    pub(crate) fn fuel(&self) -> Option<u64> {
        self.fuel
    }

    /// The questions, each with the snapshot it is asked on and its case's name: for measurements.
    pub fn questions(&self) -> Vec<(Snapshot, Question, String)> {
        let of = |case: &Case| {
            let snapshot = case.snapshot(self);
            let question = case.question(&snapshot).ok().flatten()?;
            Some((snapshot, question, case.name.clone()))
        };
        self.case.iter().filter_map(of).collect()
    }

    /// What exact policies are told, each with its case's name: for measurements.
    pub(crate) fn tiers(&self) -> impl Iterator<Item = (&exact::Tier, &str)> {
        let is_good = |case: &&Case| case.expect.fault.is_none();
        self.case.iter().filter(is_good).filter_map(|case| Some((case.exact.as_ref()?, case.name.as_str())))
    }

    /// Asks a generation every case.
    pub(crate) fn run(&self, generation: &Generation) -> Vec<Verified> {
        let config = |case: &Case| case.config.as_ref().or(self.config.as_ref()).map(ToString::to_string);
        let verified = |case: &Case| {
            let config = config(case).unwrap_or_else(|| generation.spec.config.clone());
            let (outcome, fuel) = case.run(generation, &config, &case.snapshot(self));
            Verified { name: case.name.clone(), problem: outcome.err(), fuel: Some(fuel) }
        };
        self.case.iter().map(verified).collect()
    }
}

/// Has a file of vectors decide whether a generation may go live.
///
/// # Errors
/// How many cases fail, the first of them, and what to do.
pub(crate) fn canary(generation: &Generation, file: &Path) -> Result<(), String> {
    let verified = Vectors::read(file).map_err(|problem| format!("its vectors: {problem}"))?.run(generation);
    all_pass(&verified, file)
}

/// Whether all cases of a file passed.
///
/// # Errors
/// How many fail, the first of them, and what to do.
pub(crate) fn all_pass(verified: &[Verified], file: &Path) -> Result<(), String> {
    let failed: Vec<_> = verified.iter().filter_map(|case| Some((&case.name, case.problem.as_ref()?))).collect();
    match failed.first() {
        None => Ok(()),
        Some((name, problem)) => Err(format!(
            "{} of {} vectors of {} fail, first {name:?}: {problem}; try it with `littoral plugin test`",
            failed.len(),
            verified.len(),
            file.display()
        )),
    }
}

/// Reads a file of cases by what parses its text; whether that is JSON is told with it.
///
/// # Errors
/// One line with the file.
pub(crate) fn read<T>(file: &Path, parse: impl FnOnce(&str, bool) -> Result<T, String>) -> Result<T, String> {
    let told = |problem: String| format!("{}: {}", file.display(), problem.trim_end().replace('\n', " "));
    let bytes = std::fs::metadata(file).map_err(|error| told(format!("cannot be read: {error}")))?.len();
    if bytes > VECTORS_BYTES_MAX {
        return Err(told(format!("it has {bytes} bytes; vectors have at most {VECTORS_BYTES_MAX}")));
    }
    let text = std::fs::read_to_string(file).map_err(|error| told(format!("cannot be read: {error}")))?;
    parse(&text, file.extension().is_some_and(|extension| extension == "json")).map_err(told)
}

/// The text of a file of cases, of which `count` says how many there are.
///
/// # Errors
/// The place and what is expected there; that there are none, or too many.
pub(crate) fn parsed<T: DeserializeOwned>(text: &str, json: bool, count: fn(&T) -> usize) -> Result<T, String> {
    let vectors: T = match json {
        true => serde_json::from_str(text).map_err(|error| error.to_string())?,
        false => toml::from_str(text).map_err(|error| place(text, &error))?,
    };
    match count(&vectors) {
        0 => Err("it has no [[case]]".into()),
        cases if cases > CASES_MAX => Err(format!("it has {cases} cases; {CASES_MAX} are the most")),
        _ => Ok(vectors),
    }
}

/// What is asked of a plugin once, as a text in TOML.
///
/// # Errors
/// The place and what is expected there, or that it is too long.
pub(crate) fn asked<T: DeserializeOwned>(text: &str) -> Result<T, String> {
    match text.len() as u64 > VECTORS_BYTES_MAX {
        true => Err(format!("what is asked has {} bytes; {VECTORS_BYTES_MAX} are the most", text.len())),
        false => toml::from_str(text).map_err(|error| place(text, &error)),
    }
}

/// An error of TOML in one line, with its place.
fn place(text: &str, error: &toml::de::Error) -> String {
    let at = error.span().map_or(0, |span| span.start.min(text.len()));
    let before = text.get(..at).unwrap_or_default();
    let column = before.rsplit('\n').next().map_or(0, |line| line.chars().count()) + 1;
    format!("{}:{column}: {}", before.matches('\n').count() + 1, error.message())
}

fn bounded(clusters: &[ClusterRow], ladders: &[Ladder]) -> Result<(), String> {
    let at_most = |what: &str, number: usize, most: usize| match number > most {
        true => Err(format!("{number} {what}; {most} are the most")),
        false => Ok(()),
    };
    at_most("clusters", clusters.len(), CLUSTERS_MAX)?;
    at_most("ladders", ladders.len(), LADDERS_MAX)?;
    ladders.iter().try_for_each(|ladder| at_most("rungs", ladder.kbps.len(), RUNGS_MAX))
}

impl Case {
    fn clusters<'a>(&'a self, file: &'a Vectors) -> &'a [ClusterRow] {
        self.cluster.as_ref().unwrap_or(&file.cluster)
    }

    fn ladders<'a>(&'a self, file: &'a Vectors) -> &'a [Ladder] {
        self.ladder.as_ref().unwrap_or(&file.ladder)
    }

    /// What it is told: its own, and the file's where it has none.
    fn snapshot(&self, file: &Vectors) -> Snapshot {
        let ladders = self.ladders(file).iter().map(|ladder| (ladder.id, ladder.kbps.clone())).collect();
        Snapshot { version: 1, clusters: self.clusters(file).to_vec(), ladders }
    }

    /// What it asks; nothing when it is about the config alone.
    fn question(&self, snapshot: &Snapshot) -> Result<Option<Question>, String> {
        let select = self.select.map(|ask| Question::Select(Select { ask, rungs: snapshot.rungs(ask.ladder) }));
        let score = self.score.clone().map(Question::Score);
        let asked = [self.decide.map(Question::Decide), select, self.admit.map(Question::Admit), score];
        let mut asked = asked.into_iter().flatten();
        match (asked.next(), asked.next()) {
            (_, Some(_)) => Err("one question each: decide, select, admit or score".into()),
            (None, _) if self.expect.refused.is_none() => {
                Err("it asks nothing: write decide, select, admit, score or exact".into())
            }
            (Some(Question::Score(score)), _) if score.sample.len() > SAMPLE_MAX => {
                Err(format!("a sample of {}; {SAMPLE_MAX} are the most", score.sample.len()))
            }
            (first, None) => Ok(first),
        }
    }

    /// Whether a case of an exact policy asks and expects nothing beside what it tells.
    fn fits_exact(&self) -> Result<(), String> {
        let asks = self.decide.is_some() || self.select.is_some() || self.admit.is_some() || self.score.is_some();
        let only_fault = Expect { fault: self.expect.fault, ..Expect::default() };
        match asks || self.expect != only_fault {
            true => {
                Err("exact stands alone: who is to go is `go` of a step, and expect has fault or is left out".into())
            }
            false => Ok(()),
        }
    }

    /// Tells an exact policy what happens in its tier; the fuel of the dearest step.
    fn tell(&self, tier: &exact::Tier, generation: &Generation, config: &str) -> (Result<(), String>, u64) {
        match (tier.play(generation, config), self.expect.fault) {
            (Ok((_, fuel, _)), None) => (Ok(()), fuel),
            (Ok((go, fuel, _)), Some(fault)) => (Err(format!("expected that {fault}; {go:?} go")), fuel),
            (Err(problem), Some(fault)) if problem.contains(&fault.to_string()) => (Ok(()), 0),
            (Err(problem), _) => (Err(problem), 0),
        }
    }

    /// Whether what it expects can come of what it asks.
    fn fits(&self, asked: Option<&Question>) -> Result<(), String> {
        let Expect { first, clusters, ttl_s, rung, pace_kbps, hold_ms, state, verdict, order, scores, fault, refused } =
            &self.expect;
        let of_routing = first.is_some() || clusters.is_some() || ttl_s.is_some();
        let of_rate = rung.is_some() || pace_kbps.is_some() || hold_ms.is_some() || state.is_some();
        let (of_admit, of_score) = (verdict.is_some(), order.is_some() || scores.is_some());
        let given = [of_routing, of_rate, of_admit, of_score, fault.is_some(), refused.is_some()];
        let (wanted, words) = match asked {
            Some(Question::Decide(_)) => (0, "first, clusters, ttl_s"),
            Some(Question::Select(_)) => (1, "rung, pace_kbps, hold_ms, state"),
            Some(Question::Admit(_)) => (2, "verdict"),
            Some(Question::Score(_)) => (3, "order, scores"),
            None => (5, "refused"),
        };
        let fitting = given[wanted] || (given[4] && asked.is_some());
        match fitting && given.iter().filter(|given| **given).count() == 1 {
            true => Ok(()),
            false => Err(format!(
                "expect has of {} one or more of: {words}; or fault alone",
                asked.map_or("init", Question::as_str)
            )),
        }
    }

    fn run(&self, generation: &Generation, config: &str, snapshot: &Snapshot) -> (Result<(), String>, u64) {
        if let Some(tier) = &self.exact {
            return self.tell(tier, generation, config);
        }
        let trial = Trial::new(generation, config, snapshot);
        let mut trial = match (trial, &self.expect.refused) {
            (Err(problem), Some(text)) if problem.contains(text) => return (Ok(()), 0),
            (Err(problem), _) => return (Err(problem), 0),
            (Ok(_), Some(text)) => {
                return (Err(format!("expected that it refuses with {text:?}, it took the config")), 0);
            }
            (Ok(trial), None) => trial,
        };
        let Ok(Some(question)) = self.question(snapshot) else { return (Ok(()), 0) };
        if !generation.code.interfaces.contains(&question.interface()) {
            return (Err(format!("it does not export {}", question.interface().as_str())), 0);
        }
        let (reply, fuel) = trial.ask(&question);
        let compared = match &reply {
            Ok(reply) => self.expect.compare(reply).and_then(|()| match trial.ask(&question).0 {
                Ok(again) if again == *reply => Ok(()),
                Ok(again) => Err(format!("asked again it answers {again}: a policy keeps nothing from call to call")),
                Err(fault) => Err(format!("asked again {fault}: a policy keeps nothing from call to call")),
            }),
            Err(fault) if self.expect.fault == Some(*fault) => Ok(()),
            Err(fault) => Err(trial.told(*fault)),
        };
        (compared, fuel)
    }
}

impl Expect {
    /// # Errors
    /// What was expected and what came.
    fn compare(&self, reply: &Reply) -> Result<(), String> {
        let is = match reply {
            _ if self.fault.is_some() => false,
            Reply::Choice(choice) => {
                self.first.is_none_or(|first| choice.named().first() == Some(&first))
                    && self.clusters.as_ref().is_none_or(|clusters| choice.named() == clusters)
                    && self.ttl_s.is_none_or(|ttl_s| choice.ttl_s == ttl_s)
            }
            Reply::Answer(answer) => {
                self.rung.is_none_or(|rung| answer.rung == rung)
                    && self.pace_kbps.is_none_or(|pace_kbps| answer.pace_kbps == pace_kbps)
                    && self.hold_ms.is_none_or(|hold_ms| answer.hold_ms == hold_ms)
                    && self.state.is_none_or(|state| answer.state == state)
            }
            Reply::Verdict(verdict) => self.verdict == Some(*verdict),
            Reply::Scores(scores) => {
                self.scores.as_ref().is_none_or(|expected| expected == scores)
                    && self.order.as_ref().is_none_or(|expected| *expected == order(scores))
            }
        };
        if is { Ok(()) } else { Err(format!("expected {self}; it answers {reply}")) }
    }
}

/// The places of a sample, lowest score first; of equals the first.
pub(crate) fn order(scores: &[f32]) -> Vec<usize> {
    let mut places: Vec<usize> = (0..scores.len()).collect();
    places.sort_by(|one, other| scores[*one].total_cmp(&scores[*other]));
    places
}

impl std::fmt::Display for Expect {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        fn say(into: &mut Vec<String>, name: &str, value: Option<impl std::fmt::Debug>) {
            into.extend(value.map(|value| format!("{name} {value:?}")));
        }
        let mut parts = Vec::new();
        say(&mut parts, "first", self.first);
        say(&mut parts, "clusters", self.clusters.as_ref());
        say(&mut parts, "ttl_s", self.ttl_s);
        say(&mut parts, "rung", self.rung);
        say(&mut parts, "pace_kbps", self.pace_kbps);
        say(&mut parts, "hold_ms", self.hold_ms);
        say(&mut parts, "state", self.state);
        say(&mut parts, "order", self.order.as_ref());
        say(&mut parts, "scores", self.scores.as_ref());
        parts.extend(self.verdict.map(|verdict| Reply::Verdict(verdict).to_string()));
        parts.extend(self.fault.map(|fault| format!("the fault {}", fault.as_str())));
        f.write_str(&parts.join(", "))
    }
}

#[cfg(test)]
mod tests;

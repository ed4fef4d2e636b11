//! Running: one call of a policy with given inputs, one request past a filter, or one case of a service, in the host that a node uses.

use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::filter;
use crate::limits::{FUEL_STEP, LADDERS_MAX, SAMPLE_MAX};
use crate::question::{Admit, Question, Reply, Score, Select, Snapshot, Trial};
use crate::service::{self, Conversation};
use crate::types::{Ask, ClusterRow, Flow};
use crate::vectors::exact::Tier;

/// What is asked and told: a case of vectors without a name and an expectation.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Wanted {
    config: Option<serde_json::Value>,
    /// Fuel of the call, where the world's is not enough.
    fuel: Option<u64>,
    cluster: Vec<ClusterRow>,
    ladder: Vec<Ladder>,
    decide: Option<Flow>,
    select: Option<Ask>,
    admit: Option<Admit>,
    score: Option<Score>,
    exact: Option<Tier>,
}

#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
struct Ladder {
    id: u32,
    kbps: Vec<u32>,
}

/// What came of a call.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Ran {
    /// The function that was called.
    pub function: &'static str,
    /// Its answer.
    pub reply: Option<Reply>,
    /// Who goes of a tier, in order, where that is what was asked.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub go: Option<Vec<u32>>,
    /// The same in words, or why there is none.
    pub words: String,
    /// Fuel of the call.
    pub fuel: u64,
    /// Fuel it may use.
    pub fuel_limit: u64,
    /// Linear memory afterwards, bytes.
    pub memory_bytes: usize,
}

/// What a filter made of a request, and of its response where the text has one, as JSON: `reply` when it answered itself, else the
/// request's `fields` and `target`, `lookup`, what is `stored` and the `response`.
///
/// # Errors
/// One line: the text and the place in it, the component cannot be loaded, or how it failed.
pub fn run_filter(file: &Path, text: &str) -> Result<serde_json::Value, String> {
    let seen = filter::vectors::run(file, text)?;
    serde_json::to_value(seen).map_err(|error| error.to_string())
}

/// What came of a connection of a service, or of datagrams to it, as the text has them.
///
/// # Errors
/// As [`run_filter`].
pub fn run_service(file: &Path, text: &str) -> Result<Conversation, String> {
    service::vectors::run::run(file, text)
}

/// Calls a policy once with what a text in TOML says.
///
/// # Errors
/// One line: the text and the place in it, or the component cannot be loaded.
pub fn run(file: &Path, text: &str) -> Result<Ran, String> {
    let Wanted { config, fuel: granted, cluster, ladder, decide, select, admit, score, exact } = read(text)?;
    if let Some(tier) = exact {
        let config = config.map_or_else(|| "{}".to_owned(), |config| config.to_string());
        return told(file, &tier, &config);
    }
    let ladders = ladder.into_iter().map(|ladder| (ladder.id, ladder.kbps)).collect();
    let snapshot = Snapshot { version: 1, clusters: cluster, ladders };
    let select = select.map(|ask| Question::Select(Select { ask, rungs: snapshot.rungs(ask.ladder) }));
    let asked = [decide.map(Question::Decide), select, admit.map(Question::Admit), score.map(Question::Score)];
    let mut asked = asked.into_iter().flatten();
    let (Some(question), None) = (asked.next(), asked.next()) else {
        return Err("one question: write decide, select, admit, score or exact".into());
    };
    let config = config.map_or_else(|| "{}".to_owned(), |config| config.to_string());
    let generation = super::generation(file, &config, granted)?;
    if !generation.code.interfaces.contains(&question.interface()) {
        return Err(format!("{}: it does not export {}", file.display(), question.interface().as_str()));
    }
    let mut trial = Trial::new(&generation, &config, &snapshot)?;
    let (reply, fuel) = trial.ask(&question);
    let words = reply.as_ref().map_or_else(|fault| trial.told(*fault), ToString::to_string);
    let (function, fuel_limit, memory_bytes) =
        (question.as_str(), granted.unwrap_or_else(|| question.fuel()), trial.memory_bytes());
    Ok(Ran { function, reply: reply.ok(), go: None, words, fuel, fuel_limit, memory_bytes })
}

/// Tells an exact policy what happens in a tier.
fn told(file: &Path, tier: &Tier, config: &str) -> Result<Ran, String> {
    tier.check()?;
    let (go, words, fuel, memory_bytes) = match tier.play(&super::generation(file, config, None)?, config) {
        Ok((go, fuel, memory_bytes)) => (Some(go.clone()), format!("{go:?} go"), fuel, memory_bytes),
        Err(problem) => (None, problem, 0, 0),
    };
    Ok(Ran { function: "step", reply: None, go, words, fuel, fuel_limit: FUEL_STEP, memory_bytes })
}

fn read(text: &str) -> Result<Wanted, String> {
    let wanted: Wanted = crate::vectors::asked(text)?;
    let sample = wanted.score.as_ref().map_or(0, |score| score.sample.len());
    match sample > SAMPLE_MAX || wanted.ladder.len() > LADDERS_MAX {
        true => Err(format!("a sample has at most {SAMPLE_MAX} objects, and there are at most {LADDERS_MAX} ladders")),
        false => Ok(wanted),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_be_asked_is_told_with_its_place() {
        for (text, expected) in [
            ("", "one question: write decide"),
            ("decide = {}\nadmit = {}", "one question: write decide"),
            ("decide = { canditates = [0] }", "1:12: unknown field `canditates`"),
        ] {
            let said = run(Path::new("none.wasm"), text).unwrap_err();
            assert!(said.contains(expected), "{text}: {said}");
        }
    }
}

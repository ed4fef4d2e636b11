//! Vectors of filters: requests, what an origin answers, and what the author expects of both.
//!
//! The file is that of policies ([`crate::vectors`]) with other cases. As a canary it keeps a new generation from going live.

use std::path::Path;

use serde::Deserialize;

use super::answers::Told;
use super::fault::Failure;
use super::plugin::Generation;
use super::script::{Fields, Left, Request, Response, Script, Seen};
use crate::service::vectors::Dial;
use crate::vectors::{Verified, all_pass, asked, parsed, read};

/// Times that a case may be asked.
const TIMES_MAX: u32 = 1_000;

/// A file of cases.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Vectors {
    /// Instead of the config the filter is loaded with.
    config: Option<serde_json::Value>,
    #[serde(default)]
    now_ms: u64,
    #[serde(default)]
    case: Vec<Case>,
}

/// What is told and asked, and what is expected.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Case {
    name: String,
    config: Option<serde_json::Value>,
    request: Request,
    origin: Option<Response>,
    now_ms: Option<u64>,
    #[serde(default)]
    fetch: Vec<Told>,
    #[serde(default)]
    dial: Vec<Dial>,
    ticks: u32,
    times: Option<u32>,
    expect: Option<Expect>,
}

/// What is expected; each field by itself. A field that has no value is not there.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Expect {
    /// What its last tick says.
    tick: Option<u64>,
    /// That it does not answer by itself.
    passes: Option<bool>,
    reply: Option<Message>,
    request: Option<Fields>,
    target: Option<String>,
    lookup: Option<String>,
    stored: Option<Message>,
    response: Option<Message>,
    /// That it fails so: a part of the words it fails with.
    fault: Option<String>,
    /// A part of the text with which it refuses its config.
    refused: Option<String>,
}

#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Message {
    status: Option<u16>,
    fields: Fields,
    body: Option<String>,
}

impl Vectors {
    /// Reads a file of cases.
    ///
    /// # Errors
    /// One line with the file, the place and what is expected there.
    pub(crate) fn read(file: &Path) -> Result<Self, String> {
        read(file, Self::parse)
    }

    fn parse(text: &str, json: bool) -> Result<Self, String> {
        let vectors: Self = parsed(text, json, |vectors: &Self| vectors.case.len())?;
        for case in &vectors.case {
            let told = |problem| format!("case {:?}: {problem}", case.name);
            case.script(0).map_err(told)?;
            case.expect
                .as_ref()
                .ok_or_else(|| "it expects nothing".into())
                .and_then(|expect| expect.check(case))
                .map_err(told)?;
        }
        Ok(vectors)
    }

    /// A config with which the filter starts: of the file, or else of its first case that is not refused, or else this one.
    pub(crate) fn config_or(&self, config: &str) -> String {
        let is_good = |case: &&Case| case.expect.as_ref().is_none_or(|expect| expect.refused.is_none());
        let of_case = || self.case.iter().filter(is_good).find_map(|case| case.config.as_ref());
        self.config.as_ref().or_else(of_case).map_or_else(|| config.to_owned(), ToString::to_string)
    }

    /// Takes every case past a generation; those that bring no config with this one.
    pub(crate) fn run(&self, generation: &Generation, config: &str) -> Vec<Verified> {
        let verified = |case: &Case| Verified {
            name: case.name.clone(),
            problem: self.judge(case, generation, config).err(),
            fuel: None,
        };
        self.case.iter().map(verified).collect()
    }

    /// Its requests that are not to fail, each with its name and config.
    pub(super) fn scripts(&self) -> Vec<(String, Script, Option<String>)> {
        let is_good = |expect: &Expect| expect.fault.is_none() && expect.refused.is_none();
        let cases = self.case.iter().filter(|case| case.expect.as_ref().is_none_or(is_good));
        let of = |case: &Case| {
            let config = case.config.as_ref().or(self.config.as_ref()).map(ToString::to_string);
            case.script(self.now_ms).ok().map(|script| (case.name.clone(), script, config))
        };
        cases.filter_map(of).collect()
    }

    fn judge(&self, case: &Case, generation: &Generation, config: &str) -> Result<(), String> {
        let own = case.config.as_ref().or(self.config.as_ref()).map(ToString::to_string);
        let config = own.as_deref().unwrap_or(config);
        let seen = case.script(self.now_ms)?.run(generation, config);
        case.expect.as_ref().map_or(Ok(()), |expect| expect.judge(seen))
    }
}

impl Case {
    fn script(&self, now_ms: u64) -> Result<Script, String> {
        let times = self.times.unwrap_or(1);
        if !(1..=TIMES_MAX).contains(&times) {
            return Err(format!("times = {times}: 1 to {TIMES_MAX}"));
        }
        if self.ticks > TIMES_MAX {
            return Err(format!("ticks = {}: at most {TIMES_MAX}", self.ticks));
        }
        let (request, origin, now_ms) = (self.request.clone(), self.origin.clone(), self.now_ms.unwrap_or(now_ms));
        let (fetch, dial) = (self.fetch.clone(), self.dial.clone());
        let script = Script { request, origin, now_ms, fetch, dial, ticks: self.ticks, times };
        script.check().map(|()| script)
    }
}

/// Has a file of vectors decide whether a generation may go live.
///
/// # Errors
/// How many cases fail, the first of them, and what to do.
pub(super) fn canary(generation: &Generation, file: &Path) -> Result<(), String> {
    let verified = Vectors::read(file)
        .map_err(|problem| format!("its vectors: {problem}"))?
        .run(generation, &generation.spec.config);
    all_pass(&verified, file)
}

/// Takes a request past a filter, as a text in TOML tells it: a case, of which neither name nor expectation matters.
///
/// # Errors
/// One line: the text and the place in it, the component cannot be loaded, or how it failed.
pub(crate) fn run(file: &Path, text: &str) -> Result<Seen, String> {
    let asked: Case = asked(text)?;
    let config = asked.config.as_ref().map_or_else(|| "{}".to_owned(), ToString::to_string);
    let script = asked.script(0)?;
    let (_host, generation) = super::generation(file, &config)?;
    script.run(&generation, &config).map_err(|failure| failure.told())
}

impl Expect {
    /// Whether what it expects can come of what is asked.
    fn check(&self, asked: &Case) -> Result<(), String> {
        let of_origin = self.stored.is_some() || self.response.is_some();
        let of_request = [self.request.is_some(), self.target.is_some(), self.lookup.is_some(), self.passes.is_some()];
        let goes_on = of_origin || of_request.contains(&true);
        let kinds = [goes_on, self.reply.is_some(), self.fault.is_some(), self.refused.is_some()];
        let is_of_tick = self.tick.is_some() && kinds == [false; 4];
        if !is_of_tick && kinds.into_iter().filter(|kind| *kind).count() != 1 || self.passes == Some(false) {
            return Err("expect has one or more of: passes = true, request, target, lookup, stored, response; or reply, fault or refused alone".into());
        }
        if self.tick.is_some() && asked.ticks == 0 {
            return Err("it expects something of a tick: write how often it `ticks`".into());
        }
        match of_origin && asked.origin.is_none() {
            true => Err("it expects something of a response: write what the origin answers".into()),
            false => Ok(()),
        }
    }

    fn judge(&self, seen: Result<Seen, Failure>) -> Result<(), String> {
        let wanted = self.fault.as_ref().or(self.refused.as_ref());
        let seen = match (seen, wanted) {
            (Err(failure), Some(text)) if failure.told().contains(text) => return Ok(()),
            (Err(failure), _) => return Err(failure.told()),
            (Ok(_), Some(text)) => return Err(format!("expected that it fails with {text:?}, it did not")),
            (Ok(seen), None) => seen,
        };
        equal("tick", self.tick.as_ref(), seen.tick.as_ref())?;
        let is_of_tick = *self == Self { tick: self.tick, ..Self::default() };
        if is_of_tick {
            return Ok(());
        }
        match (&self.reply, &seen.reply) {
            (Some(expected), Some(reply)) => return expected.compare("reply", reply),
            (Some(_), None) => return Err("expected that it replies, it did not".into()),
            (None, Some(reply)) => {
                return Err(format!("it replies {}: {:?}", reply.status, reply.body.as_deref().unwrap_or_default()));
            }
            (None, None) => {}
        }
        compared("request", self.request.as_ref(), &seen.request)?;
        equal("target", self.target.as_ref(), Some(&seen.target))?;
        equal("lookup", self.lookup.as_ref(), seen.lookup.as_ref())?;
        let messages = [("stored", &self.stored, &seen.stored), ("response", &self.response, &seen.response)];
        messages.into_iter().try_for_each(|(what, expected, left)| match (expected, left) {
            (Some(expected), Some(left)) => expected.compare(what, left),
            _ => Ok(()),
        })
    }
}

impl Message {
    fn compare(&self, what: &str, left: &Left) -> Result<(), String> {
        equal(&format!("{what} status"), self.status.as_ref(), Some(&left.status))?;
        compared(what, Some(&self.fields), &left.fields)?;
        equal(&format!("{what} body"), self.body.as_ref(), left.body.as_ref())
    }
}

/// Compares what is expected of a thing, if anything is.
fn equal<T: std::fmt::Debug + PartialEq>(what: &str, expected: Option<&T>, came: Option<&T>) -> Result<(), String> {
    match (expected, came) {
        (Some(expected), Some(came)) if expected != came => {
            Err(format!("expected {what} {expected:?}, it is {came:?}"))
        }
        (Some(expected), None) => Err(format!("expected {what} {expected:?}, there is none")),
        _ => Ok(()),
    }
}

fn compared(what: &str, expected: Option<&Fields>, came: &Fields) -> Result<(), String> {
    let mut each = expected.into_iter().flat_map(Fields::iter);
    each.try_for_each(|(name, values)| equal(&format!("{what} field {name}"), Some(&values), Some(&came.of(name))))
}

#[cfg(test)]
mod tests;

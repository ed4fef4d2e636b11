//! Vectors of services: what clients say and send, and what the author expects of it, in the very host of a node.
//!
//! The file is that of policies ([`crate::vectors`]) with other cases, whose turns are those of the service's world. As a canary it keeps a
//! new generation from going live. Invariant: a case meets nothing real: what is dialled, asked by HTTP and kept is as its text says.

use std::net::SocketAddr;
use std::path::Path;
use std::time::{Duration, Instant};

use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::plugin::{Generation, Kind};
use crate::filter::{Failure, Told};
use crate::vectors::{Verified, all_pass, parsed, read};

pub(crate) mod bench;
mod datagrams;
mod outside;
pub(crate) mod run;
mod stage;
mod streams;
mod swarms;
mod talk;
mod text;

use stage::Stage;
pub(crate) use stage::waker;
pub(crate) use talk::{Dial, Lines};
use talk::{Line, Shared, Tls};

/// Ticks of a case.
const TICKS_MAX: u32 = 1_000;
/// Time after which no further case of a file is begun: a reload waits for them.
const FILE_TIME_MAX: Duration = Duration::from_secs(60);
/// Turns of a case.
const TURNS_MAX: usize = 1_024;

/// A file of cases with such turns.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
struct Cases<T> {
    /// Instead of the config the service is loaded with.
    config: Option<serde_json::Value>,
    #[serde(default)]
    now_ms: u64,
    #[serde(default = "Vec::new")]
    case: Vec<Case<T>>,
}

/// What happens, and what is expected.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
struct Case<T> {
    #[serde(default)]
    name: String,
    config: Option<serde_json::Value>,
    now_ms: Option<u64>,
    /// Whether store, disk and clock are as the case before left them.
    #[serde(default)]
    continues: bool,
    /// How often the service ticks first.
    #[serde(default)]
    ticks: u32,
    /// Whose the connection is.
    client: Option<SocketAddr>,
    tls: Option<Tls>,
    /// How many times the bytes of a datagram its answers may have.
    amplification: Option<usize>,
    /// What the cache has, for swarms.
    #[serde(default)]
    content: Vec<outside::Stored>,
    #[serde(default = "Vec::new")]
    turns: Vec<T>,
    #[serde(default)]
    dial: Vec<Dial>,
    #[serde(default)]
    fetch: Vec<Told>,
    expect: Option<Expect>,
}

/// What is expected beside the turns; each field by itself.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Expect {
    /// When its last tick wants the next, ms.
    tick: Option<u64>,
    /// Who ends the connection.
    ends: Option<Side>,
    /// A part of the error with which it ends.
    error: Option<String>,
    /// That it fails so: a part of the words it fails with.
    fault: Option<String>,
    /// A part of the text with which it refuses its config.
    refused: Option<String>,
}

/// Who ends a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Side {
    /// The client has finished its side before the service is done.
    Client,
    /// The service is done before.
    Service,
}

/// What came of the turns of a case.
#[derive(Debug, Default)]
struct Played {
    /// The first thing that was not as the turns have it.
    differs: Option<String>,
    /// The error that the guest ended with.
    error: Option<String>,
    /// Who ended the connection.
    ends: Option<Side>,
    /// All that was said, in order.
    lines: Vec<Line>,
    fuel: u64,
    memory_bytes: usize,
}

/// What happens in one turn, in one of the worlds.
trait Turn: DeserializeOwned + Clone {
    /// What is called with it.
    const FUNCTION: &'static str;

    /// # Errors
    /// What of a case cannot be, and what to write instead.
    fn check(case: &Case<Self>) -> Result<(), String>;

    /// What is said in it.
    fn talk(case: &Case<Self>) -> Shared;

    /// Plays all turns of a case with a generation and its config.
    ///
    /// # Errors
    /// How the service failed.
    fn play(case: &Case<Self>, stage: &Stage, of: (&Generation, &str), talk: &Shared) -> Result<Played, Failure>;

    /// How long [`BATCH`](crate::author::BATCH) connections or messages of a case take.
    ///
    /// # Errors
    /// How the service failed.
    fn timed(case: &Case<Self>, stage: &Stage, of: (&Generation, &str)) -> Result<Duration, Failure>;
}

/// A file of cases of a world.
#[derive(Debug, Clone)]
enum Vectors {
    /// Of connections.
    Streams(Box<Cases<talk::Turn>>),
    /// Of datagrams.
    Datagrams(Box<Cases<datagrams::Sent>>),
    /// Of swarms.
    Swarms(Box<Cases<swarms::Happens>>),
}

/// Does the same with the cases of every world.
macro_rules! of {
    ($vectors:expr, $cases:ident => $does:expr) => {
        match $vectors {
            Vectors::Streams($cases) => $does,
            Vectors::Datagrams($cases) => $does,
            Vectors::Swarms($cases) => $does,
        }
    };
}
use of;

impl Vectors {
    /// Reads a file of cases for services of this kind.
    ///
    /// # Errors
    /// One line with the file, the place and what is expected there.
    pub(super) fn read(file: &Path, kind: Kind) -> Result<Self, String> {
        read(file, |text, json| Self::parse(text, json, kind))
    }

    fn parse(text: &str, json: bool, kind: Kind) -> Result<Self, String> {
        match kind {
            Kind::Connections => Cases::parse(text, json).map(Box::new).map(Self::Streams),
            Kind::Datagrams => Cases::parse(text, json).map(Box::new).map(Self::Datagrams),
            Kind::Swarm => Cases::parse(text, json).map(Box::new).map(Self::Swarms),
        }
    }

    /// A config with which the service starts: of the file, or else of its first case that is not refused, or else this one.
    pub(super) fn config_or(&self, config: &str) -> String {
        of!(self, cases => cases.config_or(config))
    }

    /// Plays every case with a generation; those that bring no config with this one.
    pub(super) fn run(&self, generation: &Generation, config: &str) -> Vec<Verified> {
        of!(self, cases => cases.run(generation, config))
    }
}

impl<T: Turn> Cases<T> {
    fn parse(text: &str, json: bool) -> Result<Self, String> {
        let cases: Self = parsed(text, json, |cases: &Self| cases.case.len())?;
        for (number, case) in cases.case.iter().enumerate() {
            let told = |problem| format!("case {:?}: {problem}", case.name);
            if case.continues && number == 0 {
                return Err(told("it continues the case before, and is the first: leave that out".into()));
            }
            case.check().and_then(|()| case.is_about_something()).map_err(told)?;
        }
        Ok(cases)
    }

    fn config_or(&self, config: &str) -> String {
        let is_good = |case: &&Case<T>| case.expect.as_ref().is_none_or(|expect| expect.refused.is_none());
        let of_case = || self.case.iter().filter(is_good).find_map(|case| case.config.as_ref());
        self.config.as_ref().or_else(of_case).map_or_else(|| config.to_owned(), ToString::to_string)
    }

    fn config_of(&self, case: &Case<T>) -> Option<String> {
        case.config.as_ref().or(self.config.as_ref()).map(ToString::to_string)
    }

    fn run(&self, generation: &Generation, config: &str) -> Vec<Verified> {
        let (mut stage, begun) = (None, Instant::now());
        let verified = |case: &Case<T>| {
            if begun.elapsed() > FILE_TIME_MAX {
                let problem = format!("not played: those before took {} s", FILE_TIME_MAX.as_secs());
                return Verified { name: case.name.clone(), problem: Some(problem), fuel: None };
            }
            let own = self.config_of(case);
            let judged = case
                .on(&mut stage, generation, self.now_ms)
                .and_then(|stage| case.judge(stage, generation, own.as_deref().unwrap_or(config)));
            Verified { name: case.name.clone(), problem: judged.err(), fuel: None }
        };
        self.case.iter().map(verified).collect()
    }
}

impl<T: Turn> Case<T> {
    /// # Errors
    /// What cannot be played, and what to write instead.
    fn check(&self) -> Result<(), String> {
        if self.ticks > TICKS_MAX {
            return Err(format!("ticks = {}: at most {TICKS_MAX}", self.ticks));
        }
        if self.turns.len() > TURNS_MAX {
            return Err(format!("{} turns; {TURNS_MAX} are the most", self.turns.len()));
        }
        if self.content.len() > outside::CONTENTS_MAX {
            return Err(format!("{} contents; {} are the most", self.content.len(), outside::CONTENTS_MAX));
        }
        Dial::check_all(&self.dial)?;
        self.fetch.iter().try_for_each(Told::check)?;
        T::check(self)
    }

    /// Whether something is expected, and can come of what happens.
    fn is_about_something(&self) -> Result<(), String> {
        let Some(expect) = &self.expect else {
            return match self.turns.is_empty() && self.ticks == 0 {
                true => Err("nothing happens and nothing is expected: write turns".into()),
                false => Ok(()),
            };
        };
        let Expect { tick, ends, error, fault, refused } = expect;
        let alone = [error.is_some() || ends.is_some() || tick.is_some(), fault.is_some(), refused.is_some()];
        if alone.into_iter().filter(|there| *there).count() != 1 {
            return Err("expect has one or more of: tick, ends, error; or fault or refused alone".into());
        }
        if tick.is_some() && self.ticks == 0 {
            return Err("it expects something of a tick: write how often it `ticks`".into());
        }
        match self.turns.is_empty() && (ends.is_some() || error.is_some()) {
            true => Err("it expects something of a connection: write turns".into()),
            false => Ok(()),
        }
    }

    /// The stage that it is played on: that of the case before, or one of its own.
    fn on<'a>(
        &self,
        stage: &'a mut Option<Stage>,
        generation: &Generation,
        now_ms: u64,
    ) -> Result<&'a mut Stage, String> {
        let kept = stage.take().filter(|_| self.continues);
        let new = || Stage::new(generation, now_ms).map_err(|failure| failure.told());
        Ok(stage.insert(kept.map_or_else(new, Ok)?))
    }

    /// Has it tick, and plays its turns. What the last tick said, and what came of the turns.
    fn played(
        &self,
        stage: &mut Stage,
        generation: &Generation,
        config: &str,
    ) -> Result<(Option<u64>, Played), Failure> {
        stage.begin(self.now_ms, &self.fetch);
        let (of, talk) = ((generation, config), T::talk(self));
        let played = streams::ticked(self.ticks, stage, of, &talk).and_then(|tick| {
            let is_only_of_ticks = self.turns.is_empty() && self.ticks > 0;
            let played = if is_only_of_ticks { Ok(Played::default()) } else { T::play(self, stage, of, &talk) };
            played.map(|played| (tick, played))
        });
        stage.end();
        let mut talk = talk.lock();
        played.map(|(tick, played)| {
            let lines = played.lines.into_iter().chain(std::mem::take(&mut talk.lines)).collect();
            (tick, Played { differs: played.differs.or_else(|| talk.differs()), lines, ..played })
        })
    }

    fn judge(&self, stage: &mut Stage, generation: &Generation, config: &str) -> Result<(), String> {
        let nothing = Expect::default();
        let expect = self.expect.as_ref().unwrap_or(&nothing);
        let (played, wanted) =
            (self.played(stage, generation, config), expect.fault.as_ref().or(expect.refused.as_ref()));
        let (tick, played) = match (played, wanted) {
            (Err(failure), Some(text)) if failure.told().contains(text) => return Ok(()),
            (Err(failure), _) => return Err(failure.told()),
            (Ok(_), Some(text)) => return Err(format!("expected that it fails with {text:?}, it did not")),
            (Ok(played), None) => played,
        };
        if let Some(differs) = played.differs {
            return Err(differs);
        }
        match (&expect.error, &played.error) {
            (Some(expected), Some(error)) if error.contains(expected) => {}
            (Some(expected), came) => {
                return Err(format!("expected that it ends with error {expected:?}, got {came:?}"));
            }
            (None, Some(error)) => return Err(format!("it ends with error {error:?}")),
            (None, None) => {}
        }
        if expect.tick.is_some() && expect.tick != tick {
            return Err(format!("expected tick {:?}, got {:?}", expect.tick.unwrap_or(0), tick.unwrap_or(0)));
        }
        match (expect.ends, played.ends) {
            (Some(expected), Some(ends)) if expected != ends => {
                Err(format!("expected that the {} ends the connection, the {} did", expected.as_str(), ends.as_str()))
            }
            _ => Ok(()),
        }
    }
}

impl Side {
    fn as_str(self) -> &'static str {
        match self {
            Self::Client => "client",
            Self::Service => "service",
        }
    }
}

/// Has a file of vectors decide whether a generation may go live.
///
/// # Errors
/// How many cases fail, the first of them, and what to do.
pub(super) fn canary(generation: &Generation, file: &Path) -> Result<(), String> {
    let verified = Vectors::read(file, generation.code.kind)
        .map_err(|problem| format!("its vectors: {problem}"))?
        .run(generation, &generation.spec.config);
    all_pass(&verified, file)
}

/// Asks a service every case of its author's vectors, in the host that a node uses; `config` is JSON.
///
/// # Errors
/// One line: the component cannot be loaded, or the vectors cannot be read.
pub(crate) fn test(file: &Path, vectors: &Path, config: &str) -> Result<Vec<Verified>, String> {
    let vectors = Vectors::read(vectors, super::host::kind_of(file)?)?;
    // The cases bring configs; without one a service may refuse to start at all.
    let whole = super::host::Whole::load(file, &vectors.config_or(config), false)?;
    Ok(vectors.run(&whole.generation, config))
}

#[cfg(test)]
mod tests;

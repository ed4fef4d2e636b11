//! Connections as a text tells them: the client's, and those that the guest makes itself.
//!
//! A side that has said what it says waits until the guest reads again: what the guest has written by then is what it heard. Time passes
//! only where the text says so or the guest sleeps. Invariants: who is in no entry of `dial` is not granted; a connection moves at most
//! [`MOVED_MAX`] bytes in [`STEPS_MAX`] steps and lasts at most [`LIFETIME`], and is closed then.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use serde::Deserialize;

use super::stage::passes;
use super::streams::CLIENT;
use super::text::{Bytes, shown};
use crate::service::reach;
use crate::service::wire::{Refused, Security, Trouble, Wire};

mod end;

pub(super) use end::{End, address};

/// Bytes that the guest may write to one side.
const MOVED_MAX: usize = 1 << 20;
/// Reads, writes and the like of a case.
const STEPS_MAX: usize = 100_000;
/// How long a connection lasts by its own clock, as a node's listener has it.
const LIFETIME: Duration = Duration::from_secs(3600);
/// How long a side may be silent, as a node's listener has it.
const IDLE: Duration = Duration::from_secs(60);
/// Entries of `dial` of a case.
const DIALS_MAX: usize = 64;

/// One exchange: of the client, what it says and then hears; of somebody dialled, what that one hears and then says.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Turn {
    pub(super) says: Option<Bytes>,
    pub(super) hears: Option<Bytes>,
    /// Instead of saying something: what the guest is told when it reads.
    trouble: Option<Told>,
    /// The side is silent for so long before.
    after_ms: u64,
}

/// A trouble, by the name that the contract has for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Told {
    Closed,
    Timeout,
    Tls,
    Ending,
}

impl Told {
    fn trouble(self) -> Trouble {
        match self {
            Self::Closed => Trouble::Closed,
            Self::Timeout => Trouble::Timeout,
            Self::Tls => Trouble::Tls,
            Self::Ending => Trouble::Ending,
        }
    }
}

/// When TLS begins on the client's connection; as `tls` of a listener.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Tls {
    Implicit,
    Starttls,
}

/// Somebody who is dialled, once.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Dial {
    host: String,
    port: u16,
    /// What the guest has to ask for: plain, tls or starttls; whatever where it is not said.
    security: Option<String>,
    /// Why there is no connection, by the name that the contract has for it.
    refused: Option<String>,
    #[serde(default)]
    turns: Vec<Turn>,
}

/// Something that went from one side to the other, for people.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Line {
    /// Who is at the other end; `None`: the client.
    pub(super) whom: Option<String>,
    /// Whether it went to the guest.
    pub(super) is_said: bool,
    pub(super) bytes: Vec<u8>,
}

/// A side of a connection as far as it has come.
#[derive(Debug, Default)]
struct Side {
    turns: Vec<Turn>,
    /// Which turn it is in; behind the last: all are over.
    at: usize,
    /// Bytes of it that were said.
    said: usize,
    /// What it has heard in each turn that was begun.
    heard: Vec<Vec<u8>>,
    /// What somebody dialled has heard already of what belongs to the next turn.
    early: Vec<u8>,
    /// Whether the trouble of the turn was told.
    is_told: bool,
    /// Whether the guest was told its end.
    has_ended: bool,
}

/// All that is said in a case.
#[derive(Debug, Default)]
pub(super) struct Talk {
    client: Side,
    dials: Vec<(Dial, bool)>,
    far: Vec<(String, Side)>,
    /// The first thing that was not as the text has it.
    pub(super) problem: Option<String>,
    pub(super) lines: Vec<Line>,
    steps: usize,
    slept: Duration,
}

/// The talk of a case, shared by all its connections.
pub(super) type Shared = Arc<Mutex<Talk>>;

/// What those say whom a guest without a client dials.
#[derive(Clone)]
pub(crate) struct Lines(Shared);

impl Lines {
    /// Of a case.
    pub(crate) fn new(dials: &[Dial]) -> Self {
        Self(Talk::new(&[], dials))
    }

    /// What is dialled from.
    pub(crate) fn wire(&self) -> Box<dyn Wire> {
        Box::new(End::with_client(&self.0, CLIENT, None))
    }

    /// The first thing that was not as the text has it, when all is over.
    pub(crate) fn differs(&self) -> Option<String> {
        self.0.lock().differs()
    }
}

/// # Errors
/// Which turn cannot be taken, and what to write instead.
pub(super) fn check_turns(turns: &[Turn], is_dialled: bool) -> Result<(), String> {
    for (number, turn) in turns.iter().enumerate() {
        let told = |what: &str| Err(format!("turn {}: {what}", number + 1));
        let (is_first, is_last) = (number == 0, number + 1 == turns.len());
        match turn {
            Turn { says: Some(_), trouble: Some(_), .. } => {
                return told("it says something or is a trouble: write one");
            }
            Turn { says: None, trouble: None, .. } if !is_dialled && !is_first => {
                return told("the client says nothing: write `says`; what it hears belongs to the turn before");
            }
            Turn { says: None, hears: None, trouble: None, .. } => return told("write `says`, `hears` or both"),
            Turn { trouble: Some(Told::Closed | Told::Timeout | Told::Tls), .. } if !is_last => {
                return told("no turn comes after this trouble: make it the last");
            }
            Turn { says: Some(says), .. } if says.is_empty() => return told("`says` is empty: leave it out"),
            _ => {}
        }
    }
    Ok(())
}

impl Dial {
    /// # Errors
    /// Why nobody can be dialled so.
    pub(crate) fn check_all(dials: &[Self]) -> Result<(), String> {
        if dials.len() > DIALS_MAX {
            return Err(format!("{} entries of dial; {DIALS_MAX} are the most", dials.len()));
        }
        dials.iter().try_for_each(|dial| dial.check().map_err(|why| format!("dial {}: {why}", dial.whom())))
    }

    fn check(&self) -> Result<(), String> {
        if self.host.parse::<IpAddr>().is_err() && reach::name(&self.host).as_ref() != Some(&self.host) {
            return Err("host is an address, or a name in lower case".into());
        }
        if self.security.as_deref().is_some_and(|word| security(word).is_none()) {
            return Err("security is plain, tls or starttls".into());
        }
        match &self.refused {
            Some(label) if refused(label).is_none() => {
                Err(format!("refused is one of {}", Refused::KINDS[..Refused::CONNECTED].join(", ")))
            }
            Some(_) if !self.turns.is_empty() => Err("who is refused has no turns: leave one of them out".into()),
            _ => check_turns(&self.turns, true),
        }
    }

    /// Whether it says nothing itself.
    pub(super) fn is_bare(&self) -> bool {
        self.turns.is_empty() && self.security.is_none()
    }

    pub(super) fn is_refused(&self) -> bool {
        self.refused.is_some()
    }

    pub(super) fn whom(&self) -> String {
        format!("{}:{}", self.host, self.port)
    }
}

fn security(word: &str) -> Option<Security> {
    match word {
        "plain" => Some(Security::Plain),
        "tls" => Some(Security::Tls),
        "starttls" => Some(Security::Starttls),
        _ => None,
    }
}

fn refused(label: &str) -> Option<Refused> {
    let all = [
        Refused::NotGranted,
        Refused::NotFound,
        Refused::Unreachable,
        Refused::Timeout,
        Refused::TooMany,
        Refused::Tls,
    ];
    all.into_iter().find(|refused| Refused::KINDS[*refused as usize] == label)
}

impl Side {
    fn of(turns: &[Turn]) -> Self {
        Self { turns: turns.to_vec(), heard: vec![Vec::new()], ..Self::default() }
    }

    fn turn(&self) -> Option<&Turn> {
        self.turns.get(self.at)
    }

    /// What is left to be said of the turn at hand.
    fn left(&self) -> &[u8] {
        let says = self.turn().and_then(|turn| turn.says.as_ref());
        says.map_or(&[], |says| says.as_slice().get(self.said..).unwrap_or(&[]))
    }

    fn next(&mut self) {
        self.at += 1;
        (self.said, self.is_told) = (0, false);
        let early = std::mem::take(&mut self.early);
        match self.heard.last_mut() {
            Some(last) if self.at >= self.turns.len() => last.extend(early),
            _ => self.heard.push(early),
        }
    }

    /// Notes what it hears; whether there is room for it. Of somebody dialled, who hears before they say, it is of the next turn once they have
    /// begun to say something.
    fn hears(&mut self, bytes: &[u8], is_dialled: bool) -> bool {
        let all: usize = self.heard.iter().map(Vec::len).sum::<usize>() + self.early.len();
        if all + bytes.len() > MOVED_MAX {
            return false;
        }
        if is_dialled && self.said > 0 {
            self.early.extend_from_slice(bytes);
            if self.left().is_empty() {
                self.next();
            }
        } else if let Some(last) = self.heard.last_mut() {
            last.extend_from_slice(bytes);
        }
        true
    }

    /// How what was heard differs from what the turns have, and which was never come to.
    fn problem(&self) -> Option<String> {
        for (number, turn) in self.turns.iter().enumerate() {
            let told = |what: String| Some(format!("turn {}: {what}", number + 1));
            let Some(heard) = self.heard.get(number) else {
                return told("it was never come to: the service ended the connection before".to_owned());
            };
            match &turn.hears {
                Some(hears) if hears.as_slice() != heard.as_slice() => {
                    return told(format!("expected {}, got {}", shown(hears.as_slice()), shown(heard)));
                }
                _ => {}
            }
        }
        match self.early.is_empty() {
            true => None,
            false => Some(format!("turn {}: it was told {} before it had said all", self.at + 1, shown(&self.early))),
        }
    }
}

impl Talk {
    pub(super) fn new(turns: &[Turn], dials: &[Dial]) -> Shared {
        let dials = dials.iter().map(|dial| (dial.clone(), false)).collect();
        Arc::new(Mutex::new(Self { client: Side::of(turns), dials, ..Self::default() }))
    }

    /// The first thing that was not as the text has it, when all is over.
    pub(super) fn differs(&self) -> Option<String> {
        let of_client = || self.client.problem();
        let of_far =
            || self.far.iter().find_map(|(whom, side)| side.problem().map(|problem| format!("dial {whom}: {problem}")));
        let left = || {
            let (dial, _) = self.dials.iter().find(|(_, was)| !was)?;
            Some(format!("dial {}: expected that it is dialled, it was not", dial.whom()))
        };
        self.problem.clone().or_else(of_client).or_else(of_far).or_else(left)
    }

    /// Whether the client's side was over before the guest was done.
    pub(super) fn client_ended(&self) -> bool {
        self.client.has_ended
    }

    fn note(&mut self, problem: String) {
        self.problem.get_or_insert(problem);
    }

    fn log(&mut self, whom: Option<&str>, is_said: bool, bytes: &[u8]) {
        match self.lines.last_mut() {
            Some(last) if last.whom.as_deref() == whom && last.is_said == is_said => {
                last.bytes.extend_from_slice(bytes)
            }
            _ => self.lines.push(Line { whom: whom.map(str::to_owned), is_said, bytes: bytes.to_vec() }),
        }
    }

    /// One more step; whether there may be one.
    fn step(&mut self) -> Result<(), Trouble> {
        self.steps += 1;
        match self.steps > STEPS_MAX || self.slept > LIFETIME {
            true => Err(Trouble::Closed),
            false => Ok(()),
        }
    }

    /// Time passes; a side that is silent for longer than it may is a trouble.
    fn silent(&mut self, ms: u64, silence: Option<Duration>) -> Result<(), Trouble> {
        let (time, most) = (Duration::from_millis(ms), silence.map_or(IDLE, |silence| silence.min(IDLE)));
        self.slept += time.min(most);
        passes(time.min(most));
        if time > most { Err(Trouble::Timeout) } else { Ok(()) }
    }
}

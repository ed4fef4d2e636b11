//! One case of a service, played for whoever wants to see what comes of it: a conversation.

use std::path::Path;

use serde::Serialize;

use super::stage::Stage;
use super::talk::Line;
use super::text::shown;
use super::{Case, Played, Side, Turn};
use crate::service::host::{Whole, kind_of};
use crate::service::plugin::Kind;

/// Something that was said.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Spoken {
    /// Who said it: `service`, `client`, or whom the service has dialled.
    pub from: String,
    /// Who heard it.
    pub to: String,
    /// What, as vectors have it: a text in quotes, or `{ hex = "…" }`.
    pub what: String,
}

/// What came of a case.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Conversation {
    /// All that was said, in order.
    pub spoken: Vec<Spoken>,
    /// When the last tick wants the next, ms.
    pub tick: Option<u64>,
    /// Who ended the connection, and with which error.
    pub ended: Option<String>,
    /// The first thing that was not as the text has it.
    pub differs: Option<String>,
    /// Linear memory afterwards, bytes.
    pub memory_bytes: usize,
}

impl Conversation {
    fn of(tick: Option<u64>, played: Played) -> Self {
        let Played { differs, error, ends, lines, memory_bytes, .. } = played;
        let ended = ends.map(|ends| match error {
            Some(error) => format!("the {} ended the connection, with error {error:?}", ends.as_str()),
            None => format!("the {} ended the connection", ends.as_str()),
        });
        Self { spoken: lines.iter().map(Spoken::of).collect(), tick, ended, differs, memory_bytes }
    }
}

impl Spoken {
    fn of(line: &Line) -> Self {
        let whom = line.whom.clone().unwrap_or_else(|| Side::Client.as_str().to_owned());
        let service = Side::Service.as_str().to_owned();
        let (from, to) = if line.is_said { (whom, service) } else { (service, whom) };
        Self { from, to, what: shown(&line.bytes) }
    }
}

/// Plays a case of a service, as a text in TOML tells it, of which neither name nor expectation matters.
///
/// # Errors
/// One line: the text and the place in it, the component cannot be loaded, or how it failed.
pub(crate) fn run(file: &Path, text: &str) -> Result<Conversation, String> {
    match kind_of(file)? {
        Kind::Connections => played::<super::talk::Turn>(file, text),
        Kind::Datagrams => played::<super::datagrams::Sent>(file, text),
        Kind::Swarm => played::<super::swarms::Happens>(file, text),
    }
}

fn played<T: Turn>(file: &Path, text: &str) -> Result<Conversation, String> {
    let case: Case<T> = crate::vectors::asked(text)?;
    case.check()?;
    let config = case.config.as_ref().map_or_else(|| "{}".to_owned(), ToString::to_string);
    let Whole { generation, .. } = &Whole::load(file, &config, false)?;
    let played = Stage::new(generation, 0).and_then(|mut stage| case.played(&mut stage, generation, &config));
    played.map(|(tick, played)| Conversation::of(tick, played)).map_err(|failure| failure.told())
}

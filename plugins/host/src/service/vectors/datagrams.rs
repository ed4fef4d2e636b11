//! Cases of services of datagrams: who sends what, and what each is answered, within what a listener lets out.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use serde::Deserialize;

use super::stage::{Stage, passes, waited};
use super::streams::CLIENT;
use super::talk::{End, Line, Shared, Talk};
use super::text::{Bytes, shown};
use super::{Case, Played, Turn};
use crate::author::BATCH;
use crate::filter::Failure;
use crate::service::connection::Connection;
use crate::service::datagrams::{Instance, within};
use crate::service::limits::{ANSWERS_MAX, DATAGRAM_BYTES_MAX};
use crate::service::plugin::Generation;

/// How many times the bytes of a datagram its answers may have, as a node's listener has it where the operator says nothing.
const AMPLIFICATION: usize = 3;

/// A datagram and its answers.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Sent {
    from: Option<SocketAddr>,
    sends: Bytes,
    /// All that go out, in order.
    answers: Option<Vec<Bytes>>,
    /// So much time passes before.
    #[serde(default)]
    after_ms: u64,
}

impl Sent {
    /// Bytes that all answers may have together.
    fn room(&self, amplification: Option<usize>) -> usize {
        self.sends.as_slice().len().saturating_mul(amplification.unwrap_or(AMPLIFICATION))
    }

    fn check(&self, amplification: Option<usize>) -> Result<(), String> {
        let bytes = self.sends.as_slice().len();
        if bytes > DATAGRAM_BYTES_MAX {
            return Err(format!("a datagram of {bytes} bytes: at most {DATAGRAM_BYTES_MAX}"));
        }
        let (answers, room) = (self.answers.as_deref().unwrap_or_default(), self.room(amplification));
        let all: usize = answers.iter().map(|answer| answer.as_slice().len()).sum();
        match all > room || answers.len() > ANSWERS_MAX {
            true => Err(format!(
                "answers of {all} bytes never go out: to {bytes} bytes go at most {room} in {ANSWERS_MAX} answers; send more, \
                 or write the listener's `amplification`"
            )),
            false => Ok(()),
        }
    }

    /// How the answers differ from those that are expected.
    fn differs(&self, number: usize, answers: &[Vec<u8>]) -> Option<String> {
        let expected: Vec<&[u8]> = self.answers.as_ref()?.iter().map(Bytes::as_slice).collect();
        let came: Vec<&[u8]> = answers.iter().map(Vec::as_slice).collect();
        let list = |all: &[&[u8]]| all.iter().map(|one| shown(one)).collect::<Vec<_>>().join(", ");
        (expected != came)
            .then(|| format!("turn {}: expected answers [{}], got [{}]", number + 1, list(&expected), list(&came)))
    }
}

/// A new instance, which dials who the talk says.
async fn instance(
    stage: &Stage,
    (generation, config): (&Generation, &str),
    talk: &Shared,
) -> Result<Instance, Failure> {
    let recipe = stage.recipe(generation, config)?;
    let connection = Connection::none(Box::new(End::with_client(talk, CLIENT, None)));
    Instance::start(recipe, connection, 1, true).await
}

impl Turn for Sent {
    const FUNCTION: &'static str = "handle";

    fn check(case: &Case<Self>) -> Result<(), String> {
        if !case.content.is_empty() {
            return Err("content is for swarms: leave it out".into());
        }
        if case.client.is_some() || case.tls.is_some() {
            return Err("client and tls are for connections: write `from` in a turn".into());
        }
        if case.expect.as_ref().is_some_and(|expect| expect.ends.is_some() || expect.error.is_some()) {
            return Err("ends and error are for connections: leave them out".into());
        }
        let told = |(number, turn): (usize, &Self)| {
            turn.check(case.amplification).map_err(|why| format!("turn {}: {why}", number + 1))
        };
        case.turns.iter().enumerate().try_for_each(told)
    }

    fn talk(case: &Case<Self>) -> Shared {
        Talk::new(&[], &case.dial)
    }

    fn play(case: &Case<Self>, stage: &Stage, of: (&Generation, &str), talk: &Shared) -> Result<Played, Failure> {
        waited(async {
            let (mut played, mut kept) = (Played::default(), None);
            for (number, turn) in case.turns.iter().enumerate() {
                passes(Duration::from_millis(turn.after_ms));
                let mut handler = match kept.take().filter(Instance::is_good_for_more) {
                    Some(handler) => handler,
                    None => instance(stage, of, talk).await?,
                };
                let from = turn.from.unwrap_or(CLIENT);
                let line = |is_said: bool, bytes: &[u8]| {
                    let whom = turn.from.map(|from| from.to_string());
                    talk.lock().lines.push(Line { whom, is_said, bytes: bytes.to_vec() });
                };
                line(true, turn.sends.as_slice());
                let before = handler.fuel();
                let answers = handler.handle(from, turn.sends.as_slice()).await?;
                played.fuel += handler.fuel() - before;
                let (answers, _) = within(answers, turn.room(case.amplification));
                answers.iter().for_each(|answer| line(false, answer));
                played.differs = played.differs.or_else(|| turn.differs(number, &answers));
                played.memory_bytes = handler.memory_bytes();
                kept = Some(handler);
            }
            played.fuel /= case.turns.len().max(1) as u64;
            Ok(played)
        })?
    }

    fn timed(case: &Case<Self>, stage: &Stage, of: (&Generation, &str)) -> Result<Duration, Failure> {
        waited(async {
            let (mut took, mut kept) = (Duration::ZERO, None);
            for turn in case.turns.iter().cycle().take(BATCH as usize) {
                let mut handler = match kept.take().filter(Instance::is_good_for_more) {
                    Some(handler) => handler,
                    None => instance(stage, of, &Self::talk(case)).await?,
                };
                let started = Instant::now();
                let answers = handler.handle(turn.from.unwrap_or(CLIENT), turn.sends.as_slice()).await?;
                took += started.elapsed();
                drop(answers);
                kept = Some(handler);
            }
            Ok(took)
        })?
    }
}

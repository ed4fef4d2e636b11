//! Cases of swarms: events in, and what the instance then sends, closes and asks for.
//!
//! Contents are whole and in memory, sums are made at once, timers come as the text lets time pass: what follows from an event is told before the
//! next one. Invariant: a swarm that never has enough is stopped after [`EVENTS_MAX`] events.

use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use serde::Deserialize;

use super::outside::{Far, Scripted};
use super::stage::{Stage, passes, waited};
use super::streams::CLIENT;
use super::talk::{Line, Shared, Talk};
use super::text::{Bytes, shown};
use super::{Case, Played, Turn};
use crate::author::BATCH;
use crate::filter::{Failure, Fault};
use crate::service::plugin::Generation;
use crate::service::swarm::{Event, Instance};

/// Events that a case may lead to.
const EVENTS_MAX: usize = 10_000;
/// Bytes of one `data`, as a node has them.
const DATA_BYTES_MAX: usize = 16 << 10;

/// Something that happens, and what comes of it.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Happens {
    /// A connection that comes, of `from`.
    opened: Option<u32>,
    /// The connection that says something.
    data: Option<u32>,
    ended: Option<u32>,
    writable: Option<u32>,
    closed: Option<u32>,
    /// Whose a connection or a datagram is.
    from: Option<SocketAddr>,
    /// What `data` brings.
    says: Option<Bytes>,
    /// A datagram.
    sends: Option<Bytes>,
    /// So much time passes before, with the timers that are due.
    after_ms: u64,
    /// What each connection hears, all together; who is not named hears nothing.
    hears: Option<BTreeMap<String, Bytes>>,
    /// Connections that it closes, in order.
    closes: Option<Vec<u32>>,
    /// Datagrams that go out, in order.
    answers: Option<Vec<Answer>>,
}

#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
struct Answer {
    to: SocketAddr,
    says: Bytes,
}

impl Happens {
    fn event(&self) -> Option<Event> {
        let bytes = |bytes: &Option<Bytes>| bytes.as_ref().map(|bytes| bytes.as_slice().to_vec()).unwrap_or_default();
        let peer = self.from.unwrap_or(CLIENT);
        let connection = |event: fn(u32) -> Event| move |connection: u32| event(connection);
        let opened = self.opened.map(|connection| Event::Opened { connection, peer, inbound: true });
        let data = self.data.map(|connection| Event::Data { connection, bytes: bytes(&self.says) });
        let ended = self.ended.map(connection(|connection| Event::Ended { connection }));
        let writable = self.writable.map(connection(|connection| Event::Writable { connection }));
        let closed = self.closed.map(connection(|connection| Event::Closed { connection }));
        let datagram = self.sends.as_ref().map(|_| Event::Datagram { from: peer, bytes: bytes(&self.sends) });
        [opened, data, ended, writable, closed, datagram].into_iter().flatten().next()
    }

    fn check(&self) -> Result<(), String> {
        let events = [self.opened, self.data, self.ended, self.writable, self.closed];
        let count = events.into_iter().flatten().count() + usize::from(self.sends.is_some());
        if count > 1 {
            return Err("one of opened, data, ended, writable, closed and sends: write a turn for each".into());
        }
        if count == 0 && self.after_ms == 0 {
            return Err("nothing happens: write opened, data, ended, writable, closed, sends or after_ms".into());
        }
        let said = self.says.as_ref().map_or(0, |says| says.as_slice().len());
        if self.data.is_some() != (said > 0) || said > DATA_BYTES_MAX {
            return Err(format!("data and says go together: the connection, and 1 to {DATA_BYTES_MAX} bytes"));
        }
        let names = self.hears.iter().flat_map(BTreeMap::keys);
        match names.into_iter().find(|name| name.parse::<u32>().is_err()) {
            Some(name) => {
                Err(format!("hears {name:?}: it is the number of a connection, such as hears = {{ 1 = \"…\" }}"))
            }
            None => Ok(()),
        }
    }

    /// How what came of it differs from what is expected.
    fn differs(&self, far: &Far) -> Option<String> {
        if let Some(expected) = &self.hears {
            let numbers = expected.keys().filter_map(|name| name.parse().ok()).chain(far.heard.keys().copied());
            for number in numbers {
                let hears = expected.get(&number.to_string()).map_or(&[][..], Bytes::as_slice);
                let heard = far.heard.get(&number).map_or(&[][..], Vec::as_slice);
                if hears != heard {
                    return Some(format!("connection {number}: expected {}, got {}", shown(hears), shown(heard)));
                }
            }
        }
        if let Some(expected) = self.closes.as_ref().filter(|expected| **expected != far.closed) {
            return Some(format!("expected closes {expected:?}, got {:?}", far.closed));
        }
        let expected = self.answers.as_ref()?;
        let list = |all: Vec<(SocketAddr, &[u8])>| {
            all.iter().map(|(to, says)| format!("to {to} {}", shown(says))).collect::<Vec<_>>().join(", ")
        };
        let expected: Vec<_> = expected.iter().map(|answer| (answer.to, answer.says.as_slice())).collect();
        let sent: Vec<_> = far.sent.iter().map(|(to, says)| (*to, says.as_slice())).collect();
        (expected != sent).then(|| format!("expected answers [{}], got [{}]", list(expected), list(sent)))
    }
}

/// A case under way.
struct Drive {
    instance: Instance,
    far: Arc<Mutex<Far>>,
    events: usize,
}

impl Drive {
    async fn start(case: &Case<Happens>, stage: &Stage, of: (&Generation, &str)) -> Result<Self, Failure> {
        let far = Arc::new(Mutex::new(Far::new(&case.content, &case.dial)));
        let outside = Box::new(Scripted(far.clone()));
        let instance = Instance::start(stage.recipe(of.0, of.1)?, outside, None, true).await?;
        Ok(Self { instance, far, events: 0 })
    }

    /// Tells an event, and all that follow from it at once.
    async fn tell(&mut self, event: Event) -> Result<(), Failure> {
        let mut waiting = VecDeque::from([event]);
        while let Some(event) = waiting.pop_front() {
            self.events += 1;
            if self.events > EVENTS_MAX {
                return Err(Failure::new(Fault::Deadline, format!("a case leads to at most {EVENTS_MAX} events")));
            }
            self.instance.tell(&event).await?;
            waiting.extend(self.far.lock().follows.drain(..));
        }
        Ok(())
    }

    /// Lets time pass, and has the timers come that are due meanwhile.
    async fn pass(&mut self, ms: u64) -> Result<(), Failure> {
        let until = super::stage::now_ms().saturating_add(ms);
        loop {
            let due = self.far.lock().due(until);
            let Some((id, at_ms)) = due else { break };
            passes(Duration::from_millis(at_ms.saturating_sub(super::stage::now_ms())));
            self.tell(Event::Timer { id }).await?;
        }
        passes(Duration::from_millis(until.saturating_sub(super::stage::now_ms())));
        Ok(())
    }

    async fn happens(&mut self, turn: &Happens) -> Result<(), Failure> {
        self.pass(turn.after_ms).await?;
        match turn.event() {
            Some(event) => self.tell(event).await,
            None => Ok(()),
        }
    }
}

impl Turn for Happens {
    const FUNCTION: &'static str = "tell";

    fn check(case: &Case<Self>) -> Result<(), String> {
        if case.client.is_some() || case.tls.is_some() || case.amplification.is_some() {
            return Err("client, tls and amplification are not for swarms: write `from` in a turn".into());
        }
        if case.ticks > 0 {
            return Err("a swarm does not tick: let time pass with `after_ms`".into());
        }
        if case.expect.as_ref().is_some_and(|expect| expect.ends.is_some() || expect.error.is_some()) {
            return Err("ends and error are for connections: write `closes` in a turn".into());
        }
        if case.dial.iter().any(|dial| !dial.is_bare()) {
            return Err(
                "whom a swarm dials has host, port and perhaps refused: what it says are turns of the case".into()
            );
        }
        let told = |(number, turn): (usize, &Self)| turn.check().map_err(|why| format!("turn {}: {why}", number + 1));
        case.turns.iter().enumerate().try_for_each(told)
    }

    fn talk(_case: &Case<Self>) -> Shared {
        Talk::new(&[], &[])
    }

    fn play(case: &Case<Self>, stage: &Stage, of: (&Generation, &str), talk: &Shared) -> Result<Played, Failure> {
        waited(async {
            let mut drive = Drive::start(case, stage, of).await?;
            let mut played = Played::default();
            for (number, turn) in case.turns.iter().enumerate() {
                let said = turn.says.as_ref().or(turn.sends.as_ref());
                let whom =
                    turn.data.map_or_else(|| turn.from.unwrap_or(CLIENT).to_string(), |on| format!("connection {on}"));
                let line = said.map(|said| Line { whom: Some(whom), is_said: true, bytes: said.as_slice().to_vec() });
                talk.lock().lines.extend(line);
                let before = drive.instance.fuel();
                drive.happens(turn).await?;
                played.fuel += drive.instance.fuel() - before;
                let far = drive.far.lock().take();
                talk.lock().lines.extend(far.lines());
                let differs = || turn.differs(&far).map(|what| format!("turn {}: {what}", number + 1));
                played.differs = played.differs.or_else(differs);
            }
            played.differs = played.differs.or_else(|| drive.far.lock().left());
            played.memory_bytes = drive.instance.memory_bytes();
            played.fuel /= case.turns.len().max(1) as u64;
            Ok(played)
        })?
    }

    fn timed(case: &Case<Self>, stage: &Stage, of: (&Generation, &str)) -> Result<Duration, Failure> {
        waited(async {
            let (mut took, mut left) = (Duration::ZERO, BATCH as usize);
            while left > 0 {
                let mut drive = Drive::start(case, stage, of).await?;
                let started = Instant::now();
                for turn in case.turns.iter().take(left) {
                    drive.happens(turn).await?;
                    drop(drive.far.lock().take());
                }
                took += started.elapsed();
                left = left.saturating_sub(case.turns.len());
            }
            Ok(took)
        })?
    }
}

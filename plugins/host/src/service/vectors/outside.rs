//! What a swarm asks of whoever drives it, where a text says what is there.
//!
//! Invariant: nothing leaves the process; what follows from a call is an event that waits its turn.

use std::collections::{BTreeMap, HashMap};
use std::net::SocketAddr;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use parking_lot::Mutex;
use serde::Deserialize;

use super::stage::now_ms;
use super::talk::{Dial, Line};
use super::text::Bytes;
use crate::fetch::Fetching;
use crate::service::Target;
use crate::service::swarm::{Algorithm, Event, Outside, Refusal, Summing, Unsent};

/// Numbers of connections that are dialled begin here.
const DIALLED: u32 = 1_000;
/// Bytes that all connections hear in a turn.
const HEARD_MAX: usize = 1 << 20;
/// Timers that are set at a time, as a node has them.
const TIMERS_MAX: usize = 1_024;
/// Contents of a case.
pub(super) const CONTENTS_MAX: usize = 64;

/// What the cache has of a URL.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Stored {
    url: String,
    body: Bytes,
}

/// What is outside, and what has come of the turn at hand.
#[derive(Default)]
pub(super) struct Far {
    stored: Vec<Stored>,
    /// Contents that were found, by their numbers.
    contents: HashMap<u32, usize>,
    dials: Vec<(Dial, bool)>,
    /// Timers with the time they come at.
    timers: BTreeMap<u32, u64>,
    numbers: u32,
    dialled: u32,
    pub(super) heard: BTreeMap<u32, Vec<u8>>,
    pub(super) closed: Vec<u32>,
    pub(super) sent: Vec<(SocketAddr, Vec<u8>)>,
    /// What is to be told next.
    pub(super) follows: Vec<Event>,
}

impl Far {
    pub(super) fn new(stored: &[Stored], dials: &[Dial]) -> Self {
        let dials = dials.iter().map(|dial| (dial.clone(), false)).collect();
        Self { stored: stored.to_vec(), dials, ..Self::default() }
    }

    /// What came of a turn, which is forgotten here.
    pub(super) fn take(&mut self) -> Self {
        let (heard, closed) = (std::mem::take(&mut self.heard), std::mem::take(&mut self.closed));
        Self { heard, closed, sent: std::mem::take(&mut self.sent), ..Self::default() }
    }

    /// The same for people.
    pub(super) fn lines(&self) -> impl Iterator<Item = Line> {
        let of = |whom: String, bytes: &Vec<u8>| Line { whom: Some(whom), is_said: false, bytes: bytes.clone() };
        let heard = self.heard.iter().map(move |(number, bytes)| of(format!("connection {number}"), bytes));
        heard.chain(self.sent.iter().map(move |(to, bytes)| of(to.to_string(), bytes)))
    }

    /// The timer that comes first, by then; it is forgotten.
    pub(super) fn due(&mut self, until_ms: u64) -> Option<(u32, u64)> {
        let (id, at_ms) = self.timers.iter().min_by_key(|(_, at_ms)| **at_ms).map(|(id, at_ms)| (*id, *at_ms))?;
        (at_ms <= until_ms).then(|| {
            self.timers.remove(&id);
            (id, at_ms)
        })
    }

    /// Who was to be dialled and was not.
    pub(super) fn left(&self) -> Option<String> {
        let (dial, _) = self.dials.iter().find(|(_, was)| !was)?;
        Some(format!("dial {}: expected that it is dialled, it was not", dial.whom()))
    }

    fn hears(&mut self, connection: u32, bytes: &[u8]) -> usize {
        let all: usize = self.heard.values().map(Vec::len).sum();
        let count = bytes.len().min(HEARD_MAX.saturating_sub(all));
        if count > 0 {
            self.heard.entry(connection).or_default().extend_from_slice(&bytes[..count]);
        }
        count
    }

    fn bytes(&self, content: u32, at: u64, length: u32) -> Result<&[u8], Unsent> {
        let stored = self.contents.get(&content).and_then(|place| self.stored.get(*place)).ok_or(Unsent::Gone)?;
        let at = usize::try_from(at).map_err(|_| Unsent::TooFar)?;
        stored.body.as_slice().get(at..).and_then(|rest| rest.get(..length as usize)).ok_or(Unsent::TooFar)
    }
}

/// It, as a guest asks it.
pub(super) struct Scripted(pub(super) Arc<Mutex<Far>>);

impl Outside for Scripted {
    fn send(&mut self, connection: u32, data: Vec<u8>) -> u32 {
        self.0.lock().hears(connection, &data) as u32
    }

    fn splice(&mut self, connection: u32, content: u32, at: u64, length: u32) -> Result<(), Unsent> {
        let mut far = self.0.lock();
        let bytes = far.bytes(content, at, length)?.to_vec();
        match far.hears(connection, &bytes) == bytes.len() {
            true => Ok(()),
            false => Err(Unsent::Full),
        }
    }

    fn close(&mut self, connection: u32) {
        let mut far = self.0.lock();
        far.closed.push(connection);
        far.follows.push(Event::Closed { connection });
    }

    fn dial(&mut self, target: Target) -> Result<u32, Refusal> {
        let mut far = self.0.lock();
        let Target { host, port, .. } = &target;
        let found = far.dials.iter_mut().find(|(dial, was)| !*was && dial.is_for(host, *port));
        let Some((dial, was)) = found else { return Err(Refusal::NotGranted) };
        *was = true;
        let is_refused = dial.is_refused();
        let connection = DIALLED + far.dialled;
        far.dialled += 1;
        let peer = super::talk::address(host, *port);
        far.follows.push(match is_refused {
            true => Event::Closed { connection },
            false => Event::Opened { connection, peer, inbound: false },
        });
        Ok(connection)
    }

    fn send_to(&mut self, to: SocketAddr, data: &[u8], _is_listed: (bool, bool)) -> bool {
        let mut far = self.0.lock();
        let all: usize = far.sent.iter().map(|(_, sent)| sent.len() + 1).sum();
        let fits = all + data.len() < HEARD_MAX;
        if fits {
            far.sent.push((to, data.to_vec()));
        }
        fits
    }

    fn set_timer(&mut self, id: u32, after: Duration) -> bool {
        let mut far = self.0.lock();
        let fits = far.timers.len() < TIMERS_MAX || far.timers.contains_key(&id);
        if fits {
            let ms = u64::try_from(after.as_millis()).unwrap_or(u64::MAX);
            far.timers.insert(id, now_ms().saturating_add(ms));
        }
        fits
    }

    fn cancel_timer(&mut self, id: u32) {
        self.0.lock().timers.remove(&id);
    }

    fn find(&mut self, url: &str) -> Result<u32, Refusal> {
        let mut far = self.0.lock();
        if far.contents.len() >= CONTENTS_MAX {
            return Err(Refusal::TooMany);
        }
        let content = far.numbers;
        far.numbers += 1;
        let place = far.stored.iter().position(|stored| stored.url == url);
        let length = place.and_then(|place| far.stored.get(place)).map(|stored| stored.body.as_slice().len() as u64);
        far.contents.extend(place.map(|place| (content, place)));
        far.follows.push(Event::Found { content, length });
        Ok(content)
    }

    fn release(&mut self, content: u32) {
        self.0.lock().contents.remove(&content);
    }

    fn digest(&mut self, content: u32, at: u64, length: u32, algorithm: Algorithm) -> Result<u32, Refusal> {
        let mut far = self.0.lock();
        let mut summing = Summing::new(algorithm);
        summing.add(far.bytes(content, at, length).map_err(|_| Refusal::Gone)?);
        let number = far.numbers;
        far.numbers += 1;
        far.follows.push(Event::Digested { number, sum: Some(summing.sum()) });
        Ok(number)
    }

    fn await_answer(&mut self, fetching: Fetching) -> Option<u32> {
        let mut far = self.0.lock();
        let number = far.numbers;
        far.numbers += 1;
        // What a text answers is there at once.
        let mut fetching = fetching;
        if let Poll::Ready(outcome) = fetching.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
            far.follows.push(Event::Answered { number, outcome });
        }
        Some(number)
    }
}

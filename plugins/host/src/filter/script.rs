//! A request and its response as a text tells them, taken past a filter as a node would: for vectors and for `littoral plugin run`.
//!
//! The clock stands where the text says. Invariant: nothing but the text, the config and the guest's own chance decides what comes out.

use std::cell::Cell;
use std::collections::{BTreeMap, BTreeSet};
use std::future::Future;
use std::net::IpAddr;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use serde::{Deserialize, Serialize};

use super::answers::{Scripted, Told, granted};
use super::fault::{Failure, Fault};
use super::guest::Point;
use super::instance::{Instance, Said};
use super::limits::{PIECE_BYTES_MAX, STORE_BYTES_MAX};
use super::message::{Change, Changes, Exchange, Reply, name};
use super::plugin::{Generation, started};
use crate::runtime::Shared;
use crate::service::vectors::{Dial, Lines, waker};

thread_local!(static NOW_MS: Cell<u64> = const { Cell::new(0) });

/// Values of fields by their names in lower case.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "BTreeMap<String, Values>")]
pub(crate) struct Fields(BTreeMap<String, Vec<String>>);

/// As they are written.
#[derive(Deserialize)]
#[serde(untagged)]
enum Values {
    One(String),
    Many(Vec<String>),
}

impl From<BTreeMap<String, Values>> for Fields {
    fn from(written: BTreeMap<String, Values>) -> Self {
        let values = |values| match values {
            Values::One(value) => vec![value],
            Values::Many(values) => values,
        };
        Self(written.into_iter().map(|(name, written)| (name, values(written))).collect())
    }
}

/// What a client asks.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Request {
    method: String,
    host: String,
    target: String,
    client: Option<IpAddr>,
    secure: bool,
    country: Option<String>,
    asn: u32,
    fields: Fields,
}

/// What an origin answers.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Response {
    status: u16,
    fields: Fields,
    body: String,
}

/// All of it.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Script {
    pub(crate) request: Request,
    pub(crate) origin: Option<Response>,
    /// Unix milliseconds.
    pub(crate) now_ms: u64,
    /// What others answer to the filter's own requests.
    pub(crate) fetch: Vec<Told>,
    /// What those say whom it dials, each time anew.
    pub(crate) dial: Vec<Dial>,
    /// How often it ticks before it is asked.
    pub(crate) ticks: u32,
    /// How often it is asked; what comes of the last time is what is seen.
    pub(crate) times: u32,
}

/// A message as it was left.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Left {
    pub(crate) status: u16,
    pub(crate) fields: Fields,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) body: Option<String>,
}

/// What came of a script, as far as it went.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub(crate) struct Seen {
    /// What its last tick said, ms.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) tick: Option<u64>,
    /// The filter's own answer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) reply: Option<Left>,
    /// The request's fields, and its target, as they go on.
    pub(crate) request: Fields,
    pub(crate) target: String,
    /// What it is looked up under, when that is something else.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) lookup: Option<String>,
    /// What is stored, and what goes to the client.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) stored: Option<Left>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) response: Option<Left>,
}

impl Default for Request {
    fn default() -> Self {
        Self {
            method: "GET".into(),
            host: "site.example".into(),
            target: "/".into(),
            client: Some(IpAddr::from([192, 0, 2, 1])),
            secure: false,
            country: None,
            asn: 0,
            fields: Fields::default(),
        }
    }
}

impl Default for Response {
    fn default() -> Self {
        Self { status: 200, fields: Fields::default(), body: String::new() }
    }
}

impl Response {
    /// A page that may be kept.
    pub(super) fn page(body: String) -> Self {
        let fields = [("content-type", "text/html"), ("cache-control", "max-age=60"), ("server", "origin")];
        let fields = fields.map(|(name, value)| (name.to_owned(), vec![value.to_owned()]));
        Self { status: 200, fields: Fields(fields.into()), body }
    }
}

impl Fields {
    /// All values of one.
    pub(crate) fn of(&self, name: &str) -> &[String] {
        self.0.get(name).map_or(&[], Vec::as_slice)
    }

    /// Each with its values.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&str, &[String])> {
        self.0.iter().map(|(name, values)| (name.as_str(), values.as_slice()))
    }

    /// # Errors
    /// Which name is not one that filters are told.
    pub(super) fn check(&self) -> Result<(), String> {
        match self.0.keys().find(|known| name((*known).clone()).ok().as_ref() != Some(*known)) {
            Some(known) => Err(format!("{known:?} is no field name in lower case")),
            None => Ok(()),
        }
    }

    fn change(&mut self, changes: &[Change]) {
        let named: BTreeSet<&str> = changes.iter().map(Change::name).collect();
        for name in named {
            let before = self.of(name).iter().map(String::as_bytes).collect();
            let values = Change::over(changes, name, before).into_iter().map(text).collect::<Vec<_>>();
            match values.is_empty() {
                true => drop(self.0.remove(name)),
                false => drop(self.0.insert(name.to_owned(), values)),
            }
        }
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// A call that a script led to: what the guest was given, and what the call took.
pub(super) struct Step {
    pub(super) point: Point,
    /// At [`Point::Body`], what was given when it asked for it.
    pub(super) lent: Lent,
    pub(super) kept: Vec<u8>,
    /// The body that is rewritten, at [`Point::Body`].
    pub(super) body: String,
    pub(super) fuel: u64,
    pub(super) memory_bytes: usize,
    pub(super) failure: Option<String>,
}

/// The clock of scripts on this thread.
pub(super) fn now_ms() -> u64 {
    NOW_MS.get()
}

/// What a filter is lent.
#[derive(Clone)]
pub(super) struct Lent {
    request: Request,
    response: Option<Response>,
}

impl Exchange for Lent {
    fn method(&self) -> &str {
        &self.request.method
    }

    fn host(&self) -> &str {
        &self.request.host
    }

    fn target(&self) -> &str {
        &self.request.target
    }

    fn client(&self) -> Option<IpAddr> {
        self.request.client
    }

    fn is_secure(&self) -> bool {
        self.request.secure
    }

    fn status(&self) -> u16 {
        self.response.as_ref().map_or(0, |response| response.status)
    }

    fn place(&self) -> (Option<[u8; 2]>, u32) {
        let letters = self.request.country.as_ref().and_then(|country| country.as_bytes().try_into().ok());
        (letters, self.request.asn)
    }

    fn field(&self, of_request: bool, name: &str, index: usize) -> Option<&[u8]> {
        let fields = match &self.response {
            Some(response) if !of_request => &response.fields,
            _ => &self.request.fields,
        };
        fields.of(name).get(index).map(String::as_bytes)
    }
}

/// One time of a script.
struct Pass<'a> {
    generation: &'a Generation,
    config: &'a str,
    shared: &'a Shared,
    /// Bytes of a body that are handed over at a time.
    piece_bytes: usize,
    kept: Vec<u8>,
    steps: Vec<Step>,
}

impl Script {
    /// # Errors
    /// What cannot be asked.
    pub(crate) fn check(&self) -> Result<(), String> {
        let origin = self.origin.as_ref().map_or(Ok(()), |origin| origin.fields.check());
        let country = self.request.country.as_deref().unwrap_or("XX");
        match country.len() == 2 && country.bytes().all(|letter| letter.is_ascii_uppercase()) {
            true => self
                .request
                .fields
                .check()
                .and(origin)
                .and(self.fetch.iter().try_for_each(Told::check))
                .and_then(|()| Dial::check_all(&self.dial)),
            false => Err(format!("country {country:?}: two capital letters")),
        }
    }

    /// Takes it past a generation with a config. A filter that rewrites bodies is taken past twice: with large pieces, and byte by byte.
    ///
    /// # Errors
    /// How the filter failed, or how the two differ.
    pub(super) fn run(&self, generation: &Generation, config: &str) -> Result<Seen, Failure> {
        let large = self.seen(generation, config, PIECE_BYTES_MAX)?;
        if !generation.code.manifest.bodies {
            return Ok(large);
        }
        let small = self.seen(generation, config, 1)?;
        let body = |seen: &Seen| seen.stored.as_ref().and_then(|stored| stored.body.clone());
        match body(&large) == body(&small) {
            true => Ok(large),
            false => Err(Failure::new(
                Fault::Nonsense,
                format!("the same body comes out as {:?} when it comes byte by byte: {:?}", body(&small), body(&large)),
            )),
        }
    }

    /// What its guest shares with nobody, and what is said to it.
    fn shared(&self, generation: &Generation) -> Result<(Shared, Lines), Failure> {
        let shared = Shared::new(&generation.spec.name, STORE_BYTES_MAX, now_ms);
        let lines = Lines::new(&self.dial);
        let wires = {
            let lines = lines.clone();
            Arc::new(move || lines.wire())
        };
        let outside = Scripted::new(generation.code.durable.is_some(), wires);
        let outside = outside.map_err(|problem| Failure::new(Fault::Init, problem))?;
        let shared = Shared { scripted: Some(granted(&self.fetch)), outside: Some(Arc::new(outside)), ..shared };
        Ok((shared, lines))
    }

    fn seen(&self, generation: &Generation, config: &str, piece_bytes: usize) -> Result<Seen, Failure> {
        NOW_MS.set(self.now_ms);
        let (shared, lines) = self.shared(generation)?;
        let (mut seen, tick) = (Seen::default(), self.tick(generation, config, &shared, &lines)?);
        for _ in 0..self.times {
            seen = Pass::new(generation, config, &shared, piece_bytes).all(self)?;
        }
        match lines.differs() {
            None => Ok(Seen { tick, ..seen }),
            Some(differs) => Err(Failure::new(Fault::Nonsense, differs)),
        }
    }

    /// Has it tick, each time in an instance of its own; what it said last.
    fn tick(
        &self,
        generation: &Generation,
        config: &str,
        shared: &Shared,
        lines: &Lines,
    ) -> Result<Option<u64>, Failure> {
        if self.ticks > 0 && !generation.code.ticks {
            return Err(Failure::new(Fault::Nonsense, "it exports no timer, and is to tick"));
        }
        let mut said = None;
        for _ in 0..self.ticks {
            let mut instance = run_to_end(started(generation, config, shared, false))?;
            said = Some(run_to_end(instance.tick(lines.wire()))?);
        }
        Ok(said)
    }

    /// The calls that it leads to when it is taken past a generation once, up to one that fails. The clock is set for more of them.
    pub(super) fn steps(&self, generation: &Generation, config: &str) -> Vec<Step> {
        NOW_MS.set(self.now_ms);
        let Ok((shared, lines)) = self.shared(generation) else { return Vec::new() };
        let mut pass = Pass::new(generation, config, &shared, PIECE_BYTES_MAX);
        let failed = self.tick(generation, config, &shared, &lines).and_then(|_| pass.all(self)).err();
        if let (Some(failure), Some(last)) = (failed, pass.steps.last_mut()) {
            last.failure = Some(failure.told());
        }
        pass.steps
    }
}

impl<'a> Pass<'a> {
    fn new(generation: &'a Generation, config: &'a str, shared: &'a Shared, piece_bytes: usize) -> Self {
        Self { generation, config, shared, piece_bytes, kept: Vec::new(), steps: Vec::new() }
    }

    /// Notes a call that is about to be made.
    fn step(&mut self, point: Point, lent: &Lent, kept: Vec<u8>, body: &str) {
        let (lent, body) = (lent.clone(), body.to_owned());
        self.steps.push(Step { point, lent, kept, body, fuel: 0, memory_bytes: 0, failure: None });
    }

    /// Notes what it took.
    fn took(&mut self, instance: &Instance, before: u64) {
        if let Some(step) = self.steps.last_mut() {
            (step.fuel, step.memory_bytes) = (instance.fuel() - before, instance.memory_bytes());
        }
    }

    fn all(&mut self, script: &Script) -> Result<Seen, Failure> {
        let mut lent = Lent { request: script.request.clone(), response: None };
        let mut seen = Seen::default();
        let said = self.call(Point::Request, &mut lent)?;
        (seen.request, seen.target) = (lent.request.fields.clone(), lent.request.target.clone());
        if let Some((Said::Reply(Reply { status, fields, body }), _)) = said {
            let mut left = Left { status, fields: Fields::default(), body: Some(text(&body)) };
            let set = |(name, value)| Change::Add(name, value);
            left.fields.change(&fields.into_iter().map(set).collect::<Vec<_>>());
            seen.reply = Some(left);
            return Ok(seen);
        }
        if let Some((Said::LookUp(other), _)) = self.call(Point::Lookup, &mut lent)? {
            seen.lookup = Some(other);
        }
        let Some(origin) = &script.origin else { return Ok(seen) };
        lent.response = Some(origin.clone());
        let (before, kept) = (lent.clone(), self.kept.clone());
        let said = self.call(Point::Origin, &mut lent)?;
        let mut body = origin.body.clone();
        if let Some((Said::Rewrite, mut instance)) = said {
            self.step(Point::Body, &before, kept, &body);
            let fuel = instance.fuel();
            let rewritten = self.rewritten(&mut instance, origin.body.as_bytes());
            self.took(&instance, fuel);
            body = text(&rewritten?);
        }
        let left = |lent: &Lent, body| {
            lent.response.as_ref().map(|told| Left { status: told.status, fields: told.fields.clone(), body })
        };
        seen.stored = left(&lent, Some(body));
        self.call(Point::Response, &mut lent)?;
        seen.response = left(&lent, None);
        Ok(seen)
    }

    /// Calls it at a point that it asks for, in an instance of its own, and makes its changes.
    fn call(&mut self, point: Point, lent: &mut Lent) -> Result<Option<(Said, Instance)>, Failure> {
        if !self.generation.code.manifest.asks(point) {
            return Ok(None);
        }
        self.step(point, lent, self.kept.clone(), "");
        let mut instance = run_to_end(started(self.generation, self.config, self.shared, false))?;
        let before = instance.fuel();
        instance.lend(point, Box::new(lent.clone()), std::mem::take(&mut self.kept));
        let said = run_to_end(instance.ask(point));
        self.took(&instance, before);
        let (_, kept, Changes { fields, target, kept: keeps }) = instance.end();
        let said = said?;
        self.kept = keeps.unwrap_or(kept);
        match &mut lent.response {
            Some(response) => response.fields.change(&fields),
            None => lent.request.fields.change(&fields),
        }
        if let Some(target) = target {
            lent.request.target = target;
        }
        Ok(Some((said, instance)))
    }

    fn rewritten(&self, instance: &mut Instance, body: &[u8]) -> Result<Vec<u8>, Failure> {
        let (mut out, mut held) = (Vec::new(), Vec::new());
        let pieces = body.len().div_ceil(self.piece_bytes).max(1);
        for number in 0..pieces {
            let piece = &body[number * self.piece_bytes..body.len().min((number + 1) * self.piece_bytes)];
            held.extend_from_slice(piece);
            let (came, hold) = instance.piece(&held, number + 1 == pieces)?;
            out.extend_from_slice(&came);
            held.drain(..held.len() - hold);
        }
        Ok(out)
    }
}

/// Polls what waits for its own turn, or for a disk.
pub(super) fn run_to_end<T>(future: impl Future<Output = T>) -> T {
    let (mut future, waker) = (pin!(future), waker());
    loop {
        if let Poll::Ready(done) = future.as_mut().poll(&mut Context::from_waker(&waker)) {
            return done;
        }
        std::thread::park();
    }
}

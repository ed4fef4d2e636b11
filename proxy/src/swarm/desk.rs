//! What a swarm asks for, done: connections, datagrams, timers, contents.
//!
//! Nothing here waits; what takes its time is a task of the instance, which ends with it at the latest, and what comes of it is a letter.
//! Invariant: numbers that the guest has are looked up, and never believed.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use littoral_plugin_host::fetch::Fetching;
use littoral_plugin_host::service::swarm::limits::{ASKED_MAX, CONTENTS_MAX, DIGESTS_MAX};
use littoral_plugin_host::service::swarm::{Algorithm, Event, Outside, Quotas, Refusal, Unsent};
use littoral_plugin_host::service::{ServiceSpec, Target};
use parking_lot::Mutex;
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::connection::{Held, Peer};
use super::content::{self, Object, Part};
use super::life::Letter;
use super::outgoing::Outgoing;
use super::shard::Shard;
use super::timers::Timers;
use crate::forward::is_public_of_others;
use crate::purge::{host_and_path, key_of};
use crate::services::dial;

/// All that an instance has.
pub(super) struct Desk {
    shard: Arc<Shard>,
    events: mpsc::Sender<Letter>,
    spec: ServiceSpec,
    connections: HashMap<u32, Arc<Outgoing>>,
    /// `None` while it is looked up.
    contents: HashMap<u32, Option<Object>>,
    timers: Timers,
    quotas: Quotas,
    digests: usize,
    /// Requests by HTTP that are under way.
    asked: usize,
    /// The last number that was given.
    number: u32,
    since: Instant,
    tasks: JoinSet<()>,
}

/// The desk as its guest has it.
pub(super) struct Handle(pub(super) Arc<Mutex<Desk>>);

impl Desk {
    pub(super) fn new(shard: Arc<Shard>, spec: ServiceSpec, events: mpsc::Sender<Letter>) -> Self {
        Self {
            shard,
            events,
            spec,
            connections: HashMap::new(),
            contents: HashMap::new(),
            timers: Timers::default(),
            quotas: Quotas::default(),
            digests: 0,
            asked: 0,
            number: 0,
            since: Instant::now(),
            tasks: JoinSet::new(),
        }
    }

    /// When the next timer comes.
    pub(super) fn next_timer(&self) -> Option<Instant> {
        self.timers.next()
    }

    /// The timer that has come, if one has.
    pub(super) fn timer(&mut self) -> Option<Event> {
        let id = self.timers.come(Instant::now())?;
        self.tell_figures();
        Some(Event::Timer { id })
    }

    /// Notes that a datagram came.
    pub(super) fn heard(&mut self, from: SocketAddr, bytes: Vec<u8>) -> Event {
        let factor = self.shard.listener(|swarm| swarm.amplification);
        self.quotas.heard(from.ip(), bytes.len(), factor, self.since.elapsed());
        Event::Datagram { from, bytes }
    }

    /// Does what a letter leads to; what the guest is to be told of it.
    pub(super) fn open(&mut self, letter: Letter) -> Option<Event> {
        while self.tasks.try_join_next().is_some() {}
        let event = match letter {
            Letter::Accepted { stream, client, place, held } => {
                let connection = self.numbered();
                let outgoing = Arc::new(Outgoing::new(self.shard.figures().clone()));
                self.connections.insert(connection, outgoing.clone());
                self.serve(connection, stream, outgoing, (place, Some(held)));
                Some(Event::Opened { connection, peer: client, inbound: true })
            }
            Letter::Dialled { connection, stream, peer, place } => {
                let outgoing = self.connections.get(&connection)?.clone();
                self.serve(connection, stream, outgoing, (place, None));
                Some(Event::Opened { connection, peer, inbound: false })
            }
            Letter::Found { content, object } => {
                let slot = self.contents.get_mut(&content)?;
                let length = object.as_ref().map(Object::length);
                *slot = object;
                if length.is_none() {
                    self.contents.remove(&content);
                }
                Some(Event::Found { content, length })
            }
            Letter::Event(event) => self.noted(event),
        };
        self.tell_figures();
        event
    }

    /// An event of a connection that the guest has not closed, or of its end, or of none.
    fn noted(&mut self, event: Event) -> Option<Event> {
        match event {
            Event::Closed { connection } => drop(self.connections.remove(&connection)?),
            Event::Digested { .. } => self.digests -= 1,
            Event::Answered { .. } => self.asked -= 1,
            Event::Data { connection, .. } | Event::Ended { connection } | Event::Writable { connection } => {
                self.connections.get(&connection).filter(|outgoing| !outgoing.is_closing())?;
            }
            _ => {}
        }
        Some(event)
    }

    /// Has all connections end when what is queued was sent; their tasks.
    pub(super) fn finish(&mut self) -> JoinSet<()> {
        self.connections.values().for_each(|outgoing| outgoing.close());
        self.connections.clear();
        std::mem::take(&mut self.tasks)
    }

    fn serve(&mut self, number: u32, stream: TcpStream, outgoing: Arc<Outgoing>, held: Held) {
        let peer = Peer { number, outgoing, events: self.events.clone(), shard: self.shard.clone() };
        self.tasks.spawn(peer.run(stream, held));
    }

    fn numbered(&mut self) -> u32 {
        self.number = self.number.wrapping_add(1);
        self.number
    }

    fn tell_figures(&self) {
        let figures = self.shard.figures();
        figures.timers.store(self.timers.len(), Relaxed);
        figures.contents.store(self.contents.len(), Relaxed);
    }

    fn part(&self, content: u32, at: u64, length: u32) -> Result<Part, Unsent> {
        let object = self.contents.get(&content).and_then(Option::as_ref).ok_or(Unsent::Gone)?;
        object.part(&self.shard.node().store, at, length)
    }

    fn dial(&mut self, target: Target) -> Result<u32, Refusal> {
        let place = self.shard.place().ok_or(Refusal::TooMany)?;
        let connection = self.numbered();
        self.connections.insert(connection, Arc::new(Outgoing::new(self.shard.figures().clone())));
        let (events, shard) = (self.events.clone(), self.shard.clone());
        let list = self.spec.dial.as_ref().map(|granted| granted.reaches.clone()).unwrap_or_default();
        self.tasks.spawn(async move {
            let letter = match dial::plain(shard.node(), &target, &list).await {
                Ok((stream, peer)) => Letter::Dialled { connection, stream, peer, place },
                Err(_) => Letter::Event(Event::Closed { connection }),
            };
            let _ = events.send(letter).await;
        });
        Ok(connection)
    }

    /// Whether a datagram may go there, which is then noted.
    fn may_send(&mut self, to: IpAddr, bytes: usize, (if_public, anyhow): (bool, bool)) -> bool {
        let now = self.since.elapsed();
        if self.quotas.may_answer(to, bytes, now) {
            return true;
        }
        let is_listed = anyhow || if_public;
        is_listed && self.quotas.may_ask(to, bytes, now) && (anyhow || is_public_of_others(to))
    }

    fn find(&mut self, url: &str) -> Result<u32, Refusal> {
        let (host, path) = host_and_path(url).ok_or(Refusal::NotGranted)?;
        if !self.spec.content.iter().any(|content| content.names(&host, &path)) {
            return Err(Refusal::NotGranted);
        }
        if self.contents.len() >= CONTENTS_MAX {
            return Err(Refusal::TooMany);
        }
        let content = self.numbered();
        self.contents.insert(content, None);
        let (events, node) = (self.events.clone(), self.shard.node().clone());
        self.tasks.spawn(async move {
            let object = content::find(&node.store, &key_of(&node, &host, &path)).await;
            let _ = events.send(Letter::Found { content, object }).await;
        });
        Ok(content)
    }

    fn digest(&mut self, content: u32, at: u64, length: u32, algorithm: Algorithm) -> Result<u32, Refusal> {
        let part = self.part(content, at, length).map_err(|_| Refusal::Gone)?;
        if self.digests >= DIGESTS_MAX {
            return Err(Refusal::TooMany);
        }
        self.digests += 1;
        let (number, events, shard) = (self.numbered(), self.events.clone(), self.shard.clone());
        self.tasks.spawn(async move {
            let sum = part.sum(&shard.node().store, algorithm).await;
            shard.figures().summed.fetch_add(if sum.is_some() { length.into() } else { 0 }, Relaxed);
            let _ = events.send(Letter::Event(Event::Digested { number, sum })).await;
        });
        Ok(number)
    }

    fn await_answer(&mut self, fetching: Fetching) -> Option<u32> {
        if self.asked >= ASKED_MAX {
            return None;
        }
        self.asked += 1;
        let (number, events) = (self.numbered(), self.events.clone());
        self.tasks.spawn(async move {
            let outcome = fetching.await;
            let _ = events.send(Letter::Event(Event::Answered { number, outcome })).await;
        });
        Some(number)
    }
}

impl Outside for Handle {
    fn send(&mut self, connection: u32, data: Vec<u8>) -> u32 {
        let desk = self.0.lock();
        // A queue holds less than four gibibytes.
        desk.connections.get(&connection).map_or(0, |outgoing| outgoing.push(data) as u32)
    }

    fn splice(&mut self, connection: u32, content: u32, at: u64, length: u32) -> Result<(), Unsent> {
        let desk = self.0.lock();
        let outgoing = desk.connections.get(&connection).ok_or(Unsent::Closed)?;
        outgoing.push_part(desk.part(content, at, length)?)
    }

    fn close(&mut self, connection: u32) {
        if let Some(outgoing) = self.0.lock().connections.get(&connection) {
            outgoing.close();
        }
    }

    fn dial(&mut self, target: Target) -> Result<u32, Refusal> {
        self.0.lock().dial(target)
    }

    fn send_to(&mut self, to: SocketAddr, data: &[u8], is_listed: (bool, bool)) -> bool {
        let mut desk = self.0.lock();
        let may = desk.may_send(to.ip(), data.len(), is_listed);
        let sent = may && desk.shard.send_to(to, data);
        let figures = desk.shard.figures();
        let counted = if sent { &figures.sent_datagrams } else { &figures.refused_datagrams };
        counted.fetch_add(1, Relaxed);
        sent
    }

    fn set_timer(&mut self, id: u32, after: Duration) -> bool {
        let mut desk = self.0.lock();
        let is_set = desk.timers.set(id, Instant::now() + after);
        desk.tell_figures();
        is_set
    }

    fn cancel_timer(&mut self, id: u32) {
        let mut desk = self.0.lock();
        desk.timers.forget(id);
        desk.tell_figures();
    }

    fn find(&mut self, url: &str) -> Result<u32, Refusal> {
        self.0.lock().find(url)
    }

    fn release(&mut self, content: u32) {
        let mut desk = self.0.lock();
        desk.contents.remove(&content);
        desk.tell_figures();
    }

    fn digest(&mut self, content: u32, at: u64, length: u32, algorithm: Algorithm) -> Result<u32, Refusal> {
        self.0.lock().digest(content, at, length, algorithm)
    }

    fn await_answer(&mut self, fetching: Fetching) -> Option<u32> {
        self.0.lock().await_answer(fetching)
    }
}

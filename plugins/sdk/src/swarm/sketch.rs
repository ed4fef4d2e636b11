//! A node for native tests of swarms: it notes what is asked for, and has contents.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use super::{Algorithm, Durable, Host, Refused, Store, Unsent};
use crate::durable::sketch::Vault;
use crate::fetch::{self, Request};
use crate::filter::sketch::Shelf;

/// What a swarm asked for, and what it is told.
#[derive(Debug, Clone, Default)]
pub struct Sketch {
    /// Its store in memory.
    pub shelf: Shelf,
    /// Its store on disk.
    pub vault: Vault,
    /// The clock.
    pub now_ms: u64,
    /// The next entropy.
    pub random: u64,
    /// What was sent to each connection, spliced bytes included.
    pub sent: BTreeMap<u32, Vec<u8>>,
    /// Connections that were closed.
    pub closed: Vec<u32>,
    /// Who was dialled, with the number it was given.
    pub dialled: Vec<(String, u16, u32)>,
    /// Datagrams that were sent.
    pub datagrams: Vec<(SocketAddr, Vec<u8>)>,
    /// Timers that are set, ms from when that was.
    pub timers: BTreeMap<u32, u32>,
    /// What the cache has, by its URL.
    pub cache: BTreeMap<String, Vec<u8>>,
    /// What was looked up, by the number it was given; the test calls [`Swarm::found`](super::Swarm::found).
    pub found: BTreeMap<u32, String>,
    /// Sums that were asked for: number, content, from, length.
    pub digests: Vec<(u32, u32, u64, u32, Algorithm)>,
    /// Requests that were made, with the number each was given; the test calls [`Swarm::answered`](super::Swarm::answered).
    pub asked: Vec<(u32, Request)>,
    number: u32,
}

impl Sketch {
    /// Bytes of a content that was looked up.
    pub fn content(&self, content: u32) -> Option<&[u8]> {
        self.cache.get(self.found.get(&content)?).map(Vec::as_slice)
    }

    fn numbered(&mut self) -> u32 {
        self.number += 1;
        self.number
    }
}

impl Host for Sketch {
    fn now_ms(&self) -> u64 {
        self.now_ms
    }
    fn random(&self) -> u64 {
        self.random
    }
    fn send(&mut self, connection: u32, data: &[u8]) -> usize {
        self.sent.entry(connection).or_default().extend_from_slice(data);
        data.len()
    }
    fn splice(&mut self, connection: u32, content: u32, at: u64, length: u32) -> Result<(), Unsent> {
        let body = self.content(content).ok_or(Unsent::Gone)?;
        let at = usize::try_from(at).map_err(|_| Unsent::TooFar)?;
        let part = at.checked_add(length as usize).and_then(|end| body.get(at..end)).ok_or(Unsent::TooFar)?.to_vec();
        self.send(connection, &part);
        Ok(())
    }
    fn close(&mut self, connection: u32) {
        self.closed.push(connection);
    }
    fn dial(&mut self, host: &str, port: u16) -> Result<u32, Refused> {
        let number = self.numbered();
        self.dialled.push((host.to_owned(), port, number));
        Ok(number)
    }
    fn send_to(&mut self, to: SocketAddr, data: &[u8]) -> bool {
        self.datagrams.push((to, data.to_vec()));
        true
    }
    fn set_timer(&mut self, id: u32, ms: u32) -> bool {
        self.timers.insert(id, ms);
        true
    }
    fn cancel_timer(&mut self, id: u32) {
        self.timers.remove(&id);
    }
    fn find(&mut self, url: &str) -> Result<u32, Refused> {
        let number = self.numbered();
        self.found.insert(number, url.to_owned());
        Ok(number)
    }
    fn release(&mut self, content: u32) {
        self.found.remove(&content);
    }
    fn digest(&mut self, content: u32, at: u64, length: u32, algorithm: Algorithm) -> Result<u32, Refused> {
        self.content(content).ok_or(Refused::Gone)?;
        let number = self.numbered();
        self.digests.push((number, content, at, length, algorithm));
        Ok(number)
    }
    fn ask(&mut self, request: &Request) -> Result<u32, fetch::Refused> {
        let number = self.numbered();
        self.asked.push((number, request.clone()));
        Ok(number)
    }
    fn durable(&mut self) -> impl Durable {
        &mut self.vault
    }
}

crate::filter::sketch::has_shelf!(Sketch);

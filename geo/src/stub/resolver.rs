//! A local resolver, as users have one in their access network: asks the authoritative servers, follows aliases between
//! them, passes the client subnet on and caches. The demo's players ask it over UDP.
//!
//! It is told which server is authoritative for which zone (the walk from the root is left out). It caches by name and
//! scope for the TTL, so a player sees a dead cluster for as long as a real one would. Invariants: the cache, the chain of
//! aliases, the questions in flight and the exchanges remembered are bounded (`limits`), every question has a deadline,
//! and what is no question gets no answer.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use ipnet::IpNet;
use parking_lot::Mutex;
use tokio::net::UdpSocket;
use tokio::sync::Semaphore;
use tokio::time::timeout;

use super::cache::{Cache, Found};
use super::message::{Answer, Asked};
use super::{StubError, absolute, lookup};
use crate::limits::{
    RESOLVE_SECONDS, RESOLVE_SERVER_SECONDS, RESOLVE_STEPS_MAX, RESOLVER_QUESTIONS_MAX, RESOLVER_SEEN_MAX,
    UDP_BYTES_MAX,
};

/// SERVFAIL (RFC 1035 §4.1.1).
const SERVER_FAILURE: u16 = 2;

/// A zone and the server that is authoritative for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Authority {
    /// The zone's name, in lower case and with its final dot.
    pub zone: String,
    /// Who runs it, for people.
    pub owner: String,
    /// Its server.
    pub server: SocketAddr,
}

/// One question to an authoritative server and what it answered.
#[derive(Debug, Clone)]
pub struct Exchange {
    /// Who was asked.
    pub authority: Authority,
    /// For which client.
    pub subnet: Option<IpNet>,
    /// What it answered.
    pub answer: Answer,
    /// How long that took.
    pub took: Duration,
}

/// The resolver.
pub struct Resolver {
    address: SocketAddr,
    authorities: Vec<Authority>,
    cache: Mutex<Cache>,
    seen: Mutex<Vec<Exchange>>,
    /// Room for questions in flight.
    room: Arc<Semaphore>,
}

impl Resolver {
    /// Binds a free loopback port and answers on it, over UDP, until the runtime ends.
    ///
    /// # Errors
    /// When no port can be bound.
    pub async fn start(authorities: Vec<Authority>) -> std::io::Result<Arc<Self>> {
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let resolver = Arc::new(Self {
            address: socket.local_addr()?,
            authorities,
            cache: Mutex::default(),
            seen: Mutex::default(),
            room: Arc::new(Semaphore::new(RESOLVER_QUESTIONS_MAX)),
        });
        tokio::spawn(serve(resolver.clone(), Arc::new(socket)));
        Ok(resolver)
    }

    /// Where clients ask it.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The exchanges with authoritative servers since this was last asked, oldest first, at most [`RESOLVER_SEEN_MAX`].
    pub fn take_seen(&self) -> Vec<Exchange> {
        std::mem::take(&mut *self.seen.lock())
    }

    /// The reply to a client's datagram, from the cache while the TTL lasts.
    async fn reply(&self, datagram: &[u8]) -> Option<Vec<u8>> {
        let asked = Asked::read(datagram)?;
        if !asked.for_addresses {
            // Only IPv4 addresses are resolved: of anything else there is nothing.
            return asked.reply(&Found::default());
        }
        let cached = self.cache.lock().get(&asked.name, asked.subnet, Instant::now());
        if let Some(found) = cached {
            return asked.reply(&found);
        }
        let walk = timeout(Duration::from_secs(RESOLVE_SECONDS), self.walk(&asked.name, asked.subnet));
        let found = match walk.await {
            Ok(Ok(exchanges)) => {
                let found = joined(&exchanges);
                self.cache.lock().put(&asked.name, asked.subnet, found.clone(), Instant::now());
                self.tell(exchanges);
                found
            }
            Ok(Err(_)) | Err(_) => Found { code: SERVER_FAILURE, ..Found::default() },
        };
        asked.reply(&found)
    }

    /// Asks down the chain of aliases.
    async fn walk(&self, name: &str, subnet: Option<IpNet>) -> Result<Vec<Exchange>, StubError> {
        let mut exchanges: Vec<Exchange> = Vec::new();
        let mut name = absolute(name);
        while exchanges.len() < RESOLVE_STEPS_MAX {
            let authority = self.authority_of(&name)?.clone();
            let started = Instant::now();
            let patience = Duration::from_secs(RESOLVE_SERVER_SECONDS);
            let answer = lookup(authority.server, &name, subnet, patience).await?;
            let next = answer.final_name().to_owned();
            let done = next == name || !answer.addresses().is_empty();
            exchanges.push(Exchange { authority, subnet, answer, took: started.elapsed() });
            if done {
                return Ok(exchanges);
            }
            name = next;
        }
        Err(StubError::TooLong(name))
    }

    /// Who answers for `name`: the longest zone it is in.
    fn authority_of(&self, name: &str) -> Result<&Authority, StubError> {
        let above = |host: &str| host.is_empty() || host.ends_with('.');
        let covers = |zone: &str| zone == "." || name.strip_suffix(zone).is_some_and(above);
        let covering = self.authorities.iter().filter(|authority| covers(&authority.zone));
        covering.max_by_key(|authority| authority.zone.len()).ok_or_else(|| StubError::NoServer(name.to_owned()))
    }

    fn tell(&self, exchanges: Vec<Exchange>) {
        let mut seen = self.seen.lock();
        let room = RESOLVER_SEEN_MAX.saturating_sub(seen.len());
        seen.extend(exchanges.into_iter().take(room));
    }
}

/// One answer out of all on the way: it holds where each of them does.
fn joined(exchanges: &[Exchange]) -> Found {
    let answers = || exchanges.iter().map(|exchange| &exchange.answer);
    Found {
        code: exchanges.last().map_or(SERVER_FAILURE, |exchange| exchange.answer.code),
        records: answers().flat_map(|answer| answer.records.clone()).collect(),
        scope: answers().filter_map(|answer| answer.scope).max().unwrap_or(0),
    }
}

async fn serve(resolver: Arc<Resolver>, socket: Arc<UdpSocket>) {
    let mut buffer = [0; UDP_BYTES_MAX as usize];
    loop {
        let Ok((length, client)) = socket.recv_from(&mut buffer).await else {
            continue;
        };
        // Without room the question is lost like any datagram, and the client asks again.
        let Ok(room) = resolver.room.clone().try_acquire_owned() else {
            continue;
        };
        let (resolver, socket, datagram) = (resolver.clone(), socket.clone(), buffer[..length].to_vec());
        tokio::spawn(async move {
            let _room = room;
            if let Some(reply) = resolver.reply(&datagram).await {
                let _lost_like_any_datagram = socket.send_to(&reply, client).await;
            }
        });
    }
}

#[cfg(test)]
mod tests;

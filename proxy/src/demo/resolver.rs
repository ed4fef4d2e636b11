//! The user's local resolver: asks the authoritative servers, follows aliases between them, passes the client subnet on.
//!
//! It stands for the resolver of an access network and answers players over UDP. It knows which server is authoritative
//! for which zone (the walk from the root is left out) and caches by name and scope prefix for the TTL, as RFC 7871
//! section 7.3 asks; so a player sees a dead cluster for as long as a real one would. Invariants: the cache holds at
//! most [`ENTRIES_MAX`] answers, a chain has at most [`ALIASES_MAX`] aliases, every question has a deadline.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU16, Ordering::Relaxed};
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use parking_lot::Mutex;
use tokio::net::UdpSocket;

use crate::play::lookup::ask;
use crate::play::wire::{self, ClientSubnet, Message, PAYLOAD_MAX, Record, TYPE_A};

const ENTRIES_MAX: usize = 256;
const ALIASES_MAX: usize = 8;
/// Exchanges remembered for the story.
const SEEN_MAX: usize = 64;
const TRIES: usize = 2;
const RCODE_SERVFAIL: u8 = 2;

/// A zone and the server that is authoritative for it.
#[derive(Debug, Clone)]
pub(super) struct Authority {
    /// Absolute name.
    pub(super) zone: &'static str,
    /// Who runs it, for the story.
    pub(super) owner: &'static str,
    pub(super) server: SocketAddr,
}

/// One question to an authoritative server and what it answered.
#[derive(Debug, Clone)]
pub(super) struct Exchange {
    pub(super) authority: Authority,
    pub(super) answer: Message,
    pub(super) took: Duration,
}

/// The resolver; cheap to share.
pub(super) struct Resolver {
    address: SocketAddr,
    authorities: Vec<Authority>,
    cache: Mutex<Vec<Cached>>,
    next_id: AtomicU16,
    seen: Mutex<Vec<Exchange>>,
}

struct Cached {
    name: String,
    network: Ipv4Addr,
    scope: u8,
    answer: Message,
    stored: Instant,
    ttl: Duration,
}

impl Resolver {
    /// Binds a free loopback port and starts answering on it.
    ///
    /// # Errors
    /// When no port can be bound.
    pub(super) async fn start(authorities: Vec<Authority>) -> anyhow::Result<Arc<Self>> {
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await.context("the resolver finds no free port")?;
        let resolver = Arc::new(Self {
            address: socket.local_addr()?,
            authorities,
            cache: Mutex::default(),
            next_id: AtomicU16::new(1),
            seen: Mutex::default(),
        });
        tokio::spawn(serve(resolver.clone(), Arc::new(socket)));
        Ok(resolver)
    }

    /// Where players ask it.
    pub(super) fn address(&self) -> SocketAddr {
        self.address
    }

    /// The exchanges with authoritative servers since this was last asked, oldest first, at most [`SEEN_MAX`].
    pub(super) fn take_seen(&self) -> Vec<Exchange> {
        std::mem::take(&mut *self.seen.lock())
    }

    /// Asks down the chain of aliases and tells each exchange.
    async fn walk(&self, name: &str, subnet: Option<ClientSubnet>) -> anyhow::Result<Vec<Exchange>> {
        let mut exchanges: Vec<Exchange> = Vec::new();
        let mut name = wire::absolute(name);
        loop {
            ensure!(exchanges.len() < ALIASES_MAX, "more than {ALIASES_MAX} aliases from {name}");
            let authority = self.authority_of(&name)?.clone();
            let (answer, took) = self.ask(authority.server, &name, subnet).await?;
            let next = answer.final_name().to_owned();
            let done = next == name || !answer.addresses().is_empty();
            exchanges.push(Exchange { authority, answer, took });
            if done {
                return Ok(exchanges);
            }
            name = next;
        }
    }

    fn authority_of(&self, name: &str) -> anyhow::Result<&Authority> {
        let covers = |zone: &str| name == zone || name.strip_suffix(zone).is_some_and(|host| host.ends_with('.'));
        let longest = self.authorities.iter().filter(|authority| covers(authority.zone));
        longest.max_by_key(|authority| authority.zone.len()).with_context(|| format!("no server known for {name}"))
    }

    /// Asks one server over UDP.
    async fn ask(
        &self,
        server: SocketAddr,
        name: &str,
        subnet: Option<ClientSubnet>,
    ) -> anyhow::Result<(Message, Duration)> {
        let started = Instant::now();
        let mut last = anyhow::anyhow!("{server} was not asked");
        for _ in 0..TRIES {
            match ask(server, Message::query(self.next_id.fetch_add(1, Relaxed), name, subnet)).await {
                Ok(answer) => return Ok((answer, started.elapsed())),
                Err(error) => last = error,
            }
        }
        Err(last.context(format!("asking {server} for {name}")))
    }

    /// Answers a player's question, from the cache while the TTL lasts.
    async fn answer(&self, question: &Message) -> Message {
        let mut answer = match self.cached(question) {
            Some(answer) => answer,
            // The demo's world has IPv4 addresses only.
            None if question.kind != TYPE_A => question.clone(),
            None => match self.walk(&question.name, question.subnet).await {
                Ok(exchanges) => {
                    let answer = self.remember(question, &exchanges);
                    let mut seen = self.seen.lock();
                    let room = SEEN_MAX.saturating_sub(seen.len());
                    seen.extend(exchanges.into_iter().take(room));
                    answer
                }
                Err(_) => Message { rcode: RCODE_SERVFAIL, ..question.clone() },
            },
        };
        answer.id = question.id;
        answer.response = true;
        answer.authoritative = false;
        answer
    }

    fn cached(&self, question: &Message) -> Option<Message> {
        let client = question.subnet.map_or(0, |subnet| u32::from(subnet.network));
        let mut cache = self.cache.lock();
        cache.retain(|entry| entry.stored.elapsed() < entry.ttl);
        let covers = |entry: &&Cached| {
            question.kind == TYPE_A
                && entry.name == question.name
                && masked(client, entry.scope) == masked(entry.network.into(), entry.scope)
        };
        let entry = cache.iter().filter(covers).max_by_key(|entry| entry.scope)?;
        let age = u32::try_from(entry.stored.elapsed().as_secs()).unwrap_or(u32::MAX);
        let mut answer = entry.answer.clone();
        answer.answers.iter_mut().for_each(|record| record.ttl = record.ttl.saturating_sub(age));
        answer.subnet = question.subnet.map(|subnet| ClientSubnet { scope: entry.scope, ..subnet });
        Some(answer)
    }

    /// One message out of the exchanges; kept for the shortest TTL and the longest scope among them.
    fn remember(&self, question: &Message, exchanges: &[Exchange]) -> Message {
        let records: Vec<Record> = exchanges.iter().flat_map(|exchange| exchange.answer.answers.clone()).collect();
        let rcode = exchanges.last().map_or(RCODE_SERVFAIL, |exchange| exchange.answer.rcode);
        let scope = exchanges.iter().filter_map(|exchange| exchange.answer.subnet).map(|subnet| subnet.scope).max();
        let scope = scope.unwrap_or(0);
        let ttl = records.iter().map(|record| record.ttl).min().unwrap_or(0);
        let subnet = question.subnet.map(|subnet| ClientSubnet { scope, ..subnet });
        let answer = Message { rcode, answers: records, subnet, ..question.clone() };
        let mut cache = self.cache.lock();
        if ttl > 0 && cache.len() < ENTRIES_MAX {
            let network = question.subnet.map_or(Ipv4Addr::UNSPECIFIED, |subnet| subnet.network);
            let (name, answer) = (question.name.clone(), answer.clone());
            let ttl = Duration::from_secs(ttl.into());
            cache.push(Cached { name, network, scope, answer, stored: Instant::now(), ttl });
        }
        answer
    }
}

async fn serve(resolver: Arc<Resolver>, socket: Arc<UdpSocket>) {
    let mut buffer = [0; PAYLOAD_MAX as usize];
    loop {
        let Ok((length, client)) = socket.recv_from(&mut buffer).await else {
            continue;
        };
        let Ok(question) = Message::decode(&buffer[..length]) else {
            continue;
        };
        if question.response {
            continue;
        }
        let (resolver, socket) = (resolver.clone(), socket.clone());
        tokio::spawn(async move {
            if let Ok(bytes) = resolver.answer(&question).await.encode() {
                let _lost_like_any_datagram = socket.send_to(&bytes, client).await;
            }
        });
    }
}

fn masked(address: u32, prefix: u8) -> u32 {
    address & u32::MAX.checked_shl(32 - u32::from(prefix.min(32))).unwrap_or(0)
}

#[cfg(test)]
#[path = "resolver/tests.rs"]
mod tests;

//! Names to addresses, as a player does it: one UDP question with its client subnet, kept for the answer's TTL.
//!
//! Without a server of its own the system's resolver is used. Invariant: an answer is never used beyond its TTL, and
//! [`Names::forget`] makes the next question go out at once.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use tokio::net::UdpSocket;

use super::wire::{ClientSubnet, Message, PAYLOAD_MAX};

const ANSWER_WAIT: Duration = Duration::from_millis(1500);
/// Names one player remembers; a manifest that spreads over more hosts asks again.
const NAMES_MAX: usize = 64;

/// A player's view of the DNS.
#[derive(Debug)]
pub(super) struct Names {
    server: Option<SocketAddr>,
    subnet: Option<ClientSubnet>,
    known: HashMap<String, Known>,
    next_id: u16,
}

#[derive(Debug)]
struct Known {
    address: IpAddr,
    until: Instant,
}

impl Names {
    pub(super) fn new(server: Option<SocketAddr>, subnet: Option<ClientSubnet>) -> Self {
        Self { server, subnet, known: HashMap::new(), next_id: rand_id() }
    }

    /// The address of `host` to use now.
    ///
    /// # Errors
    /// When it has none, or nobody answers.
    pub(super) async fn address(&mut self, host: &str) -> anyhow::Result<IpAddr> {
        if let Ok(address) = host.trim_matches(['[', ']']).parse() {
            return Ok(address);
        }
        if let Some(known) = self.known.get(host).filter(|known| known.until > Instant::now()) {
            return Ok(known.address);
        }
        let Some(server) = self.server else {
            let mut found =
                tokio::net::lookup_host((host, 0)).await.with_context(|| format!("cannot resolve {host}"))?;
            return Ok(found.next().with_context(|| format!("{host} has no address"))?.ip());
        };
        self.next_id = self.next_id.wrapping_add(1);
        let query = Message::query(self.next_id, host, self.subnet);
        let answer = ask(server, query).await.with_context(|| format!("asking {server} for {host}"))?;
        ensure!(answer.rcode == 0, "{server} answers {host} with code {}", answer.rcode);
        let address =
            answer.addresses().first().copied().with_context(|| format!("{server} has no address for {host}"))?;
        let ttl = answer.answers.iter().map(|record| record.ttl).min().unwrap_or(0);
        if self.known.len() >= NAMES_MAX {
            self.known.clear();
        }
        let until = Instant::now() + Duration::from_secs(ttl.into());
        self.known.insert(host.to_owned(), Known { address, until });
        Ok(address)
    }

    /// What was known of `host` did not work.
    pub(super) fn forget(&mut self, host: &str) {
        self.known.remove(host);
    }
}

/// Sends `query` to `server` and waits for the answer that belongs to it.
///
/// # Errors
/// When none comes in time or it is not readable.
pub(crate) async fn ask(server: SocketAddr, query: Message) -> anyhow::Result<Message> {
    let any: IpAddr =
        if server.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { std::net::Ipv6Addr::UNSPECIFIED.into() };
    let socket = UdpSocket::bind((any, 0)).await?;
    socket.connect(server).await?;
    socket.send(&query.encode()?).await?;
    let answer = async {
        let mut buffer = [0; PAYLOAD_MAX as usize];
        loop {
            let length = socket.recv(&mut buffer).await?;
            let answer = Message::decode(&buffer[..length])?;
            if answer.response && answer.id == query.id && answer.name == query.name {
                return anyhow::Ok(answer);
            }
        }
    };
    tokio::time::timeout(ANSWER_WAIT, answer).await.with_context(|| format!("{server} did not answer in time"))?
}

/// A first id that an off-path attacker cannot guess from the start of the process.
fn rand_id() -> u16 {
    use std::hash::{BuildHasher, Hasher};
    std::collections::hash_map::RandomState::new().build_hasher().finish() as u16
}

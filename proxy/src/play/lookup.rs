//! Names to addresses, as a player does it: one question with its client subnet, kept for the answer's TTL.
//!
//! Without a server of its own the system's resolver is used. Invariant: an answer is never used beyond its TTL, and
//! [`Names::forget`] makes the next question go out at once.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use littoral_geo::stub::{self, Answer};

const ANSWER_WAIT: Duration = Duration::from_millis(1500);
/// Names one player remembers; a manifest that spreads over more hosts asks again.
const NAMES_MAX: usize = 64;

/// A player's view of the DNS.
#[derive(Debug)]
pub(super) struct Names {
    server: Option<SocketAddr>,
    client: Option<Ipv4Addr>,
    known: HashMap<String, Known>,
}

#[derive(Debug)]
struct Known {
    address: IpAddr,
    until: Instant,
}

impl Names {
    /// Asks `server` for the subnet of `client`.
    pub(super) fn new(server: Option<SocketAddr>, client: Option<Ipv4Addr>) -> Self {
        Self { server, client, known: HashMap::new() }
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
        let answer = ask(server, host, self.client).await?;
        ensure!(answer.code == 0, "{server} answers {host} with code {}", answer.code);
        let address =
            answer.addresses().first().copied().with_context(|| format!("{server} has no address for {host}"))?;
        if self.known.len() >= NAMES_MAX {
            self.known.clear();
        }
        let until = Instant::now() + Duration::from_secs(answer.ttl_s().into());
        self.known.insert(host.to_owned(), Known { address, until });
        Ok(address)
    }

    /// What was known of `host` did not work.
    pub(super) fn forget(&mut self, host: &str) {
        self.known.remove(host);
    }
}

/// Asks `server` for `host` as a player at `client` does.
///
/// # Errors
/// When no answer comes in time.
pub(crate) async fn ask(server: SocketAddr, host: &str, client: Option<Ipv4Addr>) -> anyhow::Result<Answer> {
    let answer = stub::lookup(server, host, client.map(stub::subnet_of), ANSWER_WAIT).await;
    answer.with_context(|| format!("asking {server} for {host}"))
}

//! What one client may do: how many connections, how many new ones and how many requests a second.
//!
//! A client is an address, in IPv6 a /64. Each has two token buckets (GCRA: a bucket is the time at which it will be full), so that
//! a request of a connection that knows its client takes no lock and allocates nothing. Who is exempt, and every client while
//! nothing is bounded, costs nothing.
//!
//! Invariant: never more than [`CLIENTS_MAX`] clients are known; beyond that new ones go unbounded, and are counted.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, LazyLock};
use std::time::{Duration, Instant};

use foldhash::fast::RandomState;
use parking_lot::Mutex;

use crate::config::Limits;
use crate::observe::figures::{Counter, Denied};

/// Clients known at a time.
pub const CLIENTS_MAX: usize = 1 << 16;
/// Locks the table is spread over.
const SHARDS: usize = 16;
/// Between two sweeps of a full shard.
const SWEEP_EVERY_NS: u64 = 1_000_000_000;

/// Every client there is anything to remember of.
#[derive(Default)]
pub struct Clients {
    shards: [Mutex<Shard>; SHARDS],
    /// Connections of clients that there was no room to know.
    pub untracked: Counter,
}

#[derive(Default)]
struct Shard {
    clients: HashMap<Address, Arc<Client>, RandomState>,
    swept_ns: u64,
}

/// An address as a key: IPv4 whole, IPv6 by its /64.
type Address = (u64, u8);

#[derive(Debug, Default)]
struct Client {
    connections: AtomicUsize,
    connects: Bucket,
    requests: Bucket,
}

/// When it will be full again, in nanoseconds of [`now_ns`].
#[derive(Debug, Default)]
struct Bucket(AtomicU64);

/// A rate per second and how many seconds' worth may come at once.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Rate {
    /// Nanoseconds between two; 0: no bound.
    interval_ns: u64,
    burst_ns: u64,
}

/// A connection's hold on its client.
#[derive(Debug, Default)]
pub(crate) struct Guest(Option<(Arc<Client>, Rate)>);

impl Rate {
    pub(crate) fn new(per_second: u32, burst: Duration) -> Self {
        let interval_ns = 1_000_000_000_u64.checked_div(per_second.into()).unwrap_or(0);
        let burst_ns = u64::try_from(burst.as_nanos()).unwrap_or(u64::MAX);
        // One is always possible.
        Self { interval_ns, burst_ns: burst_ns.max(interval_ns) }
    }

    fn is_bound(self) -> bool {
        self.interval_ns > 0
    }
}

impl Bucket {
    /// Takes one, or says in how many nanoseconds there will be one.
    fn take(&self, rate: Rate, now_ns: u64) -> Result<(), u64> {
        let mut seen = self.0.load(Relaxed);
        loop {
            let full = seen.max(now_ns).saturating_add(rate.interval_ns);
            let excess = full.saturating_sub(now_ns).saturating_sub(rate.burst_ns);
            if excess > 0 {
                return Err(excess);
            }
            match self.0.compare_exchange_weak(seen, full, Relaxed, Relaxed) {
                Ok(_) => return Ok(()),
                Err(other) => seen = other,
            }
        }
    }
}

impl Client {
    fn is_forgettable(&self, now_ns: u64) -> bool {
        let full = |bucket: &Bucket| bucket.0.load(Relaxed) <= now_ns;
        self.connections.load(Relaxed) == 0 && full(&self.connects) && full(&self.requests)
    }
}

impl Clients {
    /// A client comes with a new connection.
    ///
    /// # Errors
    /// It has too many, or comes too often.
    pub(crate) fn enter(&self, address: IpAddr, limits: &Limits) -> Result<Guest, Denied> {
        let connects = Rate::new(limits.client_connection_rate, limits.client_burst.0);
        let requests = Rate::new(limits.client_request_rate, limits.client_burst.0);
        let bounded = limits.client_connections > 0 || connects.is_bound() || requests.is_bound();
        let address = address.to_canonical();
        if !bounded || limits.clients_exempt.iter().any(|prefix| prefix.0.contains(&address)) {
            return Ok(Guest::default());
        }
        let now_ns = now_ns();
        let Some(client) = self.know(address, now_ns) else {
            self.untracked.add(1);
            return Ok(Guest::default());
        };
        if connects.is_bound() && client.connects.take(connects, now_ns).is_err() {
            return Err(Denied::ClientRate);
        }
        // Counted first, so that two at once cannot both be the last.
        let before = client.connections.fetch_add(1, Relaxed);
        let guest = Guest(Some((client, requests)));
        match limits.client_connections {
            0 => Ok(guest),
            most if before < most => Ok(guest),
            _ => Err(Denied::ClientConnections),
        }
    }

    fn know(&self, address: IpAddr, now_ns: u64) -> Option<Arc<Client>> {
        let key = match address {
            IpAddr::V4(address) => (u64::from(address.to_bits()), 1),
            IpAddr::V6(address) => ((address.to_bits() >> 64) as u64, 2),
        };
        let shard = (key.0 ^ (key.0 >> 32)).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 60;
        let mut shard = self.shards[shard as usize % SHARDS].lock();
        if let Some(known) = shard.clients.get(&key) {
            return Some(known.clone());
        }
        if shard.clients.len() >= CLIENTS_MAX / SHARDS {
            if now_ns < shard.swept_ns.saturating_add(SWEEP_EVERY_NS) {
                return None;
            }
            shard.swept_ns = now_ns;
            shard.clients.retain(|_, client| !client.is_forgettable(now_ns));
            if shard.clients.len() >= CLIENTS_MAX / SHARDS {
                return None;
            }
        }
        Some(shard.clients.entry(key).or_default().clone())
    }

    /// How many are known.
    pub fn known(&self) -> usize {
        self.shards.iter().map(|shard| shard.lock().clients.len()).sum()
    }
}

impl Guest {
    /// A request comes.
    ///
    /// # Errors
    /// In how many seconds, rounded up, one may come.
    pub(crate) fn request(&self) -> Result<(), u64> {
        match &self.0 {
            Some((client, rate)) if rate.is_bound() => {
                client.requests.take(*rate, now_ns()).map_err(|wait_ns| wait_ns.div_ceil(1_000_000_000))
            }
            _ => Ok(()),
        }
    }
}

impl Drop for Guest {
    fn drop(&mut self) {
        if let Some((client, _)) = &self.0 {
            client.connections.fetch_sub(1, Relaxed);
        }
    }
}

/// Nanoseconds since the first call, never back.
fn now_ns() -> u64 {
    static START: LazyLock<Instant> = LazyLock::new(Instant::now);
    // A full bucket is one in the past: there has to be a past.
    u64::try_from(START.elapsed().as_nanos()).unwrap_or(u64::MAX).saturating_add(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: u64 = 1_000_000_000;

    #[test]
    fn a_bucket_gives_its_burst_at_once_and_then_its_rate() {
        let (bucket, rate) = (Bucket::default(), Rate::new(10, Duration::from_millis(300)));
        let taken = |now_ns: u64| (0..100).take_while(|_| bucket.take(rate, now_ns).is_ok()).count();
        assert_eq!(taken(SECOND), 3);
        assert_eq!(bucket.take(rate, SECOND), Err(SECOND / 10));
        assert_eq!(taken(SECOND + SECOND / 10), 1);
        assert_eq!(taken(SECOND * 60), 3, "it never holds more than its burst");
        assert_eq!(Rate::new(1, Duration::ZERO).burst_ns, SECOND, "one is always possible");
    }

    #[test]
    fn a_client_is_an_address_or_a_network_and_its_connections_come_back() {
        let clients = Clients::default();
        let limits = Limits { client_connections: 2, clients_exempt: Vec::new(), ..Limits::default() };
        let enter = |address: &str| clients.enter(address.parse().unwrap(), &limits);
        let held = [enter("192.0.2.1").unwrap(), enter("::ffff:192.0.2.1").unwrap()];
        assert!(matches!(enter("192.0.2.1"), Err(Denied::ClientConnections)));
        assert!(enter("192.0.2.2").is_ok());
        drop(held);
        assert!(enter("192.0.2.1").is_ok());
        let _held = [enter("2001:db8::1").unwrap(), enter("2001:db8::2").unwrap()];
        assert!(enter("2001:db8::3").is_err() && enter("2001:db8:0:1::3").is_ok());
    }

    #[test]
    fn the_exempt_and_the_unbounded_are_not_remembered() {
        let clients = Clients::default();
        let limits = Limits { client_request_rate: 1, ..Limits::default() };
        let guest = clients.enter("127.0.0.1".parse().unwrap(), &limits).unwrap();
        assert!((0..100).all(|_| guest.request().is_ok()));
        clients.enter("192.0.2.1".parse().unwrap(), &Limits::default()).unwrap();
        assert_eq!(clients.known(), 0);
    }

    #[test]
    fn a_flood_of_addresses_is_bounded_and_counted() {
        let clients = Clients::default();
        let limits = Limits { client_connections: 1, ..Limits::default() };
        let held: Vec<_> = (0..2 * CLIENTS_MAX as u32)
            .map(|number| clients.enter(IpAddr::V4((0x0a00_0000 + number).into()), &limits))
            .collect();
        assert!(held.iter().all(Result::is_ok));
        assert!(clients.known() <= CLIENTS_MAX && clients.untracked.sum() >= CLIENTS_MAX as u64);
    }
}

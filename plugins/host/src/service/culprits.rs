//! Clients whose connections made a service fail.
//!
//! What one client does must not take a service from the others: its faults are held against itself. Those of several clients, and those
//! that nobody can be blamed for, are the service's own. Bounded; the clock comes with the call.

use std::net::IpAddr;
use std::num::NonZeroUsize;

use lru::LruCache;
use parking_lot::Mutex;

use super::limits::CULPRITS_MAX;
use crate::breaker::Breaker;
use crate::limits::FAULT_WINDOW_MS;

/// A client: an address, of IPv6 its /64.
type Client = (u64, bool);

pub(super) struct Culprits(Mutex<LruCache<Client, Culprit>>);

#[derive(Default)]
struct Culprit {
    breaker: Breaker,
    until_ms: u64,
    /// When a fault of it was last held against the service.
    told_ms: Option<u64>,
}

impl Default for Culprits {
    fn default() -> Self {
        Self(Mutex::new(LruCache::new(NonZeroUsize::new(CULPRITS_MAX).unwrap_or(NonZeroUsize::MIN))))
    }
}

impl Culprits {
    /// Whether a client is refused for now.
    pub(super) fn is_refused(&self, client: IpAddr, now_ms: u64) -> bool {
        self.0.lock().peek(&key(client)).is_some_and(|culprit| now_ms < culprit.until_ms)
    }

    /// Notes a fault in a connection of `client`. Whether it is held against the service too: not if this client's last one has just been.
    pub(super) fn fault(&self, client: IpAddr, now_ms: u64) -> bool {
        let mut culprits = self.0.lock();
        let culprit = culprits.get_or_insert_mut(key(client), Culprit::default);
        if let Some(until_ms) = culprit.breaker.fault(now_ms) {
            culprit.until_ms = until_ms;
        }
        let is_news = culprit.told_ms.is_none_or(|told_ms| now_ms.saturating_sub(told_ms) > FAULT_WINDOW_MS);
        if is_news {
            culprit.told_ms = Some(now_ms);
        }
        is_news
    }

    /// Clients that are refused for now.
    pub(super) fn refused(&self, now_ms: u64) -> usize {
        self.0.lock().iter().filter(|(_, culprit)| now_ms < culprit.until_ms).count()
    }

    /// A new generation is a new chance for everybody.
    pub(super) fn forget(&self) {
        self.0.lock().clear();
    }
}

fn key(client: IpAddr) -> Client {
    match client.to_canonical() {
        IpAddr::V4(address) => (u64::from(address.to_bits()), false),
        IpAddr::V6(address) => ((address.to_bits() >> 64) as u64, true),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn one_client_s_faults_are_its_own_and_it_is_refused_for_a_while() {
        let culprits = Culprits::default();
        let [one, other] = [ip("192.0.2.1"), ip("192.0.2.2")];
        assert!(culprits.fault(one, 100), "the first of each client counts");
        assert!(!culprits.fault(one, 101) && !culprits.is_refused(one, 101));
        assert!(!culprits.fault(one, 102) && culprits.is_refused(one, 102));
        assert!(!culprits.is_refused(other, 102) && culprits.fault(other, 103));
        assert_eq!(culprits.refused(103), 1);
        assert!(!culprits.is_refused(one, 1_102), "a second later it may come again");
        assert!(culprits.fault(one, 20_000), "and after the window its faults count again");
        culprits.forget();
        assert_eq!(culprits.refused(102), 0);
    }

    #[test]
    fn a_network_of_ipv6_is_one_client_and_those_remembered_are_bounded() {
        let culprits = Culprits::default();
        assert!(culprits.fault(ip("2001:db8::1"), 1) && !culprits.fault(ip("2001:db8::2"), 1));
        assert!(culprits.fault(ip("2001:db8:0:1::1"), 1) && !culprits.fault(ip("2001:db8:0:1::2"), 1));
        for number in 0..2 * CULPRITS_MAX as u32 {
            culprits.fault(IpAddr::V4(number.into()), 1);
        }
        assert_eq!(culprits.0.lock().len(), CULPRITS_MAX);
    }
}

//! Who may be sent datagrams, and how many: answers by what came from there, everything else at a rate. Pure: times come with the calls.
//!
//! Invariant: to no prefix goes more than the factor times what came from it, beside what is asked at the rates of one prefix and of all.

use std::net::IpAddr;
use std::num::NonZeroUsize;
use std::time::Duration;

use lru::LruCache;

use super::limits::{ASKED_BYTES_MAX, ASKS_OF_ALL, ASKS_OF_PREFIX, CREDIT_BYTES_MAX, PREFIXES_MAX};

/// Of IPv4 the /24, of IPv6 the /64.
type Prefix = (u64, bool);

/// Fills at a rate up to a bound.
#[derive(Debug, Clone, Copy)]
struct Bucket {
    left: f64,
    at: Duration,
}

/// What is known of one prefix.
#[derive(Debug)]
struct Known {
    /// Bytes that may be answered.
    credit: u64,
    asks: Bucket,
}

/// What may be sent where.
#[derive(Debug)]
pub struct Quotas {
    known: LruCache<Prefix, Known>,
    all: Bucket,
}

impl Bucket {
    fn full((most, _): (f64, f64), at: Duration) -> Self {
        Self { left: most, at }
    }

    fn has_one(&mut self, (most, each_second): (f64, f64), now: Duration) -> bool {
        let passed = now.saturating_sub(self.at).as_secs_f64();
        self.at = self.at.max(now);
        self.left = (self.left + passed * each_second).min(most);
        self.left >= 1.0
    }
}

impl Default for Quotas {
    fn default() -> Self {
        let known = LruCache::new(NonZeroUsize::new(PREFIXES_MAX).unwrap_or(NonZeroUsize::MIN));
        Self { known, all: Bucket::full(ASKS_OF_ALL, Duration::ZERO) }
    }
}

impl Quotas {
    /// Notes a datagram of so many bytes, of which `factor` times as many may be answered.
    pub fn heard(&mut self, from: IpAddr, bytes: usize, factor: u32, now: Duration) {
        let known = self.of(from, now);
        let more = (bytes as u64).saturating_mul(factor.into());
        known.credit = known.credit.saturating_add(more).min(CREDIT_BYTES_MAX);
    }

    /// Whether a datagram of so many bytes may go there as an answer, which is then noted.
    pub fn may_answer(&mut self, to: IpAddr, bytes: usize, now: Duration) -> bool {
        let known = self.of(to, now);
        let left = known.credit.checked_sub(bytes as u64);
        known.credit = left.unwrap_or(known.credit);
        left.is_some()
    }

    /// Whether it may go there though nothing came from there, which is then noted.
    pub fn may_ask(&mut self, to: IpAddr, bytes: usize, now: Duration) -> bool {
        if bytes > ASKED_BYTES_MAX || !self.all.has_one(ASKS_OF_ALL, now) {
            return false;
        }
        let asks = &mut self.of(to, now).asks;
        let may = asks.has_one(ASKS_OF_PREFIX, now);
        if may {
            asks.left -= 1.0;
            self.all.left -= 1.0;
        }
        may
    }

    fn of(&mut self, address: IpAddr, now: Duration) -> &mut Known {
        self.known.get_or_insert_mut(prefix(address), || Known { credit: 0, asks: Bucket::full(ASKS_OF_PREFIX, now) })
    }
}

fn prefix(address: IpAddr) -> Prefix {
    match address.to_canonical() {
        IpAddr::V4(address) => (u64::from(address.to_bits() >> 8), false),
        IpAddr::V6(address) => ((address.to_bits() >> 64) as u64, true),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const T0: Duration = Duration::ZERO;

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn answers_have_as_many_bytes_as_came_times_the_factor() {
        let mut quotas = Quotas::default();
        let one = ip("192.0.2.1");
        assert!(!quotas.may_answer(one, 1, T0), "nothing came yet");
        quotas.heard(one, 100, 3, T0);
        assert!(quotas.may_answer(one, 200, T0) && !quotas.may_answer(one, 101, T0) && quotas.may_answer(one, 100, T0));
        assert!(!quotas.may_answer(one, 1, T0));
        quotas.heard(one, 100, 3, T0);
        assert!(quotas.may_answer(ip("192.0.2.77"), 10, T0), "its neighbour is the same network");
        assert!(!quotas.may_answer(ip("192.0.3.1"), 10, T0));
        quotas.heard(one, usize::MAX, u32::MAX, T0);
        assert!(!quotas.may_answer(one, CREDIT_BYTES_MAX as usize + 1, T0), "what is saved up is bounded");
    }

    #[test]
    fn what_nobody_asked_for_goes_out_at_the_rates_of_a_prefix_and_of_all() {
        let mut quotas = Quotas::default();
        let one = ip("2001:db8::1");
        let asked = |quotas: &mut Quotas, now| (0..1000).filter(|_| quotas.may_ask(one, 100, now)).count();
        assert_eq!(asked(&mut quotas, T0), ASKS_OF_PREFIX.0 as usize);
        assert_eq!(asked(&mut quotas, Duration::from_secs(2)), 2 * ASKS_OF_PREFIX.1 as usize);
        assert!(!quotas.may_ask(ip("192.0.2.1"), ASKED_BYTES_MAX + 1, T0), "too large");
        let others = |quotas: &mut Quotas| {
            (0..10_000_u32).filter(|number| quotas.may_ask(IpAddr::V4((number << 8).into()), 9, T0)).count()
        };
        let mut fresh = Quotas::default();
        assert_eq!(others(&mut fresh), ASKS_OF_ALL.0 as usize);
        assert_eq!(others(&mut fresh), 0);
    }

    #[test]
    fn those_remembered_are_bounded() {
        let mut quotas = Quotas::default();
        for number in 0..2 * PREFIXES_MAX as u32 {
            quotas.heard(IpAddr::V4((number << 8).into()), 10, 3, T0);
        }
        assert_eq!(quotas.known.len(), PREFIXES_MAX);
    }
}

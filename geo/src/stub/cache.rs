//! What the resolver remembers: answers by name and client prefix for their TTL (RFC 7871 §7.3).
//!
//! Time is handed in. Invariants: at most [`RESOLVER_ANSWERS_MAX`] answers; none is told beyond its TTL, nor to a client
//! outside the prefix it is for.

use std::net::IpAddr;
use std::time::{Duration, Instant};

use ipnet::IpNet;

use super::message::Record;
use crate::address::masked;
use crate::limits::RESOLVER_ANSWERS_MAX;

/// What was found for a name.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Found {
    /// The response code.
    pub(super) code: u16,
    /// The records of all answers on the way, in order.
    pub(super) records: Vec<Record>,
    /// For how long a prefix around the client's subnet it holds.
    pub(super) scope: u8,
}

/// The answers kept.
#[derive(Debug, Default)]
pub(super) struct Cache {
    entries: Vec<Entry>,
}

#[derive(Debug)]
struct Entry {
    name: String,
    /// Whom it is for; nothing when the question had no client subnet.
    prefix: Option<Prefix>,
    found: Found,
    stored: Instant,
    ttl: Duration,
}

/// The clients an answer is for: those whose subnet begins with the first `length` bits of `address`.
#[derive(Debug, Clone, Copy)]
struct Prefix {
    address: IpAddr,
    length: u8,
}

impl Cache {
    /// The answer for `name` and the client's `subnet`, its TTLs less the time it was kept; of several the closest.
    pub(super) fn get(&mut self, name: &str, subnet: Option<IpNet>, now: Instant) -> Option<Found> {
        self.entries.retain(|entry| now.duration_since(entry.stored) < entry.ttl);
        let matching = self.entries.iter().filter(|entry| entry.name == name && covers(entry.prefix, subnet));
        let entry = matching.max_by_key(|entry| entry.prefix.map_or(0, |prefix| prefix.length))?;
        let age_s = u32::try_from(now.duration_since(entry.stored).as_secs()).unwrap_or(u32::MAX);
        let mut found = entry.found.clone();
        found.records.iter_mut().for_each(|record| record.ttl_s = record.ttl_s.saturating_sub(age_s));
        Some(found)
    }

    /// Keeps what was found, for the shortest TTL of its records; what has none, or finds no room, is asked for again.
    pub(super) fn put(&mut self, name: &str, subnet: Option<IpNet>, found: Found, now: Instant) {
        let ttl_s = found.records.iter().map(|record| record.ttl_s).min().unwrap_or(0);
        if ttl_s == 0 || self.entries.len() >= RESOLVER_ANSWERS_MAX {
            return;
        }
        // The network of the question, as limited by the scope of the answer.
        let prefix =
            subnet.map(|subnet| Prefix { address: subnet.addr(), length: found.scope.min(subnet.prefix_len()) });
        let ttl = Duration::from_secs(ttl_s.into());
        self.entries.push(Entry { name: name.to_owned(), prefix, found, stored: now, ttl });
    }
}

/// Whether an answer for `prefix` holds for a client in `subnet`. What was answered without a client subnet is for the
/// resolver's own place, so it is told only to those who give none.
fn covers(prefix: Option<Prefix>, subnet: Option<IpNet>) -> bool {
    match (prefix, subnet) {
        (None, None) => true,
        (Some(prefix), None) => prefix.length == 0,
        (None, Some(_)) => false,
        (Some(Prefix { address, length }), Some(subnet)) => {
            let within = || masked(address, length) == masked(subnet.addr(), length);
            length == 0 || (subnet.prefix_len() >= length && within())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stub::Data;

    fn found(scope: u8, last: u8) -> Found {
        let data = Data::Address(IpAddr::from([127, 0, 9, last]));
        Found { code: 0, records: vec![Record { name: "a.example.".into(), ttl_s: 60, data }], scope }
    }

    fn net(text: &str) -> Option<IpNet> {
        Some(text.parse().unwrap())
    }

    /// Whether an answer to a question from `stored`, with this scope, is told to a client in `asking`.
    fn told(stored: Option<IpNet>, scope: u8, asking: Option<IpNet>) -> bool {
        let (mut cache, now) = (Cache::default(), Instant::now());
        cache.put("a.example.", stored, found(scope, 1), now);
        assert_eq!(cache.get("b.example.", asking, now), None);
        cache.get("a.example.", asking, now).is_some()
    }

    #[test]
    fn an_answer_is_told_inside_its_scope_and_nowhere_else() {
        let here = net("198.18.3.0/24");
        for (scope, asking, expected) in [
            (24, here, true),
            (24, net("198.18.4.0/24"), false),
            (16, net("198.18.4.0/24"), true),
            (16, net("198.19.4.0/24"), false),
            (24, net("198.18.0.0/16"), false),
            (32, here, true),
            (0, net("203.0.113.0/24"), true),
            (0, net("2001:db8::/32"), true),
            (0, None, true),
            (24, None, false),
            (24, net("2001:db8::/32"), false),
        ] {
            assert_eq!(told(here, scope, asking), expected, "scope /{scope}, asked from {asking:?}");
        }
        assert!(told(None, 0, None));
        assert!(!told(None, 0, here), "an answer for the resolver's own place was told to a client elsewhere");
    }

    #[test]
    fn of_two_answers_that_hold_the_closest_is_told() {
        let (mut cache, now) = (Cache::default(), Instant::now());
        cache.put("a.example.", net("198.18.3.0/24"), found(24, 24), now);
        cache.put("a.example.", net("198.18.9.0/24"), found(8, 8), now);
        assert_eq!(cache.get("a.example.", net("198.18.3.0/24"), now), Some(found(24, 24)));
        assert_eq!(cache.get("a.example.", net("198.18.4.0/24"), now), Some(found(8, 8)));
    }

    #[test]
    fn an_answer_ages_and_is_gone_at_the_end_of_its_ttl() {
        let (mut cache, now) = (Cache::default(), Instant::now());
        cache.put("a.example.", None, found(0, 1), now);
        let late = cache.get("a.example.", None, now + Duration::from_millis(59_900)).unwrap();
        assert_eq!(late.records[0].ttl_s, 1);
        assert_eq!(cache.get("a.example.", None, now + Duration::from_secs(60)), None);
        assert!(cache.entries.is_empty());
    }

    #[test]
    fn no_more_answers_are_kept_than_the_bound_says_and_none_without_a_ttl() {
        let (mut cache, now) = (Cache::default(), Instant::now());
        cache.put("a.example.", None, Found::default(), now);
        assert!(cache.entries.is_empty());
        for number in 0..RESOLVER_ANSWERS_MAX + 5 {
            cache.put(&format!("{number}.example."), None, found(0, 1), now);
        }
        assert_eq!(cache.entries.len(), RESOLVER_ANSWERS_MAX);
    }
}

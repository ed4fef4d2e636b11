//! Answers kept for their TTL, each for the clients that it is for (RFC 7871 §7.3).
//!
//! Time is handed in. Invariants: what is kept has at most so many bytes, the longest unused goes first; none is told beyond
//! its TTL, nor to a client outside the prefix it is for.

use std::net::IpAddr;
use std::time::{Duration, Instant};

use hickory_proto::op::ResponseCode;
use hickory_proto::rr::{LowerName, Record, RecordType};
use hickory_proto::serialize::binary::BinEncodable;
use ipnet::IpNet;
use lru::LruCache;

use crate::address::masked;
use crate::limits::RESOLVER_PREFIXES_MAX;

/// What an answer takes beside its records.
const ANSWER_BYTES: usize = 256;
/// What a record takes in memory beside its bytes on the wire.
const RECORD_BYTES: usize = 192;

/// What is asked for.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Key {
    pub(super) name: LowerName,
    pub(super) kind: RecordType,
    /// Whether DNSSEC may be left out of account (CD).
    pub(super) unchecked: bool,
}

/// Whom an answer is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Whom {
    /// Everybody: no server was told of a client.
    All,
    /// The resolver's own place: it is told to those of whom nothing is said.
    Own,
    /// Clients whose subnet begins with the first bits of this address.
    Prefix(IpAddr, u8),
}

impl Whom {
    fn covers(self, subnet: Option<IpNet>) -> bool {
        match (self, subnet) {
            (Self::All, _) | (Self::Own, None) | (Self::Prefix(_, 0), _) => true,
            (Self::Own, Some(_)) | (Self::Prefix(..), None) => false,
            (Self::Prefix(address, length), Some(subnet)) => {
                subnet.prefix_len() >= length && masked(address, length) == masked(subnet.addr(), length)
            }
        }
    }

    /// The scope that is told to a client who gave its subnet.
    pub(super) fn scope(self) -> u8 {
        if let Self::Prefix(_, length) = self { length } else { 0 }
    }
}

/// What was found.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Found {
    pub(super) code: ResponseCode,
    pub(super) answers: Vec<Record>,
    pub(super) authority: Vec<Record>,
    /// Whether DNSSEC proves all of it.
    pub(super) secure: bool,
    pub(super) whom: Whom,
    /// For how long it may be kept.
    pub(super) ttl: Duration,
}

impl Found {
    fn bytes(&self) -> usize {
        let records = self.answers.iter().chain(&self.authority);
        let of = |record: &Record| RECORD_BYTES + record.to_bytes().map_or(0, |bytes| bytes.len());
        ANSWER_BYTES + records.map(of).sum::<usize>()
    }

    /// As it is told after a while.
    fn aged(&self, age: Duration) -> Self {
        let age_s = u32::try_from(age.as_secs()).unwrap_or(u32::MAX);
        let mut found = self.clone();
        for record in found.answers.iter_mut().chain(&mut found.authority) {
            record.ttl = record.ttl.saturating_sub(age_s);
        }
        found
    }
}

#[derive(Debug)]
struct Kept {
    found: Found,
    stored: Instant,
    bytes: usize,
}

impl Kept {
    fn is_fresh(&self, now: Instant) -> bool {
        now.duration_since(self.stored) < self.found.ttl
    }
}

/// The answers kept.
#[derive(Debug)]
pub(super) struct Cache {
    kept: LruCache<Key, Vec<Kept>>,
    bytes: usize,
    bytes_max: usize,
}

impl Cache {
    pub(super) fn new(bytes_max: usize) -> Self {
        Self { kept: LruCache::unbounded(), bytes: 0, bytes_max }
    }

    /// The answer for a client in `subnet`, its TTLs less the time it was kept; of several the closest.
    pub(super) fn get(&mut self, key: &Key, subnet: Option<IpNet>, now: Instant) -> Option<Found> {
        let kept = self.kept.get(key)?.iter();
        let told = kept.filter(|kept| kept.is_fresh(now) && kept.found.whom.covers(subnet));
        told.max_by_key(|kept| kept.found.whom.scope()).map(|kept| kept.found.aged(now.duration_since(kept.stored)))
    }

    /// Keeps what was found, in place of what was kept for the same clients. What is larger than the whole cache, or has no TTL,
    /// is not kept.
    pub(super) fn put(&mut self, key: Key, found: Found, now: Instant) {
        let bytes = found.bytes() + key.name.len();
        if found.ttl.is_zero() || bytes > self.bytes_max {
            return;
        }
        let mut of_name = self.kept.pop(&key).unwrap_or_default();
        self.bytes -= of_name.iter().map(|kept| kept.bytes).sum::<usize>();
        of_name.retain(|kept| kept.is_fresh(now) && kept.found.whom != found.whom);
        if of_name.len() >= RESOLVER_PREFIXES_MAX {
            of_name.remove(0);
        }
        of_name.push(Kept { found, stored: now, bytes });
        self.bytes += of_name.iter().map(|kept| kept.bytes).sum::<usize>();
        self.kept.put(key, of_name);
        while self.bytes > self.bytes_max {
            let Some((_, gone)) = self.kept.pop_lru() else { break };
            self.bytes -= gone.iter().map(|kept| kept.bytes).sum::<usize>();
        }
    }

    /// Names and types kept, and their bytes.
    pub(super) fn size(&self) -> (usize, usize) {
        (self.kept.len(), self.bytes)
    }

    /// Forgets everything.
    pub(super) fn clear(&mut self) {
        self.kept.clear();
        self.bytes = 0;
    }
}

#[cfg(test)]
mod tests {
    use hickory_proto::rr::rdata::A;
    use hickory_proto::rr::{Name, RData};

    use super::*;

    fn key(name: &str) -> Key {
        Key { name: name.parse::<Name>().unwrap().into(), kind: RecordType::A, unchecked: false }
    }

    fn found(whom: Whom, last: u8) -> Found {
        let answers = vec![Record::from_rdata("a.example.".parse().unwrap(), 60, RData::A(A::new(192, 0, 2, last)))];
        let (code, ttl) = (ResponseCode::NoError, Duration::from_secs(60));
        Found { code, answers, authority: Vec::new(), secure: false, whom, ttl }
    }

    fn net(text: &str) -> Option<IpNet> {
        Some(text.parse().unwrap())
    }

    #[test]
    fn an_answer_is_told_to_whom_it_is_for_and_to_nobody_else() {
        let prefix = |length| Whom::Prefix("198.18.3.0".parse().unwrap(), length);
        for (whom, asking, expected) in [
            (Whom::All, None, true),
            (Whom::All, net("198.18.3.0/24"), true),
            (Whom::Own, None, true),
            (Whom::Own, net("198.18.3.0/24"), false),
            (prefix(24), net("198.18.3.0/24"), true),
            (prefix(24), net("198.18.4.0/24"), false),
            (prefix(24), None, false),
            (prefix(16), net("198.18.4.0/24"), true),
            (prefix(16), net("198.0.0.0/8"), false),
            (prefix(16), net("2001:db8::/32"), false),
            (prefix(0), None, true),
            (prefix(0), net("2001:db8::/32"), true),
        ] {
            let (mut cache, now) = (Cache::new(1 << 20), Instant::now());
            cache.put(key("a.example."), found(whom, 1), now);
            assert_eq!(
                cache.get(&key("A.example."), asking, now).is_some(),
                expected,
                "{whom:?} asked from {asking:?}"
            );
            assert_eq!(cache.get(&key("b.example."), asking, now), None);
        }
    }

    #[test]
    fn of_two_answers_that_hold_the_closest_is_told_and_a_newer_one_takes_the_place_of_the_older() {
        let (mut cache, now) = (Cache::new(1 << 20), Instant::now());
        let prefix = |text: &str, length| Whom::Prefix(text.parse().unwrap(), length);
        for (whom, last) in
            [(prefix("198.18.3.0", 24), 24), (prefix("198.18.3.0", 24), 25), (prefix("198.0.0.0", 8), 8)]
        {
            cache.put(key("a.example."), found(whom, last), now);
        }
        let told =
            |cache: &mut Cache, from| cache.get(&key("a.example."), net(from), now).unwrap().answers[0].data.clone();
        assert_eq!(told(&mut cache, "198.18.3.0/24"), RData::A(A::new(192, 0, 2, 25)));
        assert_eq!(told(&mut cache, "198.18.4.0/24"), RData::A(A::new(192, 0, 2, 8)));
    }

    #[test]
    fn an_answer_ages_and_is_gone_at_the_end_of_its_ttl() {
        let (mut cache, now) = (Cache::new(1 << 20), Instant::now());
        cache.put(key("a.example."), found(Whom::All, 1), now);
        let late = cache.get(&key("a.example."), None, now + Duration::from_millis(59_900)).unwrap();
        assert_eq!(late.answers[0].ttl, 1);
        assert_eq!(cache.get(&key("a.example."), None, now + Duration::from_secs(60)), None);
        let none = Found { ttl: Duration::ZERO, ..found(Whom::All, 1) };
        cache.put(key("none.example."), none, now);
        assert_eq!(cache.get(&key("none.example."), None, now), None);
    }

    #[test]
    fn no_more_bytes_are_kept_than_the_bound_says_and_the_longest_unused_goes_first() {
        let (bytes_max, now) = (8 << 10, Instant::now());
        let mut cache = Cache::new(bytes_max);
        for number in 0..200 {
            cache.put(key(&format!("{number}.example.")), found(Whom::All, 1), now);
            assert!(cache.get(&key("0.example."), None, now).is_some(), "what is used was dropped at {number}");
            assert!(cache.size().1 <= bytes_max);
        }
        assert!(cache.size().0 < 40, "{:?}", cache.size());
        assert_eq!(cache.get(&key("1.example."), None, now), None);
        // One name for ever other clients does not grow without a bound either.
        let mut cache = Cache::new(1 << 20);
        for number in 0..1000_u32 {
            let whom = Whom::Prefix(IpAddr::V4((number << 8).into()), 24);
            cache.put(key("a.example."), found(whom, 1), now);
        }
        assert_eq!(cache.kept.peek(&key("a.example.")).unwrap().len(), RESOLVER_PREFIXES_MAX);
        cache.clear();
        assert_eq!(cache.size(), (0, 0));
    }
}

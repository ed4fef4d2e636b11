//! Surrogate keys (`Surrogate-Key` separated by spaces, `Cache-Tag` by commas): which entries carry which key, and which
//! purges a fill in flight has missed. What a purge may name is [`crate::target`]'s.

use std::collections::{HashMap, HashSet, VecDeque};

use http::HeaderMap;
use parking_lot::Mutex;

use crate::key::{digest, hash_bytes};
use crate::limits::{
    INVALIDATED_PLACES, PURGE_LOG_BYTES, PURGE_LOG_ENTRIES, SURROGATE_KEY_BYTES, SURROGATE_KEYS_PER_OBJECT,
};
use crate::target::Target;

/// What a purge does to an object, weakest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Purged {
    /// None names it.
    No = 0,
    /// It is stale.
    Soft = 1,
    /// It is gone.
    Hard = 2,
}

/// Slots by the hash of a surrogate key, or of a primary key for the variants beside the primary slot.
#[derive(Debug, Default)]
pub(crate) struct Slots {
    by_hash: Mutex<HashMap<u128, HashSet<u128>>>,
}

/// The purges of late, and what clients have invalidated.
#[derive(Debug)]
pub(crate) struct PurgeLog {
    inner: Mutex<Log>,
}

#[derive(Debug)]
struct Log {
    /// Number of the next purge or invalidation.
    next: u64,
    /// Who began before this one may have missed any.
    complete_from: u64,
    /// The purges remembered with their numbers, oldest first.
    entries: VecDeque<(u64, Target, Purged)>,
    /// What they take, as [`Target::weight`] counts it.
    bytes: usize,
    /// By the hash of a key: the number behind that of its last invalidation.
    invalidated: Box<[u64]>,
}

/// The surrogate keys of a response, hashed, and how many were ignored for their number or length.
pub fn keys_of(response: &HeaderMap) -> (Box<[u128]>, usize) {
    let values =
        |name: &str| response.get_all(name).into_iter().filter_map(|value| value.to_str().ok()).collect::<Vec<_>>();
    let spaced = values("surrogate-key").into_iter().flat_map(|text| text.split_ascii_whitespace());
    let listed = values("cache-tag").into_iter().flat_map(|text| text.split(',').map(str::trim));
    let mut keys = Vec::new();
    let mut ignored = 0;
    for key in spaced.chain(listed).filter(|key| !key.is_empty()) {
        if key.len() > SURROGATE_KEY_BYTES || keys.len() == SURROGATE_KEYS_PER_OBJECT {
            ignored += 1;
        } else {
            keys.push(key_hash(key));
        }
    }
    keys.sort_unstable();
    keys.dedup();
    (keys.into_boxed_slice(), ignored)
}

/// The hash of one surrogate key, as purges name it.
pub fn key_hash(key: &str) -> u128 {
    digest(&[key.as_bytes()])
}

impl Slots {
    pub(crate) fn add(&self, hashes: &[u128], slot: u128) {
        let mut by_hash = self.by_hash.lock();
        for hash in hashes {
            by_hash.entry(*hash).or_default().insert(slot);
        }
    }

    pub(crate) fn remove(&self, hashes: &[u128], slot: u128) {
        let mut by_hash = self.by_hash.lock();
        for hash in hashes {
            if let Some(slots) = by_hash.get_mut(hash) {
                slots.remove(&slot);
                if slots.is_empty() {
                    by_hash.remove(hash);
                }
            }
        }
    }

    pub(crate) fn of(&self, hash: u128) -> Vec<u128> {
        self.by_hash.lock().get(&hash).map(|slots| slots.iter().copied().collect()).unwrap_or_default()
    }
}

impl PurgeLog {
    /// An empty log whose first purge has this number.
    pub(crate) fn from(next: u64) -> Self {
        let (entries, invalidated) = (VecDeque::new(), vec![0; INVALIDATED_PLACES].into());
        Self { inner: Mutex::new(Log { next, complete_from: next, entries, bytes: 0, invalidated }) }
    }

    /// The number the next purge will have: what a fill remembers as its beginning.
    pub(crate) fn now(&self) -> u64 {
        self.inner.lock().next
    }

    /// Notes a purge; what is more than the log holds is forgotten, oldest first. Returns its number.
    pub(crate) fn record(&self, target: Target, purged: Purged) -> u64 {
        let mut log = self.inner.lock();
        let number = log.next;
        log.next += 1;
        log.bytes += target.weight();
        log.entries.push_back((number, target, purged));
        while log.entries.len() > PURGE_LOG_ENTRIES || log.bytes > PURGE_LOG_BYTES {
            let Some((forgotten, target, _)) = log.entries.pop_front() else { break };
            log.complete_from = forgotten + 1;
            log.bytes -= target.weight();
        }
        number
    }

    /// Notes a hard purge of one URL that takes no room: nothing is forgotten for it. Returns its number.
    pub(crate) fn invalidate(&self, key_text: &[u8]) -> u64 {
        let mut log = self.inner.lock();
        let number = log.next;
        log.next += 1;
        log.invalidated[place_of(key_text)] = log.next;
        number
    }

    /// The strongest purge since `begun` that names an object of this key text and these surrogate keys. When the log
    /// does not reach back that far, it may have been any: hard.
    pub(crate) fn since(&self, begun: u64, key_text: &[u8], surrogates: &[u128]) -> Purged {
        let log = self.inner.lock();
        if begun < log.complete_from || log.invalidated[place_of(key_text)] > begun {
            return Purged::Hard;
        }
        let missed = log.entries.iter().rev().take_while(|(number, ..)| *number >= begun);
        let named = missed.filter(|(_, target, _)| target.names(key_text, surrogates));
        named.map(|(.., purged)| *purged).max().unwrap_or(Purged::No)
    }
}

impl Default for PurgeLog {
    fn default() -> Self {
        Self::from(0)
    }
}

fn place_of(key_text: &[u8]) -> usize {
    hash_bytes(key_text) as usize % INVALIDATED_PLACES
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;

    #[test]
    fn keys_are_read_from_both_fields_and_bounded() {
        let mut headers = HeaderMap::new();
        headers.append("surrogate-key", HeaderValue::from_static("a b  c"));
        headers.append("cache-tag", HeaderValue::from_static("b, title one"));
        let (keys, ignored) = keys_of(&headers);
        assert_eq!((keys.len(), ignored), (4, 0));
        assert!(keys.contains(&key_hash("title one")));
        let many = (0..SURROGATE_KEYS_PER_OBJECT + 3).map(|i| i.to_string()).collect::<Vec<_>>().join(" ");
        headers.clear();
        headers.append("surrogate-key", HeaderValue::from_str(&many).unwrap());
        assert_eq!(keys_of(&headers).1, 3);
    }

    #[test]
    fn a_fill_learns_only_of_purges_since_it_began_and_assumes_the_worst_of_forgotten_ones() {
        let log = PurgeLog::default();
        let url = |path: &str| Target::Url(crate::Key::new("h", path));
        log.record(url("/1"), Purged::Hard);
        let begun = log.now();
        assert_eq!(log.since(begun, b"h /1", &[]), Purged::No);
        log.record(Target::Surrogate(9), Purged::Soft);
        assert_eq!([log.since(begun, b"h /1", &[9]), log.since(begun, b"h /1", &[8])], [Purged::Soft, Purged::No]);
        log.record(Target::Surrogate(9), Purged::Hard);
        log.record(Target::All, Purged::Soft);
        assert_eq!([log.since(begun, b"h /1", &[9]), log.since(begun, b"h /1", &[8])], [Purged::Hard, Purged::Soft]);
        for _ in 0..=PURGE_LOG_ENTRIES {
            log.record(url("/2"), Purged::Soft);
        }
        assert_eq!(log.since(begun, b"h /1", &[8]), Purged::Hard);
    }

    #[test]
    fn invalidations_name_their_url_and_make_the_log_forget_nothing() {
        let log = PurgeLog::default();
        let begun = log.now();
        log.record(Target::Surrogate(9), Purged::Soft);
        for number in 0..2 * PURGE_LOG_ENTRIES {
            log.invalidate(format!("h /{}", number % 2).as_bytes());
        }
        assert_eq!([b"h /1", b"h /2"].map(|text| log.since(begun, text, &[])), [Purged::Hard, Purged::No]);
        assert_eq!(log.since(begun, b"h /2", &[9]), Purged::Soft);
        assert_eq!(log.since(log.now(), b"h /1", &[9]), Purged::No);
    }

    #[test]
    fn the_log_forgets_by_weight_too() {
        let log = PurgeLog::default();
        let heavy = || Target::regex("x").unwrap();
        let fit = PURGE_LOG_BYTES / heavy().weight();
        for _ in 0..fit {
            log.record(heavy(), Purged::Soft);
        }
        assert_eq!(log.since(0, b"h /1", &[]), Purged::No);
        log.record(heavy(), Purged::Soft);
        assert_eq!(log.since(0, b"h /1", &[]), Purged::Hard);
        assert_eq!(log.since(1, b"h /1", &[]), Purged::No);
    }
}

//! Refuses clients whose addresses are on a list, which it fetches by itself.
//!
//! ```toml
//! [[plugin]]
//! name = "blocklist"
//! file = "filter-blocklist.wasm"
//! http = ["https://lists.example.org"]
//! http_body = "1MiB"
//! store = "8MiB"
//! config = { url = "https://lists.example.org/blocked.txt", every_s = 60, keep_s = 86400, status = 403 }
//! ```
//!
//! The list is lines: an address or a prefix (`192.0.2.7`, `2001:db8::/32`), then whatever else; what begins with `#` or `;` is for people. A line that is
//! neither is counted (counter 0) and left out. Prefixes are of at most 16 lengths, the list of at most 50,000 entries; a list with more is not taken.
//!
//! Every `every_s` seconds the list is fetched, and put in the store, where requests look for their client: one look for each length. What is not on
//! it any more is let pass at once. A server that does not answer is asked again, later each time, and the last list holds for `keep_s`. Before the first one
//! everybody passes. A list of 10,000 takes a tick some 10 ms: give it a `deadline` by its length.

use std::net::IpAddr;
use std::time::Duration;

use littoral_plugin::filter::{Exchange, Filter, Point, Reply, Request, Store};
use littoral_plugin::timer::{Host, Timer};
use serde::Deserialize;

/// Entries of a list.
const ENTRIES_MAX: usize = 50_000;
/// Different lengths of prefixes: a request looks for each.
const LENGTHS_MAX: usize = 16;
/// Under what is said which list holds: its number, then the lengths of its prefixes.
const HEAD: &[u8] = b"list";
/// Counts lines that are no entries.
const STRANGE_LINES: u32 = 0;

/// The filter.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BlockList {
    url: String,
    #[serde(default = "minute")]
    every_s: u32,
    #[serde(default = "day")]
    keep_s: u32,
    #[serde(default = "forbidden")]
    status: u16,
}

fn minute() -> u32 {
    60
}

fn day() -> u32 {
    86_400
}

fn forbidden() -> u16 {
    403
}

/// A prefix as a key: its length less one, and 128 more for IPv6, in one byte; then its bits with zeros behind.
fn key(address: IpAddr, length: u8) -> Vec<u8> {
    let (bytes, family) = match address {
        IpAddr::V4(address) => (address.octets().to_vec(), 0),
        IpAddr::V6(address) => (address.octets().to_vec(), 128),
    };
    let masked = bytes.iter().zip((0..).step_by(8)).map(|(byte, at)| match u32::from(length).saturating_sub(at) {
        0 => 0,
        bits @ 1..8 => byte & (0xff << (8 - bits)),
        _ => *byte,
    });
    [family + (length - 1)].into_iter().chain(masked).collect()
}

/// The entry of a line, as a key; `None` where it has none, and why where that is strange.
fn entry(line: &str) -> Option<Result<Vec<u8>, ()>> {
    let word = line.split_whitespace().next().filter(|word| !word.starts_with(['#', ';']))?;
    let (address, length) = word.split_once('/').map_or((word, None), |(address, length)| (address, Some(length)));
    let parsed = || {
        let address: IpAddr = address.parse().ok()?;
        let most = if address.is_ipv4() { 32 } else { 128 };
        let length: u8 = length.map_or(Some(most), |length| length.parse().ok())?;
        let plain = address.to_canonical();
        // IPv4 may stand inside IPv6, 96 bits in.
        let length = if plain.is_ipv4() && address.is_ipv6() { length.checked_sub(96)? } else { length };
        (1..=most).contains(&length).then(|| key(plain, length))
    };
    Some(parsed().ok_or(()))
}

/// Lengths of prefixes, as [`key`] begins with them, each once.
fn lengths(keys: &[Vec<u8>]) -> Vec<u8> {
    let mut lengths: Vec<u8> = keys.iter().filter_map(|key| key.first().copied()).collect();
    lengths.sort_unstable();
    lengths.dedup();
    lengths
}

/// The number of the list that holds, and the lengths of its prefixes.
fn head(store: &impl Store) -> Option<(u64, Vec<u8>)> {
    let head = store.get(HEAD)?;
    let (number, lengths) = head.split_first_chunk()?;
    Some((u64::from_le_bytes(*number), lengths.to_vec()))
}

impl BlockList {
    /// Puts a list in the store. What is read of it meanwhile is true of it or of the one before.
    fn keep(&self, list: &str, store: &mut impl Store) -> Result<usize, String> {
        let entries: Vec<_> = list.lines().filter_map(entry).take(ENTRIES_MAX + 1).collect();
        let all = entries.len();
        let keys: Vec<Vec<u8>> = entries.into_iter().flatten().collect();
        let lengths = lengths(&keys);
        if all > ENTRIES_MAX || lengths.len() > LENGTHS_MAX {
            return Err(format!("the list has more than {ENTRIES_MAX} entries, or {LENGTHS_MAX} lengths of prefixes"));
        }
        littoral_plugin::env::count(STRANGE_LINES, (all - keys.len()) as u64);
        let ttl_ms = u64::from(self.keep_s) * 1000;
        // An entry holds from the list it was last on: those of the next are there before it holds, and those that are not on it are of an earlier one.
        let number = head(store).map_or(1, |(number, _)| number + 1);
        for key in &keys {
            store.put(key, &number.to_le_bytes(), ttl_ms);
        }
        store.put(HEAD, &[&number.to_le_bytes()[..], &lengths].concat(), ttl_ms);
        Ok(keys.len())
    }

    fn is_listed(client: IpAddr, store: &impl Store) -> bool {
        let Some((number, lengths)) = head(store) else { return false };
        let client = client.to_canonical();
        let mut of_family = lengths.into_iter().filter(|length| (*length >= 128) == client.is_ipv6());
        of_family.any(|length| {
            let since = store.get(&key(client, length % 128 + 1));
            since.and_then(|since| since.try_into().ok()).is_some_and(|since| u64::from_le_bytes(since) >= number)
        })
    }
}

impl Filter for BlockList {
    const POINTS: &'static [Point] = &[Point::Request];

    fn new(config: &str) -> Result<Self, String> {
        let filter: Self = littoral_plugin::config(config)?;
        match filter {
            Self { every_s: 0, .. } => Err("every_s is at least 1".into()),
            Self { keep_s, every_s, .. } if keep_s < every_s => Err("keep_s is at least every_s".into()),
            Self { status: 400..=599, .. } => Ok(filter),
            _ => Err("status is 400 to 599".into()),
        }
    }

    fn on_request(&mut self, x: &mut impl Exchange, store: &mut impl Store) -> Option<Reply> {
        let client = x.client().parse().ok()?;
        Self::is_listed(client, store).then(|| Reply::text(self.status, "you are on a list"))
    }
}

impl Timer for BlockList {
    fn tick(&mut self, host: &mut impl Host, store: &mut impl Store) -> Option<Duration> {
        let list = match host.fetch(&Request::get(&self.url)) {
            Ok(answer) if answer.status == 200 => answer.text(),
            Ok(answer) => host.give_up(&format!("the list is answered with {}", answer.status)),
            Err(refused) => host.give_up(&format!("the list: {refused}")),
        };
        match self.keep(&list, store) {
            Ok(entries) => littoral_plugin::debug!("a list of {entries}"),
            Err(why) => host.give_up(&why),
        }
        Some(Duration::from_secs(self.every_s.into()))
    }
}

littoral_plugin::export_filter!(BlockList, "../../wit", timer);

#[cfg(test)]
mod tests {
    use littoral_plugin::filter::sketch::{Shelf, Sketch};
    use littoral_plugin::timer::sketch;

    use super::*;

    const URL: &str = "https://lists.example/a";

    fn filter(keys: &str) -> Result<BlockList, String> {
        BlockList::new(&format!("{{\"url\": \"{URL}\"{keys}}}"))
    }

    fn tick(list: &str, store: &mut Shelf) -> Option<Duration> {
        let mut host = sketch::Sketch::default();
        host.web = host.web.answering(URL, 200, &[], list);
        filter("").unwrap().tick(&mut host, store)
    }

    fn passes(client: &str, store: &mut Shelf) -> bool {
        let mut x = Sketch { client: client.to_owned(), ..Sketch::get("/", &[]) };
        let reply = filter("").unwrap().on_request(&mut x, store);
        assert!(reply.iter().all(|reply| reply.status == 403));
        reply.is_none()
    }

    #[test]
    fn who_is_on_the_list_by_address_or_prefix_is_refused_and_nobody_else() {
        let mut store = Shelf::default();
        assert!(passes("192.0.2.7", &mut store), "there is no list yet");
        let list =
            "# bad ones\n192.0.2.7 since May\n198.51.100.0/22\n2001:db8::/33 ; a net\n2001:db8:ffff::1\n203.0.113.9/8";
        assert_eq!(tick(list, &mut store), Some(Duration::from_secs(60)));
        for (client, expected) in [
            ("192.0.2.7", false),
            ("192.0.2.8", true),
            ("198.51.103.255", false),
            ("198.51.104.0", true),
            ("203.1.2.3", false),
            ("204.0.113.9", true),
            ("2001:db8:7fff::1", false),
            ("2001:db8:8000::1", true),
            ("2001:db8:ffff::1", false),
            ("2001:db8:ffff::2", true),
            ("", true),
        ] {
            assert_eq!(passes(client, &mut store), expected, "{client}");
        }
    }

    #[test]
    fn who_is_not_on_the_next_list_passes_and_an_empty_one_is_one() {
        let mut store = Shelf::default();
        tick("192.0.2.1\n192.0.2.2\n", &mut store);
        tick("192.0.2.2\n192.0.2.3\n", &mut store);
        assert_eq!(
            ["192.0.2.1", "192.0.2.2", "192.0.2.3"].map(|client| passes(client, &mut store)),
            [true, false, false]
        );
        tick("", &mut store);
        assert!(passes("192.0.2.2", &mut store));
    }

    #[test]
    fn lines_that_are_no_entries_are_left_out() {
        for line in ["", "# 192.0.2.1", "  ; x"] {
            assert_eq!(entry(line), None, "{line}");
        }
        for line in ["nobody", "192.0.2.1/33", "192.0.2.1/0", "::1/129", "192.0.2.1/", "192.0.2"] {
            assert_eq!(entry(line), Some(Err(())), "{line}");
        }
        assert_eq!(entry("::ffff:192.0.2.1/128"), entry("192.0.2.1"));
    }

    #[test]
    #[should_panic(expected = "it gave up: the list has more than 50000 entries")]
    fn a_list_that_is_too_long_is_not_taken() {
        let list: String =
            (0..=ENTRIES_MAX).map(|at| format!("10.{}.{}.{}\n", at >> 16, at >> 8 & 255, at & 255)).collect();
        tick(&list, &mut Shelf::default());
    }

    #[test]
    #[should_panic(expected = "it gave up: the list is answered with 404")]
    fn a_server_that_has_no_list_has_not_answered() {
        let mut host = sketch::Sketch::default();
        host.web = host.web.answering(URL, 404, &[], "192.0.2.1");
        filter("").unwrap().tick(&mut host, &mut Shelf::default());
    }

    #[test]
    fn configs_that_cannot_be_meant_are_refused() {
        for keys in [", \"every_s\": 0", ", \"every_s\": 10, \"keep_s\": 5", ", \"status\": 200", ", \"more\": 1"] {
            assert!(filter(keys).is_err(), "{keys}");
        }
    }
}

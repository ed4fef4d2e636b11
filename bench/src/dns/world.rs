//! What all servers know: one zone of names with addresses, and a map of prefixes to clusters, drawn from a fixed seed.
//!
//! The queries are made here too, each with the address that has to come back.

use std::fmt::Write as _;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};

use anyhow::Result;

use super::Case;
use super::ask::query;

/// The zone, and the service in it.
pub(super) const ZONE: &str = "bench.example";
pub(super) const SERVICE: &str = "a1";
/// Clusters, each with one address.
pub(super) const CLUSTERS: u32 = 16;
const NAMES: u32 = 1000;
/// Queries of a file, over which the generator goes again and again.
const QUERIES: u32 = 50_000;

/// A query and the address that answers it.
pub(super) struct Query {
    pub(super) message: Vec<u8>,
    pub(super) expected: Ipv4Addr,
}

pub(super) struct World {
    pub(super) work: PathBuf,
    /// Lines of a zone file below its SOA, but the service.
    pub(super) records: String,
    /// Prefixes with the clusters that serve them, in order.
    pub(super) prefixes: Vec<(Ipv4Addr, u32)>,
    pub(super) chosen_queries: Vec<Query>,
    pub(super) static_queries: Vec<Query>,
    files: [PathBuf; 2],
}

/// The name of a cluster, and its address.
pub(super) fn cluster(number: u32) -> (String, Ipv4Addr) {
    (format!("c{number}"), Ipv4Addr::from(0xcb00_7100 + number))
}

impl World {
    pub(super) fn make(work: &Path, prefixes: u32) -> Result<Self> {
        let mut records = String::new();
        let host = |number: u32| Ipv4Addr::from(0xc612_0000 + number);
        for number in 0..NAMES {
            writeln!(records, "h{number} IN A {}", host(number))?;
        }
        // Odd multiples of an odd number modulo a power of two are all different.
        let network = |number: u32| Ipv4Addr::from((1 << 24) + (number.wrapping_mul(0x9e37_79b1) >> 12 << 8));
        let mut known: Vec<(Ipv4Addr, u32)> =
            (0..prefixes).map(|number| (network(number), number % CLUSTERS)).collect();
        known.sort_unstable();
        known.dedup_by_key(|(network, _)| *network);
        let chosen = |number: u32| {
            let (network, serving) = known[number.wrapping_mul(0x85eb_ca6b) as usize % known.len()];
            let message = query(&format!("{SERVICE}.{ZONE}"), Some(network));
            Query { message, expected: cluster(serving).1 }
        };
        let of_host = |number: u32| {
            let number = number.wrapping_mul(0x85eb_ca6b) % NAMES;
            Query { message: query(&format!("h{number}.{ZONE}"), None), expected: host(number) }
        };
        let chosen_queries: Vec<Query> = (0..QUERIES).map(chosen).collect();
        let static_queries: Vec<Query> = (0..QUERIES).map(of_host).collect();
        let files = [work.join("chosen.queries"), work.join("static.queries")];
        for (file, queries) in files.iter().zip([&chosen_queries, &static_queries]) {
            std::fs::write(file, framed(queries)?)?;
        }
        Ok(Self { work: work.to_owned(), records, prefixes: known, chosen_queries, static_queries, files })
    }

    /// The queries of a case as the generator reads them.
    pub(super) fn file(&self, case: Case) -> &Path {
        match case {
            Case::Chosen => &self.files[0],
            Case::Static => &self.files[1],
        }
    }
}

/// Messages behind their lengths, as over TCP.
fn framed(queries: &[Query]) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    for Query { message, .. } in queries {
        bytes.extend(u16::try_from(message.len())?.to_be_bytes());
        bytes.extend(message);
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prefixes_are_different_ones_and_a_query_asks_for_one_of_them() {
        let work = tempfile::tempdir().expect("a directory");
        let world = World::make(work.path(), 1000).expect("a world");
        assert!(world.prefixes.len() > 990 && world.prefixes.is_sorted());
        let Query { message, expected } = &world.chosen_queries[0];
        let asked: [u8; 3] = message[message.len() - 3..].try_into().expect("a subnet");
        let network = Ipv4Addr::new(asked[0], asked[1], asked[2], 0);
        let (_, serving) = world.prefixes.iter().find(|(known, _)| *known == network).expect("a prefix");
        assert_eq!(cluster(*serving).1, *expected);
        let file = std::fs::read(world.file(Case::Static)).expect("a file");
        assert_eq!(usize::from(file[1]), world.static_queries[0].message.len());
    }
}

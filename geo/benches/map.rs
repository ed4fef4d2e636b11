//! What compiling a map of five million prefixes costs, what it holds, and what a lookup in it takes, with addresses all over
//! the map: most lookups miss the processor's caches. The world is drawn from a fixed seed.

use std::hint::black_box;
use std::net::IpAddr;
use std::time::Instant;

use criterion::{Criterion, criterion_group, criterion_main};
use ipnet::IpNet;
use littoral_geo::map::{As, Map, Serving, Sources};

const V4_PREFIXES: usize = 4_000_000;
const V6_PREFIXES: usize = 1_000_000;
/// Addresses looked up in turn; a power of two.
const ADDRESSES: usize = 1 << 20;

/// A splitmix64 generator.
struct Draw(u64);

impl Draw {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ self.0 >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ mixed >> 31
    }

    fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }

    /// Any unicast address.
    fn v4(&mut self) -> IpAddr {
        IpAddr::V4((((1 + self.below(222)) << 24 | self.below(1 << 24)) as u32).into())
    }

    /// An address of one of 60,000 allocations, as the registries have given them out.
    fn v6(&mut self) -> IpAddr {
        const REGISTRIES: [u64; 5] = [0x2001, 0x2400, 0x2600, 0x2800, 0x2a00];
        let registry = REGISTRIES[self.below(5) as usize];
        let allocation = self.below(12_000) * 5;
        let site = self.below(1 << 16);
        IpAddr::V6(
            (u128::from((registry << 48) + (allocation << 32) + (site << 16)) << 64 | u128::from(self.next())).into(),
        )
    }
}

/// Prefixes within and beside each other, of 60 clusters.
fn zones() -> Vec<(IpNet, Serving)> {
    let mut draw = Draw(7);
    let mut zone = |at: usize| {
        let v4 = at < V4_PREFIXES;
        let (address, length) =
            if v4 { (draw.v4(), 16 + draw.below(12) as u8) } else { (draw.v6(), 32 + draw.below(28) as u8) };
        let serving = (if draw.below(8) == 0 { As::Deep } else { As::Home }, draw.below(60) as u16);
        (IpNet::new(address, length).expect("a prefix").trunc(), serving)
    };
    (0..V4_PREFIXES + V6_PREFIXES).map(&mut zone).collect()
}

/// kB of memory of the process by a row of /proc/self/status.
fn memory(row: &str) -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let row = status.lines().find_map(|line| line.strip_prefix(row));
    row.and_then(|row| row.trim_matches(|c: char| !c.is_ascii_digit()).parse().ok()).unwrap_or(0)
}

/// CPU time of this thread: on a busy machine wall time tells of the neighbours.
fn cpu_ns() -> f64 {
    let spent = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    spent.split(' ').next().and_then(|ns| ns.parse().ok()).unwrap_or(0.0)
}

/// Lookups for the figure by CPU time.
const LOOKUPS: usize = 1 << 24;

fn map(criterion: &mut Criterion) {
    let zones = zones();
    let (count, started) = (zones.len(), Instant::now());
    let map = Map::compile(Sources { zones, ..Sources::default() }).expect("a map");
    println!(
        "{count} prefixes in {:.2?}: {} intervals, {} MB; process {} MB, {} MB at most",
        started.elapsed(),
        map.intervals(),
        map.bytes() >> 20,
        memory("VmRSS:") >> 10,
        memory("VmHWM:") >> 10,
    );
    for (name, v4) in [("IPv4", true), ("IPv6", false)] {
        let mut draw = Draw(11);
        let addresses: Vec<IpAddr> = (0..ADDRESSES).map(|_| if v4 { draw.v4() } else { draw.v6() }).collect();
        let before = cpu_ns();
        for at in 0..LOOKUPS {
            black_box(map.find(black_box(addresses[at & (ADDRESSES - 1)])));
        }
        println!("{name}, anywhere: {:.0} ns of CPU", (cpu_ns() - before) / LOOKUPS as f64);
        let mut at = 0;
        criterion.bench_function(&format!("{name}, anywhere"), |bench| {
            bench.iter(|| {
                at = (at + 1) & (ADDRESSES - 1);
                map.find(black_box(addresses[at]))
            });
        });
        criterion.bench_function(&format!("{name}, the same again"), |bench| {
            bench.iter(|| map.find(black_box(addresses[0])))
        });
    }
}

criterion_group!(benches, map);
criterion_main!(benches);

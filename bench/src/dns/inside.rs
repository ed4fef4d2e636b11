//! What is measured without a socket, in this process, by CPU time: what the routing guest adds to a query, and lookups in a map of five million prefixes.
//!
//! The guest's share of a query is a fiftieth of what a system call varies by, so both ways are timed where nothing else is: the same queries, handed to
//! the server's own code, with the native policy and with the guest in turn.

use std::fmt::Write as _;
use std::hint::black_box;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow};
use ipnet::IpNet;
use littoral_geo::map::{As, Map, Serving, Sources};
use littoral_geo::server::Handler;
use littoral_geo::{Cluster, Director, GeoConfig, NativeGeo, Node, Override, Routing, Service, ZoneSource};
use serde::Serialize;

use super::Spread;
use super::world::{CLUSTERS, SERVICE, World, ZONE, cluster};
use crate::select::guest::Guest;
use crate::select::world::Dice;

/// Nanoseconds that the guest may add to a query, and that a lookup may take.
const GUEST_NS: f64 = 120.0;
const LOOKUP_NS: f64 = 100.0;
/// MB that the map may hold.
const MAP_MB: f64 = 250.0;
/// Passes over the queries in a round.
const PASSES: usize = 10;
/// Prefixes of the large map by family, and lookups in it.
const PREFIXES: [usize; 2] = [4_000_000, 1_000_000];
const LOOKUPS: usize = 1 << 24;
/// Addresses looked up in turn; a power of two.
const ADDRESSES: usize = 1 << 20;

/// A figure of each round, and its mark.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Figure {
    what: String,
    unit: &'static str,
    mark: Option<f64>,
    values: Vec<f64>,
}

/// CPU time of this thread: on a busy machine wall time tells of the neighbours.
fn cpu_ns() -> f64 {
    let spent = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    spent.split(' ').next().and_then(|ns| ns.parse().ok()).unwrap_or(0.0)
}

/// Queries with a client subnet, answered natively and by the guest in turn.
pub(super) fn guest(world: &World, plugins: &Path, rounds: u32) -> Result<Vec<Figure>> {
    let of_guest = Guest::new(&plugins.join("route-geo.wasm"), "{}").context("build the plugins: make plugins")?;
    let native = handler(world, Arc::new(NativeGeo::default()), "native")?;
    let guest = handler(world, Arc::new(of_guest), "guest")?;
    let (mut of_native, mut of_guest, mut added) = (Vec::new(), Vec::new(), Vec::new());
    for round in 0..=rounds {
        let [one, other] = [&native, &guest].map(|handler| per_query_ns(handler, world));
        // The first one warms caches.
        if round > 0 {
            of_native.push(one);
            of_guest.push(other);
            added.push(other - one);
        }
    }
    let figure = |what: &str, values, mark| Figure { what: what.into(), unit: "ns", mark, values };
    Ok(vec![
        figure("a chosen answer without its system calls, native policy", of_native, None),
        figure("the same by the guest route-geo", of_guest, None),
        figure("added by the routing guest", added, Some(GUEST_NS)),
    ])
}

/// The world of the servers, in this process.
fn handler(world: &World, routing: Arc<dyn Routing>, name: &str) -> Result<Handler> {
    let file = world.work.join(format!("{name}.zone"));
    let text = "$TTL 300\n@ IN SOA ns1 hostmaster 1 3600 600 86400 60\n@ IN NS ns1\nns1 IN A 127.0.0.1\n";
    std::fs::write(&file, text)?;
    let of_cluster = |number: u32| {
        let (id, address) = cluster(number);
        Cluster {
            id,
            deep: false,
            at: [f64::from(number), 4.9],
            capacity_mbps: 10_000,
            nodes: vec![Node { v4: Some(address), v6: None, weight: 1 }],
            draining: false,
            prefixes: Vec::new(),
            systems: Vec::new(),
        }
    };
    // Places, so that the policy has something to reckon with.
    let place = |(network, serving): &(Ipv4Addr, u32)| {
        let prefix = IpNet::new((*network).into(), 24).unwrap_or_default();
        Override { prefix, cluster: None, at: Some([f64::from(*serving), 5.0]) }
    };
    let name = format!("{SERVICE}.{ZONE}.");
    let config = GeoConfig {
        overrides: world.prefixes.iter().map(place).collect(),
        clusters: (0..CLUSTERS).map(of_cluster).collect(),
        zones: vec![ZoneSource { name: format!("{ZONE}."), file, ..ZoneSource::default() }],
        services: vec![Service { name, clusters: vec!["*".into()], ttl: Duration::from_secs(30), answers: 1 }],
        ..GeoConfig::default()
    };
    let (director, _) = Director::new(config, routing).map_err(|error| anyhow!(error))?;
    Ok(Handler::new(Arc::new(director)))
}

fn per_query_ns(handler: &Handler, world: &World) -> f64 {
    let client: SocketAddr = ([127, 0, 0, 1], 5353).into();
    let before = cpu_ns();
    for _ in 0..PASSES {
        for query in &world.chosen_queries {
            black_box(handler.respond_hot(black_box(&query.message), client));
        }
    }
    (cpu_ns() - before) / (PASSES * world.chosen_queries.len()) as f64
}

/// Any unicast address.
fn v4(dice: &mut Dice) -> IpAddr {
    IpAddr::V4((((1 + dice.one_of(222)) << 24 | dice.one_of(1 << 24)) as u32).into())
}

/// An address of one of 60,000 allocations, as the registries have given them out.
fn v6(dice: &mut Dice) -> IpAddr {
    const REGISTRIES: [u64; 5] = [0x2001, 0x2400, 0x2600, 0x2800, 0x2a00];
    let registry = REGISTRIES[dice.one_of(5)];
    let (allocation, site) = (dice.one_of(12_000) as u64 * 5, dice.one_of(1 << 16) as u64);
    let network = u128::from((registry << 48) + (allocation << 32) + (site << 16)) << 64;
    IpAddr::V6((network | u128::from(dice.bits())).into())
}

/// A map of prefixes within and beside each other, of 60 clusters; then lookups all over it, of which most miss the processor's caches.
pub(super) fn map(rounds: u32) -> Result<Vec<Figure>> {
    let mut dice = Dice(7);
    let mut zone = |is_v4: bool| {
        let address = if is_v4 { v4(&mut dice) } else { v6(&mut dice) };
        let length = if is_v4 { 16 + dice.one_of(12) } else { 32 + dice.one_of(28) } as u8;
        let serving = (if dice.one_of(8) == 0 { As::Deep } else { As::Home }, dice.one_of(60) as u16);
        (IpNet::new(address, length).unwrap_or_default().trunc(), serving)
    };
    let mut zones: Vec<(IpNet, Serving)> = (0..PREFIXES[0]).map(|_| zone(true)).collect();
    zones.extend((0..PREFIXES[1]).map(|_| zone(false)));
    let started = Instant::now();
    let map = Map::compile(Sources { zones, ..Sources::default() }).map_err(|error| anyhow!("{error:?}"))?;
    let built_s = started.elapsed().as_secs_f64();
    let figure = |what: &str, unit, mark, values| Figure { what: what.into(), unit, mark, values };
    let mut figures = vec![
        figure("build of a map of 5,000,000 prefixes", "s", None, vec![built_s]),
        figure("what it holds", "MB", Some(MAP_MB), vec![map.bytes() as f64 / 1e6]),
    ];
    for (what, is_v4) in [("a lookup in it, IPv4, anywhere", true), ("the same, IPv6", false)] {
        let mut dice = Dice(11);
        let addresses: Vec<IpAddr> =
            (0..ADDRESSES).map(|_| if is_v4 { v4(&mut dice) } else { v6(&mut dice) }).collect();
        let round = |_| {
            let before = cpu_ns();
            for at in 0..LOOKUPS {
                black_box(map.find(black_box(addresses[at & (ADDRESSES - 1)])));
            }
            (cpu_ns() - before) / LOOKUPS as f64
        };
        figures.push(figure(what, "ns", Some(LOOKUP_NS), (0..rounds).map(round).collect()));
    }
    Ok(figures)
}

/// The table.
pub(super) fn markdown(figures: &[Figure]) -> String {
    let mut text = "\n## In the process, CPU time\n\n| what | median (least–most) | mark |\n|---|---|---|\n".to_owned();
    for Figure { what, unit, mark, values } in figures {
        let Some(spread) = Spread::of(values.clone()) else { continue };
        let mark = mark.map_or(String::new(), |mark| {
            format!("≤ {mark:.0}: {}", if spread.median <= mark { "met" } else { "missed" })
        });
        let _ = writeln!(text, "| {what} | {} {unit} | {mark} |", spread.text());
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_figure_is_judged_by_its_median() {
        let figure = |values| Figure { what: "lookup".into(), unit: "ns", mark: Some(100.0), values };
        assert!(
            markdown(&[figure(vec![1.0, 99.0, 500.0])]).contains("| lookup | 99.00 (1.00–500.00) ns | ≤ 100: met |")
        );
        assert!(markdown(&[figure(vec![101.0])]).contains("missed"));
    }

    #[test]
    fn the_servers_own_code_answers_the_queries_without_a_socket() {
        let work = tempfile::tempdir().unwrap();
        let world = World::make(work.path(), 100).unwrap();
        let handler = handler(&world, Arc::new(NativeGeo::default()), "native").unwrap();
        let answer = handler.respond_hot(&world.chosen_queries[0].message, ([127, 0, 0, 1], 53).into());
        assert_eq!(answer.unwrap().unwrap()[7], 1, "one address");
    }
}

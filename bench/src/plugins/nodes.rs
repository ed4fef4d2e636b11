//! CPU time of a hit in a node without plugins, with the three policies, and with policies and filters.
//!
//! All nodes are up at once and are loaded in turn within each round. Invariant: every request was a hit, and a ratio compares two nodes of
//! one round.

use std::time::Duration;

use anyhow::{Context, Result, ensure};

use super::{Figure, Unit};
use crate::compare::{asked, warm};
use crate::engine::{Guests, Place, Running, start_littoral};
use crate::load::{Ask, Generator};
use crate::machine::CpuTime;
use crate::origin::Object;

/// Connections of the generator.
const CONNECTIONS: u32 = 32;
/// Room of a cache, in MiB.
const CACHE_MIB: u64 = 64;
/// What a hit may cost with three policies, and with two filters besides, of what it costs without.
const POLICIES_TIMES: f64 = 1.02;
const FILTERS_TIMES: f64 = 1.10;
/// CPU time that a filter of headers may add to a request.
const FILTER_US: f64 = 3.0;
/// The objects that are hit.
const OBJECTS: [(&str, Object); 2] =
    [("1 KiB", Object { bytes: 1 << 10, number: 0 }), ("64 KiB", Object { bytes: 64 << 10, number: 0 })];

/// What a node has, how it is told, and its mark.
struct Kind {
    label: &'static str,
    title: &'static str,
    guests: Guests,
    mark: Option<f64>,
}

/// The names of the plugins of [`five`].
pub(super) const FIVE: [&str; 5] = ["route", "rate", "evict", "frames", "hides"];

/// Three policies and two header filters.
pub(super) fn five(place: &Place) -> Result<Guests> {
    let five = kinds(place)?.into_iter().find(|kind| kind.label == "five");
    Ok(five.context("there is no such kind of node")?.guests)
}

fn kinds(place: &Place) -> Result<Vec<Kind>> {
    let file = std::path::absolute(place.plugins.join("filter-headers.wasm"))?;
    let filter = |name: &str, config: &str| {
        format!("\n[[plugin]]\nname = \"{name}\"\nfile = {file:?}\nconfig = {{ response = {config} }}\n")
    };
    let one = filter("frames", "{ set = { x-frame-options = \"DENY\" } }");
    let two = one.clone() + &filter("hides", "{ remove = [\"server\"] }");
    let guests = |policies, filters: &[&str], tables: &str| Guests {
        policies,
        site: if filters.is_empty() { String::new() } else { format!("filters = {filters:?}") },
        tables: tables.to_owned(),
        more: filters.len(),
    };
    let kind = |label, title, guests, mark| Kind { label, title, guests, mark };
    Ok(vec![
        kind("none", "no plugin", guests(false, &[], ""), None),
        kind("three", "three policies", guests(true, &[], ""), Some(POLICIES_TIMES)),
        kind("one", "a header filter", guests(false, &["frames"], &one), None),
        kind(
            "five",
            "three policies, two header filters",
            guests(true, &["frames", "hides"], &two),
            Some(FILTERS_TIMES),
        ),
    ])
}

/// What a hit costs with plugins, of what it costs without.
pub(super) fn hits(place: &Place, rounds: u32, time: Duration) -> Result<Vec<Figure>> {
    let mut nodes = Vec::new();
    for kind in kinds(place)? {
        let node = start_littoral(place, kind.label, CACHE_MIB, &kind.guests)?;
        warm(node.address, place.origin, &OBJECTS.map(|(_, object)| object))?;
        nodes.push((kind, node));
    }
    // By object and node, a value each round.
    let mut cpu_us = vec![vec![Vec::new(); nodes.len()]; OBJECTS.len()];
    for round in 0..rounds as usize {
        for (object, (_, asked_for)) in OBJECTS.iter().enumerate() {
            for turn in 0..nodes.len() {
                let at = (round + turn) % nodes.len();
                cpu_us[object][at].push(cpu_us_of(place, &nodes[at].1, *asked_for, time)?);
            }
        }
    }
    let mut figures = Vec::new();
    for ((size, _), by_node) in OBJECTS.iter().zip(&cpu_us) {
        for ((kind, _), values) in nodes.iter().zip(by_node) {
            let what = format!("{}, a hit of {size}", kind.title);
            figures.push(Figure::new(what.clone(), Unit::Micros, None, values.clone())?);
            let beside = || values.iter().zip(&by_node[0]);
            if kind.label == "one" {
                let added = beside().map(|(with, without)| with - without).collect();
                figures.push(Figure::new(format!("added by {what}"), Unit::Micros, Some(FILTER_US), added)?);
            }
            if kind.label != "none" {
                let ratios = beside().map(|(with, without)| with / without).collect();
                figures.push(Figure::new(what + ", of one without", Unit::Times, kind.mark, ratios)?);
            }
        }
    }
    Ok(figures)
}

/// CPU time of the server for each request of a load of hits.
fn cpu_us_of(place: &Place, node: &Running, object: Object, time: Duration) -> Result<f64> {
    let before = asked(place.origin)?;
    let used = CpuTime::of_tree(node.server.pid())?;
    let load = Generator::Wrk.run(node.address, &Ask::Path(object.path()), CONNECTIONS, time)?;
    let used = CpuTime::of_tree(node.server.pid())?.since(&used);
    let missed = asked(place.origin)? - before;
    ensure!(missed == 0, "{missed} requests went to the origin; these were not all hits");
    Ok(used.as_secs_f64() * 1e6 / load.requests as f64)
}

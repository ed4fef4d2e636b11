//! The tests of the host, in one binary, with the guests that this repository builds and small ones written as text.
//!
//! Built guests are taken from `$LITTORAL_PLUGINS`, else built once into `target/plugins`.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on says so by panicking")]

use std::cell::Cell;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use littoral_plugin_host::{Ask, ClusterRow, Flow, Host, HostSettings, Interface, Plugin, PluginSpec, author};

mod answers;
mod contract;
mod exact;
mod hostile;
mod javascript;
mod manifests;
mod marionette;
mod policies;
mod proposals;
mod rates;
mod records;
mod reloads;
mod rollouts;
mod services;
mod swarms;
mod ticks;
mod traces;
mod vectors;

thread_local!(
    /// The clock of one test, which runs on a thread of its own.
    static NOW_MS: Cell<u64> = const { Cell::new(1_000_000) }
);

fn now_ms() -> u64 {
    NOW_MS.get()
}

fn advance(ms: u64) {
    NOW_MS.set(NOW_MS.get() + ms);
}

fn guest(name: &str) -> PathBuf {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let built = std::env::var_os("LITTORAL_PLUGINS").map_or_else(|| root.join("target/plugins"), PathBuf::from);
    let file = built.join(format!("{name}.wasm"));
    if !file.is_file() {
        let fixtures =
            ["spin", "grow", "trap", "nonsense", "policy-faults", "filter-faults", "filter-ticks", "service-faults"];
        let kind = match name {
            _ if fixtures.contains(&name) => "fixtures",
            _ if name.starts_with("service-") || name.starts_with("datagram-") => "examples",
            "filter-headers" | "swarm-pieces" => "examples",
            _ => "policy",
        };
        author::build(&[root.join("plugins").join(kind).join(name)], &built).expect("a guest that builds");
    }
    file
}

fn spec(name: &str, file: PathBuf) -> PluginSpec {
    PluginSpec::new(name, file)
}

fn host() -> Arc<Host> {
    Host::new(HostSettings { cache_dir: None, compiler: None, now_ms }).unwrap()
}

fn load(name: &str, interface: Interface) -> Arc<Plugin> {
    host().load(spec(name, guest(name)), Some(interface)).unwrap()
}

fn flow() -> Flow {
    let place = [0.0, 1.0, 0.0];
    Flow { key: 1, addr_lo: 2, place, candidates: 0b111, now_ms: 1, rand: 1, ..Flow::default() }
}

fn ask() -> Ask {
    Ask { state: 0, est_kbps: 500, buffer_ms: 9000, last_rung: 255, segment_ms: 2000, ladder: 7, now_ms: 1, rand: 1 }
}

fn rows() -> Vec<ClusterRow> {
    let places = [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]];
    let row = |(index, place): (usize, [f32; 3])| ClusterRow {
        index: index as u16,
        place,
        capacity_mbps: 1000,
        ..ClusterRow::default()
    };
    places.into_iter().enumerate().map(row).collect()
}

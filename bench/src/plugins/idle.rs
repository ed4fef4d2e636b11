//! A node with many plugins that nobody calls: its memory, and how long it takes to start.
//!
//! Each plugin is a file of its own content, so that each has compiled code of its own. The first start compiles; those after it are
//! timed.

use std::fmt::Write as _;
use std::time::Instant;

use anyhow::{Context, Result};

use super::{Figure, Unit};
use crate::engine::{Guests, Place, start_littoral};
use crate::machine::resident_bytes;

/// MiB that an idle plugin may hold, and milliseconds until a node with all of them serves.
const MEMORY_MIB: f64 = 3.0;
const START_MS: f64 = 1_000.0;
const CACHE_MIB: u64 = 64;

/// Guests that take turns, and a config with which each starts.
const GUESTS: [(&str, &str); 8] = [
    ("route-geo", ""),
    ("filter-headers", "config = { response = { set = { x-a = \"1\" } } }"),
    ("rate-throughput", ""),
    ("filter-cors", "config = { origins = [\"*\"] }"),
    ("evict-lfu-size", ""),
    ("filter-signed-url", "config = { keys = { k = \"0123456789abcdef\" } }"),
    ("filter-accept", "config = { formats = [\"image/webp\"] }"),
    ("filter-rate-limit", "store = \"1MiB\"\nconfig = { per_second = 10 }"),
];

/// Memory for each of `count` plugins, and the time to start with all of them.
pub(super) fn many(place: &Place, count: u32, rounds: u32) -> Result<Vec<Figure>> {
    let guests = guests(place, count)?;
    drop(start_littoral(place, "idle", CACHE_MIB, &guests)?);
    let (mut each_mib, mut start_ms, mut bare_ms) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..rounds {
        let (bare, without) = started(place, "bare", &Guests::default())?;
        let (taken, with) = started(place, "idle", &guests)?;
        each_mib.push((with - without) / f64::from(count) / f64::from(1 << 20));
        start_ms.push(taken);
        bare_ms.push(bare);
    }
    Ok(vec![
        Figure::new(format!("{count} plugins, idle: memory of each"), Unit::MiB, Some(MEMORY_MIB), each_mib)?,
        Figure::new(
            format!("{count} plugins, compiled before: start to ready"),
            Unit::Millis,
            Some(START_MS),
            start_ms,
        )?,
        Figure::new("no plugin: start to ready", Unit::Millis, None, bare_ms)?,
    ])
}

/// Milliseconds until a node serves with its plugins, and then its resident memory.
fn started(place: &Place, label: &str, guests: &Guests) -> Result<(f64, f64)> {
    let begun = Instant::now();
    let node = start_littoral(place, label, CACHE_MIB, guests)?;
    let taken = begun.elapsed().as_secs_f64() * 1e3;
    Ok((taken, resident_bytes(node.server.pid())? as f64))
}

/// Writes the files and tells of them.
fn guests(place: &Place, count: u32) -> Result<Guests> {
    let directory = place.work.join("many");
    std::fs::create_dir_all(&directory)?;
    let mut tables = String::new();
    for (number, (guest, keys)) in (0..count).zip(GUESTS.iter().cycle()) {
        let built = place.plugins.join(format!("{guest}.wasm"));
        let mut component = std::fs::read(&built).with_context(|| format!("{}; run make plugins", built.display()))?;
        // A custom section with a name of one letter.
        component.extend([0, 6, 1, b'n']);
        component.extend(number.to_le_bytes());
        let file = directory.join(format!("{number}.wasm"));
        std::fs::write(&file, component)?;
        write!(tables, "\n[[plugin]]\nname = \"{guest}-{number}\"\nfile = {file:?}\n{keys}\n")?;
    }
    Ok(Guests { tables, more: count as usize, ..Guests::default() })
}

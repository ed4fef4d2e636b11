//! Calls of the shipped policies, through the host that a node uses.

use std::path::Path;

use anyhow::{Result, anyhow, ensure};
use littoral_plugin_host::author;

use super::{Figure, Unit};

/// Calls that are timed in a round.
const CALLS: u64 = 200_000;
/// Nanoseconds that one decision may take, and the ranking of a sample of 16.
const DECISION_NS: f64 = 100.0;
const RANKING_NS: f64 = 250.0;

/// The policies, and what is asked of each.
const POLICIES: [&str; 3] = ["route-geo", "rate-throughput", "evict-lfu-size"];

/// Every function of the three policies.
pub(super) fn policies(plugins: &Path, rounds: u32) -> Result<Vec<Figure>> {
    let mut figures = Vec::new();
    for policy in POLICIES {
        let file = plugins.join(format!("{policy}.wasm"));
        let measured = (0..rounds).map(|_| author::bench(&file, None, "{}", CALLS)).collect::<Result<Vec<_>, _>>();
        let measured = measured.map_err(|problem| anyhow!(problem))?;
        for (at, first) in measured.first().into_iter().flatten().enumerate() {
            ensure!(first.fault.is_none(), "{policy}: {} fails", first.function);
            let what = format!("{policy}: {}, {}", first.function, first.question);
            let mark = if first.function == "score" { RANKING_NS } else { DECISION_NS };
            let p50 = measured.iter().filter_map(|round| round.get(at)).map(|one| one.p50_ns).collect();
            figures.push(Figure::new(what, Unit::Nanos, Some(mark), p50)?);
        }
    }
    Ok(figures)
}

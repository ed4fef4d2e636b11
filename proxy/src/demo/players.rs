//! Players: one viewing each through `littoral play`'s own code, and what it got.
//!
//! A player knows the resolver, its own subnet and its access link, and nothing else of the demo's world.

use anyhow::Context;
use url::Url;

use super::Stage;
use super::board::share;
use super::cities::City;
use super::world::cluster_at;
use crate::play::{Options, Report, Rule, run};

/// Fast enough for a title of half a minute to be over at once, slow enough to be interrupted.
const SLOWLY: f64 = 8.0;

/// What one player got.
#[derive(Debug, Clone, Default)]
pub(super) struct Viewing {
    /// Media segments played.
    pub(super) segments: usize,
    /// Clusters that served it, in order, each change once.
    pub(super) clusters: Vec<&'static str>,
    /// Representations played, in order, each change once.
    pub(super) representations: Vec<String>,
    pub(super) hits: u64,
    pub(super) responses: u64,
    /// Mean bit rate of what was played.
    pub(super) kbit_per_s: f64,
    pub(super) startup_ms: f64,
    pub(super) stalls: usize,
    /// Most requests that one segment needed.
    pub(super) attempts: u32,
    pub(super) failed: u64,
    failure: Option<String>,
}

impl Viewing {
    fn of(report: &Report) -> Self {
        let mut clusters: Vec<&'static str> =
            report.segments.iter().filter_map(|segment| cluster_at(segment.address?)).collect();
        clusters.dedup();
        let mut representations: Vec<String> = report
            .segments
            .iter()
            .map(|segment| format!("{} ({} kbit/s)", segment.representation, segment.kbps))
            .collect();
        representations.dedup();
        Self {
            segments: report.segments.len(),
            clusters,
            representations,
            hits: report.hits,
            responses: report.responses,
            kbit_per_s: report.mean_kbps,
            startup_ms: report.startup_ms.unwrap_or(f64::INFINITY),
            stalls: report.stalls.len(),
            attempts: report.segments.iter().map(|segment| segment.attempts).max().unwrap_or(0),
            failed: report.failed,
            failure: report.segments.iter().find_map(|segment| segment.failure.clone()),
        }
    }

    /// The first failure.
    pub(super) fn failure(&self) -> &str {
        self.failure.as_deref().unwrap_or("no reason given")
    }

    /// Share of responses that came from the edge's cache.
    pub(super) fn hit_ratio(&self) -> f64 {
        share(self.hits, self.responses)
    }

    /// The representations as `a → b → c`.
    pub(super) fn ladder_walk(&self) -> String {
        self.representations.join(" → ")
    }
}

/// Watches a title as a client of `city`, without waiting.
///
/// # Errors
/// When the manifest cannot be had.
pub(super) async fn watch(stage: &Stage, title: &str, city: &City, rule: Rule) -> anyhow::Result<Viewing> {
    play(stage, title, city, rule, f64::INFINITY).await
}

/// Watches a title slowly enough to be interrupted.
///
/// # Errors
/// When the manifest cannot be had.
pub(super) async fn watch_slowly(stage: &Stage, title: &str, city: &City) -> anyhow::Result<Viewing> {
    play(stage, title, city, Rule::Throughput, SLOWLY).await
}

async fn play(stage: &Stage, title: &str, city: &City, rule: Rule, speed: f64) -> anyhow::Result<Viewing> {
    let manifest: Url = stage.world.manifest(title).parse()?;
    let options = Options {
        dns: Some(stage.world.resolver.address()),
        client: Some(city.client),
        link: Some(city.link.clone()),
        rule,
        speed,
        ..Options::new(manifest)
    };
    let report = run(&options, |_| {}).await.with_context(|| format!("a player in {}", city.name))?;
    Ok(Viewing::of(&report))
}

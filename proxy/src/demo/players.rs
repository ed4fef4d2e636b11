//! Players: one viewing each through `littoral play`'s own code, and what it got.
//!
//! A player knows the resolver and its own subnet and nothing else of the demo's world.

use super::Stage;
use super::board::share;
use super::cities::City;

/// What one player got.
#[derive(Debug, Clone, Default)]
pub(super) struct Viewing {
    /// Path of the manifest.
    pub(super) manifest: String,
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
    pub(super) stalls: u64,
    pub(super) failed: u64,
    failure: Option<String>,
}

impl Viewing {
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

/// Watches a title as a client of `city`, much faster than real time.
pub(super) async fn watch(_stage: &Stage, _title: &str, _city: &City, _segments: usize) -> anyhow::Result<Viewing> {
    anyhow::bail!("`littoral play` is not in this build")
}

/// Watches a title slowly enough to be interrupted.
pub(super) async fn watch_slowly(stage: &Stage, title: &str, city: &City) -> anyhow::Result<Viewing> {
    watch(stage, title, city, 0).await
}

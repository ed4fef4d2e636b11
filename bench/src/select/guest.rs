//! A guest in the seat of a director, in the host that a node uses.

use std::path::Path;
use std::sync::Arc;

use anyhow::{Result, anyhow};
use littoral_geo::{Choice, ClusterRow, Flow, Routing};
use littoral_plugin_host::{Host, HostSettings, Interface, Plugin, PluginSpec, types};

/// A guest.
pub struct Guest(Arc<Plugin>);

impl Guest {
    /// Loads it as a node does.
    ///
    /// # Errors
    /// One line: the file, what is wrong with it or its config.
    pub fn new(file: &Path, config: &str) -> Result<Self> {
        let name = file.file_stem().map_or_else(String::new, |stem| stem.to_string_lossy().into_owned());
        let spec = PluginSpec { config: config.to_owned(), ..PluginSpec::new(name, file) };
        let settings = HostSettings { cache_dir: None, compiler: None, now_ms: || 0 };
        let host = Host::new(settings).map_err(|error| anyhow!(error))?;
        Ok(Self(host.load(spec, Some(Interface::Routing)).map_err(|error| anyhow!("{error}"))?))
    }
}

impl Routing for Guest {
    fn push(&self, version: u64, clusters: &[ClusterRow]) {
        let told = |row: &ClusterRow| {
            let ClusterRow { index, deep, healthy, place, capacity_mbps, load_permille, rtt_us, price_us, name } =
                row.clone();
            types::ClusterRow { index, deep, healthy, place, capacity_mbps, load_permille, rtt_us, price_us, name }
        };
        self.0.push_clusters(version, clusters.iter().map(told).collect());
    }

    fn decide(&self, flow: &Flow) -> Option<Choice> {
        let Flow { key, addr_hi, addr_lo, place, zone, candidates, now_ms, rand, rtts } = *flow;
        let measured = types::Measured::of(rtts.iter());
        let asked = types::Flow { key, addr_hi, addr_lo, place, zone, candidates, now_ms, rand, measured };
        let choice = self.0.decide(&asked).ok()?;
        Some(Choice { clusters: choice.clusters, ttl_s: choice.ttl_s })
    }

    fn reads_rtts(&self) -> bool {
        self.0.reads_measured()
    }

    fn reads_prices(&self) -> bool {
        self.0.reads_priced()
    }
}

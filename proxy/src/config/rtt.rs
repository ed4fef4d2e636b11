//! `[rtt]`: round-trip times to clients, measured where they connect and heard where clusters are chosen.

use std::net::IpAddr;
use std::time::Duration;

use serde::Deserialize;

use super::units::{Prefix, Span};

/// Round-trip times.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Rtt {
    /// Whether connections of clients are measured.
    pub measure: bool,
    /// Prefixes of clients that are kept.
    pub prefixes: usize,
    /// Measurements of a prefix before it is told.
    pub samples: u32,
    /// For how long it is kept after the last one.
    pub keep: Span,
    /// Who may ask for them.
    pub tell: Vec<Prefix>,
    /// How often the nodes of clusters are asked; zero: never.
    pub hear: Span,
    /// How old what they told may get.
    pub age: Span,
    /// What may be probed; without it, nothing.
    pub probe: RttProbe,
}

/// Active probes.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RttProbe {
    /// Prefixes that may be probed.
    pub allow: Vec<Prefix>,
    /// Addresses in them that are asked in place of the first one of each prefix.
    pub addresses: Vec<IpAddr>,
    /// The port that is asked.
    pub port: u16,
    /// Between two probes of a prefix.
    pub every: Span,
    /// Probes a second.
    pub per_second: u32,
    /// Probes under way.
    pub at_a_time: usize,
}

impl Default for RttProbe {
    fn default() -> Self {
        let every = Span(Duration::from_secs(600));
        Self { allow: Vec::new(), addresses: Vec::new(), port: 443, every, per_second: 10, at_a_time: 16 }
    }
}

impl Default for Rtt {
    fn default() -> Self {
        Self {
            measure: false,
            prefixes: 16_384,
            samples: 3,
            keep: Span(Duration::from_secs(86_400)),
            tell: Vec::new(),
            hear: Span(Duration::ZERO),
            age: Span(Duration::from_secs(600)),
            probe: RttProbe::default(),
        }
    }
}

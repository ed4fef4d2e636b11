//! `[rtt]`: round-trip times to clients, measured where they connect and heard where clusters are chosen.

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
        }
    }
}

//! `[cache]`: what is kept, and how much of it.

use std::time::Duration;

use serde::Deserialize;

use super::units::{Size, Span};

/// The cache's bounds.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Cache {
    /// Bytes for objects in memory, overhead included.
    pub memory: Size,
    /// Largest object stored.
    pub max_object: Size,
    /// How long a request waits for another's fill to begin before it goes to the origin alone.
    pub collapse_wait: Span,
}

impl Default for Cache {
    fn default() -> Self {
        Self { memory: Size(256 << 20), max_object: Size(64 << 20), collapse_wait: Span(Duration::from_secs(10)) }
    }
}

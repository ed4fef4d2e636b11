//! `[trace]`: where spans of requests go, and of how many.

use serde::Deserialize;

/// Traces over OTLP.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Trace {
    /// URL of the collector: OTLP over HTTP, protobuf.
    pub endpoint: String,
    /// The share of requests that are traced, 0 to 1.
    #[serde(default = "Trace::sample_default")]
    pub sample: f64,
    /// Whether a client's `traceparent` is believed: its trace is gone on with, and its decision whether to record.
    #[serde(default)]
    pub trust_clients: bool,
}

impl Trace {
    fn sample_default() -> f64 {
        0.01
    }
}

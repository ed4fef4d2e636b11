//! `[log]`: what is written about requests.

use std::path::PathBuf;

use serde::Deserialize;

/// In place of a file: the standard output.
pub const STDOUT: &str = "stdout";

/// Logs.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Log {
    /// One line per request; without it none is written.
    pub access: Option<AccessLog>,
}

/// The access log.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AccessLog {
    /// Where it goes, or [`STDOUT`].
    pub file: PathBuf,
    /// `common`, `combined`, `json`, or a text with `$field`s.
    #[serde(default = "AccessLog::format_default")]
    pub format: String,
    /// The share of requests that are logged, 0 to 1.
    #[serde(default = "AccessLog::sample_default")]
    pub sample: f64,
}

impl AccessLog {
    fn format_default() -> String {
        "combined".into()
    }

    fn sample_default() -> f64 {
        1.0
    }
}

//! `[[site]]`: what is served, and where it comes from.

use std::time::Duration;

use serde::Deserialize;

use super::units::Span;

/// A site served.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Site {
    /// Host names, lower case; `*` is the site of every other host.
    pub hosts: Vec<String>,
    /// Origins, each `http://host[:port]` or `https://…`.
    pub origin: Vec<String>,
    /// DASH features.
    #[serde(default)]
    pub dash: Dash,
    /// Time-outs towards the origin.
    #[serde(default)]
    pub timeouts: Timeouts,
    /// Lifetime of a response that states none.
    #[serde(default)]
    pub default_ttl: Span,
}

/// DASH features of a site.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Dash {
    /// Answer `auto` segment URLs.
    pub auto: bool,
}

/// Time-outs towards an origin.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Timeouts {
    /// Connecting, TLS included.
    pub connect: Span,
    /// One write of the request.
    pub send: Span,
    /// Between two reads of the response, its first byte included.
    pub read: Span,
}

impl Default for Timeouts {
    fn default() -> Self {
        let seconds = |seconds| Span(Duration::from_secs(seconds));
        Self { connect: seconds(2), send: seconds(15), read: seconds(15) }
    }
}

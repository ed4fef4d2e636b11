//! `[[site]]`: what is served, and where it comes from.

use serde::Deserialize;

use super::origin::{Balance, Origin, OriginHealth, Retry, Timeouts};
use super::units::Span;

/// A site served.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Site {
    /// Host names, lower case; `*` is the site of every other host.
    pub hosts: Vec<String>,
    /// Origins.
    pub origin: Vec<Origin>,
    /// How requests are spread over them.
    #[serde(default)]
    pub balance: Balance,
    /// How they are probed; without it, what requests meet is all that is known of them.
    pub health: Option<OriginHealth>,
    /// For how long one that has come back is asked less than its weight says.
    #[serde(default)]
    pub slow_start: Span,
    /// Asking again when one fails.
    #[serde(default)]
    pub retry: Retry,
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

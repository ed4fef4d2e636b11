//! `site.dash`: what a site knows of video.

use serde::Deserialize;

/// DASH features of a site.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Dash {
    /// Answer `auto` segment URLs.
    pub auto: bool,
    /// Read what players tell.
    pub cmcd: bool,
    /// Where they send reports.
    pub cmcd_path: Option<String>,
    /// Tell them what is known of the way to them.
    pub cmsd: bool,
}

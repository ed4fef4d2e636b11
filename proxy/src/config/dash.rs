//! `site.dash`: what a site knows of video.

use std::collections::BTreeMap;
use std::str::FromStr;

use serde::de::Error;
use serde::{Deserialize, Deserializer};

use super::units::Bandwidth;

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
    /// Tell them what the rate policy would have them ask for.
    pub hint: bool,
    /// Send the bodies of `auto` segments at the pace of the rate policy.
    pub pace: bool,
    /// What to change in manifests.
    pub rewrite: Option<Rewrite>,
    /// What players will ask for next, fetched before they do.
    pub prefetch: Option<Prefetch>,
}

/// Within which bounds objects are fetched ahead.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Prefetch {
    /// Objects at once.
    pub at_once: usize,
    /// Objects at once for one session.
    pub by_session: usize,
    /// Bits per second from origins.
    pub rate: Bandwidth,
    /// Whether manifests say what comes next, where players do not.
    pub manifest: bool,
}

impl Default for Prefetch {
    fn default() -> Self {
        Self { at_once: 16, by_session: 2, rate: Bandwidth(100_000_000), manifest: true }
    }
}

impl Prefetch {
    /// Most objects at once.
    pub const AT_ONCE_MAX: usize = 1024;
    /// Most objects at once for one session.
    pub const BY_SESSION_MAX: usize = 64;
}

/// What to change in the manifests of a site.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Rewrite {
    /// Beginnings of URLs, and what takes their place.
    pub base_urls: BTreeMap<String, String>,
    /// Video taller than this, in pixels, is left out.
    pub max_height: Option<u64>,
    /// Video of a higher rate is left out.
    pub max_bandwidth: Option<Most>,
    /// Beginnings of the codecs that stay.
    pub codecs: Vec<String>,
    /// Languages that stay.
    pub languages: Vec<String>,
    /// Content steering to put in.
    pub steering: Option<SteeringElement>,
    /// BaseURLs to put in, with the names that steering knows.
    pub locations: Vec<Location>,
    /// One representation of each video set is left, as `auto`.
    pub auto: bool,
}

/// The highest rate that is left in manifests.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Most {
    /// The same for all.
    Rate(Bandwidth),
    /// For each client what the rate policy says: `"policy"`.
    Policy,
}

impl FromStr for Most {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        if text == "policy" { Ok(Self::Policy) } else { text.parse().map(Self::Rate) }
    }
}

impl<'de> Deserialize<'de> for Most {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(D::Error::custom)
    }
}

/// ContentSteering to put in.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SteeringElement {
    /// The steering server.
    pub url: String,
    /// The location to begin with.
    pub default: Option<String>,
    /// Whether a player asks before it fetches anything.
    #[serde(default)]
    pub query_before_start: bool,
}

/// A BaseURL with a name.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Location {
    /// The name.
    pub name: String,
    /// The URL.
    pub url: String,
}

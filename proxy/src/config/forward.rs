//! `[forward]`: what clients of the listeners in `listen.forward` may ask for, and what bounds them.

use std::fmt;
use std::time::Duration;

use serde::Deserialize;
use serde::de::{Deserializer, Error};

use super::origin::Timeouts;
use super::site::HeuristicTtl;
use super::units::{Prefix, Size, Span};

/// Entries of one list of `[forward]`.
pub const FORWARD_LIST_MAX: usize = 4096;

/// The explicit proxy.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Forward {
    /// Hosts that may be asked for over plain HTTP.
    pub hosts: Vec<HostPattern>,
    /// Their ports.
    pub ports: Vec<u16>,
    /// Hosts to which a tunnel may be opened.
    pub connect: Vec<HostPattern>,
    /// Their ports.
    pub connect_ports: Vec<u16>,
    /// Addresses that may be connected to although they are not public.
    pub private: Vec<Prefix>,
    /// Tunnels at a time.
    pub tunnels: usize,
    /// How long a tunnel may be silent.
    pub tunnel_idle: Span,
    /// How long a tunnel may be open; 0: no bound.
    pub tunnel_time: Span,
    /// Bytes a tunnel may move, both ways together.
    pub tunnel_bytes: Option<Size>,
    /// Time-outs towards the servers asked.
    pub timeouts: Timeouts,
    /// Guesses lifetimes from Last-Modified.
    pub heuristic: Option<HeuristicTtl>,
}

impl Default for Forward {
    fn default() -> Self {
        Self {
            hosts: vec![HostPattern::Any],
            ports: vec![80, 443],
            connect: Vec::new(),
            connect_ports: vec![443],
            private: Vec::new(),
            tunnels: 1024,
            tunnel_idle: Span(Duration::from_secs(300)),
            tunnel_time: Span::default(),
            tunnel_bytes: None,
            timeouts: Timeouts::default(),
            heuristic: None,
        }
    }
}

/// Hosts by name: `*`, `*.example.org` (every name below it), or one host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HostPattern {
    /// Every host.
    Any,
    /// Every name that ends so; it begins with a dot.
    Below(String),
    /// This host, in the spelling of [`crate::site::normalise_host`].
    One(String),
}

impl HostPattern {
    /// Whether it means a normalised host.
    pub fn means(&self, host: &str) -> bool {
        match self {
            Self::Any => true,
            Self::Below(end) => host.len() > end.len() && host.ends_with(end.as_str()),
            Self::One(name) => name == host,
        }
    }
}

impl std::str::FromStr for HostPattern {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        let problem = || format!("{text:?} is no pattern: write \"*\", \"*.example.org\" or \"www.example.org\"");
        let plain =
            |host: &str| crate::site::normalise_host(host).filter(|normal| normal == host && !host.contains('*'));
        match text.strip_prefix('*') {
            Some("") => Ok(Self::Any),
            Some(end) => {
                let name = end.strip_prefix('.').and_then(plain).ok_or_else(problem)?;
                Ok(Self::Below(format!(".{name}")))
            }
            None => plain(text).map(Self::One).ok_or_else(problem),
        }
    }
}

impl fmt::Display for HostPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Any => f.write_str("*"),
            Self::Below(end) => write!(f, "*{end}"),
            Self::One(name) => f.write_str(name),
        }
    }
}

impl<'de> Deserialize<'de> for HostPattern {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(D::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_star_means_every_name_below_and_not_the_name_itself() {
        for (pattern, host, expected) in [
            ("*", "a.example", true),
            ("*.example", "a.example", true),
            ("*.example", "b.a.example", true),
            ("*.example", "example", false),
            ("*.example", "aexample", false),
            ("a.example", "a.example", true),
            ("a.example", "b.a.example", false),
            ("192.0.2.1", "192.0.2.1", true),
        ] {
            assert_eq!(pattern.parse::<HostPattern>().unwrap().means(host), expected, "{pattern} {host}");
        }
        for bad in ["", "*example", "a.*", "A.example", "a.example:443", "http://a", "*."] {
            assert!(bad.parse::<HostPattern>().unwrap_err().contains("*.example.org"), "{bad}");
        }
    }
}

//! `[resolver]`: the local resolver, for clients of an access network.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use littoral_geo::resolver::{ROOTS, Settings};
use serde::Deserialize;

use super::units::{Prefix, Size, Span};

/// A local resolver.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct LocalResolver {
    /// Where it listens, over UDP and TCP.
    pub listen: Vec<SocketAddr>,
    /// Who is answered.
    pub allow: Vec<Prefix>,
    /// Addresses of the root's servers.
    pub roots: Vec<IpAddr>,
    /// The port of all servers.
    pub port: u16,
    /// Servers that may be asked although their addresses are not public.
    pub private: Vec<Prefix>,
    /// Zones whose servers are told the client's subnet.
    pub subnets: Vec<String>,
    /// Bits of an IPv4 address that they are told.
    pub subnet_v4: u8,
    /// Bits of an IPv6 address that they are told.
    pub subnet_v6: u8,
    /// Whether a client may say for which subnet it asks.
    pub client_subnets: bool,
    /// Whether DNSSEC is validated.
    pub validate: bool,
    /// The root's keys, where they are not the Internet's.
    pub anchors: Option<PathBuf>,
    /// Bytes of answers kept.
    pub cache: Size,
    /// The longest that an answer is kept.
    pub ttl: Span,
    /// Lookups at a time.
    pub lookups: usize,
    /// Time of one lookup.
    pub patience: Span,
}

impl Default for LocalResolver {
    fn default() -> Self {
        let usual = Settings::default();
        Self {
            listen: Vec::new(),
            allow: Vec::new(),
            roots: ROOTS.to_vec(),
            port: usual.port,
            private: Vec::new(),
            subnets: Vec::new(),
            subnet_v4: usual.subnet_v4,
            subnet_v6: usual.subnet_v6,
            client_subnets: false,
            validate: true,
            anchors: None,
            cache: Size(usual.cache_bytes as u64),
            ttl: Span(Duration::from_secs(86_400)),
            lookups: usual.lookups,
            patience: Span(usual.patience),
        }
    }
}

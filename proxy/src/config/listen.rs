//! `[listen]`: where the node can be reached.

use std::net::SocketAddr;
use std::path::PathBuf;

use serde::Deserialize;

/// Where it listens. Port 0 takes a free one; the `ready` line says which.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Listen {
    /// Plain HTTP.
    pub http: Vec<SocketAddr>,
    /// HTTP over TLS.
    pub https: Vec<Https>,
    /// Admin API, metrics and dashboard.
    pub admin: Option<SocketAddr>,
    /// DNS, UDP and TCP.
    pub dns: Vec<SocketAddr>,
}

/// A TLS listener.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Https {
    /// The address.
    pub bind: SocketAddr,
    /// Certificate chain, PEM.
    pub cert: PathBuf,
    /// Private key, PEM.
    pub key: PathBuf,
}

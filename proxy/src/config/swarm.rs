//! `[[listen.swarm]]`: where one instance of a plugin of world `swarm-service` has all connections and datagrams, and within which bounds.

use std::net::SocketAddr;
use std::time::Duration;

use serde::Deserialize;

use super::units::{Prefix, Span};
use super::{Bind, Door};

/// A listener of a swarm.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Swarm {
    /// Where its peers connect to, if any may.
    pub bind: Option<Bind>,
    /// Where its datagrams come and go, if there are any.
    pub datagrams: Option<SocketAddr>,
    /// The `[[plugin]]` that has them.
    pub plugin: String,
    /// Connections at a time, dialled ones with them.
    #[serde(default = "Swarm::connections_default")]
    pub connections: usize,
    /// Time a peer may neither send nor take anything.
    #[serde(default = "Swarm::idle_default")]
    pub idle: Span,
    /// Time in which it has to take some of what is sent to it.
    #[serde(default = "Swarm::write_timeout_default")]
    pub write_timeout: Span,
    /// Percent of a core that the plugin may compute for in the long run.
    #[serde(default = "Swarm::cpu_default")]
    pub cpu: u32,
    /// How many times the bytes that came from somewhere may be answered by datagrams.
    #[serde(default = "Swarm::amplification_default")]
    pub amplification: u32,
    /// As of [`Door`].
    #[serde(default)]
    pub proxy_protocol: Vec<Prefix>,
    /// As of [`Door`]; datagrams, too.
    #[serde(default)]
    pub allow: Vec<Prefix>,
    /// As of [`Door`]; datagrams, too.
    #[serde(default)]
    pub deny: Vec<Prefix>,
    /// As of [`Door`].
    pub backlog: Option<u32>,
}

impl Swarm {
    fn connections_default() -> usize {
        1024
    }

    fn idle_default() -> Span {
        Span(Duration::from_secs(120))
    }

    fn write_timeout_default() -> Span {
        Span(Duration::from_secs(30))
    }

    fn cpu_default() -> u32 {
        30
    }

    fn amplification_default() -> u32 {
        3
    }

    /// How it is bound and who may come.
    pub fn door(&self) -> Door {
        let Self { proxy_protocol, allow, deny, backlog, .. } = self.clone();
        Door { proxy_protocol, allow, deny, backlog, mode: None, h2c: false }
    }
}

//! `[[cluster]]` and `[[service]]`: where clients are sent, and under which names.

use std::net::{Ipv4Addr, Ipv6Addr};
use std::time::Duration;

use ipnet::IpNet;
use serde::Deserialize;

use super::units::{Bandwidth, Span};

/// A cluster.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Cluster {
    /// Its name.
    pub id: String,
    /// Whom it serves.
    pub tier: Tier,
    /// Latitude and longitude in degrees.
    pub at: [f64; 2],
    /// Whose clocks it goes by: a name of the IANA time zone database.
    pub time_zone: Option<String>,
    /// What it can send.
    pub capacity: Bandwidth,
    /// Addresses of its nodes.
    pub nodes: Vec<NodeAddresses>,
    /// Whether it is being emptied: it gets only clients whom nobody else may serve.
    #[serde(default)]
    pub drain: bool,
    /// The name by which clients that are redirected find it.
    pub host: Option<String>,
    /// Its coverage zone.
    #[serde(default)]
    pub prefixes: Vec<IpNet>,
    /// Autonomous systems of which it serves what no coverage zone has.
    #[serde(default)]
    pub systems: Vec<u32>,
    /// How its health is probed; without it, it counts as healthy.
    pub health: Option<Health>,
}

/// The textbook's two kinds of cluster.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Tier {
    /// Bring home: at an exchange point, serves everybody.
    Home,
    /// Enter deep: inside an access network, serves only its own prefixes.
    Deep,
}

/// Addresses of one node, and how much it takes.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct NodeAddresses {
    /// IPv4.
    pub v4: Option<Ipv4Addr>,
    /// IPv6.
    pub v6: Option<Ipv6Addr>,
    /// Its share of the clients, beside those of the other nodes.
    pub weight: u32,
}

impl Default for NodeAddresses {
    fn default() -> Self {
        Self { v4: None, v6: None, weight: 1 }
    }
}

/// How a node is probed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum HealthKind {
    /// `GET path`, which 200 answers.
    #[default]
    Http,
    /// A connection, which is made.
    Tcp,
}

impl HealthKind {
    /// As labels, in the order of the variants.
    pub(crate) const LABELS: [&'static str; 2] = ["http", "tcp"];
}

/// A health probe of every node of the cluster.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Health {
    /// How.
    pub kind: HealthKind,
    /// Port.
    pub port: u16,
    /// Path, of HTTP alone; see [`Health::path`].
    pub path: Option<String>,
    /// Between two probes.
    pub every: Span,
    /// Of one probe.
    pub timeout: Span,
    /// Failures in a row that make it down.
    pub down_after: u32,
    /// Successes in a row that make it up.
    pub up_after: u32,
}

/// A DNS name whose addresses are chosen among clusters.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Service {
    /// The name.
    pub name: String,
    /// Cluster ids, or `*`.
    pub clusters: Vec<String>,
    /// TTL of its answers.
    pub ttl: Span,
    /// Addresses in one answer, 1 to 8.
    #[serde(default = "Service::answers_default")]
    pub answers: u8,
}

impl Service {
    fn answers_default() -> u8 {
        2
    }
}

impl Default for Health {
    fn default() -> Self {
        let millis = |millis| Span(Duration::from_millis(millis));
        let (every, timeout) = (millis(1000), millis(1000));
        Self { kind: HealthKind::Http, port: 80, path: None, every, timeout, down_after: 3, up_after: 2 }
    }
}

impl Health {
    /// What is asked for by HTTP.
    pub fn path(&self) -> &str {
        self.path.as_deref().unwrap_or(crate::request::HEALTH_PATH)
    }
}

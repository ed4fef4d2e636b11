//! The one config file: TOML, unknown keys refused, sizes and durations in human units.
//!
//! [`Config::load`] reads, checks what belongs together and resolves relative paths; whoever holds a [`Config`] can use
//! it without checking again ([`check`] says what is looked at). What the node does with it is not decided here. Every key is described in
//! [`reference::keys`], from which `docs/config.md` is made.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::Deserialize;

use crate::kept;

mod acme;
mod cache;
mod check;
mod cluster;
mod control;
pub mod dash;
mod datagram;
mod dns;
pub mod error;
mod filter;
mod forward;
mod geo;
mod listen;
mod log;
pub mod origin;
mod plugin;
pub mod reference;
mod resolver;
mod rtt;
mod serve;
mod site;
mod swarm;
mod trace;
pub mod units;
pub mod warm;
mod zone;

pub use acme::{ACME_NAMES_MAX, Acme};
pub use cache::{Cache, Disk, Fsync};
pub use cluster::{Cluster, Health, HealthKind, NodeAddresses, Service, Tier};
pub use control::{Control, Hashes, PlaneKind, Quorum, SERVERS_MAX as CONTROL_SERVERS_MAX};
pub use dash::Dash;
pub use datagram::{AMPLIFICATION_MAX, Datagram};
pub use dns::{Dns, DnsKey};
pub use error::ConfigError;
pub use filter::{FILTERS_MAX, OnFault};
pub use forward::{FORWARD_LIST_MAX, Forward, HostPattern};
pub use geo::{Geo, OVERRIDES_MAX, Override};
pub use listen::{Bind, CERTS_MAX, Cert, ClientAuth, Door, Http, Https, Listen, PREFIXES_OF_LIST_MAX, TlsVersion};
pub use log::{AccessLog, Log, STDOUT};
pub use origin::Timeouts;
pub use plugin::{Plugin, PluginTrust, Policy, Signature};
pub use resolver::LocalResolver;
pub use rtt::{Rtt, RttProbe};
pub use serve::{Begins, SERVICE_CONNECTIONS_MAX, Serve};
pub use site::{Coding, Compress, Fill, HeuristicTtl, KeyRules, QueryOrder, Ranges, SetCookies, Site, Steer};
pub use swarm::Swarm;
pub use trace::Trace;
use units::{Bandwidth, Prefix, Size, Span};
pub use zone::{Dnssec, Primary, Transfer, Update, Zone};

/// Clusters of one config; also the bound of a routing policy's candidate mask.
pub const CLUSTERS_MAX: usize = 64;
/// Sites of one config.
pub const SITES_MAX: usize = 1024;
/// Origins of one site.
pub const ORIGINS_MAX: usize = 64;
/// Weight of an origin.
pub const WEIGHT_MAX: u32 = 1000;
/// Times a request is sent again.
pub const RETRIES_MAX: usize = 4;
/// Requests that wait for an origin at a time, and those that it gets at a time.
pub const AT_A_TIME_MAX: usize = 1 << 20;
/// Entries of each list of a site's key.
pub const KEY_PARTS_MAX: usize = 64;
/// Bytes of a slice, at least.
pub const SLICE_MIN: u64 = 64 << 10;
/// How often the rest of an object may be asked for.
pub const RESUMES_MAX: u32 = 8;
/// Fills that may go on unread.
pub const UNREAD_MAX: usize = 1_000_000;
/// Plugins of one config.
pub const PLUGINS_MAX: usize = 256;
/// Worker threads.
pub const THREADS_MAX: usize = 1024;
/// Bytes of a node's name.
pub const NODE_NAME_BYTES_MAX: usize = 253;
/// Times a request may have passed this node before.
pub const PASSES_MAX: usize = 16;
/// Bytes for objects in memory, 256 TiB: what an address can have.
pub const MEMORY_MAX: u64 = 1 << 48;
/// Fields of a request head: what the framework reads.
pub const HEADER_FIELDS_MAX: usize = 256;
/// Bytes of a config file.
pub const FILE_BYTES_MAX: u64 = 4 << 20;

/// A whole config file.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// `[node]`
    pub node: Node,
    /// `[listen]`
    pub listen: Listen,
    /// `[acme]`
    pub acme: Option<Acme>,
    /// `[forward]`
    pub forward: Forward,
    /// `[cache]`
    pub cache: Cache,
    /// `[log]`
    pub log: Log,
    /// `[trace]`
    pub trace: Option<Trace>,
    /// `[limits]`
    pub limits: Limits,
    /// How DNS is answered.
    pub dns: Dns,
    /// `[geo]`
    pub geo: Geo,
    /// `[rtt]`
    pub rtt: Rtt,
    /// `[resolver]`
    pub resolver: Option<LocalResolver>,
    /// `[control]`
    pub control: Control,
    /// `[plugins]`
    pub plugins: PluginTrust,
    /// `[[plugin]]`
    pub plugin: Vec<Plugin>,
    /// `[policy]`
    pub policy: Policy,
    /// `[[site]]`
    pub site: Vec<Site>,
    /// `[[cluster]]`
    pub cluster: Vec<Cluster>,
    /// `[[zone]]`
    pub zone: Vec<Zone>,
    /// `[[service]]`
    pub service: Vec<Service>,
    /// `[[warm]]`
    pub warm: Vec<warm::Warm>,
    /// By what nodes with the same config are known.
    #[serde(skip)]
    pub hashes: Hashes,
}

/// Who this node is.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Node {
    /// Its name, in Via, X-Served-By and CDN-Loop.
    pub name: String,
    /// The cluster it belongs to.
    pub cluster: Option<String>,
    /// Where compiled plugins are kept, without which they are compiled at each start, and what services keep on disk.
    pub data: Option<PathBuf>,
    /// DNS servers for the names of origins; none: the system's.
    pub resolvers: Vec<SocketAddr>,
}

/// Bounds on clients.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Limits {
    /// Worker threads; 0: one per core.
    pub threads: usize,
    /// Client connections of all listeners.
    pub connections: usize,
    /// Bytes of a request head.
    pub header_bytes: Size,
    /// Time for a whole request head, from its first byte.
    pub header_timeout: Span,
    /// Time for a TLS handshake.
    pub handshake_timeout: Span,
    /// Time an idle connection is kept.
    pub keepalive: Span,
    /// Time one write to a client may take.
    pub write_timeout: Span,
    /// Time given to running requests at shutdown.
    pub drain: Span,
    /// Idle connections kept to all origins.
    pub origin_connections_idle: usize,
    /// How often a request may have passed this node before.
    pub passes: usize,
    /// Fields of a request head.
    pub header_fields: usize,
    /// Bytes of a request target.
    pub uri_bytes: Size,
    /// Bytes of a request body.
    pub body_bytes: Option<Size>,
    /// Time between two pieces of a request body.
    pub body_timeout: Span,
    /// Bytes of a request body a second, once it has taken `body_timeout`; 0: as slow as it likes.
    pub body_rate: Size,
    /// Requests of one connection; 0: no bound.
    pub requests: u32,
    /// HTTP/2 streams at a time of one connection.
    pub h2_streams: u32,
    /// Connections of one client; 0: no bound.
    pub client_connections: usize,
    /// New connections of one client a second; 0: no bound.
    pub client_connection_rate: u32,
    /// Requests of one client a second; 0: no bound.
    pub client_request_rate: u32,
    /// How many seconds' worth of these may come at once.
    pub client_burst: Span,
    /// Clients that are not bounded.
    pub clients_exempt: Vec<Prefix>,
    /// Of all warm jobs together, at most this fast.
    pub warm_rate: Option<Bandwidth>,
    /// Warm jobs fetch nothing while the network carries more than this.
    pub warm_ceiling: Option<Bandwidth>,
    /// The network interface that is meant; all but loopback without it.
    pub warm_interface: Option<String>,
}

impl Default for Node {
    fn default() -> Self {
        Self { name: "littoral".into(), cluster: None, data: None, resolvers: Vec::new() }
    }
}

impl Default for Limits {
    fn default() -> Self {
        let seconds = |seconds| Span(Duration::from_secs(seconds));
        Self {
            threads: 0,
            connections: 65_536,
            header_bytes: Size(32 << 10),
            header_timeout: seconds(30),
            handshake_timeout: seconds(10),
            keepalive: seconds(60),
            write_timeout: seconds(60),
            drain: seconds(10),
            origin_connections_idle: 256,
            header_fields: HEADER_FIELDS_MAX,
            uri_bytes: Size(8 << 10),
            body_bytes: None,
            body_timeout: seconds(30),
            body_rate: Size(512),
            requests: 0,
            h2_streams: 100,
            client_connections: 0,
            client_connection_rate: 0,
            client_request_rate: 0,
            client_burst: seconds(10),
            clients_exempt: ["127.0.0.0/8", "::1/128"]
                .map(|own| Prefix(own.parse().expect("invariant: a prefix")))
                .into(),
            passes: 0,
            warm_rate: None,
            warm_ceiling: None,
            warm_interface: None,
        }
    }
}

impl Config {
    /// The native policy with state of its own that `policy.evict` names, where no plugin is called so.
    pub fn native_eviction(&self) -> Option<&'static str> {
        let name = self.policy.evict.as_ref()?;
        let native = littoral_evict::NAMES.iter().find(|native| *native == name);
        native.copied().filter(|_| !self.plugin.iter().any(|plugin| plugin.name == *name))
    }

    /// Reads and checks a config file. Relative paths become relative to its directory.
    ///
    /// # Errors
    /// One line with file, place and what to do.
    pub fn load(file: &Path) -> Result<Self, ConfigError> {
        let place = |problem: String| ConfigError::new(file, None, problem);
        let text = kept::text(file, FILE_BYTES_MAX).map_err(|error| place(format!("cannot read it: {error}")))?;
        Self::parse(file, &text)
    }

    /// Like [`Config::load`], for text at hand.
    ///
    /// # Errors
    /// As [`Config::load`].
    pub fn parse(file: &Path, text: &str) -> Result<Self, ConfigError> {
        let mut config: Self = toml::from_str(text).map_err(|error| ConfigError::of_toml(file, text, &error))?;
        config.resolve_paths(file.parent().unwrap_or(Path::new(".")));
        config.place_acme();
        // A host with and without its final dot is the same.
        for host in config.site.iter_mut().flat_map(|site| &mut site.hosts) {
            host.truncate(host.strip_suffix('.').unwrap_or(host).len());
        }
        config.check().map_err(|(key, problem)| ConfigError::found(file, text, &key, problem))?;
        config.hashes = Hashes::of(text);
        Ok(config)
    }

    fn resolve_paths(&mut self, base: &Path) {
        let listeners = self.listen.paths_mut();
        let plugins = self.plugin.iter_mut().flat_map(Plugin::paths_mut);
        let zones = self.zone.iter_mut().flat_map(Zone::paths_mut);
        let databases = self.geo.database.iter_mut().chain(&mut self.geo.coverage);
        let disks = self.cache.disk.iter_mut().map(|disk| &mut disk.path);
        let logs = self.log.access.iter_mut().map(|log| &mut log.file).filter(|file| **file != Path::new(STDOUT));
        let origins = self.site.iter_mut().flat_map(Site::paths_mut);
        let named = origins.chain(listeners).chain(plugins).chain(zones).chain(databases).chain(logs).chain(disks);
        let acme = self.acme.iter_mut().flat_map(|acme| [&mut acme.state, &mut acme.ca]).flatten();
        let anchors = self.resolver.iter_mut().flat_map(|resolver| &mut resolver.anchors);
        let warm = self.warm.iter_mut().flat_map(warm::Warm::paths_mut);
        for path in
            named.chain(warm).chain(acme).chain(anchors).chain(self.control.paths_mut()).chain(self.node.data.as_mut())
        {
            *path = base.join(&path);
        }
    }
}

#[cfg(test)]
mod tests;

//! What one value alone cannot show, and values that can be read but cannot work.
//!
//! An error is the key whose value is wrong (`cluster.1.at`: numbers are places in a list, from 0) and one sentence with the
//! fix. Whether a file can be used is seen when it is loaded; here only that it is there.

use std::collections::{HashMap, HashSet};
use std::fmt::Debug;
use std::hash::Hash;
use std::path::Path;

use ipnet::IpNet;
use littoral_geo::limits::{NODES_MAX, PREFIXES_MAX, SERVICES_MAX, TTL_SECONDS_MAX, ZONES_MAX};
use littoral_geo::stub::absolute;
use littoral_plugin_host::limits::TRUSTED_KEYS_MAX;

mod acme;
mod cache;
mod control;
mod dash;
mod dns;
mod durable;
mod filter;
mod forward;
mod geo;
mod limits;
mod listen;
mod log;
mod origin;
mod record;
mod resolver;
mod rtt;
mod serve;
mod site;
mod swarm;
mod trace;
mod warm;

use crate::origin::lookup::SERVERS_MAX;

use super::units::Span;
use super::{
    AT_A_TIME_MAX, CLUSTERS_MAX, Cluster, Config, HealthKind, NODE_NAME_BYTES_MAX, PASSES_MAX, PLUGINS_MAX, Service,
    THREADS_MAX, Tier, WEIGHT_MAX, error,
};

/// A key and what is wrong with its value.
type Wrong = (String, String);

impl Config {
    pub(super) fn check(&self) -> Result<(), Wrong> {
        self.check_node()?;
        self.check_listen()?;
        self.check_services()?;
        self.check_swarms()?;
        self.check_forward()?;
        self.check_acme()?;
        self.check_plugins()?;
        self.check_filters()?;
        self.check_records()?;
        self.check_durables()?;
        self.check_sites()?;
        self.check_clusters()?;
        self.check_dns()?;
        self.check_geo()?;
        self.check_rtt()?;
        self.check_resolver()?;
        self.check_control()?;
        self.check_zones()?;
        self.check_cache()?;
        self.check_log()?;
        self.check_trace()?;
        self.check_warm()?;
        self.check_client_limits()?;
        self.check_limits()
    }

    /// What can be used but does hardly what was meant: one sentence each.
    pub fn warnings(&self) -> Vec<String> {
        let plain = |server: &String| server.starts_with("nats://") && self.control.ca.is_none();
        let told_plain =
            "control.servers: what is sent to nats:// can be read on the way: use tls:// beyond this machine";
        let has_secret = self.control.password_file.is_some() && self.control.servers.iter().any(plain);
        let unheard = !self.zone.is_empty() && self.listen.dns.is_empty();
        let told = "[[zone]] is there but nothing listens for DNS: add listen.dns, or remove the zones";
        let all = [(unheard, told), (has_secret, told_plain)];
        all.into_iter().filter(|(holds, _)| *holds).map(|(_, told)| told.to_owned()).collect()
    }

    /// A name stands in fields of every response and in CDN-Loop, where it has to be a token (RFC 9110 §5.6.2).
    fn check_node(&self) -> Result<(), Wrong> {
        if self.node.resolvers.len() > SERVERS_MAX {
            return wrong(
                format!("node.resolvers.{SERVERS_MAX}"),
                format!("node.resolvers has at most {SERVERS_MAX} servers"),
            );
        }
        let name = &self.node.name;
        let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
        match (1..=NODE_NAME_BYTES_MAX).contains(&name.len()) && name.bytes().all(allowed) {
            true => Ok(()),
            false => wrong(
                "node.name",
                format!("node.name is 1 to {NODE_NAME_BYTES_MAX} letters, digits and -._~, such as \"ams1-a\""),
            ),
        }
    }

    fn check_plugins(&self) -> Result<(), Wrong> {
        at_most("plugin", self.plugin.len(), PLUGINS_MAX)?;
        at_most("plugins.trusted_keys", self.plugins.trusted_keys.len(), TRUSTED_KEYS_MAX)?;
        if self.plugins.signature.is_some() && self.plugins.trusted_keys.is_empty() {
            let problem = "plugins.signature needs plugins.trusted_keys: name a key there, or leave it out";
            return wrong("plugins.signature", problem);
        }
        let names = self.plugin.iter().enumerate().map(|(at, plugin)| (format!("plugin.{at}.name"), &plugin.name));
        unique("plugin", names)?;
        let policy = &self.policy;
        for (key, name) in [("route", &policy.route), ("rate", &policy.rate), ("evict", &policy.evict)] {
            let Some(name) = name else { continue };
            let is_native = key == "evict" && self.native_eviction().is_some();
            if !is_native && !self.plugin.iter().any(|plugin| plugin.name == *name) {
                let natives = littoral_evict::NAMES.iter().copied().filter(|_| key == "evict");
                let known = self.plugin.iter().map(|plugin| plugin.name.as_str()).chain(natives);
                let hint =
                    error::nearest(name, known).map_or_else(String::new, |near| format!("; did you mean {near:?}?"));
                return wrong(format!("policy.{key}"), format!("policy.{key} names no [[plugin]]: {name:?}{hint}"));
            }
        }
        for (at, plugin) in self.plugin.iter().enumerate() {
            if plugin.name.is_empty() {
                return wrong(format!("plugin.{at}.name"), "a plugin without a name: write one, such as \"geo\"");
            }
            if plugin.fuel == Some(0) {
                return wrong(format!("plugin.{at}.fuel"), "plugin.fuel is at least 1; leave it out for the default");
            }
        }
        Ok(())
    }

    fn check_clusters(&self) -> Result<(), Wrong> {
        at_most("cluster", self.cluster.len(), CLUSTERS_MAX)?;
        unique(
            "cluster",
            self.cluster.iter().enumerate().map(|(at, cluster)| (format!("cluster.{at}.id"), &cluster.id)),
        )?;
        for (at, cluster) in self.cluster.iter().enumerate() {
            cluster.check().map_err(|(key, problem)| {
                (format!("cluster.{at}.{key}"), format!("cluster {:?}: {problem}", cluster.id))
            })?;
        }
        let known = |id: &String| self.cluster.iter().any(|cluster| cluster.id == *id);
        if let Some(id) = self.node.cluster.as_ref().filter(|id| !self.cluster.is_empty() && !known(id)) {
            return wrong("node.cluster", format!("node.cluster names no [[cluster]]: {id:?}"));
        }
        let prefixes: usize = self.cluster.iter().map(|cluster| cluster.prefixes.len()).sum();
        if prefixes > PREFIXES_MAX {
            return wrong("cluster", format!("{prefixes} prefixes of all clusters: at most {PREFIXES_MAX}"));
        }
        let mut systems: HashMap<(u32, bool), &str> = HashMap::new();
        for (at, cluster) in self.cluster.iter().enumerate() {
            for (place, system) in cluster.systems.iter().enumerate() {
                let owner = *systems.entry((*system, cluster.tier == Tier::Deep)).or_insert(&cluster.id);
                if owner != cluster.id {
                    let problem =
                        format!("AS{system} is of cluster {owner:?} and of cluster {:?}: keep one", cluster.id);
                    return wrong(format!("cluster.{at}.systems.{place}"), problem);
                }
            }
        }
        let mut owners: HashMap<(IpNet, bool), &str> = HashMap::new();
        for (at, cluster) in self.cluster.iter().enumerate() {
            for (place, prefix) in cluster.prefixes.iter().enumerate() {
                // A deep cluster stands before a home one with the same prefix; among equals nothing decides.
                let owner = *owners.entry((*prefix, cluster.tier == Tier::Deep)).or_insert(&cluster.id);
                if owner != cluster.id {
                    let problem = format!("{prefix} is of cluster {owner:?} and of cluster {:?}: keep one", cluster.id);
                    return wrong(format!("cluster.{at}.prefixes.{place}"), problem);
                }
            }
        }
        Ok(())
    }

    fn check_zones(&self) -> Result<(), Wrong> {
        at_most("zone", self.zone.len(), ZONES_MAX)?;
        at_most("service", self.service.len(), SERVICES_MAX)?;
        let zones: Vec<String> = self.zone.iter().map(|zone| absolute(&zone.name)).collect();
        let services: Vec<String> = self.service.iter().map(|service| absolute(&service.name)).collect();
        for (what, names) in [("zone", &zones), ("service", &services)] {
            for (at, name) in names.iter().enumerate() {
                if !is_domain_name(name) {
                    let problem = format!("{what} {name:?} is no domain name: write it such as \"cdn.example.\"");
                    return wrong(format!("{what}.{at}.name"), problem);
                }
            }
            unique(what, names.iter().enumerate().map(|(at, name)| (format!("{what}.{at}.name"), name)))?;
        }
        for (at, zone) in self.zone.iter().enumerate() {
            zone.check()
                .map_err(|(key, problem)| (format!("zone.{at}.{key}"), format!("zone {:?}: {problem}", zone.name)))?;
        }
        let is_in = |name: &str, zone: &String| {
            zone == "." || name.strip_suffix(zone.as_str()).is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
        };
        for (at, (service, name)) in self.service.iter().zip(&services).enumerate() {
            service.check(&self.cluster).map_err(|(key, problem)| {
                (format!("service.{at}.{key}"), format!("service {:?}{problem}", service.name))
            })?;
            if !zones.iter().any(|zone| is_in(name, zone)) {
                let problem = format!("service {:?} is in no [[zone]] of this node: add its zone", service.name);
                return wrong(format!("service.{at}.name"), problem);
            }
        }
        Ok(())
    }

    fn check_limits(&self) -> Result<(), Wrong> {
        let limits = &self.limits;
        if !(1024..=1 << 20).contains(&limits.header_bytes.0) {
            return wrong("limits.header_bytes", "limits.header_bytes is 1KiB to 1MiB");
        }
        if limits.threads > THREADS_MAX {
            let problem = format!("limits.threads is at most {THREADS_MAX}; leave it out for one per core");
            return wrong("limits.threads", problem);
        }
        if !(1..=AT_A_TIME_MAX).contains(&limits.origin_connections_idle) {
            let problem = format!("limits.origin_connections_idle is 1 to {AT_A_TIME_MAX}");
            return wrong("limits.origin_connections_idle", problem);
        }
        if limits.passes > PASSES_MAX {
            return wrong("limits.passes", format!("limits.passes is at most {PASSES_MAX}: a loop must end"));
        }
        if limits.connections == 0 {
            return wrong("limits.connections", "limits.connections is at least 1; leave it out for 65536");
        }
        let times = [
            ("header_timeout", limits.header_timeout),
            ("handshake_timeout", limits.handshake_timeout),
            ("write_timeout", limits.write_timeout),
        ];
        for (key, time) in times {
            some_time(format!("limits.{key}"), &format!("limits.{key}"), time)?;
        }
        Ok(())
    }
}

impl Cluster {
    /// The key is one of this cluster.
    fn check(&self) -> Result<(), Wrong> {
        if self.id.is_empty() || self.id == "*" {
            return wrong("id", "its id is empty or \"*\", which stands for all: write a name");
        }
        place("at", self.at)?;
        if let Some(host) = self.host.as_ref().filter(|host| crate::site::normalise_host(host).as_ref() != Some(host)) {
            return wrong("host", format!("host {host:?}: write the name alone, lower case, without port"));
        }
        if let Some(Err(problem)) = self.time_zone.as_deref().map(crate::warm::zone) {
            return wrong("time_zone", problem);
        }
        if self.capacity.0 == 0 {
            return wrong("capacity", "a capacity of 0 sends nothing: write what it can send, such as \"40Gbps\"");
        }
        if !self.nodes.iter().any(|node| node.v4.is_some() || node.v6.is_some()) {
            return wrong("nodes", "it has no node address: add one, such as nodes = [{ v4 = \"203.0.113.10\" }]");
        }
        if self.nodes.len() > NODES_MAX {
            return wrong(format!("nodes.{NODES_MAX}"), format!("{} nodes: at most {NODES_MAX}", self.nodes.len()));
        }
        if let Some(at) = self.nodes.iter().position(|node| !(1..=WEIGHT_MAX).contains(&node.weight)) {
            return wrong(format!("nodes.{at}.weight"), format!("the weight of a node is 1 to {WEIGHT_MAX}"));
        }
        if let Some((place, prefix)) = self.prefixes.iter().enumerate().find(|(_, prefix)| **prefix != prefix.trunc()) {
            let problem = format!("{prefix} has bits beyond its length: write {}", prefix.trunc());
            return wrong(format!("prefixes.{place}"), problem);
        }
        let Some(health) = &self.health else {
            return Ok(());
        };
        if health.port == 0 {
            return wrong("health.port", "health.port is 1 to 65535");
        }
        let path = health.path();
        if !path.starts_with('/') || path.contains(|c: char| c.is_whitespace() || c.is_control()) {
            return wrong("health.path", "health.path begins with / and has no blanks, such as \"/healthz\"");
        }
        if health.kind == HealthKind::Tcp && health.path.is_some() {
            let problem = "health.path is asked for by HTTP: leave it out, or health.kind is \"http\"";
            return wrong("health.path", problem);
        }
        for (key, count) in [("down_after", health.down_after), ("up_after", health.up_after)] {
            if count == 0 {
                return wrong(format!("health.{key}"), format!("health.{key} is at least 1"));
            }
        }
        for (key, time) in [("every", health.every), ("timeout", health.timeout)] {
            some_time(format!("health.{key}"), &format!("health.{key}"), time)?;
        }
        Ok(())
    }
}

impl Service {
    /// The key is one of this service; the sentence goes on after its name.
    fn check(&self, clusters: &[Cluster]) -> Result<(), Wrong> {
        if self.clusters.is_empty() {
            return wrong("clusters", " has no clusters: name some, or \"*\" for all");
        }
        let known = |id: &String| id == "*" || clusters.iter().any(|cluster| cluster.id == *id);
        if let Some((place, id)) = self.clusters.iter().enumerate().find(|(_, id)| !known(id)) {
            return wrong(format!("clusters.{place}"), format!(" names no [[cluster]]: {id:?}"));
        }
        if !(1..=8).contains(&self.answers) {
            return wrong("answers", ": answers is 1 to 8");
        }
        if self.ttl.0.as_secs() > TTL_SECONDS_MAX.into() {
            return wrong("ttl", format!(": ttl is at most {TTL_SECONDS_MAX} seconds (RFC 2181 §8)"));
        }
        Ok(())
    }
}

fn place(key: impl Into<String>, [latitude, longitude]: [f64; 2]) -> Result<(), Wrong> {
    match (-90.0..=90.0).contains(&latitude) && (-180.0..=180.0).contains(&longitude) {
        true => Ok(()),
        false => wrong(key, "at = [latitude -90..90, longitude -180..180]"),
    }
}

fn wrong(key: impl Into<String>, problem: impl Into<String>) -> Result<(), Wrong> {
    Err((key.into(), problem.into()))
}

fn at_most(what: &str, count: usize, bound: usize) -> Result<(), Wrong> {
    match count <= bound {
        true => Ok(()),
        false => wrong(format!("{what}.{bound}"), format!("{count} times [[{what}]]: at most {bound}")),
    }
}

/// The key of an error is the second one's.
fn unique<T: Eq + Hash + Debug + Copy>(what: &str, mut values: impl Iterator<Item = (String, T)>) -> Result<(), Wrong> {
    let mut seen = HashSet::new();
    match values.find(|(_, value)| !seen.insert(*value)) {
        Some((key, value)) => wrong(key, format!("{what} {value:?} is there twice: keep one")),
        None => Ok(()),
    }
}

fn some_time(key: String, name: &str, time: Span) -> Result<(), Wrong> {
    match time.0.is_zero() {
        true => wrong(key, format!("{name} is more than 0s")),
        false => Ok(()),
    }
}

fn is_file(key: String, of: &str, path: &Path) -> Result<(), Wrong> {
    match path.is_file() {
        true => Ok(()),
        false => wrong(key, format!("{of}{} is not a readable file", path.display())),
    }
}

/// Whether an absolute name is one of the DNS, written in plain ASCII.
fn is_domain_name(name: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"-_/".contains(&byte);
    let is_label = |label: &str| (1..=63).contains(&label.len()) && label.bytes().all(allowed);
    name == "." || (name.len() <= 254 && name[..name.len() - 1].split('.').all(is_label))
}

//! The decision: which cluster for this client and this name, its addresses, and for which scope that holds.
//!
//! Here is what a decision is made of and how it changes; [`decide`] makes it. Everything is compiled into one immutable
//! snapshot that a reload replaces; cluster states are part of it. Invariant: a decision takes no lock.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use arc_swap::{ArcSwap, Guard};
use ipnet::IpNet;
use parking_lot::Mutex;
use serde::Serialize;

use crate::counters::Counters;
use crate::dnssec::{Dnssec, Signatures};
use crate::map::{As, retire};
use crate::peers::Peers;
use crate::routing::{NativeGeo, Routing};
use crate::tsig::Secret;
use crate::zone::ZoneTables;

mod decide;
mod explain;
mod nodes;
mod prices;
mod rtts;
mod service;
mod snapshot;
mod sources;
mod zones;

pub(crate) use decide::Decided;
use decide::hash;
pub use decide::{Decision, Steered};
pub use explain::{Candidate, Explanation, Filtered, Matched};
use prices::Priced;
use rtts::Heard;
pub use rtts::RttView;
use service::domain_name;
pub(crate) use snapshot::Snapshot;
use snapshot::State;
use sources::Sources;
use zones::Stirred;
pub use zones::{Reread, Unreread};

/// A cluster as configured.
#[derive(Debug, Clone, PartialEq)]
pub struct Cluster {
    /// Its name.
    pub id: String,
    /// Enter deep: serves only its own prefixes.
    pub deep: bool,
    /// Latitude and longitude in degrees.
    pub at: [f64; 2],
    /// What it can send, Mbit/s.
    pub capacity_mbps: u32,
    /// Its nodes.
    pub nodes: Vec<Node>,
    /// Whether it gets no clients any more but those whom nobody else may serve.
    pub draining: bool,
    /// Its coverage zone.
    pub prefixes: Vec<IpNet>,
    /// Autonomous systems of which it serves what no coverage zone has.
    pub systems: Vec<u32>,
}

/// A node of a cluster.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Node {
    /// Its IPv4 address.
    pub v4: Option<Ipv4Addr>,
    /// Its IPv6 address.
    pub v6: Option<Ipv6Addr>,
    /// Its share of the clients, beside those of the other nodes; at least 1.
    pub weight: u32,
}

impl Cluster {
    /// Addresses of its nodes, in their order.
    fn addresses(&self) -> impl Iterator<Item = IpAddr> + '_ {
        self.nodes.iter().flat_map(|node| [node.v4.map(IpAddr::V4), node.v6.map(IpAddr::V6)]).flatten()
    }

    fn serves_as(&self) -> As {
        if self.deep { As::Deep } else { As::Home }
    }
}

/// What the operator knows better than coverage zones and databases.
#[derive(Debug, Clone, PartialEq)]
pub struct Override {
    /// Of which addresses.
    pub prefix: IpNet,
    /// The cluster that serves them, whatever else says.
    pub cluster: Option<String>,
    /// Where they are: latitude and longitude in degrees.
    pub at: Option<[f64; 2]>,
}

/// A zone as configured.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct ZoneSource {
    /// Its name.
    pub name: String,
    /// Its master file, or a file of tables when it ends in `.toml`; where the config has its tables, how to name them in errors.
    pub file: PathBuf,
    /// Its tables, where the config has them.
    pub tables: Option<Arc<ZoneTables>>,
    /// How it is signed; `None`: not at all.
    pub dnssec: Option<Dnssec>,
    /// Servers that it comes from and goes to.
    pub peers: Peers,
}

impl ZoneSource {
    /// The file that is written while the zone is served.
    pub(crate) fn written(&self) -> Option<&Path> {
        let journal = self.peers.update.as_ref().map(|update| update.journal.as_path());
        journal.or(self.peers.primary.as_ref().map(|_| self.file.as_path()))
    }
}

/// A service as configured.
#[derive(Debug, Clone, PartialEq)]
pub struct Service {
    /// Its name.
    pub name: String,
    /// Its candidates by name; `*` is all.
    pub clusters: Vec<String>,
    /// TTL of its answers.
    pub ttl: Duration,
    /// Addresses in one answer.
    pub answers: u8,
}

/// All of it.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct GeoConfig {
    /// MMDB files, most precise first.
    pub databases: Vec<PathBuf>,
    /// How old they may be before they are warned about when they are read; nothing: as old as they like.
    pub database_max_age: Duration,
    /// Files of coverage zones.
    pub coverage: Vec<PathBuf>,
    /// Corrections.
    pub overrides: Vec<Override>,
    /// Clusters; their order gives the indexes.
    pub clusters: Vec<Cluster>,
    /// Shared secrets that other servers sign with.
    pub secrets: Vec<Secret>,
    /// Zones.
    pub zones: Vec<ZoneSource>,
    /// Services.
    pub services: Vec<Service>,
}

impl GeoConfig {
    /// The indexes of the clusters by their names.
    fn indexes(&self) -> HashMap<&str, u16> {
        self.clusters.iter().map(|cluster| cluster.id.as_str()).zip(0..).collect()
    }
}

/// Why a config cannot be used: one line.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct GeoError(pub String);

/// A cluster as it is.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ClusterView {
    /// Its name.
    pub id: String,
    /// `deep` or `home`.
    pub tier: &'static str,
    /// Whether it answers its probes.
    pub healthy: bool,
    /// Whether it is being emptied.
    pub draining: bool,
    /// By whose word, for people.
    pub draining_by: Option<String>,
    /// Whether it has no room: from a load of 1000 permille on, until it is below 900.
    pub full: bool,
    /// Its load in permille.
    pub load_permille: u16,
    /// Latitude and longitude.
    pub at: [f64; 2],
    /// Addresses of its nodes.
    pub nodes: Vec<IpAddr>,
    /// Those of them that are down.
    pub nodes_down: Vec<IpAddr>,
}

/// The map as it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct MapView {
    /// Grows each time it is compiled.
    pub generation: u64,
    /// Intervals of both families.
    pub intervals: usize,
    /// Memory, that of what was read of databases with it.
    pub bytes: usize,
}

/// The director.
pub struct Director {
    snapshot: ArcSwap<Snapshot>,
    routing: Arc<dyn Routing>,
    native: NativeGeo,
    version: AtomicU64,
    /// One reload after another: reading files and compiling may take seconds.
    reloading: Mutex<()>,
    /// One change of the snapshot after another: moments.
    changing: Mutex<()>,
    /// Round-trip times as they were told. Locked before `changing`.
    heard: Mutex<Heard>,
    /// What clusters cost. Locked before `changing`.
    priced: Mutex<Priced>,
    counters: Counters,
    signatures: Signatures,
    /// Told when a zone has changed, or a primary says that one of its has.
    stirred: Stirred,
}

impl Director {
    /// A director with its warnings.
    ///
    /// # Errors
    /// One line: file, place and what to do.
    pub fn new(config: GeoConfig, routing: Arc<dyn Routing>) -> Result<(Self, Vec<String>), GeoError> {
        let (snapshot, warnings) = Snapshot::new(config, None)?;
        let director = Self {
            snapshot: ArcSwap::from_pointee(snapshot),
            routing,
            native: NativeGeo::default(),
            version: AtomicU64::new(0),
            reloading: Mutex::new(()),
            changing: Mutex::new(()),
            heard: Mutex::default(),
            priced: Mutex::default(),
            counters: Counters::default(),
            signatures: Signatures::default(),
            stirred: Stirred::default(),
        };
        director.push();
        Ok((director, warnings))
    }

    /// Replaces config, zones and map; known clusters keep their state, broken files of the map their last good content.
    ///
    /// # Errors
    /// As [`Director::new`]; then nothing has changed.
    pub fn reload(&self, config: GeoConfig) -> Result<Vec<String>, GeoError> {
        let _reloading = self.reloading.lock();
        let (snapshot, warnings) = Snapshot::new(config, Some(&self.snapshot.load_full()))?;
        self.replace(snapshot);
        Ok(warnings)
    }

    /// Reads the databases and coverage files that have changed and compiles the map anew, while the old one serves; does
    /// nothing when none has. With `Some` come warnings: a broken file keeps its last good content.
    ///
    /// # Errors
    /// One line: why the old map stays.
    pub fn refresh(&self) -> Result<Option<Vec<String>>, GeoError> {
        let _reloading = self.reloading.lock();
        let old = self.snapshot.load_full();
        if !old.sources.have_changed() {
            return Ok(None);
        }
        let (sources, mut warnings) = Sources::read(&old.config, &old.sources)?;
        let (map, more) = sources.map(&old.config)?;
        warnings.extend(more);
        self.replace(Snapshot { map: Arc::new(map), sources: Arc::new(sources), ..(*old).clone() });
        Ok(Some(warnings))
    }

    /// Puts a new snapshot in force, with the state that the clusters are in now.
    fn replace(&self, mut snapshot: Snapshot) {
        let heard = self.heard.lock();
        snapshot.rtts = self.rtts_for(&heard, &snapshot.config);
        let changing = self.changing.lock();
        let old = self.snapshot.load_full();
        snapshot.prices = old.prices.filter(|_| prices::same_clusters(&old.config, &snapshot.config));
        let known = |cluster: &Cluster| old.config.clusters.iter().position(|known| known.id == cluster.id);
        let config = snapshot.config.clone();
        let states =
            config.clusters.iter().map(|cluster| known(cluster).map(|at| old.states[at].clone()).unwrap_or_default());
        snapshot = snapshot.with_states(states.collect());
        for (index, cluster) in config.clusters.iter().enumerate() {
            let down = known(cluster).map_or(&[][..], |at| old.orders.down(at));
            if let Some(orders) = snapshot.orders.with_down(index, cluster, down) {
                snapshot.orders = Arc::new(orders);
            }
        }
        snapshot.generation = old.generation + 1;
        self.snapshot.store(Arc::new(snapshot));
        self.push();
        self.stirred.all();
        drop((changing, heard));
        retire(old);
    }

    /// Its databases, and how long ago each was made.
    pub fn databases(&self) -> Vec<(PathBuf, Duration)> {
        let of = |database: &Arc<crate::database::Database>| (database.path().to_owned(), database.age());
        self.snapshot.load().sources.databases.iter().map(of).collect()
    }

    /// Tells how a cluster is. `false` when no cluster has this id.
    pub fn set_cluster_state(&self, id: &str, healthy: bool, load_permille: u16) -> bool {
        let _changing = self.changing.lock();
        let old = self.snapshot.load_full();
        let Some(at) = old.config.clusters.iter().position(|cluster| cluster.id == id) else {
            return false;
        };
        let state = old.states[at].with(healthy, load_permille);
        if old.states[at] != state {
            let mut states = old.states.clone();
            states[at] = state;
            self.snapshot.store(Arc::new(old.with_states(states)));
            self.push();
        }
        true
    }

    /// Tells that a cluster is to be emptied beside what the config says, and why (a few words for people), or `None`: that it is not. It gets no clients
    /// any more but those whom nobody else may serve. `false` when no cluster has this id.
    pub fn set_draining(&self, id: &str, why: Option<&str>) -> bool {
        let _changing = self.changing.lock();
        let old = self.snapshot.load_full();
        let Some(at) = old.config.clusters.iter().position(|cluster| cluster.id == id) else {
            return false;
        };
        if old.states[at].drained.as_deref() != why {
            let mut states = old.states.clone();
            states[at].drained = why.map(Arc::from);
            self.snapshot.store(Arc::new(old.with_states(states)));
            self.push();
        }
        true
    }

    /// Tells which addresses of a cluster's nodes are down: they are not answered while others of it are. Those that it does not have
    /// do not matter. `false` when no cluster has this id.
    pub fn set_nodes_down(&self, id: &str, down: &[IpAddr]) -> bool {
        let _changing = self.changing.lock();
        let old = self.snapshot.load_full();
        let Some(at) = old.config.clusters.iter().position(|cluster| cluster.id == id) else {
            return false;
        };
        if let Some(orders) = old.orders.with_down(at, &old.config.clusters[at], down) {
            self.snapshot.store(Arc::new(Snapshot { orders: Arc::new(orders), ..(*old).clone() }));
        }
        true
    }

    fn push(&self) {
        let version = self.version.fetch_add(1, Relaxed) + 1;
        let snapshot = self.snapshot.load();
        let rows = snapshot.rows();
        self.native.push(version, &rows);
        self.routing.push(version, &rows);
    }

    /// What was counted.
    pub fn counters(&self) -> &Counters {
        &self.counters
    }

    /// The signatures that are kept.
    pub(crate) fn signatures(&self) -> &Signatures {
        &self.signatures
    }

    /// How many signatures are kept.
    pub fn signatures_held(&self) -> usize {
        self.signatures.count()
    }

    pub(crate) fn snapshot(&self) -> Guard<Arc<Snapshot>> {
        self.snapshot.load()
    }

    /// The map as it is.
    pub fn map(&self) -> MapView {
        let snapshot = self.snapshot.load();
        let databases: usize = snapshot.sources.databases.iter().map(|database| database.bytes()).sum();
        MapView {
            generation: snapshot.generation,
            intervals: snapshot.map.intervals(),
            bytes: snapshot.map.bytes() + databases,
        }
    }

    /// The clusters as they are.
    pub fn clusters(&self) -> Vec<ClusterView> {
        let snapshot = self.snapshot.load();
        let view = |(index, (cluster, state)): (usize, (&Cluster, &State))| ClusterView {
            id: cluster.id.clone(),
            tier: if cluster.deep { "deep" } else { "home" },
            healthy: state.healthy,
            draining: state.drains(cluster),
            draining_by: state.drained_by(cluster).map(str::to_owned),
            full: state.full,
            load_permille: state.load_permille,
            at: cluster.at,
            nodes: cluster.addresses().collect(),
            nodes_down: snapshot.orders.down(index).to_vec(),
        };
        snapshot.config.clusters.iter().zip(&snapshot.states).enumerate().map(view).collect()
    }
}

#[cfg(test)]
mod tests;

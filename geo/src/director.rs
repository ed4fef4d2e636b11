//! The decision: which cluster for this client and this name, its addresses, and for which scope that holds.
//!
//! Everything is compiled into one immutable snapshot that a reload replaces; cluster states are part of it. A decision
//! takes no lock. The routing policy is asked once, its answer is checked, and the native policy answers where it will not
//! do.

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use arc_swap::ArcSwap;
use hickory_proto::rr::LowerName;
use ipnet::IpNet;
use parking_lot::Mutex;
use serde::Serialize;

use crate::address::{canonical, masked};
use crate::counters::{Counters, count};
use crate::limits::{CLUSTERS_MAX, SERVICES_MAX, ZONES_MAX};
use crate::map::{As, Covered, Map, Spot, retire};
use crate::routing::{Choice, ClusterRow, Flow, NONE, NativeGeo, Routing, unit_vector};
use crate::zone::Zones;

mod explain;
mod service;
mod sources;

pub use explain::Explanation;
use service::{Placed, domain_name};
use sources::Sources;

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
    /// Addresses of its nodes.
    pub nodes: Vec<(Option<Ipv4Addr>, Option<Ipv6Addr>)>,
    /// Its coverage zone.
    pub prefixes: Vec<IpNet>,
    /// Autonomous systems of which it serves what no coverage zone has.
    pub systems: Vec<u32>,
}

impl Cluster {
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
#[derive(Debug, Clone, PartialEq)]
pub struct ZoneSource {
    /// Its name.
    pub name: String,
    /// Its master file.
    pub file: PathBuf,
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
    /// Files of coverage zones.
    pub coverage: Vec<PathBuf>,
    /// Corrections.
    pub overrides: Vec<Override>,
    /// Clusters; their order gives the indexes.
    pub clusters: Vec<Cluster>,
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

/// What was decided.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decision {
    /// Cluster indexes in order of preference; none when no cluster of the service may serve this client.
    pub clusters: Vec<u16>,
    /// For how long a prefix around the client this holds.
    pub scope: u8,
    /// TTL in seconds.
    pub ttl_s: u32,
    /// What decided; one of [`Counters::REASONS`].
    pub reason: &'static str,
}

/// A decision and what it was made from.
pub(crate) struct Decided {
    pub(crate) decision: Decision,
    spot: Spot,
    /// The candidate whose coverage zone the client is in.
    zone: Option<u16>,
}

/// A cluster as it is.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ClusterView {
    /// Its name.
    pub id: String,
    /// `deep` or `home`.
    pub tier: &'static str,
    /// Whether it answers its probes.
    pub healthy: bool,
    /// Its load in permille.
    pub load_permille: u16,
    /// Latitude and longitude.
    pub at: [f64; 2],
    /// Addresses of its nodes.
    pub nodes: Vec<IpAddr>,
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
    counters: Counters,
}

/// What a reload replaces.
#[derive(Clone)]
pub(crate) struct Snapshot {
    config: Arc<GeoConfig>,
    rows: Vec<ClusterRow>,
    map: Arc<Map>,
    /// How often a map was compiled.
    generation: u64,
    sources: Arc<Sources>,
    services: Arc<HashMap<LowerName, Placed>>,
    pub(crate) zones: Arc<Zones>,
}

impl Director {
    /// A director with its warnings.
    ///
    /// # Errors
    /// One line: file, place and what to do.
    pub fn new(config: GeoConfig, routing: Arc<dyn Routing>) -> Result<(Self, Vec<String>), GeoError> {
        let (snapshot, warnings) = Snapshot::new(config, &Sources::default())?;
        let director = Self {
            snapshot: ArcSwap::from_pointee(snapshot),
            routing,
            native: NativeGeo::default(),
            version: AtomicU64::new(0),
            reloading: Mutex::new(()),
            changing: Mutex::new(()),
            counters: Counters::default(),
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
        let (snapshot, warnings) = Snapshot::new(config, &self.snapshot.load_full().sources)?;
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
        let changing = self.changing.lock();
        let old = self.snapshot.load_full();
        for (row, cluster) in snapshot.rows.iter_mut().zip(&snapshot.config.clusters) {
            let known = old.config.clusters.iter().position(|known| known.id == cluster.id);
            if let Some(known) = known.map(|at| &old.rows[at]) {
                (row.healthy, row.load_permille, row.rtt_us) = (known.healthy, known.load_permille, known.rtt_us);
            }
        }
        snapshot.generation = old.generation + 1;
        self.snapshot.store(Arc::new(snapshot));
        self.push();
        drop(changing);
        retire(old);
    }

    /// Tells how a cluster is. `false` when no cluster has this id.
    pub fn set_cluster_state(&self, id: &str, healthy: bool, load_permille: u16) -> bool {
        let _changing = self.changing.lock();
        let old = self.snapshot.load_full();
        let Some(at) = old.config.clusters.iter().position(|cluster| cluster.id == id) else {
            return false;
        };
        let (was, row) = (old.rows[at], ClusterRow { healthy, load_permille, ..old.rows[at] });
        if was != row {
            let mut rows = old.rows.clone();
            rows[at] = row;
            self.snapshot.store(Arc::new(Snapshot { rows, ..(*old).clone() }));
            self.push();
        }
        true
    }

    fn push(&self) {
        let version = self.version.fetch_add(1, Relaxed) + 1;
        let snapshot = self.snapshot.load();
        self.native.push(version, &snapshot.rows);
        self.routing.push(version, &snapshot.rows);
    }

    /// What was counted.
    pub fn counters(&self) -> &Counters {
        &self.counters
    }

    pub(crate) fn snapshot(&self) -> Arc<Snapshot> {
        self.snapshot.load_full()
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
        let view = |(cluster, row): (&Cluster, &ClusterRow)| ClusterView {
            id: cluster.id.clone(),
            tier: if cluster.deep { "deep" } else { "home" },
            healthy: row.healthy,
            load_permille: row.load_permille,
            at: cluster.at,
            nodes: cluster
                .nodes
                .iter()
                .flat_map(|(v4, v6)| [v4.map(IpAddr::V4), v6.map(IpAddr::V6)])
                .flatten()
                .collect(),
        };
        snapshot.config.clusters.iter().zip(&snapshot.rows).map(view).collect()
    }

    /// The decision for `client` and the service `name` (case and final dot do not matter); `None` when it is no service.
    pub fn decide(&self, name: &str, client: IpAddr) -> Option<Decision> {
        let snapshot = self.snapshot.load();
        self.decide_in(&snapshot, &domain_name(name)?, client).map(|decided| decided.decision)
    }

    pub(crate) fn decide_in(&self, snapshot: &Snapshot, name: &LowerName, client: IpAddr) -> Option<Decided> {
        let service = snapshot.services.get(name)?;
        let client = canonical(client);
        let (spot, scope) = snapshot.map.find(client);
        let covered = spot.covered;
        let (mut candidates, any_up) = snapshot.candidates(service, covered);
        // What the operator prescribes is not the policy's to decide, as long as it is there.
        let forced = covered.forced.filter(|forced| any_up && candidates >> forced & 1 == 1);
        if let Some(forced) = forced {
            candidates = 1 << forced;
        }
        let zone = [forced, covered.deep, covered.home].into_iter().flatten().find(|zone| candidates >> zone & 1 == 1);
        let place = spot.place.at.unwrap_or_default();
        let flow = flow(service, masked(client, scope), place, zone.unwrap_or(NONE), candidates);
        let choice = self.choose(&flow);
        let clusters: Vec<u16> = choice.clusters.into_iter().take_while(|cluster| *cluster != NONE).collect();
        let reason = match clusters.first().copied() {
            None => "no-candidate",
            _ if !any_up => "all-down",
            first if first == forced => "override",
            first if first == covered.deep => "deep",
            first if first == zone => "coverage",
            _ if spot.place.at.is_some() => "geo",
            _ => "load",
        };
        let ttl_s = if choice.ttl_s == 0 { service.ttl_s } else { u32::from(choice.ttl_s) };
        Some(Decided { decision: Decision { clusters, scope, ttl_s, reason }, spot, zone })
    }

    /// Asks the policy and checks its answer: clusters must be candidates, each once. Else the native policy answers.
    /// Without candidates nobody is asked.
    fn choose(&self, flow: &Flow) -> Choice {
        const NOBODY: Choice = Choice { clusters: [NONE; 3], ttl_s: 0 };
        if flow.candidates == 0 {
            return NOBODY;
        }
        let is_candidate = |cluster: u16| usize::from(cluster) < CLUSTERS_MAX && flow.candidates >> cluster & 1 == 1;
        if let Some(choice) = self.routing.decide(flow) {
            let named: Vec<u16> = choice.clusters.into_iter().take_while(|cluster| *cluster != NONE).collect();
            let distinct = named.iter().enumerate().all(|(at, cluster)| !named[..at].contains(cluster));
            if !named.is_empty() && distinct && named.iter().all(|cluster| is_candidate(*cluster)) {
                return choice;
            }
            count(&self.counters.refused_choices);
        }
        self.native.decide(flow).unwrap_or(NOBODY)
    }

    /// Addresses of a decision for one family: the nodes of its first cluster that has any, turned by `turn`. The scope
    /// promises a cluster; which of its nodes come, and in which order, is drawn anew for each answer.
    pub(crate) fn addresses(
        &self,
        snapshot: &Snapshot,
        name: &LowerName,
        decision: &Decision,
        v6: bool,
        turn: u64,
    ) -> Vec<IpAddr> {
        let Some(service) = snapshot.services.get(name) else {
            return Vec::new();
        };
        let of = |index: &u16| -> Vec<IpAddr> {
            let nodes = snapshot.config.clusters.get(usize::from(*index)).map_or(&[][..], |cluster| &cluster.nodes);
            let pick = |(v4, v6_address): &(Option<Ipv4Addr>, Option<Ipv6Addr>)| {
                if v6 { v6_address.map(IpAddr::V6) } else { v4.map(IpAddr::V4) }
            };
            nodes.iter().filter_map(pick).collect()
        };
        let mut found = decision.clusters.iter().map(of).find(|nodes| !nodes.is_empty()).unwrap_or_default();
        if !found.is_empty() {
            let nodes = found.len();
            found.rotate_left((turn % nodes as u64) as usize);
            found.truncate(service.answers);
        }
        found
    }
}

impl Snapshot {
    fn new(config: GeoConfig, old: &Sources) -> Result<(Self, Vec<String>), GeoError> {
        let bounds = [
            ("clusters", config.clusters.len(), CLUSTERS_MAX),
            ("zones", config.zones.len(), ZONES_MAX),
            ("services", config.services.len(), SERVICES_MAX),
        ];
        if let Some((what, count, bound)) = bounds.into_iter().find(|(_, count, bound)| count > bound) {
            return Err(GeoError(format!("{count} {what}: at most {bound}")));
        }
        let mut zones = Zones::load(&config.zones)?;
        let services = Arc::new(service::place(&config.services, &config.clusters, &mut zones)?);
        let (sources, mut warnings) = Sources::read(&config, old)?;
        let (map, more) = sources.map(&config)?;
        warnings.extend(more);
        let rows = config.clusters.iter().enumerate().map(|(index, cluster)| row(index, cluster)).collect();
        let (map, sources, generation) = (Arc::new(map), Arc::new(sources), 0);
        let (zones, config) = (Arc::new(zones), Arc::new(config));
        Ok((Self { rows, map, generation, sources, services, zones, config }, warnings))
    }

    /// The clusters a client may get, and whether any of them is up: healthy ones, deep ones only in their own prefixes;
    /// when none is up, all of them, because an answer may be wrong but no answer surely is.
    fn candidates(&self, service: &Placed, covered: Covered) -> (u64, bool) {
        let allowed = |row: &&ClusterRow| {
            let its_own = covered.deep == Some(row.index) || covered.forced == Some(row.index);
            service.candidates >> row.index & 1 == 1 && (!row.deep || its_own)
        };
        let mask = |rows: &mut dyn Iterator<Item = &ClusterRow>| rows.fold(0, |mask, row| mask | 1 << row.index);
        let up = mask(&mut self.rows.iter().filter(allowed).filter(|row| row.healthy));
        if up != 0 { (up, true) } else { (mask(&mut self.rows.iter().filter(allowed)), false) }
    }
}

fn row(index: usize, cluster: &Cluster) -> ClusterRow {
    ClusterRow {
        index: u16::try_from(index).unwrap_or(NONE),
        deep: cluster.deep,
        healthy: true,
        place: unit_vector(cluster.at[0], cluster.at[1]),
        capacity_mbps: cluster.capacity_mbps,
        load_permille: 0,
        rtt_us: 0,
    }
}

fn flow(service: &Placed, prefix: IpAddr, place: [f32; 3], zone: u16, candidates: u64) -> Flow {
    let bits = match prefix {
        IpAddr::V4(v4) => u128::from(v4.to_bits()),
        IpAddr::V6(v6) => v6.to_bits(),
    };
    let now_ms = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |now| now.as_millis() as u64);
    // The same for a client and a service, so that a policy that uses it stays within the scope's promise.
    let rand = hash(&(bits, service.key));
    Flow { key: service.key, addr_hi: (bits >> 64) as u64, addr_lo: bits as u64, place, zone, candidates, now_ms, rand }
}

fn hash(value: &impl Hash) -> u64 {
    let mut hasher = DefaultHasher::new();
    value.hash(&mut hasher);
    hasher.finish()
}

fn dot(a: [f32; 3], b: [f32; 3]) -> f32 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

#[cfg(test)]
mod tests;

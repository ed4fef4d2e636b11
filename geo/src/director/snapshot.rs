//! What a decision reads: config, clusters as they are, map, services and zones, replaced as one.
//!
//! Invariant: a snapshot never changes; the masks of clusters say what their states say.

use std::sync::Arc;

use hickory_proto::rr::LowerName;

use super::nodes::Orders;
use super::prices::Prices;
use super::service::{self, Placed, Services};
use super::sources::Sources;
use super::{Cluster, GeoConfig, GeoError};
use crate::limits::{CLUSTERS_MAX, NODES_MAX, SERVICES_MAX, ZONES_MAX};
use crate::map::{Covered, Map};
use crate::peers::{self, Keys};
use crate::routing::{ClusterRow, NONE, unit_vector};
use crate::rtt::Rtts;
use crate::zone::Zones;

/// A cluster with this load, in permille, has no room for further clients.
const FULL_PERMILLE: u16 = 1000;
/// A full one has room again below this load, so that it does not come and go.
const ROOM_PERMILLE: u16 = 900;

/// What a reload replaces.
#[derive(Clone)]
pub(crate) struct Snapshot {
    pub(super) config: Arc<GeoConfig>,
    pub(super) states: Vec<State>,
    pub(super) masks: Masks,
    pub(super) orders: Arc<Orders>,
    pub(super) map: Arc<Map>,
    /// How often a map was compiled.
    pub(super) generation: u64,
    pub(super) sources: Arc<Sources>,
    pub(super) services: Arc<Services>,
    pub(crate) zones: Arc<Zones>,
    /// Shared secrets.
    pub(crate) keys: Arc<Keys>,
    /// Round-trip times, by the clusters of this config.
    pub(super) rtts: Arc<Rtts>,
    /// What clusters cost, for a policy that reads it.
    pub(super) prices: Option<Prices>,
}

/// How a cluster is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct State {
    pub(super) healthy: bool,
    pub(super) full: bool,
    pub(super) load_permille: u16,
    /// Whether it ever told a load: who never does has none that could be priced.
    pub(super) tells: bool,
    /// Why it is being emptied, where somebody has said so beside the config.
    pub(super) drained: Option<Arc<str>>,
}

/// Clusters by their indexes, a bit each.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Masks {
    /// Serve everybody.
    pub(super) home: u64,
    pub(super) healthy: u64,
    pub(super) draining: u64,
    pub(super) full: u64,
}

/// Who is left of a service's clusters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Left {
    /// Those that are up and have room.
    Good,
    /// None is; those that are up.
    Crowded,
    /// None is; all that may serve, because an answer may be wrong but no answer surely is.
    Down,
}

impl Default for State {
    fn default() -> Self {
        Self { healthy: true, full: false, load_permille: 0, tells: false, drained: None }
    }
}

impl State {
    /// As it is told now.
    pub(super) fn with(&self, healthy: bool, load_permille: u16) -> Self {
        let bound = if self.full { ROOM_PERMILLE } else { FULL_PERMILLE };
        let tells = self.tells || load_permille > 0;
        Self { healthy, full: load_permille >= bound, load_permille, tells, drained: self.drained.clone() }
    }

    /// Whether it is being emptied, by whoever's word.
    pub(super) fn drains(&self, cluster: &Cluster) -> bool {
        cluster.draining || self.drained.is_some()
    }

    /// By whose, for people.
    pub(super) fn drained_by<'a>(&'a self, cluster: &Cluster) -> Option<&'a str> {
        self.drained.as_deref().or(cluster.draining.then_some("by the config"))
    }
}

impl Snapshot {
    pub(super) fn new(config: GeoConfig, old: Option<&Self>) -> Result<(Self, Vec<String>), GeoError> {
        let nodes = config.clusters.iter().map(|cluster| cluster.nodes.len()).max().unwrap_or(0);
        let bounds = [
            ("clusters", config.clusters.len(), CLUSTERS_MAX),
            ("nodes of a cluster", nodes, NODES_MAX),
            ("zones", config.zones.len(), ZONES_MAX),
            ("services", config.services.len(), SERVICES_MAX),
        ];
        if let Some((what, count, bound)) = bounds.into_iter().find(|(_, count, bound)| count > bound) {
            return Err(GeoError(format!("{count} {what}: at most {bound}")));
        }
        let no_zones = Zones::default();
        let keys = peers::keys(&config.secrets).map_err(GeoError)?;
        let (mut zones, mut warnings) = Zones::load(&config.zones, &keys, old.map_or(&no_zones, |old| &old.zones))?;
        let services = service::place(&config.services, &config.clusters, &mut zones)?;
        let none = Sources::default();
        let (sources, of_files) = Sources::read(&config, old.map_or(&none, |old| &old.sources))?;
        let (map, of_map) = sources.map(&config)?;
        warnings.extend(of_files.into_iter().chain(of_map));
        let snapshot = Self {
            states: Vec::new(),
            masks: Masks::default(),
            orders: Arc::new(Orders::of(&config.clusters)),
            map: Arc::new(map),
            generation: 0,
            sources: Arc::new(sources),
            services: Arc::new(services),
            zones: Arc::new(zones),
            keys: Arc::new(keys),
            rtts: Arc::default(),
            prices: None,
            config: Arc::new(config),
        };
        let states = vec![State::default(); snapshot.config.clusters.len()];
        Ok((snapshot.with_states(states), warnings))
    }

    /// The same with other states of its clusters.
    pub(super) fn with_states(&self, states: Vec<State>) -> Self {
        let mut masks = Masks::default();
        for (index, (cluster, state)) in self.config.clusters.iter().zip(&states).enumerate() {
            let bit = |is: bool| u64::from(is) << index;
            masks.home |= bit(!cluster.deep);
            masks.healthy |= bit(state.healthy);
            masks.draining |= bit(state.drains(cluster));
            masks.full |= bit(state.full);
        }
        Self { states, masks, ..self.clone() }
    }

    /// Whether a service has this name.
    pub(crate) fn is_service(&self, name: &LowerName) -> bool {
        self.services.by_name.contains_key(name)
    }

    /// The service of this name (wire form, small letters).
    pub(crate) fn service(&self, name: &[u8]) -> Option<&Placed> {
        self.services.by_wire.get(name).map(|service| &**service)
    }

    /// Clusters by their names, a bit each; those that are not of this config are passed over.
    pub(super) fn mask(&self, names: &[String]) -> u64 {
        let bits = self.config.clusters.iter().enumerate().filter(|(_, cluster)| names.contains(&cluster.id));
        bits.fold(0, |mask, (at, _)| mask | 1 << at)
    }

    /// The clusters as a policy is told of them.
    pub(super) fn rows(&self) -> Vec<ClusterRow> {
        let row = |(index, (cluster, state)): (usize, (&Cluster, &State))| ClusterRow {
            index: u16::try_from(index).unwrap_or(NONE),
            deep: cluster.deep,
            healthy: state.healthy && !state.drains(cluster),
            place: unit_vector(cluster.at[0], cluster.at[1]),
            capacity_mbps: cluster.capacity_mbps,
            load_permille: state.load_permille,
            rtt_us: 0,
            price_us: self.prices.map(|prices| prices.us[index]),
            name: cluster.id.clone(),
        };
        self.config.clusters.iter().zip(&self.states).enumerate().map(row).collect()
    }

    /// The clusters that may serve such a client at all: those of the service, deep ones only in their own prefixes.
    pub(super) fn allowed(&self, service: &Placed, covered: Covered) -> u64 {
        let own = [covered.deep, covered.forced].into_iter().flatten().fold(0, |mask: u64, own| mask | 1 << own);
        service.candidates & (self.masks.home | own)
    }

    /// Those of them that a client may get now. Who is full is left out at a stroke, unless a policy leaves it by price.
    pub(super) fn candidates(&self, allowed: u64) -> (u64, Left) {
        let up = allowed & self.masks.healthy;
        let full = if self.prices.is_some() { 0 } else { self.masks.full };
        let good = up & !self.masks.draining & !full;
        match (good, up & !self.masks.draining, up) {
            (0, 0, 0) => (allowed, Left::Down),
            (0, 0, up) => (up, Left::Crowded),
            (0, full, _) => (full, Left::Crowded),
            (good, ..) => (good, Left::Good),
        }
    }
}

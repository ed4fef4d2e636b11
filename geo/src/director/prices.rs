//! Prices of clusters in a director: what they are reckoned from, and how they come into force.
//!
//! Invariant: prices in force are by the cluster indexes of the config beside them; there are none while the policy does not read them, or
//! nothing is measured.

use std::sync::Arc;

use super::snapshot::Snapshot;
use super::{Director, GeoConfig};
use crate::limits::CLUSTERS_MAX;
use crate::map::Map;
use crate::price::{Market, Model, Row, Standing};
use crate::routing::expected_us;
use crate::rtt::Rtts;

/// Prices in force.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Prices {
    /// Microseconds by cluster.
    pub(super) us: [u32; CLUSTERS_MAX],
    /// The clusters whose answers hold for less, a bit each.
    pub(super) settling: u64,
}

/// The market, and what its model was made of.
#[derive(Default)]
pub(super) struct Priced {
    market: Market,
    of: Option<(Arc<GeoConfig>, Arc<Map>, Arc<Rtts>)>,
}

impl Director {
    /// Lets time pass for the prices of clusters: to be called every second or so with the Unix time in milliseconds, not by a thread that
    /// answers. Does nothing unless the policy [reads them](crate::Routing::reads_prices) and round-trip times are known.
    pub fn price(&self, now_ms: u64) {
        let mut priced = self.priced.lock();
        let snapshot = self.snapshot.load_full();
        let mut prices = None;
        if self.routing.reads_prices() && !snapshot.rtts.is_empty() {
            priced.follow(&snapshot, now_ms);
            let ttl_s = snapshot.services.by_wire.values().map(|service| service.ttl_s).max().unwrap_or(1);
            priced.market.tick(now_ms, &standings(&snapshot), ttl_s);
            let (us, settling) = (priced.market.prices(), priced.market.settling());
            prices = (!priced.market.is_empty()).then_some(Prices { us, settling });
        } else {
            *priced = Priced::default();
        }
        if snapshot.prices == prices {
            return;
        }
        let _changing = self.changing.lock();
        let old = self.snapshot.load_full();
        // Of another config they are not; a second later they will be.
        if same_clusters(&old.config, &snapshot.config) {
            self.snapshot.store(Arc::new(Snapshot { prices, ..(*old).clone() }));
            self.push();
        }
    }

    /// Microseconds that each cluster is made out to be farther away, by the order of the config; none while nothing is priced.
    pub fn prices_us(&self) -> Option<Vec<u32>> {
        let snapshot = self.snapshot.load();
        let prices = snapshot.prices.as_ref()?;
        Some(prices.us[..snapshot.config.clusters.len()].to_vec())
    }
}

/// Whether indexes mean the same clusters.
pub(super) fn same_clusters(one: &GeoConfig, other: &GeoConfig) -> bool {
    one.clusters.iter().map(|cluster| &cluster.id).eq(other.clusters.iter().map(|cluster| &cluster.id))
}

impl Priced {
    /// Makes the model anew when config, map or times are others.
    fn follow(&mut self, snapshot: &Snapshot, now_ms: u64) {
        let (config, map, rtts) = (&snapshot.config, &snapshot.map, &snapshot.rtts);
        let is_same = |of: &(Arc<GeoConfig>, Arc<Map>, Arc<Rtts>)| {
            Arc::ptr_eq(&of.0, config) && Arc::ptr_eq(&of.1, map) && Arc::ptr_eq(&of.2, rtts)
        };
        if self.of.as_ref().is_some_and(is_same) {
            return;
        }
        if self.of.as_ref().is_some_and(|(old, ..)| !same_clusters(old, config)) {
            self.market = Market::default();
        }
        let clusters = config.clusters.len();
        self.market.remodel(Model::of(clusters, rtts.prefixes(), rows(snapshot, now_ms)), clusters);
        self.of = Some((config.clone(), map.clone(), rtts.clone()));
    }
}

fn standings(snapshot: &Snapshot) -> Vec<Standing> {
    let standing = |(cluster, state): (&super::Cluster, &super::State)| Standing {
        open: state.healthy && !state.drains(cluster),
        load: state.tells.then(|| f64::from(state.load_permille) / 1000.0),
        capacity: f64::from(cluster.capacity_mbps.max(1)),
    };
    snapshot.config.clusters.iter().zip(&snapshot.states).map(standing).collect()
}

/// Each measured prefix with what a policy that reads times makes of them: what is not measured is as far away as distance lets expect, and
/// what the best measured way takes longer than that.
fn rows(snapshot: &Snapshot, now_ms: u64) -> impl Iterator<Item = Row> {
    let clusters = snapshot.rows();
    let services = snapshot.services.by_wire.values().fold(0, |mask, service| mask | service.candidates);
    snapshot.rtts.rows().map(move |prefix| {
        let client = prefix.address();
        let (spot, measured) = (snapshot.map.find(client).0, snapshot.rtts.find(client, now_ms).0);
        let own = [spot.covered.deep, spot.covered.forced].into_iter().flatten();
        let allowed = services & own.fold(snapshot.masks.home, |mask, own| mask | 1 << own);
        let zone = [spot.covered.forced, spot.covered.deep, spot.covered.home].into_iter().flatten().next();
        let expected = |at: u16| match zone == Some(at) {
            true => expected_us(1.0),
            false => expected_us(spot.place.at.map_or(0.0, |place| {
                place.iter().zip(clusters[usize::from(at)].place).map(|(one, other)| one * other).sum()
            })),
        };
        let slower = measured.iter().map(|(at, us)| us as f32 - expected(at)).fold(f32::INFINITY, f32::min);
        let slower = if slower.is_finite() { slower.max(0.0) } else { 0.0 };
        let cost = |at: u16| match measured.to(at) {
            _ if allowed >> at & 1 == 0 => f32::INFINITY,
            _ if zone == Some(at) => expected(at),
            Some(us) => us as f32,
            None => expected(at) + slower,
        };
        Row { prefix, cost_us: clusters.iter().map(|cluster| cost(cluster.index)).collect() }
    })
}

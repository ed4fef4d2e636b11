//! The routing policy: which of the candidate clusters a client gets. The trait is owned here; a guest or
//! [`NativeGeo`] implements it.
//!
//! A policy sees scalars only and must be pure: clusters are pushed when they change, clock and entropy come with the call.

use std::sync::Arc;

use arc_swap::ArcSwap;

use crate::rtt::Measured;

/// "No cluster" in a [`Choice`] or a zone.
pub const NONE: u16 = u16::MAX;

/// What a policy knows of a cluster.
#[derive(Debug, Clone, PartialEq)]
pub struct ClusterRow {
    /// Its place among the clusters, below [`crate::limits::CLUSTERS_MAX`].
    pub index: u16,
    /// Enter deep: serves only its own prefixes.
    pub deep: bool,
    /// Whether it answers its probes and is not being drained.
    pub healthy: bool,
    /// Its place as a unit vector on the sphere.
    pub place: [f32; 3],
    /// What it can send, Mbit/s.
    pub capacity_mbps: u32,
    /// How loaded it is, in permille of its capacity.
    pub load_permille: u16,
    /// Round-trip time to it in microseconds, 0 when not measured: always, as it depends on the client. See [`Flow::rtts`].
    pub rtt_us: u32,
    /// Microseconds by which its load makes it farther away, when that is priced; see [`Routing::reads_prices`].
    pub price_us: Option<u32>,
    /// Its name in the config.
    pub name: String,
}

/// One question to a policy.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Flow {
    /// Hash of the service's name.
    pub key: u64,
    /// The client's prefix: upper half of the address, zero beyond the answer's scope.
    pub addr_hi: u64,
    /// Lower half; an IPv4 address is its lowest 32 bits.
    pub addr_lo: u64,
    /// The client's place as a unit vector, zeros when unknown.
    pub place: [f32; 3],
    /// The cluster whose coverage zone the client is in, or [`NONE`].
    pub zone: u16,
    /// The candidates, one bit per cluster index. All are healthy, unless none is.
    pub candidates: u64,
    /// Unix milliseconds.
    pub now_ms: u64,
    /// Entropy.
    pub rand: u64,
    /// Round-trip times between the client and clusters; none unless the policy [reads them](Routing::reads_rtts).
    pub rtts: Measured,
}

/// A policy's answer: clusters in order of preference.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Choice {
    /// First, second, third; [`NONE`] ends the list.
    pub clusters: [u16; 3],
    /// TTL in seconds, 0: the service's.
    pub ttl_s: u16,
}

/// One figure that counts in what a candidate is worth, as a policy tells it to people.
#[derive(Debug, Clone, PartialEq)]
pub struct Term {
    /// Which candidate.
    pub cluster: u16,
    /// What it is, with its unit.
    pub name: String,
    /// Finite.
    pub value: f32,
}

/// A routing policy.
pub trait Routing: Send + Sync {
    /// The clusters as they are now. `version` grows.
    fn push(&self, version: u64, clusters: &[ClusterRow]);

    /// The choice for a client; `None` when the policy has none to offer.
    fn decide(&self, flow: &Flow) -> Option<Choice>;

    /// What the choice for a client is made of, the terms of each candidate in the order in which they are to be read; asked after [`Self::decide`], on
    /// the same thread, when somebody wants to know. Empty when the policy does not tell.
    ///
    /// # Errors
    /// Why it cannot be told, in a sentence.
    fn terms(&self, _flow: &Flow) -> Result<Vec<Term>, String> {
        Ok(Vec::new())
    }

    /// Whether its choices depend on [`Flow::rtts`]: only then are they looked up, and only then do scopes tell their prefixes apart.
    fn reads_rtts(&self) -> bool {
        false
    }

    /// Whether it goes by [`ClusterRow::price_us`]: only then clusters are priced, and those that are full stay candidates.
    fn reads_prices(&self) -> bool {
        false
    }

    /// Who decides now: a name and a generation, for people.
    fn decider(&self) -> (String, u64) {
        ("native".to_owned(), 0)
    }
}

/// The native policy: the coverage zone's cluster, else the nearest, where load makes a cluster look farther away.
///
/// The cost of a cluster is `(1 - cos(angle) + 0.001) * (1 + (load)^2)`, with load from 0 to 1; with an unknown place it is
/// the load alone.
#[derive(Debug, Default)]
pub struct NativeGeo {
    clusters: ArcSwap<Vec<ClusterRow>>,
}

impl NativeGeo {
    /// What it reckons for a cluster.
    pub(crate) fn cost(flow: &Flow, cluster: &ClusterRow) -> f32 {
        let load = f32::from(cluster.load_permille) / 1000.0;
        if flow.place == [0.0; 3] {
            return load;
        }
        let cosine: f32 = flow.place.iter().zip(cluster.place).map(|(a, b)| a * b).sum();
        (1.001 - cosine) * (1.0 + load * load)
    }
}

impl Routing for NativeGeo {
    fn push(&self, _version: u64, clusters: &[ClusterRow]) {
        self.clusters.store(Arc::new(clusters.to_vec()));
    }

    fn decide(&self, flow: &Flow) -> Option<Choice> {
        let clusters = self.clusters.load();
        let mut best = [(f32::INFINITY, NONE); 3];
        for cluster in clusters.iter().filter(|cluster| flow.candidates >> cluster.index & 1 == 1) {
            let in_zone = cluster.index == flow.zone && cluster.healthy;
            let cost = if in_zone { -1.0 } else { Self::cost(flow, cluster) };
            if let Some(place) = best.iter().position(|(known, _)| cost < *known) {
                best[place..].rotate_right(1);
                best[place] = (cost, cluster.index);
            }
        }
        (best[0].1 != NONE).then(|| Choice { clusters: best.map(|(_, index)| index), ttl_s: 0 })
    }

    fn terms(&self, flow: &Flow) -> Result<Vec<Term>, String> {
        let clusters = self.clusters.load();
        let candidates = clusters.iter().filter(|cluster| flow.candidates >> cluster.index & 1 == 1);
        let of = |cluster: &ClusterRow| {
            let load = f32::from(cluster.load_permille) / 1000.0;
            let cosine: f32 = flow.place.iter().zip(cluster.place).map(|(a, b)| a * b).sum();
            let in_zone = cluster.index == flow.zone && cluster.healthy;
            let cost = if in_zone { -1.0 } else { Self::cost(flow, cluster) };
            let term = |name: &str, value| Term { cluster: cluster.index, name: name.to_owned(), value };
            match flow.place == [0.0; 3] {
                true => vec![term("in-zone", f32::from(in_zone)), term("load", load), term("cost", cost)],
                false => vec![
                    term("in-zone", f32::from(in_zone)),
                    term("distance", 1.001 - cosine),
                    term("load-factor", 1.0 + load * load),
                    term("cost", cost),
                ],
            }
        };
        Ok(candidates.flat_map(of).collect())
    }
}

/// Microseconds of a way of no length: access networks and what waits in them.
const BASE_US: f32 = 5_000.0;
/// Microseconds there and back of a radian of the earth, at 15 for each kilometre: light in fibre takes 10, and fibre is no crow.
const RADIAN_US: f32 = 15.0 * 6_371.0;

/// The round-trip time that a distance lets expect, by the cosine of the angle between two places: on the scale of what is measured. Policies
/// approximate it by `estimated_us` of their SDK, which goes by the same two figures.
pub(crate) fn expected_us(cosine: f32) -> f32 {
    BASE_US + RADIAN_US * cosine.clamp(-1.0, 1.0).acos()
}

/// A place in degrees as a unit vector.
pub fn unit_vector(latitude: f64, longitude: f64) -> [f32; 3] {
    let (latitude, longitude) = (latitude.to_radians(), longitude.to_radians());
    let equatorial = latitude.cos();
    [(equatorial * longitude.cos()) as f32, (equatorial * longitude.sin()) as f32, latitude.sin() as f32]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(index: u16, place: [f32; 3], load_permille: u16) -> ClusterRow {
        ClusterRow {
            index,
            deep: false,
            healthy: true,
            place,
            capacity_mbps: 1000,
            load_permille,
            rtt_us: 0,
            price_us: None,
            name: String::new(),
        }
    }

    fn flow(place: [f32; 3], zone: u16, candidates: u64) -> Flow {
        Flow { key: 0, addr_hi: 0, addr_lo: 0, place, zone, candidates, now_ms: 0, rand: 0, rtts: Measured::NONE }
    }

    fn policy(loads: [u16; 3]) -> NativeGeo {
        let places = [unit_vector(52.4, 4.9), unit_vector(40.7, -74.0), unit_vector(35.7, 139.7)];
        let rows: Vec<_> = (0..3).map(|i| row(i as u16, places[i], loads[i])).collect();
        let policy = NativeGeo::default();
        policy.push(1, &rows);
        policy
    }

    #[test]
    fn the_nearest_comes_first_and_the_zone_before_it() {
        let paris = unit_vector(48.9, 2.4);
        assert_eq!(policy([0; 3]).decide(&flow(paris, NONE, 0b111)).unwrap().clusters, [0, 1, 2]);
        assert_eq!(policy([0; 3]).decide(&flow(paris, 2, 0b111)).unwrap().clusters, [2, 0, 1]);
        assert_eq!(policy([0; 3]).decide(&flow(paris, NONE, 0b110)).unwrap().clusters, [1, 2, NONE]);
        assert_eq!(policy([0; 3]).decide(&flow(paris, NONE, 0)), None);
    }

    #[test]
    fn a_loaded_cluster_loses_to_one_a_little_farther_and_an_unknown_place_goes_by_load() {
        let between = unit_vector(48.0, -38.0);
        let first = |loads| policy(loads).decide(&flow(between, NONE, 0b111)).unwrap().clusters[0];
        assert_ne!(first([0, 1000, 0]), first([1000, 0, 0]));
        assert_eq!(policy([500, 100, 900]).decide(&flow([0.0; 3], NONE, 0b111)).unwrap().clusters, [1, 0, 2]);
    }
}

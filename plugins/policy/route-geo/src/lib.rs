//! Which cluster: the one whose coverage zone the client is in, else the nearest, where load makes a cluster look farther
//! away.
//!
//! The cost of a cluster is `(1.001 - cos) * (1 + load²)`, with `cos` the cosine of the angle between the places of client
//! and cluster and load from 0 to 1; with an unknown place it is the load alone. No trigonometry: places come as vectors.

use littoral_plugin::policy::{CLUSTERS_MAX, Choice, Cluster, Explained, Flow, Routing, Term};

/// What is known of a cluster, ready for the hot path.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
struct Row {
    /// Its place as a unit vector.
    place: [f32; 3],
    /// `1 + load²`.
    weight: f32,
    /// From 0 to 1.
    load: f32,
    /// Whether it answers its probes.
    healthy: bool,
}

/// The policy.
#[derive(Debug)]
pub struct RouteGeo([Row; CLUSTERS_MAX]);

impl Row {
    #[inline]
    fn distance(&self, place: [f32; 3]) -> f32 {
        1.001 - (self.place[0] * place[0] + self.place[1] * place[1] + self.place[2] * place[2])
    }
}

impl RouteGeo {
    #[inline]
    fn cost(&self, flow: &Flow, index: u16) -> f32 {
        let row = &self.0[usize::from(index)];
        match flow.place != [0.0; 3] {
            _ if index == flow.zone && row.healthy => -1.0,
            true => row.distance(flow.place) * row.weight,
            false => row.load,
        }
    }
}

impl Routing for RouteGeo {
    fn new(config: &str) -> Result<Self, String> {
        littoral_plugin::no_config(config)?;
        Ok(Self([Row::default(); CLUSTERS_MAX]))
    }

    fn clusters(&mut self, all: &[Cluster]) {
        self.0 = [Row::default(); CLUSTERS_MAX];
        for cluster in all {
            let load = f32::from(cluster.load_permille) / 1000.0;
            let weight = 1.0 + load * load;
            self.0[usize::from(cluster.index)] = Row { place: cluster.place, weight, load, healthy: cluster.healthy };
        }
    }

    fn decide(&self, flow: &Flow) -> Choice {
        Choice::cheapest(flow.candidates, |index| self.cost(flow, index))
    }
}

impl Explained for RouteGeo {
    fn terms(&self, flow: &Flow) -> Vec<Term> {
        Term::of_each(flow.candidates, |index| {
            let row = &self.0[usize::from(index)];
            let in_zone = index == flow.zone && row.healthy;
            // Of an unknown place all are equally far away: it does not count.
            let distance = if flow.place == [0.0; 3] { 1.0 } else { row.distance(flow.place) };
            [
                ("in-zone", f32::from(in_zone)),
                ("distance", distance),
                ("load-factor", row.weight),
                ("cost", self.cost(flow, index)),
            ]
        })
    }
}

littoral_plugin::export_policy!(RouteGeo, routing, "../../wit", terms);

#[cfg(test)]
mod tests {
    use littoral_plugin::policy::NONE;
    use littoral_plugin::policy::sketch::Seat;

    use super::*;

    fn seat(loads_permille: [u16; 3]) -> Seat<RouteGeo> {
        let places = [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]];
        let row = |(index, (place, load_permille))| Cluster {
            index,
            healthy: true,
            place,
            load_permille,
            ..Cluster::default()
        };
        let clusters: Vec<_> = (0..).zip(places.into_iter().zip(loads_permille)).map(row).collect();
        Seat::routing("{}", &clusters).unwrap()
    }

    fn chosen(seat: &Seat<RouteGeo>, place: [f32; 3], zone: u16, candidates: u64) -> Vec<u16> {
        seat.decide(&Flow { place, zone, candidates, ..Flow::default() }).unwrap().named().to_vec()
    }

    #[test]
    fn the_nearest_comes_first_unless_the_zone_says_otherwise() {
        let (idle, near_first) = (seat([0; 3]), [0.9, 0.4, 0.1]);
        assert_eq!(chosen(&idle, near_first, NONE, 0b111), [0, 1, 2]);
        assert_eq!(chosen(&idle, near_first, 2, 0b111), [2, 0, 1]);
        assert_eq!(chosen(&idle, near_first, NONE, 0b100), [2]);
        assert!(chosen(&idle, near_first, NONE, 0).is_empty());
    }

    #[test]
    fn load_pushes_a_cluster_away() {
        let between = [0.71, 0.70, 0.0];
        assert_eq!(chosen(&seat([0; 3]), between, NONE, 0b11)[0], 0);
        assert_eq!(chosen(&seat([1000, 0, 0]), between, NONE, 0b11)[0], 1);
        assert_eq!(chosen(&seat([500, 100, 900]), [0.0; 3], NONE, 0b111), [1, 0, 2]);
    }

    #[test]
    fn a_config_is_refused() {
        assert!(RouteGeo::new(r#"{"weight": 2}"#).unwrap_err().contains("takes no config"));
    }
}

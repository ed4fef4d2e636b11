//! The export shell.

use std::cell::RefCell;

use littoral_plugin::routing_policy::control::Cluster;
use littoral_plugin::routing_policy::routing::{Choice, Flow};
use littoral_plugin::routing_policy::{control, export, routing};

use crate::{CLUSTERS_MAX, Row, choose};

thread_local!(static ROWS: RefCell<[Row; CLUSTERS_MAX]> = const { RefCell::new([Row { place: [0.0; 3], weight: 1.0, load: 0.0, healthy: false }; CLUSTERS_MAX]) });

struct RouteGeo;

impl control::Guest for RouteGeo {
    fn init(_config: String) -> Result<(), String> {
        Ok(())
    }

    fn clusters(_version: u64, all: Vec<Cluster>) {
        ROWS.with_borrow_mut(|rows| {
            *rows = [Row::default(); CLUSTERS_MAX];
            for cluster in all.iter().filter(|cluster| usize::from(cluster.index) < CLUSTERS_MAX) {
                let load = f32::from(cluster.load_permille) / 1000.0;
                let place = [cluster.x, cluster.y, cluster.z];
                rows[usize::from(cluster.index)] = Row { place, weight: 1.0 + load * load, load, healthy: cluster.healthy };
            }
        });
    }

    fn ladder(_id: u32, _kbps: Vec<u32>) {}
}

impl routing::Guest for RouteGeo {
    fn decide(flow: Flow) -> Choice {
        let [first, second, third] =
            ROWS.with_borrow(|rows| choose(rows, [flow.x, flow.y, flow.z], flow.zone, flow.candidates));
        Choice { first, second, third, ttl_s: 0 }
    }
}

export!(RouteGeo with_types_in littoral_plugin::routing_policy);

//! The export shell.

littoral_plugin::wit_bindgen::generate!({
    path: "../../wit",
    world: "routing-policy",
    runtime_path: "littoral_plugin::wit_bindgen::rt",
});

use std::cell::RefCell;

use exports::littoral::plugin::control::Cluster;
use exports::littoral::plugin::routing::{Choice, Flow};
use exports::littoral::plugin::{control, routing};

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
                rows[usize::from(cluster.index)] =
                    Row { place, weight: 1.0 + load * load, load, healthy: cluster.healthy };
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

export!(RouteGeo);

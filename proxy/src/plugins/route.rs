//! Routing policies: guests in the place of the native one.
//!
//! Which guest is seated is [`super`]'s matter. Invariant: a guest that faults costs one native answer.

use std::sync::Arc;

use littoral_geo::{NativeGeo, Routing};
use littoral_plugin_host::types;
use parking_lot::Mutex;

use super::Seat;

/// The seated guest, and the native policy where it faults or there is none.
pub(super) struct GuestRouting {
    pub(super) seat: Seat,
    pub(super) native: NativeGeo,
    pub(super) pushed: Arc<Mutex<(u64, Vec<types::ClusterRow>)>>,
}

impl Routing for GuestRouting {
    fn push(&self, version: u64, clusters: &[littoral_geo::ClusterRow]) {
        self.native.push(version, clusters);
        let row = |row: &littoral_geo::ClusterRow| types::ClusterRow {
            index: row.index,
            deep: row.deep,
            healthy: row.healthy,
            place: row.place,
            capacity_mbps: row.capacity_mbps,
            load_permille: row.load_permille,
            rtt_us: row.rtt_us,
            price_us: row.price_us,
            name: row.name.clone(),
        };
        let rows: Vec<_> = clusters.iter().map(row).collect();
        *self.pushed.lock() = (version, rows.clone());
        if let Some(plugin) = self.seat.load_full() {
            plugin.push_clusters(version, rows);
        }
    }

    fn decide(&self, flow: &littoral_geo::Flow) -> Option<littoral_geo::Choice> {
        match self.seat.load().as_ref().map(|plugin| plugin.decide(&as_asked(flow))) {
            Some(Ok(choice)) => Some(littoral_geo::Choice { clusters: choice.clusters, ttl_s: choice.ttl_s }),
            _ => self.native.decide(flow),
        }
    }

    fn terms(&self, flow: &littoral_geo::Flow) -> Result<Vec<littoral_geo::Term>, String> {
        let Some(plugin) = self.seat.load_full() else { return self.native.terms(flow) };
        let term = |types::Term { cluster, name, value }: types::Term| littoral_geo::Term { cluster, name, value };
        Ok(plugin.terms(&as_asked(flow))?.into_iter().map(term).collect())
    }

    fn reads_rtts(&self) -> bool {
        self.seat.load().as_ref().is_some_and(|plugin| plugin.reads_measured())
    }

    fn reads_prices(&self) -> bool {
        self.seat.load().as_ref().is_some_and(|plugin| plugin.reads_priced())
    }

    fn decider(&self) -> (String, u64) {
        let seat = self.seat.load();
        let Some(plugin) = seat.as_ref() else { return self.native.decider() };
        // While a candidate is tried beside it, who was asked just now.
        match plugin.called() {
            0 => (plugin.name().to_owned(), plugin.status().generation),
            generation => (plugin.name().to_owned(), generation),
        }
    }
}

/// A question as a guest is asked it.
fn as_asked(flow: &littoral_geo::Flow) -> types::Flow {
    let littoral_geo::Flow { key, addr_hi, addr_lo, place, zone, candidates, now_ms, rand, rtts } = *flow;
    let measured = types::Measured::of(rtts.iter());
    types::Flow { key, addr_hi, addr_lo, place, zone, candidates, now_ms, rand, measured }
}

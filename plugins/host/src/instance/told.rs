//! What a policy asks of the node while it is called: round-trip times during a decision, prices while it is told the clusters.

use wasmtime::Caller;

use super::Guest;
use crate::limits::CLUSTERS_MAX;
use crate::types::ClusterRow;

/// What `priced` tells: of which clusters, and microseconds.
pub(super) struct Prices {
    clusters: u64,
    us: [u32; CLUSTERS_MAX],
}

impl Prices {
    /// Nothing is priced.
    pub(super) const NONE: Self = Self { clusters: 0, us: [0; CLUSTERS_MAX] };

    /// Of clusters as they are told.
    pub(super) fn of(rows: &[ClusterRow]) -> Self {
        let mut prices = Self::NONE;
        for (index, us) in rows.iter().filter_map(|row| Some((row.index, row.price_us?))) {
            if let Some(place) = prices.us.get_mut(usize::from(index)) {
                *place = us;
                prices.clusters |= 1 << index;
            }
        }
        prices
    }
}

/// `measured.clusters`
pub(super) fn clusters(caller: Caller<'_, Guest>) -> i64 {
    caller.data().measured.clusters() as i64
}

/// `measured.rtt-us`
pub(super) fn rtt_us(caller: Caller<'_, Guest>, cluster: i32) -> i32 {
    u16::try_from(cluster).map_or(0, |cluster| caller.data().measured.rtt_us(cluster)) as i32
}

/// `priced.clusters`
pub(super) fn priced(caller: Caller<'_, Guest>) -> i64 {
    caller.data().prices.clusters as i64
}

/// `priced.price-us`
pub(super) fn price_us(caller: Caller<'_, Guest>, cluster: i32) -> i32 {
    let us = usize::try_from(cluster).ok().and_then(|at| caller.data().prices.us.get(at));
    us.copied().unwrap_or(0) as i32
}

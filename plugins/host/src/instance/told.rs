//! What a policy asks of the node while it is called: round-trip times during a decision, prices and names while it is told the clusters.

use wasmtime::Caller;

use super::Guest;
use crate::limits::CLUSTERS_MAX;
use crate::types::{ClusterRow, NONE};

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

/// What `named` knows.
pub(super) type Names = Vec<(String, u16)>;

/// The names of clusters as they are told.
pub(super) fn names(rows: &[ClusterRow]) -> Names {
    rows.iter().filter(|row| !row.name.is_empty()).map(|row| (row.name.clone(), row.index)).collect()
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

/// `named.cluster`
pub(super) fn named(mut caller: Caller<'_, Guest>, pointer: i32, length: i32) -> i32 {
    let Some(memory) = caller.get_export("memory").and_then(|export| export.into_memory()) else {
        return NONE.into();
    };
    let (data, guest) = memory.data_and_store_mut(&mut caller);
    let name = data.get(pointer as u32 as usize..).and_then(|rest| rest.get(..length as u32 as usize));
    let found = name.and_then(|name| guest.names.iter().find(|(known, _)| known.as_bytes() == name));
    found.map_or(NONE, |(_, index)| *index).into()
}

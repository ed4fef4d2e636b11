//! A decision with its reasons: the same one that is answered, told to people and counted nowhere.

use std::net::IpAddr;

use hickory_proto::rr::Name;
use serde::Serialize;

use super::{Decided, Director, domain_name, dot};
use crate::address::{canonical, masked};
use crate::routing::ClusterRow;

/// A decision with its reasons, for people.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Explanation {
    /// The service, absolute and in wire form.
    pub name: String,
    /// The client, canonical.
    pub client: IpAddr,
    /// Clusters in order of preference; none when none of the service's clusters may serve the client.
    pub clusters: Vec<String>,
    /// Addresses answered, as one answer has them: of many nodes each answer has a few.
    pub addresses: Vec<IpAddr>,
    /// What decided.
    pub reason: &'static str,
    /// For which prefix around the client this holds.
    pub scope: String,
    /// TTL in seconds.
    pub ttl_s: u32,
    /// Country of the client, when a database knows it.
    pub country: Option<String>,
    /// The candidate whose coverage zone it is in.
    pub zone: Option<String>,
    /// Great-circle distance to each cluster in km, when the client's place is known.
    pub distance_km: Option<Vec<(String, u32)>>,
}

impl Director {
    /// Why `client` gets what it gets for `name` (case and final dot do not matter).
    pub fn explain(&self, client: IpAddr, name: &str) -> Option<Explanation> {
        let snapshot = self.snapshot.load_full();
        let name = domain_name(name)?;
        let Decided { decision, spot, zone } = self.decide_in(&snapshot, &name, client)?;
        let client = canonical(client);
        let id = |index: u16| snapshot.config.clusters[usize::from(index)].id.clone();
        let mut addresses = self.addresses(&snapshot, &name, &decision, false, 0);
        addresses.extend(self.addresses(&snapshot, &name, &decision, true, 0));
        let distances = spot.place.at.map(|place| {
            let km = |row: &ClusterRow| (6371.0 * dot(place, row.place).clamp(-1.0, 1.0).acos()) as u32;
            snapshot.rows.iter().map(|row| (id(row.index), km(row))).collect()
        });
        Some(Explanation {
            clusters: decision.clusters.iter().map(|index| id(*index)).collect(),
            addresses,
            reason: decision.reason,
            scope: format!("{}/{}", masked(client, decision.scope), decision.scope),
            ttl_s: decision.ttl_s,
            country: spot.place.country.map(|code| code.iter().copied().map(char::from).collect()),
            zone: zone.map(id),
            distance_km: distances,
            name: Name::from(name).to_ascii(),
            client,
        })
    }
}

//! Services as they are placed: checked, in their zones, their candidates resolved.

use std::collections::HashMap;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use hickory_proto::rr::{LowerName, Name, RecordType};

use super::{Cluster, GeoError, Service, hash};
use crate::limits::TTL_SECONDS_MAX;
use crate::wire::{Ready, lower};
use crate::zone::{Zone, Zones};

/// Services by their names, as the library has them and in wire form and small letters.
#[derive(Default)]
pub(super) struct Services {
    pub(super) by_name: HashMap<LowerName, Arc<Placed>>,
    pub(super) by_wire: HashMap<Box<[u8]>, Arc<Placed>>,
}

/// A service with its candidates resolved.
pub(crate) struct Placed {
    pub(super) candidates: u64,
    pub(super) ttl_s: u32,
    pub(super) answers: usize,
    pub(super) key: u64,
    /// The answer where it has no address of the type that is asked for.
    pub(crate) negative: Ready,
    /// Whether its zone is signed.
    pub(crate) signed: bool,
}

/// Places all services and makes their names known to the zones.
///
/// # Errors
/// One line that names the service and what to do.
pub(super) fn place(services: &[Service], clusters: &[Cluster], zones: &mut Zones) -> Result<Services, GeoError> {
    let mut placed = Services::default();
    for service in services {
        let problem = |text: &str| GeoError(format!("service {:?} {text}", service.name));
        let name = domain_name(&service.name).ok_or_else(|| problem("is no domain name: correct it"))?;
        if service.clusters.is_empty() {
            return Err(problem("has no clusters: name some, or \"*\" for all"));
        }
        if !(Duration::from_secs(1)..=Duration::from_secs(TTL_SECONDS_MAX.into())).contains(&service.ttl) {
            return Err(problem(&format!("has a ttl out of bounds: it is 1s to {TTL_SECONDS_MAX}s")));
        }
        zones.hold(&name).map_err(|text| problem(&text))?;
        let soa = zones.of(&name).map(Zone::negative_soa).into_iter().collect();
        let negative = Ready::new(&name, RecordType::A, Vec::new(), soa);
        let negative = negative.ok_or_else(|| problem("is in a zone whose SOA record cannot be sent: correct it"))?;
        let signed = zones.of(&name).is_some_and(Zone::is_signed);
        let of_service = Arc::new(Placed { signed, ..Placed::new(&name, service, clusters, negative) });
        placed.by_wire.insert(lower(&name), of_service.clone());
        if placed.by_name.insert(name, of_service).is_some() {
            return Err(problem("is there twice (case and final dot do not matter): keep one"));
        }
    }
    Ok(placed)
}

/// The absolute name that `text` is, in wire form or with letters beyond ASCII (RFC 5890); its final dot may be missing.
pub(super) fn domain_name(text: &str) -> Option<LowerName> {
    let mut name = Name::from_str(text).ok()?;
    name.set_fqdn(true);
    Some(name.into())
}

impl Placed {
    fn new(name: &LowerName, service: &Service, clusters: &[Cluster], negative: Ready) -> Self {
        let wanted = |cluster: &Cluster| service.clusters.iter().any(|id| id == "*" || *id == cluster.id);
        let bits = clusters.iter().enumerate().filter(|(_, cluster)| wanted(cluster)).map(|(index, _)| 1 << index);
        Self {
            candidates: bits.fold(0, |mask: u64, bit: u64| mask | bit),
            ttl_s: u32::try_from(service.ttl.as_secs()).unwrap_or(u32::MAX),
            answers: usize::from(service.answers.clamp(1, 8)),
            key: hash(&Name::from(name.clone()).to_ascii()),
            negative,
            signed: false,
        }
    }
}

#[cfg(test)]
mod tests;

//! The names of services inside the zones: they exist like names with records (RFC 8020), so what lies above one is no
//! NXDOMAIN and what lies below it is no business of a wildcard (RFC 4592 §3.3.1).

use hickory_proto::rr::{LowerName, RecordType};

use super::Zones;

impl Zones {
    /// Makes the name of a service known to its zone.
    ///
    /// # Errors
    /// What is wrong with it and what to do, to be read behind the name.
    pub(crate) fn hold(&mut self, service: &LowerName) -> Result<(), String> {
        let apex = self.of(service).map(|zone| zone.body.apex.clone());
        let Some(zone) = apex.and_then(|apex| self.zones.get_mut(&apex)) else {
            return Err("is in no [[zone]] of this node: add its zone".into());
        };
        if zone.referral(service, RecordType::A).is_some() {
            return Err(format!("is delegated to others by NS records of zone {}: remove one of them", zone.body.apex));
        }
        let rivals = [RecordType::CNAME, RecordType::A, RecordType::AAAA, RecordType::ANAME];
        let types = zone.body.sets.get(service);
        if let Some(rival) = rivals.iter().find(|rival| types.is_some_and(|types| types.contains_key(rival))) {
            return Err(format!("has {rival} records in the file of zone {}: remove one of them", zone.body.apex));
        }
        super::know(&mut zone.held, service, &zone.body.apex);
        Ok(())
    }
}

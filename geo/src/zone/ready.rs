//! The answers that a zone gives to all who ask, made when it is read: its record sets, and that a name has no addresses.
//!
//! Left out is what depends on more than the zone: aliases that are followed, names of services, wildcards, delegations,
//! signatures. What
//! would not fit into a datagram is left out, too. Invariant: a ready answer is made of what [`Zone::tell`] says.

use std::sync::Arc;

use hickory_proto::rr::RecordType;

use super::{Told, Zone, Zones};
use crate::limits::UDP_BYTES_MAX;
use crate::wire::{Ready, Table};

/// Types of which names are asked that do not have them.
const OFTEN_MISSED: [RecordType; 2] = [RecordType::A, RecordType::AAAA];

impl Zones {
    /// What is ready for a name (wire form, small letters) and a type in the zone with the longest matching apex; nothing where
    /// signatures are wanted and it has some.
    pub(crate) fn ready(&self, name: &[u8], kind: u16, signatures: bool) -> Option<&Ready> {
        let mut at = name;
        loop {
            if let Some((body, signed)) = self.bodies.get(at) {
                return if signatures && *signed { None } else { body.as_ref()?.ready.get(name, kind) };
            }
            let (length, rest) = at.split_first().filter(|(length, _)| **length > 0)?;
            at = rest.get(usize::from(*length)..)?;
        }
    }
}

impl Zone {
    /// The same with its answers ready.
    pub(super) fn readied(mut self) -> Self {
        let mut table = Table::default();
        for (name, types) in &self.body.sets {
            let missed = OFTEN_MISSED.into_iter().filter(|kind| !types.contains_key(kind));
            let kinds = types.keys().copied().chain(missed);
            let made = kinds.filter_map(|kind| {
                let ready = match self.tell(name, kind) {
                    Told::Answer(records) => Ready::new(name, kind, records, Vec::new()),
                    Told::NoData => Ready::new(name, kind, Vec::new(), vec![self.negative_soa()]),
                    _ => None,
                };
                let ready = ready.filter(|ready| ready.bytes.len() < usize::from(UDP_BYTES_MAX))?;
                Some((u16::from(kind), ready))
            });
            table.insert(name, made.collect());
        }
        if let Some(body) = Arc::get_mut(&mut self.body) {
            body.ready = table;
        }
        self
    }
}

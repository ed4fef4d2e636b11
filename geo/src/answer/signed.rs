//! A reply with its signatures: of each set of a zone that has keys, and a proof of what is not there. What lies in other zones
//! stays as it is.
//!
//! Invariant: an unsigned zone's replies are the same with and without it.

use std::time::{SystemTime, UNIX_EPOCH};

use hickory_proto::op::ResponseCode;
use hickory_proto::rr::{LowerName, Record, RecordType};

use super::{Denied, Reply};
use crate::director::{Director, Snapshot};
use crate::dnssec::{Desk, NXNAME};
use crate::zone::{Told, Zone};

/// What a question with DO wants.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Wanted {
    /// Whether a signed denial of a name may have the code NXDOMAIN (RFC 9824 §5.1).
    pub(crate) compact: bool,
    /// Seconds since 1970.
    pub(crate) now_s: u64,
}

impl Director {
    /// What a zone says, and what it says of its signing.
    pub(super) fn tell(&self, zone: &Zone, name: &LowerName, qtype: RecordType) -> Told {
        if !zone.is_signed() || !matches!(qtype, RecordType::DNSKEY | RecordType::NSEC | RecordType::RRSIG) {
            return zone.tell(name, qtype);
        }
        let now_s = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        match (qtype, zone.signer()) {
            // Of one set, as to ANY (RFC 8482).
            (RecordType::RRSIG, Some(signer)) => match zone.tell(name, RecordType::ANY) {
                Told::Answer(mut set) => Told::Answer(signer.signed(&mut set, self.desk(now_s))),
                _ => zone.tell(name, qtype),
            },
            _ => zone.tell_of_signing(name, qtype, now_s).unwrap_or_else(|| zone.tell(name, qtype)),
        }
    }

    fn desk(&self, now_s: u64) -> Desk<'_> {
        Desk { signatures: self.signatures(), counters: self.counters(), now_s }
    }

    /// Adds the signatures and proofs that a reply has.
    pub(crate) fn sign(&self, reply: &mut Reply, wanted: Wanted) {
        let (snapshot, desk) = (self.snapshot(), self.desk(wanted.now_s));
        let answers = std::mem::take(&mut reply.answers);
        reply.answers = with_signatures(answers, desk, |name, kind| snapshot.zones.of_question(name, kind));
        let denied = reply.denied.clone();
        let delegated = reply.authority.first().filter(|record| record.record_type() == RecordType::NS);
        let zone = match (&denied, delegated) {
            (Some(denied), _) => snapshot.zones.of_question(&denied.name, denied.kind),
            (None, Some(servers)) => snapshot.zones.of(&LowerName::from(&servers.name)),
            (None, None) => None,
        };
        let Some((zone, signer)) = zone.and_then(|zone| Some((zone, zone.signer()?))) else {
            return;
        };
        if let Some(denied) = &denied {
            let nsec = signer.nsec(&denied.name, zone.negative_ttl(), types(&snapshot, zone, denied));
            reply.authority.push(nsec);
            if !denied.exists && !wanted.compact {
                reply.code = ResponseCode::NoError;
            }
        } else if let Some(servers) = delegated {
            let name = LowerName::from(&servers.name);
            let proof = || vec![signer.nsec(&name, zone.negative_ttl(), zone.types(&name).unwrap_or_default())];
            let proof = zone.delegation_signers(&name).unwrap_or_else(proof);
            reply.authority.extend(proof);
        }
        let authority = std::mem::take(&mut reply.authority);
        // Servers of a delegation are the lower zone's to sign.
        reply.authority = with_signatures(authority, desk, |_, kind| Some(zone).filter(|_| kind != RecordType::NS));
    }
}

/// The types to tell of a name when one of them is denied.
fn types(snapshot: &Snapshot, zone: &Zone, denied: &Denied) -> Vec<RecordType> {
    if !denied.exists {
        return vec![NXNAME];
    }
    let mut types = zone.types(&denied.name).unwrap_or_default();
    if snapshot.is_service(&denied.name) {
        types.extend([RecordType::A, RecordType::AAAA]);
    }
    // A cluster may have no address of this family, though others of the service have.
    types.remove(&denied.kind);
    types.into_iter().collect()
}

/// The records with signatures behind each set of a zone that has keys.
fn with_signatures<'a>(
    records: Vec<Record>,
    desk: Desk<'_>,
    zone: impl Fn(&LowerName, RecordType) -> Option<&'a Zone>,
) -> Vec<Record> {
    let mut all = Vec::with_capacity(2 * records.len());
    let mut records = records.into_iter().peekable();
    while let Some(first) = records.next() {
        let (name, kind) = (LowerName::from(&first.name), first.record_type());
        let mut set = vec![first];
        while let Some(next) = records.next_if(|next| next.record_type() == kind && LowerName::from(&next.name) == name)
        {
            set.push(next);
        }
        let signer = zone(&name, kind).filter(|_| kind != RecordType::RRSIG).and_then(Zone::signer);
        let signatures = signer.map(|signer| signer.signed(&mut set, desk)).unwrap_or_default();
        all.extend(set.into_iter().chain(signatures));
    }
    all
}

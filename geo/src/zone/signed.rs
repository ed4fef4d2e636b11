//! What a zone that is signed has beside its records: keys, and the types of its names.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use hickory_proto::rr::{LowerName, Record, RecordType};

use super::{Body, Told, Zone};
use crate::director::{GeoError, ZoneSource};
use crate::dnssec::Signer;

impl Zone {
    /// Takes the keys that its source names. Where they cannot be used, those of `known` stay, with a warning.
    ///
    /// # Errors
    /// One line: file, what is wrong and what to do.
    pub(super) fn take_keys(&mut self, source: &ZoneSource, known: Option<&Self>) -> Result<Option<String>, GeoError> {
        let Some(dnssec) = &source.dnssec else {
            return Ok(None);
        };
        let now_s = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        let loaded = Signer::load(&self.body.apex, self.body.soa.ttl, dnssec)
            .and_then(|signer| signer.check(&dnssec.keys, now_s).map(|()| signer));
        match (loaded, known.and_then(|known| known.signer.clone())) {
            (Ok(signer), _) => {
                self.signer = Some(Arc::new(signer));
                Ok(None)
            }
            (Err(problem), Some(old)) => {
                self.signer = Some(old);
                Ok(Some(format!("{problem}; zone {} keeps the keys it had", self.body.apex)))
            }
            (Err(problem), None) => Err(GeoError(problem)),
        }
    }

    /// Whether it has keys.
    pub(crate) fn is_signed(&self) -> bool {
        self.signer.is_some()
    }

    /// What signs it.
    pub(crate) fn signer(&self) -> Option<&Signer> {
        self.signer.as_deref()
    }

    /// The types that a name has, `None` when it does not exist. Of a delegation they are those that are not the lower zone's, of
    /// an ALIAS those that it stands for.
    pub(crate) fn types(&self, name: &LowerName) -> Option<HashSet<RecordType>> {
        let Body { apex, sets, .. } = &*self.body;
        let holder = if self.knows(name) { name.clone() } else { self.wildcard(name)? };
        let types = sets.get(&holder).into_iter().flat_map(|types| types.keys().copied());
        let mut types: HashSet<RecordType> = types.collect();
        if types.contains(&RecordType::NS) && name != apex {
            types.retain(|kind| matches!(kind, RecordType::NS | RecordType::DS));
        }
        if types.remove(&RecordType::ANAME) {
            types.extend([RecordType::A, RecordType::AAAA]);
        }
        if name == apex && self.is_signed() {
            types.insert(RecordType::DNSKEY);
        }
        Some(types)
    }

    /// The records for DNSKEY and NSEC, which are in no file; `None` for all other questions.
    pub(crate) fn tell_of_signing(&self, name: &LowerName, qtype: RecordType, now_s: u64) -> Option<Told> {
        let signer = self.signer()?;
        match qtype {
            RecordType::DNSKEY if *name == self.body.apex => Some(Told::Answer(signer.published(now_s))),
            RecordType::NSEC if self.referral(name, qtype).is_none() => {
                Some(Told::Answer(vec![signer.nsec(name, self.body.negative_ttl, self.types(name)?)]))
            }
            _ => None,
        }
    }

    /// The DS records at a delegation.
    pub(crate) fn delegation_signers(&self, name: &LowerName) -> Option<Vec<Record>> {
        self.body.sets.get(name)?.get(&RecordType::DS).cloned()
    }

    /// TTL of what says that something is not there.
    pub(crate) fn negative_ttl(&self) -> u32 {
        self.body.negative_ttl
    }
}

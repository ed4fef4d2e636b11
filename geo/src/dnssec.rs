//! Signatures of zones, made while they answer (RFC 4033 to 4035): [`keyfile`] reads keys, [`key`] signs with them, [`set`] says
//! what is signed, [`denial`] what is said of names and types that are not there, [`cache`] keeps what was signed.
//!
//! What is not there is denied as RFC 9824 has it: one NSEC record at the name that was asked for, which covers nothing else,
//! so that no zone can be walked and one signature does. Names that a wildcard gives are signed as if they stood in the file.
//! Which records answer is decided elsewhere. Invariant: what is signed is what is sent, TTL included.

use std::path::{Path, PathBuf};
use std::time::Duration;

use hickory_proto::rr::rdata::NULL;
use hickory_proto::rr::{LowerName, Name, RData, Record, RecordType};

use crate::limits::{SIGNATURE_VALIDITY_SECONDS_MAX, SIGNATURE_VALIDITY_SECONDS_MIN};
use crate::wire::lower;
use key::Key;

mod cache;
mod denial;
mod key;
mod keyfile;
mod set;

pub(crate) use cache::Signatures;
pub(crate) use denial::NXNAME;
pub(crate) use set::Desk;

/// Seconds by which a signature is older than it is, for resolvers whose clock is behind.
const SKEW_SECONDS: u32 = 3600;

/// How a zone is signed, as configured.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Dnssec {
    /// The directory of its keys: files `K<zone>+<algorithm>+<tag>.key` and `.private`.
    pub keys: PathBuf,
    /// How long a signature holds.
    pub validity: Duration,
}

/// What signs a zone.
#[derive(Debug)]
pub(crate) struct Signer {
    apex: LowerName,
    apex_wire: Box<[u8]>,
    keys: Vec<Key>,
    validity_s: u32,
    /// TTL of the DNSKEY set: that of the SOA record.
    ttl_s: u32,
}

impl Signer {
    /// Reads the keys of a zone.
    ///
    /// # Errors
    /// One line: file, what is wrong and what to do.
    pub(crate) fn load(apex: &LowerName, ttl_s: u32, dnssec: &Dnssec) -> Result<Self, String> {
        let validity_s = u32::try_from(dnssec.validity.as_secs()).unwrap_or(u32::MAX);
        if !(SIGNATURE_VALIDITY_SECONDS_MIN..=SIGNATURE_VALIDITY_SECONDS_MAX).contains(&validity_s) {
            return Err(format!(
                "signatures of zone {apex} hold for {validity_s}s: write {SIGNATURE_VALIDITY_SECONDS_MIN}s to \
                 {SIGNATURE_VALIDITY_SECONDS_MAX}s"
            ));
        }
        let keys = keyfile::read(&dnssec.keys, apex)?;
        Ok(Self { apex: apex.clone(), apex_wire: lower(apex), keys, validity_s, ttl_s })
    }

    /// The keys that resolvers are to know now.
    pub(crate) fn published(&self, now_s: u64) -> Vec<Record> {
        let published = self.keys.iter().filter(|key| key.times.published(now_s));
        let data = published.map(|key| raw(RecordType::DNSKEY, key.rdata.to_vec()));
        data.map(|data| Record::from_rdata(Name::from(&self.apex), self.ttl_s, data)).collect()
    }

    /// The keys that sign a set of this type now: of each algorithm those for the DNSKEY set, or those for all others. Where
    /// an algorithm has no active one of them, the other kind signs that, too (RFC 4035 §2.2: all algorithms sign all).
    fn signing(&self, kind: RecordType, now_s: u64) -> impl Iterator<Item = &Key> {
        let wanted = kind == RecordType::DNSKEY;
        let active = move || self.keys.iter().filter(move |key| key.times.active(now_s));
        active().filter(move |key| {
            let same_kind = |other: &Key| other.algorithm() == key.algorithm() && other.is_entry() == wanted;
            key.is_entry() == wanted || !active().any(same_kind)
        })
    }

    /// Which key signs until when, in words, for whoever starts a node.
    ///
    /// # Errors
    /// When none signs at `now_s`.
    pub(crate) fn check(&self, directory: &Path, now_s: u64) -> Result<(), String> {
        let apex = &self.apex;
        match self.keys.iter().any(|key| key.times.active(now_s) && key.times.published(now_s)) {
            true => Ok(()),
            false => Err(format!(
                "{}: none of the {} keys of zone {apex} is active now: see their Publish, Activate, Inactive and Delete \
                 times (dnssec-settime -p all), or make one: dnssec-keygen -a ECDSAP256SHA256 -f KSK {apex}",
                directory.display(),
                self.keys.len()
            )),
        }
    }
}

/// Data of a type that the codec is to send as it is.
fn raw(code: RecordType, bytes: Vec<u8>) -> RData {
    RData::Unknown { code, rdata: NULL::with(bytes) }
}

//! A record set and its signatures: what is signed is its canonical form behind the head of an RRSIG record (RFC 4034 §3.1.8.1
//! and §6).
//!
//! Invariant: a signature holds longer than the answer that it is sent in, and it is made anew when half of its time is over.

use std::collections::BTreeSet;
use std::sync::atomic::Ordering::Relaxed;

use hickory_proto::rr::{LowerName, Name, Record, RecordType};
use hickory_proto::serialize::binary::{BinEncodable, BinEncoder, NameEncoding};

use super::cache::{Kept, what};
use super::{SKEW_SECONDS, Signatures, Signer, denial, raw};
use crate::counters::Counters;
use crate::wire::lower;

/// Where a name stands in RRSIG data: behind type, algorithm, labels, TTL, two times and tag.
const INCEPTION_AND_EXPIRATION: std::ops::Range<usize> = 8..16;
const CLASS_IN: [u8; 2] = [0, 1];

/// What signing takes beside keys.
#[derive(Clone, Copy)]
pub(crate) struct Desk<'a> {
    pub(crate) signatures: &'a Signatures,
    pub(crate) counters: &'a Counters,
    /// Seconds since 1970.
    pub(crate) now_s: u64,
}

impl Signer {
    /// Brings the records of a set to one TTL, the least of theirs (RFC 2181 §5.2), and tells the RRSIG records for it.
    pub(crate) fn signed(&self, set: &mut [Record], desk: Desk<'_>) -> Vec<Record> {
        let Some(ttl) = set.iter().map(|record| record.ttl).min() else {
            return Vec::new();
        };
        set.iter_mut().for_each(|record| record.ttl = ttl);
        let (owner, kind) = (set[0].name.clone(), set[0].record_type());
        let Some(canonical) = canonical(set) else {
            return Vec::new();
        };
        let keys = self.signing(kind, desk.now_s);
        keys.filter_map(|key| {
            let head = [
                &u16::from(kind).to_be_bytes()[..],
                &[key.algorithm(), owner.num_labels()],
                &ttl.to_be_bytes(),
                &[0; 8],
                &key.tag.to_be_bytes(),
                &self.apex_wire,
            ];
            let mut data = head.concat();
            let kept = self.made(key, &mut data, &canonical, desk)?;
            data.extend(kept.signature);
            Some(Record::from_rdata(owner.clone(), ttl, raw(RecordType::RRSIG, data)))
        })
        .collect()
    }

    /// The signature of what `data` and `canonical` say by a key, kept or made; its times are put into `data`.
    fn made(&self, key: &super::Key, data: &mut [u8], canonical: &[u8], desk: Desk<'_>) -> Option<Kept> {
        let now_s = desk.now_s as u32;
        // Times are not part of what is looked for, but the key itself is: tags of old keys come again.
        let name = what(&[data, canonical, &key.rdata].concat());
        let fresh = |kept: &Kept| {
            let age = now_s.wrapping_sub(kept.inception.wrapping_add(SKEW_SECONDS));
            // A clock that was put back makes it very old.
            age < kept.expiration.wrapping_sub(kept.inception).wrapping_sub(SKEW_SECONDS) / 2
        };
        let times = |data: &mut [u8], kept: &Kept| {
            let both = [kept.expiration.to_be_bytes(), kept.inception.to_be_bytes()].concat();
            data[INCEPTION_AND_EXPIRATION].copy_from_slice(&both);
        };
        if let Some(kept) = desk.signatures.find(&name, fresh) {
            desk.counters.signatures_kept.fetch_add(1, Relaxed);
            times(data, &kept);
            return Some(kept);
        }
        let (inception, expiration) = (now_s.wrapping_sub(SKEW_SECONDS), now_s.wrapping_add(self.validity_s));
        let mut kept = Kept { inception, expiration, signature: [0; 64] };
        times(data, &kept);
        let Some(signature) = key.sign(&[data, canonical].concat()) else {
            tracing::error!(zone = %self.apex, "the system has no randomness to sign with");
            return None;
        };
        kept.signature = signature;
        desk.counters.signatures_made.fetch_add(1, Relaxed);
        desk.signatures.keep(name, kept);
        Some(kept)
    }

    /// The NSEC record of a name that has these types, and no others but those of signing.
    pub(crate) fn nsec(&self, name: &LowerName, ttl_s: u32, types: impl IntoIterator<Item = RecordType>) -> Record {
        let of_signing = [RecordType::RRSIG, RecordType::NSEC];
        let types: BTreeSet<u16> = types.into_iter().chain(of_signing).map(u16::from).collect();
        let data = denial::nsec(&lower(name), &self.apex_wire, &types);
        Record::from_rdata(Name::from(name), ttl_s, raw(RecordType::NSEC, data))
    }
}

/// The records of a set in canonical form and order; `None` when one of them cannot be written.
fn canonical(set: &[Record]) -> Option<Vec<u8>> {
    let owner = lower(&LowerName::from(&set[0].name));
    let data = |record: &Record| {
        let mut bytes = Vec::new();
        let mut encoder = BinEncoder::new(&mut bytes);
        encoder.set_canonical_form(true);
        encoder.set_name_encoding(NameEncoding::Uncompressed);
        record.data.emit(&mut encoder).ok()?;
        Some(bytes)
    };
    let mut all: Vec<Vec<u8>> = set.iter().map(data).collect::<Option<_>>()?;
    all.sort();
    all.dedup();
    let kind = u16::from(set[0].record_type()).to_be_bytes();
    let mut bytes = Vec::new();
    for data in all {
        let length = u16::try_from(data.len()).ok()?.to_be_bytes();
        for part in [&owner[..], &kind, &CLASS_IN, &set[0].ttl.to_be_bytes(), &length, &data] {
            bytes.extend_from_slice(part);
        }
    }
    Some(bytes)
}

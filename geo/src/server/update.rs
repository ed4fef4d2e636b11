//! Changes of a zone that somebody who may sends (UPDATE, RFC 2136): each is kept on disk before it is acknowledged.
//!
//! What the records of a zone file may not be, they cannot become: the result is read as a file is. Invariant: of an update all is in
//! force or nothing, and what was acknowledged is there after a crash.

use std::collections::BTreeMap;
use std::path::PathBuf;

use hickory_proto::op::ResponseCode;
use hickory_proto::rr::{DNSClass, LowerName, RData, Record, RecordType};
use hickory_server::server::Request;

use super::authentic::Signed;
use super::{Handler, repeatable, signed_by, since_1970};
use crate::counters::count;
use crate::director::GeoError;
use crate::zone::{Change, Records, Sets, Zone, newer, serial_of};

/// Types that are made, not written: those of signing, and what stands for others.
const NOT_WRITTEN: [RecordType; 6] = [
    RecordType::RRSIG,
    RecordType::NSEC,
    RecordType::NSEC3,
    RecordType::NSEC3PARAM,
    RecordType::DNSKEY,
    RecordType::ANAME,
];
/// Types of questions (RFC 6895 §3.1), ANY apart.
const META: std::ops::RangeInclusive<u16> = 128..=254;

/// Why an update is not taken.
struct Refused(ResponseCode, Option<String>);

impl From<GeoError> for Refused {
    fn from(error: GeoError) -> Self {
        Self(ResponseCode::Refused, Some(error.0))
    }
}

impl From<ResponseCode> for Refused {
    fn from(code: ResponseCode) -> Self {
        Self(code, None)
    }
}

/// An update of somebody who may, not yet made.
pub(super) struct Pending {
    request: Request,
    signed: Option<Signed>,
    target: Target,
}

/// What an update changes, and where that is written first.
pub(super) struct Target {
    pub(super) apex: LowerName,
    pub(super) journal: PathBuf,
}

impl Pending {
    pub(super) fn new(request: Request, signed: Option<Signed>, target: Target) -> Self {
        Self { request, signed, target }
    }
}

impl Handler {
    /// What an update changes, when its sender may.
    ///
    /// # Errors
    /// The code to refuse it with.
    pub(super) fn permitted(&self, request: &Request, signer: Option<&LowerName>) -> Result<Target, ResponseCode> {
        let target = || {
            let query = request.queries.queries().first().filter(|_| repeatable(&request.queries));
            let query =
                query.filter(|query| query.query_type() == RecordType::SOA && query.query_class() == DNSClass::IN);
            let apex = query.ok_or(ResponseCode::FormErr)?.name().clone();
            let snapshot = self.director.snapshot();
            let relations = snapshot.zones.named(&apex).ok_or(ResponseCode::NotAuth)?.relations();
            let permitted = relations.update.as_ref().filter(|(access, _)| access.permits(request.src().ip(), signer));
            let (_, journal) = permitted.ok_or(ResponseCode::Refused)?;
            Ok(Target { apex, journal: journal.clone() })
        };
        target().inspect_err(|_| count(&self.director.counters().updates_refused))
    }

    /// Makes a change; the response, once it is in force.
    pub(super) fn finished(&self, pending: &Pending) -> Option<Vec<u8>> {
        let code = |handler: &Self| {
            let counters = handler.director.counters();
            match handler.updated(&pending.request, &pending.target) {
                Ok(()) => {
                    count(&counters.updates);
                    ResponseCode::NoError
                }
                Err(Refused(code, why)) => {
                    count(&counters.updates_refused);
                    let client = pending.request.src();
                    if let Some(why) = why {
                        tracing::warn!(%client, ?code, why, "a change of a zone was not taken");
                    }
                    code
                }
            }
        };
        let response = self.coded(&pending.request, code)?;
        Some(signed_by(pending.signed.as_ref(), response, since_1970().as_secs()))
    }

    /// The response to a change for which there is no room among those that wait.
    pub(super) fn postponed(&self, pending: &Pending) -> Option<Vec<u8>> {
        count(&self.director.counters().updates_refused);
        let response = self.coded(&pending.request, |_| ResponseCode::ServFail)?;
        Some(signed_by(pending.signed.as_ref(), response, since_1970().as_secs()))
    }

    fn updated(&self, request: &Request, Target { apex, journal }: &Target) -> Result<(), Refused> {
        let change = |zone: &Zone| {
            prerequisites(zone, &request.answers)?;
            let Some(change) = changed(zone, &request.authorities)? else { return Ok(None) };
            zone.after(change).map(Some).map_err(|text| Refused(ResponseCode::Refused, Some(text)))
        };
        let keep = |zone: &Zone, later: &Zone| {
            let change = later.history().last().filter(|change| serial_of(&change.from) == zone.serial());
            let change = change.ok_or(Refused(ResponseCode::ServFail, None))?;
            let lost = |text| Refused(ResponseCode::ServFail, Some(text));
            zone.keep_changes(journal, later, std::slice::from_ref(change)).map_err(lost)
        };
        self.director.change_zone(apex, change, keep).map(|_| ())
    }
}

/// Whether what must be there is there, and what must not is not (RFC 2136 §3.2).
fn prerequisites(zone: &Zone, wanted: &[Record]) -> Result<(), Refused> {
    let sets = zone.sets();
    let mut whole: BTreeMap<(LowerName, RecordType), Vec<&RData>> = BTreeMap::new();
    for record in wanted {
        let (name, kind) = (LowerName::from(&record.name), record.record_type());
        if !zone.name().zone_of(&name) {
            return Err(ResponseCode::NotZone.into());
        }
        let empty = matches!(record.data, RData::Update0(_));
        let types = sets.get(&name);
        let there = |kind| types.is_some_and(|types| kind == RecordType::ANY || types.contains_key(&kind));
        match record.dns_class {
            _ if record.ttl != 0 => return Err(ResponseCode::FormErr.into()),
            DNSClass::ANY | DNSClass::NONE if !empty => return Err(ResponseCode::FormErr.into()),
            DNSClass::ANY if !there(kind) && kind == RecordType::ANY => return Err(ResponseCode::NXDomain.into()),
            DNSClass::ANY if !there(kind) => return Err(ResponseCode::NXRRSet.into()),
            DNSClass::NONE if there(kind) && kind == RecordType::ANY => return Err(ResponseCode::YXDomain.into()),
            DNSClass::NONE if there(kind) => return Err(ResponseCode::YXRRSet.into()),
            DNSClass::ANY | DNSClass::NONE => {}
            DNSClass::IN => whole.entry((name, kind)).or_default().push(&record.data),
            _ => return Err(ResponseCode::FormErr.into()),
        }
    }
    for ((name, kind), data) in whole {
        let set = sets.get(&name).and_then(|types| types.get(&kind)).map_or(&[][..], Vec::as_slice);
        let same = set.len() == data.len() && set.iter().all(|record| data.contains(&&record.data));
        if !same {
            return Err(ResponseCode::NXRRSet.into());
        }
    }
    Ok(())
}

/// What an update makes of a zone; `None`: nothing (RFC 2136 §3.4).
fn changed(zone: &Zone, updates: &[Record]) -> Result<Option<Change>, Refused> {
    updates.iter().try_for_each(|update| allowed(zone, update))?;
    let mut sets = zone.sets().clone();
    let mut soa = zone.body().soa().clone();
    for update in updates {
        match &update.data {
            RData::SOA(_) if update.dns_class == DNSClass::IN => {
                let in_place = LowerName::from(&update.name) == *zone.name();
                if in_place && newer(serial_of(update), serial_of(&soa)) {
                    soa = update.clone();
                }
            }
            _ => apply(zone.name(), &mut sets, update),
        }
    }
    if serial_of(&soa) == zone.serial() {
        // 0 is passed over, as some take it for none (RFC 2136 §3.6).
        let next = zone.serial().wrapping_add(1).max(1);
        if let RData::SOA(data) = &mut soa.data {
            data.serial = next;
        }
    }
    let mut records = Records::of(zone.name().clone(), sets);
    records.set_soa(soa.clone());
    let later = records.zone().map_err(|text| Refused(ResponseCode::Refused, Some(text)))?;
    let change = zone.change_to(&later);
    let soa_only = serial_of(&soa) == zone.serial().wrapping_add(1).max(1) && same_but_serial(&soa, zone.body().soa());
    Ok(Some(change).filter(|change| !(soa_only && change.removed.is_empty() && change.added.is_empty())))
}

/// Whether two SOA records differ in their serials at most.
fn same_but_serial(one: &Record, other: &Record) -> bool {
    let (RData::SOA(one_data), RData::SOA(other_data)) = (&one.data, &other.data) else { return false };
    let mut same = one_data.clone();
    same.serial = other_data.serial;
    same == *other_data && one.ttl == other.ttl
}

/// Whether a change can be one at all (RFC 2136 §3.4.1).
fn allowed(zone: &Zone, update: &Record) -> Result<(), Refused> {
    let (name, kind) = (LowerName::from(&update.name), update.record_type());
    if !zone.name().zone_of(&name) {
        return Err(ResponseCode::NotZone.into());
    }
    let (empty, any) = (matches!(update.data, RData::Update0(_)), kind == RecordType::ANY);
    let meta = META.contains(&u16::from(kind)) || kind == RecordType::OPT;
    let formed = match update.dns_class {
        _ if meta => false,
        DNSClass::IN => !any && !empty,
        DNSClass::ANY => update.ttl == 0 && empty,
        DNSClass::NONE => update.ttl == 0 && !any && !empty,
        _ => false,
    };
    match formed {
        false => Err(ResponseCode::FormErr.into()),
        true if update.dns_class == DNSClass::IN && NOT_WRITTEN.contains(&kind) => {
            let why = format!(
                "{name}: {kind} records are not taken by UPDATE: those of signing are made, ALIAS is for zone files"
            );
            Err(Refused(ResponseCode::Refused, Some(why)))
        }
        true => Ok(()),
    }
}

/// Applies one change of what is no SOA record (RFC 2136 §3.4.2).
fn apply(apex: &LowerName, sets: &mut Sets, update: &Record) {
    let (name, kind) = (LowerName::from(&update.name), update.record_type());
    let at_apex = name == *apex;
    // The apex keeps its SOA record and a server.
    let kept = |kind: RecordType| at_apex && matches!(kind, RecordType::SOA | RecordType::NS);
    match update.dns_class {
        DNSClass::IN => add(sets.entry(name).or_default(), update),
        DNSClass::ANY => {
            let Some(types) = sets.get_mut(&name) else { return };
            types.retain(|known, _| kept(*known) || (kind != RecordType::ANY && *known != kind));
        }
        _ => {
            let Some(set) = sets.get_mut(&name).and_then(|types| types.get_mut(&kind)) else { return };
            if kind != RecordType::SOA && !(kept(kind) && set.len() == 1) {
                set.retain(|record| record.data != update.data);
            }
        }
    }
    let name = LowerName::from(&update.name);
    if let Some(types) = sets.get_mut(&name) {
        types.retain(|_, set| !set.is_empty());
        if types.is_empty() {
            sets.remove(&name);
        }
    }
}

/// What cannot stand beside what is there is passed over; what is there gets the new TTL.
fn add(types: &mut BTreeMap<RecordType, Vec<Record>>, update: &Record) {
    let kind = update.record_type();
    let alias = types.contains_key(&RecordType::CNAME);
    if (kind == RecordType::CNAME && !alias && !types.is_empty()) || (kind != RecordType::CNAME && alias) {
        return;
    }
    let set = types.entry(kind).or_default();
    if kind == RecordType::CNAME {
        set.clear();
    }
    set.retain(|record| record.data != update.data);
    set.push(update.clone());
    // One TTL for the set (RFC 2181 §5.2).
    set.iter_mut().for_each(|record| record.ttl = update.ttl);
}

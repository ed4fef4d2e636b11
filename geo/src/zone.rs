//! Zones: what a master file (RFC 1035) must hold, and lookups in it. [`master`] cuts the file into entries, [`reader`] makes
//! records of them, [`data`] reads what stands in a record.
//!
//! A name exists when it or anything below it has records (empty non-terminals, RFC 8020). Wildcards answer for the
//! closest encloser only (RFC 4592). Below a delegation there is nothing but the referral.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::path::Path;
use std::str::FromStr;

use hickory_proto::rr::{LowerName, Name, RData, Record, RecordType};

use crate::director::{GeoError, ZoneSource};
use crate::limits::{RECORDS_MAX, SET_RECORDS_MAX, ZONE_BYTES_MAX};
use master::{Entries, Problem};
use reader::Reader;

mod data;
mod master;
mod reader;
mod services;

type Sets = HashMap<LowerName, BTreeMap<RecordType, Vec<Record>>>;

/// All zones of a node.
#[derive(Debug, Default)]
pub struct Zones {
    zones: HashMap<LowerName, Zone>,
}

/// One zone.
#[derive(Debug)]
pub struct Zone {
    apex: LowerName,
    soa: Record,
    /// TTL of negative answers: the smaller of the SOA's own TTL and its MINIMUM (RFC 2308 §3).
    negative_ttl: u32,
    sets: Sets,
    /// Every name that exists: with records, of a service, or above one of them.
    names: HashSet<LowerName>,
}

/// What a zone says of a question.
#[derive(Debug, Clone, PartialEq)]
#[allow(clippy::large_enum_variant, reason = "lives for one answer and is never stored")]
pub enum Told {
    /// These records.
    Answer(Vec<Record>),
    /// An alias: the record, and where to look on.
    Alias(Record, LowerName),
    /// The name exists, the type does not.
    NoData,
    /// The name does not exist.
    NoName,
    /// Others answer for it: their NS records and what addresses of them are known here.
    Referral(Vec<Record>, Vec<Record>),
}

impl Zones {
    /// Reads all zone files.
    ///
    /// # Errors
    /// One line with file, place and what to do.
    pub fn load(sources: &[ZoneSource]) -> Result<Self, GeoError> {
        let mut zones = HashMap::new();
        for source in sources {
            let zone = Zone::load(&source.name, &source.file)?;
            if zones.insert(zone.apex.clone(), zone).is_some() {
                return Err(GeoError(format!("zone {:?} is there twice", source.name)));
            }
        }
        Ok(Self { zones })
    }

    /// The zone a name is in: the one with the longest matching apex.
    pub fn of(&self, name: &LowerName) -> Option<&Zone> {
        let mut at = name.clone();
        loop {
            if let Some(zone) = self.zones.get(&at) {
                return Some(zone);
            }
            if at.is_root() {
                return None;
            }
            at = at.base_name();
        }
    }
}

/// The records of a zone that is being read.
struct Records {
    apex: LowerName,
    sets: Sets,
    count: usize,
}

impl Records {
    /// Adds a record; one that is there already is passed over.
    ///
    /// # Errors
    /// Why it cannot stand beside those before it.
    fn add(&mut self, record: Record) -> Result<(), String> {
        let (owner, kind) = (LowerName::from(&record.name), record.record_type());
        if !self.apex.zone_of(&owner) {
            let apex = &self.apex;
            return Err(format!("{owner} is outside the zone {apex}: remove it or write it relative to $ORIGIN"));
        }
        if kind == RecordType::SOA && owner != self.apex {
            return Err(format!("a SOA record at {owner}, below the apex {}: remove it", self.apex));
        }
        let types = self.sets.entry(owner.clone()).or_default();
        let known = types.get(&kind).map_or(&[][..], Vec::as_slice);
        if known.iter().any(|known| known.data == record.data) {
            return Ok(());
        }
        let alias = types.contains_key(&RecordType::CNAME);
        if (alias && kind != RecordType::CNAME) || (kind == RecordType::CNAME && !alias && !types.is_empty()) {
            return Err(format!("{owner} has a CNAME beside other records (RFC 1034 §3.6.2): keep one of them"));
        }
        if matches!(kind, RecordType::SOA | RecordType::CNAME) && !known.is_empty() {
            return Err(format!("{owner} has a second {kind} record: keep one of them"));
        }
        if known.len() == SET_RECORDS_MAX {
            return Err(format!("{owner} has more than {SET_RECORDS_MAX} {kind} records: no message holds them"));
        }
        self.count += 1;
        if self.count > RECORDS_MAX {
            return Err(format!("more than {RECORDS_MAX} records: divide the zone"));
        }
        // Most sets have one record, and a zone may have a million of them.
        types.entry(kind).or_insert_with(|| Vec::with_capacity(1)).push(record);
        Ok(())
    }

    fn zone(self) -> Result<Zone, String> {
        let Self { apex, sets, .. } = self;
        let of_apex = |kind| sets.get(&apex).and_then(|types| types.get(&kind)).and_then(|records| records.first());
        let soa = of_apex(RecordType::SOA).cloned();
        let soa = soa.ok_or_else(|| format!("{apex} has no SOA record: add one at the apex"))?;
        let RData::SOA(data) = &soa.data else {
            return Err("the SOA record is no SOA".into());
        };
        if of_apex(RecordType::NS).is_none() {
            return Err(format!("{apex} has no NS record: add one at the apex, such as @ IN NS ns"));
        }
        let negative_ttl = soa.ttl.min(data.minimum);
        let mut zone = Zone { apex, soa, negative_ttl, sets: HashMap::new(), names: HashSet::new() };
        sets.keys().for_each(|name| zone.know(name));
        zone.sets = sets;
        Ok(zone)
    }
}

impl Zone {
    fn load(name: &str, file: &Path) -> Result<Self, GeoError> {
        let problem = |text: String| GeoError(format!("{}: {text}", file.display()));
        let unreadable = |error| problem(format!("cannot be read: {error}; zone {name:?} names it as its file"));
        let length = std::fs::metadata(file).map_err(unreadable)?.len();
        if length > ZONE_BYTES_MAX {
            return Err(problem(format!("it has {length} bytes; a zone file has at most {ZONE_BYTES_MAX}")));
        }
        let bytes = std::fs::read(file).map_err(unreadable)?;
        let text = String::from_utf8(bytes).map_err(|error| {
            let line = 1 + error.as_bytes()[..error.utf8_error().valid_up_to()].iter().filter(|b| **b == b'\n').count();
            let fix = "an octet that is not UTF-8: save the file as UTF-8, and write other octets as \\DDD";
            GeoError(format!("{}:{line}: {fix}", file.display()))
        })?;
        Self::parse(name, &text, &file.display().to_string())
    }

    /// Reads a master file at hand. `place` names it in errors.
    ///
    /// # Errors
    /// One line with file, line and what to do.
    pub fn parse(name: &str, text: &str, place: &str) -> Result<Self, GeoError> {
        let problem = |text: String| GeoError(format!("{place}: {text}"));
        let at = |(line, text): Problem| GeoError(format!("{place}:{line}: {text}"));
        let apex = Name::from_str(name).map_err(|error| problem(format!("zone name {name:?}: {error}")))?;
        let apex = if apex.is_fqdn() { apex } else { apex.append_domain(&Name::root()).unwrap_or(Name::root()) };
        let (mut entries, mut reader) = (Entries::new(text), Reader::new(apex.clone()));
        let mut records = Records { apex: apex.into(), sets: HashMap::new(), count: 0 };
        while let Some(entry) = entries.next().map_err(at)? {
            let read = reader.read(&entry).and_then(|record| record.map_or(Ok(()), |record| records.add(record)));
            read.map_err(|text| at((entry.line, text)))?;
        }
        records.zone().map_err(problem)
    }

    /// From now on `name` and all above it exist.
    fn know(&mut self, name: &LowerName) {
        let mut at = name.clone();
        while self.names.insert(at.clone()) && at != self.apex {
            at = at.base_name();
        }
    }

    /// The SOA record for a negative answer (RFC 2308).
    pub fn negative_soa(&self) -> Record {
        let mut soa = self.soa.clone();
        soa.ttl = self.negative_ttl;
        soa
    }

    /// Answers a question about a name in this zone.
    pub fn tell(&self, name: &LowerName, qtype: RecordType) -> Told {
        if let Some(referral) = self.referral(name) {
            return referral;
        }
        if self.names.contains(name) {
            return self.sets.get(name).map_or(Told::NoData, |types| of_types(types, qtype, None));
        }
        let mut encloser = name.base_name();
        while !self.names.contains(&encloser) && encloser != self.apex && !encloser.is_root() {
            encloser = encloser.base_name();
        }
        let wildcard =
            Name::from_str("*").ok().and_then(|star| star.append_domain(&encloser).ok()).map(LowerName::from);
        match wildcard.and_then(|wildcard| self.sets.get(&wildcard)) {
            Some(types) => of_types(types, qtype, Some(name)),
            None => Told::NoName,
        }
    }

    /// A delegation at or above `name`, below the apex.
    fn referral(&self, name: &LowerName) -> Option<Told> {
        let mut at = name.clone();
        let mut found = None;
        while at != self.apex && !at.is_root() {
            if let Some(servers) = self.sets.get(&at).and_then(|types| types.get(&RecordType::NS)) {
                found = Some(servers);
            }
            at = at.base_name();
        }
        let servers = found?.clone();
        let glue = servers.iter().filter_map(|server| match &server.data {
            RData::NS(target) => self.sets.get(&LowerName::from(&target.0)),
            _ => None,
        });
        let addresses = [RecordType::A, RecordType::AAAA];
        let glue =
            glue.flat_map(|types| addresses.iter().filter_map(|kind| types.get(kind))).flatten().cloned().collect();
        Some(Told::Referral(servers, glue))
    }
}

/// The answer from the records of one name, under the name that was asked for when a wildcard gave them.
fn of_types(types: &BTreeMap<RecordType, Vec<Record>>, qtype: RecordType, asked: Option<&LowerName>) -> Told {
    let named = |records: &[Record]| -> Vec<Record> {
        let rename = |record: &Record| {
            let mut record = record.clone();
            if let Some(asked) = asked {
                record.name = Name::from(asked.clone());
            }
            record
        };
        records.iter().map(rename).collect()
    };
    // To ANY one set is the answer (RFC 8482), of a CNAME, too: it matches, and nothing is followed (RFC 1034 §4.3.2).
    let any = types.values().next().filter(|_| qtype == RecordType::ANY);
    if let Some(records) = types.get(&qtype).or(any) {
        return Told::Answer(named(records));
    }
    if let Some(alias) = types.get(&RecordType::CNAME).and_then(|records| named(records).into_iter().next())
        && let RData::CNAME(target) = &alias.data
    {
        let target = LowerName::from(&target.0);
        return Told::Alias(alias, target);
    }
    Told::NoData
}

#[cfg(test)]
mod tests;

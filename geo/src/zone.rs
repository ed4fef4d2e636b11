//! Zones: what a master file (RFC 1035) must hold, and lookups in it. [`master`] cuts the file into entries, [`reader`] makes
//! records of them, [`data`] reads what stands in a record; [`tables`] has records in TOML read by the same.
//!
//! A name exists when it or anything below it has records (empty non-terminals, RFC 8020). Wildcards answer for the
//! closest encloser only (RFC 4592). Below a delegation there is nothing but the referral. Invariant: what was read never
//! changes and is shared; the names of services are laid over it.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::path::Path;
use std::str::FromStr;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use hickory_proto::rr::{LowerName, Name, RData, Record, RecordType};

use crate::director::{GeoError, ZoneSource};
use crate::dnssec::Signer;
use crate::limits::{RECORDS_MAX, SET_RECORDS_MAX, ZONE_BYTES_MAX};
use crate::peers::{Keys, Relations};
use crate::wire::Table;
use master::{Entries, Problem};
use reader::Reader;

mod data;
mod history;
mod journal;
mod loops;
mod master;
mod reader;
mod ready;
mod services;
mod signed;
mod tables;
mod versions;

pub(crate) use history::{Change, History, newer, serial_of};
pub use tables::{Data, Misplaced, RecordTable, Time, ZoneTables};
pub(crate) use versions::{Silent, confirm};

pub(crate) type Sets = HashMap<LowerName, BTreeMap<RecordType, Vec<Record>>>;

/// All zones of a node.
#[derive(Debug, Default, Clone)]
pub struct Zones {
    zones: HashMap<LowerName, Zone>,
    /// By the name of the zone in wire form and small letters, and whether it is signed. Silent ones have none.
    bodies: HashMap<Box<[u8]>, Shown>,
}

/// What may be answered of a zone, and whether it is signed.
type Shown = (Option<Arc<Body>>, bool);

/// One zone: what was read, and the names of services in it.
#[derive(Debug, Clone)]
pub struct Zone {
    body: Arc<Body>,
    /// Every name that exists for a service: its own, and those above it.
    held: HashSet<LowerName>,
    /// What signs it.
    signer: Option<Arc<Signer>>,
    /// The servers that it comes from and goes to.
    relations: Arc<Relations>,
    history: Arc<History>,
    /// Why it answers nothing.
    silent: Option<Silent>,
    /// The serial of its file, which a journal is based on.
    file_serial: u32,
    /// Bytes of its journal as far as this process knows it.
    journal_bytes: Arc<AtomicU64>,
}

/// What a file says.
#[derive(Debug)]
pub(crate) struct Body {
    apex: LowerName,
    soa: Record,
    /// TTL of negative answers: the smaller of the SOA's own TTL and its MINIMUM (RFC 2308 §3).
    negative_ttl: u32,
    sets: Sets,
    /// Every name that exists: with records, or above one that has.
    names: HashSet<LowerName>,
    /// What it says of its own names to all who ask, made beforehand.
    ready: Table,
}

/// What a zone says of a question.
#[derive(Debug, Clone, PartialEq)]
#[allow(clippy::large_enum_variant, reason = "lives for one answer and is never stored")]
pub enum Told {
    /// These records.
    Answer(Vec<Record>),
    /// An alias: the record, and where to look on.
    Alias(Record, LowerName),
    /// Addresses of another name, under this one and with this TTL at most.
    StandIn(u32, LowerName),
    /// The name exists, the type does not.
    NoData,
    /// The name does not exist.
    NoName,
    /// Others answer for it: their NS records and what addresses of them are known here.
    Referral(Vec<Record>, Vec<Record>),
}

impl Zones {
    /// Reads all zone files. One that cannot be read keeps what `old` has of its zone, with a warning.
    ///
    /// # Errors
    /// One line with file, place and what to do.
    pub(crate) fn load(sources: &[ZoneSource], keys: &Keys, old: &Self) -> Result<(Self, Vec<String>), GeoError> {
        let (mut zones, mut warnings, mut written) = (HashMap::new(), Vec::new(), HashSet::new());
        for source in sources {
            let wrong = |text| GeoError(format!("zone {:?} {text}", source.name));
            if let Some(file) = source.written().filter(|file| !written.insert(file.to_path_buf())) {
                return Err(wrong(format!("is written to {}, as another one is: name another file", file.display())));
            }
            let known = apex(&source.name).ok().and_then(|apex| old.zones.get(&LowerName::from(apex)));
            let mut zone = match Zone::of_source(source, known, &mut warnings) {
                Ok(zone) => zone,
                Err(error) => {
                    let known = known.ok_or_else(|| error.clone())?;
                    warnings.push(format!("{error}; zone {} stays as it was", known.body.apex));
                    Zone { held: HashSet::new(), signer: None, ..known.clone() }
                }
            };
            zone.relations = Arc::new(Relations::of(&source.peers, &source.file, keys).map_err(wrong)?);
            warnings.extend(zone.take_keys(source, known)?);
            if zones.insert(zone.body.apex.clone(), zone).is_some() {
                return Err(GeoError(format!("zone {:?} is there twice", source.name)));
            }
        }
        let bodies = zones.values().map(Zone::shown).collect();
        let zones = Self { zones, bodies };
        for source in sources {
            zones.check_stand_ins(source)?;
        }
        Ok((zones, warnings))
    }

    /// Only of our own names do we know the addresses.
    fn check_stand_ins(&self, source: &ZoneSource) -> Result<(), GeoError> {
        let zone = apex(&source.name).ok().and_then(|apex| self.zones.get(&LowerName::from(apex)));
        for (owner, records) in zone.iter().flat_map(|zone| &zone.body.sets) {
            let target = records.get(&RecordType::ANAME).and_then(|set| set.first()).and_then(stand_in);
            if let Some(target) = target.filter(|target| self.of(target).is_none()) {
                let file = source.file.display();
                return Err(GeoError(format!(
                    "{file}: ALIAS of {owner} leads to {target}, which is in no [[zone]] of this node: name one of ours"
                )));
            }
        }
        Ok(())
    }

    /// The zone that answers a question: of a delegation's DS records the upper one (RFC 4035 §3.1.4.1).
    pub(crate) fn of_question(&self, name: &LowerName, qtype: RecordType) -> Option<&Zone> {
        let is_apex = qtype == RecordType::DS && !name.is_root() && self.zones.contains_key(name);
        let upper = is_apex.then(|| self.of(&name.base_name())).flatten();
        upper.or_else(|| self.of(name))
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
pub(crate) struct Records {
    apex: LowerName,
    sets: Sets,
    count: usize,
}

impl Records {
    /// Of what a zone has; no sets: of an empty one.
    pub(crate) fn of(apex: LowerName, sets: Sets) -> Self {
        let count = sets.values().flat_map(BTreeMap::values).map(Vec::len).sum();
        Self { apex, sets, count }
    }

    /// Puts a SOA record in the place of the one there is.
    pub(crate) fn set_soa(&mut self, soa: Record) {
        self.sets.entry(self.apex.clone()).or_default().insert(RecordType::SOA, vec![soa]);
    }

    /// Adds a record; one that is there already is passed over.
    ///
    /// # Errors
    /// Why it cannot stand beside those before it.
    pub(crate) fn add(&mut self, record: Record) -> Result<(), String> {
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
        let addresses = [RecordType::A, RecordType::AAAA];
        let stands_in = types.contains_key(&RecordType::ANAME) && addresses.contains(&kind);
        if stands_in || (kind == RecordType::ANAME && addresses.iter().any(|kind| types.contains_key(kind))) {
            return Err(format!("{owner} has an ALIAS beside addresses of its own: keep one of them"));
        }
        if matches!(kind, RecordType::SOA | RecordType::CNAME | RecordType::ANAME) && !known.is_empty() {
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

    /// The zone that they are.
    ///
    /// # Errors
    /// Why they are none.
    pub(crate) fn zone(self) -> Result<Zone, String> {
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
        let mut names = HashSet::new();
        sets.keys().for_each(|name| know(&mut names, name, &apex));
        let body = Body { apex, soa, negative_ttl, sets, names, ready: Table::default() };
        Ok(Zone::of(body).readied())
    }
}

/// `name` and all above it, up to the apex, exist.
fn know(names: &mut HashSet<LowerName>, name: &LowerName, apex: &LowerName) {
    let mut at = name.clone();
    while names.insert(at.clone()) && at != *apex {
        at = at.base_name();
    }
}

/// The owner of a record that leads to another name.
fn alias_owner(record: &Record) -> Option<LowerName> {
    matches!(record.record_type(), RecordType::CNAME | RecordType::ANAME).then(|| LowerName::from(&record.name))
}

/// The name whose addresses an ALIAS stands for.
fn stand_in(record: &Record) -> Option<LowerName> {
    match &record.data {
        RData::ANAME(target) => Some(LowerName::from(&target.0)),
        _ => None,
    }
}

/// The absolute name of a zone.
fn apex(name: &str) -> Result<Name, String> {
    let apex = Name::from_str(name).map_err(|error| format!("zone name {name:?}: {error}"))?;
    Ok(if apex.is_fqdn() { apex } else { apex.append_domain(&Name::root()).unwrap_or(Name::root()) })
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
        let place = file.display().to_string();
        match file.extension().is_some_and(|extension| extension == "toml") {
            true => Self::parse_tables(name, &text, &place),
            false => Self::parse(name, &text, &place),
        }
    }

    /// Reads a master file at hand. `place` names it in errors.
    ///
    /// # Errors
    /// One line with file, line and what to do.
    pub fn parse(name: &str, text: &str, place: &str) -> Result<Self, GeoError> {
        // What is quoted of the file may have line ends: a string of it may.
        let in_one_line = |text: String| text.replace(char::is_control, " ");
        let problem = |text: String| GeoError(format!("{place}: {}", in_one_line(text)));
        let at = |(line, text): Problem| GeoError(format!("{place}:{line}: {}", in_one_line(text)));
        let apex = apex(name).map_err(problem)?;
        let (mut entries, mut reader) = (Entries::new(text), Reader::new(apex.clone()));
        let (mut records, mut aliases) = (Records::of(apex.into(), Sets::new()), Vec::new());
        while let Some(entry) = entries.next().map_err(at)? {
            let on_line = |text| at((entry.line, text));
            if let Some(record) = reader.read(&entry).map_err(on_line)? {
                aliases.extend(alias_owner(&record).map(|owner| (owner, entry.line)));
                records.add(record).map_err(on_line)?;
            }
        }
        let zone = records.zone().map_err(problem)?;
        zone.alias_loop(&aliases).map_or(Ok(zone), |found| Err(at(found)))
    }

    /// The SOA record for a negative answer (RFC 2308).
    pub fn negative_soa(&self) -> Record {
        let mut soa = self.body.soa.clone();
        soa.ttl = self.body.negative_ttl;
        soa
    }

    /// Whether a name has records, is a service's, or is above such a name.
    fn knows(&self, name: &LowerName) -> bool {
        self.body.names.contains(name) || self.held.contains(name)
    }

    /// Answers a question about a name in this zone.
    pub fn tell(&self, name: &LowerName, qtype: RecordType) -> Told {
        if let Some(referral) = self.referral(name, qtype) {
            return referral;
        }
        let sets = &self.body.sets;
        if self.knows(name) {
            return sets.get(name).map_or(Told::NoData, |types| of_types(types, qtype, None));
        }
        // One that exists only because of names below it has no records to give (RFC 4592 §2.2.2).
        match self.wildcard(name) {
            Some(wildcard) => sets.get(&wildcard).map_or(Told::NoData, |types| of_types(types, qtype, Some(name))),
            None => Told::NoName,
        }
    }

    /// The wildcard that answers for `name`, which does not exist: that of its closest encloser.
    fn wildcard(&self, name: &LowerName) -> Option<LowerName> {
        let mut encloser = name.base_name();
        while !self.knows(&encloser) && encloser != self.body.apex && !encloser.is_root() {
            encloser = encloser.base_name();
        }
        let wildcard = Name::from_str("*").ok().and_then(|star| star.append_domain(&encloser).ok());
        wildcard.map(LowerName::from).filter(|wildcard| self.knows(wildcard))
    }

    /// A delegation at or above `name`, below the apex.
    fn referral(&self, name: &LowerName, qtype: RecordType) -> Option<Told> {
        let Body { apex, sets, .. } = &*self.body;
        // DS records belong to the upper side of a delegation (RFC 4035 §3.1.4.1).
        let mut at = if qtype == RecordType::DS && name != apex { name.base_name() } else { name.clone() };
        let mut found = None;
        while at != *apex && !at.is_root() {
            if let Some(servers) = sets.get(&at).and_then(|types| types.get(&RecordType::NS)) {
                found = Some(servers);
            }
            at = at.base_name();
        }
        let servers = found?.clone();
        let glue = servers.iter().filter_map(|server| match &server.data {
            RData::NS(target) => sets.get(&LowerName::from(&target.0)),
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
    let standing = types.get(&RecordType::ANAME).and_then(|set| set.first()).filter(|_| {
        // What it stands for is our own business: asked for itself, it is not there.
        matches!(qtype, RecordType::A | RecordType::AAAA | RecordType::ANY)
    });
    if let Some((record, target)) = standing.and_then(|record| Some((record, stand_in(record)?))) {
        return Told::StandIn(record.ttl, target);
    }
    if qtype == RecordType::ANAME {
        return Told::NoData;
    }
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

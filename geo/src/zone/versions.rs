//! Zones as they are read, copied, changed and put in each other's place.
//!
//! Invariant: what is in force after a start is what was in force before it: file and journal together.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, SystemTime};

use hickory_proto::rr::rdata::{NS, SOA};
use hickory_proto::rr::{LowerName, Name, RData, Record};

use super::history::Fit;
use super::journal::{self, Entry};
use super::{Body, Records, Sets, Shown, Zone, Zones, apex, newer, serial_of};
use crate::director::{GeoError, ZoneSource};
use crate::peers::{Keys, Relations};
use crate::wire::lower;

/// Why a zone answers nothing (SERVFAIL).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Silent {
    /// It was never copied.
    NoCopy,
    /// Its primary has not been heard of for longer than the SOA record says.
    Expired,
}

impl Zones {
    /// The same with another version of one zone.
    pub(crate) fn with(&self, zone: Zone) -> Self {
        let mut zones = self.clone();
        let (name, shown) = zone.shown();
        zones.bodies.insert(name, shown);
        zones.zones.insert(zone.body.apex.clone(), zone);
        zones
    }

    /// The same with one zone read again, as its source says, and warnings. Names of services are still to be placed in all of them.
    ///
    /// # Errors
    /// One line with file, place and what to do.
    pub(crate) fn reread(&self, source: &ZoneSource, keys: &Keys) -> Result<(Self, Vec<String>), GeoError> {
        let wrong = |text| GeoError(format!("zone {:?} {text}", source.name));
        let known = apex(&source.name).ok().and_then(|apex| self.named(&apex.into()));
        let mut warnings = Vec::new();
        let mut zone = Zone::of_source(source, known, &mut warnings)?;
        zone.relations = Arc::new(Relations::of(&source.peers, &source.file, keys).map_err(wrong)?);
        warnings.extend(zone.take_keys(source, known)?);
        let mut zones = self.with(zone);
        zones.let_go();
        zones.check_stand_ins(source)?;
        Ok((zones, warnings))
    }

    /// A zone by its name.
    pub(crate) fn named(&self, apex: &LowerName) -> Option<&Zone> {
        self.zones.get(apex)
    }

    /// All of them.
    pub(crate) fn all(&self) -> impl Iterator<Item = &Zone> {
        self.zones.values()
    }

    /// Forgets the names of services, before they are placed anew.
    pub(crate) fn let_go(&mut self) {
        self.zones.values_mut().for_each(|zone| zone.held = HashSet::new());
    }
}

impl Zone {
    pub(super) fn of(body: Body) -> Self {
        let file_serial = serial_of(&body.soa);
        Self {
            body: Arc::new(body),
            held: HashSet::new(),
            signer: None,
            relations: Arc::new(Relations::default()),
            history: Arc::default(),
            silent: None,
            file_serial,
            journal_bytes: Arc::default(),
        }
    }

    /// By its name in wire form and small letters, what may be answered of it without looking further.
    pub(super) fn shown(&self) -> (Box<[u8]>, Shown) {
        let body = self.silent.is_none().then(|| self.body.clone());
        (lower(&self.body.apex), (body, self.is_signed()))
    }

    /// As a source says: out of its file and its journal, or the copy that there is. `known` is what was in force.
    pub(super) fn of_source(
        source: &ZoneSource,
        known: Option<&Self>,
        warnings: &mut Vec<String>,
    ) -> Result<Self, GeoError> {
        if source.peers.primary.is_some() {
            let known = known.filter(|known| known.relations.primary.is_some());
            return known.map_or_else(|| Self::copied(source), |known| Ok(known.clone().fresh()));
        }
        let place = source.file.display();
        let mut zone = match &source.tables {
            None => Self::load(&source.name, &source.file)?,
            Some(tables) => Self::of_tables(&source.name, tables)
                .map_err(|(key, problem)| GeoError(format!("{place}: {key}: {problem}")))?,
        };
        if let Some(update) = &source.peers.update {
            zone = zone.with_journal(&update.journal, warnings)?;
        }
        let Some(known) = known else {
            return Ok(zone);
        };
        let (ours, theirs) = (known.serial(), zone.serial());
        let told = (!source.peers.transfer.iter().all(|transfer| transfer.notify.is_empty())).then_some(());
        let changed = told.is_some() && !newer(theirs, ours) && {
            let change = known.change_to(&zone);
            !(change.removed.is_empty() && change.added.is_empty())
        };
        if changed {
            let file = source.file.display();
            warnings.push(format!("{file}: changed without a higher serial ({ours}): secondaries will not copy it"));
        }
        Ok(known.replaced_by(zone))
    }

    fn fresh(mut self) -> Self {
        self.held = HashSet::new();
        self.signer = None;
        self
    }

    /// The copy of a zone of another server, or a zone that is silent until there is one.
    fn copied(source: &ZoneSource) -> Result<Self, GeoError> {
        let file = &source.file;
        let apex = apex(&source.name).map_err(GeoError)?;
        let problem = |text: String| GeoError(format!("{}: {text}", file.display()));
        let entries = journal::read(file).map_err(problem)?;
        let Some(first) = entries.first() else {
            return Self::without_copy(apex).map_err(problem);
        };
        if !first.whole {
            return Err(problem("it is the journal of a zone, no copy: name another file".into()));
        }
        let zone = Self::of_records(LowerName::from(&apex), first.added.clone()).map_err(problem)?;
        let mut zone = zone.after_entries(&entries[1..]).map_err(problem)?;
        let age = std::fs::metadata(file).and_then(|file| file.modified()).ok().and_then(|time| time.elapsed().ok());
        zone.journal_bytes.store(journal::bytes(file), Relaxed);
        if age.unwrap_or(Duration::ZERO) > zone.times().expire {
            zone.silent = Some(Silent::Expired);
        }
        Ok(zone)
    }

    fn without_copy(apex: Name) -> Result<Self, String> {
        let soa = SOA::new(apex.clone(), apex.clone(), 0, 3600, RETRY_SECONDS, 86_400, 60);
        let records = [RData::SOA(soa), RData::NS(NS(apex.clone()))];
        let records = records.map(|data| Record::from_rdata(apex.clone(), 60, data)).to_vec();
        let zone = Self::of_records(LowerName::from(&apex), records)?;
        Ok(Self { silent: Some(Silent::NoCopy), ..zone })
    }

    /// The zone that records are, the SOA among them.
    ///
    /// # Errors
    /// Why they are none.
    pub(crate) fn of_records(apex: LowerName, all: Vec<Record>) -> Result<Self, String> {
        let mut records = Records::of(apex, Sets::new());
        all.into_iter().try_for_each(|record| records.add(record))?;
        records.zone()
    }

    /// What was in force when the journal was last written.
    fn with_journal(self, file: &std::path::Path, warnings: &mut Vec<String>) -> Result<Self, GeoError> {
        let problem = |text: String| GeoError(format!("{}: {text}", file.display()));
        let entries = journal::read(file).map_err(problem)?;
        self.journal_bytes.store(journal::bytes(file), Relaxed);
        let (Some(last), serial) = (entries.last(), self.serial()) else {
            return Ok(self);
        };
        let Some(begin) = entries.iter().position(|entry| entry.from == serial) else {
            if !newer(serial, last.to) {
                return Err(problem(format!(
                    "the zone's file has the serial {serial}, which is none of the journal's, {} to {}: take back the file, or \
                     raise its serial beyond {} to do without what was changed since",
                    entries[0].from, last.to, last.to
                )));
            }
            let aside = file.with_extension("superseded");
            std::fs::rename(file, &aside).map_err(|error| problem(format!("cannot be put aside: {error}")))?;
            let aside = aside.display();
            self.journal_bytes.store(0, Relaxed);
            warnings.push(format!("{}: older than the zone's file ({serial}); put aside as {aside}", file.display()));
            return Ok(self);
        };
        let journal_bytes = self.journal_bytes.clone();
        let mut zone = self.after_entries(&entries[begin..]).map_err(problem)?;
        (zone.file_serial, zone.journal_bytes) = (serial, journal_bytes);
        Ok(zone)
    }

    /// The zone after entries of a journal; a whole zone among them takes the place of all before it.
    fn after_entries(&self, entries: &[Entry]) -> Result<Self, String> {
        let begin = entries.iter().rposition(|entry| entry.whole);
        let whole = begin.map(|at| Self::of_records(self.body.apex.clone(), entries[at].added.clone())).transpose()?;
        let changes = entries[begin.map_or(0, |at| at + 1)..].iter().map(Entry::change);
        let changes = changes.collect::<Option<Vec<_>>>().ok_or("a change without a SOA record: take back the file")?;
        let zone = whole.as_ref().unwrap_or(self);
        zone.changed(&changes, Fit::Loose).map_err(|text| format!("{text}: take back the file"))
    }

    /// The serial that it is at.
    pub(crate) fn serial(&self) -> u32 {
        serial_of(&self.body.soa)
    }

    /// What its SOA record says of copies.
    pub(crate) fn times(&self) -> Times {
        let RData::SOA(soa) = &self.body.soa.data else {
            return Times::default();
        };
        let seconds = |seconds: i32| Duration::from_secs(u64::from(seconds.max(1).unsigned_abs()));
        Times { refresh: seconds(soa.refresh), retry: seconds(soa.retry), expire: seconds(soa.expire) }
    }

    pub(crate) fn name(&self) -> &LowerName {
        &self.body.apex
    }

    /// Its records by name and type.
    pub(crate) fn sets(&self) -> &Sets {
        &self.body.sets
    }

    pub(crate) fn body(&self) -> &Arc<Body> {
        &self.body
    }

    pub(crate) fn history(&self) -> &Arc<super::History> {
        &self.history
    }

    pub(crate) fn relations(&self) -> &Arc<Relations> {
        &self.relations
    }

    /// Why it answers nothing.
    pub(crate) fn silent(&self) -> Option<Silent> {
        self.silent
    }

    pub(crate) fn is_silent(&self) -> bool {
        self.silent.is_some()
    }

    /// The same, silent or no longer so.
    pub(crate) fn silenced(&self, silent: Option<Silent>) -> Self {
        Self { silent, ..self.clone() }
    }

    /// This version with all else as `old` has it.
    pub(crate) fn in_place_of(self, old: &Self) -> Self {
        let signer = old.signer.clone();
        Self { body: self.body, history: self.history, silent: None, held: HashSet::new(), signer, ..old.clone() }
    }

    /// Writes what leads to `later`, to the end of the journal at one stroke, or the whole of it when that has grown long.
    ///
    /// # Errors
    /// Why it is not written.
    pub(crate) fn keep_changes(
        &self,
        file: &std::path::Path,
        later: &Self,
        changes: &[super::Change],
    ) -> Result<(), String> {
        let problem = |error: std::io::Error| format!("{}: {error}", file.display());
        let is_copy = self.relations.primary.is_some();
        let foreign = journal::bytes(file) != self.journal_bytes.load(Relaxed);
        if foreign && !is_copy {
            return Err(format!("{}: another process has written it: reload", file.display()));
        }
        if journal::is_long(file) || foreign || self.silent == Some(Silent::NoCopy) {
            return later.keep_whole(file, self.file_serial);
        }
        let entries: Vec<Entry> = changes.iter().map(Entry::of).collect();
        journal::append(file, &entries).map_err(problem)?;
        self.journal_bytes.store(journal::bytes(file), Relaxed);
        Ok(())
    }

    /// Writes all of it in the place of the journal; `from`: the serial of the file that it is laid over.
    ///
    /// # Errors
    /// Why it is not written.
    pub(crate) fn keep_whole(&self, file: &std::path::Path, from: u32) -> Result<(), String> {
        let records = std::iter::once(&self.body.soa).chain(self.body.records()).cloned().collect();
        let entry = Entry { whole: true, from, to: self.serial(), removed: Vec::new(), added: records };
        journal::replace(file, &entry).map_err(|error| format!("{}: {error}", file.display()))?;
        self.journal_bytes.store(journal::bytes(file), Relaxed);
        Ok(())
    }
}

/// Until a first copy is there.
const RETRY_SECONDS: i32 = 5;

/// How often a copy is looked after, and how long it holds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Times {
    pub(crate) refresh: Duration,
    pub(crate) retry: Duration,
    pub(crate) expire: Duration,
}

/// Notes that a copy is what its primary has now.
pub(crate) fn confirm(file: &std::path::Path) -> std::io::Result<()> {
    std::fs::OpenOptions::new().append(true).open(file)?.set_modified(SystemTime::now())
}

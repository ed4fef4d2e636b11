//! How a zone came to be as it is: the last changes of it, for those who want to be sent nothing else (RFC 1995).
//!
//! Invariant: each change begins where the one before ends, and the last one ends at the zone as it is.

use std::collections::HashSet;
use std::sync::Arc;

use hickory_proto::rr::{LowerName, Name, RData, Record, RecordType};

use super::{Body, Records, Sets, Zone};
use crate::limits::{HISTORY_CHANGES_MAX, HISTORY_RECORDS_MAX};

/// From one serial to another: SOA records, and what went and came beside them.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Change {
    pub(crate) from: Record,
    pub(crate) to: Record,
    pub(crate) removed: Vec<Record>,
    pub(crate) added: Vec<Record>,
}

/// Whether a change may remove what is not there and add what is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fit {
    Exact,
    Loose,
}

/// Changes, the oldest first.
#[derive(Debug, Default)]
pub(crate) struct History(Vec<Arc<Change>>);

impl History {
    /// The changes since a serial; `None` when they are not remembered.
    pub(crate) fn since(&self, serial: u32) -> Option<&[Arc<Change>]> {
        let begin = self.0.iter().position(|change| serial_of(&change.from) == serial)?;
        self.0.get(begin..)
    }

    /// The change that led to the zone as it is.
    pub(crate) fn last(&self) -> Option<&Change> {
        self.0.last().map(|change| &**change)
    }

    /// The same and these changes more, of which only as many are looked at as are remembered.
    fn with_all(&self, changes: &[Change]) -> Self {
        let last = &changes[changes.len().saturating_sub(HISTORY_CHANGES_MAX)..];
        last.iter().fold(Self(self.0.clone()), |history, change| history.with(change.clone()))
    }

    /// The same and one change more.
    pub(super) fn with(&self, change: Change) -> Self {
        let mut changes = self.0.clone();
        let fits = changes.last().is_none_or(|last| serial_of(&last.to) == serial_of(&change.from));
        if !fits {
            changes.clear();
        }
        changes.push(Arc::new(change));
        let size =
            |changes: &[Arc<Change>]| -> usize { changes.iter().map(|one| one.removed.len() + one.added.len()).sum() };
        while changes.len() > HISTORY_CHANGES_MAX || (size(&changes) > HISTORY_RECORDS_MAX && !changes.is_empty()) {
            changes.remove(0);
        }
        Self(changes)
    }
}

/// The serial of a SOA record.
pub(crate) fn serial_of(soa: &Record) -> u32 {
    match &soa.data {
        RData::SOA(soa) => soa.serial,
        _ => 0,
    }
}

/// Whether a serial comes after another (RFC 1982 §3.2).
pub(crate) fn newer(serial: u32, than: u32) -> bool {
    serial != than && serial.wrapping_sub(than) < 1 << 31
}

impl Body {
    /// All records but the SOA.
    pub(crate) fn records(&self) -> impl Iterator<Item = &Record> {
        let kinds = self.sets.values().flat_map(|types| types.iter());
        kinds.filter(|(kind, _)| **kind != RecordType::SOA).flat_map(|(_, set)| set)
    }

    pub(crate) fn soa(&self) -> &Record {
        &self.soa
    }
}

impl Zone {
    /// What lies between it and a later version.
    pub(crate) fn change_to(&self, later: &Self) -> Change {
        // Records are the same to the library whatever their TTL.
        type Same<'a> = (&'a Name, u32, &'a RData);
        fn same(record: &Record) -> Same<'_> {
            (&record.name, record.ttl, &record.data)
        }
        let only = |these: &Body, those: &Body| -> Vec<Record> {
            let those: HashSet<Same<'_>> = those.records().map(same).collect();
            these.records().filter(|record| !those.contains(&same(record))).cloned().collect()
        };
        let (removed, added) = (only(&self.body, &later.body), only(&later.body, &self.body));
        Change { from: self.body.soa.clone(), to: later.body.soa.clone(), removed, added }
    }

    /// The zone after a change. What it removes and is not there, and what it adds and is there, is passed over.
    ///
    /// # Errors
    /// Why the result is no zone.
    pub(crate) fn after(&self, change: Change) -> Result<Self, String> {
        self.changed(&[change], Fit::Loose)
    }

    /// The same for changes of which each must remove what is there and add what is not.
    ///
    /// # Errors
    /// What does not fit, or why the result is no zone.
    pub(crate) fn after_all(&self, changes: &[Change]) -> Result<Self, String> {
        self.changed(changes, Fit::Exact)
    }

    /// The zone after changes that each begin where the one before ends. Built once, however many there are.
    pub(super) fn changed(&self, changes: &[Change], fit: Fit) -> Result<Self, String> {
        let mut records = Records::of(self.body.apex.clone(), self.body.sets.clone());
        let mut serial = self.serial();
        for Change { from, to, removed, added } in changes {
            if serial_of(from) != serial {
                return Err(format!("a change from serial {} follows upon {serial}", serial_of(from)));
            }
            for record in removed {
                match remove(&mut records.sets, record) {
                    true => records.count -= 1,
                    false if fit == Fit::Loose => {}
                    false => return Err(format!("{} {} is to go and is not there", record.name, record.record_type())),
                }
            }
            records.set_soa(to.clone());
            for record in added {
                if fit == Fit::Exact && has(&records.sets, record) {
                    return Err(format!("{} {} is to come and is there", record.name, record.record_type()));
                }
                records.add(record.clone())?;
            }
            serial = serial_of(to);
        }
        let body = records.zone()?.body;
        Ok(Self { body, history: Arc::new(self.history.with_all(changes)), ..self.clone() })
    }

    /// Another version of it, however it came to be: with the difference to this one in its history when its serial is newer.
    pub(crate) fn replaced_by(&self, mut later: Self) -> Self {
        let change = self.change_to(&later);
        let history = match newer(later.serial(), self.serial()) {
            true if !self.is_silent() => self.history.with(change),
            _ if later.serial() == self.serial() && change.removed.is_empty() && change.added.is_empty() => {
                later.history = self.history.clone();
                return later;
            }
            _ => History::default(),
        };
        later.history = Arc::new(history);
        later
    }
}

/// Whether there is a record of this owner, type and data.
fn has(sets: &Sets, record: &Record) -> bool {
    let set = sets.get(&LowerName::from(&record.name)).and_then(|types| types.get(&record.record_type()));
    set.is_some_and(|set| set.iter().any(|known| known.data == record.data))
}

/// Removes a record by its owner, type and data; whether it was there.
pub(super) fn remove(sets: &mut Sets, record: &Record) -> bool {
    let (owner, kind) = ((&record.name).into(), record.record_type());
    let Some(types) = sets.get_mut(&owner) else { return false };
    let mut was_there = false;
    if let Some(set) = types.get_mut(&kind) {
        let before = set.len();
        set.retain(|known| known.data != record.data);
        was_there = set.len() < before;
        if set.is_empty() {
            types.remove(&kind);
        }
    }
    if types.is_empty() {
        sets.remove(&owner);
    }
    was_there
}

#[cfg(test)]
mod tests {
    use super::*;

    fn zone(serial: u32, more: &str) -> Zone {
        let text = format!("$TTL 60\n@ SOA ns hostmaster {serial} 3600 600 86400 30\n@ NS ns\nns A 192.0.2.1\n{more}");
        Zone::parse("example.", &text, "test").unwrap()
    }

    #[test]
    fn serials_are_compared_on_a_circle() {
        for (serial, than, expected) in
            [(2, 1, true), (1, 1, false), (1, 2, false), (0, u32::MAX, true), (u32::MAX, 0, false)]
        {
            assert_eq!(newer(serial, than), expected, "{serial} {than}");
        }
    }

    #[test]
    fn a_change_leads_from_one_version_to_the_other_and_is_remembered() {
        let (one, later) = (zone(1, "a A 192.0.2.2\n"), zone(2, "b A 192.0.2.2\n"));
        let change = one.change_to(&later);
        assert_eq!((change.removed.len(), change.added.len()), (1, 1));
        let again = one.after(change).unwrap();
        let changes = again.history.since(1).unwrap();
        assert_eq!((changes.len(), again.serial(), again.change_to(&later).added.len()), (1, 2, 0));
        assert!(again.history.since(2).is_none() && again.history.since(0).is_none());
        assert!(one.replaced_by(zone(1, "c A 192.0.2.2\n")).history.since(1).is_none(), "a serial that was not raised");
    }

    #[test]
    fn changes_that_do_not_fit_are_told_and_leave_the_zone_alone() {
        let (one, two, three) = (zone(1, "a A 192.0.2.2\n"), zone(2, "b A 192.0.2.2\n"), zone(3, "b A 192.0.2.3\n"));
        let (first, second) = (one.change_to(&two), two.change_to(&three));
        let again = one.after_all(&[first.clone(), second.clone()]).unwrap();
        let none = again.change_to(&three);
        assert_eq!((again.serial(), none.removed.len() + none.added.len()), (3, 0));
        assert_eq!(again.history.since(1).map(<[_]>::len), Some(2));
        let problem = |changes: &[Change]| one.after_all(changes).unwrap_err();
        assert_eq!(problem(std::slice::from_ref(&second)), "a change from serial 2 follows upon 1");
        assert_eq!(problem(&[first.clone(), first.clone()]), "a change from serial 1 follows upon 2");
        let gone = Change { removed: second.removed.clone(), ..first.clone() };
        assert_eq!(problem(&[gone]), "b.example. A is to go and is not there");
        let doubled = Change { added: first.removed.clone(), removed: Vec::new(), ..first.clone() };
        assert_eq!(problem(&[doubled]), "a.example. A is to come and is there");
        // Another TTL is the same record gone and come.
        let mut longer = first.removed[0].clone();
        longer.ttl = 99;
        let retimed = Change { added: vec![longer], ..first };
        let told = one.after_all(&[retimed]).unwrap();
        assert!(told.body.records().any(|record| record.ttl == 99));
    }

    #[test]
    fn no_more_changes_are_remembered_than_there_is_room_for() {
        let mut at = zone(1, "");
        for serial in 2..HISTORY_CHANGES_MAX as u32 + 10 {
            at = at.replaced_by(zone(serial, &format!("n{serial} A 192.0.2.2\n")));
        }
        assert!(at.history.since(1).is_none());
        assert_eq!(at.history.since(10).map(<[_]>::len), Some(HISTORY_CHANGES_MAX - 1));
    }
}

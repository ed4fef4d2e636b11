//! The records of a transfer, one after the other: a whole zone (RFC 5936 §2.2), changes, or that there is nothing new (RFC 1995 §4).
//!
//! Reads only; whether changes fit the copy is told when they are made ([`crate::zone::Zone::after_all`]). Invariant: what was read leads from the
//! serial of the copy to that of the first record, without a gap, and is handed out only once its end has come.

use hickory_proto::rr::{DNSClass, LowerName, Record, RecordType};

use crate::limits::TRANSFER_RECORDS_MAX;
use crate::zone::{Change, newer, serial_of};

/// What a primary has sent.
#[derive(Debug, PartialEq)]
pub(super) enum Brought {
    /// The copy is as new.
    Nothing,
    /// The primary's zone has this serial, from before the copy's.
    Older(u32),
    Whole(Vec<Record>),
    Changes(Vec<Change>),
}

/// Where in an answer the next record is.
#[derive(Debug)]
enum At {
    First,
    /// Behind the first SOA record, which tells the serial that all leads to. The next record tells the form.
    Second,
    /// In a whole zone, which ends with the SOA record that it began with.
    Whole,
    /// Behind the SOA record that a change begins with: what goes.
    Going(Box<Record>),
    /// Behind the one it ends with: what comes.
    Coming(Box<Change>),
    End,
}

/// An answer that is being read.
#[derive(Debug)]
pub(super) struct Incoming {
    apex: LowerName,
    /// The serial of the copy; `None`: whatever comes is taken.
    known: Option<u32>,
    /// Whether the whole zone was asked for.
    whole: bool,
    at: At,
    newest: Option<Record>,
    /// Of a whole zone, or what goes in the change that is being read.
    records: Vec<Record>,
    changes: Vec<Change>,
    older: Option<u32>,
    count: usize,
}

impl Incoming {
    pub(super) fn new(apex: LowerName, known: Option<u32>, whole: bool) -> Self {
        Self {
            apex,
            known,
            whole,
            at: At::First,
            newest: None,
            records: Vec::new(),
            changes: Vec::new(),
            older: None,
            count: 0,
        }
    }

    /// Whether there is nothing more to come.
    pub(super) fn has_ended(&self) -> bool {
        matches!(self.at, At::End)
    }

    /// Takes the next record.
    ///
    /// # Errors
    /// Why this is no transfer.
    pub(super) fn take(&mut self, record: Record) -> Result<(), String> {
        self.count += 1;
        if self.count > TRANSFER_RECORDS_MAX {
            return Err(format!("more than {TRANSFER_RECORDS_MAX} records"));
        }
        if record.dns_class != DNSClass::IN {
            return Err(format!("a record of class {}", record.dns_class));
        }
        let soa = (record.record_type() == RecordType::SOA).then(|| serial_of(&record));
        if soa.is_some() && LowerName::from(&record.name) != self.apex {
            return Err(format!("a SOA record of {}", record.name));
        }
        let newest = self.newest.as_ref().map(serial_of);
        self.at = match (std::mem::replace(&mut self.at, At::End), soa) {
            (At::First, Some(serial)) => self.first(record, serial),
            (At::First, None) => return Err("an answer that does not begin with a SOA record".into()),
            (At::Second, Some(serial)) if !self.whole && newest != Some(serial) => self.begin(record, serial)?,
            (At::Second | At::Whole, Some(serial)) if newest == Some(serial) => At::End,
            (At::Second | At::Whole, Some(_)) => return Err("a SOA record in the middle of a zone".into()),
            (At::Second | At::Whole, None) => {
                self.records.push(record);
                At::Whole
            }
            (At::Going(from), None) => {
                self.records.push(record);
                At::Going(from)
            }
            (At::Going(from), Some(serial)) if newer(serial, serial_of(&from)) => {
                let removed = std::mem::take(&mut self.records);
                At::Coming(Box::new(Change { from: *from, to: record, removed, added: Vec::new() }))
            }
            (At::Going(from), Some(serial)) => {
                return Err(format!("a change from serial {} back to {serial}", serial_of(&from)));
            }
            (At::Coming(mut change), None) => {
                change.added.push(record);
                At::Coming(change)
            }
            (At::Coming(change), Some(serial)) => {
                let to = serial_of(&change.to);
                self.changes.push(*change);
                match Some(to) == newest {
                    _ if serial != to => {
                        return Err(format!("a change that leads to serial {to}, and {serial} behind it"));
                    }
                    true => At::End,
                    false => At::Going(record.into()),
                }
            }
            (At::End, _) => return Err("more records behind the end".into()),
        };
        Ok(())
    }

    fn first(&mut self, soa: Record, serial: u32) -> At {
        self.newest = Some(soa);
        match self.known {
            Some(known) if serial == known => At::End,
            Some(known) if !newer(serial, known) => {
                self.older = Some(serial);
                At::End
            }
            _ => At::Second,
        }
    }

    fn begin(&self, soa: Record, serial: u32) -> Result<At, String> {
        match self.known {
            Some(known) if known != serial => Err(format!("changes from serial {serial} on, and the copy has {known}")),
            _ => Ok(At::Going(soa.into())),
        }
    }

    /// What has come, once it [has ended](Self::has_ended).
    pub(super) fn brought(mut self) -> Brought {
        match (self.older, self.newest.take()) {
            (Some(serial), _) => Brought::Older(serial),
            _ if !self.changes.is_empty() => Brought::Changes(self.changes),
            (None, Some(soa)) if self.count > 1 => {
                self.records.push(soa);
                Brought::Whole(self.records)
            }
            _ => Brought::Nothing,
        }
    }
}

#[cfg(test)]
mod tests {
    use hickory_proto::rr::rdata::{A, SOA};
    use hickory_proto::rr::{Name, RData};

    use super::*;

    fn soa(serial: u32) -> Record {
        let apex: Name = "example.".parse().unwrap();
        Record::from_rdata(apex.clone(), 60, RData::SOA(SOA::new(apex.clone(), apex, serial, 1, 1, 1, 1)))
    }

    fn a(last: u8) -> Record {
        Record::from_rdata("a.example.".parse().unwrap(), 60, RData::A(A::new(192, 0, 2, last)))
    }

    fn change(from: u32, to: u32, removed: &[Record], added: &[Record]) -> Change {
        Change { from: soa(from), to: soa(to), removed: removed.to_vec(), added: added.to_vec() }
    }

    /// What an answer to who has serial 1 brings; an error when it has not ended.
    fn read(records: Vec<Record>, whole: bool) -> Result<Brought, String> {
        let apex: Name = "example.".parse().unwrap();
        let mut incoming = Incoming::new(apex.into(), Some(1), whole);
        records.into_iter().try_for_each(|record| incoming.take(record))?;
        if incoming.has_ended() { Ok(incoming.brought()) } else { Err("no end".into()) }
    }

    #[test]
    fn all_forms_of_an_answer_are_told_apart() {
        assert_eq!(read(vec![soa(1)], false), Ok(Brought::Nothing));
        assert_eq!(read(vec![soa(0)], false), Ok(Brought::Older(0)));
        assert_eq!(read(vec![soa(0)], true), Ok(Brought::Older(0)));
        let whole = vec![soa(3), a(1), a(2), soa(3)];
        for asked_whole in [false, true] {
            assert_eq!(read(whole.clone(), asked_whole), Ok(Brought::Whole(vec![a(1), a(2), soa(3)])));
        }
        let condensed = vec![soa(3), soa(1), a(1), soa(3), a(2), soa(3)];
        assert_eq!(read(condensed.clone(), false), Ok(Brought::Changes(vec![change(1, 3, &[a(1)], &[a(2)])])));
        assert!(read(condensed, true).unwrap_err().contains("in the middle"));
        // One change only removes, one only adds, one does neither.
        let several = vec![soa(4), soa(1), a(1), soa(2), soa(2), soa(3), a(2), soa(3), soa(4), soa(4)];
        let changes = vec![change(1, 2, &[a(1)], &[]), change(2, 3, &[], &[a(2)]), change(3, 4, &[], &[])];
        assert_eq!(read(several, false), Ok(Brought::Changes(changes)));
    }

    #[test]
    fn what_leads_elsewhere_is_no_transfer() {
        let mut other = soa(3);
        other.name = "other.".parse().unwrap();
        let mut chaos = a(1);
        chaos.dns_class = DNSClass::CH;
        for (records, problem) in [
            (vec![a(1)], "does not begin with a SOA"),
            (vec![other.clone()], "a SOA record of other."),
            (vec![soa(3), chaos], "of class CH"),
            (vec![soa(3), soa(2), soa(3), soa(3)], "changes from serial 2 on, and the copy has 1"),
            (vec![soa(3), soa(1), other], "a SOA record of other."),
            (vec![soa(3), soa(1), a(1), soa(0)], "a change from serial 1 back to 0"),
            (vec![soa(3), soa(1), soa(2), soa(3)], "leads to serial 2, and 3 behind it"),
            (vec![soa(3), soa(1), soa(3), soa(2)], "leads to serial 3, and 2 behind it"),
            (vec![soa(3), soa(1), soa(3), soa(3), a(1)], "behind the end"),
            (vec![soa(3), a(1), soa(2)], "in the middle of a zone"),
            (vec![soa(3), soa(1), soa(3)], "no end"),
        ] {
            let told = read(records, false).unwrap_err();
            assert!(told.contains(problem), "{told}, not {problem}");
        }
    }

    proptest::proptest! {
        #[test]
        fn whatever_comes_is_read_and_what_is_handed_out_has_no_gap(
            records in proptest::collection::vec((0..6_u32, proptest::prelude::any::<bool>()), 0..12), whole: bool,
        ) {
            let records = records.into_iter().map(|(serial, is_soa)| if is_soa { soa(serial) } else { a(serial as u8) });
            let records: Vec<Record> = records.collect();
            let newest = records.first().map(serial_of);
            if let Ok(Brought::Changes(changes)) = read(records, whole) {
                let mut at = 1;
                for change in &changes {
                    assert_eq!(serial_of(&change.from), at);
                    at = serial_of(&change.to);
                }
                assert_eq!(Some(at), newest);
            }
        }
    }
}

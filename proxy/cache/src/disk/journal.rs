//! The journal of purges on a disk: what makes a purge hold after the process is killed.
//!
//! A purge is appended to the journal of every disk and brought to the medium before it is answered. A node that starts
//! reads all of them, puts together what they tell, and writes each anew. A journal has an epoch, which object headers
//! repeat: where the journal is lost or unreadable, or lacks purges nobody else knows, its successor has another epoch, and
//! what was on that disk counts as purged.

use std::collections::hash_map::RandomState;
use std::hash::BuildHasher;
use std::io::{ErrorKind, Result};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use crate::disk::files::{Created, Files};
use crate::disk::ledger::Ledger;
use crate::limits::JOURNAL_RECORD_BYTES;

const MAGIC: [u8; 8] = *b"LITPURG1";
const HEAD_BYTES: usize = 36;
/// Numbers of one run of a node: a purge that was noted but never answered shares its number with no other.
const RUN_BITS: u32 = 32;

/// What a record is about.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) enum Subject {
    /// A purge of a URL, by its id on disk.
    Url(u128),
    /// A purge of a surrogate key.
    Surrogate(u128),
    /// A purge of everything.
    All,
    /// A pin of the URL with this id.
    Pin(u128),
    /// A purge of a host, by the digest of how its keys begin.
    Host(u128),
    /// A purge of all keys that begin like this.
    Prefix(Box<[u8]>),
    /// A purge of all URLs in which this expression is found.
    Regex(Box<[u8]>),
}

/// One line of a journal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Record {
    pub(crate) subject: Subject,
    /// The number of a purge; until when a pin holds, in Unix milliseconds.
    pub(crate) number: u64,
    /// The object is gone, not stale.
    pub(crate) hard: bool,
}

/// What a journal tells.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Told {
    pub(crate) epoch: u64,
    /// It has every purge of this number or a higher one, up to `last`.
    pub(crate) base: u64,
    pub(crate) last: u64,
    pub(crate) records: Vec<Record>,
}

/// A journal that is appended to.
pub(crate) struct Journal {
    file: Box<dyn Created>,
    pub(crate) epoch: u64,
}

impl Record {
    fn encode(&self, out: &mut Vec<u8>) {
        let from = out.len();
        out.extend_from_slice(&[0; 4]);
        out.extend_from_slice(&[self.subject.kind(), u8::from(self.hard)]);
        out.extend_from_slice(&self.number.to_le_bytes());
        match &self.subject {
            Subject::Url(id) | Subject::Surrogate(id) | Subject::Pin(id) | Subject::Host(id) => {
                out.extend_from_slice(&id.to_le_bytes());
            }
            Subject::All => {}
            Subject::Prefix(text) | Subject::Regex(text) => out.extend_from_slice(text),
        }
        let length = (out.len() - from + 4) as u32;
        out[from..from + 4].copy_from_slice(&length.to_le_bytes());
        let checksum = crc32c::crc32c(&out[from..]);
        out.extend_from_slice(&checksum.to_le_bytes());
    }

    fn decode(bytes: &[u8]) -> Option<Self> {
        let covered = sealed(bytes)?;
        let (number, rest) = (covered.get(6..14)?, &covered[14..]);
        let id = || rest.try_into().ok().map(u128::from_le_bytes);
        let subject = match covered[4] {
            1 => Subject::Url(id()?),
            2 => Subject::Surrogate(id()?),
            3 => Subject::All,
            4 => Subject::Pin(id()?),
            5 => Subject::Host(id()?),
            6 => Subject::Prefix(rest.into()),
            7 => Subject::Regex(rest.into()),
            _ => return None,
        };
        Some(Self { subject, number: number_at(number, 0), hard: covered[5] == 1 })
    }
}

impl Subject {
    fn kind(&self) -> u8 {
        match self {
            Self::Url(_) => 1,
            Self::Surrogate(_) => 2,
            Self::All => 3,
            Self::Pin(_) => 4,
            Self::Host(_) => 5,
            Self::Prefix(_) => 6,
            Self::Regex(_) => 7,
        }
    }
}

impl Told {
    /// Reads a journal; `None` when it is none, or lacks a record in its midst. Its end may be torn: whoever wrote that has
    /// not answered.
    pub(crate) fn decode(bytes: &[u8]) -> Option<Self> {
        let (head, mut rest) = bytes.split_at_checked(HEAD_BYTES)?;
        let covered = sealed(head)?;
        if covered[..8] != MAGIC {
            return None;
        }
        let mut records = Vec::new();
        while let Some(length) = rest.first_chunk::<4>() {
            let length = u32::from_le_bytes(*length) as usize;
            let Some((record, more)) = rest.split_at_checked(length).filter(|_| length > 0) else {
                // Torn; where the length itself is wrong, something else than nothing follows.
                let torn = (4..=JOURNAL_RECORD_BYTES).contains(&length) || rest.iter().all(|byte| *byte == 0);
                if !torn {
                    return None;
                }
                break;
            };
            match Record::decode(record) {
                Some(record) => records.push(record),
                None if more.is_empty() => break,
                None => return None,
            }
            rest = more;
        }
        let purges = records.iter().filter(|record| !matches!(record.subject, Subject::Pin(_)));
        let start = number_at(covered, 24);
        let last = purges.map(|record| record.number).fold(start, u64::max);
        Some(Self { epoch: number_at(covered, 8), base: number_at(covered, 16), last, records })
    }

    /// Reads the journal at `path`, if there is one that can be read as such.
    pub(crate) fn read(path: &Path) -> Result<Option<Self>> {
        match std::fs::read(path) {
            Ok(bytes) => Ok(Self::decode(&bytes)),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }
}

/// What several journals tell together.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Merged {
    /// The number of the next purge.
    pub(crate) next: u64,
    /// The lowest number from which on all purges are known.
    pub(crate) base: u64,
    /// For each journal, the epoch its objects must have.
    pub(crate) epochs: Vec<u64>,
}

/// Puts together what the journals of all disks tell, and teaches it to `ledger`.
pub(crate) fn merge(told: &[Option<Told>], ledger: &Ledger) -> Merged {
    let last = told.iter().flatten().map(|journal| journal.last).max().unwrap_or(0);
    let newest = || told.iter().flatten().filter(|journal| journal.last == last);
    for record in told.iter().flatten().flat_map(|journal| &journal.records) {
        ledger.learn(record.clone());
    }
    // One that was away and came back knows no purge after its last: somebody else must know all of them.
    let knows_all =
        |journal: &Told| journal.last == last || newest().any(|newest| newest.base <= journal.last.saturating_add(1));
    let epoch = |journal: &Option<Told>| match journal {
        Some(journal) if knows_all(journal) => journal.epoch,
        _ => new_epoch(),
    };
    Merged {
        // The first number of a run stays unused: a journal that is started says with it which run that is.
        next: (((last >> RUN_BITS) + 1) << RUN_BITS) + 1,
        base: newest().map(|journal| journal.base).min().unwrap_or(0),
        epochs: told.iter().map(epoch).collect(),
    }
}

impl Journal {
    /// Writes the journal at `path` anew: what `ledger` knows, and that no purge below `next` is missing.
    ///
    /// # Errors
    /// What the file system says.
    pub(crate) fn start(
        files: &dyn Files,
        path: &Path,
        epoch: u64,
        base: u64,
        next: u64,
        ledger: &Ledger,
    ) -> Result<Self> {
        let beside: PathBuf = path.with_extension("new");
        match files.remove(&beside) {
            Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let mut bytes = Vec::with_capacity(HEAD_BYTES);
        bytes.extend_from_slice(&MAGIC);
        for number in [epoch, base, next.saturating_sub(1)] {
            bytes.extend_from_slice(&number.to_le_bytes());
        }
        let checksum = crc32c::crc32c(&bytes);
        bytes.extend_from_slice(&checksum.to_le_bytes());
        ledger.records().into_iter().for_each(|record| record.encode(&mut bytes));
        let mut file = files.create(&beside)?;
        file.append(&bytes)?;
        file.sync()?;
        drop(file);
        files.publish(&beside, path)?;
        if let Some(directory) = path.parent() {
            files.sync_directory(directory)?;
        }
        Ok(Self { file: files.append_to(path)?, epoch })
    }

    /// Appends `records`; where one is a purge, all are on the medium when this returns.
    ///
    /// # Errors
    /// What the file system says. The journal cannot be used any more then.
    pub(crate) fn append(&mut self, records: &[Record]) -> Result<()> {
        let mut bytes = Vec::with_capacity(records.len() * 48);
        records.iter().for_each(|record| record.encode(&mut bytes));
        self.file.append(&bytes)?;
        let purges = records.iter().any(|record| !matches!(record.subject, Subject::Pin(_)));
        if purges { self.file.sync() } else { Ok(()) }
    }
}

/// The bytes a checksum at the end covers, when it is right.
fn sealed(bytes: &[u8]) -> Option<&[u8]> {
    let (covered, checksum) = bytes.split_at_checked(bytes.len().checked_sub(4)?)?;
    (crc32c::crc32c(covered).to_le_bytes() == checksum).then_some(covered)
}

fn number_at(bytes: &[u8], at: usize) -> u64 {
    let mut number = [0; 8];
    number.copy_from_slice(&bytes[at..at + 8]);
    u64::from_le_bytes(number)
}

fn new_epoch() -> u64 {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    RandomState::new().hash_one((now, std::process::id()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::disk::files::RealFiles;
    use crate::surrogate::Purged;
    use crate::target::Target;

    fn told(last: u64, base: u64, epoch: u64, records: Vec<Record>) -> Option<Told> {
        Some(Told { epoch, base, last, records })
    }

    fn url(id: u128, number: u64) -> Record {
        Record { subject: Subject::Url(id), number, hard: true }
    }

    #[test]
    fn what_was_appended_is_told_to_the_next_process_but_for_a_torn_end() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("purges");
        assert_eq!(Told::read(&path).unwrap(), None);
        let ledger = Ledger::default();
        ledger.note(3, &Target::All, Purged::Soft);
        let mut journal = Journal::start(&RealFiles, &path, 5, 2, 10, &ledger).unwrap();
        let prefix = Record { subject: Subject::Prefix(b"h /t/".as_slice().into()), number: 9, hard: true };
        journal.append(&[url(1, 10), Record { subject: Subject::Pin(4), number: 1 << 60, hard: false }]).unwrap();
        journal.append(&[prefix.clone(), url(2, 11)]).unwrap();
        let bytes = std::fs::read(&path).unwrap();
        let all = Told::decode(&bytes).unwrap();
        assert_eq!((all.epoch, all.base, all.last, all.records.len()), (5, 2, 11, 5));
        assert!(all.records.contains(&prefix));
        for end in 1..34 {
            let torn = Told::decode(&bytes[..bytes.len() - end]).unwrap();
            assert_eq!((torn.last, torn.records.len()), (10, 4), "{end} bytes cut off");
        }
        let zeros = [&bytes[..], &[0; 100]].concat();
        assert_eq!(Told::decode(&zeros).unwrap().records.len(), 5);
    }

    #[test]
    fn a_journal_with_a_hole_is_no_journal() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("purges");
        let mut journal = Journal::start(&RealFiles, &path, 5, 0, 1, &Ledger::default()).unwrap();
        (1..5).for_each(|number| journal.append(&[url(number.into(), number)]).unwrap());
        let mut bytes = std::fs::read(&path).unwrap();
        for at in HEAD_BYTES + 4..HEAD_BYTES + 34 {
            bytes[at] ^= 1;
            assert_eq!(Told::decode(&bytes), None, "byte {at}");
            bytes[at] ^= 1;
        }
        assert_eq!(Told::decode(&bytes[..HEAD_BYTES - 1]), None);
    }

    #[test]
    fn a_disk_that_was_away_keeps_its_objects_only_if_somebody_knows_all_purges_since() {
        let ledger = Ledger::default();
        let known = [told(20, 5, 1, vec![url(1, 20)]), told(9, 0, 2, vec![]), None];
        let merged = merge(&known, &ledger);
        assert_eq!((merged.epochs[0], merged.epochs[1], merged.next), (1, 2, (1 << RUN_BITS) + 1));
        assert_eq!(ledger.records(), [url(1, 20)]);
        let forgotten = [told(20, 15, 1, vec![]), told(9, 0, 2, vec![])];
        let merged = merge(&forgotten, &Ledger::default());
        assert!(merged.epochs[0] == 1 && merged.epochs[1] != 2);
    }

    #[test]
    fn numbers_of_one_run_are_not_used_by_the_next() {
        let first = merge(&[None], &Ledger::default()).next;
        // With some purges recorded in the first run, or none: one that was noted and not recorded has used numbers too.
        for last in [first + 7, first - 1] {
            let second = merge(&[told(last, 0, 1, vec![])], &Ledger::default()).next;
            assert!(second >> RUN_BITS > first >> RUN_BITS, "{last}");
        }
    }
}

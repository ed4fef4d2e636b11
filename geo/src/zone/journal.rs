//! A file of changes of a zone: what was accepted by UPDATE, or the copy of another server's zone.
//!
//! After a mark come entries, each with its length and a digest. One that was not written whole is at the end, was acknowledged to nobody and
//! is cut off; one that is whole and not right is an error, because what follows cannot be trusted. Invariant: what
//! [`append`] and [`replace`] have told to be written is there after a crash.

use std::fs::{File, OpenOptions};
use std::io::{Seek, SeekFrom, Write};
use std::path::Path;

use hickory_proto::rr::{Record, RecordType};
use hickory_proto::serialize::binary::{BinDecodable, BinDecoder, BinEncodable};
use ring::digest::{SHA256, digest};

use super::{Change, serial_of};
use crate::limits::{JOURNAL_BYTES_MAX, ZONE_BYTES_MAX};

const MARK: &[u8] = b"littoral zone journal 1\n";
const DIGEST_BYTES: usize = 8;
/// Length and digest.
const HEAD_BYTES: usize = 4 + DIGEST_BYTES;

/// A change, with its SOA records as the first of what goes and of what comes; or a whole zone.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Entry {
    pub(super) whole: bool,
    pub(super) from: u32,
    pub(super) to: u32,
    pub(super) removed: Vec<Record>,
    pub(super) added: Vec<Record>,
}

impl Entry {
    pub(super) fn of(change: &Change) -> Self {
        let with = |soa: &Record, others: &[Record]| std::iter::once(soa).chain(others).cloned().collect();
        let (removed, added) = (with(&change.from, &change.removed), with(&change.to, &change.added));
        Self { whole: false, from: serial_of(&change.from), to: serial_of(&change.to), removed, added }
    }

    pub(super) fn change(&self) -> Option<Change> {
        let (from, removed) = self.removed.split_first()?;
        let (to, added) = self.added.split_first()?;
        let are_soa = [from, to].iter().all(|record| record.record_type() == RecordType::SOA);
        let (removed, added) = (removed.to_vec(), added.to_vec());
        are_soa.then(|| Change { from: from.clone(), to: to.clone(), removed, added })
    }

    fn bytes(&self) -> std::io::Result<Vec<u8>> {
        let mut bytes = vec![u8::from(self.whole)];
        bytes.extend([self.from.to_be_bytes(), self.to.to_be_bytes()].concat());
        for records in [&self.removed, &self.added] {
            bytes.extend((records.len() as u32).to_be_bytes());
            for record in records {
                let record = record.to_bytes().map_err(std::io::Error::other)?;
                bytes.extend((record.len() as u32).to_be_bytes());
                bytes.extend(record);
            }
        }
        let length = u32::try_from(bytes.len()).map_err(std::io::Error::other)?;
        let digest = digest(&SHA256, &bytes);
        Ok([&length.to_be_bytes()[..], &digest.as_ref()[..DIGEST_BYTES], &bytes].concat())
    }

    fn read(mut bytes: &[u8]) -> Option<Self> {
        let number = |bytes: &mut &[u8]| {
            let (number, rest) = bytes.split_first_chunk::<4>()?;
            *bytes = rest;
            Some(u32::from_be_bytes(*number))
        };
        let (whole, rest) = bytes.split_first()?;
        bytes = rest;
        let (from, to) = (number(&mut bytes)?, number(&mut bytes)?);
        let mut lists = [Vec::new(), Vec::new()];
        for list in &mut lists {
            for _ in 0..number(&mut bytes)? {
                let length = number(&mut bytes)? as usize;
                let (record, rest) = bytes.split_at_checked(length)?;
                list.push(Record::read(&mut BinDecoder::new(record)).ok()?);
                bytes = rest;
            }
        }
        let [removed, added] = lists;
        bytes.is_empty().then_some(Self { whole: *whole == 1, from, to, removed, added })
    }
}

/// The entries of a file, none when it is not there. What was not written whole is cut off.
///
/// # Errors
/// What is wrong with it and what to do, to be read behind its name.
pub(super) fn read(file: &Path) -> Result<Vec<Entry>, String> {
    let unreadable = |error: std::io::Error| format!("cannot be read: {error}");
    let bytes = match std::fs::metadata(file) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        found if found.as_ref().is_ok_and(|found| found.len() > 2 * ZONE_BYTES_MAX) => {
            return Err(format!("it has more than {} bytes: take back the file", 2 * ZONE_BYTES_MAX));
        }
        _ => std::fs::read(file).map_err(unreadable)?,
    };
    if MARK.starts_with(&bytes) && bytes.len() < MARK.len() {
        return Ok(Vec::new());
    }
    let mut rest = bytes.strip_prefix(MARK).ok_or("it is no journal of a zone: name another file")?;
    let mut entries = Vec::new();
    while let Some((head, behind)) = rest.split_first_chunk::<HEAD_BYTES>() {
        let length = u32::from_be_bytes([head[0], head[1], head[2], head[3]]) as usize;
        let Some((entry, behind)) = behind.split_at_checked(length) else { break };
        let right = digest(&SHA256, entry).as_ref()[..DIGEST_BYTES] == head[4..];
        let entry = Some(entry).filter(|_| right).and_then(Entry::read);
        let at = bytes.len() - rest.len();
        entries.push(entry.ok_or_else(|| format!("damaged from byte {at} on: take back the file"))?);
        rest = behind;
    }
    if !rest.is_empty() {
        let end = (bytes.len() - rest.len()) as u64;
        OpenOptions::new().write(true).open(file).and_then(|file| file.set_len(end)).map_err(unreadable)?;
    }
    Ok(entries)
}

/// Bytes of a file; none when it is not there.
pub(super) fn bytes(file: &Path) -> u64 {
    std::fs::metadata(file).map_or(0, |file| file.len())
}

/// Whether it is time to write the whole zone instead.
pub(super) fn is_long(file: &Path) -> bool {
    bytes(file) > JOURNAL_BYTES_MAX
}

/// Writes entries behind the others. After a crash the first ones may be there alone.
pub(super) fn append(file: &Path, entries: &[Entry]) -> std::io::Result<()> {
    let bytes = entries.iter().map(Entry::bytes).collect::<std::io::Result<Vec<_>>>()?.concat();
    let mut file = OpenOptions::new().write(true).create(true).truncate(false).open(file)?;
    let end = match file.seek(SeekFrom::End(0))? {
        end if end < MARK.len() as u64 => {
            file.set_len(0)?;
            file.rewind()?;
            file.write_all(MARK)?;
            MARK.len() as u64
        }
        end => end,
    };
    let written = file.write_all(&bytes).and_then(|()| file.sync_data());
    if written.is_err() {
        // What was not acknowledged must not be there; where this fails, too, the next start cuts it off or keeps it whole.
        let _ = file.set_len(end);
    }
    written
}

/// Writes a file with this entry alone, in the place of the one there is.
pub(super) fn replace(file: &Path, entry: &Entry) -> std::io::Result<()> {
    let beside = file.with_extension("new");
    let mut new = File::create(&beside)?;
    new.write_all(MARK)?;
    new.write_all(&entry.bytes()?)?;
    new.sync_all()?;
    std::fs::rename(&beside, file)?;
    let directory = file.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    File::open(directory)?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::super::Zone;
    use super::*;

    fn entry(serial: u32) -> Entry {
        let zone = |serial, more: &str| {
            let text = format!("$TTL 60\n@ SOA Ns hostmaster {serial} 3600 600 86400 30\n@ NS Ns\n@ MX 1 Ns\n{more}");
            Zone::parse("example.", &text, "test").unwrap()
        };
        let later = zone(
            serial + 1,
            "@ DS 1 13 2 0000000000000000000000000000000000000000000000000000000000000000\n@ TXT \"x\"\n",
        );
        Entry::of(&zone(serial, "@ HTTPS 1 . alpn=h2\n").change_to(&later))
    }

    #[test]
    fn what_was_written_is_read_again_and_what_was_not_written_whole_is_cut_off() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("journal");
        assert_eq!(read(&file), Ok(Vec::new()));
        let entries: Vec<Entry> = (1..4).map(entry).collect();
        append(&file, &entries[..2]).unwrap();
        append(&file, &entries[2..]).unwrap();
        assert_eq!(read(&file), Ok(entries.clone()));
        let whole = std::fs::read(&file).unwrap();
        for cut in 0..whole.len() {
            std::fs::write(&file, &whole[..cut]).unwrap();
            let kept = read(&file).unwrap();
            assert_eq!(kept, entries[..kept.len()], "{cut}");
            append(&file, &entries[..1]).unwrap();
            assert_eq!(read(&file).unwrap().len(), kept.len() + 1, "{cut}");
        }
        replace(&file, &entries[2]).unwrap();
        assert_eq!(read(&file), Ok(entries[2..].to_vec()));
    }

    #[test]
    fn what_is_damaged_is_told_and_not_read_over() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("journal");
        append(&file, &[entry(1), entry(2)]).unwrap();
        let mut bytes = std::fs::read(&file).unwrap();
        bytes[MARK.len() + HEAD_BYTES + 3] ^= 1;
        std::fs::write(&file, &bytes).unwrap();
        assert_eq!(read(&file).unwrap_err(), format!("damaged from byte {} on: take back the file", MARK.len()));
        std::fs::write(&file, "$TTL 60\n").unwrap();
        assert!(read(&file).unwrap_err().contains("no journal"));
    }
}

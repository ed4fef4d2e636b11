//! What changes of an object without its body: its header, written over the one before.
//!
//! A soft purge is noted in the file so that the ledger may forget it, and a 304 changes fields and lifetime. Both keep to the
//! bytes that the header has; torn by a loss of power, it is refused like any other. Invariant: only the file that was meant
//! is changed, however often its name was given to another one meanwhile.

use super::files::Opened;
use super::format::Header;
use super::reader::{Miss, Object};
use super::{Shared, Volume};
use crate::entry::Entry;

/// Which file of an object is meant: when what it has was stored, and after which purges.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Stamp {
    pub(crate) stored_ms: u64,
    pub(crate) purges: u64,
}

/// What came of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Amended {
    /// It is done, or was.
    Done,
    /// The file is another one by now.
    Other,
    /// There is no such file, or it could not be written over.
    Failed,
}

impl Stamp {
    pub(crate) fn of(entry: &Entry) -> Self {
        Self { stored_ms: entry.stored_ms(), purges: entry.purges() }
    }

    pub(super) fn of_header(header: &Header) -> Self {
        Self { stored_ms: header.stored_ms, purges: header.purges }
    }
}

impl Volume {
    /// Notes in an object's file that it was soft purged since it was stored, so that the purge can be forgotten.
    pub(super) fn mark_expired(&self, id: u128, stamp: Stamp) -> Amended {
        self.amend(id, stamp, |header| header.expired = true)
    }

    /// Gives an object's file the fields and lifetime of `entry`, which has the same body.
    pub(super) fn confirm(&self, id: u128, stamp: Stamp, entry: &Entry, expired: bool) -> Amended {
        self.amend(id, stamp, |header| {
            header.head = entry.head().clone();
            header.lifetime = *entry.lifetime();
            header.expired = expired;
            header.stored_ms = entry.stored_ms();
            header.purges = entry.purges();
            header.pinned_until_ms = header.pinned_until_ms.max(entry.pinned_until_ms());
        })
    }

    /// Removes the file of an object unless it is another one than is meant.
    pub(super) fn remove_stamped(&self, id: u128, stamp: Stamp, shared: &Shared) {
        let _changing = self.changing.lock();
        let there = self.files.open(&self.path_of(id)).map_err(Miss::from).and_then(Object::open);
        match there {
            Ok(object) if Stamp::of_header(&object.header) != stamp => {}
            Err(Miss::Absent) => {}
            // What cannot be read is not kept for what it may be.
            _ => self.remove_now(id, shared),
        }
    }

    fn amend(&self, id: u128, stamp: Stamp, change: impl FnOnce(&mut Header)) -> Amended {
        let _changing = self.changing.lock();
        let opened = self.files.change(&self.path_of(id)).map_err(Miss::from).and_then(Object::open);
        let Ok(Object { mut header, file, body_at, .. }) = opened else { return Amended::Failed };
        if header.epoch != self.epoch || Stamp::of_header(&header) != stamp {
            return Amended::Other;
        }
        change(&mut header);
        match header.encode_into(body_at) {
            Some(bytes) if self.write_over(file.as_ref(), &bytes) => Amended::Done,
            _ => Amended::Failed,
        }
    }

    fn write_over(&self, file: &dyn Opened, bytes: &[u8]) -> bool {
        let _nobody_reads = self.amending.write();
        file.write_at(bytes, 0).is_ok()
    }
}

//! Reading: opening an object's file, verifying what it says, and handing out its body block by block, each verified.
//!
//! Reads block, so they are done by a few threads of their own; what waits for them is bounded.

use std::collections::VecDeque;
use std::io::ErrorKind;
use std::os::fd::BorrowedFd;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use bytes::Bytes;
use parking_lot::{Condvar, Mutex};

use super::files::Opened;
use super::format::{Header, LENGTHS_BYTES, Lengths, Refused};
use super::{DiskCounters, Volume, layout};
use crate::limits::{BLOCK_BYTES, DISK_BLOCK_BYTES, DISK_READERS, DISK_READS};

/// Bytes read at first: most headers, and the whole of a small object.
const FIRST_BYTES: u64 = 16 << 10;

/// An object's file, its header read and verified.
pub(crate) struct Object {
    pub(crate) header: Header,
    pub(crate) file_bytes: u64,
    pub(super) file: Box<dyn Opened>,
    /// Where the body begins.
    pub(super) body_at: u64,
    /// What was read with the header.
    first: Vec<u8>,
}

/// Why there is no object.
#[derive(Debug)]
pub(super) enum Miss {
    /// There is no file.
    Absent,
    /// The file is not this object's as it was written.
    Refused(Refused),
    /// The file system failed.
    Failed(std::io::Error),
}

/// Why a body cannot be read on.
#[derive(Debug, thiserror::Error)]
pub enum Broken {
    /// A block is not as it was written.
    #[error("a block of the body on disk has changed")]
    Changed,
    /// The file system failed.
    #[error("reading from disk: {0}")]
    Failed(std::io::Error),
    /// Too many reads wait.
    #[error("too many reads of the disk wait")]
    Refused,
}

impl From<std::io::Error> for Broken {
    fn from(error: std::io::Error) -> Self {
        match error.kind() {
            ErrorKind::UnexpectedEof => Self::Changed,
            _ => Self::Failed(error),
        }
    }
}

impl From<Refused> for Miss {
    fn from(refused: Refused) -> Self {
        Self::Refused(refused)
    }
}

impl From<std::io::Error> for Miss {
    fn from(error: std::io::Error) -> Self {
        match error.kind() {
            ErrorKind::NotFound => Self::Absent,
            // Shorter than its length was a moment ago.
            ErrorKind::UnexpectedEof => Self::Refused(Refused::Length),
            _ => Self::Failed(error),
        }
    }
}

impl Object {
    /// Reads the beginning of `file` and verifies it, whoever's object it is.
    pub(super) fn open(file: Box<dyn Opened>) -> Result<Self, Miss> {
        let file_bytes = file.length()?;
        let mut first = vec![0; file_bytes.min(FIRST_BYTES) as usize];
        file.read_at(&mut first, 0)?;
        let lengths = Lengths::decode(first.get(..LENGTHS_BYTES).ok_or(Refused::Length)?)?;
        if lengths.file() != file_bytes {
            return Err(Refused::Length.into());
        }
        let header = match first.get(..lengths.header as usize) {
            Some(header) => Header::decode(header)?,
            None => {
                let mut header = vec![0; lengths.header as usize];
                file.read_at(&mut header, 0)?;
                Header::decode(&header)?
            }
        };
        Ok(Self { header, file_bytes, file, body_at: lengths.header, first })
    }

    /// The name it must have on disk.
    pub(super) fn id(&self) -> u128 {
        let variance = self.header.variance.as_ref().filter(|_| self.header.is_variant);
        layout::id_of(&self.header.key, variance)
    }

    /// The whole body, in blocks as memory has them.
    pub(super) fn read_body(&self) -> Result<Vec<Bytes>, Broken> {
        let mut pieces = Vec::new();
        let mut at = 0;
        while at < self.header.body {
            let mut piece = vec![0; (self.header.body - at).min(BLOCK_BYTES as u64) as usize];
            for block in piece.chunks_mut(DISK_BLOCK_BYTES as usize) {
                self.read_into(block, at / DISK_BLOCK_BYTES, at)?;
                at += block.len() as u64;
            }
            pieces.push(Bytes::from(piece));
        }
        Ok(pieces)
    }

    /// Reads a block that begins at `from` in the body, and verifies it. Waits for the medium.
    pub(super) fn read_into(&self, block: &mut [u8], number: u64, from: u64) -> Result<(), Broken> {
        if !self.is_read_first(block, from) {
            self.file.read_at(block, self.body_at + from)?;
        }
        self.verify(block, number)
    }

    /// Reads what begins at `from` in the body without verifying it, if that takes no waiting; `false` when it would.
    pub(super) fn read_at_once(&self, into: &mut [u8], from: u64) -> Result<bool, Broken> {
        Ok(self.is_read_first(into, from) || self.file.read_at_once(into, self.body_at + from)?)
    }

    /// Sends what begins at `from` in the body without verifying it; as [`super::files::Opened::send_at_once`].
    pub(super) fn send_at_once(&self, from: u64, bytes: usize, to: BorrowedFd<'_>) -> std::io::Result<Option<usize>> {
        self.file.send_at_once(self.body_at + from, bytes, to)
    }

    /// Whether the system has this much of the body in memory.
    pub(super) fn is_in_memory(&self, from: u64, bytes: u64) -> bool {
        self.file.is_in_memory(self.body_at + from, bytes)
    }

    /// Lets go of what was read with the header.
    pub(super) fn forget_first(&mut self) {
        self.first = Vec::new();
    }

    /// Takes a block from what was read with the header, when it is there.
    fn is_read_first(&self, block: &mut [u8], from: u64) -> bool {
        let at = usize::try_from(self.body_at + from).ok();
        let first = at.and_then(|at| self.first.get(at..at.checked_add(block.len())?));
        first.inspect(|first| block.copy_from_slice(first)).is_some()
    }

    /// Whether `block` is as it was written.
    pub(super) fn verify(&self, block: &[u8], number: u64) -> Result<(), Broken> {
        let right = block.is_empty() || self.header.is_block(number, block);
        if right { Ok(()) } else { Err(Broken::Changed) }
    }
}

const _: () = assert!((BLOCK_BYTES as u64).is_multiple_of(DISK_BLOCK_BYTES));

impl Volume {
    /// Opens the object `id`. A file that is not it is removed and counted; a failing disk counts its failures.
    pub(crate) fn open(&self, id: u128, counters: &DiskCounters) -> Option<Object> {
        let path = self.path_of(id);
        let opened = self.files.open(&path).map_err(Miss::from);
        let opened = opened.and_then(|file| {
            let _whole = self.amending.read();
            Object::open(file)
        });
        let opened = opened.and_then(|object| match object.header.epoch == self.epoch && object.id() == id {
            true => Ok(object),
            false => Err(Refused::Content.into()),
        });
        match opened {
            Ok(object) => {
                self.worked();
                Some(object)
            }
            Err(Miss::Absent) => {
                // By the thread that writes: it may be there by now.
                if self.index.get(id).is_some() {
                    self.doom(id);
                }
                None
            }
            Err(Miss::Refused(_)) => {
                self.refuse(id, counters);
                None
            }
            Err(Miss::Failed(error)) => {
                self.failed("reading an object", &error, counters);
                None
            }
        }
    }

    /// Reads the body of an object. What has changed is removed.
    pub(crate) fn read_body(&self, id: u128, object: &Object, counters: &DiskCounters) -> Option<Vec<Bytes>> {
        object.read_body().inspect_err(|broken| self.broke(id, broken, counters)).ok()
    }

    /// Does what is to be done about an object whose body cannot be read.
    pub(super) fn broke(&self, id: u128, broken: &Broken, counters: &DiskCounters) {
        match broken {
            Broken::Refused => {
                counters.reads_refused.fetch_add(1, Relaxed);
            }
            Broken::Changed => self.refuse(id, counters),
            Broken::Failed(error) => self.failed("reading an object", error, counters),
        }
    }

    fn refuse(&self, id: u128, counters: &DiskCounters) {
        counters.corrupt.fetch_add(1, Relaxed);
        self.doom(id);
    }
}

type Read = Box<dyn FnOnce() + Send>;

/// The threads that read.
#[derive(Clone)]
pub(crate) struct Readers(Arc<Waiting>);

#[derive(Default)]
struct Waiting {
    reads: Mutex<(VecDeque<Read>, bool)>,
    filled: Condvar,
}

impl Readers {
    pub(super) fn start() -> std::io::Result<Self> {
        let waiting = Arc::new(Waiting::default());
        for number in 0..DISK_READERS {
            let waiting = waiting.clone();
            let body = move || {
                while let Some(read) = waiting.next() {
                    read();
                }
            };
            std::thread::Builder::new().name(format!("disk-reader-{number}")).spawn(body)?;
        }
        Ok(Self(waiting))
    }

    /// Has `read` done; gives it back when too many wait.
    pub(crate) fn submit(&self, read: impl FnOnce() + Send + 'static) -> bool {
        let mut reads = self.0.reads.lock();
        let taken = reads.0.len() < DISK_READS && !reads.1;
        if taken {
            reads.0.push_back(Box::new(read));
            self.0.filled.notify_one();
        }
        taken
    }

    pub(super) fn close(&self) {
        let mut reads = self.0.reads.lock();
        (reads.0, reads.1) = (VecDeque::new(), true);
        self.0.filled.notify_all();
    }
}

impl Waiting {
    fn next(&self) -> Option<Read> {
        let mut reads = self.reads.lock();
        loop {
            if reads.1 {
                return None;
            }
            if let Some(read) = reads.0.pop_front() {
                return Some(read);
            }
            self.filled.wait(&mut reads);
        }
    }
}

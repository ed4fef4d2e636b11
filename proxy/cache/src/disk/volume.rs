//! One disk: its directory, its index, its journal, and whether it is in use.

use std::fs::File;
use std::io::{Error, ErrorKind};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, OnceLock};

use parking_lot::{Condvar, Mutex, RwLock};
use rustix::io::Errno;

use super::DiskCounters;
use super::DiskSettings;
use super::exact::Exactly;
use super::files::Files;
use super::index::DiskIndex;
use super::journal::{Journal, Record};
use super::layout;
use super::ledger::Ledger;
use super::writer::Queue;
use crate::key::digest;
use crate::limits::DISK_FAILURES;

/// One disk.
pub struct Volume {
    settings: DiskSettings,
    /// Of its path, for its share of the objects.
    seed: u64,
    pub(super) root: PathBuf,
    pub(super) files: Arc<dyn Files>,
    pub(super) index: DiskIndex,
    pub(super) queue: Queue,
    pub(super) exact: Exactly,
    /// Held while a file is put in its place or changed there.
    pub(super) changing: Mutex<()>,
    /// Held by who writes over a header, and shared by who reads one.
    pub(super) amending: RwLock<()>,
    /// Objects written under another journal are not this one's.
    pub(super) epoch: u64,
    pub(super) looked_at: AtomicU64,
    scanned: (Mutex<bool>, Condvar),
    is_scanned: AtomicBool,
    journal: Mutex<Option<Journal>>,
    failures: AtomicU32,
    /// The index does not say all: a variant is there, which a purge of its URL names, or a file that could not be removed.
    holds_more: AtomicBool,
    out: OnceLock<String>,
    lock: Mutex<Option<File>>,
}

/// Whether a disk is used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Standing {
    /// It is.
    InUse,
    /// It is not, for this reason, until the node starts anew.
    Out(String),
}

/// A directory that is ours.
pub(super) struct Claim {
    pub(super) root: PathBuf,
    lock: File,
}

/// Makes the directory, locks it and removes what was being written when its last node ended.
pub(super) fn claim(settings: &DiskSettings) -> Result<Claim, String> {
    let root = settings.path.clone();
    let unfinished = layout::unfinished(&root);
    for directory in [layout::objects(&root), unfinished.clone()] {
        std::fs::create_dir_all(&directory).map_err(|error| format!("cannot make {}: {error}", directory.display()))?;
    }
    let path = layout::lock(&root);
    let lock = File::options().create(true).truncate(false).write(true).open(&path);
    let lock = lock.map_err(|error| format!("cannot open {}: {error}", path.display()))?;
    lock.try_lock().map_err(|_| "another node uses it: give each node a directory of its own".to_owned())?;
    let leftovers = std::fs::read_dir(&unfinished).map_err(|error| format!("cannot read it: {error}"))?;
    for leftover in leftovers.flatten() {
        std::fs::remove_file(leftover.path()).map_err(|error| format!("cannot remove a file in it: {error}"))?;
    }
    Ok(Claim { root, lock })
}

/// The disk in use that an object falls to: the same one in every process, as long as the disks are.
pub(super) fn place(volumes: &[Arc<Volume>], id: u128) -> Option<&Arc<Volume>> {
    match volumes {
        [] => None,
        [one] => Some(one).filter(|volume| !volume.is_out()),
        many => {
            let in_use = many.iter().filter(|volume| !volume.is_out());
            in_use.max_by(|a, b| a.share(id).total_cmp(&b.share(id)))
        }
    }
}

impl Volume {
    pub(super) fn new(settings: DiskSettings, files: Arc<dyn Files>, claim: Result<(Claim, Journal), String>) -> Self {
        let out = OnceLock::new();
        let (lock, journal) = match claim {
            Ok((claim, journal)) => (Some(claim.lock), Some(journal)),
            Err(why) => {
                let _ = out.set(why);
                (None, None)
            }
        };
        Self {
            seed: digest(&[settings.path.as_os_str().as_encoded_bytes()]) as u64,
            root: settings.path.clone(),
            settings,
            files,
            index: DiskIndex::default(),
            queue: Queue::default(),
            exact: Exactly::default(),
            changing: Mutex::default(),
            amending: RwLock::default(),
            epoch: journal.as_ref().map_or(0, |journal: &Journal| journal.epoch),
            looked_at: AtomicU64::new(0),
            scanned: (Mutex::new(false), Condvar::new()),
            is_scanned: AtomicBool::new(false),
            journal: Mutex::new(journal),
            failures: AtomicU32::new(0),
            holds_more: AtomicBool::new(false),
            out,
            lock: Mutex::new(lock),
        }
    }

    /// How it is used.
    pub fn settings(&self) -> &DiskSettings {
        &self.settings
    }

    /// What is on it.
    pub fn index(&self) -> &DiskIndex {
        &self.index
    }

    /// Whether it is used.
    pub fn standing(&self) -> Standing {
        self.out.get().map_or(Standing::InUse, |why| Standing::Out(why.clone()))
    }

    /// Whether all that was there at the start is in the index.
    pub fn is_scanned(&self) -> bool {
        self.is_scanned.load(Relaxed)
    }

    /// Files looked at so far by the scan that runs or ran last.
    pub fn looked_at(&self) -> u64 {
        self.looked_at.load(Relaxed)
    }

    /// Objects and bytes of bodies that wait to be written.
    pub fn waiting(&self) -> (usize, u64) {
        self.queue.waiting()
    }

    pub(super) fn is_out(&self) -> bool {
        self.out.get().is_some()
    }

    /// Whether an object may be here: what the index does not have yet may be. One that waits to be replaced or removed is
    /// not: what is here is older.
    pub(super) fn may_have(&self, id: u128) -> bool {
        !self.queue.concerns(id) && (self.index.get(id).is_some() || !self.is_scanned())
    }

    /// Whether the file of a URL's primary object may be there, or may be soon.
    pub(super) fn holds(&self, url: u128) -> bool {
        self.queue.concerns(url) || self.index.get(url).is_some()
    }

    /// Whether a purge of a URL may name files that the index does not have under its name.
    pub(super) fn holds_more_than_urls(&self) -> bool {
        !self.is_scanned() || self.is_out() || self.holds_more.load(Relaxed)
    }

    pub(super) fn note_variant(&self, is_variant: bool) {
        if is_variant {
            self.holds_more.store(true, Relaxed);
        }
    }

    /// Takes it out, for good.
    pub(super) fn take_out(&self, why: String) {
        let _ = self.out.set(why);
        self.queue.clear();
        self.set_scanned();
    }

    /// Lets go of the directory: another process may claim it.
    pub(super) fn release(&self) {
        self.take_out("handed over to another process".to_owned());
        self.close();
        *self.journal.lock() = None;
        *self.lock.lock() = None;
    }

    /// Counts a failure of the file system; too many in a row, or one that will not pass, take the disk out. That the process has
    /// no file descriptor or memory left says nothing of the disk.
    pub(super) fn failed(&self, doing: &str, error: &Error, counters: &DiskCounters) {
        counters.errors.fetch_add(1, Relaxed);
        if matches!(Errno::from_io_error(error), Some(Errno::MFILE | Errno::NFILE | Errno::NOMEM)) {
            return;
        }
        let failures = self.failures.fetch_add(1, Relaxed) + 1;
        if failures >= DISK_FAILURES || error.kind() == ErrorKind::ReadOnlyFilesystem {
            self.take_out(format!("{doing} failed: {error}"));
        }
    }

    pub(super) fn worked(&self) {
        if self.failures.load(Relaxed) > 0 {
            self.failures.store(0, Relaxed);
        }
    }

    /// Records what was noted; a journal that fails takes its disk out, because what it lacks could come back from it.
    pub(super) fn record(&self, records: &[Record], counters: &DiskCounters) {
        let mut journal = self.journal.lock();
        if let Some(Err(error)) = journal.as_mut().map(|journal| journal.append(records)) {
            *journal = None;
            counters.unrecorded.fetch_add(records.len() as u64, Relaxed);
            counters.errors.fetch_add(1, Relaxed);
            self.take_out(format!("recording a purge failed: {error}"));
        }
    }

    pub(super) fn renew_journal(&self, ledger: &Ledger, base: u64, next: u64, counters: &DiskCounters) {
        let mut journal = self.journal.lock();
        if journal.is_none() {
            return;
        }
        match Journal::start(self.files.as_ref(), &layout::journal(&self.root), self.epoch, base, next, ledger) {
            Ok(renewed) => *journal = Some(renewed),
            Err(error) => {
                *journal = None;
                counters.errors.fetch_add(1, Relaxed);
                self.take_out(format!("writing its journal anew failed: {error}"));
            }
        }
    }

    /// How strongly this disk is the one for an object: weighted rendezvous hashing, so that a disk that is taken out or
    /// added moves its own share only.
    fn share(&self, id: u128) -> f64 {
        let mixed = mixed_bits(self.seed ^ id as u64 ^ (id >> 64) as u64);
        let unit = ((mixed >> 11) as f64 + 0.5) / (1_u64 << 53) as f64;
        -f64::from(self.settings.weight) / unit.ln()
    }

    pub(super) fn set_scanned(&self) {
        self.is_scanned.store(true, Relaxed);
        *self.scanned.0.lock() = true;
        self.scanned.1.notify_all();
    }

    pub(super) fn wait_for_scan(&self, closing: &AtomicBool) {
        let mut scanned = self.scanned.0.lock();
        while !*scanned && !self.is_out() && !closing.load(Relaxed) {
            self.scanned.1.wait(&mut scanned);
        }
    }

    pub(super) fn close(&self) {
        self.queue.close();
        self.scanned.1.notify_all();
    }

    /// The path of an object.
    pub(super) fn path_of(&self, id: u128) -> PathBuf {
        layout::object(&self.root, id)
    }

    /// Removes a file; one that is not there is removed.
    pub(super) fn unlink(&self, path: &Path, counters: &DiskCounters) {
        match self.files.remove(path) {
            Err(error) if error.kind() != ErrorKind::NotFound => {
                self.holds_more.store(true, Relaxed);
                self.failed("removing a file", &error, counters);
            }
            _ => {}
        }
    }
}

/// The finaliser of SplitMix64: every bit of the argument changes half of the result's.
fn mixed_bits(mut bits: u64) -> u64 {
    bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    bits ^ (bits >> 31)
}

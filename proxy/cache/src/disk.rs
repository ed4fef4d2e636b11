//! The disk tier: objects that outlive the process, and those for which memory is too small.
//!
//! It keeps one file for each object, on the disk that its name falls to; what is published is written behind the request,
//! what memory does not have is read back and verified. Which objects are looked up, published and purged, the
//! [store](crate::store) says.
//!
//! Invariants: bytes that were not written as an object are never handed out; nothing that a purge names is handed out after
//! the purge was answered, in this process or the next; a request never waits for a write; a disk that fails is taken out and
//! the node goes on.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::thread::JoinHandle;
use std::time::{Instant, SystemTime};

use arc_swap::ArcSwap;
use parking_lot::{Condvar, Mutex};

mod amend;
mod evict;
mod exact;
pub mod files;
pub mod format;
pub mod index;
mod journal;
pub mod layout;
mod ledger;
pub mod offline;
mod opened;
mod reader;
mod scan;
mod stream;
mod volume;
mod writer;

pub use volume::{Standing, Volume};

use crate::entry::{Entry, millis};
use crate::evict::{Entropy, Eviction};
use crate::key::Key;
use crate::limits::{DISK_QUEUE_BYTES, DISK_QUEUE_SHARE};
use crate::surrogate::Purged;
use crate::target::Target;
pub(crate) use amend::Stamp;
use files::{Files, RealFiles};
use index::Item;
use journal::{Journal, Told, merge};
use layout::id_of;
use ledger::Ledger;
use opened::Opened;
pub(crate) use opened::{Before, Kept};
pub use reader::Broken;
pub(crate) use reader::{Object, Readers};
pub use stream::Streamed;

/// How a disk is used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DiskSettings {
    /// The directory; nothing else may be in it.
    pub path: PathBuf,
    /// Bytes of files, in whole blocks.
    pub bytes: u64,
    /// Bytes left free for others on its file system.
    pub min_free: u64,
    /// Its share of the objects, relative to other disks.
    pub weight: u32,
    /// Whether a body is brought to the medium before its file appears.
    pub sync: bool,
}

/// What the disk tier counted.
#[derive(Debug, Default)]
pub struct DiskCounters {
    /// Objects read back into memory.
    pub hits: AtomicU64,
    /// Objects written.
    pub writes: AtomicU64,
    /// Objects whose fields were written anew, after a 304, without their body.
    pub confirmed: AtomicU64,
    /// Objects served from disk without being brought to memory.
    pub streamed: AtomicU64,
    /// Bytes written.
    pub written_bytes: AtomicU64,
    /// Objects not written, by [`SKIPPED`].
    pub skipped: [AtomicU64; SKIPPED.len()],
    /// Files refused and removed: torn, changed, of another version or another key.
    pub corrupt: AtomicU64,
    /// Files removed because a purge names them.
    pub purged: AtomicU64,
    /// Objects evicted by the policy.
    pub evicted: AtomicU64,
    /// Handles that the exact policies named and that were not there.
    pub exact_nonsense: AtomicU64,
    /// Exact policies that were given up because they faulted.
    pub exact_broken: AtomicU64,
    /// Operations that a file system failed.
    pub errors: AtomicU64,
    /// Lookups that were misses because too many reads waited.
    pub reads_refused: AtomicU64,
    /// Purges that a journal could not record: its disk was taken out.
    pub unrecorded: AtomicU64,
}

/// Why an object is not written: too much waits already, no space, fields too long, purged meanwhile, an error, or the policy refuses
/// it.
pub const SKIPPED: [&str; 6] = ["queue", "space", "header", "purged", "error", "policy"];

/// A place in [`SKIPPED`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Skip {
    Queue = 0,
    Space = 1,
    Header = 2,
    Purged = 3,
    Error = 4,
    Policy = 5,
}

/// A policy that can be replaced.
pub(crate) type SharedPolicy = Arc<ArcSwap<Box<dyn Eviction>>>;

/// What all disks share.
pub(crate) struct Shared {
    pub(crate) ledger: Ledger,
    pub(crate) counters: DiskCounters,
    pub(crate) policy: OnceLock<SharedPolicy>,
    pub(crate) closing: AtomicBool,
    pub(crate) opened: Opened,
    /// The number of the next purge.
    next_purge: AtomicU64,
    /// The lowest number from which on the ledger knows all purges.
    base: AtomicU64,
    /// Held while journals are written.
    commit: Mutex<()>,
    random: Entropy,
    /// Rounds of the keeper that are over; told when one is, and when the ledger fills up.
    rounds: (Mutex<u64>, Condvar),
}

/// All disks of a node.
pub struct Disks {
    pub(crate) shared: Arc<Shared>,
    threads: Mutex<Vec<JoinHandle<()>>>,
    volumes: Arc<[Arc<Volume>]>,
    pub(crate) readers: Readers,
}

impl std::fmt::Debug for Disks {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Disks").field("volumes", &self.volumes.len()).finish_non_exhaustive()
    }
}

impl Disks {
    /// Opens the directories. One that cannot be used is out from the start; [`Volume::standing`] says why.
    ///
    /// # Errors
    /// When threads cannot be started.
    pub fn open(settings: Vec<DiskSettings>) -> std::io::Result<Self> {
        Self::open_on(Arc::new(RealFiles), settings)
    }

    /// Like [`Self::open`], on another file system.
    ///
    /// # Errors
    /// As [`Self::open`].
    pub fn open_on(files: Arc<dyn Files>, settings: Vec<DiskSettings>) -> std::io::Result<Self> {
        let opened: Vec<_> = settings.iter().map(volume::claim).collect();
        let told: Vec<Option<Told>> = opened
            .iter()
            .filter_map(|claim| claim.as_ref().ok())
            .map(|claim| Told::read(&layout::journal(&claim.root)).unwrap_or(None))
            .collect();
        let ledger = Ledger::default();
        let merged = merge(&told, &ledger);
        let mut epochs = merged.epochs.iter();
        let mut volumes = Vec::new();
        for (settings, claim) in settings.into_iter().zip(opened) {
            let started = claim.and_then(|claim| {
                let epoch = epochs.next().copied().unwrap_or_default();
                let path = layout::journal(&claim.root);
                Journal::start(files.as_ref(), &path, epoch, merged.base, merged.next, &ledger)
                    .map(|journal| (claim, journal))
                    .map_err(|error| format!("cannot write its journal: {error}"))
            });
            volumes.push(Arc::new(Volume::new(settings, files.clone(), started)));
        }
        let shared = Arc::new(Shared {
            ledger,
            counters: DiskCounters::default(),
            policy: OnceLock::new(),
            closing: AtomicBool::new(false),
            opened: Opened::default(),
            next_purge: AtomicU64::new(merged.next),
            base: AtomicU64::new(merged.base),
            commit: Mutex::new(()),
            random: Entropy::default(),
            rounds: (Mutex::new(0), Condvar::new()),
        });
        Ok(Self { shared, threads: Mutex::default(), volumes: volumes.into(), readers: Readers::start()? })
    }

    /// Begins to write, to evict and to look through what is there.
    /// `memory_bytes`: what the memory tier may take, which holds what waits to be written.
    pub(crate) fn start(&self, policy: SharedPolicy, memory_bytes: u64) -> std::io::Result<()> {
        let _ = self.shared.policy.set(policy);
        let queued_max = DISK_QUEUE_BYTES.min(memory_bytes / DISK_QUEUE_SHARE / self.volumes.len().max(1) as u64);
        self.volumes.iter().for_each(|volume| volume.queue.set_bound(queued_max));
        for (number, volume) in self.volumes.iter().enumerate() {
            let (volume, shared) = (volume.clone(), self.shared.clone());
            let body = move || volume.write_all(&shared);
            let thread = std::thread::Builder::new().name(format!("disk-writer-{number}")).spawn(body)?;
            self.threads.lock().push(thread);
        }
        let (volumes, shared) = (self.volumes.clone(), self.shared.clone());
        let body = move || scan::keep(&shared, &volumes);
        self.threads.lock().push(std::thread::Builder::new().name("disk-keeper".into()).spawn(body)?);
        Ok(())
    }

    /// The disks.
    pub fn volumes(&self) -> &[Arc<Volume>] {
        &self.volumes
    }

    /// What was counted.
    pub fn counters(&self) -> &DiskCounters {
        &self.shared.counters
    }

    /// Purges that are remembered for what is on disk, and how often they became too many.
    pub fn ledger(&self) -> (usize, u64) {
        (self.shared.ledger.targets(), self.shared.ledger.overflows.load(Relaxed))
    }

    /// How full the emptiest disk in use is, in permille; 1000 when none is.
    pub(crate) fn fill_permille(&self) -> u16 {
        let in_use = self.volumes.iter().filter(|volume| !volume.is_out());
        let full = in_use.map(|volume| volume.index().bytes().saturating_mul(1000) / volume.settings().bytes.max(1));
        full.min().map_or(1000, |full| u16::try_from(full).unwrap_or(u16::MAX))
    }

    /// The number of the next purge.
    pub(crate) fn next_purge(&self) -> u64 {
        self.shared.next_purge.load(Relaxed)
    }

    /// What is known of the primary object of a key; `None` when no disk has it.
    pub fn item(&self, key: &Key) -> Option<Item> {
        let id = url_id(key.text());
        volume::place(&self.volumes, id)?.index().get(id)
    }

    /// The disk that may have an object; `None` when none has it.
    pub(crate) fn having(&self, id: u128) -> Option<Arc<Volume>> {
        volume::place(&self.volumes, id).filter(|volume| volume.may_have(id)).cloned()
    }

    /// Has a published entry written. Returns at once, whether it will be written or not.
    pub(crate) fn offer(&self, entry: &Arc<Entry>) {
        if let Some(volume) = volume::place(&self.volumes, entry.disk_id()) {
            volume.offer(entry, &self.shared.counters);
        }
    }

    /// Has the file `stamp` of an object confirmed by an entry with other fields. Returns at once, as [`Self::offer`] does.
    pub(crate) fn offer_confirmed(&self, stamp: Stamp, entry: &Arc<Entry>) {
        if let Some(volume) = volume::place(&self.volumes, entry.disk_id()) {
            volume.offer_confirmed(stamp, entry, &self.shared.counters);
        }
    }

    /// Counts the use of an object that stays on disk.
    pub(crate) fn note_streamed(&self, volume: &Volume, id: u128, now_ms: u64) {
        self.shared.counters.streamed.fetch_add(1, Relaxed);
        volume.used(id, now_ms, |item| {
            item.hits = item.hits.saturating_add(1);
            item.used_s = u32::try_from(now_ms / 1000).unwrap_or(u32::MAX);
            true
        });
    }

    /// Objects that are kept open.
    pub fn opened(&self) -> usize {
        self.shared.opened.len()
    }

    /// The body of an object that is read while it is served.
    pub(crate) fn stream(&self, id: u128, object: Object, volume: Arc<Volume>) -> Streamed {
        Streamed::new(id, object, volume, self.shared.clone(), self.readers.clone())
    }

    /// Notes that an entry left memory, so that its use there counts on disk.
    pub(crate) fn note_use(&self, entry: &Entry) {
        let id = entry.disk_id();
        if let Some(volume) = volume::place(&self.volumes, id) {
            volume.used(id, entry.used_ms(), |item| {
                item.used_s = item.used_s.max(u32::try_from(entry.used_ms() / 1000).unwrap_or(u32::MAX));
                let hits = u16::try_from(entry.hits()).unwrap_or(u16::MAX);
                let was_used = hits > item.hits;
                item.hits = item.hits.max(hits);
                was_used
            });
        }
    }

    /// Notes a purge: what it names is not handed out from now on. It is durable after [`Self::commit`].
    pub(crate) fn note(&self, number: u64, target: &Target, purged: Purged) {
        let may_name = match target {
            // Most URLs that are purged again and again are not there; they would only fill the ledger.
            Target::Url(key) => self.may_hold(url_id(key.text())),
            _ => true,
        };
        if may_name {
            self.shared.ledger.note(number, target, purged);
        }
        self.shared.next_purge.fetch_max(number + 1, Relaxed);
        if self.shared.ledger.is_filling() {
            self.shared.rounds.1.notify_all();
        }
    }

    /// Whether there may be a file of a URL or of one of its variants.
    fn may_hold(&self, url: u128) -> bool {
        let elsewhere = self.volumes.iter().any(|volume| volume.holds_more_than_urls());
        elsewhere || volume::place(&self.volumes, url).is_some_and(|volume| volume.holds(url))
    }

    /// Removes the file of a URL's primary object; how many there were. Its variants go when they are looked at.
    pub(crate) fn drop_url(&self, id: u128) -> usize {
        let there = volume::place(&self.volumes, id).filter(|volume| volume.index().get(id).is_some());
        there.inspect(|volume| volume.doom(id)).map_or(0, |_| 1)
    }

    /// Keeps a URL's objects from eviction until then, in Unix milliseconds. Durable after [`Self::commit`].
    pub(crate) fn pin(&self, url: u128, variants: impl Iterator<Item = u128>, until_ms: u64) {
        self.shared.ledger.pin(url, until_ms);
        let until_s = u32::try_from(until_ms.div_ceil(1000)).unwrap_or(u32::MAX);
        for id in std::iter::once(url).chain(variants) {
            if let Some(volume) = volume::place(&self.volumes, id) {
                volume.index().change(id, |item| item.pinned_until_s = until_s);
            }
        }
    }

    /// Brings what was noted to the journals. A disk whose journal fails is taken out.
    pub(crate) fn commit(&self) {
        self.shared.commit(&self.volumes);
    }

    /// Has the keeper do that.
    pub(crate) fn commit_soon(&self) {
        self.shared.rounds.1.notify_all();
    }

    /// Waits until what was offered so far is written, but no longer than until `deadline`.
    pub fn flush(&self, deadline: Instant) {
        self.volumes.iter().for_each(|volume| volume.flush(Some(deadline)));
    }

    /// Lets go of all directories, for another process: what waits is written until `deadline`, then nothing more is read, written
    /// or recorded here. What is being served is served on.
    pub fn release(&self, deadline: Instant) {
        self.flush(deadline);
        // What clients have invalidated waits for the keeper.
        self.commit();
        self.shared.closing.store(true, Relaxed);
        // Nobody may believe that a purge is recorded which comes too late for it.
        let _one_at_a_time = self.shared.commit.lock();
        self.volumes.iter().for_each(|volume| volume.release());
        self.shared.opened.clear();
    }

    /// Whether [`Self::release`] was called.
    pub fn is_released(&self) -> bool {
        self.shared.closing.load(Relaxed)
    }

    /// Waits until purges before this process are settled: no file they name is left, and they are forgotten.
    pub fn kept(&self) {
        let mut rounds = self.shared.rounds.0.lock();
        while *rounds == 0 {
            self.shared.rounds.1.wait(&mut rounds);
        }
    }

    /// Waits until every disk has been looked through.
    pub fn scanned(&self) {
        self.volumes.iter().for_each(|volume| volume.wait_for_scan(&self.shared.closing));
    }
}

impl Shared {
    pub(crate) fn skip(&self, why: Skip) {
        self.counters.skipped[why as usize].fetch_add(1, Relaxed);
    }

    fn commit(&self, volumes: &[Arc<Volume>]) {
        let _one_at_a_time = self.commit.lock();
        let pending = self.ledger.take_pending();
        if pending.is_empty() {
            return;
        }
        for volume in volumes {
            volume.record(&pending, &self.counters);
        }
    }

    /// Forgets the purges below `number`, which every disk has been looked through for, and writes the journals anew.
    fn forget(&self, number: u64, volumes: &[Arc<Volume>]) {
        if volumes.iter().any(|volume| volume.standing() != Standing::InUse) {
            // What is out may come back, and the others have to know what it missed.
            return;
        }
        // A loss of power must not undo what was done to files because of purges that nobody remembers any more.
        for volume in volumes {
            if let Err(error) = volume.files.sync_all(&volume.root) {
                return volume.failed("bringing removals to the medium", &error, &self.counters);
            }
        }
        let _one_at_a_time = self.commit.lock();
        self.ledger.forget(number, millis(SystemTime::now()));
        self.base.fetch_max(number, Relaxed);
        for volume in volumes {
            volume.renew_journal(&self.ledger, self.base.load(Relaxed), self.next_purge.load(Relaxed), &self.counters);
        }
    }
}

impl Drop for Disks {
    fn drop(&mut self) {
        self.shared.closing.store(true, Relaxed);
        self.volumes.iter().for_each(|volume| volume.close());
        self.readers.close();
        drop(self.shared.rounds.0.lock());
        self.shared.rounds.1.notify_all();
        for thread in self.threads.lock().drain(..) {
            let _ = thread.join();
        }
    }
}

/// The id of a URL's primary object.
pub(crate) fn url_id(key_text: &[u8]) -> u128 {
    id_of(key_text, None)
}

#[cfg(test)]
mod tests;

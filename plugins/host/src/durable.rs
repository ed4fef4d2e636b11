//! What a filter or service keeps on disk: one store for all instances of a plugin in all its generations, in a file of its own.
//!
//! Instances note changes in a [`Draft`]; [`Durable::commit`] makes all of one draft or none, and returns when the disk has them. One
//! thread writes: drafts that wait while it waits for the disk are written together, each still whole or not at all. Others
//! read, so that a slow disk holds up no thread that serves connections. What lies in the file is [`file`]'s.
//!
//! Invariants: no lock is held while a guest runs or a future waits; what a commit was answered `Ok` for is on disk; the store never
//! holds more than was granted when the last change was made.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use futures_channel::oneshot;
use parking_lot::{Mutex, RwLock};

mod draft;
mod file;
pub(crate) mod kept;
pub mod limits;
mod scratch;
mod status;

pub(crate) use draft::{Batch, Draft};
use file::{File, Opening};
use limits::{GROUP_MAX, JOBS_MAX, READERS};
pub(crate) use scratch::Scratch;
pub use status::{DurableHeld, DurableSpec, Refusal};
use status::{Figures, Operation};

/// How long an operation waits for a file that another process has: in an upgrade the old one lets go of it.
const PATIENCE: Duration = Duration::from_secs(2);
/// Time between two looks whether it has.
const LOOKS: Duration = Duration::from_millis(20);

/// What is answered when it is done.
type Answer<T> = oneshot::Sender<Result<T, Refusal>>;
type Key = Vec<u8>;

enum Read {
    Get(Key, Answer<Option<Vec<u8>>>),
    Keys { prefix: Vec<u8>, after: Option<Key>, most: usize, answer: Answer<Vec<Key>> },
}

struct Commit(Batch, Answer<()>);

/// The store of one plugin.
#[derive(Debug)]
pub(crate) struct Durable {
    held: Arc<Place>,
    reads: SyncSender<Read>,
    commits: SyncSender<Commit>,
    /// Bytes that all drafts together have noted.
    noted: AtomicUsize,
}

/// Where it lies, and the file while it is open.
#[derive(Debug)]
struct Place {
    path: PathBuf,
    file: RwLock<Option<File>>,
    /// The file is another process's from now on.
    is_released: AtomicBool,
    /// Since when another process has it, as far as this one has looked.
    taken_since: Mutex<Option<Instant>>,
    quota: RwLock<file::Use>,
    figures: Figures,
}

/// The open stores of a host, by their files: a plugin that comes back finds its own.
#[derive(Debug, Default)]
pub(crate) struct Stores(Mutex<Vec<(PathBuf, Weak<Durable>)>>);

impl Stores {
    /// The store in a file, which is made where there is none. One that another process has is opened when it is first used.
    ///
    /// # Errors
    /// The file and what is wrong with it.
    pub(crate) fn open(&self, path: &Path) -> Result<Arc<Durable>, String> {
        let mut stores = self.0.lock();
        stores.retain(|(_, store)| store.strong_count() > 0);
        if let Some(known) = stores.iter().find(|(known, _)| known == path).and_then(|(_, store)| store.upgrade()) {
            return Ok(known);
        }
        let store = Arc::new(Durable::open(path)?);
        stores.push((path.to_owned(), Arc::downgrade(&store)));
        Ok(store)
    }

    /// Lets go of all files for good, so that another process can have them.
    pub(crate) fn release(&self) {
        let stores: Vec<_> = self.0.lock().iter().filter_map(|(_, store)| store.upgrade()).collect();
        stores.into_iter().for_each(|store| store.held.release());
    }
}

impl Durable {
    fn open(path: &Path) -> Result<Self, String> {
        let quota = RwLock::new(file::Use { keys: 0, bytes: 0 });
        let (path, file, figures) = (path.to_owned(), RwLock::new(None), Figures::default());
        let (is_released, taken_since) = (AtomicBool::new(false), Mutex::new(None));
        let held = Arc::new(Place { path, file, is_released, taken_since, quota, figures });
        let problem = |error: String| format!("its durable store {}: {error}", held.path.display());
        match held.opened() {
            Ok(()) | Err(Opening::Taken) => {}
            Err(Opening::Failed(error)) => return Err(problem(error)),
        }
        let (reads, to_read) = sync_channel(JOBS_MAX);
        let (commits, to_commit) = sync_channel(JOBS_MAX);
        let (to_read, of_writer) = (Arc::new(Mutex::new(to_read)), held.clone());
        let spawn = |name: &str, work: Box<dyn FnOnce() + Send>| {
            let spawned = std::thread::Builder::new().name(name.into()).spawn(work);
            spawned.map(drop).map_err(|error| problem(format!("no thread: {error}")))
        };
        spawn("durable-write", Box::new(move || of_writer.write_all(&to_commit)))?;
        for _ in 0..READERS {
            let (held, to_read) = (held.clone(), to_read.clone());
            spawn("durable-read", Box::new(move || held.read_all(&to_read)))?;
        }
        Ok(Self { held, reads, commits, noted: AtomicUsize::new(0) })
    }

    /// From now on it may hold so much. What is there stays.
    pub(crate) fn grant(&self, bytes: u64, keys: u64) {
        *self.held.quota.write() = file::Use { keys, bytes };
    }

    /// What is stored under a key.
    async fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, Refusal> {
        self.held.figures.operated(Operation::Get);
        let (answer, told) = oneshot::channel();
        self.asked(self.reads.try_send(Read::Get(key.to_vec(), answer)).is_ok(), told).await
    }

    /// The first keys that begin with `prefix` and come behind `after`.
    async fn keys(&self, prefix: &[u8], after: Option<&[u8]>, most: usize) -> Result<Vec<Key>, Refusal> {
        self.held.figures.operated(Operation::Keys);
        let (answer, told) = oneshot::channel();
        let read = Read::Keys { prefix: prefix.to_vec(), after: after.map(<[u8]>::to_vec), most, answer };
        self.asked(self.reads.try_send(read).is_ok(), told).await
    }

    /// Makes all changes of a batch, or none.
    async fn commit(&self, batch: Batch) -> Result<(), Refusal> {
        self.held.figures.operated(Operation::Commit);
        let (answer, told) = oneshot::channel();
        self.asked(self.commits.try_send(Commit(batch, answer)).is_ok(), told).await
    }

    async fn asked<T>(&self, is_queued: bool, told: oneshot::Receiver<Result<T, Refusal>>) -> Result<T, Refusal> {
        let outcome = match is_queued {
            true => told.await.unwrap_or(Err(Refusal::Failed)),
            false => Err(Refusal::Busy),
        };
        self.held.figures.noted(&outcome);
        outcome
    }

    /// What it holds and did.
    pub(crate) fn held(&self) -> DurableHeld {
        let used = self.held.file.read().as_ref().map_or(self.held.figures.last_use(), File::used);
        let file_bytes = std::fs::metadata(&self.held.path).map_or(0, |told| told.len());
        let quota = *self.held.quota.read();
        self.held.figures.told(used, quota, file_bytes)
    }

    /// What may be held, and what is.
    pub(crate) fn usage(&self) -> (file::Use, file::Use) {
        let used = self.held.file.read().as_ref().map_or(self.held.figures.last_use(), File::used);
        (used, *self.held.quota.read())
    }
}

impl Place {
    fn release(&self) {
        // Behind whatever is under way.
        let mut file = self.file.write();
        self.is_released.store(true, Relaxed);
        *file = None;
    }

    /// Does something with the file, opened if it is not.
    fn with<T>(&self, work: impl Fn(&File) -> Result<T, String>) -> Result<T, Refusal> {
        loop {
            if let Some(file) = &*self.file.read() {
                let done = work(file);
                self.figures.used(file.used());
                match done {
                    Ok(done) => return Ok(done),
                    Err(error) => tracing::error!(path = %self.path.display(), %error, "a durable store failed"),
                }
            } else {
                self.reopen()?;
                continue;
            }
            // After an error of the disk nothing but what is really there counts: the next one opens it anew.
            *self.file.write() = None;
            return Err(Refusal::Failed);
        }
    }

    /// Opens it, when another process lets go of it in time.
    fn reopen(&self) -> Result<(), Refusal> {
        loop {
            match self.opened() {
                _ if self.is_released.load(Relaxed) => return Err(Refusal::Busy),
                Ok(()) => {
                    *self.taken_since.lock() = None;
                    return Ok(());
                }
                Err(Opening::Taken) => {
                    // All who ask are patient together, so that they do not wait one behind the other.
                    if self.taken_since.lock().get_or_insert_with(Instant::now).elapsed() >= PATIENCE {
                        return Err(Refusal::Busy);
                    }
                    std::thread::park_timeout(LOOKS);
                }
                Err(Opening::Failed(error)) => {
                    tracing::error!(path = %self.path.display(), %error, "a durable store cannot be opened");
                    return Err(Refusal::Failed);
                }
            }
        }
    }

    fn opened(&self) -> Result<(), Opening> {
        let mut file = self.file.write();
        if file.is_none() && !self.is_released.load(Relaxed) {
            *file = Some(File::open(&self.path)?);
        }
        Ok(())
    }

    /// Writes what comes until nobody can send any more.
    fn write_all(&self, commits: &Receiver<Commit>) {
        while let Ok(first) = commits.recv() {
            let group: Vec<Commit> = std::iter::once(first).chain(commits.try_iter().take(GROUP_MAX - 1)).collect();
            let batches: Vec<&Batch> = group.iter().map(|Commit(batch, _)| batch).collect();
            let quota = *self.quota.read();
            let written = self.with(|file| file.apply(&batches, quota));
            if written.as_ref().is_ok_and(|outcomes| outcomes.iter().any(Result::is_ok)) {
                self.figures.syncs.fetch_add(1, Relaxed);
            }
            let mut outcomes = written.map(Vec::into_iter);
            for Commit(_, answer) in group {
                let outcome = match &mut outcomes {
                    Ok(outcomes) => outcomes.next().unwrap_or(Err(Refusal::Failed)),
                    Err(refusal) => Err(*refusal),
                };
                // Whose connection has ended meanwhile is told nothing.
                let _ = answer.send(outcome);
            }
        }
    }

    /// Reads what is asked for until nobody can ask any more.
    fn read_all(&self, reads: &Mutex<Receiver<Read>>) {
        loop {
            let next = reads.lock().recv();
            match next {
                Ok(Read::Get(key, answer)) => drop(answer.send(self.with(|file| file.get(&key)))),
                Ok(Read::Keys { prefix, after, most, answer }) => {
                    drop(answer.send(self.with(|file| file.keys(&prefix, after.as_deref(), most))));
                }
                Err(_) => return,
            }
        }
    }
}

#[cfg(test)]
mod tests;

//! Writing behind the requests: a bounded queue and one thread for each disk, the only one that changes its files.
//!
//! A file is written under another name, brought to the medium where the settings say so, and renamed: it is there as a whole
//! or not at all. What finds the queue full is not written, and an older copy of it is removed, which must not be found later.

use std::collections::{HashMap, VecDeque};
use std::io::ErrorKind;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Instant, SystemTime};

use parking_lot::{Condvar, Mutex};

use super::amend::{Amended, Stamp};
use super::format::{Header, checksums};
use super::index::Item;
use super::{DiskCounters, Shared, Skip, Volume, layout, url_id};
use crate::entry::{Body, Entry, millis};
use crate::exact::place_of_key;
use crate::limits::DISK_QUEUE_JOBS;
use crate::surrogate::Purged;

/// What waits to be done to a disk, in order.
#[derive(Default)]
pub(super) struct Queue {
    state: Mutex<State>,
    /// Bytes of bodies that may wait.
    bytes_max: AtomicU64,
    /// Something waits, or the queue is closed.
    filled: Condvar,
    /// Something was done.
    moved: Condvar,
}

#[derive(Default)]
struct State {
    jobs: VecDeque<Job>,
    bytes: u64,
    /// Objects that a job replaces or removes, and how many.
    concerned: HashMap<u128, u32>,
    added: u64,
    done: u64,
    closed: bool,
}

enum Job {
    Write {
        id: u128,
        entry: Arc<Entry>,
        body: Arc<Body>,
    },
    /// New fields for the file `stamp`; `body`, when there is one, to write it anew if they do not fit.
    Confirm {
        id: u128,
        stamp: Stamp,
        entry: Arc<Entry>,
        body: Option<Arc<Body>>,
    },
    Remove {
        id: u128,
    },
}

impl Job {
    fn id(&self) -> u128 {
        match self {
            Self::Write { id, .. } | Self::Confirm { id, .. } | Self::Remove { id } => *id,
        }
    }

    /// Whether what is on disk must not be found from now on. What a 304 confirms is the same object, only with older fields.
    fn replaces(&self) -> bool {
        !matches!(self, Self::Confirm { .. })
    }

    fn bytes(&self) -> u64 {
        match self {
            Self::Write { body, .. } => body.length(),
            Self::Confirm { body, .. } => body.as_ref().map_or(0, |body| body.length()),
            Self::Remove { .. } => 0,
        }
    }
}

impl Queue {
    /// How many bytes of bodies may wait; at first one body.
    pub(super) fn set_bound(&self, bytes: u64) {
        self.bytes_max.store(bytes, Relaxed);
    }

    pub(super) fn waiting(&self) -> (usize, u64) {
        let state = self.state.lock();
        (state.jobs.len(), state.bytes)
    }

    pub(super) fn concerns(&self, id: u128) -> bool {
        self.state.lock().concerned.contains_key(&id)
    }

    /// `false` when the queue is full. Removals have as much room again.
    fn push(&self, job: Job) -> bool {
        let mut state = self.state.lock();
        let full = match &job {
            Job::Remove { .. } => state.jobs.len() >= 2 * DISK_QUEUE_JOBS,
            _ => {
                // One is always taken, however large it is.
                let bytes_max = self.bytes_max.load(Relaxed).max(job.bytes());
                state.jobs.len() >= DISK_QUEUE_JOBS || state.bytes.saturating_add(job.bytes()) > bytes_max
            }
        };
        if full || state.closed {
            return false;
        }
        state.bytes += job.bytes();
        state.added += 1;
        if job.replaces() {
            *state.concerned.entry(job.id()).or_default() += 1;
        }
        state.jobs.push_back(job);
        self.filled.notify_one();
        true
    }

    /// The next job, waiting for one; `None` when the queue is closed.
    fn next(&self) -> Option<Job> {
        let mut state = self.state.lock();
        loop {
            if state.closed {
                return None;
            }
            if let Some(job) = state.jobs.pop_front() {
                state.bytes -= job.bytes();
                return Some(job);
            }
            self.filled.wait(&mut state);
        }
    }

    fn finish(&self, id: u128, replaced: bool) {
        let mut state = self.state.lock();
        state.done += 1;
        if let Some(count) = state.concerned.get_mut(&id).filter(|_| replaced) {
            *count -= 1;
            if *count == 0 {
                state.concerned.remove(&id);
            }
        }
        self.moved.notify_all();
    }

    /// Drops what waits.
    pub(super) fn clear(&self) {
        let mut state = self.state.lock();
        let dropped = std::mem::take(&mut state.jobs);
        state.bytes = 0;
        state.done += dropped.len() as u64;
        for job in dropped.iter().filter(|job| job.replaces()) {
            state.concerned.remove(&job.id());
        }
        self.moved.notify_all();
    }

    pub(super) fn close(&self) {
        self.state.lock().closed = true;
        self.filled.notify_all();
        self.moved.notify_all();
    }

    fn flush(&self, deadline: Option<Instant>) {
        let mut state = self.state.lock();
        let until = state.added;
        while state.done < until && !state.closed {
            match deadline {
                None => self.moved.wait(&mut state),
                Some(deadline) if self.moved.wait_until(&mut state, deadline).timed_out() => return,
                Some(_) => {}
            }
        }
    }
}

impl Volume {
    /// Has an entry written, unless too much waits.
    pub(super) fn offer(&self, entry: &Arc<Entry>, counters: &DiskCounters) {
        let Some(body) = entry.body() else { return };
        let id = entry.disk_id();
        self.push_or_doom(Job::Write { id, entry: entry.clone(), body }, counters);
    }

    /// Has the file `stamp` of an entry confirmed by it, unless too much waits.
    pub(super) fn offer_confirmed(&self, stamp: Stamp, entry: &Arc<Entry>, counters: &DiskCounters) {
        let (id, body) = (entry.disk_id(), entry.body());
        self.push_or_doom(Job::Confirm { id, stamp, entry: entry.clone(), body }, counters);
    }

    fn push_or_doom(&self, job: Job, counters: &DiskCounters) {
        let id = job.id();
        if !self.queue.push(job) {
            counters.skipped[Skip::Queue as usize].fetch_add(1, Relaxed);
            if self.index.get(id).is_some() || !self.is_scanned() {
                self.doom(id);
            }
        }
    }

    /// Removes an object soon; it is not found from now on.
    pub(crate) fn doom(&self, id: u128) {
        self.forget(id);
        if !self.queue.push(Job::Remove { id }) && !self.is_scanned() {
            // Neither index nor queue would say that it must not be found.
            self.take_out("more objects were to be removed than a queue holds while it was looked through".to_owned());
        }
    }

    /// Waits until what waits now is done, or the deadline is over.
    pub(super) fn flush(&self, deadline: Option<Instant>) {
        self.queue.flush(deadline);
    }

    /// The writing thread: does what is in the queue until it is closed.
    pub(super) fn write_all(&self, shared: &Shared) {
        while let Some(job) = self.queue.next() {
            let (id, replaces) = (job.id(), job.replaces());
            match job {
                Job::Write { entry, body, .. } => self.write(id, &entry, &body, shared),
                Job::Confirm { stamp, entry, body, .. } => self.confirm_now(id, stamp, &entry, body.as_deref(), shared),
                Job::Remove { id } => self.remove_now(id, shared),
            }
            // Before it may be found again.
            shared.opened.forget(id);
            self.queue.finish(id, replaces);
        }
    }

    pub(super) fn remove_now(&self, id: u128, shared: &Shared) {
        self.forget(id);
        self.unlink(&self.path_of(id), &shared.counters);
        shared.opened.forget(id);
    }

    fn write(&self, id: u128, entry: &Entry, body: &Body, shared: &Shared) {
        match self.try_write(id, entry, body, shared) {
            Ok(()) => self.worked(),
            Err(skip) => {
                shared.skip(skip);
                // What is there is older than what memory has.
                self.remove_now(id, shared);
            }
        }
    }

    fn confirm_now(&self, id: u128, stamp: Stamp, entry: &Entry, body: Option<&Body>, shared: &Shared) {
        let purged = shared.ledger.since(entry.purges(), entry.key().text(), entry.surrogates());
        let expired = entry.is_expired() || purged == Purged::Soft;
        let amended = match purged {
            Purged::Hard => Amended::Failed,
            _ => self.confirm(id, stamp, entry, expired),
        };
        match (amended, body) {
            (Amended::Done, _) => {
                shared.counters.confirmed.fetch_add(1, Relaxed);
                self.index.change(id, |item| {
                    item.stored_s = seconds(entry.stored_ms());
                    item.fresh_until_s = seconds(millis(entry.lifetime().fresh_until));
                });
            }
            (_, Some(body)) => self.write(id, entry, body, shared),
            (Amended::Other, None) => {}
            (Amended::Failed, None) => {
                shared.skip(if purged == Purged::Hard { Skip::Purged } else { Skip::Header });
                self.remove_now(id, shared);
            }
        }
    }

    fn try_write(&self, id: u128, entry: &Entry, body: &Body, shared: &Shared) -> Result<(), Skip> {
        let url = url_id(entry.key().text());
        let purged = shared.ledger.since(entry.purges(), entry.key().text(), entry.surrogates());
        if purged == Purged::Hard {
            return Err(Skip::Purged);
        }
        let pinned_until_ms = shared.ledger.pinned_until_ms(url).unwrap_or(0).max(entry.pinned_until_ms());
        let header = Header {
            key: entry.key().text().to_vec(),
            is_variant: entry.is_variant(),
            variance: entry.variance(),
            head: entry.head().clone(),
            lifetime: *entry.lifetime(),
            expired: entry.is_expired() || purged == Purged::Soft,
            stored_ms: entry.stored_ms(),
            pinned_until_ms,
            fetch_us: entry.fetch_us(),
            epoch: self.epoch,
            purges: entry.purges(),
            body: body.length(),
            checksums: checksums(body.blocks().iter().map(|block| &block[..])),
        };
        let head = header.encode().ok_or(Skip::Header)?;
        let file_bytes = head.len() as u64 + body.length();
        // Its older copy goes in any case, and its bytes are needed twice until then.
        let mut telling = self.telling(shared);
        let handle = telling.arrives(id, file_bytes, entry, pinned_until_ms > millis(SystemTime::now()))?;
        if !self.make_room(file_bytes, &mut telling, shared) {
            telling.did_not_come(handle);
            return Err(Skip::Space);
        }
        let written = self.put(id, &head, body);
        if let Err(error) = written {
            telling.did_not_come(handle);
            let full = matches!(error.kind(), ErrorKind::StorageFull | ErrorKind::QuotaExceeded);
            if full {
                return Err(Skip::Space);
            }
            self.failed("writing an object", &error, &shared.counters);
            return Err(Skip::Error);
        }
        let mut item = item_of(id, file_bytes, &header, millis(SystemTime::now()));
        item.class = entry.candidate(0).class;
        item.handle = handle;
        self.note_variant(header.is_variant);
        self.index.insert(item);
        shared.counters.writes.fetch_add(1, Relaxed);
        shared.counters.written_bytes.fetch_add(file_bytes, Relaxed);
        Ok(())
    }

    fn put(&self, id: u128, head: &[u8], body: &Body) -> std::io::Result<()> {
        let unfinished = layout::unfinished(&self.root).join(format!("{id:032x}"));
        let mut file = self.files.create(&unfinished)?;
        let mut write = || {
            file.append(head)?;
            body.blocks().iter().try_for_each(|block| file.append(block))?;
            if self.settings().sync {
                file.sync()?;
            }
            let _changing = self.changing.lock();
            self.files.publish(&unfinished, &self.path_of(id))
        };
        let written = write();
        if written.is_err() {
            let _ = self.files.remove(&unfinished);
        }
        written
    }
}

/// What the index remembers of a file with this header.
pub(super) fn item_of(id: u128, file_bytes: u64, header: &Header, used_ms: u64) -> Item {
    let mut item = Item {
        stored_s: seconds(header.stored_ms),
        used_s: seconds(used_ms),
        fresh_until_s: seconds(millis(header.lifetime.fresh_until)),
        pinned_until_s: seconds(header.pinned_until_ms.saturating_add(999)),
        fetch_us: header.fetch_us,
        ..Item::new(id, file_bytes)
    };
    item.set_place(place_of_key(&header.key));
    item
}

fn seconds(ms: u64) -> u32 {
    u32::try_from(ms / 1000).unwrap_or(u32::MAX)
}

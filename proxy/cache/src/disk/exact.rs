//! The exact policy of a disk: told of what is there and used, and done what it says, by the thread that writes, and once a second by
//! the one that keeps.
//!
//! Until a disk has been looked through, samples decide; then the policy is told all that is there. Invariant: while an object is
//! written, nobody else is at the seat, so that what is named then is there or not yet there, and nothing in between.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::sync::atomic::Ordering::Relaxed;
use std::time::SystemTime;

use littoral_evict::Object;
use parking_lot::{Mutex, MutexGuard};

use super::index::Item;
use super::{Shared, Skip, Volume};
use crate::entry::{Entry, millis};
use crate::exact::place_of_key;
use crate::exact::seat::{Seat, Went};
use crate::exact::told::{NO_HANDLE, Tails, Told, Use};

/// What happens to objects on a disk besides being used and written.
#[derive(Debug)]
enum Change {
    /// It was found.
    Found(u128),
    /// It left, and its handle is to be given back.
    Gone(u32, u128),
}

/// The policy of one disk.
pub(super) struct Exactly {
    told: Told<Change>,
    seat: Mutex<Seat<u128>>,
}

impl Default for Exactly {
    fn default() -> Self {
        Self { told: Told::new(1), seat: Mutex::default() }
    }
}

/// The seat of a disk, while a policy is told.
pub(super) struct Telling<'a> {
    seat: MutexGuard<'a, Seat<u128>>,
    by: By<'a>,
    uses: Vec<Use>,
}

/// What removing objects takes.
struct By<'a> {
    volume: &'a Volume,
    shared: &'a Shared,
    now_ms: u64,
    /// The object being written, and whether it is pinned.
    writing: Option<(u128, bool)>,
}

impl Volume {
    /// Whether an exact policy decides what is here.
    pub fn is_kept_exactly(&self) -> bool {
        self.exact.told.is_listening()
    }

    /// Uses that it was not told of, because they came faster than it was told.
    pub fn uses_dropped(&self) -> u64 {
        self.exact.told.dropped()
    }

    /// Notes something in the index, and a use of the object where that says so.
    pub(crate) fn used(&self, id: u128, now_ms: u64, note: impl FnOnce(&mut Item) -> bool) {
        let mut handle = NO_HANDLE;
        self.index.change(id, |item| {
            if note(item) {
                handle = item.handle;
            }
        });
        self.exact.told.used(handle, now_ms);
    }

    /// Takes an object out of the index.
    pub(super) fn forget(&self, id: u128) {
        let handle = self.index.remove(id).map_or(NO_HANDLE, |item| item.handle);
        if handle != NO_HANDLE {
            self.exact.told.changed(Change::Gone(handle, id));
        }
    }

    /// Notes that an object was found that was not known.
    pub(super) fn found(&self, id: u128) {
        self.exact.told.changed(Change::Found(id));
    }

    /// The seat, once what happened so far was told; waits for whoever is at it.
    pub(super) fn telling<'a>(&'a self, shared: &'a Shared) -> Telling<'a> {
        self.told_at(self.exact.seat.lock(), shared)
    }

    /// Tells what happened so far, unless somebody else is at it.
    pub(super) fn settle(&self, shared: &Shared) {
        if let Some(seat) = self.exact.seat.try_lock() {
            self.told_at(seat, shared);
        }
    }

    fn told_at<'a>(&'a self, seat: MutexGuard<'a, Seat<u128>>, shared: &'a Shared) -> Telling<'a> {
        let by = By { volume: self, shared, now_ms: millis(SystemTime::now()), writing: None };
        let mut telling = Telling { seat, by, uses: Vec::new() };
        telling.counted(Telling::settle);
        telling
    }
}

impl Telling<'_> {
    /// Tells that an object comes, with the bytes of its file, and makes the room that the policy names: its handle, or none where samples
    /// decide.
    ///
    /// # Errors
    /// When the policy refuses it.
    pub(super) fn arrives(&mut self, id: u128, file_bytes: u64, entry: &Entry, pinned: bool) -> Result<u32, Skip> {
        let index = &self.by.volume.index;
        if let Some(older) = index.get(id).filter(|older| older.handle != NO_HANDLE) {
            index.change(id, |item| item.handle = NO_HANDLE);
            self.seat.gone(older.handle);
        }
        let bytes = Item::new(id, file_bytes).bytes();
        self.seat.others = index.bytes().saturating_sub(self.seat.used_bytes());
        let Some(handle) = self.seat.allot(id, bytes) else { return Ok(NO_HANDLE) };
        let place = place_of_key(entry.key().text());
        let object = Object { handle, key: id as u64, bytes, fetch_us: entry.fetch_us(), place };
        self.by.writing = Some((id, pinned));
        let kept = self.counted(|telling| {
            let Telling { seat, by, .. } = telling;
            seat.arrive(&object, by.now_ms, &mut |id, arrived| by.let_go(*id, arrived))
        });
        self.by.writing = None;
        match kept {
            true => Ok(handle),
            // It broke over this one, or what it refuses is pinned: it does not know it.
            false if pinned || !self.seat.is_taken() => Ok(NO_HANDLE),
            false => Err(Skip::Policy),
        }
    }

    /// Tells that what was to come has not.
    pub(super) fn did_not_come(&mut self, handle: u32) {
        self.seat.gone(handle);
    }

    /// Has the policy name something; `false` when it does not, or there is none.
    pub(super) fn evict_one(&mut self) -> bool {
        self.counted(|telling| {
            let Telling { seat, by, .. } = telling;
            seat.evict(1, by.now_ms, None, &mut |id, arrived| by.let_go(*id, arrived)) > 0
        })
    }

    /// Seats who is to decide, and tells what happened.
    fn settle(&mut self) {
        let By { volume, shared, .. } = self.by;
        let policy = shared.policy.get().filter(|_| volume.is_scanned() && !volume.is_out());
        let wanted = policy.and_then(|policy| policy.load().exact());
        if !(self.seat.is_taken() && self.seat.version() == wanted && !volume.exact.told.gave_up()) {
            self.seat.close();
            volume.exact.told.stop();
            let capacity = volume.settings().bytes;
            let started = wanted.and_then(|_| policy?.load().keep(capacity));
            if let Some((version, policy)) = started {
                self.seat.open(version, policy, capacity);
                volume.exact.told.listen(self.by.now_ms);
                self.tell_all_there();
            }
        }
        if self.seat.is_taken() {
            self.tell_all_changes();
        }
        if !self.seat.is_taken() {
            volume.exact.told.stop();
        }
    }

    /// Tells of all objects, what was used last at the end. Places of a shard may hold others by then: who is known is passed over, and
    /// who was missed is told last.
    fn tell_all_there(&mut self) {
        let volume = self.by.volume;
        let mut shards: Vec<_> = volume.index.take_handles().into_iter().map(Vec::into_iter).collect();
        let mut oldest: BinaryHeap<_> = BinaryHeap::new();
        let next = |shards: &mut Vec<std::vec::IntoIter<(u32, u32)>>, shard: usize| {
            shards[shard].next().map(|(used_s, place)| Reverse((used_s, shard, place)))
        };
        oldest.extend((0..shards.len()).filter_map(|shard| next(&mut shards, shard)));
        while let Some(Reverse((_, shard, place))) = oldest.pop() {
            oldest.extend(next(&mut shards, shard));
            if let Some(item) = volume.index.at(shard, place).filter(|item| item.handle == NO_HANDLE)
                && !self.enter(&item)
            {
                return;
            }
        }
        for id in volume.index.without_handle() {
            if volume.index.get(id).is_some_and(|item| !self.enter(&item)) {
                return;
            }
        }
    }

    fn tell_all_changes(&mut self) {
        let volume = self.by.volume;
        while self.seat.is_taken()
            && let Some((change, tails)) = volume.exact.told.next_change()
        {
            self.tell_uses(&tails);
            match change {
                Change::Found(id) => self.enter_unknown(id),
                Change::Gone(handle, id) => {
                    if self.seat.object(handle) == Some(&id) {
                        self.seat.gone(handle);
                    }
                }
            }
        }
        self.tell_uses(&volume.exact.told.tails());
        let now_s = seconds(self.by.now_ms);
        let is_over = |id: &u128| volume.index.get(*id).is_none_or(|item| item.pinned_until_s <= now_s);
        for id in self.seat.unspare(self.by.now_ms, is_over) {
            self.enter_unknown(id);
        }
    }

    fn tell_uses(&mut self, tails: &Tails) {
        let Telling { seat, by, uses } = self;
        by.volume.exact.told.take(tails, uses);
        for Use { now_ms, handle } in uses.drain(..) {
            seat.used(handle, now_ms, &mut |id, arrived| by.let_go(*id, arrived));
        }
    }

    fn enter_unknown(&mut self, id: u128) {
        if let Some(item) = self.by.volume.index.get(id).filter(|item| item.handle == NO_HANDLE) {
            self.enter(&item);
        }
    }

    /// Tells of an object that is there; `false` when the policy takes no more.
    fn enter(&mut self, item: &Item) -> bool {
        let Telling { seat, by, .. } = self;
        let (id, bytes) = (item.id(), item.bytes());
        let Some(handle) = seat.allot(id, bytes) else { return false };
        if !by.volume.index.change(id, |item| item.handle = handle) {
            seat.withdraw(handle);
            return true;
        }
        seat.others = by.volume.index.bytes().saturating_sub(seat.used_bytes());
        let object = Object { handle, key: id as u64, bytes, fetch_us: item.fetch_us, place: item.place() };
        let used_ms = u64::from(item.used_s) * 1000;
        if seat.arrive(&object, used_ms, &mut |id, arrived| by.let_go(*id, arrived)) && item.hits > 0 {
            seat.used(handle, used_ms, &mut |id, arrived| by.let_go(*id, arrived));
        }
        true
    }

    /// Does something, and counts what became of the policy.
    fn counted<R>(&mut self, act: impl FnOnce(&mut Self) -> R) -> R {
        let before = (self.seat.nonsense, self.seat.broken);
        let done = act(self);
        let counters = &self.by.shared.counters;
        counters.exact_nonsense.fetch_add(self.seat.nonsense - before.0, Relaxed);
        counters.exact_broken.fetch_add(self.seat.broken - before.1, Relaxed);
        done
    }
}

impl By<'_> {
    /// Removes what the policy named.
    fn let_go(&self, id: u128, arrived: bool) -> Went {
        if let Some((_, pinned)) = self.writing.filter(|(writing, _)| arrived && *writing == id) {
            // There is no file of it yet.
            return if pinned { Went::Pinned } else { Went::Gone };
        }
        let Some(item) = self.volume.index.get(id) else { return Went::Gone };
        self.volume.index.change(id, |item| item.handle = NO_HANDLE);
        if item.pinned_until_s > seconds(self.now_ms) {
            return Went::Pinned;
        }
        self.volume.remove_now(id, self.shared);
        self.shared.counters.evicted.fetch_add(1, Relaxed);
        Went::Gone
    }
}

fn seconds(ms: u64) -> u32 {
    u32::try_from(ms / 1000).unwrap_or(u32::MAX)
}

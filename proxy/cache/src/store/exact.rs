//! The exact policy of the memory tier: told of what happens there, and done what it says, by whoever evicts.
//!
//! It is started for what is there below the low watermark, so that fills in flight have the rest. An object's arrival is told when it
//! is published; one that the policy refuses goes again. Invariant: a request never waits for the seat; what it needs at once is taken
//! by samples.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::SystemTime;

use littoral_evict::Object;

use super::Store;
use crate::entry::{Entry, millis};
use crate::exact::place_of_key;
use crate::exact::seat::{Seat, Went};
use crate::exact::told::{NO_HANDLE, Tails, Told, Use};
use crate::limits::{HIGH_WATERMARK_PERMILLE, LANES_MAX, LOW_WATERMARK_PERMILLE, PURGE_STEP};

/// What happens to objects in memory besides being used.
#[derive(Debug)]
pub(super) enum Change {
    /// It was published, with so many hits already.
    Came(Arc<Entry>, u32),
    /// It took the place and the handle of another that was the same object.
    Renewed { handle: u32, older: Arc<Entry>, newer: Arc<Entry> },
    /// It left, and its handle is to be given back.
    Gone(u32, Arc<Entry>),
}

/// Notes that an entry has left.
pub(super) fn gone(told: &Told<Change>, entry: &Arc<Entry>) {
    let handle = entry.take_handle();
    if handle != NO_HANDLE {
        told.changed(Change::Gone(handle, entry.clone()));
    }
}

/// One for each thread that serves.
pub(super) fn lanes() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from).min(LANES_MAX)
}

/// An object and the time, while a policy is told.
struct Telling<'a> {
    store: &'a Store,
    now_ms: u64,
    evicted: usize,
    /// Bytes that it did not name.
    short: u64,
    uses: Vec<Use>,
}

impl Store {
    /// Counts a hit, and notes it for the exact policy, if there is one. Never waits.
    pub fn touch(&self, entry: &Entry, now_ms: u64) {
        entry.touch(now_ms);
        if self.told.used(entry.handle(), now_ms) {
            self.pressure.notify_one();
        }
    }

    /// Uses that the exact policies of memory and disks were not told of, because they came faster than they were told.
    pub fn uses_dropped(&self) -> u64 {
        let of = |disks: &crate::disk::Disks| disks.volumes().iter().map(|volume| volume.uses_dropped()).sum::<u64>();
        self.told.dropped() + self.disks.as_ref().map_or(0, of)
    }

    /// Whether an exact policy decides what is in memory.
    pub fn is_kept_exactly(&self) -> bool {
        self.told.is_listening()
    }

    /// Notes that an entry was published, perhaps in the place of an older one.
    pub(super) fn came(&self, entry: &Arc<Entry>, renewed: Option<(u32, Arc<Entry>)>) {
        if self.told.is_listening() {
            self.told.changed(match renewed {
                Some((handle, older)) if handle != NO_HANDLE => {
                    entry.set_handle(handle);
                    Change::Renewed { handle, older, newer: entry.clone() }
                }
                _ => Change::Came(entry.clone(), entry.hits()),
            });
            self.pressure.notify_one();
        } else if self.policy.load().exact().is_some() {
            self.pressure.notify_one();
        }
    }

    /// Tells the exact policy what has happened, and does what it says. How many objects went, and whether more have to; `None` when
    /// there is no such policy.
    pub(super) fn settle(&self, now: SystemTime) -> Option<(usize, bool)> {
        let mut seat = self.seat.lock();
        let now_ms = millis(now);
        let mut telling = Telling { store: self, now_ms, evicted: 0, short: 0, uses: Vec::new() };
        let (wanted, capacity) = (self.policy.load().exact(), self.budget.bound() / 1000 * LOW_WATERMARK_PERMILLE);
        let seated = seat.version() == wanted && seat.capacity() == capacity && !self.told.gave_up();
        if !(seat.is_taken() && seated) {
            telling.begin_anew(&mut seat, wanted.map(|_| capacity));
        }
        if seat.is_taken() {
            telling.tell_all(&mut seat);
            telling.make_room(&mut seat);
        }
        self.counters.exact_nonsense.store(seat.nonsense, Relaxed);
        self.counters.exact_broken.store(seat.broken, Relaxed);
        if !seat.is_taken() {
            self.told.stop();
            return None;
        }
        Some((telling.evicted, telling.short > 0))
    }
}

impl Telling<'_> {
    /// Seats the policy that is wanted, for a tier of so many bytes, and tells it of all that is there, what was used last at the end.
    fn begin_anew(&mut self, seat: &mut Seat<Arc<Entry>>, capacity: Option<u64>) {
        let store = self.store;
        seat.close();
        store.told.stop();
        let started = capacity.and_then(|capacity| Some((store.policy.load().keep(capacity)?, capacity)));
        let Some(((version, policy), capacity)) = started else { return };
        seat.open(version, policy, capacity);
        store.told.listen(self.now_ms);
        let (mut place, mut there) = (usize::MAX, Vec::new());
        while place > 0 {
            let some = store.index.walk(&mut place, PURGE_STEP);
            there.extend(some.into_iter().map(|entry| (entry.used_ms(), entry)));
        }
        there.sort_by_key(|(used_ms, _)| *used_ms);
        for (used_ms, entry) in there {
            self.enter(seat, &entry, 0, used_ms);
        }
    }

    /// Tells all that was noted so far.
    fn tell_all(&mut self, seat: &mut Seat<Arc<Entry>>) {
        while seat.is_taken()
            && let Some((change, tails)) = self.store.told.next_change()
        {
            self.tell_uses(seat, &tails);
            match change {
                Change::Came(entry, hits) => self.enter(seat, &entry, hits, entry.stored_ms().max(entry.used_ms())),
                Change::Renewed { handle, older, newer } => self.renew(seat, handle, &older, &newer),
                Change::Gone(handle, entry) => {
                    if is_its(seat, handle, &entry) {
                        seat.gone(handle);
                    }
                }
            }
        }
        self.tell_uses(seat, &self.store.told.tails());
        let now_ms = self.now_ms;
        let there = |entry: &Arc<Entry>| self.store.index.if_there(entry, || ());
        for entry in seat.unspare(now_ms, |entry| entry.pinned_until_ms() <= now_ms || !there(entry)) {
            self.enter(seat, &entry, 0, now_ms);
        }
    }

    fn tell_uses(&mut self, seat: &mut Seat<Arc<Entry>>, tails: &Tails) {
        let mut uses = std::mem::take(&mut self.uses);
        self.store.told.take(tails, &mut uses);
        for Use { now_ms, handle } in uses.drain(..) {
            seat.used(handle, now_ms, &mut |entry, arrived| self.let_go(entry, arrived));
        }
        self.uses = uses;
    }

    /// Has what fills in flight and slow readers need on top of what is there given up.
    fn make_room(&mut self, seat: &mut Seat<Arc<Entry>>) {
        let high = self.store.budget.bound() / 1000 * HIGH_WATERMARK_PERMILLE;
        let need = self.store.budget.used().saturating_sub(high);
        if need > 0 {
            let freed = seat.evict(need, self.now_ms, None, &mut |entry, arrived| self.let_go(entry, arrived));
            self.short = need.saturating_sub(freed);
        }
    }

    /// Tells of an object that is there and that the policy does not know.
    fn enter(&mut self, seat: &mut Seat<Arc<Entry>>, entry: &Arc<Entry>, hits: u32, now_ms: u64) {
        if is_its(seat, entry.handle(), entry) {
            return;
        }
        let bytes = entry.cost();
        let Some(handle) = seat.allot(entry.clone(), bytes) else { return };
        if !self.store.index.if_there(entry, || entry.set_handle(handle)) {
            return seat.withdraw(handle);
        }
        let place = place_of_key(entry.key().text());
        let object = Object { handle, key: entry.slot() as u64, bytes, fetch_us: entry.fetch_us(), place };
        let kept = seat.arrive(&object, now_ms, &mut |entry, arrived| self.let_go(entry, arrived));
        // Used since, when no use could be noted.
        if kept && entry.hits() > hits {
            seat.used(handle, entry.used_ms(), &mut |entry, arrived| self.let_go(entry, arrived));
        }
    }

    /// Puts an object in the place of the same one with other fields. When it is much larger or smaller, the policy is told.
    fn renew(&mut self, seat: &mut Seat<Arc<Entry>>, handle: u32, older: &Arc<Entry>, newer: &Arc<Entry>) {
        if !is_its(seat, handle, older) {
            return self.enter(seat, newer, newer.hits(), newer.stored_ms());
        }
        if seat.bytes(handle).abs_diff(newer.cost()) > newer.cost() / 8 {
            seat.gone(handle);
            return self.enter(seat, newer, 0, newer.stored_ms());
        }
        if let Some(object) = seat.object_mut(handle) {
            *object = newer.clone();
        }
    }

    /// Removes what the policy named.
    fn let_go(&mut self, entry: &Arc<Entry>, arrived: bool) -> Went {
        let store = self.store;
        if entry.take_handle() == NO_HANDLE {
            // It left meanwhile, or another has taken its place and its handle.
            return Went::Gone;
        }
        if entry.pinned_until_ms() > self.now_ms {
            return Went::Pinned;
        }
        if store.remove(entry) {
            if let Some(disks) = &store.disks {
                disks.note_use(entry);
            }
            if arrived {
                store.counters.not_admitted.fetch_add(1, Relaxed);
            } else {
                store.counters.evicted.fetch_add(1, Relaxed);
                store.counters.evicted_bytes.fetch_add(entry.cost(), Relaxed);
            }
            self.evicted += 1;
        }
        Went::Gone
    }
}

fn is_its(seat: &Seat<Arc<Entry>>, handle: u32, entry: &Arc<Entry>) -> bool {
    seat.object(handle).is_some_and(|there| Arc::ptr_eq(there, entry))
}

#[cfg(test)]
mod tests;

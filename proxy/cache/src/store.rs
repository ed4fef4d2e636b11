//! The store: what is published, what is in flight, what a purge removes and what the policy evicts.
//!
//! It composes the table, the dense index, the surrogate keys, the budget and the policy. Locks here are short, never
//! nested with the policy and never held across an await.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, SystemTime};

use arc_swap::ArcSwap;
use littoral_pages::Pages;
use parking_lot::Mutex;
use tokio::sync::Notify;

mod counters;
mod disk;
mod exact;
mod look;
mod paged;
mod pieces;
mod purge;
mod room;

use crate::budget::{Budget, Reservation};
use crate::disk::{Disks, SharedPolicy, Streamed};
use crate::entry::{Body, Entry, Head, Parts, millis};
use crate::evict::{Entropy, Eviction, Seen, Verdict};
use crate::exact::seat::Seat;
use crate::exact::told::Told;
use crate::fill::{Fill, FillParts, FillWriter};
use crate::freshness::Lifetime;
use crate::index::DenseIndex;
use crate::key::{Key, is_key_of, variant_hash};
use crate::limits::{OUTGROWN_KEYS, OVERDRAFT_BYTES, PASSED_KEYS};
use crate::memory::Table;
use crate::remembered::Remembered;
use crate::surrogate::{PurgeLog, Purged, Slots, keys_of};

use exact::{Change, gone, lanes};

pub use counters::Counters;
pub use pieces::{Piece, PieceOf};

/// How a store is set up.
#[derive(Debug, Clone, Copy)]
pub struct Settings {
    /// Bytes for objects, published and in flight, overhead included.
    pub memory_bytes: u64,
    /// Largest object stored, in bytes of body.
    pub object_bytes_max: u64,
}

/// What a lookup finds.
#[derive(Debug)]
pub enum Found {
    /// A published entry, fresh or not.
    Stored(Arc<Entry>),
    /// What only a disk had, with its body, which memory may not keep for as long as it is read.
    Read(Arc<Entry>, Arc<Body>),
    /// What stays on a disk: an entry without a body, and its body there; the bytes are for what is read of it at a time.
    Streamed(Arc<Entry>, Streamed, Reservation),
    /// An object in flight.
    Filling(Arc<Fill>),
}

/// Why a fill is not taken in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// Larger than the site or the cache allows.
    #[error("larger than the largest object stored")]
    TooLarge,
    /// No room even after eviction.
    #[error("no room in the cache")]
    NoRoom,
}

/// A fill about to begin.
#[derive(Debug)]
pub struct Begin {
    /// The primary key.
    pub key: Key,
    /// Status and fields.
    pub head: Head,
    /// How long it may be used.
    pub lifetime: Lifetime,
    /// The length the origin promises.
    pub length: Option<u64>,
    /// When the request went to the origin.
    pub begun: SystemTime,
    /// [`Store::purges`] when the request went to the origin.
    pub begun_purges: u64,
}

/// Room for a fill, and the policy's word on it: what [`Store::admit`] gives and [`Ticket::start`] uses.
#[derive(Debug)]
pub struct Ticket {
    store: Arc<Store>,
    begin: Begin,
    surrogates: Box<[u128]>,
    bytes: Reservation,
    overhead: Reservation,
    publish: bool,
    by: Option<u64>,
}

/// The store.
pub struct Store {
    settings: Settings,
    budget: Arc<Budget>,
    /// For large bodies; `None`: this system has none, and they lie on the heap.
    pages: Option<Arc<Pages>>,
    table: Table,
    index: Arc<DenseIndex>,
    variants: Arc<Slots>,
    surrogates: Arc<Slots>,
    in_flight: Mutex<HashMap<u128, Arc<Fill>>>,
    purges: PurgeLog,
    policy: SharedPolicy,
    disks: Option<Disks>,
    loading: disk::Loading,
    seen: Seen,
    random: Entropy,
    fill_ids: AtomicU64,
    outgrown: Remembered,
    passed: Remembered,
    pressure: Notify,
    counters: Arc<Counters>,
    /// What the exact policy is to be told, and its seat.
    told: Arc<Told<Change>>,
    seat: Mutex<Seat<Arc<Entry>>>,
}

impl std::fmt::Debug for Store {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Store").field("settings", &self.settings).field("budget", &self.budget).finish_non_exhaustive()
    }
}

impl Store {
    /// An empty store.
    pub fn new(settings: Settings, policy: Box<dyn Eviction>) -> Arc<Self> {
        Self::with(settings, policy, None)
    }

    fn with(settings: Settings, policy: Box<dyn Eviction>, disks: Option<Disks>) -> Arc<Self> {
        let (index, surrogates) = (Arc::new(DenseIndex::default()), Arc::new(Slots::default()));
        let counters = Arc::new(Counters::default());
        let variants = Arc::new(Slots::default());
        let dropped_variants = variants.clone();
        let (dropped_index, dropped_slots, dropped_counters) = (index.clone(), surrogates.clone(), counters.clone());
        let told = Arc::new(Told::new(lanes()));
        let dropped_told = told.clone();
        let table = Table::new(settings.memory_bytes + 2 * OVERDRAFT_BYTES, move |entry: Arc<Entry>| {
            if dropped_index.remove(&entry) {
                entry.release();
                gone(&dropped_told, &entry);
                dropped_slots.remove(entry.surrogates(), entry.slot());
                dropped_variants.remove(&[entry.key().hash()], entry.slot());
                dropped_counters.evicted_by_ceiling.fetch_add(1, Relaxed);
            }
        });
        Arc::new(Self {
            settings,
            budget: Budget::new(settings.memory_bytes),
            pages: paged::pages_for(settings.memory_bytes),
            table,
            index,
            variants,
            surrogates,
            in_flight: Mutex::default(),
            purges: PurgeLog::from(disks.as_ref().map_or(0, Disks::next_purge)),
            policy: Arc::new(ArcSwap::from_pointee(policy)),
            disks,
            loading: disk::Loading::default(),
            seen: Seen::new(),
            random: Entropy::default(),
            fill_ids: AtomicU64::new(1),
            outgrown: Remembered::new(OUTGROWN_KEYS),
            passed: Remembered::new(PASSED_KEYS),
            pressure: Notify::new(),
            counters,
            told,
            seat: Mutex::default(),
        })
    }

    /// The byte bound and its use.
    pub fn budget(&self) -> &Budget {
        &self.budget
    }

    /// What was counted.
    pub fn counters(&self) -> &Counters {
        &self.counters
    }

    /// Objects published.
    pub fn len(&self) -> usize {
        self.index.len()
    }

    /// Whether nothing is published.
    pub fn is_empty(&self) -> bool {
        self.index.is_empty()
    }

    /// Objects in flight.
    pub fn filling(&self) -> usize {
        self.in_flight.lock().len()
    }

    /// Replaces the policy; the next decision is the new one's.
    pub fn set_policy(&self, policy: Box<dyn Eviction>) {
        self.policy.store(Arc::new(policy));
        self.pressure.notify_one();
    }

    /// The published object of a primary key: the whole lookup of a hit. Varying objects are found too; whoever asks
    /// checks [`Entry::varies`].
    pub fn hit(&self, hash: u128, host: &str, path_and_query: &str) -> Option<Arc<Entry>> {
        self.table.get(hash).filter(|entry| is_key_of(entry.key().text(), host, path_and_query))
    }

    /// The object of a key, published or in flight; a fill that a purge names is not joined by those who come after it.
    /// `variance` names a variant beside the primary slot.
    pub fn lookup(&self, key: &Key, variance: Option<&[u8; 16]>) -> Option<Found> {
        let slot = slot_of(key, variance);
        let joinable = |fill: &&Arc<Fill>| fill.key == *key && fill.purged() == Purged::No;
        if let Some(fill) = self.in_flight.lock().get(&slot).filter(joinable) {
            return Some(Found::Filling(fill.clone()));
        }
        self.table.get(slot).filter(|entry| entry.key() == key).map(Found::Stored)
    }

    /// The published object of a key, also while a newer one fills.
    pub fn stored(&self, key: &Key, variance: Option<&[u8; 16]>) -> Option<Arc<Entry>> {
        self.table.get(slot_of(key, variance)).filter(|entry| entry.key() == key)
    }

    /// The number of purges so far, to be remembered when a request goes to an origin.
    pub fn purges(&self) -> u64 {
        self.purges.now()
    }

    /// Makes room for a fill. The policy is asked here, once.
    ///
    /// # Errors
    /// When the object is too large or no room can be made; the response then passes by uncached.
    pub fn admit(self: &Arc<Self>, begin: Begin) -> Result<Ticket, Refused> {
        let length = begin.length.unwrap_or(0);
        let outgrown = || self.outgrown.contains(begin.key.hash(), millis(begin.begun));
        if length > self.settings.object_bytes_max || (begin.length.is_none() && outgrown()) {
            return Err(Refused::TooLarge);
        }
        let overhead_bytes = Entry::overhead(&begin.key, &begin.head);
        let (surrogates, ignored) = keys_of(&begin.head.headers);
        self.counters.surrogate_keys_ignored.fetch_add(ignored as u64, Relaxed);
        // What is admitted goes to a disk too: one that has room is reason enough.
        let full = self.budget.fill_permille();
        let full = self.disks.as_ref().map_or(full, |disks| full.min(disks.fill_permille()));
        let (verdict, by) = self.judge(&begin.key, length + overhead_bytes, &begin.lifetime, begin.begun, full);
        let overhead = self.make_room(overhead_bytes)?;
        let bytes = self.make_room(length)?;
        let publish = verdict == Verdict::Admit;
        Ok(Ticket { store: self.clone(), begin, surrogates, bytes, overhead, publish, by })
    }

    /// Publishes a complete fill; `None` when policy or purge said no.
    pub(crate) fn publish(
        &self,
        fill: &Arc<Fill>,
        body: Arc<Body>,
        overhead: Reservation,
        begun: SystemTime,
        now: SystemTime,
        admitted: bool,
    ) -> Option<Arc<Entry>> {
        if !admitted {
            self.counters.not_admitted.fetch_add(1, Relaxed);
        }
        let fetch = now.duration_since(begun).unwrap_or(Duration::ZERO);
        let length = body.length();
        let entry = Entry::new(Parts {
            key: fill.key.clone(),
            slot: fill.slot,
            variance: fill.variance,
            piece: fill.piece,
            head: fill.head.clone(),
            body,
            lifetime: fill.lifetime,
            stored: now,
            fetch_us: u32::try_from(fetch.as_micros()).unwrap_or(u32::MAX),
            surrogates: fill.surrogates.clone(),
            purges: fill.begun_purges,
            overhead,
        });
        // Under the lock of the objects in flight, which a purge takes too: it sees the fill or the entry, never neither.
        let mut in_flight = self.in_flight.lock();
        // What is not there has been replaced by a newer fill, and purges no longer see it.
        let there = forget(&mut in_flight, fill);
        let purged = fill.purged();
        if purged == Purged::Hard {
            self.counters.fills_purged.fetch_add(1, Relaxed);
        }
        if !admitted || !there || purged == Purged::Hard {
            return None;
        }
        if purged == Purged::Soft {
            entry.expire();
        }
        self.replace(&entry);
        match fill.pinned_until_ms.load(Relaxed) {
            0 => {}
            until_ms => entry.pin(until_ms),
        }
        // Before a purge can come: it must find the object in memory or on its way to a disk.
        if let Some(disks) = self.disks.as_ref().filter(|_| entry.piece().is_none()) {
            disks.offer(&entry);
        }
        drop(in_flight);
        self.counters.published.fetch_add(1, Relaxed);
        self.counters.fill_time.record_time(fetch);
        self.counters.object_bytes.record(length);
        self.signal_pressure();
        Some(entry)
    }

    /// Forgets a fill that failed.
    pub(crate) fn abandon(&self, fill: &Arc<Fill>) {
        self.counters.fills_failed.fetch_add(1, Relaxed);
        forget(&mut self.in_flight.lock(), fill);
    }

    /// Takes a fill that does not fit out of everybody's sight: those who read it read on.
    pub(crate) fn pass(&self, fill: &Arc<Fill>) {
        self.counters.fills_passed.fetch_add(1, Relaxed);
        forget(&mut self.in_flight.lock(), fill);
    }

    /// Remembers, as long as it would be fresh, that what comes under this key without a length is too large.
    pub(crate) fn remember_outgrown(&self, fill: &Fill) {
        self.outgrown.remember(fill.key.hash(), millis(fill.lifetime.fresh_until));
    }

    /// Remembers until `until` that what comes under this key is not stored, so that nobody waits for another's fill of it.
    pub fn remember_passed(&self, key: &Key, until: SystemTime) {
        self.passed.remember(key.hash(), millis(until));
    }

    /// Whether what came under this key of late was not stored.
    pub fn is_passed(&self, key: &Key, now: SystemTime) -> bool {
        self.passed.contains(key.hash(), millis(now))
    }

    /// What came under this key can be stored after all.
    pub fn forget_passed(&self, key: &Key) {
        self.passed.forget(key.hash());
    }

    /// Puts `entry` where an older one may be.
    fn replace(&self, entry: &Arc<Entry>) {
        let mut renewed = None;
        if let Some(older) = self.table.get(entry.slot()) {
            if older.key() == entry.key() {
                entry.inherit(&older);
                renewed = Some((older.take_handle(), older.clone()));
            }
            self.unlist(&older);
        }
        self.index.insert(entry);
        self.surrogates.add(entry.surrogates(), entry.slot());
        if entry.slot() != entry.key().hash() {
            self.variants.add(&[entry.key().hash()], entry.slot());
        }
        self.table.insert(entry.clone());
        self.came(entry, renewed);
    }

    fn unlist(&self, entry: &Arc<Entry>) -> bool {
        let listed = self.index.remove(entry);
        if listed {
            self.surrogates.remove(entry.surrogates(), entry.slot());
            self.variants.remove(&[entry.key().hash()], entry.slot());
            entry.release();
            gone(&self.told, entry);
        }
        listed
    }

    fn remove(&self, entry: &Arc<Entry>) -> bool {
        let listed = self.unlist(entry);
        if listed {
            self.table.remove(entry.slot());
        }
        listed
    }

    /// Tells that a URL will be asked for, so that admission counts the coming request as demand: a warm job's fetch is not
    /// somebody's single visit.
    pub fn expect_demand(&self, key: &Key) {
        self.seen.count(key.hash());
    }
}

impl Ticket {
    /// Whether the object will be published when its fill ends well.
    pub fn will_publish(&self) -> bool {
        self.publish
    }

    /// The generation of the policy that said so; `None` for the native one.
    pub fn decided_by(&self) -> Option<u64> {
        self.by
    }

    /// Begins the fill. `variance` is the secondary key of the response, when it varies; `slot_variance` the variant's
    /// slot to fill, when that is not the primary one.
    pub fn start(self, slot_variance: Option<&[u8; 16]>, variance: Option<[u8; 16]>) -> FillWriter {
        self.begin(slot_variance, variance, None)
    }

    fn begin(self, slot_variance: Option<&[u8; 16]>, variance: Option<[u8; 16]>, piece: Option<Piece>) -> FillWriter {
        let Self { store, begin, surrogates, bytes, overhead, publish, .. } = self;
        let Begin { key, head, lifetime, length, begun, begun_purges } = begin;
        let (id, slot) = (store.fill_ids.fetch_add(1, Relaxed), slot_of(&key, slot_variance));
        let counters = store.counters.clone();
        let parts = FillParts {
            id,
            key,
            slot,
            variance,
            piece,
            head,
            lifetime,
            surrogates,
            begun_purges,
            length,
            bytes,
            counters,
        };
        let fill = Fill::new(parts);
        // Under the lock that purges take, so that none falls between the look at the log and the entry here.
        let mut in_flight = store.in_flight.lock();
        fill.note_purge(store.purges.since(begun_purges, fill.key.text(), &fill.surrogates));
        in_flight.insert(slot, fill.clone());
        drop(in_flight);
        // What is only passed on is read once.
        let paged = fill.length().filter(|_| publish).and_then(|length| store.writer(length));
        let length_max = store.settings.object_bytes_max;
        FillWriter::new(fill, store, overhead, begun, publish, length_max, paged)
    }
}

fn slot_of(key: &Key, variance: Option<&[u8; 16]>) -> u128 {
    variance.map_or(key.hash(), |variance| variant_hash(key.hash(), variance))
}

/// Takes a fill out; `false` when it is not there (any more).
fn forget(in_flight: &mut HashMap<u128, Arc<Fill>>, fill: &Arc<Fill>) -> bool {
    let there = in_flight.get(&fill.slot).is_some_and(|there| there.id == fill.id);
    there && in_flight.remove(&fill.slot).is_some()
}

#[cfg(test)]
mod tests;

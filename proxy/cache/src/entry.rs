//! A stored response. Everything but the usage figures is fixed when it is published; a revalidation publishes a new
//! entry around the same body.

mod body;
mod head;

pub use body::Body;
pub use head::{Head, SURROGATE_FIELDS, hop_by_hop};

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering::Relaxed};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use arc_swap::ArcSwapOption;
use bytes::Bytes;
use http::header::VIA;

use crate::budget::Reservation;
use crate::disk::layout::id_of;
use crate::evict::Candidate;
use crate::exact::told::NO_HANDLE;
use crate::freshness::Lifetime;
use crate::index::Resident;
use crate::key::Key;
use crate::limits::{CLOCK_STEP_MS, ENTRY_OVERHEAD_BYTES};
use crate::store::Piece;
use crate::surrogate::keys_of;
use crate::vary::Vary;

/// A stored response and how it is used.
#[derive(Debug)]
pub struct Entry {
    key: Key,
    slot: u128,
    variance: Option<[u8; 16]>,
    piece: Option<Box<Piece>>,
    varies: bool,
    head: Head,
    wire: Bytes,
    /// Emptied when the entry leaves the store: the table frees what it removed only later.
    held: ArcSwapOption<Held>,
    cost: u64,
    lifetime: Lifetime,
    fresh_until_ms: u64,
    born_ms: u64,
    stored_ms: u64,
    fetch_us: u32,
    surrogates: Box<[u128]>,
    purges: u64,
    pub(crate) usage: Usage,
}

/// What an entry takes from the budget.
#[derive(Debug)]
struct Held {
    body: Arc<Body>,
    _overhead: Reservation,
}

/// What hits change. Relaxed: these are hints for eviction, never a condition for serving.
#[derive(Debug, Default)]
pub(crate) struct Usage {
    pub(crate) hits: AtomicU32,
    pub(crate) last_ms: AtomicU64,
    pub(crate) pinned_until_ms: AtomicU64,
    pub(crate) expired: AtomicBool,
    /// Place in the dense index.
    pub(crate) place: AtomicU32,
    /// What an exact policy knows it by; [`NO_HANDLE`] when none does.
    pub(crate) handle: AtomicU32,
}

/// What an [`Entry`] is made of.
pub(crate) struct Parts {
    pub(crate) key: Key,
    pub(crate) slot: u128,
    pub(crate) variance: Option<[u8; 16]>,
    pub(crate) piece: Option<Piece>,
    pub(crate) head: Head,
    pub(crate) body: Arc<Body>,
    pub(crate) lifetime: Lifetime,
    pub(crate) stored: SystemTime,
    pub(crate) fetch_us: u32,
    pub(crate) surrogates: Box<[u128]>,
    /// Purges with this number or a higher one may name it.
    pub(crate) purges: u64,
    pub(crate) overhead: Reservation,
}

/// What a 304 says of a stored response (RFC 9111 §4.3.4).
pub(crate) struct Confirmed {
    /// The fields from now on.
    pub(crate) head: Head,
    pub(crate) lifetime: Lifetime,
    /// Purges before the request that it answers.
    pub(crate) begun_purges: u64,
    pub(crate) now: SystemTime,
}

impl Entry {
    pub(crate) fn new(parts: Parts) -> Arc<Self> {
        let Parts { key, slot, variance, piece, head, body, lifetime, stored, fetch_us, surrogates, purges, overhead } =
            parts;
        let (head, wire) = head.settle(body.length());
        let stored_ms = millis(stored);
        Arc::new(Self {
            varies: variance.is_some() || Vary::of(&head.headers) != Vary::None,
            key,
            slot,
            variance,
            piece: piece.map(Box::new),
            head,
            wire,
            cost: body.length() + overhead.bytes(),
            held: ArcSwapOption::from_pointee(Held { body, _overhead: overhead }),
            fresh_until_ms: millis(lifetime.fresh_until),
            born_ms: millis(lifetime.born),
            lifetime,
            stored_ms,
            fetch_us,
            surrogates,
            purges,
            usage: Usage { last_ms: AtomicU64::new(stored_ms), ..Usage::default() },
        })
    }

    /// The entry that takes this one's place once it is confirmed.
    pub(crate) fn confirmed(&self, confirmed: Confirmed, body: Arc<Body>, overhead: Reservation) -> Arc<Self> {
        let Confirmed { head, lifetime, begun_purges, now } = confirmed;
        let (surrogates, _) = keys_of(&head.headers);
        Self::new(Parts {
            key: self.key.clone(),
            slot: self.slot,
            variance: self.variance,
            piece: self.piece(),
            head,
            body,
            lifetime,
            stored: now,
            fetch_us: self.fetch_us,
            surrogates,
            purges: begun_purges,
            overhead,
        })
    }

    /// Bytes charged for an entry besides its body.
    pub(crate) fn overhead(key: &Key, head: &Head) -> u64 {
        ENTRY_OVERHEAD_BYTES + key.text().len() as u64 + head.cost()
    }

    /// The primary key.
    pub fn key(&self) -> &Key {
        &self.key
    }

    /// Where it is stored: the primary hash, or the variant's.
    pub(crate) fn slot(&self) -> u128 {
        self.slot
    }

    /// Whether it is a variant beside the primary slot.
    pub fn is_variant(&self) -> bool {
        self.slot != self.key.hash()
    }

    /// What it is called on disk.
    pub(crate) fn disk_id(&self) -> u128 {
        id_of(self.key.text(), self.variance.as_ref().filter(|_| self.is_variant()))
    }

    /// The secondary key it was stored under, when the response varies.
    pub fn variance(&self) -> Option<[u8; 16]> {
        self.variance
    }

    /// Where it lies in its object, when it is a piece of one that is not whole here.
    pub fn piece(&self) -> Option<Piece> {
        self.piece.as_deref().copied()
    }

    /// Whether request fields select it, by its Vary or by its site's key.
    pub fn varies(&self) -> bool {
        self.varies
    }

    /// Status and fields.
    pub fn head(&self) -> &Head {
        &self.head
    }

    /// The head as HTTP/1.1 text with Content-Length, without the closing empty line.
    pub fn wire(&self) -> &Bytes {
        &self.wire
    }

    /// The body; `None` once the entry has left the store.
    pub fn body(&self) -> Option<Arc<Body>> {
        self.held.load().as_ref().map(|held| held.body.clone())
    }

    /// Lets go of the body; those who read it keep it.
    pub(crate) fn release(&self) {
        self.held.store(None);
    }

    /// How long it may be used.
    pub fn lifetime(&self) -> &Lifetime {
        &self.lifetime
    }

    /// Remaining freshness in milliseconds at `now_ms` (Unix time), negative when stale, soft purged or [ahead](Self::is_ahead).
    pub fn ttl_ms(&self, now_ms: u64) -> i64 {
        let ttl = self.fresh_until_ms as i64 - now_ms as i64;
        if self.usage.expired.load(Relaxed) || self.is_ahead(now_ms) { ttl.min(-1) } else { ttl }
    }

    /// Whether it was stored later than now: the clock was set back since, and nobody knows how old it is.
    pub fn is_ahead(&self, now_ms: u64) -> bool {
        self.stored_ms > now_ms.saturating_add(CLOCK_STEP_MS)
    }

    /// Age in whole seconds (RFC 9111 §4.2.3).
    pub fn age_s(&self, now_ms: u64) -> u64 {
        now_ms.saturating_sub(self.born_ms) / 1000
    }

    /// Whether it was soft purged.
    pub fn is_expired(&self) -> bool {
        self.usage.expired.load(Relaxed)
    }

    /// When it was stored, or confirmed last (Unix milliseconds).
    pub fn stored_ms(&self) -> u64 {
        self.stored_ms
    }

    /// Counts a hit; [`crate::Store::touch`] tells an exact policy of it too.
    pub(crate) fn touch(&self, now_ms: u64) {
        let hits = self.usage.hits.load(Relaxed);
        self.usage.hits.store(hits.saturating_add(1), Relaxed);
        self.usage.last_ms.store(now_ms, Relaxed);
    }

    /// What an exact policy knows it by.
    pub(crate) fn handle(&self) -> u32 {
        self.usage.handle.load(Relaxed)
    }

    pub(crate) fn set_handle(&self, handle: u32) {
        self.usage.handle.store(handle, Relaxed);
    }

    /// Its handle, for the one who says that it has gone, or hands it on.
    pub(crate) fn take_handle(&self) -> u32 {
        self.usage.handle.swap(NO_HANDLE, Relaxed)
    }

    /// Goes on from what was known of it on disk: it is about to be used.
    pub(crate) fn resume(&self, hits: u16, now_ms: u64) {
        self.usage.hits.store(u32::from(hits), Relaxed);
        self.usage.last_ms.store(now_ms, Relaxed);
    }

    /// Hits since it was stored.
    pub fn hits(&self) -> u32 {
        self.usage.hits.load(Relaxed)
    }

    /// Keeps it from eviction until then (Unix milliseconds); 0 unpins.
    pub fn pin(&self, until_ms: u64) {
        self.usage.pinned_until_ms.store(until_ms, Relaxed);
    }

    /// Until when it is pinned (Unix milliseconds), 0 when it is not.
    pub fn pinned_until_ms(&self) -> u64 {
        self.usage.pinned_until_ms.load(Relaxed)
    }

    /// How many surrogate keys it has.
    pub fn surrogate_keys(&self) -> usize {
        self.surrogates.len()
    }

    /// Hashes of its surrogate keys.
    pub(crate) fn surrogates(&self) -> &[u128] {
        &self.surrogates
    }

    /// Purges with this number or a higher one may name it.
    pub(crate) fn purges(&self) -> u64 {
        self.purges
    }

    /// When it was last used, in Unix milliseconds.
    pub(crate) fn used_ms(&self) -> u64 {
        self.usage.last_ms.load(Relaxed)
    }

    pub(crate) fn fetch_us(&self) -> u32 {
        self.fetch_us
    }

    pub(crate) fn expire(&self) {
        self.usage.expired.store(true, Relaxed);
    }

    /// All bytes charged to it.
    pub fn cost(&self) -> u64 {
        self.cost
    }

    /// What an eviction policy sees of it.
    pub fn candidate(&self, now_ms: u64) -> Candidate {
        let seconds = |ms: u64| u32::try_from(ms / 1000).unwrap_or(u32::MAX);
        Candidate {
            id: self.slot as u64,
            bytes: self.cost(),
            age_s: seconds(now_ms.saturating_sub(self.stored_ms)),
            idle_s: seconds(now_ms.saturating_sub(self.usage.last_ms.load(Relaxed))),
            ttl_s: seconds(u64::try_from(self.ttl_ms(now_ms)).unwrap_or(0)),
            fetch_us: self.fetch_us,
            hits: u16::try_from(self.hits()).unwrap_or(u16::MAX),
            class: u16::from(has_via(&self.head)),
        }
    }

    /// Takes over what was known of the entry this one replaces.
    pub(crate) fn inherit(&self, older: &Self) {
        self.usage.hits.store(older.hits(), Relaxed);
        self.usage.last_ms.store(older.usage.last_ms.load(Relaxed), Relaxed);
        self.usage.pinned_until_ms.store(older.pinned_until_ms(), Relaxed);
    }
}

impl Resident for Entry {
    fn place(&self) -> &AtomicU32 {
        &self.usage.place
    }

    fn pinned_until_ms(&self) -> u64 {
        Self::pinned_until_ms(self)
    }

    fn candidate(&self, now_ms: u64) -> Candidate {
        Self::candidate(self, now_ms)
    }
}

/// Class 1: it came through another cache, so that fetching it again is cheap; class 0: straight from an origin.
fn has_via(head: &Head) -> bool {
    head.headers.contains_key(VIA)
}

/// Unix time in milliseconds.
pub fn millis(time: SystemTime) -> u64 {
    time.duration_since(UNIX_EPOCH).map_or(0, |since| u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
}

/// The time of a Unix time in milliseconds.
pub fn time_of(millis: u64) -> SystemTime {
    UNIX_EPOCH + Duration::from_millis(millis)
}

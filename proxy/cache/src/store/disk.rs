//! The store's side of the disk tier: finding on disk what memory does not have, and publishing it in memory again.
//!
//! An object read back is an entry like any other; who asks cannot tell where it was. It is published only if nothing newer is,
//! and no purge since it was stored names it.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering::Relaxed};
use std::time::SystemTime;

use parking_lot::Mutex;
use tokio::sync::oneshot;

use super::{Found, Settings, Store, slot_of};
use crate::budget::Reservation;
use crate::disk::format::Header;
use crate::disk::index::Item;
use crate::disk::layout::id_of;
use crate::disk::{Before, Disks, Kept, Stamp, Streamed, Volume, url_id};
use crate::entry::{Body, Confirmed, Entry, Parts, millis, time_of};
use crate::evict::Eviction;
use crate::key::{Key, is_key_of};
use crate::limits::{DISK_BLOCK_BYTES, OPENED_BYTES, OPENED_USES, PROMOTED_SHARE};
use crate::surrogate::{Purged, keys_of};

/// Objects that are being read from disk, and who waits for them and for the number of purges when the reading began.
pub(super) type Loading = Arc<Mutex<HashMap<u128, Vec<oneshot::Sender<Option<(Loaded, u64)>>>>>>;

/// What was read.
#[derive(Clone)]
pub(super) enum Loaded {
    /// An entry with its body.
    Whole(Arc<Entry>, Arc<Body>),
    /// An entry whose body stays where it is.
    Streamed(Arc<Entry>, Streamed),
}

impl Loaded {
    fn entry(&self) -> &Entry {
        match self {
            Self::Whole(entry, _) | Self::Streamed(entry, _) => entry,
        }
    }
}

/// How an object on disk stands with what came after it was written.
struct Since {
    surrogates: Box<[u128]>,
    /// A soft purge names it.
    expired: bool,
    /// `None` while its disk has not been looked through.
    known: Option<Item>,
    pinned_until_ms: u64,
}

impl Since {
    /// `None` when a purge names it, or it is another key's.
    fn of(disks: &Disks, volume: &Volume, id: u128, key: &Key, header: &Header) -> Option<Self> {
        let (surrogates, _) = keys_of(&header.head.headers);
        // Purges before this; those that come while it is read are in the store's own log.
        let purged = disks.shared.ledger.since(header.purges, key.text(), &surrogates);
        if purged == Purged::Hard || header.key != key.text() {
            return None;
        }
        let known = volume.index().get(id);
        let pinned_until_ms = match known {
            Some(item) => u64::from(item.pinned_until_s) * 1000,
            None => disks.shared.ledger.pinned_until_ms(url_id(key.text())).unwrap_or(header.pinned_until_ms),
        };
        Some(Self { surrogates, expired: header.expired || purged == Purged::Soft, known, pinned_until_ms })
    }

    fn entry(
        self,
        header: &Header,
        (key, slot): (Key, u128),
        (body, overhead): (Arc<Body>, Reservation),
        used_ms: u64,
    ) -> Arc<Entry> {
        let entry = Entry::new(Parts {
            key,
            slot,
            variance: header.variance,
            piece: None,
            head: header.head.clone(),
            body,
            lifetime: header.lifetime,
            stored: time_of(header.stored_ms),
            fetch_us: header.fetch_us,
            surrogates: self.surrogates,
            purges: header.purges,
            overhead,
        });
        if self.expired {
            entry.expire();
        }
        entry.pin(self.pinned_until_ms);
        entry.resume(self.known.map_or(0, |item| item.hits), used_ms);
        entry
    }
}

/// One read. When it is dropped, those who still wait learn that there is nothing.
struct Load {
    loading: Loading,
    id: u128,
}

impl Load {
    fn tell(&self, found: &Option<(Loaded, u64)>) {
        for one in self.loading.lock().remove(&self.id).unwrap_or_default() {
            let _ = one.send(found.clone());
        }
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        self.tell(&None);
    }
}

impl Store {
    /// An empty store before what is on `disks`.
    ///
    /// # Errors
    /// When threads cannot be started.
    pub fn on_disks(settings: Settings, policy: Box<dyn Eviction>, disks: Disks) -> std::io::Result<Arc<Self>> {
        let store = Self::with(settings, policy, Some(disks));
        if let Some(disks) = &store.disks {
            disks.start(store.policy.clone(), settings.memory_bytes)?;
        }
        Ok(store)
    }

    /// The disks, when there are any.
    pub fn disks(&self) -> Option<&Disks> {
        self.disks.as_ref()
    }

    /// The object of a key, published, in flight or on disk. What is only on disk is published before this returns, if memory is
    /// to have it.
    pub async fn find(self: &Arc<Self>, key: &Key, variance: Option<&[u8; 16]>) -> Option<Found> {
        if let Some(found) = self.lookup(key, variance) {
            return Some(found);
        }
        let disks = self.disks.as_ref()?;
        if let Some((entry, body)) = self.kept_open(slot_of(key, variance), |entry| entry.key() == key) {
            let block = self.room_for_block(&body)?;
            return Some(Found::Streamed(entry, body, block));
        }
        let id = id_of(key.text(), variance);
        let volume = disks.having(id)?;
        let (tell, told) = oneshot::channel();
        let is_first = {
            let mut loading = self.loading.lock();
            let waiting = loading.entry(id).or_default();
            waiting.push(tell);
            waiting.len() == 1
        };
        if is_first {
            let (load, store) = (Load { loading: self.loading.clone(), id }, self.clone());
            let (key, slot) = (key.clone(), slot_of(key, variance));
            let read = move || {
                // Under the lock of the objects in flight, under which a purge is told to the log and to the disks.
                let begun_purges = {
                    let _in_flight = store.in_flight.lock();
                    store.purges()
                };
                let found = store.read_back(&volume, id, key, slot, begun_purges).map(|found| (found, begun_purges));
                // Whoever is told may be the last to use them.
                drop((store, volume));
                load.tell(&found);
            };
            if !disks.readers.submit(read) {
                disks.counters().reads_refused.fetch_add(1, Relaxed);
            }
        }
        let (loaded, begun_purges) = told.await.ok().flatten()?;
        // Whoever joined late may have come after a purge that the reading did not see.
        if self.note_purges_since(begun_purges, loaded.entry()) == Purged::Hard {
            return None;
        }
        match loaded {
            Loaded::Whole(entry, body) => Some(Found::Read(entry, body)),
            Loaded::Streamed(entry, body) => {
                let block = self.room_for_block(&body)?;
                Some(Found::Streamed(entry, body, block))
            }
        }
    }

    /// An object that only a disk has and that is kept open, of the primary key with this hash; checked as [`Self::hit`] does.
    pub fn hit_on_disk(&self, hash: u128, host: &str, path_and_query: &str) -> Option<(Arc<Entry>, Streamed)> {
        self.kept_open(hash, |entry| is_key_of(entry.key().text(), host, path_and_query))
    }

    /// Room for what is read of a body on disk at a time, when that is not in the system's memory.
    pub fn room_for_block(&self, body: &Streamed) -> Option<Reservation> {
        self.make_room(body.length().min(DISK_BLOCK_BYTES)).ok()
    }

    /// An object that is kept open, if it is still what its disk has and no purge names it.
    fn kept_open(&self, slot: u128, is_it: impl FnOnce(&Entry) -> bool) -> Option<(Arc<Entry>, Streamed)> {
        let disks = self.disks.as_ref()?;
        let kept = disks.shared.opened.get(slot).filter(|kept| is_it(&kept.entry))?;
        let forget = || disks.shared.opened.forget(kept.id);
        let purges = self.purges();
        let is_known = kept.purges.load(Relaxed) == purges;
        if !is_known && self.note_purges_since(kept.purges.load(Relaxed), &kept.entry) == Purged::Hard {
            forget();
            return None;
        }
        kept.purges.fetch_max(purges, Relaxed);
        let Some(volume) = disks.having(kept.id) else {
            forget();
            return None;
        };
        if kept.uses_left.fetch_sub(1, Relaxed) <= 1 {
            forget();
        }
        disks.note_streamed(&volume, kept.id, millis(SystemTime::now()));
        Some((kept.entry.clone(), kept.body.clone()))
    }

    /// Keeps an object open that was read back and stays on its disk, if it takes little memory and there is some.
    fn keep_open(&self, disks: &Disks, before: Before, kept: (u128, &Arc<Entry>, &Streamed), purges: u64) {
        let (id, entry, body) = kept;
        let bytes = Entry::overhead(entry.key(), entry.head()) + body.overhead();
        if bytes > OPENED_BYTES {
            return;
        }
        let Some(room) = self.budget.reserve(bytes) else { return };
        let may_be_promoted = bytes + body.length() <= self.budget.bound() / PROMOTED_SHARE;
        let kept = Kept {
            id,
            entry: entry.clone(),
            body: body.clone(),
            purges: AtomicU64::new(purges),
            uses_left: AtomicU32::new(if may_be_promoted { OPENED_USES } else { u32::MAX }),
            _room: room,
        };
        disks.shared.opened.keep(before, entry.slot(), Arc::new(kept));
    }

    /// Reads an object, and publishes it if memory is to have it. Blocks.
    fn read_back(&self, volume: &Arc<Volume>, id: u128, key: Key, slot: u128, begun_purges: u64) -> Option<Loaded> {
        let disks = self.disks.as_ref()?;
        let (counters, before) = (disks.counters(), disks.shared.opened.before(id));
        let object = volume.open(id, counters)?;
        let Some(since) = Since::of(disks, volume, id, &key, &object.header) else {
            counters.purged.fetch_add(1, Relaxed);
            volume.doom(id);
            return None;
        };
        let promoted = self.is_promoted(&key, &object.header, since.expired);
        let (overhead, body) = match promoted {
            true => {
                let overhead = self.make_room(Entry::overhead(&key, &object.header.head)).ok()?;
                let bytes = self.make_room(object.header.body).ok()?;
                let blocks = self.paged(volume.read_body(id, &object, counters)?, object.header.body);
                (overhead, Body::new(blocks, object.header.body, bytes))
            }
            false => (self.budget.nothing(), Body::elsewhere(object.header.body, self.budget.nothing())),
        };
        let now_ms = millis(SystemTime::now());
        let entry = since.entry(&object.header, (key, slot), (body.clone(), overhead), now_ms);
        if promoted {
            volume.used(id, now_ms, |_| true);
            return self.publish_again(entry, body, begun_purges, disks);
        }
        entry.release();
        disks.note_streamed(volume, id, now_ms);
        let body = disks.stream(id, object, volume.clone());
        self.keep_open(disks, before, (id, &entry, &body), begun_purges);
        Some(Loaded::Streamed(entry, body))
    }

    /// What a disk has of an object: an entry without its body, and that one's length. It is not published, and not counted as used.
    /// Blocks: it reads the file's header.
    pub fn on_disk(&self, key: &Key, variance: Option<&[u8; 16]>) -> Option<(Arc<Entry>, u64)> {
        let (disks, id) = (self.disks.as_ref()?, id_of(key.text(), variance));
        let volume = disks.having(id)?;
        let header = volume.open(id, disks.counters())?.header;
        let since = Since::of(disks, &volume, id, key, &header)?;
        let used_ms = since.known.map_or(0, |item| u64::from(item.used_s) * 1000);
        let body = Body::elsewhere(header.body, self.budget.nothing());
        let of = (key.clone(), slot_of(key, variance));
        let entry = since.entry(&header, of, (body, self.budget.nothing()), used_ms);
        entry.release();
        Some((entry, header.body))
    }

    /// Whether memory is to have an object that a disk has: what the policy admits there, but nothing that would take more than
    /// its share. What has to be revalidated is served from memory meanwhile, if it has its share there.
    fn is_promoted(&self, key: &Key, header: &Header, expired: bool) -> bool {
        let (bytes, now) = (header.body + Entry::overhead(key, &header.head), SystemTime::now());
        let stale = expired || header.lifetime.fresh_until <= now;
        bytes <= self.budget.bound() / PROMOTED_SHARE
            && (stale || self.is_admitted(key, bytes, &header.lifetime, now, self.budget.fill_permille()))
    }

    /// Makes an entry stale if a soft purge has named it since.
    fn note_purges_since(&self, begun_purges: u64, entry: &Entry) -> Purged {
        let purged = self.purges.since(begun_purges, entry.key().text(), entry.surrogates());
        if purged == Purged::Soft {
            entry.expire();
        }
        purged
    }

    fn publish_again(&self, entry: Arc<Entry>, body: Arc<Body>, begun_purges: u64, disks: &Disks) -> Option<Loaded> {
        let in_flight = self.in_flight.lock();
        if self.note_purges_since(begun_purges, &entry) == Purged::Hard {
            return None;
        }
        let newer = self.table.get(entry.slot()).filter(|there| there.key() == entry.key());
        if let Some((newer, body)) = newer.and_then(|newer| newer.body().map(|body| (newer, body))) {
            return Some(Loaded::Whole(newer, body));
        }
        self.replace(&entry);
        drop(in_flight);
        disks.counters().hits.fetch_add(1, Relaxed);
        self.signal_pressure();
        Some(Loaded::Whole(entry, body))
    }

    /// What [`Store::refresh`] does to an object that is only on disk.
    pub(super) fn refresh_on_disk(&self, entry: &Arc<Entry>, confirmed: Confirmed) -> bool {
        let begun_purges = confirmed.begun_purges;
        let Some(disks) = &self.disks else { return false };
        let body = Body::elsewhere(0, self.budget.nothing());
        let fresh = entry.confirmed(confirmed, body, self.budget.nothing());
        fresh.release();
        let _in_flight = self.in_flight.lock();
        if self.note_purges_since(begun_purges, &fresh) == Purged::Hard || self.table.get(entry.slot()).is_some() {
            return false;
        }
        disks.offer_confirmed(Stamp::of(entry), &fresh);
        disks.shared.opened.forget(entry.disk_id());
        true
    }
}

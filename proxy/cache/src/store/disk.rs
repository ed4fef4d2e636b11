//! The store's side of the disk tier: finding on disk what memory does not have, and publishing it in memory again.
//!
//! An object read back is an entry like any other; who asks cannot tell where it was. It is published only if nothing newer is,
//! and no purge since it was stored names it.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::SystemTime;

use parking_lot::Mutex;
use tokio::sync::oneshot;

use super::{Found, Settings, Store, slot_of};
use crate::disk::layout::id_of;
use crate::disk::{Disks, Object, Volume, url_id};
use crate::entry::{Body, Entry, Parts, millis, time_of};
use crate::evict::Eviction;
use crate::key::Key;
use crate::surrogate::{Purged, keys_of};

/// Objects that are being read from disk, and who waits for them.
pub(super) type Loading = Arc<Mutex<HashMap<u128, Vec<oneshot::Sender<Option<Found>>>>>>;

/// An entry and its body.
type Loaded = (Arc<Entry>, Arc<Body>);

/// One read. When it is dropped, those who still wait learn that there is nothing.
struct Load {
    loading: Loading,
    id: u128,
}

impl Load {
    fn tell(&self, found: &Option<Found>) {
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

    /// The object of a key, published, in flight or on disk. What is only on disk is published before this returns.
    pub async fn find(self: &Arc<Self>, key: &Key, variance: Option<&[u8; 16]>) -> Option<Found> {
        if let Some(found) = self.lookup(key, variance) {
            return Some(found);
        }
        let disks = self.disks.as_ref()?;
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
                let found = store.read_back(&volume, id, key, slot).map(|(entry, body)| Found::Read(entry, body));
                // Whoever is told may be the last to use them.
                drop((store, volume));
                load.tell(&found);
            };
            if !disks.readers.submit(read) {
                disks.counters().reads_refused.fetch_add(1, Relaxed);
            }
        }
        told.await.ok().flatten()
    }

    /// Reads an object and publishes it. Blocks.
    fn read_back(&self, volume: &Volume, id: u128, key: Key, slot: u128) -> Option<Loaded> {
        let disks = self.disks.as_ref()?;
        let (counters, begun_purges) = (disks.counters(), self.purges());
        let object = volume.open(id, counters)?;
        let (surrogates, _) = keys_of(&object.header.head.headers);
        // Purges before this; those that come while it is read are in the store's own log.
        let purged = disks.shared.ledger.since(object.header.purges, key.text(), &surrogates);
        if purged == Purged::Hard || object.header.key != key.text() {
            counters.purged.fetch_add(1, Relaxed);
            volume.doom(id);
            return None;
        }
        let overhead = self.make_room(Entry::overhead(&key, &object.header.head)).ok()?;
        let bytes = self.make_room(object.header.body).ok()?;
        let blocks = volume.read_body(id, &object, counters)?;
        let known = volume.index().get(id);
        let pinned_until_ms = match known {
            Some(item) => u64::from(item.pinned_until_s) * 1000,
            None => disks.shared.ledger.pinned_until_ms(url_id(key.text())).unwrap_or(object.header.pinned_until_ms),
        };
        let Object { header, .. } = object;
        let body = Body::new(blocks, header.body, bytes);
        let entry = Entry::new(Parts {
            key,
            slot,
            variance: header.variance,
            head: header.head,
            body: body.clone(),
            lifetime: header.lifetime,
            stored: time_of(header.stored_ms),
            fetch_us: header.fetch_us,
            surrogates,
            purges: header.purges,
            overhead,
        });
        if header.expired || purged == Purged::Soft {
            entry.expire();
        }
        entry.pin(pinned_until_ms);
        entry.resume(known.map_or(0, |item| item.hits), millis(SystemTime::now()));
        self.publish_again(entry, body, begun_purges, disks)
    }

    fn publish_again(&self, entry: Arc<Entry>, body: Arc<Body>, begun_purges: u64, disks: &Disks) -> Option<Loaded> {
        let in_flight = self.in_flight.lock();
        match self.purges.since(begun_purges, entry.key().text(), entry.surrogates()) {
            Purged::Hard => return None,
            Purged::Soft => entry.expire(),
            Purged::No => {}
        }
        let newer = self.table.get(entry.slot()).filter(|there| there.key() == entry.key());
        if let Some(newer) = newer.and_then(|newer| newer.body().map(|body| (newer, body))) {
            return Some(newer);
        }
        self.replace(&entry);
        drop(in_flight);
        disks.counters().hits.fetch_add(1, Relaxed);
        self.signal_pressure();
        Some((entry, body))
    }
}

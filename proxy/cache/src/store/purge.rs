//! What names objects to do something to them: purges hard and soft, pins, and what an origin's answer does to a stored one.
//!
//! Each takes the lock of the objects in flight, as publishing does: it meets a fill that ends meanwhile before or after it.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::SystemTime;

use super::Store;
use crate::entry::{Entry, Head, Parts, millis};
use crate::freshness::Lifetime;
use crate::key::Key;
use crate::surrogate::{Purged, Target, keys_of};

impl Store {
    /// Removes what `target` names, and keeps fills that began earlier from being published or joined. Returns how many
    /// objects, published or in flight.
    pub fn purge(&self, target: Target) -> usize {
        let in_flight = self.in_flight.lock();
        self.purges.record(target, Purged::Hard);
        let named = in_flight.values().filter(|fill| target.names(fill.key.hash(), &fill.surrogates));
        let doomed = named.filter(|fill| fill.note_purge(Purged::Hard)).count();
        let removed = self.named(target).into_iter().filter(|entry| self.remove(entry)).count();
        drop(in_flight);
        self.counters.purged.fetch_add(removed as u64, Relaxed);
        removed + doomed
    }

    /// Makes stale what `target` names, so that it is revalidated; fills and revalidations that began earlier end in a stale
    /// object. Returns how many objects, published or in flight.
    pub fn expire(&self, target: Target) -> usize {
        let in_flight = self.in_flight.lock();
        self.purges.record(target, Purged::Soft);
        let named = in_flight.values().filter(|fill| target.names(fill.key.hash(), &fill.surrogates));
        let filling = named.filter(|fill| fill.note_purge(Purged::Soft)).count();
        filling + self.named(target).into_iter().inspect(|entry| entry.expire()).count()
    }

    /// Publishes `entry` anew with the fields and lifetime of a 304 (RFC 9111 §4.3.4) to a request sent when
    /// [`Self::purges`] was `begun_purges`; a soft purge since then leaves it stale. `false` when it is gone, or when there is no
    /// room for the fields.
    pub fn refresh(
        &self,
        entry: &Arc<Entry>,
        head: Head,
        lifetime: Lifetime,
        begun_purges: u64,
        now: SystemTime,
    ) -> bool {
        let Some(body) = entry.body() else { return false };
        let Some(overhead) = self.budget.reserve(Entry::overhead(entry.key(), &head)) else {
            return false;
        };
        let (surrogates, _) = keys_of(&head.headers);
        let fresh = Entry::new(Parts {
            key: entry.key().clone(),
            slot: entry.slot(),
            variance: entry.variance(),
            head,
            body,
            lifetime,
            stored: now,
            fetch_us: entry.fetch_us(),
            surrogates,
            overhead,
        });
        let in_flight = self.in_flight.lock();
        let current = self.table.get(entry.slot()).is_some_and(|there| Arc::ptr_eq(&there, entry));
        if current {
            // A hard one has removed it; what the log has forgotten may have been any.
            if self.purges.since(begun_purges, fresh.key().hash(), fresh.surrogates()) != Purged::No {
                fresh.expire();
            }
            self.replace(&fresh);
        }
        drop(in_flight);
        current
    }

    /// Keeps a URL's objects from eviction until `until` (`UNIX_EPOCH` unpins), those in flight too. Returns how many.
    pub fn pin(&self, key: &Key, until: SystemTime) -> usize {
        let until_ms = millis(until);
        let in_flight = self.in_flight.lock();
        let filling = in_flight.values().filter(|fill| fill.key == *key);
        let filling = filling.inspect(|fill| fill.pinned_until_ms.store(until_ms, Relaxed)).count();
        filling + self.named(Target::Url(key.hash())).into_iter().inspect(|entry| entry.pin(until_ms)).count()
    }

    fn named(&self, target: Target) -> Vec<Arc<Entry>> {
        let slots = match target {
            Target::Url(hash) => [hash].into_iter().chain(self.variants.of(hash)).collect(),
            Target::Surrogate(key) => self.surrogates.of(key),
            Target::All => return self.index.all(),
        };
        slots.into_iter().filter_map(|slot| self.table.get(slot)).collect()
    }
}

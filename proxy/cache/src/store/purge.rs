//! What names objects to do something to them: purges hard and soft, pins, and what an origin's answer does to a stored one.
//!
//! A purge is first put in the log, then told to the fills in flight, then done to what is published, a few objects at a
//! time. So a fill or a 304 that ends meanwhile either finds it in the log or is found by it, and no lock is held for the
//! whole of it. Invariant: here entries are
//! taken out and replaced only under the lock of the objects in flight.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::SystemTime;

use http::HeaderMap;

use super::Store;
use crate::disk::{Stamp, url_id};
use crate::entry::{Confirmed, Entry, Head, millis};
use crate::fill::Fill;
use crate::freshness::Lifetime;
use crate::key::Key;
use crate::limits::PURGE_STEP;
use crate::surrogate::{Purged, keys_of};
use crate::target::Target;

impl Store {
    /// Removes what any of `targets` names, and keeps fills that began earlier from being published or joined. Returns how
    /// many objects, published or in flight. Takes time linear in all objects for what is found by walking them: not for
    /// the request path.
    pub fn purge(&self, targets: &[Target]) -> usize {
        let count = self.take_out(targets, false);
        self.settle_on_disk();
        count
    }

    /// Removes all variants of a URL as [`Self::purge`] does, but waits for no disk: a crash right after it may bring back what
    /// a disk has of it. Clients make this happen, so it takes no place in the log: however many there are, no purge is forgotten
    /// for them.
    pub fn invalidate(&self, key: Key) {
        self.take_out(&[Target::Url(key)], true);
        if let Some(disks) = &self.disks {
            disks.commit_soon();
        }
    }

    /// Removes one published object, on disk too, which its origin said is no more (RFC 9111 §4.3.3), unless another has taken
    /// its place.
    pub fn discard(&self, entry: &Arc<Entry>) {
        let in_flight = self.in_flight.lock();
        self.remove(entry);
        if self.table.get(entry.slot()).is_none() {
            self.disks.iter().for_each(|disks| _ = disks.drop_url(entry.disk_id()));
        }
        drop(in_flight);
        self.counters.discarded.fetch_add(1, Relaxed);
    }

    fn take_out(&self, targets: &[Target], by_clients: bool) -> usize {
        let doomed = self.tell_fills(targets, Purged::Hard, by_clients);
        let on_disk = self.drop_urls(targets);
        let removed = self.each_named(targets, |entry| self.remove(entry));
        self.counters.purged.fetch_add(removed as u64, Relaxed);
        // What is in memory mostly has its copy on disk, which is the same object.
        (removed + doomed).max(on_disk)
    }

    /// Makes stale what any of `targets` names, so that it is revalidated; fills and revalidations that began earlier end in
    /// a stale object. Returns and takes what [`Self::purge`] does.
    pub fn expire(&self, targets: &[Target]) -> usize {
        let filling = self.tell_fills(targets, Purged::Soft, false);
        let expired = self.each_named(targets, |entry| {
            entry.expire();
            true
        });
        self.counters.expired.fetch_add(expired as u64, Relaxed);
        self.settle_on_disk();
        filling + expired
    }

    /// Puts a purge in the log and tells the fills that began before it. Returns how many it names.
    fn tell_fills(&self, targets: &[Target], purged: Purged, by_clients: bool) -> usize {
        let in_flight = self.in_flight.lock();
        for target in targets {
            self.counters.purges[target.kind()].fetch_add(1, Relaxed);
            let number = match target {
                Target::Url(key) if by_clients => self.purges.invalidate(key.text()),
                _ => self.purges.record(target.clone(), purged),
            };
            if let Some(disks) = &self.disks {
                disks.note(number, target, purged);
            }
        }
        let mut filling: Vec<_> = in_flight.values().cloned().collect();
        drop(in_flight);
        filling.retain(|fill| targets.iter().any(|target| target.names(fill.key.text(), &fill.surrogates)));
        let in_flight = self.in_flight.lock();
        // What is no longer there was published meanwhile, and is found there, or is seen by nobody.
        let there = |fill: &&Arc<Fill>| in_flight.get(&fill.slot).is_some_and(|there| there.id == fill.id);
        filling.iter().filter(there).filter(|fill| fill.note_purge(purged)).count()
    }

    /// Removes the files of URLs, once the purge is noted; how many there were.
    fn drop_urls(&self, targets: &[Target]) -> usize {
        let Some(disks) = &self.disks else { return 0 };
        let url = |target: &Target| match target {
            Target::Url(key) => disks.drop_url(url_id(key.text())),
            _ => 0,
        };
        targets.iter().map(url).sum()
    }

    /// Makes durable what the disks were told, before anybody is told that it is done.
    fn settle_on_disk(&self) {
        if let Some(disks) = &self.disks {
            disks.commit();
        }
    }

    /// Does `one` to every published entry that any of `targets` names; counts those for which it says so.
    fn each_named(&self, targets: &[Target], one: impl Fn(&Arc<Entry>) -> bool) -> usize {
        let direct: HashSet<u128> = targets.iter().filter_map(|target| self.slots_of(target)).flatten().collect();
        let mut count = 0;
        for slots in direct.iter().copied().collect::<Vec<_>>().chunks(PURGE_STEP) {
            let entries = slots.iter().filter_map(|slot| self.table.get(*slot));
            let named = |entry: &Arc<Entry>| targets.iter().any(|target| names(target, entry));
            count += self.apply(&entries.filter(named).collect::<Vec<_>>(), &one);
        }
        let walking: Vec<_> = targets.iter().filter(|target| self.slots_of(target).is_none()).collect();
        let mut place = if walking.is_empty() { 0 } else { usize::MAX };
        while place > 0 {
            let mut entries = self.index.walk(&mut place, PURGE_STEP);
            entries
                .retain(|entry| !direct.contains(&entry.slot()) && walking.iter().any(|target| names(target, entry)));
            count += self.apply(&entries, &one);
        }
        count
    }

    fn apply(&self, entries: &[Arc<Entry>], one: impl Fn(&Arc<Entry>) -> bool) -> usize {
        let _in_flight = self.in_flight.lock();
        entries.iter().filter(|entry| one(entry)).count()
    }

    /// Where the objects that a target names are; `None` when all have to be looked at.
    fn slots_of(&self, target: &Target) -> Option<Vec<u128>> {
        match target {
            Target::Url(key) => Some(self.slots_of_url(key)),
            Target::Surrogate(key) => Some(self.surrogates.of(*key)),
            Target::Prefix(_) | Target::Host(_) | Target::Regex(_) | Target::All => None,
        }
    }

    pub(super) fn slots_of_url(&self, key: &Key) -> Vec<u128> {
        [key.hash()].into_iter().chain(self.variants.of(key.hash())).collect()
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
        let confirmed = Confirmed { head, lifetime, begun_purges, now };
        let Some(body) = entry.body() else {
            return self.refresh_on_disk(entry, confirmed);
        };
        let Ok(overhead) = self.make_room(Entry::overhead(entry.key(), &confirmed.head)) else {
            return false;
        };
        let fresh = entry.confirmed(confirmed, body, overhead);
        let in_flight = self.in_flight.lock();
        let current = self.table.get(entry.slot()).is_some_and(|there| Arc::ptr_eq(&there, entry));
        let purged = self.purges.since(begun_purges, fresh.key().text(), fresh.surrogates());
        match purged {
            _ if !current => {}
            // The purge is about to come to it, or forgotten and may have been any.
            Purged::Hard => drop(self.remove(entry)),
            Purged::Soft => {
                fresh.expire();
                self.replace(&fresh);
            }
            Purged::No => self.replace(&fresh),
        }
        let kept = current && purged != Purged::Hard;
        if let Some(disks) = self.disks.as_ref().filter(|_| kept && entry.piece().is_none()) {
            disks.offer_confirmed(Stamp::of(entry), &fresh);
        }
        drop(in_flight);
        kept
    }

    /// Whether a purge since `begun` ([`Self::purges`]), hard or soft, names a response to this URL with these fields.
    pub fn is_purged_since(&self, begun: u64, key: &Key, headers: &HeaderMap) -> bool {
        self.purges.since(begun, key.text(), &keys_of(headers).0) != Purged::No
    }

    /// Keeps a URL's objects from eviction until `until` (`UNIX_EPOCH` unpins), those in flight too. Returns how many.
    pub fn pin(&self, key: &Key, until: SystemTime) -> usize {
        let until_ms = millis(until);
        let in_flight = self.in_flight.lock();
        let filling = in_flight.values().filter(|fill| fill.key == *key);
        let filling = filling.inspect(|fill| fill.pinned_until_ms.store(until_ms, Relaxed)).count();
        let entries = self.slots_of_url(key).into_iter().filter_map(|slot| self.table.get(slot));
        let entries = entries.filter(|entry| entry.key() == key);
        let named: Vec<_> = entries.inspect(|entry| entry.pin(until_ms)).collect();
        drop(in_flight);
        if let Some(disks) = &self.disks {
            let variants = named.iter().filter(|entry| entry.is_variant()).map(|entry| entry.disk_id());
            disks.pin(url_id(key.text()), variants, until_ms);
            disks.commit();
        }
        filling + named.len()
    }
}

fn names(target: &Target, entry: &Entry) -> bool {
    target.names(entry.key().text(), entry.surrogates())
}

//! Room: the watermarks, eviction by the policy, and reservations that evict first. Off the request path but for a
//! reservation that does not fit, which frees what it needs at once.

use std::sync::atomic::Ordering::Relaxed;
use std::time::SystemTime;

use super::{Refused, Store};
use crate::budget::Reservation;
use crate::entry::millis;
use crate::evict::{Candidate, Verdict};
use crate::freshness::Lifetime;
use crate::index::lowest;
use crate::key::Key;
use crate::limits::{EVICTION_SAMPLE, HIGH_WATERMARK_PERMILLE, LOW_WATERMARK_PERMILLE};

impl Store {
    /// Waits until eviction is needed: what the evicting task awaits.
    pub async fn pressure(&self) {
        self.pressure.notified().await;
    }

    pub(crate) fn signal_pressure(&self) {
        if self.budget.used() * 1000 > self.budget.bound() * HIGH_WATERMARK_PERMILLE {
            self.pressure.notify_one();
        }
    }

    /// Evicts down to the low watermark. Returns how many objects went; fewer than needed when the rest is pinned.
    pub fn evict(&self, now: SystemTime) -> usize {
        let (mut evicted, permille) = match self.settle(now) {
            Some((evicted, false)) => {
                self.table.settle();
                return evicted;
            }
            // It names too little for what is needed at once.
            Some((evicted, true)) => (evicted, HIGH_WATERMARK_PERMILLE),
            None => (0, LOW_WATERMARK_PERMILLE),
        };
        let mark = self.budget.bound() / 1000 * permille;
        evicted += self.evict_until(|| self.budget.used() <= mark, now);
        self.table.settle();
        evicted
    }

    /// Room for `bytes`: reserved at once when there is, else after evicting here and now.
    pub(crate) fn make_room(&self, bytes: u64) -> Result<Reservation, Refused> {
        self.signal_pressure();
        if let Some(reservation) = self.budget.reserve(bytes) {
            return Ok(reservation);
        }
        let bound = self.budget.bound();
        if bytes > bound {
            self.counters.no_room.fetch_add(1, Relaxed);
            return Err(Refused::TooLarge);
        }
        let evicted = self.evict_until(|| self.budget.used() + bytes <= bound, SystemTime::now());
        if self.is_kept_exactly() {
            self.counters.evicted_in_haste.fetch_add(evicted as u64, Relaxed);
        }
        self.budget.reserve(bytes).ok_or_else(|| {
            self.counters.no_room.fetch_add(1, Relaxed);
            Refused::NoRoom
        })
    }

    /// Whether the policy wants an object, and which generation of it has said so.
    pub(super) fn judge(
        &self,
        key: &Key,
        bytes: u64,
        lifetime: &Lifetime,
        begun: SystemTime,
        full: u16,
    ) -> (Verdict, Option<u64>) {
        let now_ms = millis(begun);
        if self.is_kept_exactly() {
            // Asked when it arrives. It is counted all the same, should samples decide again.
            self.seen.count(key.hash());
            let generation = self.policy.load().exact().map(|version| version & u64::from(u32::MAX));
            return (Verdict::Admit, generation.filter(|generation| *generation > 0));
        }
        let ttl_ms = millis(lifetime.fresh_until).saturating_sub(now_ms);
        let candidate = Candidate {
            id: key.hash() as u64,
            bytes,
            ttl_s: u32::try_from(ttl_ms / 1000).unwrap_or(u32::MAX),
            hits: self.seen.count(key.hash()),
            ..Candidate::default()
        };
        self.policy.load().admit_by(&candidate, full, now_ms, self.random.next())
    }

    /// Whether the policy wants an object.
    pub(super) fn is_admitted(&self, key: &Key, bytes: u64, lifetime: &Lifetime, begun: SystemTime, full: u16) -> bool {
        self.judge(key, bytes, lifetime, begun, full).0 == Verdict::Admit
    }

    fn evict_until(&self, enough: impl Fn() -> bool, now: SystemTime) -> usize {
        let (policy, now_ms) = (self.policy.load(), millis(now));
        let mut sample = Vec::with_capacity(EVICTION_SAMPLE);
        let mut evicted = 0;
        while !enough() {
            self.index.sample(now_ms, || self.random.next(), &mut sample);
            let Some(worst) = lowest(policy.as_ref().as_ref(), &sample, now_ms, self.random.next()) else {
                break;
            };
            if self.remove(&sample[worst]) {
                if let Some(disks) = &self.disks {
                    disks.note_use(&sample[worst]);
                }
                evicted += 1;
                self.counters.evicted.fetch_add(1, Relaxed);
                self.counters.evicted_bytes.fetch_add(sample[worst].cost(), Relaxed);
            }
        }
        evicted
    }
}

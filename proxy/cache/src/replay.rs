//! What a tier would have hit: the requests of a trace against the node's own index, sampling, admission and policies, without
//! bodies and by the trace's clock.
//!
//! A tier here is what a node's is when it is full: an object that does not fit has room made for it at once, by the bytes
//! of the trace and nothing on top. Freshness plays no part. Reading traces is [`crate::trace`]'s, what bounds any policy is
//! [`bounds`]'s.
//!
//! Invariants: never more bytes than the tier has, whatever a policy says; state by objects held, not by requests seen.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering::Relaxed};

use littoral_evict::{Exact, Object, mix};

use crate::evict::{Candidate, Entropy, Eviction, Seen, Verdict};
use crate::index::{DenseIndex, Resident, lowest};
use crate::limits::EVICTION_SAMPLE;
use crate::trace::Request;

pub mod bounds;

type ById<V> = HashMap<u64, V, foldhash::fast::FixedState>;

/// What came of the requests so far.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Tally {
    /// Requests.
    pub requests: u64,
    /// Of them hits.
    pub hits: u64,
    /// Bytes asked for.
    pub bytes: u64,
    /// Of them hit.
    pub hit_bytes: u64,
    /// Objects that went to make room.
    pub evicted: u64,
    /// Objects that were not kept, by policy or size.
    pub refused: u64,
    /// Handles that a policy named and that were not there.
    pub nonsense: u64,
}

impl Tally {
    /// Hits of all requests, 0 to 1.
    pub fn object_hit_ratio(&self) -> f64 {
        self.hits as f64 / self.requests.max(1) as f64
    }

    /// Bytes hit of all bytes asked for, 0 to 1.
    pub fn byte_hit_ratio(&self) -> f64 {
        self.hit_bytes as f64 / self.bytes.max(1) as f64
    }

    /// Counts a request; a hit too when it is one.
    pub(crate) fn count(&mut self, bytes: u64, hit: bool) {
        self.requests += 1;
        self.bytes += bytes;
        if hit {
            self.hits += 1;
            self.hit_bytes += bytes;
        }
    }
}

/// A tier that requests are replayed against.
pub trait Tier {
    /// One request.
    fn request(&mut self, request: &Request);
    /// What came of all so far.
    fn tally(&self) -> Tally;
}

/// A tier with a policy that scores samples, as a node has it.
pub struct Sampled<'a> {
    policy: &'a dyn Eviction,
    capacity: u64,
    used: u64,
    there: ById<Arc<Held>>,
    index: DenseIndex<Held>,
    seen: Seen,
    random: Entropy,
    sample: Vec<Arc<Held>>,
    tally: Tally,
}

/// What an entry would be, without key, head and body.
#[derive(Debug)]
struct Held {
    id: u64,
    bytes: u64,
    stored_ms: u64,
    last_ms: AtomicU64,
    hits: AtomicU32,
    place: AtomicU32,
}

impl Resident for Held {
    fn place(&self) -> &AtomicU32 {
        &self.place
    }

    fn pinned_until_ms(&self) -> u64 {
        0
    }

    fn candidate(&self, now_ms: u64) -> Candidate {
        let seconds = |ms: u64| u32::try_from(now_ms.saturating_sub(ms) / 1000).unwrap_or(u32::MAX);
        Candidate {
            id: self.id,
            bytes: self.bytes,
            age_s: seconds(self.stored_ms),
            idle_s: seconds(self.last_ms.load(Relaxed)),
            ttl_s: u32::MAX,
            fetch_us: 0,
            hits: u16::try_from(self.hits.load(Relaxed)).unwrap_or(u16::MAX),
            class: 0,
        }
    }
}

impl std::fmt::Debug for Sampled<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Sampled").field("capacity", &self.capacity).field("tally", &self.tally).finish_non_exhaustive()
    }
}

impl<'a> Sampled<'a> {
    /// An empty tier of so many bytes.
    pub fn new(policy: &'a dyn Eviction, capacity: u64) -> Self {
        Self {
            policy,
            capacity,
            used: 0,
            there: ById::default(),
            index: DenseIndex::default(),
            seen: Seen::new(),
            random: Entropy::seeded(mix(capacity)),
            sample: Vec::with_capacity(EVICTION_SAMPLE),
            tally: Tally::default(),
        }
    }

    fn is_admitted(&self, request: &Request) -> bool {
        let hash = mix(request.id);
        let hits = self.seen.count(u128::from(hash) | u128::from(mix(hash)) << 64);
        let object = Candidate { id: request.id, bytes: request.bytes, ttl_s: u32::MAX, hits, ..Candidate::default() };
        let fill = u16::try_from(self.used.saturating_mul(1000) / self.capacity.max(1)).unwrap_or(u16::MAX);
        self.policy.admit(&object, fill, request.now_ms, self.random.next()) == Verdict::Admit
    }

    fn evict_one(&mut self, now_ms: u64) {
        self.index.sample(now_ms, || self.random.next(), &mut self.sample);
        let worst = lowest(self.policy, &self.sample, now_ms, self.random.next());
        let Some(held) = worst.map(|worst| &self.sample[worst]) else { return };
        self.index.remove(held);
        self.there.remove(&held.id);
        self.used -= held.bytes;
        self.tally.evicted += 1;
    }
}

impl Tier for Sampled<'_> {
    fn request(&mut self, request: &Request) {
        let held = self.there.get(&request.id);
        self.tally.count(request.bytes, held.is_some());
        if let Some(held) = held {
            held.hits.store(held.hits.load(Relaxed).saturating_add(1), Relaxed);
            held.last_ms.store(request.now_ms, Relaxed);
            return;
        }
        if request.bytes > self.capacity || !self.is_admitted(request) {
            self.tally.refused += 1;
            return;
        }
        while self.used + request.bytes > self.capacity {
            self.evict_one(request.now_ms);
        }
        let held = Arc::new(Held {
            id: request.id,
            bytes: request.bytes,
            stored_ms: request.now_ms,
            last_ms: request.now_ms.into(),
            hits: 0.into(),
            place: 0.into(),
        });
        self.index.insert(&held);
        self.there.insert(request.id, held);
        self.used += request.bytes;
    }

    fn tally(&self) -> Tally {
        self.tally
    }
}

/// A tier with a policy that keeps its own state.
#[derive(Debug)]
pub struct Exactly<P> {
    policy: P,
    capacity: u64,
    used: u64,
    there: ById<u32>,
    /// By handle: which object, and its bytes.
    held: Vec<(u64, u64)>,
    free: Vec<u32>,
    go: Vec<u32>,
    tally: Tally,
}

impl<P: Exact> Exactly<P> {
    /// An empty tier of so many bytes.
    pub fn new(policy: P, capacity: u64) -> Self {
        let (there, held, free, go) = (ById::default(), Vec::new(), Vec::new(), Vec::new());
        Self { policy, capacity, used: 0, there, held, free, go, tally: Tally::default() }
    }

    /// The policy.
    pub fn policy(&self) -> &P {
        &self.policy
    }

    /// Forgets what a policy named; `new` is what has just come.
    fn forget_all(&mut self, mut go: Vec<u32>, new: Option<u32>) {
        for gone in go.drain(..) {
            match self.forget(gone) {
                true if Some(gone) == new => self.tally.refused += 1,
                true => self.tally.evicted += 1,
                false => self.tally.nonsense += 1,
            }
        }
        self.go = go;
    }

    fn forget(&mut self, handle: u32) -> bool {
        let Some((id, bytes)) = self.held.get(handle as usize).copied() else { return false };
        if self.there.get(&id) != Some(&handle) {
            return false;
        }
        self.there.remove(&id);
        self.free.push(handle);
        self.used -= bytes;
        true
    }
}

impl<P: Exact> Tier for Exactly<P> {
    fn request(&mut self, request: &Request) {
        let held = self.there.get(&request.id).copied();
        self.tally.count(request.bytes, held.is_some());
        if let Some(handle) = held {
            let mut go = std::mem::take(&mut self.go);
            self.policy.used(handle, request.now_ms, &mut go);
            self.forget_all(go, None);
            return;
        }
        if request.bytes > self.capacity {
            self.tally.refused += 1;
            return;
        }
        let handle = self.free.pop().unwrap_or_else(|| {
            self.held.push((0, 0));
            self.held.len() as u32 - 1
        });
        self.held[handle as usize] = (request.id, request.bytes);
        self.there.insert(request.id, handle);
        self.used += request.bytes;
        let need = self.used.saturating_sub(self.capacity);
        let Request { id: key, bytes, place, .. } = *request;
        let object = Object { handle, key, bytes, fetch_us: 0, place };
        let mut go = std::mem::take(&mut self.go);
        self.policy.arrives(&object, need, request.now_ms, &mut go);
        self.forget_all(go, Some(handle));
        if self.used > self.capacity && self.forget(handle) {
            // It did not name enough: what came last goes, so that the bound holds.
            self.policy.gone(handle);
            self.tally.refused += 1;
        }
    }

    fn tally(&self) -> Tally {
        self.tally
    }
}

#[cfg(test)]
mod tests;

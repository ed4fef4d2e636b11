//! What no policy can pass, and what one that everybody knows does at any size: Belady's, which knows when each object is asked
//! for again, and the curve of least recently used.

use std::collections::{BTreeSet, HashMap};

use super::{ById, Tally, Tier};
use crate::trace::Request;

/// Objects of which the curve keeps the place; with more it keeps those of half of all names, and so on.
pub const CURVE_OBJECTS_MAX: usize = 1 << 20;

/// Evicts what is asked for again last. Not the best there is when objects differ in size, but what is known by this name.
#[derive(Debug, Default)]
pub struct Belady {
    capacity: u64,
    used: u64,
    /// Next request and bytes of what is there.
    there: ById<(u64, u64)>,
    /// By the next request, the last at the end.
    order: BTreeSet<(u64, u64)>,
    tally: Tally,
}

impl Belady {
    /// An empty tier of so many bytes.
    pub fn new(capacity: u64) -> Self {
        Self { capacity, ..Self::default() }
    }
}

impl Tier for Belady {
    /// A request that does not say when its object is asked for again is taken for its last.
    fn request(&mut self, request: &Request) {
        let next = request.next.unwrap_or(u64::MAX);
        let held = self.there.get(&request.id).copied();
        self.tally.count(request.bytes, held.is_some());
        if let Some((due, bytes)) = held {
            self.order.remove(&(due, request.id));
            self.order.insert((next, request.id));
            self.there.insert(request.id, (next, bytes));
            return;
        }
        if request.bytes > self.capacity {
            self.tally.refused += 1;
            return;
        }
        while self.used + request.bytes > self.capacity {
            let Some((_, id)) = self.order.pop_last() else { return };
            self.used -= self.there.remove(&id).map_or(0, |(_, bytes)| bytes);
            self.tally.evicted += 1;
        }
        self.there.insert(request.id, (next, request.bytes));
        self.order.insert((next, request.id));
        self.used += request.bytes;
    }

    fn tally(&self) -> Tally {
        self.tally
    }
}

/// Least recently used at every size at once (Mattson et al. 1970): how many bytes were asked for since the object was last.
/// Beyond [`CURVE_OBJECTS_MAX`] objects it is an estimate from a part of the names (SHARDS, Waldspurger et al. 2015).
#[derive(Debug, Default)]
pub struct Curve {
    /// Where each object stands in the order of use, and its bytes.
    there: HashMap<u64, (u32, u64), foldhash::fast::FixedState>,
    /// Sums of bytes by place, as a Fenwick tree.
    sums: Vec<u64>,
    next: u32,
    total: u64,
    /// Of 2^64 names those below are looked at; 0: all.
    below: u64,
    /// Hits, and bytes of them, by the size from which on they are hits.
    hits: HashMap<u16, (f64, f64), foldhash::fast::FixedState>,
    requests: f64,
    bytes: f64,
}

/// Places of the tree at first.
const PLACES_MIN: usize = 1 << 12;
/// Steps of the curve in each doubling of the size.
const STEPS: u32 = 16;

impl Curve {
    /// One request.
    pub fn request(&mut self, request: &Request) {
        let name = littoral_evict::mix(request.id);
        let bytes = request.bytes as f64;
        if self.below != 0 && name >= self.below {
            return;
        }
        let scale = self.scale();
        self.requests += scale;
        self.bytes += scale * bytes;
        if self.next as usize + 1 >= self.sums.len() {
            self.compact();
        }
        let known = self.there.insert(request.id, (self.next, request.bytes));
        if let Some((place, of)) = known {
            let distance = self.total - self.sum(place) + request.bytes;
            let step = step_of((distance as f64 * scale) as u64);
            let at = self.hits.entry(step).or_default();
            (at.0, at.1) = (at.0 + scale, at.1 + scale * bytes);
            self.add(place, 0_u64.wrapping_sub(of));
            self.total -= of;
        }
        self.add(self.next, request.bytes);
        self.total += request.bytes;
        self.next += 1;
        if self.there.len() > CURVE_OBJECTS_MAX {
            self.below = (if self.below == 0 { u64::MAX } else { self.below }) / 2;
            self.there.retain(|id, _| littoral_evict::mix(*id) < self.below);
            self.compact();
        }
    }

    /// The curve: bytes of a tier, and the object and byte hit ratios it would have, in rising order.
    pub fn points(&self) -> Vec<(u64, f64, f64)> {
        let mut steps: Vec<_> = self.hits.iter().collect();
        steps.sort_by_key(|(step, _)| **step);
        let mut sum = (0.0, 0.0);
        let point = |(step, (hits, bytes)): (&u16, &(f64, f64))| {
            sum = (sum.0 + hits, sum.1 + bytes);
            (bytes_of(*step), sum.0 / self.requests.max(1.0), sum.1 / self.bytes.max(1.0))
        };
        steps.into_iter().map(point).collect()
    }

    /// Whether the curve is an estimate from a part of the names.
    pub fn is_estimate(&self) -> bool {
        self.below != 0
    }

    fn scale(&self) -> f64 {
        if self.below == 0 { 1.0 } else { 2_f64.powi(64) / self.below as f64 }
    }

    fn add(&mut self, place: u32, bytes: u64) {
        let mut at = place as usize + 1;
        while at < self.sums.len() {
            self.sums[at] = self.sums[at].wrapping_add(bytes);
            at += at & at.wrapping_neg();
        }
    }

    /// Bytes at `place` and before.
    fn sum(&self, place: u32) -> u64 {
        let (mut at, mut sum) = (place as usize + 1, 0_u64);
        while at > 0 {
            sum = sum.wrapping_add(self.sums[at]);
            at &= at - 1;
        }
        sum
    }

    /// Puts all objects on the first places, in their order, with as many places free behind.
    fn compact(&mut self) {
        let mut order: Vec<(u32, u64, u64)> =
            self.there.iter().map(|(id, (place, bytes))| (*place, *id, *bytes)).collect();
        order.sort_unstable();
        self.sums.clear();
        self.sums.resize((2 * order.len()).max(PLACES_MIN) + 1, 0);
        (self.next, self.total) = (0, 0);
        for (_, id, bytes) in order {
            self.add(self.next, bytes);
            self.there.insert(id, (self.next, bytes));
            (self.next, self.total) = (self.next + 1, self.total + bytes);
        }
    }
}

/// The step of the curve that a size falls into: its bytes are at least the size.
fn step_of(bytes: u64) -> u16 {
    (f64::from(STEPS) * (bytes.max(1) as f64).log2()).ceil() as u16
}

fn bytes_of(step: u16) -> u64 {
    2_f64.powf(f64::from(step) / f64::from(STEPS)).ceil() as u64
}

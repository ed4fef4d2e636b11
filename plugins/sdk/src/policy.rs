//! What the author of a policy depends on: a trait for each world ([`Routing`], [`Rate`], [`Cache`], [`Exact`]), what it is asked and answers, and
//! [`export_policy!`](crate::export_policy).
//!
//! ```
//! use littoral_plugin::policy::{Choice, Cluster, Flow, Routing};
//!
//! pub struct LeastLoaded([u16; 64]);
//!
//! impl Routing for LeastLoaded {
//!     fn new(config: &str) -> Result<Self, String> {
//!         littoral_plugin::no_config(config).map(|()| Self([0; 64]))
//!     }
//!     fn clusters(&mut self, all: &[Cluster]) {
//!         all.iter().for_each(|cluster| self.0[usize::from(cluster.index)] = cluster.load_permille);
//!     }
//!     fn decide(&self, flow: &Flow) -> Choice {
//!         Choice::cheapest(flow.candidates, |index| f32::from(self.0[usize::from(index)]))
//!     }
//! }
//!
//! littoral_plugin::export_policy!(LeastLoaded, routing, "../../wit");
//! ```
//!
//! A policy is a pure function over what it was told: that is why it is asked by `&self`. An [`Exact`] one keeps state. In native tests a [`sketch::Seat`] tells and asks
//! it as a node does. The contract is `plugins/wit/policy.wit`; units and bounds are there.

mod export;
pub mod measured;
pub mod named;
pub mod priced;
pub mod sketch;

use std::collections::BTreeMap;

/// "No cluster", "no zone".
pub const NONE: u16 = u16::MAX;
/// "No rung before".
pub const NO_RUNG: u8 = u8::MAX;
/// Clusters there may be.
pub const CLUSTERS_MAX: usize = 64;
/// Ladders that are kept; beyond that the lowest id goes, as in the host.
pub const LADDERS_MAX: usize = 1024;

/// A cluster.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Cluster {
    /// Its place in candidate masks, 0 to 63.
    pub index: u16,
    /// Whether it serves only its own prefixes.
    pub deep: bool,
    /// Whether it answers its probes.
    pub healthy: bool,
    /// Where it is, as a unit vector: the cosine of the angle between two places is their dot product.
    pub place: [f32; 3],
    /// What it can send, Mbit/s.
    pub capacity_mbps: u32,
    /// Its load in permille of that.
    pub load_permille: u16,
    /// Round-trip time to it in microseconds; 0 when not measured. A node's is: what it measures depends on the client, see [`measured`].
    pub rtt_us: u32,
}

/// Who asks for a cluster.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Flow {
    /// Hash of the service's name.
    pub key: u64,
    /// The client's prefix, zero beyond the answer's scope; IPv4 is the lowest 32 bits.
    pub address: u128,
    /// The client's place as a unit vector; all 0 when unknown.
    pub place: [f32; 3],
    /// The cluster whose coverage zone the client is in; [`NONE`].
    pub zone: u16,
    /// One bit per candidate cluster. All are healthy, unless none is.
    pub candidates: u64,
    /// Unix milliseconds.
    pub now_ms: u64,
    /// Entropy, the same for the same prefix and service.
    pub rand: u64,
}

/// Clusters in order of preference.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Choice {
    /// Each a candidate and once; [`NONE`] ends the list.
    pub clusters: [u16; 3],
    /// TTL in seconds; 0: the service's.
    pub ttl_s: u16,
}

/// What a player asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ask {
    /// What the last answer for this session carried; 0 at first.
    pub state: u64,
    /// Estimated throughput towards the client, kbit/s; 0 when unknown.
    pub est_kbps: u32,
    /// Media the player has buffered, ms.
    pub buffer_ms: u32,
    /// The rung answered last; [`NO_RUNG`].
    pub last_rung: u8,
    /// Duration of the segment, ms; 0 for an initialisation segment.
    pub segment_ms: u32,
    /// Unix milliseconds.
    pub now_ms: u64,
    /// Entropy.
    pub rand: u64,
}

/// What it gets.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Answer {
    /// The rung, below the ladder's length.
    pub rung: u8,
    /// Advice to send no faster than this, kbit/s; 0: none.
    pub pace_kbps: u32,
    /// Advice to wait this long before sending, ms.
    pub hold_ms: u16,
    /// Comes back with the session's next question.
    pub state: u64,
}

/// An object of the cache.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Object {
    /// Which.
    pub id: u64,
    /// Bytes it holds, overhead included.
    pub bytes: u64,
    /// Seconds since it was stored.
    pub age_s: u32,
    /// Seconds since it was last used.
    pub idle_s: u32,
    /// Seconds it stays fresh.
    pub ttl_s: u32,
    /// Microseconds its fill took.
    pub fetch_us: u32,
    /// Hits since it was stored; on admission, requests seen lately.
    pub hits: u16,
    /// 0 from an origin, 1 through another cache.
    pub class: u16,
}

/// Whether an object is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// Keep it.
    Admit,
    /// Stream it to those who wait, then forget it.
    Bypass,
}

/// Clock and entropy of a question.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Moment {
    /// Unix milliseconds.
    pub now_ms: u64,
    /// Entropy.
    pub rand: u64,
}

/// Decides which cluster a client is sent to.
pub trait Routing: Sized {
    /// Takes the operator's config, a JSON object: see [`config`](crate::config()).
    ///
    /// # Errors
    /// For the operator: which key, what is wrong, and the fix.
    fn new(config: &str) -> Result<Self, String>;
    /// All clusters there are now, whenever one changed.
    fn clusters(&mut self, _all: &[Cluster]) {}
    /// Decides.
    fn decide(&self, flow: &Flow) -> Choice;
}

/// A routing policy that tells people what its choices are made of: exported with `export_policy!(…, routing, "…", terms)`.
pub trait Explained: Routing {
    /// The terms of each candidate, at most 16, in the order in which they are to be read. Asked only when somebody wants a decision explained.
    fn terms(&self, flow: &Flow) -> Vec<Term>;
}

/// One figure that counts in what a candidate is worth.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Term {
    /// Which candidate.
    pub cluster: u16,
    /// What it is, with its unit at the end: at most 64 of `a` to `z`, `0` to `9`, `-` and `_`.
    pub name: &'static str,
    /// Finite.
    pub value: f32,
}

impl Term {
    /// The same terms of each candidate (one bit per cluster), as they are found for it.
    pub fn of_each<const N: usize>(candidates: u64, mut of: impl FnMut(u16) -> [(&'static str, f32); N]) -> Vec<Self> {
        let each = (0..CLUSTERS_MAX as u16).filter(|index| candidates >> index & 1 == 1);
        each.flat_map(|cluster| of(cluster).map(|(name, value)| Self { cluster, name, value })).collect()
    }
}

/// Decides which representation a player gets.
pub trait Rate: Sized {
    /// As [`Routing::new`].
    ///
    /// # Errors
    /// For the operator: which key, what is wrong, and the fix.
    fn new(config: &str) -> Result<Self, String>;
    /// Decides; `ladder` is in kbit/s, slowest first, and empty when it is not known.
    fn select(&self, ask: &Ask, ladder: &[u32]) -> Answer;
}

/// Decides what the cache keeps.
pub trait Cache: Sized {
    /// As [`Routing::new`].
    ///
    /// # Errors
    /// For the operator: which key, what is wrong, and the fix.
    fn new(config: &str) -> Result<Self, String>;
    /// Whether to keep what has just been fetched; `fill_permille` is how full the cache is.
    fn admit(&self, _object: &Object, _fill_permille: u16, _at: Moment) -> Verdict {
        Verdict::Admit
    }
    /// The worth of an object, finite: what is worth least is evicted first.
    fn score(&self, object: &Object, at: Moment) -> f32;
    /// The worth of each object of a sample, for a policy that compares them.
    fn scores(&self, sample: &[Object], at: Moment) -> Vec<f32> {
        sample.iter().map(|object| self.score(object, at)).collect()
    }
}

/// Where an object stands in a title that is played from its start to its end.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Position {
    /// The title, as a hash.
    pub title: u32,
    /// The representation; `u16::MAX` for a manifest.
    pub rung: u16,
    /// The number of the segment; `u32::MAX` for manifests and initialisation segments.
    pub segment: u32,
}

/// An object that may be kept.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Arrival {
    /// Its number while it is there; used again afterwards.
    pub handle: u32,
    /// The same whenever the same object comes again.
    pub key: u64,
    /// Bytes it takes.
    pub bytes: u64,
    /// Microseconds its fill took; 0 when unknown.
    pub fetch_us: u32,
    /// Where it stands in a title, if it is part of one.
    pub position: Option<Position>,
}

/// Decides what the cache keeps, with state of its own. What it names in `go` is gone without being told of again. Where samples are
/// drawn it is asked as any [`Cache`].
pub trait Exact: Cache {
    /// The bytes that the tier has; called once, first.
    fn start(&mut self, bytes: u64);
    /// An object that is there was asked for.
    fn used(&mut self, handle: u32, now_ms: u64, go: &mut Vec<u32>);
    /// An object that is not there was asked for, and may be kept once `need` bytes have gone; its own handle in `go` refuses it.
    fn arrives(&mut self, object: &Arrival, need: u64, now_ms: u64, go: &mut Vec<u32>);
    /// `need` bytes have to go for another reason.
    fn evict(&mut self, need: u64, now_ms: u64, go: &mut Vec<u32>);
    /// An object has gone for another reason.
    fn gone(&mut self, handle: u32);
}

impl Default for Flow {
    fn default() -> Self {
        let (key, address, place) = (0, 0, [0.0; 3]);
        Self { key, address, place, zone: NONE, candidates: 0, now_ms: 0, rand: 0 }
    }
}

impl Default for Ask {
    fn default() -> Self {
        let (state, est_kbps, buffer_ms, segment_ms) = (0, 0, 0, 0);
        Self { state, est_kbps, buffer_ms, last_rung: NO_RUNG, segment_ms, now_ms: 0, rand: 0 }
    }
}

/// A number above 0 and at most 1, the same for the same seed and cluster: evenly spread over seeds, and for other clusters another.
#[inline]
pub fn lot(seed: u64, cluster: u16) -> f32 {
    // SplitMix64 of the two.
    let mut bits = seed.wrapping_add(0x9e37_79b9_7f4a_7c15_u64.wrapping_mul(u64::from(cluster) + 1));
    bits = (bits ^ bits >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    bits = (bits ^ bits >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    bits ^= bits >> 31;
    ((bits >> 40) + 1) as f32 / (1_u32 << 24) as f32
}

impl Choice {
    /// Nobody: the node's native policy decides.
    pub const NOBODY: Self = Self { clusters: [NONE; 3], ttl_s: 0 };

    /// Three of `candidates` drawn by lot, each as often first as its weight is of all weights: the same for the same `seed`, and who
    /// leaves or changes its weight takes or gives clients only of its own (weighted rendezvous hashing). No weight, no place.
    pub fn by_lot(candidates: u64, seed: u64, mut weight: impl FnMut(u16) -> f32) -> Self {
        Self::cheapest(candidates, |index| match weight(index) {
            weight if weight > 0.0 => -lot(seed, index).ln() / weight,
            _ => f32::INFINITY,
        })
    }

    /// The three cheapest of `candidates` (one bit per cluster), cheapest first; of equals the one with the lowest index. A cost that is
    /// no number, or infinite, leaves its cluster out.
    #[inline]
    pub fn cheapest(candidates: u64, mut cost: impl FnMut(u16) -> f32) -> Self {
        let mut best = [(f32::INFINITY, NONE); 3];
        let mut left = candidates;
        while left != 0 {
            let index = left.trailing_zeros() as u16;
            left &= left - 1;
            let cost = cost(index);
            if cost < best[2].0 {
                best[2] = (cost, index);
                if best[2].0 < best[1].0 {
                    best.swap(1, 2);
                }
                if best[1].0 < best[0].0 {
                    best.swap(0, 1);
                }
            }
        }
        Self { clusters: best.map(|(_, index)| index), ttl_s: 0 }
    }

    /// The clusters it names, best first.
    pub fn named(&self) -> &[u16] {
        let end = self.clusters.iter().position(|cluster| *cluster == NONE).unwrap_or(self.clusters.len());
        &self.clusters[..end]
    }
}

/// Ladders as they were told, by their ids.
#[derive(Debug, Clone, Default)]
pub struct Ladders(BTreeMap<u32, Vec<u32>>);

impl Ladders {
    /// None yet.
    pub const fn new() -> Self {
        Self(BTreeMap::new())
    }

    /// Keeps one.
    pub fn tell(&mut self, id: u32, kbps: Vec<u32>) {
        self.0.insert(id, kbps);
        if self.0.len() > LADDERS_MAX {
            self.0.pop_first();
        }
    }

    /// One of them; empty when it is not known.
    pub fn of(&self, id: u32) -> &[u32] {
        self.0.get(&id).map_or(&[], Vec::as_slice)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_three_cheapest_candidates_are_named_in_order() {
        let cost = |index: u16| [5.0, 1.0, f32::NAN, 3.0, 1.0, f32::INFINITY][usize::from(index)];
        assert_eq!(Choice::cheapest(0b11_1111, cost).clusters, [1, 4, 3]);
        assert_eq!(Choice::cheapest(0b10_1001, cost).named(), [3, 0]);
        assert_eq!(Choice::cheapest(0, cost), Choice::NOBODY);
    }

    #[test]
    fn lots_fall_by_weight_and_who_leaves_takes_only_its_own_clients() {
        let weights = [1.0, 2.0, 1.0, 0.0];
        let first =
            |seed, candidates| Choice::by_lot(candidates, seed, |index| weights[usize::from(index)]).clusters[0];
        let all: Vec<u16> = (0..40_000).map(|seed| first(seed, 0b1111)).collect();
        let of = |cluster| all.iter().filter(|first| **first == cluster).count();
        assert!([of(0), of(2)].iter().all(|count| (9_500..10_500).contains(count)), "{} {}", of(0), of(2));
        assert!((19_500..20_500).contains(&of(1)) && of(3) == 0);
        assert!((0..).zip(&all).all(|(seed, was)| *was == 0 || first(seed, 0b1110) == *was));
    }

    #[test]
    fn of_too_many_ladders_the_lowest_id_is_forgotten() {
        let mut ladders = Ladders::new();
        (0..=LADDERS_MAX as u32).for_each(|id| ladders.tell(id, vec![id]));
        assert_eq!((ladders.of(0), ladders.of(1), ladders.of(1024)), (&[][..], &[1][..], &[1024][..]));
    }
}

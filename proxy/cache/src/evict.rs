//! What to keep: the trait a policy implements, native or guest, and the native policy.
//!
//! Policies are asked off the request path, on a sample drawn from the dense index; they see figures, never objects.
//! A policy must be pure: the same arguments give the same answer. One with state of its own is [`crate::exact`]'s.

use std::sync::atomic::{AtomicU8, AtomicU32, AtomicU64, Ordering::Relaxed};

use crate::exact::Keep;

/// What a policy sees of an object.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Candidate {
    /// Stable for the life of the object.
    pub id: u64,
    /// Bytes it holds, overhead included.
    pub bytes: u64,
    /// Seconds since it was stored.
    pub age_s: u32,
    /// Seconds since it was last used.
    pub idle_s: u32,
    /// Seconds it stays fresh, 0 when stale.
    pub ttl_s: u32,
    /// Microseconds the fill took.
    pub fetch_us: u32,
    /// Hits since it was stored; on admission, requests seen lately.
    pub hits: u16,
    /// 0 from an origin, 1 through another cache.
    pub class: u16,
}

/// Whether a filled object is published.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// Publish it.
    Admit,
    /// Stream it to those who wait, then forget it.
    Bypass,
}

/// A policy for admission and eviction. `rand` is the only entropy it gets.
pub trait Eviction: Send + Sync {
    /// Asked once per fill, when its head is known. `object.hits` counts earlier requests for it.
    fn admit(&self, object: &Candidate, fill_permille: u16, now_ms: u64, rand: u64) -> Verdict;

    /// [`Self::admit`], and which generation of a policy that is replaced while it runs has said so.
    fn admit_by(&self, object: &Candidate, fill_permille: u16, now_ms: u64, rand: u64) -> (Verdict, Option<u64>) {
        (self.admit(object, fill_permille, now_ms, rand), None)
    }

    /// Which policy with state of its own is to decide in place of samples, by a number that no other policy of this process has;
    /// `None`: none. Its lower half is the generation, 0 when it has none.
    fn exact(&self) -> Option<u64> {
        None
    }

    /// Starts that policy for a tier of so many bytes; `None` when there is none, or it cannot be started.
    fn keep(&self, _bytes: u64) -> Option<(u64, Box<dyn Keep>)> {
        None
    }

    /// Scores `sample` into `scores`, which has the same length; the lowest is evicted first. Scores must be finite.
    fn score(&self, sample: &[Candidate], now_ms: u64, rand: u64, scores: &mut [f32]);
}

/// The native policy: frequency per byte and idle second; one-hit wonders are refused when the tier is nearly full.
#[derive(Debug, Clone, Copy, Default)]
pub struct LfuSize;

/// From this fill on, an object nobody asked for before is not admitted.
const SELECTIVE_PERMILLE: u16 = 900;

/// Objects above this size have to have been asked for before, once the tier is nearly full.
const ALWAYS_ADMITTED_BYTES: u64 = 64 << 10;

impl Eviction for LfuSize {
    fn admit(&self, object: &Candidate, fill_permille: u16, _now_ms: u64, _rand: u64) -> Verdict {
        let seen = object.hits > 0 || object.bytes <= ALWAYS_ADMITTED_BYTES;
        if fill_permille < SELECTIVE_PERMILLE || seen { Verdict::Admit } else { Verdict::Bypass }
    }

    fn score(&self, sample: &[Candidate], _now_ms: u64, _rand: u64, scores: &mut [f32]) {
        for (object, score) in sample.iter().zip(scores) {
            let frequency = f32::from(object.hits) + 1.0;
            *score = frequency / ((object.idle_s as f32 + 1.0) * (object.bytes as f32 + 1.0));
        }
    }
}

/// xorshift64*: entropy for samples, not for secrets.
#[derive(Debug)]
pub(crate) struct Entropy(AtomicU64);

impl Default for Entropy {
    fn default() -> Self {
        Self(AtomicU64::new(crate::key::hash_bytes(b"eviction") as u64 | 1))
    }
}

impl Entropy {
    /// Always the same numbers, for what has to come out the same again.
    pub(crate) fn seeded(seed: u64) -> Self {
        Self(AtomicU64::new(seed | 1))
    }

    pub(crate) fn next(&self) -> u64 {
        let mut x = self.0.load(Relaxed);
        x ^= x >> 12;
        x ^= x << 25;
        x ^= x >> 27;
        self.0.store(x, Relaxed);
        x.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 11
    }
}

/// How often a key was asked for lately: a count-min sketch of two rows, halved as it fills, so that it forgets.
#[derive(Debug)]
pub(crate) struct Seen {
    counters: Box<[AtomicU8]>,
    additions: AtomicU32,
}

const SEEN_COUNTERS: usize = 1 << 16;

impl Seen {
    pub(crate) fn new() -> Self {
        Self { counters: (0..SEEN_COUNTERS).map(|_| AtomicU8::new(0)).collect(), additions: AtomicU32::new(0) }
    }

    /// Counts one request and answers how many came before, as far as it remembers.
    pub(crate) fn count(&self, hash: u128) -> u16 {
        let rows = [hash as usize % SEEN_COUNTERS, (hash >> 64) as usize % SEEN_COUNTERS].map(|at| &self.counters[at]);
        let before = rows.iter().map(|row| row.load(Relaxed)).min().unwrap_or(0);
        for row in rows {
            row.store(row.load(Relaxed).max(before.saturating_add(1)), Relaxed);
        }
        if self.additions.fetch_add(1, Relaxed) as usize >= 4 * SEEN_COUNTERS {
            self.additions.store(0, Relaxed);
            self.counters.iter().for_each(|counter| counter.store(counter.load(Relaxed) / 2, Relaxed));
        }
        u16::from(before)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn candidate(hits: u16, bytes: u64, idle_s: u32) -> Candidate {
        Candidate { hits, bytes, idle_s, ..Candidate::default() }
    }

    #[test]
    fn the_native_policy_gives_up_what_is_large_idle_and_rarely_used_first() {
        let sample =
            [candidate(5, 1000, 10), candidate(0, 1000, 10), candidate(5, 100_000, 10), candidate(5, 1000, 1000)];
        let mut scores = [0.0; 4];
        LfuSize.score(&sample, 0, 0, &mut scores);
        assert!(scores[1..].iter().all(|score| *score < scores[0]));
    }

    #[test]
    fn a_one_hit_wonder_is_admitted_only_while_there_is_room() {
        let large = candidate(0, 1 << 20, 0);
        assert_eq!(LfuSize.admit(&large, 100, 0, 0), Verdict::Admit);
        assert_eq!(LfuSize.admit(&large, 990, 0, 0), Verdict::Bypass);
        assert_eq!(LfuSize.admit(&candidate(1, 1 << 20, 0), 990, 0, 0), Verdict::Admit);
    }

    #[test]
    fn the_sketch_counts_and_forgets() {
        let seen = Seen::new();
        assert_eq!([seen.count(7), seen.count(7), seen.count(7)], [0, 1, 2]);
        for other in 0..5 * SEEN_COUNTERS as u128 {
            seen.count(other << 32 | 1 << 100 | other);
        }
        assert!(seen.count(7) < 16, "old counts fade");
    }
}

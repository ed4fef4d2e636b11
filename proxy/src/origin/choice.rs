//! Whose turn it is among the origins of a site.
//!
//! First who may be asked at all, in this order: origins that are in and have room, backups likewise, origins that are in but
//! busy, busy backups, and, when everybody is out, everybody. Then, among those, by the site's way of balancing:
//!
//! - smooth weighted round robin, as nginx has it: each is raised by its weight, the highest is taken and lowered by the sum;
//! - least connections: the fewest requests under way for the weight, among equals in turn;
//! - consistent hashing: weighted rendezvous hashing (Thaler & Ravishankar 1998; Schindelhauer & Schomaker 2005), with bounded
//!   loads (Mirrokni, Thorup & Zadimoghaddam 2016, arXiv:1608.01350): who has more than [`LOAD_FACTOR`] times its share of
//!   what is under way is passed over for the next. Every node orders the origins alike.
//!
//! Health, places and addresses are each origin's own. Invariant: an origin without an address is never chosen, one that was
//! tried only when nobody else can be.

use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;

use super::health::Verdict;
use super::{Budget, Origin};
use crate::config::origin::{Balance, Retry};

/// What an origin may have under way, beside its share of all, with consistent hashing.
pub const LOAD_FACTOR: f64 = 1.25;
/// The share of a site's origins that may be left out for failing, in percent; one may always.
pub const EJECTED_PERCENT_MAX: usize = 50;

/// The origins of one site.
#[derive(Debug)]
pub struct Origins {
    all: Vec<Arc<Origin>>,
    balance: Balance,
    slow_start: Duration,
    /// How much of its turn each has saved up.
    turns: Mutex<Vec<i64>>,
    /// What retries they can take.
    pub budget: Budget,
}

/// A request that wants an origin.
#[derive(Debug, Clone, Copy)]
pub struct Wish<'a> {
    /// When.
    pub now_ms: u64,
    /// Of what it asks for: the same on every node.
    pub key: u64,
    /// Who has been asked already.
    pub tried: &'a [Arc<Origin>],
}

/// One who may be chosen: its place in the list, and its weight in thousandths.
type Candidate = (usize, i64);

impl Origins {
    /// Of a site.
    pub fn new(all: Vec<Arc<Origin>>, balance: Balance, slow_start: Duration, retry: &Retry) -> Self {
        let turns = Mutex::new(vec![0; all.len()]);
        Self { all, balance, slow_start, turns, budget: Budget::of(retry) }
    }

    /// All of them.
    pub fn all(&self) -> &[Arc<Origin>] {
        &self.all
    }

    /// Whose turn it is. `None`: not one of them has an address.
    pub fn pick(&self, wish: &Wish<'_>) -> Option<Arc<Origin>> {
        let anybody = || self.choose(&self.candidates(wish, |_| true), wish.key);
        let again = || self.choose(&self.candidates(&Wish { tried: &[], ..*wish }, |_| true), wish.key);
        let of = |place: usize| self.all[place].clone();
        self.pick_in(wish).or_else(|| anybody().or_else(again).map(of))
    }

    /// Whose turn it is among those that are in and have not been asked.
    pub fn pick_in(&self, wish: &Wish<'_>) -> Option<Arc<Origin>> {
        let is_in = |origin: &Origin| origin.live.health.is_in(wish.now_ms);
        for (busy, backup) in [(false, false), (false, true), (true, false), (true, true)] {
            let fits = |origin: &Origin| origin.backup == backup && (busy || origin.has_room()) && is_in(origin);
            let mut candidates = self.candidates(wish, fits);
            while let Some(place) = self.choose(&candidates, wish.key) {
                if self.all[place].live.health.begin(wish.now_ms) {
                    return Some(self.all[place].clone());
                }
                candidates.retain(|(other, _)| *other != place);
            }
        }
        None
    }

    /// Whose an object is, the first so many, whatever they have to do and however they are: what every node says alike. Backups own nothing,
    /// and nobody does with another way of balancing.
    pub fn owners(&self, key: u64, count: usize) -> Vec<&Arc<Origin>> {
        if self.balance != Balance::Hash {
            return Vec::new();
        }
        let mut owners: Vec<&Arc<Origin>> = self.all.iter().filter(|origin| !origin.backup).collect();
        let score = |origin: &Arc<Origin>| origin.score(f64::from(origin.weight), key);
        owners.sort_by(|one, other| score(other).total_cmp(&score(one)));
        owners.truncate(count);
        owners
    }

    /// Notes a failure of one of them.
    pub fn failed(&self, origin: &Origin, now_ms: u64) -> Verdict {
        let others = self.all.iter().filter(|other| !other.is_same_as(origin) && other.live.health.is_ailing()).count();
        let spared = others > 0 && (others + 1) * 100 > self.all.len() * EJECTED_PERCENT_MAX;
        origin.live.health.failed(now_ms, spared)
    }

    fn candidates(&self, wish: &Wish<'_>, fits: impl Fn(&Origin) -> bool) -> Vec<Candidate> {
        let untried = |origin: &Arc<Origin>| wish.tried.iter().all(|tried| !tried.is_same_as(origin));
        let all = self.all.iter().enumerate();
        all.filter(|(_, origin)| untried(origin) && origin.address(0).is_some() && fits(origin))
            .map(|(place, origin)| {
                let percent = origin.live.health.weight_percent(wish.now_ms, self.slow_start);
                (place, i64::from(origin.weight) * percent as i64 * 10)
            })
            .collect()
    }

    fn choose(&self, candidates: &[Candidate], key: u64) -> Option<usize> {
        match (candidates, self.balance) {
            ([], _) => None,
            ([(place, _)], _) => Some(*place),
            (_, Balance::RoundRobin) => self.in_turn(candidates),
            (_, Balance::LeastConnections) => self.least_under_way(candidates),
            (_, Balance::Hash) => self.by_hash(candidates, key),
        }
    }

    fn in_turn(&self, candidates: &[Candidate]) -> Option<usize> {
        let mut turns = self.turns.lock();
        candidates.iter().for_each(|(place, weight)| turns[*place] += weight);
        // The first of equals.
        let (place, _) = *candidates.iter().rev().max_by_key(|(place, _)| turns[*place])?;
        turns[place] -= candidates.iter().map(|(_, weight)| weight).sum::<i64>();
        Some(place)
    }

    fn least_under_way(&self, candidates: &[Candidate]) -> Option<usize> {
        let load = |(place, weight): &Candidate| self.all[*place].under_way() as f64 / *weight as f64;
        let least = candidates.iter().map(load).min_by(f64::total_cmp)?;
        let equals: Vec<Candidate> = candidates.iter().filter(|candidate| load(candidate) <= least).copied().collect();
        self.in_turn(&equals)
    }

    fn by_hash(&self, candidates: &[Candidate], key: u64) -> Option<usize> {
        let (weights, under_way) = candidates.iter().fold((0, 0), |(weights, under_way), (place, weight)| {
            (weights + weight, under_way + self.all[*place].under_way())
        });
        let has_share = |(place, weight): &&Candidate| {
            let share = (under_way + 1) as f64 * *weight as f64 / weights as f64;
            ((self.all[*place].under_way() + 1) as f64) <= (share * LOAD_FACTOR).ceil()
        };
        let score = |(place, weight): &&Candidate| self.all[*place].score(*weight as f64, key);
        let best = candidates.iter().filter(has_share).max_by(|a, b| score(a).total_cmp(&score(b)));
        best.or(candidates.first()).map(|(place, _)| *place)
    }
}

impl Origin {
    /// How much it wants a key: who scores highest has it.
    fn score(&self, weight: f64, key: u64) -> f64 {
        // In (0, 1): the exponential variates of rendezvous hashing, scaled by weight.
        let uniform = (mix(key ^ self.name_hash) >> 11) as f64 + 0.5;
        -weight / (uniform / (1_u64 << 53) as f64).ln()
    }
}

/// The hash of what a request asks for, the same in every process: FNV-1a, then mixed.
pub fn hash_of(text: &[u8]) -> u64 {
    let fold = |hash: u64, byte: &u8| (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3);
    mix(text.iter().fold(0xcbf2_9ce4_8422_2325, fold))
}

/// The finaliser of SplitMix64 (Steele, Lea & Flood 2014): each bit of the input decides about half of those of the output.
fn mix(mut value: u64) -> u64 {
    value = (value ^ (value >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    value = (value ^ (value >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    value ^ (value >> 31)
}

#[cfg(test)]
mod tests;

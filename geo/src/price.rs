//! What a busy cluster costs: a price in microseconds of round-trip time for each, so that clients who lose least by it go elsewhere.
//!
//! In the optimum of "least round-trip time, no cluster beyond its share" each client has the cluster with the least sum of time and price,
//! where the prices are the dual values of the clusters' bounds. They are found in two steps, off the way of answers:
//!
//! - **Who demands how much** nobody tells. A [`Model`] of the measured prefixes gives each a weight, and weighs anew those that are with a
//!   cluster when it tells more load, or less, than they let expect (iterative proportional fitting, Deming and Stephan 1940).
//! - **Prices** for these weights come by scaling the dual of the problem with a little entropy (Sinkhorn's iteration, with bounds in place of
//!   equalities: Cuturi 2013; Benamou et al. 2015). A price rises by the logarithm of how far a cluster is beyond its share, and not below 0.
//!
//! Resolvers keep answers for a TTL, so what a price moves is seen late. The model expects as much: it compares what clusters tell with what
//! the prices *on which cached answers were given* let expect, not with what holds now. That keeps it from swinging. While a price is well away
//! from that, or a cluster is full, it [settles](Market::settling), and answers that name it hold for less.
//!
//! Pure: the clock is handed in, files and sockets are others'. Invariant: work and memory are bounded by
//! [`PRICED_PREFIXES_MAX`](crate::limits::PRICED_PREFIXES_MAX).

use crate::limits::CLUSTERS_MAX;

mod model;

pub(crate) use model::{Model, Row};

/// The share of its capacity that a cluster is filled to.
const SHARE: f64 = 0.9;
/// A cluster that tells this load or more is full; what it would have beyond that it cannot tell.
const FULL: f64 = 0.985;
/// How far off an expected load may be, as an exponent: what a full cluster may be asked for beyond what is expected.
const UNSURE: f64 = 0.28;
/// How much of a difference between expected and told load is believed at a time, as an exponent.
const BELIEVED: f64 = 0.5;
/// Milliseconds between two reckonings.
const EVERY_MS: u64 = 5_000;
/// Iterations of one.
const ITERATIONS: usize = 40;
/// Microseconds by which a price differs from that of cached answers while its cluster settles.
const SETTLES_US: f32 = 1_000.0;
/// A price that would change by less than this many microseconds stays, so that policies are told of fewer.
const STANDS_US: f32 = 100.0;
/// The TTL of a service is divided by this in answers that name a settling cluster.
const SETTLING_PART: u32 = 6;
/// The most that a price may be, microseconds: further than anybody is.
const PRICE_US_MAX: f32 = 1_000_000.0;

/// How a cluster is, for its price.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Standing {
    /// Whether clients may get it.
    pub(crate) open: bool,
    /// Told load, 1 is all it can do; `None`: it tells none, and has no price.
    pub(crate) load: Option<f64>,
    /// What it can send, in any unit that all share; above 0.
    pub(crate) capacity: f64,
}

/// Prices and what they rest on.
#[derive(Debug, Default)]
pub(crate) struct Market {
    model: Model,
    clusters: Vec<Seen>,
    at_ms: u64,
    reckoned_ms: u64,
    /// Seconds for which answers are kept by resolvers, on average from now on.
    kept_s: f64,
}

/// What is known of a cluster.
#[derive(Debug, Clone, Copy, Default)]
struct Seen {
    /// Microseconds.
    price: f32,
    /// That of the answers that are cached.
    cached: f32,
    /// Load as told, smoothed; with what it can do.
    load: f64,
    /// What the model lets expect now, and once all cached answers are gone, in the unit of capacity.
    expected: f64,
    towards: f64,
    open: bool,
}

impl Seen {
    fn settles(&self) -> bool {
        self.open && ((self.price - self.cached).abs() > SETTLES_US || self.load >= FULL)
    }
}

/// Seconds that answers hold which name a settling cluster.
pub(crate) fn settling_ttl_s(ttl_s: u32) -> u32 {
    (ttl_s / SETTLING_PART).max(1)
}

/// What a cluster is asked for of which no more is known than that it is full: the mean of what is expected, with a logistic error of [`UNSURE`] in its
/// logarithm, among all that would fill it (a censored observation: Tobin 1958). Of one that is expected to be full by far nothing is learned.
fn censored(expected: f64) -> f64 {
    let far = (expected.max(1e-3).ln() / UNSURE).clamp(-20.0, 20.0);
    (UNSURE * far.exp().ln_1p() * (1.0 + (-far).exp())).exp()
}

impl Market {
    /// Takes another model, of other prefixes, times or clusters; what is known of the same prefixes stays.
    pub(crate) fn remodel(&mut self, mut model: Model, clusters: usize) {
        model.take_weights(&self.model);
        if self.clusters.len() != clusters {
            *self = Self { clusters: vec![Seen::default(); clusters.min(CLUSTERS_MAX)], ..Self::default() };
        }
        self.model = model;
    }

    /// Whether there is anything to reckon with.
    pub(crate) fn is_empty(&self) -> bool {
        self.model.is_empty()
    }

    /// Time passes, and clusters are as they are now: one standing for each. `ttl_s` is what services say. Reckons every few seconds, or when a
    /// cluster has come or gone; `true` when prices changed or another cluster settles.
    pub(crate) fn tick(&mut self, now_ms: u64, standings: &[Standing], ttl_s: u32) -> bool {
        let before = (self.prices(), self.settling());
        let first = self.at_ms == 0;
        let passed_s = if first { 0.0 } else { now_ms.saturating_sub(self.at_ms) as f64 / 1000.0 };
        self.at_ms = now_ms;
        self.age(passed_s, f64::from(ttl_s.max(1)));
        let mut turned = false;
        for (seen, standing) in self.clusters.iter_mut().zip(standings) {
            turned |= seen.open != standing.open;
            seen.open = standing.open;
            let told = standing.load.unwrap_or(0.0);
            seen.load += (told - seen.load) * if first { 1.0 } else { 1.0 - (-passed_s / 2.0).exp() };
        }
        if turned || now_ms.saturating_sub(self.reckoned_ms) >= EVERY_MS {
            self.reckoned_ms = now_ms;
            self.learn(standings, first);
            self.reckon(standings);
        }
        before != (self.prices(), self.settling())
    }

    /// Prices in microseconds, by cluster index.
    pub(crate) fn prices(&self) -> [u32; CLUSTERS_MAX] {
        let mut prices = [0; CLUSTERS_MAX];
        prices.iter_mut().zip(&self.clusters).for_each(|(price, seen)| *price = seen.price as u32);
        prices
    }

    /// The clusters whose prices are not yet those of cached answers, a bit each.
    pub(crate) fn settling(&self) -> u64 {
        self.clusters.iter().zip(0..).fold(0, |mask, (seen, index)| mask | u64::from(seen.settles()) << index)
    }

    /// Cached answers give way to newer ones, and loads follow.
    fn age(&mut self, passed_s: f64, ttl_s: f64) {
        let settles = self.settling() != 0;
        let short = f64::from(settling_ttl_s(ttl_s as u32));
        // At any time cached answers have half of their TTL left. Long ones have gone after a TTL, short ones become long as slowly.
        let (rest, within_s) = if settles { (short * 0.6, ttl_s / 3.0) } else { (ttl_s / 2.0, ttl_s) };
        if self.kept_s == 0.0 {
            self.kept_s = ttl_s / 2.0;
        }
        self.kept_s += (rest - self.kept_s) * (passed_s / within_s).min(1.0);
        let gone = (passed_s / self.kept_s.max(1.0)).min(1.0);
        for seen in &mut self.clusters {
            seen.cached += (seen.price - seen.cached) * gone as f32;
            seen.expected += (seen.towards - seen.expected) * gone;
        }
    }

    /// Weighs prefixes anew by what clusters tell.
    fn learn(&mut self, standings: &[Standing], first: bool) {
        let cached: Vec<f32> = self.clusters.iter().map(|seen| seen.cached).collect();
        let open = self.open();
        if first {
            let total = standings.iter().map(|one| one.load.unwrap_or(0.0) * one.capacity).sum();
            self.model.weigh(total);
            let loads = self.model.loads(&cached, open);
            self.clusters.iter_mut().zip(loads).for_each(|(seen, load)| seen.expected = load);
        }
        let mut factors = [1.0; CLUSTERS_MAX];
        for ((factor, seen), standing) in factors.iter_mut().zip(&mut self.clusters).zip(standings) {
            if !standing.open || standing.load.is_none() {
                continue;
            }
            let asked = if seen.load >= FULL { censored(seen.expected / standing.capacity) } else { seen.load };
            // A hundredth on both sides, so that next to nothing says next to nothing.
            let little = standing.capacity / 100.0;
            let ratio = (asked * standing.capacity + little) / (seen.expected + little);
            *factor = ratio.clamp(1.0 / 3.0, 3.0).powf(if first { 1.0 } else { BELIEVED });
            seen.expected *= *factor;
        }
        self.model.reweigh(&cached, open, &factors);
    }

    /// Prices for these weights.
    fn reckon(&mut self, standings: &[Standing]) {
        let open = self.open();
        let mut prices: Vec<f32> = self.clusters.iter().map(|seen| seen.price).collect();
        for _ in 0..ITERATIONS {
            let loads = self.model.loads(&prices, open);
            let mut most = 0.0_f32;
            for ((price, load), standing) in prices.iter_mut().zip(&loads).zip(standings) {
                let share = standing.capacity * SHARE;
                // A cluster that is closed keeps its price for when it opens; one that tells no load has none.
                let beyond = match standing.load {
                    _ if !standing.open => continue,
                    None => f64::NEG_INFINITY,
                    Some(_) => ((load + share * 1e-6) / share).ln(),
                };
                let next = (*price + model::step_us(beyond)).clamp(0.0, PRICE_US_MAX);
                most = most.max((next - *price).abs());
                *price = next;
            }
            if most < STANDS_US / 10.0 {
                break;
            }
        }
        for (seen, price) in self.clusters.iter_mut().zip(&prices) {
            if (seen.price - price).abs() > STANDS_US || *price == 0.0 {
                seen.price = *price;
            }
        }
        let prices: Vec<f32> = self.clusters.iter().map(|seen| seen.price).collect();
        let loads = self.model.loads(&prices, open);
        self.clusters.iter_mut().zip(loads).for_each(|(seen, load)| seen.towards = load);
    }

    fn open(&self) -> u64 {
        self.clusters.iter().zip(0..).fold(0, |mask, (seen, index)| mask | u64::from(seen.open) << index)
    }
}

#[cfg(test)]
mod tests;

//! The measured prefixes as a problem: what each cluster costs each of them, and what they weigh.
//!
//! Who is expected where is a soft choice: a cluster that costs a client less than another one by [`SOFT_US`] is expected to have `e` times as
//! much of it. That is what the lots of a policy make of it in the large, and what lets prices be found quickly.

use crate::limits::{CLUSTERS_MAX, PRICED_PREFIXES_MAX};
use crate::rtt::Prefix;

/// Microseconds in which what is nearly the same is told apart.
const SOFT_US: f32 = 1_000.0;
/// What is this many times that away is not chosen.
const NEGLIGIBLE: f32 = 12.0;
/// The step of a price for each e-fold that a cluster is beyond its share, in [`SOFT_US`]; and the most e-folds that count.
const STEP: f64 = 1.5;
const FOLDS_MAX: f64 = 2.0;

/// A prefix in the problem.
#[derive(Debug, Clone)]
pub(crate) struct Row {
    pub(crate) prefix: Prefix,
    /// Microseconds to each cluster, infinite where it may not serve.
    pub(crate) cost_us: Vec<f32>,
}

/// The problem.
#[derive(Debug, Clone, Default)]
pub(crate) struct Model {
    clusters: usize,
    /// In order.
    prefixes: Vec<Prefix>,
    /// One after the other.
    costs_us: Vec<f32>,
    weights: Vec<f64>,
}

/// By how much a price moves, microseconds, for `folds` (natural logarithm) beyond the share.
pub(super) fn step_us(folds: f64) -> f32 {
    (STEP * f64::from(SOFT_US) * folds.clamp(-FOLDS_MAX, FOLDS_MAX)) as f32
}

impl Model {
    /// Of rows in the order of their prefixes; `known` is how many there are. Of too many an even selection.
    pub(crate) fn of(clusters: usize, known: usize, rows: impl Iterator<Item = Row>) -> Self {
        let mut model = Self { clusters: clusters.min(CLUSTERS_MAX), ..Self::default() };
        for row in rows.step_by(known.div_ceil(PRICED_PREFIXES_MAX).max(1)) {
            model.prefixes.push(row.prefix);
            model.costs_us.extend((0..model.clusters).map(|at| row.cost_us.get(at).copied().unwrap_or(f32::INFINITY)));
        }
        model.weights = vec![1.0; model.prefixes.len()];
        model
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.prefixes.is_empty()
    }

    /// Gives prefixes that `old` knows the weights they had there, new ones the mean of those, and all together what they had.
    pub(super) fn take_weights(&mut self, old: &Self) {
        if old.is_empty() {
            return;
        }
        let total: f64 = old.weights.iter().sum();
        let mean = total / old.weights.len() as f64;
        for (weight, prefix) in self.weights.iter_mut().zip(&self.prefixes) {
            *weight = old.prefixes.binary_search(prefix).map_or(mean, |at| old.weights[at]);
        }
        self.weigh(total);
    }

    /// Scales all weights to a sum.
    pub(super) fn weigh(&mut self, total: f64) {
        let sum: f64 = self.weights.iter().sum();
        if sum > 0.0 {
            self.weights.iter_mut().for_each(|weight| *weight *= total / sum);
        }
    }

    /// What each cluster is asked for at these prices.
    pub(super) fn loads(&self, prices: &[f32], open: u64) -> [f64; CLUSTERS_MAX] {
        let mut loads = [0.0; CLUSTERS_MAX];
        self.each(prices, open, |at, shares, sum| {
            let each = self.weights[at] / f64::from(sum);
            shares.iter().zip(&mut loads).for_each(|(share, load)| *load += each * f64::from(*share));
        });
        loads
    }

    /// Multiplies the weight of each prefix by the factors of the clusters that it is with at these prices.
    pub(super) fn reweigh(&mut self, prices: &[f32], open: u64, factors: &[f64; CLUSTERS_MAX]) {
        let mut weights = std::mem::take(&mut self.weights);
        self.each(prices, open, |at, shares, sum| {
            let factor: f64 = shares.iter().zip(factors).map(|(share, factor)| f64::from(*share) * factor).sum();
            weights[at] *= factor / f64::from(sum);
        });
        self.weights = weights;
    }

    /// Each prefix that anybody may serve, with the shares of the clusters and their sum.
    fn each(&self, prices: &[f32], open: u64, mut of: impl FnMut(usize, &[f32], f32)) {
        if self.clusters == 0 {
            return;
        }
        let mut shares = [0.0_f32; CLUSTERS_MAX];
        let shares = &mut shares[..self.clusters];
        for (at, costs) in self.costs_us.chunks_exact(self.clusters).enumerate() {
            let mut least = f32::INFINITY;
            for (index, (share, (cost, price))) in shares.iter_mut().zip(costs.iter().zip(prices)).enumerate() {
                *share = if open >> index & 1 == 1 { cost + price } else { f32::INFINITY };
                least = least.min(*share);
            }
            if least == f32::INFINITY {
                continue;
            }
            let mut sum = 0.0;
            for share in shares.iter_mut() {
                let away = (*share - least) / SOFT_US;
                *share = if away < NEGLIGIBLE { (-away).exp() } else { 0.0 };
                sum += *share;
            }
            of(at, shares, sum);
        }
    }
}

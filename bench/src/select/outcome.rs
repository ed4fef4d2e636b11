//! What came of a run, beside the best there is: figures, and whether they meet the marks.

use serde::Serialize;

use super::simulate::{Event, Seen, TTL_S};

/// The share that clusters may be filled to, for the optimum that marks compare with: the head-room that the director keeps, too.
pub const SHARE: f64 = 0.9;
/// A mean time may be this far beyond the optimum's.
const WITHIN: f64 = 1.05;
/// The share of all demand that may be beyond capacity while things come to rest, and when they have: in the optimum none is.
const OVER_MAX: f64 = 0.01;
const OVER_AT_REST_MAX: f64 = 0.001;
/// TTLs within which they have to.
const TTLS_MAX: f64 = 3.0;
/// The share of all demand that may move in a TTL once they have; more swings.
const MOVES_MAX: f64 = 0.05;
/// Seconds whose mean counts as a second's, so that one alone says nothing.
const SMOOTH_S: usize = 5;

/// Figures of one policy, after one event, in one world.
#[derive(Debug, Clone, Serialize)]
pub struct Outcome {
    /// Its name.
    pub policy: String,
    /// `steady`, `crowd` or `loss`.
    pub event: &'static str,
    /// Of the world.
    pub seed: u64,
    /// Milliseconds, mean and 95th percentile over the demand.
    pub mean_ms: f64,
    /// See `mean_ms`.
    pub p95_ms: f64,
    /// Mean of the optimum, with clusters filled to [`SHARE`] and to the brim.
    pub optimum_ms: f64,
    /// See `optimum_ms`.
    pub brim_ms: f64,
    /// Share of the demand beyond capacity.
    pub over: f64,
    /// Use of the busiest cluster, mean.
    pub peak: f64,
    /// Share of the demand that moves in a TTL.
    pub moves: f64,
    /// TTLs until overload stayed below 1 % of the demand; `None`: it never did.
    pub ttls: Option<f64>,
    /// The shortest mean TTL of a second's answers.
    pub shortest_ttl_s: f64,
}

impl Event {
    /// For people.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Steady => "steady",
            Self::Crowd => "crowd",
            Self::Loss => "loss",
        }
    }
}

impl Outcome {
    /// Of what was seen; the last `rest_s` seconds of it are the state of rest.
    pub fn of(policy: &str, seed: u64, seen: &Seen, optimum_ms: f64, brim_ms: f64, rest_s: usize) -> Self {
        let rest = &seen.seconds[seen.seconds.len().saturating_sub(rest_s)..];
        let mean =
            |of: fn(&super::simulate::Second) -> f64| rest.iter().map(of).sum::<f64>() / rest.len().max(1) as f64;
        let shortest = seen.seconds.iter().map(|second| second.ttl_s).filter(|ttl| *ttl > 0.0).fold(f64::MAX, f64::min);
        Self {
            policy: policy.to_owned(),
            event: seen.event.as_str(),
            seed,
            mean_ms: mean(|second| second.mean_ms),
            p95_ms: seen.p95_ms,
            optimum_ms,
            brim_ms,
            over: mean(|second| second.over),
            peak: mean(|second| second.peak),
            moves: mean(|second| second.moved) * TTL_S as f64,
            ttls: at_rest(seen).map(|seconds| seconds as f64 / TTL_S as f64),
            shortest_ttl_s: shortest,
        }
    }

    /// How far the mean time is beyond the optimum's, as a share.
    pub fn gap(&self) -> f64 {
        self.mean_ms / self.optimum_ms - 1.0
    }

    /// Whether mean time and overload are within the marks, little moves, and it is at rest in time.
    pub fn meets(&self) -> bool {
        let near = self.mean_ms <= self.optimum_ms * WITHIN && self.over <= OVER_AT_REST_MAX;
        let in_time = self.event == Event::Steady.as_str() || self.ttls.is_some_and(|ttls| ttls <= TTLS_MAX);
        near && in_time && self.moves <= MOVES_MAX
    }
}

/// Seconds until nearly nothing is beyond capacity, for good.
fn at_rest(seen: &Seen) -> Option<usize> {
    let over: Vec<f64> = seen.seconds.iter().map(|second| second.over).collect();
    let is_over = |some: &[f64]| some.iter().sum::<f64>() / some.len() as f64 > OVER_MAX;
    let last = over.windows(SMOOTH_S).rposition(is_over);
    let first = last.map_or(0, |last| last + 1);
    (first + SMOOTH_S < over.len()).then_some(first)
}

#[cfg(test)]
mod tests {
    use super::super::simulate::Second;
    use super::*;

    #[test]
    fn it_is_at_rest_once_no_five_seconds_are_beyond_capacity_any_more() {
        let of = |over: &[f64]| {
            let second = |over: &f64| Second { over: *over, ..Second::default() };
            let seconds = over.iter().map(second).collect();
            let (demand, capacity) = (Vec::new(), Vec::new());
            at_rest(&Seen { event: Event::Crowd, seconds, p95_ms: 0.0, demand, capacity })
        };
        assert_eq!(of(&[0.0; 60]), Some(0));
        assert_eq!(of(&[[0.2; 20], [0.0; 20], [0.0; 20]].concat()), Some(20));
        // A second alone says nothing, five of them do.
        assert_eq!(of(&[vec![0.0; 30], vec![0.04], vec![0.0; 30]].concat()), Some(0));
        assert_eq!(of(&[[0.0; 20], [0.0; 20], [0.2; 20]].concat()), None);
    }
}

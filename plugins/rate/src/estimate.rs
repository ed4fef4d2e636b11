//! What the throughput and the latency are, from the segments that came.
//!
//! Two exponentially weighted averages, of which the more careful one counts (dash.js, sabre): a fast one that notices a drop and a
//! slow one that does not trust a burst. Both are corrected for having begun at zero.

/// Half-lives of the two averages, ms.
pub const HALF_LIVES_MS: [f64; 2] = [3000.0, 8000.0];

/// The averages of a session.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Estimate {
    half_lives_ms: [f64; 2],
    segment_ms: f64,
    kbps: [f64; 2],
    latency_ms: [f64; 2],
    seen_ms: f64,
    seen: f64,
}

impl Estimate {
    /// For segments of this duration, which is what a latency weighs.
    pub fn new(segment_ms: f64) -> Self {
        Self { half_lives_ms: HALF_LIVES_MS, segment_ms, kbps: [0.0; 2], latency_ms: [0.0; 2], seen_ms: 0.0, seen: 0.0 }
    }

    /// A segment came at `kbps` within `ms` (without latency).
    pub fn push(&mut self, ms: f64, kbps: f64, latency_ms: f64) {
        for (at, half_life) in self.half_lives_ms.into_iter().enumerate() {
            let keep = 0.5_f64.powf(ms / half_life);
            self.kbps[at] = keep * self.kbps[at] + (1.0 - keep) * kbps;
            let keep = 0.5_f64.powf(1.0 / (half_life / self.segment_ms));
            self.latency_ms[at] = keep * self.latency_ms[at] + (1.0 - keep) * latency_ms;
        }
        self.seen_ms += ms;
        self.seen += 1.0;
    }

    /// Throughput in kbit/s; `None` before anything came.
    pub fn kbps(&self) -> Option<f64> {
        let average = |at: usize| self.kbps[at] / (1.0 - 0.5_f64.powf(self.seen_ms / self.half_lives_ms[at]));
        (self.seen > 0.0).then(|| average(0).min(average(1)))
    }

    /// Time to the first byte, ms.
    pub fn latency_ms(&self) -> f64 {
        let average = |at: usize| {
            self.latency_ms[at] / (1.0 - 0.5_f64.powf(self.seen / (self.half_lives_ms[at] / self.segment_ms)))
        };
        if self.seen > 0.0 { average(0).max(average(1)) } else { 0.0 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_drop_counts_sooner_than_a_rise() {
        let mut estimate = Estimate::new(2000.0);
        assert_eq!((estimate.kbps(), estimate.latency_ms()), (None, 0.0));
        for _ in 0..20 {
            estimate.push(2000.0, 1000.0, 50.0);
        }
        let steady = estimate.kbps().unwrap_or(0.0);
        assert!((steady - 1000.0).abs() < 1e-6 && (estimate.latency_ms() - 50.0).abs() < 1e-6);
        let (mut dropped, mut risen) = (estimate, estimate);
        dropped.push(2000.0, 500.0, 50.0);
        risen.push(2000.0, 1500.0, 50.0);
        let fall = steady - dropped.kbps().unwrap_or(0.0);
        let rise = risen.kbps().unwrap_or(0.0) - steady;
        assert!(fall > 1.5 * rise, "{fall} {rise}");
    }
}

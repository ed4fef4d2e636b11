//! The representations of a title, and what throughput alone says of them.

/// Rates and utilities of the rungs, slowest first.
#[derive(Debug, Clone, PartialEq)]
pub struct Ladder {
    kbps: Vec<f64>,
    utilities: Vec<f64>,
}

impl Ladder {
    /// From rates in kbit/s, slowest first. A rate that is not positive counts as 1 bit/s, and an empty ladder has one such rung.
    pub fn new(kbps: impl IntoIterator<Item = f64>) -> Self {
        let mut kbps: Vec<f64> = kbps.into_iter().map(|rate| if rate > 0.001 { rate } else { 0.001 }).collect();
        if kbps.is_empty() {
            kbps.push(0.001);
        }
        let offset = -kbps[0].ln();
        Self { utilities: kbps.iter().map(|rate| rate.ln() + offset).collect(), kbps }
    }

    /// Rungs, at least 1.
    pub fn rungs(&self) -> usize {
        self.kbps.len()
    }

    /// The highest rung.
    pub fn top(&self) -> usize {
        self.kbps.len() - 1
    }

    /// Rate of a rung, kbit/s; the highest one's for a rung that is none.
    pub fn kbps(&self, rung: usize) -> f64 {
        self.kbps[rung.min(self.kbps.len() - 1)]
    }

    /// Logarithm of a rung's rate over the lowest one's.
    pub fn utility(&self, rung: usize) -> f64 {
        self.utilities[rung.min(self.utilities.len() - 1)]
    }

    /// The highest rung of which a segment comes within its duration.
    pub fn carried(&self, kbps: f64, latency_ms: f64, segment_ms: f64) -> usize {
        let mut rung = 0;
        while rung < self.top() && latency_ms + segment_ms * self.kbps[rung + 1] / kbps <= segment_ms {
            rung += 1;
        }
        rung
    }

    /// The highest rung up to `rung` of which a segment, and all below it, have at most `bits` (the insufficient-buffer rule).
    pub fn within(&self, rung: usize, bits: f64, segment_ms: f64) -> usize {
        (0..rung).find(|lower| self.kbps(lower + 1) * segment_ms > bits).unwrap_or(rung)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_highest_rung_that_comes_in_time_is_carried() {
        let ladder = Ladder::new([100.0, 400.0, 1000.0]);
        for (kbps, latency_ms, expected) in [
            (50.0, 0.0, 0),
            (400.0, 0.0, 1),
            (400.0, 1.0, 0),
            (1e9, 0.0, 2),
            (1e9, 2001.0, 0),
            (f64::NAN, 0.0, 0),
            (0.0, 0.0, 0),
        ] {
            assert_eq!(ladder.carried(kbps, latency_ms, 2000.0), expected, "{kbps} kbit/s, {latency_ms} ms");
        }
    }

    #[test]
    fn a_ladder_of_nonsense_has_one_rung_at_least() {
        assert_eq!(Ladder::new([]).rungs(), 1);
        let odd = Ladder::new([0.0, -5.0, f64::NAN, 7.0]);
        assert!((0..9).all(|rung| odd.utility(rung).is_finite() && odd.kbps(rung) > 0.0));
    }
}

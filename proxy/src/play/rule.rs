//! The throughput rule: the highest rung that the measured throughput carries, with a margin.
//!
//! A player starts at the lowest rung, because it knows nothing. The estimate is the harmonic mean of the last segments,
//! which a single fast one cannot lift. Pure. Invariant: the answer is a rung of the ladder.

use std::collections::VecDeque;
use std::time::Duration;

/// Segments the estimate looks back on.
const WINDOW: usize = 5;
/// Share of the estimate that is used, in percent.
const SAFETY_PERCENT: u64 = 85;

/// What a player knows of its throughput.
#[derive(Debug, Default)]
pub(super) struct Throughput {
    kbps: VecDeque<u64>,
}

impl Throughput {
    /// Notes a download.
    pub(super) fn note(&mut self, kbps: u64) {
        if self.kbps.len() == WINDOW {
            self.kbps.pop_front();
        }
        self.kbps.push_back(kbps.max(1));
    }

    /// The estimate in kbit/s, once there is one.
    pub(super) fn estimate(&self) -> Option<u64> {
        let inverse: f64 = self.kbps.iter().map(|kbps| 1.0 / *kbps as f64).sum();
        (!self.kbps.is_empty()).then(|| (self.kbps.len() as f64 / inverse) as u64)
    }

    /// The rung to fetch next of a ladder in kbit/s, slowest first.
    pub(super) fn choose(&self, ladder: &[u32], buffer: Duration, segment: Duration) -> usize {
        let Some(estimate) = self.estimate() else { return 0 };
        // Less than a segment left: whatever comes soonest.
        if buffer < segment {
            return 0;
        }
        let carried = estimate * SAFETY_PERCENT / 100;
        ladder.iter().rposition(|kbps| u64::from(*kbps) <= carried).unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LADDER: [u32; 3] = [70, 170, 350];
    const SEGMENT: Duration = Duration::from_secs(2);

    fn after(kbps: &[u64], buffer: Duration) -> usize {
        let mut throughput = Throughput::default();
        kbps.iter().for_each(|kbps| throughput.note(*kbps));
        throughput.choose(&LADDER, buffer, SEGMENT)
    }

    #[test]
    fn the_highest_rung_that_the_throughput_carries_is_chosen() {
        let full = Duration::from_secs(10);
        for (kbps, rung) in [(&[][..], 0), (&[60], 0), (&[190], 0), (&[210], 1), (&[400], 1), (&[500], 2)] {
            assert_eq!(after(kbps, full), rung, "at {kbps:?}");
        }
    }

    #[test]
    fn one_fast_segment_does_not_lift_the_estimate_and_an_empty_buffer_takes_the_lowest() {
        let full = Duration::from_secs(10);
        assert_eq!(after(&[200, 200, 200, 200, 9000], full), 1);
        assert_eq!(after(&[9000], Duration::from_secs(1)), 0);
    }

    #[test]
    fn old_segments_are_forgotten() {
        assert_eq!(after(&[10, 10, 900, 900, 900, 900, 900], Duration::from_secs(10)), 2);
    }
}

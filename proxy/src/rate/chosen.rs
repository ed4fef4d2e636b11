//! What is counted of choices for `auto` URLs: how fast a representation was chosen, and how often a session went to another.
//!
//! Who chose is [`super::Rate`]'s count. Invariant: every segment counts once, by the rate that the manifest states.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use super::NO_RUNG;

/// The upper bounds told, kbit/s; what is faster counts as `more`.
const KBPS_MAX: [u32; 9] = [100, 250, 500, 1_000, 2_000, 4_000, 8_000, 16_000, 32_000];

/// The counts.
#[derive(Debug, Default)]
pub struct Chosen {
    rates: [AtomicU64; Chosen::RATES.len()],
    switches: [AtomicU64; 2],
}

impl Chosen {
    /// Labels of [`Self::rates`]: at most so many kbit/s.
    pub const RATES: [&'static str; 10] =
        ["100", "250", "500", "1000", "2000", "4000", "8000", "16000", "32000", "more"];
    /// Labels of [`Self::switches`].
    pub const SWITCHES: [&'static str; 2] = ["up", "down"];

    /// A segment gets the representation at `rung`, which has `kbps`; the one before it had `last`.
    pub(super) fn note(&self, kbps: u32, last: u8, rung: u8) {
        let class = KBPS_MAX.iter().position(|most| kbps <= *most).unwrap_or(KBPS_MAX.len());
        self.rates[class].fetch_add(1, Relaxed);
        if last != NO_RUNG && last != rung {
            self.switches[usize::from(rung < last)].fetch_add(1, Relaxed);
        }
    }

    /// Segments by [`Self::RATES`].
    pub fn rates(&self) -> [u64; 10] {
        self.rates.each_ref().map(|count| count.load(Relaxed))
    }

    /// Times a session went to another rung, by [`Self::SWITCHES`].
    pub fn switches(&self) -> [u64; 2] {
        self.switches.each_ref().map(|count| count.load(Relaxed))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_choice_counts_by_its_rate_and_as_a_switch_when_the_rung_is_another() {
        let chosen = Chosen::default();
        for (kbps, last, rung) in [(70, NO_RUNG, 0), (350, 0, 2), (350, 2, 2), (100, 2, 1), (90_000, 1, 9)] {
            chosen.note(kbps, last, rung);
        }
        assert_eq!(chosen.rates(), [2, 0, 2, 0, 0, 0, 0, 0, 0, 1]);
        assert_eq!(chosen.switches(), [2, 1], "the first choice of a session is none");
    }
}

//! BBA-0: the rung follows the buffer alone (Huang, Johari, McKeown, Trunnell, Watson, SIGCOMM 2014).
//!
//! The lowest rate up to a reservoir, the highest from 90 % of the buffer on, a straight line between; a rung is left only when the
//! line has passed its neighbour, so that it does not flap. The shares of the buffer are the paper's: 90 s and 216 s of 240 s.

use crate::{Ask, Choice, Ladder, Rule};

/// Share of the buffer below which only the lowest rung is fetched.
const RESERVOIR: f64 = 90.0 / 240.0;
/// Share of the buffer from which on the highest is.
const UPPER: f64 = 216.0 / 240.0;

/// The rule.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Bba {
    last: usize,
}

impl Bba {
    /// A session in which `last` was chosen last.
    pub fn after(last: usize) -> Self {
        Self { last }
    }
}

impl Rule for Bba {
    fn choose(&mut self, ladder: &Ladder, ask: &Ask) -> Choice {
        let (low, high) = (RESERVOIR * ask.buffer_max_ms, UPPER * ask.buffer_max_ms);
        let (first, top, last) = (ladder.kbps(0), ladder.top(), self.last.min(ladder.top()));
        let line = first + (ladder.kbps(top) - first) * (ask.buffer_ms - low) / (high - low);
        let rung = if ask.buffer_ms <= low {
            0
        } else if ask.buffer_ms >= high {
            top
        } else if line >= ladder.kbps((last + 1).min(top)) {
            (0..=top).rev().find(|rung| ladder.kbps(*rung) < line).unwrap_or(0)
        } else if line <= ladder.kbps(last.saturating_sub(1)) {
            (0..=top).find(|rung| ladder.kbps(*rung) > line).unwrap_or(top)
        } else {
            last
        };
        self.last = rung;
        Choice::now(rung)
    }
}

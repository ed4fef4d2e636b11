//! How fast the body of an `auto` segment goes to its player, where its site has that (`site.dash.pace`): no faster than the rate policy
//! advises, or the player says that it can use (CMCD `rtp`).
//!
//! The framework sleeps for as long as is said here, between two pieces of a body; what is kept is two words of the request, so that no lock
//! is held and nothing allocated. Invariants: never slower than [`MARGIN`] of the representation's own rate; the first piece is never
//! delayed; a player that is short of media gets all at once.

use std::time::Duration;

use tokio::time::Instant;

use crate::video::told::Told;

/// Least share of a representation's rate, as a fraction: a player has to get ahead of what it plays.
const MARGIN: (u64, u64) = (3, 2);
/// A player with less media than so many segments is short of it.
const SEGMENTS_MIN: u32 = 2;

/// The pace of one body.
#[derive(Debug)]
pub struct Pace {
    kbps: u64,
    /// When all that was sent is paid for.
    paid: Option<Instant>,
}

impl Pace {
    /// For a segment of `segment_ms` at `rung_kbps`; `None`: as fast as can be.
    pub(super) fn of(advised_kbps: u32, told: &Told, rung_kbps: u32, segment_ms: u32) -> Option<Self> {
        let advised = if advised_kbps > 0 { advised_kbps } else { told.wanted_kbps.filter(|kbps| *kbps > 0)? };
        let short = |buffer_ms: u32| buffer_ms < segment_ms.saturating_mul(SEGMENTS_MIN);
        if told.urgent || told.stalled || told.buffer_ms.is_some_and(short) {
            return None;
        }
        let (of, by) = MARGIN;
        let least = (u64::from(rung_kbps) * of).div_ceil(by);
        Some(Self { kbps: u64::from(advised).max(least), paid: None })
    }

    /// How long a piece of so many bytes waits before it goes; `None`: not at all. What goes at `now` was asked at.
    pub(super) fn delay(&mut self, bytes: usize, now: Instant) -> Option<Duration> {
        let cost = Duration::from_micros((bytes as u64).saturating_mul(8_000) / self.kbps.max(1));
        // Nothing is saved up by a client that takes it slower.
        let due = self.paid.map_or(now, |paid| paid.max(now));
        self.paid = Some(due + cost);
        Some(due - now).filter(|wait| !wait.is_zero())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(buffer_ms: Option<u32>, wanted_kbps: Option<u32>) -> Told {
        Told { buffer_ms, wanted_kbps, ..Told::default() }
    }

    #[test]
    fn the_policy_comes_before_the_player_and_neither_below_half_as_much_again() {
        let kbps = |advised, told: &Told, rung| Pace::of(advised, told, rung, 2000).map(|pace| pace.kbps);
        assert_eq!(kbps(5000, &told(None, Some(9000)), 1001), Some(5000));
        assert_eq!(kbps(0, &told(Some(4000), Some(9000)), 1001), Some(9000));
        assert_eq!(kbps(1, &told(None, None), 1001), Some(1502));
        assert_eq!(kbps(u32::MAX, &told(None, None), u32::MAX), Some(6_442_450_943));
        assert_eq!(kbps(0, &told(None, None), 1001), None);
        assert_eq!(kbps(0, &told(None, Some(0)), 1001), None);
    }

    #[test]
    fn a_player_that_is_short_of_media_gets_all_at_once() {
        assert!(Pace::of(5000, &told(Some(3999), None), 1000, 2000).is_none());
        assert!(Pace::of(5000, &Told { urgent: true, ..told(Some(9000), None) }, 1000, 2000).is_none());
        assert!(Pace::of(5000, &Told { stalled: true, ..told(Some(9000), None) }, 1000, 2000).is_none());
    }

    #[tokio::test(start_paused = true)]
    async fn the_first_piece_goes_at_once_and_the_others_when_those_before_are_paid_for() {
        let mut pace = Pace::of(800, &told(None, None), 100, 2000).unwrap();
        let began = Instant::now();
        let mut gone = Vec::new();
        // Pieces of 100 ms; the client takes 250 ms for the fourth.
        for piece in 0..6 {
            if let Some(wait) = pace.delay(10_000, Instant::now()) {
                tokio::time::sleep(wait).await;
            }
            gone.push(began.elapsed().as_millis());
            if piece == 3 {
                tokio::time::sleep(Duration::from_millis(250)).await;
            }
        }
        assert_eq!(gone, [0, 100, 200, 300, 550, 650]);
    }

    #[test]
    fn no_length_and_no_rate_makes_it_panic() {
        let mut pace = Pace { kbps: 0, paid: None };
        let now = Instant::now();
        assert_eq!(pace.delay(1 << 40, now), None);
        assert!(pace.delay(1 << 40, now) > Some(Duration::from_secs(1)));
    }
}

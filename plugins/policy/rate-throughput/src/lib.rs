//! Which representation: the highest that a safe share of the measured throughput carries.
//!
//! The throughput rule: `rate <= safety * estimate`, safety 0.9. With less than one segment in the player's buffer only
//! half the estimate is trusted (the insufficient-buffer rule). Going up is one rung at a time, so that one fast segment
//! does not make a jump that the next takes back; going down is at once.

#[cfg(target_arch = "wasm32")]
mod guest;

/// What the choice is made from.
#[derive(Debug, Clone, Copy)]
pub struct Ask {
    /// Estimated throughput, kbit/s; 0 when unknown.
    pub est_kbps: u32,
    /// Media in the player's buffer, ms.
    pub buffer_ms: u32,
    /// The rung before; 255: none.
    pub last_rung: u8,
    /// Duration of the segment, ms.
    pub segment_ms: u32,
}

/// Share of the estimate that is trusted by default.
pub const SAFETY: f32 = 0.9;
/// "No rung before".
pub const NO_RUNG: u8 = 255;

/// The rung of `ladder` (kbit/s, slowest first) to answer; 0 for an empty one.
pub fn select(ladder: &[u32], ask: Ask, safety: f32) -> u8 {
    let scarce = ask.buffer_ms < ask.segment_ms;
    let trusted = ask.est_kbps as f32 * if scarce { safety * 0.5 } else { safety };
    let carried = ladder.iter().rposition(|kbps| *kbps as f32 <= trusted).unwrap_or(0);
    let carried = u8::try_from(carried).unwrap_or(NO_RUNG - 1);
    match ask.last_rung {
        NO_RUNG => carried,
        last if carried > last => last.saturating_add(1),
        _ => carried,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LADDER: [u32; 4] = [100, 400, 1000, 3000];

    fn check(est_kbps: u32, buffer_ms: u32, last_rung: u8, expected: u8) {
        let ask = Ask { est_kbps, buffer_ms, last_rung, segment_ms: 2000 };
        assert_eq!(select(&LADDER, ask, SAFETY), expected, "{ask:?}");
    }

    #[test]
    fn the_highest_rung_within_the_safe_share_is_chosen() {
        check(0, 9000, NO_RUNG, 0);
        check(50, 9000, NO_RUNG, 0);
        check(440, 9000, NO_RUNG, 0);
        check(445, 9000, NO_RUNG, 1);
        check(9000, 9000, NO_RUNG, 3);
    }

    #[test]
    fn a_nearly_empty_buffer_halves_the_trust() {
        check(1200, 9000, NO_RUNG, 2);
        check(1200, 500, NO_RUNG, 1);
    }

    #[test]
    fn it_climbs_one_rung_at_a_time_and_falls_at_once() {
        check(9000, 9000, 0, 1);
        check(9000, 9000, 2, 3);
        check(150, 9000, 3, 0);
    }

    #[test]
    fn an_empty_ladder_has_rung_zero() {
        assert_eq!(select(&[], Ask { est_kbps: 1, buffer_ms: 0, last_rung: 7, segment_ms: 1 }, SAFETY), 0);
    }
}

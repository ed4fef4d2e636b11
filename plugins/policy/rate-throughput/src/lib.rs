//! Which representation: the highest that a safe share of the measured throughput carries.
//!
//! ```toml
//! config = { safety = 0.9 }
//! ```
//!
//! The throughput rule: `rate <= safety * estimate`. With less than one segment in the player's buffer only
//! half the estimate is trusted (the insufficient-buffer rule). Going up is one rung at a time, so that one fast segment
//! does not make a jump that the next takes back; going down is at once.

use littoral_plugin::policy::{Answer, Ask, NO_RUNG, Rate};
use serde::Deserialize;

/// The policy, and its config.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RateThroughput {
    /// Share of the estimate that is trusted.
    safety: f32,
}

impl Default for RateThroughput {
    fn default() -> Self {
        Self { safety: 0.9 }
    }
}

impl Rate for RateThroughput {
    fn new(config: &str) -> Result<Self, String> {
        let policy: Self = littoral_plugin::config(config)?;
        match (0.1..=1.0).contains(&policy.safety) {
            true => Ok(policy),
            false => Err(format!("safety is 0.1 to 1.0, not {}", policy.safety)),
        }
    }

    fn select(&self, ask: &Ask, ladder: &[u32]) -> Answer {
        let scarce = ask.buffer_ms < ask.segment_ms;
        let trusted = ask.est_kbps as f32 * if scarce { self.safety * 0.5 } else { self.safety };
        let carried = ladder.iter().rposition(|kbps| *kbps as f32 <= trusted).unwrap_or(0);
        let carried = u8::try_from(carried).unwrap_or(NO_RUNG - 1);
        let rung = match ask.last_rung {
            NO_RUNG => carried,
            last if carried > last => last.saturating_add(1),
            _ => carried,
        };
        Answer { rung, state: ask.state, ..Answer::default() }
    }
}

littoral_plugin::export_policy!(RateThroughput, rate, "../../wit");

#[cfg(test)]
mod tests {
    use littoral_plugin::policy::sketch::Seat;

    use super::*;

    const LADDER: [u32; 4] = [100, 400, 1000, 3000];

    fn check(est_kbps: u32, buffer_ms: u32, last_rung: u8, expected: u8) {
        let ask = Ask { est_kbps, buffer_ms, last_rung, segment_ms: 2000, ..Ask::default() };
        let answer = Seat::<RateThroughput>::rate("{}").unwrap().select(&ask, &LADDER);
        assert_eq!(answer.map(|answer| answer.rung), Ok(expected), "{ask:?}");
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
        let ask = Ask { est_kbps: 1, last_rung: 7, segment_ms: 1, ..Ask::default() };
        assert_eq!(Seat::<RateThroughput>::rate("{}").unwrap().select(&ask, &[]).unwrap().rung, 0);
    }

    #[test]
    fn a_share_out_of_bounds_and_a_key_misspelt_are_refused() {
        let refused = |config: &str| RateThroughput::new(config).unwrap_err();
        assert_eq!(refused(r#"{"safety": 7}"#), "safety is 0.1 to 1.0, not 7");
        assert!(refused(r#"{"saftey": 0.5}"#).contains("unknown field `saftey`"));
    }
}

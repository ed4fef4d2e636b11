//! RobustMPC: the first step of the best plan for the next five segments; see `littoral_rate::mpc`, and `littoral_rate::edge::Mpc` for what a
//! policy knows of past errors.
//!
//! ```toml
//! fuel = 50000
//! config = { buffer = 25, looks = 100 }
//! ```
//!
//! `buffer`: what the player buffers at most, s. `looks`: segments of plans that are looked at for one decision, less one for each rung, 10 to
//! 1,000,000; the best plan found by then decides. Of six rungs, where every plan is free, 100 choose what all of them do in 19 of 20 decisions. For
//! more, give more fuel: 400 for each.

use littoral_rate::edge::{self, Edge as _};
use serde::Deserialize;

/// The operator's config.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Config {
    /// What the player buffers at most, s.
    buffer: f64,
    /// Segments of plans that are looked at.
    looks: u32,
}

impl Default for Config {
    fn default() -> Self {
        Self { buffer: edge::BUFFER_S, looks: edge::LOOKS }
    }
}

/// The policy.
#[derive(Debug)]
pub struct RateMpc {
    buffer_ms: f64,
    looks: u32,
}

impl RateMpc {
    fn configured(config: &str) -> Result<Self, String> {
        let Config { buffer, looks } = littoral_plugin::config(config)?;
        match (10..=1_000_000).contains(&looks) {
            true => Ok(Self { buffer_ms: edge::buffer_ms(buffer)?, looks }),
            false => Err(format!("looks is 10 to 1000000, not {looks}")),
        }
    }
}

littoral_rate::guest!(RateMpc, |policy, ladder, asked| edge::Mpc { looks: policy.looks }.select(
    ladder,
    asked,
    policy.buffer_ms
));
littoral_plugin::export_policy!(RateMpc, rate, "../../wit");

#[cfg(test)]
mod tests {
    use littoral_plugin::policy::Ask;
    use littoral_plugin::policy::sketch::Seat;

    use super::*;

    const LADDER: [u32; 4] = [100, 400, 1000, 3000];

    fn rung(config: &str, est_kbps: u32, buffer_ms: u32, last_rung: u8) -> u8 {
        let ask = Ask { est_kbps, buffer_ms, last_rung, segment_ms: 2000, ..Ask::default() };
        Seat::<RateMpc>::rate(config).unwrap().select(&ask, &LADDER).unwrap().rung
    }

    #[test]
    fn what_throughput_carries_is_planned_and_a_buffer_is_spent() {
        assert_eq!([rung("{}", 1100, 4_000, 2), rung("{}", 200, 1_000, 2), rung("{}", 9000, 20_000, 3)], [2, 0, 3]);
        assert_eq!(rung("{}", 0, 20_000, 2), 0, "nothing is known");
    }

    #[test]
    fn estimates_that_were_wrong_are_divided_by_their_error() {
        let policy = Seat::<RateMpc>::rate("{}").unwrap();
        let after = |estimates: [u32; 3]| {
            estimates.into_iter().fold((0, 0), |(state, _), est_kbps| {
                let ask = Ask { state, est_kbps, buffer_ms: 4_000, segment_ms: 2000, last_rung: 2, ..Ask::default() };
                let answer = policy.select(&ask, &LADDER).unwrap();
                (answer.state, answer.rung)
            })
        };
        assert_eq!([after([1100, 1100, 1100]).1, after([1100, 200, 1100]).1], [2, 0]);
    }

    #[test]
    fn a_bound_of_looks_that_is_none_is_told() {
        assert_eq!(RateMpc::configured("{\"looks\": 1}").err().unwrap(), "looks is 10 to 1000000, not 1");
    }

    #[test]
    fn what_is_no_setting_is_told() {
        assert_eq!(RateMpc::configured("{\"buffer\": 0}").err().unwrap(), "buffer is 1 to 3600 seconds, not 0");
        assert!(RateMpc::configured("{\"bufer\": 9}").err().unwrap().contains("unknown field `bufer`"));
    }
}

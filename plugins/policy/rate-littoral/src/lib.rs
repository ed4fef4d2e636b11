//! Ours: the rung that is worth most, with the buffer that it leaves behind and what throughput has been like of late; see
//! `littoral_rate::littoral`.
//!
//! ```toml
//! config = { buffer = 25 }        # s, what the player buffers at most
//! ```

use littoral_rate::edge::{self, Edge as _};
use serde::Deserialize;

/// The operator's config.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Config {
    /// What the player buffers at most, s.
    buffer: f64,
}

impl Default for Config {
    fn default() -> Self {
        Self { buffer: edge::BUFFER_S }
    }
}

/// The policy.
#[derive(Debug)]
pub struct RateLittoral {
    buffer_ms: f64,
}

impl RateLittoral {
    fn configured(config: &str) -> Result<Self, String> {
        let Config { buffer } = littoral_plugin::config(config)?;
        Ok(Self { buffer_ms: edge::buffer_ms(buffer)? })
    }
}

littoral_rate::guest!(RateLittoral, |policy, ladder, asked| edge::Littoral.select(ladder, asked, policy.buffer_ms));
littoral_plugin::export_policy!(RateLittoral, rate, "../../wit");

#[cfg(test)]
mod tests {
    use littoral_plugin::policy::sketch::Seat;
    use littoral_plugin::policy::{Ask, NO_RUNG};

    use super::*;

    const LADDER: [u32; 4] = [100, 400, 1000, 3000];

    fn rung(config: &str, est_kbps: u32, buffer_ms: u32, last_rung: u8) -> u8 {
        let ask = Ask { est_kbps, buffer_ms, last_rung, segment_ms: 2000, ..Ask::default() };
        Seat::<RateLittoral>::rate(config).unwrap().select(&ask, &LADDER).unwrap().rung
    }

    #[test]
    fn more_buffer_is_spent_on_a_higher_rung() {
        assert_eq!([rung("{}", 1000, 500, NO_RUNG), rung("{}", 1000, 24_000, NO_RUNG)], [0, 2]);
        assert_eq!(rung("{}", 0, 24_000, 2), 0, "nothing is known");
    }

    #[test]
    fn estimates_that_went_up_and_down_are_trusted_less() {
        let policy = Seat::<RateLittoral>::rate("{}").unwrap();
        let after = |estimates: [u32; 5]| {
            estimates.into_iter().fold((0, 0), |(state, _), est_kbps| {
                let ask = Ask { state, est_kbps, buffer_ms: 12_000, segment_ms: 2000, last_rung: 1, ..Ask::default() };
                let answer = policy.select(&ask, &LADDER).unwrap();
                (answer.state, answer.rung)
            })
        };
        assert_eq!([after([1000; 5]).1, after([1000, 200, 1000, 200, 1000]).1], [2, 1]);
    }

    #[test]
    fn what_is_no_setting_is_told() {
        assert_eq!(RateLittoral::configured("{\"buffer\": 0}").err().unwrap(), "buffer is 1 to 3600 seconds, not 0");
        assert!(RateLittoral::configured("{\"bufer\": 9}").err().unwrap().contains("unknown field `bufer`"));
    }
}

//! BBA-0: the rung follows the player's buffer alone; see `littoral_rate::bba`.
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
pub struct RateBba {
    buffer_ms: f64,
}

impl RateBba {
    fn configured(config: &str) -> Result<Self, String> {
        let Config { buffer } = littoral_plugin::config(config)?;
        Ok(Self { buffer_ms: edge::buffer_ms(buffer)? })
    }
}

littoral_rate::guest!(RateBba, |policy, ladder, asked| edge::Bba.select(ladder, asked, policy.buffer_ms));
littoral_plugin::export_policy!(RateBba, rate, "../../wit");

#[cfg(test)]
mod tests {
    use littoral_plugin::policy::sketch::Seat;
    use littoral_plugin::policy::{Ask, NO_RUNG};

    use super::*;

    const LADDER: [u32; 4] = [100, 400, 1000, 3000];

    fn rung(config: &str, est_kbps: u32, buffer_ms: u32, last_rung: u8) -> u8 {
        let ask = Ask { est_kbps, buffer_ms, last_rung, segment_ms: 2000, ..Ask::default() };
        Seat::<RateBba>::rate(config).unwrap().select(&ask, &LADDER).unwrap().rung
    }

    #[test]
    fn the_lowest_up_to_the_reservoir_and_the_highest_of_a_full_buffer() {
        for (buffer_ms, expected) in [(0, 0), (9_375, 0), (12_000, 1), (15_000, 2), (22_500, 3), (60_000, 3)] {
            assert_eq!(rung("{}", 1, buffer_ms, NO_RUNG), expected, "{buffer_ms} ms");
        }
        assert_eq!(rung("{\"buffer\": 10}", 1, 9_375, NO_RUNG), 3, "of a smaller buffer");
    }

    #[test]
    fn a_rung_is_left_only_when_the_line_has_passed_its_neighbour() {
        assert_eq!([rung("{}", 1, 13_000, 1), rung("{}", 1, 13_000, 2), rung("{}", 1, 13_000, 0)], [1, 2, 1]);
    }

    #[test]
    fn what_is_no_setting_is_told() {
        assert_eq!(RateBba::configured("{\"buffer\": 0}").err().unwrap(), "buffer is 1 to 3600 seconds, not 0");
        assert!(RateBba::configured("{\"bufer\": 9}").err().unwrap().contains("unknown field `bufer`"));
    }
}

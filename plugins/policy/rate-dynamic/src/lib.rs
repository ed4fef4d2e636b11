//! DYNAMIC: throughput while the buffer is low, BOLA above; see `littoral_rate::dynamic`, and `littoral_rate::edge` for what of a session is kept.
//!
//! ```toml
//! config = { form = "paper", buffer = 25 }
//! ```
//!
//! `form`: `"paper"`, over BOLA finite, or `"dash"`, what dash.js plays. `buffer`: what the player buffers at most, s.

use littoral_rate::edge::{self, Edge as _};
use serde::Deserialize;

/// The operator's config.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Config {
    /// What the player buffers at most, s.
    buffer: f64,
    /// Which form.
    form: Form,
}

impl Default for Config {
    fn default() -> Self {
        Self { buffer: edge::BUFFER_S, form: Form::Paper }
    }
}

#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Form {
    Paper,
    Dash,
}

/// The policy.
#[derive(Debug)]
pub struct RateDynamic {
    buffer_ms: f64,
    form: Form,
}

impl RateDynamic {
    fn configured(config: &str) -> Result<Self, String> {
        let Config { buffer, form } = littoral_plugin::config(config)?;
        Ok(Self { buffer_ms: edge::buffer_ms(buffer)?, form })
    }

    fn select(&self, ladder: &littoral_rate::Ladder, asked: &edge::Asked) -> edge::Answered {
        match self.form {
            Form::Paper => edge::Dynamic.select(ladder, asked, self.buffer_ms),
            Form::Dash => edge::DynamicDash.select(ladder, asked, self.buffer_ms),
        }
    }
}

littoral_rate::guest!(RateDynamic, RateDynamic::select);
littoral_plugin::export_policy!(RateDynamic, rate, "../../wit");

#[cfg(test)]
mod tests {
    use littoral_plugin::policy::sketch::Seat;
    use littoral_plugin::policy::{Ask, NO_RUNG};

    use super::*;

    const LADDER: [u32; 4] = [100, 400, 1000, 3000];

    fn rung(config: &str, est_kbps: u32, buffer_ms: u32, last_rung: u8) -> u8 {
        let ask = Ask { est_kbps, buffer_ms, last_rung, segment_ms: 2000, ..Ask::default() };
        Seat::<RateDynamic>::rate(config).unwrap().select(&ask, &LADDER).unwrap().rung
    }

    #[test]
    fn throughput_chooses_while_the_buffer_is_low_and_bola_above() {
        for form in ["paper", "dash"] {
            let config = format!("{{\"form\": \"{form}\"}}");
            assert_eq!(rung(&config, 1200, 8_000, 0), 2, "{form}");
            assert_eq!(rung(&config, 9000, 24_000, 3), 3, "{form}");
            assert_eq!(rung(&config, 0, 0, NO_RUNG), 0, "{form}");
        }
    }

    #[test]
    fn what_is_no_setting_is_told() {
        assert_eq!(RateDynamic::configured("{\"buffer\": 0}").err().unwrap(), "buffer is 1 to 3600 seconds, not 0");
        assert!(RateDynamic::configured("{\"bufer\": 9}").err().unwrap().contains("unknown field `bufer`"));
    }
}

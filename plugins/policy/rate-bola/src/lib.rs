//! BOLA: the rung with the best worth for its bits at the buffer's level; see `littoral_rate::bola` and `littoral_rate::bola_e`, and
//! `littoral_rate::edge` for what of a session is kept.
//!
//! ```toml
//! config = { form = "e", rise = "wait", buffer = 25 }
//! ```
//!
//! `form`: `"e"`, what dash.js plays, `"basic"`, or `"finite"`. `rise`, where the buffer says more than throughput sustains: `"wait"` keeps to that,
//! `"above"` goes one rung above it. `buffer`: what the player buffers at most, s.

use littoral_rate::bola;

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
    /// What happens where the buffer says more than throughput sustains.
    rise: Rise,
}

impl Default for Config {
    fn default() -> Self {
        Self { buffer: edge::BUFFER_S, form: Form::E, rise: Rise::Wait }
    }
}

#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Form {
    E,
    Basic,
    Finite,
}

#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Rise {
    Wait,
    Above,
}

/// The policy.
#[derive(Debug)]
pub struct RateBola {
    buffer_ms: f64,
    form: Form,
    rise: bola::Rise,
}

impl RateBola {
    fn configured(config: &str) -> Result<Self, String> {
        let Config { buffer, form, rise } = littoral_plugin::config(config)?;
        let rise = match rise {
            Rise::Wait => bola::Rise::Sustained,
            Rise::Above => bola::Rise::OneAbove,
        };
        Ok(Self { buffer_ms: edge::buffer_ms(buffer)?, form, rise })
    }

    fn select(&self, ladder: &littoral_rate::Ladder, asked: &edge::Asked) -> edge::Answered {
        let (rise, buffer_ms) = (self.rise, self.buffer_ms);
        match self.form {
            Form::E => edge::BolaE { rise }.select(ladder, asked, buffer_ms),
            Form::Basic => edge::Bola { form: bola::Form::Basic, rise }.select(ladder, asked, buffer_ms),
            Form::Finite => edge::Bola { form: bola::Form::Finite, rise }.select(ladder, asked, buffer_ms),
        }
    }
}

littoral_rate::guest!(RateBola, RateBola::select);
littoral_plugin::export_policy!(RateBola, rate, "../../wit");

#[cfg(test)]
mod tests {
    use littoral_plugin::policy::sketch::Seat;
    use littoral_plugin::policy::{Ask, NO_RUNG};

    use super::*;

    const LADDER: [u32; 4] = [100, 400, 1000, 3000];

    fn rung(config: &str, est_kbps: u32, buffer_ms: u32, last_rung: u8) -> u8 {
        let ask = Ask { est_kbps, buffer_ms, last_rung, segment_ms: 2000, ..Ask::default() };
        Seat::<RateBola>::rate(config).unwrap().select(&ask, &LADDER).unwrap().rung
    }

    #[test]
    fn the_first_rung_is_what_throughput_carries_and_a_full_buffer_is_the_highest() {
        assert_eq!([rung("{}", 1000, 0, NO_RUNG), rung("{}", 90, 0, NO_RUNG)], [2, 0]);
        let basic = "{\"form\": \"basic\"}";
        assert_eq!([rung(basic, 9000, 0, NO_RUNG), rung(basic, 9000, 24_000, NO_RUNG)], [0, 3]);
    }

    #[test]
    fn what_throughput_does_not_sustain_is_waited_for_or_gone_one_above() {
        let ask = Ask { est_kbps: 500, buffer_ms: 24_000, last_rung: 1, segment_ms: 2000, ..Ask::default() };
        let answer = |rise: &str| {
            let config = format!("{{\"form\": \"basic\", \"rise\": \"{rise}\"}}");
            let answer = Seat::<RateBola>::rate(&config).unwrap().select(&ask, &LADDER).unwrap();
            (answer.rung, answer.hold_ms > 0)
        };
        assert_eq!([answer("wait"), answer("above")], [(1, true), (2, false)]);
    }

    #[test]
    fn a_form_that_is_none_is_told() {
        assert!(RateBola::configured("{\"form\": \"z\"}").err().unwrap().contains("`z`"));
    }

    #[test]
    fn what_is_no_setting_is_told() {
        assert_eq!(RateBola::configured("{\"buffer\": 0}").err().unwrap(), "buffer is 1 to 3600 seconds, not 0");
        assert!(RateBola::configured("{\"bufer\": 9}").err().unwrap().contains("unknown field `bufer`"));
    }
}

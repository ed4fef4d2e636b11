//! `[rtt]`.

use std::time::Duration;

use littoral_geo::limits::RTT_PREFIXES_MAX;

use super::{Wrong, wrong};
use crate::config::Config;

impl Config {
    pub(super) fn check_rtt(&self) -> Result<(), Wrong> {
        let rtt = &self.rtt;
        if !(1..=RTT_PREFIXES_MAX).contains(&rtt.prefixes) {
            return wrong("rtt.prefixes", format!("rtt.prefixes is 1 to {RTT_PREFIXES_MAX}, not {}", rtt.prefixes));
        }
        if rtt.samples == 0 {
            return wrong("rtt.samples", "rtt.samples is at least 1");
        }
        for (key, time) in [("rtt.keep", rtt.keep), ("rtt.age", rtt.age)] {
            if time.0 < Duration::from_secs(1) {
                return wrong(key, format!("{key} is at least 1s"));
            }
        }
        if rtt.age.0 <= rtt.hear.0 {
            let problem = "rtt.age is longer than rtt.hear: else times are too old before they are told again";
            return wrong("rtt.hear", problem);
        }
        Ok(())
    }
}

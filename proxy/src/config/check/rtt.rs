//! `[rtt]`.

use std::time::Duration;

use littoral_geo::limits::RTT_PREFIXES_MAX;

use super::{Wrong, wrong};
use crate::config::Config;
use crate::rtt::probe::{A_SECOND_MAX, AT_A_TIME_MAX, EVERY_MIN, PROBED_MAX, is_granted, targets};

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
        self.check_rtt_probe()
    }
    fn check_rtt_probe(&self) -> Result<(), Wrong> {
        let probe = &self.rtt.probe;
        if probe.port == 0 {
            return wrong("rtt.probe.port", "rtt.probe.port is 1 to 65535, such as 443");
        }
        if probe.every.0 < EVERY_MIN {
            return wrong("rtt.probe.every", "rtt.probe.every is at least 1s");
        }
        if !(1..=A_SECOND_MAX).contains(&probe.per_second) {
            return wrong("rtt.probe.per_second", format!("rtt.probe.per_second is 1 to {A_SECOND_MAX}"));
        }
        if !(1..=AT_A_TIME_MAX).contains(&probe.at_a_time) {
            return wrong("rtt.probe.at_a_time", format!("rtt.probe.at_a_time is 1 to {AT_A_TIME_MAX}"));
        }
        if probe.allow.len() > PROBED_MAX || probe.addresses.len() > PROBED_MAX {
            return wrong("rtt.probe", format!("rtt.probe.allow and addresses have at most {PROBED_MAX} entries each"));
        }
        if let Some((at, address)) = probe.addresses.iter().enumerate().find(|(_, of)| !is_granted(probe, **of)) {
            let problem = format!(
                "{address} may not be probed: add its prefix to rtt.probe.allow, and one that is not public by an entry of nothing else"
            );
            return wrong(format!("rtt.probe.addresses.{at}"), problem);
        }
        match targets(probe).len() > PROBED_MAX {
            false => Ok(()),
            true => wrong(
                "rtt.probe.allow",
                format!(
                    "rtt.probe.allow has more than {PROBED_MAX} prefixes of clients (IPv4 /24, IPv6 /48): list fewer"
                ),
            ),
        }
    }
}

//! `[limits]`, as far as it bounds what clients send.

use super::{Wrong, some_time, wrong};
use crate::config::units::Bandwidth;
use crate::config::{Config, HEADER_FIELDS_MAX, Limits, PREFIXES_OF_LIST_MAX};

/// HTTP/2 streams at a time that a connection may have at most.
const STREAMS_MAX: u32 = 10_000;

impl Config {
    pub(super) fn check_client_limits(&self) -> Result<(), Wrong> {
        let limits = &self.limits;
        if !(1..=HEADER_FIELDS_MAX).contains(&limits.header_fields) {
            return wrong("limits.header_fields", format!("limits.header_fields is 1 to {HEADER_FIELDS_MAX}"));
        }
        let untouched = limits.uri_bytes == Limits::default().uri_bytes;
        if !untouched && !(16..=limits.header_bytes.0).contains(&limits.uri_bytes.0) {
            return wrong("limits.uri_bytes", "limits.uri_bytes is 16B to limits.header_bytes");
        }
        if !(1..=STREAMS_MAX).contains(&limits.h2_streams) {
            return wrong("limits.h2_streams", format!("limits.h2_streams is 1 to {STREAMS_MAX}"));
        }
        if limits.clients_exempt.len() > PREFIXES_OF_LIST_MAX {
            let problem = format!("{} prefixes: at most {PREFIXES_OF_LIST_MAX}", limits.clients_exempt.len());
            return wrong("limits.clients_exempt", problem);
        }
        if limits.warm_rate == Some(Bandwidth(0)) {
            return wrong("limits.warm_rate", "limits.warm_rate is more than 0; leave it out for no bound");
        }
        if limits.warm_ceiling == Some(Bandwidth(0)) {
            return wrong("limits.warm_ceiling", "limits.warm_ceiling is more than 0; leave it out for none");
        }
        if limits.warm_interface.is_some() && limits.warm_ceiling.is_none() {
            let fix = "limits.warm_interface is of a ceiling: add limits.warm_ceiling, such as \"7Gbps\"";
            return wrong("limits.warm_interface", fix);
        }
        some_time("limits.body_timeout".into(), "limits.body_timeout", limits.body_timeout)
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    #[test]
    fn a_rate_of_nothing_for_all_warm_jobs_is_refused() {
        let said = |rate: &str| {
            let text = format!(
                "[listen]\nhttp = [\"127.0.0.1:0\"]\n[limits]\nwarm_rate = \"{rate}\"\n\
                 [[site]]\nhosts = [\"video.example\"]\norigin = [\"http://127.0.0.1:1\"]\n"
            );
            Config::parse(Path::new("node.toml"), &text).map_or_else(|error| error.to_string(), |_| String::new())
        };
        assert!(said("0bps").contains("limits.warm_rate is more than 0"), "{}", said("0bps"));
        assert!(said("fast").contains("40Gbps"), "{}", said("fast"));
        assert_eq!(said("200Mbps"), "");
    }
}

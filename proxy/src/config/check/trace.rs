//! `[trace]`.

use super::{Wrong, wrong};
use crate::config::Config;

impl Config {
    pub(super) fn check_trace(&self) -> Result<(), Wrong> {
        let Some(trace) = &self.trace else { return Ok(()) };
        let url = url::Url::parse(&trace.endpoint).ok();
        if url.is_none_or(|url| url.scheme() != "http" || !url.has_host() || !url.username().is_empty()) {
            let fix = "trace.endpoint is http:// with the whole path, such as \"http://127.0.0.1:4318/v1/traces\"; for a collector \
                       elsewhere, run one here that sends on over TLS";
            return wrong("trace.endpoint", fix);
        }
        match (0.0..=1.0).contains(&trace.sample) {
            true => Ok(()),
            false => wrong("trace.sample", "trace.sample is 0 to 1, the share of requests that are traced"),
        }
    }
}

//! Figures of requests that plugins make.

use littoral_plugin_host::fetch::FetchedStatus;

use crate::observe::metrics::Sample;

/// What the names of its families begin with.
pub(crate) const FAMILY: &str = "littoral_plugin_fetches";

/// Samples of one family, where the plugin is granted requests.
pub(crate) fn samples(name: &str, label: &(&'static str, String), status: Option<&FetchedStatus>) -> Vec<Sample> {
    let Some(status) = status else { return Vec::new() };
    let one = |value: f64| vec![(value, vec![label.clone()])];
    let with = |kind: &'static str, of: &str, count: u64| (count as f64, vec![label.clone(), (kind, of.to_owned())]);
    match name.strip_prefix(FAMILY) {
        Some("_open") => one(status.open as f64),
        Some("_total") => status.outcomes.iter().map(|(of, count)| with("outcome", of, *count)).collect(),
        Some("_bytes_total") => {
            vec![with("direction", "in", status.received_bytes), with("direction", "out", status.sent_bytes)]
        }
        Some("_seconds_total") => one(status.waited_ns as f64 / 1e9),
        _ => Vec::new(),
    }
}

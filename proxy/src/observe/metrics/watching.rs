//! Metrics of those who watch the node, of what they are told of video, and of what is pushed each day.

use std::sync::atomic::Ordering::Relaxed;

use serde_json::{Map, Value};

use super::{Declared, Sample, all, by, metric, one, sampled};
use crate::node::Node;
use crate::rate::chosen::Chosen;

/// Metrics that begin so are what the dashboard tells of video, where they are.
const VIDEO: [&str; 2] = ["littoral_rate_", "littoral_cmcd_"];

pub(super) const METRICS: &[Declared] = &[
    metric(
        "littoral_rate_chosen_total",
        "kbps: 100 to 32000, more",
        "Segments of auto URLs by the rate of the representation chosen: at most so many kbit/s.",
    ),
    metric(
        "littoral_rate_switches_total",
        "direction: up, down",
        "Times a session got another representation than for its segment before.",
    ),
    metric(
        "littoral_rate_paced_total",
        "",
        "Bodies of auto URLs that were held back, to go at the pace of the rate policy or the player.",
    ),
    metric(
        "littoral_manifests_refused_total",
        "found: read, remembered",
        "Times what was answered under a manifest's name was no manifest of a title, where an auto URL or what comes next asked for it; remembered: \
         known so from a reading before, for as long as it is stored, else for 60 s.",
    ),
    metric(
        "littoral_warm_standing_total",
        "outcome: begun, failed",
        "Jobs of [[warm]] that were due; failed: its order or one of its files could not be used, and nothing begins before the next day.",
    ),
    metric(
        "littoral_warm_link_bits_per_second",
        "",
        "What the network carried in the last second, in its busier direction; 0 without limits.warm_ceiling.",
    ),
    metric("littoral_events_open", "", "Streams of /v1/events that are open."),
    metric(
        "littoral_events_streams_total",
        "outcome: taken, refused",
        "Streams asked for; refused: 16 were open, or the node stops.",
    ),
    metric("littoral_events_left_out_total", "", "Events that were left out because they had more than 256 KiB."),
];

pub(super) fn samples(node: &Node, name: &str) -> Vec<Sample> {
    let (watched, chosen) = (&node.watched, node.rate.chosen());
    match name {
        "littoral_rate_chosen_total" => by("kbps", Chosen::RATES.into_iter().zip(chosen.rates())),
        "littoral_rate_switches_total" => by("direction", Chosen::SWITCHES.into_iter().zip(chosen.switches())),
        "littoral_rate_paced_total" => one(node.rate.paced_bodies()),
        "littoral_manifests_refused_total" => by("found", node.rate.refused()),
        "littoral_warm_standing_total" => {
            node.warm.as_ref().map_or_else(Vec::new, |jobs| by("outcome", jobs.standing_counts()))
        }
        "littoral_warm_link_bits_per_second" => {
            node.warm.as_ref().map_or_else(Vec::new, |jobs| one(jobs.link_bits_s()))
        }
        "littoral_events_open" => one(watched.open.load(Relaxed) as u64),
        "littoral_events_streams_total" => {
            let counts = watched.streams.each_ref().map(|count| count.load(Relaxed));
            by("outcome", ["taken", "refused"].into_iter().zip(counts))
        }
        "littoral_events_left_out_total" => one(watched.left_out.load(Relaxed)),
        _ => Vec::new(),
    }
}

/// The counters of video: those of [`VIDEO`], by name without `littoral_` and `_total`; by the value of the label that is not a site,
/// over all sites. What this node does not count is not there.
pub(crate) fn video(node: &Node) -> Value {
    let is_video = |name: &str| VIDEO.iter().any(|prefix| name.starts_with(prefix));
    let mut told = Map::new();
    for declared in all().filter(|declared| is_video(declared.name)) {
        let mut sums = Map::new();
        for (value, labels) in sampled(node, declared.name) {
            let label = labels.iter().find(|(name, _)| *name != "site").map_or("all", |(_, value)| value);
            let before = sums.get(label).and_then(Value::as_f64).unwrap_or(0.0);
            sums.insert(label.to_owned(), (before + value).into());
        }
        if !sums.is_empty() {
            let name = declared.name.trim_start_matches("littoral_").trim_end_matches("_total");
            told.insert(name.to_owned(), sums.into());
        }
    }
    told.into()
}

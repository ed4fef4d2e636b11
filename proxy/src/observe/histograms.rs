//! Histograms: each declared once here, exposed as Prometheus has classic histograms. What is recorded, and when, is the
//! request path's and the store's.

use littoral_cache::Outcome;
use littoral_cache::histogram::{Bytes, Scale, Seconds, Snapshot};
use prometheus::proto::{Bucket, Histogram, LabelPair, Metric, MetricFamily, MetricType};

use super::metrics::Declared;
use super::metrics::video::sites;
use crate::node::Node;
use crate::video::figures::{Figures, Kbps, MediaSeconds};

/// Every histogram there is; what ends in `_seconds` has the bounds of times, or of media when players told it, what ends in `_kbps` those
/// of rates, the others those of sizes.
pub const HISTOGRAMS: &[Declared] = &[
    Declared {
        name: "littoral_http_request_seconds",
        labels: "outcome: hit, stale, revalidated, collapsed, miss, bypass",
        help: "From the parsed head of a request to the last byte of its response handed to the kernel.",
    },
    Declared {
        name: "littoral_origin_first_byte_seconds",
        labels: "",
        help: "From the open connection to an origin to the head of its response.",
    },
    Declared {
        name: "littoral_cache_fill_seconds",
        labels: "",
        help: "From asking the origin to the published object.",
    },
    Declared { name: "littoral_cache_object_bytes", labels: "", help: "Bodies of published objects." },
    Declared { name: "littoral_cmcd_buffer_seconds", labels: "site", help: "What players have buffered (`bl`)." },
    Declared { name: "littoral_cmcd_latency_seconds", labels: "site", help: "How far they are behind live (`ltc`)." },
    Declared { name: "littoral_cmcd_throughput_kbps", labels: "site", help: "Throughput they measured (`mtp`)." },
    Declared { name: "littoral_cmcd_wanted_kbps", labels: "site", help: "Throughput that suffices them (`rtp`)." },
    Declared { name: "littoral_cmcd_bitrate_kbps", labels: "site", help: "Rates of what they asked for (`br`)." },
];

/// Their rows in `docs/metrics.md`, and the bounds of their buckets.
pub(super) fn markdown() -> String {
    let row = |of: &Declared| format!("| `{}` | histogram | {} | {} |\n", of.name, of.labels, of.help);
    let bounds = |bounds: &[u64], unit: f64| {
        bounds.iter().map(|bound| (*bound as f64 / unit).to_string()).collect::<Vec<_>>().join(", ")
    };
    let rows: String = HISTOGRAMS.iter().map(row).collect();
    format!(
        "{rows}\nBuckets of times, in seconds: {}.\nBuckets of sizes, in bytes: {}.\nBuckets of what players tell of media, in seconds: {}.\n\
         Buckets of what they tell of rates, in kbit/s: {}.\n",
        bounds(Seconds::BOUNDS, Seconds::PER_UNIT),
        bounds(Bytes::BOUNDS, Bytes::PER_UNIT),
        bounds(MediaSeconds::BOUNDS, MediaSeconds::PER_UNIT),
        bounds(Kbps::BOUNDS, Kbps::PER_UNIT)
    )
}

/// All of them, as they are exposed.
pub(super) fn families(node: &Node) -> Vec<MetricFamily> {
    HISTOGRAMS.iter().map(|declared| family(declared, snapshots(node, declared.name))).collect()
}

/// A label and its value.
type Label = (&'static str, String);

fn snapshots(node: &Node, name: &str) -> Vec<(Option<Label>, Snapshot)> {
    let (figures, counters) = (&node.figures, node.store.counters());
    match name {
        "littoral_http_request_seconds" => {
            let by_outcome = figures.durations.iter().map(|histogram| histogram.snapshot());
            Outcome::LABELS.into_iter().map(|outcome| Some(("outcome", outcome.to_owned()))).zip(by_outcome).collect()
        }
        "littoral_origin_first_byte_seconds" => vec![(None, figures.first_byte.snapshot())],
        "littoral_cache_fill_seconds" => vec![(None, counters.fill_time.snapshot())],
        "littoral_cache_object_bytes" => vec![(None, counters.object_bytes.snapshot())],
        "littoral_cmcd_buffer_seconds" => by_site(node, |figures| figures.buffer.snapshot()),
        "littoral_cmcd_latency_seconds" => by_site(node, |figures| figures.latency.snapshot()),
        "littoral_cmcd_throughput_kbps" => by_site(node, |figures| figures.throughput.snapshot()),
        "littoral_cmcd_wanted_kbps" => by_site(node, |figures| figures.wanted.snapshot()),
        "littoral_cmcd_bitrate_kbps" => by_site(node, |figures| figures.bitrate.snapshot()),
        _ => unreachable!("invariant: HISTOGRAMS declares no other: {name}"),
    }
}

fn by_site(node: &Node, snapshot: fn(&Figures) -> Snapshot) -> Vec<(Option<Label>, Snapshot)> {
    sites(node, |site, figures| (Some(("site", site.to_owned())), snapshot(figures)))
}

fn family(declared: &Declared, snapshots: Vec<(Option<Label>, Snapshot)>) -> MetricFamily {
    let mut family = MetricFamily::default();
    family.set_name(declared.name.to_owned());
    family.set_help(declared.help.to_owned());
    family.set_field_type(MetricType::HISTOGRAM);
    let metrics = snapshots.into_iter().map(|(label, snapshot)| {
        let mut metric = Metric::default();
        let label = label.map(|(name, value)| {
            let mut pair = LabelPair::default();
            pair.set_name(name.to_owned());
            pair.set_value(value);
            pair
        });
        metric.set_label(label.into_iter().collect());
        let mut histogram = Histogram::default();
        histogram.set_sample_count(snapshot.count);
        histogram.set_sample_sum(snapshot.sum);
        let buckets = snapshot.buckets.into_iter().map(|(bound, count)| {
            let mut bucket = Bucket::default();
            bucket.set_upper_bound(bound);
            bucket.set_cumulative_count(count);
            bucket
        });
        histogram.set_bucket(buckets.collect());
        metric.set_histogram(histogram);
        metric
    });
    family.set_metric(metrics.collect());
    family
}

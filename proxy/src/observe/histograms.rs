//! Histograms: each declared once here, exposed as Prometheus has classic histograms. What is recorded, and when, is the
//! request path's and the store's.

use littoral_cache::Outcome;
use littoral_cache::histogram::{Bytes, Scale, Seconds, Snapshot};
use prometheus::proto::{Bucket, Histogram, LabelPair, Metric, MetricFamily, MetricType};

use super::metrics::Declared;
use crate::node::Node;

/// Every histogram there is; what ends in `_seconds` has the bounds of times, the others those of sizes.
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
];

/// Their rows in `docs/metrics.md`, and the bounds of their buckets.
pub(super) fn markdown() -> String {
    let row = |of: &Declared| format!("| `{}` | histogram | {} | {} |\n", of.name, of.labels, of.help);
    let bounds = |bounds: &[u64], unit: f64| {
        bounds.iter().map(|bound| (*bound as f64 / unit).to_string()).collect::<Vec<_>>().join(", ")
    };
    let rows: String = HISTOGRAMS.iter().map(row).collect();
    format!(
        "{rows}\nBuckets of times, in seconds: {}.\nBuckets of sizes, in bytes: {}.\n",
        bounds(Seconds::BOUNDS, Seconds::PER_UNIT),
        bounds(Bytes::BOUNDS, Bytes::PER_UNIT)
    )
}

/// All of them, as they are exposed.
pub(super) fn families(node: &Node) -> Vec<MetricFamily> {
    HISTOGRAMS.iter().map(|declared| family(declared, snapshots(node, declared.name))).collect()
}

fn snapshots(node: &Node, name: &str) -> Vec<(Option<&'static str>, Snapshot)> {
    let (figures, counters) = (&node.figures, node.store.counters());
    match name {
        "littoral_http_request_seconds" => {
            let by_outcome = figures.durations.iter().map(|histogram| histogram.snapshot());
            Outcome::LABELS.into_iter().map(Some).zip(by_outcome).collect()
        }
        "littoral_origin_first_byte_seconds" => vec![(None, figures.first_byte.snapshot())],
        "littoral_cache_fill_seconds" => vec![(None, counters.fill_time.snapshot())],
        "littoral_cache_object_bytes" => vec![(None, counters.object_bytes.snapshot())],
        _ => unreachable!("invariant: HISTOGRAMS declares no other: {name}"),
    }
}

fn family(declared: &Declared, snapshots: Vec<(Option<&'static str>, Snapshot)>) -> MetricFamily {
    let mut family = MetricFamily::default();
    family.set_name(declared.name.to_owned());
    family.set_help(declared.help.to_owned());
    family.set_field_type(MetricType::HISTOGRAM);
    let metrics = snapshots.into_iter().map(|(outcome, snapshot)| {
        let mut metric = Metric::default();
        let label = outcome.map(|outcome| {
            let mut pair = LabelPair::default();
            pair.set_name("outcome".to_owned());
            pair.set_value(outcome.to_owned());
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

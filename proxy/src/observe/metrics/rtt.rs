//! Metrics of round-trip times: where they are measured, and where clusters are chosen by them.

use super::{Declared, Sample, by, metric, one};
use crate::node::Node;
use crate::observe::figures::Counter;
use crate::rtt::Rtt;
use crate::rtt::hear::Hearing;
use crate::rtt::probe::Outcome;

pub(super) const METRICS: &[Declared] = &[
    metric(
        "littoral_rtt_measured_total",
        "outcome: kept, limited, busy, unknown",
        "Connections of clients by what came of measuring their round-trip time.",
    ),
    metric(
        "littoral_rtt_probes_total",
        "outcome: answered, refused, silent, unknown, known, busy",
        "Probes by what came of them: answered, refused (which is an answer), not answered in time, answered after the kernel had asked twice; and \
         those that were left out because connections are measured, or because too many were under way.",
    ),
    metric("littoral_rtt_kept", "", "Prefixes of clients whose round-trip time is kept."),
    metric("littoral_rtt_evicted_total", "", "Prefixes dropped because there were more than rtt.prefixes."),
    metric(
        "littoral_rtt_told_total",
        "outcome: told, refused",
        "Others who asked for the round-trip times, or for what was pushed here.",
    ),
    metric(
        "littoral_rtt_heard_total",
        "outcome: heard, failed, refused",
        "Nodes of clusters asked for theirs: answered, not answered, answered with what cannot be read.",
    ),
    metric("littoral_rtt_known", "", "Prefixes of clients with a round-trip time to some cluster."),
    metric(
        "littoral_cluster_price_seconds",
        "cluster",
        "By how much the load of a cluster makes it farther away, where the routing policy goes by prices.",
    ),
    metric("littoral_rtt_left_out_total", "", "Round-trip times heard that there was no room for."),
    metric("littoral_rtt_heard_age_seconds", "cluster", "Since a cluster told its round-trip times."),
];

pub(super) fn samples(node: &Node, name: &str) -> Vec<Sample> {
    let sums = |counters: &[Counter]| counters.iter().map(Counter::sum).collect::<Vec<_>>();
    let hears = !node.settings.load().rtt.hear.0.is_zero() || node.control.plane().is_connected().is_some();
    match (name, node.directing.as_ref().filter(|_| hears)) {
        ("littoral_rtt_measured_total", _) => by("outcome", Rtt::OUTCOMES.into_iter().zip(sums(&node.rtt.measured))),
        ("littoral_rtt_probes_total", _) => by("outcome", Outcome::LABELS.into_iter().zip(sums(&node.rtt.probes))),
        ("littoral_rtt_kept", _) => one(node.rtt.kept().0),
        ("littoral_rtt_evicted_total", _) => one(node.rtt.kept().1),
        ("littoral_rtt_told_total", _) => by("outcome", ["told", "refused"].into_iter().zip(sums(&node.rtt.told))),
        ("littoral_rtt_heard_total", Some(directing)) => {
            by("outcome", Hearing::OUTCOMES.into_iter().zip(directing.hearing().counts()))
        }
        ("littoral_rtt_known", Some(directing)) => one(directing.director().rtt_prefixes() as u64),
        ("littoral_cluster_price_seconds", Some(directing)) => directing.prices(),
        ("littoral_rtt_left_out_total", Some(directing)) => {
            one(directing.director().counters().rtts_left_out.load(std::sync::atomic::Ordering::Relaxed))
        }
        ("littoral_rtt_heard_age_seconds", Some(directing)) => {
            let now_ms = crate::clock::now_ms();
            let age = |heard_ms: u64| now_ms.saturating_sub(heard_ms) / 1000;
            by("cluster", directing.director().rtts_heard().into_iter().map(|(id, heard_ms, _)| (id, age(heard_ms))))
        }
        _ => Vec::new(),
    }
}

//! Metrics of the local resolver.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use littoral_geo::resolver::Counters;

use super::{Declared, Sample, by, metric, one};
use crate::node::Node;

pub(super) const METRICS: &[Declared] = &[
    metric("littoral_resolver_queries_total", "transport: udp, tcp", "Questions of clients on the resolver's list."),
    metric("littoral_resolver_refused_total", "", "Questions and connections of others (resolver.allow)."),
    metric(
        "littoral_resolver_malformed_total",
        "",
        "Questions that could not be read or are of no kind that is answered.",
    ),
    metric("littoral_resolver_responses_total", "rcode", "Responses by response code."),
    metric("littoral_resolver_answers_total", "from: cache, servers", "Answers by where they came from."),
    metric("littoral_resolver_asked_total", "", "Questions to servers."),
    metric(
        "littoral_resolver_asked_for_subnets_total",
        "",
        "Of these, that a client's subnet went with (resolver.subnets).",
    ),
    metric(
        "littoral_resolver_forged_total",
        "",
        "Datagrams passed over while such an answer was waited for: another id, question or spelling.",
    ),
    metric("littoral_resolver_bogus_total", "", "Answers that DNSSEC shows to be false."),
    metric("littoral_resolver_truncated_total", "", "Responses cut for UDP."),
    metric(
        "littoral_resolver_limited_total",
        "limit: lookups, connections, time, questions, aliases",
        "What ran into a bound of the resolver.",
    ),
    metric("littoral_resolver_lookups_open", "", "Lookups under way, at most resolver.lookups."),
    metric("littoral_resolver_kept", "", "Questions whose answers are kept."),
    metric("littoral_resolver_kept_bytes", "", "Their memory, at most resolver.cache."),
];

pub(super) fn samples(node: &Node, name: &str) -> Vec<Sample> {
    let Some(resolver) = &node.resolver else { return Vec::new() };
    let counters = resolver.counters();
    let counts = |counters: &[AtomicU64]| counters.iter().map(|counter| counter.load(Relaxed)).collect::<Vec<_>>();
    let sum = |counter: &AtomicU64| one(counter.load(Relaxed));
    let two = |first: &AtomicU64, second: &AtomicU64| [first.load(Relaxed), second.load(Relaxed)];
    match name {
        "littoral_resolver_queries_total" => {
            by("transport", ["udp", "tcp"].into_iter().zip(two(&counters.udp, &counters.tcp)))
        }
        "littoral_resolver_refused_total" => sum(&counters.refused),
        "littoral_resolver_malformed_total" => sum(&counters.malformed),
        "littoral_resolver_responses_total" => {
            by("rcode", littoral_geo::Counters::RCODES.into_iter().zip(counts(&counters.rcodes)))
        }
        "littoral_resolver_answers_total" => {
            by("from", ["cache", "servers"].into_iter().zip(two(&counters.hits, &counters.misses)))
        }
        "littoral_resolver_asked_total" => sum(&counters.asked),
        "littoral_resolver_asked_for_subnets_total" => sum(&counters.asked_for_subnets),
        "littoral_resolver_forged_total" => sum(&counters.forged),
        "littoral_resolver_bogus_total" => sum(&counters.bogus),
        "littoral_resolver_truncated_total" => sum(&counters.truncated),
        "littoral_resolver_limited_total" => by("limit", Counters::LIMITS.into_iter().zip(counts(&counters.limited))),
        "littoral_resolver_lookups_open" => one(resolver.under_way() as u64),
        "littoral_resolver_kept" => one(resolver.kept().0 as u64),
        "littoral_resolver_kept_bytes" => one(resolver.kept().1 as u64),
        _ => Vec::new(),
    }
}

//! Metrics: each declared once here, documented from here (`docs/metrics.md`), exposed in the Prometheus text format.

use std::collections::BTreeMap;
use std::sync::atomic::Ordering::Relaxed;

use prometheus::proto::MetricFamily;
use prometheus::{Encoder, TextEncoder};

use littoral_cache::Outcome;

use crate::node::Node;
use crate::observe::figures::{CLASSES, Resumed, UNSTORABLE};
use crate::origin::Origin;
use crate::request::unread::TooMuch;

mod cache;
mod clusters;
mod control;
mod family;
mod plugins;
mod resolver;
mod rtt;
pub(super) mod video;
pub(crate) mod watching;

use family::family;

/// A metric there is.
#[derive(Debug, Clone, Copy)]
pub struct Declared {
    /// Its name: `littoral_<area>_<noun>_<unit>[_total]`.
    pub name: &'static str,
    /// Its labels, each with a closed set of values.
    pub labels: &'static str,
    /// What it says.
    pub help: &'static str,
}

const fn metric(name: &'static str, labels: &'static str, help: &'static str) -> Declared {
    Declared { name, labels, help }
}

/// Every metric there is but the histograms; one that ends in `_total` is a counter, the others are gauges.
pub fn all() -> impl Iterator<Item = &'static Declared> {
    let more = rtt::METRICS
        .iter()
        .chain(clusters::METRICS)
        .chain(resolver::METRICS)
        .chain(video::METRICS)
        .chain(watching::METRICS)
        .chain(control::METRICS);
    METRICS.iter().chain(plugins::METRICS).chain(more)
}

/// Those that are not of plugins.
pub const METRICS: &[Declared] = &[
    metric(
        "littoral_http_requests_total",
        "outcome: hit, stale, revalidated, collapsed, miss, bypass",
        "Requests by what the cache did (RFC 9211).",
    ),
    metric(
        "littoral_http_responses_total",
        "class: 1xx to 5xx, none",
        "Responses by status class; none: the client left first.",
    ),
    metric("littoral_http_sent_bytes_total", "", "Bytes of response bodies sent to clients."),
    metric("littoral_http_broken_total", "", "Requests that ended with an error, answered or not."),
    metric("littoral_http_connections_total", "", "Client connections accepted."),
    metric("littoral_http_connections_open", "", "Client connections open."),
    metric("littoral_http_connections_refused_total", "", "Client connections closed at once for limits.connections."),
    metric(
        "littoral_downstream_denied_total",
        "reason: list, source, header, client_connections, client_rate",
        "Client connections closed at once: by allow or deny, not from a source of PROXY headers, without a good one, for a limit on clients.",
    ),
    metric(
        "littoral_downstream_refused_total",
        "reason: malformed, head_time, body, body_time, uri, rate, head",
        "Requests refused for a limit before anybody asks what they are for: 400, 408, 413, 408, 414, 429, 431.",
    ),
    metric(
        "littoral_downstream_h2_ended_total",
        "reason: idle, flood, malformed, protocol",
        "HTTP/2 connections ended by this node.",
    ),
    metric(
        "littoral_downstream_h2_interim_dropped_total",
        "",
        "Interim responses of origins not passed on over HTTP/2: one request brought more than 16, or 32 KiB of fields.",
    ),
    metric("littoral_downstream_clients", "", "Clients known to the limits on clients; at most 65536."),
    metric(
        "littoral_downstream_clients_untracked_total",
        "",
        "Connections not bounded by client because so many clients were known.",
    ),
    metric(
        "littoral_downstream_accept_failures_total",
        "",
        "Times no connection could be accepted, for want of file descriptors or memory; they wait in the backlog.",
    ),
    metric("littoral_tls_handshakes_total", "", "TLS handshakes done."),
    metric("littoral_tls_resumed_total", "", "Of these, sessions that went on."),
    metric(
        "littoral_tls_failures_total",
        "kind: timeout, closed, incompatible, client_certificate, refused_by_client, malformed",
        "TLS handshakes that failed.",
    ),
    metric(
        "littoral_tls_certificate_end_seconds",
        "listener, name",
        "When a certificate in use ends, in seconds since 1970.",
    ),
    metric(
        "littoral_http_header_timeouts_total",
        "",
        "Connections closed because a request head took longer than limits.header_timeout.",
    ),
    metric(
        "littoral_http_loops_total",
        "",
        "Requests refused with 508 because they had passed this node before (RFC 8586).",
    ),
    metric(
        "littoral_steered_total",
        "door: redirect, content",
        "Clients told of the cluster that is chosen for them (site.steer).",
    ),
    metric("littoral_acme_orders_total", "outcome: issued, failed", "Orders of certificates (ACME)."),
    metric("littoral_acme_proofs_total", "", "Requests of the authority that were answered (http-01)."),
    metric("littoral_acme_failures", "name", "Orders of a certificate that have failed in a row; 0: it is in force."),
    metric(
        "littoral_forward_refused_total",
        "reason: malformed, host, port, address, name, tunnels, unreachable, late",
        "Requests that the explicit proxy refused: 400, 403, 403, 403, 502, 503, and tunnels that could not be opened: 502, 504.",
    ),
    metric(
        "littoral_forward_lookups_total",
        "outcome: found, failed",
        "Names the explicit proxy wanted addresses of, known or asked for.",
    ),
    metric("littoral_forward_tunnels_open", "", "Tunnels open (CONNECT)."),
    metric(
        "littoral_forward_tunnels_total",
        "end: closed, broken, idle, time, bytes",
        "Tunnels that have ended: by both sides, by one that was gone, by forward.tunnel_idle, tunnel_time, tunnel_bytes.",
    ),
    metric(
        "littoral_forward_tunnel_bytes_total",
        "from: client, server",
        "Bytes moved through tunnels that have ended.",
    ),
    metric("littoral_origin_fetches_total", "", "Times an origin was asked."),
    metric("littoral_origin_retries_total", "", "Times an origin was asked again for the same request."),
    metric(
        "littoral_origin_retries_refused_total",
        "",
        "Failures that another attempt might have mended but for site.retry's budget.",
    ),
    metric("littoral_origin_ejections_total", "", "Times an origin was left out for failing."),
    metric(
        "littoral_origin_ejections_spared_total",
        "",
        "Failures after which an origin was not left out: too many of its site's are.",
    ),
    metric(
        "littoral_origin_shield_requests_total",
        "",
        "Times a node of a shield was asked; they are fetches as well.",
    ),
    metric("littoral_origin_shield_failures_total", "", "Times that failed, so that an origin was asked."),
    metric("littoral_origin_overdue_total", "", "Answers of origins cut off after site.timeouts.total."),
    metric("littoral_origin_lookups_total", "outcome: found, failed", "Lookups of the names of origins."),
    metric("littoral_origin_probes_total", "outcome: well, failed", "Probes of origins (site.health)."),
    metric("littoral_origin_healthy", "origin", "1 while requests go to an origin, 0 while it is left out or down."),
    metric("littoral_origin_requests_open", "origin", "Requests under way at an origin."),
    metric("littoral_origin_requests_waiting", "origin", "Requests that wait for room at an origin."),
    metric("littoral_origin_queued_total", "", "Requests that had to wait for room at an origin."),
    metric("littoral_origin_queue_full_total", "", "Requests refused with 503 because every queue was full."),
    metric("littoral_origin_queue_timeouts_total", "", "Requests refused with 503 after origin.queue_timeout."),
    metric("littoral_origin_failures_total", "", "Requests answered with an error of this node."),
    metric("littoral_cache_memory_bytes", "", "Bytes held by objects, published or in flight, overhead included."),
    metric("littoral_cache_memory_bound_bytes", "", "The configured bound on them."),
    metric("littoral_cache_objects", "", "Objects published."),
    metric("littoral_cache_fills_open", "", "Objects in flight."),
    metric("littoral_cache_published_total", "", "Objects published."),
    metric("littoral_cache_fills_failed_total", "", "Fills that ended early or too long; nothing of them is kept."),
    metric(
        "littoral_cache_fills_passed_total",
        "",
        "Fills of untold length that turned out not to fit: sent on to those who read them, not kept.",
    ),
    metric(
        "littoral_cache_readers_cut_total",
        "",
        "Clients cut off because they were further behind such a fill than it may hold.",
    ),
    metric("littoral_cache_not_admitted_total", "", "Complete objects not published because the policy said so."),
    metric("littoral_cache_no_room_total", "", "Objects passed by because no room could be made."),
    metric(
        "littoral_cache_pieces_joined_total",
        "",
        "Pieces of objects (site.ranges) put together with others, or made whole objects of.",
    ),
    metric(
        "littoral_cache_pieces_dropped_total",
        "",
        "Pieces let go of because an object had too many, or too many bytes.",
    ),
    metric("littoral_cache_evicted_total", "", "Objects evicted by the policy."),
    metric("littoral_cache_evicted_bytes_total", "", "Bytes evicted by the policy."),
    metric(
        "littoral_cache_evicted_by_ceiling_total",
        "",
        "Objects dropped by the table's own ceiling: the policy did not keep up.",
    ),
    metric("littoral_cache_evicted_in_haste_total", "", "Objects evicted by samples for who could not wait."),
    metric(
        "littoral_cache_exact",
        "",
        "1 while a policy with state of its own decides what is in memory, 0 while samples are scored.",
    ),
    metric("littoral_cache_exact_uses_dropped_total", "", "Uses that came faster than such a policy is told of them."),
    metric("littoral_cache_exact_nonsense_total", "", "Objects that such a policy named and that were not there."),
    metric("littoral_cache_exact_broken_total", "", "Times that such a policy was given up because it faulted."),
    metric("littoral_cache_purges_total", "kind: url, prefix, host, regex, key, all", "Targets of purges."),
    metric("littoral_cache_expired_total", "", "Objects made stale by soft purges."),
    metric("littoral_cache_purged_total", "", "Objects removed by purges."),
    metric(
        "littoral_cache_discarded_total",
        "",
        "Objects removed because their origin, asked to confirm them, answered with something else that is not stored.",
    ),
    metric("littoral_cache_fills_purged_total", "", "Fills that a purge kept from being published."),
    metric(
        "littoral_cache_fills_resumed_total",
        "outcome",
        "Fills that went on after their origin broke off: whole, the object had changed, or the rest did not come.",
    ),
    metric(
        "littoral_cache_fills_unread_ended_total",
        "reason",
        "Fills ended because all who read them had left: too many such fills of the site, or too many bytes.",
    ),
    metric("littoral_cache_unstorable_total", "reason", "Responses not stored, by reason."),
    metric(
        "littoral_cache_pages_taken_bytes",
        "",
        "Bytes of slots for bodies of 256 KiB and more, which the system sends from memory without a copy; only what is written of \
         a slot takes memory.",
    ),
    metric(
        "littoral_cache_pages_refused_total",
        "",
        "Times there was no such slot, or no memory to write it: the body lies on the heap and is copied when it is sent.",
    ),
    metric("littoral_cache_invalidated_total", "", "URLs invalidated by successful unsafe requests."),
    metric(
        "littoral_upgrade_unconfirmed_total",
        "",
        "Purges and invalidations that the other process of an upgrade did not confirm in time.",
    ),
    metric("littoral_cache_surrogate_keys_ignored_total", "", "Surrogate keys ignored for their number or length."),
    metric("littoral_access_log_lines_total", "", "Lines handed to the access log's writer."),
    metric("littoral_access_log_dropped_total", "", "Lines lost because the writer of the access log did not keep up."),
    metric("littoral_access_log_failures_total", "", "Writes of the access log that failed."),
    metric("littoral_cache_disk_objects", "disk", "Objects known to be on a disk."),
    metric("littoral_cache_disk_bytes", "disk", "Bytes of their files, in whole blocks."),
    metric("littoral_cache_disk_bound_bytes", "disk", "The configured bound on them."),
    metric("littoral_cache_disk_in_use", "disk", "1 while a disk is used, 0 when it is out."),
    metric("littoral_cache_disk_scanned", "disk", "1 when all that was there at the start is known."),
    metric("littoral_cache_disk_scan_objects", "disk", "Files looked at by the scan that runs or ran last."),
    metric("littoral_cache_disk_waiting_bytes", "disk", "Bytes of bodies that wait to be written."),
    metric("littoral_cache_disk_hits_total", "", "Objects read from disk back into memory."),
    metric(
        "littoral_cache_disk_streamed_total",
        "",
        "Objects served from disk without bringing them to memory: larger than a sixteenth of it, or not admitted there.",
    ),
    metric("littoral_cache_disk_opened", "", "Objects on disk that are kept open, with what was verified of them."),
    metric(
        "littoral_cache_disk_confirmed_total",
        "",
        "Objects whose fields were written anew after a 304, without body.",
    ),
    metric("littoral_cache_disk_writes_total", "", "Objects written."),
    metric("littoral_cache_disk_written_bytes_total", "", "Bytes written."),
    metric(
        "littoral_cache_disk_skipped_total",
        "reason: queue, space, header, purged, error, policy",
        "Objects not written: too much waits already, no space, fields too long, purged meanwhile, an error, the policy refuses it.",
    ),
    metric("littoral_cache_disk_corrupt_total", "", "Files that were torn, changed or of another version; removed."),
    metric("littoral_cache_disk_purged_total", "", "Files removed when they were found because a purge names them."),
    metric("littoral_cache_disk_evicted_total", "", "Objects evicted from disk by the policy."),
    metric(
        "littoral_cache_disk_exact",
        "disk",
        "1 while a policy with state of its own decides what is on a disk, 0 while samples are scored.",
    ),
    metric("littoral_cache_disk_exact_nonsense_total", "", "Objects that such a policy named and that were not there."),
    metric("littoral_cache_disk_exact_broken_total", "", "Times that such a policy was given up because it faulted."),
    metric("littoral_cache_disk_errors_total", "", "Operations that a file system failed."),
    metric("littoral_cache_disk_reads_refused_total", "", "Lookups that were misses because 1024 reads waited."),
    metric("littoral_cache_disk_ledger_purges", "", "Purges remembered because files they name may be left."),
    metric(
        "littoral_cache_disk_ledger_overflows_total",
        "",
        "Times there were too many of them, so that all written before counts as purged.",
    ),
    metric("littoral_cache_disk_unrecorded_total", "", "Purges a disk could not record; it is out since."),
    metric(
        "littoral_trace_spans_total",
        "outcome: queued, dropped",
        "Spans; dropped: 4096 were waiting for the collector.",
    ),
    metric(
        "littoral_trace_exports_total",
        "outcome: sent, failed",
        "Batches of spans that the collector took, and did not take.",
    ),
    metric("littoral_rate_decisions_total", "by: guest, native", "Representations chosen for auto URLs."),
    metric("littoral_dns_queries_total", "transport: udp, tcp, tls, https", "DNS queries."),
    metric("littoral_dns_connections_refused_total", "", "DNS connections over TCP closed at once: 256 were open."),
    metric("littoral_dns_https_refused_total", "", "Requests to listen.doh that carry no DNS message."),
    metric("littoral_dns_responses_total", "rcode", "DNS responses by response code."),
    metric("littoral_dns_ecs_total", "", "Queries with a client subnet (RFC 7871)."),
    metric("littoral_dns_truncated_total", "", "Responses cut for UDP."),
    metric(
        "littoral_dns_rate_limited_total",
        "action: cut, dropped",
        "Answers over UDP beyond `dns.answers_per_second`.",
    ),
    metric("littoral_dns_dropped_total", "", "Queries over UDP that the kernel dropped: more came than is answered."),
    metric("littoral_dns_malformed_total", "", "Queries that could not be read."),
    metric("littoral_dns_decisions_total", "reason", "Cluster decisions by what decided."),
    metric(
        "littoral_dns_signatures_total",
        "from: key, kept",
        "Signatures sent: made for the answer, or kept from another.",
    ),
    metric("littoral_dns_signatures_kept", "", "Signatures kept, at most 65536."),
    metric(
        "littoral_dns_tsig_refused_total",
        "",
        "Requests signed with a shared secret whose signature was not right.",
    ),
    metric("littoral_dns_transfers_total", "outcome: sent, refused", "Copies of zones asked for by other servers."),
    metric("littoral_dns_fetches_total", "outcome: changes, whole, same, unfit, failed", "Copies asked of primaries."),
    metric("littoral_dns_notifies_total", "", "Changes told by primaries."),
    metric("littoral_dns_updates_total", "outcome: taken, refused", "Changes of zones sent by others (UPDATE)."),
    metric("littoral_geo_map_intervals", "", "Intervals of addresses that the map tells apart, both families."),
    metric("littoral_geo_map_bytes", "", "Memory of the map and of what was read of databases."),
    metric("littoral_geo_map_generation", "", "Grows each time the map is compiled anew."),
    metric("littoral_warm_jobs_open", "", "Warm jobs that have not ended."),
];

/// A sample: value and labels.
pub type Sample = (f64, Vec<(&'static str, String)>);

/// `docs/metrics.md`.
pub fn markdown() -> String {
    let mut out = String::from(
        "# Metrics\n\nMade by `littoral docs metrics`; a test compares the two. `GET /metrics` on the admin listener, Prometheus text format.\n\
         \n| metric | type | labels | meaning |\n|---|---|---|---|\n",
    );
    for metric in all() {
        let kind = if metric.name.ends_with("_total") { "counter" } else { "gauge" };
        out.push_str(&format!("| `{}` | {kind} | {} | {} |\n", metric.name, metric.labels, metric.help));
    }
    out.push_str(&super::histograms::markdown());
    out
}

/// `GET /metrics`.
pub fn exposition(node: &Node) -> String {
    let families: Vec<MetricFamily> = all().map(|metric| family(metric, sampled(node, metric.name))).collect();
    let mut out = Vec::new();
    // Families without a sample would be an error; there is nothing to say of them.
    let histograms = super::histograms::families(node);
    let told: Vec<_> =
        families.into_iter().chain(histograms).filter(|family| !family.get_metric().is_empty()).collect();
    match TextEncoder::new().encode(&told, &mut out) {
        Ok(()) => String::from_utf8_lossy(&out).into_owned(),
        Err(error) => format!("# {error}\n"),
    }
}

fn sampled(node: &Node, name: &str) -> Vec<Sample> {
    match name {
        _ if name.starts_with("littoral_rtt_") => rtt::samples(node, name),
        _ if name.starts_with("littoral_resolver_") => resolver::samples(node, name),
        _ if name.starts_with("littoral_control_") => crate::control::status::samples(node, name),
        _ if video::METRICS.iter().any(|metric| metric.name == name) => video::samples(node, name),
        _ if watching::METRICS.iter().any(|metric| metric.name == name) => watching::samples(node, name),
        _ => samples(node, name),
    }
}

pub(crate) fn one(value: u64) -> Vec<Sample> {
    vec![(value as f64, Vec::new())]
}

pub(crate) fn by(name: &'static str, values: impl IntoIterator<Item = (impl Into<String>, u64)>) -> Vec<Sample> {
    values.into_iter().map(|(label, value)| (value as f64, vec![(name, label.into())])).collect()
}

/// The samples of a declared metric; none when what it is about is not configured.
fn samples(node: &Node, name: &str) -> Vec<Sample> {
    let figures = &node.figures;
    let sums = |counters: &[crate::observe::figures::Counter]| counters.iter().map(|c| c.sum()).collect::<Vec<_>>();
    match name {
        "littoral_http_requests_total" => by("outcome", Outcome::LABELS.into_iter().zip(sums(&figures.outcomes))),
        "littoral_http_responses_total" => by("class", CLASSES.into_iter().zip(sums(&figures.classes))),
        "littoral_http_sent_bytes_total" => one(figures.sent_bytes.sum()),
        "littoral_http_broken_total" => one(figures.broken.sum()),
        "littoral_http_connections_total" => one(figures.connections.sum()),
        "littoral_http_connections_open" => one(figures.open.load(Relaxed) as u64),
        "littoral_http_connections_refused_total" => one(figures.connections_refused.sum()),
        "littoral_http_header_timeouts_total" => one(figures.header_timeouts.sum()),
        "littoral_http_loops_total" => one(figures.loops.sum()),
        "littoral_steered_total" => by("door", ["redirect", "content"].into_iter().zip(sums(&figures.steered))),
        "littoral_origin_fetches_total" => one(figures.fetches.sum()),
        "littoral_origin_retries_total" => one(figures.retries.sum()),
        "littoral_origin_retries_refused_total" => one(figures.retries_refused.sum()),
        "littoral_origin_ejections_spared_total" => one(figures.spared.sum()),
        "littoral_origin_queued_total" => one(figures.queued.sum()),
        "littoral_origin_queue_full_total" => one(figures.queues_full.sum()),
        "littoral_origin_queue_timeouts_total" => one(figures.queue_timeouts.sum()),
        "littoral_origin_shield_requests_total" => one(figures.shielded.sum()),
        "littoral_origin_shield_failures_total" => one(figures.shield_failures.sum()),
        "littoral_origin_overdue_total" => one(figures.overdue.sum()),
        "littoral_origin_lookups_total" => by("outcome", ["found", "failed"].into_iter().zip(sums(&figures.lookups))),
        "littoral_origin_probes_total" => by("outcome", ["well", "failed"].into_iter().zip(sums(&figures.probes))),
        "littoral_origin_healthy" => {
            by("origin", origins(node, |origin| u64::from(origin.health().is_in(crate::clock::elapsed_ms()))))
        }
        "littoral_origin_requests_open" => by("origin", origins(node, |origin| origin.under_way() as u64)),
        "littoral_origin_requests_waiting" => by("origin", origins(node, |origin| origin.waiting() as u64)),
        "littoral_origin_ejections_total" => one(figures.ejections.sum()),
        "littoral_origin_failures_total" => one(figures.failures.sum()),
        "littoral_cache_fills_resumed_total" => by("outcome", Resumed::LABELS.into_iter().zip(sums(&figures.resumed))),
        "littoral_cache_fills_unread_ended_total" => {
            by("reason", TooMuch::LABELS.into_iter().zip(sums(&figures.unread_ended)))
        }
        "littoral_cache_invalidated_total" => one(figures.invalidated.sum()),
        "littoral_upgrade_unconfirmed_total" => one(figures.upgrade_unconfirmed.sum()),
        "littoral_cache_unstorable_total" => {
            by("reason", UNSTORABLE.map(|reason| reason.as_str()).into_iter().zip(sums(&figures.unstorable)))
        }
        "littoral_cache_purges_total" => {
            let counts = node.store.counters().purges.each_ref().map(|kind| kind.load(Relaxed));
            by("kind", littoral_cache::Target::KINDS.into_iter().zip(counts))
        }
        "littoral_access_log_lines_total" => one(node.access.counts().lines.load(Relaxed)),
        "littoral_access_log_dropped_total" => one(node.access.counts().dropped.load(Relaxed)),
        "littoral_access_log_failures_total" => one(node.access.counts().failed.load(Relaxed)),
        "littoral_trace_spans_total" => traces(node, ["queued", "dropped"], &node.traces.counts().spans),
        "littoral_trace_exports_total" => traces(node, ["sent", "failed"], &node.traces.counts().exports),
        "littoral_rate_decisions_total" => by("by", node.rate.decisions()),
        "littoral_warm_jobs_open" => node.warm.as_ref().map_or_else(Vec::new, |jobs| one(jobs.open() as u64)),
        name if name.starts_with("littoral_downstream_") || name.starts_with("littoral_tls_") => {
            crate::observe::downstream::samples(node, name)
        }
        name if name.starts_with("littoral_cache_disk_") => crate::disks::samples(&node.store, name),
        "littoral_acme_orders_total" => by("outcome", ["issued", "failed"].into_iter().zip(sums(&node.acme.orders))),
        "littoral_acme_proofs_total" => one(node.acme.asked.sum()),
        "littoral_acme_failures" => {
            by("name", node.acme.failing().into_iter().map(|(name, failures)| (name, u64::from(failures))))
        }
        name if name.starts_with("littoral_forward_") => crate::observe::downstream::forward(node, name),
        name if name.starts_with("littoral_cache_") => one(cache::figure(&node.store, name)),
        name if is_of_plugins(name) => node.plugins.samples(name),
        name => node.directing.as_ref().map_or_else(Vec::new, |directing| directing.samples(name)),
    }
}

/// Whether plugins tell it.
fn is_of_plugins(name: &str) -> bool {
    ["plugin", "filter", "service", "swarm"].iter().any(|of| {
        let rest = name.strip_prefix("littoral_").and_then(|rest| rest.strip_prefix(of));
        rest.is_some_and(|rest| rest.starts_with('_'))
    })
}

/// A figure of traces; none while there are none.
fn traces(node: &Node, labels: [&'static str; 2], counts: &[std::sync::atomic::AtomicU64; 2]) -> Vec<Sample> {
    let counted = labels.into_iter().zip(counts.each_ref().map(|count| count.load(Relaxed)));
    if node.settings.load().trace.is_some() { by("outcome", counted) } else { Vec::new() }
}

/// A figure of every origin; of one that several sites have, the first's.
fn origins(node: &Node, figure: fn(&Origin) -> u64) -> BTreeMap<String, u64> {
    let mut told = BTreeMap::new();
    for origin in node.sites.load().origins() {
        told.entry(origin.to_string()).or_insert_with(|| figure(&origin));
    }
    told
}

//! Samples of what is counted at the listeners: who was closed, TLS, the explicit proxy. Declared in [`super::metrics::METRICS`].

use std::sync::atomic::Ordering::Relaxed;

use super::figures::{Counter, Denied, H2Ended, Refused};
use super::metrics::{Sample, by, one};
use crate::forward::Refusal;
use crate::forward::tunnel::Ended;
use crate::listen::tls::FAILURES;
use crate::node::Node;

/// The samples of a declared metric of the listeners.
pub(super) fn samples(node: &Node, name: &str) -> Vec<Sample> {
    let figures = &node.figures;
    let sums = |counters: &[Counter]| counters.iter().map(Counter::sum).collect::<Vec<_>>();
    match name {
        "littoral_downstream_denied_total" => by("reason", Denied::LABELS.into_iter().zip(sums(&figures.denied))),
        "littoral_downstream_refused_total" => by("reason", Refused::LABELS.into_iter().zip(sums(&figures.refused))),
        "littoral_downstream_h2_ended_total" => by("reason", H2Ended::LABELS.into_iter().zip(sums(&figures.h2_ended))),
        "littoral_downstream_h2_interim_dropped_total" => one(figures.interim_dropped.sum()),
        "littoral_downstream_clients" => one(node.clients.known() as u64),
        "littoral_downstream_clients_untracked_total" => one(node.clients.untracked.sum()),
        "littoral_downstream_accept_failures_total" => one(figures.accept_failures.sum()),
        "littoral_tls_handshakes_total" => one(figures.tls_handshakes.sum()),
        "littoral_tls_resumed_total" => one(figures.tls_resumed.sum()),
        "littoral_tls_failures_total" => by("kind", FAILURES.into_iter().zip(sums(&figures.tls_failures))),
        "littoral_tls_certificate_end_seconds" => {
            let ends = node.fronts.certificate_ends().into_iter();
            ends.map(|(listener, name, end)| (end as f64, vec![("listener", listener), ("name", name)])).collect()
        }
        _ => unreachable!("invariant: METRICS declares no other figure of the listeners: {name}"),
    }
}

/// The samples of a declared metric of the explicit proxy; none while there is none.
pub(super) fn forward(node: &Node, name: &str) -> Vec<Sample> {
    let forward = &node.forward;
    let sums = |counters: &[Counter]| counters.iter().map(Counter::sum).collect::<Vec<_>>();
    if node.settings.load().listen.forward.is_empty() {
        return Vec::new();
    }
    match name {
        "littoral_forward_refused_total" => by("reason", Refusal::LABELS.into_iter().zip(sums(&forward.refused))),
        "littoral_forward_lookups_total" => by("outcome", ["found", "failed"].into_iter().zip(sums(&forward.lookups))),
        "littoral_forward_tunnels_open" => one(forward.open.load(Relaxed) as u64),
        "littoral_forward_tunnels_total" => by("end", Ended::LABELS.into_iter().zip(sums(&forward.ended))),
        "littoral_forward_tunnel_bytes_total" => by("from", ["client", "server"].into_iter().zip(sums(&forward.moved))),
        _ => unreachable!("invariant: METRICS declares no other figure of the explicit proxy: {name}"),
    }
}

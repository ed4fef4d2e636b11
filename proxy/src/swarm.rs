//! Swarms: listeners of which one instance of a plugin has all connections and datagrams.
//!
//! The instance and its bounds are the plugin host's ([`littoral_plugin_host::service::swarm`]); here is what drives it: [`shard`] starts one after
//! another, [`life`] tells one of its events, [`desk`] does what it asks for, [`connection`] moves bytes, [`content`] is the cache. They run on
//! the threads of services. Invariants: who is behind costs its own peers and nobody else's; what goes from the cache to a peer is not seen
//! by the guest; when an instance ends, however, nothing of it is left.

use std::collections::BTreeMap;
use std::sync::Arc;

use littoral_plugin_host::service::swarm::SwarmStatus;
use tokio::net::UdpSocket;
use tokio::sync::{oneshot, watch};

use crate::node::Node;
use crate::observe::metrics::Sample;
use crate::services::datagrams::Sockets;

mod connection;
mod content;
mod desk;
mod life;
mod outgoing;
mod shard;
mod timers;

pub(crate) use shard::Shard;

/// Starts the swarms of a node on the threads of services, with their sockets for datagrams in the order of the config.
///
/// # Errors
/// When a socket is lost.
///
/// Returns when each has its first instance, or none could be started. Not to be called where tasks run.
pub(crate) fn start(node: &Arc<Node>, datagrams: Sockets, stopped: &watch::Receiver<bool>) -> Result<(), String> {
    let Some(runtime) = node.plugins.services.runtime().cloned() else { return Ok(()) };
    let entered = runtime.enter();
    let (settings, mut datagrams) = (node.settings.load(), datagrams.into_each());
    let (mut shards, mut first) = (Vec::new(), Vec::new());
    for (at, swarm) in settings.listen.swarm.iter().enumerate() {
        let socket = swarm.datagrams.and_then(|_| datagrams.next());
        let socket = socket.map(UdpSocket::from_std).transpose();
        let socket = socket.map_err(|error| format!("a socket of listen.swarm is lost: {error}"))?;
        let (begun, begins) = oneshot::channel();
        first.push(begins);
        shards.push(Arc::new(Shard::new(node.clone(), at, swarm.plugin.clone(), socket, begun)));
    }
    node.plugins.services.seat(shards.clone());
    for shard in shards {
        runtime.spawn(shard.clone().receive());
        runtime.spawn(shard.run(stopped.clone()));
    }
    drop(entered);
    // Who comes at once finds somebody.
    first.into_iter().for_each(|begins| drop(runtime.block_on(begins)));
    Ok(())
}

/// What `/metrics` tells of a swarm beside what it tells of services.
pub(crate) fn samples(label: &(&'static str, String), told: &SwarmStatus, name: &str) -> Vec<Sample> {
    let one = |value: f64| vec![(value, vec![label.clone()])];
    let map = |kind: &'static str, counts: &BTreeMap<&'static str, u64>| {
        counts.iter().map(|(of, count)| (*count as f64, vec![label.clone(), (kind, (*of).to_owned())])).collect()
    };
    match name {
        "littoral_swarm_starts_total" => one(told.starts as f64),
        "littoral_swarm_events_total" => map("event", &told.events),
        "littoral_swarm_spliced_bytes_total" => one(told.spliced_bytes as f64),
        "littoral_swarm_summed_bytes_total" => one(told.summed_bytes as f64),
        "littoral_swarm_datagrams_total" => map("outcome", &told.datagrams),
        "littoral_swarm_timers" => one(told.timers as f64),
        "littoral_swarm_contents" => one(told.contents as f64),
        "littoral_swarm_queued_bytes" => one(told.queued_bytes as f64),
        "littoral_swarm_paused_seconds_total" => one(told.paused_ns as f64 / 1e9),
        _ => Vec::new(),
    }
}

//! Health probes: who asks the clusters how they are, and tells what they found.
//!
//! What else is said of a cluster is `standing`'s, what its state means for an answer the director's. Invariants: each cluster with `health` has exactly one
//! prober, of its settings in force; one whose probing ends counts as healthy; of an answer no more than
//! [`ANSWER_BYTES_MAX`] is read.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use serde_json::Value;
use tokio::task::AbortHandle;
use tokio::time::MissedTickBehavior;

use crate::config::{Cluster, Config, Health};
use crate::standing::{Probed, Standing};

/// Bytes of an answer that are read; one with more is not healthy.
pub const ANSWER_BYTES_MAX: usize = 4096;

/// The probers of a node.
#[derive(Debug, Default)]
pub struct Probes {
    running: Mutex<Vec<(Target, AbortHandle)>>,
}

/// What is probed and how.
#[derive(Debug, Clone, PartialEq)]
struct Target {
    cluster: String,
    health: Health,
    nodes: Vec<SocketAddr>,
}

impl Target {
    fn of(cluster: &Cluster) -> Option<Self> {
        let health = cluster.health.clone()?;
        let addresses =
            cluster.nodes.iter().flat_map(|node| [node.v4.map(IpAddr::V4), node.v6.map(IpAddr::V6)]).flatten();
        let nodes = addresses.map(|address| SocketAddr::new(address, health.port)).collect();
        Some(Self { cluster: cluster.id.clone(), health, nodes })
    }
}

impl Probes {
    /// Probes what `config` says: goes on where nothing has changed, ends what is gone, starts what is new from the state
    /// that the cluster is in.
    pub(crate) fn follow(&self, config: &Config, standing: &Arc<Standing>) {
        let wanted: Vec<Target> = config.cluster.iter().filter_map(Target::of).collect();
        let mut running = self.running.lock();
        running.retain(|(target, prober)| {
            let stays = wanted.contains(target);
            if !stays {
                prober.abort();
                if wanted.iter().all(|other| other.cluster != target.cluster) {
                    standing.probed(&target.cluster, None);
                }
            }
            stays
        });
        let states = standing.director().clusters();
        for target in wanted {
            if running.iter().all(|(known, _)| *known != target) {
                let up = states.iter().find(|state| state.id == target.cluster).is_none_or(|state| state.healthy);
                let prober = tokio::spawn(probe(standing.clone(), target.clone(), up));
                running.push((target, prober.abort_handle()));
            }
        }
    }
}

/// A cluster is up while one node of it is.
async fn probe(standing: Arc<Standing>, target: Target, mut up: bool) {
    let Target { cluster, health, nodes } = target;
    let client = reqwest::Client::builder().timeout(health.timeout.0).redirect(reqwest::redirect::Policy::none());
    let client = match client.no_proxy().build() {
        Ok(client) => client,
        Err(error) => return tracing::error!(cluster, %error, "a cluster cannot be probed"),
    };
    // A prober that has just begun has not found anything yet: others are told when it has.
    let (mut streak, mut is_sure) = (0_u32, false);
    let mut every = tokio::time::interval(health.every.0.max(Duration::from_millis(10)));
    every.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        every.tick().await;
        let asked = nodes.iter().map(|node| ask(&client, *node, &health.path));
        let loads: Vec<u64> = futures_util::future::join_all(asked).await.into_iter().flatten().collect();
        let healthy = !loads.is_empty();
        streak = if healthy == up { 0 } else { streak + 1 };
        if streak >= if up { health.down_after } else { health.up_after } {
            (up, streak) = (healthy, 0);
            tracing::warn!(cluster, up, "cluster changed state");
        }
        is_sure |= healthy == up;
        let load = loads.iter().sum::<u64>().checked_div(loads.len() as u64).unwrap_or(0);
        let load = u16::try_from(load).unwrap_or(u16::MAX);
        standing.probed(&cluster, Some(Probed { up, load, is_sure }));
    }
}

/// The load in permille that a healthy node tells; `None` when it is not healthy. Healthy is 200 and nothing else: a
/// redirect leads to somebody else.
async fn ask(client: &reqwest::Client, node: SocketAddr, path: &str) -> Option<u64> {
    let mut response = client.get(format!("http://{node}{path}")).send().await.ok()?;
    if response.status() != reqwest::StatusCode::OK {
        return None;
    }
    let mut text = Vec::new();
    while let Some(piece) = response.chunk().await.ok()? {
        if text.len() + piece.len() > ANSWER_BYTES_MAX {
            return None;
        }
        text.extend_from_slice(&piece);
    }
    let told: Value = serde_json::from_slice(&text).unwrap_or(Value::Null);
    Some(told.get("load_permille").and_then(Value::as_u64).unwrap_or(0))
}

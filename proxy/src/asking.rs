//! Who asks the clusters' nodes something over HTTP, in rounds: how a config is followed, whom it names, and one question.
//!
//! What is asked, and what comes of an answer, is the caller's ([`crate::rtt::hear`], [`crate::control::pushed`]). Invariants: one round at a time; no more than
//! [`AT_A_TIME`] are under way, and of an answer no more is read than its bound.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::task::AbortHandle;

use crate::config::{Cluster, HealthKind};
use crate::observe::figures::Counter;

/// Nodes asked at a time.
pub(crate) const AT_A_TIME: usize = 16;

/// What came of asking, as in [`Asking::OUTCOMES`].
pub(crate) type Counts = Arc<[Counter; 3]>;

/// Who asks, as `W` says: whom, how often, and how old it may get.
pub(crate) struct Asking<W> {
    running: Mutex<Option<(W, AbortHandle)>>,
    counts: Counts,
}

impl<W> Default for Asking<W> {
    fn default() -> Self {
        Self { running: Mutex::default(), counts: Counts::default() }
    }
}

impl<W: Clone + PartialEq> Asking<W> {
    /// Answers that were taken; nodes that did not answer; answers that were refused.
    pub(crate) const OUTCOMES: [&'static str; 3] = ["heard", "failed", "refused"];

    /// Asks as `wanted` says from now on, by `ask`; goes on where nothing has changed. Within a runtime.
    pub(crate) fn follow<A>(&self, wanted: Option<W>, ask: impl FnOnce(W, reqwest::Client, Counts) -> A)
    where
        A: Future<Output = ()> + Send + 'static,
    {
        let mut running = self.running.lock();
        if running.as_ref().map(|(known, _)| known) == wanted.as_ref() {
            return;
        }
        running.iter().for_each(|(_, asking)| asking.abort());
        let client = reqwest::Client::builder().redirect(reqwest::redirect::Policy::none()).no_proxy().build();
        *running = match (wanted, client) {
            (None, _) => None,
            (Some(wanted), Ok(client)) => {
                let asking = tokio::spawn(ask(wanted.clone(), client, self.counts.clone()));
                Some((wanted, asking.abort_handle()))
            }
            (Some(_), Err(error)) => {
                tracing::error!(%error, "nodes cannot be asked");
                None
            }
        };
    }

    /// How often what came of asking, as in [`Asking::OUTCOMES`].
    pub(crate) fn counts(&self) -> [u64; 3] {
        self.counts.each_ref().map(Counter::sum)
    }
}

/// The nodes of a cluster that speak HTTP, and for how long each is waited for; `None` where nobody knows a port: at that of another kind nobody does.
pub(crate) fn nodes_of(cluster: &Cluster) -> Option<(Vec<SocketAddr>, Duration)> {
    let health = cluster.health.as_ref().filter(|health| health.kind == HealthKind::Http)?;
    let addresses = cluster.nodes.iter().flat_map(|node| [node.v4.map(IpAddr::V4), node.v6.map(IpAddr::V6)]);
    let nodes = addresses.flatten().map(|address| SocketAddr::new(address, health.port)).collect();
    Some((nodes, health.timeout.0))
}

/// Why a node's text is not there.
pub(crate) enum Unheard {
    /// It did not answer, or not with 200.
    Failed,
    /// It answered with too much.
    TooLong,
}

/// What a node has at a path, of no more bytes than a bound.
pub(crate) async fn ask(
    client: &reqwest::Client,
    node: SocketAddr,
    path: &str,
    bytes_max: usize,
    timeout: Duration,
) -> Result<Vec<u8>, Unheard> {
    let asked = client.get(format!("http://{node}{path}")).timeout(timeout).send().await;
    let mut response = asked.map_err(|_| Unheard::Failed)?;
    if response.status() != reqwest::StatusCode::OK {
        return Err(Unheard::Failed);
    }
    let mut text = Vec::new();
    while let Some(piece) = response.chunk().await.map_err(|_| Unheard::Failed)? {
        if text.len() + piece.len() > bytes_max {
            return Err(Unheard::TooLong);
        }
        text.extend_from_slice(&piece);
    }
    Ok(text)
}

//! Asking the clusters' nodes for the round-trip times to their clients, and telling the director.
//!
//! What is decided by them, and until when, is the director's. Invariants: one round at a time; of a text no more than
//! [`RTT_TEXT_BYTES_MAX`] is read, and no more than [`AT_A_TIME`] are under way; what cannot be read changes nothing and is counted.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use futures_util::{StreamExt, stream};
use littoral_geo::Director;
use littoral_geo::limits::RTT_TEXT_BYTES_MAX;
use littoral_geo::rtt::{Row, Told, merged, parse};
use parking_lot::Mutex;
use tokio::task::AbortHandle;
use tokio::time::MissedTickBehavior;

use super::PATH;
use crate::clock::now_ms;
use crate::config::{Config, HealthKind};
use crate::observe::figures::Counter;

/// Nodes asked at a time.
const AT_A_TIME: usize = 16;

/// Who asks.
#[derive(Default)]
pub(crate) struct Hearing {
    running: Mutex<Option<(Wanted, AbortHandle)>>,
    counts: Arc<[Counter; 3]>,
}

/// Whom, how often, and how old it may get.
#[derive(Debug, Clone, PartialEq)]
struct Wanted {
    every: Duration,
    age: Duration,
    clusters: Vec<Asked>,
}

/// The nodes of a cluster.
#[derive(Debug, Clone, PartialEq)]
struct Asked {
    cluster: String,
    nodes: Vec<SocketAddr>,
    timeout: Duration,
}

impl Wanted {
    fn of(config: &Config) -> Option<Self> {
        let (every, age) = (config.rtt.hear.0, config.rtt.age.0);
        let asked = |cluster: &crate::config::Cluster| {
            // At the port of another kind nobody speaks HTTP.
            let health = cluster.health.as_ref().filter(|health| health.kind == HealthKind::Http)?;
            let addresses = cluster.nodes.iter().flat_map(|node| [node.v4.map(IpAddr::V4), node.v6.map(IpAddr::V6)]);
            let nodes = addresses.flatten().map(|address| SocketAddr::new(address, health.port)).collect();
            Some(Asked { cluster: cluster.id.clone(), nodes, timeout: health.timeout.0 })
        };
        let clusters = config.cluster.iter().filter_map(asked).collect();
        (!every.is_zero()).then_some(Self { every, age, clusters })
    }
}

impl Hearing {
    /// Texts that were taken; nodes that did not answer; texts that were refused.
    pub(crate) const OUTCOMES: [&'static str; 3] = ["heard", "failed", "refused"];

    /// Asks whom `config` names from now on; goes on where nothing has changed. Within a runtime.
    pub(crate) fn follow(&self, config: &Config, director: &Arc<Director>) {
        let wanted = Wanted::of(config);
        let mut running = self.running.lock();
        if running.as_ref().map(|(known, _)| known) == wanted.as_ref() {
            return;
        }
        running.iter().for_each(|(_, asking)| asking.abort());
        *running = wanted.map(|wanted| {
            let asking = tokio::spawn(ask_on(director.clone(), wanted.clone(), self.counts.clone()));
            (wanted, asking.abort_handle())
        });
    }

    /// How often what came of asking, as in [`Hearing::OUTCOMES`].
    pub(crate) fn counts(&self) -> [u64; 3] {
        self.counts.each_ref().map(Counter::sum)
    }
}

async fn ask_on(director: Arc<Director>, wanted: Wanted, counts: Arc<[Counter; 3]>) {
    let client = reqwest::Client::builder().redirect(reqwest::redirect::Policy::none()).no_proxy().build();
    let client = match client {
        Ok(client) => client,
        Err(error) => return tracing::error!(%error, "round-trip times cannot be asked for"),
    };
    let mut every = tokio::time::interval(wanted.every);
    every.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        every.tick().await;
        let mut nodes = Vec::new();
        for (at, asked) in wanted.clusters.iter().enumerate() {
            nodes.extend(asked.nodes.iter().map(|node| (at, *node, asked.timeout)));
        }
        let asking = nodes.into_iter().map(|(at, node, timeout)| {
            let client = client.clone();
            async move { (at, node, ask(&client, node, PATH, RTT_TEXT_BYTES_MAX, timeout).await) }
        });
        let mut answers = stream::iter(asking).buffer_unordered(AT_A_TIME);
        let mut heard: Vec<Heard> = wanted.clusters.iter().map(|_| Heard::default()).collect();
        // One after the other, so that no more than the texts under way and a table for each cluster are held.
        while let Some((at, node, answer)) = answers.next().await {
            let before = std::mem::take(&mut heard[at]);
            let (director, cluster, counts) = (director.clone(), wanted.clusters[at].cluster.clone(), counts.clone());
            // Reading and sorting many prefixes takes a while: not where DNS is answered.
            let with = move || before.with(&director, &cluster, node, answer, &counts);
            heard[at] = tokio::task::spawn_blocking(with).await.unwrap_or_default();
        }
        let (director, clusters, age) = (director.clone(), wanted.clusters.clone(), wanted.age);
        let told = tokio::task::spawn_blocking(move || tell(&director, &clusters, heard, age)).await;
        if let Err(error) = told {
            tracing::error!(%error, "round-trip times were not taken");
        }
    }
}

/// What the nodes of a cluster told in one round.
#[derive(Default)]
struct Heard {
    by: Vec<SocketAddr>,
    rows: Vec<Row>,
}

impl Heard {
    /// With what one more has answered.
    fn with(
        mut self,
        director: &Director,
        cluster: &str,
        node: SocketAddr,
        answer: Result<Vec<u8>, Unheard>,
        counts: &[Counter; 3],
    ) -> Self {
        let rows = match answer {
            Ok(text) => std::str::from_utf8(&text).map_err(|_| "it is no text".to_owned()).and_then(parse),
            Err(Unheard::TooLong) => Err(format!("it has more than {RTT_TEXT_BYTES_MAX} bytes")),
            Err(Unheard::Failed) => {
                counts[1].add(1);
                return self;
            }
        };
        match rows {
            Ok(rows) => {
                counts[0].add(1);
                self.by.push(node);
                self.rows.extend(rows);
                let left_out;
                (self.rows, left_out) = merged(self.rows);
                director.counters().rtts_left_out.fetch_add(left_out as u64, Relaxed);
            }
            Err(problem) => {
                counts[2].add(1);
                tracing::warn!(cluster, %node, problem, "round-trip times are refused");
            }
        }
        self
    }
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

/// Tells the director what was answered. Of a cluster none of whose nodes did, nothing is told.
fn tell(director: &Director, clusters: &[Asked], heard: Vec<Heard>, age: Duration) {
    let heard_ms = now_ms();
    let until_ms = heard_ms.saturating_add(u64::try_from(age.as_millis()).unwrap_or(u64::MAX));
    let answered = clusters.iter().zip(heard).filter(|(_, heard)| !heard.by.is_empty());
    let told = answered.map(|(asked, Heard { mut by, rows })| {
        by.sort_unstable();
        let by = by.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
        (asked.cluster.clone(), Told { heard_ms, until_ms, by, rows })
    });
    director.hear_rtts(told, heard_ms);
}

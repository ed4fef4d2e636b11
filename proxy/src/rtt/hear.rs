//! Asking the clusters' nodes for the round-trip times to their clients, and telling the director.
//!
//! What is decided by them, and until when, is the director's. Invariants: of a text no more than
//! [`RTT_TEXT_BYTES_MAX`] is read; what cannot be read changes nothing and is counted.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use futures_util::{StreamExt, stream};
use littoral_geo::Director;
use littoral_geo::limits::RTT_TEXT_BYTES_MAX;
use littoral_geo::rtt::{Row, Told, merged, parse};
use tokio::time::MissedTickBehavior;

use super::PATH;
use crate::asking::{AT_A_TIME, Asking, Counts, Unheard, ask, nodes_of};
use crate::clock::now_ms;
use crate::config::Config;
use crate::observe::figures::Counter;

/// Who asks.
pub(crate) type Hearing = Asking<Wanted>;

/// Whom, how often, and how old it may get.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Wanted {
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
            let (nodes, timeout) = nodes_of(cluster)?;
            Some(Asked { cluster: cluster.id.clone(), nodes, timeout })
        };
        let clusters = config.cluster.iter().filter_map(asked).collect();
        (!every.is_zero()).then_some(Self { every, age, clusters })
    }
}

impl Hearing {
    /// Asks whom `config` names from now on. Within a runtime.
    pub(crate) fn follow_config(&self, config: &Config, director: &Arc<Director>) {
        let director = director.clone();
        self.follow(Wanted::of(config), |wanted, client, counts| ask_on(director, wanted, client, counts));
    }
}

async fn ask_on(director: Arc<Director>, wanted: Wanted, client: reqwest::Client, counts: Counts) {
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

//! Asking the clusters' nodes over HTTP what was pushed to them, where nothing is between nodes that would carry it.
//!
//! What it is worth is [`super::Told`]'s. Invariants: nobody is asked unless a site goes by it; of an answer no more than
//! [`PUSHED_BYTES_MAX`] is read; what cannot be read changes nothing and is counted.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use futures_util::{StreamExt, stream};
use tokio::time::MissedTickBehavior;

use super::super::message::PUSHED_BYTES_MAX;
use super::Told;
use crate::asking::{self, AT_A_TIME, Counts, Unheard, ask, nodes_of};
use crate::clock::elapsed_ms;
use crate::config::{Cluster, Config};

/// Where a node tells what was pushed to it.
pub(crate) const PATH: &str = "/.well-known/littoral/pushed";
/// Who asks.
pub(crate) type Asking = asking::Asking<Wanted>;

/// Whom, how often, and how old it may get.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Wanted {
    every: Duration,
    age: Duration,
    /// Each with its cluster, and for how long it is waited for.
    nodes: Vec<(String, SocketAddr, Duration)>,
}

impl Wanted {
    fn of(config: &Config) -> Option<Self> {
        let (every, age) = (config.rtt.hear.0, config.rtt.age.0);
        let goes_by_it = config.site.iter().any(|site| site.steer.as_ref().is_some_and(|steer| steer.content));
        let of_cluster = |cluster: &Cluster| {
            let (nodes, timeout) = nodes_of(cluster).unwrap_or_default();
            nodes.into_iter().map(|node| (cluster.id.clone(), node, timeout)).collect::<Vec<_>>()
        };
        let nodes = config.cluster.iter().flat_map(of_cluster).collect();
        (goes_by_it && !every.is_zero()).then_some(Self { every, age, nodes })
    }
}

impl Asking {
    /// Asks whom `config` names from now on. Within a runtime.
    pub(crate) fn follow_config(&self, config: &Config, told: &Arc<Told>) {
        let told = told.clone();
        self.follow(Wanted::of(config), |wanted, client, counts| ask_on(told, wanted, client, counts));
    }
}

async fn ask_on(told: Arc<Told>, wanted: Wanted, client: reqwest::Client, counts: Counts) {
    let mut every = tokio::time::interval(wanted.every);
    every.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        every.tick().await;
        let asking = wanted.nodes.clone().into_iter().map(|(cluster, node, timeout)| {
            let client = client.clone();
            async move { (cluster, node, ask(&client, node, PATH, PUSHED_BYTES_MAX, timeout).await) }
        });
        let mut answers = stream::iter(asking).buffer_unordered(AT_A_TIME);
        while let Some((cluster, node, answer)) = answers.next().await {
            let problem = match answer {
                Err(Unheard::Failed) => {
                    counts[1].add(1);
                    continue;
                }
                Err(Unheard::TooLong) => "it is too long".to_owned(),
                Ok(bytes) => match told.take((cluster.clone(), node.to_string()), &bytes, elapsed_ms(), wanted.age) {
                    Ok(()) => {
                        counts[0].add(1);
                        continue;
                    }
                    Err(outcome) => format!("{outcome:?}").to_lowercase(),
                },
            };
            counts[2].add(1);
            tracing::warn!(cluster, %node, problem, "what a node says was pushed to it is refused");
        }
        let settling = told.clone();
        // Of many titles it takes a while: not where DNS is answered.
        if settling.is_unsettled()
            && let Err(error) = tokio::task::spawn_blocking(move || settling.settle()).await
        {
            tracing::error!(%error, "what was pushed was not taken");
        }
    }
}

//! Asking the clusters' nodes over HTTP what was pushed to them, where nothing is between nodes that would carry it.
//!
//! What it is worth is [`super::Told`]'s. Invariants: nobody is asked unless a site goes by it; one round at a time; of an answer no more than
//! [`PUSHED_BYTES_MAX`] is read, and no more than [`AT_A_TIME`] are under way; what cannot be read changes nothing and is counted.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use futures_util::{StreamExt, stream};
use parking_lot::Mutex;
use tokio::task::AbortHandle;
use tokio::time::MissedTickBehavior;

use super::super::message::PUSHED_BYTES_MAX;
use super::Told;
use crate::clock::elapsed_ms;
use crate::config::{Cluster, Config, HealthKind};
use crate::observe::figures::Counter;
use crate::rtt::hear::{Unheard, ask};

/// Where a node tells what was pushed to it.
pub(crate) const PATH: &str = "/.well-known/littoral/pushed";
/// Nodes asked at a time.
const AT_A_TIME: usize = 16;

/// Who asks.
#[derive(Default)]
pub(crate) struct Asking {
    running: Mutex<Option<(Wanted, AbortHandle)>>,
    counts: Arc<[Counter; 3]>,
}

/// Whom, how often, and how old it may get.
#[derive(Debug, Clone, PartialEq)]
struct Wanted {
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
            // At the port of another kind nobody speaks HTTP.
            let health = cluster.health.as_ref().filter(|health| health.kind == HealthKind::Http).cloned();
            let addresses = cluster.nodes.iter().flat_map(|node| [node.v4.map(IpAddr::V4), node.v6.map(IpAddr::V6)]);
            let node = |address| {
                let health = health.as_ref()?;
                Some((cluster.id.clone(), SocketAddr::new(address, health.port), health.timeout.0))
            };
            addresses.flatten().filter_map(node).collect::<Vec<_>>()
        };
        let nodes = config.cluster.iter().flat_map(of_cluster).collect();
        (goes_by_it && !every.is_zero()).then_some(Self { every, age, nodes })
    }
}

impl Asking {
    /// Answers that were taken; nodes that did not answer; answers that were refused.
    pub(crate) const OUTCOMES: [&'static str; 3] = ["heard", "failed", "refused"];

    /// Asks whom `config` names from now on; goes on where nothing has changed. Within a runtime.
    pub(crate) fn follow(&self, config: &Config, told: &Arc<Told>) {
        let wanted = Wanted::of(config);
        let mut running = self.running.lock();
        if running.as_ref().map(|(known, _)| known) == wanted.as_ref() {
            return;
        }
        running.iter().for_each(|(_, asking)| asking.abort());
        *running = wanted.map(|wanted| {
            let asking = tokio::spawn(ask_on(told.clone(), wanted.clone(), self.counts.clone()));
            (wanted, asking.abort_handle())
        });
    }

    /// How often what came of asking, as in [`Asking::OUTCOMES`].
    pub(crate) fn counts(&self) -> [u64; 3] {
        self.counts.each_ref().map(Counter::sum)
    }
}

async fn ask_on(told: Arc<Told>, wanted: Wanted, counts: Arc<[Counter; 3]>) {
    let client = reqwest::Client::builder().redirect(reqwest::redirect::Policy::none()).no_proxy().build();
    let client = match client {
        Ok(client) => client,
        Err(error) => return tracing::error!(%error, "what was pushed cannot be asked for"),
    };
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

//! DNS and cluster selection inside the node: the director, the probes that tell it how clusters are, and the admin API's
//! view of them.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use littoral_geo::{Cluster, Counters, Director, GeoConfig, Routing, Service, ZoneSource};
use serde_json::{Value, json};

use crate::config::{Config, Health, Tier};
use crate::observe::metrics::Sample;

/// Bytes of a health answer that are read.
const HEALTH_BYTES_MAX: usize = 4096;

/// The directing side of a node.
pub struct Directing {
    director: Arc<Director>,
}

impl Directing {
    /// Of a config; `None` when it has neither zones nor services. With it come warnings.
    ///
    /// # Errors
    /// One line: file, place and what to do.
    pub fn new(config: &Config, routing: Arc<dyn Routing>) -> Result<Option<(Self, Vec<String>)>, String> {
        if config.zone.is_empty() && config.service.is_empty() {
            return Ok(None);
        }
        let (director, warnings) = Director::new(geo_config(config), routing).map_err(|error| error.to_string())?;
        Ok(Some((Self { director: Arc::new(director) }, warnings)))
    }

    /// The director.
    pub fn director(&self) -> &Arc<Director> {
        &self.director
    }

    /// Applies a new config; returns warnings.
    ///
    /// # Errors
    /// Why nothing has changed.
    pub fn reload(&self, config: &Config) -> Result<Vec<String>, String> {
        self.director.reload(geo_config(config)).map_err(|error| error.to_string())
    }

    /// The clusters and their state.
    pub fn clusters(&self) -> Value {
        json!(self.director.clusters())
    }

    /// Why a client gets the cluster it gets.
    pub fn explain(&self, client: IpAddr, name: &str) -> Option<Value> {
        self.director.explain(client, name).map(|explanation| json!(explanation))
    }

    pub(crate) fn samples(&self, name: &str) -> Vec<Sample> {
        let counters = self.director.counters();
        let one = |value: u64| vec![(value as f64, Vec::new())];
        let by = |label: &'static str, names: &[&'static str], values: Vec<u64>| {
            names.iter().zip(values).map(|(name, value)| (value as f64, vec![(label, (*name).to_owned())])).collect()
        };
        let clusters = |value: fn(&littoral_geo::ClusterView) -> f64| {
            self.director
                .clusters()
                .iter()
                .map(|cluster| (value(cluster), vec![("cluster", cluster.id.clone())]))
                .collect()
        };
        match name {
            "littoral_dns_queries_total" => {
                by("transport", &["udp", "tcp"], vec![counters.udp.load(Relaxed), counters.tcp.load(Relaxed)])
            }
            "littoral_dns_responses_total" => {
                by("rcode", &Counters::RCODES, counters.rcodes.iter().map(|count| count.load(Relaxed)).collect())
            }
            "littoral_dns_decisions_total" => {
                by("reason", &Counters::REASONS, counters.reasons.iter().map(|count| count.load(Relaxed)).collect())
            }
            "littoral_dns_ecs_total" => one(counters.ecs.load(Relaxed)),
            "littoral_dns_truncated_total" => one(counters.truncated.load(Relaxed)),
            "littoral_dns_malformed_total" => one(counters.malformed.load(Relaxed)),
            "littoral_cluster_healthy" => clusters(|cluster| f64::from(cluster.healthy)),
            "littoral_cluster_load_permille" => clusters(|cluster| f64::from(cluster.load_permille)),
            _ => Vec::new(),
        }
    }
}

fn geo_config(config: &Config) -> GeoConfig {
    let cluster = |raw: &crate::config::Cluster| Cluster {
        id: raw.id.clone(),
        deep: raw.tier == Tier::Deep,
        at: raw.at,
        capacity_mbps: raw.capacity.mbps(),
        nodes: raw.nodes.iter().map(|node| (node.v4, node.v6)).collect(),
        prefixes: raw.prefixes.clone(),
    };
    let service = |raw: &crate::config::Service| Service {
        name: raw.name.clone(),
        clusters: raw.clusters.clone(),
        ttl: raw.ttl.0,
        answers: raw.answers,
    };
    GeoConfig {
        databases: config.geo.database.clone(),
        clusters: config.cluster.iter().map(cluster).collect(),
        zones: config.zone.iter().map(|zone| ZoneSource { name: zone.name.clone(), file: zone.file.clone() }).collect(),
        services: config.service.iter().map(service).collect(),
    }
}

/// Probes every cluster that has `health`, for as long as the process lives. A cluster is up while one node of it is.
pub fn start_probes(config: &Config, director: &Arc<Director>) {
    for cluster in config.cluster.iter() {
        let Some(health) = cluster.health.clone() else { continue };
        let addresses =
            cluster.nodes.iter().flat_map(|node| [node.v4.map(IpAddr::V4), node.v6.map(IpAddr::V6)]).flatten();
        let targets = addresses.map(|address| SocketAddr::new(address, health.port)).collect();
        tokio::spawn(probe(director.clone(), cluster.id.clone(), health, targets));
    }
}

async fn probe(director: Arc<Director>, id: String, health: Health, targets: Vec<SocketAddr>) {
    let client = match reqwest::Client::builder().timeout(health.timeout.0).no_proxy().build() {
        Ok(client) => client,
        Err(error) => return tracing::error!(cluster = id, %error, "a cluster cannot be probed"),
    };
    let (mut up, mut streak) = (true, 0_u32);
    let mut every = tokio::time::interval(health.every.0.max(Duration::from_millis(10)));
    every.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        every.tick().await;
        let probes = targets.iter().map(|target| ask(&client, *target, &health.path));
        let answers: Vec<_> = futures_util::future::join_all(probes).await.into_iter().flatten().collect();
        let healthy = !answers.is_empty();
        streak = if healthy == up { 0 } else { streak + 1 };
        if streak >= if up { health.down_after } else { health.up_after } {
            (up, streak) = (healthy, 0);
            tracing::warn!(cluster = id, up, "cluster changed state");
        }
        let load = answers.iter().sum::<u64>().checked_div(answers.len() as u64).unwrap_or(0);
        director.set_cluster_state(&id, up, u16::try_from(load).unwrap_or(u16::MAX));
    }
}

/// The load in permille that a healthy node tells; `None` when it is not healthy.
async fn ask(client: &reqwest::Client, target: SocketAddr, path: &str) -> Option<u64> {
    let response = client.get(format!("http://{target}{path}")).send().await.ok()?;
    if response.status() != reqwest::StatusCode::OK
        || response.content_length().is_some_and(|length| length > HEALTH_BYTES_MAX as u64)
    {
        return None;
    }
    let text = response.bytes().await.ok().filter(|text| text.len() <= HEALTH_BYTES_MAX)?;
    let told: Value = serde_json::from_slice(&text).unwrap_or(Value::Null);
    Some(told.get("load_permille").and_then(Value::as_u64).unwrap_or(0))
}

//! DNS and cluster selection inside the node: the director, and the admin API's view of it. How clusters are is told by
//! `probes`.

use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use littoral_geo::dnssec::Dnssec;
use littoral_geo::peers::{Peers, Primary, Transfer, Update};
use littoral_geo::server::{Handler, Identity, RateLimit, Settings};
use littoral_geo::tsig::Secret;
use littoral_geo::{Cluster, Counters, Director, GeoConfig, Node, Override, Routing, Service, ZoneSource};
use serde_json::{Value, json};
use tokio::time::MissedTickBehavior;

use crate::config::units::Prefix;
use crate::config::{Config, Tier};
use crate::drains::Drains;
use crate::observe::figures::Counter;
use crate::observe::metrics::Sample;
use crate::probes::Probes;
use crate::rtt::hear::Hearing;
use crate::standing::Standing;

/// How often the files of the map are looked at.
const LOOK_EVERY: Duration = Duration::from_secs(2);
/// Between two looks at what clusters cost.
const PRICE_EVERY: Duration = Duration::from_secs(1);

/// The directing side of a node.
pub struct Directing {
    director: Arc<Director>,
    standing: Arc<Standing>,
    drains: Drains,
    probes: Probes,
    hearing: Hearing,
    /// Redirects of sites that go by what was pushed: somebody held it, nobody did.
    by_content: [Counter; 2],
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
        let director = Arc::new(director);
        let standing = Arc::new(Standing::new(director.clone()));
        let drains = Drains::new(director.clone());
        let (probes, hearing) = (Probes::default(), Hearing::default());
        Ok(Some((Self { director, standing, drains, probes, hearing, by_content: Default::default() }, warnings)))
    }

    /// How the DNS side of a config answers.
    fn dns_settings(config: &Config) -> Settings {
        let dns = &config.dns;
        let rate = RateLimit { answers_per_second: dns.answers_per_second, slip: dns.slip };
        Settings {
            identity: Identity { name: dns.nsid.clone(), version: dns.version.clone() },
            cookie_secret: dns.secret(),
            rate: Some(rate).filter(|rate| rate.answers_per_second > 0),
            bytes_without_cookie: dns.bytes_without_cookie,
        }
    }

    /// What answers DNS, on whatever way it comes.
    pub fn handler(&self, config: &Config) -> Handler {
        Handler::with(self.director.clone(), Self::dns_settings(config))
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
        let reloaded = self.director.reload(geo_config(config)).map_err(|error| error.to_string());
        self.drains.apply();
        reloaded
    }

    /// Probes the clusters of `config` from now on. Within a runtime.
    pub fn probe(&self, config: &Config) {
        self.probes.follow(config, &self.standing);
    }

    /// Asks them for round-trip times from now on. Within a runtime.
    pub fn ask_rtts(&self, config: &Config) {
        self.hearing.follow_config(config, &self.director);
    }

    /// Where what is said of clusters comes together.
    pub(crate) fn standing(&self) -> &Standing {
        &self.standing
    }

    /// Which clusters are drained by command.
    pub(crate) fn drains(&self) -> &Drains {
        &self.drains
    }

    /// Who asks for round-trip times.
    pub(crate) fn hearing(&self) -> &Hearing {
        &self.hearing
    }

    /// Reads databases and coverage files again when they have changed, for ever; off the threads that answer.
    pub async fn follow_files(director: Arc<Director>) {
        let mut every = tokio::time::interval(LOOK_EVERY);
        every.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            every.tick().await;
            let looking = director.clone();
            match tokio::task::spawn_blocking(move || looking.refresh()).await {
                Ok(Ok(None)) => {}
                Ok(Ok(Some(warnings))) => {
                    warnings.iter().for_each(|warning| tracing::error!("{warning}"));
                    let map = director.map();
                    tracing::info!(intervals = map.intervals, bytes = map.bytes, "the map was compiled anew");
                }
                Ok(Err(error)) => tracing::error!("{error}; the old map stays"),
                Err(error) => tracing::error!(%error, "the map was not compiled; the old one stays"),
            }
        }
    }

    /// Lets time pass for the prices of clusters, for ever; off the threads that answer.
    pub async fn follow_prices(director: Arc<Director>) {
        let mut every = tokio::time::interval(PRICE_EVERY);
        every.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            every.tick().await;
            let pricing = director.clone();
            if let Err(error) = tokio::task::spawn_blocking(move || pricing.price(crate::clock::now_ms())).await {
                tracing::error!(%error, "clusters were not priced; the old prices stay");
            }
        }
    }

    /// The clusters and their state.
    pub fn clusters(&self) -> Value {
        json!(self.director.clusters())
    }

    /// A client was redirected where that goes by what was pushed; whether anybody held it who may serve that client.
    pub(crate) fn steered_by_content(&self, is_held: bool) {
        self.by_content[usize::from(!is_held)].add(1);
    }

    /// Why a client gets the cluster it gets, of which the `holders` hold what it asks for.
    pub fn explain(&self, client: IpAddr, name: &str, holders: &[String]) -> Option<Value> {
        self.director.explain_held(client, name, holders).map(|explanation| {
            let mut told = json!(explanation);
            told["probes"] = self.probes.told();
            told
        })
    }

    /// Prices of clusters, in seconds.
    pub(crate) fn prices(&self) -> Vec<Sample> {
        let of = |(cluster, us): (littoral_geo::ClusterView, u32)| (f64::from(us) / 1e6, vec![("cluster", cluster.id)]);
        let prices = self.director.prices_us().unwrap_or_default();
        self.director.clusters().into_iter().zip(prices).map(of).collect()
    }

    /// How long ago each database was made, in seconds.
    fn ages(&self) -> Vec<Sample> {
        let of = |(file, age): (PathBuf, Duration)| (age.as_secs_f64(), vec![("file", file.display().to_string())]);
        self.director.databases().into_iter().map(of).collect()
    }

    pub(crate) fn samples(&self, name: &str) -> Vec<Sample> {
        let counters = self.director.counters();
        let one = |value: u64| vec![(value as f64, Vec::new())];
        let by = |label: &'static str, names: &[&'static str], values: Vec<u64>| {
            names.iter().zip(values).map(|(name, value)| (value as f64, vec![(label, (*name).to_owned())])).collect()
        };
        match name {
            "littoral_dns_queries_total" => {
                let [tls, https] = [&counters.encrypted, &counters.https].map(|counter| counter.load(Relaxed));
                let tcp = counters.tcp.load(Relaxed).saturating_sub(tls + https);
                by("transport", &["udp", "tcp", "tls", "https"], vec![counters.udp.load(Relaxed), tcp, tls, https])
            }
            "littoral_dns_responses_total" => {
                by("rcode", &Counters::RCODES, counters.rcodes.iter().map(|count| count.load(Relaxed)).collect())
            }
            "littoral_dns_decisions_total" => {
                by("reason", &Counters::REASONS, counters.reasons.iter().map(|count| count.load(Relaxed)).collect())
            }
            "littoral_dns_ecs_total" => one(counters.ecs.load(Relaxed)),
            "littoral_dns_truncated_total" => one(counters.truncated.load(Relaxed)),
            "littoral_dns_rate_limited_total" => by(
                "action",
                &["cut", "dropped"],
                vec![counters.rate_cut.load(Relaxed), counters.rate_dropped.load(Relaxed)],
            ),
            "littoral_dns_dropped_total" => one(counters.dropped.load(Relaxed)),
            "littoral_dns_https_refused_total" => one(counters.https_refused.load(Relaxed)),
            "littoral_dns_connections_refused_total" => one(counters.tcp_refused.load(Relaxed)),
            "littoral_dns_malformed_total" => one(counters.malformed.load(Relaxed)),
            "littoral_dns_signatures_total" => by(
                "from",
                &["key", "kept"],
                vec![counters.signatures_made.load(Relaxed), counters.signatures_kept.load(Relaxed)],
            ),
            "littoral_dns_signatures_kept" => one(self.director.signatures_held() as u64),
            "littoral_dns_tsig_refused_total" => one(counters.tsig_refused.load(Relaxed)),
            "littoral_dns_transfers_total" => by(
                "outcome",
                &["sent", "refused"],
                vec![counters.transfers.load(Relaxed), counters.transfers_refused.load(Relaxed)],
            ),
            "littoral_dns_fetches_total" => {
                by("outcome", &Counters::FETCHES, counters.fetches.iter().map(|count| count.load(Relaxed)).collect())
            }
            "littoral_dns_notifies_total" => one(counters.notifies.load(Relaxed)),
            "littoral_dns_updates_total" => by(
                "outcome",
                &["taken", "refused"],
                vec![counters.updates.load(Relaxed), counters.updates_refused.load(Relaxed)],
            ),
            "littoral_geo_map_intervals" => one(self.director.map().intervals as u64),
            "littoral_geo_map_bytes" => one(self.director.map().bytes as u64),
            "littoral_geo_database_age_seconds" => self.ages(),
            "littoral_geo_map_generation" => one(self.director.map().generation),
            name => self.cluster_samples(name),
        }
    }

    fn cluster_samples(&self, name: &str) -> Vec<Sample> {
        let clusters = |value: fn(&littoral_geo::ClusterView) -> f64| {
            let views = self.director.clusters();
            views.iter().map(|cluster| (value(cluster), vec![("cluster", cluster.id.clone())])).collect()
        };
        match name {
            "littoral_cluster_healthy" => clusters(|cluster| f64::from(cluster.healthy)),
            "littoral_cluster_draining" => clusters(|cluster| f64::from(cluster.draining)),
            "littoral_cluster_nodes_down" => clusters(|cluster| cluster.nodes_down.len() as f64),
            "littoral_cluster_probes_total" => self.probes.samples(),
            "littoral_cluster_content_total" => ["held", "unheld"]
                .into_iter()
                .zip(&self.by_content)
                .map(|(found, count)| (count.sum() as f64, vec![("found", found.to_owned())]))
                .collect(),
            "littoral_cluster_load_permille" => clusters(|cluster| f64::from(cluster.load_permille)),
            _ => Vec::new(),
        }
    }
}

fn zone_source(zone: &crate::config::Zone) -> ZoneSource {
    let dnssec = zone.dnssec.as_ref();
    let dnssec = dnssec.map(|dnssec| Dnssec { keys: dnssec.keys.clone(), validity: dnssec.validity.0 });
    let prefixes = |prefixes: &[Prefix]| prefixes.iter().map(|prefix| prefix.0).collect();
    let transfer = zone.transfer.as_ref().map(|transfer| Transfer {
        allow: prefixes(&transfer.allow),
        key: transfer.key.clone(),
        notify: transfer.notify.clone(),
    });
    let primary = zone.primary.as_ref().map(|primary| Primary { address: primary.address, key: primary.key.clone() });
    let update = zone.update.as_ref().map(|update| Update {
        key: update.key.clone(),
        allow: prefixes(&update.allow),
        journal: update.journal.clone(),
    });
    let peers = Peers { transfer, primary, update };
    let tables = zone.tables().map(Arc::new);
    let file = zone.file.clone().unwrap_or_else(|| format!("[[zone]] {}", zone.name).into());
    ZoneSource { name: zone.name.clone(), file, tables, dnssec, peers }
}

fn geo_config(config: &Config) -> GeoConfig {
    let cluster = |raw: &crate::config::Cluster| Cluster {
        id: raw.id.clone(),
        deep: raw.tier == Tier::Deep,
        at: raw.at,
        capacity_mbps: raw.capacity.mbps(),
        nodes: raw.nodes.iter().map(|node| Node { v4: node.v4, v6: node.v6, weight: node.weight }).collect(),
        draining: raw.drain,
        prefixes: raw.prefixes.clone(),
        systems: raw.systems.clone(),
    };
    let service = |raw: &crate::config::Service| Service {
        name: raw.name.clone(),
        clusters: raw.clusters.clone(),
        ttl: raw.ttl.0,
        answers: raw.answers,
    };
    let correction =
        |raw: &crate::config::Override| Override { prefix: raw.prefix, cluster: raw.cluster.clone(), at: raw.at };
    let secret = |key: &crate::config::DnsKey| Secret {
        name: key.name.clone(),
        algorithm: key.algorithm.clone(),
        secret: key.bytes().unwrap_or_default(),
    };
    GeoConfig {
        secrets: config.dns.key.iter().map(secret).collect(),
        databases: config.geo.database.clone(),
        database_max_age: config.geo.database_max_age.0,
        coverage: config.geo.coverage.clone(),
        overrides: config.geo.overrides.iter().map(correction).collect(),
        clusters: config.cluster.iter().map(cluster).collect(),
        zones: config.zone.iter().map(zone_source).collect(),
        services: config.service.iter().map(service).collect(),
    }
}

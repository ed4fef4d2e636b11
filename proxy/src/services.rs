//! The services of a node: which there are, and what they say of themselves.
//!
//! Loading them is here; a connection is served in [`connection`], on threads that no request is answered on. A plugin is a service when
//! its file says so. Invariant: a listener that accepts has its service; a reload puts both in place at once, or neither.

use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use littoral_plugin_host::HostSettings;
use littoral_plugin_host::compile::Compiler;
use littoral_plugin_host::service::{Prepared, Service, ServiceHost, ServiceSpec, ServiceStatus};
use parking_lot::{Mutex, RwLock};
use tokio::runtime::{Handle, Runtime};
use tokio::sync::watch;

use crate::clock::now_ms;
use crate::config::{Config, Plugin};
use crate::fetch::{Fetchers, fetched};
use crate::filters::dropped;
use crate::node::Node;
use crate::observe::metrics::Sample;
use crate::plugins::absent::{Absent, Lacking};
use crate::plugins::rollouts;
use crate::swarm::Shard;
use crate::ticks;

pub(crate) mod connection;
pub(crate) mod datagrams;
pub(crate) mod dial;
pub(crate) mod outside;
pub(crate) mod wire;

/// Stands for the generation of a service that is no longer in the config; numbers begin at 1.
const NONE: u64 = 0;

/// A service, and the number of the generation that runs, for whoever waits for the next.
#[derive(Clone)]
pub(crate) struct Running {
    pub(crate) service: Arc<Service>,
    pub(crate) generation: Arc<watch::Sender<u64>>,
}

impl Running {
    fn new(service: Arc<Service>) -> Self {
        let generation = Arc::new(watch::Sender::new(service.generation()));
        let told = generation.clone();
        service.announce(move |number| {
            told.send_replace(number);
        });
        Self { service, generation }
    }
}

/// The services of a node.
#[derive(Default)]
pub struct Services {
    host: Mutex<Option<Arc<ServiceHost>>>,
    loaded: Watched,
    /// Those that could not be loaded.
    pub(crate) absent: Absent,
    runtime: OnceLock<Handle>,
    /// Those who have all connections of a listener, in the order of the config.
    shards: OnceLock<Vec<Arc<Shard>>>,
    /// Asks by HTTP for them.
    pub(crate) fetchers: Fetchers,
    /// What is believed of those whom services dial.
    pub(crate) trusts: dial::Trusts,
}

/// Those whose files are watched.
#[derive(Clone, Default)]
pub(crate) struct Watched(Arc<RwLock<Vec<Running>>>);

impl Watched {
    /// All of their files.
    pub(crate) fn files(&self) -> Vec<PathBuf> {
        self.0.read().iter().map(|running| running.service.spec().file).collect()
    }

    /// Loads those again whose file is one of these and holds something else than before.
    pub(crate) fn reload_changed(&self, is_named: impl Fn(&Path) -> bool) {
        let known = self.0.read().clone();
        for service in known.iter().map(|running| &running.service).filter(|service| is_named(&service.spec().file)) {
            match service.reload_if_changed() {
                Ok(None) => {}
                Ok(Some(generation)) => {
                    tracing::info!(plugin = service.name(), generation, "plugin file changed: loaded");
                }
                Err(error) => {
                    tracing::error!(plugin = service.name(), %error, "plugin file changed: the old one stays");
                }
            }
        }
    }
}

/// Services as a config has them, loaded and tried; those that change wait to take over.
pub(crate) struct Next(Vec<(Running, Option<Prepared>)>);

impl Services {
    /// Starts the threads that services run on, as many as the node has workers, and has datagrams answered and swarms begin; `None`
    /// where nothing listens for a service. They end with what is returned.
    ///
    /// # Errors
    /// When the system has no more threads, or a socket is lost.
    pub(crate) fn start(
        &self,
        node: &Arc<Node>,
        threads: usize,
        (datagrams, swarms): (datagrams::Sockets, datagrams::Sockets),
        stopped: &watch::Receiver<bool>,
    ) -> Result<Option<Runtime>, String> {
        let config = node.settings.load();
        let listen = &config.listen;
        if listen.service.is_empty() && listen.datagram.is_empty() && listen.swarm.is_empty() {
            return Ok(None);
        }
        let mut builder = tokio::runtime::Builder::new_multi_thread();
        let runtime = builder.worker_threads(threads).thread_name("service").enable_all().build();
        let runtime = runtime.map_err(|error| format!("cannot start the threads of services: {error}"))?;
        let _ = self.runtime.set(runtime.handle().clone());
        datagrams.serve(node, threads, stopped)?;
        crate::swarm::start(node, swarms, stopped)?;
        Ok(Some(runtime))
    }

    /// Notes who has all connections of a listener. Once.
    pub(crate) fn seat(&self, shards: Vec<Arc<Shard>>) {
        let _ = self.shards.set(shards);
    }

    /// Who has all connections of the swarm at this place of the config.
    pub(crate) fn shard(&self, at: usize) -> Option<&Arc<Shard>> {
        self.shards.get()?.get(at)
    }

    /// Where their connections are served; `None` before [`Self::start`].
    pub(crate) fn runtime(&self) -> Option<&Handle> {
        self.runtime.get()
    }

    /// Loads what is new or differs in a config, whose services are `raws`.
    ///
    /// # Errors
    /// One line: the plugin, what is wrong, and the fix. Nothing has changed then.
    pub(crate) fn prepare(
        &self,
        config: &Config,
        raws: &[&Plugin],
        compiler: Option<&Compiler>,
        lacking: &mut Lacking,
    ) -> Result<Next, String> {
        let known = self.loaded.0.read().clone();
        let mut next = Vec::new();
        for raw in raws.iter().copied() {
            raw.check_service()?;
            if lacking.rests(raw) {
                continue;
            }
            let spec = spec(raw, config);
            if let Some(granted) = &spec.dial {
                self.trusts.read(granted).map_err(|problem| format!("plugin {:?}: {problem}", raw.name))?;
            }
            let told = |error: littoral_plugin_host::LoadError| format!("plugin {:?}: {error}", raw.name);
            next.push(match known.iter().find(|running| running.service.name() == raw.name) {
                Some(running) if running.service.spec() == spec => (running.clone(), None),
                Some(running) => (running.clone(), Some(running.service.prepare(Some(spec)).map_err(told)?)),
                None => match self.host(config, compiler)?.load(spec) {
                    Ok(service) => (Running::new(service), None),
                    Err(error) => {
                        lacking.note(raw, &error)?;
                        continue;
                    }
                },
            });
        }
        Ok(Next(next))
    }

    /// From now on there are these. What was prepared takes over.
    pub(crate) fn adopt(&self, Next(next): Next) {
        let adopted = next.into_iter().map(|(running, prepared)| {
            if let Some(prepared) = prepared {
                running.service.adopt(prepared);
            }
            running
        });
        let next: Vec<Running> = adopted.collect();
        let mut loaded = self.loaded.0.write();
        let is_gone = |running: &&Running| next.iter().all(|left| !Arc::ptr_eq(&left.service, &running.service));
        for gone in loaded.iter().filter(is_gone) {
            gone.generation.send_replace(NONE);
        }
        *loaded = next;
    }

    /// The host, made when the first service is.
    fn host(&self, config: &Config, compiler: Option<&Compiler>) -> Result<Arc<ServiceHost>, String> {
        let mut host = self.host.lock();
        if let Some(host) = &*host {
            return Ok(host.clone());
        }
        let cache_dir = config.node.data.as_ref().map(|data| data.join("plugins"));
        let made = ServiceHost::new(HostSettings { cache_dir, compiler: compiler.cloned(), now_ms })?;
        made.fetch_by(Arc::new(self.fetchers.clone()));
        Ok(host.insert(made).clone())
    }

    /// Leaves what services keep on disk to the process that has replaced this one.
    pub(crate) fn release(&self) {
        if let Some(host) = &*self.host.lock() {
            host.release();
        }
    }

    /// The one of this name.
    pub(crate) fn named(&self, name: &str) -> Option<Running> {
        self.loaded.0.read().iter().find(|running| running.service.name() == name).cloned()
    }

    pub(crate) fn all(&self) -> Vec<Arc<Service>> {
        self.loaded.0.read().iter().map(|running| running.service.clone()).collect()
    }

    pub(crate) fn watched(&self) -> Watched {
        self.loaded.clone()
    }

    pub(crate) fn status(&self) -> Vec<ServiceStatus> {
        self.loaded.0.read().iter().map(|running| running.service.status()).collect()
    }

    pub(crate) fn samples(&self, name: &str) -> Vec<Sample> {
        self.status().iter().flat_map(|status| samples_of(status, name)).collect()
    }
}

fn samples_of(status: &ServiceStatus, name: &str) -> Vec<Sample> {
    let label = ("plugin", status.name.clone());
    let one = |value: f64| vec![(value, vec![label.clone()])];
    let by = |kind: &'static str, counts: &[(&str, u64)]| -> Vec<Sample> {
        counts.iter().map(|(of, count)| (*count as f64, vec![label.clone(), (kind, (*of).to_owned())])).collect()
    };
    let map = |kind, counts: &std::collections::BTreeMap<&'static str, u64>| {
        by(kind, &counts.iter().map(|(of, count)| (*of, *count)).collect::<Vec<_>>())
    };
    match name {
        "littoral_plugin_calls_total" => one(status.calls as f64),
        "littoral_plugin_faults_total" => map("kind", &status.faults),
        "littoral_plugin_memory_bytes" => one(status.memory_bytes as f64),
        "littoral_plugin_generation" => one(status.generation as f64),
        "littoral_plugin_generation_calls_total" | "littoral_plugin_generation_faults_total" => {
            rollouts::generations(name, &label, &status.generations)
        }
        "littoral_plugin_loaded" => one(1.0),
        "littoral_plugin_dropped_total" => dropped(&label, status.dropped),
        "littoral_plugin_quarantined" => one(f64::from(status.quarantined_until_ms > 0)),
        "littoral_plugin_counts_total" => {
            let counts = status.counters.iter();
            counts.map(|(at, count)| (*count as f64, vec![label.clone(), ("counter", at.to_string())])).collect()
        }
        "littoral_plugin_ticks_total" => ticks::samples(&label, status.ticks.as_ref()),
        name if name.starts_with(fetched::FAMILY) => fetched::samples(name, &label, status.fetched.as_ref()),
        "littoral_service_connections" => one(status.open as f64),
        "littoral_service_connections_total" => map("outcome", &status.ended),
        "littoral_service_bytes_total" => by(
            "direction",
            &[("in", status.read_bytes), ("out", status.written_bytes), ("discarded", status.discarded_bytes)],
        ),
        "littoral_service_troubles_total" => map("kind", &status.troubles),
        "littoral_service_answers_dropped_total" => one(status.dropped_answers as f64),
        "littoral_service_busy_seconds_total" => one(status.busy_ns as f64 / 1e9),
        "littoral_service_clients_refused" => one(status.clients_refused as f64),
        name if outside::is_of(name) => {
            outside::samples(name, &label, status.dialled.as_ref(), status.durable.as_ref())
        }
        "littoral_service_store_bytes" => status.store.map_or_else(Vec::new, |held| one(held.bytes as f64)),
        _ => status.swarm.as_ref().map_or_else(Vec::new, |told| crate::swarm::samples(&label, told, name)),
    }
}

/// Checks that each listener has a plugin that is made for it or known to be missing, and each plugin only what it may be granted.
///
/// # Errors
/// One line: the listener, what is wrong, and the fix.
pub(crate) fn check_seats(config: &Config, Next(next): &Next, lacking: &Lacking) -> Result<(), String> {
    let is = |name: &str, fits: fn(&Service) -> bool| {
        lacking.has(name) || next.iter().any(|(running, _)| running.service.name() == name && fits(&running.service))
    };
    let told = |listener: &str, name: &str, what: &str, world: &str| {
        Err(format!("{listener}: plugin {name:?} is no {what}: name another, or build it for the world {world}"))
    };
    let serves = |service: &Service| !service.is_of_datagrams() && !service.is_swarm();
    if let Some(serve) = config.listen.service.iter().find(|serve| !is(&serve.plugin, serves)) {
        return told(&format!("listen.service {}", serve.bind), &serve.plugin, "service", "stream-service");
    }
    if let Some(one) = config.listen.datagram.iter().find(|one| !is(&one.plugin, Service::is_of_datagrams)) {
        return told(&format!("listen.datagram {}", one.bind), &one.plugin, "service of datagrams", "datagram-service");
    }
    if let Some(swarm) = config.listen.swarm.iter().find(|swarm| !is(&swarm.plugin, Service::is_swarm)) {
        return told("listen.swarm", &swarm.plugin, "swarm", "swarm-service");
    }
    let is_service = |name: &str| next.iter().any(|(running, _)| running.service.name() == name);
    let mut granted = config.plugin.iter().filter(|raw| raw.content.is_some() && is_service(&raw.name));
    match granted.find(|raw| !is(&raw.name, Service::is_swarm)) {
        Some(raw) => Err(format!("plugin {:?}: content is for swarms, and this is none: remove it", raw.name)),
        None => Ok(()),
    }
}

fn spec(raw: &Plugin, config: &Config) -> ServiceSpec {
    let bytes = |size: crate::config::units::Size| usize::try_from(size.0).unwrap_or(usize::MAX);
    ServiceSpec {
        name: raw.name.clone(),
        file: raw.file.clone(),
        config: serde_json::to_string(&raw.config).unwrap_or_else(|_| "{}".into()),
        sha256: raw.sha256.clone(),
        trust: config.plugins.trust(),
        memory_bytes: raw.memory.map(bytes),
        deadline_ms: raw.deadline.map(|deadline| deadline.0.as_millis() as u64),
        store_bytes: raw.store.map_or(0, bytes),
        durable: outside::durable(raw, config),
        dial: outside::dial(raw),
        content: raw.content.clone().unwrap_or_default(),
        http: raw.fetch(),
        vectors: raw.vectors.clone(),
    }
}

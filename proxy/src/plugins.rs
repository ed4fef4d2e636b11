//! Adapts guests to the traits their consumers own: [`littoral_geo::Routing`], [`littoral_cache::Eviction`] and
//! [`crate::rate::RatePolicy`]. Each adapter asks its guest and, when that faults, the native policy: a guest never costs
//! more than one native answer.
//!
//! Loading never keeps a node from starting, unless the file is no plugin at all; what failed is told in the status.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use littoral_cache::{Candidate, Eviction, LfuSize, Verdict};
use littoral_geo::{NativeGeo, Routing};
use littoral_plugin_host::{Ask, Fault, Host, HostSettings, Interface, Object, Plugin, PluginSpec, types};
use notify::Watcher;
use serde_json::{Value, json};

use crate::clock::now_ms;
use crate::config::{self, Config};
use crate::observe::metrics::Sample;
use crate::rate::{NativeThroughput, RateAsk, RatePolicy};

/// How long a changed file must rest before it is loaded: writers write in pieces.
const CHANGE_REST: Duration = Duration::from_millis(200);

/// The plugins of a node.
#[derive(Default)]
pub struct Plugins {
    loaded: Vec<Arc<Plugin>>,
    route: Option<Arc<Plugin>>,
    rate: Option<Arc<Plugin>>,
    evict: Option<Arc<Plugin>>,
}

impl Plugins {
    /// Loads all plugins of a config.
    ///
    /// # Errors
    /// One line: the file, what it is, what was expected.
    pub fn load(config: &Config) -> Result<Self, String> {
        if config.plugin.is_empty() {
            return Ok(Self::default());
        }
        let cache_dir = config.node.data.as_ref().map(|data| data.join("plugins"));
        let host = Host::new(HostSettings { cache_dir, now_ms })?;
        let policy = &config.policy;
        let uses = [(&policy.route, Interface::Routing), (&policy.rate, Interface::Rate), (&policy.evict, Interface::Cache)];
        let mut plugins = Self::default();
        for raw in &config.plugin {
            let mut wanted = uses.iter().filter(|(name, _)| name.as_ref() == Some(&raw.name)).map(|(_, interface)| *interface);
            let first = wanted.next();
            let plugin = host.load(spec(raw), first).map_err(|error| format!("plugin {:?}: {error}", raw.name))?;
            for (name, interface) in &uses {
                if name.as_ref() != Some(&raw.name) {
                    continue;
                }
                let slot = match interface {
                    Interface::Routing => &mut plugins.route,
                    Interface::Rate => &mut plugins.rate,
                    Interface::Cache => &mut plugins.evict,
                };
                if !plugin.status().interfaces.contains(&interface.as_str()) {
                    return Err(format!("plugin {:?}: {} does not export {}", raw.name, raw.file.display(), interface.as_str()));
                }
                *slot = Some(plugin.clone());
            }
            plugins.loaded.push(plugin);
        }
        Ok(plugins)
    }

    /// The routing policy: the guest's, or the native one.
    pub fn routing(&self) -> Arc<dyn Routing> {
        match &self.route {
            Some(plugin) => Arc::new(GuestRouting { plugin: plugin.clone(), native: NativeGeo::default() }),
            None => Arc::new(NativeGeo::default()),
        }
    }

    /// The eviction policy: the guest's, or the native one.
    pub fn eviction(&self) -> Box<dyn Eviction> {
        match &self.evict {
            Some(plugin) => Box::new(GuestEviction { plugin: plugin.clone() }),
            None => Box::new(LfuSize),
        }
    }

    /// The rate policy: the guest's, or the native one.
    pub fn rate(&self) -> Box<dyn RatePolicy> {
        match &self.rate {
            Some(plugin) => Box::new(GuestRate { plugin: plugin.clone() }),
            None => Box::new(NativeThroughput),
        }
    }

    /// What each plugin is and did.
    pub fn status(&self) -> Value {
        json!(self.loaded.iter().map(|plugin| plugin.status()).collect::<Vec<_>>())
    }

    /// Loads a plugin's file again.
    ///
    /// # Errors
    /// Why the old generation stays.
    pub fn reload(&self, name: &str) -> Result<u64, String> {
        let plugin = self.loaded.iter().find(|plugin| plugin.name() == name);
        let plugin = plugin.ok_or_else(|| format!("no plugin is called {name:?}"))?;
        plugin.reload(None).map_err(|error| error.to_string())
    }

    /// Loads those plugins again whose config differs. Plugins that came or went need a restart.
    ///
    /// # Errors
    /// The first that failed; those before it have changed.
    pub fn reconfigure(&self, config: &Config) -> Result<(), String> {
        for raw in &config.plugin {
            let spec = spec(raw);
            let known = self.loaded.iter().find(|plugin| plugin.name() == raw.name);
            if let Some(plugin) = known.filter(|plugin| plugin.spec() != spec) {
                plugin.reload(Some(spec)).map_err(|error| format!("plugin {:?}: {error}", raw.name))?;
            }
        }
        Ok(())
    }

    /// Watches the plugin files and loads those that change, on a thread of its own. The watch ends with what is returned.
    pub fn watch(&self) -> Option<impl Sized + use<>> {
        if self.loaded.is_empty() {
            return None;
        }
        let (changed, changes) = std::sync::mpsc::channel();
        let mut watcher = notify::recommended_watcher(move |event: notify::Result<notify::Event>| {
            if let Ok(event) = event.as_ref().map(|event| (event.kind, &event.paths)) {
                let matters = matches!(event.0, notify::EventKind::Create(_) | notify::EventKind::Modify(_));
                event.1.iter().filter(|_| matters).for_each(|path| drop(changed.send(path.clone())));
            }
        })
        .inspect_err(|error| tracing::warn!(%error, "plugin files cannot be watched; reload them through the admin API"))
        .ok()?;
        let mut directories: Vec<_> = self.loaded.iter().filter_map(|plugin| plugin.spec().file.parent().map(Path::to_owned)).collect();
        directories.sort();
        directories.dedup();
        for directory in directories {
            if let Err(error) = watcher.watch(&directory, notify::RecursiveMode::NonRecursive) {
                tracing::warn!(directory = %directory.display(), %error, "plugin files cannot be watched");
            }
        }
        let loaded = self.loaded.clone();
        let body = move || {
            while let Ok(path) = changes.recv() {
                let mut paths = vec![path];
                while let Ok(path) = changes.recv_timeout(CHANGE_REST) {
                    paths.push(path);
                }
                for plugin in loaded.iter().filter(|plugin| paths.iter().any(|path| same_file(path, &plugin.spec().file))) {
                    match plugin.reload(None) {
                        Ok(generation) => tracing::info!(plugin = plugin.name(), generation, "plugin file changed: loaded"),
                        Err(error) => tracing::error!(plugin = plugin.name(), %error, "plugin file changed: the old one stays"),
                    }
                }
            }
        };
        std::thread::Builder::new().name("plugin-watch".into()).spawn(body).ok()?;
        Some(watcher)
    }

    pub(crate) fn samples(&self, name: &str) -> Vec<Sample> {
        let of = |plugin: &Arc<Plugin>| {
            let status = plugin.status();
            let label = ("plugin", status.name.clone());
            match name {
                "littoral_plugin_calls_total" => vec![(status.calls as f64, vec![label])],
                "littoral_plugin_faults_total" => {
                    let kind = |(kind, count): (&&str, &u64)| (*count as f64, vec![label.clone(), ("kind", (*kind).to_owned())]);
                    status.faults.iter().map(kind).collect()
                }
                "littoral_plugin_fuel_total" => vec![(status.fuel as f64, vec![label])],
                "littoral_plugin_memory_bytes" => vec![(status.memory_bytes as f64, vec![label])],
                "littoral_plugin_generation" => vec![(status.generation as f64, vec![label])],
                "littoral_plugin_quarantined" => vec![(f64::from(status.quarantined_until_ms > 0), vec![label])],
                _ => Vec::new(),
            }
        };
        self.loaded.iter().flat_map(of).collect()
    }
}

fn same_file(changed: &Path, file: &Path) -> bool {
    changed.file_name() == file.file_name()
}

fn spec(raw: &config::Plugin) -> PluginSpec {
    PluginSpec {
        name: raw.name.clone(),
        file: raw.file.clone(),
        config: serde_json::to_string(&raw.config).unwrap_or_else(|_| "{}".into()),
        sha256: raw.sha256.clone(),
        fuel: raw.fuel,
        memory_bytes: raw.memory.map(|memory| usize::try_from(memory.0).unwrap_or(usize::MAX)),
    }
}

struct GuestRouting {
    plugin: Arc<Plugin>,
    native: NativeGeo,
}

impl Routing for GuestRouting {
    fn push(&self, version: u64, clusters: &[littoral_geo::ClusterRow]) {
        self.native.push(version, clusters);
        let row = |row: &littoral_geo::ClusterRow| types::ClusterRow {
            index: row.index,
            deep: row.deep,
            healthy: row.healthy,
            place: row.place,
            capacity_mbps: row.capacity_mbps,
            load_permille: row.load_permille,
            rtt_us: row.rtt_us,
        };
        self.plugin.push_clusters(version, clusters.iter().map(row).collect());
    }

    fn decide(&self, flow: &littoral_geo::Flow) -> Option<littoral_geo::Choice> {
        let littoral_geo::Flow { key, addr_hi, addr_lo, place, zone, candidates, now_ms, rand } = *flow;
        let asked = types::Flow { key, addr_hi, addr_lo, place, zone, candidates, now_ms, rand };
        match self.plugin.decide(&asked) {
            Ok(choice) => Some(littoral_geo::Choice { clusters: choice.clusters, ttl_s: choice.ttl_s }),
            Err(_) => self.native.decide(flow),
        }
    }
}

struct GuestEviction {
    plugin: Arc<Plugin>,
}

impl Eviction for GuestEviction {
    fn admit(&self, object: &Candidate, fill_permille: u16, now_ms: u64, rand: u64) -> Verdict {
        match self.plugin.admit(&object_of(object), fill_permille, now_ms, rand) {
            Ok(types::Verdict::Admit) => Verdict::Admit,
            Ok(types::Verdict::Bypass) => Verdict::Bypass,
            Err(_) => LfuSize.admit(object, fill_permille, now_ms, rand),
        }
    }

    fn score(&self, sample: &[Candidate], now_ms: u64, rand: u64, scores: &mut [f32]) {
        let mut objects = [Object::default(); littoral_cache::limits::EVICTION_SAMPLE];
        let known = sample.len().min(objects.len());
        for (object, candidate) in objects.iter_mut().zip(sample) {
            *object = object_of(candidate);
        }
        if self.plugin.score(&objects[..known], now_ms, rand, &mut scores[..known]).is_err() {
            LfuSize.score(sample, now_ms, rand, scores);
        }
    }
}

fn object_of(candidate: &Candidate) -> Object {
    let Candidate { id, bytes, age_s, idle_s, ttl_s, fetch_us, hits, class } = *candidate;
    Object { id, bytes, age_s, idle_s, ttl_s, fetch_us, hits, class }
}

struct GuestRate {
    plugin: Arc<Plugin>,
}

impl RatePolicy for GuestRate {
    fn ladder(&self, id: u32, kbps: &[u32]) {
        self.plugin.push_ladder(id, kbps.to_vec());
    }

    fn select(&self, ask: &RateAsk, ladder: &[u32]) -> (u8, bool) {
        let asked = Ask {
            state: 0,
            est_kbps: ask.est_kbps,
            buffer_ms: ask.buffer_ms,
            last_rung: ask.last_rung,
            segment_ms: ask.segment_ms,
            ladder: ask.ladder,
            now_ms: now_ms(),
            rand: ask.rand,
        };
        let answered: Result<_, Fault> = self.plugin.select(&asked, ladder.len());
        answered.map_or_else(|_| NativeThroughput.select(ask, ladder), |answer| (answer.rung, true))
    }
}

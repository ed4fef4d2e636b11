//! Adapts guests to the traits their consumers own: [`littoral_geo::Routing`], [`littoral_cache::Eviction`] and
//! [`crate::rate::RatePolicy`]. Each adapter asks its guest and, when that faults, the native policy: a guest never costs
//! more than one native answer.
//!
//! A file that is no plugin keeps a running node from reloading, and one that starts goes on without it ([`absent`]); everything after
//! that is the breaker's matter and shows in the status.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use arc_swap::ArcSwapOption;
use littoral_cache::Eviction;
use littoral_geo::{NativeGeo, Routing};
use littoral_plugin_host::compile::Compiler;
use littoral_plugin_host::limits::RECORD_BYTES_DEFAULT;
use littoral_plugin_host::tick::Ticks as Ticking;
use littoral_plugin_host::{
    Ask, Host, HostSettings, Interface, LoadError, Planned, Plugin, PluginSpec, RecordSpec, Recorded, Role, role,
    total, types,
};
use parking_lot::{Mutex, RwLock};
use serde_json::{Value, json};

use crate::clock::now_ms;
use crate::config::{self, Config};
use crate::filters::{self, Filters};
use crate::node::Node;
use crate::observe::metrics::Sample;
use crate::rate::{NativeThroughput, RateAnswer, RateAsk, RatePolicy};
use crate::services::{self, Services};
use crate::ticks::Ticks;

pub(crate) mod absent;
mod evict;
pub(crate) mod rollouts;
mod route;
pub(crate) mod watch;

pub use absent::Tolerated;
use absent::{Absent, Lacking};
pub(crate) use evict::Kept;
pub use evict::eviction_policy;
use evict::{GuestEviction, NativeSeat};
use route::GuestRouting;

/// Which plugin decides one thing; empty: the native policy does. A reload changes it while calls run.
type Seat = Arc<ArcSwapOption<Plugin>>;

/// The rate policy in a file, as a node would seat it, for a player that chooses by itself.
///
/// # Errors
/// One line: the file, what it is, what was expected.
pub fn rate_policy(file: &Path) -> Result<Box<dyn RatePolicy>, String> {
    let name = file.file_stem().map_or_else(String::new, |stem| stem.to_string_lossy().into_owned());
    let spec = PluginSpec::new(name, file);
    let host = Host::new(HostSettings { cache_dir: None, compiler: None, now_ms })?;
    let plugin = host.load(spec, Some(Interface::Rate)).map_err(|error| error.to_string())?;
    let seat = Arc::new(ArcSwapOption::new(Some(plugin)));
    Ok(Box::new(GuestRate { seat, pushed: Arc::default() }))
}

/// What compiles plugins: this very program, also when another one has taken the place of its file.
pub fn compiler() -> Compiler {
    Compiler { program: "/proc/self/exe".into(), arguments: vec!["plugin".into(), "compile".into()] }
}

/// The plugins of a node.
#[derive(Default)]
pub struct Plugins {
    /// Those that see requests and responses.
    pub filters: Filters,
    /// Those that serve connections.
    pub services: Services,
    /// What filters and services do outside of requests.
    pub(crate) ticks: Ticks,
    /// Those that could not be loaded.
    pub(crate) absent: Absent,
    compiler: Option<Compiler>,
    host: Mutex<Option<Arc<Host>>>,
    loaded: Arc<RwLock<Vec<Arc<Plugin>>>>,
    route: Seat,
    rate: Seat,
    evict: Seat,
    /// The native policy with state of its own that is named in place of a plugin.
    native: NativeSeat,
    pushed_clusters: Arc<Mutex<(u64, Vec<types::ClusterRow>)>>,
    pushed_ladders: Arc<Mutex<BTreeMap<u32, Vec<u32>>>>,
}

/// The plugins of a config by what their files hold. One that cannot be read is what it was when it was loaded.
struct Sorted<'a> {
    policies: Vec<&'a config::Plugin>,
    filters: Vec<&'a config::Plugin>,
    services: Vec<&'a config::Plugin>,
}

impl Plugins {
    /// Loads the plugins of a config; `compiler` compiles them. Those that are `tolerated` may be missing, unless the config says otherwise.
    ///
    /// # Errors
    /// One line: the file, what it is, what was expected.
    pub fn load(config: &Config, compiler: Option<Compiler>, tolerated: Tolerated) -> Result<Self, String> {
        let mut plugins = Self { compiler, ..Self::default() };
        plugins.filters.absent = plugins.absent.clone();
        plugins.services.absent = plugins.absent.clone();
        plugins.filters.trusts = plugins.services.trusts.clone();
        plugins.put(config, tolerated, false)?;
        Ok(plugins)
    }

    /// Makes plugins and policies what a config says: loads what is new or differs, seats the policies, forgets the rest.
    /// What fails leaves all seats as they were; what was missing before may still be.
    ///
    /// # Errors
    /// As [`Plugins::load`].
    pub fn apply(&self, config: &Config) -> Result<(), String> {
        self.put(config, Tolerated::Those(self.absent.names()), false)
    }

    /// Loads those that are missing from the config in force, of which only those whose time has come if `only_due`. Whether one is there now.
    ///
    /// # Errors
    /// As [`Plugins::load`].
    pub(crate) fn load_missing(&self, config: &Config, only_due: bool) -> Result<bool, String> {
        let before = self.absent.names();
        self.put(config, Tolerated::Those(before.clone()), only_due)?;
        Ok(self.absent.names() != before)
    }

    fn put(&self, config: &Config, tolerated: Tolerated, only_due: bool) -> Result<(), String> {
        let tolerated = if config.plugins.required { Tolerated::nobody() } else { tolerated };
        let (sorted, mut lacking) = (self.sorted(config), self.absent.begin(tolerated, only_due));
        let filters = self.filters.prepare(config, &sorted.filters, self.compiler.as_ref(), &mut lacking)?;
        let services = self.services.prepare(config, &sorted.services, self.compiler.as_ref(), &mut lacking)?;
        let policies = self.policies(config, &sorted.policies, &mut lacking)?;
        let mut planned = Vec::new();
        for (plugin, raw) in &policies {
            planned.push(plan(plugin, raw, &config.plugins, &mut lacking)?);
        }
        filters::check_sites(config, &filters, &lacking)?;
        services::check_seats(config, &services, &lacking)?;
        let serve = policies.iter().zip(&planned).map(|((plugin, _), planned)| (plugin.clone(), planned.interfaces()));
        let seated = seated(config, &serve.collect::<Vec<_>>(), &lacking)?;
        let places = filters.places(config)?;
        // From here on nothing fails.
        total::bound(config.plugins.memory_bytes());
        self.filters.adopt(filters, places);
        self.services.adopt(services);
        planned.into_iter().for_each(Planned::adopt);
        *self.loaded.write() = policies.into_iter().map(|(plugin, _)| plugin).collect();
        self.absent.adopt(lacking);
        for (seat, plugin) in [&self.route, &self.rate, &self.evict].into_iter().zip(seated) {
            seat.store(plugin);
        }
        self.native.name(config.native_eviction());
        let filters = self.filters.all().into_iter().map(|filter| filter as Arc<dyn Ticking>);
        self.ticks.adopt(filters.chain(self.services.all().into_iter().map(|service| service as _)).collect());
        self.tell_again();
        Ok(())
    }

    fn sorted<'a>(&self, config: &'a Config) -> Sorted<'a> {
        let (filters, services) = (self.filters.all(), self.services.all());
        let mut sorted = Sorted { policies: Vec::new(), filters: Vec::new(), services: Vec::new() };
        for raw in &config.plugin {
            let was = || match () {
                () if filters.iter().any(|filter| filter.name() == raw.name) => Role::Filter,
                () if services.iter().any(|service| service.name() == raw.name) => Role::Service,
                () => Role::Policy,
            };
            match role(&raw.file).unwrap_or_else(was) {
                Role::Policy => sorted.policies.push(raw),
                Role::Filter => sorted.filters.push(raw),
                Role::Service => sorted.services.push(raw),
            }
        }
        sorted
    }

    /// The policies among `raws`: those that are there, and those that can be loaded.
    fn policies<'a>(
        &self,
        config: &Config,
        raws: &[&'a config::Plugin],
        lacking: &mut Lacking,
    ) -> Result<Vec<(Arc<Plugin>, &'a config::Plugin)>, String> {
        let known = self.loaded.read().clone();
        let mut there = Vec::new();
        for raw in raws.iter().copied() {
            if lacking.rests(raw) {
                continue;
            }
            let plugin = match known.iter().find(|plugin| plugin.name() == raw.name) {
                Some(plugin) => plugin.clone(),
                None => {
                    let seats = seats(config);
                    let wanted =
                        seats.iter().find(|(name, _)| *name == Some(&raw.name)).map(|(_, interface)| *interface);
                    match self.host(config)?.load(spec(raw, &config.plugins), wanted) {
                        Ok(plugin) => plugin,
                        Err(error) => {
                            lacking.note(raw, &error)?;
                            continue;
                        }
                    }
                }
            };
            // Only now is it sure that it is one.
            raw.check_policy()?;
            there.push((plugin, raw));
        }
        Ok(there)
    }

    /// From now on what plugins ask others is asked by this node.
    pub(crate) fn serve(&self, node: &Arc<Node>) {
        self.filters.fetchers.serve(node);
        self.services.fetchers.serve(node);
    }

    /// The host, made when the first plugin is.
    fn host(&self, config: &Config) -> Result<Arc<Host>, String> {
        let mut host = self.host.lock();
        if host.is_none() {
            let cache_dir = config.node.data.as_ref().map(|data| data.join("plugins"));
            *host = Some(Host::new(HostSettings { cache_dir, compiler: self.compiler.clone(), now_ms })?);
        }
        host.clone().ok_or_else(|| "the plugin engine is not there".into())
    }

    /// Tells those who have just been seated what was pushed before.
    fn tell_again(&self) {
        if let Some(plugin) = self.route.load_full() {
            let (version, clusters) = self.pushed_clusters.lock().clone();
            plugin.push_clusters(version, clusters);
        }
        if let Some(plugin) = self.rate.load_full() {
            let ladders = self.pushed_ladders.lock().clone();
            ladders.into_iter().for_each(|(id, kbps)| plugin.push_ladder(id, kbps));
        }
    }

    /// The routing policy: the seated guest's, or the native one.
    pub fn routing(&self) -> Arc<dyn Routing> {
        let pushed = self.pushed_clusters.clone();
        Arc::new(GuestRouting { seat: self.route.clone(), native: NativeGeo::default(), pushed })
    }

    /// The eviction policy: the seated guest's, or the native one.
    pub fn eviction(&self) -> Box<dyn Eviction> {
        Box::new(GuestEviction { seat: self.evict.clone(), native: self.native.clone() })
    }

    /// The rate policy: the seated guest's, or the native one.
    pub fn rate(&self) -> Box<dyn RatePolicy> {
        Box::new(GuestRate { seat: self.rate.clone(), pushed: self.pushed_ladders.clone() })
    }

    /// What each plugin is and did.
    pub fn status(&self) -> Value {
        let policies = self.loaded.read().iter().map(|plugin| json!(plugin.status())).collect::<Vec<_>>();
        let filters = self.filters.status().into_iter().map(|status| json!(status));
        let services = self.services.status().into_iter().map(|status| json!(status));
        let mut all: Vec<Value> = policies.into_iter().chain(filters).chain(services).collect();
        for plugin in &mut all {
            let problem = plugin["name"].as_str().and_then(|name| self.absent.candidate_problem(name));
            if let Some(problem) = problem {
                plugin["candidate_problem"] = problem.into();
            }
        }
        all.extend(self.absent.status());
        all.into()
    }

    /// Loads a plugin's file again.
    ///
    /// # Errors
    /// Why the old generation stays.
    pub fn reload(&self, name: &str) -> Result<u64, String> {
        if let Some(filter) = self.filters.all().into_iter().find(|filter| filter.name() == name) {
            return filter.reload(None).map_err(|error| error.to_string());
        }
        if let Some(running) = self.services.named(name) {
            return running.service.reload(None).map_err(|error| error.to_string());
        }
        let plugin = self.loaded.read().iter().find(|plugin| plugin.name() == name).cloned();
        let plugin = plugin.ok_or_else(|| format!("no plugin is called {name:?}"))?;
        plugin.reload(None).map_err(|error| error.to_string())
    }

    pub(crate) fn samples(&self, name: &str) -> Vec<Sample> {
        match name {
            "littoral_plugin_all_memory_bytes" => return vec![(total::used() as f64, Vec::new())],
            "littoral_plugin_all_memory_refused_total" => return vec![(total::refused() as f64, Vec::new())],
            _ => {}
        }
        let of = |plugin: &Arc<Plugin>| {
            let status = plugin.status();
            let label = ("plugin", status.name.clone());
            match name {
                "littoral_plugin_calls_total" => vec![(status.calls as f64, vec![label])],
                "littoral_plugin_faults_total" => {
                    let kind = |(kind, count): (&&str, &u64)| {
                        (*count as f64, vec![label.clone(), ("kind", (*kind).to_owned())])
                    };
                    status.faults.iter().map(kind).collect()
                }
                "littoral_plugin_fuel_total" => vec![(status.fuel as f64, vec![label])],
                "littoral_plugin_memory_bytes" => vec![(status.memory_bytes as f64, vec![label])],
                "littoral_plugin_generation" => vec![(status.generation as f64, vec![label])],
                "littoral_plugin_loaded" => vec![(1.0, vec![label])],
                "littoral_plugin_counts_total" => {
                    let count = |(counter, count): (&u32, &u64)| {
                        (*count as f64, vec![label.clone(), ("counter", counter.to_string())])
                    };
                    status.counters.iter().map(count).collect()
                }
                "littoral_plugin_recorded_total" => {
                    let of = |record: Recorded| {
                        let counts =
                            [("written", record.decisions), ("dropped", record.dropped), ("failed", record.failed)];
                        counts.map(|(outcome, count)| {
                            (count as f64, vec![label.clone(), ("outcome", outcome.to_owned())])
                        })
                    };
                    status.record.into_iter().flat_map(of).collect()
                }
                "littoral_plugin_dropped_total" => filters::dropped(&label, status.dropped),
                "littoral_plugin_quarantined" => vec![(f64::from(status.quarantined_until_ms > 0), vec![label])],
                "littoral_plugin_generation_calls_total" | "littoral_plugin_generation_faults_total" => {
                    rollouts::generations(name, &label, &status.generations)
                }
                name => rollouts::samples(name, &label, status.rollout.as_ref()),
            }
        };
        let policies = self.loaded.read().iter().flat_map(of).collect::<Vec<_>>().into_iter();
        let there = policies.chain(self.filters.samples(name)).chain(self.services.samples(name));
        there.chain(self.absent.samples(name)).collect()
    }
}

/// The policies of a config, each with what it must serve; in the order of the seats.
fn seats(config: &Config) -> [(Option<&String>, Interface); 3] {
    let policy = &config.policy;
    [
        (policy.route.as_ref(), Interface::Routing),
        (policy.rate.as_ref(), Interface::Rate),
        (policy.evict.as_ref().filter(|_| config.native_eviction().is_none()), Interface::Cache),
    ]
}

/// What a config wants of a policy and did not want before.
fn plan<'a>(
    plugin: &'a Plugin,
    raw: &config::Plugin,
    trust: &config::PluginTrust,
    lacking: &mut Lacking,
) -> Result<Planned<'a>, String> {
    let spec = spec(raw, trust);
    let candidate = if lacking.candidate_rests(raw) { None } else { raw.candidate() };
    let candidate = candidate.map(|(file, sha256, share)| (PluginSpec { file, sha256, ..spec.clone() }, share));
    let told = |error: LoadError| format!("plugin {:?}: {error}", raw.name);
    match plugin.plan(spec.clone(), candidate) {
        Err(error) if lacking.without_candidate(raw, &error) => plugin.plan(spec, None).map_err(told),
        planned => planned.map_err(told),
    }
}

/// Who gets each seat, among plugins with the interfaces they serve. That of one that is missing is the native policy's.
fn seated(
    config: &Config,
    plugins: &[(Arc<Plugin>, Vec<&'static str>)],
    lacking: &Lacking,
) -> Result<Vec<Option<Arc<Plugin>>>, String> {
    let seat = |(name, interface): (Option<&String>, Interface)| {
        let Some(name) = name.filter(|name| !lacking.has(name)) else { return Ok(None) };
        let Some((plugin, serves)) = plugins.iter().find(|(plugin, _)| name == plugin.name()) else {
            return Err(format!("plugin {name:?} is no policy: name another in [policy]"));
        };
        match serves.contains(&interface.as_str()) {
            true => Ok(Some(plugin.clone())),
            false => Err(format!(
                "plugin {:?} does not export {}: name another in [policy]",
                plugin.name(),
                interface.as_str()
            )),
        }
    };
    seats(config).into_iter().map(seat).collect()
}

fn spec(raw: &config::Plugin, trust: &config::PluginTrust) -> PluginSpec {
    PluginSpec {
        name: raw.name.clone(),
        file: raw.file.clone(),
        config: serde_json::to_string(&raw.config).unwrap_or_else(|_| "{}".into()),
        sha256: raw.sha256.clone(),
        fuel: raw.fuel,
        memory_bytes: raw.memory.map(|memory| usize::try_from(memory.0).unwrap_or(usize::MAX)),
        vectors: raw.vectors.clone(),
        trust: trust.trust(),
        record: raw
            .record
            .clone()
            .map(|file| RecordSpec { file, bytes: raw.record_bytes.map_or(RECORD_BYTES_DEFAULT, |bytes| bytes.0) }),
    }
}

struct GuestRate {
    seat: Seat,
    pushed: Arc<Mutex<BTreeMap<u32, Vec<u32>>>>,
}

impl RatePolicy for GuestRate {
    fn ladder(&self, id: u32, kbps: &[u32]) {
        let mut pushed = self.pushed.lock();
        pushed.insert(id, kbps.to_vec());
        if pushed.len() > littoral_plugin_host::limits::LADDERS_MAX {
            pushed.pop_first();
        }
        if let Some(plugin) = self.seat.load_full() {
            plugin.push_ladder(id, kbps.to_vec());
        }
    }

    fn select(&self, ask: &RateAsk, ladder: &[u32]) -> RateAnswer {
        let asked = Ask {
            state: ask.state,
            est_kbps: ask.est_kbps,
            buffer_ms: ask.buffer_ms,
            last_rung: ask.last_rung,
            segment_ms: ask.segment_ms,
            ladder: ask.ladder,
            now_ms: now_ms(),
            rand: ask.rand,
        };
        let seat = self.seat.load();
        let said = seat.as_ref().and_then(|plugin| {
            let answer = plugin.select(&asked, ladder.len()).ok()?;
            Some(RateAnswer {
                rung: answer.rung,
                state: answer.state,
                pace_kbps: answer.pace_kbps,
                guest: Some(plugin.called()),
            })
        });
        said.unwrap_or_else(|| NativeThroughput.select(ask, ladder))
    }
}

//! The filters of a node: which there are, and which a site has.
//!
//! Loading them is here, calling them at the points of a request in [`points`], and for what the
//! hot path answers in [`hit`]. A plugin is a filter when its file says so. Invariant:
//! a site that is routed to has its filters; a reload puts both in place at once, or neither.

use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use littoral_geo::database::Database;
use littoral_plugin_host::compile::Compiler;
use littoral_plugin_host::filter::{Filter, FilterHost, FilterSpec, FilterStatus, Planned, Point};
use littoral_plugin_host::{Dropped, HostSettings, LoadError};
use parking_lot::{Mutex, RwLock};

use crate::clock::now_ms;
use crate::config::{Config, OnFault, Plugin, Ranges};
use crate::fetch::{Fetchers, fetched};
use crate::observe::metrics::Sample;
use crate::plugins::absent::{Absent, Lacking};
use crate::plugins::rollouts;
use crate::plugins::watch::{tell, tell_candidate};
use crate::services::dial::Trusts;
use crate::services::outside;
use crate::site::Sites;
use crate::ticks;

pub(crate) mod hit;
mod lent;
mod places;
pub(crate) mod points;

use places::Places;

/// The filters of one site, in the order of the config.
#[derive(Debug, Default)]
pub struct Chain {
    names: Vec<String>,
    seated: OnceLock<Seated>,
}

#[derive(Debug)]
struct Seated {
    filters: Vec<Arc<Filter>>,
    /// The first that is not loaded and must not be gone past.
    missing: Option<String>,
    places: Arc<Places>,
}

impl Chain {
    /// Of these names, not yet seated.
    pub fn of(names: &[String]) -> Self {
        Self { names: names.to_vec(), seated: OnceLock::new() }
    }

    pub(crate) fn all(&self) -> &[Arc<Filter>] {
        self.seated.get().map_or(&[], |seated| seated.filters.as_slice())
    }

    /// Where clients are; it knows no place when none of them asks.
    fn places(&self) -> Option<&Arc<Places>> {
        self.seated.get().map(|seated| &seated.places)
    }

    /// Whether one of them is called at `point`.
    pub(crate) fn asks(&self, point: Point) -> bool {
        self.all().iter().any(|filter| filter.asks(point))
    }

    /// One that is not loaded and must not be gone past: no request is answered.
    pub(crate) fn missing(&self) -> Option<&str> {
        self.seated.get()?.missing.as_deref()
    }

    /// Whether one of them is called before the cache is asked, or would be: a hit takes the long way then.
    pub(crate) fn come_before_hits(&self) -> bool {
        self.missing().is_some()
            || self.all().iter().any(|filter| filter.asks(Point::Request) || filter.asks(Point::Lookup))
    }
}

/// The filters of a node.
#[derive(Default)]
pub struct Filters {
    host: Mutex<Option<Arc<FilterHost>>>,
    loaded: Watched,
    /// Those that could not be loaded.
    pub(crate) absent: Absent,
    /// Asks by HTTP for them, and has them dial.
    pub(crate) fetchers: Fetchers,
    /// What is believed of those whom they dial.
    pub(crate) trusts: Trusts,
}

/// Those whose files are watched, and the databases they ask.
#[derive(Clone, Default)]
pub(crate) struct Watched {
    filters: Arc<RwLock<Vec<Arc<Filter>>>>,
    places: Arc<Places>,
}

impl Watched {
    fn read(&self) -> parking_lot::RwLockReadGuard<'_, Vec<Arc<Filter>>> {
        self.filters.read()
    }

    /// All of these files.
    pub(crate) fn files(&self) -> Vec<PathBuf> {
        let of = |filter: &Arc<Filter>| [filter.spec().file].into_iter().chain(filter.candidate_file());
        let filters = self.read().iter().flat_map(of).collect::<Vec<_>>();
        filters.into_iter().chain(self.places.files()).collect()
    }

    /// Loads those again whose file is one of these and holds something else than before.
    pub(crate) fn reload_changed(&self, is_named: impl Fn(&Path) -> bool) {
        self.places.read_again(&is_named);
        let known = self.read().clone();
        for filter in &known {
            if is_named(&filter.spec().file) {
                tell(filter.name(), filter.reload_if_changed());
            }
            if filter.candidate_file().is_some_and(|file| is_named(&file)) {
                tell_candidate(filter.name(), filter.retry_if_changed());
            }
        }
    }
}

/// Filters as a config has them, loaded and tried; those that change wait to take over.
pub(crate) struct Next(Vec<(Arc<Filter>, Planned)>);

impl Next {
    /// The databases of places, where one of them asks for these.
    ///
    /// # Errors
    /// That one cannot be read.
    pub(crate) fn places(&self, config: &Config) -> Result<Vec<Arc<Database>>, String> {
        match self.0.iter().any(|(filter, planned)| filter.will_want_places(planned)) {
            true => Places::read(&config.geo.database),
            false => Ok(Vec::new()),
        }
    }
}

impl Filters {
    /// Loads what is new or differs in a config, whose filters are `raws`.
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
        let known = self.loaded.read().clone();
        let is_known = |raw: &Plugin| known.iter().any(|filter| filter.name() == raw.name);
        let mut next = Vec::new();
        for raw in raws.iter().copied() {
            let problem = |error| format!("plugin {:?}: {error}", raw.name);
            raw.check_filter()?;
            if lacking.rests(raw) {
                continue;
            }
            let spec = spec(raw, config);
            if let Some(granted) = &spec.dial {
                self.trusts.read(granted).map_err(problem)?;
            }
            let filter = match known.iter().find(|filter| filter.name() == raw.name) {
                Some(filter) => filter.clone(),
                None => match self.host(config, compiler)?.load(spec.clone()) {
                    Ok(filter) => filter,
                    Err(error) => {
                        lacking.note(raw, &error)?;
                        continue;
                    }
                },
            };
            let planned = plan(&filter, raw, &spec, lacking)?;
            let lost = filter.will_want_places(&planned) && config.geo.database.is_empty();
            let told = "it asks where clients are: name an MMDB file in [geo] database";
            match lost {
                true if is_known(raw) => return Err(problem(told.to_owned())),
                true => lacking.note(raw, &told)?,
                false => next.push((filter, planned)),
            }
        }
        Ok(Next(next))
    }

    /// From now on there are these, and these databases for them. What was prepared takes over.
    pub(crate) fn adopt(&self, Next(next): Next, places: Vec<Arc<Database>>) {
        self.loaded.places.adopt(places);
        let adopted = next.into_iter().map(|(filter, planned)| {
            filter.carry_out(planned);
            filter
        });
        *self.loaded.filters.write() = adopted.collect();
    }

    /// Gives each site its filters. To be called before sites are routed to.
    pub(crate) fn seat(&self, sites: &Sites) {
        let loaded = self.loaded.read();
        for chain in sites.all().iter().map(|site| &site.filters) {
            let of = |name: &String| loaded.iter().find(|filter| filter.name() == name).cloned();
            let filters = chain.names.iter().filter_map(of).collect();
            let missing = chain.names.iter().find(|name| self.absent.is_closed(name)).cloned();
            let _ = chain.seated.set(Seated { filters, missing, places: self.loaded.places.clone() });
        }
    }

    /// The host, made when the first filter is.
    fn host(&self, config: &Config, compiler: Option<&Compiler>) -> Result<Arc<FilterHost>, String> {
        let mut host = self.host.lock();
        if let Some(host) = &*host {
            return Ok(host.clone());
        }
        let cache_dir = config.node.data.as_ref().map(|data| data.join("plugins"));
        let made = FilterHost::new(HostSettings { cache_dir, compiler: compiler.cloned(), now_ms })?;
        made.fetch_by(Arc::new(self.fetchers.clone()));
        made.dial_by(self.fetchers.wires());
        Ok(host.insert(made).clone())
    }

    /// Leaves what filters keep on disk to the process that has replaced this one.
    pub(crate) fn release(&self) {
        if let Some(host) = &*self.host.lock() {
            host.release();
        }
    }

    pub(crate) fn all(&self) -> Vec<Arc<Filter>> {
        self.loaded.read().clone()
    }

    pub(crate) fn watched(&self) -> Watched {
        self.loaded.clone()
    }

    pub(crate) fn status(&self) -> Vec<FilterStatus> {
        self.loaded.read().iter().map(|filter| filter.status()).collect()
    }

    pub(crate) fn samples(&self, name: &str) -> Vec<Sample> {
        self.loaded.read().iter().flat_map(|filter| samples_of(&filter.status(), name)).collect()
    }
}

/// What a plugin said beyond its bounds.
pub(crate) fn dropped(label: &(&'static str, String), Dropped { lines, counts }: Dropped) -> Vec<Sample> {
    let of = |(what, count): (&str, u64)| (count as f64, vec![label.clone(), ("what", what.to_owned())]);
    [("line", lines), ("count", counts)].into_iter().map(of).collect()
}

fn samples_of(status: &FilterStatus, name: &str) -> Vec<Sample> {
    let label = ("plugin", status.name.clone());
    let one = |value: f64| vec![(value, vec![label.clone()])];
    match name {
        "littoral_plugin_calls_total" => one(status.calls as f64),
        "littoral_plugin_faults_total" => {
            let of = |(kind, count): (&&str, &u64)| (*count as f64, vec![label.clone(), ("kind", (*kind).to_owned())]);
            status.faults.iter().map(of).collect()
        }
        "littoral_plugin_memory_bytes" => one(status.memory_bytes as f64),
        "littoral_plugin_generation" => one(status.generation as f64),
        "littoral_plugin_loaded" => one(1.0),
        "littoral_plugin_dropped_total" => dropped(&label, status.dropped),
        "littoral_plugin_quarantined" => one(f64::from(status.quarantined_until_ms > 0)),
        "littoral_plugin_counts_total" => {
            let of =
                |(counter, count): (&u32, &u64)| (*count as f64, vec![label.clone(), ("counter", counter.to_string())]);
            status.counters.iter().map(of).collect()
        }
        "littoral_filter_calls_total" => {
            let of =
                |(point, count): (&&str, &u64)| (*count as f64, vec![label.clone(), ("point", (*point).to_owned())]);
            status.calls_by_point.iter().map(of).collect()
        }
        "littoral_filter_faults_total" => {
            let kinds = status.faults_by_point.iter();
            let each = kinds.flat_map(|(point, kinds)| kinds.iter().map(move |(kind, count)| (point, kind, count)));
            let of = |(point, kind, count): (&&str, &&str, &u64)| {
                let labels = vec![label.clone(), ("point", (*point).to_owned()), ("kind", (*kind).to_owned())];
                (*count as f64, labels)
            };
            each.map(of).collect()
        }
        "littoral_plugin_ticks_total" => ticks::samples(&label, status.ticks.as_ref()),
        name if outside::is_of(name) => {
            outside::samples(name, &label, status.dialled.as_ref(), status.durable.as_ref())
        }
        name if name.starts_with(fetched::FAMILY) => fetched::samples(name, &label, status.fetched.as_ref()),
        "littoral_filter_instances" => one(status.instances as f64),
        "littoral_filter_store_bytes" => status.store.map_or_else(Vec::new, |held| one(held.bytes as f64)),
        "littoral_plugin_generation_calls_total" | "littoral_plugin_generation_faults_total" => {
            rollouts::generations(name, &label, &status.generations)
        }
        name => rollouts::samples(name, &label, status.rollout.as_ref()),
    }
}

/// What a config wants of a filter and did not want before.
fn plan(filter: &Filter, raw: &Plugin, spec: &FilterSpec, lacking: &mut Lacking) -> Result<Planned, String> {
    let candidate = if lacking.candidate_rests(raw) { None } else { raw.candidate() };
    let candidate = candidate.map(|(file, sha256, share)| (FilterSpec { file, sha256, ..spec.clone() }, share));
    let told = |error: LoadError| format!("plugin {:?}: {error}", raw.name);
    match filter.plan(spec.clone(), candidate) {
        Err(error) if lacking.without_candidate(raw, &error) => filter.plan(spec.clone(), None).map_err(told),
        planned => planned.map_err(told),
    }
}

/// Checks that what a site wants of filters is there or known to be missing, and goes together with the rest of it.
///
/// # Errors
/// One line: the site, what is wrong, and the fix.
pub(crate) fn check_sites(config: &Config, Next(next): &Next, lacking: &Lacking) -> Result<(), String> {
    for site in &config.site {
        let host = site.hosts.first().map_or("", String::as_str);
        let in_parts = site.slice.is_some() || site.ranges == Ranges::Forward;
        for name in site.filters.iter().filter(|name| !lacking.has(name)) {
            let Some((filter, planned)) = next.iter().find(|(filter, _)| filter.name() == name) else {
                return Err(format!("site {host:?}: plugin {name:?} is no filter: name another in site.filters"));
            };
            let asks = |point| filter.will_ask(planned, point);
            if in_parts && (asks(Point::Body) || asks(Point::Lookup)) {
                return Err(format!(
                    "site {host:?}: filter {name:?} rewrites bodies or keys, which objects kept in parts do not allow: remove slice or ranges"
                ));
            }
        }
    }
    Ok(())
}

fn spec(raw: &Plugin, config: &Config) -> FilterSpec {
    let bytes = |size: crate::config::units::Size| usize::try_from(size.0).unwrap_or(usize::MAX);
    FilterSpec {
        name: raw.name.clone(),
        file: raw.file.clone(),
        config: serde_json::to_string(&raw.config).unwrap_or_else(|_| "{}".into()),
        sha256: raw.sha256.clone(),
        trust: config.plugins.trust(),
        memory_bytes: raw.memory.map(bytes),
        deadline_ms: raw.deadline.map(|deadline| deadline.0.as_millis() as u64),
        store_bytes: raw.store.map_or(0, bytes),
        http: raw.fetch(),
        durable: outside::durable(raw, config),
        dial: outside::dial(raw),
        closed: raw.on_fault == Some(OnFault::Closed),
        vectors: raw.vectors.clone(),
    }
}

//! What components run on, whatever they are for: an engine whose clock interrupts guests, what they may import, and the way of a
//! file's bytes to something that can be started.
//!
//! Each kind has a runtime and a pool of its own: connections that are open for hours must not take the instances that requests need.
//! All are configured alike, so that what was compiled for one fits the other. Invariant: a clock ends with its engine.

use std::ops::Range;
use std::sync::atomic::AtomicUsize;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use wasmtime::component::{Component, HasSelf, InstancePre, Linker};
use wasmtime::{Config, Enabled, Engine, Module, PoolingAllocationConfig};

use crate::ambient::Ambient;
use crate::artifact::{Part, Source, compiled, make_directory};
use crate::breaker::Gate;
use crate::component::Opened;
use crate::engine::{Content, HostSettings};
use crate::fetch::limits::{BODY_BYTES_MAX, ORIGINS_MAX, TIMEOUT_MS_MAX};
use crate::fetch::{self, FetchSpec, Fetched, Fetchers};
use crate::filter::Scripted;
use crate::filter::bindings::littoral::plugin::{ambient, env, store};
use crate::filter::limits::{DEADLINE_MS_MAX, FIBER_BYTES, PARTS_MAX, STORE_BYTES_MAX, STRUCTURES_BYTES_MAX, TICK_MS};
use crate::limits::TABLE_ELEMENTS_MAX;
use crate::service::{Dialled, Rate};
use crate::status::Counters;
use crate::store::Store;
use crate::tick::Tally;
use crate::turn::Turns;

/// Of guests with this data.
pub(crate) struct Runtime<G: 'static> {
    /// In messages and the clock's name.
    kind: &'static str,
    engine: Engine,
    linker: Linker<G>,
    settings: HostSettings,
    /// Whether fuel is counted, which costs time: for measurements.
    metered: bool,
    /// Who asks by HTTP for guests; before it is said, nobody can be reached.
    fetchers: OnceLock<Arc<dyn Fetchers>>,
}

impl<G> std::fmt::Debug for Runtime<G> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Runtime").field("settings", &self.settings).finish_non_exhaustive()
    }
}

/// What all instances of a plugin share, in all generations.
pub(crate) struct Shared {
    pub(crate) name: String,
    pub(crate) counters: Arc<Counters>,
    pub(crate) store: Arc<Store>,
    /// What a service has dialled.
    pub(crate) dialled: Arc<Dialled>,
    /// How often datagrams may have it commit.
    pub(crate) commits: Arc<Rate>,
    /// What it has asked by HTTP.
    pub(crate) fetched: Arc<Fetched>,
    /// What it does outside of requests.
    pub(crate) ticks: Tally,
    /// Who answers instead of those whom it is granted: of a script.
    pub(crate) scripted: Option<Arc<fetch::Granted>>,
    /// What is outside instead of what it is granted: of a script.
    pub(crate) outside: Option<Arc<Scripted>>,
    pub(crate) now_ms: fn() -> u64,
    pub(crate) instances: Arc<AtomicUsize>,
    /// Shut while it is in quarantine.
    pub(crate) gate: Arc<Gate>,
    /// Of its calls that compute for long.
    pub(crate) turns: Arc<Turns>,
}

impl Shared {
    /// Of the plugin of this name, with a store of so many bytes.
    pub(crate) fn new(name: &str, store_bytes: usize, now_ms: fn() -> u64) -> Self {
        let (counters, store) = (Arc::default(), Arc::new(Store::new(store_bytes)));
        let (dialled, commits, fetched, ticks, instances) = Default::default();
        let (name, gate) = (name.to_owned(), Arc::<Gate>::default());
        let turns = Turns::new(gate.clone(), now_ms);
        Self {
            name,
            counters,
            store,
            dialled,
            commits,
            fetched,
            ticks,
            scripted: None,
            outside: None,
            now_ms,
            instances,
            gate,
            turns,
        }
    }
}

impl<G: 'static> Runtime<G> {
    /// For so many instances at a time, of so much memory at most, whose fuel is counted or not, which may import what every guest may, of `ambient`, and what `add` adds. Its clock is a thread.
    ///
    /// # Errors
    /// When the machine cannot run compiled code, or the cache directory cannot be made.
    pub(crate) fn new(
        kind: &'static str,
        settings: HostSettings,
        (instances, memory_bytes, metered): (u32, usize, bool),
        ambient_of: fn(&mut G) -> &mut Ambient,
        add: impl FnOnce(&mut Linker<G>) -> wasmtime::Result<()>,
    ) -> Result<Self, String> {
        make_directory(&settings)?;
        let started = || {
            let mut config = config();
            config.allocation_strategy(pool(instances, memory_bytes)).consume_fuel(metered);
            let engine = Engine::new(&config)?;
            let mut linker = Linker::new(&engine);
            env::add_to_linker::<_, HasSelf<Ambient>>(&mut linker, ambient_of)?;
            ambient::add_to_linker::<_, HasSelf<Ambient>>(&mut linker, ambient_of)?;
            store::add_to_linker::<_, HasSelf<Ambient>>(&mut linker, ambient_of)?;
            add(&mut linker)?;
            start_clock(&engine, format!("{kind}-clock"))?;
            wasmtime::Result::Ok((engine, linker))
        };
        let (engine, linker) =
            started().map_err(|error: wasmtime::Error| format!("the {kind} engine cannot start: {error}"))?;
        Ok(Self { kind, engine, linker, settings, metered, fetchers: OnceLock::new() })
    }

    /// Whether fuel is counted.
    pub(crate) fn is_metered(&self) -> bool {
        self.metered
    }

    /// Says who asks by HTTP for guests that are loaded from now on. Once.
    pub(crate) fn fetch_by(&self, fetchers: Arc<dyn Fetchers>) {
        let _ = self.fetchers.set(fetchers);
    }

    /// Who asks for a guest, where it is granted that.
    ///
    /// # Errors
    /// What of the grant cannot be used.
    pub(crate) fn granted(&self, http: Option<&FetchSpec>) -> Result<Option<Arc<fetch::Granted>>, String> {
        let open = |spec| fetch::Granted::open(spec, self.fetchers.get()).map(Arc::new);
        http.map(open).transpose()
    }

    /// The clock that guests are told.
    pub(crate) fn now_ms(&self) -> fn() -> u64 {
        self.settings.now_ms
    }

    /// What a file holds, compiled and bound to what it imports.
    ///
    /// # Errors
    /// Why it cannot be started.
    pub(crate) fn prepare(&self, content: &Content) -> Result<InstancePre<G>, String> {
        let source = Source { bytes: content.bytes(), sha256: &content.sha256, part: Part::Component };
        let load = |code: &[u8]| self.component_of(code);
        let component = compiled(&self.engine, &self.settings, &source, Engine::precompile_component, load)?;
        let pre = self.linker.instantiate_pre(&component);
        pre.map_err(|error| format!("it is no {} of this contract: {error:#}", self.kind))
    }

    /// The core module that lies at `range` of a file, compiled.
    ///
    /// # Errors
    /// Why it cannot be.
    pub(crate) fn prepare_core(&self, content: &Content, range: Range<usize>) -> Result<Module, String> {
        let source = Source { bytes: &content.bytes()[range], sha256: &content.sha256, part: Part::Filter };
        let load = |code: &[u8]| self.module_of(code);
        compiled(&self.engine, &self.settings, &source, Engine::precompile_module, load)
    }

    #[allow(unsafe_code, reason = "wasmtime has no other way to load compiled code")]
    fn module_of(&self, code: &[u8]) -> wasmtime::Result<Module> {
        // SAFETY: as in `Host::module_of`.
        unsafe { Module::deserialize(&self.engine, code) }
    }

    #[allow(unsafe_code, reason = "wasmtime has no other way to load compiled code")]
    fn component_of(&self, code: &[u8]) -> wasmtime::Result<Component> {
        // SAFETY: as in `Host::module_of`, by `Engine::precompile_component`.
        unsafe { Component::deserialize(&self.engine, code) }
    }
}

/// Whether an operator may grant so much.
///
/// # Errors
/// Which key is too large, and its bound.
pub(crate) fn check_grants(
    (memory_bytes, memory_bytes_max): (Option<usize>, usize),
    store_bytes: usize,
    deadline_ms: Option<u64>,
) -> Result<(), String> {
    let bounds = [
        ("memory", memory_bytes.unwrap_or(0), memory_bytes_max),
        ("store", store_bytes, STORE_BYTES_MAX),
        ("deadline", deadline_ms.unwrap_or(0) as usize, DEADLINE_MS_MAX as usize),
    ];
    match bounds.into_iter().find(|(_, value, most)| value > most) {
        Some((key, value, most)) => Err(format!("{key} is at most {most}, not {value}")),
        None => Ok(()),
    }
}

/// Whether a guest that wants a store has one.
///
/// # Errors
/// That it has none, and how it is granted one.
pub(crate) fn check_store(opened: &Opened, store_bytes: usize) -> Result<(), String> {
    match opened.imports_ours("store") && store_bytes == 0 {
        true => Err("it wants a store: grant it one, such as `store = \"1MiB\"` in its [[plugin]]".into()),
        false => Ok(()),
    }
}

/// Whether a guest that keeps something on disk, or dials, may.
///
/// # Errors
/// That it may not, and how it is granted that.
pub(crate) fn check_outside(opened: &Opened, is_durable: bool, may_dial: bool) -> Result<(), String> {
    if opened.imports_ours("durable") && !is_durable {
        return Err("it wants a durable store: grant it one, such as `durable = \"64MiB\"` in its [[plugin]]".into());
    }
    match opened.imports_ours("dial") && !may_dial {
        true => Err("it dials: say whom it may, such as `dial = [\"mail.example.org:25\"]` in its [[plugin]]".into()),
        false => Ok(()),
    }
}

/// Whether a guest that asks by HTTP may, and no more is granted than can be.
///
/// # Errors
/// What is too much, or that nobody is granted, and how.
pub(crate) fn check_fetch(opened: &Opened, http: Option<&FetchSpec>) -> Result<(), String> {
    let Some(spec) = http else {
        return match opened.asks_by_http {
            true => Err(
                "it asks by HTTP: say whom it may, such as `http = [\"https://api.example.org\"]` in its [[plugin]]"
                    .into(),
            ),
            false => Ok(()),
        };
    };
    let bounds = [
        ("http entries", spec.reaches(true).len() + spec.reaches(false).len(), ORIGINS_MAX),
        ("http_timeout in ms", spec.timeout.as_millis() as usize, TIMEOUT_MS_MAX as usize),
        ("http_body", spec.body_bytes, BODY_BYTES_MAX),
    ];
    match bounds.into_iter().find(|(_, value, most)| value > most) {
        Some((key, value, most)) => Err(format!("{key}: at most {most}, not {value}")),
        None => Ok(()),
    }
}

/// Starts the thread that interrupts an engine's guests; it ends with the engine.
fn start_clock(engine: &Engine, name: String) -> std::io::Result<()> {
    const TICK: Duration = Duration::from_millis(TICK_MS);
    let weak = engine.weak();
    let tick = move || {
        // By when each is due: waits that are a little late each would add up, and a guest's deadline with them.
        let mut due = Instant::now();
        while let Some(engine) = weak.upgrade() {
            engine.increment_epoch();
            drop(engine);
            let now = Instant::now();
            // Ticks that nobody was there for are not made up for: guests had not run either.
            due = (due + TICK).max(now);
            std::thread::park_timeout(due - now);
        }
    };
    std::thread::Builder::new().name(name).spawn(tick).map(drop)
}

/// Components on fibers, interrupted by a clock. How instances are allocated is not said: the process that only compiles has none.
pub(crate) fn config() -> Config {
    let mut config = crate::engine::config();
    config
        .consume_fuel(false)
        .epoch_interruption(true)
        .wasm_component_model(true)
        // What is asynchronous here is the host; without it a call costs less than half.
        .concurrency_support(false)
        .async_stack_size(FIBER_BYTES);
    config
}

/// All memory that so many instances can have is reserved as addresses at the start; none of it is used before an instance is.
fn pool(instances: u32, memory_bytes: usize) -> PoolingAllocationConfig {
    let parts = instances * 2;
    let mut pool = PoolingAllocationConfig::default();
    pool.total_component_instances(instances)
        .total_core_instances(parts)
        .total_memories(instances)
        .total_tables(parts)
        .total_stacks(instances)
        .max_core_instances_per_component(PARTS_MAX)
        .max_memories_per_component(PARTS_MAX)
        .max_tables_per_component(PARTS_MAX)
        .max_component_instance_size(STRUCTURES_BYTES_MAX)
        .max_core_instance_size(STRUCTURES_BYTES_MAX)
        .max_memory_size(memory_bytes)
        .table_elements(TABLE_ELEMENTS_MAX)
        // So much of an instance's memory stays for the next one, set back by hand instead of by the kernel: the pages that it wrote to where
        // the kernel says which (Linux 6.7), else the first ones.
        .pagemap_scan(Enabled::Auto)
        .linear_memory_keep_resident(64 << 10)
        .table_keep_resident(4 << 10)
        .async_stack_keep_resident(16 << 10);
    pool
}

//! The engine of filters, and the way of a file to a filter.
//!
//! It differs from that of policies in everything that matters: components instead of core modules, fibers, a clock that
//! interrupts, instances out of a pool. Nothing of one is ever handed to the other (ADR 10).

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering::Relaxed};
use std::time::Duration;

use wasmtime::component::{Component, HasSelf, Linker};
use wasmtime::{Config, Engine, PoolingAllocationConfig};

use super::bindings::littoral::plugin::{ambient, env, exchange, place, store};
use super::guest::Guest;
use super::instance::Manifest;
use super::limits::{
    DEADLINE_MS_MAX, FIBER_BYTES, INSTANCES_TOTAL, PARTS_MAX, STORE_BYTES_MAX, STRUCTURES_BYTES_MAX, TICK_MS,
};
use super::plugin::{Code, Filter, Generation, Shared, start};
use super::vectors::canary;
use crate::ambient::Ambient;
use crate::artifact::{Source, compiled, make_directory};
use crate::bounds::at_once;
use crate::component::{Opened, open};
use crate::engine::{Content, HostSettings, LoadError};
use crate::limits::{MEMORY_BYTES_MAX, TABLE_ELEMENTS_MAX};
use crate::signature::Trust;
use crate::status::Counters;
use crate::store::Store;

/// A filter as the operator configures it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct FilterSpec {
    /// Its name.
    pub name: String,
    /// Its component.
    pub file: PathBuf,
    /// Its config as JSON.
    pub config: String,
    /// The sha256 its file must have, in hex.
    pub sha256: Option<String>,
    /// Who must have signed it.
    pub trust: Trust,
    /// Linear memory in bytes; `None`: [`super::limits::MEMORY_BYTES_DEFAULT`].
    pub memory_bytes: Option<usize>,
    /// Milliseconds a call may compute; `None`: [`super::limits::DEADLINE_MS_DEFAULT`].
    pub deadline_ms: Option<u64>,
    /// Bytes of the store it is granted; 0: none.
    pub store_bytes: usize,
    /// Whether a request fails when the filter does.
    pub closed: bool,
    /// Questions whose answers must be right before a generation goes live.
    pub vectors: Option<PathBuf>,
}

/// The host of filters.
pub struct FilterHost {
    engine: Engine,
    linker: Linker<Guest>,
    settings: HostSettings,
}

/// Numbers filters over all hosts of the process: threads keep their instances by number.
static IDS: AtomicU32 = AtomicU32::new(0);

impl std::fmt::Debug for FilterHost {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("FilterHost").field("settings", &self.settings).finish_non_exhaustive()
    }
}

impl FilterHost {
    /// A host. Its clock is a thread that ends with it.
    ///
    /// # Errors
    /// When the machine cannot run compiled code, or the cache directory cannot be made.
    pub fn new(settings: HostSettings) -> Result<Arc<Self>, String> {
        let told = |error: &dyn std::fmt::Display| format!("the filter engine cannot start: {error}");
        make_directory(&settings)?;
        let mut config = config();
        config.allocation_strategy(pool(INSTANCES_TOTAL));
        let engine = Engine::new(&config).map_err(|error| told(&error))?;
        let mut linker = Linker::new(&engine);
        add_to(&mut linker).map_err(|error| told(&error))?;
        start_clock(&engine, "filter-clock").map_err(|error| told(&error))?;
        Ok(Arc::new(Self { engine, linker, settings }))
    }

    /// Loads a filter.
    ///
    /// # Errors
    /// One line: the file, what it is, what was expected.
    pub fn load(self: &Arc<Self>, spec: FilterSpec) -> Result<Arc<Filter>, LoadError> {
        let content = Content::read(&spec.file)?;
        let shared = self.shared(&spec);
        let generation = self.generation(spec, &content, &shared)?;
        let id = IDS.fetch_add(1, Relaxed) as usize;
        Ok(Arc::new(Filter::new(id, self.clone(), shared, generation)))
    }

    fn shared(&self, spec: &FilterSpec) -> Shared {
        Shared {
            name: spec.name.clone(),
            counters: Arc::new(Counters::default()),
            store: Arc::new(Store::new(spec.store_bytes)),
            now_ms: self.settings.now_ms,
            instances: Arc::new(AtomicUsize::new(0)),
        }
    }

    /// Makes a generation of what a filter's file holds, tried with its config. Whoever puts it in force numbers it.
    pub(super) fn generation(
        &self,
        spec: FilterSpec,
        content: &Content,
        shared: &Shared,
    ) -> Result<Generation, LoadError> {
        let problem = |problem: String| LoadError::new(&spec.file, problem);
        content.check_pin(spec.sha256.as_deref()).map_err(problem)?;
        let signed_by = spec.trust.check(&spec.name, content.bytes()).map_err(problem)?;
        let opened = check(&spec, content.bytes()).map_err(problem)?;
        let source = Source { bytes: content.bytes(), sha256: &content.sha256 };
        let load = |code: &[u8]| self.component_of(code);
        let component =
            compiled(&self.engine, &self.settings, &source, Engine::precompile_component, load).map_err(problem)?;
        let pre = self.linker.instantiate_pre(&component);
        let pre = pre.map_err(|error| problem(format!("it is no filter of this contract: {error:#}")))?;
        let (sha256, loaded_ms) = (content.sha256.clone(), (self.settings.now_ms)());
        let code = Code { pre, manifest: Manifest::default(), wants_places: opened.imports_ours("place") };
        let mut generation = Generation { number: 1, spec, sha256, signed_by, loaded_ms, code };
        // The canary: it starts, takes its config and says what it asks for, before any request depends on it.
        let tried = at_once(async { Ok(start(&generation, shared, false).await) });
        let tried = tried.map_err(|error| error.to_string()).and_then(|tried| tried.map_err(|failure| failure.text));
        match tried {
            Ok(instance) => generation.code.manifest = instance.manifest,
            Err(text) => return Err(LoadError::new(&generation.spec.file, text)),
        }
        match generation.spec.vectors.as_ref().map_or(Ok(()), |file| canary(&generation, file)) {
            Ok(()) => Ok(generation),
            Err(text) => Err(LoadError::new(&generation.spec.file, text)),
        }
    }

    #[allow(unsafe_code, reason = "wasmtime has no other way to load compiled code")]
    fn component_of(&self, code: &[u8]) -> wasmtime::Result<Component> {
        // SAFETY: as in `Host::module_of`, by `Engine::precompile_component`.
        unsafe { Component::deserialize(&self.engine, code) }
    }
}

/// Loads a filter as a node would, with `config` (JSON) and all that can be granted.
///
/// # Errors
/// Why a node would refuse it.
pub(crate) fn try_out(file: &std::path::Path, config: &str) -> Result<(), String> {
    generation(file, config).map(drop)
}

/// A generation of such a filter, and the host that it lives in.
///
/// # Errors
/// Why a node would refuse it.
pub(crate) fn generation(file: &std::path::Path, config: &str) -> Result<(Arc<FilterHost>, Generation), String> {
    let host = FilterHost::new(HostSettings { cache_dir: None, compiler: None, now_ms: || 0 })?;
    let name = file.file_stem().map(|stem| stem.to_string_lossy().into_owned()).unwrap_or_default();
    let (file, config) = (file.to_owned(), config.to_owned());
    let memory_bytes = Some(MEMORY_BYTES_MAX);
    let spec = FilterSpec { name, file, config, memory_bytes, store_bytes: STORE_BYTES_MAX, ..FilterSpec::default() };
    let content = Content::read(&spec.file).map_err(|error| error.to_string())?;
    let shared = host.shared(&spec);
    let generation = host.generation(spec, &content, &shared).map_err(|error| error.to_string())?;
    Ok((host, generation))
}

/// Checks a spec and the imports and exports of its file.
fn check(spec: &FilterSpec, bytes: &[u8]) -> Result<Opened, String> {
    let bounds = [
        ("memory", spec.memory_bytes.unwrap_or(0), MEMORY_BYTES_MAX),
        ("store", spec.store_bytes, STORE_BYTES_MAX),
        ("deadline", spec.deadline_ms.unwrap_or(0) as usize, DEADLINE_MS_MAX as usize),
    ];
    if let Some((key, value, most)) = bounds.into_iter().find(|(_, value, most)| value > most) {
        return Err(format!("{key} is at most {most}, not {value}"));
    }
    let opened = open(bytes)?;
    opened.check_filter()?;
    if opened.imports_ours("store") && spec.store_bytes == 0 {
        return Err("it wants a store: grant it one, such as `store = \"1MiB\"` in its [[plugin]]".into());
    }
    Ok(opened)
}

/// What a filter may import.
fn add_to(linker: &mut Linker<Guest>) -> wasmtime::Result<()> {
    env::add_to_linker::<_, HasSelf<Ambient>>(linker, |guest| &mut guest.ambient)?;
    ambient::add_to_linker::<_, HasSelf<Ambient>>(linker, |guest| &mut guest.ambient)?;
    store::add_to_linker::<_, HasSelf<Ambient>>(linker, |guest| &mut guest.ambient)?;
    exchange::add_to_linker::<_, HasSelf<Guest>>(linker, |guest| guest)?;
    place::add_to_linker::<_, HasSelf<Guest>>(linker, |guest| guest)
}

/// Starts the thread that interrupts an engine's guests; it ends with the engine.
pub(crate) fn start_clock(engine: &Engine, name: &str) -> std::io::Result<()> {
    let weak = engine.weak();
    let tick = move || {
        while let Some(engine) = weak.upgrade() {
            engine.increment_epoch();
            drop(engine);
            std::thread::park_timeout(Duration::from_millis(TICK_MS));
        }
    };
    std::thread::Builder::new().name(name.into()).spawn(tick).map(drop)
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
pub(crate) fn pool(instances: u32) -> PoolingAllocationConfig {
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
        .max_memory_size(MEMORY_BYTES_MAX)
        .table_elements(TABLE_ELEMENTS_MAX)
        // So much of an instance's memory and stack stays for the next one, zeroed by hand instead of by the kernel.
        .linear_memory_keep_resident(64 << 10)
        .table_keep_resident(4 << 10)
        .async_stack_keep_resident(16 << 10);
    pool
}

//! The engine of filters, and the way of a file to a filter.
//!
//! It differs from that of policies in everything that matters: components instead of core modules, fibers, a clock that
//! interrupts, instances out of a pool. Nothing of one is ever handed to the other (ADR 10).

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering::Relaxed};
use std::time::Duration;

use sha2::{Digest, Sha256};
use wasmtime::component::{Component, HasSelf, Linker};
use wasmtime::{Config, Engine, PoolingAllocationConfig};

use super::bindings::HttpFilter;
use super::guest::Guest;
use super::instance::{Manifest, at_once};
use super::limits::{
    DEADLINE_MS_MAX, FIBER_BYTES, INSTANCES_TOTAL, PARTS_MAX, STORE_BYTES_MAX, STRUCTURES_BYTES_MAX, TICK_MS,
};
use super::plugin::{Filter, Generation, Shared, start};
use super::store::Store;
use crate::compile::{Failed, compile};
use crate::component::open;
use crate::engine::{Content, HostSettings, LoadError, make_private, write};
use crate::limits::{MEMORY_BYTES_MAX, TABLE_ELEMENTS_MAX};
use crate::signature::Trust;
use crate::status::Counters;

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
        if let Some(directory) = &settings.cache_dir {
            make_private(directory).map_err(|error| format!("{}: cannot be made: {error}", directory.display()))?;
        }
        let mut config = config();
        config.allocation_strategy(pool());
        let engine = Engine::new(&config).map_err(|error| told(&error))?;
        let mut linker = Linker::new(&engine);
        HttpFilter::add_to_linker::<_, HasSelf<Guest>>(&mut linker, |guest| guest).map_err(|error| told(&error))?;
        let weak = engine.weak();
        let tick = move || {
            while let Some(engine) = weak.upgrade() {
                engine.increment_epoch();
                drop(engine);
                std::thread::park_timeout(Duration::from_millis(TICK_MS));
            }
        };
        std::thread::Builder::new().name("filter-clock".into()).spawn(tick).map_err(|error| told(&error))?;
        Ok(Arc::new(Self { engine, linker, settings }))
    }

    /// Loads a filter.
    ///
    /// # Errors
    /// One line: the file, what it is, what was expected.
    pub fn load(self: &Arc<Self>, spec: FilterSpec) -> Result<Arc<Filter>, LoadError> {
        let content = Content::read(&spec.file)?;
        let shared = Shared {
            name: spec.name.clone(),
            counters: Arc::new(Counters::default()),
            store: Arc::new(Store::new(spec.store_bytes)),
            now_ms: self.settings.now_ms,
            instances: Arc::new(AtomicUsize::new(0)),
        };
        let generation = self.generation(spec, &content, &shared)?;
        let id = IDS.fetch_add(1, Relaxed) as usize;
        Ok(Arc::new(Filter::new(id, self.clone(), shared, generation)))
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
        check(&spec, content.bytes()).map_err(problem)?;
        let component = self.component(content).map_err(problem)?;
        let pre = self.linker.instantiate_pre(&component);
        let pre = pre.map_err(|error| problem(format!("it is no filter of this contract: {error:#}")))?;
        let (sha256, loaded_ms) = (content.sha256.clone(), (self.settings.now_ms)());
        let manifest = Manifest::default();
        let mut generation = Generation { number: 1, spec, pre, manifest, sha256, signed_by, loaded_ms };
        // The canary: it starts, takes its config and says what it asks for, before any request depends on it.
        let tried = at_once(async { Ok(start(&generation, shared, false).await) });
        let tried = tried.map_err(|error| error.to_string()).and_then(|tried| tried.map_err(|failure| failure.text));
        match tried {
            Ok(instance) => generation.manifest = instance.manifest,
            Err(text) => return Err(LoadError::new(&generation.spec.file, text)),
        }
        Ok(generation)
    }

    /// The compiled form: from the cache when it is there and fits this engine, else compiled.
    fn component(&self, content: &Content) -> Result<Component, String> {
        let name = |hash: u64| format!("{}-{hash:x}.cwasm", content.sha256);
        let cached = self.settings.cache_dir.as_ref().map(|directory| directory.join(name(self.engine_hash())));
        if let Some(component) = cached.as_ref().and_then(|path| self.cached(path)) {
            return Ok(component);
        }
        let code = self.compile(content.bytes())?;
        if let Some(path) = cached
            && let Err(error) = write(&path, &code)
        {
            tracing::warn!(path = %path.display(), error, "cannot keep a compiled plugin");
        }
        self.component_of(&code).map_err(|error| format!("its compiled code cannot be used: {error:#}"))
    }

    /// Compiles a component: elsewhere, or here when that cannot be.
    fn compile(&self, bytes: &[u8]) -> Result<Vec<u8>, String> {
        match self.settings.compiler.as_ref().map(|compiler| compile(compiler, bytes)) {
            Some(Ok(code)) => return Ok(code),
            Some(Err(Failed::Refused(problem))) => return Err(problem),
            Some(Err(Failed::Absent(error))) => tracing::warn!(%error, "plugins are compiled in this process"),
            None => {}
        }
        self.engine.precompile_component(bytes).map_err(|error| format!("it cannot be compiled: {error:#}"))
    }

    fn engine_hash(&self) -> u64 {
        use std::hash::{DefaultHasher, Hash, Hasher};
        let mut hasher = DefaultHasher::new();
        self.engine.precompile_compatibility_hash().hash(&mut hasher);
        hasher.finish()
    }

    fn cached(&self, path: &std::path::Path) -> Option<Component> {
        let bytes = std::fs::read(path).ok()?;
        // The last 32 bytes are the digest of the rest: a torn or changed file is compiled anew.
        let (code, digest) = bytes.split_at_checked(bytes.len().checked_sub(32)?)?;
        (Sha256::digest(code).as_slice() == digest).then(|| self.component_of(code).ok())?
    }

    #[allow(unsafe_code, reason = "wasmtime has no other way to load compiled code")]
    fn component_of(&self, code: &[u8]) -> wasmtime::Result<Component> {
        // SAFETY: as in `Host::module_of`: the bytes are this build's own, made just now or kept where only this user can write,
        // under a name with the configuration's hash and with a digest that matches.
        unsafe { Component::deserialize(&self.engine, code) }
    }
}

/// Loads a filter as a node would, with `config` (JSON) and all that can be granted.
///
/// # Errors
/// Why a node would refuse it.
pub(crate) fn try_out(file: &std::path::Path, config: &str) -> Result<(), String> {
    let host = FilterHost::new(HostSettings { cache_dir: None, compiler: None, now_ms: || 0 })?;
    let name = file.file_stem().map(|stem| stem.to_string_lossy().into_owned()).unwrap_or_default();
    let (file, config) = (file.to_owned(), config.to_owned());
    let memory_bytes = Some(MEMORY_BYTES_MAX);
    let spec = FilterSpec { name, file, config, memory_bytes, store_bytes: STORE_BYTES_MAX, ..FilterSpec::default() };
    host.load(spec).map(drop).map_err(|error| error.to_string())
}

/// Checks a spec and the imports and exports of its file.
fn check(spec: &FilterSpec, bytes: &[u8]) -> Result<(), String> {
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
    Ok(())
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

/// All memory that filters can have is reserved as addresses at the start; none of it is used before an instance is.
fn pool() -> PoolingAllocationConfig {
    let parts = INSTANCES_TOTAL * 2;
    let mut pool = PoolingAllocationConfig::default();
    pool.total_component_instances(INSTANCES_TOTAL)
        .total_core_instances(parts)
        .total_memories(INSTANCES_TOTAL)
        .total_tables(parts)
        .total_stacks(INSTANCES_TOTAL)
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

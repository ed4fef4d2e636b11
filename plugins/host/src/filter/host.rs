//! The engine of filters, and the way of a file to a filter.
//!
//! It differs from that of policies in everything that matters: components instead of core modules, fibers, a clock that
//! interrupts, instances out of a pool. Nothing of one is ever handed to the other (ADR 10).

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering::Relaxed};
use std::sync::{Arc, OnceLock};

use tempfile::TempDir;
use wasmtime::component::{HasSelf, Linker};

use super::answers::{Scripted, granted};
use super::bindings::littoral::plugin::{dial, durable, exchange, fetch, place};
use super::flat::{Found, eligible, linker};
use super::guest::Guest;
use super::instance::{Core, Manifest};
use super::limits::{INSTANCES_TOTAL, STORE_BYTES_MAX};
use super::plugin::{Code, Filter, Generation, start};
use super::script::Script;
use super::vectors::canary;
use crate::asked::Asked;
use crate::bounds::at_once;
use crate::component::{Opened, open};
use crate::directory;
use crate::durable::kept::OfKeeper;
use crate::durable::limits::{DURABLE_BYTES_MAX, DURABLE_KEYS_DEFAULT};
use crate::durable::{DurableSpec, Stores};
use crate::engine::{Content, HostSettings, LoadError, read};
use crate::fetch::{FetchSpec, Fetchers, OfGuest};
use crate::generations::Count;
use crate::limits::MEMORY_BYTES_MAX;
use crate::runtime::{Runtime, Shared, check_fetch, check_grants, check_outside, check_store};
use crate::service::vectors::Lines;
use crate::service::{DialSpec, OfDialer, Wires};
use crate::signature::Trust;

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
    /// Whom it may ask by HTTP.
    pub http: Option<FetchSpec>,
    /// What it may keep on disk.
    pub durable: Option<DurableSpec>,
    /// Whom it may dial.
    pub dial: Option<DialSpec>,
    /// Whether a request fails when the filter does.
    pub closed: bool,
    /// Questions whose answers must be right before a generation goes live.
    pub vectors: Option<PathBuf>,
}

/// The host of filters.
pub struct FilterHost {
    runtime: Runtime<Guest>,
    stores: Stores,
    /// What filters dial from; before it is said, nobody can be reached.
    wires: OnceLock<Wires>,
    /// Where a filter keeps something that is only tried.
    scratch: OnceLock<TempDir>,
}

impl std::fmt::Debug for FilterHost {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("FilterHost").field("runtime", &self.runtime).finish_non_exhaustive()
    }
}

/// Numbers filters over all hosts of the process: threads keep their instances by number.
static IDS: AtomicU32 = AtomicU32::new(0);

impl FilterHost {
    /// A host. Its clock is a thread that ends with it.
    ///
    /// # Errors
    /// When the machine cannot run compiled code, or the cache directory cannot be made.
    pub fn new(settings: HostSettings) -> Result<Arc<Self>, String> {
        Self::start(settings, false)
    }

    fn start(settings: HostSettings, metered: bool) -> Result<Arc<Self>, String> {
        let add = |linker: &mut Linker<Guest>| {
            exchange::add_to_linker::<_, HasSelf<Guest>>(linker, |guest| guest)?;
            place::add_to_linker::<_, HasSelf<Guest>>(linker, |guest| guest)?;
            durable::add_to_linker::<_, OfKeeper>(linker, Guest::keeper)?;
            dial::add_to_linker::<_, OfDialer>(linker, Guest::dialer)?;
            fetch::add_to_linker::<_, OfGuest>(linker, Guest::asker)
        };
        let instances = (INSTANCES_TOTAL, MEMORY_BYTES_MAX, metered);
        let runtime = Runtime::new("filter", settings, instances, |guest: &mut Guest| &mut guest.ambient, add);
        runtime.map(|runtime| {
            Arc::new(Self { runtime, stores: Stores::default(), wires: OnceLock::new(), scratch: OnceLock::new() })
        })
    }

    /// Says who asks by HTTP for filters that are loaded from now on. Once.
    pub fn fetch_by(&self, fetchers: Arc<dyn Fetchers>) {
        self.runtime.fetch_by(fetchers);
    }

    /// Says what filters that are loaded from now on dial from, and are woken by when they have waited for too long. Once.
    pub fn dial_by(&self, wires: Wires) {
        let _ = self.wires.set(wires);
    }

    /// Closes the files of what filters keep on disk for good: the process that replaces this one has them now. Filters here that ask for what is
    /// there are told that it is busy.
    pub fn release(&self) {
        self.stores.release();
    }

    /// Loads a filter.
    ///
    /// # Errors
    /// One line: the file, what it is, what was expected.
    pub fn load(self: &Arc<Self>, spec: FilterSpec) -> Result<Arc<Filter>, LoadError> {
        let shared = self.shared(&spec);
        self.load_with(spec, shared)
    }

    fn load_with(self: &Arc<Self>, spec: FilterSpec, shared: Shared) -> Result<Arc<Filter>, LoadError> {
        let content = Content::read(&spec.file)?;
        let generation = self.generation(spec, &content, &shared)?;
        let id = IDS.fetch_add(1, Relaxed) as usize;
        Ok(Arc::new(Filter::new(id, self.clone(), shared, generation)))
    }

    /// Its core module, where it may be called itself. What cannot, for whatever reason, goes by the component runtime.
    fn core(&self, opened: &Opened, content: &Content) -> Option<Core> {
        let module = self.runtime.prepare_core(content, eligible(opened, content.bytes())?).ok()?;
        let pre = linker(module.engine(), &module).and_then(|linker| linker.instantiate_pre(&module)).ok()?;
        Some(Core { found: Found::of(&module)?, pre, slow: AtomicBool::new(false) })
    }

    fn shared(&self, spec: &FilterSpec) -> Shared {
        Shared::new(&spec.name, spec.store_bytes, self.runtime.now_ms())
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
        let pre = self.runtime.prepare(content).map_err(problem)?;
        let (sha256, loaded_ms) = (content.sha256.clone(), (self.runtime.now_ms())());
        let (wants_places, ticks) = (opened.imports_ours("place"), opened.ticks());
        let fetch = self.runtime.granted(spec.http.as_ref()).map_err(problem)?;
        let durable = spec.durable.as_ref().map(|granted| self.stores.open(&granted.file));
        let durable = durable.transpose().map_err(problem)?;
        let wires = self.wires.get().cloned();
        let core = self.core(&opened, content);
        let metered = self.runtime.is_metered();
        let (manifest, asked) = (Manifest::default(), Asked::of(&opened));
        let code = Code { pre, core, manifest, wants_places, ticks, fetch, durable, wires, metered, asked };
        let mut generation =
            Generation { number: 1, spec, sha256, signed_by, loaded_ms, code, count: Count::default() };
        // The canary: it starts, takes its config and says what it asks for, before any request depends on it.
        let tried = at_once(async {
            let mut tried = start(&generation, shared, false).await;
            if ticks {
                tried = tried.and_then(|mut instance| instance.check_timer().map(|()| instance));
            }
            Ok(tried)
        });
        let tried = tried.map_err(|error| error.to_string()).and_then(|tried| tried.map_err(|failure| failure.text));
        match tried {
            Ok(instance) => generation.code.manifest = instance.manifest,
            Err(text) => return Err(LoadError::new(&generation.spec.file, text)),
        }
        let vectors = directory::vectors(generation.spec.vectors.as_deref(), &generation.spec.file);
        match vectors.map_or(Ok(()), |file| canary(&generation, &file)) {
            Ok(()) => Ok(generation),
            Err(text) => Err(LoadError::new(&generation.spec.file, text)),
        }
    }
}

/// Loads a filter as a node would, with `config` (JSON) and all that can be granted.
///
/// # Errors
/// Why a node would refuse it.
pub(crate) fn try_out(file: &Path, config: &str) -> Result<(), String> {
    generation(file, config).map(drop)
}

/// A generation of such a filter, and the host that it lives in.
///
/// # Errors
/// Why a node would refuse it.
pub(crate) fn generation(file: &Path, config: &str) -> Result<(Arc<FilterHost>, Generation), String> {
    generation_in(FilterHost::new(settings(|| 0))?, file, config)
}

/// The same, with fuel counted.
///
/// # Errors
/// As [`generation`].
pub(super) fn metered(file: &Path, config: &str) -> Result<(Arc<FilterHost>, Generation), String> {
    generation_in(FilterHost::start(settings(|| 0), true)?, file, config)
}

/// Such a filter as a node would have it, with a clock, and told what others answer to its requests and say when it dials them.
///
/// # Errors
/// As [`generation`].
pub(super) fn loaded(file: &Path, config: &str, now_ms: fn() -> u64, script: &Script) -> Result<Arc<Filter>, String> {
    let host = FilterHost::new(settings(now_ms))?;
    let spec = host.with_all(file, config)?;
    let dial = script.dial.clone();
    // To each call anew: one is not told what another was.
    let outside = Scripted::new(spec.durable.is_some(), Arc::new(move || Lines::new(&dial).wire()))?;
    let (scripted, outside) = (Some(granted(&script.fetch)), Some(Arc::new(outside)));
    let shared = Shared { scripted, outside, ..host.shared(&spec) };
    host.load_with(spec, shared).map_err(|error| error.to_string())
}

fn settings(now_ms: fn() -> u64) -> HostSettings {
    HostSettings { cache_dir: None, compiler: None, now_ms }
}

impl FilterHost {
    /// A filter that is granted all it asks for.
    fn with_all(&self, file: &Path, config: &str) -> Result<FilterSpec, String> {
        let keeps = read(file).and_then(|bytes| open(&bytes)).is_ok_and(|opened| opened.imports_ours("durable"));
        let durable = keeps.then(|| self.scratch_store()).transpose()?;
        let name = file.file_stem().map(|stem| stem.to_string_lossy().into_owned()).unwrap_or_default();
        Ok(FilterSpec {
            name,
            file: file.to_owned(),
            config: config.to_owned(),
            memory_bytes: Some(MEMORY_BYTES_MAX),
            store_bytes: STORE_BYTES_MAX,
            http: Some(FetchSpec::of(&[])),
            durable,
            dial: Some(DialSpec { reaches: Vec::new(), authorities: None }),
            ..FilterSpec::default()
        })
    }

    /// A store that goes with this host.
    fn scratch_store(&self) -> Result<DurableSpec, String> {
        let made = tempfile::tempdir().map_err(|error| format!("no directory to try it in: {error}"))?;
        let file = self.scratch.get_or_init(|| made).path().join("durable.redb");
        Ok(DurableSpec { file, bytes: DURABLE_BYTES_MAX, keys: DURABLE_KEYS_DEFAULT })
    }
}

fn generation_in(host: Arc<FilterHost>, file: &Path, config: &str) -> Result<(Arc<FilterHost>, Generation), String> {
    let spec = host.with_all(file, config)?;
    let content = Content::read(&spec.file).map_err(|error| error.to_string())?;
    let shared = host.shared(&spec);
    let generation = host.generation(spec, &content, &shared).map_err(|error| error.to_string())?;
    Ok((host, generation))
}

/// Checks a spec and the imports and exports of its file.
fn check(spec: &FilterSpec, bytes: &[u8]) -> Result<Opened, String> {
    check_grants((spec.memory_bytes, MEMORY_BYTES_MAX), spec.store_bytes, spec.deadline_ms)?;
    let opened = open(bytes)?;
    opened.check_filter()?;
    check_fetch(&opened, spec.http.as_ref())?;
    check_outside(&opened, spec.durable.is_some(), spec.dial.is_some())?;
    check_store(&opened, spec.store_bytes).map(|()| opened)
}

//! The engine and the way of a file to a plugin: read, check, compile or take from the cache, try, publish.
//!
//! Nothing here runs on a serving thread. A file that fails leaves what was there before.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};

use sha2::{Digest, Sha256};
use wasmtime::{Config, Engine, Module, OptLevel, WasmFeatures};

use crate::artifact::{Part, Source, compiled, make_directory};
use crate::asked::Asked;
use crate::compile::Compiler;
use crate::component::{Interface, Opened, open};
use crate::directory;
use crate::generations::Count;
use crate::instance::linker;
use crate::limits::{
    FILE_BYTES_MAX, MEMORY_BYTES_DEFAULT, MEMORY_BYTES_MAX, MEMORY_EXACT_BYTES_DEFAULT, MEMORY_EXACT_BYTES_MAX,
    STACK_BYTES_MAX,
};
use crate::plugin::{Code, Generation, Plugin};
use crate::record::RecordSpec;
use crate::signature::Trust;
use crate::vectors::canary;

/// How a host is set up.
#[derive(Debug, Clone)]
pub struct HostSettings {
    /// Keeps compiled plugins; without it they are compiled each time.
    pub cache_dir: Option<PathBuf>,
    /// Compiles plugins; without it this process does.
    pub compiler: Option<Compiler>,
    /// Unix milliseconds: the clock of the breaker, given so that tests need not wait.
    pub now_ms: fn() -> u64,
}

/// A plugin as the operator configures it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PluginSpec {
    /// Its name.
    pub name: String,
    /// Its component, or the directory that has it.
    pub file: PathBuf,
    /// Its config as JSON.
    pub config: String,
    /// The sha256 its file must have, in hex.
    pub sha256: Option<String>,
    /// Fuel of one call; `None`: by interface.
    pub fuel: Option<u64>,
    /// Linear memory in bytes; `None`: [`MEMORY_BYTES_DEFAULT`], or [`MEMORY_EXACT_BYTES_DEFAULT`] for a policy with state of its own.
    pub memory_bytes: Option<usize>,
    /// Vectors that each generation must pass before it goes live.
    pub vectors: Option<PathBuf>,
    /// Who must have signed it.
    pub trust: Trust,
    /// Where its decisions are recorded.
    pub record: Option<RecordSpec>,
}

impl PluginSpec {
    /// A plugin with an empty config and the defaults of everything.
    pub fn new(name: impl Into<String>, file: impl Into<PathBuf>) -> Self {
        let (name, file, config) = (name.into(), file.into(), "{}".to_owned());
        Self {
            name,
            file,
            config,
            sha256: None,
            fuel: None,
            memory_bytes: None,
            vectors: None,
            trust: Trust::default(),
            record: None,
        }
    }
}

/// Why a file is no plugin: one line with the file and what to do.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}: {problem}", file.display())]
pub struct LoadError {
    file: PathBuf,
    problem: String,
}

impl LoadError {
    pub(crate) fn new(file: &Path, problem: String) -> Self {
        Self { file: file.to_owned(), problem }
    }
}

/// What a plugin's file held when it was read.
pub(crate) struct Content {
    bytes: Vec<u8>,
    pub(crate) sha256: String,
}

/// The plugin host.
pub struct Host {
    engine: Engine,
    settings: HostSettings,
}

/// Numbers plugins over all hosts of the process: threads keep their instances by number.
static IDS: AtomicU32 = AtomicU32::new(0);

impl std::fmt::Debug for Host {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Host").field("settings", &self.settings).finish_non_exhaustive()
    }
}

impl Content {
    /// Reads `file`.
    ///
    /// # Errors
    /// When it cannot be read or is too large.
    pub(crate) fn read(file: &Path) -> Result<Self, LoadError> {
        let bytes = read(file).map_err(|problem| LoadError { file: file.to_owned(), problem })?;
        Ok(Self::of(bytes))
    }

    pub(crate) fn of(bytes: Vec<u8>) -> Self {
        Self { sha256: hex(&Sha256::digest(&bytes)), bytes }
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Checks that it is what the operator pinned.
    ///
    /// # Errors
    /// Both digests.
    pub(crate) fn check_pin(&self, pinned: Option<&str>) -> Result<(), String> {
        match pinned.filter(|pinned| !pinned.eq_ignore_ascii_case(&self.sha256)) {
            None => Ok(()),
            Some(pinned) => Err(format!(
                "its sha256 is {}, the config pins {pinned}: put the right file there or change the pin",
                self.sha256
            )),
        }
    }
}

impl Host {
    /// A host.
    ///
    /// # Errors
    /// When the machine cannot run compiled code, or the cache directory cannot be made.
    pub fn new(settings: HostSettings) -> Result<Arc<Self>, String> {
        make_directory(&settings)?;
        let engine = Engine::new(&config()).map_err(|error| format!("the plugin engine cannot start: {error}"))?;
        Ok(Arc::new(Self { engine, settings }))
    }

    /// Loads a plugin. `wanted` is the interface it is needed for; `None` takes any policy.
    ///
    /// # Errors
    /// One line: the file, what it is, what was expected.
    pub fn load(self: &Arc<Self>, spec: PluginSpec, wanted: Option<Interface>) -> Result<Arc<Plugin>, LoadError> {
        let content = Content::read(&spec.file)?;
        let generation = self.generation(spec, wanted, &content)?;
        let id = IDS.fetch_add(1, Relaxed) as usize;
        Ok(Arc::new(Plugin::new(id, self.clone(), wanted, generation)))
    }

    /// Its clock: Unix milliseconds.
    pub(crate) fn clock(&self) -> fn() -> u64 {
        self.settings.now_ms
    }

    /// Makes a generation of what a plugin's file holds, tried with its config. Whoever puts it in force numbers it.
    pub(crate) fn generation(
        &self,
        spec: PluginSpec,
        wanted: Option<Interface>,
        content: &Content,
    ) -> Result<Generation, LoadError> {
        let problem = |problem: String| LoadError { file: spec.file.clone(), problem };
        let Content { bytes, sha256 } = content;
        content.check_pin(spec.sha256.as_deref()).map_err(problem)?;
        let signed_by = spec.trust.check(&spec.name, bytes).map_err(problem)?;
        let opened = open(bytes).map_err(problem)?;
        opened.check(wanted).map_err(problem)?;
        let (memory_default, memory_max) = match opened.has(Interface::Exact) {
            true => (MEMORY_EXACT_BYTES_DEFAULT, MEMORY_EXACT_BYTES_MAX),
            false => (MEMORY_BYTES_DEFAULT, MEMORY_BYTES_MAX),
        };
        let memory_bytes = spec.memory_bytes.unwrap_or(memory_default);
        if memory_bytes > memory_max {
            return Err(problem(format!("memory is at most {memory_max} bytes, not {memory_bytes}")));
        }
        let source = Source { bytes: &bytes[opened.core.clone()], sha256, part: Part::Policy };
        let load = |code: &[u8]| self.module_of(code);
        let module =
            compiled(&self.engine, &self.settings, &source, Engine::precompile_module, load).map_err(problem)?;
        let interfaces = interfaces(&opened);
        let linker = linker(&self.engine, &module).map_err(problem)?;
        let [reads_measured, reads_priced] = ["measured", "priced"].map(|one| opened.imports_ours(one));
        let asked = Asked::of(&opened);
        let code = Code { module, linker, interfaces, memory_bytes, reads_measured, reads_priced, asked };
        let (sha256, loaded_ms) = (sha256.clone(), (self.settings.now_ms)());
        let generation = Generation { number: 1, spec, sha256, signed_by, loaded_ms, code, count: Count::default() };
        // The canary: it starts, has the contract's very types and takes its config, before anybody depends on it.
        let started = generation.instance(Arc::default()).map(drop);
        let vectors = directory::vectors(generation.spec.vectors.as_deref(), &generation.spec.file);
        let tried = started.and_then(|()| match &vectors {
            Some(vectors) => canary(&generation, vectors),
            None => Ok(()),
        });
        match tried {
            Ok(()) => Ok(generation),
            Err(problem) => Err(LoadError { file: generation.spec.file, problem }),
        }
    }

    #[allow(unsafe_code, reason = "wasmtime has no other way to load compiled code")]
    fn module_of(&self, code: &[u8]) -> wasmtime::Result<Module> {
        // SAFETY: the bytes were made by `Engine::precompile_module` of this very engine configuration and version (wasmtime
        // compares both): just now, by this process or by the program that its operator's node is, or before, and kept as
        // `artifact` says.
        unsafe { Module::deserialize(&self.engine, code) }
    }
}

/// Synchronous, fuelled, and without every proposal that policies do not need, whatever wasmtime's defaults become. The
/// flags and not the switches (`wasm_gc`, …): some of these exist only together with the feature they would turn off.
pub(crate) fn config() -> Config {
    let unneeded = WasmFeatures::MEMORY64
        | WasmFeatures::MULTI_MEMORY
        | WasmFeatures::TAIL_CALL
        | WasmFeatures::RELAXED_SIMD
        | WasmFeatures::WIDE_ARITHMETIC
        | WasmFeatures::CUSTOM_PAGE_SIZES
        | WasmFeatures::GC
        | WasmFeatures::GC_TYPES
        | WasmFeatures::FUNCTION_REFERENCES
        | WasmFeatures::THREADS
        | WasmFeatures::SHARED_EVERYTHING_THREADS
        | WasmFeatures::EXCEPTIONS
        | WasmFeatures::LEGACY_EXCEPTIONS
        | WasmFeatures::STACK_SWITCHING;
    let mut config = Config::new();
    config
        .consume_fuel(true)
        .epoch_interruption(false)
        .max_wasm_stack(STACK_BYTES_MAX)
        .cranelift_opt_level(OptLevel::Speed)
        .wasm_features(unneeded, false);
    config
}

fn interfaces(opened: &Opened) -> Vec<Interface> {
    Interface::ALL.into_iter().filter(|interface| opened.has(*interface)).collect()
}

/// What a file holds, or the one component in a directory.
pub(crate) fn read(file: &Path) -> Result<Vec<u8>, String> {
    let file = &directory::component(file)?;
    let length = std::fs::metadata(file).map_err(|error| format!("cannot be read: {error}"))?.len();
    if length > FILE_BYTES_MAX {
        return Err(format!("it has {length} bytes; a plugin has at most {FILE_BYTES_MAX}"));
    }
    std::fs::read(file).map_err(|error| format!("cannot be read: {error}"))
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

//! The engine of services, and the way of a file to a service.
//!
//! It is configured as that of filters, so that what was compiled for one fits the other, and has a pool of its own: connections that are
//! open for hours must not take the instances that requests need.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use wasmtime::Engine;
use wasmtime::component::{Component, HasSelf, Linker};

use super::bindings::littoral::plugin::connection;
use super::connection::Connection;
use super::datagrams;
use super::guest::Guest;
use super::limits::CONNECTIONS_TOTAL;
use super::plugin::{Code, Generation, Kind, Service, Shared, recipe, start};
use super::wire::Nowhere;
use crate::ambient::Ambient;
use crate::artifact::{Source, compiled, make_directory};
use crate::bounds::at_once;
use crate::component::open;
use crate::engine::{Content, HostSettings, LoadError};
use crate::filter::bindings::littoral::plugin::{ambient, env, store};
use crate::filter::limits::{DEADLINE_MS_MAX, STORE_BYTES_MAX};
use crate::filter::{config, pool, start_clock};
use crate::limits::MEMORY_BYTES_MAX;
use crate::signature::Trust;

/// A service as the operator configures it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ServiceSpec {
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
    /// Linear memory in bytes; `None`: [`crate::filter::limits::MEMORY_BYTES_DEFAULT`].
    pub memory_bytes: Option<usize>,
    /// Milliseconds it may compute between two operations that moved bytes; `None`: [`super::limits::DEADLINE_MS_DEFAULT`].
    pub deadline_ms: Option<u64>,
    /// Bytes of the store it is granted; 0: none.
    pub store_bytes: usize,
}

/// The host of services.
pub struct ServiceHost {
    engine: Engine,
    linker: Linker<Guest>,
    settings: HostSettings,
}

impl std::fmt::Debug for ServiceHost {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ServiceHost").field("settings", &self.settings).finish_non_exhaustive()
    }
}

impl ServiceHost {
    /// A host. Its clock is a thread that ends with it.
    ///
    /// # Errors
    /// When the machine cannot run compiled code, or the cache directory cannot be made.
    pub fn new(settings: HostSettings) -> Result<Arc<Self>, String> {
        let told = |error: &dyn std::fmt::Display| format!("the service engine cannot start: {error}");
        make_directory(&settings)?;
        let mut config = config();
        config.allocation_strategy(pool(CONNECTIONS_TOTAL));
        let engine = Engine::new(&config).map_err(|error| told(&error))?;
        let mut linker = Linker::new(&engine);
        add_to(&mut linker).map_err(|error| told(&error))?;
        start_clock(&engine, "service-clock").map_err(|error| told(&error))?;
        Ok(Arc::new(Self { engine, linker, settings }))
    }

    /// Loads a service.
    ///
    /// # Errors
    /// One line: the file, what it is, what was expected.
    pub fn load(self: &Arc<Self>, spec: ServiceSpec) -> Result<Arc<Service>, LoadError> {
        let content = Content::read(&spec.file)?;
        let shared = Shared::new(&spec, self.settings.now_ms);
        let generation = self.generation(spec, &content, &shared)?;
        Ok(Arc::new(Service::new(self.clone(), shared, generation)))
    }

    /// Makes a generation of what a service's file holds, tried with its config. Whoever puts it in force numbers it.
    pub(super) fn generation(
        &self,
        spec: ServiceSpec,
        content: &Content,
        shared: &Shared,
    ) -> Result<Generation, LoadError> {
        let problem = |problem: String| LoadError::new(&spec.file, problem);
        content.check_pin(spec.sha256.as_deref()).map_err(problem)?;
        let signed_by = spec.trust.check(&spec.name, content.bytes()).map_err(problem)?;
        let kind = check(&spec, content.bytes()).map_err(problem)?;
        let source = Source { bytes: content.bytes(), sha256: &content.sha256 };
        let load = |code: &[u8]| self.component_of(code);
        let component =
            compiled(&self.engine, &self.settings, &source, Engine::precompile_component, load).map_err(problem)?;
        let pre = self.linker.instantiate_pre(&component);
        let pre = pre.map_err(|error| problem(format!("it is no service of this contract: {error:#}")))?;
        let (sha256, loaded_ms) = (content.sha256.clone(), (self.settings.now_ms)());
        let generation = Generation { number: 1, spec, sha256, signed_by, loaded_ms, code: Code { pre, kind } };
        // The canary: it starts and takes its config before any connection depends on it.
        let tried = at_once(async { Ok(try_one(&generation, shared).await) });
        match tried.map_err(|error| error.to_string()).and_then(|tried| tried) {
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

/// Starts an instance that serves nobody.
async fn try_one(generation: &Generation, shared: &Shared) -> Result<(), String> {
    match generation.code.kind {
        Kind::Connections => {
            let nowhere = Connection::new(Box::new(Nowhere), Arc::default());
            start(generation, shared, nowhere, false).await.map(drop).map_err(|(failure, _)| failure.text)
        }
        Kind::Datagrams => {
            let recipe = recipe(generation, shared).map_err(|failure| failure.text)?;
            datagrams::Instance::start(recipe, 1, false).await.map(drop).map_err(|failure| failure.text)
        }
    }
}

/// What a service may import.
fn add_to(linker: &mut Linker<Guest>) -> wasmtime::Result<()> {
    env::add_to_linker::<_, HasSelf<Ambient>>(linker, |guest| &mut guest.ambient)?;
    ambient::add_to_linker::<_, HasSelf<Ambient>>(linker, |guest| &mut guest.ambient)?;
    store::add_to_linker::<_, HasSelf<Ambient>>(linker, |guest| &mut guest.ambient)?;
    connection::add_to_linker::<_, HasSelf<Guest>>(linker, |guest| guest)
}

/// Loads a service as a node would, with `config` (JSON) and all that can be granted.
///
/// # Errors
/// Why a node would refuse it.
pub(crate) fn try_out(file: &Path, config: &str) -> Result<(), String> {
    let host = ServiceHost::new(HostSettings { cache_dir: None, compiler: None, now_ms: || 0 })?;
    let name = file.file_stem().map(|stem| stem.to_string_lossy().into_owned()).unwrap_or_default();
    let (file, config) = (file.to_owned(), config.to_owned());
    let memory_bytes = Some(MEMORY_BYTES_MAX);
    let spec = ServiceSpec { name, file, config, memory_bytes, store_bytes: STORE_BYTES_MAX, ..ServiceSpec::default() };
    host.load(spec).map(drop).map_err(|error| error.to_string())
}

/// Checks a spec and the imports and exports of its file, which say what kind it is of.
fn check(spec: &ServiceSpec, bytes: &[u8]) -> Result<Kind, String> {
    let bounds = [
        ("memory", spec.memory_bytes.unwrap_or(0), MEMORY_BYTES_MAX),
        ("store", spec.store_bytes, STORE_BYTES_MAX),
        ("deadline", spec.deadline_ms.unwrap_or(0) as usize, DEADLINE_MS_MAX as usize),
    ];
    if let Some((key, value, most)) = bounds.into_iter().find(|(_, value, most)| value > most) {
        return Err(format!("{key} is at most {most}, not {value}"));
    }
    let opened = open(bytes)?;
    let kind = if opened.is_datagrams() { Kind::Datagrams } else { Kind::Connections };
    match kind {
        Kind::Datagrams => opened.check_datagrams()?,
        Kind::Connections => opened.check_service()?,
    }
    match opened.imports_ours("store") && spec.store_bytes == 0 {
        true => Err("it wants a store: grant it one, such as `store = \"1MiB\"` in its [[plugin]]".into()),
        false => Ok(kind),
    }
}

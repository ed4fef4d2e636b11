//! The way of a file to a service, on a runtime of their own.

use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use wasmtime::component::{HasSelf, Linker};

use super::connection::Connection;
use super::datagrams;
use super::guest::Guest;
use super::limits::CONNECTIONS_TOTAL;
use super::outbound::{DialSpec, OfDialer};
use super::plugin::{Code, Generation, Kind, Service, recipe, start};
use super::swarm::{self, Content as Named, swarm_fetch, swarm_host};
use super::ticks;
use super::vectors::canary;
use super::wire::Nowhere;
use crate::ambient::Ambient;
use crate::asked::Asked;
use crate::bounds::at_once;
use crate::component::{Opened, open};
use crate::directory;
use crate::durable::kept::OfKeeper;
use crate::durable::limits::{DURABLE_BYTES_MAX, DURABLE_KEYS_DEFAULT};
use crate::durable::{DurableSpec, Stores};
use crate::engine::{Content, HostSettings, LoadError, read};
use crate::fetch::{FetchSpec, Fetchers, OfGuest};
use crate::filter::bindings::littoral::plugin::{connection, dial, durable, fetch};
use crate::filter::limits::STORE_BYTES_MAX;
use crate::generations::Count;
use crate::limits::MEMORY_BYTES_MAX;
use crate::runtime::{Runtime, Shared, check_fetch, check_grants, check_outside, check_store};
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
    /// What it may keep on disk.
    pub durable: Option<DurableSpec>,
    /// Whom it may dial.
    pub dial: Option<DialSpec>,
    /// Which contents of the cache it may send, if it is a swarm.
    pub content: Vec<Named>,
    /// Whom it may ask by HTTP.
    pub http: Option<FetchSpec>,
    /// What each generation must do before it goes live.
    pub vectors: Option<PathBuf>,
}

/// The host of services.
#[derive(Debug)]
pub struct ServiceHost {
    runtime: Runtime<Guest>,
    settings: HostSettings,
    /// Of swarms, whose instances are few and large; made when the first is loaded.
    swarms: OnceLock<Runtime<Guest>>,
    stores: Stores,
}

impl ServiceHost {
    /// A host. Its clock is a thread that ends with it.
    ///
    /// # Errors
    /// When the machine cannot run compiled code, or the cache directory cannot be made.
    pub fn new(settings: HostSettings) -> Result<Arc<Self>, String> {
        Self::start(settings, false)
    }

    fn start(settings: HostSettings, metered: bool) -> Result<Arc<Self>, String> {
        let add = |linker: &mut Linker<Guest>| {
            connection::add_to_linker::<_, HasSelf<Guest>>(linker, |guest| guest)?;
            durable::add_to_linker::<_, OfKeeper>(linker, Guest::keeper)?;
            dial::add_to_linker::<_, OfDialer>(linker, Guest::dialer)?;
            fetch::add_to_linker::<_, OfGuest>(linker, Guest::asker)
        };
        let pool = (CONNECTIONS_TOTAL, MEMORY_BYTES_MAX, metered);
        let runtime = Runtime::new("service", settings.clone(), pool, ambient_of, add)?;
        Ok(Arc::new(Self { runtime, settings, swarms: OnceLock::new(), stores: Stores::default() }))
    }

    /// What swarms run on.
    fn swarms(&self) -> Result<&Runtime<Guest>, String> {
        if let Some(runtime) = self.swarms.get() {
            return Ok(runtime);
        }
        let add = |linker: &mut Linker<Guest>| {
            durable::add_to_linker::<_, OfKeeper>(linker, Guest::keeper)?;
            swarm_fetch::add_to_linker::<_, HasSelf<Guest>>(linker, |guest| guest)?;
            swarm_host::add_to_linker::<_, HasSelf<Guest>>(linker, |guest| guest)
        };
        let pool = (swarm::limits::INSTANCES_TOTAL, swarm::limits::MEMORY_BYTES_MAX, self.runtime.is_metered());
        let made = Runtime::new("swarm", self.settings.clone(), pool, ambient_of, add)?;
        Ok(self.swarms.get_or_init(|| made))
    }

    /// Closes the files of what services keep on disk for good: the process that replaces this one has them now. Services here that ask for
    /// what is there are told that it is busy.
    pub fn release(&self) {
        self.stores.release();
    }

    /// Says who asks by HTTP for services that are loaded from now on. Once.
    pub fn fetch_by(&self, fetchers: Arc<dyn Fetchers>) {
        self.runtime.fetch_by(fetchers);
    }

    /// Loads a service.
    ///
    /// # Errors
    /// One line: the file, what it is, what was expected.
    pub fn load(self: &Arc<Self>, spec: ServiceSpec) -> Result<Arc<Service>, LoadError> {
        let content = Content::read(&spec.file)?;
        let shared = Shared::new(&spec.name, spec.store_bytes, self.runtime.now_ms());
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
        let (kind, opened) = check(&spec, content.bytes()).map_err(problem)?;
        let runtime = match kind {
            Kind::Swarm => self.swarms().map_err(problem)?,
            Kind::Connections | Kind::Datagrams => &self.runtime,
        };
        let pre = runtime.prepare(content).map_err(problem)?;
        let durable = spec.durable.as_ref().map(|granted| self.stores.open(&granted.file));
        let durable = durable.transpose().map_err(problem)?;
        let fetch = self.runtime.granted(spec.http.as_ref()).map_err(problem)?;
        let (ticks, asked) = (opened.ticks(), Asked::of(&opened));
        let is_metered = self.runtime.is_metered();
        let code = Code { pre, kind, ticks, durable, fetch, is_metered, asked };
        let (sha256, loaded_ms) = (content.sha256.clone(), (self.runtime.now_ms())());
        let generation = Generation { number: 1, spec, sha256, signed_by, loaded_ms, code, count: Count::default() };
        // The canary: it starts and takes its config before any connection depends on it.
        let tried = at_once(async { Ok(try_one(&generation, shared).await) });
        let tried = tried.map_err(|error| error.to_string()).and_then(|tried| tried);
        let vectors = directory::vectors(generation.spec.vectors.as_deref(), &generation.spec.file);
        match tried.and_then(|()| vectors.map_or(Ok(()), |file| canary(&generation, &file))) {
            Ok(()) => Ok(generation),
            Err(text) => Err(LoadError::new(&generation.spec.file, text)),
        }
    }
}

fn ambient_of(guest: &mut Guest) -> &mut Ambient {
    &mut guest.ambient
}

/// Starts an instance that serves nobody.
async fn try_one(generation: &Generation, shared: &Shared) -> Result<(), String> {
    match generation.code.kind {
        Kind::Connections => {
            let nowhere = Connection::none(Box::new(Nowhere));
            let tried = start(generation, shared, nowhere, false).await.map_err(|(failure, _)| failure.text);
            tried.and_then(|mut instance| ticks::check(generation, instance.ticker()))
        }
        Kind::Datagrams => {
            let recipe = recipe(generation, shared).map_err(|failure| failure.text)?;
            let nowhere = Connection::none(Box::new(Nowhere));
            let tried = datagrams::Instance::start(recipe, nowhere, 1, false).await.map_err(|failure| failure.text);
            tried.and_then(|mut instance| ticks::check(generation, instance.ticker()))
        }
        Kind::Swarm => swarm::try_one(generation, shared).await.map_err(|failure| failure.text),
    }
}

/// Loads a service as a node would, with `config` (JSON) and all that can be granted.
///
/// # Errors
/// Why a node would refuse it.
pub(crate) fn try_out(file: &Path, config: &str) -> Result<(), String> {
    Whole::load(file, config, false).map(drop)
}

/// A generation with all that can be granted, and what it lives in.
pub(super) struct Whole {
    pub(super) generation: Generation,
    _host: Arc<ServiceHost>,
    /// What it keeps on disk lies there.
    _directory: tempfile::TempDir,
}

impl Whole {
    /// Loads it as a node would, with `config` (JSON), and fuel counted or not.
    ///
    /// # Errors
    /// Why a node would refuse it.
    pub(super) fn load(file: &Path, config: &str, metered: bool) -> Result<Self, String> {
        let host = ServiceHost::start(HostSettings { cache_dir: None, compiler: None, now_ms: || 0 }, metered)?;
        let name = file.file_stem().map(|stem| stem.to_string_lossy().into_owned()).unwrap_or_default();
        let opened = read(file).and_then(|bytes| open(&bytes));
        let (is_swarm, keeps) =
            opened.map_or((false, false), |opened| (opened.is_swarm(), opened.imports_ours("durable")));
        let directory = tempfile::tempdir().map_err(|error| format!("no directory to try it in: {error}"))?;
        let on_disk = || DurableSpec {
            file: directory.path().join("durable.redb"),
            bytes: DURABLE_BYTES_MAX,
            keys: DURABLE_KEYS_DEFAULT,
        };
        let spec = ServiceSpec {
            name,
            file: file.to_owned(),
            config: config.to_owned(),
            memory_bytes: Some(if is_swarm { swarm::limits::MEMORY_BYTES_MAX } else { MEMORY_BYTES_MAX }),
            store_bytes: STORE_BYTES_MAX,
            durable: keeps.then(on_disk),
            dial: Some(DialSpec { reaches: Vec::new(), authorities: None }),
            http: Some(FetchSpec::of(&[])),
            ..ServiceSpec::default()
        };
        let content = Content::read(&spec.file).map_err(|error| error.to_string())?;
        let shared = Shared::new(&spec.name, spec.store_bytes, host.runtime.now_ms());
        let generation = host.generation(spec, &content, &shared).map_err(|error| error.to_string())?;
        Ok(Self { generation, _host: host, _directory: directory })
    }
}

/// What a file serves.
///
/// # Errors
/// One line: it cannot be read, or is no component.
pub(super) fn kind_of(file: &Path) -> Result<Kind, String> {
    let opened = read(file).and_then(|bytes| open(&bytes));
    opened.map(|opened| kind(&opened)).map_err(|problem| format!("{}: {problem}", file.display()))
}

fn kind(opened: &Opened) -> Kind {
    match () {
        () if opened.is_swarm() => Kind::Swarm,
        () if opened.is_datagrams() => Kind::Datagrams,
        () => Kind::Connections,
    }
}

/// Checks a spec and the imports and exports of its file, which say what kind it is of.
fn check(spec: &ServiceSpec, bytes: &[u8]) -> Result<(Kind, Opened), String> {
    let opened = open(bytes)?;
    let kind = kind(&opened);
    let memory_bytes_max = if kind == Kind::Swarm { swarm::limits::MEMORY_BYTES_MAX } else { MEMORY_BYTES_MAX };
    check_grants((spec.memory_bytes, memory_bytes_max), spec.store_bytes, spec.deadline_ms)?;
    match kind {
        Kind::Swarm => opened.check_swarm()?,
        Kind::Datagrams => opened.check_datagrams()?,
        Kind::Connections => opened.check_service()?,
    }
    check_outside(&opened, spec.durable.is_some(), spec.dial.is_some())?;
    check_fetch(&opened, spec.http.as_ref())?;
    check_store(&opened, spec.store_bytes).map(|()| (kind, opened))
}

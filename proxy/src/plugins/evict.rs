//! Cache policies: guests, which score samples or keep state of their own, and native ones by their names.
//!
//! A guest with state of its own decides for a tier through an instance of its own ([`Kept`]); the others it shares with whoever asks.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use arc_swap::ArcSwapOption;
use littoral_cache::{Candidate, Eviction, Keep, LfuSize, Verdict};
use littoral_evict::{Exact, Object as Arrival, Place, named};
use littoral_plugin_host::{Event, Host, HostSettings, Interface, Keeper, Object, Plugin, PluginSpec, What, types};

use super::Seat;
use crate::clock::now_ms;

/// The cache policy in a file, as a node would seat it, for a replay; its faults are told by the plugin's status.
///
/// # Errors
/// One line: the file, what it is, what was expected.
pub fn eviction_policy(file: &Path, config: &str) -> Result<(Box<dyn Eviction>, Arc<Plugin>), String> {
    let name = file.file_stem().map_or_else(String::new, |stem| stem.to_string_lossy().into_owned());
    let spec = PluginSpec { config: config.to_owned(), ..PluginSpec::new(name, file) };
    let host = Host::new(HostSettings { cache_dir: None, compiler: None, now_ms })?;
    let plugin = host.load(spec, Some(Interface::Cache)).map_err(|error| error.to_string())?;
    let seat = Arc::new(ArcSwapOption::new(Some(plugin.clone())));
    Ok((Box::new(GuestEviction { seat, native: NativeSeat::default() }), plugin))
}

/// The native policy with state of its own that decides, and its version; empty: none does.
#[derive(Debug, Clone, Default)]
pub(super) struct NativeSeat(Arc<ArcSwapOption<(&'static str, u64)>>);

/// Tells versions of native policies from those of plugins.
const NATIVE: u64 = 1 << 63;

impl NativeSeat {
    /// Seats the one of this name, or none. The one that sits there goes on.
    pub(super) fn name(&self, name: Option<&'static str>) {
        static VERSIONS: AtomicU64 = AtomicU64::new(0);
        let sits = self.0.load().as_ref().map(|seated| seated.0);
        if sits != name {
            // The lower half is a generation's, and it has none.
            let version = || NATIVE | VERSIONS.fetch_add(1, Relaxed) << 32;
            self.0.store(name.map(|name| Arc::new((name, version()))));
        }
    }
}

/// What decides what a cache keeps: the seated guest, by samples or with state of its own, or a native policy.
pub(super) struct GuestEviction {
    pub(super) seat: Seat,
    pub(super) native: NativeSeat,
}

impl Eviction for GuestEviction {
    fn admit(&self, object: &Candidate, fill_permille: u16, now_ms: u64, rand: u64) -> Verdict {
        self.admit_by(object, fill_permille, now_ms, rand).0
    }

    fn admit_by(&self, object: &Candidate, fill_permille: u16, now_ms: u64, rand: u64) -> (Verdict, Option<u64>) {
        let seat = self.seat.load();
        let said = seat.as_ref().and_then(|plugin| {
            let verdict = plugin.admit(&object_of(object), fill_permille, now_ms, rand).ok()?;
            Some((verdict, plugin.called()))
        });
        match said {
            Some((types::Verdict::Admit, generation)) => (Verdict::Admit, Some(generation)),
            Some((types::Verdict::Bypass, generation)) => (Verdict::Bypass, Some(generation)),
            None => (LfuSize.admit(object, fill_permille, now_ms, rand), None),
        }
    }

    fn exact(&self) -> Option<u64> {
        let native = self.native.0.load().as_ref().map(|native| native.1);
        native.or_else(|| self.seat.load().as_ref()?.exact())
    }

    fn keep(&self, bytes: u64) -> Option<(u64, Box<dyn Keep>)> {
        if let Some((name, version)) = self.native.0.load().as_deref() {
            return Some((*version, Box::new(named(name, bytes)?)));
        }
        let plugin = self.seat.load_full()?;
        let version = plugin.exact()?;
        match plugin.keeper(bytes) {
            // What was reloaded in between is started anew when its number is seen.
            Ok(keeper) => Some((version, Box::new(Kept::new(keeper?)))),
            Err(problem) => {
                tracing::error!(plugin = plugin.name(), problem, "cannot be started for the cache: samples decide");
                None
            }
        }
    }

    fn score(&self, sample: &[Candidate], now_ms: u64, rand: u64, scores: &mut [f32]) {
        let mut objects = [Object::default(); littoral_cache::limits::EVICTION_SAMPLE];
        let known = sample.len().min(objects.len());
        for (object, candidate) in objects.iter_mut().zip(sample) {
            *object = object_of(candidate);
        }
        let seat = self.seat.load();
        let scored = seat.as_ref().map(|plugin| plugin.score(&objects[..known], now_ms, rand, &mut scores[..known]));
        if !matches!(scored, Some(Ok(()))) {
            LfuSize.score(sample, now_ms, rand, scores);
        }
    }
}

fn object_of(candidate: &Candidate) -> Object {
    let Candidate { id, bytes, age_s, idle_s, ttl_s, fetch_us, hits, class } = *candidate;
    Object { id, bytes, age_s, idle_s, ttl_s, fetch_us, hits, class }
}

/// An exact policy that is a guest.
pub(crate) struct Kept {
    keeper: Keeper,
    /// Whether a use is told at once: what it gives up for that is no hit any more.
    at_once: bool,
    /// What it named when nobody was there to hear it.
    late: Vec<u32>,
}

impl Kept {
    /// For a node: uses are told with what comes next.
    fn new(keeper: Keeper) -> Self {
        Self { keeper, at_once: false, late: Vec::new() }
    }

    /// For a replay: each use is told at once.
    pub(crate) fn at_once(keeper: Keeper) -> Self {
        Self { at_once: true, ..Self::new(keeper) }
    }

    /// The instance.
    pub(crate) fn keeper(&self) -> &Keeper {
        &self.keeper
    }
}

impl Keep for Kept {
    fn is_broken(&self) -> bool {
        self.keeper.fault().is_some()
    }

    fn lied(&mut self) {
        self.keeper.lied();
    }

    fn is_up_to_date(&self) -> bool {
        self.keeper.is_up_to_date()
    }
}

impl Exact for Kept {
    fn used(&mut self, handle: u32, now_ms: u64, go: &mut Vec<u32>) {
        go.append(&mut self.late);
        let event = event(What::Used, handle, now_ms);
        if self.at_once {
            self.keeper.ask(Some(event), 0, go);
        } else {
            self.keeper.tell(event, go);
        }
    }

    fn arrives(&mut self, object: &Arrival, need: u64, now_ms: u64, go: &mut Vec<u32>) {
        go.append(&mut self.late);
        let Arrival { handle, key, bytes, fetch_us, place } = *object;
        let title = place.map(|Place { title, rung, segment }| (title, rung, segment));
        let event = Event { key, bytes, fetch_us, title, ..event(What::Arrives, handle, now_ms) };
        if need == 0 && !self.at_once {
            self.keeper.tell(event, go);
        } else {
            self.keeper.ask(Some(event), need, go);
        }
    }

    fn evict(&mut self, need: u64, _now_ms: u64, go: &mut Vec<u32>) {
        go.append(&mut self.late);
        self.keeper.ask(None, need, go);
    }

    fn gone(&mut self, handle: u32) {
        self.keeper.tell(event(What::Gone, handle, 0), &mut self.late);
    }
}

fn event(what: What, handle: u32, now_ms: u64) -> Event {
    Event { what, handle, key: 0, bytes: 0, now_ms, fetch_us: 0, title: None }
}

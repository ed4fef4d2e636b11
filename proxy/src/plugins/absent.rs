//! Plugins of the config that are not loaded: why, whom that turned away, and when they are tried again.
//!
//! Who takes their place is told where that is decided: native policies in [`super`], closed filters in [`crate::filters`], listeners in
//! [`crate::services`]. Loading again is [`crate::reload`]'s. Invariant: a plugin of the config in force runs or is here.

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use parking_lot::RwLock;
use serde_json::{Value, json};
use tokio::sync::Notify;
use tokio::time::{Instant, sleep_until};

use crate::clock::now_ms;
use crate::config::{OnFault, Plugin};
use crate::node::Node;
use crate::observe::metrics::Sample;

/// How long the first try after a failure waits; each later one waits twice as long as the one before.
const WAIT_FIRST: Duration = Duration::from_secs(1);
/// And at most so long.
const WAIT_MAX: Duration = Duration::from_secs(300);

/// Which plugins may be missing when a config is put in force.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Tolerated {
    /// Only those of these names: they were missing before. All others must be loaded.
    Those(HashSet<String>),
    /// Whichever: the node has nothing better to go on with.
    All,
}

impl Tolerated {
    /// All must be loaded.
    pub fn nobody() -> Self {
        Self::Those(HashSet::new())
    }

    fn has(&self, name: &str) -> bool {
        match self {
            Self::Those(names) => names.contains(name),
            Self::All => true,
        }
    }
}

/// What of a plugin is not there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Part {
    /// All of it.
    Plugin,
    /// The candidate beside it.
    Candidate,
}

/// One that is not loaded.
#[derive(Debug, Clone)]
struct Absentee {
    name: String,
    file: PathBuf,
    part: Part,
    /// Whether requests do not go past it, if it is a filter.
    closed: bool,
    problem: String,
    since_ms: u64,
    tries: u32,
    due: Instant,
    /// Requests, connections and datagrams.
    away: Arc<AtomicU64>,
}

/// Those of a node that are not loaded.
#[derive(Debug, Clone, Default)]
pub(crate) struct Absent(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    all: RwLock<Vec<Absentee>>,
    changed: Notify,
}

/// Those that are found missing while a config is applied.
#[derive(Debug)]
pub(crate) struct Lacking {
    tolerated: Tolerated,
    /// Those that were not there before.
    before: Vec<Absentee>,
    /// Whether those are left alone whose time has not come.
    only_due: bool,
    found: Vec<Absentee>,
}

impl Lacking {
    /// Whether a plugin is not to be tried now; it is missing then.
    pub(crate) fn rests(&mut self, raw: &Plugin) -> bool {
        self.rest(raw, Part::Plugin)
    }

    /// The same of its candidate.
    pub(crate) fn candidate_rests(&mut self, raw: &Plugin) -> bool {
        self.rest(raw, Part::Candidate)
    }

    fn rest(&mut self, raw: &Plugin, part: Part) -> bool {
        let known = self.before.iter().find(|one| one.name == raw.name && one.part == part);
        let Some(known) = known.filter(|known| self.only_due && known.due > Instant::now()) else { return false };
        self.found.push(known.clone());
        true
    }

    /// A plugin could not be loaded.
    ///
    /// # Errors
    /// One line, where the config cannot be put in force without it.
    pub(crate) fn note(&mut self, raw: &Plugin, problem: &dyn std::fmt::Display) -> Result<(), String> {
        if !self.tolerated.has(&raw.name) {
            return Err(format!("plugin {:?}: {problem}", raw.name));
        }
        self.push(raw, Part::Plugin, problem.to_string());
        Ok(())
    }

    /// Notes that a candidate, where there is one, could not be loaded; whether the plugin may go on without it.
    pub(crate) fn without_candidate(&mut self, raw: &Plugin, problem: &dyn std::fmt::Display) -> bool {
        let may = raw.candidate.is_some() && self.tolerated.has(&raw.name);
        if may {
            self.push(raw, Part::Candidate, problem.to_string());
        }
        may
    }

    fn push(&mut self, raw: &Plugin, part: Part, problem: String) {
        let before = self.before.iter().find(|one| one.name == raw.name && one.part == part);
        let tries = before.map_or(1, |before| before.tries.saturating_add(1));
        let file = if part == Part::Candidate { raw.candidate.clone() } else { None };
        // What is the same as before has been told.
        if before.is_none_or(|before| before.problem != problem) {
            let plugin = &raw.name;
            match part {
                Part::Plugin => tracing::error!(plugin, problem, "not loaded; the node goes on without it"),
                Part::Candidate => tracing::error!(plugin, problem, "its candidate is not loaded; it runs alone"),
            }
        }
        self.found.push(Absentee {
            name: raw.name.clone(),
            file: file.unwrap_or_else(|| raw.file.clone()),
            part,
            closed: raw.on_fault == Some(OnFault::Closed),
            problem,
            since_ms: before.map_or_else(now_ms, |before| before.since_ms),
            tries,
            due: Instant::now() + wait(tries),
            away: before.map(|before| before.away.clone()).unwrap_or_default(),
        });
    }

    /// Whether this one is missing.
    pub(crate) fn has(&self, name: &str) -> bool {
        self.found.iter().any(|one| one.name == name && one.part == Part::Plugin)
    }
}

/// How long to wait after so many tries that failed.
fn wait(tries: u32) -> Duration {
    WAIT_FIRST.saturating_mul(1 << tries.saturating_sub(1).min(16)).min(WAIT_MAX)
}

impl Absent {
    /// For whoever applies a config. `only_due`: those are left alone whose time has not come.
    pub(crate) fn begin(&self, tolerated: Tolerated, only_due: bool) -> Lacking {
        Lacking { tolerated, before: self.0.all.read().clone(), only_due, found: Vec::new() }
    }

    /// From now on these are missing.
    pub(crate) fn adopt(&self, lacking: Lacking) {
        let Lacking { before, found, .. } = lacking;
        let is_left = |one: &Absentee| found.iter().any(|left| left.name == one.name && left.part == one.part);
        for plugin in before.iter().filter(|one| !is_left(one)).map(|one| &one.name) {
            tracing::info!(plugin, "missing no more");
        }
        *self.0.all.write() = found;
        self.0.changed.notify_one();
    }

    /// All that are tried now are tried later: they cannot be put in force for this reason.
    pub(crate) fn postpone(&self, problem: &str) {
        let now = Instant::now();
        for one in self.0.all.write().iter_mut().filter(|one| one.due <= now) {
            if one.problem != problem {
                tracing::error!(plugin = one.name, problem, "not loaded");
                problem.clone_into(&mut one.problem);
            }
            one.tries = one.tries.saturating_add(1);
            one.due = now + wait(one.tries);
        }
        self.0.changed.notify_one();
    }

    /// Has those tried now whose file is one of these.
    pub(crate) fn hurry(&self, is_named: impl Fn(&Path) -> bool) {
        let now = Instant::now();
        self.0.all.write().iter_mut().filter(|one| is_named(&one.file)).for_each(|one| one.due = now);
        self.0.changed.notify_one();
    }

    /// Their names, and of those whose candidate is missing.
    pub(crate) fn names(&self) -> HashSet<String> {
        self.0.all.read().iter().map(|one| one.name.clone()).collect()
    }

    /// Their files.
    pub(crate) fn files(&self) -> Vec<PathBuf> {
        self.0.all.read().iter().map(|one| one.file.clone()).collect()
    }

    fn of<T>(&self, name: &str, part: Part, of: impl FnOnce(&Absentee) -> T) -> Option<T> {
        self.0.all.read().iter().find(|one| one.name == name && one.part == part).map(of)
    }

    /// Why this one is not loaded; `None`: it is.
    pub(crate) fn problem(&self, name: &str) -> Option<String> {
        self.of(name, Part::Plugin, |one| one.problem.clone())
    }

    /// The same of its candidate.
    pub(crate) fn candidate_problem(&self, name: &str) -> Option<String> {
        self.of(name, Part::Candidate, |one| one.problem.clone())
    }

    /// Whether this one is not loaded, and nothing goes past it.
    pub(crate) fn is_closed(&self, name: &str) -> bool {
        self.of(name, Part::Plugin, |one| one.closed).unwrap_or(false)
    }

    /// Somebody was turned away because this one is not loaded.
    pub(crate) fn turned_away(&self, name: &str) {
        self.of(name, Part::Plugin, |one| one.away.fetch_add(1, Relaxed));
    }

    /// A sentence for each.
    pub(crate) fn sentences(&self) -> Vec<String> {
        let of = |one: &Absentee| {
            let what = if one.part == Part::Candidate { "its candidate is" } else { "it is" };
            format!("plugin {:?}: {what} not loaded: {}", one.name, one.problem)
        };
        self.0.all.read().iter().map(of).collect()
    }

    /// What each is; of those who run without their candidates nothing.
    pub(crate) fn status(&self) -> Vec<Value> {
        let now = Instant::now();
        let of = |one: &Absentee| {
            json!({
                "name": one.name,
                "file": one.file.display().to_string(),
                "state": "not-loaded",
                "problem": one.problem,
                "since_ms": one.since_ms,
                "tries": one.tries,
                "next_try_ms": now_ms() + one.due.saturating_duration_since(now).as_millis() as u64,
                "turned_away": one.away.load(Relaxed),
                "generation": 0,
                "interfaces": [],
                "calls": 0,
                "faults": {},
                "memory_bytes": 0,
                "quarantined_until_ms": 0,
                "last_fault": one.problem,
            })
        };
        self.0.all.read().iter().filter(|one| one.part == Part::Plugin).map(of).collect()
    }

    pub(crate) fn samples(&self, name: &str) -> Vec<Sample> {
        let figure: fn(&Absentee) -> u64 = match name {
            "littoral_plugin_loaded" | "littoral_plugin_generation" => |_| 0,
            "littoral_plugin_turned_away_total" => |one| one.away.load(Relaxed),
            _ => return Vec::new(),
        };
        let all = self.0.all.read();
        let of = |one: &Absentee| (figure(one) as f64, vec![("plugin", one.name.clone())]);
        all.iter().filter(|one| one.part == Part::Plugin).map(of).collect()
    }

    /// Returns when one is due; never while none is missing.
    async fn due(&self) {
        loop {
            let first = self.0.all.read().iter().map(|one| one.due).min();
            let due = async {
                match first {
                    Some(first) => sleep_until(first).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                () = due => return,
                () = self.0.changed.notified() => {}
            }
        }
    }
}

/// Tries those again that are missing, each when its time has come, for as long as the node runs.
pub(crate) async fn keep(node: Arc<Node>) {
    loop {
        node.plugins.absent.due().await;
        if let Err(problem) = crate::reload::load_missing(&node, true).await {
            node.plugins.absent.postpone(&problem);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn raw(more: &str) -> Plugin {
        toml::from_str(&format!("name = \"p\"\nfile = \"p.wasm\"\n{more}")).unwrap()
    }

    /// Of each try that failed at its time: how long the next one waits, in seconds.
    #[tokio::test(start_paused = true)]
    async fn each_try_that_fails_waits_twice_as_long_as_the_one_before_up_to_five_minutes() {
        let (absent, raw) = (Absent::default(), raw(""));
        let mut waited = Vec::new();
        for _ in 0..11 {
            let mut lacking = absent.begin(Tolerated::All, true);
            assert!(!lacking.rests(&raw));
            lacking.note(&raw, &"no").unwrap();
            absent.adopt(lacking);
            let began = Instant::now();
            absent.due().await;
            waited.push(began.elapsed().as_secs());
        }
        assert_eq!(waited, [1, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300]);
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_not_due_rests_and_is_tried_when_its_file_changes() {
        let (absent, raw) = (Absent::default(), raw("on_fault = \"closed\"\n"));
        let mut lacking = absent.begin(Tolerated::All, true);
        lacking.note(&raw, &"no").unwrap();
        absent.adopt(lacking);
        absent.turned_away("p");
        let mut lacking = absent.begin(Tolerated::All, true);
        assert!(lacking.rests(&raw));
        absent.adopt(lacking);
        let told = absent.status();
        assert_eq!(
            (&told[0]["tries"], &told[0]["turned_away"], &told[0]["problem"]),
            (&json!(1), &json!(1), &json!("no"))
        );
        assert!(absent.is_closed("p"));
        absent.hurry(|file| file == Path::new("p.wasm"));
        absent.due().await;
        assert!(!absent.begin(Tolerated::All, true).rests(&raw));
    }

    #[test]
    fn who_is_not_tolerated_is_an_error_with_its_name() {
        let (absent, raw) = (Absent::default(), raw("candidate = \"q.wasm\"\n"));
        let mut lacking = absent.begin(Tolerated::nobody(), false);
        assert_eq!(lacking.note(&raw, &"no"), Err("plugin \"p\": no".to_owned()));
        assert!(!lacking.without_candidate(&raw, &"no") && !lacking.has("p"));
        let mut lacking = absent.begin(Tolerated::Those(HashSet::from(["p".to_owned()])), false);
        assert!(lacking.without_candidate(&raw, &"no") && !lacking.has("p"), "it runs without its candidate");
        absent.adopt(lacking);
        assert_eq!(absent.sentences(), ["plugin \"p\": its candidate is not loaded: no"]);
        assert_eq!((absent.problem("p"), absent.candidate_problem("p")), (None, Some("no".to_owned())));
    }
}

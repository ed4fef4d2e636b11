//! Standing jobs (`[[warm]]`): each day, when the window of one opens, its lists and logs are read and a job begins.
//!
//! What a job does is [`super::job`]'s; here is when there is one. Which day's have begun is kept in a file beside the book, so that a process
//! after this one begins none again; what had not ended is in the book. Invariants: of a standing job no more than one is open; one that is no
//! longer in the config, or reads otherwise there, is cancelled; a file that cannot be read costs that day's job, not the node.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use jiff::tz::TimeZone;
use littoral_manifests::limits::CATALOGUE_BYTES_MAX;
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tokio::sync::Notify;

use super::order::zone_of;
use super::window::Window;
use super::{Jobs, OPEN_MAX, Order, book, learn};
use crate::clock::now_ms;
use crate::config::Config;
use crate::config::warm::{WARM_MAX, Warm};
use crate::kept;
use crate::node::Node;
use crate::origin::hash_of;

/// Its name in the directory of the node.
const FILE: &str = "warm-standing.json";
/// Bytes of that file.
const FILE_BYTES_MAX: u64 = 64 << 10;
/// How often it is looked whether a window has opened: a clock may be set.
const LOOK: Duration = Duration::from_secs(20);

/// Which standing job a job is of.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Standing {
    /// Its name in the config.
    pub name: String,
    /// When its window opened, in s since 1970.
    pub opened_s: u64,
    /// Tells what was written in the config.
    pub hash: u64,
}

/// What has begun last, by name.
type Begun = BTreeMap<String, Standing>;

/// The standing jobs of a node.
#[derive(Debug, Default)]
pub(super) struct Days {
    file: Option<PathBuf>,
    begun: Mutex<Begun>,
    /// Why the last of one did not begin.
    errors: Mutex<BTreeMap<String, String>>,
    wake: Notify,
    /// Jobs that have begun, and those that could not.
    counts: [AtomicU64; 2],
}

impl Days {
    pub(super) fn new(directory: Option<&std::path::Path>) -> Self {
        Self { file: directory.map(|directory| directory.join(FILE)), ..Self::default() }
    }

    fn note(&self, standing: &Standing) {
        let mut begun = self.begun.lock();
        if begun.len() >= 2 * WARM_MAX && !begun.contains_key(&standing.name) {
            // Of those that are in no config any more.
            begun.clear();
        }
        begun.insert(standing.name.clone(), standing.clone());
    }
}

impl Jobs {
    /// The config may have changed.
    pub fn wake(&self) {
        self.days.wake.notify_one();
    }

    /// Standing jobs that have begun, and those that could not.
    pub fn standing_counts(&self) -> [(&'static str, u64); 2] {
        let [begun, failed] = self.days.counts.each_ref().map(|count| count.load(Relaxed));
        [("begun", begun), ("failed", failed)]
    }

    /// Those in the config, and what came of their last day.
    pub fn standing(&self, config: &Config) -> Value {
        let (begun, errors, now_s) = (self.days.begun.lock(), self.days.errors.lock(), now_ms() / 1000);
        let place = zone_of(config);
        let told = |warm: &Warm| {
            let window = window_of(warm, &place);
            let opens_in_s = window.as_ref().map(|window| window.opens_in(now_s).as_secs());
            json!({
                "name": warm.name,
                "window": warm.window,
                "zone": window.as_ref().map(Window::zone),
                "opens_in_s": opens_in_s,
                "opened_s": begun.get(&warm.name).map(|last| last.opened_s),
                "error": errors.get(&warm.name),
            })
        };
        config.warm.iter().map(told).collect()
    }
}

/// Goes on with what had not ended, then begins what is due, for ever. A process that has handed over begins nothing.
pub(crate) async fn keep(node: Arc<Node>) {
    book::resume(node.clone()).await;
    let Some(jobs) = node.warm.clone() else { return };
    tokio::spawn(super::link::follow(node.clone()));
    read(&jobs.days).await;
    loop {
        let config = node.settings.load_full();
        if node.upgrade.is_done() {
            return;
        }
        let stands = |open: &Standing| config.warm.iter().any(|warm| warm.name == open.name && hash(warm) == open.hash);
        jobs.cancel_standing(|open| !stands(open));
        let begun = jobs.days.begun.lock().clone();
        for (warm, standing) in due(&config.warm, &zone_of(&config), &begun, now_ms() / 1000) {
            // What waits for room is due still.
            if !jobs.is_open_of(&standing) && jobs.open() >= OPEN_MAX {
                continue;
            }
            begin(&node, &jobs, warm, standing).await;
        }
        let _ = tokio::time::timeout(LOOK, jobs.days.wake.notified()).await;
    }
}

/// What has to begin: whose window is open and which has not begun in it as it is written now.
fn due<'a>(config: &'a [Warm], place: &TimeZone, begun: &Begun, now_s: u64) -> Vec<(&'a Warm, Standing)> {
    let of = |warm: &'a Warm| {
        let opened_s = window_of(warm, place)?.opened_s(now_s)?;
        let standing = Standing { name: warm.name.clone(), opened_s, hash: hash(warm) };
        // A clock that is set back begins nothing twice.
        let has_begun =
            begun.get(&warm.name).is_some_and(|last| last.opened_s >= opened_s && last.hash == standing.hash);
        (!has_begun).then_some((warm, standing))
    };
    config.iter().filter_map(of).collect()
}

/// Of a checked config there is one.
fn window_of(warm: &Warm, place: &TimeZone) -> Option<Window> {
    Some(warm.window.parse::<Window>().ok()?.by(place))
}

fn hash(warm: &Warm) -> u64 {
    serde_json::to_vec(warm).map_or(0, |text| hash_of(&text))
}

/// Begins one day's job, unless the process before this one had.
async fn begin(node: &Arc<Node>, jobs: &Jobs, warm: &Warm, standing: Standing) {
    if !jobs.is_open_of(&standing) {
        // The day before's has had its window.
        jobs.cancel_standing(|open| open.name == standing.name);
        let order = ordered(warm.clone()).await.map(|order| Order { standing: Some(standing.clone()), ..order });
        let started = order.and_then(|order| jobs.start(node, order));
        let name = &warm.name;
        match &started {
            Ok(job) => tracing::info!(name, job = %job["id"], "a standing warm job begins"),
            Err(error) => tracing::warn!(name, error, "a standing warm job does not begin"),
        }
        jobs.days.counts[usize::from(started.is_err())].fetch_add(1, Relaxed);
        let mut errors = jobs.days.errors.lock();
        errors.retain(|known, _| known != name && node.settings.load().warm.iter().any(|warm| warm.name == *known));
        errors.extend(started.err().map(|error| (name.clone(), error)));
    }
    jobs.days.note(&standing);
    // First the order, or a crash between them would lose the day.
    book::write(node).await;
    write(jobs, node).await;
}

/// The order, with what its files say now.
async fn ordered(warm: Warm) -> Result<Order, String> {
    let read = tokio::task::spawn_blocking(move || {
        let text = |file: &PathBuf| {
            kept::text(file, CATALOGUE_BYTES_MAX as u64).map_err(|error| format!("{}: {error}", file.display()))
        };
        let list = warm.list.as_ref().map(text).transpose()?;
        let popularity = match warm.by_popularity.is_empty() {
            true => None,
            false => Some(learn::learn(&warm.by_popularity)?),
        };
        Ok(warm.order(list, popularity))
    });
    read.await.unwrap_or_else(|error| Err(error.to_string()))
}

async fn read(days: &Days) {
    let Some(file) = days.file.clone() else { return };
    let read =
        tokio::task::spawn_blocking(move || kept::read(&file, FILE_BYTES_MAX).map_err(|error| error.to_string()));
    let read = read.await.unwrap_or_else(|error| Err(error.to_string()));
    let begun = read.and_then(|text| {
        serde_json::from_str::<Begun>(text.as_deref().unwrap_or("{}")).map_err(|error| error.to_string())
    });
    match begun {
        Ok(begun) => *days.begun.lock() = begun,
        Err(error) => tracing::warn!(error, "{FILE}: which standing warm jobs have begun today is not known"),
    }
}

async fn write(jobs: &Jobs, node: &Arc<Node>) {
    let Some(file) = jobs.days.file.clone().filter(|_| !node.upgrade.is_done()) else { return };
    let text = serde_json::to_vec(&*jobs.days.begun.lock()).unwrap_or_default();
    if let Ok(Err(error)) = tokio::task::spawn_blocking(move || kept::write(&file, &text)).await {
        tracing::warn!(error, "standing warm jobs of today may begin again after a restart");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: u64 = 3600;
    const DAY: u64 = 24 * HOUR;

    fn warm(name: &str, window: &str) -> Warm {
        let url = "http://site.example/titles.txt".into();
        Warm { name: name.into(), window: window.into(), url, ..Warm::default() }
    }

    fn names(config: &[Warm], begun: &Begun, now_s: u64) -> Vec<(String, u64)> {
        due(config, &TimeZone::UTC, begun, now_s)
            .into_iter()
            .map(|(_, standing)| (standing.name, standing.opened_s))
            .collect()
    }

    #[test]
    fn a_job_is_due_once_in_each_opening_of_its_window_and_again_when_it_reads_otherwise() {
        let config = [warm("night", "02:00-06:00"), warm("late", "22:00-01:00")];
        let mut begun = Begun::new();
        assert!(names(&config, &begun, 10 * DAY + 12 * HOUR).is_empty());
        assert_eq!(names(&config, &begun, 10 * DAY + 3 * HOUR), [("night".into(), 10 * DAY + 2 * HOUR)]);
        // Over midnight it opened the day before.
        assert_eq!(names(&config, &begun, 10 * DAY + HOUR / 2), [("late".into(), 9 * DAY + 22 * HOUR)]);
        for (_, standing) in due(&config, &TimeZone::UTC, &begun.clone(), 10 * DAY + 3 * HOUR) {
            begun.insert(standing.name.clone(), standing);
        }
        assert!(names(&config, &begun, 10 * DAY + 5 * HOUR).is_empty(), "begun");
        assert!(names(&config, &begun, 9 * DAY + 5 * HOUR).is_empty(), "a clock set back");
        assert_eq!(names(&config, &begun, 11 * DAY + 2 * HOUR), [("night".into(), 11 * DAY + 2 * HOUR)]);
        let changed = [Warm { rate: Some("8Mbps".into()), ..config[0].clone() }];
        assert_eq!(names(&changed, &begun, 10 * DAY + 5 * HOUR), [("night".into(), 10 * DAY + 2 * HOUR)]);
    }

    #[test]
    fn no_more_days_are_known_than_a_few_for_each_that_may_stand() {
        let days = Days::new(None);
        for number in 0..10 * WARM_MAX {
            days.note(&Standing { name: number.to_string(), opened_s: 0, hash: 0 });
        }
        assert!(days.begun.lock().len() <= 2 * WARM_MAX);
    }
}

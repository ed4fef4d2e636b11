//! The disks of a node: from their config to the store before them, and what is told of them.
//!
//! What is kept there and how is `littoral_cache::disk`'s. A disk that cannot be used does not keep a node from running: it is
//! left out and said so.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

use littoral_cache::disk::{DiskSettings, Disks, SKIPPED, Standing, Volume};
use littoral_cache::{Eviction, Settings, Store};
use serde_json::{Value, json};

use crate::config::{Cache, Fsync};
use crate::observe::metrics::Sample;

/// Said to a purge that a disk, which is out now, could not record.
pub(crate) const UNRECORDED: &str =
    "purged, but a disk could not record it and is out: empty its directory before it is used again";

/// Said to a purge that comes after another process took the disks over, and failed.
pub(crate) const HANDED_OVER: &str =
    "a new process that was to take over had the disks already and ended: start this one anew, then purge again";

/// Said to a purge that another process of an upgrade did not confirm.
pub(crate) const UNCONFIRMED: &str =
    "purged here, but the other process of the upgrade that is under way did not confirm it: purge again";

/// How often it is looked whether a disk was taken out.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// The store that `[cache]` describes.
///
/// # Errors
/// When threads cannot be started.
pub fn store_of(config: &Cache, policy: Box<dyn Eviction>) -> Result<Arc<Store>, String> {
    let settings = Settings { memory_bytes: config.memory.0, object_bytes_max: config.max_object.0 };
    let store = if config.disk.is_empty() { Store::new(settings, policy) } else { on_disks(config, settings, policy)? };
    if store.pages().is_none() {
        tracing::warn!("this system gives no file in memory (memfd): large bodies are copied when they are sent");
    }
    Ok(store)
}

fn on_disks(config: &Cache, settings: Settings, policy: Box<dyn Eviction>) -> Result<Arc<Store>, String> {
    let of = |disk: &crate::config::Disk| DiskSettings {
        path: disk.path.clone(),
        bytes: disk.size.0,
        min_free: disk.min_free.0,
        weight: disk.weight,
        sync: disk.fsync == Fsync::Data,
    };
    let disks = Disks::open(config.disk.iter().map(of).collect());
    let problem = |error| format!("cannot start a thread for the disks: {error}");
    Store::on_disks(settings, policy, disks.map_err(problem)?).map_err(problem)
}

/// Says in the log which disks are out, for as long as the node runs.
pub(crate) async fn report(store: Arc<Store>) {
    let volumes = store.disks().map_or_else(Vec::new, |disks| disks.volumes().to_vec());
    let mut told = vec![false; volumes.len()];
    let mut every = tokio::time::interval(LOOK_EVERY);
    loop {
        every.tick().await;
        if store.disks().is_none_or(Disks::is_released) {
            return;
        }
        for (volume, told) in volumes.iter().zip(&mut told).filter(|(_, told)| !**told) {
            if let Standing::Out(why) = volume.standing() {
                *told = true;
                tracing::error!(
                    disk = %volume.settings().path.display(),
                    why,
                    "a disk is out; the node goes on without it until it is mended and the node started anew"
                );
            }
        }
    }
}

/// Gives what waits to be written this long.
pub(crate) fn finish(store: &Store, time: Duration) {
    if let Some(disks) = store.disks() {
        disks.flush(Instant::now() + time);
    }
}

/// What the admin API tells of each disk.
pub(crate) fn status(store: &Store) -> Value {
    let of = |volume: &Arc<Volume>| {
        let (waiting, waiting_bytes) = volume.waiting();
        let out = match volume.standing() {
            Standing::InUse => None,
            Standing::Out(why) => Some(why),
        };
        json!({
            "path": volume.settings().path,
            "in_use": out.is_none(),
            "out": out,
            "objects": volume.index().len(),
            "bytes": volume.index().bytes(),
            "bound_bytes": volume.settings().bytes,
            "scanned": volume.is_scanned(),
            "looked_at": volume.looked_at(),
            "waiting": waiting,
            "waiting_bytes": waiting_bytes,
        })
    };
    store.disks().map_or_else(|| json!([]), |disks| disks.volumes().iter().map(of).collect())
}

/// The samples of a `littoral_cache_disk_` metric; none without a disk.
pub(crate) fn samples(store: &Store, name: &str) -> Vec<Sample> {
    let Some(disks) = store.disks() else { return Vec::new() };
    let counters = disks.counters();
    let each = |value: fn(&Volume) -> u64| {
        let of =
            |volume: &Arc<Volume>| (value(volume) as f64, vec![("disk", volume.settings().path.display().to_string())]);
        disks.volumes().iter().map(of).collect()
    };
    let one = |value: u64| vec![(value as f64, Vec::new())];
    let counter = match name {
        "littoral_cache_disk_ledger_purges" => return one(disks.ledger().0 as u64),
        "littoral_cache_disk_ledger_overflows_total" => return one(disks.ledger().1),
        "littoral_cache_disk_opened" => return one(disks.opened() as u64),
        "littoral_cache_disk_objects" => return each(|volume| volume.index().len() as u64),
        "littoral_cache_disk_bytes" => return each(|volume| volume.index().bytes()),
        "littoral_cache_disk_bound_bytes" => return each(|volume| volume.settings().bytes),
        "littoral_cache_disk_in_use" => return each(|volume| u64::from(volume.standing() == Standing::InUse)),
        "littoral_cache_disk_exact" => return each(|volume| u64::from(volume.is_kept_exactly())),
        "littoral_cache_disk_exact_nonsense_total" => &counters.exact_nonsense,
        "littoral_cache_disk_exact_broken_total" => &counters.exact_broken,
        "littoral_cache_disk_scanned" => return each(|volume| u64::from(volume.is_scanned())),
        "littoral_cache_disk_scan_objects" => return each(Volume::looked_at),
        "littoral_cache_disk_waiting_bytes" => return each(|volume| volume.waiting().1),
        "littoral_cache_disk_skipped_total" => {
            let skipped = SKIPPED.into_iter().zip(&counters.skipped);
            return skipped
                .map(|(why, count)| (count.load(Relaxed) as f64, vec![("reason", why.to_owned())]))
                .collect();
        }
        "littoral_cache_disk_hits_total" => &counters.hits,
        "littoral_cache_disk_streamed_total" => &counters.streamed,
        "littoral_cache_disk_confirmed_total" => &counters.confirmed,
        "littoral_cache_disk_writes_total" => &counters.writes,
        "littoral_cache_disk_written_bytes_total" => &counters.written_bytes,
        "littoral_cache_disk_corrupt_total" => &counters.corrupt,
        "littoral_cache_disk_purged_total" => &counters.purged,
        "littoral_cache_disk_evicted_total" => &counters.evicted,
        "littoral_cache_disk_errors_total" => &counters.errors,
        "littoral_cache_disk_reads_refused_total" => &counters.reads_refused,
        "littoral_cache_disk_unrecorded_total" => &counters.unrecorded,
        _ => unreachable!("invariant: METRICS declares no other figure of disks: {name}"),
    };
    vec![(counter.load(Relaxed) as f64, Vec::new())]
}

//! Figures of the cache in memory.

use std::sync::atomic::Ordering::Relaxed;

use littoral_cache::{SLOT_BYTES, Store};

/// The figure that [`super::METRICS`] declares under this name.
pub(super) fn figure(store: &Store, name: &str) -> u64 {
    let (counters, pages) = (store.counters(), store.pages());
    match name {
        "littoral_cache_memory_bytes" => store.budget().used(),
        "littoral_cache_memory_bound_bytes" => store.budget().bound(),
        "littoral_cache_objects" => store.len() as u64,
        "littoral_cache_fills_open" => store.filling() as u64,
        "littoral_cache_published_total" => counters.published.load(Relaxed),
        "littoral_cache_fills_failed_total" => counters.fills_failed.load(Relaxed),
        "littoral_cache_fills_passed_total" => counters.fills_passed.load(Relaxed),
        "littoral_cache_readers_cut_total" => counters.readers_cut.load(Relaxed),
        "littoral_cache_not_admitted_total" => counters.not_admitted.load(Relaxed),
        "littoral_cache_no_room_total" => counters.no_room.load(Relaxed),
        "littoral_cache_evicted_total" => counters.evicted.load(Relaxed),
        "littoral_cache_evicted_bytes_total" => counters.evicted_bytes.load(Relaxed),
        "littoral_cache_evicted_by_ceiling_total" => counters.evicted_by_ceiling.load(Relaxed),
        "littoral_cache_evicted_in_haste_total" => counters.evicted_in_haste.load(Relaxed),
        "littoral_cache_exact" => u64::from(store.is_kept_exactly()),
        "littoral_cache_exact_uses_dropped_total" => store.uses_dropped(),
        "littoral_cache_exact_nonsense_total" => counters.exact_nonsense.load(Relaxed),
        "littoral_cache_exact_broken_total" => counters.exact_broken.load(Relaxed),
        "littoral_cache_expired_total" => counters.expired.load(Relaxed),
        "littoral_cache_purged_total" => counters.purged.load(Relaxed),
        "littoral_cache_discarded_total" => counters.discarded.load(Relaxed),
        "littoral_cache_pieces_joined_total" => counters.pieces_joined.load(Relaxed),
        "littoral_cache_pieces_dropped_total" => counters.pieces_dropped.load(Relaxed),
        "littoral_cache_fills_purged_total" => counters.fills_purged.load(Relaxed),
        "littoral_cache_pages_taken_bytes" => pages.map_or(0, |pages| (pages.taken() * SLOT_BYTES) as u64),
        "littoral_cache_pages_refused_total" => pages.map_or(0, |pages| pages.refused()),
        "littoral_cache_surrogate_keys_ignored_total" => counters.surrogate_keys_ignored.load(Relaxed),
        _ => unreachable!("invariant: METRICS declares no other cache figure: {name}"),
    }
}

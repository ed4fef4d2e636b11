//! An exact policy in memory decides as in a replay, whatever else happens to the objects.

use std::sync::atomic::AtomicU64;
use std::time::{Duration, UNIX_EPOCH};

use bytes::Bytes;
use littoral_evict::{NAMES, mix, named};

use super::*;
use crate::exact::testing::{Seats, Shared};
use crate::key::Key;
use crate::replay::{Exactly, Tier};
use crate::store::Settings;
use crate::store::tests::begin;
use crate::target::Target;
use crate::trace::Request;

const MEMORY: u64 = 1 << 20;
const CAPACITY: u64 = MEMORY / 1000 * LOW_WATERMARK_PERMILLE;

fn seated(name: &'static str) -> (Arc<Store>, Arc<Shared>) {
    let seats = Seats::new(name);
    let shared = seats.shared();
    let settings = Settings { memory_bytes: MEMORY, object_bytes_max: MEMORY };
    let store = Store::new(settings, Box::new(seats));
    store.evict(at(0));
    assert!(store.is_kept_exactly());
    (store, shared)
}

fn at(ms: u64) -> SystemTime {
    UNIX_EPOCH + Duration::from_millis(1_790_000_000_000 + ms)
}

/// The bytes of what a request of the trace asks for.
fn bytes_of(path: &str) -> usize {
    (mix(path.len() as u64 ^ path.bytes().map(u64::from).sum::<u64>()) % 9_000 + 1_000) as usize
}

fn put(store: &Arc<Store>, path: &str, ms: u64) -> Option<Arc<Entry>> {
    let bytes = bytes_of(path);
    let begun = super::super::Begin { begun: at(ms), ..begin(store, path, Some(bytes as u64), None) };
    let mut writer = store.admit(begun).ok()?.start(None, None);
    writer.write(Bytes::from(vec![0; bytes])).unwrap();
    writer.finish(at(ms)).unwrap()
}

/// Stills that are asked for more or less often, and titles played from their start, by turns.
fn requests() -> impl Iterator<Item = (u64, String)> {
    let mut viewers = [(0_u64, 0_u64, 0_u64); 8];
    (0..12_000_u64).map(move |number| {
        let random = mix(number);
        let path = if number % 2 == 0 {
            format!("/still/{}.jpg", (random % 30) * (random / 64 % 30))
        } else {
            let viewer = &mut viewers[(random % 8) as usize];
            if (random / 8).is_multiple_of(20) || viewer.2 >= 30 {
                *viewer = ((random / 512 % 6) * (random / 4096 % 6), random / 97 % 3, 0);
            }
            viewer.2 += 1;
            format!("/title{}/seg-{}p-{:05}.m4s", viewer.0, viewer.1, viewer.2)
        };
        (number * 250, path)
    })
}

/// A request as a client's: a hit is told, a miss filled. Whether it was a hit.
fn ask(store: &Arc<Store>, path: &str, ms: u64) -> bool {
    let hit = store.stored(&Key::new("h", path), None);
    match &hit {
        Some(entry) => store.touch(entry, millis(at(ms))),
        None => drop(put(store, path, ms)),
    }
    hit.is_some()
}

#[test]
fn every_exact_policy_hits_in_memory_exactly_what_a_replay_says() {
    for name in NAMES {
        let (store, _) = seated(name);
        let mut replay = Exactly::new(named(name, CAPACITY).unwrap(), CAPACITY);
        let mut hits = 0;
        for (ms, path) in requests() {
            hits += u64::from(ask(&store, &path, ms));
            let key = Key::new("h", &path);
            let head = crate::entry::Head { status: http::StatusCode::OK, headers: http::HeaderMap::new() };
            let bytes = bytes_of(&path) as u64 + Entry::overhead(&key, &head);
            let (id, place) = (key.hash() as u64, place_of_key(key.text()));
            replay.request(&Request { now_ms: millis(at(ms)), id, bytes, place, ..Request::default() });
            store.evict(at(ms));
        }
        let tally = replay.tally();
        assert_eq!(hits, tally.hits, "{name}, in memory and replayed");
        let count = |counter: &AtomicU64| counter.load(Relaxed);
        let counters = store.counters();
        assert_eq!(count(&counters.evicted), tally.evicted, "{name}");
        assert_eq!([&counters.evicted_in_haste, &counters.exact_nonsense, &counters.exact_broken].map(count), [0; 3]);
        assert!(hits > 2_000 && store.uses_dropped() == 0, "{name}: {hits} hits");
    }
}

#[test]
fn what_is_pinned_stays_though_it_is_named_and_goes_in_its_turn_when_that_is_over() {
    let (store, _) = seated("lru");
    put(&store, "/pinned", 0).unwrap();
    store.pin(&Key::new("h", "/pinned"), at(5_000));
    let fill = |from: u64| {
        for number in from..from + 400 {
            put(&store, &format!("/{number}"), from);
            store.evict(at(from));
        }
        store.stored(&Key::new("h", "/pinned"), None).is_some()
    };
    assert!(fill(1_000), "it is pinned");
    assert!(store.budget().used() <= CAPACITY && store.counters().evicted.load(Relaxed) > 100);
    assert!(!fill(6_000), "it is not, and the least recently used");
}

#[test]
fn what_purges_take_is_told_and_its_handle_is_used_again() {
    let (store, _) = seated("s3fifo");
    for round in 0..20 {
        for number in 0..100 {
            put(&store, &format!("/{round}/{number}"), round);
            put(&store, &format!("/{round}/{number}"), round);
        }
        store.purge(&[Target::prefix("h", "/")]);
        store.evict(at(round));
    }
    let seat = store.seat.lock();
    assert_eq!((store.len(), seat.short(), seat.object(1).is_none()), (0, 0, true));
    assert!((0..500).all(|handle| seat.object(handle).is_none()), "nothing that is gone is kept");
    assert_eq!(store.counters().exact_nonsense.load(Relaxed), 0);
}

#[test]
fn what_a_304_confirms_keeps_its_place_and_what_is_fetched_anew_is_the_same_object() {
    let (store, _) = seated("lru");
    let entry = put(&store, "/a", 0).unwrap();
    put(&store, "/b", 0).unwrap();
    store.evict(at(0));
    let handle = entry.handle();
    assert!(store.refresh(&entry, entry.head().clone(), *entry.lifetime(), store.purges(), at(1)));
    let confirmed = store.stored(&Key::new("h", "/a"), None).unwrap();
    assert_eq!((entry.handle(), confirmed.handle()), (NO_HANDLE, handle));
    let fetched = put(&store, "/a", 2).unwrap();
    store.evict(at(2));
    assert_eq!((confirmed.handle(), fetched.handle()), (NO_HANDLE, handle));
    assert!(is_its(&store.seat.lock(), handle, &fetched));
}

#[test]
fn a_new_generation_is_told_what_is_there_in_the_order_of_use() {
    let (store, shared) = seated("lru");
    for number in 0..60 {
        put(&store, &format!("/{number}"), number).unwrap();
    }
    let used = store.stored(&Key::new("h", "/0"), None).unwrap();
    store.touch(&used, millis(at(100)));
    shared.version.store(2, Relaxed);
    for number in 60..250 {
        put(&store, &format!("/{number}"), 1_000 + number).unwrap();
        store.evict(at(1_000 + number));
        let there = |number: u64| store.stored(&Key::new("h", &format!("/{number}")), None).is_some();
        // Least recently used: what was used goes after all that it came with.
        assert!(there(0) || (1..60).all(|number| !there(number)), "after {number}");
    }
    assert_eq!(shared.started.load(Relaxed), 2);
    assert!(store.counters().evicted.load(Relaxed) > 60);
}

#[test]
fn while_a_policy_is_broken_samples_decide_and_nothing_is_lost_that_is_there() {
    let (store, shared) = seated("littoral");
    let mut hits = 0;
    for (number, (ms, path)) in requests().take(6_000).enumerate() {
        match number {
            2_000 => shared.broken.store(true, Relaxed),
            2_001 => {
                assert!(!store.is_kept_exactly() && store.counters().exact_broken.load(Relaxed) > 0);
                shared.version.store(0, Relaxed);
            }
            4_000 => {
                shared.broken.store(false, Relaxed);
                shared.version.store(3, Relaxed);
            }
            _ => {}
        }
        let before = store.len();
        hits += usize::from(ask(&store, &path, ms));
        if number == 2_000 {
            // The policy breaks over this one; what was there stays.
            store.settle(at(ms));
            assert!(store.len() >= before);
        }
        store.evict(at(ms));
        assert!(store.budget().used() <= MEMORY);
    }
    assert!(hits > 1_000 && store.is_kept_exactly(), "{hits} hits");
}

#[test]
fn a_request_that_cannot_wait_is_given_room_by_samples_and_the_policy_hears_of_it() {
    let (store, _) = seated("sieve");
    for number in 0..400 {
        // Nobody evicts meanwhile.
        assert!(put(&store, &format!("/{number}"), number).is_some());
    }
    assert!(store.counters().evicted_in_haste.load(Relaxed) > 100);
    store.evict(at(1_000));
    let seat = store.seat.lock();
    let known = store.index.all().iter().filter(|entry| is_its(&seat, entry.handle(), entry)).count();
    assert_eq!((known, seat.short()), (store.len(), 0));
}

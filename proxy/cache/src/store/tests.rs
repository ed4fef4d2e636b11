//! What the store promises: bound, streaming, truth about length, purges that hold.

use super::*;
use crate::evict::{Candidate, LfuSize};
use crate::fill::FillError;
use crate::target::Target;
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, StatusCode};

const MIB: u64 = 1 << 20;

fn store(memory_bytes: u64) -> Arc<Store> {
    Store::new(Settings { memory_bytes, object_bytes_max: 64 * MIB }, Box::new(LfuSize))
}

pub(super) fn begin(store: &Store, path: &str, length: Option<u64>, tag: Option<&'static str>) -> Begin {
    let now = SystemTime::now();
    let mut headers = HeaderMap::new();
    if let Some(tag) = tag {
        headers.insert("surrogate-key", HeaderValue::from_static(tag));
    }
    let lifetime = Lifetime::fresh_for(now, Duration::from_secs(60));
    Begin {
        key: Key::new("h", path),
        head: Head { status: StatusCode::OK, headers },
        lifetime,
        length,
        begun: now,
        begun_purges: store.purges(),
    }
}

fn put(store: &Arc<Store>, path: &str, body: &[u8]) -> Option<Arc<Entry>> {
    let mut writer = store.admit(begin(store, path, Some(body.len() as u64), None)).ok()?.start(None, None);
    writer.write(Bytes::copy_from_slice(body)).unwrap();
    writer.finish(SystemTime::now()).unwrap()
}

#[test]
fn what_is_held_never_passes_the_bound_however_much_is_filled() {
    let store = store(8 * MIB);
    let body = vec![7; MIB as usize];
    for number in 0..64 {
        let path = format!("/{number}");
        put(&store, &path, &body);
        put(&store, &path, &body);
        assert!(store.budget().used() <= 8 * MIB);
    }
    assert!((6..8).contains(&store.len()), "{} objects held", store.len());
    assert!(store.counters().evicted.load(Relaxed) > 50);
    assert_eq!(store.budget().used(), store.index.all().iter().map(|entry| entry.cost()).sum::<u64>());
}

#[test]
fn small_objects_are_charged_with_their_overhead() {
    let store = store(MIB);
    for number in 0..4000 {
        put(&store, &format!("/{number}"), b"x");
    }
    assert!(store.budget().used() <= MIB);
    assert!(store.len() as u64 <= MIB / crate::limits::ENTRY_OVERHEAD_BYTES);
}

#[test]
fn a_pinned_object_outlives_any_pressure_and_what_does_not_fit_beside_it_is_refused() {
    let store = store(4 * MIB);
    put(&store, "/pinned", &vec![1; 3 << 20]).unwrap();
    assert_eq!(store.pin(&Key::new("h", "/pinned"), SystemTime::now() + Duration::from_secs(600)), 1);
    assert!(matches!(store.admit(begin(&store, "/other", Some(2 * MIB), None)), Err(Refused::NoRoom)));
    assert!(store.stored(&Key::new("h", "/pinned"), None).is_some());
    store.pin(&Key::new("h", "/pinned"), SystemTime::UNIX_EPOCH);
    assert!(store.admit(begin(&store, "/other", Some(2 * MIB), None)).is_ok());
}

#[test]
fn a_pin_that_comes_while_the_object_fills_holds_when_it_is_published() {
    let store = store(MIB);
    let writer = store.admit(begin(&store, "/a", Some(0), None)).unwrap().start(None, None);
    assert_eq!(store.pin(&Key::new("h", "/a"), SystemTime::UNIX_EPOCH + Duration::from_millis(77)), 1);
    assert_eq!(writer.finish(SystemTime::now()).unwrap().unwrap().pinned_until_ms(), 77);
}

#[tokio::test]
async fn a_reader_streams_while_the_fill_runs_and_ends_with_it() {
    let store = store(MIB);
    let mut writer = store.admit(begin(&store, "/a", None, None)).unwrap().start(None, None);
    let Some(Found::Filling(fill)) = store.lookup(&Key::new("h", "/a"), None) else { unreachable!("in flight") };
    let mut reader = fill.reader().unwrap();
    writer.write(Bytes::from_static(b"one")).unwrap();
    assert_eq!(reader.read().await.unwrap().unwrap(), "one");
    let waiting = tokio::spawn(async move { (reader.read().await, reader.read().await) });
    tokio::task::yield_now().await;
    writer.write(Bytes::from_static(b"two")).unwrap();
    tokio::task::yield_now().await;
    writer.finish(SystemTime::now()).unwrap();
    let (second, end) = waiting.await.unwrap();
    assert_eq!(second.unwrap().unwrap(), "two");
    assert_eq!(end.unwrap(), None);
    assert!(matches!(store.lookup(&Key::new("h", "/a"), None), Some(Found::Stored(_))));
}

#[tokio::test]
async fn a_reader_in_the_middle_survives_the_pieces_being_put_together() {
    let store = store(MIB);
    let mut writer = store.admit(begin(&store, "/a", None, None)).unwrap().start(None, None);
    let mut reader = writer.fill().reader().unwrap();
    for byte in 0..10u8 {
        writer.write(Bytes::from(vec![byte; 10])).unwrap();
    }
    assert_eq!(reader.read().await.unwrap().unwrap(), vec![0; 10]);
    writer.finish(SystemTime::now()).unwrap();
    let rest = reader.read().await.unwrap().unwrap();
    assert_eq!((rest[0], rest.len()), (1, 90));
}

#[tokio::test]
async fn a_reader_may_seek_to_bytes_that_have_not_come_yet() {
    let store = store(MIB);
    let mut writer = store.admit(begin(&store, "/a", Some(20), None)).unwrap().start(None, None);
    let mut reader = writer.fill().reader().unwrap();
    reader.seek(12, Some(15));
    let waiting = tokio::spawn(async move { (reader.read().await, reader.read().await) });
    tokio::task::yield_now().await;
    writer.write(Bytes::from_static(b"0123456789")).unwrap();
    tokio::task::yield_now().await;
    writer.write(Bytes::from_static(b"abcdefghij")).unwrap();
    let (part, end) = waiting.await.unwrap();
    assert_eq!((part.unwrap().unwrap(), end.unwrap()), (Bytes::from_static(b"cde"), None));
}

#[tokio::test]
async fn a_fill_that_ends_early_is_never_published_and_its_readers_get_an_error() {
    let store = store(MIB);
    let mut writer = store.admit(begin(&store, "/a", Some(6), None)).unwrap().start(None, None);
    let mut reader = writer.fill().reader().unwrap();
    writer.write(Bytes::from_static(b"one")).unwrap();
    assert_eq!(writer.finish(SystemTime::now()).unwrap_err(), FillError::Incomplete);
    assert_eq!(reader.read().await, Err(FillError::Incomplete));
    let vanished = store.admit(begin(&store, "/b", None, None)).unwrap().start(None, None);
    let mut reader = vanished.fill().reader().unwrap();
    drop(vanished);
    assert_eq!(reader.read().await, Err(FillError::Incomplete));
    assert!(store.is_empty() && store.filling() == 0);
    assert_eq!(store.budget().used(), 0);
    assert_eq!(store.counters().fills_failed.load(Relaxed), 2);
}

#[tokio::test]
async fn what_turns_out_too_large_passes_by_whole_to_its_readers_and_is_neither_found_nor_kept() {
    let store = Store::new(Settings { memory_bytes: 16 * MIB, object_bytes_max: 5 * MIB }, Box::new(LfuSize));
    let mut writer = store.admit(begin(&store, "/a", None, None)).unwrap().start(None, None);
    let mut readers = [writer.fill().reader().unwrap(), writer.fill().reader().unwrap()];
    for number in 0..20u8 {
        writer.write(Bytes::from(vec![number; MIB as usize])).unwrap();
        for reader in &mut readers {
            assert_eq!(reader.read().await.unwrap().unwrap()[..2], [number, number]);
        }
        let held_max = if number < 5 { 6 * MIB } else { 3 * MIB };
        assert!(store.budget().used() <= held_max, "what was read is let go: {}", store.budget().used());
        assert_eq!(store.lookup(&Key::new("h", "/a"), None).is_some(), number < 5);
    }
    assert!(writer.fill().reader().is_none(), "its beginning is gone");
    assert!(writer.finish(SystemTime::now()).unwrap().is_none());
    for mut reader in readers {
        assert_eq!(reader.read().await, Ok(None));
    }
    assert_eq!((store.budget().used(), store.len(), store.filling()), (0, 0, 0));
    assert_eq!((store.counters().fills_passed.load(Relaxed), store.counters().readers_cut.load(Relaxed)), (1, 0));
    assert!(matches!(store.admit(begin(&store, "/a", None, None)), Err(Refused::TooLarge)), "it is remembered");
    assert!(store.admit(begin(&store, "/a", Some(1), None)).is_ok(), "but not against a promise");
}

#[tokio::test]
async fn a_reader_too_far_behind_an_object_that_passes_by_is_cut_off_and_the_others_are_not() {
    let store = Store::new(Settings { memory_bytes: 16 * MIB, object_bytes_max: 5 * MIB }, Box::new(LfuSize));
    let mut writer = store.admit(begin(&store, "/a", None, None)).unwrap().start(None, None);
    let [mut slow, mut late, mut quick] = [(); 3].map(|()| writer.fill().reader().unwrap());
    for number in 0..7u8 {
        writer.write(Bytes::from(vec![number; MIB as usize])).unwrap();
        quick.read().await.unwrap().unwrap();
        if number == 2 {
            late.read().await.unwrap().unwrap();
            late.read().await.unwrap().unwrap();
        }
    }
    assert_eq!(slow.read().await, Err(FillError::Behind));
    assert_eq!(late.read().await.unwrap().unwrap()[0], 2, "five are held");
    writer.finish(SystemTime::now()).unwrap();
    assert_eq!(quick.read().await, Ok(None));
    assert_eq!(store.counters().readers_cut.load(Relaxed), 1);
}

#[test]
fn a_full_cache_makes_room_for_fills_of_untold_length_within_its_bound() {
    let store = store(16 * MIB);
    for number in 0..15 {
        put(&store, &format!("/{number}"), &vec![0; MIB as usize]).unwrap();
    }
    let start = |path| store.admit(begin(&store, path, None, None)).unwrap().start(None, None);
    let mut writers = ["/a", "/b", "/c"].map(start);
    for _ in 0..4 {
        for writer in &mut writers {
            writer.write(Bytes::from(vec![0; MIB as usize])).unwrap();
            assert!(store.budget().used() <= 16 * MIB);
        }
    }
    for writer in writers {
        writer.finish(SystemTime::now()).unwrap();
    }
    assert!(store.counters().evicted.load(Relaxed) >= 11);
    assert_eq!(store.counters().fills_passed.load(Relaxed), 0);
}

#[tokio::test]
async fn a_fill_without_room_beside_what_is_pinned_passes_by_within_the_overdraft() {
    let store = store(4 * MIB);
    put(&store, "/pinned", &vec![1; 3 << 20]).unwrap();
    store.pin(&Key::new("h", "/pinned"), SystemTime::now() + Duration::from_secs(600));
    let mut writer = store.admit(begin(&store, "/a", None, None)).unwrap().start(None, None);
    let mut reader = writer.fill().reader().unwrap();
    for _ in 0..40 {
        writer.write(Bytes::from(vec![2; MIB as usize])).unwrap();
        assert_eq!(reader.read().await.unwrap().unwrap().len() as u64, MIB);
        assert!(store.budget().used() <= 4 * MIB + OVERDRAFT_BYTES);
    }
    assert!(writer.finish(SystemTime::now()).unwrap().is_none());
    assert_eq!((store.len(), store.counters().fills_passed.load(Relaxed)), (1, 1));
    drop(reader);
    assert!(store.admit(begin(&store, "/a", None, None)).is_ok(), "another time there may be room");
}

#[test]
fn more_bytes_than_promised_fail_the_fill() {
    let store = store(MIB);
    let mut writer = store.admit(begin(&store, "/a", Some(2), None)).unwrap().start(None, None);
    assert_eq!(writer.write(Bytes::from_static(b"abc")), Err(FillError::Incomplete));
}

/// One target of each kind, each of which names `/a` on `h` with the surrogate key `t`.
fn every_kind() -> [Target; Target::KINDS.len()] {
    let key = crate::surrogate::key_hash("t");
    let (url, regex) = (Target::Url(Key::new("h", "/a")), Target::regex("^h/a$").unwrap());
    [url, Target::prefix("h", "/"), Target::host("h"), regex, Target::Surrogate(key), Target::All]
}

#[test]
fn a_fill_begun_before_a_purge_does_not_bring_the_object_back() {
    for target in every_kind() {
        let target = std::slice::from_ref(&target);
        let store = store(MIB);
        let early = begin(&store, "/a", Some(1), Some("t"));
        store.purge(target);
        let mut writer = store.admit(early).unwrap().start(None, None);
        writer.write(Bytes::from_static(b"x")).unwrap();
        assert!(writer.finish(SystemTime::now()).unwrap().is_none(), "request before {target:?}, head after");
        let mut writer = store.admit(begin(&store, "/a", Some(1), Some("t"))).unwrap().start(None, None);
        store.purge(target);
        writer.write(Bytes::from_static(b"x")).unwrap();
        assert!(writer.finish(SystemTime::now()).unwrap().is_none(), "head before {target:?}, end after");
        assert!(store.is_empty());
        assert_eq!(store.counters().fills_purged.load(Relaxed), 2);
    }
}

#[test]
fn who_comes_after_a_purge_does_not_join_a_fill_that_began_before_it() {
    for soft in [false, true] {
        let store = store(MIB);
        let key = Key::new("h", "/a");
        let url = [Target::Url(key.clone())];
        let purge = || if soft { store.expire(&url) } else { store.purge(&url) };
        let mut older = store.admit(begin(&store, "/a", Some(3), None)).unwrap().start(None, None);
        assert_eq!((purge(), purge()), (1, 0), "the fill counts once");
        assert!(store.lookup(&key, None).is_none());
        let mut newer = store.admit(begin(&store, "/a", Some(3), None)).unwrap().start(None, None);
        older.write(Bytes::from_static(b"old")).unwrap();
        assert!(older.finish(SystemTime::now()).unwrap().is_none());
        assert!(matches!(store.lookup(&key, None), Some(Found::Filling(fill)) if fill.id() == newer.fill().id()));
        newer.write(Bytes::from_static(b"new")).unwrap();
        assert!(newer.finish(SystemTime::now()).unwrap().is_some());
        let stored = store.stored(&key, None).unwrap();
        assert_eq!((stored.body().unwrap().slice(0, 3), stored.is_expired()), (Bytes::from_static(b"new"), false));
    }
}

#[test]
fn a_fill_or_revalidation_begun_before_a_soft_purge_ends_in_a_stale_object() {
    for target in every_kind() {
        let target = std::slice::from_ref(&target);
        let store = store(MIB);
        let early = begin(&store, "/a", Some(0), Some("t"));
        store.expire(target);
        let entry = store.admit(early).unwrap().start(None, None).finish(SystemTime::now()).unwrap().unwrap();
        assert!(entry.is_expired(), "request before {target:?}, head after");
        let writer = store.admit(begin(&store, "/a", Some(0), Some("t"))).unwrap().start(None, None);
        assert_eq!(store.expire(target), 2, "one published, one in flight");
        let entry = writer.finish(SystemTime::now()).unwrap().unwrap();
        assert!(entry.is_expired(), "head before {target:?}, end after");
        let (asked, head) = (store.purges(), entry.head().clone());
        store.expire(target);
        assert!(store.refresh(&entry, head.clone(), *entry.lifetime(), asked, SystemTime::now()));
        let entry = store.stored(&Key::new("h", "/a"), None).unwrap();
        assert!(entry.is_expired(), "a 304 to what was asked before {target:?}");
        assert!(store.refresh(&entry, head, *entry.lifetime(), store.purges(), SystemTime::now()));
        assert!(!store.stored(&Key::new("h", "/a"), None).unwrap().is_expired(), "a 304 to what was asked after");
    }
}

#[test]
fn a_purge_by_url_takes_all_variants_and_one_by_surrogate_key_only_its_own() {
    let store = store(MIB);
    for variance in [None, Some([1; 16]), Some([2; 16])] {
        let ticket = store.admit(begin(&store, "/v", Some(0), None)).unwrap();
        ticket.start(variance.as_ref(), variance).finish(SystemTime::now()).unwrap();
    }
    for (path, tag) in [("/1", "red"), ("/2", "red"), ("/3", "blue")] {
        store
            .admit(begin(&store, path, Some(0), Some(tag)))
            .unwrap()
            .start(None, None)
            .finish(SystemTime::now())
            .unwrap();
    }
    assert_eq!(store.purge(&[Target::Url(Key::new("h", "/v"))]), 3);
    assert_eq!(store.purge(&[Target::Surrogate(crate::surrogate::key_hash("red"))]), 2);
    assert_eq!(store.len(), 1);
    assert!(store.stored(&Key::new("h", "/3"), None).is_some());
}

#[test]
fn a_purge_that_walks_all_objects_takes_those_it_names_and_counts_each_once() {
    let store = store(64 * MIB);
    let objects = 2 * crate::limits::PURGE_STEP + 3;
    let fill_it = || (0..objects).for_each(|number| drop(put(&store, &format!("/{}/{number}", number % 2), b"x")));
    fill_it();
    let odd = objects / 2;
    assert_eq!(store.purge(&[Target::prefix("h", "/1/")]), odd);
    assert_eq!(store.len(), objects - odd);
    fill_it();
    assert_eq!(store.purge(&[Target::regex("^h/0/").unwrap()]), objects - odd);
    assert_eq!(store.purge(&[Target::host("h.example")]), 0);
    fill_it();
    let overlapping = [Target::Url(Key::new("h", "/0/0")), Target::prefix("h", "/0"), Target::host("h")];
    assert_eq!(store.expire(&overlapping), objects);
    assert!(store.index.all().iter().all(|entry| entry.is_expired()));
    assert_eq!(store.purge(&overlapping), objects);
    assert_eq!((store.len(), store.budget().used()), (0, 0));
    assert_eq!(store.counters().expired.load(Relaxed), objects as u64);
    let by_kind = store.counters().purges.each_ref().map(|kind| kind.load(Relaxed));
    assert_eq!(by_kind, [2, 3, 3, 1, 0, 0]);
}

#[test]
fn the_hottest_objects_are_found_among_many_and_none_is_told_twice() {
    let store = store(64 * MIB);
    let objects = 3 * crate::limits::PURGE_STEP + 5;
    for number in 0..objects {
        let entry = put(&store, &format!("/{number}"), b"x").unwrap();
        (0..number % 100).for_each(|_| entry.touch(1));
    }
    let hottest = store.hottest(20);
    let hits: Vec<u32> = hottest.iter().map(|entry| entry.hits()).collect();
    assert!(hits.is_sorted_by(|a, b| a >= b) && hits[0] == 99 && hits.len() == 20, "{hits:?}");
    let slots: std::collections::HashSet<u128> = hottest.iter().map(|entry| entry.slot()).collect();
    assert_eq!((slots.len(), store.hottest(objects + 9).len()), (20, objects));
}

#[test]
fn a_304_to_what_was_asked_before_a_hard_purge_does_not_keep_the_object() {
    for target in every_kind() {
        let store = store(MIB);
        let ticket = store.admit(begin(&store, "/a", Some(0), Some("t"))).unwrap();
        let entry = ticket.start(None, None).finish(SystemTime::now()).unwrap().unwrap();
        let asked = store.purges();
        // As a walk that has not come to the object yet.
        store.purges.record(target, Purged::Hard);
        assert!(!store.refresh(&entry, entry.head().clone(), *entry.lifetime(), asked, SystemTime::now()));
        assert!(store.is_empty() && store.stored(&Key::new("h", "/a"), None).is_none());
    }
}

#[test]
fn a_refresh_keeps_the_body_and_the_usage_and_a_replaced_entry_cannot_be_refreshed() {
    let store = store(MIB);
    let entry = put(&store, "/a", b"body").unwrap();
    entry.touch(1);
    let now = SystemTime::now();
    let lifetime = Lifetime { fresh_until: now + Duration::from_secs(999), ..*entry.lifetime() };
    assert!(store.refresh(&entry, entry.head().clone(), lifetime, store.purges(), now));
    let fresh = store.stored(&Key::new("h", "/a"), None).unwrap();
    assert_eq!((fresh.hits(), fresh.body().unwrap().slice(0, 4)), (1, Bytes::from_static(b"body")));
    assert!(!store.refresh(&entry, entry.head().clone(), lifetime, store.purges(), now), "the old one is gone");
    assert_eq!(store.len(), 1);
}

#[test]
fn a_key_with_the_same_hash_but_another_text_is_a_miss() {
    let store = store(MIB);
    put(&store, "/a", b"body").unwrap();
    let hash = Key::new("h", "/a").hash();
    assert!(store.hit(hash, "h", "/a").is_some());
    assert!(store.hit(hash, "h", "/b").is_none());
}

/// A policy that scores nothing comparable.
struct Nonsense;

impl Eviction for Nonsense {
    fn admit(&self, _: &Candidate, _: u16, _: u64, _: u64) -> Verdict {
        Verdict::Admit
    }
    fn score(&self, _: &[Candidate], _: u64, _: u64, scores: &mut [f32]) {
        scores.fill(f32::NAN);
    }
}

#[test]
fn a_policy_that_answers_nonsense_still_frees_room() {
    let store = store(4 * MIB);
    store.set_policy(Box::new(Nonsense));
    for number in 0..16 {
        put(&store, &format!("/{number}"), &vec![0; MIB as usize]).unwrap();
    }
    assert!(store.budget().used() <= 4 * MIB);
}

#[test]
fn however_much_clients_invalidate_fills_of_other_urls_are_published() {
    let store = store(MIB);
    let (other, named) = (begin(&store, "/other", Some(1), None), begin(&store, "/named", Some(1), None));
    for number in 0..2 * crate::limits::PURGE_LOG_ENTRIES {
        store.invalidate(Key::new("h", &format!("/named{}", if number == 9 { "" } else { "?x" })));
    }
    let publish = |begin: Begin| {
        let mut writer = store.admit(begin).unwrap().start(None, None);
        writer.write(Bytes::from_static(b"x")).unwrap();
        writer.finish(SystemTime::now()).unwrap().is_some()
    };
    assert!(publish(other));
    assert!(!publish(named), "its answer may be from before the change");
    assert!(publish(begin(&store, "/named", Some(1), None)));
}

#[test]
fn a_confirmation_with_longer_fields_makes_room_for_them() {
    let store = store(MIB);
    let kept = put(&store, "/kept", b"x").unwrap();
    kept.pin(u64::MAX);
    let filler = vec![7; 10_000];
    for number in 0..200 {
        put(&store, &format!("/{number}"), &filler);
    }
    let mut headers = HeaderMap::new();
    headers.insert("x-long", HeaderValue::from_bytes(&vec![b'x'; 60_000]).unwrap());
    let head = Head { status: StatusCode::OK, headers };
    let (lifetime, now) = (*kept.lifetime(), SystemTime::now());
    let before = store.len();
    assert!(store.refresh(&kept, head, lifetime, store.purges(), now));
    assert!(store.len() < before && store.budget().used() <= MIB);
}

#[test]
fn what_its_origin_gave_up_is_gone_unless_another_has_its_place() {
    let store = store(MIB);
    let old = put(&store, "/a", b"old").unwrap();
    let new = put(&store, "/a", b"new").unwrap();
    store.discard(&old);
    assert_eq!(store.len(), 1);
    store.discard(&new);
    assert_eq!((store.len(), store.stored(new.key(), None).is_none()), (0, true));
}

//! What is stored of objects that are not whole: what is joined, what never is, and what goes.

use std::time::Duration;

use bytes::Bytes;
use http::header::LAST_MODIFIED;

use super::*;
use crate::evict::LfuSize;
use crate::freshness::Lifetime;
use crate::store::{Begin, Settings};
use crate::surrogate::key_hash;
use crate::target::Target;

const TOTAL: u64 = 100;
const PLAIN: PieceOf = PieceOf(None);

fn store(object_bytes_max: u64) -> Arc<Store> {
    Store::new(Settings { memory_bytes: 1 << 20, object_bytes_max }, Box::new(LfuSize))
}

fn key() -> Key {
    Key::new("h", "/a")
}

/// The bytes of the object from one place to before another.
fn bytes(from: u64, to: u64) -> Vec<u8> {
    (from..to).map(|at| at as u8).collect()
}

fn begin(store: &Store, first: u64, end: u64, total: u64, tag: &str) -> Begin {
    let now = SystemTime::now();
    let mut headers = http::HeaderMap::new();
    headers.insert(ETAG, HeaderValue::from_str(tag).unwrap());
    headers.insert(CONTENT_RANGE, HeaderValue::from_str(&format!("bytes {first}-{}/{total}", end - 1)).unwrap());
    headers.insert(CONTENT_DIGEST, HeaderValue::from_static("sha-256=:x:"));
    headers.insert("surrogate-key", HeaderValue::from_static("s"));
    let lifetime = Lifetime::fresh_for(now, Duration::from_secs(60));
    Begin {
        key: key(),
        head: Head { status: StatusCode::PARTIAL_CONTENT, headers },
        lifetime,
        length: Some(end - first),
        begun: now,
        begun_purges: store.purges(),
    }
}

fn put_of(store: &Arc<Store>, of: PieceOf, begin: Begin, (first, end, total): (u64, u64, u64)) {
    let mut writer = store.admit(begin).unwrap().start_piece(of, Piece { first, end, total });
    writer.write(Bytes::from(bytes(first, end))).unwrap();
    if let Some(entry) = writer.finish(SystemTime::now()).unwrap() {
        store.join(&entry, of, SystemTime::now());
    }
}

fn put(store: &Arc<Store>, first: u64, end: u64, tag: &str) {
    put_of(store, PLAIN, begin(store, first, end, TOTAL, tag), (first, end, TOTAL));
}

/// First and end of what is there, by place.
fn there(store: &Store) -> Vec<(u64, u64)> {
    let mut all: Vec<_> = store.pieces(&key()).iter().map(|piece| (extent(piece).first, extent(piece).end)).collect();
    all.sort_unstable();
    all
}

#[test]
fn pieces_that_touch_or_overlap_are_one_and_others_stay_apart() {
    let store = store(1000);
    for (first, end, expected) in [
        (10, 20, vec![(10, 20)]),
        (40, 50, vec![(10, 20), (40, 50)]),
        (20, 30, vec![(10, 30), (40, 50)]),
        (12, 15, vec![(10, 30), (40, 50)]),
        (25, 45, vec![(10, 50)]),
        (90, 100, vec![(10, 50), (90, 100)]),
    ] {
        put(&store, first, end, "\"a\"");
        assert_eq!(there(&store), expected, "after {first}-{end}");
    }
    let joined = store.pieces(&key()).into_iter().find(|piece| extent(piece).first == 10).unwrap();
    assert_eq!(joined.body().unwrap().blocks().concat(), bytes(10, 50));
    assert_eq!(joined.head().headers[CONTENT_RANGE], "bytes 10-49/100");
    assert!(!joined.head().headers.contains_key(CONTENT_DIGEST));
    assert!(store.lookup(&key(), None).is_none());
}

#[test]
fn an_object_without_a_gap_is_whole_and_its_bytes_come_back_when_it_goes() {
    let store = store(1000);
    for (first, end) in [(50, 100), (0, 30), (30, 50)] {
        put(&store, first, end, "\"a\"");
    }
    assert_eq!((there(&store), store.len()), (vec![], 1));
    let whole = store.stored(&key(), None).unwrap();
    assert_eq!((whole.head().status, whole.piece(), whole.varies()), (StatusCode::OK, None, false));
    assert_eq!(whole.body().unwrap().blocks().concat(), bytes(0, 100));
    assert!(!whole.head().headers.contains_key(CONTENT_RANGE));
    assert_eq!(store.budget().used(), whole.cost());
    store.purge(&[Target::All]);
    assert_eq!(store.budget().used(), 0);
}

#[test]
fn one_answer_with_every_byte_is_a_whole_object() {
    let store = store(1000);
    put(&store, 0, 100, "\"a\"");
    assert_eq!((there(&store), store.stored(&key(), None).unwrap().head().status), (vec![], StatusCode::OK));
}

#[test]
fn another_version_takes_the_place_of_what_was_there_and_weak_tags_join_nothing() {
    let store = store(1000);
    put(&store, 0, 30, "\"a\"");
    put(&store, 30, 50, "\"b\"");
    assert_eq!(there(&store), [(30, 50)]);
    put_of(&store, PLAIN, begin(&store, 50, 60, 99, "\"b\""), (50, 60, 99));
    assert_eq!(there(&store), [(50, 60)]);
    put(&store, 0, 30, "W/\"w\"");
    put(&store, 30, 50, "W/\"w\"");
    assert!(!there(&store).contains(&(0, 50)));
}

#[test]
fn without_an_entity_tag_a_strong_date_joins_and_a_weak_one_does_not() {
    for (made, joined) in [("Sun, 02 Jan 2022 00:00:00 GMT", true), ("Sat, 01 Jan 2022 00:00:00 GMT", false)] {
        let store = store(1000);
        for (first, end) in [(0, 30), (30, 50)] {
            let mut begin = begin(&store, first, end, TOTAL, "\"a\"");
            begin.head.headers.remove(ETAG);
            begin.head.headers.insert(LAST_MODIFIED, HeaderValue::from_static("Sat, 01 Jan 2022 00:00:00 GMT"));
            begin.head.headers.insert("date", HeaderValue::from_static(made));
            put_of(&store, PLAIN, begin, (first, end, TOTAL));
        }
        assert_eq!(there(&store).contains(&(0, 50)), joined, "{made}");
    }
}

#[test]
fn variants_are_not_joined_with_each_other() {
    let store = store(1000);
    let [one, other] = [PieceOf(Some([1; 16])), PieceOf(Some([2; 16]))];
    put_of(&store, one, begin(&store, 0, 50, TOTAL, "\"a\""), (0, 50, TOTAL));
    put_of(&store, other, begin(&store, 50, 100, TOTAL, "\"a\""), (50, 100, TOTAL));
    assert_eq!(there(&store), [(0, 50), (50, 100)]);
    put_of(&store, one, begin(&store, 50, 100, TOTAL, "\"a\""), (50, 100, TOTAL));
    put_of(&store, other, begin(&store, 0, 50, TOTAL, "\"a\""), (0, 50, TOTAL));
    let (first, second) = (store.stored(&key(), None).unwrap(), store.stored(&key(), Some(&[2; 16])).unwrap());
    assert_eq!((first.variance(), second.variance(), store.len()), (Some([1; 16]), Some([2; 16]), 2));
}

#[test]
fn purges_reach_pieces_and_what_a_soft_one_made_stale_is_confirmed_by_bytes_that_came_since() {
    for target in [Target::Url(key()), Target::Surrogate(key_hash("s")), Target::All] {
        let store = store(1000);
        put(&store, 0, 30, "\"a\"");
        let begun = begin(&store, 30, 50, TOTAL, "\"a\"");
        store.purge(std::slice::from_ref(&target));
        put_of(&store, PLAIN, begun, (30, 50, TOTAL));
        assert_eq!((there(&store), store.budget().used()), (vec![], 0), "{target:?}");
        put(&store, 0, 30, "\"a\"");
        store.expire(std::slice::from_ref(&target));
        assert!(store.pieces(&key())[0].is_expired());
        put(&store, 20, 50, "\"a\"");
        let joined = &store.pieces(&key())[0];
        assert_eq!((extent(joined).end, joined.is_expired()), (50, false), "{target:?}");
    }
}

#[test]
fn pieces_of_one_url_are_bounded_in_number_and_bytes() {
    let few = store(1 << 16);
    for number in 0..PIECES as u64 + 9 {
        let (first, total) = (number * 10, 1 << 14);
        put_of(&few, PLAIN, begin(&few, first, first + 5, total, "\"a\""), (first, first + 5, total));
    }
    assert_eq!((there(&few).len(), few.counters().pieces_dropped.load(Relaxed)), (PIECES, 9));
    let small = store(50);
    for first in [0, 20, 40, 60, 80] {
        put(&small, first, first + 15, "\"a\"");
    }
    assert_eq!((there(&small).len(), small.counters().pieces_dropped.load(Relaxed)), (3, 2));
}

#[test]
fn what_came_later_drops_the_pieces() {
    let store = store(1000);
    put(&store, 0, 50, "\"a\"");
    put(&store, 60, 70, "\"a\"");
    store.drop_pieces(&key());
    assert_eq!((store.len(), store.budget().used()), (0, 0));
}

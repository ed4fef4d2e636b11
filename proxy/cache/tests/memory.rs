//! What stored objects take of the memory of the system, against what they are charged (ADR 3).
//!
//! Every allocation of this process is counted. What an allocator adds because it has sizes of its own is in the assertion.

use std::time::{Duration, SystemTime};

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use littoral_cache::freshness::Lifetime;
use littoral_cache::{Begin, Head, Key, LfuSize, Settings, Store, Target};
use peak_alloc::PeakAlloc;

#[global_allocator]
static ALLOCATOR: PeakAlloc = PeakAlloc;

/// A response as a connection reads it: its values are parts of one buffer.
fn headers(fields: usize, length: usize) -> HeaderMap {
    const READ_BYTES: usize = 4096;
    let read = Bytes::from(vec![b'x'; READ_BYTES.max(fields * length)]);
    let mut headers = HeaderMap::new();
    for number in 0..fields {
        let value =
            HeaderValue::from_maybe_shared(read.slice(number * length..(number + 1) * length)).expect("a value");
        // Half of them with names that everybody knows.
        let name = match number % 2 {
            0 => [http::header::ETAG, http::header::CACHE_CONTROL, http::header::DATE][number / 2 % 3].clone(),
            _ => HeaderName::from_bytes(format!("x-field-{number}").as_bytes()).expect("a name"),
        };
        headers.append(name, value);
    }
    headers
}

fn put(store: &std::sync::Arc<Store>, number: usize, headers: &HeaderMap, length: usize) {
    let now = SystemTime::now();
    let lifetime = Lifetime::fresh_for(now, Duration::from_secs(600));
    let begin = Begin {
        key: Key::new("www.example", &format!("/title-{number}/segment.m4s")),
        head: Head::for_storage(StatusCode::OK, headers),
        lifetime,
        length: Some(length as u64),
        begun: now,
        begun_purges: store.purges(),
    };
    let mut writer = store.admit(begin).expect("room").start(None, None);
    writer.write(Bytes::from(vec![7; length])).expect("room");
    writer.finish(now).expect("whole");
}

/// Allocated and charged, of so many objects, each with so many fields of so many bytes and a body.
fn taken(objects: usize, (fields, value): (usize, usize), body: usize) -> (u64, u64) {
    let settings = Settings { memory_bytes: 1 << 30, object_bytes_max: 1 << 30 };
    let store = Store::new(settings, Box::new(LfuSize));
    // What the first ones set up for all that follow.
    (0..64).for_each(|number| put(&store, number, &headers(fields, value), body));
    let before = (ALLOCATOR.current_usage() as u64, store.budget().used());
    (64..64 + objects).for_each(|number| put(&store, number, &headers(fields, value), body));
    let taken = (ALLOCATOR.current_usage() as u64 - before.0, store.budget().used() - before.1);
    store.purge(&[Target::All]);
    taken
}

#[test]
fn what_is_stored_takes_no_more_memory_than_it_is_charged() {
    let shapes = [
        ((1, 10), 1),
        ((6, 30), 1),
        ((6, 30), 1000),
        ((13, 50), 1),
        ((30, 100), 1000),
        ((4, 4000), 1),
        ((6, 30), 70_000),
    ];
    for (fields, body) in shapes {
        let objects = if body > 10_000 { 1000 } else { 10_000 };
        let (allocated, charged) = taken(objects, fields, body);
        let each = |bytes: u64| bytes as usize / objects;
        let told = format!("{fields:?} {body}: {} allocated, {} charged", each(allocated), each(charged));
        // An allocator's sizes are up to a quarter apart, so that what is small takes an eighth more in the mean.
        let told_bytes = body + fields.0 * fields.1;
        let small = each(allocated).saturating_sub(told_bytes);
        assert!(each(charged) >= told_bytes + small + small / 16, "{told}");
        assert!(each(charged) <= told_bytes + small * 2, "{told}");
    }
}

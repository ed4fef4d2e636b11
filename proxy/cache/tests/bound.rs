//! The promise of the bound, whatever the order of calls (ADR 3).

use std::time::{Duration, SystemTime};

use bytes::Bytes;
use http::{HeaderMap, StatusCode};
use littoral_cache::Target;
use littoral_cache::freshness::Lifetime;
use littoral_cache::limits::OVERDRAFT_BYTES;
use littoral_cache::{Begin, Found, Head, Key, LfuSize, Settings, Store};
use proptest::prelude::*;

const BOUND: u64 = 1 << 20;
const PATHS: u8 = 12;

/// What may happen to a store.
#[derive(Debug, Clone)]
enum Step {
    /// A fill begins: its path, and its length where the origin tells one.
    Begin(u8, Option<u32>),
    /// Bytes come for one of the fills.
    Write(u8, u32),
    /// One of the fills ends, whole or not.
    Finish(u8),
    /// The origin of one of the fills is gone.
    Abandon(u8),
    /// A client that will read nothing joins a fill.
    Join(u8),
    /// A slow client takes hold of a body.
    Hold(u8),
    /// All slow clients are done.
    Release,
    Purge(u8),
    PurgeAll,
    Evict,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (0..PATHS, prop::option::of(0u32..700_000)).prop_map(|(path, length)| Step::Begin(path, length)),
        6 => (any::<u8>(), 0u32..4_000_000).prop_map(|(fill, bytes)| Step::Write(fill, bytes)),
        4 => any::<u8>().prop_map(Step::Finish),
        1 => any::<u8>().prop_map(Step::Abandon),
        2 => (0..PATHS).prop_map(Step::Join),
        2 => (0..PATHS).prop_map(Step::Hold),
        1 => Just(Step::Release),
        1 => (0..PATHS).prop_map(Step::Purge),
        1 => Just(Step::PurgeAll),
        1 => Just(Step::Evict),
    ]
}

fn begin(store: &Store, path: u8, length: Option<u32>) -> Begin {
    let now = SystemTime::now();
    let lifetime = Lifetime::fresh_for(now, Duration::from_secs(60));
    Begin {
        key: key(path),
        head: Head { status: StatusCode::OK, headers: HeaderMap::new() },
        lifetime,
        length: length.map(u64::from),
        begun: now,
        begun_purges: store.purges(),
    }
}

fn key(path: u8) -> Key {
    Key::new("h", &format!("/{path}"))
}

proptest! {
    #[test]
    fn what_is_used_never_passes_bound_and_overdraft_and_ends_at_zero(steps in prop::collection::vec(step(), 1..120)) {
        let store = Store::new(Settings { memory_bytes: BOUND, object_bytes_max: 2 * OVERDRAFT_BYTES }, Box::new(LfuSize));
        let (mut fills, mut held, mut readers) = (Vec::new(), Vec::new(), Vec::new());
        for step in steps {
            let number = fills.len().max(1);
            match step {
                Step::Begin(path, length) => {
                    fills.extend(store.admit(begin(&store, path, length)).ok().map(|ticket| ticket.start(None, None)));
                }
                Step::Write(fill, bytes) => {
                    if let Some(writer) = fills.get_mut(usize::from(fill) % number) {
                        // A refused write is a fill that fails; the bound is what is looked at here.
                        let _ = writer.write(Bytes::from(vec![0; bytes as usize]));
                    }
                }
                Step::Finish(fill) if !fills.is_empty() => {
                    let _ = fills.swap_remove(usize::from(fill) % number).finish(SystemTime::now());
                }
                Step::Abandon(fill) if !fills.is_empty() => drop(fills.swap_remove(usize::from(fill) % number)),
                Step::Hold(path) => held.extend(store.stored(&key(path), None).and_then(|entry| entry.body())),
                Step::Join(path) => {
                    if let Some(Found::Filling(fill)) = store.lookup(&key(path), None) {
                        readers.extend(fill.reader());
                    }
                }
                Step::Release => (held.clear(), readers.clear()).0,
                Step::Purge(path) => {
                    store.purge(&[Target::Url(key(path))]);
                }
                Step::PurgeAll => {
                    store.purge(&[Target::All]);
                }
                Step::Evict => {
                    store.evict(SystemTime::now());
                }
                Step::Finish(_) | Step::Abandon(_) => {}
            }
            let used = store.budget().used();
            let longest = held.iter().map(|body| body.length()).max().unwrap_or(0);
            prop_assert!(used <= BOUND + OVERDRAFT_BYTES);
            prop_assert!(used >= longest, "a body that somebody reads holds its bytes");
        }
        drop(fills);
        held.clear();
        readers.clear();
        store.purge(&[Target::All]);
        prop_assert_eq!((store.budget().used(), store.len(), store.filling()), (0, 0, 0));
    }
}

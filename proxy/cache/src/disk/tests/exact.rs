//! An exact policy on a disk: what it names goes, a restart tells it what is there, and its faults cost nothing that is stored.

use littoral_evict::Place;

use super::*;
use crate::exact::testing::{Seats, Shared};

/// Bytes of a body: too large for memory to read it back, so that uses are the disk's.
const BODY: usize = 100_000;
/// Files of such bodies that the disk has room for.
const FILES: usize = 30;

fn seated(name: &'static str, path: &Path) -> (Arc<Store>, Arc<Shared>) {
    let seats = Seats::new(name);
    let shared = seats.shared();
    let disks = Disks::open(vec![DiskSettings { bytes: FILES as u64 * 102_400, ..disk(path) }]).unwrap();
    let settings = Settings { memory_bytes: MIB, object_bytes_max: MIB };
    let store = Store::on_disks(settings, Box::new(seats), disks).unwrap();
    store.disks().unwrap().scanned();
    (store, shared)
}

fn written(store: &Arc<Store>, path: &str) {
    put(store, path, &noise(BODY, 1));
    settle(store);
    store.evict(SystemTime::now());
}

fn id_of_path(path: &str) -> u128 {
    url_id(Key::new("h", path).text())
}

fn there(store: &Store, path: &str) -> bool {
    store.disks().unwrap().volumes()[0].index().get(id_of_path(path)).is_some()
}

/// Asks for what is not in memory, which is read from disk.
fn used(store: &Arc<Store>, path: &str) {
    assert!(store.stored(&Key::new("h", path), None).is_none(), "{path} is in memory");
    assert!(find(store, path, None).is_some(), "{path} is on disk");
}

#[test]
fn least_recently_used_on_disk_is_what_was_used_there_longest_ago() {
    let directory = tempfile::tempdir().unwrap();
    let (store, _) = seated("lru", directory.path());
    (0..FILES - 2).for_each(|number| written(&store, &format!("/{number}")));
    let counters = store.disks().unwrap().counters();
    assert_eq!((counted(&counters.evicted), store.disks().unwrap().volumes()[0].is_kept_exactly()), (0, true));
    used(&store, "/0");
    used(&store, "/3");
    (100..120).for_each(|number| written(&store, &format!("/{number}")));
    assert!(there(&store, "/0") && there(&store, "/3"));
    assert!([1, 2, 4, 5, 6, 7, 8, 9].iter().all(|number| !there(&store, &format!("/{number}"))));
    assert_eq!([counted(&counters.exact_nonsense), counted(&counters.exact_broken)], [0, 0]);
}

#[test]
fn a_restart_tells_the_policy_what_is_on_disk_and_where_it_stands_in_its_title() {
    let directory = tempfile::tempdir().unwrap();
    let (store, _) = seated("lru", directory.path());
    (0..FILES - 2).for_each(|number| written(&store, &format!("/t7/seg-720p-{number:05}.m4s")));
    drop(store);
    let (store, shared) = seated("lru", directory.path());
    let volume = store.disks().unwrap().volumes()[0].clone();
    volume.settle(&store.disks().unwrap().shared);
    let known = volume.index().len();
    assert_eq!((known, shared.started.load(Relaxed)), (FILES - 2, 1));
    assert!(volume.index().without_handle().is_empty(), "all that is there is known");
    let item = volume.index().get(id_of_path("/t7/seg-720p-00003.m4s")).unwrap();
    assert!(matches!(item.place(), Some(Place { segment: 3, .. })), "{item:?}");
    // All of it can go.
    (100..100 + FILES).for_each(|number| written(&store, &format!("/{number}")));
    assert!((0..FILES - 2).all(|number| !there(&store, &format!("/t7/seg-720p-{number:05}.m4s"))));
    assert_eq!(counted(&store.disks().unwrap().counters().exact_nonsense), 0);
}

#[test]
fn what_the_policy_refuses_is_not_written_and_what_is_pinned_is() {
    let directory = tempfile::tempdir().unwrap();
    // Objects above a tenth of the tier are not S3-FIFO's.
    let (store, _) = seated("s3fifo", directory.path());
    let large = noise(500_000, 1);
    put(&store, "/refused", &large);
    settle(&store);
    let counters = store.disks().unwrap().counters();
    assert_eq!((counted(&counters.skipped[Skip::Policy as usize]), there(&store, "/refused")), (1, false));
    store.pin(&Key::new("h", "/pinned"), SystemTime::now() + Duration::from_secs(600));
    put(&store, "/pinned", &large);
    settle(&store);
    (0..2 * FILES).for_each(|number| written(&store, &format!("/{number}")));
    assert!(there(&store, "/pinned"), "whatever else came");
    assert!(counted(&counters.evicted) > FILES as u64 / 2);
}

#[test]
fn purges_give_handles_back_and_a_written_object_takes_the_place_of_its_older_copy() {
    let directory = tempfile::tempdir().unwrap();
    let (store, _) = seated("sieve", directory.path());
    for _ in 0..5 {
        for number in 0..10 {
            written(&store, &format!("/{number}"));
            written(&store, &format!("/{number}"));
        }
        assert_eq!(store.disks().unwrap().volumes()[0].index().len(), 10);
        store.purge(&(0..10).map(|number| Target::Url(Key::new("h", &format!("/{number}")))).collect::<Vec<_>>());
        settle(&store);
    }
    written(&store, "/last");
    let counters = store.disks().unwrap().counters();
    assert_eq!((counted(&counters.evicted), counted(&counters.exact_nonsense)), (0, 0));
    assert!(there(&store, "/last") && store.disks().unwrap().volumes()[0].index().len() == 1);
}

#[test]
fn a_policy_that_breaks_leaves_what_is_on_disk_and_samples_make_room() {
    let directory = tempfile::tempdir().unwrap();
    let (store, shared) = seated("lru", directory.path());
    (0..FILES - 2).for_each(|number| written(&store, &format!("/{number}")));
    shared.broken.store(true, Relaxed);
    (100..110).for_each(|number| written(&store, &format!("/{number}")));
    let volume = store.disks().unwrap().volumes()[0].clone();
    let counters = store.disks().unwrap().counters();
    assert!(counted(&counters.exact_broken) > 0 && !volume.is_kept_exactly());
    assert_eq!(counted(&counters.writes), FILES as u64 + 8, "each was written");
    assert!(volume.index().len() >= FILES - 2 && volume.index().bytes() <= volume.settings().bytes);
    shared.broken.store(false, Relaxed);
    written(&store, "/200");
    assert!(volume.is_kept_exactly() && volume.index().without_handle().is_empty());
}

//! Disks that are full, read-only, slow or broken.

use super::*;

#[test]
fn a_disk_that_cannot_be_read_is_a_miss_and_after_some_failures_it_is_out() {
    let directory = tempfile::tempdir().unwrap();
    let store = start(directory.path());
    (0..20).for_each(|at| drop(put(&store, &format!("/{at}"), b"x")));
    settle(&store);
    drop(store);
    let (store, state) = faulty(directory.path());
    store.disks().unwrap().scanned();
    state.fail("read", ErrorKind::Other);
    assert!(find(&store, "/0", None).is_none());
    assert_eq!(out(&store), None, "one failure may pass");
    state.heal();
    assert!(find(&store, "/1", None).is_some(), "nothing was removed");
    state.fail("read", ErrorKind::Other);
    (2..2 + DISK_FAILURES).for_each(|at| assert!(find(&store, &format!("/{at}"), None).is_none()));
    assert!(out(&store).unwrap().contains("reading an object failed"));
    state.heal();
    assert!(find(&store, "/15", None).is_none(), "it stays out");
    put(&store, "/15", b"from memory");
    assert!(find(&store, "/15", None).is_some());
}

#[test]
fn a_disk_stays_in_while_only_the_process_has_no_descriptors_left() {
    let directory = tempfile::tempdir().unwrap();
    let store = start(directory.path());
    let (disks, counters) = (store.disks().unwrap(), store.disks().unwrap().counters());
    for errno in [rustix::io::Errno::MFILE, rustix::io::Errno::NFILE, rustix::io::Errno::NOMEM] {
        (0..2 * DISK_FAILURES).for_each(|_| disks.volumes()[0].failed("reading an object", &errno.into(), counters));
    }
    assert_eq!((out(&store), counted(&counters.errors)), (None, u64::from(6 * DISK_FAILURES)));
}

#[test]
fn a_full_disk_skips_what_does_not_fit_and_keeps_no_older_copy_of_it() {
    let directory = tempfile::tempdir().unwrap();
    let (store, state) = faulty(directory.path());
    put(&store, "/a", b"older");
    settle(&store);
    state.fail("append", ErrorKind::StorageFull);
    put(&store, "/a", b"newer");
    settle(&store);
    assert_eq!((skipped(&store, Skip::Space), out(&store)), (1, None));
    state.heal();
    put(&store, "/b", b"fits again");
    settle(&store);
    drop(store);
    let store = start(directory.path());
    assert!(find(&store, "/a", None).is_none() && find(&store, "/b", None).is_some());
}

#[test]
fn bytes_that_are_others_stay_free() {
    let directory = tempfile::tempdir().unwrap();
    let state = Arc::new(FaultState::default());
    let floor = DiskSettings { min_free: 100 * MIB, ..disk(directory.path()) };
    let store = store_of(Arc::new(Faults(state.clone())), vec![floor]);
    store.disks().unwrap().scanned();
    *state.free.lock() = Some(101 * MIB);
    put(&store, "/a", b"fits");
    settle(&store);
    assert_eq!(store.disks().unwrap().volumes()[0].index().len(), 1);
    *state.free.lock() = Some(100 * MIB);
    put(&store, "/b", b"does not");
    settle(&store);
    assert_eq!(skipped(&store, Skip::Space), 1);
    assert_eq!(counted(&store.disks().unwrap().counters().evicted), 1, "it tried to make room");
}

#[test]
fn a_disk_that_became_read_only_is_out_at_once_and_memory_goes_on() {
    let directory = tempfile::tempdir().unwrap();
    let (store, state) = faulty(directory.path());
    state.fail("create", ErrorKind::ReadOnlyFilesystem);
    put(&store, "/a", b"x");
    settle(&store);
    assert!(out(&store).unwrap().contains("writing an object failed"));
    assert_eq!(skipped(&store, Skip::Error), 1);
    assert!(find(&store, "/a", None).is_some());
}

#[test]
fn a_directory_that_cannot_be_made_is_out_and_says_why() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("file");
    std::fs::write(&file, "").unwrap();
    let store = start(&file);
    assert!(out(&store).unwrap().contains("cannot make"));
    put(&store, "/a", b"x");
    assert!(find(&store, "/a", None).is_some());
}

#[test]
fn a_slow_disk_takes_as_much_as_its_queue_holds_and_keeps_no_older_copy_of_the_rest() {
    let directory = tempfile::tempdir().unwrap();
    let (store, state) = faulty(directory.path());
    put(&store, "/last", b"older");
    settle(&store);
    state.shut(Some("create"));
    let large = noise(16 << 20, 1);
    for at in 0..DISK_QUEUE_BYTES / (16 * MIB) + 2 {
        put(&store, &format!("/{at}"), &large);
    }
    put(&store, "/last", &large);
    assert!(skipped(&store, Skip::Queue) >= 2);
    assert!(store.disks().unwrap().volumes()[0].waiting().1 <= 256 * MIB / DISK_QUEUE_SHARE, "its part of memory");
    state.shut(None);
    settle(&store);
    drop(store);
    assert!(find(&start(directory.path()), "/last", None).is_none());
}

#[test]
fn what_is_being_replaced_is_not_found_in_its_older_form() {
    let directory = tempfile::tempdir().unwrap();
    let (store, state) = faulty(directory.path());
    put(&store, "/a", b"older");
    settle(&store);
    state.shut(Some("create"));
    let newer = put(&store, "/a", b"newer");
    let id = newer.disk_id();
    assert!(store.disks().unwrap().having(id).is_none());
    state.shut(None);
    settle(&store);
    assert!(store.disks().unwrap().having(id).is_some());
}

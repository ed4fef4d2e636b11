//! Purges hold: against what is written, what waits to be written, what is read, and the next process.

use super::*;

/// One of each kind.
fn targets() -> [Target; Target::KINDS.len()] {
    let (url, regex) = (Target::Url(Key::new("h", "/a")), Target::regex("^h/a$").unwrap());
    [url, Target::prefix("h", "/"), Target::host("h"), regex, Target::Surrogate(key_hash("tag")), Target::All]
}

#[test]
fn what_was_purged_does_not_come_back_with_the_next_process() {
    for target in targets() {
        let directory = tempfile::tempdir().unwrap();
        let store = start(directory.path());
        put(&store, "/a", b"x");
        settle(&store);
        assert_eq!(store.purge(std::slice::from_ref(&target)), 1);
        drop(store);
        let store = start(directory.path());
        assert!(find(&store, "/a", None).is_none(), "{target:?}");
        put(&store, "/a", b"stored after it");
        settle(&store);
        drop(store);
        assert!(find(&start(directory.path()), "/a", None).is_some(), "{target:?}");
    }
}

#[test]
fn what_only_the_disk_has_is_purged_too() {
    for target in targets() {
        let directory = tempfile::tempdir().unwrap();
        let store = start(directory.path());
        put(&store, "/a", b"x");
        settle(&store);
        drop(store);
        let store = start(directory.path());
        store.disks().unwrap().scanned();
        store.purge(std::slice::from_ref(&target));
        assert!(find(&store, "/a", None).is_none(), "{target:?}");
        drop(store);
        assert!(find(&start(directory.path()), "/a", None).is_none(), "{target:?}");
    }
}

#[test]
fn a_soft_purge_leaves_the_copy_on_disk_stale_also_when_it_is_forgotten() {
    for target in targets() {
        let directory = tempfile::tempdir().unwrap();
        let store = start(directory.path());
        put(&store, "/a", b"x");
        settle(&store);
        assert_eq!(store.expire(std::slice::from_ref(&target)), 1);
        drop(store);
        let store = start(directory.path());
        store.disks().unwrap().kept();
        assert_eq!(store.disks().unwrap().shared.ledger.targets(), 0);
        drop(store);
        let found = find(&start(directory.path()), "/a", None).expect("there to be revalidated");
        assert!(found.is_expired() && found.ttl_ms(millis(SystemTime::now())) < 0, "{target:?}");
    }
}

#[test]
fn what_waits_to_be_written_when_it_is_purged_is_not_written() {
    for target in targets() {
        let directory = tempfile::tempdir().unwrap();
        let (store, state) = faulty(directory.path());
        state.shut(Some("create"));
        put(&store, "/first", b"holds the writer");
        put(&store, "/a", b"x");
        store.purge(std::slice::from_ref(&target));
        state.shut(None);
        settle(&store);
        assert!(find(&store, "/a", None).is_none(), "{target:?}");
        drop(store);
        assert!(find(&start(directory.path()), "/a", None).is_none(), "{target:?}");
    }
}

#[test]
fn a_variant_goes_with_its_url_and_stays_gone_when_purges_are_forgotten() {
    let directory = tempfile::tempdir().unwrap();
    let store = start(directory.path());
    let mut writer = store.admit(begin(&store, "/a", 1)).unwrap().start(Some(&[2; 16]), Some([2; 16]));
    writer.write(Bytes::from_static(b"v")).unwrap();
    writer.finish(SystemTime::now()).unwrap().unwrap();
    settle(&store);
    store.purge(&targets()[..1]);
    drop(store);
    // The first start looks through the disk and forgets the purge; the second knows nothing of it.
    for _ in 0..2 {
        let store = start(directory.path());
        assert!(find(&store, "/a", Some(&[2; 16])).is_none());
        store.disks().unwrap().kept();
        assert_eq!(store.disks().unwrap().shared.ledger.targets(), 0);
    }
}

#[test]
fn a_lost_or_damaged_journal_purges_the_disk() {
    for damage in [0, 1, 2] {
        let directory = tempfile::tempdir().unwrap();
        let store = start(directory.path());
        put(&store, "/a", b"x");
        settle(&store);
        (0..3).for_each(|at| assert_eq!(store.purge(&[Target::host(&format!("{at}"))]), 0, "{at}"));
        drop(store);
        let path = layout::journal(directory.path());
        let mut bytes = std::fs::read(&path).unwrap();
        match damage {
            0 => std::fs::remove_file(&path).unwrap(),
            1 => std::fs::write(&path, &bytes[..10]).unwrap(),
            _ => {
                let at = bytes.len() - 60;
                bytes[at] ^= 1;
                std::fs::write(&path, &bytes).unwrap();
            }
        }
        assert!(find(&start(directory.path()), "/a", None).is_none(), "damage {damage}");
    }
}

#[test]
fn a_disk_that_cannot_record_a_purge_is_out_and_it_is_counted() {
    let directory = tempfile::tempdir().unwrap();
    let (store, state) = faulty(directory.path());
    put(&store, "/a", b"x");
    settle(&store);
    state.fail("append", ErrorKind::Other);
    store.purge(&targets()[..1]);
    assert!(out(&store).unwrap().contains("recording a purge failed"));
    assert_eq!(counted(&store.disks().unwrap().counters().unrecorded), 1);
    assert!(find(&store, "/a", None).is_none());
}

#[test]
fn a_disk_that_was_away_during_a_purge_does_not_bring_back_what_it_named() {
    let directories = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
    let both = || directories.iter().map(|directory| disk(directory.path())).collect::<Vec<_>>();
    let store = store_of(Arc::new(RealFiles), both());
    (0..40).for_each(|at| drop(put(&store, &format!("/{at}"), b"x")));
    settle(&store);
    drop(store);
    let store = start(directories[0].path());
    let purged: Vec<_> = (0..20).map(|at| Target::Url(Key::new("h", &format!("/{at}")))).collect();
    store.purge(&purged);
    store.disks().unwrap().kept();
    drop(store);
    let store = store_of(Arc::new(RealFiles), both());
    assert!((0..20).all(|at| find(&store, &format!("/{at}"), None).is_none()));
}

#[test]
fn a_url_that_is_not_there_takes_no_room_in_the_ledger_and_an_invalidation_waits_for_nothing_but_holds() {
    let directory = tempfile::tempdir().unwrap();
    let (store, state) = faulty(directory.path());
    put(&store, "/a", b"x");
    settle(&store);
    let disks = store.disks().unwrap();
    disks.kept();
    (0..100).for_each(|at| store.invalidate(Key::new("h", &format!("/other{at}"))));
    assert_eq!(disks.ledger().0, 0);
    state.fail("remove", ErrorKind::Other);
    store.invalidate(Key::new("h", "/a"));
    assert_eq!(disks.ledger().0, 1);
    disks.commit();
    drop(store);
    assert!(find(&start(directory.path()), "/a", None).is_none());
}

#[test]
fn a_write_that_began_before_a_purge_is_noted_while_it_waits() {
    let directory = tempfile::tempdir().unwrap();
    let (store, state) = faulty(directory.path());
    store.disks().unwrap().kept();
    state.shut(Some("create"));
    put(&store, "/a", b"x");
    store.purge(&targets()[..1]);
    assert_eq!(store.disks().unwrap().ledger().0, 1);
    state.shut(None);
}

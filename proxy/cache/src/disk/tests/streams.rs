//! Objects that stay on disk while they are served, and what a 304 changes of a file.

use std::io::Read;
use std::os::fd::AsFd;

use super::*;
use crate::disk::Streamed;
use crate::evict::{Candidate, Verdict};
use crate::limits::{DISK_BLOCK_BYTES, OPENED_BYTES, OPENED_OBJECTS, OPENED_USES, PROMOTED_SHARE};

/// More than its share of the memory that [`start`] gives.
const LARGE: usize = (256 * MIB / PROMOTED_SHARE) as usize + 5;

fn streamed(store: &Arc<Store>, path: &str) -> Option<(Arc<Entry>, Streamed)> {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    match runtime.block_on(store.find(&Key::new("h", path), None)) {
        Some(Found::Streamed(entry, body, _)) => Some((entry, body)),
        _ => None,
    }
}

fn read(body: &Streamed) -> Result<Vec<u8>, Broken> {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(async {
        let mut whole = Vec::new();
        while (whole.len() as u64) < body.length() {
            let (from, block) = body.block(whole.len() as u64).await?;
            assert_eq!(from, whole.len() as u64);
            whole.extend_from_slice(&block);
        }
        Ok(whole)
    })
}

/// A directory with one large object in it.
fn with_a_large_one() -> (tempfile::TempDir, Vec<u8>) {
    let (directory, body) = (tempfile::tempdir().unwrap(), noise(LARGE, 9));
    let store = start(directory.path());
    put(&store, "/large", &body);
    settle(&store);
    (directory, body)
}

#[test]
fn what_takes_more_than_its_share_of_memory_is_read_as_it_is_served() {
    let (directory, body) = with_a_large_one();
    let (store, state) = faulty(directory.path());
    let (entry, large) = streamed(&store, "/large").expect("on disk");
    assert!(read(&large).unwrap() == body, "what the system has in memory");
    state.fail("wait", ErrorKind::WouldBlock);
    assert!(read(&large).unwrap() == body, "what has to come from the medium");
    assert_eq!((entry.body().is_none(), store.len()), (true, 0));
    assert!(store.budget().used() <= OPENED_BYTES, "what is kept of it is not its body");
    assert_eq!(counted(&store.disks().unwrap().counters().streamed), 1);
    store.disks().unwrap().scanned();
    drop(streamed(&store, "/large"));
    assert!(store.disks().unwrap().item(entry.key()).is_some_and(|item| item.hits >= 1), "its use counts");
    let at = 3 * DISK_BLOCK_BYTES + 7;
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let (from, block) = runtime.block_on(large.block(at)).unwrap();
    assert!(from == 3 * DISK_BLOCK_BYTES && block[..] == body[from as usize..][..DISK_BLOCK_BYTES as usize]);
}

#[test]
fn a_stream_holds_on_to_its_file_when_that_is_purged_and_ends_where_a_block_has_changed() {
    let (directory, body) = with_a_large_one();
    let store = start(directory.path());
    let (_, large) = streamed(&store, "/large").unwrap();
    assert_eq!(store.purge(&[Target::host("h")]), 0);
    assert!(streamed(&store, "/large").is_none());
    assert!(read(&large).unwrap() == body, "as it was when it was asked for");
    let (directory, _) = with_a_large_one();
    let store = start(directory.path());
    // Or it would see the file while it is being changed.
    store.disks().unwrap().scanned();
    let (_, large) = streamed(&store, "/large").unwrap();
    let path = layout::object(directory.path(), url_id(Key::new("h", "/large").text()));
    let mut bytes = std::fs::read(&path).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    std::fs::write(&path, bytes).unwrap();
    assert!(matches!(read(&large), Err(Broken::Changed)));
    settle(&store);
    assert!(!path.exists() && counted(&store.disks().unwrap().counters().corrupt) == 1);
}

#[test]
fn when_nobody_can_read_any_more_a_stream_ends_and_says_so() {
    let (directory, _) = with_a_large_one();
    let (store, state) = faulty(directory.path());
    let (_, large) = streamed(&store, "/large").unwrap();
    state.fail("wait", ErrorKind::WouldBlock);
    store.disks().unwrap().readers.close();
    assert!(matches!(read(&large), Err(Broken::Refused)));
    assert_eq!(counted(&store.disks().unwrap().counters().reads_refused), 1);
}

#[test]
fn an_object_that_was_read_back_is_kept_open_until_its_file_is_replaced_changed_or_removed() {
    let (directory, body) = with_a_large_one();
    let (store, state) = faulty(directory.path());
    let kept_open = |store: &Store| {
        let hit = store.hit_on_disk(Key::new("h", "/large").hash(), "h", "/large");
        assert!(hit.as_ref().is_none_or(|(_, large)| read(large).unwrap() == body));
        hit.is_some()
    };
    assert!(!kept_open(&store), "nobody asked for it yet");
    store.disks().unwrap().scanned();
    let (entry, _) = streamed(&store, "/large").expect("on disk");
    state.fail("open", ErrorKind::Other);
    assert!(kept_open(&store) && streamed(&store, "/large").is_some(), "without opening it again");
    assert!(store.hit_on_disk(entry.key().hash(), "h", "/other").is_none(), "another key of the same hash");
    store.expire(&[Target::host("h")]);
    assert!(kept_open(&store) && entry.is_expired());
    state.heal();
    assert!(confirm(&store, &entry, "1"));
    assert!(!kept_open(&store));
    settle(&store);
    assert_eq!(streamed(&store, "/large").unwrap().0.head().headers["x-confirmed"], "1");
    assert!(kept_open(&store));
    let opened = &store.disks().unwrap().shared.opened;
    let (slot, id, before) = (entry.key().hash(), entry.disk_id(), opened.before(entry.disk_id()));
    let kept = opened.get(slot).expect("kept");
    opened.forget(id);
    opened.keep(before, slot, kept.clone());
    assert!(!kept_open(&store), "it may have changed since it was read");
    opened.keep(opened.before(id), slot, kept);
    let path = layout::object(directory.path(), id);
    assert!(path.exists() && kept_open(&store));
    store.purge(&[Target::Url(entry.key().clone())]);
    assert!(!kept_open(&store));
    settle(&store);
    assert_eq!((path.exists(), store.disks().unwrap().opened()), (false, 0));
    put(&store, "/large", &body);
    settle(&store);
    drop((store, entry));
    let store = start(directory.path());
    assert!(streamed(&store, "/large").is_some() && kept_open(&store));
    put(&store, "/large", &body[1..]);
    settle(&store);
    assert!(!kept_open(&store));
}

#[test]
fn an_object_that_cannot_be_read_is_not_kept_open() {
    let (directory, body) = with_a_large_one();
    let (store, state) = faulty(directory.path());
    let (entry, large) = streamed(&store, "/large").unwrap();
    state.fail("wait", ErrorKind::WouldBlock);
    state.fail("read", ErrorKind::Other);
    assert!(matches!(read(&large), Err(Broken::Failed(_))));
    assert!(store.hit_on_disk(entry.key().hash(), "h", "/large").is_none());
    state.heal();
    assert!(read(&streamed(&store, "/large").unwrap().1).unwrap() == body, "it may have passed");
}

/// What `look` finds, which is of what was read just now: under load the system may have taken it out of its memory already, so it
/// is read and looked at a few times.
fn in_memory<T>(look: impl FnMut() -> Option<T>) -> Option<T> {
    std::iter::repeat_with(look).take(50).flatten().next()
}

#[test]
fn a_block_is_handed_out_at_once_after_it_was_verified_and_until_the_object_is_read_from_the_medium_again() {
    let (directory, body) = with_a_large_one();
    let (store, state) = faulty(directory.path());
    let (_, large) = streamed(&store, "/large").unwrap();
    let mut piece = vec![0; 1000];
    let mut at_once = |at: u64| {
        let read = large.read_at_once(at, &mut piece).unwrap();
        assert!(read.is_none_or(|bytes| piece[..bytes] == body[at as usize..][..bytes]));
        read
    };
    assert_eq!(at_once(0), None);
    let mut when_read = |at| {
        in_memory(|| {
            assert!(read(&large).unwrap() == body);
            at_once(at)
        })
    };
    assert_eq!(when_read(7), Some(1000));
    assert_eq!(when_read(DISK_BLOCK_BYTES - 10), Some(10), "no further than its block");
    assert_eq!(when_read(LARGE as u64 - 3), Some(3));
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let again = in_memory(|| {
        state.fail("wait", ErrorKind::WouldBlock);
        assert_eq!(at_once(7), None, "the system has it no more");
        runtime.block_on(large.block(0)).unwrap();
        state.heal();
        at_once(7)
    });
    assert_eq!((again, at_once(DISK_BLOCK_BYTES)), (Some(1000), None), "others may have been read with it");
}

#[test]
fn the_system_sends_what_was_verified_and_is_in_its_memory_and_nothing_else() {
    let (directory, body) = with_a_large_one();
    let (store, state) = faulty(directory.path());
    let (_, large) = streamed(&store, "/large").unwrap();
    let (near, mut far) = std::os::unix::net::UnixStream::pair().unwrap();
    near.set_nonblocking(true).unwrap();
    let mut send = |at: u64| {
        let sent = large.send_at_once(at, near.as_fd()).unwrap();
        let mut got = vec![0; sent.unwrap_or(0)];
        far.read_exact(&mut got).unwrap();
        assert!(got == body[at as usize..][..got.len()]);
        sent
    };
    assert_eq!(send(0), None, "it was not verified");
    let mut sent = 0;
    let whole = in_memory(|| {
        assert!(read(&large).unwrap() == body);
        let mut at = 5;
        sent = 0;
        while at < LARGE as u64 {
            sent += 1;
            at += send(at)? as u64;
        }
        Some(at)
    });
    assert_eq!(whole, Some(LARGE as u64));
    assert!(sent >= LARGE / (1 << 20), "others have their turn");
    state.fail("send", ErrorKind::Other);
    assert_eq!(send(0), None, "it is read instead, which tells why");
    state.heal();
    state.fail("wait", ErrorKind::WouldBlock);
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let first = in_memory(|| {
        runtime.block_on(large.block(0)).unwrap();
        assert_eq!(send(DISK_BLOCK_BYTES), None, "it may have been read from the medium with the other");
        send(0)
    });
    assert!(first.is_some(), "seen just now");
    drop(far);
    assert_eq!(large.send_at_once(0, near.as_fd()).unwrap_err().kind(), ErrorKind::BrokenPipe);
}

#[test]
fn what_is_in_the_memory_of_the_system_is_known_by_the_page() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("file");
    std::fs::write(&path, noise(5 * 4096 + 100, 3)).unwrap();
    let file = RealFiles.open(&path).unwrap();
    for at in [0, 1, 4095, 4096, 4097, 8191, 20_480, 20_579] {
        for bytes in [0, 1, 2, 100, 4096, 8192, 12_289] {
            let within = at + bytes <= 5 * 4096 + 100;
            assert_eq!(file.is_in_memory(at, bytes), within || bytes == 0, "{bytes} from {at}");
        }
    }
}

/// Admits when it is told to.
struct Admits(Arc<AtomicBool>);

impl Eviction for Admits {
    fn admit(&self, _: &Candidate, _: u16, _: u64, _: u64) -> Verdict {
        if self.0.load(Relaxed) { Verdict::Admit } else { Verdict::Bypass }
    }

    fn score(&self, _: &[Candidate], _: u64, _: u64, scores: &mut [f32]) {
        scores.fill(0.0);
    }
}

#[test]
fn memory_is_asked_again_after_many_uses_and_no_more_are_kept_open_than_the_bound() {
    let directory = tempfile::tempdir().unwrap();
    let settings = Settings { memory_bytes: 64 * MIB, object_bytes_max: MIB };
    let first = start(directory.path());
    let paths: Vec<_> = (0..OPENED_OBJECTS + 10).map(|number| format!("/{number}")).collect();
    paths.iter().for_each(|path| drop(put(&first, path, b"small")));
    settle(&first);
    drop(first);
    let policy = Arc::new(AtomicBool::new(false));
    let disks = Disks::open(vec![disk(directory.path())]).unwrap();
    let store = Store::on_disks(settings, Box::new(Admits(policy.clone())), disks).unwrap();
    let opened = || store.disks().unwrap().opened();
    for path in &paths {
        assert!(find(&store, path, None).is_some());
    }
    assert_eq!((opened(), store.len()), (OPENED_OBJECTS, 0));
    policy.store(true, Relaxed);
    let last = paths.last().unwrap();
    (0..OPENED_USES).for_each(|_| assert!(find(&store, last, None).unwrap().body().is_none()));
    assert_eq!(opened(), OPENED_OBJECTS - 1);
    assert!(find(&store, last, None).unwrap().body().is_some(), "now it is in memory");
}

fn confirm(store: &Store, entry: &Arc<Entry>, value: &str) -> bool {
    let mut head = entry.head().clone();
    head.headers.insert("x-confirmed", HeaderValue::from_str(value).unwrap());
    store.refresh(entry, head, *entry.lifetime(), store.purges(), SystemTime::now())
}

#[test]
fn what_a_304_says_is_written_over_what_was_there_and_the_body_only_if_it_does_not_fit() {
    let directory = tempfile::tempdir().unwrap();
    let store = start(directory.path());
    let written = |store: &Store| {
        let counters = store.disks().unwrap().counters();
        (counted(&counters.writes), counted(&counters.confirmed))
    };
    for (value, expected) in [("1".to_owned(), (1, 1)), ("x".repeat(1000), (2, 1)), ("2".to_owned(), (2, 2))] {
        let entry = store.stored(&Key::new("h", "/a"), None).unwrap_or_else(|| put(&store, "/a", b"body"));
        assert!(confirm(&store, &entry, &value));
        settle(&store);
        assert_eq!(written(&store), expected, "{value}");
    }
    drop(store);
    let found = find(&start(directory.path()), "/a", None).unwrap();
    assert_eq!((found.head().headers["x-confirmed"].as_bytes(), body_of(&found)), (&b"2"[..], b"body".to_vec()));
}

#[test]
fn what_is_only_on_disk_is_confirmed_there_unless_it_was_purged_or_replaced() {
    let (directory, body) = with_a_large_one();
    let store = start(directory.path());
    let (entry, _) = streamed(&store, "/large").unwrap();
    assert!(confirm(&store, &entry, "1"));
    settle(&store);
    let (confirmed, large) = streamed(&store, "/large").unwrap();
    assert!(confirmed.head().headers["x-confirmed"] == "1" && read(&large).unwrap() == body);
    // Confirmed twice at once: the first one's file is no longer the one that the second means.
    assert!(confirm(&store, &entry, "2"));
    settle(&store);
    let (confirmed, _) = streamed(&store, "/large").unwrap();
    assert_eq!(confirmed.head().headers["x-confirmed"], "1");
    let before = store.purges();
    store.expire(&[Target::host("h")]);
    assert!(store.refresh(&confirmed, confirmed.head().clone(), *confirmed.lifetime(), before, SystemTime::now()));
    settle(&store);
    assert!(streamed(&store, "/large").unwrap().0.is_expired(), "purged while it was asked about");
    store.purge(&[Target::host("h")]);
    assert!(!store.refresh(&confirmed, confirmed.head().clone(), *confirmed.lifetime(), before, SystemTime::now()));
    assert!(streamed(&store, "/large").is_none());
}

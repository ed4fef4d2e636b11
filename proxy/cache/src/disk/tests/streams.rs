//! Objects that stay on disk while they are served, and what a 304 changes of a file.

use super::*;
use crate::disk::Streamed;
use crate::limits::{DISK_BLOCK_BYTES, PROMOTED_SHARE};

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
    assert_eq!((entry.body().is_none(), store.len(), store.budget().used()), (true, 0, 0));
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

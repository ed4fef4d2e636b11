//! The store as instances use it, on a real file; and on one that loses what was not synced.

use std::future::Future;
use std::io;
use std::pin::pin;
use std::task::{Context, Poll, Wake, Waker};
use std::thread::Thread;

use parking_lot::Mutex as Lock;
use redb::{Builder, StorageBackend};

use super::file::{Use, begin};
use super::*;

/// Wakes the thread that waits.
struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

/// Waits for what the store's threads do.
fn wait<T>(future: impl Future<Output = T>) -> T {
    let waker = Waker::from(Arc::new(Unpark(std::thread::current())));
    let mut future = pin!(future);
    loop {
        match future.as_mut().poll(&mut Context::from_waker(&waker)) {
            Poll::Ready(done) => return done,
            Poll::Pending => std::thread::park(),
        }
    }
}

fn at(directory: &tempfile::TempDir) -> PathBuf {
    directory.path().join("kept").join("a.redb")
}

fn store(directory: &tempfile::TempDir) -> Arc<Durable> {
    let store = Stores::default().open(&at(directory)).unwrap();
    store.grant(1 << 20, 1000);
    store
}

fn put(draft: &mut Draft, entries: &[(&str, &str)]) -> Result<(), Refusal> {
    entries.iter().try_for_each(|(key, value)| draft.put(key.as_bytes().into(), value.as_bytes().into()))
}

fn get(draft: &Draft, key: &str) -> Option<String> {
    wait(draft.get(key.as_bytes())).unwrap().map(|value| String::from_utf8(value).unwrap())
}

fn keys(draft: &Draft, prefix: &str, after: Option<&str>, most: usize) -> Vec<String> {
    let keys = wait(draft.keys(prefix.as_bytes(), after.map(str::as_bytes), most)).unwrap();
    keys.into_iter().map(|key| String::from_utf8(key).unwrap()).collect()
}

#[test]
fn what_was_committed_is_there_when_the_file_is_opened_again_and_nothing_else() {
    let directory = tempfile::tempdir().unwrap();
    let first = store(&directory);
    let mut draft = Draft::of(first.clone());
    put(&mut draft, &[("a", "1"), ("b", "2")]).unwrap();
    assert_eq!(get(&draft, "a").unwrap(), "1", "it sees its own");
    assert_eq!(get(&Draft::of(first.clone()), "a"), None, "and nobody else");
    assert_eq!([wait(draft.commit()), wait(draft.commit())], [Ok(true), Ok(false)]);
    put(&mut draft, &[("a", "3")]).unwrap();
    drop((draft, first));
    let draft = Draft::of(store(&directory));
    assert_eq!([get(&draft, "a"), get(&draft, "b")], [Some("1".into()), Some("2".into())]);
    assert_eq!(draft.usage().0, Use { keys: 2, bytes: 2 * 34 });
}

#[test]
fn keys_come_in_order_with_what_is_noted_and_in_pieces_as_large_as_asked() {
    let directory = tempfile::tempdir().unwrap();
    let mut draft = Draft::of(store(&directory));
    let names: Vec<String> = (0..50).map(|at| format!("m/{at:02}")).collect();
    put(&mut draft, &names.iter().map(|name| (name.as_str(), "x")).collect::<Vec<_>>()).unwrap();
    put(&mut draft, &[("l", "x"), ("n", "x")]).unwrap();
    wait(draft.commit()).unwrap();
    // Every third goes, every seventh is new: what is told is as if that had been done.
    let mut expected: std::collections::BTreeSet<String> = names.iter().cloned().collect();
    for at in 0..50 {
        let (old, new) = (format!("m/{at:02}"), format!("m/{at:02}x"));
        if at % 3 == 0 {
            draft.remove(old.as_bytes().into()).unwrap();
            expected.remove(&old);
        }
        if at % 7 == 0 {
            draft.put(new.as_bytes().into(), b"y".into()).unwrap();
            expected.insert(new);
        }
    }
    let expected: Vec<String> = expected.into_iter().collect();
    for most in [1, 2, 7, 1000] {
        let (mut told, mut after) = (Vec::new(), None::<String>);
        loop {
            let piece = keys(&draft, "m/", after.as_deref(), most);
            let is_last = piece.len() < most;
            told.extend(piece);
            if is_last {
                break;
            }
            after = told.last().cloned();
        }
        assert_eq!(told, expected, "{most} at a time");
    }
    assert_eq!(keys(&draft, "", None, 2), ["l", "m/00x"]);
    assert_eq!(keys(&draft, "m", Some("a"), 1), ["m/00x"], "behind what comes before all of them");
    assert_eq!(keys(&draft, "m", Some("z"), 1), [""; 0]);
}

#[test]
fn a_commit_that_is_refused_changes_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let store = store(&directory);
    store.grant(1000, 3);
    let (mut one, mut other) = (Draft::of(store.clone()), Draft::of(store.clone()));
    put(&mut one, &[("a", "1"), ("b", "1")]).unwrap();
    wait(one.commit()).unwrap();
    // Too many, too large.
    put(&mut one, &[("c", "1"), ("d", "1")]).unwrap();
    assert_eq!(wait(one.commit()), Err(Refusal::Full));
    put(&mut one, &[("a", &"x".repeat(1000))]).unwrap();
    assert_eq!(wait(one.commit()), Err(Refusal::Full));
    // Two that have read the same.
    for draft in [&mut one, &mut other] {
        draft.expect(b"a".into(), Some(b"1".into())).unwrap();
        draft.expect(b"c".into(), None).unwrap();
        put(draft, &[("a", "2")]).unwrap();
    }
    assert_eq!([wait(one.commit()), wait(other.commit())], [Ok(true), Err(Refusal::Conflict)]);
    // What makes it smaller is made, also when less is granted than there is.
    store.grant(10, 1);
    one.remove(b"a".into()).unwrap();
    assert_eq!(wait(one.commit()), Ok(true));
    put(&mut one, &[("b", "12")]).unwrap();
    assert_eq!(wait(one.commit()), Err(Refusal::Full));
    assert_eq!([get(&one, "a"), get(&one, "b"), get(&one, "c")], [None, Some("1".into()), None]);
    let held = store.held();
    assert_eq!((held.keys, held.bytes, held.refused["full"], held.refused["conflict"]), (1, 34, 3, 1));
    assert_eq!((held.operations["commit"], held.syncs), (7, 3));
}

#[test]
fn drafts_are_bounded_each_and_all_together() {
    let directory = tempfile::tempdir().unwrap();
    let store = store(&directory);
    let mut draft = Draft::of(store.clone());
    for at in 0..limits::CHANGES_MAX {
        draft.put(at.to_string().into(), b"x".into()).unwrap();
    }
    assert_eq!(draft.put(b"one more".into(), b"x".into()), Err(Refusal::TooMuch));
    assert_eq!(draft.put(b"0".into(), b"y".into()), Ok(()), "in place of another");
    draft.discard();
    let large = vec![0; limits::VALUE_BYTES_MAX];
    let fill = |draft: &mut Draft| (0_u8..).find_map(|at| draft.put(vec![b'k', at], large.clone()).err()).unwrap();
    assert_eq!(fill(&mut draft), Refusal::TooMuch);
    let mut others = vec![draft];
    let crowded = loop {
        let mut draft = Draft::of(store.clone());
        let refusal = fill(&mut draft);
        others.push(draft);
        if refusal != Refusal::TooMuch {
            break refusal;
        }
    };
    assert_eq!(crowded, Refusal::Busy);
    assert!(store.noted.load(Relaxed) <= limits::DRAFTS_BYTES_MAX);
    drop(others);
    assert_eq!(store.noted.load(Relaxed), 0, "each gives back its own");
}

#[test]
fn a_file_that_another_has_is_opened_when_it_is_let_go() {
    let directory = tempfile::tempdir().unwrap();
    let (mine, theirs) = (Stores::default(), Stores::default());
    let mut old = Draft::of(mine.open(&at(&directory)).unwrap());
    let mut new = Draft::of(theirs.open(&at(&directory)).expect("it is opened later"));
    for draft in [&old, &new] {
        draft.store.grant(1 << 20, 10);
    }
    put(&mut old, &[("a", "1")]).unwrap();
    wait(old.commit()).unwrap();
    mine.release();
    put(&mut new, &[("b", "2")]).unwrap();
    assert_eq!((wait(new.commit()), get(&new, "a").unwrap().as_str()), (Ok(true), "1"));
    assert_eq!(old.usage().0.keys, 1, "what it knew last");
    // The other one has it, for good.
    put(&mut old, &[("c", "3")]).unwrap();
    assert_eq!((wait(old.get(b"a")), wait(old.commit())), (Err(Refusal::Busy), Err(Refusal::Busy)));
    assert_eq!(keys(&new, "", None, 9), ["a", "b"]);
}

#[test]
fn what_is_no_store_is_refused_in_words_and_what_was_begun_is_made_anew() {
    let directory = tempfile::tempdir().unwrap();
    let path = at(&directory);
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(&path, b"something else, and long enough to be looked at").unwrap();
    let told = Stores::default().open(&path).unwrap_err();
    assert!(told.contains("a.redb") && told.contains("durable store"), "{told}");
    std::fs::remove_file(&path).unwrap();
    // A process that was killed while it made the file has left a part of it.
    std::fs::write(path.with_extension("new"), b"half").unwrap();
    Stores::default().open(&path).unwrap();
    assert!(!path.with_extension("new").exists());
}

/// A disk that loses, when the power goes, any of what was written since it was last told to keep it.
#[derive(Debug, Clone, Default)]
struct Disk(Arc<Lock<Platter>>);

#[derive(Debug, Default)]
struct Platter {
    seen: Vec<u8>,
    kept: Vec<u8>,
    /// Written since: where and what; `Err`: the length.
    since: Vec<Result<(u64, Vec<u8>), u64>>,
    /// Writes until the power goes; nothing works after that.
    left: usize,
}

impl Platter {
    fn write(image: &mut Vec<u8>, change: &Result<(u64, Vec<u8>), u64>) {
        match change {
            Ok((at, data)) => {
                let at = *at as usize;
                image.resize(image.len().max(at + data.len()), 0);
                image[at..at + data.len()].copy_from_slice(data);
            }
            Err(length) => image.resize(*length as usize, 0),
        }
    }

    fn changed(&mut self, change: Result<(u64, Vec<u8>), u64>) -> io::Result<()> {
        self.powered()?;
        Self::write(&mut self.seen, &change);
        self.since.push(change);
        Ok(())
    }

    fn powered(&mut self) -> io::Result<()> {
        self.left = self.left.saturating_sub(1);
        if self.left == 0 { Err(io::Error::other("no power")) } else { Ok(()) }
    }
}

impl Disk {
    /// The same after the power has gone and come back: of what was not kept, `random` writes are there.
    fn again(&self, random: &mut impl FnMut() -> u64) -> Self {
        let mut platter = self.0.lock();
        let (mut image, since) = (std::mem::take(&mut platter.kept), std::mem::take(&mut platter.since));
        since.iter().filter(|_| random().is_multiple_of(2)).for_each(|change| Platter::write(&mut image, change));
        let platter = Platter { seen: image.clone(), kept: image, since: Vec::new(), left: usize::MAX };
        Self(Arc::new(Lock::new(platter)))
    }
}

impl StorageBackend for Disk {
    fn len(&self) -> io::Result<u64> {
        Ok(self.0.lock().seen.len() as u64)
    }
    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let (platter, at) = (self.0.lock(), offset as usize);
        let there = platter.seen.get(at..at + out.len()).ok_or(io::ErrorKind::UnexpectedEof)?;
        out.copy_from_slice(there);
        Ok(())
    }
    fn set_len(&self, len: u64) -> io::Result<()> {
        self.0.lock().changed(Err(len))
    }
    fn sync_data(&self) -> io::Result<()> {
        let mut platter = self.0.lock();
        platter.powered()?;
        platter.kept = platter.seen.clone();
        platter.since.clear();
        Ok(())
    }
    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.0.lock().changed(Ok((offset, data.to_vec())))
    }
}

#[test]
fn a_loss_of_power_at_any_write_leaves_what_was_committed_and_nothing_half() {
    let mut seed = 7_u64;
    let mut random = move || {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        seed >> 33
    };
    let quota = Use { keys: 1000, bytes: 1 << 20 };
    let disk = Disk(Arc::new(Lock::new(Platter { left: usize::MAX, ..Platter::default() })));
    begin(&Builder::new().create_with_backend(disk.clone()).unwrap()).unwrap();
    // Each commit writes its number under two keys, with some bytes besides so that pages are split.
    let (mut disk, mut committed, mut lost) = (disk, 0_u64, 0);
    for round in 0..120 {
        disk = disk.again(&mut random);
        let file = match Builder::new().create_with_backend(disk.clone()) {
            Ok(database) => File::on(database).unwrap(),
            Err(error) => panic!("round {round}: it cannot be opened: {error}"),
        };
        let number = |key: &[u8]| {
            let value = file.get(key).unwrap()?;
            Some(u64::from_le_bytes(value[..8].try_into().unwrap()))
        };
        let found = number(b"one").unwrap_or(0);
        assert_eq!(found, number(b"two").unwrap_or(0), "round {round}: half of a commit");
        assert!((committed..=committed + 1).contains(&found), "round {round}: {found} after {committed}");
        let keys = file.keys(b"", None, 1000).unwrap();
        assert_eq!(file.used().keys, keys.len() as u64, "round {round}: the count is of another commit");
        committed = found;
        disk.0.lock().left = 1 + random() as usize % 150;
        loop {
            let next = committed + 1;
            let value = [next.to_le_bytes().as_slice(), &vec![b'x'; random() as usize % 3000]].concat();
            let mut batch = Batch::default();
            for key in [b"one".to_vec(), b"two".to_vec(), format!("n/{:02}", random() % 40).into()] {
                batch.changes.insert(key, Some(value.clone()));
            }
            match file.apply(&[&batch], quota) {
                Ok(outcomes) => assert_eq!(outcomes, [Ok(())]),
                Err(_) => break,
            }
            committed = next;
        }
        lost += 1;
    }
    assert!(committed > 120 && lost == 120, "{committed} commits in {lost} lives");
}

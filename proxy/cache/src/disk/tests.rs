//! What the disk tier promises, on real directories and a file system that fails when it is told to.

use std::collections::HashMap;
use std::io::{Error, ErrorKind};
use std::os::fd::BorrowedFd;
use std::path::Path;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, StatusCode};

use super::files::{Created, Opened};
use super::*;
use crate::entry::Head;
use crate::freshness::Lifetime;
use crate::limits::{DISK_FAILURES, DISK_QUEUE_BYTES, DISK_QUEUE_SHARE};
use crate::surrogate::key_hash;
use crate::target::Target;
use crate::{Begin, Found, Key, LfuSize, Settings, Store};

mod exact;
mod faults;
mod purges;
mod streams;

const MIB: u64 = 1 << 20;

/// A file system that fails, waits and is full when it is told to.
#[derive(Default)]
struct Faults(Arc<FaultState>);

#[derive(Default)]
struct FaultState {
    failing: Mutex<HashMap<&'static str, ErrorKind>>,
    shut: Mutex<Option<&'static str>>,
    opened: Condvar,
    free: Mutex<Option<u64>>,
}

struct Faulty<T: ?Sized>(Arc<FaultState>, Box<T>);

impl FaultState {
    fn fail(&self, operation: &'static str, kind: ErrorKind) {
        self.failing.lock().insert(operation, kind);
    }

    fn heal(&self) {
        self.failing.lock().clear();
    }

    /// Holds back whoever creates a file, or opens one that is there, until nothing is shut.
    fn shut(&self, operation: Option<&'static str>) {
        *self.shut.lock() = operation;
        self.opened.notify_all();
    }

    fn wait(&self, operation: &'static str) {
        let mut shut = self.shut.lock();
        while *shut == Some(operation) {
            self.opened.wait(&mut shut);
        }
    }

    fn check(&self, operation: &'static str) -> std::io::Result<()> {
        self.failing.lock().get(operation).map_or(Ok(()), |kind| Err(Error::from(*kind)))
    }
}

impl Files for Faults {
    fn open(&self, path: &Path) -> std::io::Result<Box<dyn Opened>> {
        self.0.check("open")?;
        let file = RealFiles.open(path)?;
        self.0.wait("open");
        Ok(Box::new(Faulty(self.0.clone(), file)))
    }
    fn change(&self, path: &Path) -> std::io::Result<Box<dyn Opened>> {
        self.0.check("change")?;
        Ok(Box::new(Faulty(self.0.clone(), RealFiles.change(path)?)))
    }
    fn create(&self, path: &Path) -> std::io::Result<Box<dyn Created>> {
        self.0.wait("create");
        self.0.check("create")?;
        Ok(Box::new(Faulty(self.0.clone(), RealFiles.create(path)?)))
    }
    fn append_to(&self, path: &Path) -> std::io::Result<Box<dyn Created>> {
        Ok(Box::new(Faulty(self.0.clone(), RealFiles.append_to(path)?)))
    }
    fn publish(&self, from: &Path, to: &Path) -> std::io::Result<()> {
        self.0.check("publish")?;
        RealFiles.publish(from, to)
    }
    fn sync_all(&self, path: &Path) -> std::io::Result<()> {
        self.0.check("sync")?;
        RealFiles.sync_all(path)
    }
    fn sync_directory(&self, path: &Path) -> std::io::Result<()> {
        RealFiles.sync_directory(path)
    }
    fn remove(&self, path: &Path) -> std::io::Result<()> {
        self.0.check("remove")?;
        RealFiles.remove(path)
    }
    fn free_bytes(&self, path: &Path) -> std::io::Result<u64> {
        let told = *self.0.free.lock();
        told.map_or_else(|| RealFiles.free_bytes(path), Ok)
    }
}

impl Opened for Faulty<dyn Opened> {
    fn length(&self) -> std::io::Result<u64> {
        self.1.length()
    }
    fn read_at(&self, into: &mut [u8], at: u64) -> std::io::Result<()> {
        self.0.check("read")?;
        self.1.read_at(into, at)
    }
    fn read_at_once(&self, into: &mut [u8], at: u64) -> std::io::Result<bool> {
        self.0.check("read")?;
        // As if nothing were in memory, unless the test says so.
        if self.0.check("wait").is_err() { Ok(false) } else { self.1.read_at_once(into, at) }
    }
    fn is_in_memory(&self, at: u64, bytes: u64) -> bool {
        self.0.check("wait").is_ok() && self.1.is_in_memory(at, bytes)
    }
    fn send_at_once(&self, at: u64, bytes: usize, to: BorrowedFd<'_>) -> std::io::Result<Option<usize>> {
        if self.0.check("send").is_err() { Ok(None) } else { self.1.send_at_once(at, bytes, to) }
    }
    fn write_at(&self, bytes: &[u8], at: u64) -> std::io::Result<()> {
        self.0.check("write")?;
        self.1.write_at(bytes, at)
    }
}

impl Created for Faulty<dyn Created> {
    fn append(&mut self, bytes: &[u8]) -> std::io::Result<()> {
        self.0.check("append")?;
        self.1.append(bytes)
    }
    fn sync(&mut self) -> std::io::Result<()> {
        self.0.check("sync")?;
        self.1.sync()
    }
}

fn disk(path: &Path) -> DiskSettings {
    DiskSettings { path: path.to_owned(), bytes: 1 << 30, min_free: 0, weight: 1, sync: false }
}

fn store_of(files: Arc<dyn Files>, disks: Vec<DiskSettings>) -> Arc<Store> {
    let settings = Settings { memory_bytes: 256 * MIB, object_bytes_max: 64 * MIB };
    Store::on_disks(settings, Box::new(LfuSize), Disks::open_on(files, disks).unwrap()).unwrap()
}

/// A node that starts on a directory.
fn start(path: &Path) -> Arc<Store> {
    store_of(Arc::new(RealFiles), vec![disk(path)])
}

fn faulty(path: &Path) -> (Arc<Store>, Arc<FaultState>) {
    let state = Arc::new(FaultState::default());
    (store_of(Arc::new(Faults(state.clone())), vec![disk(path)]), state)
}

fn begin(store: &Store, path: &str, length: u64) -> Begin {
    let now = crate::entry::time_of(millis(SystemTime::now()));
    let mut headers = HeaderMap::new();
    headers.insert("surrogate-key", HeaderValue::from_static("tag"));
    let lifetime = Lifetime {
        born: now,
        fresh_until: now + Duration::from_secs(600),
        stale_while_revalidate: Duration::from_secs(7),
        stale_if_error: Duration::ZERO,
        may_be_stale: true,
    };
    let head = Head { status: StatusCode::OK, headers };
    let (key, begun_purges) = (Key::new("h", path), store.purges());
    Begin { key, head, lifetime, length: Some(length), begun: now, begun_purges }
}

fn put(store: &Arc<Store>, path: &str, body: &[u8]) -> Arc<Entry> {
    let mut writer = store.admit(begin(store, path, body.len() as u64)).unwrap().start(None, None);
    writer.write(Bytes::copy_from_slice(body)).unwrap();
    writer.finish(SystemTime::now()).unwrap().expect("published")
}

/// Waits until everything offered is written.
fn settle(store: &Store) {
    store.disks().unwrap().volumes().iter().for_each(|volume| volume.flush(None));
}

fn find(store: &Arc<Store>, path: &str, variance: Option<&[u8; 16]>) -> Option<Arc<Entry>> {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    match runtime.block_on(store.find(&Key::new("h", path), variance)) {
        Some(Found::Stored(entry) | Found::Read(entry, _) | Found::Streamed(entry, ..)) => Some(entry),
        _ => None,
    }
}

fn body_of(entry: &Entry) -> Vec<u8> {
    entry.body().unwrap().blocks().concat()
}

fn counted(counter: &AtomicU64) -> u64 {
    counter.load(Relaxed)
}

fn skipped(store: &Store, why: Skip) -> u64 {
    counted(&store.disks().unwrap().counters().skipped[why as usize])
}

fn out(store: &Store) -> Option<String> {
    match store.disks().unwrap().volumes()[0].standing() {
        Standing::InUse => None,
        Standing::Out(why) => Some(why),
    }
}

fn noise(length: usize, seed: u64) -> Vec<u8> {
    let mut state = seed | 1;
    let next = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (state >> 56) as u8
    };
    std::iter::repeat_with(next).take(length).collect()
}

#[test]
fn what_one_process_stored_the_next_one_has_byte_for_byte() {
    let directory = tempfile::tempdir().unwrap();
    let bodies = [0, 1, 4096, 300_000, 3 << 20].map(|length| noise(length, length as u64));
    let store = start(directory.path());
    let stored: Vec<_> = bodies.iter().enumerate().map(|(at, body)| put(&store, &format!("/{at}"), body)).collect();
    settle(&store);
    drop(store);
    let store = start(directory.path());
    for (at, body) in bodies.iter().enumerate() {
        let found = find(&store, &format!("/{at}"), None).expect("on disk");
        assert!(body_of(&found) == *body, "body {at}");
        assert_eq!((found.head(), found.lifetime()), (stored[at].head(), stored[at].lifetime()));
        assert_eq!(found.stored_ms(), stored[at].stored_ms());
        assert!(store.hit(found.key().hash(), "h", &format!("/{at}")).is_some(), "it is in memory now");
    }
    assert_eq!(counted(&store.disks().unwrap().counters().hits), bodies.len() as u64);
    assert!(find(&store, "/other", None).is_none());
}

#[test]
fn while_a_disk_is_scanned_it_is_asked_whether_it_has_an_object() {
    let directory = tempfile::tempdir().unwrap();
    let store = start(directory.path());
    put(&store, "/kept", b"kept");
    settle(&store);
    drop(store);
    let state = Arc::new(FaultState::default());
    state.shut(Some("open"));
    let store = store_of(Arc::new(Faults(state.clone())), vec![disk(directory.path())]);
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let has = |path| runtime.block_on(store.has_whole(&Key::new("h", path)));
    assert!(!has("/other"));
    assert!(!store.disks().unwrap().volumes()[0].is_scanned(), "the file that is there is not looked at yet");
    state.shut(None);
    assert!(has("/kept"));
}

#[test]
fn what_is_read_back_counts_as_just_used_and_keeps_its_hits() {
    let directory = tempfile::tempdir().unwrap();
    let settings = Settings { memory_bytes: MIB, object_bytes_max: MIB };
    let disks = Disks::open(vec![disk(directory.path())]).unwrap();
    let store = Store::on_disks(settings, Box::new(LfuSize), disks).unwrap();
    let entry = put(&store, "/a", b"x");
    (0..3).for_each(|_| entry.touch(5));
    settle(&store);
    // What comes on top is evicted until only what was used of late is there.
    (0..40).for_each(|at| drop(put(&store, &format!("/{at}"), &noise(60_000, at))));
    assert!(store.stored(entry.key(), None).is_none(), "touched in 1970");
    let found = find(&store, "/a", None).unwrap();
    assert!(found.hits() == 3 && found.candidate(millis(SystemTime::now())).idle_s < 60);
}

#[test]
fn variants_are_found_apart() {
    let directory = tempfile::tempdir().unwrap();
    let store = start(directory.path());
    for (slot, body) in [(None, b"primary"), (Some([2; 16]), b"variant")] {
        let mut writer =
            store.admit(begin(&store, "/v", 7)).unwrap().start(slot.as_ref(), Some(slot.unwrap_or([1; 16])));
        writer.write(Bytes::from_static(body)).unwrap();
        writer.finish(SystemTime::now()).unwrap().unwrap();
    }
    settle(&store);
    drop(store);
    let store = start(directory.path());
    let (primary, variant) = (find(&store, "/v", None).unwrap(), find(&store, "/v", Some(&[2; 16])).unwrap());
    assert_eq!((body_of(&primary), primary.variance()), (b"primary".to_vec(), Some([1; 16])));
    assert_eq!((body_of(&variant), variant.variance()), (b"variant".to_vec(), Some([2; 16])));
    assert!(find(&store, "/v", Some(&[3; 16])).is_none());
}

#[test]
fn a_confirmed_object_has_its_new_fields_after_a_restart() {
    let directory = tempfile::tempdir().unwrap();
    let store = start(directory.path());
    let entry = put(&store, "/a", b"body");
    let mut head = entry.head().clone();
    head.headers.insert("x-confirmed", HeaderValue::from_static("1"));
    assert!(store.refresh(&entry, head, *entry.lifetime(), store.purges(), SystemTime::now()));
    settle(&store);
    drop(store);
    let found = find(&start(directory.path()), "/a", None).unwrap();
    assert_eq!((found.head().headers["x-confirmed"].as_bytes(), body_of(&found)), (&b"1"[..], b"body".to_vec()));
}

#[test]
fn a_file_with_any_byte_changed_is_a_miss_and_is_removed() {
    let directory = tempfile::tempdir().unwrap();
    let store = start(directory.path());
    let body = noise(5_000, 3);
    put(&store, "/a", &body);
    settle(&store);
    drop(store);
    let path = layout::object(directory.path(), url_id(Key::new("h", "/a").text()));
    let whole = std::fs::read(&path).unwrap();
    for at in (0..whole.len()).step_by(97).chain([whole.len() - 1]) {
        let mut changed = whole.clone();
        changed[at] ^= 0x10;
        std::fs::write(&path, &changed).unwrap();
        let store = start(directory.path());
        store.disks().unwrap().scanned();
        assert!(find(&store, "/a", None).is_none(), "byte {at}");
        settle(&store);
        assert_eq!(counted(&store.disks().unwrap().counters().corrupt), 1, "byte {at}");
        assert!(!path.exists(), "byte {at}");
    }
    for wrong in [&whole[..whole.len() - 1], &[&whole[..], b"x"].concat(), b""] {
        std::fs::write(&path, wrong).unwrap();
        assert!(find(&start(directory.path()), "/a", None).is_none());
    }
    // The right bytes under another object's name are not that object.
    let other = layout::object(directory.path(), url_id(Key::new("h", "/b").text()));
    std::fs::create_dir_all(other.parent().unwrap()).unwrap();
    std::fs::write(&other, &whole).unwrap();
    assert!(find(&start(directory.path()), "/b", None).is_none());
}

#[test]
fn a_disk_keeps_to_its_size_and_pinned_objects_outlive_the_pressure() {
    let directory = tempfile::tempdir().unwrap();
    let small = DiskSettings { bytes: MIB, ..disk(directory.path()) };
    let store = store_of(Arc::new(RealFiles), vec![small.clone()]);
    store.pin(&Key::new("h", "/0"), SystemTime::now() + Duration::from_secs(600));
    for at in 0..100 {
        put(&store, &format!("/{at}"), &noise(60_000, at));
    }
    settle(&store);
    let disks = store.disks().unwrap();
    assert!(disks.volumes()[0].index().bytes() <= MIB);
    assert!(counted(&disks.counters().evicted) >= 80 && disks.volumes()[0].index().len() >= 10);
    drop(store);
    let store = store_of(Arc::new(RealFiles), vec![small]);
    let found = find(&store, "/0", None).expect("pinned");
    assert!(body_of(&found) == noise(60_000, 0) && found.pinned_until_ms() > millis(SystemTime::now()));
}

#[test]
fn while_a_disk_has_room_nothing_is_refused_because_memory_is_full() {
    let directory = tempfile::tempdir().unwrap();
    let settings = Settings { memory_bytes: 2 * MIB, object_bytes_max: MIB };
    let on = |bytes: u64| {
        let disks = Disks::open(vec![DiskSettings { bytes, ..disk(directory.path()) }]).unwrap();
        Store::on_disks(settings, Box::new(LfuSize), disks).unwrap()
    };
    let admits = |store: &Arc<Store>| store.admit(begin(store, "/new", 100_000)).unwrap().will_publish();
    let store = on(64 * MIB);
    for at in 0..30 {
        put(&store, &format!("/{at}"), &noise(100_000, at));
        settle(&store);
    }
    assert!(store.budget().fill_permille() > 900, "memory is full");
    assert!(admits(&store));
    drop(store);
    let store = on(3 * MIB);
    store.disks().unwrap().scanned();
    put(&store, "/small", b"x");
    (0..40).for_each(|at| drop(put(&store, &format!("/s{at}"), &noise(50_000, at))));
    settle(&store);
    assert!(!admits(&store), "both are full, and nobody asked for it before");
}

#[test]
fn objects_are_spread_over_disks_by_weight_and_found_again() {
    let directories = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
    let disks = || vec![disk(directories[0].path()), DiskSettings { weight: 3, ..disk(directories[1].path()) }];
    let store = store_of(Arc::new(RealFiles), disks());
    (0..400).for_each(|at| drop(put(&store, &format!("/{at}"), b"x")));
    settle(&store);
    let counts: Vec<_> = store.disks().unwrap().volumes().iter().map(|volume| volume.index().len()).collect();
    assert!(counts[0] + counts[1] == 400 && (60..140).contains(&counts[0]), "{counts:?}");
    drop(store);
    let store = store_of(Arc::new(RealFiles), disks());
    store.disks().unwrap().scanned();
    let again: Vec<_> = store.disks().unwrap().volumes().iter().map(|volume| volume.index().len()).collect();
    assert_eq!(again, counts);
    assert!((0..400).all(|at| find(&store, &format!("/{at}"), None).is_some()));
}

#[test]
fn a_directory_has_one_node() {
    let directory = tempfile::tempdir().unwrap();
    let (first, second) = (start(directory.path()), start(directory.path()));
    assert_eq!(out(&first), None);
    assert!(out(&second).unwrap().contains("another node uses it"));
    put(&second, "/a", b"in memory");
    assert!(find(&second, "/a", None).is_some() && find(&first, "/a", None).is_none());
    drop((first, second));
    assert_eq!(out(&start(directory.path())), None);
}

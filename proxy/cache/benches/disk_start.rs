//! How long a node takes that starts on a disk full of objects: until it serves one of them, and until it knows all.
//!
//! `cargo bench -p littoral-cache --bench disk_start -- [OBJECTS] [BYTES] [DIRECTORY]`, 100,000 objects of 1 KiB if not said
//! otherwise, under the system's directory for temporary files. What was written is in the system's memory: a start after a
//! crash of the process, not of the machine. Use `echo 3 > /proc/sys/vm/drop_caches` between writing and starting for the other
//! (`DROP=1`, as root).

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, StatusCode};
use littoral_cache::disk::{DiskSettings, Disks};
use littoral_cache::freshness::Lifetime;
use littoral_cache::{Begin, Found, Head, Key, LfuSize, Settings, Store};

fn open(directory: &std::path::Path) -> Arc<Store> {
    let disk = DiskSettings { path: directory.to_owned(), bytes: 1 << 40, min_free: 0, weight: 1, sync: false };
    let settings = Settings { memory_bytes: 1 << 30, object_bytes_max: 64 << 20 };
    Store::on_disks(settings, Box::new(LfuSize), Disks::open(vec![disk]).expect("a disk")).expect("threads")
}

fn put(store: &Arc<Store>, number: u64, body: &Bytes) {
    let now = SystemTime::now();
    let mut headers = HeaderMap::new();
    headers.insert("content-type", HeaderValue::from_static("video/iso.segment"));
    headers.insert("etag", HeaderValue::from_static("\"0123456789abcdef\""));
    let lifetime = Lifetime::fresh_for(now, Duration::from_secs(3600));
    let begin = Begin {
        key: Key::new("h.example", &format!("/title/{number}.m4s")),
        head: Head { status: StatusCode::OK, headers },
        lifetime,
        length: Some(body.len() as u64),
        begun: now,
        begun_purges: store.purges(),
    };
    let mut writer = store.admit(begin).expect("room").start(None, None);
    writer.write(body.clone()).expect("room");
    writer.finish(now).expect("whole");
}

fn main() {
    // `cargo bench` says so.
    let arguments: Vec<String> = std::env::args().skip(1).filter(|argument| argument != "--bench").collect();
    let number =
        |at: usize, otherwise: u64| arguments.get(at).map_or(otherwise, |text| text.parse().expect("a number"));
    let (objects, bytes) = (number(0, 100_000), number(1, 1024));
    let base = arguments.get(2).map_or_else(std::env::temp_dir, std::path::PathBuf::from);
    let directory = tempfile::tempdir_in(base).expect("a directory");
    let body = Bytes::from(vec![7; bytes as usize]);
    let begun = Instant::now();
    let store = open(directory.path());
    for at in 0..objects {
        put(&store, at, &body);
        if at % 1000 == 999 {
            store.disks().expect("disks").flush(Instant::now() + Duration::from_secs(60));
        }
    }
    store.disks().expect("disks").flush(Instant::now() + Duration::from_secs(60));
    let written = store.disks().expect("disks").volumes()[0].index().len();
    println!("{written} objects of {bytes} bytes written in {:.2?}", begun.elapsed());
    drop(store);
    if std::env::var_os("DROP").is_some() {
        std::process::Command::new("sync").status().expect("sync");
        std::fs::write("/proc/sys/vm/drop_caches", "3").expect("root");
    }
    let begun = Instant::now();
    let store = open(directory.path());
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
    let last = Key::new("h.example", &format!("/title/{}.m4s", objects - 1));
    let found = runtime.block_on(store.find(&last, None));
    assert!(matches!(found, Some(Found::Read(..))), "it serves what it has not looked through yet");
    println!("serves from disk after {:.2?}", begun.elapsed());
    let disks = store.disks().expect("disks");
    disks.scanned();
    let took = begun.elapsed();
    let index = disks.volumes()[0].index();
    assert_eq!(index.len() as u64, objects);
    println!(
        "knows all {} objects after {took:.2?}: {:.2} s per 100,000, {} bytes of memory each",
        index.len(),
        took.as_secs_f64() * 100_000.0 / objects as f64,
        index.memory_bytes() / index.len()
    );
}

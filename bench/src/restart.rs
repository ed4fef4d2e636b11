//! How long a node that was killed takes until it serves again what is on its disk, wherever it lies there: at most a second for
//! each 100,000 objects. When it knows all of it is printed beside; what it does not know yet it looks for.
//!
//! A node without plugins fills its disk, is killed, and is started again on the same directory. What was written is still in the
//! system's memory: the process ended, not the machine. Invariant: it ends well only if all samples were served within the mark and
//! are right to the byte, and the origin was asked for none of them.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use clap::Args;

use crate::compare::{Built, asked, memory_backed_directory, prepare};
use crate::engine::{Engine, Running, Setup};
use crate::fetch::{self, Client};
use crate::machine;
use crate::origin::Object;
use crate::workload::Draws;

/// The mark: seconds for each object.
const SECONDS_EACH: f64 = 1.0 / 100_000.0;
/// Size of the objects, in bytes.
const OBJECT_BYTES: usize = 1 << 10;
/// Requests between two waits for the disk's writer: less than its queue takes.
const BATCH: u64 = 256;
/// Objects that are asked for after the start.
const SAMPLES: u64 = 1000;
/// The disk's writer has at most so long for a batch, and the scan for all.
const PATIENCE: Duration = Duration::from_secs(300);

/// What `littoral-bench restart` takes.
#[derive(Args, Clone, Debug)]
pub struct Options {
    /// What is measured
    #[command(flatten)]
    pub built: Built,
    /// Directory on a real file system in which the objects are kept, removed afterwards
    #[arg(long, default_value = "target")]
    pub disk: PathBuf,
    /// How many objects
    #[arg(long, default_value_t = 100_000, value_parser = clap::value_parser!(u64).range(1..=10_000_000))]
    pub objects: u64,
}

/// Fills a disk, kills the node, starts it again, and prints what that took.
///
/// # Errors
/// When it took longer than the mark, or anything was not served from the disk.
pub fn run(options: &Options) -> Result<()> {
    let work = memory_backed_directory()?;
    std::fs::create_dir_all(&options.disk)?;
    let disk = tempfile::Builder::new().prefix("bench-restart-").tempdir_in(&options.disk)?;
    let (_origin, place) = prepare(&options.built, work.path())?;
    // A block of the file system for each and as much again.
    let cache_mib = options.objects * 8 / 1024 + 64;
    let setup = Setup { disk: Some(disk.path().to_owned()), ..Setup::memory("restart", cache_mib) };
    let mut node = Engine::LittoralBare.start(&place, &setup)?;
    fill(&node, options.objects)?;
    node.server.kill()?;
    drop(node);
    let before = asked(place.origin)?;
    let begun = Instant::now();
    let node = Engine::LittoralBare.start(&place, &setup)?;
    fetch::check(node.address, object(options.objects - 1))?;
    let first = begun.elapsed();
    sample(&node, options.objects)?;
    let serves = begun.elapsed();
    until(&node, "it does not know its disk", |seen| seen.scanned == 1.0)?;
    let knows = begun.elapsed();
    ensure!(asked(place.origin)? == before, "objects that were on disk came from the origin");
    let mark = options.objects as f64 * SECONDS_EACH;
    println!(
        "{} objects on disk: killed, it served one {:.3} s after its start and {} from all over it after {:.3} s (mark {mark:.2} s); \
         it knew all after {:.3} s",
        options.objects,
        first.as_secs_f64(),
        SAMPLES.min(options.objects),
        serves.as_secs_f64(),
        knows.as_secs_f64(),
    );
    ensure!(is_within(serves, options.objects), "it serves from its disk too late");
    Ok(())
}

fn is_within(took: Duration, objects: u64) -> bool {
    took.as_secs_f64() <= objects as f64 * SECONDS_EACH
}

fn object(number: u64) -> Object {
    Object { bytes: OBJECT_BYTES, number }
}

/// Has the node fetch all objects, as fast as its disk takes them.
fn fill(node: &Running, objects: u64) -> Result<()> {
    let mut client = Client::connect(node.address)?;
    for number in 0..objects {
        client.get(object(number))?;
        if number % BATCH == BATCH - 1 {
            until(node, "its disk does not keep up", |seen| seen.waiting == 0.0)?;
        }
    }
    until(node, "not all objects came to its disk", |seen| seen.objects == objects as f64)
}

/// Objects from all over the disk, compared with what the origin made.
fn sample(node: &Running, objects: u64) -> Result<()> {
    let (mut client, mut draws) = (Client::connect(node.address)?, Draws::new(6));
    for _ in 0..SAMPLES.min(objects) {
        let object = object(draws.bits() % objects);
        ensure!(client.get(object)? == object.body(), "{} has a wrong body", object.path());
    }
    Ok(())
}

/// What a node tells of its disk.
#[derive(Debug, Default, PartialEq)]
struct Seen {
    objects: f64,
    waiting: f64,
    scanned: f64,
}

impl Seen {
    fn of(admin: SocketAddr) -> Result<Self> {
        Self::read(&String::from_utf8(fetch::get(admin, "/metrics")?)?)
    }

    /// Reads the metrics of one disk.
    fn read(text: &str) -> Result<Self> {
        let of = |name: &str| {
            let name = format!("littoral_cache_disk_{name}{{");
            let line = text.lines().find(|line| line.starts_with(&name));
            let value = line.and_then(|line| line.rsplit_once(' ')).with_context(|| format!("no {name}…}}"))?.1;
            Ok::<f64, anyhow::Error>(value.parse()?)
        };
        Ok(Self { objects: of("objects")?, waiting: of("waiting_bytes")?, scanned: of("scanned")? })
    }
}

/// Waits until what the node tells is as wanted.
fn until(node: &Running, otherwise: &str, wanted: impl Fn(&Seen) -> bool) -> Result<()> {
    let admin = node.admin.context("it has no admin API")?;
    let deadline = Instant::now() + PATIENCE;
    loop {
        let seen = Seen::of(admin)?;
        if wanted(&seen) {
            return Ok(());
        }
        ensure!(Instant::now() < deadline, "{otherwise}: {seen:?}");
        machine::pause();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_has_a_second_for_each_100_000_objects() {
        for (millis, objects, expected) in [(1000, 100_000, true), (1001, 100_000, false), (101, 10_000, false)] {
            assert_eq!(is_within(Duration::from_millis(millis), objects), expected, "{millis} ms, {objects}");
        }
    }

    #[test]
    fn what_a_disk_has_is_read_from_the_metrics_and_nothing_is_guessed() {
        let text = "littoral_cache_disk_objects{disk=\"/a b\"} 7\nlittoral_cache_disk_waiting_bytes{disk=\"/a b\"} 0\n\
                    littoral_cache_disk_scan_objects{disk=\"/a b\"} 9\nlittoral_cache_disk_scanned{disk=\"/a b\"} 1\n";
        assert_eq!(Seen::read(text).expect("all there"), Seen { objects: 7.0, waiting: 0.0, scanned: 1.0 });
        assert!(Seen::read(&text.replace("scanned", "other")).is_err());
    }
}

//! The access log: one line per request, off unless `[log] access` says where it goes.
//!
//! Whoever answered a request puts its line into its thread's lane, a bounded buffer; one writer thread takes what the lanes
//! hold and writes it. A lane that is full loses the line and counts it, so that a slow disk never slows an answer. What a
//! line looks like is [`format`]'s.
//!
//! Invariants: no allocation and no system call per line on the thread that answers; a line is written whole or not at all.

use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use arc_swap::ArcSwapOption;
use parking_lot::Mutex;

pub mod format;
mod told;
mod value;

pub use format::{Format, Record, Stages};
pub(crate) use told::{Hit, Stamps, Tunnel};

use crate::config::AccessLog as Wanted;
use crate::observe::figures::{STRIPES, stripe};

/// Bytes a lane holds for the writer.
pub const LANE_BYTES: usize = 1 << 20;
/// How often the writer looks.
const WRITE_EVERY: Duration = Duration::from_millis(100);
/// From here on a lane calls it.
const CALL_BYTES: usize = LANE_BYTES / 4;

/// The access log of a node, if there is one, and what it counted.
#[derive(Debug, Default)]
pub struct Access {
    log: ArcSwapOption<Log>,
    counts: Arc<Counts>,
}

/// What was counted of all access logs of this process.
#[derive(Debug, Default)]
pub struct Counts {
    /// Lines handed to the writer.
    pub lines: AtomicU64,
    /// Lines lost because the writer did not keep up.
    pub dropped: AtomicU64,
    /// Writes that failed, whatever they held.
    pub failed: AtomicU64,
}

/// A log in force. Dropped, it writes what it holds and ends.
#[derive(Debug)]
pub struct Log {
    wanted: Wanted,
    format: Format,
    /// Of 2³² requests so many are logged.
    share: u64,
    shared: Arc<Shared>,
    writer: Option<std::thread::JoinHandle<()>>,
}

#[derive(Debug)]
struct Shared {
    lanes: [Mutex<Vec<u8>>; STRIPES],
    ends: AtomicBool,
    reopens: AtomicBool,
    counts: Arc<Counts>,
}

/// Where lines go.
#[derive(Debug)]
enum Sink {
    Stdout,
    File(PathBuf, File),
}

impl Access {
    /// The log in force, for one who answers.
    pub(crate) fn log(&self) -> Option<Arc<Log>> {
        self.log.load_full()
    }

    /// What was counted.
    pub fn counts(&self) -> &Counts {
        &self.counts
    }

    /// Opens its file again: somebody has moved it away.
    pub fn reopen(&self) {
        if let Some(log) = &*self.log.load() {
            log.shared.reopens.store(true, Relaxed);
            log.call();
        }
    }

    /// A log as the config wants it: the one in force when that is the same.
    ///
    /// # Errors
    /// One line when its file cannot be opened.
    pub fn prepare(&self, wanted: Option<&Wanted>) -> Result<Option<Arc<Log>>, String> {
        let Some(wanted) = wanted else { return Ok(None) };
        match self.log.load_full().filter(|log| log.wanted == *wanted) {
            Some(same) => Ok(Some(same)),
            None => Log::start(wanted, self.counts.clone()).map(|log| Some(Arc::new(log))),
        }
    }

    /// Puts a prepared log in force. Connections that are open keep the one they began with.
    pub fn adopt(&self, log: Option<Arc<Log>>) {
        self.log.store(log);
    }
}

impl Log {
    fn start(wanted: &Wanted, counts: Arc<Counts>) -> Result<Self, String> {
        let format = Format::parse(&wanted.format)?;
        let sink = Sink::open(&wanted.file)?;
        let lanes = std::array::from_fn(|_| Mutex::default());
        let shared = Arc::new(Shared { lanes, ends: false.into(), reopens: false.into(), counts });
        let share = (wanted.sample * (1_u64 << 32) as f64) as u64;
        let body = {
            let shared = shared.clone();
            move || shared.write(sink)
        };
        let writer = std::thread::Builder::new().name("access-log".into()).spawn(body);
        let writer = Some(writer.map_err(|error| format!("cannot start the access log's writer: {error}"))?);
        Ok(Self { wanted: wanted.clone(), format, share, shared, writer })
    }

    /// Whether the next request is among those logged.
    pub(crate) fn samples(&self) -> bool {
        self.share >= 1 << 32 || next_random() < self.share
    }

    /// Puts a line into this thread's lane.
    pub(crate) fn put(&self, record: &Record<'_>) {
        let mut lane = self.shared.lanes[stripe()].lock();
        let before = lane.len();
        self.format.write(record, &mut lane);
        let after = lane.len();
        if after > LANE_BYTES {
            lane.truncate(before);
            self.shared.counts.dropped.fetch_add(1, Relaxed);
        } else {
            self.shared.counts.lines.fetch_add(1, Relaxed);
        }
        drop(lane);
        if before < CALL_BYTES && after >= CALL_BYTES {
            self.call();
        }
    }

    fn call(&self) {
        if let Some(writer) = &self.writer {
            writer.thread().unpark();
        }
    }
}

impl Drop for Log {
    fn drop(&mut self) {
        self.shared.ends.store(true, Relaxed);
        self.call();
        if let Some(writer) = self.writer.take() {
            let _ = writer.join();
        }
    }
}

impl Shared {
    /// The writer's life.
    fn write(&self, mut sink: Sink) {
        let mut taken = Vec::new();
        loop {
            let ends = self.ends.load(Relaxed);
            if self.reopens.swap(false, Relaxed) {
                // What was logged before belongs into the file that was moved away.
                self.write_lanes(&mut sink, &mut taken);
                sink.reopen();
            }
            self.write_lanes(&mut sink, &mut taken);
            if ends {
                return;
            }
            std::thread::park_timeout(WRITE_EVERY);
        }
    }

    fn write_lanes(&self, sink: &mut Sink, taken: &mut Vec<u8>) {
        for lane in &self.lanes {
            // Buffers change hands: neither side allocates once both have grown.
            std::mem::swap(&mut *lane.lock(), taken);
            if !taken.is_empty() && sink.write(taken).is_err() {
                self.counts.failed.fetch_add(1, Relaxed);
            }
            taken.clear();
        }
    }
}

impl Sink {
    fn open(file: &Path) -> Result<Self, String> {
        if file == Path::new(crate::config::STDOUT) {
            return Ok(Self::Stdout);
        }
        let opened = open(file).map_err(|error| format!("cannot write the access log {}: {error}", file.display()))?;
        Ok(Self::File(file.to_owned(), opened))
    }

    fn reopen(&mut self) {
        let Self::File(path, file) = self else { return };
        match open(path) {
            Ok(opened) => *file = opened,
            Err(error) => tracing::error!(file = %path.display(), %error, "the access log cannot be opened again"),
        }
    }

    fn write(&mut self, lines: &[u8]) -> std::io::Result<()> {
        match self {
            Self::Stdout => {
                let mut stdout = std::io::stdout().lock();
                stdout.write_all(lines)?;
                stdout.flush()
            }
            Self::File(_, file) => file.write_all(lines),
        }
    }
}

fn open(file: &Path) -> std::io::Result<File> {
    use std::os::unix::fs::OpenOptionsExt;
    std::fs::OpenOptions::new().append(true).create(true).mode(0o640).open(file)
}

/// 32 random bits, good enough to sample with.
fn next_random() -> u64 {
    use std::cell::Cell;
    use std::hash::BuildHasher;
    thread_local!(static STATE: Cell<u64> = Cell::new(foldhash::quality::RandomState::default().hash_one(0) | 1));
    STATE.with(|state| {
        let mut next = state.get();
        next ^= next << 13;
        next ^= next >> 7;
        next ^= next << 17;
        state.set(next);
        next >> 32
    })
}

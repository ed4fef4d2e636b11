//! A trace in a file: opened, decompressed, and read from the start as often as it takes.

use std::collections::HashMap;
use std::fs::File;
use std::io::{BufReader, Read, Seek};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};
use littoral_cache::replay::Tier;
use littoral_cache::replay::bounds::Curve;
use littoral_cache::trace::{Form, Reader, Request};

/// Objects that are told apart to say how many there are and of how many bytes.
const OBJECTS_MAX: usize = 1 << 26;
/// Requests of which it is noted when their object comes again, where the trace does not say it.
const NEXT_MAX: u64 = 1 << 27;
/// Requests between two looks at the progress.
const PROGRESS_EVERY: u64 = 1 << 14;
/// Bytes of a window that a zstd frame may ask for, as a power of two.
const ZSTD_WINDOW_LOG_MAX: u32 = 27;

/// The form of a trace, as an argument.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum FormArg {
    /// libCacheSim's oracleGeneral.
    Oracle,
    /// Comma-separated values.
    Csv,
    /// A node's access log.
    Log,
}

/// A trace.
pub(crate) struct Input {
    path: PathBuf,
    form: Form,
    shows: bool,
}

/// What is in a trace.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Survey {
    /// Objects.
    pub(super) objects: u64,
    /// Their bytes, each as it was first asked for.
    pub(super) bytes: u64,
    /// Requests.
    pub(super) requests: u64,
    /// Lines that were none.
    pub(super) skipped: u64,
}

/// A trace that is being read.
struct Opened {
    reader: Reader<Box<dyn Read>>,
    /// Bytes of the file.
    length: u64,
    /// How many of them have been read.
    read: Arc<AtomicU64>,
}

/// A file that says how much of it has been read.
struct Counted(File, Arc<AtomicU64>);

impl Read for Counted {
    fn read(&mut self, into: &mut [u8]) -> std::io::Result<usize> {
        let read = self.0.read(into)?;
        self.1.fetch_add(read as u64, Relaxed);
        Ok(read)
    }
}

impl Input {
    /// The file at `path`; `shows`: with a progress bar.
    pub(super) fn new(path: &Path, form: Option<FormArg>, shows: bool) -> Self {
        let named = path.file_name().map(|name| name.to_string_lossy()).unwrap_or_default();
        let form = match form {
            Some(FormArg::Oracle) => Form::Oracle,
            Some(FormArg::Csv) => Form::Csv,
            Some(FormArg::Log) => Form::Log,
            None => Form::of_name(&named),
        };
        Self { path: path.to_owned(), form, shows }
    }

    /// The access log at `path`, whatever it is called.
    pub(crate) fn of_log(path: &Path) -> Self {
        Self { path: path.to_owned(), form: Form::Log, shows: false }
    }

    /// Its requests, for who reads it alone.
    pub(crate) fn reader(&self) -> Result<Reader<Box<dyn Read>>, String> {
        self.open().map(|opened| opened.reader)
    }

    fn open(&self) -> Result<Opened, String> {
        let problem = |error: std::io::Error| format!("cannot be read: {error}");
        let mut file = File::open(&self.path).map_err(problem)?;
        let length = file.metadata().map_err(problem)?.len();
        let mut magic = [0; 4];
        let known = file.read(&mut magic).map_err(problem)?;
        file.rewind().map_err(problem)?;
        let read = Arc::<AtomicU64>::default();
        let counted = BufReader::with_capacity(1 << 17, Counted(file, read.clone()));
        let plain: Box<dyn Read> = match &magic[..known] {
            [0x28, 0xb5, 0x2f, 0xfd] => {
                let mut decoder = zstd::Decoder::with_buffer(counted).map_err(problem)?;
                decoder.window_log_max(ZSTD_WINDOW_LOG_MAX).map_err(problem)?;
                Box::new(decoder)
            }
            [0x1f, 0x8b, ..] => Box::new(flate2::bufread::MultiGzDecoder::new(counted)),
            _ => Box::new(counted),
        };
        Ok(Opened { reader: Reader::new(plain, self.form), length, read })
    }

    /// Reads all of it; the number of lines that were no request.
    fn each(&self, name: &str, mut each: impl FnMut(u64, Request) -> Result<(), String>) -> Result<u64, String> {
        let Opened { mut reader, length, read } = self.open()?;
        let style = ProgressStyle::with_template("{msg:16} [{bar:40}] {percent:>3} % {eta}");
        let bar = if self.shows { ProgressBar::new(length) } else { ProgressBar::hidden() };
        let bar = bar.with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar())).with_message(name.to_owned());
        let mut number = 0;
        while let Some(request) = reader.next_request().map_err(|error| error.to_string())? {
            each(number, request)?;
            number += 1;
            if number.is_multiple_of(PROGRESS_EVERY) {
                bar.set_position(read.load(Relaxed));
            }
        }
        bar.finish_and_clear();
        Ok(reader.skipped())
    }

    /// Counts what is in it, and draws the curve of least recently used on the way.
    pub(super) fn survey(&self, mut curve: Option<&mut Curve>) -> Result<Survey, String> {
        let mut seen = std::collections::HashSet::<u64, foldhash::fast::RandomState>::default();
        let mut survey = Survey::default();
        survey.skipped = self.each("counting", |_, request| {
            survey.requests += 1;
            if seen.insert(request.id) {
                survey.objects += 1;
                survey.bytes += request.bytes;
            }
            if let Some(curve) = curve.as_deref_mut() {
                curve.request(&request);
            }
            match seen.len() > OBJECTS_MAX {
                true => {
                    Err(format!("more than {OBJECTS_MAX} objects: give --size in bytes, without --context and --plot"))
                }
                false => Ok(()),
            }
        })?;
        Ok(survey)
    }

    /// For each request the number of the next one for its object, where the trace itself does not say it.
    pub(super) fn next_requests(&self, survey: Option<&Survey>) -> Result<Option<Vec<u64>>, String> {
        if self.form == Form::Oracle {
            return Ok(None);
        }
        if survey.is_some_and(|survey| survey.requests > NEXT_MAX) {
            return Err(format!(
                "more than {NEXT_MAX} requests, and it does not say when objects come again: leave --context out"
            ));
        }
        let mut next = Vec::new();
        let mut last = HashMap::<u64, usize, foldhash::fast::RandomState>::default();
        self.each("looking ahead", |number, request| {
            next.push(u64::MAX);
            if let Some(before) = last.insert(request.id, next.len() - 1) {
                next[before] = number;
            }
            Ok(())
        })?;
        Ok(Some(next))
    }

    /// Replays it against a tier; how long that took.
    pub(super) fn pass(&self, name: &str, next: Option<&[u64]>, tier: &mut dyn Tier) -> Result<Duration, String> {
        let started = Instant::now();
        self.each(name, |number, mut request| {
            if let Some(next) = next {
                request.next = next.get(usize::try_from(number).unwrap_or(usize::MAX)).copied();
            }
            tier.request(&request);
            Ok(())
        })?;
        Ok(started.elapsed())
    }
}

//! Traces of requests: what was asked for, when, and how large it was. Read as they stream, one request at a time.
//!
//! Three forms: records of 24 bytes as libCacheSim's `oracleGeneral` has them, comma-separated values, and a node's own access log.
//! Opening files and undoing compression is the caller's.
//!
//! Invariant: memory by the longest line ([`LINE_BYTES_MAX`]), whatever comes; what is no trace is an error that names its place.

use std::io::{ErrorKind, Read};

use littoral_evict::Place;

mod csv;
mod log;
mod oracle;
pub mod place;

pub use log::id_of;

/// Bytes of one line.
pub const LINE_BYTES_MAX: usize = 64 << 10;
/// Bytes read at a time.
const CHUNK_BYTES: usize = 64 << 10;

/// One request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Request {
    /// When, in milliseconds of the trace's clock.
    pub now_ms: u64,
    /// Which object.
    pub id: u64,
    /// Its bytes.
    pub bytes: u64,
    /// The number of the next request for the same object, from 0, where the trace says it.
    pub next: Option<u64>,
    /// Where it stands in a title.
    pub place: Option<Place>,
}

/// Which form a trace has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// Records of 24 bytes.
    Oracle,
    /// Comma-separated values, with or without a line of names.
    Csv,
    /// A node's access log: `json`, `common` or `combined`.
    Log,
}

/// Why a trace cannot be read further.
#[derive(Debug, thiserror::Error)]
pub enum TraceError {
    /// The file cannot be read.
    #[error("cannot be read: {0}")]
    Read(#[from] std::io::Error),
    /// It ends inside a record.
    #[error(
        "ends inside a record: {left} bytes at offset {offset}, and a record has {whole}; what comes before is whole"
    )]
    Cut {
        /// Where the record begins, in bytes.
        offset: u64,
        /// Bytes of it that are there.
        left: usize,
        /// Bytes it should have.
        whole: usize,
    },
    /// A line says something else than a request.
    #[error("line {line}, at offset {offset}: {problem}")]
    Line {
        /// From 1.
        line: u64,
        /// Where the line begins, in bytes.
        offset: u64,
        /// What is wrong.
        problem: String,
    },
}

/// Reads a trace.
#[derive(Debug)]
pub struct Reader<R> {
    input: R,
    buffer: Vec<u8>,
    /// Where in the buffer the next record begins.
    at: usize,
    /// Offset of the buffer's first byte in the trace.
    base: u64,
    ended: bool,
    form: Parser,
    line: u64,
    skipped: u64,
}

#[derive(Debug)]
enum Parser {
    Oracle,
    Csv(csv::Columns),
    Log(log::Lines),
}

/// What a line is.
enum Line {
    Request(Request),
    /// Nothing to replay: a line of names, or a request that moved no object.
    Other,
}

impl Form {
    /// The form of a file with this name, compression and all: by its ending, with `.csv` and `.log`, `.json` or `.jsonl` for the texts.
    pub fn of_name(name: &str) -> Self {
        let name = name.to_ascii_lowercase();
        let plain = [".zst", ".gz"].iter().find_map(|ending| name.strip_suffix(ending)).unwrap_or(&name);
        match plain.rsplit_once('.').map(|(_, ending)| ending) {
            Some("csv" | "txt") => Self::Csv,
            Some("log" | "json" | "jsonl" | "ndjson") => Self::Log,
            _ => Self::Oracle,
        }
    }
}

impl<R: Read> Reader<R> {
    /// Of what `input` has.
    pub fn new(input: R, form: Form) -> Self {
        let form = match form {
            Form::Oracle => Parser::Oracle,
            Form::Csv => Parser::Csv(csv::Columns::default()),
            Form::Log => Parser::Log(log::Lines::default()),
        };
        Self { input, buffer: Vec::new(), at: 0, base: 0, ended: false, form, line: 0, skipped: 0 }
    }

    /// Lines that were no request for an object that could be kept.
    pub fn skipped(&self) -> u64 {
        self.skipped
    }

    /// The next request; `None` at the end.
    ///
    /// # Errors
    /// See [`TraceError`]; nothing comes after one.
    pub fn next_request(&mut self) -> Result<Option<Request>, TraceError> {
        match self.form {
            Parser::Oracle => self.record(),
            _ => loop {
                let Some(end) = self.line_end()? else { return Ok(None) };
                let (start, offset) = (self.at, self.base + self.at as u64);
                let line = self.buffer[start..end].trim_ascii();
                self.line += 1;
                let parsed = match &mut self.form {
                    _ if line.is_empty() => Ok(Line::Other),
                    Parser::Csv(columns) => columns.parse(line, self.line == 1),
                    Parser::Log(lines) => lines.parse(line),
                    Parser::Oracle => Ok(Line::Other),
                };
                self.at = (end + 1).min(self.buffer.len());
                match parsed {
                    Ok(Line::Request(request)) => return Ok(Some(request)),
                    Ok(Line::Other) => self.skipped += 1,
                    Err(problem) => return Err(TraceError::Line { line: self.line, offset, problem }),
                }
            },
        }
    }

    fn record(&mut self) -> Result<Option<Request>, TraceError> {
        while self.buffer.len() - self.at < oracle::RECORD_BYTES {
            if !self.more()? {
                let left = self.buffer.len() - self.at;
                return match left {
                    0 => Ok(None),
                    _ => Err(TraceError::Cut { offset: self.base + self.at as u64, left, whole: oracle::RECORD_BYTES }),
                };
            }
        }
        let record = self.buffer[self.at..].first_chunk().map(oracle::parse);
        self.at += oracle::RECORD_BYTES;
        Ok(record)
    }

    /// Where the line that begins at `at` ends in the buffer; `None` at the end of the trace.
    fn line_end(&mut self) -> Result<Option<usize>, TraceError> {
        let mut seen = 0;
        loop {
            let rest = &self.buffer[self.at + seen..];
            if let Some(end) = memchr::memchr(b'\n', rest) {
                return Ok(Some(self.at + seen + end));
            }
            seen += rest.len();
            if seen > LINE_BYTES_MAX {
                let problem = format!("longer than {LINE_BYTES_MAX} bytes; is this the right form of trace?");
                return Err(TraceError::Line { line: self.line + 1, offset: self.base + self.at as u64, problem });
            }
            if !self.more()? {
                return Ok((seen > 0).then_some(self.buffer.len()));
            }
        }
    }

    /// Reads more behind what is left; `false` at the end.
    fn more(&mut self) -> Result<bool, TraceError> {
        if self.ended {
            return Ok(false);
        }
        self.buffer.drain(..self.at);
        self.base += self.at as u64;
        self.at = 0;
        let left = self.buffer.len();
        self.buffer.resize(left + CHUNK_BYTES, 0);
        let read = loop {
            match self.input.read(&mut self.buffer[left..]) {
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                outcome => break outcome,
            }
        };
        self.buffer.truncate(left + *read.as_ref().unwrap_or(&0));
        self.ended = matches!(read, Ok(0) | Err(_));
        Ok(read? > 0)
    }
}

/// A number as it is written, or else a hash of the text.
fn number_or_hash(text: &[u8]) -> u64 {
    number(text).unwrap_or_else(|| crate::key::digest(&[text]) as u64)
}

/// A decimal number, with a fraction that is dropped.
fn number(text: &[u8]) -> Option<u64> {
    let text = std::str::from_utf8(text).ok()?;
    text.split_once('.').map_or(text, |(whole, _)| whole).parse().ok()
}

#[cfg(test)]
mod tests;

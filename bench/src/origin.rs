//! The origin that fills the caches: deterministic bodies of any size, and a count of how often it was asked.
//!
//! It is not a web server: it reads request lines of GET and skips headers, because only the engines under test and our
//! own client talk to it. Invariant: the body of a path never changes, so any sampled answer can be checked.

use std::io::{BufRead, BufReader, BufWriter, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use anyhow::{Context, Result};

/// Largest body served, in bytes; a larger size in a path is answered 404.
pub const BODY_BYTES_MAX: usize = 64 << 20;
/// Longest request line or header read, in bytes.
const LINE_BYTES_MAX: u64 = 16 << 10;

/// An object of the origin: its size in bytes and a number that makes it different from others of that size.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Object {
    /// Body length in bytes.
    pub bytes: usize,
    /// Seed of the body.
    pub number: u64,
}

impl Object {
    /// The path this object has at the origin and at every engine.
    #[must_use]
    pub fn path(self) -> String {
        format!("/o/{}/{}", self.bytes, self.number)
    }

    /// The object of a path, if it names one within [`BODY_BYTES_MAX`].
    #[must_use]
    pub fn of_path(path: &str) -> Option<Self> {
        let (bytes, number) = path.strip_prefix("/o/")?.split_once('/')?;
        let object = Self { bytes: bytes.parse().ok()?, number: number.parse().ok()? };
        (object.bytes <= BODY_BYTES_MAX).then_some(object)
    }

    /// The body: a xorshift64 sequence seeded by size and number, so that no two objects agree anywhere for long.
    #[must_use]
    pub fn body(self) -> Vec<u8> {
        let mut state = (self.bytes as u64) << 32 ^ self.number.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
        let mut body = Vec::with_capacity(self.bytes + 8);
        while body.len() < self.bytes {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            body.extend_from_slice(&state.to_le_bytes());
        }
        body.truncate(self.bytes);
        body
    }
}

/// Serves until the process is ended. Prints `ready http=ADDRESS` when it listens.
///
/// # Errors
/// When the address cannot be bound.
pub fn run(bind: SocketAddr) -> Result<()> {
    let listener = TcpListener::bind(bind).with_context(|| format!("origin cannot listen on {bind}"))?;
    println!("ready http={}", listener.local_addr()?);
    let asked = Arc::new(AtomicU64::new(0));
    for stream in listener.incoming() {
        let (stream, asked) = (stream?, Arc::clone(&asked));
        // A thread each: only a handful of engines hold connections here, and none of this is measured.
        std::thread::spawn(move || serve(&stream, &asked));
    }
    Ok(())
}

fn serve(stream: &TcpStream, asked: &AtomicU64) {
    let _ = stream.set_nodelay(true);
    let mut reader = BufReader::new(stream);
    let mut writer = BufWriter::with_capacity(64 << 10, stream);
    while let Some(path) = next_path(&mut reader) {
        if answer(&mut writer, &path, asked).and_then(|()| writer.flush()).is_err() {
            return;
        }
    }
}

/// Reads one request head and gives its path; `None` when the peer is done or does not speak HTTP.
fn next_path(reader: &mut impl BufRead) -> Option<String> {
    let request_line = next_line(reader)?;
    let mut words = request_line.split(' ');
    let (method, path) = (words.next()?, words.next()?.to_owned());
    while !next_line(reader)?.is_empty() {}
    (method == "GET").then_some(path)
}

fn next_line(reader: &mut impl BufRead) -> Option<String> {
    let mut line = String::new();
    match reader.by_ref().take(LINE_BYTES_MAX).read_line(&mut line) {
        Ok(read) if read > 0 && line.ends_with('\n') => Some(line.trim_end().to_owned()),
        _ => None,
    }
}

fn answer(writer: &mut impl Write, path: &str, asked: &AtomicU64) -> std::io::Result<()> {
    let (status, body) = if path == "/count" {
        ("200 OK", asked.load(Ordering::Relaxed).to_string().into_bytes())
    } else if let Some(object) = Object::of_path(path) {
        asked.fetch_add(1, Ordering::Relaxed);
        ("200 OK", object.body())
    } else {
        ("404 Not Found", Vec::new())
    };
    write!(
        writer,
        "HTTP/1.1 {status}\r\nContent-Type: application/octet-stream\r\nCache-Control: public, max-age=86400\r\n\
         Content-Length: {}\r\n\r\n",
        body.len()
    )?;
    writer.write_all(&body)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_names_its_object_and_back() {
        let object = Object { bytes: 1024, number: 7 };
        assert_eq!(Object::of_path(&object.path()), Some(object));
        assert_eq!(Object::of_path("/o/1/2/3"), None);
        assert_eq!(Object::of_path("/o/99999999999/1"), None);
    }

    #[test]
    fn bodies_are_deterministic_and_differ_by_number() {
        let body = Object { bytes: 1000, number: 1 }.body();
        assert_eq!(body.len(), 1000);
        assert_eq!(body, Object { bytes: 1000, number: 1 }.body());
        assert_ne!(body, Object { bytes: 1000, number: 2 }.body());
    }

    #[test]
    fn requests_on_one_connection_are_answered_in_turn() {
        let request = b"GET /o/5/1 HTTP/1.1\r\nHost: x\r\n\r\nGET /count HTTP/1.1\r\n\r\n";
        let mut reader = BufReader::new(&request[..]);
        let asked = AtomicU64::new(0);
        let mut out = Vec::new();
        while let Some(path) = next_path(&mut reader) {
            answer(&mut out, &path, &asked).expect("a vector takes everything");
        }
        assert!(out.ends_with(b"\r\n\r\n1"), "the second answer is the count of objects asked for");
    }
}

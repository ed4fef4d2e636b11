//! A small HTTP/1.1 client for warming, sampling and counting, never used under load.
//!
//! [`get`] and [`check`] take a connection each; a [`Client`] keeps one, for who asks often.
//! Invariant: a body is given back only if it is as long as the answer said.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};

use crate::origin::{BODY_BYTES_MAX, Object};

/// The host every engine serves in the comparison.
pub const HOST: &str = "bench.example";
/// A peer that says nothing for this long has failed.
const SILENCE_MAX: Duration = Duration::from_secs(10);
/// Longest status or header line read, in bytes.
const LINE_BYTES_MAX: u64 = 16 << 10;

/// GETs a path and gives the body of a 200.
///
/// # Errors
/// When the peer cannot be reached, answers another status, or sends fewer or more bytes than announced.
pub fn get(peer: SocketAddr, path: &str) -> Result<Vec<u8>> {
    read_body(&mut asked(peer, path)?).with_context(|| format!("GET http://{peer}{path}"))
}

/// GETs a path and gives the lines of the answer's head, names in small letters.
///
/// # Errors
/// When the peer cannot be reached or does not answer.
pub fn head(peer: SocketAddr, path: &str) -> Result<Vec<String>> {
    let (mut reader, mut lines) = (asked(peer, path)?, Vec::new());
    loop {
        match next_line(&mut reader)? {
            line if line.is_empty() => return Ok(lines),
            line => lines.push(line.to_ascii_lowercase()),
        }
    }
}

/// A GET on a connection of its own, whose answer is still to be read.
fn asked(peer: SocketAddr, path: &str) -> Result<BufReader<TcpStream>> {
    let mut stream = TcpStream::connect(peer).with_context(|| format!("cannot connect to {peer}"))?;
    stream.set_read_timeout(Some(SILENCE_MAX))?;
    write!(stream, "GET {path} HTTP/1.1\r\nHost: {HOST}\r\nConnection: close\r\n\r\n")?;
    Ok(BufReader::new(stream))
}

/// A connection that is kept.
#[derive(Debug)]
pub struct Client {
    stream: BufReader<TcpStream>,
}

impl Client {
    /// Connects.
    ///
    /// # Errors
    /// When the peer cannot be reached.
    pub fn connect(peer: SocketAddr) -> Result<Self> {
        let stream = TcpStream::connect(peer).with_context(|| format!("cannot connect to {peer}"))?;
        stream.set_read_timeout(Some(SILENCE_MAX))?;
        stream.set_nodelay(true)?;
        Ok(Self { stream: BufReader::with_capacity(64 << 10, stream) })
    }

    /// GETs an object and gives its body.
    ///
    /// # Errors
    /// As [`get`].
    pub fn get(&mut self, object: Object) -> Result<Vec<u8>> {
        let request = format!("GET {} HTTP/1.1\r\nHost: {HOST}\r\n\r\n", object.path());
        self.stream.get_mut().write_all(request.as_bytes())?;
        read_body(&mut self.stream).with_context(|| format!("GET {}", object.path()))
    }
}

/// POSTs JSON to the admin API of littoral.
///
/// # Errors
/// When the peer cannot be reached or answers another status than 200.
pub fn post(peer: SocketAddr, path: &str, json: &str) -> Result<Vec<u8>> {
    let mut stream = TcpStream::connect(peer).with_context(|| format!("cannot connect to {peer}"))?;
    stream.set_read_timeout(Some(SILENCE_MAX))?;
    let length = json.len();
    write!(
        stream,
        "POST {path} HTTP/1.1\r\nHost: {peer}\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n\
         Connection: close\r\n\r\n{json}"
    )?;
    read_body(&mut BufReader::new(stream)).with_context(|| format!("POST http://{peer}{path}"))
}

/// Fetches an object from an engine and compares it byte by byte with what the origin made.
///
/// # Errors
/// As [`get`], and when the body is another one.
pub fn check(peer: SocketAddr, object: Object) -> Result<()> {
    if get(peer, &object.path())? != object.body() {
        bail!("http://{peer}{} has a wrong body", object.path());
    }
    Ok(())
}

/// Reads one answer as long as it says it is; a peer may keep the connection open.
fn read_body(reader: &mut impl BufRead) -> Result<Vec<u8>> {
    let status_line = next_line(reader)?;
    let status = status_line.split(' ').nth(1).unwrap_or_default();
    if status != "200" {
        bail!("status {status:?} instead of 200");
    }
    let mut length = None;
    loop {
        let line = next_line(reader)?;
        match line.split_once(':') {
            Some((name, value)) if name.eq_ignore_ascii_case("content-length") => length = Some(value.trim().parse()?),
            Some(_) => {}
            None => break,
        }
    }
    let length: usize = length.context("no Content-Length")?;
    ensure!(length <= BODY_BYTES_MAX, "{length} bytes are more than any object has");
    let mut body = vec![0; length];
    reader.read_exact(&mut body).context("the body ended early")?;
    Ok(body)
}

fn next_line(reader: &mut impl BufRead) -> Result<String> {
    let mut line = String::new();
    reader.take(LINE_BYTES_MAX).read_line(&mut line)?;
    ensure!(line.ends_with('\n'), "the head ended early");
    Ok(line.trim_end().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_body_is_taken_only_when_status_and_length_agree() {
        let body = read_body(&mut &b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"[..]).expect("complete");
        assert_eq!(body, b"ok");
        for (answer, reason) in [
            (&b"HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\nok"[..], "ended early"),
            (b"HTTP/1.1 502 Bad Gateway\r\ncontent-length: 0\r\n\r\n", "status \"502\""),
            (b"HTTP/1.1 200 OK\r\n\r\nok", "no Content-Length"),
            (b"HTTP/1.1 200", "ended early"),
        ] {
            let error = read_body(&mut &answer[..]).expect_err("incomplete or wrong");
            assert!(error.to_string().contains(reason), "{error}");
        }
    }
}

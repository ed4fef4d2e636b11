//! An origin that believes nobody: it keeps every byte it is sent and tells apart what is strictly one request and what is not.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// What came over all connections.
#[derive(Debug, Clone, Default)]
pub struct Record {
    /// Requests, each with all its bytes.
    pub requests: Vec<String>,
    /// Bytes that are no request by the strictest reading.
    pub nonsense: Vec<String>,
}

/// A running recorder.
pub struct Recorder {
    /// Where it listens.
    pub address: SocketAddr,
    record: Arc<Mutex<Record>>,
}

impl Recorder {
    /// Starts one that answers every request with 200 and no store.
    pub async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let recorder = Self { address: listener.local_addr().unwrap(), record: Arc::default() };
        let record = recorder.record.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(keep(stream, record.clone()));
            }
        });
        recorder
    }

    /// What came since the last call.
    pub fn take(&self) -> Record {
        std::mem::take(&mut self.record.lock().unwrap())
    }
}

async fn keep(mut stream: TcpStream, record: Arc<Mutex<Record>>) {
    let mut read = Vec::new();
    loop {
        match length(&read) {
            Ok(Some(length)) => {
                let request: Vec<u8> = read.drain(..length).collect();
                record.lock().unwrap().requests.push(String::from_utf8_lossy(&request).into_owned());
                let answer = b"HTTP/1.1 200 OK\r\ncache-control: no-store\r\ncontent-length: 1\r\n\r\nx";
                if stream.write_all(answer).await.is_err() {
                    return;
                }
            }
            Ok(None) => {
                if !matches!(stream.read_buf(&mut read).await, Ok(1..)) {
                    // A request that was given up half-way is no second one.
                    return;
                }
            }
            Err(why) => {
                let told = format!("{why}: {}", read.escape_ascii());
                return record.lock().unwrap().nonsense.push(told);
            }
        }
    }
}

/// The bytes of the request that `read` begins with; `None`: not whole yet.
fn length(read: &[u8]) -> Result<Option<usize>, &'static str> {
    let Some(end) = read.windows(4).position(|four| four == b"\r\n\r\n") else {
        return Ok(None);
    };
    let head = std::str::from_utf8(&read[..end]).map_err(|_| "a head that is no UTF-8")?;
    let mut lines = head.split("\r\n");
    let line: Vec<&str> = lines.next().unwrap_or("").split(' ').collect();
    if line.len() != 3 || line[2] != "HTTP/1.1" || !line[1].starts_with('/') {
        return Err("a request line that is none");
    }
    let (mut lengths, mut codings, mut hosts) = (Vec::new(), Vec::new(), 0);
    for field in lines {
        let (name, value) = field.split_once(':').ok_or("a field without a colon")?;
        let token = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.!#$%&'*+^`|~".contains(&byte);
        if name.is_empty() || !name.bytes().all(token) || field.bytes().any(|byte| byte < b' ' && byte != b'\t') {
            return Err("a field that is none");
        }
        match name.to_ascii_lowercase().as_str() {
            "content-length" => lengths.push(value.trim().to_owned()),
            "transfer-encoding" => codings.push(value.trim().to_ascii_lowercase()),
            "host" => hosts += 1,
            _ => {}
        }
    }
    let body = end + 4;
    match (&lengths[..], &codings[..]) {
        _ if hosts != 1 => Err("not one Host"),
        ([], []) => Ok(Some(body)),
        ([length], []) if length.bytes().all(|byte| byte.is_ascii_digit()) => {
            let length: usize = length.parse().map_err(|_| "a length that is none")?;
            Ok((read.len() >= body + length).then_some(body + length))
        }
        ([], [coding]) if coding == "chunked" => chunks(&read[body..]).map(|chunks| chunks.map(|chunks| body + chunks)),
        _ => Err("a body whose end can be read in two ways"),
    }
}

/// The bytes of a chunked body without extensions and trailers.
fn chunks(read: &[u8]) -> Result<Option<usize>, &'static str> {
    let mut at = 0;
    loop {
        let Some(line) = read[at..].windows(2).position(|two| two == b"\r\n") else {
            return Ok(None);
        };
        let digits = std::str::from_utf8(&read[at..at + line]).unwrap_or("");
        let fine = (1..=16).contains(&digits.len()) && digits.bytes().all(|byte| byte.is_ascii_hexdigit());
        let size = usize::from_str_radix(digits, 16).ok().filter(|_| fine).ok_or("a chunk size that is none")?;
        let end = at + line + 2 + size;
        if read.len() < end + 2 {
            return Ok(None);
        }
        if &read[end..end + 2] != b"\r\n" {
            return Err("a chunk that does not end");
        }
        at = end + 2;
        if size == 0 {
            return Ok(Some(at));
        }
    }
}

//! An HTTP/1.1 client that sends just the bytes it is given.

use std::net::SocketAddr;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;

/// A connection.
pub struct Client {
    stream: Box<dyn Duplex>,
    read: Vec<u8>,
}

/// What a client can speak over: TCP, a unix socket, TLS.
pub trait Duplex: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Duplex for T {}

/// A response.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reply {
    /// The status.
    pub status: u16,
    /// Field names (lower case) and values.
    pub fields: Vec<(String, String)>,
    /// The body, as far as it came.
    pub body: Vec<u8>,
    /// Whether the body ended as its framing promised.
    pub whole: bool,
}

impl Reply {
    /// The first value of a field, or nothing.
    pub fn field(&self, name: &str) -> &str {
        self.fields.iter().find(|(known, _)| known == name).map_or("", |(_, value)| value.as_str())
    }
}

impl Client {
    /// Connects.
    ///
    /// # Panics
    /// When nobody listens.
    pub async fn connect(address: SocketAddr) -> Self {
        Self::over(TcpStream::connect(address).await.expect("a listener"))
    }

    /// Speaks over a connection at hand.
    pub fn over(stream: impl Duplex + 'static) -> Self {
        Self { stream: Box::new(stream), read: Vec::new() }
    }

    /// Says that nothing more will be sent.
    pub async fn finish(&mut self) {
        let _ = self.stream.shutdown().await;
    }

    /// Connects, if somebody listens.
    pub async fn try_connect(address: SocketAddr) -> Option<Self> {
        let stream = TcpStream::connect(address).await.ok()?;
        Some(Self::over(stream))
    }

    /// Sends bytes. A server that has closed already is no error here: what it answered is what counts.
    pub async fn send(&mut self, bytes: impl AsRef<[u8]>) {
        let _ = self.stream.write_all(bytes.as_ref()).await;
    }

    /// Sends a GET with more field lines.
    pub async fn get(&mut self, host: &str, path: &str, fields: &[&str]) -> Reply {
        let more: String = fields.iter().map(|field| format!("{field}\r\n")).collect();
        self.send(format!("GET {path} HTTP/1.1\r\nHost: {host}\r\n{more}\r\n")).await;
        self.reply(false).await.expect("a response")
    }

    /// Reads the status and fields of the next response.
    pub async fn head(&mut self) -> Option<Reply> {
        loop {
            let mut fields = [httparse::EMPTY_HEADER; 64];
            let mut parsed = httparse::Response::new(&mut fields);
            if let Ok(httparse::Status::Complete(length)) = parsed.parse(&self.read) {
                let field = |field: &httparse::Header<'_>| {
                    (field.name.to_ascii_lowercase(), String::from_utf8_lossy(field.value).into_owned())
                };
                let fields = parsed.headers.iter().map(field).collect();
                let status = parsed.code?;
                self.read.drain(..length);
                return Some(Reply { status, fields, body: Vec::new(), whole: false });
            }
            if !self.more().await {
                return None;
            }
        }
    }

    /// Reads the next response; `bodiless` when it answers a HEAD. `None`: the connection ended before its head.
    pub async fn reply(&mut self, bodiless: bool) -> Option<Reply> {
        let mut reply = self.head().await?;
        if bodiless || matches!(reply.status, 204 | 304) {
            reply.whole = true;
        } else if reply.field("transfer-encoding") == "chunked" {
            self.chunks_until(&mut reply, usize::MAX).await;
        } else if let Ok(length) = reply.field("content-length").parse::<usize>() {
            reply.body = self.bytes(length).await;
            reply.whole = reply.body.len() == length;
        } else {
            while self.more().await {}
            reply.body = std::mem::take(&mut self.read);
            reply.whole = true;
        }
        Some(reply)
    }

    /// Reads up to `length` bytes of a body.
    pub async fn bytes(&mut self, length: usize) -> Vec<u8> {
        while self.read.len() < length && self.more().await {}
        let length = length.min(self.read.len());
        self.read.drain(..length).collect()
    }

    /// Reads on in a chunked body until so many bytes of it came, or its end.
    pub async fn chunks_until(&mut self, reply: &mut Reply, length: usize) {
        while reply.body.len() < length {
            let Some(line) = self.line().await else { return };
            let Ok(size) = usize::from_str_radix(line.trim(), 16) else {
                return;
            };
            reply.body.extend(self.bytes(size).await);
            if self.line().await.is_none() {
                return;
            }
            if size == 0 {
                reply.whole = true;
                return;
            }
        }
    }

    async fn line(&mut self) -> Option<String> {
        loop {
            if let Some(end) = self.read.windows(2).position(|pair| pair == b"\r\n") {
                let line: Vec<u8> = self.read.drain(..end + 2).collect();
                return String::from_utf8(line).ok();
            }
            if !self.more().await {
                return None;
            }
        }
    }

    async fn more(&mut self) -> bool {
        matches!(self.stream.read_buf(&mut self.read).await, Ok(1..))
    }
}

//! An HTTP/1.1 origin whose every response a test decides, down to how it breaks.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::sync::{Notify, watch};
use tokio_rustls::TlsAcceptor;

pub mod h2;

/// Bytes of a request head.
const HEAD_BYTES_MAX: usize = 64 << 10;

/// A request as it came.
#[derive(Debug, Clone)]
pub struct Request {
    /// The method.
    pub method: String,
    /// Path and query.
    pub path: String,
    /// Field names (lower case) and values.
    pub fields: Vec<(String, String)>,
}

impl Request {
    /// The first value of a field.
    pub fn field(&self, name: &str) -> Option<&str> {
        self.fields.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }
}

/// Holds a body back until it is opened. Clones share it.
#[derive(Debug, Clone)]
pub struct Gate(Arc<watch::Sender<bool>>);

impl Default for Gate {
    fn default() -> Self {
        Self(Arc::new(watch::channel(false).0))
    }
}

impl Gate {
    /// Lets everybody through.
    pub fn open(&self) {
        self.0.send_replace(true);
    }

    /// Waits until it is open.
    pub async fn pass(&self) {
        let _ = self.0.subscribe().wait_for(|open| *open).await;
    }
}

/// A body and how it is sent.
#[derive(Debug, Clone, Default)]
pub enum Body {
    /// None at all, not even a length.
    #[default]
    Nothing,
    /// With its length.
    Whole(Vec<u8>),
    /// In chunks.
    Chunked(Vec<Vec<u8>>),
    /// With its length; the second part after the gate.
    Gated(Vec<u8>, Gate, Vec<u8>),
    /// With its length; head and all only after the gate.
    Held(Gate, Vec<u8>),
    /// None at all, and the head only after the gate.
    HeadGated(Gate),
    /// In chunks; the second ones after the gate.
    GatedChunks(Vec<Vec<u8>>, Gate, Vec<Vec<u8>>),
    /// It promises this length, sends these bytes and closes.
    CutShort(usize, Vec<u8>),
    /// It promises this length; each part goes out after its gate. What is less than promised ends with the connection.
    Steps(usize, Vec<(Gate, Vec<u8>)>),
    /// It sends these chunks and closes without the last one.
    CutChunks(Vec<Vec<u8>>),
    /// It never answers.
    Silence,
}

/// A response.
#[derive(Debug, Clone, Default)]
pub struct Response {
    /// The status; 0 is 200.
    pub status: u16,
    /// Field lines.
    pub fields: Vec<String>,
    /// The body.
    pub body: Body,
}

impl Response {
    /// 200 with these field lines and this body.
    pub fn ok(fields: &[&str], body: &[u8]) -> Self {
        Self::with(fields, Body::Whole(body.to_vec()))
    }

    /// 200 with these field lines and a body of any kind.
    pub fn with(fields: &[&str], body: Body) -> Self {
        Self { status: 200, fields: fields.iter().map(|field| (*field).to_owned()).collect(), body }
    }
}

type Script = dyn Fn(&Request) -> Response + Send + Sync;

/// A running origin.
pub struct Origin {
    /// Where it listens.
    pub address: SocketAddr,
    requests: Arc<Mutex<Vec<Request>>>,
    came: Arc<Notify>,
    connections: Arc<Connections>,
}

/// The connections an origin had and has.
#[derive(Debug, Default)]
struct Connections {
    accepted: AtomicUsize,
    open: watch::Sender<usize>,
}

/// One of them; dropped, it is over.
struct Connected(Arc<Connections>);

impl Connections {
    fn one(self: &Arc<Self>) -> Connected {
        self.accepted.fetch_add(1, Relaxed);
        self.open.send_modify(|open| *open += 1);
        Connected(self.clone())
    }
}

impl Drop for Connected {
    fn drop(&mut self) {
        self.0.open.send_modify(|open| *open -= 1);
    }
}

impl Origin {
    /// Starts one that answers by `script`.
    ///
    /// # Panics
    /// When no port is free.
    pub async fn start(script: impl Fn(&Request) -> Response + Send + Sync + 'static) -> Self {
        Self::start_at(([127, 0, 0, 1], 0).into(), script).await
    }

    /// Starts one at an address.
    ///
    /// # Panics
    /// When it is taken.
    pub async fn start_at(address: SocketAddr, script: impl Fn(&Request) -> Response + Send + Sync + 'static) -> Self {
        Self::start_with(address, None, script).await
    }

    /// Starts one that speaks TLS.
    ///
    /// # Panics
    /// When no port is free.
    pub async fn start_tls(
        tls: Arc<rustls::ServerConfig>,
        script: impl Fn(&Request) -> Response + Send + Sync + 'static,
    ) -> Self {
        Self::start_with(([127, 0, 0, 1], 0).into(), Some(tls), script).await
    }

    async fn start_with(
        address: SocketAddr,
        tls: Option<Arc<rustls::ServerConfig>>,
        script: impl Fn(&Request) -> Response + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind(address).await.expect("a free address");
        let address = listener.local_addr().expect("its address");
        let requests = Arc::new(Mutex::new(Vec::new()));
        let came = Arc::new(Notify::new());
        let (seen, script): (_, Arc<Script>) = ((requests.clone(), came.clone()), Arc::new(script));
        let connections = Arc::new(Connections::default());
        let told = connections.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                // A body would else wait until its head is acknowledged.
                let _ = stream.set_nodelay(true);
                let (seen, script, tls, one) = (seen.clone(), script.clone(), tls.clone(), told.one());
                tokio::spawn(async move {
                    match tls.map(TlsAcceptor::from) {
                        None => serve(stream, seen, script).await,
                        Some(tls) => {
                            if let Ok(stream) = tls.accept(stream).await {
                                serve(stream, seen, script).await;
                            }
                        }
                    }
                    drop(one);
                });
            }
        });
        Self { address, requests, came, connections }
    }

    /// How many connections were made to it so far.
    pub fn connections(&self) -> usize {
        self.connections.accepted.load(Relaxed)
    }

    /// Waits until so many connections to it are open.
    ///
    /// # Panics
    /// When that does not come about within [`PATIENCE`](crate::PATIENCE).
    pub async fn has_open(&self, connections: usize) {
        let mut open = self.connections.open.subscribe();
        let came = open.wait_for(|open| *open == connections);
        let in_time = tokio::time::timeout(crate::PATIENCE, came).await.is_ok();
        assert!(in_time, "{} connections to the origin are open, not {connections}", *open.borrow());
    }

    /// The URL to configure.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// All requests so far.
    ///
    /// # Panics
    /// When a connection task panicked.
    pub fn requests(&self) -> Vec<Request> {
        self.requests.lock().expect("no panic").clone()
    }

    /// Waits until there were so many requests for a path.
    pub async fn asked(&self, path: &str, times: usize) {
        while self.count(path) < times {
            self.came.notified().await;
        }
    }

    /// How many requests there were for a path.
    pub fn count(&self, path: &str) -> usize {
        self.requests().iter().filter(|request| request.path == path).count()
    }
}

async fn serve(
    mut stream: impl AsyncRead + AsyncWrite + Unpin,
    (seen, came): (Arc<Mutex<Vec<Request>>>, Arc<Notify>),
    script: Arc<Script>,
) {
    let mut read = Vec::new();
    while let Some(request) = next_request(&mut stream, &mut read).await {
        seen.lock().expect("no panic").push(request.clone());
        came.notify_one();
        let response = script(&request);
        let chunked = request.field("transfer-encoding").is_some_and(|coding| coding.eq_ignore_ascii_case("chunked"));
        // What is cut short comes before the request is whole.
        let early = matches!(response.body, Body::CutShort(..));
        if chunked && !early && read_chunks(&mut stream, &mut read).await.is_none() {
            return;
        }
        if !send(&mut stream, &request, response).await {
            return;
        }
    }
}

async fn next_request(stream: &mut (impl AsyncRead + Unpin), read: &mut Vec<u8>) -> Option<Request> {
    loop {
        let mut fields = [httparse::EMPTY_HEADER; 256];
        let mut parsed = httparse::Request::new(&mut fields);
        if let Ok(httparse::Status::Complete(length)) = parsed.parse(read) {
            let field = |field: &httparse::Header<'_>| {
                (field.name.to_ascii_lowercase(), String::from_utf8_lossy(field.value).into_owned())
            };
            let request = Request {
                method: parsed.method?.to_owned(),
                path: parsed.path?.to_owned(),
                fields: parsed.headers.iter().map(field).collect(),
            };
            read.drain(..length);
            let body: usize = request.field("content-length").and_then(|length| length.parse().ok()).unwrap_or(0);
            while read.len() < body {
                (stream.read_buf(read).await.ok()? > 0).then_some(())?;
            }
            read.drain(..body);
            return Some(request);
        }
        if read.len() > HEAD_BYTES_MAX || stream.read_buf(read).await.ok()? == 0 {
            return None;
        }
    }
}

/// Reads a body in chunks to its end (RFC 9112 §7.1); `None` when it breaks off.
async fn read_chunks(stream: &mut (impl AsyncRead + Unpin), read: &mut Vec<u8>) -> Option<()> {
    loop {
        let line = loop {
            match read.windows(2).position(|end| end == b"\r\n") {
                Some(end) => break read.drain(..end + 2).collect::<Vec<u8>>(),
                None if stream.read_buf(read).await.ok()? == 0 => return None,
                None => {}
            }
        };
        let size = std::str::from_utf8(&line).ok()?.split([';', '\r']).next()?;
        let size = usize::from_str_radix(size.trim(), 16).ok()?;
        // The last chunk has no bytes, and no trailers here; an empty line ends each.
        while read.len() < size + 2 {
            (stream.read_buf(read).await.ok()? > 0).then_some(())?;
        }
        read.drain(..size + 2);
        if size == 0 {
            return Some(());
        }
    }
}

/// Sends a response; `false` when the connection is over.
async fn send(stream: &mut (impl AsyncWrite + Unpin), request: &Request, response: Response) -> bool {
    let Response { status, fields, body } = response;
    let status = if status == 0 { 200 } else { status };
    let mut head =
        format!("HTTP/1.1 {status} X\r\n{}", fields.iter().map(|field| format!("{field}\r\n")).collect::<String>());
    match &body {
        Body::Nothing if status != 304 && status != 204 => head.push_str("content-length: 0\r\n"),
        Body::Whole(bytes) => head.push_str(&format!("content-length: {}\r\n", bytes.len())),
        Body::Gated(first, _, second) => head.push_str(&format!("content-length: {}\r\n", first.len() + second.len())),
        Body::CutShort(length, _) | Body::Steps(length, _) => head.push_str(&format!("content-length: {length}\r\n")),
        Body::Chunked(_) | Body::CutChunks(_) | Body::GatedChunks(..) => {
            head.push_str("transfer-encoding: chunked\r\n")
        }
        Body::Nothing => {}
        Body::HeadGated(gate) => gate.pass().await,
        Body::Held(gate, bytes) => {
            gate.pass().await;
            head.push_str(&format!("content-length: {}\r\n", bytes.len()));
        }
        Body::Silence => std::future::pending().await,
    }
    head.push_str("\r\n");
    let sent = stream.write_all(head.as_bytes()).await.is_ok();
    if request.method == "HEAD" || !sent {
        return sent;
    }
    match body {
        Body::Nothing | Body::HeadGated(_) | Body::Silence => true,
        Body::Whole(bytes) | Body::Held(_, bytes) => stream.write_all(&bytes).await.is_ok(),
        Body::Gated(first, gate, second) => {
            let first = stream.write_all(&first).await.is_ok();
            gate.pass().await;
            first && stream.write_all(&second).await.is_ok()
        }
        Body::CutShort(_, bytes) => {
            let _ = stream.write_all(&bytes).await;
            false
        }
        Body::Steps(length, parts) => {
            let mut sent = 0;
            for (gate, part) in parts {
                gate.pass().await;
                sent += part.len();
                if stream.write_all(&part).await.is_err() {
                    return false;
                }
            }
            sent == length
        }
        Body::Chunked(chunks) => {
            let chunked = chunks_of(&chunks);
            stream.write_all(&[chunked, b"0\r\n\r\n".to_vec()].concat()).await.is_ok()
        }
        Body::GatedChunks(first, gate, second) => {
            let first = stream.write_all(&chunks_of(&first)).await.is_ok();
            gate.pass().await;
            first && stream.write_all(&[chunks_of(&second), b"0\r\n\r\n".to_vec()].concat()).await.is_ok()
        }
        Body::CutChunks(chunks) => {
            let _ = stream.write_all(&chunks_of(&chunks)).await;
            false
        }
    }
}

fn chunks_of(chunks: &[Vec<u8>]) -> Vec<u8> {
    chunks
        .iter()
        .flat_map(|chunk| [format!("{:x}\r\n", chunk.len()).into_bytes(), chunk.clone(), b"\r\n".to_vec()].concat())
        .collect()
}

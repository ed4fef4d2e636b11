//! Listeners and connections of the data port.
//!
//! Every worker thread runs its own single-threaded runtime and has its own socket for each address (`SO_REUSEPORT`), so
//! that a connection lives and dies on one core. Sockets are bound before anything is started: a port in use is an error
//! at start, not a listener that is missing later.

use std::net::SocketAddr;
use std::os::fd::AsRawFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::time::Duration;

use pingora::apps::HttpServerApp;
use pingora::listeners::tls::TlsSettings;
use pingora::protocols::http::ServerSession;
use pingora::protocols::l4::stream::Stream as L4Stream;
use pingora::protocols::{GetSocketDigest, SocketDigest, Stream};
use pingora::proxy::HttpProxy;
use pingora::server::ShutdownWatch;
use socket2::{Domain, Protocol, Socket, Type};
use tokio::net::{TcpListener, TcpStream};

use crate::config::Https;
use crate::hits::{Connection, Next};
use crate::node::Node;
use crate::request::RequestPath;

/// Connections the kernel holds for us.
const BACKLOG: i32 = 4096;
/// What the framework is told of keeping connections, in seconds: it never waits for a next request itself.
const FRAMEWORK_KEEPALIVE_S: u64 = 60;
/// How long accepting rests when the process is out of file descriptors.
const ACCEPT_REST: Duration = Duration::from_millis(50);

/// A bound address: one socket per worker.
pub struct Bound {
    /// The address, with the port that port 0 became.
    pub address: SocketAddr,
    sockets: Vec<std::net::TcpListener>,
    tls: Option<Https>,
}

/// A worker's share of a bound address.
pub struct Share {
    socket: std::net::TcpListener,
    tls: Option<Https>,
}

impl Bound {
    /// Binds `address` once per worker.
    ///
    /// # Errors
    /// One line that names the address.
    pub fn new(address: SocketAddr, workers: usize, tls: Option<Https>) -> Result<Self, String> {
        let problem = |error| format!("cannot listen on {address}: {error}");
        let first = bind(address).map_err(problem)?;
        let address = first.local_addr().map_err(problem)?;
        // Our own sockets share the port with each other; if somebody else's already did, the first bind told.
        let rest = (1..workers).map(|_| bind_shared(address));
        let sockets = std::iter::once(Ok(first)).chain(rest).collect::<Result<Vec<_>, _>>().map_err(problem)?;
        Ok(Self { address, sockets, tls })
    }

    /// Whether it speaks TLS.
    pub fn is_tls(&self) -> bool {
        self.tls.is_some()
    }

    /// One share for each worker.
    pub fn into_shares(self) -> impl Iterator<Item = Share> {
        let tls = self.tls;
        self.sockets.into_iter().map(move |socket| Share { socket, tls: tls.clone() })
    }
}

/// Binds without sharing first, so that another process on the port is noticed, then again to be shared.
fn bind(address: SocketAddr) -> std::io::Result<std::net::TcpListener> {
    let probe = socket(address)?;
    probe.bind(&address.into())?;
    let address = probe.local_addr()?.as_socket().unwrap_or(address);
    drop(probe);
    bind_shared(address)
}

fn bind_shared(address: SocketAddr) -> std::io::Result<std::net::TcpListener> {
    let socket = socket(address)?;
    socket.set_reuse_port(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}

fn socket(address: SocketAddr) -> std::io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    if address.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    Ok(socket)
}

/// One worker: its runtime, its shares of the listeners, its connections.
pub struct Worker {
    /// The node.
    pub node: Arc<Node>,
    /// The framework's request path.
    pub proxy: Arc<HttpProxy<RequestPath>>,
    /// Turns true when the node stops.
    pub shutdown: ShutdownWatch,
    /// Its connections.
    pub presence: Arc<Presence>,
}

/// How many connections a worker has, and how many of them wait for a request.
#[derive(Debug, Default)]
pub struct Presence {
    open: AtomicUsize,
    idle: AtomicUsize,
}

/// Counts a connection as idle while it lives.
pub(crate) struct Idle<'a>(&'a AtomicUsize);

impl Presence {
    pub(crate) fn idle(&self) -> Idle<'_> {
        self.idle.fetch_add(1, Relaxed);
        Idle(&self.idle)
    }

    fn is_quiet(&self) -> bool {
        self.open.load(Relaxed) <= self.idle.load(Relaxed)
    }
}

impl Drop for Idle<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Relaxed);
    }
}

impl Worker {
    /// Accepts on all `shares` until shutdown, then waits for what is running, up to `drain`.
    ///
    /// # Errors
    /// When a certificate cannot be used or a socket is lost.
    pub async fn run(self: Arc<Self>, shares: Vec<Share>, drain: Duration) -> Result<(), String> {
        let mut accepting = Vec::new();
        for share in shares {
            let tls = share.tls.as_ref().map(acceptor).transpose()?;
            let listener =
                TcpListener::from_std(share.socket).map_err(|error| format!("a listener is lost: {error}"))?;
            accepting.push(tokio::spawn(self.clone().accept(listener, tls.map(Arc::new))));
        }
        for task in accepting {
            let _ = task.await;
        }
        let drained = async {
            while !self.presence.is_quiet() {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        // Idle connections, and what still runs after the drain time, are dropped with the runtime.
        let _ = tokio::time::timeout(drain, drained).await;
        Ok(())
    }

    async fn accept(self: Arc<Self>, listener: TcpListener, tls: Option<Arc<Acceptor>>) {
        let mut shutdown = self.shutdown.clone();
        loop {
            let accepted = tokio::select! {
                accepted = listener.accept() => accepted,
                _ = shutdown.changed() => return,
            };
            match accepted {
                Ok((stream, _peer)) => self.admit(stream, tls.clone()),
                Err(error) => {
                    tracing::warn!(%error, "cannot accept a connection");
                    tokio::time::sleep(ACCEPT_REST).await;
                }
            }
        }
    }

    /// Takes a connection in, or closes it when there are too many.
    fn admit(self: &Arc<Self>, stream: TcpStream, tls: Option<Arc<Acceptor>>) {
        let figures = &self.node.figures;
        if figures.open.load(Relaxed) >= self.node.settings.load().limits.connections {
            figures.connections_refused.add(1);
            return;
        }
        figures.connections.add(1);
        figures.open.fetch_add(1, Relaxed);
        self.presence.open.fetch_add(1, Relaxed);
        // Without it, the last small piece of a response could wait for an acknowledgement.
        let _ = stream.set_nodelay(true);
        let worker = self.clone();
        tokio::spawn(async move {
            let _open = Open(worker.clone());
            match tls {
                None => worker.serve_plain(stream).await,
                Some(acceptor) => worker.serve_tls(stream, &acceptor).await,
            }
        });
    }

    /// HTTP/1 on a plain connection: hits directly, the rest through the framework, back and forth.
    async fn serve_plain(&self, mut stream: TcpStream) {
        let mut connection = Connection::new(self.node.clone(), self.presence.clone());
        let Some(bytes) = self.until_handed_off(&mut connection, &mut stream).await else {
            return;
        };
        self.alternate(connection, boxed(stream), bytes).await;
    }

    async fn serve_tls(&self, stream: TcpStream, acceptor: &Acceptor) {
        let handshake = acceptor.tls_handshake(l4(stream));
        let Ok(Ok(stream)) = tokio::time::timeout(self.node.hot().header_timeout, handshake).await else {
            return;
        };
        let mut stream: Stream = Box::new(stream);
        if matches!(stream.selected_alpn_proto(), Some(pingora::protocols::ALPN::H2)) {
            pingora::apps::ServerApp::process_new(&self.proxy, stream, &self.shutdown).await;
            return;
        }
        let mut connection = Connection::new(self.node.clone(), self.presence.clone());
        let Some(bytes) = self.until_handed_off(&mut connection, &mut stream).await else {
            return;
        };
        self.alternate(connection, stream, bytes).await;
    }

    async fn alternate(&self, mut connection: Connection, mut stream: Stream, mut bytes: bytes::BytesMut) {
        loop {
            let mut session = ServerSession::new_http1(stream);
            // The connection comes back here between requests, where `limits.keepalive` holds; this only lets it.
            session.set_keepalive(Some(FRAMEWORK_KEEPALIVE_S));
            session.set_pipelined_prefix(bytes);
            let Some(reusable) = self.proxy.process_new_http(session, &self.shutdown).await else {
                return;
            };
            (stream, _) = reusable.consume();
            match self.until_handed_off(&mut connection, &mut stream).await {
                Some(next) => bytes = next,
                None => return,
            }
        }
    }

    /// Serves hits until something else is asked for (its bytes) or the connection is over.
    async fn until_handed_off<S>(&self, connection: &mut Connection, stream: &mut S) -> Option<bytes::BytesMut>
    where
        S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin,
    {
        if *self.shutdown.borrow() {
            return None;
        }
        match connection.serve(stream).await {
            Next::HandOff(bytes) => Some(bytes),
            Next::Close => None,
        }
    }
}

type Acceptor = pingora::listeners::tls::Acceptor;

/// Checks a certificate and its key by making an acceptor of them.
///
/// # Errors
/// One line that names the file.
pub fn acceptor(https: &Https) -> Result<Acceptor, String> {
    let (cert, key) = (https.cert.to_string_lossy(), https.key.to_string_lossy());
    let problem = |error| format!("cannot use the certificate {cert} with the key {key}: {error}");
    let mut settings = TlsSettings::intermediate(&cert, &key).map_err(problem)?;
    settings.enable_h2();
    // The framework panics on a key that does not fit; what it says then is for the operator.
    std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| settings.build()))
        .map_err(|_| format!("cannot use the certificate {cert} with the key {key}: they do not belong together"))
}

fn l4(stream: TcpStream) -> L4Stream {
    let digest = SocketDigest::from_raw_fd(stream.as_raw_fd());
    let mut stream = L4Stream::from(stream);
    stream.set_socket_digest(digest);
    stream
}

fn boxed(stream: TcpStream) -> Stream {
    Box::new(l4(stream))
}

/// Counts an open connection down.
struct Open(Arc<Worker>);

impl Drop for Open {
    fn drop(&mut self) {
        self.0.node.figures.open.fetch_sub(1, Relaxed);
        self.0.presence.open.fetch_sub(1, Relaxed);
    }
}

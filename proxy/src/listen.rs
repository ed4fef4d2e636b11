//! Listeners and connections of the data port.
//!
//! Every worker thread runs its own single-threaded runtime and has its own socket for each address (`SO_REUSEPORT`), so
//! that a connection lives and dies on one core. Binding is [`socket`]'s, who may come in [`rules`]'s, certificates [`tls`]'s; what
//! is said on a connection belongs to [`crate::hits`] and [`crate::request`].
//!
//! Invariant: from the moment a connection is served, its client has one address, which is what a believed PROXY header
//! said, else where it came from.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::time::{Duration, Instant};

use bytes::BytesMut;
use futures_util::FutureExt;
use pingora::apps::HttpServerApp;
use pingora::protocols::http::ServerSession;
use pingora::protocols::l4::socket::SocketAddr as L4Address;
use pingora::protocols::l4::stream::Stream as L4Stream;
use pingora::protocols::{GetSocketDigest, SocketDigest, Stream};
use pingora::proxy::HttpProxy;
use pingora::server::ShutdownWatch;
use tokio::io::AsyncReadExt;
use tokio::net::{TcpListener, TcpStream, UnixListener, UnixStream};
use tokio::sync::oneshot;

use crate::forward::tunnel;
use crate::hits::{Client, Connection, Next};
use crate::itself::is_of_this_process;
use crate::node::Node;
use crate::observe::figures::Denied;
use crate::request::RequestPath;
use chunks::Checked;
use clients::Guest;
use front::Front;
use hand::Raw;
use socket::{Listening, Share};
use tls::Secured;

mod announce;
pub(crate) mod chunks;
pub mod clients;
pub mod front;
pub mod h2;
mod hand;
pub(crate) mod linger;
pub mod proxy_protocol;
pub mod rules;
pub mod socket;
pub(crate) mod tapped;
pub mod tls;

/// What the framework is told of keeping connections, in seconds: it never waits for a next request itself.
const FRAMEWORK_KEEPALIVE_S: u64 = 60;
/// For how long nothing but kept connections must be left before they are closed at shutdown.
const QUIET: Duration = Duration::from_secs(1);
/// Connections taken in from a backlog when the node stops: what the kernel holds at most, where the config does not say.
const REST_MAX: usize = 4096;
/// How long accepting rests when the process is out of file descriptors.
const ACCEPT_REST: Duration = Duration::from_millis(50);
/// What an HTTP/2 client sends first (RFC 9113 §3.4).
const H2_PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
/// Who comes over a unix socket, unless a PROXY header says more.
const LOCAL: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 0);

/// One worker: its runtime, its shares of the listeners, its connections.
pub struct Worker {
    /// The node.
    pub node: Arc<Node>,
    /// The framework's request path.
    pub proxy: Arc<HttpProxy<RequestPath>>,
    /// The same for clients of the explicit proxy, where there is one.
    pub forward: Option<Arc<HttpProxy<RequestPath>>>,
    /// Turns true when the node stops.
    pub shutdown: ShutdownWatch,
    /// Its connections.
    pub presence: Arc<Presence>,
    /// All workers of the node.
    pub crew: Arc<Crew>,
}

/// How many workers still have requests under way. A kept connection to an origin lives on the runtime of the worker that made
/// it, whoever uses it: no worker ends before all are done.
#[derive(Debug)]
pub struct Crew(AtomicUsize);

/// Counts a worker among the crew while it lives.
struct AtWork<'a>(&'a Crew);

impl Crew {
    /// Of so many workers, none of which has begun.
    pub fn of(workers: usize) -> Arc<Self> {
        Arc::new(Self(AtomicUsize::new(workers)))
    }
}

impl Drop for AtWork<'_> {
    fn drop(&mut self) {
        self.0.0.fetch_sub(1, Relaxed);
    }
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

    fn is_empty(&self) -> bool {
        self.open.load(Relaxed) == 0
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
    /// When a socket is lost.
    pub async fn run(self: Arc<Self>, shares: Vec<Share>, drain: Duration) -> Result<(), String> {
        let at_work = AtWork(&self.crew);
        let mut accepting = Vec::new();
        for share in shares {
            let lost = |error| format!("a listener is lost: {error}");
            let worker = self.clone();
            accepting.push(match share.socket {
                Listening::Inet(socket) => {
                    let listener = TcpListener::from_std(socket).map_err(lost)?;
                    tokio::spawn(worker.accept(listener, share.front))
                }
                Listening::Unix(socket) => {
                    let listener = UnixListener::from_std(socket).map_err(lost)?;
                    tokio::spawn(worker.accept(listener, share.front))
                }
                Listening::Own(socket) => {
                    let listener = UnixListener::from_std(socket).map_err(lost)?;
                    tokio::spawn(worker.accept_own(listener, share.front));
                    continue;
                }
            });
        }
        for task in accepting {
            let _ = task.await;
        }
        let drained = async {
            let mut quiet_since = None;
            while !self.presence.is_empty() {
                match self.presence.is_quiet() {
                    // A client whose connection is kept may be about to use it, and is told then that it closes.
                    true if quiet_since.get_or_insert_with(Instant::now).elapsed() >= QUIET => break,
                    true => {}
                    false => quiet_since = None,
                }
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
            drop(at_work);
            while self.crew.0.load(Relaxed) > 0 {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        // Idle connections, and what still runs after the drain time, are dropped with the runtime.
        let _ = tokio::time::timeout(drain, drained).await;
        Ok(())
    }

    async fn accept<L: Listener>(self: Arc<Self>, listener: L, front: Arc<Front>) {
        let mut shutdown = self.shutdown.clone();
        loop {
            let accepted = tokio::select! {
                accepted = listener.next() => accepted,
                _ = shutdown.changed() => return self.take_in_rest(&listener, &front),
            };
            match accepted {
                Ok((stream, source)) => self.admit(stream, source, &front),
                Err(error) => self.rest(&error).await,
            }
        }
    }

    /// Takes in what the node asks itself, for as long as the runtime is there: requests that are under way when the node stops need it.
    async fn accept_own(self: Arc<Self>, listener: UnixListener, front: Arc<Front>) {
        loop {
            match listener.next().await {
                Ok((stream, source)) if is_of_this_process(&stream) => self.admit(stream, source, &front),
                Ok(_) => self.node.figures.denied(Denied::Source),
                Err(error) => self.rest(&error).await,
            }
        }
    }

    async fn rest(&self, error: &std::io::Error) {
        self.node.figures.accept_failures.add(1);
        tracing::warn!(%error, "cannot accept a connection");
        tokio::time::sleep(ACCEPT_REST).await;
    }

    /// Takes in what is in the backlog already: closing the socket would reset it.
    fn take_in_rest<L: Listener>(self: &Arc<Self>, listener: &L, front: &Arc<Front>) {
        for _ in 0..REST_MAX {
            match listener.next().now_or_never() {
                Some(Ok((stream, source))) => self.admit(stream, source, front),
                _ => return,
            }
        }
    }

    /// Takes a connection in, or closes it when there are too many or it must not come.
    fn admit<S: Raw>(self: &Arc<Self>, stream: S, source: SocketAddr, front: &Arc<Front>) {
        let figures = &self.node.figures;
        if figures.open.load(Relaxed) >= self.node.settings.load().limits.connections {
            figures.connections_refused.add(1);
            return;
        }
        let rules = front.rules.load();
        let denied = match rules.is_spoken_to() {
            true => (!rules.believes(source.ip())).then_some(Denied::Source),
            false => (!rules.admit(source.ip())).then_some(Denied::List),
        };
        if let Some(denied) = denied {
            return figures.denied(denied);
        }
        figures.connections.add(1);
        figures.open.fetch_add(1, Relaxed);
        self.presence.open.fetch_add(1, Relaxed);
        let (open, front) = (Open(self.clone()), front.clone());
        if rules.is_spoken_to() {
            tokio::spawn(async move { open.await_header(stream, source, front).await });
        } else {
            self.node.rtt.accepted(&stream, source.ip());
            open.serve(stream, source, &front);
        }
    }

    /// HTTP/2 where a plain connection begins with its preface (RFC 9113 §3.3), else HTTP/1.
    async fn serve_either<S: Raw>(self: &Arc<Self>, mut stream: S, client: SocketAddr, guest: Guest) {
        let mut read = BytesMut::new();
        let first = async {
            let idle = self.presence.idle();
            let mut idle = Some(idle);
            while read.len() < H2_PREFACE.len() && H2_PREFACE.starts_with(&read) {
                let mut rest = (&mut stream).take((H2_PREFACE.len() - read.len()) as u64);
                if !matches!(rest.read_buf(&mut read).await, Ok(1..)) {
                    return false;
                }
                idle = None;
            }
            drop(idle);
            true
        };
        match tokio::time::timeout(self.node.hot().keepalive, first).await {
            Ok(true) if read == H2_PREFACE => {
                let mut stream = l4(stream, client);
                stream.rewind(&read);
                h2::serve(self, Box::new(stream), guest).await;
            }
            Ok(true) => {
                let whose = Client { address: client, tls: "", forward: false };
                let mut connection = self.connection(whose, guest, read);
                let next = connection.serve(&mut stream).await;
                self.serve_on(stream, connection, next).await;
            }
            _ => {}
        }
    }

    async fn serve_tls<S: Raw>(self: &Arc<Self>, stream: S, client: SocketAddr, guest: Guest, tls: &tls::Tls) {
        let figures = &self.node.figures;
        let handshake = Secured::accept(l4(stream, client), tls.config.clone());
        let stream = match tokio::time::timeout(self.node.hot().handshake_timeout, handshake).await {
            Ok(Ok(stream)) => stream,
            Ok(Err(error)) => return figures.tls_failures[tls::failure(&error)].add(1),
            Err(_) => return figures.tls_failures[tls::TIMEOUT].add(1),
        };
        figures.tls_handshakes.add(1);
        if stream.is_resumed() {
            figures.tls_resumed.add(1);
        }
        if stream.is_h2() {
            return h2::serve(self, Box::new(stream), guest).await;
        }
        let mut stream: Stream = Box::new(stream);
        let whose = Client { address: client, tls: tls::version(&stream), forward: false };
        let mut connection = self.connection(whose, guest, BytesMut::new());
        let next = connection.serve(&mut stream).await;
        self.alternate(connection, stream, next).await;
    }

    /// A connection of this worker on which `read` has come already.
    fn connection(&self, whose: Client, guest: Guest, read: BytesMut) -> Connection {
        Connection::new(self.node.clone(), self.presence.clone(), whose, guest, read)
    }

    /// Serves what came `next` on a plain connection, and whatever comes after it.
    async fn serve_on<S: Raw>(&self, mut stream: S, mut connection: Connection, next: Next) {
        match next {
            Next::Close => {}
            Next::Connect(head, rest) => {
                tunnel::serve(&self.node, connection.client(), &mut stream, &head, &rest).await;
            }
            next => {
                connection.keep_socket(&stream);
                let client = connection.client().address;
                self.alternate(connection, Box::new(l4(stream, client)), next).await;
            }
        }
    }

    /// The framework has its turn with what was handed to it, then hits are served again.
    async fn alternate(&self, mut connection: Connection, mut stream: Stream, mut next: Next) {
        loop {
            let (bytes, rest) = match next {
                Next::HandOff(bytes, rest) => (bytes, rest),
                Next::Connect(head, rest) => {
                    return Box::pin(tunnel::serve(&self.node, connection.client(), &mut stream, &head, &rest)).await;
                }
                Next::Close => return,
            };
            let (checked, mut left) = (rest.is_some(), None);
            if let Some(rest) = rest {
                let unread = (!rest.is_over()).then(oneshot::channel);
                let (back, away): (_, Option<oneshot::Receiver<Stream>>) = unread.unzip();
                left = away;
                stream = Box::new(Checked::new(stream, rest, back));
            }
            let mut session = ServerSession::new_http1(stream);
            // The connection comes back here between requests, where `limits.keepalive` holds; this only lets it.
            session.set_keepalive(Some(FRAMEWORK_KEEPALIVE_S));
            session.set_pipelined_prefix(bytes);
            if connection.is_at_last() {
                session.set_keepalive_reuses_remaining(Some(0));
            }
            let proxy = self.forward.as_ref().filter(|_| connection.client().forward).unwrap_or(&self.proxy);
            let Some(reusable) = proxy.process_new_http(session, &self.shutdown).await else {
                if let Some(mut stream) = left.and_then(|mut left| left.try_recv().ok()) {
                    Box::pin(linger::linger(&mut stream)).await;
                }
                return;
            };
            (stream, _) = reusable.consume();
            if checked {
                let Ok(inner) = stream.into_any().downcast::<Checked>() else {
                    return;
                };
                let (inner, beyond) = inner.into_parts();
                connection.unread(&beyond);
                stream = inner;
            }
            next = connection.serve(&mut stream).await;
        }
    }
}

/// Where connections come from.
trait Listener: Send + Sync + 'static {
    type Stream: Raw;
    fn next(&self) -> impl Future<Output = std::io::Result<(Self::Stream, SocketAddr)>> + Send;
}

impl Listener for TcpListener {
    type Stream = TcpStream;
    async fn next(&self) -> std::io::Result<(TcpStream, SocketAddr)> {
        self.accept().await
    }
}

impl Listener for UnixListener {
    type Stream = UnixStream;
    async fn next(&self) -> std::io::Result<(UnixStream, SocketAddr)> {
        self.accept().await.map(|(stream, _)| (stream, LOCAL))
    }
}

/// A connection for the framework, which is told whose it is.
fn l4<S: Raw>(stream: S, client: SocketAddr) -> L4Stream {
    let digest = SocketDigest::from_raw_fd(stream.as_raw_fd());
    // New, so that nobody has set it.
    let _ = digest.peer_addr.set(Some(L4Address::Inet(client)));
    let mut stream: L4Stream = stream.into();
    stream.set_socket_digest(digest);
    stream
}

/// An open connection of a worker, counted down when it is over.
struct Open(Arc<Worker>);

impl Open {
    /// Learns from its PROXY header whom a connection is for, then serves it.
    async fn await_header<S: Raw>(self, mut stream: S, source: SocketAddr, front: Arc<Front>) {
        let node = &self.0.node;
        let Some(client) = announce::client_of(&mut stream, source, node.hot().header_timeout).await else {
            return node.figures.denied(Denied::Header);
        };
        if !front.rules.load().admit(client.ip()) {
            return node.figures.denied(Denied::List);
        }
        self.serve(stream, client, &front);
    }

    /// Serves a connection whose client is known, in a task of its own: the most are plain, and wait, so that theirs has room for
    /// little more than what is known of them.
    fn serve<S: Raw>(self, mut stream: S, client: SocketAddr, front: &Front) {
        let node = &self.0.node;
        let entered = match front.is_own() {
            true => Ok(Guest::default()),
            false => node.clients.enter(client.ip(), &node.settings.load().limits),
        };
        let guest = match entered {
            Ok(guest) => guest,
            Err(denied) => return node.figures.denied(denied),
        };
        if let Some(at) = front.swarm {
            return self.hand_to_swarm(stream, client, guest, at);
        }
        if let Some(serve) = front.serve.load_full() {
            return self.hand_to_service(stream, client, guest, serve, front);
        }
        match front.tls.load_full() {
            None if front.rules.load().h2c => {
                tokio::spawn(async move { self.0.serve_either(stream, client, guest).await });
            }
            None => {
                let whose = Client { address: client, tls: "", forward: front.is_forward() };
                let mut connection = self.0.connection(whose, guest, BytesMut::new());
                tokio::spawn(async move {
                    let next = connection.serve(&mut stream).await;
                    if !matches!(next, Next::Close) {
                        Box::pin(self.0.serve_on(stream, connection, next)).await;
                    }
                });
            }
            Some(tls) => {
                tokio::spawn(async move { self.0.serve_tls(stream, client, guest, &tls).await });
            }
        }
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.0.node.figures.open.fetch_sub(1, Relaxed);
        self.0.presence.open.fetch_sub(1, Relaxed);
    }
}

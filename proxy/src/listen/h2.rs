//! HTTP/2 with clients: the connection and its bounds. Frames are the h2 crate's, a request is an [`exchange`], and one that is no
//! plain hit goes on to the framework as a [`session`].
//!
//! Bounds, and who keeps them: streams at a time (`limits.h2_streams`), size of a header list (`limits.header_bytes`), CONTINUATION
//! frames and streams reset before they were accepted: h2 0.4.20. Frames that only cost ([`frames`]), rapid resets, malformed requests
//! ([`MALFORMED_MAX`]), requests of a client and of a connection, idle time, uploads that stall: here.
//!
//! Invariant: a connection that breaks a bound is told why (GOAWAY) and is closed within [`FAREWELL`].

use std::future::poll_fn;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::task::Poll;
use std::time::Duration;

use bytes::Bytes;
use h2::Reason;
use pingora::apps::HttpServerApp;
use pingora::http::ResponseHeader;
use pingora::protocols::http::ServerSession;
use pingora::protocols::{Digest, Stream};
use tokio::sync::Notify;
use tokio::time::{sleep, timeout};

use super::Worker;
use super::clients::Guest;
use crate::hits;
use crate::node::Hot;
use crate::observe::figures::{H2Ended, Refused};
use exchange::{Accepted, Exchange, accept};
use frames::{Alarm, Fault, Watched};
use session::{Session, Shared};

pub(crate) mod exchange;
mod frames;
mod session;

/// Malformed requests of one connection before it is closed.
const MALFORMED_MAX: usize = 32;
/// Streams that clients reset before they were accepted, kept at a time.
const RESET_UNSEEN_MAX: usize = 20;
/// Streams that we reset for their faults, for the life of a connection (CVE-2025-8671).
const RESET_FAULTY_MAX: usize = 256;
/// Time to send the last GOAWAY.
const FAREWELL: Duration = Duration::from_secs(1);

type Connection = h2::server::Connection<Stream, Bytes>;

/// How an upload goes on: `request` notes its pieces, its watch on the connection sees that they come.
#[derive(Debug, Default)]
pub(crate) struct Upload {
    bytes: AtomicU64,
    done: AtomicBool,
    /// A piece was read, and the session has not been asked for another yet.
    handed: AtomicBool,
    /// The origin is asked over HTTP/2.
    by_h2: AtomicBool,
}

impl Upload {
    /// More came; `end`: all of it.
    pub(crate) fn note(&self, bytes: usize, end: bool) {
        self.bytes.fetch_add(bytes as u64, Relaxed);
        self.done.fetch_or(end, Relaxed);
    }

    /// Which protocol the origin speaks that it goes to.
    pub(crate) fn goes_to(&self, origin: http::Version) {
        self.by_h2.store(origin == http::Version::HTTP_2, Relaxed);
    }

    fn set_handed(&self, handed: bool) {
        self.handed.store(handed, Relaxed);
    }
}

/// Streams under way.
#[derive(Default)]
struct Streams {
    open: AtomicUsize,
    none: Notify,
}

/// Counts a stream while it lives.
struct Open(Arc<Streams>);

impl Drop for Open {
    fn drop(&mut self) {
        if self.0.open.fetch_sub(1, Relaxed) == 1 {
            self.0.none.notify_one();
        }
    }
}

/// What comes next on a connection.
#[allow(clippy::large_enum_variant, reason = "one at a time, never kept")]
enum Event {
    Accepted(Option<Result<Accepted, h2::Error>>),
    Stopping,
    Idle,
    AtFault(Fault),
}

/// Serves a connection to its end.
pub(super) async fn serve(worker: &Arc<Worker>, stream: Stream, guest: Guest) {
    let hot = worker.node.hot();
    let digest = Arc::new(Digest {
        ssl_digest: stream.get_ssl_digest(),
        timing_digest: stream.get_timing_digest(),
        proxy_digest: stream.get_proxy_digest(),
        socket_digest: stream.get_socket_digest(),
    });
    let alarm = Arc::new(Alarm::default());
    let mut options = h2::server::Builder::default();
    options.max_header_list_size(u32::try_from(hot.header_bytes).unwrap_or(u32::MAX));
    options.max_concurrent_streams(hot.h2_streams);
    options.max_pending_accept_reset_streams(RESET_UNSEEN_MAX);
    options.max_local_error_reset_streams(Some(RESET_FAULTY_MAX));
    let watched: Stream = Box::new(Watched::new(stream, alarm.clone()));
    let shaking = options.handshake(watched);
    if let Ok(Ok(connection)) = timeout(hot.header_timeout, shaking).await {
        let streams = Arc::default();
        Served { worker, hot, guest, digest, alarm, streams, requests: 0, malformed: 0 }.run(connection).await;
    }
}

/// A connection being served.
struct Served<'a> {
    worker: &'a Arc<Worker>,
    hot: Arc<Hot>,
    guest: Guest,
    digest: Arc<Digest>,
    alarm: Arc<Alarm>,
    streams: Arc<Streams>,
    requests: u32,
    malformed: usize,
}

impl Served<'_> {
    async fn run(mut self, mut connection: Connection) {
        let mut stopping = *self.worker.shutdown.borrow();
        if stopping {
            connection.graceful_shutdown();
        }
        loop {
            match self.next(&mut connection, stopping).await {
                Event::Accepted(Some(Ok(Accepted::Request(exchange)))) => self.take(exchange, &mut connection),
                Event::Accepted(Some(Ok(Accepted::Malformed))) => {
                    self.malformed += 1;
                    self.worker.node.figures.refused(Refused::Malformed);
                    if self.malformed >= MALFORMED_MAX {
                        return self.end(connection, H2Ended::Malformed, Reason::PROTOCOL_ERROR).await;
                    }
                }
                Event::Accepted(None) => return,
                Event::Accepted(Some(Err(error))) => return self.broken(&error),
                Event::Stopping => {
                    connection.graceful_shutdown();
                    stopping = true;
                }
                Event::Idle => return self.end(connection, H2Ended::Idle, Reason::NO_ERROR).await,
                Event::AtFault(fault) => {
                    let (why, reason) = match fault {
                        Fault::Flood => (H2Ended::Flood, Reason::ENHANCE_YOUR_CALM),
                        Fault::Size => (H2Ended::Protocol, Reason::FRAME_SIZE_ERROR),
                        Fault::Opening => (H2Ended::Protocol, Reason::PROTOCOL_ERROR),
                    };
                    return self.end(connection, why, reason).await;
                }
            }
        }
    }

    async fn next(&self, connection: &mut Connection, stopping: bool) -> Event {
        let mut shutdown = self.worker.shutdown.clone();
        let idle = async {
            while self.streams.open.load(Relaxed) > 0 {
                self.streams.none.notified().await;
            }
            let _idle = self.worker.presence.idle();
            sleep(self.hot.keepalive).await;
        };
        tokio::select! {
            biased;
            _ = shutdown.changed(), if !stopping => Event::Stopping,
            fault = self.alarm.raised() => Event::AtFault(fault),
            accepted = accept(connection) => Event::Accepted(accepted),
            () = idle => Event::Idle,
        }
    }

    /// A request: refused, or on its way on a task of its own.
    fn take(&mut self, mut exchange: Exchange, connection: &mut Connection) {
        let figures = &self.worker.node.figures;
        self.requests += 1;
        if self.requests == self.hot.requests {
            // No more than these; who asks for more comes again.
            connection.graceful_shutdown();
        }
        let request = exchange.head();
        let refused = match self.guest.request() {
            Err(wait) => Some((Refused::Rate, Some(wait))),
            Ok(()) if request.raw_path().len() > self.hot.uri_bytes => Some((Refused::Uri, None)),
            Ok(()) if request.headers.len() > self.hot.header_fields => Some((Refused::Head, None)),
            Ok(()) if request.headers.values().any(has_blank_edge) => Some((Refused::Malformed, None)),
            Ok(()) => None,
        };
        if let Some((why, wait)) = refused {
            figures.refused(why);
            figures.request(None, why.status());
            // The client may have gone; the connection tells.
            let _ = answer(&mut exchange, why.status(), wait);
            return;
        }
        self.streams.open.fetch_add(1, Relaxed);
        let (open, worker) = (Open(self.streams.clone()), self.worker.clone());
        let is_whole = exchange.is_body_empty();
        // Each request of a log is told of by the framework.
        let fresh = || hits::h2::fresh(&worker.node, exchange.head());
        if let Some(found) = (self.hot.access.is_none() && is_whole).then(fresh).flatten() {
            let patience = self.hot.write_timeout;
            tokio::spawn(async move {
                let _open = open;
                hits::h2::answer(&worker.node, exchange, found, patience).await;
            });
            return;
        }
        let upload = Arc::new(Upload::default());
        upload.done.store(is_whole, Relaxed);
        let session = Session::new(exchange, upload.clone(), worker.node.clone(), self.digest.clone());
        tokio::spawn(pass_on(worker, session, upload, open, self.hot.body_timeout));
    }

    /// Says goodbye and why.
    async fn end(&self, mut connection: Connection, why: H2Ended, reason: Reason) {
        self.worker.node.figures.h2_ended(why);
        connection.abrupt_shutdown(reason);
        let closing = poll_fn(|cx| connection.poll_closed(cx));
        let _ = timeout(FAREWELL, closing).await;
    }

    /// The connection broke; a client that only left is not counted.
    fn broken(&self, error: &h2::Error) {
        match error.reason() {
            Some(Reason::ENHANCE_YOUR_CALM) => self.worker.node.figures.h2_ended(H2Ended::Flood),
            Some(reason) if reason != Reason::NO_ERROR => self.worker.node.figures.h2_ended(H2Ended::Protocol),
            _ => {}
        }
    }
}

/// Whether a value begins or ends with a blank or a tab, which makes a request malformed (RFC 9113 §8.2.1).
fn has_blank_edge(value: &http::HeaderValue) -> bool {
    let blank = |byte: Option<&u8>| matches!(byte, Some(b' ' | b'\t'));
    blank(value.as_bytes().first()) || blank(value.as_bytes().last())
}

/// Gives a request to the framework, and sees that its upload goes on; `patience`: from one piece to the next.
async fn pass_on(worker: Arc<Worker>, session: Session, upload: Arc<Upload>, _open: Open, patience: Duration) {
    let (sender, figures) = (session.sender(), &worker.node.figures);
    let answering = worker.proxy.process_new_http(ServerSession::new_custom(Box::new(session)), &worker.shutdown);
    // Dropped, the stream is reset. The framework comes first: what it sees by itself it also tells of.
    tokio::select! {
        biased;
        _ = answering => {}
        () = stalls(&upload, patience) => figures.refused(Refused::BodyTime),
        () = is_left(&upload, &sender) => {
            figures.request(None, 0);
            figures.broken.add(1);
        }
    }
}

fn answer(exchange: &mut Exchange, status: u16, wait: Option<u64>) -> pingora::Result<()> {
    let mut response = ResponseHeader::build(status, Some(2))?;
    response.insert_header(http::header::CONTENT_LENGTH, 0)?;
    if let Some(wait) = wait {
        response.insert_header(http::header::RETRY_AFTER, wait)?;
    }
    exchange.write_head(response, true)
}

/// Ends when an upload has not moved for `patience`; never when it is whole.
async fn stalls(upload: &Upload, patience: Duration) {
    let mut before = 0;
    while !upload.done.load(Relaxed) {
        sleep(patience).await;
        let now = upload.bytes.load(Relaxed);
        if now == before && !upload.done.load(Relaxed) {
            return;
        }
        before = now;
    }
    std::future::pending().await
}

/// Ends when a client leaves while a piece of its upload waits for room at an origin of HTTP/2: there the framework only watches for it
/// in its own sessions. All else it sees by itself, and knows what is to be done (a fill may go on).
async fn is_left(upload: &Upload, sender: &Shared) {
    poll_fn(|cx| {
        let waits = upload.handed.load(Relaxed) && upload.by_h2.load(Relaxed);
        // Woken whenever the request itself is: both are polled by one task, the request before this.
        if waits { sender.lock().poll_reset(cx).map(drop) } else { Poll::Pending }
    })
    .await
}

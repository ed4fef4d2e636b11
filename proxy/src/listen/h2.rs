//! HTTP/2 with clients: the connection and its bounds. Frames are the h2 crate's, requests the framework's.
//!
//! Bounds, and who keeps them: streams at a time (`limits.h2_streams`), size of a header list (`limits.header_bytes`), CONTINUATION
//! frames and streams reset before they were accepted: h2 0.4.20. Frames that only cost ([`frames`]), rapid resets, malformed requests
//! ([`MALFORMED_MAX`]), requests of a client and of a connection, idle time, uploads that stall: here.
//!
//! Invariant: a connection that breaks a bound is told why (GOAWAY) and is closed within [`FAREWELL`].

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::time::Duration;

use bytes::Bytes;
use h2::Reason;
use pingora::apps::HttpServerApp;
use pingora::http::ResponseHeader;
use pingora::protocols::http::ServerSession;
use pingora::protocols::http::v2::server::{H2Accept, H2Options, HttpSession, handshake};
use pingora::protocols::{Digest, Stream};
use tokio::sync::Notify;
use tokio::time::{sleep, timeout};

use super::Worker;
use super::clients::Guest;
use crate::hits;
use crate::node::Hot;
use crate::observe::figures::{H2Ended, Refused};
use frames::{Alarm, Fault, Watched};

mod frames;

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
}

impl Upload {
    /// More came; `end`: all of it.
    pub(crate) fn note(&self, bytes: usize, end: bool) {
        self.bytes.fetch_add(bytes as u64, Relaxed);
        self.done.fetch_or(end, Relaxed);
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
    Accepted(pingora::Result<Option<H2Accept>>),
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
    let mut options = H2Options::default();
    options.max_header_list_size(u32::try_from(hot.header_bytes).unwrap_or(u32::MAX));
    options.max_concurrent_streams(hot.h2_streams);
    options.max_pending_accept_reset_streams(RESET_UNSEEN_MAX);
    options.max_local_error_reset_streams(Some(RESET_FAULTY_MAX));
    let shaking = handshake(Box::new(Watched::new(stream, alarm.clone())), Some(options));
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
                Event::Accepted(Ok(Some(H2Accept::Session(session)))) => self.take(session, &mut connection),
                Event::Accepted(Ok(Some(H2Accept::Rejected))) => {
                    self.malformed += 1;
                    self.worker.node.figures.refused(Refused::Malformed);
                    if self.malformed >= MALFORMED_MAX {
                        return self.end(connection, H2Ended::Malformed, Reason::PROTOCOL_ERROR).await;
                    }
                }
                Event::Accepted(Ok(None)) => return,
                Event::Accepted(Err(error)) => return self.broken(&error),
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
            accepted = HttpSession::from_h2_conn(connection, self.digest.clone()) => Event::Accepted(accepted),
            () = idle => Event::Idle,
        }
    }

    /// A request: refused, or on its way on a task of its own.
    fn take(&mut self, mut session: HttpSession, connection: &mut Connection) {
        let figures = &self.worker.node.figures;
        self.requests += 1;
        if self.requests == self.hot.requests {
            // No more than these; who asks for more comes again.
            connection.graceful_shutdown();
        }
        let request = session.req_header();
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
            let _ = answer(&mut session, why.status(), wait);
            return;
        }
        self.streams.open.fetch_add(1, Relaxed);
        let (open, worker, patience) = (Open(self.streams.clone()), self.worker.clone(), self.hot.body_timeout);
        // Each request of a log is told of by the framework.
        let fresh = || hits::h2::fresh(&worker.node, session.req_header());
        if let Some(found) = (self.hot.access.is_none() && session.is_body_empty()).then(fresh).flatten() {
            let patience = self.hot.write_timeout;
            tokio::spawn(async move {
                let _open = open;
                hits::h2::answer(&worker.node, session, found, patience).await;
            });
            return;
        }
        let upload = Arc::new(Upload::default());
        upload.done.store(session.is_body_empty(), Relaxed);
        if !session.is_body_empty() {
            let mut parts = session.req_header().as_owned_parts();
            parts.extensions.insert(upload.clone());
            *session.req_header_mut() = parts.into();
        }
        tokio::spawn(async move {
            let _open = open;
            let answering = worker.proxy.process_new_http(ServerSession::new_http2(session), &worker.shutdown);
            tokio::select! {
                _ = answering => {}
                // Dropped with it, the stream is reset.
                () = stalls(&upload, patience) => worker.node.figures.refused(Refused::BodyTime),
            }
        });
    }

    /// Says goodbye and why.
    async fn end(&self, mut connection: Connection, why: H2Ended, reason: Reason) {
        self.worker.node.figures.h2_ended(why);
        connection.abrupt_shutdown(reason);
        let closing = std::future::poll_fn(|cx| connection.poll_closed(cx));
        let _ = timeout(FAREWELL, closing).await;
    }

    /// The connection broke; a client that only left is not counted.
    fn broken(&self, error: &pingora::Error) {
        let cause = error.cause.as_ref().and_then(|cause| cause.downcast_ref::<h2::Error>());
        match cause.and_then(h2::Error::reason) {
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

fn answer(session: &mut HttpSession, status: u16, wait: Option<u64>) -> pingora::Result<()> {
    let mut response = ResponseHeader::build(status, Some(2))?;
    response.insert_header(http::header::CONTENT_LENGTH, 0)?;
    if let Some(wait) = wait {
        response.insert_header(http::header::RETRY_AFTER, wait)?;
    }
    session.write_response_header(Box::new(response), true)
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

//! The hot path: fresh hits on plain GETs, on a connection that is read and written directly.
//!
//! A request that is simple (GET or HEAD, HTTP/1.1, origin-form, one Host, no body, no condition, no range) and finds a
//! fresh object that does not vary is answered here with one write; what is no HTTP is refused. Everything else is handed
//! with its very bytes to the framework; the connection comes back afterwards.
//!
//! Invariants: what is answered here would be answered with the same fields and bytes by [`crate::request`]; no
//! allocation per body piece; nothing is held across an await but the connection and the object that is sent; a connection that
//! waits for a request has room for nothing else.

use std::future::poll_fn;
use std::mem::MaybeUninit;
use std::net::SocketAddr;
use std::os::fd::{AsFd, OwnedFd};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::{Buf, Bytes, BytesMut};
use littoral_cache::entry::millis;
use littoral_cache::{Entry, Outcome};
use littoral_plugin_host::filter::Change;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::{Instant, Sleep, sleep, timeout};

use crate::filters;
use crate::listen::Presence;
use crate::listen::chunks::{Broken, Chunks, Rest};
use crate::listen::clients::Guest;
use crate::listen::linger::linger;
use crate::node::{Hot, Node};
use crate::observe::access::Hit;
use crate::observe::figures::Refused;
use crate::site::Site;
use crate::video::told::Told;

pub(crate) use file::Wire;
use framing::{Follows, follows, has_bare_line_end, has_end};
use fresh::{Fresh, Place, find, simple};
pub(crate) use unsent::{Paged, Unsent};

mod buffers;
mod file;
mod framing;
mod fresh;
pub(crate) mod h2;
mod head;
mod seen;
mod unsent;

/// Fields of a request that are looked at here; one with more goes to the framework.
const FIELDS_MAX: usize = 64;
/// Bodies up to this size are copied behind the head and written with it.
const INLINE_BYTES: usize = 16 << 10;
/// Bytes a head that did not come at once has room to grow by.
const BUFFER_BYTES: usize = 4 << 10;

/// What is kept of a connection between requests.
pub(crate) struct Connection {
    node: Arc<Node>,
    presence: Arc<Presence>,
    hot: Arc<Hot>,
    client: Client,
    guest: Guest,
    /// Requests so far.
    requests: u32,
    /// The response is the last on this connection: the client says so, or the node stops.
    closes: bool,
    read: BytesMut,
    /// When to look whether it has waited for too long.
    patience: Pin<Box<Sleep>>,
    /// Its socket, where nothing else lies between and the stream does not tell.
    socket: Option<OwnedFd>,
}

/// Whose connection it is.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Client {
    /// The client's address, as the listener believes it.
    pub(crate) address: SocketAddr,
    /// The TLS version, empty without TLS.
    pub(crate) tls: &'static str,
    /// It came to the explicit proxy: nothing is looked up by a path alone, and CONNECT means something.
    pub(crate) forward: bool,
}

/// How serving hits ended.
pub(crate) enum Next {
    /// The connection is over.
    Close,
    /// These bytes, a request or what came of one, are the framework's, and what of it is still to come; `None`: whatever comes.
    HandOff(BytesMut, Option<Rest>),
    /// A CONNECT to the explicit proxy: its head, and what came behind it.
    Connect(BytesMut, BytesMut),
}

/// A look at the bytes read so far.
enum Look {
    /// Not a whole head yet.
    Partial,
    /// A fresh hit.
    Hit { head_bytes: usize, body_wanted: bool, last: bool, found: Fresh },
    /// A request that is not answered here: so many of the bytes are its own, and what is still to come, as in [`Next`].
    HandOff(usize, Option<Rest>),
    /// A CONNECT with a head of so many bytes.
    Connect(usize),
    /// Nobody's.
    Refused(Refused),
}

/// How far a connection came without waiting.
enum Step {
    /// A request was answered.
    Answered,
    /// It serves no hits any more.
    Over(Next),
    /// Somebody is to see the answer.
    Seen(Box<Answer>, Arc<Site>),
    /// It waits for a request.
    Empty,
    /// It waits for something else.
    Waits(Box<Wait>),
}

impl Step {
    fn waits(wait: Wait) -> Self {
        Self::Waits(Box::new(wait))
    }
}

/// What else a connection may wait for.
enum Wait {
    /// The rest of a head.
    Head,
    /// That the client takes an answer.
    Sending(Answer),
    /// That it takes a refusal; seconds after which it may come again.
    Refuse(Refused, Option<u64>),
}

/// A hit that is being sent.
struct Answer {
    /// Head of the response, and behind it a small body.
    head: Vec<u8>,
    /// Bytes the connection has taken.
    written: usize,
    /// Length of the request's head.
    head_bytes: usize,
    found: Fresh,
    /// Of the object's head, by filters or for its player.
    changes: Vec<Change>,
    /// What its player told.
    told: Option<Box<Told>>,
}

impl Connection {
    /// A connection of `guest` on which `read` has come already.
    pub(crate) fn new(node: Arc<Node>, presence: Arc<Presence>, client: Client, guest: Guest, read: BytesMut) -> Self {
        let hot = node.hot();
        let patience = Box::pin(sleep(hot.keepalive));
        Self { node, presence, hot, client, guest, requests: 0, closes: false, read, patience, socket: None }
    }

    /// Whose it is.
    pub(crate) fn client(&self) -> Client {
        self.client
    }

    /// Whether no request may come after the one that was handed on.
    pub(crate) fn is_at_last(&self) -> bool {
        self.hot.requests > 0 && self.requests >= self.hot.requests
    }

    /// The framework gets the stream, which will not tell its socket any more: it is kept apart if
    /// bodies may be sent by the system.
    pub(crate) fn keep_socket(&mut self, stream: &impl Wire) {
        let pages = self.node.store.pages();
        if self.node.store.disks().is_some() || pages.is_some_and(|pages| pages.taken() > 0) {
            self.socket = stream.socket().and_then(|socket| socket.try_clone_to_owned().ok());
        }
    }

    /// These bytes came behind a request that was handed on.
    pub(crate) fn unread(&mut self, bytes: &[u8]) {
        self.read.extend_from_slice(bytes);
    }

    /// Serves hits until something else is asked for. Whatever may have to wait for anything but a next request is boxed, so that a
    /// connection that waits for one takes little memory.
    pub(crate) async fn serve<S: Wire>(&mut self, stream: &mut S) -> Next {
        loop {
            let mut step = poll_fn(|context| Poll::Ready(self.step(context, stream))).await;
            if let Step::Seen(answer, site) = step {
                step = Box::pin(self.show(stream, answer, site)).await;
            }
            let wait = match step {
                Step::Answered => continue,
                Step::Over(next) => return next,
                Step::Waits(wait) => Some(wait),
                Step::Empty | Step::Seen(..) => None,
            };
            let next = match wait {
                Some(wait) => Box::pin(self.go_on(stream, wait)).await,
                None => self.await_request(stream).await,
            };
            if let Some(next) = next {
                return next;
            }
        }
    }

    /// Goes as far as it can without waiting, one request at most.
    fn step<S: Wire>(&mut self, context: &mut Context<'_>, stream: &mut S) -> Step {
        let look = self.look();
        if matches!(look, Look::Hit { .. } | Look::HandOff(..) | Look::Connect(_)) {
            self.requests = self.requests.saturating_add(1);
            if let Err(wait_s) = self.guest.request() {
                return Step::waits(Wait::Refuse(Refused::Rate, Some(wait_s)));
            }
        }
        match look {
            // Who asks for the last time is told so by the framework.
            Look::Hit { head_bytes, .. } if self.is_at_last() => {
                Step::Over(Next::HandOff(self.read.split_to(head_bytes), Some(Rest::Bytes(0))))
            }
            Look::Hit { head_bytes, body_wanted, last, mut found } => {
                // When the node stops, what came behind it is answered first.
                self.closes = last || (self.node.stopping.load(Relaxed) && self.read.len() == head_bytes);
                if !body_wanted {
                    found.body = Place::Nowhere;
                }
                let seen_by = found.seen_by.take();
                let (head, changes) = (buffers::take(), Vec::new());
                let answer = Answer { head, written: 0, head_bytes, found, changes, told: None };
                match seen_by {
                    Some(site) => Step::Seen(Box::new(answer), site),
                    None => self.answer(context, stream, answer),
                }
            }
            Look::HandOff(bytes, rest) => Step::Over(Next::HandOff(self.read.split_to(bytes), rest)),
            Look::Connect(head_bytes) => Step::Over(Next::Connect(self.read.split_to(head_bytes), self.read.split())),
            Look::Refused(why) => Step::waits(Wait::Refuse(why, None)),
            Look::Partial if self.read.is_empty() => Step::Empty,
            Look::Partial if self.read.len() < self.hot.header_bytes => Step::waits(Wait::Head),
            // A head without a single line end is all target.
            Look::Partial => {
                let why = if self.read.contains(&b'\n') { Refused::Head } else { Refused::Uri };
                Step::waits(Wait::Refuse(why, None))
            }
        }
    }

    /// Writes what the connection takes of an answer at once.
    fn answer<S: Wire>(&mut self, context: &mut Context<'_>, stream: &mut S, mut answer: Answer) -> Step {
        let Answer { found: Fresh { entry, body, begun, .. }, head, changes, .. } = &mut answer;
        let now_ms = millis(*begun);
        self.node.store.touch(entry, now_ms);
        match changes.is_empty() {
            true => head.extend_from_slice(entry.wire()),
            false => filters::hit::write(head, entry.wire(), changes),
        }
        head::end(head, entry, now_ms, &self.hot.tail, self.closes);
        // Counted before it is sent: whoever has read the response finds it in the figures.
        self.node.figures.request(Some(Outcome::Hit), entry.head().status.as_u16());
        self.node.figures.sent_bytes.add(body.length());
        let blocks = match body {
            Place::Memory(body) if body.length() as usize <= INLINE_BYTES => {
                body.blocks().iter().for_each(|block| head.extend_from_slice(block));
                &[]
            }
            Place::Disk(_) => return Step::waits(Wait::Sending(answer)),
            body => behind(body),
        };
        let mut unsent = Unsent::new(head, blocks, self.paged());
        match unsent.poll(context, stream) {
            Poll::Ready(sent) if sent.is_err() || !self.closes || self.client.tls.is_empty() => {
                match self.answered(answer, sent) {
                    Some(next) => Step::Over(next),
                    None => Step::Answered,
                }
            }
            // The rest waits for room, or is to say farewell.
            _ => {
                answer.written = unsent.written;
                Step::waits(Wait::Sending(answer))
            }
        }
    }

    /// Does what may take its time.
    async fn go_on<S: Wire>(&mut self, stream: &mut S, wait: Box<Wait>) -> Option<Next> {
        match *wait {
            Wait::Head => self.fill_head(stream).await.err(),
            Wait::Refuse(why, wait_s) => Some(self.refuse(stream, why, wait_s).await),
            Wait::Sending(answer) => {
                let patience = self.hot.write_timeout;
                let sent = match &answer.found.body {
                    Place::Disk(body) => {
                        let socket = self.socket.as_ref().map(AsFd::as_fd);
                        file::write(stream, socket, &answer.head, body, &self.node.store, patience).await
                    }
                    body => {
                        Unsent::from(&answer.head, behind(body), self.paged(), answer.written)
                            .send(stream, patience)
                            .await
                    }
                };
                let next = self.answered(answer, sent);
                // To close a plain connection says the same as to shut it down before.
                if next.is_some() && !self.client.tls.is_empty() {
                    let _ = stream.shutdown().await;
                }
                next
            }
        }
    }

    /// How a body that lies in pages goes to this client.
    fn paged(&self) -> Paged<'_> {
        Paged { pages: self.node.store.pages().map(Arc::as_ref), socket: self.socket.as_ref().map(AsFd::as_fd) }
    }

    /// What is to be done when an answer was sent, or could not be.
    fn answered(&mut self, answer: Answer, sent: std::io::Result<()>) -> Option<Next> {
        let Answer { head, head_bytes, found: Fresh { entry, body, begun, .. }, told, .. } = answer;
        buffers::give(head);
        if sent.is_err() {
            self.node.figures.broken.add(1);
        }
        let took = begun.elapsed().unwrap_or(Duration::ZERO);
        self.node.figures.took(Some(Outcome::Hit), took);
        if self.hot.access.is_some() || self.hot.tracer.is_some() {
            self.log(head_bytes, &entry, body.length(), sent.is_ok(), (took, told.as_deref()));
        }
        self.read.advance(head_bytes);
        (sent.is_err() || self.closes).then_some(Next::Close)
    }

    /// Waits for the first bytes of a request, for the keep-alive time at most.
    async fn await_request<S: Wire>(&mut self, stream: &mut S) -> Option<Next> {
        let _idle = self.presence.idle();
        let (read, patience, keepalive) = (&mut self.read, &mut self.patience, self.hot.keepalive);
        let mut end = None;
        poll_fn(|context| {
            if let Poll::Ready(come) = buffers::poll_first(context, stream, read) {
                return Poll::Ready(if matches!(come, Ok(1..)) { None } else { Some(Next::Close) });
            }
            // Requests do not move the alarm, which would cost a system call: it goes off too early, and is set to the true time then.
            let end = *end.get_or_insert_with(|| Instant::now() + keepalive);
            while patience.as_mut().poll(context).is_ready() {
                if Instant::now() >= end {
                    return Poll::Ready(Some(Next::Close));
                }
                patience.as_mut().reset(end);
            }
            Poll::Pending
        })
        .await
    }

    /// Reads on until the head that has begun is whole or full, all within the header time.
    async fn fill_head<S: Wire>(&mut self, stream: &mut S) -> Result<(), Next> {
        let (read, bound) = (&mut self.read, self.hot.header_bytes);
        let whole = async {
            loop {
                let from = read.len().saturating_sub(3);
                read.reserve(BUFFER_BYTES);
                match stream.read_buf(read).await {
                    Ok(1..) if has_end(&read[from..]) || read.len() >= bound => return true,
                    Ok(1..) => {}
                    _ => return false,
                }
            }
        };
        match timeout(self.hot.header_timeout, whole).await {
            Ok(true) => Ok(()),
            Ok(false) => Err(Next::Close),
            Err(_) => {
                self.node.figures.header_timeout();
                Err(self.refuse(stream, Refused::HeadTime, None).await)
            }
        }
    }

    /// Parses what was read and looks the object up. No await, no lock but the table's own.
    fn look(&mut self) -> Look {
        if self.read.is_empty() {
            return Look::Partial;
        }
        let mut fields = [const { MaybeUninit::<httparse::Header<'_>>::uninit() }; FIELDS_MAX];
        let mut request = httparse::Request::new(&mut []);
        let parser = httparse::ParserConfig::default();
        let head_bytes = match parser.parse_request_with_uninit_headers(&mut request, &self.read, &mut fields) {
            Ok(httparse::Status::Complete(head_bytes)) => head_bytes,
            Ok(httparse::Status::Partial) => return Look::Partial,
            Err(httparse::Error::TooManyHeaders) => return self.look_at_many(),
            // The framework reads HTTP more leniently than is safe.
            Err(_) => return Look::Refused(Refused::Malformed),
        };
        if let Some(why) = self.objection(&request, head_bytes) {
            return Look::Refused(why);
        }
        let follows = follows(request.headers);
        if self.client.forward && request.method == Some("CONNECT") && follows == Follows::Nothing {
            return Look::Connect(head_bytes);
        }
        let bodiless = matches!(request.method, Some("GET" | "HEAD")) && follows == Follows::Nothing;
        let hit = || simple(&request).and_then(|asked| Some((asked.last, find(&self.node, &asked)?)));
        match (bodiless && !self.client.forward).then(hit).flatten() {
            Some((last, found)) => Look::Hit { head_bytes, body_wanted: request.method == Some("GET"), last, found },
            None => self.hand_off(head_bytes, follows),
        }
    }

    /// The same for a request with more fields than a hit has.
    #[cold]
    fn look_at_many(&self) -> Look {
        let mut fields = vec![httparse::EMPTY_HEADER; self.hot.header_fields.max(FIELDS_MAX)];
        let mut request = httparse::Request::new(&mut fields);
        match request.parse(&self.read) {
            Ok(httparse::Status::Complete(head_bytes)) => match self.objection(&request, head_bytes) {
                Some(why) => Look::Refused(why),
                None => self.hand_off(head_bytes, follows(request.headers)),
            },
            Ok(httparse::Status::Partial) => Look::Partial,
            Err(httparse::Error::TooManyHeaders) => Look::Refused(Refused::Head),
            Err(_) => Look::Refused(Refused::Malformed),
        }
    }

    /// What is wrong with a head that can be read.
    fn objection(&self, request: &httparse::Request<'_, '_>, head_bytes: usize) -> Option<Refused> {
        if request.path.is_some_and(|path| path.len() > self.hot.uri_bytes) {
            return Some(Refused::Uri);
        }
        if request.headers.len() > self.hot.header_fields || head_bytes > self.hot.header_bytes {
            return Some(Refused::Head);
        }
        has_bare_line_end(&self.read[..head_bytes]).then_some(Refused::Malformed)
    }

    fn hand_off(&self, head_bytes: usize, follows: Follows) -> Look {
        let mut rest = match follows {
            Follows::Nothing => Rest::Bytes(0),
            Follows::Bytes(length) => Rest::Bytes(length),
            Follows::Chunks => Rest::Chunks(Chunks::default()),
            Follows::Unknown => return Look::HandOff(self.read.len(), None),
            Follows::Nonsense => return Look::Refused(Refused::Malformed),
        };
        match rest.follow(&self.read[head_bytes..]) {
            Ok(end) => Look::HandOff(end.map_or(self.read.len(), |end| head_bytes + end), Some(rest)),
            Err(Broken) => Look::Refused(Refused::Malformed),
        }
    }

    /// Tells the access log and the collector of traces.
    #[cold]
    fn log(&self, head_bytes: usize, entry: &Entry, bytes: u64, whole: bool, (took, told): (Duration, Option<&Told>)) {
        if let Some(log) = &self.hot.access {
            let Client { address: client, tls, .. } = self.client;
            log.hit(&Hit { head: &self.read[..head_bytes], client, tls, entry, bytes, whole, took, told });
        }
        if let Some(tracer) = &self.hot.tracer {
            tracer.hit(&self.read[..head_bytes], !self.client.tls.is_empty(), entry, took);
        }
    }

    /// Says why nothing more is read on this connection.
    #[cold]
    async fn refuse<S: Wire>(&self, stream: &mut S, why: Refused, wait_s: Option<u64>) -> Next {
        let status = http::StatusCode::from_u16(why.status()).unwrap_or_default();
        self.node.figures.refused(why);
        self.node.figures.request(None, why.status());
        if let Some(log) = &self.hot.access {
            log.refused(&self.read, self.client.address, self.client.tls, why.status());
        }
        let wait = wait_s.map_or_else(String::new, |wait| format!("retry-after: {wait}\r\n"));
        let response = format!("HTTP/1.1 {status}\r\n{wait}connection: close\r\ncontent-length: 0\r\n\r\n");
        // The client may be gone; the connection is over either way.
        let _ = timeout(self.hot.write_timeout, stream.write_all(response.as_bytes())).await;
        Box::pin(linger(stream)).await;
        Next::Close
    }
}

/// What of a body is written from where it is, behind the head.
fn behind(body: &Place) -> &[Bytes] {
    match body {
        Place::Memory(body) if body.length() as usize > INLINE_BYTES => body.blocks(),
        _ => &[],
    }
}

//! A request over HTTP/2 as the framework's request path sees it: a session of our own in the place of the framework's.
//!
//! That one keeps its stream to itself, so that no interim response can be sent on it, and what it says of itself for a request in the
//! background is no HTTP/1.1. In all else this one does the same: it reads bodies as there is room for them, keeps the beginning of a
//! body for another attempt, watches for a client that leaves, and resets what is not whole.
//!
//! Invariant: a session that is not the framework's is spared its checks of authorities; [`crate::request`] makes them, for every
//! request it sends on. Interim responses come by [`Session::write_response_header`] alone, as they are read: among the tasks that
//! the framework hands over they are passed over, since it loses those that come together with a head that is stored.

use std::future::poll_fn;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::Stream;
use h2::RecvStream;
use http::header::{COOKIE, EXPECT};
use http::{HeaderMap, StatusCode, Version};
use parking_lot::Mutex;
use pingora::http::{RequestHeader, ResponseHeader};
use pingora::protocols::Digest;
use pingora::protocols::http::HttpTask;
use pingora::protocols::http::body_buffer::FixedBuffer;
use pingora::protocols::http::custom::CustomMessageWrite;
use pingora::protocols::http::custom::server::Session as Custom;
use pingora::protocols::http::v1::client::http_req_header_to_wire;
use pingora::protocols::l4::socket::SocketAddr;
use pingora::{Error, ErrorType, OrErr, Result};

use super::Upload;
use super::exchange::{Exchange, Sender, TooMany, is_empty, within};
use crate::node::Node;
use crate::request::target::join_cookies;

/// Bytes of a body that are kept for another attempt; of a longer one there is none.
const KEPT_BYTES: usize = 64 << 10;

/// The way to the client, which its watch shares with the session.
pub(super) type Shared = Arc<Mutex<Sender>>;

/// See the module.
pub(super) struct Session {
    head: RequestHeader,
    reader: RecvStream,
    sender: Shared,
    upload: Arc<Upload>,
    node: Arc<Node>,
    digest: Arc<Digest>,
    written: Option<Box<ResponseHeader>>,
    read: usize,
    kept: Option<FixedBuffer>,
    /// For each piece of a body that is written.
    write_patience: Option<Duration>,
    drain_patience: Option<Duration>,
}

impl Session {
    /// A session for a request. How its body comes is told to `upload`.
    pub(super) fn new(exchange: Exchange, upload: Arc<Upload>, node: Arc<Node>, digest: Arc<Digest>) -> Self {
        let Exchange { mut head, reader, sender } = exchange;
        if !is_empty(&head, &reader) {
            let mut parts = http::request::Parts::from(head);
            parts.extensions.insert(upload.clone());
            head = parts.into();
        }
        Self {
            head,
            reader,
            sender: Arc::new(Mutex::new(sender)),
            upload,
            node,
            digest,
            written: None,
            read: 0,
            kept: None,
            write_patience: None,
            drain_patience: None,
        }
    }

    pub(super) fn sender(&self) -> Shared {
        self.sender.clone()
    }

    /// Passes an interim response on, as HTTP/2 allows it: 101 never (RFC 9113 §8.6), 100 to who waits for it.
    async fn hint(&mut self, interim: &ResponseHeader) {
        let awaited = match interim.status {
            StatusCode::SWITCHING_PROTOCOLS => false,
            StatusCode::CONTINUE => self.head.headers.contains_key(EXPECT),
            _ => true,
        };
        if awaited && let Err(TooMany) = poll_fn(|cx| self.sender.lock().hint(cx, interim).into()).await {
            self.node.figures.interim_dropped.add(1);
        }
    }

    /// The next piece of the body; never an empty one, which an origin of HTTP/1.1 would get as the end of all chunks, before the end.
    async fn read(&mut self) -> Result<Option<Bytes>> {
        self.upload.set_handed(false);
        let piece = loop {
            let piece = self.reader.data().await.transpose();
            let piece = piece.or_err(ErrorType::ReadError, "reading a body over HTTP/2");
            let piece = piece.map_err(|error| error.into_down())?;
            if piece.as_ref().is_none_or(|piece| !piece.is_empty()) {
                break piece;
            }
        };
        if let Some(piece) = &piece {
            self.read += piece.len();
            if let Some(kept) = &mut self.kept {
                kept.write_to_buffer(piece);
            }
            // The stream may be closed; then there is nothing to release.
            let _ = self.reader.flow_control().release_capacity(piece.len());
            self.upload.set_handed(true);
        }
        Ok(piece)
    }

    fn write_head(&mut self, head: Box<ResponseHeader>, end: bool) -> Result<()> {
        if self.written.is_none() {
            self.sender.lock().head(head.as_owned_parts(), end)?;
            self.written = Some(head);
        }
        Ok(())
    }
}

#[async_trait]
impl Custom for Session {
    fn req_header(&self) -> &RequestHeader {
        &self.head
    }

    fn req_header_mut(&mut self) -> &mut RequestHeader {
        &mut self.head
    }

    /// There is no time-out: whether an upload goes on is watched from outside ([`super::stalls`]).
    async fn read_body_bytes(&mut self) -> Result<Option<Bytes>> {
        self.read().await
    }

    async fn drain_request_body(&mut self) -> Result<()> {
        if self.is_body_done() {
            return Ok(());
        }
        let patience = self.drain_patience;
        let draining = async {
            while self.read().await?.is_some() {}
            Ok(())
        };
        within(patience, draining, ErrorType::ReadTimedout).await
    }

    async fn write_response_header(&mut self, head: Box<ResponseHeader>, end: bool) -> Result<()> {
        if head.status.is_informational() {
            self.hint(&head).await;
            return Ok(());
        }
        self.write_head(head, end)
    }

    async fn write_response_header_ref(&mut self, head: &ResponseHeader, end: bool) -> Result<()> {
        if head.status.is_informational() {
            self.hint(head).await;
            return Ok(());
        }
        self.write_head(Box::new(head.clone()), end)
    }

    async fn write_body(&mut self, mut piece: Bytes, end: bool) -> Result<()> {
        let writing = poll_fn(|cx| self.sender.lock().poll_body(cx, &mut piece, end));
        within(self.write_patience, writing, ErrorType::WriteTimedout).await
    }

    async fn write_trailers(&mut self, trailers: HeaderMap) -> Result<()> {
        self.sender.lock().trailers(trailers)
    }

    async fn response_duplex_vec(&mut self, tasks: Vec<HttpTask>) -> Result<bool> {
        let mut ended = false;
        for task in tasks {
            ended |= match task {
                // Sent when it was read.
                HttpTask::Header(head, end) if head.status.is_informational() => end,
                HttpTask::Header(head, end) => {
                    self.write_head(head, end)?;
                    end
                }
                HttpTask::Body(piece, end) => {
                    if let Some(piece) = piece.filter(|piece| !piece.is_empty()) {
                        self.write_body(piece, end).await?;
                    }
                    end
                }
                HttpTask::UpgradedBody(..) => {
                    return Err(Error::explain(ErrorType::InternalError, "an upgrade over HTTP/2"));
                }
                HttpTask::Trailer(Some(trailers)) => {
                    self.sender.lock().trailers(*trailers)?;
                    true
                }
                HttpTask::Trailer(None) | HttpTask::Done => true,
                HttpTask::Failed(error) => return Err(error),
            };
        }
        if ended {
            self.sender.lock().finish()?;
        }
        Ok(ended)
    }

    /// None, see [`Self::read_body_bytes`].
    fn set_read_timeout(&mut self, _patience: Option<Duration>) {}

    fn get_read_timeout(&self) -> Option<Duration> {
        None
    }

    fn set_write_timeout(&mut self, patience: Option<Duration>) {
        self.write_patience = patience;
    }

    fn get_write_timeout(&self) -> Option<Duration> {
        self.write_patience
    }

    fn set_total_drain_timeout(&mut self, patience: Option<Duration>) {
        self.drain_patience = patience;
    }

    fn get_total_drain_timeout(&self) -> Option<Duration> {
        self.drain_patience
    }

    fn request_summary(&self) -> String {
        format!("{} {}", self.head.method, self.head.uri)
    }

    fn response_written(&self) -> Option<&ResponseHeader> {
        self.written.as_deref()
    }

    async fn shutdown(&mut self, _code: u32, _why: &str) {
        self.sender.lock().reset();
    }

    fn is_body_done(&mut self) -> bool {
        self.is_body_empty() || self.reader.is_end_stream()
    }

    async fn finish(&mut self) -> Result<()> {
        self.sender.lock().finish()
    }

    fn is_body_empty(&mut self) -> bool {
        self.read == 0 && is_empty(&self.head, &self.reader)
    }

    async fn read_body_or_idle(&mut self, no_body_expected: bool) -> Result<Option<Bytes>> {
        if !no_body_expected && !self.is_body_done() {
            return self.read().await;
        }
        self.upload.set_handed(false);
        let reset = poll_fn(|cx| self.sender.lock().poll_reset(cx)).await;
        let reason =
            reset.or_err(ErrorType::H2Error, "the connection of a client broke").map_err(|error| error.into_down())?;
        Err(Error::explain(ErrorType::H2Error, format!("the client gave its stream up: {reason}")).into_down())
    }

    fn body_bytes_sent(&self) -> usize {
        self.sender.lock().sent()
    }

    fn body_bytes_read(&self) -> usize {
        self.read
    }

    fn digest(&self) -> Option<&Digest> {
        Some(&self.digest)
    }

    /// What is changed in it is this request's: its connection has others.
    fn digest_mut(&mut self) -> Option<&mut Digest> {
        Some(Arc::make_mut(&mut self.digest))
    }

    fn client_addr(&self) -> Option<&SocketAddr> {
        self.digest.socket_digest.as_ref()?.peer_addr()
    }

    fn server_addr(&self) -> Option<&SocketAddr> {
        self.digest.socket_digest.as_ref()?.local_addr()
    }

    /// The head as a client of HTTP/1.1 would send it, for a request in the background. The request path has said its host in a field.
    fn pseudo_raw_h1_request_header(&self) -> Bytes {
        let mut head = self.head.clone();
        if let Some(cookies) = join_cookies(head.version, &head.headers) {
            head.insert_header(COOKIE, cookies).expect("invariant: values of fields, put together");
        }
        head.set_version(Version::HTTP_11);
        http_req_header_to_wire(&head).map_or_else(Bytes::new, bytes::BytesMut::freeze)
    }

    fn enable_retry_buffering(&mut self) {
        self.kept.get_or_insert_with(|| FixedBuffer::new(KEPT_BYTES));
    }

    fn retry_buffer_truncated(&self) -> bool {
        self.kept.as_ref().is_some_and(FixedBuffer::is_truncated)
    }

    fn get_retry_buffer(&self) -> Option<Bytes> {
        let kept = self.kept.as_ref().filter(|kept| !kept.is_truncated())?.get_buffer();
        self.upload.set_handed(kept.is_some());
        kept
    }

    async fn finish_custom(&mut self) -> Result<()> {
        Ok(())
    }

    /// There are no messages beside a response.
    fn take_custom_message_reader(&mut self) -> Option<Box<dyn Stream<Item = Result<Bytes>> + Unpin + Send + Sync>> {
        None
    }

    fn restore_custom_message_reader(
        &mut self,
        _reader: Box<dyn Stream<Item = Result<Bytes>> + Unpin + Send + Sync>,
    ) -> Result<()> {
        Ok(())
    }

    fn take_custom_message_writer(&mut self) -> Option<Box<dyn CustomMessageWrite>> {
        None
    }

    fn restore_custom_message_writer(&mut self, _writer: Box<dyn CustomMessageWrite>) -> Result<()> {
        Ok(())
    }
}

//! One request of an HTTP/2 connection and what is sent in answer to it: the stream itself, before anybody knows what is asked.
//!
//! What is taken is decided here too ([`accept`]): a request that two readers could take for two is none. Frames, windows and the
//! states of streams (RFC 9113 §5) are the h2 crate's; who answers is [`super`]'s.
//!
//! Invariant: nothing goes out behind END_STREAM, and no interim response behind the head of the final one. A stream that is dropped
//! before its end is reset, so that its client knows it is not whole.

use std::future::poll_fn;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use h2::server::SendResponse;
use h2::{Reason, RecvStream, SendStream};
use http::header::{CONNECTION, CONTENT_LENGTH, DATE, HOST, HeaderName, TRANSFER_ENCODING, UPGRADE};
use http::{HeaderMap, Method, Response, StatusCode};
use pingora::http::{RequestHeader, ResponseHeader};
use pingora::protocols::http::authority::{RawTargetAuthority, raw_target_authority, validate_request_authority};
use pingora::protocols::http::date::get_cached_date;
use pingora::{Error, ErrorType, OrErr, Result};

/// Interim responses of one request that are passed on.
const INTERIM_MAX: usize = 16;
/// Bytes of their fields, names and values. They wait in memory when the client does not read.
const INTERIM_BYTES_MAX: usize = 32 << 10;

/// Fields that are about one connection of HTTP/1.1 (RFC 9113 §8.2.2).
const OF_CONNECTIONS: [HeaderName; 5] = [
    TRANSFER_ENCODING,
    CONNECTION,
    UPGRADE,
    HeaderName::from_static("keep-alive"),
    HeaderName::from_static("proxy-connection"),
];

/// A stream that was opened.
#[allow(clippy::large_enum_variant, reason = "one at a time, never kept")]
pub(super) enum Accepted {
    Request(Exchange),
    /// Answered or reset already.
    Malformed,
}

/// The next stream of a connection; `None`: there is none any more. Drives the connection, and may be dropped at any time.
pub(super) async fn accept(connection: &mut super::Connection) -> Option<Result<Accepted, h2::Error>> {
    let (request, mut opening) = match connection.accept().await? {
        Ok(accepted) => accepted,
        Err(error) => return Some(Err(error)),
    };
    let (head, reader) = request.into_parts();
    let head = RequestHeader::from(head);
    if is_torn(head.raw_path()) || head.headers.contains_key(TRANSFER_ENCODING) || !has_one_length(&head.headers) {
        opening.send_reset(Reason::PROTOCOL_ERROR);
        return Some(Ok(Accepted::Malformed));
    }
    if !has_one_authority(&head) {
        let mut response = Response::new(());
        *response.status_mut() = StatusCode::BAD_REQUEST;
        // The client may have gone; the connection tells.
        let _ = opening.send_response(response, true);
        return Some(Ok(Accepted::Malformed));
    }
    let sender = Sender { opening, body: None, ended: false, sent: 0, hints: 0, hint_bytes: 0 };
    Some(Ok(Accepted::Request(Exchange { head, reader, sender })))
}

/// Whether a target has a byte that ends it, or its line, in HTTP/1.1.
fn is_torn(target: &[u8]) -> bool {
    target.iter().any(|byte| matches!(byte, 0 | b'\n' | b'\r' | b' '))
}

/// Whether all that is said of the length of a body is the same number (RFC 9110 §8.6).
fn has_one_length(headers: &HeaderMap) -> bool {
    let mut lengths = headers
        .get_all(CONTENT_LENGTH)
        .iter()
        .flat_map(|field| field.as_bytes().split(|byte| *byte == b','))
        .map(|value| Some(value.trim_ascii()).filter(|digits| digits.iter().all(u8::is_ascii_digit)))
        .map(|digits| std::str::from_utf8(digits?).ok()?.parse::<u64>().ok());
    let Some(first) = lengths.next() else { return true };
    first.is_some() && lengths.all(|length| length == first)
}

/// Whether a request says for which host it is, and only once (RFC 9113 §8.3.1).
fn has_one_authority(head: &RequestHeader) -> bool {
    if head.uri.authority().is_none() && !head.headers.contains_key(HOST) {
        return false;
    }
    // The target of CONNECT is an authority and nothing else (§8.5).
    let is_connect = head.method == Method::CONNECT && head.extensions.get::<h2::ext::Protocol>().is_none();
    let in_path = || raw_target_authority(head.raw_path()) != RawTargetAuthority::None;
    validate_request_authority(head).is_ok() && (is_connect || !in_path())
}

/// A request, and the way for its answer.
pub(crate) struct Exchange {
    pub(super) head: RequestHeader,
    pub(super) reader: RecvStream,
    pub(super) sender: Sender,
}

impl Exchange {
    /// What is asked for.
    pub(crate) fn head(&self) -> &RequestHeader {
        &self.head
    }

    /// Whether no body comes with it, now that none of it was read.
    pub(crate) fn is_body_empty(&self) -> bool {
        is_empty(&self.head, &self.reader)
    }

    /// Sends the head of the final response; `end`: all of it.
    ///
    /// # Errors
    /// When the stream has ended, or a field can not be sent.
    pub(crate) fn write_head(&mut self, response: ResponseHeader, end: bool) -> Result<()> {
        self.sender.head(response.into(), end)
    }

    /// Sends a piece of the body, once the client has room for it; `end`: the last one.
    ///
    /// # Errors
    /// When the stream has ended, or the client has had no room for all of it for `patience`.
    pub(crate) async fn write_body(&mut self, mut piece: Bytes, end: bool, patience: Duration) -> Result<()> {
        let writing = poll_fn(|cx| self.sender.poll_body(cx, &mut piece, end));
        within(Some(patience), writing, ErrorType::WriteTimedout).await
    }
}

/// Whether no body comes with a request of which none was read.
pub(super) fn is_empty(head: &RequestHeader, reader: &RecvStream) -> bool {
    reader.is_end_stream() || head.headers.get(CONTENT_LENGTH).is_some_and(|length| length.as_bytes() == b"0")
}

/// What `doing` brings, unless it takes longer than `patience`.
pub(super) async fn within<T>(
    patience: Option<Duration>,
    doing: impl Future<Output = Result<T>>,
    late: ErrorType,
) -> Result<T> {
    match patience {
        None => doing.await,
        Some(patience) => match pingora::time::timeout(patience, doing).await {
            Ok(done) => done,
            Err(_) => Err(Error::explain(late, "a client of HTTP/2 took too long").into_down()),
        },
    }
}

/// The way to the client.
pub(super) struct Sender {
    opening: SendResponse<Bytes>,
    /// There once the head of the final response went out.
    body: Option<SendStream<Bytes>>,
    /// So did END_STREAM.
    ended: bool,
    /// Bytes of the body that were handed on.
    sent: usize,
    hints: usize,
    hint_bytes: usize,
}

/// There were more interim responses than are passed on.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct TooMany;

impl Sender {
    pub(super) fn sent(&self) -> usize {
        self.sent
    }

    /// Sends an interim response (RFC 9110 §15.2): a hint, which is lost where it can not be sent.
    ///
    /// # Errors
    /// When there were too many of them before; this one is dropped.
    pub(super) fn hint(&mut self, cx: &mut Context<'_>, interim: &ResponseHeader) -> Result<(), TooMany> {
        let bytes = interim.headers.iter().map(|(name, value)| name.as_str().len() + value.len()).sum::<usize>();
        if self.hints == INTERIM_MAX || self.hint_bytes + bytes > INTERIM_BYTES_MAX {
            return Err(TooMany);
        }
        // The h2 crate would also send it behind the final head and on a stream that the client has reset.
        if self.body.is_some() || self.ended || self.opening.poll_reset(cx).is_ready() {
            return Ok(());
        }
        let mut parts = interim.as_owned_parts();
        without_connections(&mut parts.headers);
        if self.opening.send_informational(Response::from_parts(parts, ())).is_ok() {
            (self.hints, self.hint_bytes) = (self.hints + 1, self.hint_bytes + bytes);
        }
        Ok(())
    }

    /// Sends the head of the final response; nothing where one went out before.
    pub(super) fn head(&mut self, mut parts: http::response::Parts, end: bool) -> Result<()> {
        if self.ended || self.body.is_some() {
            return Ok(());
        }
        // Of what has none only: it says when the origin made the response (RFC 9110 §6.6.1).
        parts.headers.entry(DATE).or_insert_with(get_cached_date);
        without_connections(&mut parts.headers);
        let sending = self.opening.send_response(Response::from_parts(parts, ()), end);
        self.body =
            Some(sending.or_err(ErrorType::WriteError, "sending a head over HTTP/2").map_err(|e| e.into_down())?);
        self.ended = end;
        Ok(())
    }

    /// Sends what is left of a piece of the body as far as there is room for it, and takes that off it.
    pub(super) fn poll_body(&mut self, cx: &mut Context<'_>, piece: &mut Bytes, end: bool) -> Poll<Result<()>> {
        if self.ended {
            return Poll::Ready(Ok(()));
        }
        let failed = |why| Err(Error::explain(ErrorType::H2Error, why).into_down());
        let Some(body) = &mut self.body else {
            return Poll::Ready(failed("a body without a head"));
        };
        while !piece.is_empty() {
            body.reserve_capacity(piece.len());
            let room = match ready!(body.poll_capacity(cx)) {
                None => return Poll::Ready(failed("the stream has ended before its body")),
                Some(room) => room.or_err(ErrorType::H2Error, "waiting for room").map_err(|e| e.into_down())?,
            };
            let part = piece.split_to(room.min(piece.len()));
            let (bytes, last) = (part.len(), end && piece.is_empty());
            body.send_data(part, last)
                .or_err(ErrorType::WriteError, "sending a body over HTTP/2")
                .map_err(|e| e.into_down())?;
            (self.sent, self.ended) = (self.sent + bytes, last);
        }
        Poll::Ready(if end { self.finish() } else { Ok(()) })
    }

    /// Sends trailers, which end the stream.
    pub(super) fn trailers(&mut self, trailers: HeaderMap) -> Result<()> {
        if self.ended {
            return Ok(());
        }
        let no_head = || Error::explain(ErrorType::H2Error, "trailers without a head").into_down();
        let sending = self.body.as_mut().ok_or_else(no_head)?.send_trailers(trailers);
        sending.or_err(ErrorType::WriteError, "sending trailers over HTTP/2").map_err(|e| e.into_down())?;
        self.ended = true;
        Ok(())
    }

    /// Ends the stream where its head went out; without one, it is reset when it is dropped.
    pub(super) fn finish(&mut self) -> Result<()> {
        if let Some(body) = self.body.as_mut().filter(|_| !self.ended) {
            let ending = body.send_data(Bytes::new(), true);
            ending.or_err(ErrorType::WriteError, "ending a response over HTTP/2").map_err(|e| e.into_down())?;
            self.ended = true;
        }
        Ok(())
    }

    /// Gives a stream up that has not ended.
    pub(super) fn reset(&mut self) {
        if !self.ended {
            self.opening.send_reset(Reason::INTERNAL_ERROR);
        }
    }

    /// Ready when the client has given the stream up, or with it the connection.
    pub(super) fn poll_reset(&mut self, cx: &mut Context<'_>) -> Poll<Result<Reason, h2::Error>> {
        match &mut self.body {
            Some(body) => body.poll_reset(cx),
            None => self.opening.poll_reset(cx),
        }
    }
}

fn without_connections(headers: &mut HeaderMap) {
    for name in &OF_CONNECTIONS {
        headers.remove(name);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn head(uri: &str, fields: &[(&'static str, &str)]) -> RequestHeader {
        let mut request = http::Request::builder().uri(uri).version(http::Version::HTTP_2).body(()).unwrap();
        for (name, value) in fields {
            request.headers_mut().append(*name, value.parse().unwrap());
        }
        request.into_parts().0.into()
    }

    #[test]
    fn lengths_that_do_not_agree_are_none() {
        for (fields, fine) in [
            (&[][..], true),
            (&["0"], true),
            (&["42", "42"], true),
            (&["42, 42"], true),
            (&["42", "43"], false),
            (&["42,43"], false),
            (&["42,"], false),
            (&[""], false),
            (&["+42"], false),
            (&["-1"], false),
            (&["0x1"], false),
            (&["4 2"], false),
            (&["99999999999999999999"], false),
        ] {
            let fields: Vec<_> = fields.iter().map(|value| ("content-length", *value)).collect();
            assert_eq!(has_one_length(&head("http://x.example/", &fields).headers), fine, "{fields:?}");
        }
    }

    #[test]
    fn a_request_is_for_one_host() {
        for (uri, fields, fine) in [
            ("http://x.example/a", &[][..], true),
            ("http://x.example/a", &[("host", "x.example")], true),
            ("/a", &[("host", "x.example")], true),
            ("/a", &[], false),
            ("http://x.example/a", &[("host", "y.example")], false),
            ("http://x.example/a", &[("host", "X.example")], false),
            ("http://x.example/a", &[("host", "x.example"), ("host", "x.example")], false),
            ("http://u@x.example/a", &[], false),
            ("/a", &[("host", "u@x.example")], false),
        ] {
            assert_eq!(has_one_authority(&head(uri, fields)), fine, "{uri} {fields:?}");
        }
    }

    #[test]
    fn a_target_with_the_end_of_a_line_is_torn() {
        assert!(!is_torn(b"/a?b=%20"));
        for target in [b"/a b".as_slice(), b"/a\r", b"/a\n", b"/\0"] {
            assert!(is_torn(target));
        }
    }
}

//! DNS over HTTPS (RFC 8484) inside of what somebody else encrypts: messages by GET and POST at one path, over HTTP/2 and HTTP/1.1.
//!
//! What is answered depends on who asks, so that only a cache of the client's own may keep it. Invariant: a connection costs no more
//! requests, bytes and time than [`crate::limits`] names.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use http_body_util::{BodyExt, Full};
use hyper::body::{Bytes, Incoming};
use hyper::header::{ALLOW, CACHE_CONTROL, CONTENT_TYPE, HeaderValue};
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::Notify;
use tokio::time::timeout;

use super::Handler;
use crate::counters::count;
use crate::limits::{HTTPS_HEAD_BYTES_MAX, HTTPS_MESSAGE_BYTES_MAX, HTTPS_STREAMS_MAX, TCP_IDLE_SECONDS};
use crate::wire::{HEADER_BYTES, TYPE_AND_CLASS_BYTES, behind_name, number};

/// Where messages are taken.
const PATH: &str = "/dns-query";
const MESSAGE: &str = "application/dns-message";
/// For a request, and for the next one to come.
const PATIENCE: Duration = Duration::from_secs(TCP_IDLE_SECONDS);
/// Bytes of type, class, TTL and length of a record; where the last two are.
const RECORD_HEAD: usize = 10;
const TTL_AT: usize = 4;
const LENGTH_AT: usize = 8;

impl Handler {
    /// Answers the requests of a connection whose handshake is over, until its client ends it or sends none for too long.
    pub async fn converse_https<S>(&self, stream: S, client: SocketAddr)
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let active = Arc::new(Notify::new());
        let answer = |request: Request<Incoming>| {
            active.notify_one();
            let handler = self.clone();
            async move { Ok::<_, Infallible>(handler.over_http(request, client).await) }
        };
        let mut http = auto::Builder::new(TokioExecutor::new());
        http.http1().timer(TokioTimer::new()).header_read_timeout(PATIENCE).max_buf_size(HTTPS_HEAD_BYTES_MAX);
        http.http2()
            .timer(TokioTimer::new())
            .max_concurrent_streams(HTTPS_STREAMS_MAX)
            .max_header_list_size(HTTPS_HEAD_BYTES_MAX as u32);
        let mut connection = pin!(http.serve_connection(TokioIo::new(stream), service_fn(answer)));
        let ended = loop {
            tokio::select! {
                ended = connection.as_mut() => break Some(ended),
                more = timeout(PATIENCE, active.notified()) => if more.is_err() { break None },
            }
        };
        let ended = match ended {
            Some(ended) => ended,
            None => {
                // What is under way may end, and no longer.
                connection.as_mut().graceful_shutdown();
                timeout(PATIENCE, connection).await.unwrap_or(Ok(()))
            }
        };
        if let Err(error) = ended {
            tracing::debug!(%client, %error, "a connection for DNS over HTTPS broke");
        }
    }

    async fn over_http(&self, request: Request<Incoming>, client: SocketAddr) -> Response<Full<Bytes>> {
        let counters = self.director.counters();
        let answered = match message_of(request).await {
            Ok(message) => {
                count(&counters.https);
                self.padded(message, client).await.ok_or(StatusCode::BAD_REQUEST)
            }
            Err(status) => Err(status),
        };
        match answered {
            Ok(answer) => carried(answer),
            Err(status) => {
                count(&counters.https_refused);
                refusal(status)
            }
        }
    }
}

/// The message that a request carries.
///
/// # Errors
/// The status to refuse it with.
async fn message_of(request: Request<Incoming>) -> Result<Vec<u8>, StatusCode> {
    let (head, body) = request.into_parts();
    // Also of one that is refused: some clients see no answer that comes before they have sent all.
    let body = timeout(PATIENCE, whole(body)).await.map_err(|_| StatusCode::REQUEST_TIMEOUT);
    match (head.uri.path(), head.method) {
        (PATH, Method::GET) => of_query(head.uri.query().unwrap_or_default()).ok_or(StatusCode::BAD_REQUEST),
        (PATH, Method::POST) => {
            let kind = head.headers.get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok());
            let kind = kind.and_then(|kind| kind.split(';').next()).map(str::trim);
            match kind.is_some_and(|kind| kind.eq_ignore_ascii_case(MESSAGE)) {
                true => body?,
                false => Err(StatusCode::UNSUPPORTED_MEDIA_TYPE),
            }
        }
        (PATH, _) => Err(StatusCode::METHOD_NOT_ALLOWED),
        _ => Err(StatusCode::NOT_FOUND),
    }
}

/// All of a body. Of one that is too long as much again is read, and not kept.
async fn whole(mut body: Incoming) -> Result<Vec<u8>, StatusCode> {
    let (mut kept, mut length) = (Vec::new(), 0);
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|_| StatusCode::BAD_REQUEST)?;
        let data = frame.data_ref().map_or(&[][..], Bytes::as_ref);
        length += data.len();
        match length {
            0..=HTTPS_MESSAGE_BYTES_MAX => kept.extend(data),
            length if length > 2 * HTTPS_MESSAGE_BYTES_MAX => break,
            _ => {}
        }
    }
    if length > HTTPS_MESSAGE_BYTES_MAX { Err(StatusCode::PAYLOAD_TOO_LARGE) } else { Ok(kept) }
}

/// The message in a query (RFC 8484 §4.1.1): its variable `dns`, in the alphabet of URLs and without padding.
fn of_query(query: &str) -> Option<Vec<u8>> {
    let value = query.split('&').find_map(|variable| variable.strip_prefix("dns="))?;
    BASE64_URL_SAFE_NO_PAD.decode(value).ok()
}

fn carried(answer: Vec<u8>) -> Response<Full<Bytes>> {
    let kept = match lifetime_s(&answer) {
        Some(seconds) => HeaderValue::try_from(format!("private, max-age={seconds}")).ok(),
        None => None,
    };
    let mut response = Response::new(Full::new(answer.into()));
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(MESSAGE));
    headers.insert(CACHE_CONTROL, kept.unwrap_or(HeaderValue::from_static("no-store")));
    response
}

fn refusal(status: StatusCode) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::default());
    *response.status_mut() = status;
    if status == StatusCode::METHOD_NOT_ALLOWED {
        response.headers_mut().insert(ALLOW, HeaderValue::from_static("GET, POST"));
    }
    response
}

/// For how many seconds a response holds: the least TTL of its answer and authority records (RFC 8484 §5.1); `None` for failures.
fn lifetime_s(response: &[u8]) -> Option<u32> {
    const NOERROR_AND_NXDOMAIN: [u8; 2] = [0, 3];
    let code = *response.get(3)? & 0x0f;
    let count = |at| number(response, at).map(usize::from);
    let mut at = HEADER_BYTES;
    for _ in 0..count(4)? {
        at = behind_name(response, at)? + TYPE_AND_CLASS_BYTES;
    }
    let mut least = None;
    for _ in 0..count(6)? + count(8)? {
        let head = behind_name(response, at)?;
        let ttl = u32::from_be_bytes(response.get(head + TTL_AT..head + LENGTH_AT)?.try_into().ok()?);
        least = Some(least.map_or(ttl, |least: u32| least.min(ttl)));
        at = head + RECORD_HEAD + count(head + LENGTH_AT)?;
    }
    least.filter(|_| NOERROR_AND_NXDOMAIN.contains(&code))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_is_in_the_alphabet_of_urls_and_without_padding() {
        // The example of RFC 8484 §4.1.1.
        let example = "dns=AAABAAABAAAAAAAAA3d3dwdleGFtcGxlA2NvbQAAAQAB";
        let message = of_query(example).unwrap();
        assert_eq!((message.len(), &message[12..17]), (33, &b"\x03www\x07"[..]));
        assert_eq!(of_query(&format!("a=b&{example}&c")), Some(message));
        for wrong in
            ["", "dns", "DNS=AAAB", "dns=AAA+", "dns=AAA/", "dns=AA==", "dns=A", "dns=AB", "dns=AAAB%41", "dns=\u{e9}"]
        {
            assert_eq!(of_query(wrong), None, "{wrong}");
        }
        assert_eq!(of_query("dns="), Some(Vec::new()));
    }

    #[test]
    fn a_response_holds_as_long_as_its_shortest_record_and_a_failure_not_at_all() {
        let record = |ttl: u32| [&b"\xc0\x0c\0\x01\0\x01"[..], &ttl.to_be_bytes(), &[0, 1, 7]].concat();
        let response = |code: u8, answers: u8, ttls: &[u32]| {
            let authority = ttls.len() as u8 - answers;
            let head = [0, 0, 0x84, code, 0, 1, 0, answers, 0, authority, 0, 0];
            let records: Vec<u8> = ttls.iter().flat_map(|ttl| record(*ttl)).collect();
            [&head[..], b"\x01a\0\0\x01\0\x01", &records].concat()
        };
        assert_eq!(lifetime_s(&response(0, 2, &[300, 20])), Some(20));
        assert_eq!(lifetime_s(&response(3, 0, &[60])), Some(60));
        assert_eq!(lifetime_s(&response(2, 0, &[60])), None);
        assert_eq!(lifetime_s(&response(0, 0, &[])), None);
        let cut = response(0, 2, &[300, 20]);
        assert!((0..cut.len() - 1).all(|length| lifetime_s(&cut[..length]).is_none()));
    }
}

//! Fresh hits over HTTP/2: what the hot path is to HTTP/1, on a stream that the h2 crate has read.
//!
//! What is no plain GET or HEAD, what filters see or players are told, and everything while requests are logged one by one, is the framework's. Invariants are the
//! module's above; a body is given on in pieces that fit one TLS record with the head of their frame.

use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use http::header::{AGE, CONTENT_LENGTH};
use http::{Method, StatusCode};
use littoral_cache::demand::is_idle;
use littoral_cache::entry::millis;
use littoral_cache::{Head, Outcome};
use pingora::http::{RequestHeader, ResponseHeader};

use super::fresh::{Asked, Fresh, Place, find, plain_host};
use super::head::push_number;
use crate::listen::h2::exchange::Exchange;
use crate::node::Node;
use crate::request::{signed, without_surrogates};
use crate::storage::head_of;

/// Bytes of a body in one DATA frame: with its head of 9 bytes it fills a TLS record (RFC 8446 §5.1), which would be two.
const PIECE_BYTES: u64 = (16 << 10) - 9;

/// The fresh object a request asks for, when it is one that is answered here.
pub(crate) fn fresh(node: &Node, request: &RequestHeader) -> Option<Fresh> {
    if !matches!(request.method, Method::GET | Method::HEAD) || node.stopping.load(Relaxed) {
        return None;
    }
    find(node, &asked(request)?).filter(|found| matches!(found.body, Place::Memory(_)) && found.seen_by.is_none())
}

fn asked(request: &RequestHeader) -> Option<Asked<'_>> {
    let path = request.uri.path_and_query()?.as_str();
    let host = plain_host(request.uri.authority()?.as_str().as_bytes())?;
    if !path.starts_with('/') || !path.is_ascii() {
        return None;
    }
    let mut directives = false;
    for (name, value) in &request.headers {
        match name.as_str() {
            "range" | "expect" | "content-length" | "host" => return None,
            name if name.starts_with("if-") => return None,
            "cache-control" | "pragma" => directives |= !is_idle(value.as_bytes()),
            _ => {}
        }
    }
    Some(Asked { host, path, directives, last: false })
}

/// Answers it. What fails is the client's stream: it is reset.
pub(crate) async fn answer(node: &Node, mut exchange: Exchange, found: Fresh, patience: Duration) {
    let Fresh { entry, body: Place::Memory(body), begun, .. } = found else { return };
    let now_ms = millis(begun);
    node.store.touch(&entry, now_ms);
    let head = entry.head();
    let wanted = exchange.head().method == Method::GET;
    let length = if wanted { body.length() } else { 0 };
    node.figures.request(Some(Outcome::Hit), head.status.as_u16());
    node.figures.sent_bytes.add(length);
    let age = (entry.age_s(now_ms), u64::try_from(entry.ttl_ms(now_ms)).unwrap_or(0) / 1000);
    let answering = async {
        let response = response(node, head, body.length(), age)?;
        exchange.write_head(response, length == 0)?;
        let mut at = 0;
        while at < length {
            let piece = body.slice(at, length.min(at + PIECE_BYTES));
            at += piece.len() as u64;
            exchange.write_body(piece, at == length, patience).await?;
        }
        Ok::<(), Box<pingora::Error>>(())
    };
    if answering.await.is_err() {
        node.figures.broken.add(1);
    }
    node.figures.took(Some(Outcome::Hit), begun.elapsed().unwrap_or(Duration::ZERO));
}

fn response(node: &Node, head: &Head, length: u64, (age_s, ttl_s): (u64, u64)) -> pingora::Result<ResponseHeader> {
    let mut response = head_of(head);
    if head.status != StatusCode::NO_CONTENT {
        response.insert_header(CONTENT_LENGTH, length)?;
    }
    response.insert_header(AGE, age_s)?;
    let mut status = Vec::with_capacity(48);
    status.extend_from_slice(b"littoral; hit; ttl=");
    push_number(&mut status, ttl_s);
    without_surrogates(&mut response);
    signed(&mut response, node, status)?;
    Ok(response)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(uri: &str, fields: &[(&'static str, &'static str)]) -> Option<(String, String, bool)> {
        let mut request = RequestHeader::build("GET", b"/", None).unwrap();
        request.set_uri(uri.parse().unwrap());
        for (name, value) in fields {
            request.append_header(*name, *value).unwrap();
        }
        asked(&request).map(|asked| (asked.host.to_owned(), asked.path.to_owned(), asked.directives))
    }

    #[test]
    fn only_plain_requests_are_answered_here() {
        let uri = "https://x.example:443/a?b";
        assert_eq!(parsed(uri, &[("accept", "*/*")]), Some(("x.example".into(), "/a?b".into(), false)));
        assert_eq!(parsed(uri, &[("cache-control", "no-cache")]).map(|asked| asked.2), Some(true));
        for field in [
            ("range", "bytes=0-1"),
            ("if-none-match", "\"a\""),
            ("host", "x.example"),
            ("content-length", "0"),
            ("expect", "x"),
        ] {
            assert_eq!(parsed(uri, &[field]), None, "{field:?}");
        }
        assert_eq!(parsed("/a", &[]), None);
        assert_eq!(parsed("https://X.example/a", &[]), None);
    }
}

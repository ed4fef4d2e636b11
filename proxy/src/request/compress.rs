//! Compressing what an origin sends plain, on its way into the cache: each coding is a variant, made once.
//!
//! The coding is the one that the request's Accept-Encoding was folded to (`target.rs`). Invariant: whatever could have been
//! compressed says `Vary: Accept-Encoding`, plain or not, and what was compressed has a weak entity tag (RFC 9110 §8.8.1) and no
//! stated length.

use std::io::Write;

use bytes::Bytes;
use http::header::{
    ACCEPT_ENCODING, ACCEPT_RANGES, CACHE_CONTROL, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE, ETAG,
    TRANSFER_ENCODING, VARY,
};
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Version};
use pingora::http::{RequestHeader, ResponseHeader};
use pingora::{Error, ErrorType, Result};

use super::context::Context;
use super::respond::content_length;
use crate::config::{Coding, Compress};

/// Levels that cost a core a few milliseconds a megabyte: what is made once is sent often, but a worker waits for it.
const GZIP_LEVEL: u32 = 6;
const BROTLI_LEVEL: u32 = 5;
const ZSTD_LEVEL: i32 = 6;
/// Window of brotli, as a power of two.
const BROTLI_WINDOW: u32 = 20;
const BROTLI_BUFFER_BYTES: usize = 4096;

/// Compresses one body, piece by piece.
pub struct Encoder {
    coding: Coding,
    sink: Option<Sink>,
    /// Bytes still to come, where the origin said how many.
    left: Option<u64>,
}

enum Sink {
    Br(Box<brotli::CompressorWriter<Vec<u8>>>),
    Zstd(Box<zstd::stream::write::Encoder<'static, Vec<u8>>>),
    Gzip(flate2::write::GzEncoder<Vec<u8>>),
}

impl std::fmt::Debug for Encoder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Encoder").field("left", &self.left).finish_non_exhaustive()
    }
}

/// Marks `response` as one of several variants where its site compresses such, and begins to compress it when the request
/// takes that.
pub(super) fn begin(request: &RequestHeader, response: &mut ResponseHeader, ctx: &Context) -> Option<Encoder> {
    let rules = ctx.site.as_ref()?.compress.as_ref()?;
    if !matches!(request.method, Method::GET | Method::HEAD) || !may_be_compressed(response, rules) {
        return None;
    }
    let varies = response.headers.get_all(VARY).iter().any(|value| names(value, &ACCEPT_ENCODING) || value == "*");
    if !varies {
        response.append_header(VARY, "accept-encoding").ok()?;
    }
    let wanted = request.headers.get(ACCEPT_ENCODING)?.to_str().ok()?;
    let coding = rules.codings.iter().copied().find(|coding| coding.as_str() == wanted)?;
    let left = content_length(&response.headers);
    let sink = Sink::new(coding).ok()?;
    response.insert_header(CONTENT_ENCODING, coding.as_str()).ok()?;
    unmeasure(response).ok()?;
    Some(Encoder { coding, sink: Some(sink), left })
}

/// Makes a head one of a body that will not be byte by byte what the origin sends, and of a length that nobody knows yet.
pub(crate) fn unmeasure(response: &mut ResponseHeader) -> Result<()> {
    response.remove_header(&CONTENT_LENGTH);
    response.remove_header(&ACCEPT_RANGES);
    if response.version < Version::HTTP_2 {
        response.insert_header(TRANSFER_ENCODING, "chunked")?;
    }
    if let Some(tag) = response.headers.get(ETAG).filter(|tag| !tag.as_bytes().starts_with(b"W/")) {
        let weak = HeaderValue::from_bytes(&[b"W/", tag.as_bytes()].concat());
        response.insert_header(ETAG, weak.map_err(|_| Error::new(ErrorType::InvalidHTTPHeader))?)?;
    }
    for digest in ["content-md5", "content-digest"] {
        response.remove_header(digest);
    }
    Ok(())
}

/// Bytes of the body, where the origin said how many.
pub(crate) fn length_of(response: &ResponseHeader) -> Option<u64> {
    content_length(&response.headers)
}

/// A whole, plain body of a type worth it, whose end will be seen, and that nobody forbids to transform (RFC 9111 §5.2.2.6).
fn may_be_compressed(response: &ResponseHeader, rules: &Compress) -> bool {
    let headers = &response.headers;
    let length = content_length(headers);
    // Of HTTP/2, the end may come with the trailers, which say nothing here.
    let end_is_seen = length.is_some() || response.version < Version::HTTP_2;
    let whole = matches!(response.status, StatusCode::OK | StatusCode::NOT_FOUND) && length != Some(0);
    let transformable = !must_not_be_transformed(headers);
    let long_enough = length.is_none_or(|length| length >= rules.min.0);
    whole
        && end_is_seen
        && transformable
        && long_enough
        && !headers.contains_key(CONTENT_ENCODING)
        && is_listed(headers, rules)
}

/// Whether somebody forbids to change a body (RFC 9111 §5.2.2.6).
pub(super) fn must_not_be_transformed(headers: &HeaderMap) -> bool {
    headers.get_all(CACHE_CONTROL).iter().any(|value| names_word(value, "no-transform"))
}

fn is_listed(headers: &HeaderMap, rules: &Compress) -> bool {
    let Some(field) = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()) else {
        return false;
    };
    let media = field.split(';').next().unwrap_or("").trim();
    let is = |pattern: &String| match pattern.strip_suffix('*') {
        Some(start) => media.get(..start.len()).is_some_and(|part| part.eq_ignore_ascii_case(start)),
        None => media.eq_ignore_ascii_case(pattern),
    };
    !media.eq_ignore_ascii_case("text/event-stream") && rules.types.iter().any(is)
}

fn names(value: &HeaderValue, name: &HeaderName) -> bool {
    names_word(value, name.as_str())
}

fn names_word(value: &HeaderValue, word: &str) -> bool {
    value.as_bytes().split(|byte| *byte == b',').any(|member| member.trim_ascii().eq_ignore_ascii_case(word.as_bytes()))
}

impl Encoder {
    /// What it makes.
    pub(super) fn coding(&self) -> Coding {
        self.coding
    }

    /// What comes out for a piece of the body; with the last one, the rest.
    ///
    /// # Errors
    /// When the compressor fails; the response cannot go on then.
    pub(super) fn encode(&mut self, piece: Option<Bytes>, end: bool) -> Result<Option<Bytes>> {
        let failed = |error| Error::because(ErrorType::InternalError, "compressing a response", error);
        let Some(sink) = &mut self.sink else {
            return Ok(None);
        };
        if let Some(piece) = &piece {
            sink.writer().write_all(piece).map_err(failed)?;
            self.left = self.left.map(|left| left.saturating_sub(piece.len() as u64));
        }
        let made = match self.sink.take() {
            Some(sink) if end || self.left == Some(0) => sink.finish().map_err(failed)?,
            Some(mut sink) => {
                let made = std::mem::take(sink.made());
                self.sink = Some(sink);
                made
            }
            None => Vec::new(),
        };
        Ok((!made.is_empty()).then(|| Bytes::from(made)))
    }
}

impl Sink {
    fn new(coding: Coding) -> std::io::Result<Self> {
        let out = Vec::new();
        Ok(match coding {
            Coding::Br => {
                Self::Br(Box::new(brotli::CompressorWriter::new(out, BROTLI_BUFFER_BYTES, BROTLI_LEVEL, BROTLI_WINDOW)))
            }
            Coding::Zstd => Self::Zstd(Box::new(zstd::stream::write::Encoder::new(out, ZSTD_LEVEL)?)),
            Coding::Gzip => Self::Gzip(flate2::write::GzEncoder::new(out, flate2::Compression::new(GZIP_LEVEL))),
        })
    }

    fn writer(&mut self) -> &mut dyn Write {
        match self {
            Self::Br(writer) => writer.as_mut(),
            Self::Zstd(writer) => writer.as_mut(),
            Self::Gzip(writer) => writer,
        }
    }

    fn made(&mut self) -> &mut Vec<u8> {
        match self {
            Self::Br(writer) => writer.get_mut(),
            Self::Zstd(writer) => writer.get_mut(),
            Self::Gzip(writer) => writer.get_mut(),
        }
    }

    fn finish(self) -> std::io::Result<Vec<u8>> {
        match self {
            Self::Br(writer) => Ok(writer.into_inner()),
            Self::Zstd(writer) => writer.finish(),
            Self::Gzip(writer) => writer.finish(),
        }
    }
}

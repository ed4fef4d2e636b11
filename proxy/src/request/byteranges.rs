//! Several ranges in one answer: `multipart/byteranges` (RFC 9110 §14.6), for who puts the bytes together himself.
//!
//! Invariant: what is written before, between and behind the parts is as long as [`Byteranges::length`] has counted.

use http::HeaderValue;
use littoral_cache::range::Part;
use pingora::proxy::MultiRangeInfo;

/// What goes around the parts of one answer.
pub(super) struct Byteranges {
    boundary: String,
    content_type: Option<String>,
    total: u64,
}

impl Byteranges {
    /// Of an object of so many bytes and this type.
    pub(super) fn of(total: u64, content_type: Option<&HeaderValue>) -> Self {
        let content_type = content_type.and_then(|value| value.to_str().ok()).map(str::to_owned);
        // As of objects that are not sliced.
        Self { boundary: MultiRangeInfo::new(Vec::new()).boundary, content_type, total }
    }

    /// The Content-Type of the whole answer.
    pub(super) fn content_type(&self) -> String {
        format!("multipart/byteranges; boundary={}", self.boundary)
    }

    /// What comes before the bytes of a part.
    pub(super) fn before(&self, part: Part) -> String {
        let Self { boundary, content_type, total } = self;
        let content_type = content_type.iter().map(|of| format!("Content-Type: {of}\r\n")).collect::<String>();
        let Part { first, last } = part;
        format!("\r\n--{boundary}\r\n{content_type}Content-Range: bytes {first}-{last}/{total}\r\n\r\n")
    }

    /// What comes behind the last one.
    pub(super) fn end(&self) -> String {
        format!("\r\n--{}--\r\n", self.boundary)
    }

    /// Bytes of an answer with these parts.
    pub(super) fn length(&self, parts: &[Part]) -> u64 {
        let of = |part: &Part| self.before(*part).len() as u64 + part.last - part.first + 1;
        parts.iter().map(of).sum::<u64>() + self.end().len() as u64
    }
}

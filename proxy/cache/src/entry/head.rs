//! Status and fields of a stored response.
//!
//! What may be stored is [`crate::freshness`]'s question. Invariant: a stored head is charged what it takes and shares memory with
//! nothing else.

use bytes::Bytes;
use http::header::{AGE, CONNECTION, CONTENT_LENGTH, TE, TRAILER, TRANSFER_ENCODING, UPGRADE};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};

use crate::limits::{FIELD_AGAIN_BYTES, FIELD_PLACE_BYTES};

/// What a field's name takes besides its letters, when it is an allocation of its own, and the marks around it in the text.
const NAME_BYTES: usize = 32;

/// Fields between origin and cache, which clients do not get.
pub const SURROGATE_FIELDS: [HeaderName; 3] = [
    HeaderName::from_static("surrogate-key"),
    HeaderName::from_static("surrogate-control"),
    HeaderName::from_static("cache-tag"),
];

/// Status and fields of a response.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Head {
    /// The status code.
    pub status: StatusCode,
    /// The fields, without those that belong to one connection (RFC 9111 §3.1).
    pub headers: HeaderMap,
}

impl Head {
    /// Keeps what may be stored: drops the fields of the connection (RFC 9110 §7.6.1) and Age, which is recomputed.
    pub fn for_storage(status: StatusCode, headers: &HeaderMap) -> Self {
        let mut kept = HeaderMap::with_capacity(headers.len());
        let ending = hop_by_hop(headers);
        for (name, value) in headers {
            if *name != AGE && !ending.contains(name) {
                kept.append(name, value.clone());
            }
        }
        Self { status, headers: kept }
    }

    /// Bytes it takes once it is [settled](Self::settle): one text, names that have no constant, and the map.
    pub fn cost(&self) -> u64 {
        let text = |(name, value): (&HeaderName, &HeaderValue)| 2 * name.as_str().len() + value.len() + NAME_BYTES;
        let text: usize = self.headers.iter().map(text).sum();
        // A quarter of a power of two stays free; values of a name that has one already lie elsewhere.
        let (fields, names) = (self.headers.len() as u64, self.headers.keys_len() as u64);
        let places = (fields + fields / 3).next_power_of_two();
        text as u64 + places * FIELD_PLACE_BYTES + (fields - names) * FIELD_AGAIN_BYTES
    }

    /// The same for as long as it is stored, and as it goes out on HTTP/1.1, without the closing empty line. All values are parts of
    /// that one text: those of a response share the buffer in which its connection read its head, of 4 KiB at least.
    pub(super) fn settle(&self, length: u64) -> (Self, Bytes) {
        let (mut text, mut values) = (Vec::with_capacity(self.text_bytes()), Vec::with_capacity(self.headers.len()));
        text.extend_from_slice(b"HTTP/1.1 ");
        text.extend_from_slice(self.status.as_str().as_bytes());
        text.push(b' ');
        text.extend_from_slice(self.status.canonical_reason().unwrap_or("").as_bytes());
        text.extend_from_slice(b"\r\n");
        for (name, value) in self.headers.iter().filter(|(name, _)| is_sent(name)) {
            text.extend_from_slice(name.as_str().as_bytes());
            text.extend_from_slice(b": ");
            values.push((name, value, text.len()));
            text.extend_from_slice(value.as_bytes());
            text.extend_from_slice(b"\r\n");
        }
        if self.status != StatusCode::NO_CONTENT {
            text.extend_from_slice(b"content-length: ");
            text.extend_from_slice(length.to_string().as_bytes());
            text.extend_from_slice(b"\r\n");
        }
        let end = text.len();
        for (name, value) in self.headers.iter().filter(|(name, _)| !is_sent(name)) {
            values.push((name, value, text.len()));
            text.extend_from_slice(value.as_bytes());
        }
        // To the byte: what is shared keeps all that was set aside.
        let text = Bytes::from(text.into_boxed_slice());
        let mut headers = HeaderMap::with_capacity(values.len());
        for (name, value, at) in values {
            let part = HeaderValue::from_maybe_shared(text.slice(at..at + value.len()));
            headers.append(name, part.unwrap_or_else(|_| value.clone()));
        }
        (Self { status: self.status, headers }, text.slice(..end))
    }

    /// Bytes of that text, at most.
    fn text_bytes(&self) -> usize {
        const LINES: usize =
            "HTTP/1.1 511 Network Authentication Required\r\ncontent-length: 18446744073709551615\r\n".len();
        LINES + self.headers.iter().map(|(name, value)| name.as_str().len() + value.len() + 4).sum::<usize>()
    }
}

/// Whether a stored field goes to clients as it is.
fn is_sent(name: &HeaderName) -> bool {
    *name != CONTENT_LENGTH && !SURROGATE_FIELDS.contains(name)
}

/// The names of fields that end at this hop: those of the connection, and those that Connection names (RFC 9110 §7.6.1).
pub fn hop_by_hop(headers: &HeaderMap) -> Vec<HeaderName> {
    const PROXY_CONNECTION: HeaderName = HeaderName::from_static("proxy-connection");
    const KEEP_ALIVE: HeaderName = HeaderName::from_static("keep-alive");
    let members = headers.get_all(CONNECTION).into_iter().filter_map(|value| value.to_str().ok());
    let named = members.flat_map(|text| text.split(',')).filter_map(|name| name.trim().parse().ok());
    let always = [CONNECTION, TRANSFER_ENCODING, UPGRADE, TE, TRAILER, PROXY_CONNECTION, KEEP_ALIVE];
    always.into_iter().chain(named).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_of_the_connection_and_age_are_not_stored() {
        let mut headers = HeaderMap::new();
        for (name, value) in
            [("connection", "x-hop, close"), ("x-hop", "1"), ("age", "3"), ("etag", "\"a\""), ("te", "x")]
        {
            headers.append(HeaderName::from_static(name), HeaderValue::from_static(value));
        }
        let head = Head::for_storage(StatusCode::OK, &headers);
        assert_eq!(head.headers.keys().map(HeaderName::as_str).collect::<Vec<_>>(), ["etag"]);
    }

    #[test]
    fn what_is_stored_holds_nothing_of_the_buffer_that_it_came_in() {
        let read = Bytes::from(vec![b'x'; 4096]);
        let mut headers = HeaderMap::new();
        for (name, length) in [("x-one", 9), ("surrogate-key", 5), ("x-one", 3), ("content-length", 1)] {
            let value = HeaderValue::from_maybe_shared(read.slice(..length)).unwrap();
            headers.append(HeaderName::from_static(name), value);
        }
        let head = Head::for_storage(StatusCode::OK, &headers);
        drop(headers);
        let (settled, wire) = head.settle(7);
        assert_eq!(settled, head);
        assert_eq!(wire, "HTTP/1.1 200 OK\r\nx-one: xxxxxxxxx\r\nx-one: xxx\r\ncontent-length: 7\r\n");
        drop(head);
        assert!(read.is_unique(), "nobody else has it");
    }
}

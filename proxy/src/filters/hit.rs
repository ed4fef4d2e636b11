//! Filters of a hit that the hot path answers: those that ask for nothing before the response.
//!
//! What they read is the request as it came and the object as it is stored; what they change is noted, and written with the head.
//! Invariant: a filter sees and may change here what it sees and may change in [`super::points::on_response`].

use std::any::Any;
use std::net::IpAddr;
use std::sync::{Arc, OnceLock};

use http::header::{AGE, CONTENT_LENGTH};
use http::{HeaderName, HeaderValue, Method};
use littoral_cache::Entry;
use littoral_cache::entry::SURROGATE_FIELDS;
use littoral_plugin_host::filter::{Change, Exchange, Kept, Point};
use pingora::http::RequestHeader;

use crate::request::target;
use crate::site::Site;

/// A request that has been answered from the cache but for the filters, and its response.
pub(crate) struct Hit {
    pub(crate) site: Arc<Site>,
    /// The head of the request, as it came: of an HTTP that the hot path understands.
    pub(crate) request: Vec<u8>,
    pub(crate) entry: Arc<Entry>,
    /// Seconds.
    pub(crate) age_s: u64,
    pub(crate) client: IpAddr,
    pub(crate) secure: bool,
}

/// What one filter after the other is lent.
struct Lent {
    hit: Hit,
    /// What those before have changed.
    changes: Vec<Change>,
    parsed: OnceLock<RequestHeader>,
    age: OnceLock<String>,
}

/// Calls the filters of the hit's site, the last one first; what they changed. `None`: one failed that must not be gone past.
pub(crate) async fn filtered(hit: Hit) -> Option<Vec<Change>> {
    let site = hit.site.clone();
    let lent = Lent { hit, changes: Vec::new(), parsed: OnceLock::new(), age: OnceLock::new() };
    let mut lent = Box::new(lent);
    for filter in site.filters.all().iter().rev().filter(|filter| filter.asks(Point::Response)) {
        let called = filter.call(Point::Response, lent, Kept::NOTHING).await;
        let back: Box<dyn Any> = called.exchange;
        lent = back.downcast().expect("invariant: a filter gives back what it was lent");
        match called.outcome {
            Ok((_, changes)) if lent.changes.is_empty() => lent.changes = changes.fields,
            Ok((_, changes)) => lent.changes.extend(changes.fields),
            Err(_) if filter.is_closed() => return None,
            Err(_) => {}
        }
    }
    Some(lent.changes)
}

impl Lent {
    /// The request as the framework would have it.
    fn parsed(&self) -> &RequestHeader {
        self.parsed.get_or_init(|| parse(&self.hit.request, &self.hit.site))
    }

    /// Host and path of what was asked for.
    fn key(&self) -> (&str, &str) {
        let text = std::str::from_utf8(self.hit.entry.key().text()).unwrap_or_default();
        text.split_once(' ').unwrap_or((text, "/"))
    }

    /// A field as it is without changes.
    fn stored(&self, name: &str, index: usize) -> Option<&[u8]> {
        let hit = &self.hit;
        if name == AGE.as_str() {
            return (index == 0).then(|| self.age.get_or_init(|| hit.age_s.to_string()).as_bytes());
        }
        if name == CONTENT_LENGTH.as_str() {
            let last =
                hit.entry.wire().strip_suffix(b"\r\n").and_then(|wire| wire.rsplit(|byte| *byte == b'\n').next());
            return last.filter(|_| index == 0).and_then(|line| line.strip_prefix(b"content-length: "));
        }
        hit.entry.head().headers.get_all(name).iter().nth(index).map(HeaderValue::as_bytes)
    }
}

/// A head that has been parsed before. What there is none of, in a head that was not, is left out.
fn parse(head: &[u8], site: &Site) -> RequestHeader {
    let count = head.iter().filter(|byte| **byte == b'\n').count();
    let mut fields = vec![httparse::EMPTY_HEADER; count];
    let mut request = httparse::Request::new(&mut fields);
    let _ = request.parse(head);
    let method = request.method.and_then(|method| Method::from_bytes(method.as_bytes()).ok()).unwrap_or(Method::GET);
    let path = request.path.unwrap_or("/").as_bytes();
    let parsed = RequestHeader::build_no_case(method, path, Some(count));
    let bare = || RequestHeader::build_no_case(Method::GET, b"/", Some(count));
    let mut parsed = parsed.or_else(|_| bare()).expect("invariant: / is a path");
    for field in &*request.headers {
        let name = HeaderName::from_bytes(field.name.as_bytes());
        if let (Ok(name), Ok(value)) = (name, HeaderValue::from_bytes(field.value)) {
            let _ = parsed.append_header(name, value);
        }
    }
    target::normalise(&mut parsed, site);
    parsed
}

impl Exchange for Lent {
    fn method(&self) -> &str {
        if self.hit.request.starts_with(b"HEAD") { "HEAD" } else { "GET" }
    }

    fn host(&self) -> &str {
        self.key().0
    }

    fn target(&self) -> &str {
        self.key().1
    }

    fn client(&self) -> Option<IpAddr> {
        Some(self.hit.client)
    }

    fn is_secure(&self) -> bool {
        self.hit.secure
    }

    fn status(&self) -> u16 {
        self.hit.entry.head().status.as_u16()
    }

    fn place(&self) -> (Option<[u8; 2]>, u32) {
        self.hit.site.filters.places().map_or((None, 0), |places| places.find(self.hit.client))
    }

    fn field(&self, of_request: bool, name: &str, index: usize) -> Option<&[u8]> {
        if of_request {
            return self.parsed().headers.get_all(name).iter().nth(index).map(HeaderValue::as_bytes);
        }
        if self.changes.iter().all(|change| change.name() != name) {
            return self.stored(name, index);
        }
        let stored = (0..).map_while(|index| self.stored(name, index)).collect();
        Change::over(&self.changes, name, stored).get(index).copied()
    }
}

/// Writes the stored head with changes; `wire` are its lines, without the empty one.
pub(crate) fn write(head: &mut Vec<u8>, wire: &[u8], changes: &[Change]) {
    let is_replaced = |name: &[u8], changes: &[Change]| {
        let of = |change: &Change| !matches!(change, Change::Add(..)) && change.name().as_bytes() == name;
        changes.iter().any(of)
    };
    // What stays is copied from one line that does not to the next.
    let (mut from, mut at) = (0, 0);
    for end in memchr::memchr_iter(b'\n', wire).map(|newline| newline + 1) {
        let line = &wire[at..end];
        let name = memchr::memchr(b':', line).map_or(line, |colon| &line[..colon]);
        if at > 0 && is_replaced(name, changes) {
            head.extend_from_slice(&wire[from..at]);
            from = end;
        }
        at = end;
    }
    head.extend_from_slice(&wire[from..]);
    for (at, change) in changes.iter().enumerate() {
        let (Change::Set(name, value) | Change::Add(name, value)) = change else { continue };
        let is_over = is_replaced(name.as_bytes(), &changes[at + 1..]);
        if is_over || SURROGATE_FIELDS.iter().any(|field| field == name.as_str()) {
            continue;
        }
        for part in [name.as_bytes(), b": ", value, b"\r\n"] {
            head.extend_from_slice(part);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_head_is_written_with_what_was_set_added_and_removed_in_that_order() {
        let set = |name: &str, value: &str| Change::Set(name.into(), value.into());
        let add = |name: &str, value: &str| Change::Add(name.into(), value.into());
        let remove = |name: &str| Change::Remove(name.into());
        let wire = b"HTTP/1.1 200 OK\r\nserver: x\r\nvary: a\r\nvary: b\r\ncontent-length: 1\r\n";
        let written = |changes: &[Change]| {
            let mut head = Vec::new();
            write(&mut head, wire, changes);
            String::from_utf8(head).unwrap()
        };
        assert_eq!(written(&[]), String::from_utf8_lossy(wire));
        assert_eq!(
            written(&[remove("server"), remove("vary"), set("a", "1"), add("vary", "c"), set("a", "2"), add("a", "3")]),
            "HTTP/1.1 200 OK\r\ncontent-length: 1\r\nvary: c\r\na: 2\r\na: 3\r\n"
        );
        assert_eq!(written(&[add("server", "y"), set("surrogate-key", "k")]).matches("server").count(), 2);
        assert_eq!(written(&[set("a", "1"), remove("a")]), String::from_utf8_lossy(wire));
    }
}

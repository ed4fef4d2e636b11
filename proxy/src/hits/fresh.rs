//! Which requests the hot path answers, and the fresh object each asks for.
//!
//! Whatever is not plain is `None` here and the framework's. Invariant: nothing of a request that is not looked at here would change the
//! answer.

use std::sync::Arc;
use std::time::SystemTime;

use littoral_cache::Entry;
use littoral_cache::demand::is_idle;
use littoral_cache::disk::Streamed;
use littoral_cache::entry::{Body, millis};
use littoral_cache::key::hash_of;
use littoral_plugin_host::filter::Point;

use crate::node::Node;
use crate::site::Site;

/// A fresh object, and when it was: the clock is read once.
pub(crate) struct Fresh {
    pub(super) entry: Arc<Entry>,
    pub(super) body: Place,
    pub(super) begun: SystemTime,
    /// The site, if what is sent is seen: by its filters, or for its players.
    pub(super) seen_by: Option<Arc<Site>>,
}

/// Where its body is.
pub(super) enum Place {
    /// There is none to be sent.
    Nowhere,
    /// In memory.
    Memory(Arc<Body>),
    /// On a disk, in a file that is open.
    Disk(Streamed),
}

impl Place {
    /// Length in bytes.
    pub(super) fn length(&self) -> u64 {
        match self {
            Self::Nowhere => 0,
            Self::Memory(body) => body.length(),
            Self::Disk(body) => body.length(),
        }
    }
}

/// The fresh object for a host and path, when it is one that is answered here.
pub(super) fn find(node: &Node, asked: &Asked<'_>) -> Option<Fresh> {
    let Asked { host, path, directives, .. } = *asked;
    let sites = node.sites.load();
    let site = sites.find(host)?;
    if site.filters.come_before_hits() {
        return None;
    }
    if site.steer.as_ref().is_some_and(|steer| steer.redirects_from(host)) {
        return None;
    }
    let stripped;
    let path = match site.looks_at_paths {
        true => {
            stripped = site.short_path(path)?;
            &*stripped
        }
        false => path,
    };
    if (directives && site.client_directives) || (!site.query.is_identity() && path.contains('?')) {
        return None;
    }
    let hash = hash_of(host, path);
    let (entry, body) = match node.store.hit(hash, host, path) {
        Some(entry) => {
            let body = entry.body()?;
            (entry, Place::Memory(body))
        }
        None => node.store.hit_on_disk(hash, host, path).map(|(entry, body)| (entry, Place::Disk(body)))?,
    };
    let now = SystemTime::now();
    if entry.varies() || entry.ttl_ms(millis(now)) <= 0 {
        return None;
    }
    let seen_by = (site.talks || site.filters.asks(Point::Response)).then(|| site.clone());
    Some(Fresh { entry, body, begun: now, seen_by })
}

/// A request that may be answered here.
pub(super) struct Asked<'a> {
    pub(super) host: &'a str,
    pub(super) path: &'a str,
    /// It has directives of its own for the cache.
    pub(super) directives: bool,
    /// It is the client's last on this connection (RFC 9112 §9.6).
    pub(super) last: bool,
}

/// What a request asks for; `None` when it is not that simple.
pub(super) fn simple<'a>(request: &httparse::Request<'_, 'a>) -> Option<Asked<'a>> {
    let path = request.path.filter(|path| path.starts_with('/') && path.is_ascii() && !path.contains('#'))?;
    if request.version != Some(1) {
        return None;
    }
    let (mut host, mut directives, mut last) = (None, false, false);
    for field in &*request.headers {
        match field.name.len() {
            4 if field.name.eq_ignore_ascii_case("host") && host.is_some() => return None,
            4 if field.name.eq_ignore_ascii_case("host") => host = Some(plain_host(field.value)?),
            5 if field.name.eq_ignore_ascii_case("range") => return None,
            6 if field.name.eq_ignore_ascii_case("expect") => return None,
            6 if field.name.eq_ignore_ascii_case("pragma") => directives |= !is_idle(field.value),
            7 if field.name.eq_ignore_ascii_case("upgrade") => return None,
            10 if field.name.eq_ignore_ascii_case("connection") => match field.value {
                value if value.eq_ignore_ascii_case(b"keep-alive") => {}
                value if value.eq_ignore_ascii_case(b"close") => last = true,
                _ => return None,
            },
            13 if field.name.eq_ignore_ascii_case("cache-control") => directives |= !is_idle(field.value),
            _ if field
                .name
                .as_bytes()
                .first_chunk()
                .is_some_and(|start: &[u8; 3]| start.eq_ignore_ascii_case(b"if-")) =>
            {
                return None;
            }
            _ => {}
        }
    }
    Some(Asked { host: host?, path, directives, last })
}

/// A Host field already in the key's spelling, its port taken off; `None` for every other.
pub(super) fn plain_host(field: &[u8]) -> Option<&str> {
    let end = field.iter().position(|byte| *byte == b':').unwrap_or(field.len());
    let (host, port) = field.split_at(end);
    let lower = |byte: &u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || *byte == b'-' || *byte == b'.';
    let port_is_fine = port.len() <= 6 && port.iter().skip(1).all(u8::is_ascii_digit);
    let fine = port_is_fine && !host.is_empty() && host.iter().all(lower) && !host.ends_with(b".");
    fine.then(|| std::str::from_utf8(host).ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(text: &str) -> Option<(String, String)> {
        let mut fields = [httparse::EMPTY_HEADER; 64];
        let mut request = httparse::Request::new(&mut fields);
        request.parse(text.as_bytes()).unwrap();
        simple(&request).map(|asked| (asked.host.to_owned(), asked.path.to_owned()))
    }

    #[test]
    fn only_plain_requests_are_answered_here() {
        let plain = "GET /a?b HTTP/1.1\r\nHost: x.example:80\r\nAccept: */*\r\n\r\n";
        assert_eq!(parsed(plain), Some(("x.example".into(), "/a?b".into())));
        for other in [
            "GET /a HTTP/1.0\r\nHost: x\r\n\r\n",
            "GET http://x/a HTTP/1.1\r\nHost: x\r\n\r\n",
            "GET /a HTTP/1.1\r\n\r\n",
            "GET /a HTTP/1.1\r\nHost: x\r\nHost: y\r\n\r\n",
            "GET /a HTTP/1.1\r\nHost: X\r\n\r\n",
            "GET /a HTTP/1.1\r\nHost: x\r\nRange: bytes=0-1\r\n\r\n",
            "GET /a HTTP/1.1\r\nHost: x\r\nIF-none-match: \"a\"\r\n\r\n",
            "GET /a HTTP/1.1\r\nHost: x\r\nConnection: close, te\r\n\r\n",
            "GET /a HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\n\r\n",
            "GET /a#f HTTP/1.1\r\nHost: x\r\n\r\n",
        ] {
            assert_eq!(parsed(other), None, "{other:?}");
        }
    }
}

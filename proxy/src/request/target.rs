//! What a request is for, in one form.
//!
//! Invariant: the path of the cache key is the path that the origin is asked for. A target that could be read in two ways, or
//! that has no path, is refused, so that nobody fills an entry with the answer to something else.

use http::header::{ACCEPT_ENCODING, CONTENT_LENGTH, HOST, RANGE, TRANSFER_ENCODING};
use http::uri::PathAndQuery;
use http::{HeaderMap, HeaderValue, Method, Uri, Version};
use littoral_cache::vary::fold;
use pingora::http::RequestHeader;

use crate::site::{Site, normalise_host};

const NO_PATH: &str = "the request target is no path: write /path, http://host/path or, for OPTIONS, *";
pub(super) const NO_HOST: &str = "the Host field is missing or no host name";

/// The host a request is for (RFC 9112 §3.2): that of its target when it is absolute, else of its one Host field. The target
/// is in origin-form afterwards (§3.2.1), as a gateway sends it on, and what HTTP/2 says beside it is in the Host field
/// (RFC 9113 §8.3.1), so that no later change of the target can lose it.
///
/// # Errors
/// Why it is refused, for the client.
pub(super) fn settle(request: &mut RequestHeader) -> Result<String, &'static str> {
    say_host_in_a_field(request)?;
    let target = std::str::from_utf8(request.raw_path()).map_err(|_| "the request target is no UTF-8")?;
    let path = request.uri.path_and_query().map(PathAndQuery::as_str);
    if target == "*" && request.method == Method::OPTIONS {
        return host_field(request);
    }
    if target.starts_with('/') {
        // What is not the same as it was parsed would be asked for as one thing and kept as another.
        return if path == Some(target) { host_field(request) } else { Err(NO_PATH) };
    }
    let absolute: Uri = target.parse().map_err(|_| NO_PATH)?;
    let is_http = absolute.scheme_str().is_some_and(|scheme| matches!(scheme, "http" | "https"));
    let authority = absolute.authority().filter(|_| is_http && !target.contains('#')).ok_or(NO_PATH)?;
    let host = normalise_host(authority.as_str()).ok_or(NO_HOST)?;
    let path = absolute.path_and_query().map_or("", PathAndQuery::as_str);
    let path = if path.starts_with('/') { path.to_owned() } else { format!("/{path}") };
    request.set_uri(Uri::builder().path_and_query(path).build().map_err(|_| NO_PATH)?);
    Ok(host)
}

/// A request over HTTP/2 as one of HTTP/1.1 would be. Without a path it stays what it is, and is refused.
fn say_host_in_a_field(request: &mut RequestHeader) -> Result<(), &'static str> {
    let (Some(authority), Some(path)) = (request.uri.authority(), request.uri.path_and_query().cloned()) else {
        return Ok(());
    };
    let host = HeaderValue::from_str(authority.as_str()).map_err(|_| NO_HOST)?;
    request.set_uri(Uri::from(path));
    request.insert_header(HOST, host).map_err(|_| NO_HOST)
}

/// A client of HTTP/1.0 need not say it: then it is empty, and the site for every other host is meant.
fn host_field(request: &RequestHeader) -> Result<String, &'static str> {
    let mut fields = request.headers.get_all(HOST).into_iter();
    let first = fields.next();
    if first.is_none() && request.version < Version::HTTP_11 {
        return Ok(String::new());
    }
    let field = first.filter(|_| fields.next().is_none()).and_then(|field| field.to_str().ok());
    field.and_then(normalise_host).ok_or(NO_HOST)
}

/// Brings a request into the form in which its site tells requests apart, for the key and for the origin alike: what is not in
/// the key cannot change what is stored under it.
pub(crate) fn normalise(request: &mut RequestHeader, site: &Site) {
    let path = request.uri.path_and_query().map_or("/", PathAndQuery::as_str);
    let kept = site.query.apply(path);
    if kept.len() != path.len() || *kept != *path {
        // Parts of a path and query that was valid, put together again.
        if let Ok(uri) = Uri::builder().path_and_query(kept.as_ref()).build() {
            request.set_uri(uri);
        }
    }
    if site.compress.is_some() && request.headers.contains_key(RANGE) {
        // Places in a body mean its plain bytes.
        request.remove_header(&ACCEPT_ENCODING);
    }
    for (name, offered) in &site.folded {
        match fold(&request.headers, name, offered).and_then(|best| HeaderValue::from_str(best).ok()) {
            Some(best) => drop(request.insert_header(name, best)),
            None => drop(request.remove_header(name)),
        }
    }
}

/// Fields that make many applications answer for another host, path, scheme or method than the one in the key.
const MISLEADING: [&str; 13] = [
    "forwarded",
    "x-forwarded-host",
    "x-forwarded-port",
    "x-forwarded-prefix",
    "x-forwarded-proto",
    "x-forwarded-scheme",
    "x-forwarded-server",
    "x-host",
    "x-http-method",
    "x-http-method-override",
    "x-method-override",
    "x-original-url",
    "x-rewrite-url",
];

/// Takes out of a request that may be answered from the cache what would change its answer and is not in the key.
pub(super) fn take_out_misleading(upstream: &mut RequestHeader, site: &Site) {
    for name in MISLEADING {
        if !site.selectors.headers.iter().any(|keyed| keyed == name) {
            upstream.remove_header(name);
        }
    }
}

/// Whether a body comes with the request (RFC 9112 §6.3).
pub(super) fn has_body(headers: &HeaderMap) -> bool {
    let length = headers.get(CONTENT_LENGTH).is_some_and(|length| length != "0");
    length || headers.contains_key(TRANSFER_ENCODING)
}

/// Cookies of an HTTP/2 request, which may come in pieces, as the one field that HTTP/1.1 has (RFC 9113 §8.2.3).
pub(crate) fn join_cookies(version: Version, headers: &HeaderMap) -> Option<Vec<u8>> {
    let cookies = headers.get_all(http::header::COOKIE);
    let in_pieces = version == Version::HTTP_2 && cookies.iter().nth(1).is_some();
    in_pieces.then(|| cookies.iter().map(|piece| piece.as_bytes()).collect::<Vec<_>>().join(&b"; "[..]))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settled(method: &str, target: &str) -> Result<(String, String), &'static str> {
        let mut request = RequestHeader::build(method, target.as_bytes(), None).map_err(|_| "no request")?;
        request.insert_header(HOST, "field.example").unwrap();
        let host = settle(&mut request)?;
        Ok((host, String::from_utf8(request.raw_path().to_vec()).unwrap()))
    }

    #[test]
    fn an_absolute_target_names_the_host_and_becomes_a_path() {
        for (target, host, path) in [
            ("/a?b=c", "field.example", "/a?b=c"),
            ("//a", "field.example", "//a"),
            ("/http://x/", "field.example", "/http://x/"),
            ("http://Target.example:80/a?b", "target.example", "/a?b"),
            ("https://target.example", "target.example", "/"),
            ("http://target.example?q", "target.example", "/?q"),
            ("http://target.example//a", "target.example", "//a"),
        ] {
            assert_eq!(settled("GET", target), Ok((host.into(), path.into())), "{target}");
        }
        assert_eq!(settled("OPTIONS", "*"), Ok(("field.example".into(), "*".into())));
    }

    #[test]
    fn a_target_without_a_path_is_refused() {
        for target in ["evil/thing", "*", "*x", "foo:80", "?q", "ftp://a/b", "http://user@a/b", "http://", "http:/a"] {
            assert!(settled("GET", target).is_err(), "{target}");
        }
    }
}

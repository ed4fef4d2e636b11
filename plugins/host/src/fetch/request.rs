//! What a guest asks for, checked. Pure.
//!
//! Invariant: what is in an [`Asked`] can be written as a request without a further look; its Host is that of its URL.

use std::net::IpAddr;

use super::limits::{FIELDS_BYTES_MAX, FIELDS_MAX, METHOD_BYTES_MAX, URL_BYTES_MAX};
use crate::filter::{own_name, target, value};

/// Fields of a message, in their order.
pub(super) type Fields = Vec<(String, Vec<u8>)>;

/// A request to somebody else.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Asked {
    /// A token that is neither CONNECT nor TRACE.
    pub method: String,
    /// Whether it goes over TLS.
    pub secure: bool,
    /// A name in the spelling of [`crate::service::reach::name`] that is listed for the port, or an address as text without brackets.
    pub host: String,
    /// The port.
    pub port: u16,
    /// Path and query.
    pub target: String,
    /// Fields without Host and those that frame a message or end at a hop, names in lower case.
    pub fields: Vec<(String, Vec<u8>)>,
    /// The body.
    pub body: Vec<u8>,
    /// Values of `CDN-Loop` (RFC 8586) of the request that led to it.
    pub passed: Vec<Vec<u8>>,
}

impl Asked {
    /// # Errors
    /// Why this is no URL that can be asked for.
    pub(crate) fn check_url(url: &str) -> Result<(), String> {
        place(url).map(drop)
    }

    /// Whether it is a request for this URL.
    pub(crate) fn is_of(&self, url: &str) -> bool {
        place(url).is_ok_and(|place| {
            place.host.eq_ignore_ascii_case(&self.host)
                && (place.secure, place.port, place.target.as_str()) == (self.secure, self.port, self.target.as_str())
        })
    }
}

/// Where a URL leads.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) secure: bool,
    pub(super) host: String,
    pub(super) port: u16,
    pub(super) target: String,
}

/// Reads a URL, as strictly as it can be read in one way only.
///
/// # Errors
/// Why it is none.
pub(super) fn place(url: &str) -> Result<Place, String> {
    let wrong = |why: &str| format!("a URL that {why}");
    if url.len() > URL_BYTES_MAX {
        return Err(wrong("is too long"));
    }
    let (scheme, rest) = url.split_once("://").ok_or_else(|| wrong("has no scheme"))?;
    let (secure, usual) = match scheme {
        "http" => (false, 80),
        "https" => (true, 443),
        _ => return Err(wrong("is neither http:// nor https://")),
    };
    let at = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let (authority, path) = rest.split_at(at);
    let target = match path.starts_with('/') {
        true => target(path.to_owned()),
        false => target(format!("/{path}")),
    }
    .map_err(|_| wrong("has a path or query that is not visible ASCII, or a #"))?;
    let (host, port) = match authority.strip_prefix('[') {
        Some(bracketed) => {
            let (address, after) = bracketed.split_once(']').ok_or_else(|| wrong("has an open bracket"))?;
            let is_v6 = matches!(address.parse(), Ok(IpAddr::V6(_)));
            is_v6.then_some((address, after.strip_prefix(':').map_or((after, false), |port| (port, true))))
        }
        None => Some(match authority.split_once(':') {
            Some((host, port)) => (host, (port, true)),
            None => (authority, ("", false)),
        }),
    }
    .ok_or_else(|| wrong("has no address in its brackets"))?;
    let port = match port {
        ("", false) => usual,
        (port, true) if !port.is_empty() && port.bytes().all(|byte| byte.is_ascii_digit()) => {
            port.parse().ok().filter(|port| *port > 0).ok_or_else(|| wrong("has a port that is none"))?
        }
        _ => return Err(wrong("has a port that is none")),
    };
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b".-_:".contains(&byte);
    match !host.is_empty() && host.bytes().all(is_plain) {
        true => Ok(Place { secure, host: host.to_owned(), port, target }),
        false => Err(wrong("has no host, or one with a user or other letters than those of a name")),
    }
}

/// Checks a method.
///
/// # Errors
/// Why it is not allowed.
pub(super) fn method(method: String) -> Result<String, String> {
    let is_token = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    match (1..=METHOD_BYTES_MAX).contains(&method.len()) && method.bytes().all(is_token) {
        true if !matches!(method.as_str(), "CONNECT" | "TRACE") => Ok(method),
        _ => Err("a method that is no token, too long, CONNECT or TRACE".into()),
    }
}

/// Fields as they may be sent; `None`: they are too many or too large.
///
/// # Errors
/// Which is not allowed.
pub(super) fn fields(fields: Fields) -> Result<Option<Fields>, String> {
    let bytes: usize = fields.iter().map(|(name, value)| name.len() + value.len()).sum();
    if fields.len() > FIELDS_MAX || bytes > FIELDS_BYTES_MAX {
        return Ok(None);
    }
    fields.into_iter().map(|(name, of)| Ok((own_name(name)?, value(of)?))).collect::<Result<_, String>>().map(Some)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_says_whom_and_for_what() {
        for (url, expected) in [
            ("http://a.example", (false, "a.example", 80, "/")),
            ("https://a.example/x?y=1", (true, "a.example", 443, "/x?y=1")),
            ("https://a.example:8443?y", (true, "a.example", 8443, "/?y")),
            ("http://[2001:db8::1]:81/", (false, "2001:db8::1", 81, "/")),
            ("http://[::1]", (false, "::1", 80, "/")),
            ("http://10.0.0.1:8080/a@b:c", (false, "10.0.0.1", 8080, "/a@b:c")),
        ] {
            let (secure, host, port, target) = expected;
            let (host, target) = (host.to_owned(), target.to_owned());
            assert_eq!(place(url).unwrap(), Place { secure, host, port, target }, "{url}");
        }
    }

    #[test]
    fn what_can_be_read_in_two_ways_is_no_url() {
        let long = format!("http://a/{}", "a".repeat(URL_BYTES_MAX));
        for url in [
            "",
            "a.example",
            "//a.example",
            "HTTP://a.example",
            "ftp://a.example",
            "http://",
            "http:///path",
            "http://user@a.example/",
            "http://a.example@b.example/",
            "http://a.example\\@b.example/",
            "http://a.example#b",
            "http://a.example/#b",
            "http://a.example:",
            "http://a.example:+80",
            "http://a.example:0",
            "http://a.example:65536",
            "http://a.example:80:81",
            "http://::1/",
            "http://[::1",
            "http://[::1]80",
            "http://[10.0.0.1]",
            "http://[a.example]",
            "http://a.example/ b",
            "http://a.example/\r\nx: y",
            "http://a.example\r\nx:y",
            "http://ä.example/",
            "http://a%2eexample/",
            &long,
        ] {
            assert!(place(url).is_err(), "{url}");
        }
    }

    #[test]
    fn methods_and_fields_cannot_end_a_line_nor_frame_a_message() {
        assert_eq!(method("PURGE".into()).unwrap(), "PURGE");
        for wrong in ["", "A B", "GET\r\n", "CONNECT", "TRACE", &"A".repeat(METHOD_BYTES_MAX + 1)] {
            assert!(method(wrong.into()).is_err(), "{wrong:?}");
        }
        for (name, value) in
            [("host", "a"), ("Content-Length", "1"), ("te", "trailers"), ("x", "a\r\nb: c"), ("a b", "c")]
        {
            assert!(fields(vec![(name.into(), value.into())]).is_err(), "{name}");
        }
        assert_eq!(fields(vec![("X-A".into(), b" b ".into())]), Ok(Some(vec![("x-a".into(), b"b".into())])));
        assert_eq!(fields(vec![("x".into(), Vec::new()); FIELDS_MAX + 1]), Ok(None));
        assert_eq!(fields(vec![("x".into(), vec![b'a'; 6 << 10]); 3]), Ok(None));
    }
}

//! What a client of the explicit proxy asks for: absolute form and authority form (RFC 9112 §3.2.2, §3.2.3). Pure.

use std::fmt;

use http::Uri;

use super::Refusal;
use crate::site::normalise_host;

/// A host, normalised, and a port.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    /// The host: a name, an IPv4 address, or an IPv6 address in brackets.
    pub host: String,
    /// The port.
    pub port: u16,
}

impl Target {
    /// Of `http://host[:port]/path?query`, with its path and query. The path of `http://host` is empty.
    ///
    /// # Errors
    /// [`Refusal::Malformed`] for everything else, user information and other schemes included.
    pub fn of_absolute(text: &str) -> Result<(Self, String), Refusal> {
        let uri: Uri = text.parse().map_err(|_| Refusal::Malformed)?;
        let is_http = uri.scheme_str() == Some("http") && !text.contains('#');
        let authority = uri.authority().filter(|_| is_http).ok_or(Refusal::Malformed)?;
        let target = Self::of_authority(authority.as_str(), Some(80))?;
        // Not what the parser made of it, which says "/" where nothing stands.
        let rest = text.get("http://".len() + authority.as_str().len()..).ok_or(Refusal::Malformed)?;
        Ok((target, rest.to_owned()))
    }

    /// Of `host:port`, where a port may be missing only when there is a default.
    ///
    /// # Errors
    /// [`Refusal::Malformed`].
    pub fn of_authority(text: &str, default: Option<u16>) -> Result<Self, Refusal> {
        let host = normalise_host(text).ok_or(Refusal::Malformed)?;
        let after_host = &text[text.rfind(']').map_or(0, |end| end + 1)..];
        let port = match after_host.rsplit_once(':') {
            Some((_, "")) | None => default,
            Some((_, digits)) => Some(digits.parse().map_err(|_| Refusal::Malformed)?),
        };
        match port.filter(|port| *port != 0) {
            Some(port) if !host.contains('~') && (host.starts_with('[') || !host.contains(':')) => {
                Ok(Self { host, port })
            }
            _ => Err(Refusal::Malformed),
        }
    }

    /// The part of the cache key that tells it from every other target, and from the hosts of sites.
    pub fn key_host(&self) -> String {
        format!("http://{}:{}", self.host, self.port)
    }

    /// Host field of requests to it: without the default port (RFC 9110 §4.2.3).
    pub fn host_field(&self) -> String {
        if self.port == 80 { self.host.clone() } else { self.to_string() }
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.host, self.port)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn absolute_targets_are_read_with_the_path_as_it_stands() {
        for (text, expected) in [
            ("http://a.example/x?y", Some(("a.example:80", "/x?y"))),
            ("http://A.Example:8080", Some(("a.example:8080", ""))),
            ("http://a.example?q", Some(("a.example:80", "?q"))),
            ("http://a.example.:80//x", Some(("a.example:80", "//x"))),
            ("http://[2001:db8::1]:81/", Some(("[2001:db8::1]:81", "/"))),
            ("HTTP://a.example/x", Some(("a.example:80", "/x"))),
            ("https://a.example/", None),
            ("ftp://a.example/", None),
            ("http://user@a.example/", None),
            ("http://a.example:0/", None),
            ("http://a.example:99999/", None),
            ("http://a.example/#f", None),
            ("http:///x", None),
            ("/x", None),
            ("a.example:80", None),
        ] {
            let read = Target::of_absolute(text).ok().map(|(target, path)| (target.to_string(), path));
            let expected = expected.map(|(target, path)| (target.to_owned(), path.to_owned()));
            assert_eq!(read, expected, "{text}");
        }
    }

    #[test]
    fn a_tunnel_needs_a_host_and_a_port() {
        for (text, expected) in [
            ("a.example:443", Some("a.example:443")),
            ("A.example.:443", Some("a.example:443")),
            ("[::1]:443", Some("[::1]:443")),
            ("a.example", None),
            ("a.example:", None),
            ("a.example:x", None),
            ("a.example:65536", None),
            ("a:b:443", None),
            ("::1:443", None),
            ("user@a.example:443", None),
            (":443", None),
            ("http://a.example:443", None),
        ] {
            let read = Target::of_authority(text, None).ok().map(|target| target.to_string());
            assert_eq!(read.as_deref(), expected, "{text}");
        }
    }
}

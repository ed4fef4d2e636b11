//! Which contents of the cache a swarm may send, as an operator writes it: `video.example/title/*`. Pure.
//!
//! Invariant: a host is whole; only the end of a path is left open, and only by a `*`.

use std::fmt;
use std::str::FromStr;

use serde::Deserialize;
use serde::de::{Deserializer, Error};

/// Entries of one list.
pub const CONTENT_MAX: usize = 256;

/// One entry: a host, and a path or the beginning of one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Content {
    host: String,
    path: String,
    /// Whether more may follow.
    is_open: bool,
}

impl Content {
    /// Whether it names what has this host and path (with its query), in the spelling of keys.
    pub fn names(&self, host: &str, path: &str) -> bool {
        let fits = if self.is_open { path.starts_with(&self.path) } else { path == self.path };
        self.host == host && fits
    }
}

impl FromStr for Content {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let problem = || format!("{text:?} is no content: write \"video.example/title/*\", or a host and a whole path");
        let (host, _) = text.split_once('/').ok_or_else(problem)?;
        let path = &text[host.len()..];
        let (path, is_open) = path.strip_suffix('*').map_or((path, false), |path| (path, true));
        let is_plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"-_.".contains(&byte);
        let is_host = !host.is_empty() && !host.ends_with('.') && host.bytes().all(is_plain);
        // A `*` anywhere else would look as if it meant something.
        match is_host && !path.contains('*') && path.is_ascii() {
            true => Ok(Self { host: host.to_owned(), path: path.to_owned(), is_open }),
            false => Err(problem()),
        }
    }
}

impl fmt::Display for Content {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}{}", self.host, self.path, if self.is_open { "*" } else { "" })
    }
}

impl<'de> Deserialize<'de> for Content {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(D::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn content(text: &str) -> Content {
        text.parse().unwrap()
    }

    #[test]
    fn a_host_is_whole_and_a_path_is_open_at_a_star_only() {
        let below = content("video.example/title/*");
        assert!(below.names("video.example", "/title/seg-1.m4s?a") && below.names("video.example", "/title/"));
        assert!(!below.names("video.example", "/title") && !below.names("video.example", "/other/title/a"));
        assert!(!below.names("www.video.example", "/title/a") && !below.names("video.example.org", "/title/a"));
        let one = content("video.example/a");
        assert!(one.names("video.example", "/a") && !one.names("video.example", "/ab"));
        assert!(content("video.example/*").names("video.example", "/"));
    }

    #[test]
    fn what_is_no_host_and_path_is_refused() {
        for text in ["", "video.example", "/a", "*/a", "*.example/a", "video.example/*/a", "Video.example/a", "v./a"] {
            assert!(text.parse::<Content>().is_err(), "{text:?}");
        }
        assert_eq!(content("video.example/a*").to_string(), "video.example/a*");
    }
}

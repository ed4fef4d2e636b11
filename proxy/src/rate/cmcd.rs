//! Common Media Client Data (CTA-5004): what a player tells of itself, read from the header fields or the query, and
//! kept out of the cache key.

use std::borrow::Cow;

use http::HeaderMap;

/// Longest CMCD text that is read; what is longer is ignored.
const TEXT_BYTES_MAX: usize = 2048;

/// The keys the rate policy uses.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Cmcd {
    /// `mtp`: measured throughput, kbit/s.
    pub throughput_kbps: Option<u32>,
    /// `bl`: buffer length, ms.
    pub buffer_ms: Option<u32>,
    /// Hash of `sid`: the session.
    pub session: Option<u64>,
}

impl Cmcd {
    /// From the CMCD fields and the `CMCD` argument of `query`.
    pub fn of(headers: &HeaderMap, query: Option<&str>) -> Self {
        let mut cmcd = Self::default();
        for name in ["cmcd-request", "cmcd-object", "cmcd-session", "cmcd-status"] {
            if let Some(text) = headers.get(name).and_then(|value| value.to_str().ok()) {
                cmcd.read(text);
            }
        }
        let pairs = url::form_urlencoded::parse(query.unwrap_or("").as_bytes());
        for (_, text) in pairs.filter(|(name, _)| name == "CMCD") {
            cmcd.read(&text);
        }
        cmcd
    }

    fn read(&mut self, text: &str) {
        if text.len() > TEXT_BYTES_MAX {
            return;
        }
        for (key, value) in text.split(',').filter_map(|pair| pair.trim().split_once('=')) {
            match key {
                "mtp" => self.throughput_kbps = value.parse().ok(),
                "bl" => self.buffer_ms = value.parse().ok(),
                "sid" => self.session = Some(littoral_cache::key::hash_bytes(value.as_bytes()) as u64),
                _ => {}
            }
        }
    }
}

/// `path_and_query` without its `CMCD` argument, when the site knows CMCD.
pub fn without_query(path_and_query: &str, known: bool) -> Cow<'_, str> {
    let Some((path, query)) = path_and_query.split_once('?').filter(|(_, query)| known && query.contains("CMCD="))
    else {
        return Cow::Borrowed(path_and_query);
    };
    let kept: Vec<&str> = query.split('&').filter(|pair| !pair.starts_with("CMCD=")).collect();
    Cow::Owned(if kept.is_empty() { path.to_owned() } else { format!("{path}?{}", kept.join("&")) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_is_read_from_fields_and_query() {
        let mut headers = HeaderMap::new();
        headers.insert("cmcd-request", http::HeaderValue::from_static("bl=4200,mtp=2500,su"));
        headers.insert("cmcd-session", http::HeaderValue::from_static("sid=\"abc\""));
        let from_fields = Cmcd::of(&headers, None);
        let from_query = Cmcd::of(&HeaderMap::new(), Some("x=1&CMCD=bl%3D4200%2Cmtp%3D2500%2Csid%3D%22abc%22"));
        assert_eq!(from_fields, from_query);
        assert_eq!((from_fields.buffer_ms, from_fields.throughput_kbps), (Some(4200), Some(2500)));
    }

    #[test]
    fn nonsense_is_nothing() {
        assert_eq!(Cmcd::of(&HeaderMap::new(), Some("CMCD=mtp%3Dfast%2Cbl%2C%3D")), Cmcd::default());
        let long = format!("CMCD=mtp%3D1%2C{}", "x".repeat(TEXT_BYTES_MAX));
        assert_eq!(Cmcd::of(&HeaderMap::new(), Some(&long)), Cmcd::default());
    }

    #[test]
    fn the_argument_is_kept_out_of_the_key() {
        for (path, expected) in [("/a?CMCD=x", "/a"), ("/a?b=1&CMCD=x&c", "/a?b=1&c"), ("/a?b", "/a?b"), ("/a", "/a")] {
            assert_eq!(without_query(path, true), expected);
        }
        assert_eq!(without_query("/a?CMCD=x", false), "/a?CMCD=x");
    }
}

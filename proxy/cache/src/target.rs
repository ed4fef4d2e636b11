//! What a purge may name, and whether it names an object. Pure: finding the objects is the store's.
//!
//! An object is known by its key text (`host SP path?query`, [`crate::Key::text`]) and the hashes of its surrogate keys, so
//! that any tier that has these two can ask.

use regex::bytes::{Regex, RegexBuilder};

use crate::key::Key;
use crate::limits::{PURGE_REGEX_BYTES, PURGE_REGEX_PATTERN_BYTES};

/// What a purge names.
#[derive(Debug, Clone)]
pub enum Target {
    /// All variants of one URL.
    Url(Key),
    /// All paths of a host that begin like this.
    Prefix(Box<[u8]>),
    /// Everything of one host.
    Host(Box<[u8]>),
    /// All URLs, written `host/path?query`, in which it is found.
    Regex(Regex),
    /// All entries that carry a surrogate key, by its hash.
    Surrogate(u128),
    /// Everything.
    All,
}

/// Why an expression names nothing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RegexRefused {
    /// The pattern is too long.
    #[error("the expression has more than {PURGE_REGEX_PATTERN_BYTES} bytes")]
    Long,
    /// It is no expression, or too large when compiled.
    #[error("{0}")]
    Wrong(String),
}

impl Target {
    /// The kinds, as metric labels.
    pub const KINDS: [&'static str; 6] = ["url", "prefix", "host", "regex", "key", "all"];

    /// Paths of `host` that begin with `path`; both in the spelling of keys.
    pub fn prefix(host: &str, path: &str) -> Self {
        Self::Prefix(Key::new(host, path).text().into())
    }

    /// Everything of `host`, in the spelling of keys.
    pub fn host(host: &str) -> Self {
        Self::Host(Key::new(host, "").text().into())
    }

    /// Every URL, written `host/path?query`, in which `pattern` is found. Matching takes time linear in the URL; the compiled
    /// expression has at most [`PURGE_REGEX_BYTES`].
    ///
    /// # Errors
    /// When it is no expression of ASCII classes, or too large.
    pub fn regex(pattern: &str) -> Result<Self, RegexRefused> {
        if pattern.len() > PURGE_REGEX_PATTERN_BYTES {
            return Err(RegexRefused::Long);
        }
        let mut builder = RegexBuilder::new(pattern);
        // URLs are ASCII: the classes of Unicode would only make it large.
        builder.unicode(false).size_limit(PURGE_REGEX_BYTES).dfa_size_limit(PURGE_REGEX_BYTES);
        let one_line = |error: regex::Error| error.to_string().lines().map(str::trim).collect::<Vec<_>>().join(" ");
        builder.build().map(Self::Regex).map_err(|error| RegexRefused::Wrong(one_line(error)))
    }

    /// The place of its kind in [`Self::KINDS`].
    pub fn kind(&self) -> usize {
        match self {
            Self::Url(_) => 0,
            Self::Prefix(_) => 1,
            Self::Host(_) => 2,
            Self::Regex(_) => 3,
            Self::Surrogate(_) => 4,
            Self::All => 5,
        }
    }

    /// Whether it names an object of this key text and these surrogate keys (hashed).
    pub fn names(&self, key_text: &[u8], surrogates: &[u128]) -> bool {
        match self {
            Self::Url(key) => key.text() == key_text,
            Self::Prefix(start) | Self::Host(start) => key_text.starts_with(start),
            Self::Regex(regex) => regex.is_match(&as_url(key_text)),
            Self::Surrogate(key) => surrogates.contains(key),
            Self::All => true,
        }
    }

    /// Bytes it takes while it is remembered, at most.
    pub(crate) fn weight(&self) -> usize {
        let own = match self {
            Self::Url(key) => key.text().len(),
            Self::Prefix(text) | Self::Host(text) => text.len(),
            // Compiled, and as much again for what matching it keeps.
            Self::Regex(_) => 2 * PURGE_REGEX_BYTES,
            Self::Surrogate(_) | Self::All => 0,
        };
        size_of::<Self>() + own
    }
}

/// A key text as people write it: without the byte between host and path.
fn as_url(key_text: &[u8]) -> Vec<u8> {
    let space = key_text.iter().position(|byte| *byte == b' ').unwrap_or(key_text.len());
    [&key_text[..space], key_text.get(space + 1..).unwrap_or(&[])].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_target_names_what_it_says_and_nothing_beside_it() {
        let regex = |pattern| Target::regex(pattern).unwrap();
        let cases: [(Target, &[&str], &[&str]); 7] = [
            (Target::Url(Key::new("a.example", "/x")), &["a.example /x"], &["a.example /xy", "b.a.example /x"]),
            (Target::prefix("a.example", "/t/"), &["a.example /t/", "a.example /t/1?q"], &["a.example /t", "b /t/1"]),
            (Target::host("a.example"), &["a.example /", "a.example /x"], &["a.example.org /x", "aa.example /x"]),
            (regex(r"\.m4s(\?|$)"), &["a /1.m4s", "b /2.m4s?x"], &["a /1.m4sx", "a /1.mpd"]),
            (regex(r"^a\.example/t"), &["a.example /t"], &["b /a.example/t"]),
            (Target::Surrogate(7), &[], &["a /x"]),
            (Target::All, &["a /x"], &[]),
        ];
        for (target, named, others) in cases {
            assert!(named.iter().all(|text| target.names(text.as_bytes(), &[])), "{target:?}");
            assert!(!others.iter().any(|text| target.names(text.as_bytes(), &[])), "{target:?}");
        }
        assert!(Target::Surrogate(7).names(b"a /x", &[3, 7]));
    }

    #[test]
    fn an_expression_that_is_none_or_too_large_is_refused() {
        assert!(matches!(Target::regex("(a"), Err(RegexRefused::Wrong(said)) if said.contains("unclosed group")));
        assert!(matches!(Target::regex("((a{99}){99}){99}"), Err(RegexRefused::Wrong(_))));
        assert!(matches!(Target::regex(&"a".repeat(PURGE_REGEX_PATTERN_BYTES + 1)), Err(RegexRefused::Long)));
    }

    #[test]
    fn an_expression_that_would_backtrack_for_ever_takes_linear_time() {
        let hostile = Target::regex("(a*)*(a*)*(a*)*b$").unwrap();
        assert!(!hostile.names(format!("h /{}", "a".repeat(32 << 10)).as_bytes(), &[]));
    }
}

//! Vary (RFC 9110 §12.5.5, RFC 9111 §4.1): which request fields select among stored responses.
//!
//! The secondary key is the listed fields' values, in the listed order, with optional whitespace around list members
//! dropped. Normalising values (folding `Accept-Encoding` to what is stored) belongs to the site's rules, not here.

use http::HeaderMap;
use http::header::{HeaderName, VARY};

use crate::key::hash_bytes;
use crate::limits::VARY_FIELDS;

/// The request fields a response varies on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Vary {
    /// The response does not vary.
    None,
    /// It varies on these fields, in the order given, each once.
    Fields(Vec<HeaderName>),
    /// `Vary: *`, an unreadable member or more than [`VARY_FIELDS`]: it answers no other request.
    Any,
}

impl Vary {
    /// Reads the Vary fields of a response.
    pub fn of(response: &HeaderMap) -> Self {
        let mut fields = Vec::new();
        for value in response.get_all(VARY) {
            let Ok(text) = value.to_str() else { return Self::Any };
            for member in text.split(',').map(str::trim).filter(|member| !member.is_empty()) {
                match HeaderName::from_bytes(member.as_bytes()) {
                    Ok(name) if member != "*" => {
                        if !fields.contains(&name) {
                            fields.push(name);
                        }
                    }
                    _ => return Self::Any,
                }
            }
        }
        match fields.len() {
            0 => Self::None,
            1..=VARY_FIELDS => Self::Fields(fields),
            _ => Self::Any,
        }
    }

    /// The secondary key of `request`, or `None` when the response does not vary.
    pub fn variance(&self, request: &HeaderMap) -> Option<[u8; 16]> {
        let Self::Fields(fields) = self else { return None };
        let mut text = Vec::with_capacity(64);
        for name in fields {
            text.extend_from_slice(name.as_str().as_bytes());
            text.push(b':');
            for value in request.get_all(name) {
                for member in value.as_bytes().split(|byte| *byte == b',') {
                    text.extend_from_slice(member.trim_ascii());
                    text.push(b',');
                }
            }
            text.push(b'\n');
        }
        Some(hash_bytes(&text).to_le_bytes())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;

    fn map(pairs: &[(&str, &str)]) -> HeaderMap {
        let pair = |(name, value): &(&str, &str)| {
            (HeaderName::from_bytes(name.as_bytes()).unwrap(), HeaderValue::from_str(value).unwrap())
        };
        pairs.iter().map(pair).collect()
    }

    #[test]
    fn requests_that_agree_on_the_listed_fields_share_a_variant() {
        let vary = Vary::of(&map(&[("vary", "Accept-Encoding, accept-language")]));
        let plain = map(&[("accept-encoding", "gzip, br"), ("x", "1")]);
        let spaced = map(&[("accept-encoding", "gzip ,br"), ("x", "2")]);
        let other = map(&[("accept-encoding", "br")]);
        assert_eq!(vary.variance(&plain), vary.variance(&spaced));
        assert_ne!(vary.variance(&plain), vary.variance(&other));
        assert_ne!(vary.variance(&plain), vary.variance(&HeaderMap::new()));
    }

    #[test]
    fn a_star_or_too_many_fields_match_nothing_else() {
        assert_eq!(Vary::of(&map(&[("vary", "accept, *")])), Vary::Any);
        let many = (0..=VARY_FIELDS).map(|i| format!("x-{i}")).collect::<Vec<_>>().join(",");
        assert_eq!(Vary::of(&map(&[("vary", &many)])), Vary::Any);
        assert_eq!(Vary::of(&HeaderMap::new()), Vary::None);
    }
}

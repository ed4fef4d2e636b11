//! Vary (RFC 9110 §12.5.5, RFC 9111 §4.1): which request fields select among stored responses.
//!
//! The secondary key is the listed fields' values, in the listed order, and what a site adds to its keys ([`Selectors`]).
//! Values that mean the same are the same: whitespace around list members counts nowhere, order and case not in the fields of
//! content negotiation. Folding a value to what is stored ([`fold`]) is the site's choice and done on the request itself.

use http::HeaderMap;
use http::header::{ACCEPT, ACCEPT_CHARSET, ACCEPT_ENCODING, ACCEPT_LANGUAGE, COOKIE, HeaderName, VARY};

use crate::key::digest;
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

    /// The secondary key of `request` among the responses of a site with these selectors; `None` when neither the response nor
    /// the site varies.
    pub fn variance(&self, request: &HeaderMap, selectors: &Selectors) -> Option<[u8; 16]> {
        let fields: &[HeaderName] = if let Self::Fields(fields) = self { fields } else { &[] };
        if fields.is_empty() && selectors.is_empty() {
            return None;
        }
        let mut text = Vec::with_capacity(64);
        for name in fields.iter().chain(&selectors.headers) {
            text.extend_from_slice(name.as_str().as_bytes());
            text.push(b':');
            if NEGOTIATION.contains(name) {
                push_negotiation(request, name, &mut text);
            } else {
                for member in members(request, name) {
                    text.extend_from_slice(member);
                    text.push(b',');
                }
            }
            text.push(b'\n');
        }
        for name in &selectors.cookies {
            text.extend_from_slice(name.as_bytes());
            text.push(b'=');
            text.extend_from_slice(cookie(request, name).unwrap_or_default());
            text.push(b'\n');
        }
        Some(digest(&[&text]).to_le_bytes())
    }
}

/// What a site adds to its keys: variants are told apart by these as if every response had named them in Vary.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Selectors {
    /// Request fields.
    pub headers: Vec<HeaderName>,
    /// Cookies, by name.
    pub cookies: Vec<String>,
}

impl Selectors {
    /// Whether it adds nothing.
    pub fn is_empty(&self) -> bool {
        self.headers.is_empty() && self.cookies.is_empty()
    }
}

/// Fields whose members' order and case mean nothing (RFC 9110 §12.5).
const NEGOTIATION: [HeaderName; 4] = [ACCEPT, ACCEPT_CHARSET, ACCEPT_ENCODING, ACCEPT_LANGUAGE];

fn members<'a>(request: &'a HeaderMap, name: &HeaderName) -> impl Iterator<Item = &'a [u8]> {
    request
        .get_all(name)
        .into_iter()
        .flat_map(|value| value.as_bytes().split(|byte| *byte == b','))
        .map(<[u8]>::trim_ascii)
}

/// The members in lower case, without blanks, sorted.
fn push_negotiation(request: &HeaderMap, name: &HeaderName, text: &mut Vec<u8>) {
    let folded = |member: &[u8]| -> Vec<u8> {
        member.iter().filter(|byte| !matches!(byte, b' ' | b'\t')).map(u8::to_ascii_lowercase).collect()
    };
    let mut sorted: Vec<Vec<u8>> = members(request, name).filter(|member| !member.is_empty()).map(folded).collect();
    sorted.sort_unstable();
    for member in sorted {
        text.extend_from_slice(&member);
        text.push(b',');
    }
}

/// The value of a cookie (RFC 6265 §4.2); of several by one name the first.
fn cookie<'a>(request: &'a HeaderMap, name: &str) -> Option<&'a [u8]> {
    let pairs = request.get_all(COOKIE).into_iter().flat_map(|value| value.as_bytes().split(|byte| *byte == b';'));
    pairs.map(<[u8]>::trim_ascii).find_map(|pair| pair.strip_prefix(name.as_bytes())?.strip_prefix(b"="))
}

/// Which of what is `offered`, best first, a negotiation field wants most (RFC 9110 §12.4.2): the highest weight wins, the order
/// of the offer breaks ties. An offer matches itself, the ranges it begins with (`en-GB` is in `en`, RFC 4647 §3.3.1) and `*`.
/// `None`: none of it, or the field is not there.
pub fn fold<'a>(request: &HeaderMap, name: &HeaderName, offered: &'a [String]) -> Option<&'a str> {
    let listed: Vec<(&[u8], u16)> = members(request, name).map(weighed).collect();
    let weight = |offer: &str| {
        let is_in = |range: &[u8]| {
            let starts = offer.as_bytes().get(..range.len()).is_some_and(|start| start.eq_ignore_ascii_case(range));
            starts && matches!(offer.as_bytes().get(range.len()), None | Some(b'-'))
        };
        let closest = listed.iter().filter(|(range, _)| is_in(range)).max_by_key(|(range, _)| range.len());
        closest.or_else(|| listed.iter().find(|(range, _)| *range == b"*")).map_or(0, |(_, weight)| *weight)
    };
    let mut best = None;
    for offer in offered {
        let weight = weight(offer);
        if weight > best.map_or(0, |(_, known)| known) {
            best = Some((offer.as_str(), weight));
        }
    }
    best.map(|(offer, _)| offer)
}

/// A member and its weight in thousandths; one that cannot be read weighs nothing.
fn weighed(member: &[u8]) -> (&[u8], u16) {
    let mut parts = member.split(|byte| *byte == b';').map(<[u8]>::trim_ascii);
    let range = parts.next().unwrap_or_default();
    let weight = parts.find_map(|part| part.strip_prefix(b"q=").or(part.strip_prefix(b"Q=")));
    (range, weight.map_or(1000, |text| thousandths(text).unwrap_or(0)))
}

/// `qvalue`: `0`, `1` or with up to three digits behind a point.
fn thousandths(text: &[u8]) -> Option<u16> {
    let text = std::str::from_utf8(text).ok()?;
    let (whole, rest) = text.split_once('.').unwrap_or((text, ""));
    let digits = rest.len() <= 3 && rest.bytes().all(|byte| byte.is_ascii_digit());
    let rest = format!("{rest:0<3}").parse::<u16>().ok().filter(|_| digits)?;
    match whole {
        "0" => Some(rest),
        "1" if rest == 0 => Some(1000),
        _ => None,
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
        let none = Selectors::default();
        assert_eq!(vary.variance(&plain, &none), vary.variance(&spaced, &none));
        assert_ne!(vary.variance(&plain, &none), vary.variance(&other, &none));
        assert_ne!(vary.variance(&plain, &none), vary.variance(&HeaderMap::new(), &none));
    }

    #[test]
    fn a_star_or_too_many_fields_match_nothing_else() {
        assert_eq!(Vary::of(&map(&[("vary", "accept, *")])), Vary::Any);
        let many = (0..=VARY_FIELDS).map(|i| format!("x-{i}")).collect::<Vec<_>>().join(",");
        assert_eq!(Vary::of(&map(&[("vary", &many)])), Vary::Any);
        assert_eq!(Vary::of(&HeaderMap::new()), Vary::None);
    }

    #[test]
    fn negotiation_that_means_the_same_selects_the_same_variant() {
        let vary = Vary::of(&map(&[("vary", "accept-language, x-case")]));
        let of = |language: &str, case: &str| {
            vary.variance(&map(&[("accept-language", language), ("x-case", case)]), &Selectors::default())
        };
        assert_eq!(of("en, DE ; q=0.5", "a"), of("de;q=0.5,EN", "a"));
        assert_ne!(of("en, de;q=0.5", "a"), of("en, de", "a"));
        assert_ne!(of("en", "a"), of("en", "A"), "case counts in other fields");
    }

    #[test]
    fn a_site_may_tell_variants_apart_by_fields_and_cookies_of_its_own() {
        let selectors = Selectors { headers: vec![HeaderName::from_static("x-device")], cookies: vec!["lang".into()] };
        let of = |device: &str, cookies: &str| {
            Vary::None.variance(&map(&[("x-device", device), ("cookie", cookies)]), &selectors)
        };
        assert_eq!(of("tv", "a=1; lang=de"), of("tv", "lang=de; b=2"));
        assert_ne!(of("tv", "lang=de"), of("phone", "lang=de"));
        assert_ne!(of("tv", "lang=de"), of("tv", "xlang=de"));
        assert_eq!(Vary::None.variance(&HeaderMap::new(), &Selectors::default()), None);
    }

    #[test]
    fn a_field_is_folded_to_the_offer_it_wants_most() {
        let offered = |offers: &[&str]| offers.iter().map(|offer| (*offer).to_owned()).collect::<Vec<_>>();
        for (field, offers, expected) in [
            ("gzip, br", &["br", "gzip"][..], Some("br")),
            ("gzip;q=1, br;q=0.5", &["br", "gzip"], Some("gzip")),
            ("br;q=0, *", &["br", "gzip"], Some("gzip")),
            ("deflate", &["br", "gzip"], None),
            ("gzip;q=2", &["gzip"], None),
            ("fr;q=0.5, de;q=1.0", &["en", "fr", "de"], Some("de")),
            ("EN-gb, de;q=0.9", &["de", "en-GB"], Some("en-GB")),
            ("en", &["de", "en-GB"], Some("en-GB")),
            ("en-GB", &["de", "en"], None),
            ("", &["de"], None),
        ] {
            assert_eq!(fold(&map(&[("accept", field)]), &ACCEPT, &offered(offers)), expected, "{field}");
        }
    }
}

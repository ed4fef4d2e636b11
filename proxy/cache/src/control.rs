//! Directives: Cache-Control of requests and responses (RFC 9111 §5.2), and the fields that take its place in front of a
//! CDN: targeted fields (RFC 9213) and Surrogate-Control (Edge Architecture Specification 1.0).
//!
//! Reads only; what the directives mean together is decided in [`crate::freshness`] and [`crate::demand`]. Invariant: doubt
//! makes a response less reusable, never more.

use http::header::CACHE_CONTROL;
use http::{HeaderMap, HeaderName};
use sfv::{BareItem, ListEntry, Parser};

/// Longest lifetime believed, in seconds: RFC 9111 §1.2.2 asks for at least 2^31.
pub const SECONDS_MAX: u32 = 1 << 31;

/// Targeted fields (RFC 9213 §2.2) that count here, the most specific first.
pub const TARGETED: [HeaderName; 2] =
    [HeaderName::from_static("littoral-cache-control"), HeaderName::from_static("cdn-cache-control")];

/// Edge Architecture Specification 1.0 §2.3.
pub const SURROGATE_CONTROL: HeaderName = HeaderName::from_static("surrogate-control");

/// The name by which an origin can address a Surrogate-Control directive to this cache alone.
pub const SURROGATE_TARGET: &str = "littoral";

/// What a directive covers that may name fields: `no-cache` and `private`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Scope {
    /// It is not there.
    #[default]
    Nothing,
    /// Only these fields (RFC 9111 §5.2.2.4, §5.2.2.7).
    Fields(Vec<HeaderName>),
    /// The whole response.
    Whole,
}

/// The directives that a shared cache acts on.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CacheControl {
    /// `no-store`
    pub no_store: bool,
    /// `no-cache`
    pub no_cache: Scope,
    /// `private`
    pub private: Scope,
    /// `public`
    pub public: bool,
    /// `must-revalidate`
    pub must_revalidate: bool,
    /// `proxy-revalidate`
    pub proxy_revalidate: bool,
    /// `must-understand`
    pub must_understand: bool,
    /// `only-if-cached` (of a request)
    pub only_if_cached: bool,
    /// `max-age` in seconds
    pub max_age: Option<u32>,
    /// `s-maxage` in seconds
    pub s_maxage: Option<u32>,
    /// `min-fresh` in seconds (of a request)
    pub min_fresh: Option<u32>,
    /// `max-stale` in seconds (of a request); without a number, [`SECONDS_MAX`]
    pub max_stale: Option<u32>,
    /// `stale-while-revalidate` in seconds
    pub stale_while_revalidate: Option<u32>,
    /// `stale-if-error` in seconds
    pub stale_if_error: Option<u32>,
}

impl CacheControl {
    /// Reads all Cache-Control fields. Unknown directives are ignored; of a repeated number the smallest counts, and an
    /// unreadable one counts as zero, so that doubt makes the response stale (RFC 9111 §4.2.1).
    pub fn of(headers: &HeaderMap) -> Self {
        let mut control = Self::default();
        for value in headers.get_all(CACHE_CONTROL) {
            for directive in split_outside_quotes(value.as_bytes(), b',') {
                control.read(directive.trim_ascii());
            }
        }
        control
    }

    /// What governs a response in this cache: the first targeted field that is there, readable and not empty, else a
    /// Surrogate-Control with a word for caches, both instead of Cache-Control and Expires (RFC 9213 §2.1); `None` when the
    /// response has none of them.
    pub fn targeted(headers: &HeaderMap) -> Option<Self> {
        TARGETED.iter().find_map(|name| Self::of_targeted(headers, name)).or_else(|| Self::of_surrogate(headers))
    }

    fn of_targeted(headers: &HeaderMap, name: &HeaderName) -> Option<Self> {
        let mut text = Vec::new();
        for (at, value) in headers.get_all(name).into_iter().enumerate() {
            if at > 0 {
                text.push(b',');
            }
            text.extend_from_slice(value.as_bytes());
        }
        // A field that is no dictionary is ignored (§2.1).
        let dictionary: sfv::Dictionary = Parser::new(text.as_slice()).parse().ok()?;
        let mut control = Self::default();
        for (name, entry) in &dictionary {
            let ListEntry::Item(item) = entry else { continue };
            match &item.bare_item {
                BareItem::Boolean(true) => control.apply(name.as_str().as_bytes(), None),
                BareItem::Boolean(false) => {}
                BareItem::Integer(number) => {
                    let number = number.to_string();
                    control.apply(name.as_str().as_bytes(), Some(number.as_bytes()));
                }
                BareItem::String(text) => control.apply(name.as_str().as_bytes(), Some(text.as_str().as_bytes())),
                _ => control.apply(name.as_str().as_bytes(), Some(b"")),
            }
        }
        (!dictionary.is_empty()).then_some(control)
    }

    /// `max-age=N[+M]`, where M is how long it may be served stale, and `no-store`; a directive for another surrogate
    /// (`;name`) is not ours.
    fn of_surrogate(headers: &HeaderMap) -> Option<Self> {
        let mut control = Self::default();
        for value in headers.get_all(SURROGATE_CONTROL) {
            for directive in split_outside_quotes(value.as_bytes(), b',') {
                let mut parts = split_outside_quotes(directive, b';').map(<[u8]>::trim_ascii);
                let (name, argument) = name_and_argument(parts.next().unwrap_or_default());
                let mut targets = parts.filter(|part| !part.is_empty()).peekable();
                let ours = |target: &[u8]| target.eq_ignore_ascii_case(SURROGATE_TARGET.as_bytes());
                if targets.peek().is_some() && !targets.any(ours) {
                    continue;
                }
                if name.eq_ignore_ascii_case(b"no-store") {
                    control.no_store = true;
                } else if name.eq_ignore_ascii_case(b"max-age") {
                    let argument = argument.unwrap_or_default();
                    let (fresh, stale) = match argument.iter().position(|byte| *byte == b'+') {
                        Some(at) => (&argument[..at], Some(&argument[at + 1..])),
                        None => (argument, None),
                    };
                    least(&mut control.max_age, Some(fresh));
                    if let Some(stale) = stale {
                        least(&mut control.stale_while_revalidate, Some(stale));
                        least(&mut control.stale_if_error, Some(stale));
                    }
                }
            }
        }
        (control.no_store || control.max_age.is_some()).then_some(control)
    }

    fn read(&mut self, directive: &[u8]) {
        let (name, argument) = name_and_argument(directive);
        self.apply(name, argument);
    }

    fn apply(&mut self, name: &[u8], argument: Option<&[u8]>) {
        let is = |word: &str| name.eq_ignore_ascii_case(word.as_bytes());
        match () {
            () if is("no-store") => self.no_store = true,
            () if is("no-cache") => self.no_cache.cover(argument),
            () if is("private") => self.private.cover(argument),
            () if is("public") => self.public = true,
            () if is("must-revalidate") => self.must_revalidate = true,
            () if is("proxy-revalidate") => self.proxy_revalidate = true,
            () if is("must-understand") => self.must_understand = true,
            () if is("only-if-cached") => self.only_if_cached = true,
            () if is("max-age") => least(&mut self.max_age, argument),
            () if is("s-maxage") => least(&mut self.s_maxage, argument),
            // Of a request: the more that is asked for, the less is reused.
            () if is("min-fresh") => {
                let asked = argument.and_then(seconds).unwrap_or(SECONDS_MAX);
                self.min_fresh = Some(self.min_fresh.map_or(asked, |known| known.max(asked)));
            }
            () if is("max-stale") && argument.is_none() => self.max_stale = self.max_stale.or(Some(SECONDS_MAX)),
            () if is("max-stale") => least(&mut self.max_stale, argument),
            () if is("stale-while-revalidate") => least(&mut self.stale_while_revalidate, argument),
            () if is("stale-if-error") => least(&mut self.stale_if_error, argument),
            () => {}
        }
    }
}

impl Scope {
    /// Whether the directive is there at all.
    pub fn is_there(&self) -> bool {
        *self != Self::Nothing
    }

    /// Adds what one directive covers. One that names what is no field covers everything.
    fn cover(&mut self, argument: Option<&[u8]>) {
        let listed = argument.map(unquoted).filter(|list| !list.trim_ascii().is_empty());
        let names = listed.map(|list| {
            let members = list.split(|byte| *byte == b',').map(<[u8]>::trim_ascii).filter(|name| !name.is_empty());
            members.map(HeaderName::from_bytes).collect::<Result<Vec<_>, _>>()
        });
        match (names, &mut *self) {
            (Some(Ok(names)), Self::Fields(known)) => known.extend(names),
            (Some(Ok(names)), Self::Nothing) => *self = Self::Fields(names),
            (Some(Ok(_)), Self::Whole) => {}
            _ => *self = Self::Whole,
        }
    }
}

fn name_and_argument(directive: &[u8]) -> (&[u8], Option<&[u8]>) {
    match directive.iter().position(|byte| *byte == b'=') {
        Some(at) => (directive[..at].trim_ascii(), Some(directive[at + 1..].trim_ascii())),
        None => (directive, None),
    }
}

fn unquoted(text: &[u8]) -> &[u8] {
    let text = text.strip_prefix(b"\"").unwrap_or(text);
    text.strip_suffix(b"\"").unwrap_or(text)
}

fn least(slot: &mut Option<u32>, argument: Option<&[u8]>) {
    let seconds = argument.and_then(seconds).unwrap_or(0);
    *slot = Some(slot.map_or(seconds, |known| known.min(seconds)));
}

/// delta-seconds (RFC 9111 §1.2.2), also in quotes: a number that is too large is the largest.
pub(crate) fn seconds(text: &[u8]) -> Option<u32> {
    let text = unquoted(text).trim_ascii();
    if text.is_empty() || !text.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let digits = std::str::from_utf8(text).ok()?;
    let number = digits.parse::<u64>().map_or(SECONDS_MAX, |value| u32::try_from(value).unwrap_or(SECONDS_MAX));
    Some(number.min(SECONDS_MAX))
}

/// The parts of `text` between `separator`s that are not in quotes.
fn split_outside_quotes(text: &[u8], separator: u8) -> impl Iterator<Item = &[u8]> {
    let mut quoted = false;
    text.split(move |byte| {
        quoted ^= *byte == b'"';
        *byte == separator && !quoted
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;

    fn map(pairs: &[(&str, &str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in pairs {
            headers.append(HeaderName::from_bytes(name.as_bytes()).unwrap(), HeaderValue::from_str(value).unwrap());
        }
        headers
    }

    fn control(text: &str) -> CacheControl {
        CacheControl::of(&map(&[("cache-control", text)]))
    }

    #[test]
    fn doubtful_numbers_are_the_strictest() {
        for (text, max_age) in
            [("max-age=abc", 0), ("max-age=-1", 0), ("max-age", 0), ("max-age=60, max-age=5", 5), ("max-age=\"7\"", 7)]
        {
            assert_eq!(control(text).max_age, Some(max_age), "{text}");
        }
        assert_eq!(control("max-age=99999999999999999999").max_age, Some(SECONDS_MAX));
        assert_eq!(
            (control("min-fresh=x").min_fresh, control("max-stale").max_stale),
            (Some(SECONDS_MAX), Some(SECONDS_MAX))
        );
        assert_eq!((control("max-stale=x").max_stale, control("max-stale, max-stale=3").max_stale), (Some(0), Some(3)));
    }

    #[test]
    fn a_comma_inside_quotes_does_not_split_a_directive() {
        assert!(!control("x=\"a, no-store\"").no_store);
    }

    #[test]
    fn no_cache_and_private_may_cover_fields_only() {
        let fields =
            |names: &[&'static str]| Scope::Fields(names.iter().map(|name| HeaderName::from_static(name)).collect());
        for (text, expected) in [
            ("max-age=1", Scope::Nothing),
            ("no-cache", Scope::Whole),
            ("no-cache=\"\"", Scope::Whole),
            ("no-cache=\"x y\"", Scope::Whole),
            ("no-cache=\"Set-Cookie, x\"", fields(&["set-cookie", "x"])),
            ("no-cache=x", fields(&["x"])),
            ("no-cache=\"a\", no-cache=\"b\"", fields(&["a", "b"])),
            ("no-cache=\"a\", no-cache", Scope::Whole),
            ("no-cache, no-cache=\"a\"", Scope::Whole),
        ] {
            assert_eq!(control(text).no_cache, expected, "{text}");
        }
    }

    #[test]
    fn the_most_specific_targeted_field_counts_and_one_that_is_no_dictionary_does_not() {
        let age = |pairs: &[(&str, &str)]| CacheControl::targeted(&map(pairs)).map(|control| control.max_age);
        let (own, cdn, surrogate) = ("littoral-cache-control", "cdn-cache-control", "surrogate-control");
        assert_eq!(age(&[("cache-control", "max-age=1")]), None);
        assert_eq!(age(&[(cdn, "max-age=2"), (own, "max-age=1"), (surrogate, "max-age=3")]), Some(Some(1)));
        assert_eq!(age(&[(cdn, "max-age=2"), (own, "max-age=1,,"), (surrogate, "max-age=3")]), Some(Some(2)));
        assert_eq!(age(&[(cdn, ""), (surrogate, "max-age=3")]), Some(Some(3)));
        assert_eq!(age(&[(cdn, "Max-Age=2")]), None, "keys of a dictionary are lower case");
        assert_eq!(age(&[(cdn, "max-age=a")]), Some(Some(0)));
        assert_eq!(age(&[(cdn, "max-age=1"), (cdn, "no-store")]), Some(Some(1)));
        assert!(CacheControl::targeted(&map(&[(cdn, "max-age=1, no-store")])).unwrap().no_store);
        let private = CacheControl::targeted(&map(&[(cdn, "private=\"a\"")])).unwrap().private;
        assert_eq!(private, Scope::Fields(vec![HeaderName::from_static("a")]));
    }

    #[test]
    fn surrogate_control_speaks_to_all_surrogates_or_to_the_one_named() {
        let of = |text: &str| CacheControl::targeted(&map(&[("surrogate-control", text)]));
        for (text, max_age) in [
            ("max-age=3600", Some(3600)),
            ("MaX-aGe=3600", Some(3600)),
            ("max-age=3600;littoral", Some(3600)),
            ("max-age=3600;other", None),
            ("max-age=3600;other;littoral", Some(3600)),
            ("foobar, max-age=5", Some(5)),
            ("max-age=x", Some(0)),
            ("content=\"ESI/1.0\"", None),
        ] {
            assert_eq!(of(text).and_then(|control| control.max_age), max_age, "{text}");
        }
        let with_grace = of("max-age=10+20").unwrap();
        assert_eq!((with_grace.max_age, with_grace.stale_while_revalidate), (Some(10), Some(20)));
        assert!(of("no-store").unwrap().no_store);
    }
}

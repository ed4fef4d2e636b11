//! What a request asks of the cache by its own directives (RFC 9111 §5.2.1, §5.4; RFC 5861 §4).
//!
//! Pure: it says whether a stored response will do; who then fetches or refuses is the request path's matter.

use http::HeaderMap;
use http::header::{CACHE_CONTROL, PRAGMA};

use crate::control::{CacheControl, SECONDS_MAX, Scope};

/// The directives of a request.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Demand {
    no_cache: bool,
    max_age: Option<u32>,
    min_fresh: Option<u32>,
    max_stale: Option<u32>,
    /// Nothing of the exchange may be stored.
    pub no_store: bool,
    /// Only what is stored will do; else 504.
    pub only_if_cached: bool,
    /// It takes a response so many seconds stale when the origin fails.
    pub stale_if_error: Option<u32>,
}

/// Whether a stored response will do for a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reuse {
    /// By its own freshness, as if the request had said nothing.
    ByFreshness,
    /// Although stale.
    Stale,
    /// Not without asking the origin.
    AfterValidation,
}

impl Demand {
    /// Reads the directives of a request. Pragma counts where there is no Cache-Control.
    pub fn of(headers: &HeaderMap) -> Self {
        if !headers.contains_key(CACHE_CONTROL) {
            let pragma =
                headers.get_all(PRAGMA).into_iter().flat_map(|field| field.as_bytes().split(|byte| *byte == b','));
            let no_cache = pragma.map(<[u8]>::trim_ascii).any(|word| word.eq_ignore_ascii_case(b"no-cache"));
            return Self { no_cache, ..Self::default() };
        }
        let control = CacheControl::of(headers);
        Self {
            no_cache: control.no_cache != Scope::Nothing,
            max_age: control.max_age,
            min_fresh: control.min_fresh,
            max_stale: control.max_stale,
            no_store: control.no_store,
            only_if_cached: control.only_if_cached,
            stale_if_error: control.stale_if_error,
        }
    }

    /// Whether a response of this age will do, with so many milliseconds of freshness left (negative: stale), which may be served
    /// stale at all or not.
    pub fn on(&self, age_s: u64, ttl_ms: i64, may_be_stale: bool) -> Reuse {
        let too_old = self.max_age.is_some_and(|most| age_s > u64::from(most));
        let too_near_its_end = self.min_fresh.is_some_and(|least| ttl_ms < 1000 * i64::from(least));
        let stale_for_s = ttl_ms.min(0).unsigned_abs().div_ceil(1000);
        let enough_patience = self.max_stale.is_some_and(|most| most == SECONDS_MAX || stale_for_s <= u64::from(most));
        match ttl_ms <= 0 {
            _ if self.no_cache || too_old || too_near_its_end => Reuse::AfterValidation,
            true if may_be_stale && enough_patience => Reuse::Stale,
            _ => Reuse::ByFreshness,
        }
    }
}

/// Whether a Cache-Control or Pragma value has surely no directive that counts here; `false` is no proof of the opposite.
pub fn is_idle(value: &[u8]) -> bool {
    const STARTS: [&[u8]; 5] = [b"no-", b"max-", b"min-", b"only", b"stal"];
    let may_count = |word: &[u8]| {
        STARTS.iter().any(|start| word.len() >= start.len() && word[..start.len()].eq_ignore_ascii_case(start))
    };
    !value.split(|byte| matches!(byte, b',' | b' ' | b'\t')).any(may_count)
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::{HeaderName, HeaderValue};

    fn demand(name: &'static str, text: &str) -> Demand {
        Demand::of(&HeaderMap::from_iter([(HeaderName::from_static(name), HeaderValue::from_str(text).unwrap())]))
    }

    #[test]
    fn a_request_may_want_it_younger_fresher_or_older_than_the_response_says() {
        for (text, age_s, ttl_ms, may_be_stale, expected) in [
            ("", 50, 1, true, Reuse::ByFreshness),
            ("no-cache", 0, 9000, true, Reuse::AfterValidation),
            ("max-age=0", 0, 9000, true, Reuse::ByFreshness),
            ("max-age=0", 1, 9000, true, Reuse::AfterValidation),
            ("max-age=10", 10, 9000, true, Reuse::ByFreshness),
            ("max-age=x", 1, 9000, true, Reuse::AfterValidation),
            ("min-fresh=9", 10, 9000, true, Reuse::ByFreshness),
            ("min-fresh=10", 10, 9000, true, Reuse::AfterValidation),
            ("max-stale", 10, -9_000_000, true, Reuse::Stale),
            ("max-stale=9", 10, -9000, true, Reuse::Stale),
            ("max-stale=8", 10, -8001, true, Reuse::ByFreshness),
            ("max-stale=9", 10, -9000, false, Reuse::ByFreshness),
            ("max-stale=9, max-age=5", 10, -1000, true, Reuse::AfterValidation),
            ("max-stale=9", 10, 5, true, Reuse::ByFreshness),
        ] {
            let demand = demand("cache-control", text);
            assert_eq!(demand.on(age_s, ttl_ms, may_be_stale), expected, "{text}");
        }
    }

    #[test]
    fn what_has_no_known_directive_is_idle() {
        for idle in ["", "nothing-to-see-here", "foo=1, bar", "public"] {
            assert!(is_idle(idle.as_bytes()) && demand("cache-control", idle) == Demand::default(), "{idle}");
        }
        for busy in
            ["x,no-cache", "MAX-AGE=0", "min-fresh=1", " only-if-cached", "max-stale", "no-store", "stale-if-error=1"]
        {
            assert!(!is_idle(busy.as_bytes()) && demand("cache-control", busy) != Demand::default(), "{busy}");
        }
    }

    #[test]
    fn pragma_counts_only_where_nothing_better_is_said() {
        assert_eq!(demand("pragma", "foo, No-Cache").on(0, 1, true), Reuse::AfterValidation);
        let mut both = HeaderMap::new();
        both.insert(PRAGMA, HeaderValue::from_static("no-cache"));
        both.insert(CACHE_CONTROL, HeaderValue::from_static("max-stale"));
        assert_eq!(Demand::of(&both).on(0, 1, true), Reuse::ByFreshness);
    }
}

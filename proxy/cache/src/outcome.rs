//! What the cache did with a request, in the words of RFC 9211. One enum feeds the Cache-Status field, the metric label
//! and the log, so that they cannot disagree.

use sfv::{BareItem, List, ListEntry, Parser};

/// Why a request went forward to an origin (RFC 9211 §2.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FwdReason {
    /// The cache was configured not to handle the request.
    Bypass,
    /// The method is not cached.
    Method,
    /// No stored response for this URI.
    UriMiss,
    /// Responses are stored for this URI, none for this variant.
    VaryMiss,
    /// A stored response was there but stale.
    Stale,
    /// A part of it is stored, but not all that is asked for.
    Partial,
    /// The request's own directives asked for it.
    Request,
}

/// What the cache did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// Answered from the cache while fresh.
    Hit,
    /// Answered from the cache although stale, while a revalidation runs.
    Stale,
    /// Answered from the cache although stale, because the origin was asked and failed.
    StaleOnError,
    /// The origin, asked for this reason, confirmed the stored response (304).
    Revalidated(FwdReason),
    /// Answered from a fill that another request began.
    Collapsed,
    /// Forwarded, and the response came from the origin.
    Miss(FwdReason),
}

impl FwdReason {
    /// All reasons.
    const ALL: [Self; 7] =
        [Self::Bypass, Self::Method, Self::UriMiss, Self::VaryMiss, Self::Stale, Self::Partial, Self::Request];

    /// The token of RFC 9211.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Bypass => "bypass",
            Self::Method => "method",
            Self::UriMiss => "uri-miss",
            Self::VaryMiss => "vary-miss",
            Self::Stale => "stale",
            Self::Partial => "partial",
            Self::Request => "request",
        }
    }
}

impl Outcome {
    /// All outcomes, as metric labels.
    pub const LABELS: [&'static str; 6] = ["hit", "stale", "revalidated", "collapsed", "miss", "bypass"];

    /// The metric label.
    pub fn as_str(self) -> &'static str {
        Self::LABELS[self.label_index()]
    }

    /// The place of the label in [`Self::LABELS`].
    pub fn label_index(self) -> usize {
        match self {
            Self::Hit => 0,
            Self::Stale | Self::StaleOnError => 1,
            Self::Revalidated(_) => 2,
            Self::Collapsed => 3,
            Self::Miss(FwdReason::Bypass | FwdReason::Method) => 5,
            Self::Miss(_) => 4,
        }
    }

    /// Appends the Cache-Status member `littoral; …`. `ttl` is the remaining freshness in seconds, negative when stale.
    pub fn write_status(self, ttl: Option<i64>, stored: bool, out: &mut String) {
        use std::fmt::Write;
        out.push_str("littoral");
        match self {
            Self::Hit | Self::Stale => out.push_str("; hit"),
            // Forwarded, so no hit (§2.1), though the body came from the cache.
            Self::Revalidated(reason) => {
                out.push_str("; fwd=");
                out.push_str(reason.as_str());
                out.push_str("; fwd-status=304");
            }
            Self::StaleOnError => out.push_str("; fwd=stale; detail=stale-if-error"),
            Self::Collapsed => out.push_str("; fwd=uri-miss; collapsed"),
            Self::Miss(reason) => {
                out.push_str("; fwd=");
                out.push_str(reason.as_str());
                if stored {
                    out.push_str("; stored");
                }
            }
        }
        if let Some(ttl) = ttl {
            write!(out, "; ttl={ttl}").expect("invariant: writing to a String cannot fail");
        }
    }
}

/// What the nearest cache, which is the last member of a `Cache-Status` field, says it did (RFC 9211 §2), where that is this program. `None`: the field is no
/// list of structured values (RFC 9651 §4.2), or says neither `hit` nor a reason known here.
pub fn told(cache_status: &str) -> Option<Outcome> {
    let members = Parser::new(cache_status).parse::<List>().ok()?;
    let Some(ListEntry::Item(nearest)) = members.last() else { return None };
    let is = |name: &str| nearest.params.get(name) == Some(&BareItem::Boolean(true));
    let token = |name: &str| nearest.params.get(name).and_then(BareItem::as_token).map(|token| token.as_str());
    let number = |name: &str| nearest.params.get(name).and_then(BareItem::as_integer).map(i64::from);
    if is("hit") {
        return Some(if number("ttl").is_some_and(|ttl| ttl < 0) { Outcome::Stale } else { Outcome::Hit });
    }
    let reason = FwdReason::ALL.into_iter().find(|reason| Some(reason.as_str()) == token("fwd"))?;
    Some(match (number("fwd-status"), token("detail")) {
        (Some(304), _) => Outcome::Revalidated(reason),
        (_, Some("stale-if-error")) => Outcome::StaleOnError,
        _ if is("collapsed") => Outcome::Collapsed,
        _ => Outcome::Miss(reason),
    })
}

/// Whether a `Cache-Status` field says that the nearest cache, which is its last member, answered from its store (RFC 9211 §2). A field
/// that is no list of structured values says nothing (RFC 9651 §4.2).
pub fn is_hit(cache_status: &str) -> bool {
    let Ok(members) = Parser::new(cache_status).parse::<List>() else { return false };
    match members.last() {
        Some(ListEntry::Item(nearest)) => nearest.params.get("hit") == Some(&BareItem::Boolean(true)),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_nearest_cache_decides_what_a_hit_is() {
        for hit in [
            "littoral; hit; ttl=3599",
            "shield; fwd=uri-miss; stored, littoral; hit",
            "\"edge, 1\"; detail=\"a, b; fwd=miss\"; hit",
        ] {
            assert!(is_hit(hit), "{hit}");
        }
        for other in [
            "",
            "littoral; fwd=uri-miss; stored; collapsed",
            "shield; hit, littoral; fwd=uri-miss",
            "littoral; fwd=miss; detail=\"a, b; hit\"",
            "littoral; hit=?0",
            "(littoral; hit)",
            "littoral; hit,",
            "littoral; hit; detail=\"",
        ] {
            assert!(!is_hit(other), "{other}");
        }
    }

    fn check(outcome: Outcome, ttl: Option<i64>, stored: bool, expected: &str) {
        let mut out = String::new();
        outcome.write_status(ttl, stored, &mut out);
        assert_eq!(out, expected);
        assert_eq!(told(&format!("shield; fwd=method, {out}")), Some(outcome), "{out}");
    }

    #[test]
    fn a_field_that_tells_nothing_known_is_not_guessed_at() {
        for other in ["", "littoral", "littoral; fwd=odd", "littoral; hit,", "(littoral; hit)", "littoral; hit, shield"]
        {
            assert_eq!(told(other), None, "{other}");
        }
    }

    #[test]
    fn cache_status_uses_the_words_of_rfc_9211() {
        check(Outcome::Hit, Some(30), false, "littoral; hit; ttl=30");
        check(Outcome::Stale, Some(-4), false, "littoral; hit; ttl=-4");
        check(Outcome::StaleOnError, Some(-4), false, "littoral; fwd=stale; detail=stale-if-error; ttl=-4");
        check(Outcome::Revalidated(FwdReason::Stale), Some(9), false, "littoral; fwd=stale; fwd-status=304; ttl=9");
        check(Outcome::Miss(FwdReason::UriMiss), Some(60), true, "littoral; fwd=uri-miss; stored; ttl=60");
        check(Outcome::Miss(FwdReason::Method), None, false, "littoral; fwd=method");
        check(Outcome::Collapsed, None, true, "littoral; fwd=uri-miss; collapsed");
    }
}

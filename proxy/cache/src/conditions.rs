//! Conditional requests (RFC 9110 §13) against what is stored.
//!
//! Pure. If-Range belongs to ranges and is answered by [`if_range`]. Invariant: a condition that cannot be read is as if it were
//! not there, but for If-Match, which then fails: nobody acts on what was not meant.

use http::header::{
    DATE, ETAG, IF_MATCH, IF_MODIFIED_SINCE, IF_NONE_MATCH, IF_RANGE, IF_UNMODIFIED_SINCE, LAST_MODIFIED,
};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};

use crate::freshness::date_field;

/// Entity tags of one field that are looked at; the rest is ignored.
pub const ENTITY_TAGS_MAX: usize = 256;

/// What the conditions of a GET or HEAD come to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Condition {
    /// Answer as without them.
    Holds,
    /// 304: the client has it.
    NotModified,
    /// 412
    Failed,
}

/// Evaluates the conditions of `request`, a GET or HEAD, on a stored response in the order of §13.2.2. They count only for a
/// response that would be a 200 (§13.2.1).
pub fn evaluate(request: &HeaderMap, status: StatusCode, stored: &HeaderMap) -> Condition {
    if status != StatusCode::OK {
        return Condition::Holds;
    }
    let tag = stored.get(ETAG).map(HeaderValue::as_bytes);
    let unchanged_by = |name| {
        let date = date_field(request, name)?;
        let modified = date_field(stored, LAST_MODIFIED)?;
        Some(modified <= date)
    };
    if request.contains_key(IF_MATCH) {
        if !names(request, IF_MATCH, tag, |one, other| one == other && !one.starts_with(b"W/")) {
            return Condition::Failed;
        }
    } else if unchanged_by(IF_UNMODIFIED_SINCE) == Some(false) {
        return Condition::Failed;
    }
    let has_it = if request.contains_key(IF_NONE_MATCH) {
        names(request, IF_NONE_MATCH, tag, |one, other| opaque(one) == opaque(other))
    } else {
        // Without Last-Modified, when it was made will do (RFC 9111 §4.3.2).
        let asked = date_field(request, IF_MODIFIED_SINCE);
        let modified = date_field(stored, LAST_MODIFIED).or_else(|| date_field(stored, DATE));
        asked.zip(modified).is_some_and(|(asked, modified)| modified <= asked)
    };
    if has_it { Condition::NotModified } else { Condition::Holds }
}

/// Whether If-Range lets the ranges of a request be answered (§13.1.5): the very same strong entity tag, or the very date of
/// a Last-Modified that is strong (§8.8.2.2: at least a second before the response was made).
pub fn if_range(request: &HeaderMap, stored: &HeaderMap) -> bool {
    let Some(condition) = request.get(IF_RANGE) else {
        return true;
    };
    if condition.as_bytes().ends_with(b"\"") {
        return !condition.as_bytes().starts_with(b"W/") && stored.get(ETAG) == Some(condition);
    }
    let modified = date_field(stored, LAST_MODIFIED).filter(|_| stored.get(LAST_MODIFIED) == Some(condition));
    modified.is_some_and(|modified| date_field(stored, DATE).is_none_or(|made| made > modified))
}

/// What tells the very bytes of a stored response (§8.8.1), for If-Range: its entity tag, or without one a Last-Modified that is
/// strong (§8.8.2.2).
pub fn strong_validator(stored: &HeaderMap) -> Option<&HeaderValue> {
    if let Some(tag) = stored.get(ETAG) {
        let is_strong = tag.len() > 1 && tag.as_bytes().starts_with(b"\"") && tag.as_bytes().ends_with(b"\"");
        return is_strong.then_some(tag);
    }
    let made_later = date_field(stored, DATE)? > date_field(stored, LAST_MODIFIED)?;
    stored.get(LAST_MODIFIED).filter(|_| made_later)
}

/// Whether a field names the entity tag of what is stored; `*` names whatever is.
fn names(request: &HeaderMap, field: HeaderName, tag: Option<&[u8]>, same: fn(&[u8], &[u8]) -> bool) -> bool {
    let mut values = request.get_all(&field).into_iter();
    let only = values.next().filter(|_| values.next().is_none());
    if only.is_some_and(|value| value.as_bytes().trim_ascii() == b"*") {
        return true;
    }
    let Some(tag) = tag else { return false };
    let listed = request.get_all(&field).into_iter().flat_map(|value| EntityTags(value.as_bytes()));
    listed.take(ENTITY_TAGS_MAX).any(|one| same(one, tag))
}

/// The entity tags of a list; it ends where that is none.
struct EntityTags<'a>(&'a [u8]);

impl<'a> Iterator for EntityTags<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        let skipped = self.0.iter().position(|byte| !matches!(byte, b' ' | b'\t' | b','))?;
        let rest = &self.0[skipped..];
        let opening = if rest.starts_with(b"W/") { 2 } else { 0 };
        if rest.get(opening) != Some(&b'"') {
            return None;
        }
        let closing = opening + 1 + rest[opening + 1..].iter().position(|byte| *byte == b'"')?;
        self.0 = &rest[closing + 1..];
        Some(&rest[..=closing])
    }
}

fn opaque(tag: &[u8]) -> &[u8] {
    tag.strip_prefix(b"W/").unwrap_or(tag)
}

#[cfg(test)]
mod tests {
    use super::Condition::{Failed, Holds, NotModified};
    use super::*;

    const OLD: &str = "Sat, 01 Jan 2022 00:00:00 GMT";
    const MID: &str = "Sun, 02 Jan 2022 00:00:00 GMT";
    const NEW: &str = "Mon, 03 Jan 2022 00:00:00 GMT";

    fn map(pairs: &[(&'static str, &str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in pairs {
            headers.append(HeaderName::from_static(name), HeaderValue::from_str(value).unwrap());
        }
        headers
    }

    fn on(stored: &[(&'static str, &str)], request: &[(&'static str, &str)], expected: Condition) {
        assert_eq!(evaluate(&map(request), StatusCode::OK, &map(stored)), expected, "{request:?} on {stored:?}");
    }

    #[test]
    fn conditions_are_evaluated_in_the_order_of_rfc_9110_section_13_2_2() {
        let stored = [("etag", "\"a\""), ("last-modified", MID)];
        on(&stored, &[], Holds);
        on(&stored, &[("if-match", "\"a\"")], Holds);
        on(&stored, &[("if-match", "\"b\", \"a\"")], Holds);
        on(&stored, &[("if-match", "\"b\"")], Failed);
        on(&stored, &[("if-match", "*")], Holds);
        on(&stored, &[("if-match", "\"a\""), ("if-unmodified-since", OLD)], Holds);
        on(&stored, &[("if-unmodified-since", OLD)], Failed);
        on(&stored, &[("if-unmodified-since", MID)], Holds);
        on(&stored, &[("if-match", "\"a\""), ("if-none-match", "\"a\"")], NotModified);
        on(&stored, &[("if-match", "\"b\""), ("if-none-match", "\"a\"")], Failed);
        on(&stored, &[("if-none-match", "\"b\""), ("if-modified-since", NEW)], Holds);
        on(&stored, &[("if-none-match", "\"b\", W/\"a\"")], NotModified);
        on(&stored, &[("if-none-match", "\"b\""), ("if-none-match", "\"a\"")], NotModified);
        on(&stored, &[("if-none-match", "*")], NotModified);
        on(&stored, &[("if-modified-since", MID)], NotModified);
        on(&stored, &[("if-modified-since", OLD)], Holds);
    }

    #[test]
    fn a_weak_tag_never_satisfies_if_match() {
        on(&[("etag", "W/\"a\"")], &[("if-match", "W/\"a\"")], Failed);
        on(&[("etag", "W/\"a\"")], &[("if-none-match", "\"a\"")], NotModified);
    }

    #[test]
    fn what_has_no_last_modified_is_as_old_as_its_date() {
        on(&[("date", MID)], &[("if-modified-since", NEW)], NotModified);
        on(&[("date", MID)], &[("if-modified-since", OLD)], Holds);
        on(&[("date", MID)], &[("if-unmodified-since", OLD)], Holds);
    }

    #[test]
    fn what_cannot_be_read_is_ignored_and_unquoted_tags_name_nothing() {
        let stored = [("etag", "\"a\""), ("last-modified", MID)];
        on(&stored, &[("if-modified-since", "yesterday")], Holds);
        on(&stored, &[("if-modified-since", MID), ("if-modified-since", MID)], Holds);
        on(&stored, &[("if-none-match", "a")], Holds);
        on(&stored, &[("if-none-match", "\"b, \"a\"")], Holds);
        on(&stored, &[("if-none-match", ", ,\"a\"")], NotModified);
        on(&[("etag", "\"a,b\"")], &[("if-none-match", "\"x\",\"a,b\"")], NotModified);
        assert_eq!(evaluate(&map(&[("if-match", "\"b\"")]), StatusCode::NOT_FOUND, &map(&stored)), Holds);
    }

    #[test]
    fn if_range_wants_a_strong_validator_that_is_the_very_same() {
        let check = |stored: &[(&'static str, &str)], condition: &str, expected| {
            assert_eq!(if_range(&map(&[("if-range", condition)]), &map(stored)), expected, "{condition} on {stored:?}");
        };
        let stored = [("etag", "\"a\""), ("last-modified", OLD), ("date", MID)];
        check(&stored, "\"a\"", true);
        check(&stored, "\"b\"", false);
        check(&stored, OLD, true);
        check(&stored, MID, false);
        check(&stored, "a", false);
        check(&[("etag", "W/\"a\"")], "W/\"a\"", false);
        check(&[("last-modified", OLD), ("date", OLD)], OLD, false);
        assert!(if_range(&HeaderMap::new(), &map(&stored)));
    }

    #[test]
    fn only_what_changes_with_every_byte_is_a_strong_validator() {
        for (stored, strong) in [
            (&[("etag", "\"a\"")][..], Some("\"a\"")),
            (&[("etag", "W/\"a\"")], None),
            (&[("etag", "a")], None),
            (&[("etag", "\"")], None),
            (&[("etag", "W/\"a\""), ("last-modified", OLD), ("date", NEW)], None),
            (&[("last-modified", OLD), ("date", MID)], Some(OLD)),
            (&[("last-modified", MID), ("date", MID)], None),
            (&[("last-modified", OLD)], None),
            (&[], None),
        ] {
            assert_eq!(strong_validator(&map(stored)).map(|value| value.to_str().unwrap()), strong, "{stored:?}");
        }
    }
}

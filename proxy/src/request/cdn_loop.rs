//! Requests that go round in circles (RFC 8586): this node adds itself to `CDN-Loop` of what it sends on, and refuses what
//! has passed it before.
//!
//! `Via` counts as well, for hops that drop what they do not know (RFC 9110 §7.6.3). Which status a refusal has is
//! [`crate::rescue`]'s. Invariants: what cannot be read is passed on as it came and counts for nobody; a client cannot take
//! entries away by nominating the field in `Connection` (RFC 8586 §2).

use http::header::VIA;
use http::{HeaderMap, HeaderName, HeaderValue};

/// RFC 8586 §2.
pub(super) const CDN_LOOP: HeaderName = HeaderName::from_static("cdn-loop");

/// The parameter that says by which list of a shield's nodes a request was sent.
const TIER: &[u8] = b"shield=";

/// How often a request has passed the node called `name`, as far as its fields tell.
pub(super) fn passes(headers: &HeaderMap, name: &str) -> usize {
    let members = |field: HeaderName| headers.get_all(field).into_iter().flat_map(|value| members(value.as_bytes()));
    let looped = members(CDN_LOOP).filter(|member| is_info_of(member, name)).count();
    let via = members(VIA).filter(|member| is_via_of(member, name)).count();
    // Each pass leaves one entry in either.
    looped.max(via)
}

/// Whether a request was sent by a node with this list of a shield's nodes ([`crate::origin::shield`]).
pub(super) fn is_from_tier(headers: &HeaderMap, tier: &str) -> bool {
    let members = headers.get_all(CDN_LOOP).into_iter().flat_map(|value| members(value.as_bytes()));
    let parameters = members.flat_map(|member| member.split(|byte| *byte == b';').skip(1));
    parameters.map(<[u8]>::trim_ascii).any(|parameter| parameter.strip_prefix(TIER) == Some(tier.as_bytes()))
}

/// Whether a request comes from a node that has this one in its shield: the last that passed it on says by which list.
pub(super) fn is_from_below(headers: &HeaderMap) -> bool {
    let last = headers.get_all(CDN_LOOP).into_iter().flat_map(|value| members(value.as_bytes())).last();
    let mut parameters = last.into_iter().flat_map(|member| member.split(|byte| *byte == b';').skip(1));
    parameters.any(|parameter| parameter.trim_ascii().starts_with(TIER))
}

/// The field for the next hop: what the request came with, and this node; with a tier, when the hop is of a shield.
pub(super) fn value(headers: &HeaderMap, name: &str, tier: Option<&str>) -> HeaderValue {
    let own = match tier {
        Some(tier) => format!("{name};{}{tier}", String::from_utf8_lossy(TIER)),
        None => name.to_owned(),
    };
    let before = headers.get_all(CDN_LOOP).into_iter().map(HeaderValue::as_bytes).filter(|value| !value.is_empty());
    let all: Vec<&[u8]> = before.chain([own.as_bytes()]).collect();
    // Values and the name are field values each, so that only a name that the config's check let through by mistake fails.
    HeaderValue::from_bytes(&all.join(&b", "[..])).unwrap_or_else(|_| super::own_value(&own))
}

/// Whether a `cdn-info` begins with the `cdn-id` `name`; hosts have no case (RFC 8586 §2), so no name has.
fn is_info_of(member: &[u8], name: &str) -> bool {
    let end = member.iter().position(|byte| b"; \t".contains(byte)).unwrap_or(member.len());
    member[..end].eq_ignore_ascii_case(name.as_bytes())
}

/// Whether a member of `Via` is of `name`: protocol, who, perhaps a comment.
fn is_via_of(member: &[u8], name: &str) -> bool {
    let mut words = member.split(|byte| b" \t".contains(byte)).filter(|word| !word.is_empty());
    words.nth(1).is_some_and(|word| word.eq_ignore_ascii_case(name.as_bytes()))
}

/// The members of a list, without blanks around them; commas in quoted strings and comments do not part them
/// (RFC 9110 §5.6).
fn members(value: &[u8]) -> impl Iterator<Item = &[u8]> {
    let (mut quoted, mut escaped, mut depth) = (false, false, 0_usize);
    let parts = value.split(move |byte| {
        match (byte, std::mem::take(&mut escaped)) {
            (b'\\', false) if quoted || depth > 0 => escaped = true,
            (b'"', false) if depth == 0 => quoted = !quoted,
            (b'(', false) if !quoted => depth += 1,
            (b')', false) if !quoted => depth = depth.saturating_sub(1),
            (b',', false) => return !quoted && depth == 0,
            _ => {}
        }
        false
    });
    parts.map(<[u8]>::trim_ascii).filter(|member| !member.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(fields: &[(HeaderName, &'static str)]) -> HeaderMap {
        fields
            .iter()
            .map(|(name, value)| (name.clone(), HeaderValue::from_static(value)))
            .collect::<Vec<_>>()
            .into_iter()
            .fold(HeaderMap::new(), |mut map, (name, value)| {
                map.append(name, value);
                map
            })
    }

    #[test]
    fn a_pass_is_counted_however_it_is_written_and_nothing_else_is() {
        for (value, expected) in [
            ("", 0),
            ("ams1-a", 1),
            ("AMS1-a", 1),
            ("ams1-ab, xams1-a, other.example:8080", 0),
            ("foo, ams1-a ; a=b , ams1-a", 2),
            ("foo; note=\"x, ams1-a\", bar", 0),
            ("foo; note=\"x\\\", ams1-a\"", 0),
            ("foo; note=\"never closed, ams1-a", 0),
            (",, ,\tams1-a;x", 1),
        ] {
            assert_eq!(passes(&headers(&[(CDN_LOOP, value)]), "ams1-a"), expected, "{value}");
        }
        assert_eq!(passes(&headers(&[(CDN_LOOP, "a"), (CDN_LOOP, "b, a")]), "a"), 2, "over lines");
    }

    #[test]
    fn via_counts_where_a_hop_has_dropped_the_field_and_no_pass_counts_twice() {
        for (value, expected) in
            [("1.1 ams1-a", 1), ("HTTP/1.1 ams1-a (x, 1.1 ams1-a), 2 b", 1), ("1.1 b (1.1 ams1-a)", 0), ("ams1-a", 0)]
        {
            assert_eq!(passes(&headers(&[(VIA, value)]), "ams1-a"), expected, "{value}");
        }
        assert_eq!(passes(&headers(&[(VIA, "1.1 a"), (CDN_LOOP, "a")]), "a"), 1);
    }

    #[test]
    fn this_node_is_added_behind_all_that_was_there() {
        assert_eq!(value(&HeaderMap::new(), "a", None), "a");
        let before = headers(&[(CDN_LOOP, "x; b=\"c\""), (CDN_LOOP, ""), (CDN_LOOP, "y,z")]);
        assert_eq!(value(&before, "a", None), "x; b=\"c\", y,z, a");
    }

    #[test]
    fn a_tier_is_told_to_its_nodes_and_to_nobody_of_another() {
        let told = value(&HeaderMap::new(), "a", Some("1f"));
        assert_eq!(told, "a;shield=1f");
        let headers = HeaderMap::from_iter([(CDN_LOOP, told)]);
        assert!(is_from_tier(&headers, "1f") && !is_from_tier(&headers, "1"));
        assert!(
            is_from_below(&headers) && !is_from_below(&HeaderMap::from_iter([(CDN_LOOP, value(&headers, "b", None))]))
        );
        assert_eq!(passes(&headers, "a"), 1);
        assert!(!is_from_tier(&self::headers(&[(CDN_LOOP, "shield=1f, b; x=\"shield=1f\"")]), "1f"));
    }
}

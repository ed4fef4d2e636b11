//! Tables for RFC 9111 §3 and §4.2.

use super::*;
use http::HeaderValue;

fn map(pairs: &[(&str, &str)]) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for (name, value) in pairs {
        headers.append(HeaderName::from_bytes(name.as_bytes()).unwrap(), HeaderValue::from_str(value).unwrap());
    }
    headers
}

const NOW: SystemTime = SystemTime::UNIX_EPOCH;

fn now() -> SystemTime {
    NOW + Duration::from_secs(1_700_000_000)
}

fn seconds_fresh(response: &[(&str, &str)]) -> Option<u64> {
    let lifetime = lifetime(StatusCode::OK, &map(response), now(), now(), None).ok()?;
    Some(lifetime.fresh_until.duration_since(lifetime.born).unwrap().as_secs())
}

#[test]
fn s_maxage_wins_over_max_age_wins_over_expires() {
    let expires = httpdate::fmt_http_date(now() + Duration::from_secs(30));
    let date = httpdate::fmt_http_date(now());
    assert_eq!(seconds_fresh(&[("cache-control", "max-age=20, s-maxage=10"), ("expires", &expires)]), Some(10));
    assert_eq!(seconds_fresh(&[("cache-control", "max-age=20"), ("expires", &expires)]), Some(20));
    assert_eq!(seconds_fresh(&[("expires", &expires), ("date", &date)]), Some(30));
    assert_eq!(seconds_fresh(&[("expires", "0")]), Some(0));
    assert_eq!(seconds_fresh(&[]), None);
}

#[test]
fn doubtful_numbers_make_a_response_stale_not_fresh() {
    assert_eq!(seconds_fresh(&[("cache-control", "max-age=abc")]), Some(0));
    assert_eq!(seconds_fresh(&[("cache-control", "max-age=-1")]), Some(0));
    assert_eq!(seconds_fresh(&[("cache-control", "max-age=60, max-age=5")]), Some(5));
    assert_eq!(seconds_fresh(&[("cache-control", "max-age=\"7\"")]), Some(7));
    assert_eq!(seconds_fresh(&[("cache-control", "max-age=99999999999999999999")]), Some(u64::from(SECONDS_MAX)));
}

#[test]
fn age_on_arrival_is_the_worst_of_the_first_readable_age_and_the_date() {
    let date = httpdate::fmt_http_date(now() - Duration::from_secs(40));
    for (fields, born_ago) in [
        (vec![("age", "15")], 15),
        (vec![("age", "1, 2")], 1),
        (vec![("age", "3"), ("age", "4")], 3),
        (vec![("age", "abc")], 0),
        (vec![("age", "abc"), ("date", date.as_str())], 40),
        (vec![("date", date.as_str())], 40),
        (vec![("age", "55"), ("date", date.as_str())], 55),
    ] {
        let mut fields = fields;
        fields.push(("cache-control", "max-age=100"));
        let lifetime = lifetime(StatusCode::OK, &map(&fields), now(), now(), None).unwrap();
        assert_eq!(now().duration_since(lifetime.born).unwrap().as_secs(), born_ago);
        assert_eq!(lifetime.fresh_until, lifetime.born + Duration::from_secs(100));
    }
}

#[test]
fn stale_windows_are_closed_by_must_revalidate_and_s_maxage() {
    let window = |control: &str| {
        lifetime(StatusCode::OK, &map(&[("cache-control", control)]), now(), now(), None)
            .unwrap()
            .stale_while_revalidate
    };
    assert_eq!(window("max-age=1, stale-while-revalidate=30").as_secs(), 30);
    assert_eq!(window("max-age=1, must-revalidate, stale-while-revalidate=30"), Duration::ZERO);
    assert_eq!(window("max-age=1, proxy-revalidate, stale-while-revalidate=30"), Duration::ZERO);
    assert_eq!(window("s-maxage=1, stale-while-revalidate=30"), Duration::ZERO);
}

#[test]
fn what_a_shared_cache_must_not_store_is_refused_with_its_reason() {
    let check = |request: &[(&str, &str)], status: u16, response: &[(&str, &str)], expected: Result<(), Unstorable>| {
        let status = StatusCode::from_u16(status).unwrap();
        assert_eq!(storable(&map(request), status, &map(response)), expected, "{request:?} {status} {response:?}");
    };
    let auth = [("authorization", "Basic eA==")];
    check(&[], 200, &[("cache-control", "max-age=1")], Ok(()));
    check(&[], 200, &[("cache-control", "no-store")], Err(Unstorable::NoStore));
    check(&[("cache-control", "no-store")], 200, &[], Err(Unstorable::NoStore));
    check(&[], 200, &[("cache-control", "max-age=5, Private=\"x, y\"")], Err(Unstorable::Private));
    check(&[], 200, &[("cache-control", "no-cache")], Err(Unstorable::NoCache));
    check(&[], 200, &[("set-cookie", "a=b"), ("cache-control", "max-age=5")], Err(Unstorable::SetCookie));
    check(&auth, 200, &[("cache-control", "max-age=5")], Err(Unstorable::Authorised));
    check(&auth, 200, &[("cache-control", "max-age=5, public")], Ok(()));
    check(&auth, 200, &[("cache-control", "s-maxage=5")], Ok(()));
    check(&auth, 200, &[("cache-control", "max-age=5, must-revalidate")], Ok(()));
    check(&auth, 200, &[("cache-control", "max-age=5, proxy-revalidate")], Err(Unstorable::Authorised));
    check(&[], 206, &[("cache-control", "max-age=5")], Err(Unstorable::Status));
    check(&[], 500, &[("cache-control", "max-age=5")], Err(Unstorable::Status));
}

#[test]
fn a_comma_inside_quotes_does_not_split_a_directive() {
    assert!(!CacheControl::of(&map(&[("cache-control", "x=\"a, no-store\"")])).no_store);
}

#[test]
fn the_sites_default_applies_only_where_the_response_states_no_lifetime() {
    let default = Some(Duration::from_secs(9));
    let fresh = |status: u16, fields: &[(&str, &str)]| {
        let status = StatusCode::from_u16(status).unwrap();
        lifetime(status, &map(fields), now(), now(), default)
            .map(|l| l.fresh_until.duration_since(l.born).unwrap().as_secs())
    };
    assert_eq!(fresh(200, &[]), Ok(9));
    assert_eq!(fresh(200, &[("cache-control", "max-age=3")]), Ok(3));
    assert_eq!(fresh(302, &[]), Err(Unstorable::NoLifetime));
}

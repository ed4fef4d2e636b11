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

fn of(status: u16, response: &[(&str, &str)], rules: &Rules) -> Result<Storable, Unstorable> {
    assess(&HeaderMap::new(), StatusCode::from_u16(status).unwrap(), &map(response), (now(), now()), rules)
}

fn lifetime(response: &[(&str, &str)]) -> Lifetime {
    of(200, response, &Rules::default()).unwrap().lifetime
}

fn fresh(status: u16, response: &[(&str, &str)], rules: &Rules) -> Result<u64, Unstorable> {
    let lifetime = of(status, response, rules)?.lifetime;
    Ok(lifetime.fresh_until.duration_since(lifetime.born).unwrap().as_secs())
}

fn seconds_fresh(response: &[(&str, &str)]) -> Option<u64> {
    fresh(200, response, &Rules::default()).ok()
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
fn a_targeted_field_takes_the_place_of_cache_control_and_expires() {
    let expires = httpdate::fmt_http_date(now() + Duration::from_secs(30));
    for field in ["cdn-cache-control", "littoral-cache-control", "surrogate-control"] {
        assert_eq!(
            seconds_fresh(&[(field, "max-age=9"), ("cache-control", "no-store"), ("expires", &expires)]),
            Some(9)
        );
        let refused = of(200, &[(field, "no-store"), ("cache-control", "max-age=9")], &Rules::default());
        assert_eq!(refused, Err(Unstorable::NoStore));
    }
    assert_eq!(seconds_fresh(&[("cdn-cache-control", "public"), ("cache-control", "max-age=9")]), None);
}

#[test]
fn an_age_that_cannot_be_read_makes_a_response_stale_and_a_readable_one_older() {
    let date = httpdate::fmt_http_date(now() - Duration::from_secs(40));
    for (fields, born_ago, fresh_for) in [
        (vec![("age", "15")], 15, 100),
        (vec![("age", "1, 2")], 1, 100),
        (vec![("age", "1, 1")], 1, 0),
        (vec![("age", "3"), ("age", "4")], 3, 0),
        (vec![("age", "abc")], 0, 0),
        (vec![("age", "7.0")], 0, 0),
        (vec![("age", "abc"), ("date", date.as_str())], 40, 0),
        (vec![("date", date.as_str())], 40, 100),
        (vec![("age", "55"), ("date", date.as_str())], 55, 100),
    ] {
        let mut fields = fields;
        fields.push(("cache-control", "max-age=100"));
        let lifetime = lifetime(&fields);
        assert_eq!(now().duration_since(lifetime.born).unwrap().as_secs(), born_ago, "{fields:?}");
        assert_eq!(lifetime.fresh_until, lifetime.born + Duration::from_secs(fresh_for), "{fields:?}");
    }
}

#[test]
fn stale_windows_are_those_of_the_response_else_of_the_site_and_closed_by_what_forbids_stale() {
    let rules = Rules { stale_while_revalidate: Duration::from_secs(7), ..Rules::default() };
    let window = |control: &str| {
        let lifetime = of(200, &[("cache-control", control), ("etag", "\"a\"")], &rules).unwrap().lifetime;
        (lifetime.stale_while_revalidate.as_secs(), lifetime.may_be_stale)
    };
    assert_eq!(window("max-age=1, stale-while-revalidate=30"), (30, true));
    assert_eq!(window("max-age=1"), (7, true));
    assert_eq!(window("max-age=1, must-revalidate, stale-while-revalidate=30"), (0, false));
    assert_eq!(window("max-age=1, proxy-revalidate, stale-while-revalidate=30"), (0, false));
    assert_eq!(window("s-maxage=1, stale-while-revalidate=30"), (0, false));
    assert_eq!(window("no-cache, stale-while-revalidate=30"), (0, false));
}

#[test]
fn what_a_shared_cache_must_not_store_is_refused_with_its_reason() {
    let check = |request: &[(&str, &str)], status: u16, response: &[(&str, &str)], expected: Result<(), Unstorable>| {
        let status = StatusCode::from_u16(status).unwrap();
        let found = assess(&map(request), status, &map(response), (now(), now()), &Rules::default());
        assert_eq!(found.map(drop), expected, "{request:?} {status} {response:?}");
    };
    let auth = [("authorization", "Basic eA==")];
    check(&[], 200, &[("cache-control", "max-age=1")], Ok(()));
    check(&[], 200, &[("cache-control", "no-store")], Err(Unstorable::NoStore));
    check(&[("cache-control", "no-store")], 200, &[], Err(Unstorable::Request));
    check(&[], 200, &[("cache-control", "max-age=5, Private")], Err(Unstorable::Private));
    check(&[], 200, &[("cache-control", "no-cache")], Err(Unstorable::NoCache));
    check(&[], 200, &[("cache-control", "no-cache"), ("etag", "\"a\"")], Ok(()));
    check(&[], 200, &[("set-cookie", "a=b"), ("cache-control", "max-age=5")], Err(Unstorable::SetCookie));
    check(&auth, 200, &[("cache-control", "max-age=5")], Err(Unstorable::Authorised));
    check(&auth, 200, &[("cache-control", "max-age=5, public")], Ok(()));
    check(&auth, 200, &[("cache-control", "s-maxage=5")], Ok(()));
    check(&auth, 200, &[("cache-control", "max-age=5, must-revalidate")], Ok(()));
    check(&auth, 200, &[("cache-control", "max-age=5, proxy-revalidate")], Err(Unstorable::Authorised));
    check(&[], 206, &[("cache-control", "max-age=5")], Err(Unstorable::Status));
    check(&[], 304, &[("cache-control", "max-age=5")], Err(Unstorable::Status));
    check(&[], 500, &[("cache-control", "max-age=5")], Ok(()));
    check(&[], 500, &[], Err(Unstorable::NoLifetime));
    check(&[], 299, &[("cache-control", "max-age=5, must-understand")], Err(Unstorable::Status));
    check(&[], 404, &[("cache-control", "max-age=5, must-understand, no-store")], Ok(()));
}

#[test]
fn fields_that_may_not_be_shared_are_left_out() {
    let rules = Rules { set_cookie: SetCookie::Strip, ..Rules::default() };
    let control = ("cache-control", "max-age=5, private=\"x-user\", no-cache=\"x-once\"");
    let without = of(200, &[control, ("set-cookie", "a=b")], &rules).unwrap().without;
    assert_eq!(without, ["x-once", "x-user", "set-cookie"]);
}

#[test]
fn the_sites_lifetimes_apply_only_where_the_response_states_none() {
    let ttl = vec![
        (Statuses::One(StatusCode::NOT_FOUND), Duration::from_secs(3)),
        (Statuses::Class(5), Duration::from_secs(1)),
    ];
    let rules = Rules { ttl, default_ttl: Duration::from_secs(9), ..Rules::default() };
    assert_eq!(fresh(200, &[], &rules), Ok(9));
    assert_eq!(fresh(404, &[], &rules), Ok(3));
    assert_eq!(fresh(503, &[], &rules), Ok(1));
    assert_eq!(fresh(404, &[("cache-control", "max-age=30")], &rules), Ok(30));
    assert_eq!(fresh(302, &[], &rules), Err(Unstorable::NoLifetime));
}

#[test]
fn a_guess_is_a_share_of_the_time_since_the_last_change() {
    let modified = httpdate::fmt_http_date(now() - Duration::from_secs(1000));
    let heuristic = Some(Heuristic { percent: 10, longest: Duration::from_secs(500) });
    let rules = Rules { heuristic, ..Rules::default() };
    let old = httpdate::fmt_http_date(now() - Duration::from_secs(1_000_000));
    assert_eq!(fresh(200, &[("last-modified", &modified)], &rules), Ok(100));
    assert_eq!(fresh(200, &[("last-modified", &old)], &rules), Ok(500));
    assert_eq!(fresh(200, &[], &rules), Err(Unstorable::NoLifetime));
    assert_eq!(fresh(599, &[("last-modified", &modified)], &rules), Err(Unstorable::NoLifetime));
    assert_eq!(fresh(599, &[("last-modified", &modified), ("cache-control", "public")], &rules), Ok(100));
    assert_eq!(fresh(200, &[("last-modified", &modified)], &Rules::default()), Err(Unstorable::NoLifetime));
}

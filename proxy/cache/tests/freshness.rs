//! Freshness against a second reading of RFC 9111 §4.2, §5.2.1 and §5.2.2: whole seconds, one rule after the other as the RFC
//! has them, without a line of the code under test.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on says so by panicking")]

use std::time::{Duration, SystemTime};

use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use littoral_cache::demand::{Demand, Reuse};
use littoral_cache::freshness::{Rules, assess};
use proptest::prelude::*;

/// When the response came, in Unix seconds.
const CAME: i64 = 1_700_000_000;

/// What an origin says, and when.
#[derive(Debug, Clone)]
struct Said {
    s_maxage: Option<i64>,
    max_age: Option<i64>,
    /// Seconds from when the response came.
    expires: Option<i64>,
    date: Option<i64>,
    age: Option<i64>,
    swr: Option<i64>,
    /// `no-cache`, `must-revalidate`, `proxy-revalidate`, `no-store`, `private`
    flags: [bool; 5],
    etag: bool,
    /// Seconds between asking and the answer.
    delay: i64,
}

/// What a client wants.
#[derive(Debug, Clone)]
struct Wanted {
    no_cache: bool,
    max_age: Option<i64>,
    min_fresh: Option<i64>,
    /// `Some(None)`: any staleness.
    max_stale: Option<Option<i64>>,
}

/// The model: may a response be stored, and served without asking the origin `resident` seconds after it came?
fn may_serve(said: &Said, wanted: &Wanted, resident: i64) -> Option<bool> {
    let [no_cache, must_revalidate, proxy_revalidate, no_store, private] = said.flags;
    // §3: neither may be stored by a shared cache; without a lifetime nothing is kept here but what is confirmed each time.
    if no_store || private {
        return None;
    }
    // §4.2.1, first match; Expires counts from Date, or from when the response came where there is none.
    let stated = match (said.s_maxage, said.max_age, said.expires) {
        (Some(seconds), _, _) | (None, Some(seconds), _) => Some(seconds),
        (None, None, Some(expires)) => Some((expires - said.date.unwrap_or(0)).max(0)),
        (None, None, None) => None,
    };
    if (no_cache && !said.etag) || (!no_cache && stated.is_none()) {
        return None;
    }
    // §4.2.3, with the names it uses; the time is counted from when the response came.
    let apparent_age = 0.max(-said.date.unwrap_or(0));
    let corrected_age_value = said.age.unwrap_or(0) + said.delay;
    let corrected_initial_age = apparent_age.max(corrected_age_value);
    let current_age = corrected_initial_age + resident;
    let freshness_lifetime = stated.unwrap_or(0);
    let is_fresh = freshness_lifetime > current_age;
    // §5.2.1.4, §5.2.2.4
    if no_cache || wanted.no_cache {
        return Some(false);
    }
    // §5.2.1.1, §5.2.1.3
    let too_old = wanted.max_age.is_some_and(|most| current_age > most);
    let too_near_its_end = wanted.min_fresh.is_some_and(|least| freshness_lifetime < current_age + least);
    if too_old || too_near_its_end {
        return Some(false);
    }
    // §4.2.4, §5.2.1.2, §5.2.2.2, §5.2.2.8, §5.2.2.10
    let never_stale = must_revalidate || proxy_revalidate || said.s_maxage.is_some();
    let patient = match wanted.max_stale {
        None => false,
        Some(None) => true,
        Some(Some(most)) => current_age - freshness_lifetime <= most,
    };
    Some(is_fresh || (patient && !never_stale))
}

/// The same asked of the code under test.
fn is_served(said: &Said, wanted: &Wanted, resident: i64, order: usize) -> Option<bool> {
    let at = |seconds: i64| SystemTime::UNIX_EPOCH + Duration::from_secs(u64::try_from(CAME + seconds).unwrap());
    let date = |seconds: &i64| httpdate::fmt_http_date(at(*seconds));
    let mut directives: Vec<String> = ["no-cache", "must-revalidate", "Proxy-Revalidate", "NO-STORE", "private"]
        .into_iter()
        .zip(said.flags)
        .filter(|(_, there)| *there)
        .map(|(name, _)| name.to_owned())
        .collect();
    directives.extend(said.s_maxage.map(|seconds| format!("S-MaxAge=\"{seconds}\"")));
    directives.extend(said.max_age.map(|seconds| format!("max-age={seconds}")));
    directives.extend(said.swr.map(|seconds| format!("stale-while-revalidate={seconds}")));
    directives.push("x-unknown=\"a, max-age=7\"".to_owned());
    let turn = order % directives.len();
    directives.rotate_left(turn);
    let response = map([
        ("cache-control", Some(directives.join(if order.is_multiple_of(2) { ", " } else { " ,," }))),
        ("expires", said.expires.as_ref().map(date)),
        ("date", said.date.as_ref().map(date)),
        ("age", said.age.map(|age| age.to_string())),
        ("etag", said.etag.then(|| "\"a\"".to_owned())),
    ]);
    let mut directives = Vec::new();
    directives.extend(wanted.no_cache.then(|| "no-cache".to_owned()));
    directives.extend(wanted.max_age.map(|seconds| format!("Max-Age={seconds}")));
    directives.extend(wanted.min_fresh.map(|seconds| format!("min-fresh={seconds}")));
    directives
        .extend(wanted.max_stale.map(|most| most.map_or("max-stale".to_owned(), |most| format!("max-stale={most}"))));
    let request = map([("cache-control", (!directives.is_empty()).then(|| directives.join(", ")))]);
    let times = (at(-said.delay), at(0));
    let lifetime = assess(&HeaderMap::new(), StatusCode::OK, &response, times, &Rules::default()).ok()?.lifetime;
    let now = at(resident);
    let age_s = now.duration_since(lifetime.born).unwrap().as_secs();
    let ttl_ms = match lifetime.fresh_until.duration_since(now) {
        Ok(left) => i64::try_from(left.as_millis()).unwrap(),
        Err(past) => -i64::try_from(past.duration().as_millis()).unwrap(),
    };
    Some(match Demand::of(&request).on(age_s, ttl_ms, lifetime.may_be_stale) {
        Reuse::AfterValidation => false,
        Reuse::Stale => true,
        Reuse::ByFreshness => ttl_ms > 0,
    })
}

fn map<const FIELDS: usize>(fields: [(&'static str, Option<String>); FIELDS]) -> HeaderMap {
    let there = fields.into_iter().filter_map(|(name, value)| Some((name, value?)));
    there.map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_str(&value).unwrap())).collect()
}

fn seconds() -> impl Strategy<Value = Option<i64>> {
    prop::option::of(prop_oneof![Just(0), 0_i64..40])
}

fn said() -> impl Strategy<Value = Said> {
    let flag = || prop::bool::weighted(0.1);
    let dates = (prop::option::of(-20_i64..60), prop::option::of(-40_i64..20));
    let flags = [flag(), flag(), flag(), flag(), flag()];
    (seconds(), seconds(), dates, seconds(), seconds(), flags, any::<bool>(), 0_i64..5).prop_map(
        |(s_maxage, max_age, (expires, date), age, swr, flags, etag, delay)| Said {
            // Rarely: it hides everything else.
            s_maxage: s_maxage.filter(|seconds| seconds % 3 == 0),
            max_age,
            expires,
            date,
            age,
            swr,
            flags,
            etag,
            delay,
        },
    )
}

fn wanted() -> impl Strategy<Value = Wanted> {
    (prop::bool::weighted(0.1), seconds(), seconds(), prop::option::of(seconds()))
        .prop_map(|(no_cache, max_age, min_fresh, max_stale)| Wanted { no_cache, max_age, min_fresh, max_stale })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4096))]

    #[test]
    fn what_is_served_without_asking_is_what_the_rfc_lets_be_served(
        said in said(), wanted in wanted(), resident in 0_i64..60, order in 0_usize..12,
    ) {
        prop_assert_eq!(is_served(&said, &wanted, resident, order), may_serve(&said, &wanted, resident));
    }
}

//! Freshness against a second reading of RFC 9111 §4.2, §5.2.1 and §5.2.2, RFC 5861, RFC 9213 and the caches' word in
//! Surrogate-Control: one rule after the other as they have them, without a line of the code under test.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on says so by panicking")]

use std::time::{Duration, SystemTime};

use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use littoral_cache::demand::{Demand, Reuse};
use littoral_cache::freshness::{Heuristic, Rules, assess};
use proptest::prelude::*;

/// When the response came, in Unix seconds.
const CAME: i64 = 1_700_000_000;

/// Directives of one field.
#[derive(Debug, Clone, Default)]
struct Control {
    s_maxage: Option<i64>,
    max_age: Option<i64>,
    stale_while_revalidate: Option<i64>,
    stale_if_error: Option<i64>,
    no_cache: bool,
    must_revalidate: bool,
    proxy_revalidate: bool,
    no_store: bool,
    private: bool,
}

/// What an origin says, and when.
#[derive(Debug, Clone)]
struct Said {
    control: Control,
    /// Littoral-Cache-Control, CDN-Cache-Control.
    targeted: [Option<Control>; 2],
    /// Of Surrogate-Control: `no-store`, and `max-age` with the seconds after a `+`.
    surrogate: (bool, Option<(i64, Option<i64>)>),
    /// Seconds from when the response came.
    expires: Option<i64>,
    date: Option<i64>,
    last_modified: Option<i64>,
    age: Option<i64>,
    etag: bool,
    /// Seconds between asking and the answer.
    delay: i64,
}

/// What a site says to it.
#[derive(Debug, Clone)]
struct Site {
    /// Percent, and the longest in seconds.
    heuristic: Option<(i64, i64)>,
    stale_while_revalidate: i64,
    stale_if_error: i64,
    untargeted: bool,
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

/// What becomes of a response that is stored.
#[derive(Debug, PartialEq)]
struct Kept {
    /// It is served without asking the origin.
    is_served: bool,
    /// How long after its freshness it may be served while it is revalidated, and when the origin fails, in seconds.
    stale_while_revalidate: i64,
    stale_if_error: i64,
}

impl Said {
    /// The directives that count, and whether Expires does.
    fn governing(&self, site: &Site) -> (Control, bool) {
        // RFC 9213 §2.1, §2.2: the first of the list that is there and not empty, instead of Cache-Control and Expires.
        let targeted = self.targeted.iter().flatten().find(|control| !control.words(false).is_empty());
        let (no_store, max_age) = self.surrogate;
        match targeted {
            _ if site.untargeted => (self.control.clone(), true),
            Some(control) => (control.clone(), false),
            None if no_store || max_age.is_some() => {
                let (max_age, stale) = (max_age.map(|(fresh, _)| fresh), max_age.and_then(|(_, stale)| stale));
                let control = Control { no_store, max_age, ..Control::default() };
                (Control { stale_while_revalidate: stale, stale_if_error: stale, ..control }, false)
            }
            None => (self.control.clone(), true),
        }
    }
}

/// The model: is a response stored, and what becomes of it `resident` seconds after it came?
fn expected(said: &Said, site: &Site, wanted: &Wanted, resident: i64) -> Option<Kept> {
    let (control, expires_counts) = said.governing(site);
    // §3: neither may be stored by a shared cache; without a lifetime nothing is kept here but what is confirmed each time.
    if control.no_store || control.private {
        return None;
    }
    // §4.2.1, first match; Expires counts from Date, or from when the response came where there is none.
    let expires = said.expires.filter(|_| expires_counts).map(|expires| (expires - said.date.unwrap_or(0)).max(0));
    let stated_ms = control.s_maxage.or(control.max_age).or(expires).map(|seconds| seconds * 1000);
    // §4.2.2: only where nothing was stated; a share of the time since the last change, and nothing of none.
    let guessed_ms = site.heuristic.and_then(|(percent, longest)| {
        let unchanged = said.date.unwrap_or(0) - said.last_modified?;
        Some((unchanged * 10 * percent).min(longest * 1000)).filter(|guess| *guess > 0)
    });
    let lifetime_ms = stated_ms.or(guessed_ms);
    // §5.2.2.4: it can be confirmed by either validator.
    let can_be_confirmed = said.etag || said.last_modified.is_some();
    if (control.no_cache && !can_be_confirmed) || (!control.no_cache && lifetime_ms.is_none()) {
        return None;
    }
    // §4.2.4, §5.2.2.2, §5.2.2.4, §5.2.2.8, §5.2.2.10: these forbid stale, also in the windows of RFC 5861.
    let never_stale =
        control.must_revalidate || control.proxy_revalidate || control.s_maxage.is_some() || control.no_cache;
    let window = |stated: Option<i64>, of_the_site: i64| if never_stale { 0 } else { stated.unwrap_or(of_the_site) };
    // §4.2.3, with the names it uses; the time is counted from when the response came.
    let apparent_age = 0.max(-said.date.unwrap_or(0));
    let corrected_age_value = said.age.unwrap_or(0) + said.delay;
    let corrected_initial_age = apparent_age.max(corrected_age_value);
    let current_age = corrected_initial_age + resident;
    let left_ms = lifetime_ms.unwrap_or(0) - 1000 * current_age;
    // §5.2.1.1, §5.2.1.3, §5.2.1.4, §5.2.2.4
    let too_old = wanted.max_age.is_some_and(|most| current_age > most);
    let too_near_its_end = wanted.min_fresh.is_some_and(|least| left_ms < 1000 * least);
    let must_ask = control.no_cache || wanted.no_cache || too_old || too_near_its_end;
    // §5.2.1.2
    let patient = match wanted.max_stale {
        None => false,
        Some(None) => true,
        Some(Some(most)) => -left_ms <= 1000 * most,
    };
    Some(Kept {
        is_served: !must_ask && (left_ms > 0 || (patient && !never_stale)),
        stale_while_revalidate: window(control.stale_while_revalidate, site.stale_while_revalidate),
        stale_if_error: window(control.stale_if_error, site.stale_if_error),
    })
}

/// The same asked of the code under test.
fn found(said: &Said, site: &Site, wanted: &Wanted, resident: i64, order: usize) -> Option<Kept> {
    let rules = Rules {
        heuristic: site.heuristic.map(|(percent, longest)| Heuristic {
            percent: u32::try_from(percent).unwrap(),
            longest: Duration::from_secs(u64::try_from(longest).unwrap()),
        }),
        stale_while_revalidate: Duration::from_secs(u64::try_from(site.stale_while_revalidate).unwrap()),
        stale_if_error: Duration::from_secs(u64::try_from(site.stale_if_error).unwrap()),
        untargeted: site.untargeted,
        ..Rules::default()
    };
    let times = (at(-said.delay), at(0));
    let lifetime = assess(&HeaderMap::new(), StatusCode::OK, &said.fields(order), times, &rules).ok()?.lifetime;
    let now = at(resident);
    let age_s = now.duration_since(lifetime.born).unwrap().as_secs();
    let ttl_ms = match lifetime.fresh_until.duration_since(now) {
        Ok(left) => i64::try_from(left.as_millis()).unwrap(),
        Err(past) => -i64::try_from(past.duration().as_millis()).unwrap(),
    };
    let is_served = match Demand::of(&wanted.fields()).on(age_s, ttl_ms, lifetime.may_be_stale) {
        Reuse::AfterValidation => false,
        Reuse::Stale => true,
        Reuse::ByFreshness => ttl_ms > 0,
    };
    let seconds = |window: Duration| i64::try_from(window.as_secs()).unwrap();
    Some(Kept {
        is_served,
        stale_while_revalidate: seconds(lifetime.stale_while_revalidate),
        stale_if_error: seconds(lifetime.stale_if_error),
    })
}

fn at(seconds: i64) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(u64::try_from(CAME + seconds).unwrap())
}

impl Control {
    /// Its directives; `wild`: in the spellings that Cache-Control allows and a dictionary does not (RFC 8941 §3.2).
    fn words(&self, wild: bool) -> Vec<String> {
        let flags = [
            (self.no_cache, "no-cache", "no-cache"),
            (self.must_revalidate, "must-revalidate", "must-revalidate"),
            (self.proxy_revalidate, "proxy-revalidate", "Proxy-Revalidate"),
            (self.no_store, "no-store", "NO-STORE"),
            (self.private, "private", "private"),
        ];
        let flags = flags.into_iter().filter(|(there, ..)| *there);
        let mut words: Vec<String> = flags.map(|(_, tame, spelt)| if wild { spelt } else { tame }.to_owned()).collect();
        words.extend(self.s_maxage.map(|seconds| match wild {
            true => format!("S-MaxAge=\"{seconds}\""),
            false => format!("s-maxage={seconds}"),
        }));
        words.extend(self.max_age.map(|seconds| format!("max-age={seconds}")));
        words.extend(self.stale_while_revalidate.map(|seconds| format!("stale-while-revalidate={seconds}")));
        words.extend(self.stale_if_error.map(|seconds| format!("stale-if-error={seconds}")));
        words
    }
}

impl Said {
    fn fields(&self, order: usize) -> HeaderMap {
        let date = |seconds: &i64| httpdate::fmt_http_date(at(*seconds));
        let turned = |mut words: Vec<String>| {
            let turn = order % words.len().max(1);
            words.rotate_left(turn);
            words
        };
        let mut words = self.control.words(true);
        words.push("x-unknown=\"a, max-age=7\"".to_owned());
        let control = turned(words).join(if order.is_multiple_of(2) { ", " } else { " ,," });
        let targeted = self.targeted.each_ref().map(|control| Some(turned(control.as_ref()?.words(false)).join(", ")));
        let [own, cdn] = targeted;
        let (no_store, max_age) = self.surrogate;
        let mut surrogate: Vec<String> = vec!["content=\"ESI/1.0\"".into(), "max-age=1;elsewhere".into()];
        surrogate.extend(no_store.then(|| "no-store".into()));
        surrogate.extend(max_age.map(|(fresh, stale)| match stale {
            Some(stale) => format!("Max-Age={fresh}+{stale};littoral"),
            None => format!("max-age={fresh}"),
        }));
        map([
            ("cache-control", Some(control)),
            ("littoral-cache-control", own),
            ("cdn-cache-control", cdn),
            ("surrogate-control", Some(turned(surrogate).join(", "))),
            ("expires", self.expires.as_ref().map(date)),
            ("date", self.date.as_ref().map(date)),
            ("last-modified", self.last_modified.as_ref().map(date)),
            ("age", self.age.map(|age| age.to_string())),
            ("etag", self.etag.then(|| "\"a\"".to_owned())),
        ])
    }
}

impl Wanted {
    fn fields(&self) -> HeaderMap {
        let mut words = Vec::new();
        words.extend(self.no_cache.then(|| "no-cache".to_owned()));
        words.extend(self.max_age.map(|seconds| format!("Max-Age={seconds}")));
        words.extend(self.min_fresh.map(|seconds| format!("min-fresh={seconds}")));
        words
            .extend(self.max_stale.map(|most| most.map_or("max-stale".to_owned(), |most| format!("max-stale={most}"))));
        map([("cache-control", (!words.is_empty()).then(|| words.join(", ")))])
    }
}

fn map<const FIELDS: usize>(fields: [(&'static str, Option<String>); FIELDS]) -> HeaderMap {
    let there = fields.into_iter().filter_map(|(name, value)| Some((name, value?)));
    there.map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_str(&value).unwrap())).collect()
}

fn seconds() -> impl Strategy<Value = Option<i64>> {
    prop::option::of(prop_oneof![Just(0), 0_i64..40])
}

fn control() -> impl Strategy<Value = Control> {
    let flag = || prop::bool::weighted(0.1);
    let flags = (flag(), flag(), flag(), flag(), flag());
    (seconds(), seconds(), seconds(), seconds(), flags).prop_map(
        |(s_maxage, max_age, stale_while_revalidate, stale_if_error, flags)| {
            let (no_cache, must_revalidate, proxy_revalidate, no_store, private) = flags;
            // Rarely: it hides everything else.
            let s_maxage = s_maxage.filter(|seconds| seconds % 3 == 0);
            let lifetimes = Control { s_maxage, max_age, stale_while_revalidate, stale_if_error, ..Control::default() };
            Control { no_cache, must_revalidate, proxy_revalidate, no_store, private, ..lifetimes }
        },
    )
}

fn said() -> impl Strategy<Value = Said> {
    let rarely = || prop::option::weighted(0.15, control());
    let surrogate = (prop::bool::weighted(0.03), prop::option::weighted(0.15, (0_i64..40, seconds())));
    let dates = (prop::option::of(-20_i64..60), prop::option::of(-40_i64..20), prop::option::of(-900_i64..30));
    let fields = (control(), rarely(), rarely(), surrogate);
    (fields, dates, seconds(), any::<bool>(), 0_i64..5).prop_map(
        |((control, own, cdn, surrogate), (expires, date, last_modified), age, etag, delay)| Said {
            control,
            targeted: [own, cdn],
            surrogate,
            expires,
            date,
            last_modified,
            age,
            etag,
            delay,
        },
    )
}

fn site() -> impl Strategy<Value = Site> {
    let window = || prop_oneof![Just(0), 0_i64..90];
    let heuristic = prop::option::of((1_i64..60, 0_i64..90));
    (heuristic, window(), window(), prop::bool::weighted(0.2)).prop_map(
        |(heuristic, stale_while_revalidate, stale_if_error, untargeted)| Site {
            heuristic,
            stale_while_revalidate,
            stale_if_error,
            untargeted,
        },
    )
}

fn wanted() -> impl Strategy<Value = Wanted> {
    (prop::bool::weighted(0.1), seconds(), seconds(), prop::option::of(seconds()))
        .prop_map(|(no_cache, max_age, min_fresh, max_stale)| Wanted { no_cache, max_age, min_fresh, max_stale })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(16_384))]

    #[test]
    fn what_is_served_without_asking_is_what_the_rfcs_let_be_served(
        said in said(), site in site(), wanted in wanted(), resident in 0_i64..60, order in 0_usize..12,
    ) {
        prop_assert_eq!(found(&said, &site, &wanted, resident, order), expected(&said, &site, &wanted, resident));
    }
}

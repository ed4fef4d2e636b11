//! Whether a response may be stored and how long it may be used (RFC 9111 §3, §4.2, §5.2; RFC 5861; RFC 9213), for a shared
//! cache.
//!
//! Pure functions over header maps, clocks and a site's [`Rules`]. Reading directives is done in [`crate::control`]; what a
//! request asks for is weighed in [`crate::demand`].

use std::time::{Duration, SystemTime};

use http::header::{AGE, AUTHORIZATION, CACHE_CONTROL, DATE, EXPIRES, LAST_MODIFIED, SET_COOKIE};
use http::{HeaderMap, HeaderName, StatusCode};

use crate::control::seconds;
pub use crate::control::{CacheControl, SECONDS_MAX, Scope};

/// What a site adds to what its responses say of themselves. The default adds nothing.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Rules {
    /// Lifetime of a response that states none, by status: the first that names the status counts.
    pub ttl: Vec<(Statuses, Duration)>,
    /// The same for every other status whose lifetime may be guessed; zero: none.
    pub default_ttl: Duration,
    /// Lifetime of a response that states none and can be guessed at (RFC 9111 §4.2.2).
    pub heuristic: Option<Heuristic>,
    /// What becomes of a response that sets a cookie.
    pub set_cookie: SetCookie,
    /// How long it may be served stale while it is revalidated, where the response does not say and does not forbid it.
    pub stale_while_revalidate: Duration,
    /// The same for when the origin fails.
    pub stale_if_error: Duration,
    /// This is no CDN's cache: what is addressed to those alone (RFC 9213, Surrogate-Control) does not count.
    pub untargeted: bool,
}

/// Statuses of a rule: one, or a class of a hundred.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Statuses {
    /// This one.
    One(StatusCode),
    /// All whose first digit this is.
    Class(u8),
}

/// A guess from Last-Modified: this share of the time since then.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Heuristic {
    /// The share in percent; RFC 9111 §4.2.2 names 10.
    pub percent: u32,
    /// Never longer than this.
    pub longest: Duration,
}

/// What becomes of a response that sets a cookie (RFC 9111 §7.3 leaves it to its directives; most caches do not).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum SetCookie {
    /// It is not stored.
    #[default]
    Pass,
    /// It is stored without Set-Cookie.
    Strip,
    /// It is stored with it, for everybody.
    Store,
}

/// Why a response is not stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unstorable {
    /// `no-store`
    NoStore,
    /// `private`
    Private,
    /// `no-cache` and nothing to revalidate with
    NoCache,
    /// It sets a cookie.
    SetCookie,
    /// The request carried credentials and the response does not allow sharing (RFC 9111 §3.5).
    Authorised,
    /// A status this cache does not understand as final and storable.
    Status,
    /// No explicit lifetime, and no default for the site.
    NoLifetime,
    /// `Vary: *`
    VaryAny,
    /// Larger than the site allows.
    TooLarge,
    /// There is no room even after eviction.
    NoRoom,
    /// The request itself forbids it.
    Request,
}

impl Unstorable {
    /// The word for logs and metric labels.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::NoStore => "no-store",
            Self::Private => "private",
            Self::NoCache => "no-cache",
            Self::SetCookie => "set-cookie",
            Self::Authorised => "authorised",
            Self::Status => "status",
            Self::NoLifetime => "no-lifetime",
            Self::VaryAny => "vary-any",
            Self::TooLarge => "too-large",
            Self::NoRoom => "no-room",
            Self::Request => "request",
        }
    }
}

/// How long a response may be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lifetime {
    /// When it was generated, as well as that can be known: now minus its age on arrival (RFC 9111 §4.2.3).
    pub born: SystemTime,
    /// Fresh until then.
    pub fresh_until: SystemTime,
    /// May be served stale this long after, while it is revalidated (RFC 5861 §3). Zero: not at all.
    pub stale_while_revalidate: Duration,
    /// May be served stale this long after, when the origin fails (RFC 5861 §4). Zero: not at all.
    pub stale_if_error: Duration,
    /// Nothing forbids serving it stale (RFC 9111 §4.2.4) to a request that asks for that.
    pub may_be_stale: bool,
}

impl Lifetime {
    /// Fresh for so long from `born` on, and of no use after that but for a client that takes what is stale.
    pub fn fresh_for(born: SystemTime, time: Duration) -> Self {
        let (stale_while_revalidate, stale_if_error) = (Duration::ZERO, Duration::ZERO);
        Self { born, fresh_until: born + time, stale_while_revalidate, stale_if_error, may_be_stale: true }
    }
}

/// A response that may be stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Storable {
    /// How long it may be used.
    pub lifetime: Lifetime,
    /// Fields that must not be stored with it: those of `no-cache="…"` and `private="…"`, and cookies of a site that strips
    /// them.
    pub without: Vec<HeaderName>,
}

/// Whether and for how long a shared cache may keep the answer to `request`, sent at `asked`, that arrived at `now`.
///
/// # Errors
/// The reason why not.
pub fn assess(
    request: &HeaderMap,
    status: StatusCode,
    response: &HeaderMap,
    (asked, now): (SystemTime, SystemTime),
    rules: &Rules,
) -> Result<Storable, Unstorable> {
    let targeted = if rules.untargeted { None } else { CacheControl::targeted(response) };
    let expires_counts = targeted.is_none();
    let control = targeted.unwrap_or_else(|| CacheControl::of(response));
    storable(request, status, response, &control, rules.set_cookie)?;
    let stated = match control.s_maxage.or(control.max_age) {
        Some(seconds) => Some(Duration::from_secs(u64::from(seconds))),
        None if expires_counts => expires(response, now),
        None => None,
    };
    let lifetime = match (control.no_cache == Scope::Whole, stated) {
        // Stored to be confirmed each time (§5.2.2.4): worth it only if it can be.
        (true, _) if !has_validator(response) => return Err(Unstorable::NoCache),
        (true, _) => Duration::ZERO,
        (false, Some(_)) if !age_is_readable(response) => Duration::ZERO,
        (false, Some(stated)) => stated,
        (false, None) => unstated(status, response, &control, now, rules).ok_or(Unstorable::NoLifetime)?,
    };
    let born = now.checked_sub(age_on_arrival(response, asked, now)).unwrap_or(SystemTime::UNIX_EPOCH);
    // s-maxage implies proxy-revalidate (§5.2.2.10).
    let revalidated = control.must_revalidate || control.proxy_revalidate || control.s_maxage.is_some();
    let may_be_stale = !revalidated && control.no_cache != Scope::Whole;
    let window = |stated: Option<u32>, default: Duration| match may_be_stale {
        true => stated.map_or(default, |seconds| Duration::from_secs(u64::from(seconds))),
        false => Duration::ZERO,
    };
    Ok(Storable {
        lifetime: Lifetime {
            born,
            fresh_until: born + lifetime,
            stale_while_revalidate: window(control.stale_while_revalidate, rules.stale_while_revalidate),
            stale_if_error: window(control.stale_if_error, rules.stale_if_error),
            may_be_stale,
        },
        without: without(&control, rules.set_cookie),
    })
}

/// RFC 9111 §3.
fn storable(
    request: &HeaderMap,
    status: StatusCode,
    response: &HeaderMap,
    control: &CacheControl,
    set_cookie: SetCookie,
) -> Result<(), Unstorable> {
    let shareable = control.public || control.must_revalidate || control.s_maxage.is_some();
    let asks_not_to = request.contains_key(CACHE_CONTROL) && CacheControl::of(request).no_store;
    // Whoever understands the status ignores no-store beside must-understand (§5.2.2.3).
    let no_store = control.no_store && !(control.must_understand && is_understood(status));
    match () {
        () if no_store => Err(Unstorable::NoStore),
        () if asks_not_to => Err(Unstorable::Request),
        () if control.private == Scope::Whole => Err(Unstorable::Private),
        () if response.contains_key(SET_COOKIE) && set_cookie == SetCookie::Pass => Err(Unstorable::SetCookie),
        () if request.contains_key(AUTHORIZATION) && !shareable => Err(Unstorable::Authorised),
        () if control.must_understand && !is_understood(status) => Err(Unstorable::Status),
        () if !is_final_and_whole(status) => Err(Unstorable::Status),
        () => Ok(()),
    }
}

/// Any final status can be stored where the response says how long, but for 206 and 304, whose meaning is in another response.
fn is_final_and_whole(status: StatusCode) -> bool {
    !status.is_informational() && status != StatusCode::PARTIAL_CONTENT && status != StatusCode::NOT_MODIFIED
}

/// Statuses whose rules for caching this cache follows (RFC 9110 §15).
fn is_understood(status: StatusCode) -> bool {
    is_guessable(status) || matches!(status.as_u16(), 302 | 303 | 307 | 400 | 403 | 500 | 502 | 503 | 504)
}

/// Statuses whose lifetime may be guessed (RFC 9110 §15.1).
fn is_guessable(status: StatusCode) -> bool {
    matches!(status.as_u16(), 200 | 203 | 204 | 300 | 301 | 308 | 404 | 405 | 410 | 414 | 501)
}

/// The lifetime of a response that states none.
fn unstated(
    status: StatusCode,
    response: &HeaderMap,
    control: &CacheControl,
    now: SystemTime,
    rules: &Rules,
) -> Option<Duration> {
    let by_status = rules.ttl.iter().find(|(statuses, _)| statuses.contain(status)).map(|(_, ttl)| *ttl);
    let guess = rules.heuristic.filter(|_| is_guessable(status) || control.public).and_then(|heuristic| {
        let modified = date_field(response, LAST_MODIFIED)?;
        let since = date_field(response, DATE).unwrap_or(now).duration_since(modified).ok()?;
        Some((since / 100 * heuristic.percent).min(heuristic.longest))
    });
    let default = is_guessable(status).then_some(rules.default_ttl);
    by_status.or(guess).or(default).filter(|lifetime| !lifetime.is_zero())
}

impl Statuses {
    fn contain(self, status: StatusCode) -> bool {
        match self {
            Self::One(one) => one == status,
            Self::Class(digit) => status.as_u16() / 100 == u16::from(digit),
        }
    }
}

fn without(control: &CacheControl, set_cookie: SetCookie) -> Vec<HeaderName> {
    let mut without = Vec::new();
    for scope in [&control.no_cache, &control.private] {
        if let Scope::Fields(names) = scope {
            without.extend_from_slice(names);
        }
    }
    if set_cookie == SetCookie::Strip {
        without.push(SET_COOKIE);
    }
    without
}

/// Whether an origin can be asked if it is still the same.
pub fn has_validator(response: &HeaderMap) -> bool {
    response.contains_key(http::header::ETAG) || date_field(response, LAST_MODIFIED).is_some()
}

/// Expires less Date (§4.2.1). An unreadable Expires is in the past (§5.3).
fn expires(response: &HeaderMap, now: SystemTime) -> Option<Duration> {
    response.get(EXPIRES)?;
    let date = date_field(response, DATE).unwrap_or(now);
    let expires = date_field(response, EXPIRES).unwrap_or(SystemTime::UNIX_EPOCH);
    let longest = Duration::from_secs(u64::from(SECONDS_MAX));
    Some(expires.duration_since(date).unwrap_or(Duration::ZERO).min(longest))
}

/// No Age at all, or one line of numbers, of which the first counts (§5.1). Where it is said twice, in two lines or joined from
/// them, or is no number, what comes from another cache may be any age: it counts as stale (§4.2.1).
fn age_is_readable(response: &HeaderMap) -> bool {
    let mut fields = response.get_all(AGE).into_iter();
    let (Some(field), rest) = (fields.next(), fields.next()) else {
        return true;
    };
    let members: Vec<_> =
        field.as_bytes().split(|byte| *byte == b',').map(|member| seconds(member.trim_ascii())).collect();
    let differ = members.iter().enumerate().all(|(at, member)| !members[..at].contains(member));
    rest.is_none() && differ && members.iter().all(Option::is_some)
}

/// `corrected_initial_age` of §4.2.3.
fn age_on_arrival(response: &HeaderMap, asked: SystemTime, now: SystemTime) -> Duration {
    // The first member; one that is no number is ignored (§5.1).
    let first = response.get(AGE).and_then(|value| value.as_bytes().split(|byte| *byte == b',').next());
    let age_value = first.and_then(seconds).unwrap_or(0);
    let response_delay = now.duration_since(asked).unwrap_or(Duration::ZERO);
    let apparent = date_field(response, DATE).and_then(|date| now.duration_since(date).ok()).unwrap_or(Duration::ZERO);
    apparent.max(Duration::from_secs(u64::from(age_value)) + response_delay)
}

/// A field that is one readable date.
pub fn date_field(headers: &HeaderMap, name: HeaderName) -> Option<SystemTime> {
    let mut fields = headers.get_all(name).into_iter();
    let field = fields.next().filter(|_| fields.next().is_none())?;
    httpdate::parse_http_date(field.to_str().ok()?).ok()
}

#[cfg(test)]
mod tests;

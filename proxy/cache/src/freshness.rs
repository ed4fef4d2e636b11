//! Whether a response may be stored and how long it stays fresh (RFC 9111 §3, §4.2, §5.2; RFC 5861), for a shared cache.
//!
//! Pure functions over header maps and clocks handed in. Request directives and targeted fields (RFC 9213) are read by
//! later layers; this is what a response says about itself.

use std::time::{Duration, SystemTime};

use http::header::{AGE, AUTHORIZATION, CACHE_CONTROL, DATE, EXPIRES, SET_COOKIE};
use http::{HeaderMap, HeaderName, StatusCode};

/// Longest lifetime believed, in seconds: RFC 9111 §1.2.2 asks for at least 2^31.
pub const SECONDS_MAX: u32 = 1 << 31;

/// The directives of Cache-Control that a shared cache acts on.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct CacheControl {
    /// `no-store`
    pub no_store: bool,
    /// `no-cache`, with or without field names (the stricter reading)
    pub no_cache: bool,
    /// `private`, with or without field names (the stricter reading)
    pub private: bool,
    /// `public`
    pub public: bool,
    /// `must-revalidate`
    pub must_revalidate: bool,
    /// `proxy-revalidate`
    pub proxy_revalidate: bool,
    /// `only-if-cached` (of a request)
    pub only_if_cached: bool,
    /// `max-age` in seconds
    pub max_age: Option<u32>,
    /// `s-maxage` in seconds
    pub s_maxage: Option<u32>,
    /// `stale-while-revalidate` in seconds
    pub stale_while_revalidate: Option<u32>,
    /// `stale-if-error` in seconds
    pub stale_if_error: Option<u32>,
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
}

impl CacheControl {
    /// Reads all Cache-Control fields. Unknown directives are ignored; of a repeated number the smallest counts, and an
    /// unreadable one counts as zero, so that doubt makes the response stale (RFC 9111 §4.2.1).
    pub fn of(headers: &HeaderMap) -> Self {
        let mut control = Self::default();
        for value in headers.get_all(CACHE_CONTROL) {
            for directive in split_outside_quotes(value.as_bytes()) {
                control.read(directive.trim_ascii());
            }
        }
        control
    }

    fn read(&mut self, directive: &[u8]) {
        let (name, argument) = match directive.iter().position(|byte| *byte == b'=') {
            Some(at) => (directive[..at].trim_ascii(), Some(directive[at + 1..].trim_ascii())),
            None => (directive, None),
        };
        let is = |word: &str| name.eq_ignore_ascii_case(word.as_bytes());
        match () {
            () if is("no-store") => self.no_store = true,
            () if is("no-cache") => self.no_cache = true,
            () if is("private") => self.private = true,
            () if is("public") => self.public = true,
            () if is("must-revalidate") => self.must_revalidate = true,
            () if is("proxy-revalidate") => self.proxy_revalidate = true,
            () if is("only-if-cached") => self.only_if_cached = true,
            () if is("max-age") => least(&mut self.max_age, argument),
            () if is("s-maxage") => least(&mut self.s_maxage, argument),
            () if is("stale-while-revalidate") => least(&mut self.stale_while_revalidate, argument),
            () if is("stale-if-error") => least(&mut self.stale_if_error, argument),
            () => {}
        }
    }
}

/// Whether the answer to `request` may be stored by a shared cache (RFC 9111 §3).
///
/// # Errors
/// The reason why not.
pub fn storable(request: &HeaderMap, status: StatusCode, response: &HeaderMap) -> Result<(), Unstorable> {
    let control = CacheControl::of(response);
    let shareable = control.public || control.must_revalidate || control.s_maxage.is_some();
    match () {
        () if control.no_store || CacheControl::of(request).no_store => Err(Unstorable::NoStore),
        () if control.private => Err(Unstorable::Private),
        () if control.no_cache => Err(Unstorable::NoCache),
        () if response.contains_key(SET_COOKIE) => Err(Unstorable::SetCookie),
        () if request.contains_key(AUTHORIZATION) && !shareable => Err(Unstorable::Authorised),
        () if !understood(status) => Err(Unstorable::Status),
        () => Ok(()),
    }
}

/// The statuses stored: the cacheable ones of RFC 9110 §15.1 less 206, which needs combination.
fn understood(status: StatusCode) -> bool {
    matches!(status.as_u16(), 200 | 203 | 204 | 300 | 301 | 302 | 307 | 308 | 404 | 405 | 410 | 414 | 501)
}

/// The lifetime of a response that arrived at `now` in answer to a request sent at `asked` (RFC 9111 §4.2).
/// `default` is the site's lifetime for a 200, 203, 301, 308, 404 or 410 that states none.
///
/// # Errors
/// [`Unstorable::NoLifetime`] when nothing gives it one.
pub fn lifetime(
    status: StatusCode,
    response: &HeaderMap,
    asked: SystemTime,
    now: SystemTime,
    default: Option<Duration>,
) -> Result<Lifetime, Unstorable> {
    let control = CacheControl::of(response);
    let heuristic = matches!(status.as_u16(), 200 | 203 | 301 | 308 | 404 | 410);
    let lifetime = explicit_lifetime(&control, response, now)
        .or(default.filter(|default| heuristic && !default.is_zero()))
        .ok_or(Unstorable::NoLifetime)?;
    let born = now.checked_sub(age_on_arrival(response, asked, now)).unwrap_or(SystemTime::UNIX_EPOCH);
    // s-maxage implies proxy-revalidate (§5.2.2.10), which forbids serving stale.
    let may_be_stale = !control.must_revalidate && !control.proxy_revalidate && control.s_maxage.is_none();
    let window = |seconds: Option<u32>| Duration::from_secs(u64::from(seconds.filter(|_| may_be_stale).unwrap_or(0)));
    Ok(Lifetime {
        born,
        fresh_until: born + lifetime,
        stale_while_revalidate: window(control.stale_while_revalidate),
        stale_if_error: window(control.stale_if_error),
    })
}

/// s-maxage, else max-age, else Expires less Date (§4.2.1). An unreadable Expires is in the past (§5.3).
fn explicit_lifetime(control: &CacheControl, response: &HeaderMap, now: SystemTime) -> Option<Duration> {
    if let Some(seconds) = control.s_maxage.or(control.max_age) {
        return Some(Duration::from_secs(u64::from(seconds)));
    }
    response.get(EXPIRES)?;
    let date = date_field(response, DATE).unwrap_or(now);
    let expires = date_field(response, EXPIRES).unwrap_or(SystemTime::UNIX_EPOCH);
    let longest = Duration::from_secs(u64::from(SECONDS_MAX));
    Some(expires.duration_since(date).unwrap_or(Duration::ZERO).min(longest))
}

/// `corrected_initial_age` of §4.2.3.
fn age_on_arrival(response: &HeaderMap, asked: SystemTime, now: SystemTime) -> Duration {
    // The first member; one that is no number is ignored (§5.1).
    let first = response.get(AGE).and_then(|value| value.as_bytes().split(|byte| *byte == b',').next());
    let age_value = first.and_then(number).unwrap_or(0);
    let response_delay = now.duration_since(asked).unwrap_or(Duration::ZERO);
    let apparent = date_field(response, DATE).and_then(|date| now.duration_since(date).ok()).unwrap_or(Duration::ZERO);
    apparent.max(Duration::from_secs(u64::from(age_value)) + response_delay)
}

fn date_field(headers: &HeaderMap, name: HeaderName) -> Option<SystemTime> {
    httpdate::parse_http_date(headers.get(name)?.to_str().ok()?).ok()
}

fn least(slot: &mut Option<u32>, argument: Option<&[u8]>) {
    let seconds = argument.and_then(|text| number(text.strip_prefix(b"\"").unwrap_or(text))).unwrap_or(0);
    *slot = Some(slot.map_or(seconds, |known| known.min(seconds)));
}

/// delta-seconds (§1.2.2): a number that is too large is the largest.
fn number(text: &[u8]) -> Option<u32> {
    let text = text.strip_suffix(b"\"").unwrap_or(text).trim_ascii();
    if text.is_empty() || !text.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let digits = std::str::from_utf8(text).ok()?;
    Some(
        digits.parse::<u64>().map_or(SECONDS_MAX, |value| u32::try_from(value).unwrap_or(SECONDS_MAX).min(SECONDS_MAX)),
    )
}

fn split_outside_quotes(text: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut quoted = false;
    text.split(move |byte| {
        quoted ^= *byte == b'"';
        *byte == b',' && !quoted
    })
}

#[cfg(test)]
mod tests;

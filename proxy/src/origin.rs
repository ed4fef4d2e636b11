//! Origins of a site: their addresses, whose turn it is, and who is out for failing.
//!
//! Health is by outcome: what requests meet is what counts, no probe is sent. Connecting, pooling and time-outs are
//! the proxy framework's.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::time::Duration;

use arc_swap::ArcSwap;
use futures_util::StreamExt;

/// Failures in a row after which an origin is left out for a while.
pub const FAILURES_MAX: u32 = 3;
/// How long it is left out first; doubled with every further failure.
pub const EJECTION_MIN: Duration = Duration::from_secs(5);
/// How long it is left out at most.
pub const EJECTION_MAX: Duration = Duration::from_secs(60);
/// How often names are looked up again.
pub const LOOK_UP_EVERY: Duration = Duration::from_secs(30);
/// How often those are that have no address yet.
pub const LOOK_UP_MISSING_EVERY: Duration = Duration::from_secs(2);
/// How long a start, a reload or a round of looking up waits for the names at most.
pub const LOOK_UP_PATIENCE: Duration = Duration::from_secs(5);
/// Names looked up at a time: each takes a thread of the blocking pool until the system's resolver gives up.
pub const LOOK_UPS_MAX: usize = 16;

/// One origin.
#[derive(Debug)]
pub struct Origin {
    /// Host name or address, for SNI.
    pub host: String,
    /// Port.
    pub port: u16,
    /// Whether to speak TLS.
    pub tls: bool,
    addresses: ArcSwap<Vec<SocketAddr>>,
    failures: AtomicU32,
    /// In milliseconds of [`crate::clock`].
    ejected_until_ms: AtomicU64,
}

/// The origins of one site.
#[derive(Debug)]
pub struct Origins {
    all: Vec<Arc<Origin>>,
    turn: AtomicUsize,
}

/// Reads `http://host[:port]` or `https://host[:port]`.
///
/// # Errors
/// What to write instead.
pub fn parse_url(text: &str) -> Result<Origin, String> {
    let problem = || format!("origin {text:?}: write http:// or https://, a host and perhaps a port, nothing else");
    let url = url::Url::parse(text).map_err(|_| problem())?;
    let bare = url.path() == "/" && url.query().is_none() && url.username().is_empty() && url.password().is_none();
    let host = url.host_str().filter(|_| bare && matches!(url.scheme(), "http" | "https")).ok_or_else(problem)?;
    let (tls, port) = (url.scheme() == "https", url.port_or_known_default().ok_or_else(problem)?);
    let host = host.trim_matches(['[', ']']).to_owned();
    let literal = host.parse().map(|ip| vec![SocketAddr::new(ip, port)]).unwrap_or_default();
    Ok(Origin {
        host,
        port,
        tls,
        addresses: ArcSwap::from_pointee(literal),
        failures: AtomicU32::new(0),
        ejected_until_ms: AtomicU64::new(0),
    })
}

impl Origin {
    /// The address to connect to for the `attempt`-th time; `None` while its name is not resolved.
    pub fn address(&self, attempt: usize) -> Option<SocketAddr> {
        let addresses = self.addresses.load();
        addresses.get(attempt % addresses.len().max(1)).copied()
    }

    /// Whether requests to `other` go where requests to this one go.
    pub fn is_same_as(&self, other: &Self) -> bool {
        (&self.host, self.port, self.tls) == (&other.host, other.port, other.tls)
    }

    /// Looks its name up; keeps the old addresses when that fails.
    async fn resolve(&self) -> std::io::Result<()> {
        if self.host.parse::<std::net::IpAddr>().is_ok() {
            return Ok(());
        }
        let found: Vec<_> = tokio::net::lookup_host((self.host.as_str(), self.port)).await?.collect();
        if !found.is_empty() {
            self.addresses.store(Arc::new(found));
        }
        Ok(())
    }

    /// Whether requests go to it at `now_ms`.
    pub fn is_in(&self, now_ms: u64) -> bool {
        self.ejected_until_ms.load(Relaxed) <= now_ms
    }

    /// It answered.
    pub fn succeeded(&self) {
        self.failures.store(0, Relaxed);
    }

    /// It did not answer, or with 502, 503 or 504. `true` when that ejected it; one that is out already, asked because all
    /// others are out too, stays out longer.
    pub fn failed(&self, now_ms: u64) -> bool {
        let failures = self.failures.fetch_add(1, Relaxed) + 1;
        if failures < FAILURES_MAX {
            return false;
        }
        let doublings = (failures - FAILURES_MAX).min(8);
        let out = (EJECTION_MIN * 2_u32.pow(doublings)).min(EJECTION_MAX);
        let until = self.ejected_until_ms.swap(now_ms + out.as_millis() as u64, Relaxed);
        until <= now_ms
    }
}

impl Origins {
    /// Of a site.
    pub fn new(all: Vec<Arc<Origin>>) -> Self {
        Self { all, turn: AtomicUsize::new(0) }
    }

    /// All of them.
    pub fn all(&self) -> &[Arc<Origin>] {
        &self.all
    }

    /// Whose turn it is among those that are in, other than `tried`; when all are out, everybody is asked again. `None`: not
    /// one of them has an address.
    pub fn pick(&self, now_ms: u64, tried: Option<&Arc<Origin>>) -> Option<Arc<Origin>> {
        let turn = self.turn.fetch_add(1, Relaxed);
        let in_turn = (0..self.all.len()).map(|step| &self.all[(turn + step) % self.all.len()]);
        let mut addressed = in_turn.filter(|origin| origin.address(0).is_some());
        let untried = |origin: &&Arc<Origin>| tried.is_none_or(|tried| !Arc::ptr_eq(tried, origin));
        let healthy = addressed.clone().filter(untried).find(|origin| origin.is_in(now_ms));
        healthy.or_else(|| addressed.clone().find(untried)).or_else(|| addressed.next()).cloned()
    }
}

/// Looks the names of origins up, and waits for [`LOOK_UP_PATIENCE`] at most. What fails is a warning: an origin keeps the
/// addresses it has, and whoever looks up again (`run`) goes on.
pub async fn look_up(origins: Vec<Arc<Origin>>) {
    let lookups = origins.into_iter().map(|origin| async move {
        if let Err(error) = origin.resolve().await {
            tracing::warn!(origin = origin.host, %error, "cannot look the origin up; trying again later");
        }
    });
    let all = futures_util::stream::iter(lookups).buffer_unordered(LOOK_UPS_MAX).for_each(|()| std::future::ready(()));
    if tokio::time::timeout(LOOK_UP_PATIENCE, all).await.is_err() {
        tracing::warn!(seconds = LOOK_UP_PATIENCE.as_secs(), "looking origins up takes too long; trying again later");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn two() -> Origins {
        Origins::new(["http://127.0.0.1:1", "http://127.0.0.1:2"].map(|url| Arc::new(parse_url(url).unwrap())).into())
    }

    #[test]
    fn a_failing_origin_is_left_out_longer_each_time_and_comes_back() {
        let origins = two();
        let bad = origins.all()[0].clone();
        assert_eq!([bad.failed(0), bad.failed(0), bad.failed(0)], [false, false, true]);
        assert!((0..4).all(|_| origins.pick(1, None).unwrap().port == 2));
        let back = EJECTION_MIN.as_millis() as u64;
        assert!((0..4).any(|_| origins.pick(back, None).unwrap().port == 1));
        bad.failed(back);
        assert!(!bad.is_in(2 * back + back - 1) && bad.is_in(3 * back));
        bad.succeeded();
        assert!(!bad.failed(3 * back));
    }

    #[test]
    fn a_retry_goes_to_another_origin_even_to_an_ejected_one() {
        let origins = two();
        let first = origins.pick(0, None).unwrap();
        assert_ne!(origins.pick(0, Some(&first)).unwrap().port, first.port);
        for origin in origins.all() {
            (0..3).for_each(|_| assert!(origin.failed(0) != origin.is_in(1)));
        }
        assert_ne!(origins.pick(1, Some(&first)).unwrap().port, first.port);
    }

    #[test]
    fn an_origin_without_an_address_is_passed_over() {
        let of = |urls: &[&str]| Origins::new(urls.iter().map(|url| Arc::new(parse_url(url).unwrap())).collect());
        let one = of(&["http://not-looked-up.example", "http://127.0.0.1:2"]);
        assert!((0..4).all(|_| one.pick(0, None).unwrap().port == 2));
        let only = one.pick(0, None);
        assert_eq!(one.pick(0, only.as_ref()).unwrap().port, 2, "nobody else can be asked");
        assert!(of(&["http://not-looked-up.example"]).pick(0, None).is_none());
    }

    #[test]
    fn only_bare_http_urls_are_origins() {
        for bad in ["ftp://a", "http://a/path", "a:80", "http://u:p@a", "http://a?q"] {
            assert!(parse_url(bad).unwrap_err().contains("http:// or https://"), "{bad}");
        }
        let origin = parse_url("https://[::1]").unwrap();
        assert_eq!((origin.host.as_str(), origin.port, origin.tls), ("::1", 443, true));
        assert_eq!(origin.address(0).unwrap().to_string(), "[::1]:443");
    }
}

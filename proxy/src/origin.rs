//! Origins of a site: what is said of them, what is known of them, and whose turn it is.
//!
//! [`choice`] picks one, [`health`] says who is left out, [`slots`] bounds what each gets at a time, [`budget`] what is asked
//! again, [`lookup`] finds addresses, [`probe`] asks how they are, [`peer`] and [`secure`] say how to connect, [`sign`] how a store
//! knows who asks, [`shield`]
//! has the nodes that are asked before. Connecting, pooling and time-outs are the proxy framework's; when an origin is asked,
//! and what its answer means, is `request`'s.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};

use arc_swap::ArcSwap;
use http::HeaderValue;

use crate::config::origin::Origin as Raw;
use secure::Secure;

pub mod budget;
pub mod choice;
pub mod health;
pub mod lookup;
pub mod peer;
pub mod probe;
pub mod secure;
pub mod shield;
pub mod sign;
pub mod slots;

pub use budget::Budget;
pub use choice::{Origins, Wish, hash_of};
pub use lookup::{keep_looking_up, look_up};
pub use probe::Probes;
pub use shield::Shield;
pub use slots::{Busy, Slot, Slots};

/// A key of an origin and what is wrong with its value.
pub type Wrong = (&'static str, String);

/// One origin of a site.
#[derive(Debug)]
pub struct Origin {
    /// Host name or address.
    pub host: String,
    /// Port.
    pub port: u16,
    /// Whether to speak TLS.
    pub tls: bool,
    /// Its share of the requests.
    pub weight: u32,
    /// Asked only when no other can be.
    pub backup: bool,
    /// Host field of requests to it, when it is not the site's.
    pub host_field: Option<HeaderValue>,
    /// Whether to speak HTTP/2.
    pub h2: bool,
    /// Who signs requests to it.
    pub signer: Option<sign::Signer>,
    /// What is said of TLS, where it is spoken.
    secure: Option<Secure>,
    /// Of a node of a shield: its name.
    pub name: Option<String>,
    /// Its bound, when it has one.
    slots: Option<Slots>,
    /// Of its URL, the same in every process.
    name_hash: u64,
    live: Arc<Live>,
}

/// What is learnt of an origin, whatever the config says of it.
#[derive(Debug, Default)]
struct Live {
    addresses: ArcSwap<Vec<SocketAddr>>,
    /// When they no longer hold, in milliseconds of [`crate::clock`].
    due_ms: AtomicU64,
    health: health::Health,
    under_way: AtomicUsize,
}

impl Origin {
    /// As the config says.
    ///
    /// # Errors
    /// The key that is wrong and what to write instead.
    pub fn of(raw: &Raw) -> Result<Self, Wrong> {
        let (host, port, tls) = parse_url(&raw.url).map_err(|problem| ("url", problem))?;
        let secure = match tls {
            true => Some(Secure::of(raw, &host)?),
            false => secure::refuse(raw).map(|()| None)?,
        };
        let host_field = raw.host.as_deref().map(host_field).transpose().map_err(|problem| ("host", problem))?;
        let literal = host.parse().map(|ip| vec![SocketAddr::new(ip, port)]).unwrap_or_default();
        let live = Live { addresses: ArcSwap::from_pointee(literal), ..Live::default() };
        let signer = raw.sign.as_ref().map(sign::Signer::of).transpose()?;
        let slots = raw.max_connections.map(|places| Slots::new(places, raw.queue, raw.queue_timeout.0));
        let name_hash = hash_of(format!("{}://{host}:{port}", if tls { "https" } else { "http" }).as_bytes());
        let (weight, backup, h2, name, live) = (raw.weight, raw.backup, raw.h2, raw.name.clone(), Arc::new(live));
        Ok(Self { host, port, tls, weight, backup, host_field, h2, signer, secure, name, slots, name_hash, live })
    }

    /// With what has been learnt of `known`, which is the same.
    pub fn knowing(self, known: &Self) -> Self {
        Self { live: known.live.clone(), ..self }
    }

    /// The address to connect to for the `attempt`-th time; `None` while its name is not resolved.
    pub fn address(&self, attempt: usize) -> Option<SocketAddr> {
        let addresses = self.live.addresses.load();
        addresses.get(attempt % addresses.len().max(1)).copied()
    }

    /// What makes it the same as another: requests go to the same place.
    pub fn identity(&self) -> (&str, u16, bool) {
        (&self.host, self.port, self.tls)
    }

    /// Whether requests to `other` go where requests to this one go.
    pub fn is_same_as(&self, other: &Self) -> bool {
        self.identity() == other.identity()
    }

    /// Whether what is learnt of one is learnt of the other.
    pub fn is_known_as(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.live, &other.live)
    }

    /// Whether it is given by an address, which needs no looking up.
    pub fn is_literal(&self) -> bool {
        self.host.parse::<std::net::IpAddr>().is_ok()
    }

    /// Its health.
    pub fn health(&self) -> &health::Health {
        &self.live.health
    }

    /// Whether a request to it would not have to wait.
    pub fn has_room(&self) -> bool {
        self.slots.as_ref().is_none_or(Slots::has_room)
    }

    /// Requests that wait for it.
    pub fn waiting(&self) -> usize {
        self.slots.as_ref().map_or(0, Slots::waiting)
    }

    /// Requests under way at it.
    pub fn under_way(&self) -> usize {
        self.live.under_way.load(Relaxed)
    }
}

impl std::fmt::Display for Origin {
    /// Its URL, with its port.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let scheme = if self.tls { "https" } else { "http" };
        match self.host.contains(':') {
            true => write!(f, "{scheme}://[{}]:{}", self.host, self.port),
            false => write!(f, "{scheme}://{}:{}", self.host, self.port),
        }
    }
}

/// Reads `http://host[:port]` or `https://host[:port]`: host, port and whether it is TLS.
///
/// # Errors
/// What to write instead.
fn parse_url(text: &str) -> Result<(String, u16, bool), String> {
    let problem = || format!("origin {text:?}: write http:// or https://, a host and perhaps a port, nothing else");
    let url = url::Url::parse(text).map_err(|_| problem())?;
    let bare = url.path() == "/" && url.query().is_none() && url.username().is_empty() && url.password().is_none();
    let host = url.host_str().filter(|_| bare && matches!(url.scheme(), "http" | "https")).ok_or_else(problem)?;
    let (tls, port) = (url.scheme() == "https", url.port_or_known_default().ok_or_else(problem)?);
    Ok((host.trim_matches(['[', ']']).to_owned(), port, tls))
}

/// A Host field (RFC 9110 §7.2).
///
/// # Errors
/// What to write instead.
fn host_field(text: &str) -> Result<HeaderValue, String> {
    let problem = || format!("host {text:?}: write a host name and perhaps a port, such as \"o.example\"");
    let is_authority = text.parse::<http::uri::Authority>().is_ok_and(|authority| !authority.as_str().contains('@'));
    HeaderValue::from_str(text).ok().filter(|_| is_authority).ok_or_else(problem)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_bare_http_urls_are_origins() {
        for bad in ["ftp://a", "http://a/path", "a:80", "http://u:p@a", "http://a?q"] {
            assert!(Origin::of(&Raw::of_url(bad)).unwrap_err().1.contains("http:// or https://"), "{bad}");
        }
        let origin = Origin::of(&Raw::of_url("https://[::1]")).unwrap();
        assert_eq!(origin.identity(), ("::1", 443, true));
        assert_eq!(origin.address(0).unwrap().to_string(), "[::1]:443");
        assert_eq!(origin.to_string(), "https://[::1]:443");
    }
}

//! The explicit proxy: what clients of `listen.forward` may ask for, and where that is.
//!
//! [`target`] reads what is asked for, [`policy`] says whether it may be, [`names`] finds its addresses, [`tunnel`] carries what a
//! CONNECT opened. Plain requests go through `request.rs` like all others, with a key of their own (`http://host:port`).
//!
//! Invariant: what is connected to is an address that [`Policy::permits`] was asked about, never a name: what a name resolves
//! to a moment later does not count.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;

use arc_swap::ArcSwap;

use crate::config;
use crate::node::Node;
use crate::observe::figures::Counter;

pub(crate) mod names;
pub mod policy;
pub mod target;
pub mod tunnel;

use names::Names;
pub use policy::Policy;
pub use target::Target;

/// What the explicit proxy of a node knows and counts.
#[derive(Debug)]
pub struct Forward {
    policy: ArcSwap<Policy>,
    /// What is known of names, of those too that services dial.
    pub(crate) names: Names,
    /// Requests refused, by [`Refusal::LABELS`].
    pub refused: [Counter; Refusal::LABELS.len()],
    /// Lookups that found an address, and those that did not.
    pub lookups: [Counter; 2],
    /// Tunnels open now.
    pub open: AtomicUsize,
    /// Tunnels that have ended, by [`tunnel::Ended::LABELS`].
    pub ended: [Counter; tunnel::Ended::LABELS.len()],
    /// Bytes moved through tunnels: from clients, to clients.
    pub moved: [Counter; 2],
}

/// Why a client is not served.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// It can be read in two ways, or not at all.
    Malformed,
    /// The host is in no list.
    Host,
    /// The port is in no list.
    Port,
    /// The host has no address that may be connected to.
    Address,
    /// The host has no address.
    Name,
    /// Too many tunnels are open.
    Tunnels,
    /// No address of it can be connected to.
    Unreachable,
    /// None could be in time.
    Late,
}

impl Refusal {
    /// As metric labels, in the order of the variants.
    pub const LABELS: [&str; 8] = ["malformed", "host", "port", "address", "name", "tunnels", "unreachable", "late"];

    /// The status, and the sentence for the client.
    pub fn told(self) -> (u16, &'static str) {
        match self {
            Self::Malformed => {
                (400, "write GET http://host[:port]/path for plain HTTP, CONNECT host:port for anything else")
            }
            Self::Host => (403, "this proxy does not lead to that host"),
            Self::Port => (403, "this proxy does not lead to that port"),
            Self::Address => (403, "that host has no address that this proxy leads to"),
            Self::Name => (502, "that host cannot be found"),
            Self::Tunnels => (503, "too many tunnels are open"),
            Self::Unreachable => (502, "that host cannot be connected to"),
            Self::Late => (504, "that host cannot be connected to in time"),
        }
    }
}

impl Forward {
    /// As the config says.
    pub fn new(config: &config::Forward) -> Self {
        Self {
            policy: ArcSwap::from_pointee(Policy::new(config)),
            names: Names::default(),
            refused: Default::default(),
            lookups: Default::default(),
            open: AtomicUsize::new(0),
            ended: Default::default(),
            moved: Default::default(),
        }
    }

    /// Puts another config in force. Tunnels that are open keep what they began with.
    pub fn put(&self, config: &config::Forward) {
        if self.policy.load().config != *config {
            self.policy.store(Arc::new(Policy::new(config)));
        }
    }

    /// What holds now.
    pub fn policy(&self) -> Arc<Policy> {
        self.policy.load_full()
    }

    pub(crate) fn refuse(&self, why: Refusal) -> Refusal {
        self.refused[why as usize].add(1);
        why
    }

    /// The addresses of a target that may be connected to: at least one.
    ///
    /// # Errors
    /// [`Refusal::Name`] or [`Refusal::Address`].
    pub async fn addresses(&self, node: &Node, target: &Target) -> Result<Vec<SocketAddr>, Refusal> {
        let found: Arc<[IpAddr]> = match target.host.trim_matches(['[', ']']).parse::<IpAddr>() {
            Ok(literal) => Arc::new([literal]),
            Err(_) => {
                let found = self.names.addresses(node, &target.host).await;
                self.lookups[usize::from(found.is_empty())].add(1);
                found
            }
        };
        if found.is_empty() {
            return Err(Refusal::Name);
        }
        let policy = self.policy.load();
        let permitted = found.iter().filter(|address| policy.permits(**address, is_own));
        let addresses: Vec<_> = permitted.map(|address| SocketAddr::new(*address, target.port)).collect();
        if addresses.is_empty() { Err(Refusal::Address) } else { Ok(addresses) }
    }
}

/// The same objects as a purge names them, of what was fetched for clients of the explicit proxy.
pub fn purged(urls: &[String], prefixes: &[String], hosts: &[String]) -> Vec<littoral_cache::Target> {
    use littoral_cache::{Key, Target as Purged};
    let place = |url: &String| {
        let (target, path) = Target::of_absolute(url).ok()?;
        Some((target.key_host(), if path.starts_with('/') { path } else { format!("/{path}") }))
    };
    let urls = urls.iter().filter_map(place).map(|(host, path)| Purged::Url(Key::new(&host, &path)));
    let prefixes = prefixes.iter().filter_map(place).map(|(host, path)| Purged::prefix(&host, &path));
    // Whatever its port.
    let hosts = hosts.iter().filter_map(|host| crate::site::normalise_host(host));
    let hosts = hosts.map(|host| Purged::Host(format!("http://{host}:").into_bytes().into()));
    urls.chain(prefixes).chain(hosts).collect()
}

pub(crate) use policy::is_public;

/// Whether an address is of another host on the Internet, however it is written.
pub(crate) fn is_public_of_others(address: IpAddr) -> bool {
    let plain = address.to_canonical();
    policy::is_public(plain) && !is_own(plain)
}

/// Whether an address is one of this machine's: then it would also be the one to connect from. Nothing is sent.
fn is_own(address: IpAddr) -> bool {
    let any: IpAddr = if address.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
    let from = UdpSocket::bind((any, 0)).and_then(|socket| {
        // Any port: a datagram socket that is connected only looks up its route.
        socket.connect((address, 9))?;
        socket.local_addr()
    });
    from.is_ok_and(|from| from.ip() == address)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_purge_names_what_was_fetched_for_clients_by_url_prefix_and_host() {
        let key = littoral_cache::Key::new("http://a.example:8080", "/x?y");
        let list = |text: &str| vec![text.to_owned()];
        for (targets, expected) in [
            (purged(&list("http://a.example:8080/x?y"), &[], &[]), true),
            (purged(&list("http://a.example/x?y"), &[], &[]), false),
            (purged(&[], &list("http://a.example:8080/x"), &[]), true),
            (purged(&[], &[], &list("a.example")), true),
            (purged(&[], &[], &list("example")), false),
        ] {
            assert_eq!(targets[0].names(key.text(), &[]), expected, "{targets:?}");
        }
    }

    #[test]
    fn an_address_of_this_machine_is_known_as_its_own() {
        assert!(is_own(Ipv4Addr::LOCALHOST.into()));
        assert!(is_own(Ipv4Addr::new(127, 0, 0, 1).into()));
        assert!(!is_own(Ipv4Addr::new(192, 0, 2, 1).into()));
    }
}

//! What may be asked for through the explicit proxy. Pure.
//!
//! Invariant: an address that is not public on the Internet (loopback, link-local, private, shared, reserved, multicast, or one that
//! carries such an IPv4 address inside) is permitted only by `forward.private`, however it is written.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;

use super::{Refusal, Target};
use crate::config;
use crate::config::HostPattern;
use crate::site::Site;

/// Addresses without a host behind them on the Internet, or not the one that is meant (RFC 6890 and its registry), by prefix.
const SPECIAL_V4: [(Ipv4Addr, u32); 15] = [
    (Ipv4Addr::new(0, 0, 0, 0), 8),
    (Ipv4Addr::new(10, 0, 0, 0), 8),
    (Ipv4Addr::new(100, 64, 0, 0), 10),
    (Ipv4Addr::new(127, 0, 0, 0), 8),
    (Ipv4Addr::new(169, 254, 0, 0), 16),
    (Ipv4Addr::new(172, 16, 0, 0), 12),
    (Ipv4Addr::new(192, 0, 0, 0), 24),
    (Ipv4Addr::new(192, 0, 2, 0), 24),
    (Ipv4Addr::new(192, 88, 99, 0), 24),
    (Ipv4Addr::new(192, 168, 0, 0), 16),
    (Ipv4Addr::new(198, 18, 0, 0), 15),
    (Ipv4Addr::new(198, 51, 100, 0), 24),
    (Ipv4Addr::new(203, 0, 113, 0), 24),
    (Ipv4Addr::new(224, 0, 0, 0), 4),
    (Ipv4Addr::new(240, 0, 0, 0), 4),
];

/// A checked `[forward]`, ready to use.
#[derive(Debug)]
pub struct Policy {
    /// As it is written.
    pub config: config::Forward,
    /// What its requests are cached by.
    pub site: Arc<Site>,
}

impl Policy {
    /// Of a checked config.
    pub fn new(config: &config::Forward) -> Self {
        Self { config: config.clone(), site: Arc::new(Site::of_forward(config)) }
    }

    /// Whether a target may be asked over plain HTTP.
    ///
    /// # Errors
    /// [`Refusal::Host`] or [`Refusal::Port`].
    pub fn may_ask(&self, target: &Target) -> Result<(), Refusal> {
        admit(target, &self.config.hosts, &self.config.ports)
    }

    /// Whether a tunnel may be opened to it.
    ///
    /// # Errors
    /// As [`Self::may_ask`].
    pub fn may_connect(&self, target: &Target) -> Result<(), Refusal> {
        admit(target, &self.config.connect, &self.config.connect_ports)
    }

    /// Whether an address may be connected to; `is_own` says whether it is one of this machine's.
    pub fn permits(&self, address: IpAddr, is_own: impl Fn(IpAddr) -> bool) -> bool {
        let plain = address.to_canonical();
        self.config.private.iter().any(|prefix| prefix.0.contains(&plain)) || (is_public(plain) && !is_own(plain))
    }
}

fn admit(target: &Target, hosts: &[HostPattern], ports: &[u16]) -> Result<(), Refusal> {
    if !hosts.iter().any(|pattern| pattern.means(&target.host)) {
        return Err(Refusal::Host);
    }
    if ports.contains(&target.port) { Ok(()) } else { Err(Refusal::Port) }
}

/// Whether an address is of a host on the Internet.
pub(crate) fn is_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => {
            let is_in = |(start, length): &(Ipv4Addr, u32)| (address.to_bits() ^ start.to_bits()) >> (32 - length) == 0;
            !SPECIAL_V4.iter().any(is_in)
        }
        IpAddr::V6(address) => is_public_v6(address),
    }
}

fn is_public_v6(address: Ipv6Addr) -> bool {
    let parts = address.segments();
    let v4 = |high: u16, low: u16| is_public(Ipv4Addr::from_bits(u32::from(high) << 16 | u32::from(low)).into());
    match parts {
        // Translated to IPv4 (RFC 6052), and 6to4 (RFC 3056): what is inside counts.
        [0x64, 0xff9b, 0, 0, 0, 0, high, low] => v4(high, low),
        [0x2002, high, low, ..] => v4(high, low),
        // Teredo and other protocols' own (RFC 2928), documentation (RFC 3849, RFC 9637).
        [0x2001, 0..=0x1ff, ..] | [0x2001, 0xdb8, ..] | [0x3fff, 0..=0xfff, ..] => false,
        // What is given out as global unicast (RFC 4291 §2.4).
        [first, ..] => first >> 13 == 1,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn policy(text: &str) -> Policy {
        Policy::new(&toml::from_str(text).unwrap())
    }

    #[test]
    fn addresses_that_are_not_public_are_permitted_only_by_name() {
        let (open, some) = (policy(""), policy("private = [\"10.1.0.0/16\", \"::1\", \"192.0.2.7\"]"));
        for (address, by_default, with_private) in [
            ("198.41.0.4", true, true),
            ("127.0.0.1", false, false),
            ("127.255.0.9", false, false),
            ("0.0.0.0", false, false),
            ("10.0.0.1", false, false),
            ("10.1.2.3", false, true),
            ("172.31.255.255", false, false),
            ("172.32.0.0", true, true),
            ("192.168.0.1", false, false),
            ("169.254.169.254", false, false),
            ("100.64.0.1", false, false),
            ("100.128.0.1", true, true),
            ("224.0.0.1", false, false),
            ("255.255.255.255", false, false),
            ("::1", false, true),
            ("::", false, false),
            ("::ffff:127.0.0.1", false, false),
            ("::ffff:10.1.2.3", false, true),
            ("::127.0.0.1", false, false),
            ("64:ff9b::7f00:1", false, false),
            ("64:ff9b::c629:4", true, true),
            ("2002:7f00:1::", false, false),
            ("2002:c629:4::", true, true),
            ("2001::1", false, false),
            ("fe80::1", false, false),
            ("fc00::1", false, false),
            ("ff02::1", false, false),
            ("2001:db8::1", false, false),
            ("2001:500:2::c", true, true),
            ("2606:4700::1", true, true),
        ] {
            let address = address.parse().unwrap();
            let permitted = [&open, &some].map(|policy| policy.permits(address, |_| false));
            assert_eq!(permitted, [by_default, with_private], "{address}");
        }
    }

    #[test]
    fn an_address_of_this_machine_is_refused_though_it_is_public() {
        let address = "198.41.0.4".parse().unwrap();
        assert!(!policy("").permits(address, |_| true));
        assert!(policy("private = [\"198.41.0.4\"]").permits(address, |_| true));
    }

    #[test]
    fn hosts_and_ports_are_held_against_the_lists() {
        let default = policy("");
        let narrow = policy("hosts = [\"*.example\"]\nports = [8080]\nconnect = [\"a.example\"]");
        let target = |host: &str, port| Target { host: host.into(), port };
        for (policy, target, ask, connect) in [
            (&default, target("a.example", 80), Ok(()), Err(Refusal::Host)),
            (&default, target("a.example", 25), Err(Refusal::Port), Err(Refusal::Host)),
            (&narrow, target("a.example", 8080), Ok(()), Err(Refusal::Port)),
            (&narrow, target("a.example", 443), Err(Refusal::Port), Ok(())),
            (&narrow, target("a.test", 8080), Err(Refusal::Host), Err(Refusal::Host)),
        ] {
            assert_eq!((policy.may_ask(&target), policy.may_connect(&target)), (ask, connect), "{target}");
        }
    }
}

//! Whom a service may dial, as an operator writes it. Pure: names are looked up, and addresses judged public, by whoever asks.
//!
//! Invariants: a name is reached only if it is listed; an address that is not public only if a prefix with it is.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use ipnet::IpNet;
use serde::Deserialize;
use serde::de::{Deserializer, Error};

/// Entries of one list.
pub const REACHES_MAX: usize = 256;
/// Bytes of a name (RFC 1035 §2.3.4, without the dot at its end).
const NAME_BYTES_MAX: usize = 253;

/// One entry: whom, and at which port.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reach {
    whom: Whom,
    /// `None`: any.
    port: Option<u16>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Whom {
    /// `*`
    Any,
    /// Every name that ends so; it begins with a dot.
    Below(String),
    One(String),
    Prefix(IpNet),
}

/// Whether a name may be looked up for a port: `name` is as [`name`] gives it.
pub fn names(list: &[Reach], name: &str, port: u16) -> bool {
    list.iter().filter(|reach| reach.is_at(port)).any(|reach| match &reach.whom {
        Whom::Any => true,
        Whom::Below(end) => name.len() > end.len() && name.ends_with(end.as_str()),
        Whom::One(one) => one == name,
        Whom::Prefix(_) => false,
    })
}

/// Whether any entry is about an address that is asked for as such; whether it may be connected to, [`permits_literal`] says.
pub fn may_be_literal(list: &[Reach], address: IpAddr, port: u16) -> bool {
    permits_literal(list, address, port, true)
}

/// Whether an address may be connected to that stands for a name that is listed.
pub fn permits(list: &[Reach], address: IpAddr, port: u16, is_public: bool) -> bool {
    is_public || contains(list, address, port)
}

/// Whether an address may be connected to that was asked for as such.
pub fn permits_literal(list: &[Reach], address: IpAddr, port: u16, is_public: bool) -> bool {
    let is_any = || list.iter().any(|reach| reach.is_at(port) && reach.whom == Whom::Any);
    contains(list, address, port) || (is_public && is_any())
}

fn contains(list: &[Reach], address: IpAddr, port: u16) -> bool {
    let plain = address.to_canonical();
    let is_in = |reach: &Reach| matches!(&reach.whom, Whom::Prefix(prefix) if prefix.contains(&plain));
    list.iter().any(|reach| reach.is_at(port) && is_in(reach))
}

/// A name in the spelling that lists have: lower case, without a dot at its end; `None` for what is no name of a host.
pub fn name(text: &str) -> Option<String> {
    let name = text.strip_suffix('.').unwrap_or(text).to_ascii_lowercase();
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_".contains(&byte);
    let is_label = |label: &str| (1..=63).contains(&label.len()) && label.bytes().all(is_plain);
    (name.len() <= NAME_BYTES_MAX && name.split('.').all(is_label)).then_some(name)
}

impl Reach {
    fn is_at(&self, port: u16) -> bool {
        self.port.is_none_or(|own| own == port)
    }
}

impl FromStr for Reach {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let problem = || {
            format!(
                "{text:?} is nobody to dial: write \"mail.example.org:25\", \"*.example.org:443\", \"*:25\", \"10.0.0.0/8:25\" or \"[2001:db8::]/32:*\""
            )
        };
        let (whom, port) = text.rsplit_once(':').ok_or_else(problem)?;
        let port = match port {
            "*" => None,
            port => Some(port.parse::<u16>().ok().filter(|port| *port > 0).ok_or_else(problem)?),
        };
        let whom = match whom.strip_prefix('*') {
            Some("") => Whom::Any,
            Some(end) => Whom::Below(format!(".{}", end.strip_prefix('.').and_then(name).ok_or_else(problem)?)),
            None => prefix(whom).map(Whom::Prefix).or_else(|| name(whom).map(Whom::One)).ok_or_else(problem)?,
        };
        // `10.0.0.0/8` would be a name otherwise that nobody has, and `1.2.3` one that somebody takes for an address.
        let is_number =
            |name: &str| name.rsplit('.').next().is_some_and(|last| last.bytes().all(|b| b.is_ascii_digit()));
        match &whom {
            Whom::One(name) if is_number(name) => Err(problem()),
            _ => Ok(Self { whom, port }),
        }
    }
}

/// An address or a prefix; IPv6 stands in brackets.
fn prefix(text: &str) -> Option<IpNet> {
    let (address, length) = text.split_once('/').map_or((text, None), |(address, length)| (address, Some(length)));
    let address: IpAddr = match address.strip_prefix('[') {
        Some(rest) => IpAddr::V6(rest.strip_suffix(']')?.parse().ok()?),
        None => IpAddr::V4(address.parse().ok()?),
    };
    let most = if address.is_ipv4() { 32 } else { 128 };
    let length = length.map_or(Some(most), |length| length.parse().ok())?;
    IpNet::new(address, length).ok().filter(|prefix| *prefix == prefix.trunc())
}

impl fmt::Display for Reach {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.whom {
            Whom::Any => f.write_str("*")?,
            Whom::Below(end) => write!(f, "*{end}")?,
            Whom::One(name) => f.write_str(name)?,
            Whom::Prefix(IpNet::V4(prefix)) => write!(f, "{prefix}")?,
            Whom::Prefix(IpNet::V6(prefix)) => write!(f, "[{}]/{}", prefix.addr(), prefix.prefix_len())?,
        }
        match self.port {
            Some(port) => write!(f, ":{port}"),
            None => f.write_str(":*"),
        }
    }
}

impl<'de> Deserialize<'de> for Reach {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(D::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list(texts: &[&str]) -> Vec<Reach> {
        texts.iter().map(|text| text.parse().unwrap()).collect()
    }

    #[test]
    fn a_name_is_looked_up_only_where_it_is_listed_with_the_port() {
        let list = list(&["mail.example.org:25", "*.example.net:443", "10.0.0.0/8:25"]);
        for (host, port, expected) in [
            ("mail.example.org", 25, true),
            ("mail.example.org", 26, false),
            ("MAIL.example.ORG.", 25, true),
            ("a.mail.example.org", 25, false),
            ("a.example.net", 443, true),
            ("example.net", 443, false),
            ("aexample.net", 443, false),
            ("internal", 25, false),
        ] {
            assert_eq!(names(&list, &name(host).unwrap(), port), expected, "{host} {port}");
        }
        assert!(names(&["*:*".parse().unwrap()], "anybody", 1));
        for bad in ["", ".", "a..b", "a b", "a/b", "a:1", "ü.example", &"a".repeat(64), &"a.".repeat(128)] {
            assert_eq!(name(bad), None, "{bad}");
        }
    }

    #[test]
    fn an_address_that_is_not_public_is_reached_only_through_a_prefix_that_is_listed() {
        let list = list(&["*:25", "10.1.0.0/16:25", "127.0.0.1:7", "[fd00::]/8:*"]);
        for (address, port, of_a_name, literal) in [
            ("10.1.2.3", 25, true, true),
            ("10.1.2.3", 26, false, false),
            ("10.2.0.1", 25, false, false),
            ("::ffff:10.1.2.3", 25, true, true),
            ("127.0.0.1", 7, true, true),
            ("127.0.0.2", 7, false, false),
            ("fd00::1", 9, true, true),
            ("fe80::1", 9, false, false),
        ] {
            let address = address.parse().unwrap();
            assert_eq!(permits(&list, address, port, false), of_a_name, "{address} {port}");
            assert_eq!(permits_literal(&list, address, port, false), literal, "{address} {port}");
        }
        let public = "198.41.0.4".parse().unwrap();
        assert!(permits(&list, public, 80, true), "its name is listed for the port, or nobody asks");
        assert_eq!([25, 80].map(|port| permits_literal(&list, public, port, true)), [true, false]);
    }

    #[test]
    fn entries_are_written_as_they_are_read_and_anything_else_is_refused() {
        for text in ["mail.example.org:25", "*.example.org:443", "*:25", "*:*", "10.0.0.0/8:25", "[2001:db8::]/32:*"] {
            assert_eq!(text.parse::<Reach>().unwrap().to_string(), text);
        }
        assert_eq!("[::1]:25".parse::<Reach>().unwrap().to_string(), "[::1]/128:25");
        for bad in [
            "",
            "a",
            "a:",
            "a:0",
            "a:65536",
            ":25",
            "*a:25",
            "10.0.0.1/8:25",
            "10.0.0.0/33:25",
            "10.0.0:25",
            "::1:25",
            "2001:db8::/32:25",
            "[10.0.0.0]/8:25",
            "a b:25",
            "http://a:80",
        ] {
            assert!(bad.parse::<Reach>().unwrap_err().contains("10.0.0.0/8:25"), "{bad}");
        }
    }
}

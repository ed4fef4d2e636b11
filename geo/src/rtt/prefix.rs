//! Clients whose round-trip times are one: an IPv4 /24 or an IPv6 /48.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

use crate::address::canonical;

const V4_BITS: u8 = 24;
const V6_BITS: u8 = 48;

/// A prefix of clients. IPv4 comes first, then by address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Prefix {
    v6: bool,
    /// The bits of the prefix alone, as a number.
    bits: u64,
}

impl Prefix {
    /// Of an address; IPv4 in IPv6 is IPv4.
    pub fn of(address: IpAddr) -> Self {
        Self::looked_up(canonical(address))
    }

    /// Of an address as it is looked up.
    pub(super) fn looked_up(address: IpAddr) -> Self {
        match address {
            IpAddr::V4(v4) => Self { v6: false, bits: u64::from(v4.to_bits() >> (32 - V4_BITS)) },
            IpAddr::V6(v6) => Self { v6: true, bits: (v6.to_bits() >> (128 - V6_BITS)) as u64 },
        }
    }

    /// The one with these bits.
    pub(super) fn numbered(v6: bool, bits: u64) -> Self {
        Self { v6, bits }
    }

    /// Whether it is of IPv6.
    pub fn is_v6(self) -> bool {
        self.v6
    }

    /// Its bits as a number: neighbours are one apart.
    pub(super) fn bits(self) -> u64 {
        self.bits
    }

    /// How many bits it has.
    pub fn length(self) -> u8 {
        if self.v6 { V6_BITS } else { V4_BITS }
    }

    /// Its first address.
    pub fn address(self) -> IpAddr {
        match self.v6 {
            false => IpAddr::V4(Ipv4Addr::from_bits((self.bits as u32) << (32 - V4_BITS))),
            true => IpAddr::V6(Ipv6Addr::from_bits(u128::from(self.bits) << (128 - V6_BITS))),
        }
    }
}

impl fmt::Display for Prefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.address(), self.length())
    }
}

impl FromStr for Prefix {
    type Err = ();

    /// Only the prefix itself: of another length, or with bits beyond it, it is none.
    fn from_str(text: &str) -> Result<Self, ()> {
        let (address, length) = text.split_once('/').ok_or(())?;
        let address: IpAddr = address.parse().map_err(|_| ())?;
        let prefix = Self::of(address);
        // IPv4 in IPv6 is written as IPv4.
        let is_whole = prefix.address() == address && length.parse() == Ok(prefix.length());
        if is_whole { Ok(prefix) } else { Err(()) }
    }
}

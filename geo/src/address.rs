//! Addresses as they are looked up: IPv4 inside IPv6 taken out, bits beyond a length cut off, both families as one kind of key.
//!
//! Invariant: keys of one family compare as its addresses do, and a prefix of an address is a prefix of its key.

use std::net::IpAddr;

use ipnet::IpNet;

/// An IPv4 address inside an IPv6 one: the prefix that says so, how many bits stand before it, and whether its bits are
/// turned over.
struct Embedding {
    prefix: u128,
    length: u8,
    before: u8,
    inverted: bool,
}

const EMBEDDINGS: [Embedding; 5] = [
    // IPv4-mapped (RFC 4291 §2.5.5.2), IPv4-translated (RFC 2765 §2.1) and NAT64's own prefix (RFC 6052 §2.1).
    Embedding { prefix: 0xffff << 32, length: 96, before: 96, inverted: false },
    Embedding { prefix: 0xffff << 48, length: 96, before: 96, inverted: false },
    Embedding { prefix: 0x0064_ff9b << 96, length: 96, before: 96, inverted: false },
    // 6to4 (RFC 3056 §2) and Teredo (RFC 4380 §4).
    Embedding { prefix: 0x2002 << 112, length: 16, before: 16, inverted: false },
    Embedding { prefix: 0x2001_0000 << 96, length: 32, before: 96, inverted: true },
];

/// An address as it is looked up, of which `length` bits are known: IPv4 in IPv6 becomes IPv4. With it comes by how much the
/// lengths of its prefixes grow when they are told of the address as it was.
pub fn embedded(address: IpAddr, length: u8) -> (IpAddr, u8) {
    let IpAddr::V6(v6) = address else {
        return (address, 0);
    };
    let bits = v6.to_bits();
    let within = |embedding: &&Embedding| {
        length > embedding.before && (bits ^ embedding.prefix) >> (128 - embedding.length) == 0
    };
    let Some(embedding) = EMBEDDINGS.iter().find(within) else {
        return (address, 0);
    };
    let v4 = (bits >> (96 - embedding.before)) as u32;
    let known = masked(IpAddr::V4((if embedding.inverted { !v4 } else { v4 }).into()), length - embedding.before);
    (known, embedding.before)
}

/// A whole address as it is looked up: IPv4 in IPv6 becomes IPv4.
pub fn canonical(address: IpAddr) -> IpAddr {
    embedded(address, 128).0
}

/// The length of the shortest prefix around an address, as it is looked up, that has no other as part of which IPv4 addresses are looked up. For one that lies among
/// those, with too few bits known to say which it is, as many as would say something.
pub(crate) fn apart(address: IpAddr) -> u8 {
    let IpAddr::V6(v6) = address else {
        return 0;
    };
    let of = |embedding: &Embedding| match (v6.to_bits() ^ embedding.prefix).leading_zeros() as u8 {
        common if common >= embedding.length => embedding.before + 1,
        common => common + 1,
    };
    EMBEDDINGS.iter().map(of).max().unwrap_or(0)
}

/// `address` with everything beyond `length` bits zero.
pub fn masked(address: IpAddr, length: u8) -> IpAddr {
    match address {
        IpAddr::V4(v4) => {
            let keep = u32::MAX.checked_shl(32 - u32::from(length.min(32))).unwrap_or(0);
            IpAddr::V4((v4.to_bits() & keep).into())
        }
        IpAddr::V6(v6) => {
            let keep = u128::MAX.checked_shl(128 - u32::from(length.min(128))).unwrap_or(0);
            IpAddr::V6((v6.to_bits() & keep).into())
        }
    }
}

/// The key of an address: its bits from the left, zeros behind those of IPv4.
pub(crate) fn key(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(v4) => u128::from(v4.to_bits()) << 96,
        IpAddr::V6(v6) => v6.to_bits(),
    }
}

/// First and last key of a prefix.
pub(crate) fn bounds(prefix: IpNet) -> (u128, u128) {
    let first = key(prefix.network());
    (first, first | u128::MAX.checked_shr(prefix.prefix_len().into()).unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ipv4_is_taken_out_of_ipv6_where_enough_of_it_is_known() {
        for (written, length, v4, before) in [
            ("::ffff:192.0.2.7", 128, "192.0.2.7", 96),
            ("::ffff:0:192.0.2.7", 128, "192.0.2.7", 96),
            ("64:ff9b::192.0.2.7", 128, "192.0.2.7", 96),
            ("2002:c000:207::1", 128, "192.0.2.7", 16),
            ("2002:c000:200::", 40, "192.0.2.0", 16),
            ("2001:0:1:2:3:4:3fff:fdf8", 128, "192.0.2.7", 96),
        ] {
            let v4: IpAddr = v4.parse().unwrap();
            assert_eq!(embedded(written.parse().unwrap(), length), (v4, before), "{written}/{length}");
        }
        for (written, length) in [("2001:db8::1", 128), ("::1", 128), ("2002::", 16), ("::", 0), ("::ffff:0:0", 96)] {
            let address: IpAddr = written.parse().unwrap();
            assert_eq!(embedded(address, length), (address, 0), "{written}/{length}");
        }
    }

    #[test]
    fn no_prefix_that_keeps_apart_has_addresses_that_are_looked_up_as_ipv4() {
        for (written, length) in [("2001:db8::", 21), ("2a00::", 5), ("ff00::", 1), ("64:ff9c::", 30), ("192.0.2.1", 0)]
        {
            assert_eq!(apart(written.parse().unwrap()), length, "{written}");
        }
        for (few, length) in [("2002::", 17), ("2001::", 97), ("64:ff9b::", 97)] {
            assert_eq!(apart(few.parse().unwrap()), length, "{few}: too few bits");
        }
    }

    #[test]
    fn keys_keep_order_and_bounds() {
        for prefix in ["0.0.0.0/0", "10.1.0.0/16", "255.255.255.255/32", "::/0", "2001:db8::/32", "::1/128"] {
            let prefix: IpNet = prefix.parse().unwrap();
            let (first, last) = bounds(prefix);
            let behind = if prefix.addr().is_ipv4() { u128::MAX >> 32 } else { 0 };
            assert_eq!((first, last), (key(prefix.network()), key(prefix.broadcast()) | behind), "{prefix}");
        }
    }
}

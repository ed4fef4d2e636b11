//! Where every walk begins: the addresses of the Internet's thirteen root servers, as IANA's `named.root` lists them.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

const fn v4(a: u8, b: u8, c: u8, d: u8) -> IpAddr {
    IpAddr::V4(Ipv4Addr::new(a, b, c, d))
}

const fn v6(a: u16, b: u16, c: u16, last: [u16; 2]) -> IpAddr {
    IpAddr::V6(Ipv6Addr::new(a, b, c, 0, 0, 0, last[0], last[1]))
}

/// From a to m, IPv4 before IPv6.
pub const ROOTS: [IpAddr; 26] = [
    v4(198, 41, 0, 4),
    v4(170, 247, 170, 2),
    v4(192, 33, 4, 12),
    v4(199, 7, 91, 13),
    v4(192, 203, 230, 10),
    v4(192, 5, 5, 241),
    v4(192, 112, 36, 4),
    v4(198, 97, 190, 53),
    v4(192, 36, 148, 17),
    v4(192, 58, 128, 30),
    v4(193, 0, 14, 129),
    v4(199, 7, 83, 42),
    v4(202, 12, 27, 33),
    v6(0x2001, 0x503, 0xba3e, [2, 0x30]),
    v6(0x2801, 0x1b8, 0x10, [0, 0xb]),
    v6(0x2001, 0x500, 0x2, [0, 0xc]),
    v6(0x2001, 0x500, 0x2d, [0, 0xd]),
    v6(0x2001, 0x500, 0xa8, [0, 0xe]),
    v6(0x2001, 0x500, 0x2f, [0, 0xf]),
    v6(0x2001, 0x500, 0x12, [0, 0xd0d]),
    v6(0x2001, 0x500, 0x1, [0, 0x53]),
    v6(0x2001, 0x7fe, 0, [0, 0x53]),
    v6(0x2001, 0x503, 0xc27, [2, 0x30]),
    v6(0x2001, 0x7fd, 0, [0, 0x1]),
    v6(0x2001, 0x500, 0x9f, [0, 0x42]),
    v6(0x2001, 0xdc3, 0, [0, 0x35]),
];

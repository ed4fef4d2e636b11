//! The PROXY protocol, versions 1 and 2 (haproxy.org, proxy-protocol.txt): whom a connection is made for. Pure.
//!
//! Strict: what is not exactly a header is refused, since "the receiver must not guess". Who may send one is
//! [`super::rules`]'s; reading from a socket is [`super::announce`]'s. TLVs and checksums of version 2 are passed over.
//!
//! Invariant: a header is never longer than [`V1_BYTES_MAX`] or [`V2_BYTES_MAX`]; what [`parse`] asks for never reaches
//! beyond the header.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// Bytes of the longest header of version 1 (§2.1).
pub const V1_BYTES_MAX: usize = 107;
/// Bytes of the longest header of version 2 that is read: addresses and some KiB of TLVs.
pub const V2_BYTES_MAX: usize = 16 + (4 << 10);
/// Bytes of the shortest header of all, `PROXY UNKNOWN` and its line end: so many can be read before looking.
pub const SHORTEST: usize = 15;

const V2_SIGNATURE: &[u8; 12] = b"\r\n\r\n\0\r\nQUIT\n";
const V2_FIXED_BYTES: usize = 16;

/// A look at the first bytes of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Look {
    /// At least so many more bytes belong to the header.
    More(usize),
    /// The header is whole. `Some`: the client it names; `None`: the connection is for nobody but its sender.
    Whole(Option<SocketAddr>),
    /// It is no header.
    Nonsense,
}

/// Looks at what was read so far: never more than was asked for.
pub fn parse(read: &[u8]) -> Look {
    if read.len() < SHORTEST {
        return Look::More(SHORTEST - read.len());
    }
    if read.starts_with(V2_SIGNATURE) { v2(read) } else { v1(read) }
}

fn v1(read: &[u8]) -> Look {
    if !read.starts_with(b"PROXY ") {
        return Look::Nonsense;
    }
    let end = read.iter().position(|byte| *byte == b'\n');
    match end {
        None if read.len() >= V1_BYTES_MAX => Look::Nonsense,
        None if read.ends_with(b"\r") => Look::More(1),
        // Two bytes end a line, so two more are the header's; near the bound only one fits.
        None => Look::More(2.min(V1_BYTES_MAX - read.len())),
        Some(end) if end + 1 == read.len() && read[end - 1] == b'\r' => v1_line(&read[..end - 1]),
        Some(_) => Look::Nonsense,
    }
}

fn v1_line(line: &[u8]) -> Look {
    let Ok(line) = std::str::from_utf8(line) else {
        return Look::Nonsense;
    };
    let mut words = line.split(' ').skip(1);
    let family = words.next();
    if family == Some("UNKNOWN") {
        // "The receiver must ignore anything presented before the CRLF" (§2.1).
        return Look::Whole(None);
    }
    let [source, target, source_port, target_port] = [(); 4].map(|()| words.next().unwrap_or(""));
    let address = |text: &str| match family {
        Some("TCP4") => text.parse::<Ipv4Addr>().ok().map(IpAddr::V4),
        Some("TCP6") => text.parse::<Ipv6Addr>().ok().map(IpAddr::V6),
        _ => None,
    };
    let told = address(source).zip(address(target)).zip(port(source_port).zip(port(target_port)));
    match (told, words.next()) {
        (Some(((source, _), (source_port, _))), None) => Look::Whole(Some(SocketAddr::new(source, source_port))),
        _ => Look::Nonsense,
    }
}

/// Decimal, without sign or leading zeroes.
fn port(text: &str) -> Option<u16> {
    let plain = text == "0" || !text.starts_with('0');
    text.parse().ok().filter(|_| plain && text.bytes().all(|byte| byte.is_ascii_digit()))
}

fn v2(read: &[u8]) -> Look {
    let Some((fixed, rest)) = read.split_first_chunk::<V2_FIXED_BYTES>() else {
        return Look::More(V2_FIXED_BYTES - read.len());
    };
    let length = usize::from(u16::from_be_bytes([fixed[14], fixed[15]]));
    if fixed[12] >> 4 != 2 || V2_FIXED_BYTES + length > V2_BYTES_MAX {
        return Look::Nonsense;
    }
    if rest.len() < length {
        return Look::More(length - rest.len());
    }
    match (fixed[12] & 0x0f, fixed[13]) {
        _ if rest.len() > length => Look::Nonsense,
        // LOCAL: a check of the sender's own, whatever family it says.
        (0, _) => Look::Whole(None),
        (1, 0x11) => v2_source::<4>(rest, 12, 8).map_or(Look::Nonsense, |(ip, port)| told(Ipv4Addr::from(ip), port)),
        (1, 0x21) => v2_source::<16>(rest, 36, 32).map_or(Look::Nonsense, |(ip, port)| told(Ipv6Addr::from(ip), port)),
        // Unspecified or unix addresses: there is no client to name.
        (1, 0x00 | 0x31) => Look::Whole(None),
        _ => Look::Nonsense,
    }
}

fn told(ip: impl Into<IpAddr>, port: u16) -> Look {
    Look::Whole(Some(SocketAddr::new(ip.into(), port)))
}

/// Source address and port of an address block of `length` bytes.
fn v2_source<const BYTES: usize>(rest: &[u8], length: usize, port_at: usize) -> Option<([u8; BYTES], u16)> {
    let block = rest.get(..length)?;
    let port = block.get(port_at..port_at + 2)?;
    Some((*block.first_chunk()?, u16::from_be_bytes([port[0], port[1]])))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn v2_of(command: u8, family: u8, rest: &[u8]) -> Vec<u8> {
        let length = u16::try_from(rest.len()).unwrap().to_be_bytes();
        [V2_SIGNATURE, &[0x20 | command, family][..], &length, rest].concat()
    }

    /// Reads as a socket is read: no more than what is asked for.
    fn read(bytes: &[u8]) -> (Look, usize) {
        let mut at = 0;
        loop {
            match parse(&bytes[..at]) {
                Look::More(more) if at + more <= bytes.len() => at += more,
                look => return (look, at),
            }
        }
    }

    #[test]
    fn a_client_is_told_by_either_version_and_nothing_behind_the_header_is_read() {
        let client = |text: &str| Look::Whole(Some(text.parse().unwrap()));
        let v4 = [192, 0, 2, 7, 10, 0, 0, 1, 0xdc, 0x04, 0, 80];
        let mut v6 = vec![0; 36];
        (v6[0], v6[15], v6[32], v6[33]) = (0x20, 9, 1, 0);
        let with_tlv = [&v4[..], &[4, 0, 3, b'a', b'b', b'c']].concat();
        for (header, expected) in [
            (b"PROXY TCP4 192.0.2.7 10.0.0.1 56324 80\r\n".to_vec(), client("192.0.2.7:56324")),
            (b"PROXY TCP6 2001:db8::7 ::1 1 80\r\n".to_vec(), client("[2001:db8::7]:1")),
            (b"PROXY UNKNOWN\r\n".to_vec(), Look::Whole(None)),
            (b"PROXY UNKNOWN what ever 1 2\r\n".to_vec(), Look::Whole(None)),
            (v2_of(1, 0x11, &v4), client("192.0.2.7:56324")),
            (v2_of(1, 0x11, &with_tlv), client("192.0.2.7:56324")),
            (v2_of(1, 0x21, &v6), client("[2000::9]:256")),
            (v2_of(0, 0x11, &v4), Look::Whole(None)),
            (v2_of(1, 0, &[]), Look::Whole(None)),
        ] {
            let bytes = [&header[..], b"GET / HTTP/1.1\r\n\r\n"].concat();
            assert_eq!(read(&bytes), (expected, header.len()), "{}", header.escape_ascii());
        }
    }

    #[test]
    fn what_is_not_exactly_a_header_is_refused() {
        let v4 = [192, 0, 2, 7, 10, 0, 0, 1, 0xdc, 0x04, 0, 80];
        let mut version_3 = v2_of(1, 0x11, &v4);
        version_3[12] = 0x31;
        let long = format!("PROXY TCP4 192.0.2.7 10.0.0.1 1 {}\r\n", "2".repeat(90)).into_bytes();
        for wrong in [
            b"GET / HTTP/1.1\r\n\r\n".to_vec(),
            b"proxy TCP4 192.0.2.7 10.0.0.1 1 2\r\n".to_vec(),
            b"PROXY TCP4 192.0.2.7 10.0.0.1 1 2\n    ".to_vec(),
            b"PROXY TCP4 192.0.2.7 10.0.0.1 1\r\n".to_vec(),
            b"PROXY TCP4 192.0.2.7 10.0.0.1 1 2 3\r\n".to_vec(),
            b"PROXY TCP4 192.0.2.7  10.0.0.1 1 2\r\n".to_vec(),
            b"PROXY TCP4 192.0.2.7 10.0.0.1 +1 2\r\n".to_vec(),
            b"PROXY TCP4 192.0.2.7 10.0.0.1 01 2\r\n".to_vec(),
            b"PROXY TCP4 192.0.2.7 10.0.0.1 65536 2\r\n".to_vec(),
            b"PROXY TCP4 2001:db8::7 ::1 1 2\r\n".to_vec(),
            b"PROXY TCP6 192.0.2.7 10.0.0.1 1 2\r\n".to_vec(),
            b"PROXY UDP4 192.0.2.7 10.0.0.1 1 2\r\n".to_vec(),
            long,
            version_3,
            v2_of(2, 0x11, &v4),
            v2_of(1, 0x12, &v4),
            v2_of(1, 0x11, &v4[..11]),
            v2_of(1, 0x21, &v4),
            v2_of(1, 0x11, &vec![0; V2_BYTES_MAX]),
        ] {
            assert_eq!(read(&wrong).0, Look::Nonsense, "{}", wrong.escape_ascii());
        }
    }

    #[test]
    fn a_header_in_pieces_is_waited_for() {
        let line = b"PROXY TCP4 192.0.2.7 10.0.0.1 56324 80\r\n";
        for cut in 0..line.len() {
            assert!(matches!(parse(&line[..cut]), Look::More(_)), "{cut}");
        }
    }
}

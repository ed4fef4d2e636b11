//! DNS cookies (RFC 7873) in the form that servers of one name can share (RFC 9018): whoever brings back the cookie that it was
//! given is at the address that it writes from.
//!
//! Invariant: what the server writes depends on the secret, the client's cookie, its address and the time, and on nothing kept.

use std::net::IpAddr;

use hickory_proto::rr::rdata::opt::{EdnsCode, EdnsOption};
use siphasher::sip::SipHasher24;
use std::hash::Hasher;

/// Bytes of a secret.
pub const SECRET_BYTES: usize = 16;
/// Bytes of a client's cookie, and of the server's behind it: version, reserved, time and hash.
const CLIENT_BYTES: usize = 8;
const SERVER_BYTES: usize = 16;
/// Bytes of what others may have as theirs (RFC 7873 §4).
const FOREIGN_BYTES: std::ops::RangeInclusive<usize> = 8..=32;
const VERSION: [u8; 4] = [1, 0, 0, 0];
/// Seconds for which one holds, from which on it is replaced, and by which a clock may be ahead (RFC 9018 §4.3).
const HOLDS_SECONDS: u32 = 3600;
const FRESH_SECONDS: u32 = 1800;
const AHEAD_SECONDS: u32 = 300;

/// The cookie option of a query.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Cookie {
    /// There is none.
    None,
    /// One that cannot be: FORMERR (RFC 7873 §5.2.2).
    Malformed,
    /// The client's, and whether the server's behind it is one of ours that holds; with it the one to send.
    Of { known: bool, answer: [u8; CLIENT_BYTES + SERVER_BYTES] },
}

impl Cookie {
    /// Of the option of a query from `client` at `now_s` (Unix seconds, which may wrap around).
    pub(super) fn read(bytes: &[u8], client: IpAddr, secret: &[u8; SECRET_BYTES], now_s: u32) -> Self {
        let Some((own, server)) = bytes.split_first_chunk::<CLIENT_BYTES>() else {
            return Self::Malformed;
        };
        if !server.is_empty() && !FOREIGN_BYTES.contains(&server.len()) {
            return Self::Malformed;
        }
        let made_at = |time: u32| made(own, client, secret, time);
        let stated = server.get(4..8).and_then(|time| time.try_into().ok()).map(u32::from_be_bytes);
        let ours = stated.filter(|time| made_at(*time)[CLIENT_BYTES..] == *server);
        // Serial arithmetic, as the clock of RFC 9018 §4.3 wraps around.
        let age = ours.map(|time| now_s.wrapping_sub(time));
        let known = age.is_some_and(|age| age <= HOLDS_SECONDS || age.wrapping_neg() <= AHEAD_SECONDS);
        let fresh = age.is_some_and(|age| age <= FRESH_SECONDS);
        let answer = made_at(stated.filter(|_| known && fresh).unwrap_or(now_s));
        Self::Of { known, answer }
    }

    /// The option of the response.
    pub(super) fn option(self) -> Option<EdnsOption> {
        match self {
            Self::Of { answer, .. } => Some(EdnsOption::Unknown(EdnsCode::Cookie.into(), answer.into())),
            Self::None | Self::Malformed => None,
        }
    }

    /// Whether the client is at the address that it writes from.
    pub(super) fn is_known(self) -> bool {
        matches!(self, Self::Of { known: true, .. })
    }
}

fn made(
    own: &[u8; CLIENT_BYTES],
    client: IpAddr,
    secret: &[u8; SECRET_BYTES],
    time: u32,
) -> [u8; CLIENT_BYTES + SERVER_BYTES] {
    let mut cookie = [0; CLIENT_BYTES + SERVER_BYTES];
    cookie[..8].copy_from_slice(own);
    cookie[8..12].copy_from_slice(&VERSION);
    cookie[12..16].copy_from_slice(&time.to_be_bytes());
    let mut hasher = SipHasher24::new_with_key(secret);
    hasher.write(&cookie[..16]);
    match client {
        IpAddr::V4(v4) => hasher.write(&v4.octets()),
        IpAddr::V6(v6) => hasher.write(&v6.octets()),
    }
    cookie[16..].copy_from_slice(&hasher.finish().to_le_bytes());
    cookie
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The secret of RFC 9018, appendix A.
    const SECRET: [u8; SECRET_BYTES] =
        [0xe5, 0xe9, 0x73, 0xe5, 0xa6, 0xb2, 0xa4, 0x3f, 0x48, 0xe7, 0xdc, 0x84, 0x9e, 0x37, 0xbf, 0xcf];

    fn bytes(hex: &str) -> Vec<u8> {
        (0..hex.len()).step_by(2).map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap()).collect()
    }

    fn of(option: &[u8], client: &str, now_s: u32) -> Cookie {
        Cookie::read(option, client.parse().unwrap(), &SECRET, now_s)
    }

    fn answer(cookie: Cookie) -> (bool, Vec<u8>) {
        match cookie {
            Cookie::Of { known, answer } => (known, answer.to_vec()),
            cookie => panic!("{cookie:?}"),
        }
    }

    #[test]
    fn cookies_are_those_of_rfc_9018() {
        let first = "2464c4abcf10c957010000005cf79f111f8130c3eee29480";
        assert_eq!(answer(of(&bytes("2464c4abcf10c957"), "198.51.100.100", 0x5cf7_9f11)), (false, bytes(first)));
        let again = answer(of(&bytes(first), "198.51.100.100", 0x5cf7_9f11 + 1800));
        assert_eq!(again, (true, bytes(first)), "a fresh one is not kept");
    }

    #[test]
    fn one_holds_for_an_hour_at_its_own_address_and_is_replaced_after_half_of_it() {
        let (client, then) = ("2001:db8::7", 1_000_000);
        let given = answer(of(&[7; 8], client, then)).1;
        let at = |now_s: u32| answer(of(&given, client, now_s));
        assert_eq!(at(then + 1800), (true, given.clone()));
        assert!(at(then + 1801).0 && at(then + 1801).1 != given);
        assert!(at(then + 3600).0 && !at(then + 3601).0);
        assert!(at(then - 300).0 && !at(then - 301).0);
        assert!(!answer(of(&given, "2001:db8::8", then)).0);
        let mut forged = given.clone();
        forged[23] ^= 1;
        assert!(!answer(of(&forged, client, then)).0);
        assert!(!answer(of(&given[..16], client, then)).0);
    }

    #[test]
    fn one_of_a_length_that_cannot_be_is_malformed() {
        for length in [0, 7, 9, 15, 41] {
            assert_eq!(of(&vec![1; length], "192.0.2.1", 7), Cookie::Malformed, "{length}");
        }
        for length in [8, 16, 24, 40] {
            assert!(!answer(of(&vec![1; length], "192.0.2.1", 7)).0, "{length}");
        }
    }
}

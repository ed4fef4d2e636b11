//! Whether a message is a plain question: one, of class IN, written out, with at most an OPT record behind it, and nothing that
//! needs to be judged. All others are the library's to read, malformed ones, too.
//!
//! Invariant: nothing is allocated, and no bytes make it panic.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::address::masked;
use crate::wire::{HEADER_BYTES, TYPE_AND_CLASS_BYTES};

/// Options that are looked at: RFC 7871, RFC 7873, RFC 5001, and DAU, which the library reads (RFC 6975).
pub(super) const SUBNET: u16 = 8;
pub(super) const COOKIE: u16 = 10;
pub(super) const IDENTITY: u16 = 3;
const ALGORITHMS: u16 = 5;
/// Bytes of a name (RFC 1035 §3.1) and of a label.
const NAME_BYTES_MAX: usize = 255;
const LABEL_BYTES_MAX: u8 = 63;
/// Bytes of OPT before its options, by their places: root, type, payload, extended code, version, flags, length.
const OPT_BYTES: usize = 11;
const OPT: [u8; 3] = [0, 0, 41];
const DNSSEC_OK: u8 = 0x80;
/// Flags that a plain question may have: RD, and in the second byte AD and CD.
const RECURSION_DESIRED: u8 = 0x01;
const AUTHENTIC_DATA: u8 = 0x20;
const CHECKING_DISABLED: u8 = 0x10;
/// Types that are asked for otherwise than by their records (RFC 6895 §3.1), and OPT.
const OPT_TYPE: u16 = 41;
const META_TYPES: std::ops::RangeInclusive<u16> = 128..=255;

/// A plain question.
pub(super) struct Plain<'a> {
    pub(super) id: [u8; 2],
    pub(super) recursion_desired: u8,
    pub(super) checking_disabled: u8,
    name: [u8; NAME_BYTES_MAX],
    name_bytes: usize,
    pub(super) kind: u16,
    /// Name, type and class as they came.
    pub(super) question: &'a [u8],
    pub(super) edns: Option<Options<'a>>,
}

/// What OPT says.
#[derive(Default)]
pub(super) struct Options<'a> {
    pub(super) payload: u16,
    /// The byte of the flags that has DO.
    pub(super) dnssec_ok: u8,
    pub(super) subnet: Option<Subnet<'a>>,
    pub(super) cookie: Option<&'a [u8]>,
    pub(super) identity: bool,
}

/// A client subnet, well-formed.
pub(super) struct Subnet<'a> {
    pub(super) address: IpAddr,
    pub(super) source: u8,
    pub(super) octets: &'a [u8],
}

impl<'a> Plain<'a> {
    pub(super) fn read(message: &'a [u8]) -> Option<Self> {
        let (header, behind) = message.split_first_chunk::<HEADER_BYTES>()?;
        let one_question = header[4..11] == [0, 1, 0, 0, 0, 0, 0];
        let flags = [header[2] & !RECURSION_DESIRED, header[3] & !(AUTHENTIC_DATA | CHECKING_DISABLED)];
        if !one_question || flags != [0, 0] {
            return None;
        }
        let mut name = [0; NAME_BYTES_MAX];
        let name_bytes = lowered(behind, &mut name)?;
        let end = name_bytes + TYPE_AND_CLASS_BYTES;
        let question = behind.get(..end)?;
        let (kind, class) = (number(question, name_bytes)?, number(question, name_bytes + 2)?);
        if class != 1 || kind == 0 || kind == OPT_TYPE || META_TYPES.contains(&kind) {
            return None;
        }
        let rest = &behind[end..];
        let edns = match (header[11], rest.is_empty()) {
            (0, true) => None,
            (1, false) => Some(Options::read(rest)?),
            _ => return None,
        };
        let (recursion_desired, checking_disabled) = (header[2] & RECURSION_DESIRED, header[3] & CHECKING_DISABLED);
        let id = [header[0], header[1]];
        Some(Self { id, recursion_desired, checking_disabled, name, name_bytes, kind, question, edns })
    }

    /// The name in wire form, in small letters.
    pub(super) fn name(&self) -> &[u8] {
        &self.name[..self.name_bytes]
    }
}

impl<'a> Options<'a> {
    fn read(record: &'a [u8]) -> Option<Self> {
        let (head, mut rest) = record.split_first_chunk::<OPT_BYTES>()?;
        let plain = head[..3] == OPT && head[5..7] == [0, 0] && head[7] & !DNSSEC_OK == 0 && head[8] == 0;
        if !plain || number(head, 9).map(usize::from) != Some(rest.len()) {
            return None;
        }
        let mut options = Self { payload: number(head, 3)?, dnssec_ok: head[7], ..Self::default() };
        while !rest.is_empty() {
            let (code, length) = (number(rest, 0)?, usize::from(number(rest, 2)?));
            let data = rest.get(4..4 + length)?;
            match code {
                SUBNET if options.subnet.is_none() => options.subnet = Some(Subnet::read(data)?),
                COOKIE if options.cookie.is_none() => options.cookie = Some(data),
                IDENTITY if data.is_empty() => options.identity = true,
                SUBNET | COOKIE | IDENTITY | ALGORITHMS => return None,
                _ => {}
            }
            rest = &rest[4 + length..];
        }
        Some(options)
    }
}

impl<'a> Subnet<'a> {
    /// RFC 7871 §6; what is not as it should be is not answered here.
    fn read(option: &'a [u8]) -> Option<Self> {
        let (head, octets) = option.split_first_chunk::<4>()?;
        let (family, source, scope) = (number(head, 0)?, head[2], head[3]);
        if scope != 0 || octets.len() != usize::from(source).div_ceil(8) {
            return None;
        }
        let address = match family {
            1 => {
                let mut whole = [0; 4];
                whole.get_mut(..octets.len())?.copy_from_slice(octets);
                IpAddr::V4(Ipv4Addr::from(whole))
            }
            2 => {
                let mut whole = [0; 16];
                whole.get_mut(..octets.len())?.copy_from_slice(octets);
                IpAddr::V6(Ipv6Addr::from(whole))
            }
            _ => return None,
        };
        let bits = if address.is_ipv4() { 32 } else { 128 };
        (source <= bits && masked(address, source) == address).then_some(Self { address, source, octets })
    }
}

/// Copies the name at the head of `bytes` in small letters; how many bytes it has.
fn lowered(bytes: &[u8], name: &mut [u8; NAME_BYTES_MAX]) -> Option<usize> {
    let mut at = 0;
    loop {
        let label = *bytes.get(at)?;
        if label > LABEL_BYTES_MAX {
            return None;
        }
        let end = at + 1 + usize::from(label);
        let (from, to) = (bytes.get(at..end)?, name.get_mut(at..end)?);
        // A length is below the letters.
        from.iter().zip(to).for_each(|(from, to)| *to = from.to_ascii_lowercase());
        at = end;
        if label == 0 {
            return Some(at);
        }
    }
}

fn number(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_be_bytes(bytes.get(at..at + 2)?.try_into().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(question: &[u8], opts: &[u8]) -> Vec<u8> {
        [&[0, 7, 1, 0x10, 0, 1, 0, 0, 0, 0, 0, u8::from(!opts.is_empty())][..], question, opts].concat()
    }

    const QUESTION: &[u8] = b"\x03wWw\x02Ab\x00\x00\x01\x00\x01";

    #[test]
    fn a_plain_question_is_read_in_small_letters_and_kept_as_it_came() {
        let subnet = [&[0, 0, 41, 4, 208, 0, 0, 0x80, 0, 0, 11][..], &[0, 8, 0, 7, 0, 1, 20, 0, 10, 1, 0x20]].concat();
        let whole = message(QUESTION, &subnet);
        let plain = Plain::read(&whole).unwrap();
        assert_eq!((plain.name(), plain.kind, plain.question), (&b"\x03www\x02ab\x00"[..], 1, QUESTION));
        assert_eq!((plain.recursion_desired, plain.checking_disabled), (1, 0x10));
        let edns = plain.edns.as_ref().unwrap();
        let subnet = edns.subnet.as_ref().unwrap();
        assert_eq!((edns.payload, edns.dnssec_ok, subnet.source), (1232, 0x80, 20));
        assert_eq!(subnet.address, IpAddr::from([10, 1, 0x20, 0]));
        for cut in 0..whole.len() {
            assert!(Plain::read(&whole[..cut]).is_none(), "{cut}");
        }
    }

    #[test]
    fn what_needs_to_be_judged_is_not_plain() {
        let opt = |options: &[u8]| [&[0, 0, 41, 4, 208, 0, 0, 0, 0, 0, options.len() as u8][..], options].concat();
        for (what, message) in [
            ("a pointer", message(b"\x03wWw\xc0\x04\x00\x01\x00\x01", &[])),
            ("a label of a new kind", message(b"\x43wWw\x00\x00\x01\x00\x01", &[])),
            ("class CH", message(b"\x00\x00\x01\x00\x03", &[])),
            ("ANY", message(b"\x00\x00\xff\x00\x01", &[])),
            ("bytes behind it", [message(QUESTION, &[]), vec![0]].concat()),
            ("a scope", message(QUESTION, &opt(&[0, 8, 0, 7, 0, 1, 24, 24, 10, 1, 2]))),
            ("bits beyond the source", message(QUESTION, &opt(&[0, 8, 0, 7, 0, 1, 23, 0, 10, 1, 3]))),
            ("more octets than its source has", message(QUESTION, &opt(&[0, 8, 0, 7, 0, 1, 16, 0, 10, 1, 0]))),
            ("more octets than an address has", message(QUESTION, &opt(&[0, 8, 0, 9, 0, 1, 40, 0, 10, 1, 3, 4, 5]))),
            ("two cookies", message(QUESTION, &opt(&[0, 10, 0, 1, 0, 0, 10, 0, 1, 0]))),
            ("a record that is not OPT", message(QUESTION, &[0, 0, 1, 0, 1, 0, 0, 0, 0, 0, 0])),
            ("another version", message(QUESTION, &[0, 0, 41, 4, 208, 0, 1, 0, 0, 0, 0])),
        ] {
            assert!(Plain::read(&message).is_none(), "{what}");
        }
    }

    proptest::proptest! {
        #[test]
        fn no_bytes_make_it_panic(bytes in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..80)) {
            let _ = Plain::read(&message(&bytes, &[]));
            let _ = Plain::read(&message(QUESTION, &[&[0, 0, 41, 4, 208, 0, 0, 0, 0, 0, bytes.len() as u8][..], &bytes].concat()));
        }
    }
}

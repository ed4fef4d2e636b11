//! NSEC records (RFC 4034 §4) that deny one name or some of its types, and nothing beside it (RFC 9824, RFC 4470).
//!
//! Invariant: between a name and its successor here there is no other name that anybody can ask for.

use std::collections::BTreeSet;

use hickory_proto::rr::RecordType;

/// The type that names have that do not exist (RFC 9824 §3.4).
pub(crate) const NXNAME: RecordType = RecordType::Unknown(128);
/// Octets of a name, and of the label that is put before one.
const NAME_BYTES_MAX: usize = 255;
const FIRST_BELOW: [u8; 2] = [1, 0];

/// The data of an NSEC record at `name` (wire form, small letters) in the zone `apex`, for a name that has these types.
pub(super) fn nsec(name: &[u8], apex: &[u8], types: &BTreeSet<u16>) -> Vec<u8> {
    let mut data = successor(name, apex);
    let mut types = types.iter().copied().peekable();
    while let Some(first) = types.next() {
        let window = (first >> 8) as u8;
        let mut bits = vec![0_u8; 32];
        let mut set = |kind: u16| bits[usize::from(kind & 0xff) / 8] |= 0x80 >> (kind % 8);
        set(first);
        let mut last = first;
        while let Some(next) = types.next_if(|next| (next >> 8) as u8 == window) {
            set(next);
            last = next;
        }
        bits.truncate(usize::from(last & 0xff) / 8 + 1);
        data.extend([window, bits.len() as u8]);
        data.extend(bits);
    }
    data
}

/// The next name in the order of RFC 4034 §6.1: the first below it. Where that is too long, the next beside it or above.
fn successor(name: &[u8], apex: &[u8]) -> Vec<u8> {
    if name.len() + FIRST_BELOW.len() <= NAME_BYTES_MAX {
        return [&FIRST_BELOW[..], name].concat();
    }
    let mut at = name;
    while let Some((length, rest)) = at.split_first().filter(|_| at != apex && at.len() > 1) {
        let (label, above) = rest.split_at(usize::from(*length));
        if let Some(place) = label.iter().rposition(|octet| *octet < 0xff) {
            let mut next = label[..=place].to_vec();
            // Capital letters are in the place of small ones, which come later.
            next[place] = if next[place] == b'@' { b'[' } else { next[place] + 1 };
            return [&[next.len() as u8], &next[..], above].concat();
        }
        at = above;
    }
    apex.to_vec()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_denies_its_types_and_nothing_beside_it() {
        let types = BTreeSet::from([1, 15, 46, 47, 257]);
        let data = nsec(b"\x01a\x02bc\x00", b"\x02bc\x00", &types);
        let bitmap = [&[0, 6, 0x40, 1, 0, 0, 0, 3][..], &[1, 1, 0x40]].concat();
        assert_eq!(data, [&b"\x01\x00\x01a\x02bc\x00"[..], &bitmap].concat());
        assert_eq!(nsec(b"\x00", b"\x00", &BTreeSet::from([128])), [&[1, 0, 0, 0, 17][..], &[0; 16], &[0x80]].concat());
    }

    #[test]
    fn the_successor_of_the_longest_names_is_beside_or_above_them() {
        let long = |octet: u8| [&[63][..], &[octet; 63]].concat().repeat(3);
        let apex = [&long(b'b')[..], &[0]].concat();
        let name = |label: &[u8]| [&[label.len() as u8], label, &apex[..]].concat();
        assert_eq!(successor(&name(&[b'a'; 59]), &apex), [&[1, 0], &name(&[b'a'; 59])[..]].concat());
        let label = |last: u8| [&[b'a'; 60][..], &[last]].concat();
        assert_eq!(successor(&name(&label(b'a')), &apex), name(&label(b'b')));
        assert_eq!(successor(&name(&label(b'@')), &apex), name(&label(b'[')));
        assert_eq!(successor(&name(&label(0xff)), &apex), name(&[&[b'a'; 59][..], b"b"].concat()));
        assert_eq!(successor(&name(&[0xff; 61]), &apex), apex);
    }
}

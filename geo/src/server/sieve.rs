//! A filter for a UDP socket by which the kernel drops strangers' queries before they cost anything (classic BPF, socket(7) `SO_ATTACH_FILTER`, which needs no
//! privilege): who is of a known network passes, of all others a share, drawn by lot.
//!
//! Invariant: the program ends, has no loop and at most [`KEYS_MAX`] networks, and reads nothing but the address that a packet came from.

use std::net::{IpAddr, UdpSocket};

use socket2::{SockFilter, SockRef};

/// Networks that a filter knows; Linux before 6.7 allows programs of some 20 kB (net.core.optmem_max).
pub(super) const KEYS_MAX: usize = 512;
/// All strangers, as a share.
pub(super) const ALL: u32 = 1 << 16;
/// Networks that are compared one after the other.
const LEAF: usize = 16;

/// Operations (linux/filter.h, linux/bpf_common.h).
const LOAD_BYTE: u16 = 0x30;
const LOAD_WORD: u16 = 0x20;
const SHIFT_RIGHT: u16 = 0x74;
const AND: u16 = 0x54;
const JUMP: u16 = 0x05;
const JUMP_EQUAL: u16 = 0x15;
const JUMP_NOT_LESS: u16 = 0x35;
const RETURN: u16 = 0x06;
/// Where the packet's IP header begins, and a random number.
const IP_HEADER: u32 = (-0x10_0000_i32) as u32;
const RANDOM: u32 = (-0x1000_i32 + 56) as u32;
/// Addresses that a packet came from, in both headers.
const SOURCE: [u32; 2] = [12, 8];
const PASSED: u32 = u32::MAX;

/// A network as filters tell them apart: an IPv4 /24, or an IPv6 /32, as more bits would take more than one comparison.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Network {
    v6: bool,
    bits: u32,
}

impl Network {
    pub(super) fn of(address: IpAddr) -> Self {
        match address {
            IpAddr::V4(v4) => Self { v6: false, bits: v4.to_bits() >> 8 },
            // The packet of one that is mapped is of IPv4.
            IpAddr::V6(v6) => match v6.to_ipv4_mapped() {
                Some(v4) => Self { v6: false, bits: v4.to_bits() >> 8 },
                None => Self { v6: true, bits: (v6.to_bits() >> 96) as u32 },
            },
        }
    }

    /// As a number that no other network has.
    pub(super) fn number(self) -> u64 {
        u64::from(self.v6) << 32 | u64::from(self.bits)
    }
}

/// Has the kernel drop what is of none of the `known` networks, but for `share` of [`ALL`].
///
/// # Errors
/// When the kernel does not take the filter; then the one before stays.
pub(super) fn attach(socket: &UdpSocket, known: &[Network], share: u32) -> std::io::Result<()> {
    let filter: Vec<SockFilter> =
        program(known, share).into_iter().map(|(code, yes, no, value)| SockFilter::new(code, yes, no, value)).collect();
    SockRef::from(socket).attach_filter(&filter)
}

/// Has everything pass again.
pub(super) fn detach(socket: &UdpSocket) {
    // Where there is none it fails, and that is what is wanted.
    let _ = SockRef::from(socket).detach_filter();
}

/// Code, instructions to skip when a comparison holds and when not, and its value.
type Instruction = (u16, u8, u8, u32);

fn program(known: &[Network], share: u32) -> Vec<Instruction> {
    let of = |v6: bool| {
        let mut bits: Vec<u32> = known.iter().filter(|one| one.v6 == v6).map(|one| one.bits).collect();
        bits.sort_unstable();
        bits.dedup();
        bits.truncate(KEYS_MAX);
        bits
    };
    let mut v4 = vec![(LOAD_WORD, 0, 0, IP_HEADER.wrapping_add(SOURCE[0])), (SHIFT_RIGHT, 0, 0, 8)];
    v4.extend(search(&of(false)));
    v4.extend(lot(share));
    let mut whole = vec![(LOAD_BYTE, 0, 0, IP_HEADER), (SHIFT_RIGHT, 0, 0, 4), (JUMP_EQUAL, 1, 0, 4)];
    whole.push((JUMP, 0, 0, v4.len() as u32));
    whole.extend(v4);
    whole.push((LOAD_WORD, 0, 0, IP_HEADER.wrapping_add(SOURCE[1])));
    whole.extend(search(&of(true)));
    whole.extend(lot(share));
    whole
}

/// Passes what is among the sorted keys, and comes to its end with what is not.
fn search(keys: &[u32]) -> Vec<Instruction> {
    let mut code = Vec::new();
    if keys.len() > LEAF {
        let (left, right) = keys.split_at(keys.len() / 2);
        let (lower, upper) = (search(left), search(right));
        code.extend([(JUMP_NOT_LESS, 0, 1, right[0]), (JUMP, 0, 0, lower.len() as u32 + 1)]);
        code.extend(lower);
        code.push((JUMP, 0, 0, upper.len() as u32));
        code.extend(upper);
        return code;
    }
    // Each that is equal jumps behind the others and the jump that leads out.
    let equal = |(at, key): (usize, &u32)| (JUMP_EQUAL, (keys.len() - at) as u8, 0, *key);
    code.extend(keys.iter().enumerate().map(equal));
    code.extend([(JUMP, 0, 0, 1), (RETURN, 0, 0, PASSED)]);
    code
}

/// Passes a share.
fn lot(share: u32) -> [Instruction; 5] {
    let draw = (LOAD_WORD, 0, 0, RANDOM);
    [draw, (AND, 0, 0, ALL - 1), (JUMP_NOT_LESS, 1, 0, share), (RETURN, 0, 0, PASSED), (RETURN, 0, 0, 0)]
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    fn address(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    /// What the kernel would make of a packet from an address and a random number.
    fn passes(program: &[Instruction], from: IpAddr, random: u32) -> bool {
        let load = |at: u32| match (from, at.wrapping_sub(IP_HEADER)) {
            _ if at == RANDOM => random,
            (IpAddr::V4(_), 0) => 0x45,
            (IpAddr::V6(_), 0) => 0x60,
            (IpAddr::V4(v4), 12) => v4.to_bits(),
            (IpAddr::V6(v6), 8) => (v6.to_bits() >> 96) as u32,
            (_, other) => panic!("byte {other} is read"),
        };
        let (mut at, mut value) = (0, 0);
        loop {
            let (code, yes, no, operand) = program[at];
            at += 1;
            let mut jump = |holds: bool| at += usize::from(if holds { yes } else { no });
            match code {
                LOAD_BYTE | LOAD_WORD => value = load(operand),
                SHIFT_RIGHT => value >>= operand,
                AND => value &= operand,
                JUMP_EQUAL => jump(value == operand),
                JUMP_NOT_LESS => jump(value >= operand),
                JUMP => at += operand as usize,
                RETURN => return operand != 0,
                other => panic!("operation {other:#x}"),
            }
        }
    }

    #[test]
    fn known_networks_pass_whatever_their_number_and_of_others_a_share() {
        for count in [0_u32, 1, 2, LEAF as u32, LEAF as u32 + 1, 100, KEYS_MAX as u32] {
            let v4 = |number: u32| IpAddr::V4((number.wrapping_mul(0x9e37_79b1) >> 8 << 8).into());
            let v6 = |number: u32| IpAddr::V6((u128::from(number.wrapping_mul(0x85eb_ca6b)) << 96 | 7).into());
            let known: Vec<Network> = (0..count).flat_map(|number| [v4(number), v6(number)]).map(Network::of).collect();
            let (program, known) = (program(&known, 1000), known.into_iter().collect::<HashSet<_>>());
            assert!(program.len() < 4096, "{count}: {}", program.len());
            for number in 0..2 * KEYS_MAX as u32 {
                for from in [v4(number), v6(number)] {
                    let is_known = known.contains(&Network::of(from));
                    assert_eq!(passes(&program, from, 1000), is_known, "{count} {number} {from}");
                    assert!(passes(&program, from, ALL + 999));
                }
            }
        }
    }

    #[test]
    fn networks_are_those_of_the_header_that_a_packet_has() {
        let same = |one: &str, other: &str| Network::of(address(one)) == Network::of(address(other));
        assert!(same("192.0.2.1", "192.0.2.200") && same("::ffff:192.0.2.1", "192.0.2.9"));
        assert!(same("2001:db8:1::1", "2001:db8:2::1") && !same("2001:db8::", "2001:db9::"));
        assert!(!same("192.0.2.1", "192.0.3.1") && !same("0.0.1.0", "::1"));
    }

    #[test]
    fn the_kernel_takes_the_largest_filter_and_drops_who_is_not_known() {
        let server = UdpSocket::bind("127.0.0.1:0").unwrap();
        let (known, stranger) = (UdpSocket::bind("127.0.7.1:0").unwrap(), UdpSocket::bind("127.0.8.1:0").unwrap());
        let mut networks: Vec<Network> =
            (1..KEYS_MAX as u32).map(|number| Network::of(IpAddr::V4((number << 16).into()))).collect();
        networks.push(Network::of(address("127.0.7.9")));
        attach(&server, &networks, 0).unwrap();
        let to = server.local_addr().unwrap();
        let mut bytes = [0; 9];
        for _ in 0..3 {
            stranger.send_to(b"stranger", to).unwrap();
            known.send_to(b"known", to).unwrap();
            assert_eq!(server.recv(&mut bytes).unwrap(), 5);
        }
        detach(&server);
        stranger.send_to(b"stranger", to).unwrap();
        assert_eq!(server.recv(&mut bytes).unwrap(), 8);
    }
}

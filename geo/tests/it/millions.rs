//! Random and changed packets by number and from one seed, through all that a UDP thread does between receiving and sending:
//! `LITTORAL_PACKETS` says how many, without it a run of the tests takes few. `make packets` runs ten million.
//!
//! Invariant: which packets are tried depends on the number alone, not on the machine.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};

use crate::edns::{opt, query};
use crate::properties::a_request_is_answered_in_form;

const PACKETS: u64 = 20_000;
/// Sequences of packets, each from a seed of its own; so many threads at most have something to do.
const SEQUENCES: u64 = 16;
/// Bytes of a packet that has nothing but chance in it, at most.
const RANDOM_BYTES_MAX: u64 = 600;
const NAMES: &[&str] = &[
    "a1105.kingcdn.example",
    "A1105.KingCDN.example",
    "big.kingcdn.example",
    "middle.kingcdn.example",
    "l",
    "types.example",
    "x.w.types.example",
    "host.sub.types.example",
    "_sip._tcp.types.example",
    "video.netcinema.example",
    "chain0.netcinema.example",
    "loop.netcinema.example",
    "nothing.netcinema.example",
    "a1105.child.signed.example",
    "www.child.signed.example",
    "nothing.child.signed.example",
    "55.2.0.192.in-addr.arpa",
    "version.bind",
    "elsewhere.example",
];
/// A, NS, CNAME, SOA, PTR, MX, TXT, AAAA, SRV, DS, DNSKEY, HTTPS, TKEY, IXFR, AXFR, ANY and one that nobody has.
const KINDS: &[u16] = &[1, 2, 5, 6, 12, 15, 16, 28, 33, 43, 48, 65, 249, 251, 252, 255, 9999];
const OPCODES: &[u8] = &[0, 2, 4, 5, 15];

/// Numbers by chance, the same ones for the same seed (splitmix64).
struct Chance(u64);

impl Chance {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ self.0 >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ mixed >> 31
    }

    /// One below `end`, which is not 0.
    fn below(&mut self, end: usize) -> usize {
        (self.next() % end as u64) as usize
    }

    fn bytes(&mut self, count: usize) -> Vec<u8> {
        (0..count).map(|_| self.next() as u8).collect()
    }
}

/// Packets as they should be, more or less: questions with all options that are looked at, copies, changes, signatures.
fn originals() -> Vec<Vec<u8>> {
    // A SOA record with the serial 1 as IXFR and UPDATE have it in the authority section, at the root to be short.
    let soa = [&[0, 0, 6, 0, 1, 0, 0, 0, 0, 0, 22, 0, 0][..], &[0, 0, 0, 1], &[0; 16]].concat();
    // TSIG with a secret that the server has, and a hash that is not right.
    let algorithm = b"\x0bhmac-sha256\0";
    let data = [&algorithm[..], &[0, 0, 0x60, 0, 0, 0, 1, 44, 0, 32], &[9; 32], &[0, 7, 0, 0, 0, 0]].concat();
    let signature = [&b"\x04ddns\0\0\xfa\0\xff\0\0\0\0\0"[..], &[data.len() as u8], &data].concat();
    let subnet: (u16, &[u8]) = (8, &[0, 1, 24, 0, 10, 2, 9]);
    let edns = [
        Vec::new(),
        vec![opt(1232, 0, &[])],
        vec![opt(4096, 0, &[subnet, (10, b"8 octets"), (3, b"")])],
        vec![opt(100, 0, &[(8, &[0, 2, 56, 0, 0x20, 1, 0xd, 0xb8, 0, 0, 0]), (12, &[0; 40])])],
    ];
    let mut packets = Vec::new();
    for name in NAMES {
        for kind in KINDS {
            for opts in &edns {
                let plain = query(name, *kind, if *name == "version.bind" { 3 } else { 1 }, opts);
                let mut signing = plain.clone();
                // DO is in the flags of OPT, which the name and 4 octets precede.
                if let Some(opt) = opts.first() {
                    let at = signing.len() - opt.len() + 7;
                    signing[at] = 0x80;
                }
                packets.extend([plain, signing]);
            }
            let mut changes = query(name, *kind, 1, &[]);
            (changes[9], changes[11]) = (1, 1);
            packets.push([&changes[..], &soa, &signature].concat());
            changes[11] = 0;
            packets.push([&changes[..], &soa].concat());
        }
    }
    packets
}

/// A packet: by chance alone, or an original with some changes.
fn packet(chance: &mut Chance, originals: &[Vec<u8>]) -> Vec<u8> {
    if chance.below(16) == 0 {
        let length = chance.below(RANDOM_BYTES_MAX as usize);
        return chance.bytes(length);
    }
    let mut packet = originals[chance.below(originals.len())].clone();
    if chance.below(8) == 0 {
        packet[2] = OPCODES[chance.below(OPCODES.len())] << 3;
    }
    for _ in 0..chance.below(5) {
        if packet.is_empty() {
            break;
        }
        let at = chance.below(packet.len());
        match chance.below(6) {
            0 => packet[at] = chance.next() as u8,
            1 => packet[at] ^= 1 << chance.below(8),
            2 => packet[at] = [0, 1, 0x3f, 0x40, 0xc0, 0xff][chance.below(6)],
            3 => packet.truncate(at),
            4 => {
                let count = chance.below(8);
                packet.splice(at..at, chance.bytes(count));
            }
            _ => {
                let other = &originals[chance.below(originals.len())];
                packet.truncate(at);
                packet.extend(&other[chance.below(other.len())..]);
            }
        }
    }
    packet
}

#[test]
fn packets_of_one_seed_are_answered_in_form_or_not_at_all() {
    let wanted = std::env::var("LITTORAL_PACKETS").map_or(PACKETS, |text| text.parse().expect("a number of packets"));
    let (originals, next, answered) = (originals(), AtomicU64::new(0), AtomicUsize::new(0));
    let sequences = || {
        loop {
            let sequence = next.fetch_add(1, Relaxed);
            if sequence >= SEQUENCES {
                return;
            }
            let mut chance = Chance(sequence << 32);
            for _ in 0..wanted.div_ceil(SEQUENCES) {
                let packet = packet(&mut chance, &originals);
                if a_request_is_answered_in_form(&packet) {
                    answered.fetch_add(1, Relaxed);
                }
            }
        }
    };
    std::thread::scope(|scope| {
        let threads = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        (0..threads).for_each(|_| drop(scope.spawn(sequences)));
    });
    let (tried, answered) = (wanted.div_ceil(SEQUENCES) * SEQUENCES, answered.into_inner());
    println!("{tried} packets, {answered} answered, none too long, no panic");
    assert!(answered as u64 > tried / 2, "most packets are not even answered");
}

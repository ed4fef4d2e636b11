//! Response rate limiting: a server must not be the means by which somebody else is flooded with answers to questions that carry
//! the victim's address.
//!
//! Counted are answers over UDP to a network (IPv4 /24, IPv6 /56) for the same name, or with the same failure for the same zone,
//! second by second. Of those beyond the bound some are cut (slip), so that a real client comes back over TCP, the others dropped.
//! Invariant: memory is fixed; networks whose hashes collide share a bound.

use std::hash::{BuildHasher, RandomState};
use std::net::IpAddr;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use crate::address::masked;

/// Counters; 512 kB.
const CELLS: usize = 1 << 16;
/// Bits of an address that tell clients apart, by family.
const NETWORK_BITS: (u8, u8) = (24, 56);

/// Bounds on answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RateLimit {
    /// Answers of one kind to one network in a second.
    pub answers_per_second: u32,
    /// Of those beyond, each how many-th is cut and not dropped; 0: none.
    pub slip: u32,
}

/// What becomes of an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Passage {
    Sent,
    Cut,
    Dropped,
}

/// The answers of this second.
pub(super) struct Rate {
    limit: RateLimit,
    /// The second, and how many answers it had.
    cells: Box<[AtomicU64]>,
    /// So that nobody outside knows whose hashes collide.
    hash: RandomState,
}

impl Rate {
    pub(super) fn new(limit: RateLimit) -> Self {
        Self { limit, cells: (0..CELLS).map(|_| AtomicU64::new(0)).collect(), hash: RandomState::new() }
    }

    /// Counts an answer to `client` in the second `now_s`: its code, and the name (wire form, small letters) it is counted for.
    pub(super) fn pass(&self, client: IpAddr, code: u16, name: &[u8], now_s: u32) -> Passage {
        let network = masked(client, if client.is_ipv4() { NETWORK_BITS.0 } else { NETWORK_BITS.1 });
        let cell = &self.cells[self.hash.hash_one((network, code, name)) as usize % CELLS];
        let count = |known: u64| if (known >> 32) as u32 == now_s { known as u32 } else { 0 };
        let next = |known: u64| Some(u64::from(now_s) << 32 | u64::from(count(known).saturating_add(1)));
        let before = count(cell.fetch_update(Relaxed, Relaxed, next).unwrap_or_else(|known| known));
        match before.checked_sub(self.limit.answers_per_second) {
            None => Passage::Sent,
            Some(beyond) if self.limit.slip > 0 && (beyond + 1).is_multiple_of(self.limit.slip) => Passage::Cut,
            Some(_) => Passage::Dropped,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rate(answers_per_second: u32, slip: u32) -> Rate {
        Rate::new(RateLimit { answers_per_second, slip })
    }

    #[test]
    fn beyond_the_bound_of_a_second_every_other_answer_is_cut_and_the_rest_dropped() {
        use Passage::{Cut, Dropped, Sent};
        let rate = rate(3, 2);
        let pass = |client: &str, kind: &[u8], now_s| rate.pass(client.parse().unwrap(), 0, kind, now_s);
        let first: Vec<_> = (0..8).map(|host| pass(&format!("192.0.2.{host}"), b"a", 9)).collect();
        assert_eq!(first, [Sent, Sent, Sent, Dropped, Cut, Dropped, Cut, Dropped]);
        assert_eq!(
            (pass("192.0.2.1", b"b", 9), pass("192.0.3.1", b"a", 9), pass("192.0.2.1", b"a", 10)),
            (Sent, Sent, Sent)
        );
        let six: Vec<_> = (0..4).map(|net| pass(&format!("2001:db8:0:{net}::1"), b"a", 9)).collect();
        assert_eq!(six, [Sent, Sent, Sent, Dropped]);
    }

    #[test]
    fn without_slip_none_is_cut() {
        let rate = rate(1, 0);
        let passed: Vec<_> = (0..4).map(|_| rate.pass([192, 0, 2, 1].into(), 0, b"a", 1)).collect();
        assert_eq!(passed[0], Passage::Sent);
        assert!(passed[1..].iter().all(|passage| *passage == Passage::Dropped));
    }
}

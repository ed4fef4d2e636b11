//! Coverage zones: prefixes to clusters, compiled to disjoint intervals of the address space.
//!
//! An interval knows the deep and the home cluster of its longest matching prefixes. Neighbours with equal values are
//! merged, so that the largest block inside the interval around a client is the widest scope for which the answer holds.

use std::net::IpAddr;

use ipnet::IpNet;

/// What coverage says of an address.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Covered {
    /// The enter-deep cluster that serves it.
    pub deep: Option<u16>,
    /// The bring-home cluster that serves it.
    pub home: Option<u16>,
}

/// The compiled coverage zones.
#[derive(Debug, Default)]
pub struct Coverage {
    v4: Space,
    v6: Space,
}

/// Intervals of one family; each holds from its start to the next one's.
#[derive(Debug, Default)]
struct Space {
    intervals: Vec<(u128, Covered)>,
}

/// A prefix and the cluster it belongs to.
#[derive(Debug, Clone, Copy)]
pub struct Zone {
    /// The prefix.
    pub prefix: IpNet,
    /// The cluster's place.
    pub cluster: u16,
    /// Whether the cluster is enter deep.
    pub deep: bool,
}

impl Coverage {
    /// Compiles prefixes. Of equal prefixes the last counts.
    pub fn new(zones: &[Zone]) -> Self {
        let of_family = |v4: bool| zones.iter().filter(move |zone| matches!(zone.prefix, IpNet::V4(_)) == v4);
        Self { v4: Space::new(of_family(true), 32), v6: Space::new(of_family(false), 128) }
    }

    /// What is said of `address`, and the length of the widest prefix around it for which the same is said.
    pub fn find(&self, address: IpAddr) -> (Covered, u8) {
        match address {
            IpAddr::V4(v4) => self.v4.find(u128::from(v4.to_bits()), 32),
            IpAddr::V6(v6) => self.v6.find(v6.to_bits(), 128),
        }
    }
}

impl Space {
    /// Sweeps over all prefix starts and ends with a stack of open prefixes: nested prefixes never overlap partly.
    fn new<'a>(zones: impl Iterator<Item = &'a Zone>, bits: u32) -> Self {
        let mut sorted: Vec<(u128, u128, u8, &Zone)> = zones.map(|zone| bounds(zone, bits)).collect();
        sorted.sort_by_key(|(start, _, length, _)| (*start, *length));
        let mut space = Self { intervals: vec![(0, Covered::default())] };
        let mut open: Vec<(u128, Covered)> = Vec::new();
        for (start, end, _, zone) in sorted {
            space.close_until(&mut open, start);
            let mut covered = open.last().map_or(Covered::default(), |(_, covered)| *covered);
            let slot = if zone.deep { &mut covered.deep } else { &mut covered.home };
            *slot = Some(zone.cluster);
            space.set(start, covered);
            open.push((end, covered));
        }
        let whole = if bits == 128 { u128::MAX } else { (1 << bits) - 1 };
        space.close_until(&mut open, whole);
        space
    }

    /// Ends the prefixes that end before `start`.
    fn close_until(&mut self, open: &mut Vec<(u128, Covered)>, start: u128) {
        while let Some((end, _)) = open.last().copied().filter(|(end, _)| *end < start) {
            open.pop();
            let outer = open.last().map_or(Covered::default(), |(_, covered)| *covered);
            self.set(end + 1, outer);
        }
    }

    fn set(&mut self, start: u128, covered: Covered) {
        if self.intervals.last().is_some_and(|(last, _)| *last == start) {
            self.intervals.pop();
        }
        if self.intervals.last().is_none_or(|(_, last)| *last != covered) {
            self.intervals.push((start, covered));
        }
    }

    fn find(&self, address: u128, bits: u32) -> (Covered, u8) {
        let after = self.intervals.partition_point(|(start, _)| *start <= address);
        let Some((start, covered)) = after.checked_sub(1).and_then(|at| self.intervals.get(at)) else {
            return (Covered::default(), 0);
        };
        let last = self.intervals.get(after).map_or(u128::MAX, |(next, _)| next - 1);
        (*covered, widest_block(address, *start, last, bits))
    }
}

/// The length of the widest prefix around `address` that lies within `first..=last`.
fn widest_block(address: u128, first: u128, last: u128, bits: u32) -> u8 {
    let fits = |length: u32| {
        let host = host_mask(bits - length);
        address & !host >= first && (address | host) <= last
    };
    // Longer prefixes are inside shorter ones: the first length that fits is the widest.
    let length = (0..=bits).find(|length| fits(*length)).unwrap_or(bits);
    u8::try_from(length).unwrap_or(u8::MAX)
}

fn host_mask(bits: u32) -> u128 {
    if bits >= 128 { u128::MAX } else { (1 << bits) - 1 }
}

fn bounds(zone: &Zone, bits: u32) -> (u128, u128, u8, &Zone) {
    let start = match zone.prefix.network() {
        IpAddr::V4(v4) => u128::from(v4.to_bits()),
        IpAddr::V6(v6) => v6.to_bits(),
    };
    let length = zone.prefix.prefix_len();
    (start, start | host_mask(bits - u32::from(length)), length, zone)
}

/// An address as it is looked up: IPv4 in IPv6 becomes IPv4.
pub fn canonical(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V6(v6) => v6.to_ipv4_mapped().map_or(address, IpAddr::V4),
        IpAddr::V4(_) => address,
    }
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

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn zone(prefix: &str, cluster: u16, deep: bool) -> Zone {
        Zone { prefix: prefix.parse().unwrap(), cluster, deep }
    }

    #[test]
    fn longest_prefixes_win_deep_and_home_apart_and_gaps_bound_the_scope() {
        let coverage =
            Coverage::new(&[zone("10.0.0.0/8", 1, false), zone("10.1.0.0/16", 2, true), zone("10.1.2.0/24", 3, false)]);
        let find = |address: &str| coverage.find(address.parse().unwrap());
        assert_eq!(find("10.1.2.9"), (Covered { deep: Some(2), home: Some(3) }, 24));
        assert_eq!(find("10.1.9.9"), (Covered { deep: Some(2), home: Some(1) }, 21));
        assert_eq!(find("10.128.0.1"), (Covered { deep: None, home: Some(1) }, 9));
        assert_eq!(find("192.0.2.1"), (Covered::default(), 1));
        assert_eq!(find("2001:db8::1"), (Covered::default(), 0));
    }

    #[test]
    fn equal_neighbours_are_merged_to_a_wider_scope() {
        let coverage = Coverage::new(&[zone("10.0.0.0/9", 1, false), zone("10.128.0.0/9", 1, false)]);
        assert_eq!(coverage.find("10.1.1.1".parse().unwrap()), (Covered { deep: None, home: Some(1) }, 8));
    }

    fn brute(zones: &[Zone], address: IpAddr) -> Covered {
        let best = |deep: bool| {
            let matching = zones.iter().filter(|zone| zone.deep == deep && zone.prefix.contains(&address));
            matching.max_by_key(|zone| zone.prefix.prefix_len()).map(|zone| zone.cluster)
        };
        Covered { deep: best(true), home: best(false) }
    }

    fn zones() -> impl Strategy<Value = Vec<Zone>> {
        // Eight significant bits make overlaps likely; one prefix once, since of equal ones the last counts.
        let one = (0u32..256, 0u8..=8, 0u16..4, any::<bool>()).prop_map(|(bits, length, cluster, deep)| {
            let prefix = ipnet::Ipv4Net::new((bits << 24).into(), length).unwrap().trunc();
            Zone { prefix: prefix.into(), cluster, deep }
        });
        prop::collection::vec(one, 0..12).prop_map(|mut zones| {
            zones.sort_by_key(|zone| (zone.prefix, zone.deep));
            zones.dedup_by_key(|zone| (zone.prefix, zone.deep));
            zones
        })
    }

    proptest! {
        #[test]
        fn the_answer_is_that_of_brute_force_and_the_same_everywhere_in_the_scope(zones in zones(), bits in 0u32..256) {
            let coverage = Coverage::new(&zones);
            let address = IpAddr::V4((bits << 24 | 77).into());
            let (covered, scope) = coverage.find(address);
            prop_assert_eq!(covered, brute(&zones, address));
            for other in 0..256u32 {
                let other = IpAddr::V4((other << 24 | 5).into());
                if masked(other, scope) == masked(address, scope) {
                    prop_assert_eq!(brute(&zones, other), covered);
                }
            }
        }
    }
}

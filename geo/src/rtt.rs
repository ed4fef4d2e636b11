//! Round-trip times between client prefixes and clusters: what edges tell of theirs, and how a decision finds them.
//!
//! [`Told`] is what one cluster's nodes have said, [`Rtts`] what a decision reads: immutable, made anew with each round of hearing. Who
//! measures, asks and says when something is too old is the caller's. Invariants: a lookup takes no lock and allocates nothing; no client of
//! another measured prefix is inside the scope that it names.

use std::collections::BTreeMap;
use std::net::IpAddr;

use ipnet::IpNet;

use crate::limits::{CLUSTERS_MAX, RTT_CLUSTERS_MAX, RTT_PREFIXES_MAX};

mod prefix;
mod text;

pub use prefix::Prefix;
pub use text::{parse, write};

/// A figure within this many microseconds of the one in force, or within a tenth of it, changes nothing: what trembles moves nobody.
const DEAD_BAND_US: u32 = 1000;
const DEAD_BAND_SHARE: u32 = 10;

/// How a time was measured; what comes first is believed before what comes later.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Means {
    /// At connections of the clients.
    #[default]
    Connections,
    /// By asking an address of the prefix.
    Probes,
}

/// What is measured of one prefix at one place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Row {
    /// Of the clients.
    pub prefix: Prefix,
    /// Round-trip time in microseconds, 1 to [`crate::limits::RTT_US_MAX`].
    pub rtt_us: u32,
    /// Measurements behind it, at least 1.
    pub samples: u32,
    /// Seconds since the last of them.
    pub age_s: u32,
    /// How.
    pub means: Means,
}

/// What the nodes of a cluster have told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Told {
    /// When they did, in Unix milliseconds.
    pub heard_ms: u64,
    /// From when on it is too old to decide by.
    pub until_ms: u64,
    /// Who, for people.
    pub by: String,
    /// In the order of their prefixes, each once; see [`merged`].
    pub rows: Vec<Row>,
}

/// The rows of a cluster's nodes as one: each prefix once, its time the mean weighed by measurements, its age the youngest one's; probes count
/// only where no node has measured connections. Of more than
/// [`RTT_PREFIXES_MAX`] those with most measurements stay; how many went comes with it.
pub fn merged(mut rows: Vec<Row>) -> (Vec<Row>, usize) {
    rows.sort_unstable_by_key(|row| (row.prefix, row.means, row.rtt_us));
    let mut all: Vec<Row> = Vec::with_capacity(rows.len());
    for row in rows {
        match all.last_mut().filter(|last| last.prefix == row.prefix) {
            None => all.push(row),
            Some(last) if last.means != row.means => {}
            Some(last) => {
                let (one, other) = (u64::from(last.samples), u64::from(row.samples));
                let sum = u64::from(last.rtt_us) * one + u64::from(row.rtt_us) * other;
                last.rtt_us = u32::try_from(sum / (one + other).max(1)).unwrap_or(u32::MAX);
                last.samples = last.samples.saturating_add(row.samples);
                last.age_s = last.age_s.min(row.age_s);
            }
        }
    }
    let over = all.len().saturating_sub(RTT_PREFIXES_MAX);
    if over > 0 {
        all.sort_unstable_by_key(|row| std::cmp::Reverse(row.samples));
        all.truncate(RTT_PREFIXES_MAX);
        all.sort_unstable_by_key(|row| row.prefix);
    }
    (all, over)
}

/// Round-trip times from one client to some clusters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Measured {
    /// To which clusters, a bit each.
    clusters: u64,
    /// In the order of their bits, microseconds.
    us: [u32; RTT_CLUSTERS_MAX],
}

impl Measured {
    /// To none.
    pub const NONE: Self = Self { clusters: 0, us: [0; RTT_CLUSTERS_MAX] };

    /// The clusters to which it is known, a bit each.
    pub fn clusters(&self) -> u64 {
        self.clusters
    }

    /// Microseconds to a cluster.
    pub fn to(&self, cluster: u16) -> Option<u32> {
        let bit = 1_u64.checked_shl(u32::from(cluster)).unwrap_or(0);
        let place = (self.clusters & bit.wrapping_sub(1)).count_ones() as usize;
        if self.clusters & bit == 0 { None } else { self.us.get(place).copied() }
    }

    /// Each cluster with its microseconds.
    pub fn iter(&self) -> impl Iterator<Item = (u16, u32)> + '_ {
        let mut left = self.clusters;
        self.us.iter().map_while(move |us| {
            let cluster = u16::try_from(left.trailing_zeros()).ok().filter(|_| left != 0)?;
            left &= left - 1;
            Some((cluster, *us))
        })
    }

    /// Puts one behind those with lower indexes; nothing when there is no room.
    fn push(&mut self, cluster: u16, us: u32) {
        if let Some(place) = self.us.get_mut(self.clusters.count_ones() as usize) {
            *place = us;
            self.clusters |= 1_u64.checked_shl(u32::from(cluster)).unwrap_or(0);
        }
    }
}

/// All that is known, by prefix.
#[derive(Debug, Clone)]
pub struct Rtts {
    v4: Family,
    v6: Family,
    /// Of each cluster: from when on what it told is too old.
    until_ms: [u64; CLUSTERS_MAX],
}

impl Default for Rtts {
    fn default() -> Self {
        Self { v4: Family::default(), v6: Family::default(), until_ms: [0; CLUSTERS_MAX] }
    }
}

/// Clusters and times by prefix, while they are put together.
type Known = BTreeMap<u64, Vec<(u16, u32)>>;

/// Prefixes in order, and where the times of each begin among all of them.
#[derive(Debug, Clone, Default)]
struct Family {
    prefixes: Box<[u64]>,
    begins: Box<[u32]>,
    times: Box<[(u16, u32)]>,
}

impl Family {
    fn of(known: &Known) -> Self {
        let (mut begins, mut times) = (vec![0], Vec::new());
        for of in known.values() {
            times.extend(of);
            begins.push(times.len() as u32);
        }
        Self { prefixes: known.keys().copied().collect(), begins: begins.into(), times: times.into() }
    }

    /// The times of a prefix of `bits` bits, and how long a prefix around it must be to hold no other measured one.
    fn find(&self, prefix: u64, bits: u8) -> (&[(u16, u32)], u8) {
        let differs = |other: u64| bits - (64 - (prefix ^ other).leading_zeros() as u8) + 1;
        match self.prefixes.binary_search(&prefix) {
            Ok(at) => (&self.times[self.begins[at] as usize..self.begins[at + 1] as usize], bits),
            Err(at) => {
                let before = at.checked_sub(1).map_or(0, |at| differs(self.prefixes[at]));
                (&[], before.max(self.prefixes.get(at).map_or(0, |next| differs(*next))))
            }
        }
    }
}

impl Rtts {
    /// What was told of clusters, by their indexes. A time that hardly differs from `before`'s stays as it was. Of a prefix the
    /// [`RTT_CLUSTERS_MAX`] fastest clusters stay, and of prefixes the first [`RTT_PREFIXES_MAX`] of each family; how many times went comes with it.
    pub fn new<'a>(told: impl Iterator<Item = (u16, &'a Told)>, before: Option<&Self>) -> (Self, usize) {
        let (mut all, mut left_out) = ([Known::new(), Known::new()], 0);
        let mut until_ms = [0; CLUSTERS_MAX];
        for (cluster, told) in told {
            let Some(until) = until_ms.get_mut(usize::from(cluster)) else { continue };
            *until = told.until_ms;
            for row in &told.rows {
                let known = &mut all[usize::from(row.prefix.is_v6())];
                if known.len() >= RTT_PREFIXES_MAX && !known.contains_key(&row.prefix.bits()) {
                    left_out += 1;
                    continue;
                }
                let in_force = before.and_then(|before| before.in_force(row.prefix, cluster));
                known.entry(row.prefix.bits()).or_default().push((cluster, steady(in_force, row.rtt_us)));
            }
        }
        for times in all.iter_mut().flat_map(BTreeMap::values_mut) {
            left_out += times.len().saturating_sub(RTT_CLUSTERS_MAX);
            times.sort_unstable_by_key(|(_, us)| *us);
            times.truncate(RTT_CLUSTERS_MAX);
            times.sort_unstable();
        }
        (Self { v4: Family::of(&all[0]), v6: Family::of(&all[1]), until_ms }, left_out)
    }

    fn family(&self, prefix: Prefix) -> &Family {
        if prefix.is_v6() { &self.v6 } else { &self.v4 }
    }

    fn in_force(&self, prefix: Prefix, cluster: u16) -> Option<u32> {
        let (times, _) = self.family(prefix).find(prefix.bits(), prefix.length());
        times.iter().find(|(of, _)| *of == cluster).map(|(_, us)| *us)
    }

    /// Whether nothing can be found.
    pub fn is_empty(&self) -> bool {
        self.v4.prefixes.is_empty() && self.v6.prefixes.is_empty()
    }

    /// How many prefixes it knows, both families.
    pub fn prefixes(&self) -> usize {
        self.v4.prefixes.len() + self.v6.prefixes.len()
    }

    /// The prefixes, in order.
    pub(crate) fn rows(&self) -> impl Iterator<Item = Prefix> + '_ {
        let of = |v6: bool, family: &'_ Family| {
            family.prefixes.iter().map(move |bits| Prefix::numbered(v6, *bits)).collect::<Vec<_>>()
        };
        of(false, &self.v4).into_iter().chain(of(true, &self.v6))
    }

    /// The times of a client (canonical) that are not too old at `now_ms`, and the shortest prefix around it to which all of that applies.
    pub fn find(&self, client: IpAddr, now_ms: u64) -> (Measured, u8) {
        let mut found = Measured::NONE;
        if self.until_ms.iter().all(|until| *until <= now_ms) {
            return (found, 0);
        }
        let prefix = Prefix::looked_up(client);
        let (times, scope) = self.family(prefix).find(prefix.bits(), prefix.length());
        let is_fresh = |cluster: u16| self.until_ms[usize::from(cluster)] > now_ms;
        times.iter().filter(|(cluster, _)| is_fresh(*cluster)).for_each(|(cluster, us)| found.push(*cluster, *us));
        (found, scope)
    }
}

/// A time as it is in force: the one before, unless the new one is well away from it.
fn steady(in_force: Option<u32>, told: u32) -> u32 {
    let is_near = |known: &u32| known.abs_diff(told) <= DEAD_BAND_US.max(known / DEAD_BAND_SHARE);
    in_force.filter(is_near).unwrap_or(told)
}

impl Told {
    /// What was told of a prefix.
    pub fn row(&self, prefix: Prefix) -> Option<&Row> {
        self.rows.binary_search_by_key(&prefix, |row| row.prefix).ok().map(|at| &self.rows[at])
    }
}

impl From<Prefix> for IpNet {
    fn from(prefix: Prefix) -> Self {
        Self::new_assert(prefix.address(), prefix.length())
    }
}

#[cfg(test)]
mod tests;

//! What `measured` tells of one client: round-trip times to some clusters.

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::limits::MEASURED_MAX;

/// Round-trip times to clusters, the one with the lowest index first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Measured {
    /// To which, a bit each.
    clusters: u64,
    /// In the order of their bits, microseconds.
    us: [u32; MEASURED_MAX],
}

impl Measured {
    /// To none.
    pub const NONE: Self = Self { clusters: 0, us: [0; MEASURED_MAX] };

    /// Of pairs of a cluster and its microseconds, in the order of the clusters. A pair out of order, of a cluster that cannot be or beyond
    /// [`MEASURED_MAX`] is left out.
    pub fn of(pairs: impl IntoIterator<Item = (u16, u32)>) -> Self {
        let mut all = Self::NONE;
        for (cluster, us) in pairs {
            let bit = 1_u64.checked_shl(cluster.into()).unwrap_or(0);
            let place = all.us.get_mut(all.clusters.count_ones() as usize);
            if let Some(place) = place.filter(|_| bit > all.clusters) {
                (*place, all.clusters) = (us, all.clusters | bit);
            }
        }
        all
    }

    /// The clusters to which a time is known, a bit each.
    pub fn clusters(&self) -> u64 {
        self.clusters
    }

    /// Microseconds to a cluster; 0 when not known.
    pub fn rtt_us(&self, cluster: u16) -> u32 {
        let bit = 1_u64.checked_shl(cluster.into()).unwrap_or(0);
        let place = (self.clusters & bit.wrapping_sub(1)).count_ones() as usize;
        if self.clusters & bit == 0 { 0 } else { self.us.get(place).copied().unwrap_or(0) }
    }

    /// Whether none is known.
    pub fn is_empty(&self) -> bool {
        self.clusters == 0
    }

    fn pairs(&self) -> impl Iterator<Item = (u16, u32)> + '_ {
        (0..64).filter(|cluster| self.clusters >> cluster & 1 == 1).map(|cluster| (cluster, self.rtt_us(cluster)))
    }
}

impl Default for Measured {
    fn default() -> Self {
        Self::NONE
    }
}

impl Serialize for Measured {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.pairs())
    }
}

impl<'de> Deserialize<'de> for Measured {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let mut pairs = Vec::<(u16, u32)>::deserialize(deserializer)?;
        pairs.sort_unstable();
        let all = Self::of(pairs.iter().copied());
        match all.clusters.count_ones() as usize == pairs.len() {
            true => Ok(all),
            false => Err(serde::de::Error::custom(format!(
                "measured: pairs of a cluster, 0 to 63 and each once, and its microseconds, at most {MEASURED_MAX}"
            ))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_found_by_cluster_and_written_as_pairs() {
        let some = Measured::of([(3, 900), (63, 20_000)]);
        assert_eq!((some.clusters(), some.rtt_us(3), some.rtt_us(63), some.rtt_us(4)), (1 << 63 | 8, 900, 20_000, 0));
        assert_eq!([64, u16::MAX].map(|cluster| some.rtt_us(cluster)), [0; 2]);
        let text = serde_json::to_string(&some).unwrap();
        assert_eq!(text, "[[3,900],[63,20000]]");
        assert_eq!(serde_json::from_str::<Measured>("[[63,20000],[3,900]]").unwrap(), some);
        for wrong in ["[[64,1]]", "[[1,1],[1,2]]"] {
            assert!(serde_json::from_str::<Measured>(wrong).unwrap_err().to_string().contains("each once"));
        }
        let many = Measured::of((0..64).map(|cluster| (cluster, 1)));
        assert_eq!(many.clusters().count_ones() as usize, MEASURED_MAX);
    }
}

//! What goes into a call and comes out of it. Field by field as `plugins/wit/policy.wit` documents it.
//!
//! The same types stand in vectors and records: what a file leaves out is the default here.

use serde::{Deserialize, Deserializer, Serialize, Serializer};

mod measured;

pub use measured::Measured;

/// "No cluster".
pub const NONE: u16 = u16::MAX;

/// `control.cluster`
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[allow(missing_docs, reason = "the contract documents each field")]
pub struct ClusterRow {
    pub index: u16,
    pub deep: bool,
    pub healthy: bool,
    pub place: [f32; 3],
    pub capacity_mbps: u32,
    pub load_permille: u16,
    pub rtt_us: u32,
    /// What `priced` tells of it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub price_us: Option<u32>,
    /// What `named` knows it by.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub name: String,
}

/// `routing.flow`
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[allow(missing_docs, reason = "the contract documents each field")]
pub struct Flow {
    pub key: u64,
    pub addr_hi: u64,
    pub addr_lo: u64,
    pub place: [f32; 3],
    pub zone: u16,
    /// In files the indices of the clusters.
    #[serde(serialize_with = "indices", deserialize_with = "mask")]
    pub candidates: u64,
    pub now_ms: u64,
    pub rand: u64,
    /// What `measured` tells; in files pairs of a cluster and its microseconds.
    #[serde(skip_serializing_if = "Measured::is_empty")]
    pub measured: Measured,
}

/// `routing.choice`
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[allow(missing_docs, reason = "the contract documents each field")]
pub struct Choice {
    pub clusters: [u16; 3],
    pub ttl_s: u16,
}

/// `terms.term`
#[derive(Debug, Clone, PartialEq)]
#[allow(missing_docs, reason = "the contract documents each field")]
pub struct Term {
    pub cluster: u16,
    pub name: String,
    pub value: f32,
}

impl Default for ClusterRow {
    fn default() -> Self {
        let (index, place, name) = (0, [0.0; 3], String::new());
        let (deep, healthy, capacity_mbps, load_permille, rtt_us, price_us) = (false, true, 0, 0, 0, None);
        Self { index, deep, healthy, place, capacity_mbps, load_permille, rtt_us, price_us, name }
    }
}

impl Default for Flow {
    fn default() -> Self {
        let (key, addr_hi, addr_lo, place) = (0, 0, 0, [0.0; 3]);
        Self { key, addr_hi, addr_lo, place, zone: NONE, candidates: 0, now_ms: 0, rand: 0, measured: Measured::NONE }
    }
}

impl Default for Ask {
    fn default() -> Self {
        let (state, est_kbps, buffer_ms, segment_ms) = (0, 0, 0, 0);
        Self { state, est_kbps, buffer_ms, last_rung: u8::MAX, segment_ms, ladder: 0, now_ms: 0, rand: 0 }
    }
}

fn indices<S: Serializer>(mask: &u64, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_seq((0..64_u16).filter(|index| mask & (1 << index) != 0))
}

fn mask<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u64, D::Error> {
    let indices = Vec::<u16>::deserialize(deserializer)?;
    let bit = |index: u16| {
        let bit = 1_u64.checked_shl(index.into());
        bit.ok_or_else(|| serde::de::Error::custom(format!("a candidate is 0 to 63, not {index}")))
    };
    indices.into_iter().try_fold(0, |mask, index| Ok(mask | bit(index)?))
}

impl Choice {
    /// The clusters it names, best first.
    pub fn named(&self) -> &[u16] {
        let end = self.clusters.iter().position(|cluster| *cluster == NONE).unwrap_or(self.clusters.len());
        &self.clusters[..end]
    }

    /// Whether it is as the contract has it: each named cluster a candidate and once, and nothing named after the end.
    pub fn is_among(&self, candidates: u64) -> bool {
        let (named, rest) = self.clusters.split_at(self.named().len());
        let mut left = candidates;
        let fit = named.iter().all(|cluster| {
            let bit = 1_u64.checked_shl(u32::from(*cluster)).unwrap_or(0);
            let fits = left & bit != 0;
            left &= !bit;
            fits
        });
        fit && rest.iter().all(|cluster| *cluster == NONE)
    }
}

/// `rate.ask`
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[allow(missing_docs, reason = "the contract documents each field")]
pub struct Ask {
    pub state: u64,
    pub est_kbps: u32,
    pub buffer_ms: u32,
    pub last_rung: u8,
    pub segment_ms: u32,
    pub ladder: u32,
    pub now_ms: u64,
    pub rand: u64,
}

/// `rate.answer`
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[allow(missing_docs, reason = "the contract documents each field")]
pub struct Answer {
    pub rung: u8,
    pub pace_kbps: u32,
    pub hold_ms: u16,
    pub state: u64,
}

/// `cache.object`
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[allow(missing_docs, reason = "the contract documents each field")]
pub struct Object {
    pub id: u64,
    pub bytes: u64,
    pub age_s: u32,
    pub idle_s: u32,
    pub ttl_s: u32,
    pub fetch_us: u32,
    pub hits: u16,
    pub class: u16,
}

/// `cache.verdict`
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[allow(missing_docs, reason = "the contract documents each field")]
pub enum Verdict {
    Admit,
    Bypass,
}

/// `cache-exact.what`
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs, reason = "the contract documents each field")]
pub enum What {
    Used,
    Arrives,
    Gone,
}

/// `cache-exact.event`
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs, reason = "the contract documents each field")]
pub struct Event {
    pub what: What,
    pub handle: u32,
    pub key: u64,
    pub bytes: u64,
    pub now_ms: u64,
    pub fetch_us: u32,
    /// Title, representation and segment of what is part of one.
    pub title: Option<(u32, u16, u32)>,
}

/// Why a call has no answer. The caller's native policy answers instead.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[serde(rename_all = "kebab-case")]
pub enum Fault {
    /// The guest trapped.
    #[error("it trapped")]
    Trap,
    /// It used up its fuel.
    #[error("it ran out of fuel")]
    Fuel,
    /// It asked for more memory than it may have.
    #[error("it asked for too much memory")]
    Memory,
    /// Its answer is outside of what was asked.
    #[error("its answer makes no sense")]
    Nonsense,
    /// It could not be started.
    #[error("it could not be started")]
    Init,
    /// It is in quarantine; nothing was called.
    #[error("it is in quarantine")]
    Quarantined,
}

impl Fault {
    /// Labels of the kinds that count as faults.
    pub const KINDS: [&'static str; 5] = ["trap", "fuel", "memory", "nonsense", "init"];

    /// Its label: one of [`Self::KINDS`], or `quarantined`.
    pub fn as_str(self) -> &'static str {
        self.kind_index().map_or("quarantined", |kind| Self::KINDS[kind])
    }

    /// The place of its label in [`Self::KINDS`]; quarantine is none.
    pub fn kind_index(self) -> Option<usize> {
        match self {
            Self::Trap => Some(0),
            Self::Fuel => Some(1),
            Self::Memory => Some(2),
            Self::Nonsense => Some(3),
            Self::Init => Some(4),
            Self::Quarantined => None,
        }
    }
}

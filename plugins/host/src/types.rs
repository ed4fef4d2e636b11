//! What goes into a call and comes out of it. Field by field as `plugins/wit/policy.wit` documents it.

/// "No cluster".
pub const NONE: u16 = u16::MAX;

/// `control.cluster`
#[derive(Debug, Clone, Copy, PartialEq)]
#[allow(missing_docs, reason = "the contract documents each field")]
pub struct ClusterRow {
    pub index: u16,
    pub deep: bool,
    pub healthy: bool,
    pub place: [f32; 3],
    pub capacity_mbps: u32,
    pub load_permille: u16,
    pub rtt_us: u32,
}

/// `routing.flow`
#[derive(Debug, Clone, Copy, PartialEq)]
#[allow(missing_docs, reason = "the contract documents each field")]
pub struct Flow {
    pub key: u64,
    pub addr_hi: u64,
    pub addr_lo: u64,
    pub place: [f32; 3],
    pub zone: u16,
    pub candidates: u64,
    pub now_ms: u64,
    pub rand: u64,
}

/// `routing.choice`
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs, reason = "the contract documents each field")]
pub struct Choice {
    pub clusters: [u16; 3],
    pub ttl_s: u16,
}

impl Choice {
    /// Whether it is as the contract has it: each named cluster a candidate and once, and nothing named after the end.
    pub fn is_among(&self, candidates: u64) -> bool {
        let end = self.clusters.iter().position(|cluster| *cluster == NONE).unwrap_or(self.clusters.len());
        let (named, rest) = self.clusters.split_at(end);
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
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
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
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs, reason = "the contract documents each field")]
pub struct Answer {
    pub rung: u8,
    pub pace_kbps: u32,
    pub hold_ms: u16,
    pub state: u64,
}

/// `cache.object`
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
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
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs, reason = "the contract documents each field")]
pub enum Verdict {
    Admit,
    Bypass,
}

/// Why a call has no answer. The caller's native policy answers instead.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
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

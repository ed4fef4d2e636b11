//! A shipped policy's own code, compiled natively, in the seat of a director: the same trait that the DNS server asks.
//!
//! Invariant: it is told and asked as the guest is.

use std::sync::{PoisonError, RwLock};

use anyhow::{Result, anyhow};
use littoral_geo::{Choice, ClusterRow, Flow, Routing};
use littoral_plugin::policy::{self, Cluster, measured, priced};

/// What a policy reads beside its question.
#[derive(Debug, Clone, Copy)]
pub struct Reads {
    /// Round-trip times.
    pub rtts: bool,
    /// Prices.
    pub prices: bool,
}

/// A shipped policy, natively.
pub struct Native<P> {
    policy: RwLock<P>,
    reads: Reads,
}

impl<P: policy::Routing> Native<P> {
    /// With its config, JSON.
    ///
    /// # Errors
    /// The policy's own.
    pub fn new(config: &str, reads: Reads) -> Result<Self> {
        let policy = P::new(config).map_err(|problem| anyhow!(problem))?;
        Ok(Self { policy: RwLock::new(policy), reads })
    }
}

impl<P: policy::Routing + Send + Sync> Routing for Native<P> {
    fn push(&self, _version: u64, clusters: &[ClusterRow]) {
        let prices: Vec<_> = clusters.iter().filter_map(|row| Some((row.index, row.price_us?))).collect();
        let told = |row: &ClusterRow| {
            let &ClusterRow { index, deep, healthy, place, capacity_mbps, load_permille, rtt_us, .. } = row;
            Cluster { index, deep, healthy, place, capacity_mbps, load_permille, rtt_us }
        };
        let clusters: Vec<_> = clusters.iter().map(told).collect();
        priced::tell(if self.reads.prices { &prices } else { &[] });
        self.policy.write().unwrap_or_else(PoisonError::into_inner).clusters(&clusters);
        priced::tell(&[]);
    }

    fn decide(&self, flow: &Flow) -> Option<Choice> {
        let Flow { key, addr_hi, addr_lo, place, zone, candidates, now_ms, rand, rtts } = *flow;
        let address = u128::from(addr_hi) << 64 | u128::from(addr_lo);
        let times: Vec<_> = rtts.iter().collect();
        measured::tell(&times);
        let asked = policy::Flow { key, address, place, zone, candidates, now_ms, rand };
        let choice = self.policy.read().unwrap_or_else(PoisonError::into_inner).decide(&asked);
        measured::tell(&[]);
        Some(Choice { clusters: choice.clusters, ttl_s: choice.ttl_s })
    }

    fn reads_rtts(&self) -> bool {
        self.reads.rtts
    }

    fn reads_prices(&self) -> bool {
        self.reads.prices
    }
}

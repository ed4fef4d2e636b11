//! Round-trip times in a director: what clusters told last, and what of it is in force.
//!
//! Invariant: what is in force is by the cluster indexes of the config beside it.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use ipnet::IpNet;
use serde::Serialize;

use super::snapshot::Snapshot;
use super::{Director, GeoConfig};
use crate::rtt::{Means, Prefix, Rtts, Told};

/// What was told last, by the names of clusters.
pub(super) type Heard = BTreeMap<String, Told>;

/// A round-trip time and where it comes from, for people.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct RttView {
    /// Whether it is decided by: it is not too old, and the policy reads such times.
    pub decides: bool,
    /// In force, in microseconds.
    pub us: u32,
    /// As it was told last; one that differs little changes nothing.
    pub told_us: u32,
    /// Of which clients.
    pub prefix: IpNet,
    /// Measurements behind it.
    pub samples: u32,
    /// Whether those are of clients' connections or probes.
    pub means: Means,
    /// Seconds since the last of them.
    pub age_s: u64,
    /// Seconds since it was told.
    pub heard_s: u64,
    /// Who told it.
    pub by: String,
}

impl Director {
    /// Takes what clusters have told, each in place of what it told before, and forgets what is too old at `now_ms` (Unix milliseconds)
    /// and of clusters that are gone. Not for threads that answer: many prefixes take a while.
    pub fn hear_rtts(&self, told: impl IntoIterator<Item = (String, Told)>, now_ms: u64) {
        let mut heard = self.heard.lock();
        heard.extend(told);
        let config = self.snapshot.load().config.clone();
        let is_cluster = |id: &String| config.clusters.iter().any(|cluster| cluster.id == *id);
        heard.retain(|id, told| told.until_ms > now_ms && is_cluster(id));
        let rtts = self.built(&heard, &config, Some(&self.snapshot.load().rtts));
        // No other config comes in between: that takes the lock on what was heard, too.
        let _changing = self.changing.lock();
        let old = self.snapshot.load_full();
        self.snapshot.store(Arc::new(Snapshot { rtts, ..(*old).clone() }));
    }

    /// What is in force with another config.
    pub(super) fn rtts_for(&self, heard: &Heard, config: &GeoConfig) -> Arc<Rtts> {
        let old = self.snapshot.load();
        let ids = |config: &GeoConfig| config.clusters.iter().map(|cluster| cluster.id.clone()).collect::<Vec<_>>();
        match ids(config) == ids(&old.config) {
            true => old.rtts.clone(),
            false => self.built(heard, config, None),
        }
    }

    fn built(&self, heard: &Heard, config: &GeoConfig, before: Option<&Rtts>) -> Arc<Rtts> {
        let indexes = config.indexes();
        let told = heard.iter().filter_map(|(id, told)| Some((*indexes.get(id.as_str())?, told)));
        let (rtts, left_out) = Rtts::new(told, before);
        self.counters.rtts_left_out.fetch_add(left_out as u64, Relaxed);
        Arc::new(rtts)
    }

    /// Prefixes with round-trip times.
    pub fn rtt_prefixes(&self) -> usize {
        self.snapshot.load().rtts.prefixes()
    }

    /// When each cluster told round-trip times last, in Unix milliseconds, and until when that is decided by.
    pub fn rtts_heard(&self) -> Vec<(String, u64, u64)> {
        self.heard.lock().iter().map(|(id, told)| (id.clone(), told.heard_ms, told.until_ms)).collect()
    }

    /// What is known of the way between a client and a cluster.
    pub(super) fn rtt_view(&self, snapshot: &Snapshot, client: IpAddr, cluster: u16, now_ms: u64) -> Option<RttView> {
        let heard = self.heard.lock();
        let told = heard.get(&snapshot.config.clusters.get(usize::from(cluster))?.id)?;
        let prefix = Prefix::of(client);
        let row = told.row(prefix)?;
        let in_force = snapshot.rtts.find(client, now_ms).0.to(cluster);
        let heard_s = now_ms.saturating_sub(told.heard_ms) / 1000;
        Some(RttView {
            decides: in_force.is_some() && self.routing.reads_rtts(),
            us: in_force.unwrap_or(row.rtt_us),
            told_us: row.rtt_us,
            prefix: prefix.into(),
            samples: row.samples,
            means: row.means,
            age_s: heard_s + u64::from(row.age_s),
            heard_s,
            by: told.by.clone(),
        })
    }
}

//! The decision itself: who may serve, whom the policy ranks first, which nodes of it.
//!
//! Invariants: the policy is asked at most once and only about those who may serve; what it answers is checked; nothing is
//! allocated and no lock is taken.

use std::collections::hash_map::DefaultHasher;
use std::hash::{Hash, Hasher};
use std::net::IpAddr;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use hickory_proto::rr::LowerName;

use super::service::{Placed, domain_name};
use super::snapshot::{Left, Snapshot};
use super::{Director, nodes};
use crate::address::{apart, canonical, masked};
use crate::counters::count;
use crate::limits::CLUSTERS_MAX;
use crate::map::Spot;
use crate::price::settling_ttl_s;
use crate::routing::{Choice, Flow, NONE, Routing};
use crate::rtt::Measured;

/// What was decided.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Decision {
    /// Cluster indexes in order of preference, [`NONE`] behind the last; none when no cluster of the service may serve
    /// this client.
    pub choice: [u16; 3],
    /// For how long a prefix around the client this holds.
    pub scope: u8,
    /// TTL in seconds.
    pub ttl_s: u32,
    /// What decided; one of [`crate::Counters::REASONS`].
    pub reason: &'static str,
}

impl Decision {
    /// The chosen clusters, the best first.
    pub fn clusters(&self) -> impl Iterator<Item = u16> + use<> {
        self.choice.into_iter().take_while(|cluster| *cluster != NONE)
    }
}

/// A decision as a door has it that knows clusters by their names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Steered {
    /// The clusters chosen, the best first.
    pub clusters: Vec<String>,
    /// For how long that holds.
    pub ttl_s: u32,
    /// Whether any candidate holds what is asked for.
    pub is_held: bool,
}

/// A decision and what it was made from.
#[derive(Clone, Copy)]
pub(crate) struct Decided {
    pub(crate) decision: Decision,
    pub(super) spot: Spot,
    /// The candidate whose coverage zone the client is in.
    pub(super) zone: Option<u16>,
    /// The clusters of the service, those of them who may serve such a client, and what the policy is asked about.
    pub(super) of_service: u64,
    pub(super) allowed: u64,
    pub(super) flow: Flow,
    /// Those of the candidates that hold what is asked for, where anybody does: the others were left out.
    pub(super) holding: u64,
    /// Whether the policy's answer was taken, not the native one in its place.
    pub(super) by_policy: bool,
    client: IpAddr,
    key: u64,
    answers: usize,
}

impl Director {
    /// The decision for `client` and the service `name` (case and final dot do not matter); `None` when it is no service.
    pub fn decide(&self, name: &str, client: IpAddr) -> Option<Decision> {
        let snapshot = self.snapshot.load();
        self.decide_in(&snapshot, &domain_name(name)?, canonical(client), 0).map(|decided| decided.decision)
    }

    /// The same at another time (since 1970), for who has a clock of its own.
    pub fn decide_at(&self, name: &str, client: IpAddr, now: Duration) -> Option<Decision> {
        let snapshot = self.snapshot.load();
        let service = snapshot.services.by_name.get(&domain_name(name)?)?;
        Some(self.decide_for(&snapshot, service, canonical(client), now, 0).decision)
    }

    /// The same for a door that knows clusters by their names, and may know which of them, the `holders`, hold what is asked for. Where any of those may
    /// serve, only they are candidates; what the operator prescribes comes first. It is counted.
    pub fn steer(&self, name: &str, client: IpAddr, holders: &[String]) -> Option<Steered> {
        let snapshot = self.snapshot.load();
        let decided = self.decide_in(&snapshot, &domain_name(name)?, canonical(client), snapshot.mask(holders))?;
        let decision = decided.decision;
        self.counters.reason(decision.reason);
        let id = |index: u16| Some(snapshot.config.clusters.get(usize::from(index))?.id.clone());
        let clusters = decision.clusters().filter_map(id).collect();
        Some(Steered { clusters, ttl_s: decision.ttl_s, is_held: decided.holding != 0 })
    }

    /// The decision for a client (canonical) and a service by its name; `holders`, a bit each, are as of [`Director::steer`].
    pub(crate) fn decide_in(
        &self,
        snapshot: &Snapshot,
        name: &LowerName,
        client: IpAddr,
        holders: u64,
    ) -> Option<Decided> {
        let service = snapshot.services.by_name.get(name)?;
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Some(self.decide_for(snapshot, service, client, now, holders))
    }

    /// The decision for a client and a service, at `now` (since 1970). The client is canonical, or a prefix of which too few bits are known to be: that is its
    /// door's to know, which has seen how many came.
    pub(crate) fn decide_for(
        &self,
        snapshot: &Snapshot,
        service: &Placed,
        client: IpAddr,
        now: Duration,
        holders: u64,
    ) -> Decided {
        let (spot, scope) = snapshot.map.find(client);
        let covered = spot.covered;
        let allowed = snapshot.allowed(service, covered);
        let (mut candidates, left) = snapshot.candidates(allowed);
        // Where only one may ever serve it is the same for everybody, wherever they are.
        let scope = if service.candidates & !snapshot.masks.home == 0 && service.candidates.count_ones() == 1 {
            0
        } else {
            scope.max(apart(client))
        };
        // What the operator prescribes is not the policy's to decide, as long as it is there.
        let forced = covered.forced.filter(|forced| left == Left::Good && candidates >> forced & 1 == 1);
        if let Some(forced) = forced {
            candidates = 1 << forced;
        }
        let holding = candidates & holders;
        if holding != 0 {
            candidates = holding;
        }
        let zone = [forced, covered.deep, covered.home].into_iter().flatten().find(|zone| candidates >> zone & 1 == 1);
        let place = spot.place.at.unwrap_or_default();
        let mut flow = flow(service, masked(client, scope), place, zone.unwrap_or(NONE), candidates, now);
        // The policy's entropy stays that of the map's prefix: a neighbour that is measured moves nobody else.
        let mut scope = scope;
        if !snapshot.rtts.is_empty() && service.candidates.count_ones() > 1 && self.routing.reads_rtts() {
            let (rtts, apart) = snapshot.rtts.find(client, flow.now_ms);
            (flow.rtts, scope) = (rtts, scope.max(apart));
            (flow.addr_hi, flow.addr_lo) = halves(masked(client, scope));
        }
        let (choice, by_policy) = self.choose(&flow);
        let first = Some(choice.clusters[0]).filter(|first| *first != NONE);
        let reason = match first {
            None => "no-candidate",
            _ if left == Left::Down => "all-down",
            _ if left == Left::Crowded => "no-room",
            first if first == forced => "override",
            first if first == covered.deep => "deep",
            first if first == zone => "coverage",
            first if by_policy && first.is_some_and(|first| flow.rtts.to(first).is_some()) => "rtt",
            _ if spot.place.at.is_some() => "geo",
            _ => "load",
        };
        let mut ttl_s = if choice.ttl_s == 0 { service.ttl_s } else { u32::from(choice.ttl_s) };
        if snapshot.prices.is_some_and(|prices| choice.clusters[..2].iter().any(|one| is_in(prices.settling, *one))) {
            ttl_s = ttl_s.min(settling_ttl_s(service.ttl_s));
        }
        let decision = Decision { choice: choice.clusters, scope, ttl_s, reason };
        let (key, answers) = (service.key, service.answers);
        let of_service = service.candidates;
        Decided { decision, spot, zone, of_service, allowed, flow, holding, by_policy, client, key, answers }
    }

    /// Asks the policy and checks its answer: clusters must be candidates, each once. Else the native policy answers.
    /// Without candidates nobody is asked. Whether it was the policy comes with it.
    fn choose(&self, flow: &Flow) -> (Choice, bool) {
        const NOBODY: Choice = Choice { clusters: [NONE; 3], ttl_s: 0 };
        if flow.candidates == 0 {
            return (NOBODY, false);
        }
        let is_candidate = |cluster: u16| usize::from(cluster) < CLUSTERS_MAX && flow.candidates >> cluster & 1 == 1;
        if let Some(mut choice) = self.routing.decide(flow) {
            let count_of = choice.clusters.iter().take_while(|cluster| **cluster != NONE).count();
            let named = &choice.clusters[..count_of];
            let distinct = (0..count_of).all(|at| !named[..at].contains(&named[at]));
            if count_of > 0 && distinct && named.iter().all(|cluster| is_candidate(*cluster)) {
                choice.clusters[count_of..].fill(NONE);
                return (choice, true);
            }
            count(&self.counters.refused_choices);
        }
        (self.native.decide(flow).unwrap_or(NOBODY), false)
    }
}

impl Snapshot {
    /// Addresses of a decision for one family: nodes of its first cluster that has any that are up, else of the first that has any,
    /// as many as the service answers. The scope promises a cluster; which of its nodes come, and in which order, goes by the client.
    pub(crate) fn addresses(&self, decided: &Decided, v6: bool) -> impl Iterator<Item = IpAddr> + '_ {
        let Decided { decision, client, key, answers, .. } = *decided;
        let up = move |cluster: u16| self.orders.addresses(cluster, v6, client, key);
        let all = move |cluster: u16| self.orders.all_addresses(cluster, v6, client, key);
        let first_up = decision.clusters().find(|cluster| up(*cluster).next().is_some());
        // A family of which no node is up anywhere: an answer may be wrong, but no answer surely is.
        let first = decision.clusters().find(|cluster| first_up.is_none() && all(*cluster).next().is_some());
        let addresses = first_up.into_iter().flat_map(up).chain(first.into_iter().flat_map(all));
        addresses.take(answers.min(nodes::ANSWERS_MAX))
    }
}

fn flow(service: &Placed, prefix: IpAddr, place: [f32; 3], zone: u16, candidates: u64, now: Duration) -> Flow {
    let (addr_hi, addr_lo) = halves(prefix);
    let now_ms = now.as_millis() as u64;
    // The same for a client and a service, so that a policy that uses it stays within the scope's promise.
    let rand = hash(&(u128::from(addr_hi) << 64 | u128::from(addr_lo), service.key));
    let (key, rtts) = (service.key, Measured::NONE);
    Flow { key, addr_hi, addr_lo, place, zone, candidates, now_ms, rand, rtts }
}

/// Whether a mask has a cluster; never [`NONE`].
fn is_in(mask: u64, cluster: u16) -> bool {
    mask.checked_shr(cluster.into()).is_some_and(|rest| rest & 1 == 1)
}

/// The halves of an address; of IPv4 the lower one alone.
fn halves(address: IpAddr) -> (u64, u64) {
    match address {
        IpAddr::V4(v4) => (0, u64::from(v4.to_bits())),
        IpAddr::V6(v6) => ((v6.to_bits() >> 64) as u64, v6.to_bits() as u64),
    }
}

pub(super) fn hash(value: &impl Hash) -> u64 {
    let mut hasher = DefaultHasher::new();
    value.hash(&mut hasher);
    hasher.finish()
}

//! What a roll-out is: a candidate that is asked beside what runs, its share, and what both sides did.
//!
//! Who is asked is decided by a hash of whom the question is about, so that a client stays on one side, and a larger share only adds
//! clients to the candidate's. When one begins and how it ends is [`crate::generations`]'. Invariant: choosing takes no lock and
//! allocates nothing.

use std::fmt::Display;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use serde::{Serialize, Serializer};

use crate::generations::Generation;

/// Parts of the whole that a share is counted in: hundredths of a percent.
const PARTS: u64 = 10_000;

/// Whom a request is about, as one number: its client, as far as its network makes it out (of IPv6, 64 bits), or else what it asks for.
pub fn who(client: Option<IpAddr>, host: &str, target: &str) -> u64 {
    match client.map(|client| client.to_canonical()) {
        Some(IpAddr::V4(address)) => address.to_bits().into(),
        Some(IpAddr::V6(address)) => (address.to_bits() >> 64) as u64,
        // FNV-1a.
        None => host
            .bytes()
            .chain([0])
            .chain(target.bytes())
            .fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)),
    }
}

/// A share of the requests, in hundredths of a percent.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Share(u16);

impl Share {
    /// Of so many percent, 0 to 100; what is finer than a hundredth is rounded.
    ///
    /// # Errors
    /// What it may be.
    pub fn of_percent(percent: f64) -> Result<Self, String> {
        match (0.0..=100.0).contains(&percent) {
            true => Ok(Self((percent * 100.0).round() as u16)),
            false => Err(format!("a share is 0 to 100 percent, not {percent}")),
        }
    }

    /// In percent.
    pub fn percent(self) -> f64 {
        f64::from(self.0) / 100.0
    }

    /// Whether it has whom `who` stands for.
    fn has(self, who: u64, salt: u64) -> bool {
        // Every bit of `who` counts (the finalizer of SplitMix64): addresses and numbers that follow each other are spread evenly.
        let mut mixed = who ^ salt;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^= mixed >> 31;
        ((mixed >> 32) * PARTS) >> 32 < u64::from(self.0)
    }
}

impl Serialize for Share {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_f64(self.percent())
    }
}

/// Who is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Side {
    /// What ran before the roll-out began.
    Present,
    /// What is rolled out.
    Candidate,
}

/// What both sides did since a roll-out began.
#[derive(Debug, Default)]
pub(crate) struct Tallies([Tally; 2]);

#[derive(Debug, Default)]
struct Tally {
    calls: AtomicU64,
    faults: AtomicU64,
    timed: AtomicU64,
    timed_ns: AtomicU64,
}

impl Tallies {
    pub(crate) fn called(&self, side: Side) {
        self.0[side as usize].calls.fetch_add(1, Relaxed);
    }

    pub(crate) fn faulted(&self, side: Side) {
        self.0[side as usize].faults.fetch_add(1, Relaxed);
    }

    pub(crate) fn timed(&self, side: Side, took: Duration) {
        let tally = &self.0[side as usize];
        tally.timed.fetch_add(1, Relaxed);
        tally.timed_ns.fetch_add(took.as_nanos() as u64, Relaxed);
    }

    fn told(&self, side: Side) -> Told {
        let Tally { calls, faults, timed, timed_ns } = &self.0[side as usize];
        let mean_ns = timed_ns.load(Relaxed).checked_div(timed.load(Relaxed)).unwrap_or(0);
        Told { calls: calls.load(Relaxed), faults: faults.load(Relaxed), mean_ns }
    }
}

/// A roll-out under way.
pub(crate) struct Trial<S, C> {
    pub(crate) candidate: Arc<Generation<S, C>>,
    pub(crate) share: Share,
    pub(crate) tallies: Arc<Tallies>,
    /// Of the candidate's content: another one is tried on others.
    pub(crate) salt: u64,
    pub(crate) began_ms: u64,
}

impl<S, C> Clone for Trial<S, C> {
    fn clone(&self) -> Self {
        Self { candidate: self.candidate.clone(), tallies: self.tallies.clone(), ..*self }
    }
}

impl<S, C> Trial<S, C> {
    pub(crate) fn new(candidate: Arc<Generation<S, C>>, share: Share, began_ms: u64) -> Self {
        let salt = candidate.sha256.get(..16).and_then(|digits| u64::from_str_radix(digits, 16).ok()).unwrap_or(0);
        Self { candidate, share, tallies: Arc::default(), salt, began_ms }
    }

    /// Who is asked about `who`.
    pub(crate) fn side_of(&self, who: u64) -> Side {
        match self.share.has(who, self.salt) {
            true => Side::Candidate,
            false => Side::Present,
        }
    }

    /// How it stands, or ended.
    pub(crate) fn told(&self, state: RolloutState, file: String, fault: Option<&dyn Display>) -> Rollout {
        Rollout {
            state,
            file,
            sha256: self.candidate.sha256.clone(),
            generation: self.candidate.number,
            percent: self.share,
            began_ms: self.began_ms,
            present: self.tallies.told(Side::Present),
            candidate: self.tallies.told(Side::Candidate),
            fault: fault.map(ToString::to_string),
        }
    }
}

/// What has become of a roll-out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum RolloutState {
    /// It is under way.
    Running,
    /// The candidate has taken over.
    Promoted,
    /// Somebody ended it.
    Aborted,
    /// The candidate's faults ended it.
    RolledBack,
}

/// A roll-out, the one under way or else the last one.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Rollout {
    /// What has become of it.
    pub state: RolloutState,
    /// The candidate's file.
    pub file: String,
    /// Of that file.
    pub sha256: String,
    /// The candidate's number.
    pub generation: u64,
    /// The candidate's share, percent.
    pub percent: Share,
    /// Unix milliseconds.
    pub began_ms: u64,
    /// What ran before, since then.
    pub present: Told,
    /// The candidate. What it failed at is asked of the other again, which is not counted there.
    pub candidate: Told,
    /// The fault that ended it.
    pub fault: Option<String>,
}

/// What one side did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Told {
    /// Calls, those that failed included.
    pub calls: u64,
    /// Those that failed.
    pub faults: u64,
    /// Mean of the timed calls, ns; 0 before the first.
    pub mean_ns: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Of the numbers below a hundred thousand, those in a share.
    fn within(percent: f64, salt: u64) -> Vec<u64> {
        let share = Share::of_percent(percent).unwrap();
        (0..100_000).filter(|who| share.has(*who, salt)).collect()
    }

    #[test]
    fn a_share_has_so_many_and_the_same_whenever_it_is_asked() {
        for percent in [0.0, 0.01, 1.0, 5.0, 50.0, 99.9, 100.0] {
            let of = within(percent, 7);
            let expected = percent * 1000.0;
            assert!((of.len() as f64 - expected).abs() <= expected.sqrt() * 4.0, "{percent}: {}", of.len());
            assert_eq!(of, within(percent, 7));
        }
        assert_eq!([within(0.0, 7).len(), within(100.0, 7).len()], [0, 100_000]);
    }

    #[test]
    fn a_larger_share_only_adds_and_another_candidate_is_tried_on_others() {
        let (small, large) = (within(5.0, 7), within(20.0, 7));
        assert!(small.iter().all(|who| large.binary_search(who).is_ok()));
        let both = within(5.0, 8).into_iter().filter(|who| small.binary_search(who).is_ok()).count();
        assert!((100..500).contains(&both), "{both} of 5000");
    }

    #[test]
    fn a_client_is_one_whatever_it_asks_for_and_an_url_one_where_there_is_no_client() {
        let of = |client: &str, target: &str| who(client.parse().ok(), "a.example", target);
        assert_eq!(of("192.0.2.1", "/a"), of("::ffff:192.0.2.1", "/b"));
        assert_eq!(of("2001:db8::1", "/a"), of("2001:db8::ffff:1", "/a"));
        assert_ne!(of("192.0.2.1", "/a"), of("192.0.2.2", "/a"));
        assert_eq!(of("", "/a"), of("", "/a"));
        assert_ne!(of("", "/a"), of("", "/b"));
    }

    #[test]
    fn a_share_is_a_percentage() {
        assert_eq!(Share::of_percent(0.25).map(Share::percent), Ok(0.25));
        for wrong in [-0.1, 100.1, f64::NAN, f64::INFINITY] {
            assert!(Share::of_percent(wrong).unwrap_err().contains("0 to 100 percent"));
        }
    }
}

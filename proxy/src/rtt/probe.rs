//! Active probes, by grant: how long the way to prefixes takes whose clients do not come here.
//!
//! A probe is one TCP handshake: an answer, be it a refusal, has gone the way there and back. Who is probed stands in the config: prefixes, and
//! addresses in them. Invariants: no address outside `rtt.probe.allow` is ever asked, and none that is not public unless its entry there names
//! nothing else; each prefix once in `every`, and not at all while its own clients are measured; at most [`A_SECOND_MAX`] a second and
//! [`AT_A_TIME_MAX`] under way, whatever is configured; a probe ends before the kernel would ask a second time.

use std::io::ErrorKind;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use ipnet::IpNet;
use littoral_geo::limits::RTT_US_MAX;
use littoral_geo::rtt::Prefix;
use parking_lot::Mutex;
use tokio::net::TcpStream;
use tokio::sync::Semaphore;
use tokio::task::AbortHandle;
use tokio::time::{Instant, MissedTickBehavior};

use super::{Rtt, handshake_us, now_s};
use crate::config::RttProbe;
use crate::forward::is_public;

/// Prefixes that may be probed.
pub const PROBED_MAX: usize = 4096;
/// Probes in a second.
pub const A_SECOND_MAX: u32 = 100;
/// Probes under way.
pub const AT_A_TIME_MAX: usize = 256;
/// The shortest time between two probes of a prefix.
pub const EVERY_MIN: Duration = Duration::from_secs(1);
/// How long an answer may take: the kernel asks again after a second, and then nobody can say which question was answered.
const PATIENCE: Duration = Duration::from_millis(950);

/// What came of a probe.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// The connection was made.
    Answered,
    /// It was refused, which is an answer.
    Refused,
    /// Nothing came in time, or no way leads there.
    Silent,
    /// The kernel had to ask twice.
    Unknown,
    /// None was made: clients of the prefix are measured.
    Known,
    /// None was made: too many were under way.
    Busy,
}

impl Outcome {
    /// As labels, in the order of the variants.
    pub(crate) const LABELS: [&'static str; 6] = ["answered", "refused", "silent", "unknown", "known", "busy"];
}

/// Who probes.
#[derive(Default)]
pub(super) struct Probing {
    running: Mutex<Option<(RttProbe, AbortHandle)>>,
}

/// A prefix and where in it is asked.
pub(crate) type Target = (Prefix, SocketAddr);

impl Probing {
    /// Probes as a config says from now on. Within a runtime.
    pub(super) fn follow(&self, rtt: &Arc<Rtt>, config: &RttProbe) {
        let mut running = self.running.lock();
        if running.as_ref().is_some_and(|(known, _)| known == config) {
            return;
        }
        if let Some((_, prober)) = running.take() {
            prober.abort();
        }
        let targets = targets(config);
        if !targets.is_empty() {
            let prober = tokio::spawn(probe(rtt.clone(), config.clone(), targets));
            *running = Some((config.clone(), prober.abort_handle()));
        }
    }
}

/// Asks one target after the other, for ever.
async fn probe(rtt: Arc<Rtt>, config: RttProbe, targets: Vec<Target>) {
    let room = Arc::new(Semaphore::new(config.at_a_time.clamp(1, AT_A_TIME_MAX)));
    let mut tick = tokio::time::interval(Duration::from_secs(1) / config.per_second.clamp(1, A_SECOND_MAX));
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        let round = Instant::now() + config.every.0.max(EVERY_MIN);
        for (prefix, address) in &targets {
            if rtt.is_measured(*prefix) {
                rtt.probes[Outcome::Known as usize].add(1);
                continue;
            }
            tick.tick().await;
            let Ok(permit) = room.clone().try_acquire_owned() else {
                rtt.probes[Outcome::Busy as usize].add(1);
                continue;
            };
            let (rtt, prefix, address) = (rtt.clone(), *prefix, *address);
            tokio::spawn(async move {
                let (outcome, us) = ask(address).await;
                if let Some(us) = us {
                    rtt.table.lock().probed(prefix, us, now_s());
                }
                rtt.probes[outcome as usize].add(1);
                drop(permit);
            });
        }
        tokio::time::sleep_until(round).await;
    }
}

/// One handshake, and how many microseconds it took when that is known.
async fn ask(address: SocketAddr) -> (Outcome, Option<u32>) {
    let started = Instant::now();
    match tokio::time::timeout(PATIENCE, TcpStream::connect(address)).await {
        Ok(Ok(stream)) => {
            // Nothing is to be sent: it goes at once, and leaves nothing behind on either side.
            let _ = stream.set_zero_linger();
            match handshake_us(&stream) {
                Some(us) => (Outcome::Answered, Some(us)),
                None => (Outcome::Unknown, None),
            }
        }
        Ok(Err(error)) if error.kind() == ErrorKind::ConnectionRefused => {
            let us = u32::try_from(started.elapsed().as_micros()).unwrap_or(RTT_US_MAX);
            (Outcome::Refused, Some(us.clamp(1, RTT_US_MAX)))
        }
        _ => (Outcome::Silent, None),
    }
}

/// Who is asked: of each prefix of clients that the list has, an address that is named, or else the first one that may be; at most one more than
/// [`PROBED_MAX`].
pub(crate) fn targets(config: &RttProbe) -> Vec<Target> {
    let mut targets: Vec<Target> = Vec::new();
    let mut add = |address: IpAddr| {
        let prefix = Prefix::of(address);
        if targets.len() <= PROBED_MAX && targets.iter().all(|(known, _)| *known != prefix) {
            targets.push((prefix, SocketAddr::new(address, config.port)));
        }
    };
    config.addresses.iter().filter(|address| is_granted(config, **address)).for_each(|address| add(*address));
    for allowed in &config.allow {
        pieces(allowed.0).map(first).filter(|address| is_granted(config, *address)).for_each(&mut add);
    }
    targets
}

/// Whether an address may be probed: an entry has it, and one that is not public an entry of nothing else.
pub(crate) fn is_granted(config: &RttProbe, address: IpAddr) -> bool {
    let is_meant = |net: &IpNet| is_public(address) || !(is_public(net.network()) || is_public(net.broadcast()));
    config.allow.iter().map(|allowed| allowed.0).any(|net| net.contains(&address) && is_meant(&net))
}

/// The prefixes of clients in one, at most one more than [`PROBED_MAX`]; a longer one is its own.
fn pieces(net: IpNet) -> Box<dyn Iterator<Item = IpNet>> {
    let length = Prefix::of(net.network()).length();
    match net {
        IpNet::V4(v4) if v4.prefix_len() < length => {
            Box::new(v4.subnets(length).into_iter().flatten().map(IpNet::V4).take(PROBED_MAX + 1))
        }
        IpNet::V6(v6) if v6.prefix_len() < length => {
            Box::new(v6.subnets(length).into_iter().flatten().map(IpNet::V6).take(PROBED_MAX + 1))
        }
        net => Box::new(std::iter::once(net)),
    }
}

/// The first address of a prefix that a host has.
fn first(net: IpNet) -> IpAddr {
    match net {
        IpNet::V4(v4) if v4.prefix_len() < 31 => IpAddr::V4((v4.network().to_bits() + 1).into()),
        IpNet::V6(v6) if v6.prefix_len() < 127 => IpAddr::V6((v6.network().to_bits() + 1).into()),
        net => net.network(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(allow: &[&str], addresses: &[&str]) -> RttProbe {
        let allow = allow.iter().map(|prefix| prefix.parse().unwrap()).collect();
        let addresses = addresses.iter().map(|address| address.parse().unwrap()).collect();
        RttProbe { allow, addresses, port: 53, ..RttProbe::default() }
    }

    fn asked(config: &RttProbe) -> Vec<String> {
        targets(config).iter().map(|(prefix, address)| format!("{prefix} {address}")).collect()
    }

    #[test]
    fn each_granted_prefix_is_asked_once_at_the_address_that_is_named_or_its_first() {
        assert_eq!(asked(&config(&[], &[])), [""; 0], "without a grant nobody");
        let config = config(&["8.8.8.0/23", "2600::/48", "8.8.4.4/32"], &["8.8.9.7"]);
        let wanted =
            ["8.8.9.0/24 8.8.9.7:53", "8.8.8.0/24 8.8.8.1:53", "2600::/48 [2600::1]:53", "8.8.4.0/24 8.8.4.4:53"];
        assert_eq!(asked(&config), wanted);
    }

    #[test]
    fn what_is_not_public_is_asked_only_by_an_entry_of_nothing_else() {
        for (allow, count) in [("192.168.0.0/23", 2), ("127.0.7.9/32", 1), ("::1/128", 1), ("fd00::/48", 1)] {
            assert_eq!(asked(&config(&[allow], &[])).len(), count, "{allow}");
        }
        assert!(!is_granted(&config(&["100.0.0.0/9"], &[]), "100.64.0.1".parse().unwrap()));
        assert!(!is_granted(&config(&["8.8.8.0/24"], &[]), "8.8.9.1".parse().unwrap()));
    }

    #[test]
    fn more_than_may_be_probed_is_never_listed() {
        for wide in ["0.0.0.0/0", "2000::/3", "10.0.0.0/8"] {
            let listed = targets(&config(&[wide], &[])).len();
            assert!((PROBED_MAX..=PROBED_MAX + 1).contains(&listed), "{wide}: {listed}");
        }
    }

    #[tokio::test]
    async fn a_refusal_is_an_answer_too() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let (outcome, us) = ask(address).await;
        assert_eq!((outcome, us.is_some()), (Outcome::Answered, true), "{us:?}");
        drop(listener);
        let (outcome, us) = ask(address).await;
        assert_eq!((outcome, us.is_some()), (Outcome::Refused, true), "{us:?}");
    }
}

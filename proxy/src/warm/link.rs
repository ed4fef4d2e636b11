//! How much the machine's network carries, for jobs that leave room on it (`limits.warm_ceiling`).
//!
//! The kernel counts (proc_net_dev(5)), so that what others on the machine send is seen too. Invariant: nothing is read where there is no ceiling, and what cannot be read
//! holds no job up.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use tokio::time::{Instant, MissedTickBehavior};

use crate::node::Node;

/// Between two looks.
const LOOK: Duration = Duration::from_secs(1);

/// What it carried of late.
#[derive(Debug, Default)]
pub(super) struct Link {
    /// In the busier direction.
    bits_s: AtomicU64,
}

impl Link {
    /// Bits a second.
    pub(super) fn bits_s(&self) -> u64 {
        self.bits_s.load(Relaxed)
    }
}

/// Bytes that have come and gone, by whatever interface it is, or else by all that lead out of the machine.
fn carried(counts: &str, interface: Option<&str>) -> [u64; 2] {
    let of = |line: &str| {
        let (name, counts) = line.split_once(':')?;
        let name = name.trim();
        if !interface.map_or(name != "lo", |wanted| wanted == name) {
            return None;
        }
        let mut counts = counts.split_whitespace().map(|count| count.parse::<u64>().unwrap_or(0));
        Some([counts.next()?, counts.nth(7)?])
    };
    counts.lines().filter_map(of).fold([0, 0], |[come, gone], [more, less]| [come + more, gone + less])
}

/// Looks, for ever.
pub(super) async fn follow(node: Arc<Node>) {
    let Some(jobs) = node.warm.clone() else { return };
    let mut every = tokio::time::interval(LOOK);
    every.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut before = None;
    loop {
        every.tick().await;
        let settings = node.settings.load_full();
        let limits = &settings.limits;
        if limits.warm_ceiling.is_none() {
            before = None;
            jobs.link.bits_s.store(0, Relaxed);
            continue;
        }
        let counts = tokio::fs::read_to_string("/proc/net/dev").await.unwrap_or_default();
        let now = (Instant::now(), carried(&counts, limits.warm_interface.as_deref()));
        if let Some((since, then)) = before.replace(now) {
            let (elapsed, [come, gone]) = (now.0 - since, now.1);
            let bytes = come.saturating_sub(then[0]).max(gone.saturating_sub(then[1]));
            jobs.link.bits_s.store((bytes as f64 * 8.0 / elapsed.as_secs_f64()) as u64, Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_interfaces_but_loopback_are_the_link_unless_one_is_named() {
        let counts = "Inter-|   Receive                                                |  Transmit\n \
                      face |bytes    packets errs drop fifo frame compressed multicast|bytes    packets errs drop fifo colls carrier compressed\n    \
                      lo: 500 1 0 0 0 0 0 0 500 1 0 0 0 0 0 0\n  eth0: 10 1 0 0 0 0 0 0 200 1 0 0 0 0 0 0\n  eth1:3 1 0 0 0 0 0 0 4 1 0 0 0 0 0 0\n";
        assert_eq!(carried(counts, None), [13, 204]);
        assert_eq!([carried(counts, Some("lo")), carried(counts, Some("eth1"))], [[500, 500], [3, 4]]);
        assert_eq!([carried(counts, Some("eth")), carried("", None), carried("x: 1", None)], [[0, 0]; 3]);
    }
}

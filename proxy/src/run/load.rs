//! How busy this process is. What is made of that, health probes and those who direct clients know.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use crate::node::Node;

/// How busy this process keeps its workers' cores, once a second: what health probes are told.
pub(super) async fn measure(node: Arc<Node>, workers: usize) {
    let mut every = tokio::time::interval(Duration::from_secs(1));
    let mut before = cpu_ticks();
    loop {
        every.tick().await;
        let now = cpu_ticks();
        // A tick is 10 ms on Linux whatever the kernel's own (USER_HZ), so a second of one core has 100.
        let permille = now.saturating_sub(before) * 10 / workers.max(1) as u64;
        node.load.store(u16::try_from(permille).unwrap_or(u16::MAX), Relaxed);
        before = now;
    }
}

/// CPU time of this process in ticks (proc_pid_stat(5), utime and stime).
fn cpu_ticks() -> u64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let after_name = stat.rsplit_once(')').map_or("", |(_, rest)| rest);
    after_name.split_whitespace().skip(11).take(2).filter_map(|field| field.parse::<u64>().ok()).sum()
}

//! How often something may happen in a second, whoever does it.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Instant;

use super::limits::COMMITS_PER_SECOND;

/// Of commits.
#[derive(Debug)]
pub(crate) struct Rate {
    since: Instant,
    /// Second since then of the last one, and how many were in it.
    second: AtomicU64,
    times: AtomicU64,
}

impl Default for Rate {
    fn default() -> Self {
        Self { since: Instant::now(), second: AtomicU64::new(0), times: AtomicU64::new(0) }
    }
}

impl Rate {
    /// Whether it may happen once more now.
    pub(crate) fn may(&self) -> bool {
        self.may_in(self.since.elapsed().as_secs())
    }

    fn may_in(&self, second: u64) -> bool {
        // Threads that meet at the turn of a second may do it once more each.
        if self.second.swap(second, Relaxed) != second {
            self.times.store(0, Relaxed);
        }
        self.times.fetch_add(1, Relaxed) < COMMITS_PER_SECOND
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_happens_so_often_in_a_second_and_no_more() {
        let rate = Rate::default();
        let times = |second| (0..1000).filter(|_| rate.may_in(second)).count() as u64;
        assert_eq!(
            [times(0), times(0), times(1), times(9)],
            [COMMITS_PER_SECOND, 0, COMMITS_PER_SECOND, COMMITS_PER_SECOND]
        );
    }
}

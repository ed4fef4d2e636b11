//! Addresses of the names that clients of the explicit proxy ask for, kept while they hold.
//!
//! Asking is `origin::lookup`'s. Bounded in names kept, in lookups at a time and in the time of each. Invariant: a name that
//! cannot be found is remembered too, for less long, so that nobody has it asked for without end.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::Semaphore;

use crate::clock::elapsed_ms;
use crate::node::Node;
use crate::origin::lookup::{ADDRESSES_MAX, LOOK_UP_FAILED_EVERY, NAME_PATIENCE, addresses_of};

/// Names kept.
pub(super) const NAMES_MAX: usize = 4096;
/// Lookups at a time; who comes then waits within the time of a lookup.
pub(super) const AT_ONCE_MAX: usize = 64;

/// What is known of names.
#[derive(Debug)]
pub(crate) struct Names {
    known: Mutex<HashMap<Box<str>, Known>>,
    at_once: Semaphore,
}

#[derive(Debug)]
struct Known {
    addresses: Arc<[IpAddr]>,
    until_ms: u64,
}

impl Default for Names {
    fn default() -> Self {
        Self { known: Mutex::default(), at_once: Semaphore::new(AT_ONCE_MAX) }
    }
}

impl Names {
    /// The addresses of a name; none when it cannot be found.
    pub(crate) async fn addresses(&self, node: &Node, host: &str) -> Arc<[IpAddr]> {
        if let Some(known) = self.recall(host, elapsed_ms()) {
            return known;
        }
        let asked = tokio::time::timeout(NAME_PATIENCE, async {
            let _turn = self.at_once.acquire().await;
            addresses_of(node, host).await
        });
        let (found, holds) = match asked.await {
            Ok(Ok((found, holds))) => (found, holds),
            Ok(Err(error)) => {
                tracing::debug!(host, %error, "cannot look a host up");
                (Vec::new(), LOOK_UP_FAILED_EVERY)
            }
            Err(_) => (Vec::new(), LOOK_UP_FAILED_EVERY),
        };
        let found: Arc<[IpAddr]> = found.into_iter().take(ADDRESSES_MAX).collect();
        self.remember(host, found.clone(), holds, elapsed_ms());
        found
    }

    fn recall(&self, host: &str, now_ms: u64) -> Option<Arc<[IpAddr]>> {
        let known = self.known.lock();
        known.get(host).filter(|known| known.until_ms > now_ms).map(|known| known.addresses.clone())
    }

    fn remember(&self, host: &str, addresses: Arc<[IpAddr]>, holds: Duration, now_ms: u64) {
        let mut known = self.known.lock();
        if known.len() >= NAMES_MAX {
            known.retain(|_, known| known.until_ms > now_ms);
        }
        if known.len() >= NAMES_MAX {
            // Clients ask for more names than are worth keeping.
            known.clear();
        }
        let until_ms = now_ms + u64::try_from(holds.as_millis()).unwrap_or(0);
        known.insert(host.into(), Known { addresses, until_ms });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_kept_while_they_hold_and_never_more_than_the_bound() {
        let (names, second) = (Names::default(), Duration::from_secs(1));
        let one: Arc<[IpAddr]> = Arc::new([IpAddr::from([192, 0, 2, 1])]);
        names.remember("a", one.clone(), second, 5_000);
        assert_eq!(names.recall("a", 5_999), Some(one.clone()));
        assert_eq!(names.recall("a", 6_000), None);
        for number in 0..3 * NAMES_MAX {
            names.remember(&number.to_string(), one.clone(), second, 5_000);
            assert!(names.known.lock().len() <= NAMES_MAX);
        }
        assert!(names.recall(&(3 * NAMES_MAX - 1).to_string(), 5_001).is_some());
    }
}

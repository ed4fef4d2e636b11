//! Looking the names of origins up.
//!
//! Invariant: an origin keeps the addresses it has until there are others.

use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;

use super::Origin;

/// How often names are looked up again.
pub const LOOK_UP_EVERY: Duration = Duration::from_secs(30);
/// How often those are that have no address yet.
pub const LOOK_UP_MISSING_EVERY: Duration = Duration::from_secs(2);
/// How long a start, a reload or a round of looking up waits for the names at most.
pub const LOOK_UP_PATIENCE: Duration = Duration::from_secs(5);
/// Names looked up at a time: each takes a thread of the blocking pool until the system's resolver gives up.
pub const LOOK_UPS_MAX: usize = 16;

/// Looks the names of origins up, and waits for [`LOOK_UP_PATIENCE`] at most. What fails is a warning: an origin keeps the
/// addresses it has, and whoever looks up again (`run`) goes on.
pub async fn look_up(origins: Vec<Arc<Origin>>) {
    let lookups = origins.into_iter().map(|origin| async move {
        if let Err(error) = resolve(&origin).await {
            tracing::warn!(origin = origin.host, %error, "cannot look the origin up; trying again later");
        }
    });
    let all = futures_util::stream::iter(lookups).buffer_unordered(LOOK_UPS_MAX).for_each(|()| std::future::ready(()));
    if tokio::time::timeout(LOOK_UP_PATIENCE, all).await.is_err() {
        tracing::warn!(seconds = LOOK_UP_PATIENCE.as_secs(), "looking origins up takes too long; trying again later");
    }
}

/// Looks one up; keeps the old addresses when that fails.
async fn resolve(origin: &Origin) -> std::io::Result<()> {
    if origin.is_literal() {
        return Ok(());
    }
    let found: Vec<_> = tokio::net::lookup_host((origin.host.as_str(), origin.port)).await?.collect();
    if !found.is_empty() {
        origin.live.addresses.store(Arc::new(found));
    }
    Ok(())
}

//! Zones that change while they answer: one at a time, all else of the snapshot stays.
//!
//! Invariant: what is in force was kept before, where it is to be kept at all.

use std::sync::Arc;

use hickory_proto::rr::LowerName;
use tokio::sync::Notify;

use super::{Director, GeoError, Snapshot, service};
use crate::zone::Zone;

/// Wakes whoever looks after copies of zones.
#[derive(Debug, Default)]
pub(super) struct Stirred {
    notify: Notify,
    /// Zones whose primaries say that they have changed.
    fetch: parking_lot::Mutex<Vec<LowerName>>,
}

impl Stirred {
    pub(super) fn all(&self) {
        self.notify.notify_one();
    }
}

impl Director {
    /// Puts what `change` makes of a zone in force, after `keep` has kept it; `false` when there is nothing to change or no such
    /// zone.
    ///
    /// # Errors
    /// Those of `change` and `keep`, and why services cannot stand beside it. Then nothing has changed.
    pub(crate) fn change_zone<E: From<GeoError>>(
        &self,
        apex: &LowerName,
        change: impl FnOnce(&Zone) -> Result<Option<Zone>, E>,
        keep: impl FnOnce(&Zone, &Zone) -> Result<(), E>,
    ) -> Result<bool, E> {
        let _reloading = self.reloading.lock();
        let old = self.snapshot.load_full();
        let Some(zone) = old.zones.named(apex) else { return Ok(false) };
        let Some(later) = change(zone)? else { return Ok(false) };
        let mut zones = old.zones.with(later.clone());
        zones.let_go();
        let services = service::place(&old.config.services, &old.config.clusters, &mut zones)?;
        keep(zone, &later)?;
        let changing = self.changing.lock();
        // The clusters may have changed meanwhile.
        let now = self.snapshot.load_full();
        let snapshot = Snapshot { zones: Arc::new(zones), services: Arc::new(services), ..(*now).clone() };
        self.snapshot.store(Arc::new(snapshot));
        drop(changing);
        self.stirred.all();
        Ok(true)
    }

    /// A primary says that a zone has changed.
    pub(crate) fn fetch_soon(&self, apex: &LowerName) {
        let mut fetch = self.stirred.fetch.lock();
        if !fetch.contains(apex) {
            fetch.push(apex.clone());
        }
        self.stirred.all();
    }

    /// The zones of which that was said since the last time.
    pub(crate) fn to_fetch(&self) -> Vec<LowerName> {
        std::mem::take(&mut *self.stirred.fetch.lock())
    }

    /// Until something of zones has changed.
    pub(crate) async fn stirred(&self) {
        self.stirred.notify.notified().await;
    }
}

//! Zones that change while they answer: one at a time, all else of the snapshot stays.
//!
//! Invariant: what is in force was kept before, where it is to be kept at all.

use std::sync::Arc;

use hickory_proto::rr::LowerName;
use tokio::sync::Notify;

use super::{Director, GeoError, Snapshot, domain_name, service};
use crate::zone::Zone;

/// A zone that was read again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reread {
    /// Its name, absolute.
    pub zone: String,
    /// Its serial from now on.
    pub serial: u32,
    /// The one before.
    pub before: u32,
    /// Whether it is the copy of another server's: that one is asked anew.
    pub is_copy: bool,
    /// What is not as the files have it, a sentence each.
    pub warnings: Vec<String>,
}

/// Why a zone was not read again; it is as it was.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unreread {
    /// There is none of this name.
    #[error("no [[zone]] of this node has the name {asked:?}; there are: {known}")]
    Unknown {
        /// What was asked for.
        asked: String,
        /// Names.
        known: String,
    },
    /// It cannot be read, or services cannot stand in it.
    #[error("{0}; the zone stays as it was")]
    Wrong(GeoError),
}

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

    /// Reads one zone again, out of what the config in force names for it; all else stays. Slow: not for a thread that answers.
    ///
    /// # Errors
    /// Why it stays as it was.
    pub fn reload_zone(&self, name: &str) -> Result<Reread, Unreread> {
        let _reloading = self.reloading.lock();
        let old = self.snapshot.load_full();
        let asked = domain_name(name);
        let source = old.config.zones.iter().find(|source| asked.is_some() && domain_name(&source.name) == asked);
        let Some((apex, source)) = asked.clone().zip(source) else {
            let known: Vec<&str> = old.config.zones.iter().map(|source| &*source.name).collect();
            return Err(Unreread::Unknown { asked: name.to_owned(), known: known.join(", ") });
        };
        let (mut zones, warnings) = old.zones.reread(source, &old.keys).map_err(Unreread::Wrong)?;
        let (clusters, services) = (&old.config.clusters, &old.config.services);
        let services = service::place(services, clusters, &mut zones).map_err(Unreread::Wrong)?;
        let serial = |zones: &crate::zone::Zones| zones.named(&apex).map_or(0, Zone::serial);
        let is_copy = source.peers.primary.is_some();
        let (serial, before) = (serial(&zones), serial(&old.zones));
        let changing = self.changing.lock();
        // The clusters may have changed meanwhile.
        let now = self.snapshot.load_full();
        let snapshot = Snapshot { zones: Arc::new(zones), services: Arc::new(services), ..(*now).clone() };
        self.snapshot.store(Arc::new(snapshot));
        drop(changing);
        if is_copy {
            self.fetch_soon(&apex);
        }
        self.stirred.all();
        Ok(Reread { zone: apex.to_string(), serial, before, is_copy, warnings })
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

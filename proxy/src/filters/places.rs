//! Where clients are, for filters that ask: the databases of `[geo] database`, read for them when there is such a filter.
//!
//! What a file says is the geo crate's to read. Invariant: a file that cannot be read any more says what it said before.

use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arc_swap::ArcSwap;
use littoral_geo::database::Database;

/// The databases, most precise first.
#[derive(Debug, Default)]
pub(crate) struct Places(ArcSwap<Vec<Arc<Database>>>);

impl Places {
    /// Reads files.
    ///
    /// # Errors
    /// Which cannot be read: who lets people in by their place does not guess.
    pub(super) fn read(files: &[PathBuf]) -> Result<Vec<Arc<Database>>, String> {
        files.iter().map(|file| Database::open(file).map(Arc::new)).collect()
    }

    /// From now on there are these.
    pub(super) fn adopt(&self, databases: Vec<Arc<Database>>) {
        self.0.store(Arc::new(databases));
    }

    /// The files.
    pub(super) fn files(&self) -> Vec<PathBuf> {
        self.0.load().iter().map(|database| database.path().to_owned()).collect()
    }

    /// Reads those files again that are named.
    pub(super) fn read_again(&self, is_named: impl Fn(&Path) -> bool) {
        let known = self.0.load_full();
        if !known.iter().any(|database| is_named(database.path())) {
            return;
        }
        let read = |old: &Arc<Database>| match is_named(old.path()).then(|| Database::open(old.path())) {
            Some(Ok(database)) => {
                tracing::info!(file = %old.path().display(), "filters have a new database of places");
                Arc::new(database)
            }
            Some(Err(error)) => {
                tracing::error!(%error, "filters keep the old database of places");
                old.clone()
            }
            None => old.clone(),
        };
        self.adopt(known.iter().map(read).collect());
    }

    /// The country and the autonomous system (0: none) of an address: each as the first database says that knows it.
    pub(super) fn find(&self, address: IpAddr) -> (Option<[u8; 2]>, u32) {
        let databases = self.0.load();
        let found = || databases.iter().map(|database| database.find(address).0);
        let country = found().find_map(|located| located.place.country);
        (country, found().map(|located| located.asn).find(|asn| *asn != 0).unwrap_or(0))
    }
}

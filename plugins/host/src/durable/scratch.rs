//! A store that is thrown away: for an author's vectors, and to see whether a guest starts.

use std::sync::Arc;

use super::limits::{DURABLE_BYTES_MAX, DURABLE_KEYS_DEFAULT};
use super::{Durable, Stores};

/// It, in a directory that goes with it.
pub(crate) struct Scratch {
    /// With all that can be granted.
    pub(crate) store: Arc<Durable>,
    _directory: tempfile::TempDir,
}

impl Scratch {
    /// An empty one.
    ///
    /// # Errors
    /// That there is no place for it.
    pub(crate) fn new() -> Result<Self, String> {
        let directory = tempfile::tempdir().map_err(|error| format!("no directory to try it in: {error}"))?;
        let store = Stores::default().open(&directory.path().join("durable.redb"))?;
        store.grant(DURABLE_BYTES_MAX, DURABLE_KEYS_DEFAULT);
        Ok(Self { store, _directory: directory })
    }
}

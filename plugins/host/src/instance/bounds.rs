//! What an instance of a policy may have: its own bounds, and its share of what all plugins have together.

use wasmtime::{ResourceLimiter, StoreLimits};

use crate::total::Share;

/// What an instance may have, of its own bounds and of what all have together.
pub(super) struct Bounds {
    own: StoreLimits,
    share: Share,
}

impl Bounds {
    pub(super) fn new(own: StoreLimits) -> Self {
        Self { own, share: Share::default() }
    }
}

impl ResourceLimiter for Bounds {
    fn memory_growing(&mut self, current: usize, desired: usize, most: Option<usize>) -> wasmtime::Result<bool> {
        let may = self.own.memory_growing(current, desired, most)?;
        if may && !self.share.grow(desired.saturating_sub(current)) {
            return Err(wasmtime::Error::msg("all plugins together have as much memory as plugins.memory allows"));
        }
        Ok(may)
    }

    fn table_growing(&mut self, current: usize, desired: usize, most: Option<usize>) -> wasmtime::Result<bool> {
        self.own.table_growing(current, desired, most)
    }

    fn instances(&self) -> usize {
        self.own.instances()
    }

    fn tables(&self) -> usize {
        self.own.tables()
    }

    fn memories(&self) -> usize {
        self.own.memories()
    }
}

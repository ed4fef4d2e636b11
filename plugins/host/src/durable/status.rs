//! What an operator grants a durable store, and what it tells of itself.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use serde::Serialize;

use super::file::Use;

/// What an operator grants.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DurableSpec {
    /// The file it lies in; its directory is made where there is none. Two plugins never have the same.
    pub file: PathBuf,
    /// Bytes of keys and values, with [`super::limits::ENTRY_BYTES`] for each entry.
    pub bytes: u64,
    /// Entries.
    pub keys: u64,
}

/// Why a durable store did not do what it was asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// There would be more than was granted.
    Full,
    /// What was expected is no longer so.
    Conflict,
    /// One commit would have more than it may.
    TooMuch,
    /// Another process has it, or too much waits.
    Busy,
    /// The disk failed.
    Failed,
}

impl Refusal {
    /// Labels of all kinds, in the order of the variants.
    pub const KINDS: [&'static str; 5] = ["full", "conflict", "too-much", "busy", "failed"];
}

/// What a service may ask of it.
#[derive(Debug, Clone, Copy)]
pub(super) enum Operation {
    Get,
    Keys,
    Commit,
}

impl Operation {
    const KINDS: [&'static str; 3] = ["get", "keys", "commit"];
}

/// What a durable store holds and did.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct DurableHeld {
    /// Entries.
    pub keys: u64,
    /// Bytes they are charged.
    pub bytes: u64,
    /// Entries granted.
    pub granted_keys: u64,
    /// Bytes granted.
    pub granted: u64,
    /// Bytes of its file.
    pub file_bytes: u64,
    /// Operations by kind, those that were refused included.
    pub operations: BTreeMap<&'static str, u64>,
    /// Refusals by [`Refusal::KINDS`].
    pub refused: BTreeMap<&'static str, u64>,
    /// How often it waited for the disk to have what was committed; several commits may be one.
    pub syncs: u64,
}

/// What is counted while it is used.
#[derive(Debug, Default)]
pub(super) struct Figures {
    operations: [AtomicU64; Operation::KINDS.len()],
    refused: [AtomicU64; Refusal::KINDS.len()],
    pub(super) syncs: AtomicU64,
    /// What it held when it was last open.
    keys: AtomicU64,
    bytes: AtomicU64,
}

impl Figures {
    pub(super) fn operated(&self, operation: Operation) {
        self.operations[operation as usize].fetch_add(1, Relaxed);
    }

    pub(super) fn refused(&self, refusal: Refusal) {
        self.refused[refusal as usize].fetch_add(1, Relaxed);
    }

    pub(super) fn noted<T>(&self, outcome: &Result<T, Refusal>) {
        if let Err(refusal) = outcome {
            self.refused(*refusal);
        }
    }

    pub(super) fn used(&self, used: Use) {
        self.keys.store(used.keys, Relaxed);
        self.bytes.store(used.bytes, Relaxed);
    }

    pub(super) fn last_use(&self) -> Use {
        Use { keys: self.keys.load(Relaxed), bytes: self.bytes.load(Relaxed) }
    }

    pub(super) fn told(&self, used: Use, quota: Use, file_bytes: u64) -> DurableHeld {
        let of = |labels: &'static [&'static str], counts: &[AtomicU64]| -> BTreeMap<&'static str, u64> {
            labels.iter().zip(counts).map(|(label, count)| (*label, count.load(Relaxed))).collect()
        };
        DurableHeld {
            keys: used.keys,
            bytes: used.bytes,
            granted_keys: quota.keys,
            granted: quota.bytes,
            file_bytes,
            operations: of(&Operation::KINDS, &self.operations),
            refused: of(&Refusal::KINDS, &self.refused),
            syncs: self.syncs.load(Relaxed),
        }
    }
}

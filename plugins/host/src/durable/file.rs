//! The file of a durable store: a B-tree of redb, the only module that names it.
//!
//! A commit is two-phase and leaves the allocator's state behind (`set_quick_repair`): a file that a crash left is opened at once, however large
//! it is, and nothing that a guest stores can be taken for a commit. Invariants: what counts the entries is written with them; a file is never
//! seen under its name before it is whole.

use std::path::Path;

use parking_lot::Mutex;
use redb::{
    Builder, Database, DatabaseError, ReadableDatabase, ReadableTable, Table, TableDefinition, WriteTransaction,
};

use super::limits::{CACHE_BYTES, ENTRY_BYTES};
use super::{Batch, Refusal};

const ENTRIES: TableDefinition<'_, &[u8], &[u8]> = TableDefinition::new("entries");
/// What is counted: [`KEYS`] and [`BYTES`].
const FIGURES: TableDefinition<'_, &str, u64> = TableDefinition::new("figures");
const KEYS: &str = "keys";
const BYTES: &str = "bytes";

/// How much there is, or may be.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Use {
    pub(crate) keys: u64,
    pub(crate) bytes: u64,
}

/// Why a file was not opened.
#[derive(Debug)]
pub(super) enum Opening {
    /// Somebody else has it.
    Taken,
    /// What is wrong.
    Failed(String),
}

impl From<DatabaseError> for Opening {
    fn from(error: DatabaseError) -> Self {
        match error {
            DatabaseError::DatabaseAlreadyOpen => Self::Taken,
            other => Self::Failed(other.to_string()),
        }
    }
}

fn failed(error: impl std::fmt::Display) -> Opening {
    Opening::Failed(error.to_string())
}

fn told(error: impl std::fmt::Display) -> String {
    error.to_string()
}

#[derive(Debug)]
pub(super) struct File {
    database: Database,
    used: Mutex<Use>,
}

impl File {
    /// Opens a file, and makes it where there is none.
    pub(super) fn open(path: &Path) -> Result<Self, Opening> {
        if !path.try_exists().map_err(failed)? {
            make(path)?;
        }
        Self::on(Builder::new().set_cache_size(CACHE_BYTES).open(path)?)
    }

    /// On a database that has both tables.
    pub(super) fn on(database: Database) -> Result<Self, Opening> {
        let read = database.begin_read().map_err(failed)?;
        let figures = read.open_table(FIGURES).map_err(failed)?;
        read.open_table(ENTRIES).map_err(failed)?;
        let of = |name| figures.get(name).map(|found| found.map_or(0, |count| count.value())).map_err(failed);
        let used = Mutex::new(Use { keys: of(KEYS)?, bytes: of(BYTES)? });
        drop((figures, read));
        Ok(Self { database, used })
    }

    /// What it holds.
    pub(super) fn used(&self) -> Use {
        *self.used.lock()
    }

    pub(super) fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, String> {
        let read = self.database.begin_read().map_err(told)?;
        let entries = read.open_table(ENTRIES).map_err(told)?;
        Ok(entries.get(key).map_err(told)?.map(|value| value.value().to_vec()))
    }

    pub(super) fn keys(&self, prefix: &[u8], after: Option<&[u8]>, most: usize) -> Result<Vec<Vec<u8>>, String> {
        let read = self.database.begin_read().map_err(told)?;
        let entries = read.open_table(ENTRIES).map_err(told)?;
        let from = after.filter(|after| *after > prefix).unwrap_or(prefix);
        let mut keys = Vec::new();
        for entry in entries.range::<&[u8]>(from..).map_err(told)? {
            let key = entry.map_err(told)?.0.value().to_vec();
            if keys.len() == most || !key.starts_with(prefix) {
                break;
            }
            if after != Some(key.as_slice()) {
                keys.push(key);
            }
        }
        Ok(keys)
    }

    /// Makes the changes of each batch, or none of it, and returns when they are on the disk. What became of each.
    ///
    /// # Errors
    /// When the disk fails: none of them is known to be made. The file must be opened again.
    pub(super) fn apply(&self, batches: &[&Batch], quota: Use) -> Result<Vec<Result<(), Refusal>>, String> {
        let mut used = self.used.lock();
        let mut transaction = self.database.begin_write().map_err(told)?;
        transaction.set_quick_repair(true);
        let (outcomes, after) = changed(&transaction, batches, *used, quota)?;
        if outcomes.iter().all(Result::is_err) {
            transaction.abort().map_err(told)?;
            return Ok(outcomes);
        }
        transaction.commit().map_err(told)?;
        *used = after;
        Ok(outcomes)
    }
}

/// Changes what a transaction sees. What became of each batch, and what there is then.
fn changed(
    transaction: &WriteTransaction,
    batches: &[&Batch],
    used: Use,
    quota: Use,
) -> Result<(Vec<Result<(), Refusal>>, Use), String> {
    let mut entries = transaction.open_table(ENTRIES).map_err(told)?;
    let mut figures = transaction.open_table(FIGURES).map_err(told)?;
    let (mut outcomes, mut used) = (Vec::with_capacity(batches.len()), used);
    for batch in batches {
        let outcome = judged(&entries, batch, used, quota)?;
        if let Ok(after) = outcome {
            for (key, value) in &batch.changes {
                match value {
                    Some(value) => entries.insert(key.as_slice(), value.as_slice()).map_err(told)?,
                    None => entries.remove(key.as_slice()).map_err(told)?,
                };
            }
            used = after;
        }
        outcomes.push(outcome.map(drop));
    }
    figures.insert(KEYS, used.keys).map_err(told)?;
    figures.insert(BYTES, used.bytes).map_err(told)?;
    Ok((outcomes, used))
}

/// What there would be after a batch; or why it is not made.
fn judged(
    entries: &Table<'_, &[u8], &[u8]>,
    batch: &Batch,
    used: Use,
    quota: Use,
) -> Result<Result<Use, Refusal>, String> {
    for (key, expected) in &batch.expected {
        let found = entries.get(key.as_slice()).map_err(told)?;
        if found.as_ref().map(|value| value.value()) != expected.as_deref() {
            return Ok(Err(Refusal::Conflict));
        }
    }
    let charge = |key: &[u8], value: usize| (ENTRY_BYTES + key.len() + value) as u64;
    let mut after = used;
    for (key, value) in &batch.changes {
        if let Some(before) = entries.get(key.as_slice()).map_err(told)? {
            after.keys -= 1;
            after.bytes -= charge(key, before.value().len());
        }
        if let Some(value) = value {
            after.keys += 1;
            after.bytes += charge(key, value.len());
        }
    }
    // What makes it smaller is always made, also where less is granted than there was.
    let is_full = |after, before, most| after > before && after > most;
    match is_full(after.keys, used.keys, quota.keys) || is_full(after.bytes, used.bytes, quota.bytes) {
        true => Ok(Err(Refusal::Full)),
        false => Ok(Ok(after)),
    }
}

/// Makes both tables.
pub(super) fn begin(database: &Database) -> Result<(), Opening> {
    let mut transaction = database.begin_write().map_err(failed)?;
    transaction.set_quick_repair(true);
    transaction.open_table(ENTRIES).map_err(failed)?;
    transaction.open_table(FIGURES).map_err(failed)?;
    transaction.commit().map_err(failed)
}

/// Makes a file beside, and gives it its name when it is whole.
fn make(path: &Path) -> Result<(), Opening> {
    let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    std::fs::create_dir_all(directory).map_err(failed)?;
    let beside = path.with_extension("new");
    match std::fs::remove_file(&beside) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(failed(error)),
        _ => {}
    }
    let database = Builder::new().set_cache_size(CACHE_BYTES).create(&beside)?;
    begin(&database)?;
    drop(database);
    std::fs::rename(&beside, path).map_err(failed)?;
    // The name must outlive a loss of power as what it names does, and so must the directory's own.
    for directory in directory.ancestors().take(2).filter(|directory| !directory.as_os_str().is_empty()) {
        std::fs::File::open(directory).and_then(|directory| directory.sync_all()).map_err(failed)?;
    }
    Ok(())
}

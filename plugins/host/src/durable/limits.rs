//! Named bounds on what services keep on disk.

/// Bytes of a key.
pub const KEY_BYTES_MAX: usize = 256;
/// Bytes of a value.
pub const VALUE_BYTES_MAX: usize = 256 << 10;
/// Changes and expectations that one commit may have.
pub const CHANGES_MAX: usize = 1024;
/// Bytes of keys and values that one commit may have.
pub const DRAFT_BYTES_MAX: usize = 1 << 20;
/// The same of all commits that the instances of one plugin have noted.
pub const DRAFTS_BYTES_MAX: usize = 64 << 20;
/// Keys that are told at once.
pub const KEYS_TOLD_MAX: usize = 1000;
/// Bytes that an entry is charged beside its key and value.
pub const ENTRY_BYTES: usize = 32;
/// Bytes that an operator may grant.
pub const DURABLE_BYTES_MAX: u64 = 1 << 40;
/// Keys that a plugin may have, when the operator says nothing.
pub const DURABLE_KEYS_DEFAULT: u64 = 1_000_000;
/// Keys that an operator may allow.
pub const DURABLE_KEYS_MAX: u64 = 1_000_000_000;
/// Bytes of a store's file that are kept in memory.
pub(super) const CACHE_BYTES: usize = 8 << 20;
/// Operations of one plugin that wait for the disk: as many as there are connections of all.
pub(super) const JOBS_MAX: usize = 4096;
/// Commits that are written together.
pub(super) const GROUP_MAX: usize = 64;
/// Threads that read for one plugin.
pub(super) const READERS: usize = 2;

const _: () = assert!(KEY_BYTES_MAX + VALUE_BYTES_MAX <= DRAFT_BYTES_MAX && DRAFT_BYTES_MAX <= DRAFTS_BYTES_MAX);

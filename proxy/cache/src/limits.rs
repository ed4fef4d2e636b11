//! Named bounds of the cache engine. Each is checked where its name is used; hitting one is counted.

/// Bytes that may be held above the configured bound, all together, by what cannot wait for room: fills that pass by. This is
/// the constant in "never above the bound plus a constant".
pub const OVERDRAFT_BYTES: u64 = 16 << 20;

/// Bytes of a fill that passes by held for readers that are behind, where the largest object stored is not larger. A reader
/// further behind is cut off and counted (`readers_cut`).
pub const PASSING_BYTES: u64 = 4 << 20;

/// Keys remembered because their object of untold length turned out too large, 64 KiB of them: while such a response would be
/// fresh, the next one passes by from its first byte, at the speed of its client.
pub const OUTGROWN_KEYS: usize = 8192;

/// Keys remembered because their response could not be stored, 512 KiB of them: requests for them do not wait for each other.
pub const PASSED_KEYS: usize = 65_536;

/// Pieces of one URL's objects that are stored. With one more, the one longest unused goes and is counted (`pieces_dropped`); as it
/// does when they have more bytes together than the largest object stored.
pub const PIECES: usize = 64;

/// Blocks of a piece that was joined from others; what would have more stays apart.
pub const PIECE_BLOCKS: usize = 16_384;

/// What a block of a joined piece costs besides its bytes.
pub const PIECE_BLOCK_BYTES: u64 = 128;

/// What one published object costs besides its body, key and fields: the entry, its places in the index and in the memory tier,
/// allocator slack. Measured by `tests/memory.rs`, rounded up.
pub const ENTRY_OVERHEAD_BYTES: u64 = 960;

/// What one place in the map of a stored head's fields costs. Measured, as [`ENTRY_OVERHEAD_BYTES`].
pub const FIELD_PLACE_BYTES: u64 = 88;

/// What each further value of a name costs there.
pub const FIELD_AGAIN_BYTES: u64 = 104;

/// Largest piece a stored body is cut into. A body up to this size is one allocation and one write.
pub const BLOCK_BYTES: usize = 1 << 20;

/// Told length from which on a body lies in pages that the system can send by itself; with less the calls cost more than the copy.
pub const PAGED_BYTES: u64 = 256 << 10;

/// Surrogate keys kept of one response; further ones are ignored and counted.
pub const SURROGATE_KEYS_PER_OBJECT: usize = 64;

/// Longest surrogate key in bytes; longer ones are ignored and counted.
pub const SURROGATE_KEY_BYTES: usize = 1024;

/// Purges remembered for fills that began before them. When more come in, every older fill is left unpublished.
pub const PURGE_LOG_ENTRIES: usize = 4096;

/// Bytes they may take; the oldest are forgotten first, with the same effect.
pub const PURGE_LOG_BYTES: usize = 16 << 20;

/// Places that note when a URL was last invalidated, by its hash, 512 KiB of them. An answer asked for before is not kept; where two
/// share a place, neither is.
pub const INVALIDATED_PLACES: usize = 65_536;

/// Bytes of a regular expression that a purge names, as it is written.
pub const PURGE_REGEX_PATTERN_BYTES: usize = 4096;

/// Bytes of such an expression when compiled, and of the cache that matching it keeps.
pub const PURGE_REGEX_BYTES: usize = 256 << 10;

/// Objects looked at for those with the most hits.
pub const HOT_SAMPLE: usize = 64 << 10;

/// Entries looked at, or removed, by a purge while it holds a lock.
pub const PURGE_STEP: usize = 256;

/// Field names a Vary header may list; a response with more is not stored.
pub const VARY_FIELDS: usize = 16;

/// Candidates drawn for one eviction decision.
pub const EVICTION_SAMPLE: usize = 16;

/// Uses that wait in one lane to be told to an exact policy, eight bytes each; of more the oldest are lost and counted.
pub const LANE_USES: usize = 1 << 14;

/// Lanes of one tier; threads share them.
pub const LANES_MAX: usize = 8;

/// Objects that came or went and wait to be told; with more the policy is told anew of all that is there.
pub const CHANGES_MAX: usize = 1 << 16;

/// Eviction starts when the bytes in use pass this share of the bound, in permille.
pub const HIGH_WATERMARK_PERMILLE: u64 = 970;

/// Eviction stops below this share of the bound, in permille.
pub const LOW_WATERMARK_PERMILLE: u64 = 955;

/// Bytes of one object file's header: key, fields and checksums. An object that needs more is not written and counted.
pub const DISK_HEADER_BYTES: u64 = 4 << 20;

/// Bytes under one checksum on disk: what is read, verified and handed out at a time.
pub const DISK_BLOCK_BYTES: u64 = 256 << 10;

/// Bytes of bodies waiting to be written to one disk; what comes on top is not written and counted.
pub const DISK_QUEUE_BYTES: u64 = 64 << 20;

/// An object takes at most this part of memory when it is read back from a disk; a larger one is read as it is served.
pub const PROMOTED_SHARE: u64 = 16;

/// Objects on disk that are kept open, each of which takes a file descriptor.
pub const OPENED_OBJECTS: usize = 1024;

/// Bytes an object on disk that is kept open takes in memory; one that needs more is opened each time.
pub const OPENED_BYTES: u64 = 64 << 10;

/// Uses of an object that is kept open after which the policy is asked again whether memory is to have it.
pub const OPENED_USES: u32 = 16;

/// What waits for all disks takes at most this part of memory: it is not free there before it is written.
pub const DISK_QUEUE_SHARE: u64 = 8;

/// Objects waiting to be written to one disk, or to be removed from it.
pub const DISK_QUEUE_JOBS: usize = 8192;

/// Reads of objects waiting for a reading thread; a lookup on top is a miss and counted.
pub const DISK_READS: usize = 1024;

/// Threads that read, for all disks.
pub const DISK_READERS: usize = 8;

/// Threads that look through one disk at the start.
pub const DISK_SCANNERS: usize = 4;

/// Failures of one disk in a row, reading or writing, after which it is taken out.
pub const DISK_FAILURES: u32 = 8;

/// Disks of one node.
pub const DISKS: usize = 64;

/// Purges remembered for objects on disk; when more come in, all that is on disk before them counts as purged.
pub const LEDGER_TARGETS: usize = 1 << 18;

/// Of these, prefixes and expressions, each of which is tried on every object read from disk.
pub const LEDGER_PATTERNS: usize = 256;

/// Bytes of one record of a journal of purges: a prefix or an expression, and what frames it.
pub const JOURNAL_RECORD_BYTES: usize = 1 << 20;

const _: () = assert!(LOW_WATERMARK_PERMILLE < HIGH_WATERMARK_PERMILLE && HIGH_WATERMARK_PERMILLE < 1000);
const _: () = assert!(EVICTION_SAMPLE <= 64);
const _: () = assert!(BLOCK_BYTES == littoral_pages::SLOT_BYTES);

/// How far the clock may be set back before what was stored is looked at as of unknown age, ms. Less is what clocks are corrected by.
pub const CLOCK_STEP_MS: u64 = 10_000;

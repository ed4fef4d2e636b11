//! Named bounds on guests.

/// Bytes of a plugin file.
pub const FILE_BYTES_MAX: u64 = 16 << 20;
/// Seconds of a processor that compiling one plugin may take.
pub const COMPILE_CPU_S: u64 = 60;
/// Address space of the process that compiles, in bytes; its allocator reserves one gibibyte of it from the start.
pub const COMPILE_BYTES: u64 = 4 << 30;
/// Bytes of compiled code.
pub const ARTIFACT_BYTES_MAX: u64 = 128 << 20;
/// Linear memory of an instance, when the operator says nothing.
pub const MEMORY_BYTES_DEFAULT: usize = 2 << 20;
/// Linear memory an operator may allow.
pub const MEMORY_BYTES_MAX: usize = 16 << 20;
/// Linear memory of an instance that keeps state of its own for a tier, when the operator says nothing: for some 500,000 objects.
pub const MEMORY_EXACT_BYTES_DEFAULT: usize = 64 << 20;
/// Linear memory an operator may allow such an instance.
pub const MEMORY_EXACT_BYTES_MAX: usize = 1 << 30;
/// Linear memory of all instances of all plugins together, when the operator says nothing.
pub const MEMORY_TOTAL_BYTES_DEFAULT: usize = 1 << 30;
/// Elements of all tables.
pub const TABLE_ELEMENTS_MAX: usize = 10_000;
/// Stack of a guest, in bytes.
pub const STACK_BYTES_MAX: usize = 256 << 10;
/// Fuel of a routing or rate call.
pub const FUEL_DECISION: u64 = 50_000;
/// Fuel of an admission or a scoring of a sample.
pub const FUEL_CACHE: u64 = 100_000;
/// Fuel of `init` and of what is pushed.
pub const FUEL_CONTROL: u64 = 50_000_000;
/// Fuel of a step of an exact policy: a sweep over all objects of a large tier.
pub const FUEL_STEP: u64 = 50_000_000;
/// Events told in one step.
pub const EVENTS_MAX: usize = 1024;
/// Objects that one step may name.
pub const GONE_MAX: usize = 1 << 20;
/// Objects in one sample.
pub const SAMPLE_MAX: usize = 64;
/// Clusters pushed.
pub const CLUSTERS_MAX: usize = 64;
/// Ladders kept for a plugin; the oldest goes first.
pub const LADDERS_MAX: usize = 1024;
/// Terms of one cluster that a routing policy tells.
pub const TERMS_MAX: usize = 16;
/// Bytes of the name of one.
pub const TERM_NAME_BYTES_MAX: usize = 64;
/// Fuel of telling them: nobody waits for it but who asked.
pub const FUEL_TERMS: u64 = 5_000_000;
/// Rungs of one ladder.
pub const RUNGS_MAX: usize = 64;
/// Lines a plugin may log in a second, in all its instances; further ones are dropped.
pub const LOG_LINES_PER_SECOND: u64 = 10;
/// Bytes of one logged line.
pub const LOG_BYTES_MAX: usize = 1024;
/// Counters of one plugin.
pub const COUNTERS_MAX: usize = 64;
/// Bytes of an error text that a guest returns.
pub const ERROR_BYTES_MAX: usize = 4096;
/// Faults within [`FAULT_WINDOW_MS`] that put a plugin in quarantine.
pub const FAULTS_MAX: usize = 3;
/// See [`FAULTS_MAX`].
pub const FAULT_WINDOW_MS: u64 = 10_000;
/// First quarantine; doubled each time until there was a healthy spell.
pub const QUARANTINE_MIN_MS: u64 = 1_000;
/// So long after a quarantine without another one, and the next is short again.
pub const HEALTHY_SPELL_MS: u64 = 600_000;
/// Longest quarantine.
pub const QUARANTINE_MAX_MS: u64 = 300_000;
/// From one of the calls behind a quarantine to the next, which come one at a time: several times what a call may compute.
pub const PROBE_MS: u64 = 100;
/// A quarantine this soon after a reload rolls it back.
pub const ROLLBACK_WINDOW_MS: u64 = 60_000;
/// Functions told of the backtrace of a fault.
pub const TRACE_FRAMES_MAX: usize = 16;
/// Bytes of one of them.
pub const TRACE_LINE_BYTES_MAX: usize = 256;
/// Bytes of a file of vectors.
pub const VECTORS_BYTES_MAX: u64 = 1 << 20;
/// Cases of one file of vectors.
pub const CASES_MAX: usize = 256;
/// Signatures of one component.
pub const SIGNATURES_MAX: usize = 4;
/// Keys that an operator may trust.
pub const TRUSTED_KEYS_MAX: usize = 64;
/// Decisions that wait to be recorded, of one plugin; further ones are dropped and counted.
pub const RECORD_QUEUE: usize = 4096;
/// Things told that wait to be recorded; of more only the outcome is kept.
pub const RECORD_TOLD_MAX: usize = 1024;
/// Bytes of a record where the operator says nothing.
pub const RECORD_BYTES_DEFAULT: u64 = 64 << 20;
/// Bytes of a record, at least: half of it has room for all that a plugin may know.
pub const RECORD_BYTES_MIN: u64 = 4 << 20;
/// Bytes of a record that an operator may allow.
pub const RECORD_BYTES_MAX: u64 = 64 << 30;
/// Bytes of one line of a record.
pub const RECORD_LINE_BYTES_MAX: u64 = 16 << 20;
/// Clusters to which the round-trip time of one client is told.
pub const MEASURED_MAX: usize = 16;

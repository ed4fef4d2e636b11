//! Named bounds on filters, beside those of all guests in [`crate::limits`].

/// Time between two ticks of the clock that guests are interrupted by, ms.
pub const TICK_MS: u64 = 2;
/// Time a call may compute, when the operator says nothing, ms.
pub const DEADLINE_MS_DEFAULT: u64 = 10;
/// Time an operator may allow, ms.
pub const DEADLINE_MS_MAX: u64 = 1_000;
/// Time `init` may compute, ms.
pub const INIT_MS: u64 = 1_000;
/// Time that one call waits for what it dials and keeps on disk, ms. What it asks by HTTP has a bound of its own
/// ([`crate::fetch::limits::TIMEOUT_MS_MAX`]).
pub const WAIT_MS_MAX: u64 = 2_000;
/// Linear memory of an instance, when the operator says nothing.
pub const MEMORY_BYTES_DEFAULT: usize = 4 << 20;
/// Instances of one filter at a time.
pub const INSTANCES_MAX: usize = 64;
/// Instances of all filters at a time.
pub const INSTANCES_TOTAL: u32 = 512;
/// Core modules, memories and tables of one component: a guest's own module and what adapts its imports.
pub const PARTS_MAX: u32 = 8;
/// Bytes of a core module that goes by the core path too. What is larger is an interpreter, which spends its time in itself, and takes long to
/// compile a second time.
pub const CORE_BYTES_MAX: usize = 768 << 10;
/// Instances of one filter that a thread keeps for the next request.
pub const IDLE_MAX: usize = 4;
/// Stack of a fiber, that of the guest ([`crate::limits::STACK_BYTES_MAX`]) and host functions on it.
pub const FIBER_BYTES: usize = 512 << 10;
/// Bytes of the structures that describe an instance.
pub const STRUCTURES_BYTES_MAX: usize = 256 << 10;
/// Bytes that a guest hands to the host in one call of either side.
pub const HANDED_BYTES_MAX: usize = 4 << 20;
/// Changes by one call.
pub const CHANGES_MAX: usize = 64;
/// Bytes of a field name.
pub const NAME_BYTES_MAX: usize = 256;
/// Bytes of a field value, and of a target.
pub const VALUE_BYTES_MAX: usize = 8 << 10;
/// Bytes kept for later points of a request.
pub const KEPT_BYTES_MAX: usize = 1 << 10;
/// Bytes of a reply's body.
pub const REPLY_BYTES_MAX: usize = 1 << 20;
/// Bytes of a body that are handed to a guest at a time.
pub const PIECE_BYTES_MAX: usize = 64 << 10;
/// Bytes that come out for one piece.
pub const OUT_BYTES_MAX: usize = 1 << 20;
/// Bytes held between two pieces.
pub const HELD_BYTES_MAX: usize = 64 << 10;
/// Bytes of a key in the store.
pub const KEY_BYTES_MAX: usize = 256;
/// Bytes of a value in the store.
pub const STORED_BYTES_MAX: usize = 16 << 10;
/// Bytes that an entry of the store is charged beside its key and value.
pub const ENTRY_BYTES: usize = 128;
/// Bytes of a store that an operator may grant.
pub const STORE_BYTES_MAX: usize = 1 << 30;

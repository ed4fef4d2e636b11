//! Named bounds on services, beside those of all guests in [`crate::limits`] and those of components in [`crate::filter::limits`].

use std::time::Duration;

/// Time a guest may compute between two operations that moved bytes, when the operator says nothing, ms.
pub const DEADLINE_MS_DEFAULT: u64 = 50;
/// Instances, which is connections, of all services at a time.
pub const CONNECTIONS_TOTAL: u32 = 4096;
/// Bytes of one `read` or `write`.
pub const MOVED_BYTES_MAX: usize = 64 << 10;
/// Answers to one datagram.
pub const ANSWERS_MAX: usize = 8;
/// Handling a datagram, with all that it waits for.
pub const DATAGRAM_TIME_MAX: Duration = Duration::from_secs(30);
/// Commits of all datagrams of a plugin in a second.
pub const COMMITS_PER_SECOND: u64 = 64;
/// Bytes of a datagram: what IPv4 has room for.
pub const DATAGRAM_BYTES_MAX: usize = 65_507;
/// Bytes of a line, its line feed counted, and what is read ahead of a guest.
pub const AHEAD_BYTES_MAX: usize = 16 << 10;
/// Room for what is read ahead, at first: the most lines are short.
pub const AHEAD_BYTES_MIN: usize = 2 << 10;
/// Connections that an instance may have made and not closed.
pub const DIALLED_MAX: usize = 8;
/// The same of all instances of a plugin.
pub const DIALLED_TOTAL: usize = 256;
/// Clients whose faults are remembered; the one whose last fault is oldest goes first.
pub const CULPRITS_MAX: usize = 4096;

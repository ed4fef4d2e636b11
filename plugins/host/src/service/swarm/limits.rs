//! Named bounds on swarms, beside those of all services in [`crate::service::limits`].

use std::time::Duration;

/// Time a guest may compute for one event, when the operator says nothing, ms.
pub const DEADLINE_MS_DEFAULT: u64 = 2;
/// Linear memory, when the operator says nothing.
pub const MEMORY_BYTES_DEFAULT: usize = 64 << 20;
/// Linear memory an operator may allow.
pub const MEMORY_BYTES_MAX: usize = 256 << 20;
/// Swarms of a node: each has one instance, and for a moment of a reload two.
pub const SWARMS_MAX: usize = 16;
/// Instances of all of them at a time.
pub const INSTANCES_TOTAL: u32 = 2 * SWARMS_MAX as u32;
/// Connections of a swarm that an operator may allow.
pub const CONNECTIONS_MAX: usize = 65_536;
/// Timers that are set.
pub const TIMERS_MAX: usize = 1024;
/// Contents that are held.
pub const CONTENTS_MAX: usize = 256;
/// Bytes of a URL that is looked up.
pub const URL_BYTES_MAX: usize = 8 << 10;
/// Sums that are under way.
pub const DIGESTS_MAX: usize = 16;
/// Bytes that are summed up at once.
pub const DIGESTED_BYTES_MAX: u32 = 64 << 20;
/// Bytes queued for a connection.
pub const QUEUED_BYTES_MAX: usize = 256 << 10;
/// Bytes queued for all connections of a swarm.
pub const QUEUED_TOTAL_BYTES_MAX: usize = 64 << 20;
/// Parts of contents queued for a connection.
pub const SPLICES_MAX: usize = 64;
/// Bytes read from a connection and handed on at a time.
pub const READ_BYTES_MAX: usize = 16 << 10;
/// Events of connections that wait; further ones keep their connections from being read.
pub const EVENTS_MAX: usize = 256;
/// Datagrams that wait.
pub const DATAGRAMS_MAX: usize = 1024;
/// Bytes of them.
pub const DATAGRAMS_BYTES_MAX: usize = 4 << 20;
/// Bytes that one instance hands to the next.
pub const HANDOFF_BYTES_MAX: usize = 1 << 20;
/// Bytes of answers that a prefix may have saved up.
pub const CREDIT_BYTES_MAX: u64 = 64 << 10;
/// Prefixes whose datagrams are remembered; the one that was heard of least lately goes first.
pub const PREFIXES_MAX: usize = 16_384;
/// Bytes of a datagram that nobody asked for.
pub const ASKED_BYTES_MAX: usize = 1400;
/// Such datagrams to one prefix: at once, and each second.
pub const ASKS_OF_PREFIX: (f64, f64) = (16.0, 4.0);
/// The same to all of them.
pub const ASKS_OF_ALL: (f64, f64) = (256.0, 64.0);
/// Time that a guest may have computed ahead of its share, as a part of a second of that share.
pub const AHEAD: Duration = Duration::from_millis(250);
/// How long a swarm that failed waits before the next instance; doubled each time.
pub const BACKOFF_MIN: Duration = Duration::from_secs(1);
/// The longest such wait.
pub const BACKOFF_MAX: Duration = Duration::from_secs(300);
/// One that lived for so long begins anew.
pub const HEALTHY: Duration = Duration::from_secs(600);
/// Requests by HTTP that are under way.
pub const ASKED_MAX: usize = 16;

//! Named bounds on requests that plugins make.

/// Entries of one list.
pub const ORIGINS_MAX: usize = 256;
/// How long all requests of one call may take together, when the operator says nothing, ms.
pub const TIMEOUT_MS_DEFAULT: u64 = 2_000;
/// How long an operator may allow, ms.
pub const TIMEOUT_MS_MAX: u64 = 30_000;
/// Bytes of a body in either direction, when the operator says nothing.
pub const BODY_BYTES_DEFAULT: usize = 64 << 10;
/// Bytes an operator may allow.
pub const BODY_BYTES_MAX: usize = 1 << 20;
/// Requests of one call of a filter, or for one datagram.
pub const REQUESTS_MAX: usize = 8;
/// Requests under way of all instances of a plugin.
pub const REQUESTS_TOTAL: usize = 256;
/// Fields of a request or response.
pub const FIELDS_MAX: usize = 64;
/// Bytes of all of them, names and values.
pub const FIELDS_BYTES_MAX: usize = 16 << 10;
/// Bytes of a method.
pub const METHOD_BYTES_MAX: usize = 32;
/// Bytes of a URL.
pub const URL_BYTES_MAX: usize = 8 << 10;

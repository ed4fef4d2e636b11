//! Connections that a service makes itself: [`Outbound`], which [`Connection::dial`](crate::service::Connection::dial) gives.
//!
//! The operator grants whom (`dial` of the `[[plugin]]`). The contract in `plugins/wit/dial.wit` says what is allowed. In native tests,
//! [`sketch::Far`] is who is dialled.

use crate::service::Trouble;

pub mod sketch;

/// When TLS begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Security {
    /// Not at all.
    Plain,
    /// At once.
    Tls,
    /// When [`Outbound::start_tls`] is called.
    Starttls,
}

/// Why there is no connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refused {
    /// The operator's list does not name it, or its addresses are not public and not listed.
    NotGranted,
    /// Nobody knows the name.
    NotFound,
    /// No address of it can be connected to.
    Unreachable,
    /// It took too long.
    Timeout,
    /// As many as there may be are open.
    TooMany,
    /// The handshake failed.
    Tls,
}

impl std::fmt::Display for Refused {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::NotGranted => "it may not be dialled",
            Self::NotFound => "nobody knows the name",
            Self::Unreachable => "it cannot be connected to",
            Self::Timeout => "it took too long",
            Self::TooMany => "too many connections are open",
            Self::Tls => "the handshake failed",
        })
    }
}

impl std::error::Error for Refused {}

/// A connection to somebody else; closed when it is dropped. Its methods do what those of [`Connection`](crate::service::Connection) do.
#[allow(clippy::missing_errors_doc, reason = "as the contract says")]
pub trait Outbound {
    /// Who is at the other end: address and port.
    fn peer(&self) -> (String, u16);
    /// Whether it is under TLS.
    fn secure(&self) -> bool;
    /// Waits for 1 to `max` bytes (at most 64 KiB); none at the end.
    fn read(&mut self, max: usize) -> Result<Vec<u8>, Trouble>;
    /// Waits for a line of at most `max` bytes (at most 16 KiB), its line feed included; `None` at the end.
    fn read_line(&mut self, max: usize) -> Result<Option<Vec<u8>>, Trouble>;
    /// Writes all of it, in pieces that the host takes.
    fn write(&mut self, data: &[u8]) -> Result<(), Trouble>;
    /// Finishes the side that is written to.
    fn finish(&mut self) -> Result<(), Trouble>;
    /// Shakes hands as a client. Nothing that came in plain is read after it.
    fn start_tls(&mut self) -> Result<(), Trouble>;
    /// From now on the other side may be silent for so long, ms, and no longer than the operator allows. 0: as the operator says.
    fn idle_limit(&mut self, ms: u32);
}

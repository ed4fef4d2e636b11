//! Connections that a plugin makes itself: [`Outbound`], which [`Connection::dial`](crate::service::Connection::dial) gives, and
//! [`Exchange::dial`](crate::filter::Exchange::dial).
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

/// Binds dialling to the host, inside what the export macros make: the function `dialled`, and what the bindings of connections need.
#[doc(hidden)]
#[macro_export]
macro_rules! bind_dial {
    () => {
        struct Far(littoral::plugin::dial::Outbound);

        fn trouble(told: littoral::plugin::connection::Trouble) -> $crate::service::Trouble {
            use littoral::plugin::connection::Trouble;
            match told {
                Trouble::Closed => $crate::service::Trouble::Closed,
                Trouble::Timeout => $crate::service::Trouble::Timeout,
                Trouble::TooLong => $crate::service::Trouble::TooLong,
                Trouble::Tls => $crate::service::Trouble::Tls,
                Trouble::Ending => $crate::service::Trouble::Ending,
            }
        }

        fn bounded(max: usize) -> u32 {
            u32::try_from(max).unwrap_or(u32::MAX)
        }

        fn dialled(host: &str, port: u16, security: $crate::dial::Security) -> Result<Far, $crate::dial::Refused> {
            use littoral::plugin::dial::{Refusal, Security, open};
            let security = match security {
                $crate::dial::Security::Plain => Security::Plain,
                $crate::dial::Security::Tls => Security::Tls,
                $crate::dial::Security::Starttls => Security::Starttls,
            };
            open(host, port, security).map(Far).map_err(|told| match told {
                Refusal::NotGranted => $crate::dial::Refused::NotGranted,
                Refusal::NotFound => $crate::dial::Refused::NotFound,
                Refusal::Unreachable => $crate::dial::Refused::Unreachable,
                Refusal::Timeout => $crate::dial::Refused::Timeout,
                Refusal::TooMany => $crate::dial::Refused::TooMany,
                Refusal::Tls => $crate::dial::Refused::Tls,
            })
        }

        impl $crate::dial::Outbound for Far {
            fn peer(&self) -> (String, u16) {
                let peer = self.0.peer();
                (peer.address, peer.port)
            }
            fn secure(&self) -> bool {
                self.0.secure()
            }
            fn read(&mut self, max: usize) -> Result<Vec<u8>, $crate::service::Trouble> {
                self.0.read(bounded(max)).map_err(trouble)
            }
            fn read_line(&mut self, max: usize) -> Result<Option<Vec<u8>>, $crate::service::Trouble> {
                let line = self.0.read_line(bounded(max)).map_err(trouble)?;
                Ok((!line.is_empty()).then_some(line))
            }
            fn write(&mut self, data: &[u8]) -> Result<(), $crate::service::Trouble> {
                let mut pieces = data.chunks($crate::service::MOVED_BYTES_MAX);
                pieces.try_for_each(|piece| self.0.write(piece).map_err(trouble))
            }
            fn finish(&mut self) -> Result<(), $crate::service::Trouble> {
                self.0.finish().map_err(trouble)
            }
            fn start_tls(&mut self) -> Result<(), $crate::service::Trouble> {
                self.0.start_tls().map_err(trouble)
            }
            fn idle_limit(&mut self, ms: u32) {
                self.0.idle_limit(ms);
            }
        }
    };
}

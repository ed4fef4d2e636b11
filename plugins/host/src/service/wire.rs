//! What is below a connection: the socket, TLS and time-outs, which the caller brings.

use std::future::Future;
use std::net::SocketAddr;
use std::pin::Pin;
use std::time::Duration;

use super::outbound::DialSpec;

/// Why an operation did not do what it was asked; as the contract has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trouble {
    /// The connection is gone.
    Closed,
    /// The peer was silent, or did not take what was written, for too long.
    Timeout,
    /// The handshake failed, or there is no TLS to start.
    Tls,
    /// The connection is to end soon. Told once; it goes on.
    Ending,
}

impl Trouble {
    /// Labels of all kinds.
    pub const KINDS: [&'static str; 4] = ["closed", "timeout", "tls", "ending"];

    /// Whether the connection goes on.
    pub(super) fn is_survived(self) -> bool {
        self == Self::Ending
    }
}

/// When TLS begins on a connection that is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Security {
    /// Not at all.
    Plain,
    /// At once.
    Tls,
    /// When [`Wire::start_tls`] is called.
    Starttls,
}

/// Who is to be dialled.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    /// A name in the spelling of [`super::reach::name`], which is listed for the port, or an address as text.
    pub host: String,
    /// The port.
    pub port: u16,
    /// When TLS begins.
    pub security: Security,
}

/// Why there is no connection; as the contract has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refused {
    /// It is not listed.
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

impl Refused {
    /// Labels of all kinds, in the order of the variants, and the one of success.
    pub const KINDS: [&'static str; 7] =
        ["not-granted", "not-found", "unreachable", "timeout", "too-many", "tls", "connected"];
    /// The place of that one.
    pub(super) const CONNECTED: usize = 6;
}

/// A connection that is being made.
pub type Dialling<'a> = Pin<Box<dyn Future<Output = Result<Box<dyn Wire>, Refused>> + Send + 'a>>;

/// An operation that may wait.
pub type Step<'a, T> = Pin<Box<dyn Future<Output = Result<T, Trouble>> + Send + 'a>>;

/// A connection as the caller has it. One operation is under way at a time; one that was dropped is never followed by another.
pub trait Wire: Send {
    /// Whose it is.
    fn peer(&self) -> SocketAddr;
    /// Whether it is under TLS.
    fn is_secure(&self) -> bool;
    /// Whether [`Self::start_tls`] may be called.
    fn may_start_tls(&self) -> bool;
    /// Reads some bytes; 0 at the end of the peer's side. `silence` is how long it may take, where that is less than the caller's own bound.
    /// It keeps no bytes back: what is not returned is still with the kernel, or under TLS.
    fn read<'a>(&'a mut self, into: &'a mut [u8], silence: Option<Duration>) -> Step<'a, usize>;
    /// Writes all of it.
    fn write<'a>(&'a mut self, bytes: &'a [u8]) -> Step<'a, ()>;
    /// Finishes the side that is written to.
    fn finish(&mut self) -> Step<'_, ()>;
    /// Shakes hands over whatever comes next.
    fn start_tls(&mut self) -> Step<'_, ()>;
    /// Waits, for at most as long as the peer may be silent.
    fn sleep(&mut self, time: Duration) -> Step<'_, ()>;
    /// Makes another connection, for whom this one is served by. An address that it leads to must be one that `granted` permits
    /// ([`super::reach`]).
    fn dial<'a>(&'a mut self, target: Target, granted: &'a DialSpec) -> Dialling<'a>;
    /// Ends it so that the peer gets what was written last. The last operation.
    fn close(&mut self) -> Step<'_, ()>;
}

/// No connection, and none is made: for whoever only wants to see whether a guest starts.
#[derive(Debug)]
pub struct Nowhere;

impl Wire for Nowhere {
    fn peer(&self) -> SocketAddr {
        SocketAddr::from(([0, 0, 0, 0], 0))
    }

    fn is_secure(&self) -> bool {
        false
    }

    fn may_start_tls(&self) -> bool {
        false
    }

    fn read<'a>(&'a mut self, _into: &'a mut [u8], _silence: Option<Duration>) -> Step<'a, usize> {
        Box::pin(async { Err(Trouble::Closed) })
    }

    fn write<'a>(&'a mut self, _bytes: &'a [u8]) -> Step<'a, ()> {
        Box::pin(async { Err(Trouble::Closed) })
    }

    fn finish(&mut self) -> Step<'_, ()> {
        Box::pin(async { Err(Trouble::Closed) })
    }

    fn start_tls(&mut self) -> Step<'_, ()> {
        Box::pin(async { Err(Trouble::Tls) })
    }

    fn sleep(&mut self, _time: Duration) -> Step<'_, ()> {
        Box::pin(async { Err(Trouble::Closed) })
    }

    fn dial<'a>(&'a mut self, _target: Target, _granted: &'a DialSpec) -> Dialling<'a> {
        Box::pin(async { Err(Refused::Unreachable) })
    }

    fn close(&mut self) -> Step<'_, ()> {
        Box::pin(async { Ok(()) })
    }
}

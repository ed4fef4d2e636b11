//! What a swarm asks of whoever drives it.

use std::net::SocketAddr;
use std::time::Duration;

use super::digest::Algorithm;
use crate::fetch::Fetching;
use crate::service::Target;

/// Why something is not begun; as the contract has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// It is not listed.
    NotGranted,
    /// As many as there may be are there.
    TooMany,
    /// The content is not there any more, or not so much of it.
    Gone,
}

/// Why bytes of a content are not sent; as the contract has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unsent {
    /// The queue is full.
    Full,
    /// The connection is over.
    Closed,
    /// The content is not there any more.
    Gone,
    /// There is not so much of it.
    TooFar,
}

/// What a swarm asks for, of whoever drives it. No call waits; what comes of it is an [`Event`](super::Event). Numbers are the guest's: any
/// may come.
pub trait Outside: Send {
    /// Queues bytes for a connection; how many of them.
    fn send(&mut self, connection: u32, data: Vec<u8>) -> u32;
    /// Queues bytes of a content for a connection.
    ///
    /// # Errors
    /// Why it does not.
    fn splice(&mut self, connection: u32, content: u32, at: u64, length: u32) -> Result<(), Unsent>;
    /// Closes a connection when what is queued was sent.
    fn close(&mut self, connection: u32);
    /// Connects to whom the guest was granted; addresses that a name stands for are still to be judged.
    ///
    /// # Errors
    /// Why it does not.
    fn dial(&mut self, target: Target) -> Result<u32, Refusal>;
    /// Sends a datagram, if it may: `is_listed` says whether the address may be asked if it is public, and whether if it is not.
    fn send_to(&mut self, to: SocketAddr, data: &[u8], is_listed: (bool, bool)) -> bool;
    /// Sets a timer; whether it is set.
    fn set_timer(&mut self, id: u32, after: Duration) -> bool;
    /// Forgets one.
    fn cancel_timer(&mut self, id: u32);
    /// Looks up a URL, which is at most [`URL_BYTES_MAX`](super::limits::URL_BYTES_MAX) long.
    ///
    /// # Errors
    /// Why it does not.
    fn find(&mut self, url: &str) -> Result<u32, Refusal>;
    /// Forgets a content.
    fn release(&mut self, content: u32);
    /// Sums up bytes of a content.
    ///
    /// # Errors
    /// Why it does not.
    fn digest(&mut self, content: u32, at: u64, length: u32, algorithm: Algorithm) -> Result<u32, Refusal>;
    /// Waits for what comes of a request; its number. `None`: as many as there may be are under way.
    fn await_answer(&mut self, fetching: Fetching) -> Option<u32>;
}

/// Nothing is outside: for whoever only wants to see whether a guest starts.
pub(super) struct Nowhere;

impl Outside for Nowhere {
    fn send(&mut self, _connection: u32, _data: Vec<u8>) -> u32 {
        0
    }

    fn splice(&mut self, _connection: u32, _content: u32, _at: u64, _length: u32) -> Result<(), Unsent> {
        Err(Unsent::Closed)
    }

    fn close(&mut self, _connection: u32) {}

    fn dial(&mut self, _target: Target) -> Result<u32, Refusal> {
        Err(Refusal::TooMany)
    }

    fn send_to(&mut self, _to: SocketAddr, _data: &[u8], _is_listed: (bool, bool)) -> bool {
        false
    }

    fn set_timer(&mut self, _id: u32, _after: Duration) -> bool {
        true
    }

    fn cancel_timer(&mut self, _id: u32) {}

    fn find(&mut self, _url: &str) -> Result<u32, Refusal> {
        Err(Refusal::TooMany)
    }

    fn release(&mut self, _content: u32) {}

    fn digest(&mut self, _content: u32, _at: u64, _length: u32, _algorithm: Algorithm) -> Result<u32, Refusal> {
        Err(Refusal::Gone)
    }

    fn await_answer(&mut self, _fetching: Fetching) -> Option<u32> {
        None
    }
}

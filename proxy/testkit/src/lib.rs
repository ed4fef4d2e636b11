//! For tests only: an origin that can be told to misbehave, a client that can misbehave itself, nodes as real processes, a
//! builder of MMDB files, certificates and metric deltas.
//!
//! Nothing here sleeps: what has to be waited for is a line, a byte or a gate.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on says so by panicking")]

pub mod client;
pub mod h2;
pub mod mmdb;
pub mod nats;
pub mod node;
pub mod origin;
pub mod outsider;
pub mod pebble;
pub mod recorder;
pub mod s3;
pub mod tls;

/// How long something is waited for that a test cannot go on without: longer than any busy machine takes, so that what never comes
/// fails the test and does not hang it.
pub const PATIENCE: std::time::Duration = std::time::Duration::from_secs(60);

pub use client::{Client, Reply};
pub use node::{Node, refused};
pub use origin::{Body, Gate, Origin, Request, Response};

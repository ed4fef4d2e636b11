//! The DNS side from outside: over sockets.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on says so by panicking")]

mod dns;
mod world;

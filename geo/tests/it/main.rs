//! The DNS side from outside: over sockets and with bytes that are no message at all.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on says so by panicking")]

mod copies;
mod dns;
mod dnssec;
mod ecs;
mod edns;
mod hot;
mod https;
mod incoming;
mod millions;
mod packets;
mod properties;
mod reloads;
mod resolver;
mod tcp;
mod tls;
mod unbound;
mod updates;
mod world;

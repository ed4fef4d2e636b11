//! Services: components that each serve one connection, on fibers, with an instance for every connection; or that answer datagrams
//! ([`Handler`]); or of which one instance has all connections of a listener ([`swarm`]).
//!
//! Loading is [`ServiceHost`]'s, serving [`Service`]'s; what is below a connection (sockets, TLS, time-outs) is the caller's [`Wire`]. Who is
//! accepted where, is the caller's too. Invariants: a guest computes for no longer than its deadline from one operation that moved bytes to the
//! next; no byte that came in plain is read after TLS began; what one instance does is felt by no other connection.

mod bindings;
mod connection;
mod culprits;
mod datagrams;
mod guest;
mod host;
mod instance;
pub mod limits;
pub(crate) mod outbound;
mod plugin;
mod rate;
pub mod reach;
mod status;
pub mod swarm;
mod ticks;
pub(crate) mod time;
pub(crate) mod vectors;
mod wire;

pub use crate::durable::{DurableHeld, DurableSpec, Refusal, limits as durable_limits};
#[doc(hidden)]
pub use connection::{Fuzzed, NoLine};
pub use datagrams::{Handler, Wires};
pub(crate) use host::try_out;
pub use host::{ServiceHost, ServiceSpec};
pub use outbound::DialSpec;
pub(crate) use outbound::{Dialer, Dialled, Dials, OfDialer};
pub use plugin::{Prepared, Service};
pub(crate) use rate::Rate;
pub use status::{DialledStatus, Outcome, ServiceStatus};
pub use vectors::run::{Conversation, Spoken};
pub use wire::{Dialling, Nowhere, Refused, Security, Step, Target, Trouble, Wire};

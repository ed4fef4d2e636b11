//! Swarms: components of which one instance has all connections and datagrams of a listener, and is told of one event after another.
//!
//! A swarm is loaded, reloaded and judged as any service ([`super::Service`]); here is its instance ([`Actor`]), what it asks of whoever
//! drives it ([`Outside`]), and the rules that bound it whatever it asks. Sockets, timers and the cache are the driver's. Invariants: an
//! instance that has failed is never asked again; nothing it asks for waits; what goes out by UDP is bounded by what came in, or by a rate.

mod actor;
mod bindings;
mod calls;
mod content;
mod digest;
mod figures;
pub mod limits;
mod outside;
mod pace;
mod quota;

pub use actor::{Actor, Event, Failed};
pub(super) use actor::{Instance, try_one};
pub(super) use bindings::littoral::plugin::{swarm_fetch, swarm_host};
pub(super) use calls::Calls;
pub use content::{CONTENT_MAX, Content};
pub use digest::{Algorithm, Summing};
pub use figures::{SwarmFigures, SwarmStatus};
pub use outside::{Outside, Refusal, Unsent};
pub use pace::{Allowance, Backoff};
pub use quota::Quotas;

//! Filters: components that see requests and responses of sites, on fibers or by the core path, with pooled instances.
//!
//! Loading is [`FilterHost`]'s, calling [`Filter`]'s. Which filters a request has, and what becomes of it when one fails, is the
//! caller's. Invariants: a call ends by its deadline; what it changed is checked, and is nothing if it failed.

mod answers;
pub(crate) mod bench;
pub(crate) mod bindings;
mod body;
mod fault;
mod flat;
mod guest;
mod host;
mod instance;
pub mod limits;
mod message;
mod outside;
mod plugin;
mod script;
mod status;
pub(crate) mod vectors;

pub use crate::store::Held;
pub(crate) use answers::{Scripted, Told, granted};
pub use body::Rewriter;
pub(crate) use fault::Failure;
pub use fault::Fault;
pub use guest::Point;
pub use host::{FilterHost, FilterSpec};
pub(crate) use host::{generation, try_out};
pub use message::{Change, Changes, Exchange, Reply};
pub(crate) use message::{own_name, target, value};
pub use plugin::{Called, Filter, Kept, Planned, Verdict};
pub use status::FilterStatus;

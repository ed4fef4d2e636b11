//! The plugin host: loads Wasm policies, limits them, calls them and replaces them. The only crate that names wasmtime.
//!
//! The contract is WIT (`plugins/wit`), files are components, but a policy's core module is linked directly with the flat
//! signatures that the canonical ABI gives its functions: a call then costs tens of nanoseconds. Each thread has its own
//! warm instance of each plugin; a call takes no lock.
//!
//! Filters ([`filter`]) are called less often and need more: they take the component runtime, on fibers, with an engine of
//! their own; so do services ([`service`]), which wait for the peers of their connections.
//!
//! Invariants: a guest cannot make the host panic, hang or hold more than its memory; every answer is checked before it is
//! returned; what fails is a [`Fault`] for the caller's native policy to make good.

mod ambient;
mod artifact;
mod asked;
pub mod author;
mod bounds;
mod breaker;
pub mod compile;
mod component;
mod contract;
mod directory;
mod durable;
mod engine;
pub mod fetch;
pub mod filter;
#[doc(hidden)]
pub mod fuzzing;
mod generations;
mod instance;
mod keeper;
pub mod limits;
mod plugin;
mod query;
pub mod question;
mod record;
mod rollout;
mod runtime;
pub mod service;
pub mod signature;
mod status;
mod store;
pub mod tick;
pub mod total;
mod trace;
mod turn;
pub mod types;
pub mod vectors;
mod within;

pub use asked::{Asked, Capability, Limits};
pub use bounds::Place;
pub use component::{Interface, Role, is_filter, is_service, role};
pub use engine::{Host, HostSettings, LoadError, PluginSpec};
pub use generations::GenerationStatus;
pub use keeper::Keeper;
pub use plugin::{Planned, Plugin};
pub use question::{Question, Reply, Snapshot};
pub use record::{RecordSpec, Recorded};
pub use rollout::{Rollout, RolloutState, Share, Told, who};
pub use status::{Dropped, Grants, State, Status};
pub use types::{Answer, Ask, Choice, ClusterRow, Event, Fault, Flow, Measured, Object, Term, Verdict, What};

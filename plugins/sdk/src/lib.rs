//! What the author of a plugin depends on: a trait for each world, macros that export it, the operator's config as a type, and what a
//! native test needs.
//!
//! | world | trait | export | native tests |
//! |---|---|---|---|
//! | `routing-policy` | [`policy::Routing`] | [`export_policy!`] | [`policy::sketch::Seat`] |
//! | `rate-policy` | [`policy::Rate`] | [`export_policy!`] | [`policy::sketch::Seat`] |
//! | `cache-policy` | [`policy::Cache`] | [`export_policy!`] | [`policy::sketch::Seat`] |
//! | `cache-exact-policy` | [`policy::Exact`] | [`export_policy!`] | its own |
//! | `http-filter` | [`filter::Filter`] | [`export_filter!`] | [`filter::sketch::Sketch`] |
//! | `stream-service` | [`service::Service`] | [`export_service!`] | [`service::sketch::Sketch`] |
//! | `datagram-service` | [`datagrams::Datagrams`] | [`export_datagrams!`] | [`datagrams::sketch::Sketch`] |
//! | `swarm-service` | [`swarm::Swarm`] | [`export_swarm!`] | [`swarm::sketch::Sketch`] |
//!
//! A service has more where the operator grants it: what it keeps on disk ([`durable`]), whom it dials ([`dial`]). Filters and services ask others by HTTP
//! ([`fetch`](mod@fetch)), where the operator grants whom, and do by themselves what they do at times that they say ([`timer`]).
//!
//! Each takes the operator's `config` table in its `new`, as JSON: [`config`](config()) makes a type of it. [`info!`] and its like write to
//! the node's log, [`env::count`] counts. What a trait does not offer is there all the same: [`wit_bindgen`] generates the bindings of a world.
//!
//! Build with `littoral plugin build DIRECTORY`; try with `littoral plugin check FILE` and `littoral plugin test FILE`.
//!
//! Guests allocate with [`memory::Blocks`]; a guest that brings an allocator of its own turns the feature `allocator` off.

mod config;
pub mod datagrams;
pub mod dial;
pub mod durable;
pub mod env;
pub mod fetch;
pub mod filter;
pub mod memory;
pub mod policy;
pub mod service;
pub mod swarm;
pub mod timer;

pub use config::{config, no_config};
pub use wit_bindgen;

#[cfg(all(target_arch = "wasm32", feature = "allocator"))]
#[global_allocator]
static BLOCKS: memory::Blocks<memory::Linear> = memory::Blocks::new(memory::Linear);

/// What the author exports, under a name that nothing else in what the export macros make has: names of theirs would stand before the author's.
#[doc(hidden)]
#[macro_export]
macro_rules! bind_author {
    ($author:ty) => {
        mod author {
            #[allow(unused_imports, reason = "the type may be named by a path of its own")]
            use super::super::*;
            pub(super) type __Author = $author;
        }
    };
}

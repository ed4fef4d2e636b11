//! Where clients go: authoritative DNS, geo-IP, coverage zones and the choice of a cluster.
//!
//! [`Director`] is the pure middle: it answers "which cluster for this client and this name, and for how large a part of
//! the network does that hold" and knows nothing of packets. [`server`] speaks DNS, [`stub`] asks it. Probing clusters for
//! health is the caller's; the director is told.
//!
//! Invariant: two clients inside one returned scope prefix get the same clusters while cluster states and round-trip times do not change.

mod accept;
pub mod address;
pub mod answer;
pub mod copies;
pub mod counters;
mod countries;
pub mod coverage;
pub mod database;
pub mod director;
pub mod dnssec;
pub mod limits;
pub mod map;
pub mod peers;
mod price;
pub mod resolver;
pub mod routing;
pub mod rtt;
pub mod server;
pub mod stub;
pub mod tsig;
mod wire;
pub mod zone;

pub use counters::Counters;
pub use director::{
    Candidate, Cluster, ClusterView, Decision, Director, Explanation, Filtered, GeoConfig, GeoError, MapView, Matched,
    Node, Override, Reread, RttView, Service, Steered, Unreread, ZoneSource,
};
pub use routing::{Choice, ClusterRow, Flow, NONE, NativeGeo, Routing, Term};

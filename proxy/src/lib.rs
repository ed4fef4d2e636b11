//! Littoral: the composition root. It wires the cache, the DNS side, the plugin host and the manifests to the proxy
//! framework, and is the only crate that names it.
//!
//! Where to start reading: [`run`] puts a node together; [`hits`] and [`request`] are the way of a request; [`directing`]
//! that of a DNS query; [`forward`] is the explicit proxy; [`services`] has the connections that plugins serve; [`plugins`] adapts guests to the traits their consumers own; [`warm`] runs warm jobs; [`control`] hears of other nodes; [`admin`]
//! is the control side; [`demo`] and [`play`] are commands of their own.

pub mod acme;
pub mod admin;
mod asking;
pub mod cached;
pub mod cli;
pub mod clock;
pub mod config;
pub mod control;
pub mod dashboard;
pub mod demo;
pub mod directing;
pub mod disks;
mod dot;
pub mod drains;
mod fetch;
pub mod fileserver;
pub mod filters;
pub mod forward;
pub mod handover;
pub mod hits;
pub mod itself;
mod kept;
pub mod listen;
pub mod node;
pub mod observe;
pub mod origin;
pub mod play;
pub mod plugins;
pub mod probes;
pub mod purge;
pub mod rate;
pub mod reload;
pub mod replay;
pub mod request;
pub mod rescue;
pub mod resolving;
pub mod rtt;
pub mod run;
pub mod services;
pub mod site;
pub mod standing;
pub mod storage;
pub mod swarm;
mod ticks;
pub mod top;
pub mod upgrade;
pub mod video;
pub mod warm;

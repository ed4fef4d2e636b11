//! Measures littoral beside other engines on one machine: the same objects, the same load, the same two cores.
//!
//! `compare` runs the comparison, `dns` that of the DNS side, `plugins` what plugins cost, `soak` a load of minutes, `restart` the start after a crash, `origin` fills the caches, `report` renders what was measured and says
//! which mark was met; `abr` plays titles over network traces, without a network; `video` times the code that reads manifests and CMCD; `select` lets the director choose clusters in a generated world. The engines are started as an operator would start them, from configs written here; nothing of
//! littoral's own code is linked but the index of a disk, the host of plugins, the rules of `abr`, what `video` times and what decides in `select`, so that what is measured is the binary people run.
//!
//! Invariant: a round counts only if every answer was 2xx, sampled bodies were right, and the origin was asked exactly when it
//! should be.

pub mod abr;
pub mod case;
pub mod compare;
pub mod dns;
pub mod engine;
pub mod fetch;
pub mod load;
pub mod machine;
pub mod origin;
pub mod plugins;
pub mod report;
pub mod restart;
pub mod select;
pub mod soak;
pub mod tls;
pub mod video;
pub mod workload;

//! Measures littoral beside other engines on one machine: the same objects, the same load, the same two cores.
//!
//! `hits` runs the comparison, `origin` fills the caches, `report` renders what was measured. The engines are started as
//! an operator would start them, from configs written here; nothing of littoral's own code is linked, so that what is
//! measured is the binary people run.
//!
//! Invariant: a round counts only if every answer was 2xx, sampled bodies were right, and the origin was not asked.

pub mod engine;
pub mod fetch;
pub mod hits;
pub mod load;
pub mod machine;
pub mod origin;
pub mod report;

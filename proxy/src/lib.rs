//! (skeleton)
pub mod dashboard;
pub mod demo;
pub mod fileserver;

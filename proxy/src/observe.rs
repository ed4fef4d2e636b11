//! What the node tells of itself: figures and their exposition.

pub mod access;
mod downstream;
pub mod figures;
pub mod histograms;
pub mod metrics;

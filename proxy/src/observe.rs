//! What the node tells of itself: figures and their exposition.

mod downstream;
pub mod figures;
pub mod metrics;

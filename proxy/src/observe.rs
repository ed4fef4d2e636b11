//! What the node tells of itself: figures and their exposition.

pub mod access;
mod downstream;
pub mod figures;
pub mod histograms;
pub mod metrics;
pub mod trace;

/// A request of the framework's has ended: whoever wants to know is told.
pub(crate) fn tell(
    node: &crate::node::Node,
    session: &pingora::proxy::Session,
    ctx: &crate::request::context::Context,
    whole: bool,
) {
    if let Some(log) = node.access.log() {
        log.request(session, ctx, whole);
    }
    trace::tell(session, ctx);
}

//! Who a request is for: a site of this node, or the node itself, which answers it at once.

use std::sync::Arc;

use pingora::Result;
use pingora::proxy::Session;

use super::{cdn_loop, intake, respond, steer, target};
use crate::node::Node;
use crate::rescue;
use crate::site::Site;
use crate::video::reports;

/// The host a request names, as it is in keys, and its site; `None`: it was answered.
pub(super) async fn settle(
    session: &mut Session,
    node: &Arc<Node>,
    background: bool,
) -> Result<Option<(String, Arc<Site>)>> {
    let host = match target::settle(session.req_header_mut()) {
        Ok(host) => host,
        Err(why) => {
            rescue::refuse(session, 400, why).await?;
            return Ok(None);
        }
    };
    if respond::node_itself(session, node).await? || intake::refuses(session, node).await? {
        return Ok(None);
    }
    let passes = node.settings.load().limits.passes;
    if cdn_loop::passes(&session.req_header().headers, &node.name) > passes {
        node.figures.loops.add(1);
        let why = "the request has passed this node before: it goes round in circles";
        rescue::refuse(session, 508, why).await?;
        return Ok(None);
    }
    let Some(site) = node.sites.load().find(&host).cloned() else {
        let (status, why) = match host.is_empty() {
            true => (400, target::NO_HOST),
            false => (421, "no site of this node has this host"),
        };
        rescue::refuse(session, status, why).await?;
        return Ok(None);
    };
    if steer::answers(session, node, &site, &host, background).await? || reports::take(session, &site).await? {
        return Ok(None);
    }
    Ok(Some((host, site)))
}

//! The head of a request as filters and rate selection left it, for its revalidation in the background.
//!
//! The framework asks itself for what is stale with the bytes that an HTTP/1.1 client sent: what filters made of them would be lost, and
//! the response stored under another key than the one it was looked up by. The head goes along with what is known of the connection,
//! which the framework hands on as it is; where it would carry what a proxy between said, which no client's connection has. A session
//! of HTTP/2 is asked for its head, and says what became of it.
//! Invariant: what is asked for in the background is what was looked up.

use std::sync::Arc;

use http::StatusCode;
use littoral_plugin_host::filter::Point;
use pingora::http::{RequestHeader, ResponseHeader};
use pingora::protocols::raw_connect::ProxyDigest;
use pingora::proxy::Session;

use super::context::Context;
use crate::site::Site;

/// A request begins: what an earlier one of its connection carried is gone; what is asked for in the background takes the head of
/// the one that asks.
pub(super) fn take(session: &mut Session, background: bool) {
    // Looked at first: to change it may take a copy.
    if session.as_downstream().digest().is_none_or(|digest| digest.proxy_digest.is_none()) {
        return;
    }
    let carried = session.as_downstream_mut().digest_mut().and_then(|digest| digest.proxy_digest.take());
    let head = carried.as_ref().and_then(|carried| carried.user_data.as_ref()?.downcast_ref::<RequestHeader>());
    if let Some(head) = head.filter(|_| background) {
        *session.req_header_mut() = head.clone();
    }
}

/// A stale response is about to be revalidated in the background.
pub(super) fn give(session: &mut Session, ctx: &Context) {
    let changes = |site: &Arc<Site>| site.auto || site.filters.asks(Point::Request);
    if ctx.background
        || session.as_downstream().is_custom()
        || !session.cache.is_cache_lock_writer()
        || !ctx.site.as_ref().is_some_and(changes)
    {
        return;
    }
    let head: Box<RequestHeader> = Box::new(session.req_header().clone());
    let none = Box::new(ResponseHeader::build_no_case(StatusCode::OK, Some(0)).expect("invariant: 200 is a status"));
    if let Some(digest) = session.as_downstream_mut().digest_mut() {
        digest.proxy_digest = Some(Arc::new(ProxyDigest::new(none, Some(head))));
    }
}

//! Errors to responses: the only place that picks a status.
//!
//! An error before the response head becomes a small text response; one after it can only end the connection, which
//! tells the client that the body is not whole.

use http::HeaderValue;
use http::header::{RETRY_AFTER, VIA};
use pingora::proxy::{FailToProxy, Session};
use pingora::{Error, ErrorSource, ErrorType, Result};

use crate::node::Node;
use crate::request::context::Context;
use crate::request::respond::{CACHE_STATUS, own_with as respond_own_with};
use crate::request::{own_value, respond_own};

/// No origin has room for a request.
pub(crate) const BUSY: ErrorType = ErrorType::Custom("origin-busy");
/// A node of the shield said that it has no answer.
pub(crate) const SHIELD: ErrorType = ErrorType::Custom("shield-failed");
/// All who read a fill have left, and it is not fetched for nobody.
pub(crate) const UNREAD: ErrorType = ErrorType::Custom("fill-unread");
/// What is stored was confirmed, and is the answer.
pub(crate) const CONFIRMED: ErrorType = ErrorType::Custom("pieces-confirmed");
/// An origin has taken longer for its whole answer than was set.
pub(crate) const OVERDUE: ErrorType = ErrorType::Custom("origin-overdue");
/// A filter has failed that must not be gone past.
pub(crate) const FILTER: ErrorType = ErrorType::Custom("filter-failed");
/// Seconds after which to come back then.
const RETRY_AFTER_SECONDS: &str = "1";

/// In place of a status: nobody is there to be told one.
const CLIENT_LEFT: u16 = 0;

/// Refuses a request with `status`, saying why. Always `Ok(true)`: answered.
pub(crate) async fn refuse(session: &mut Session, status: u16, why: &str) -> Result<bool> {
    if status == 400 {
        session.set_keepalive(None);
    }
    respond_own(session, status, "text/plain", why).await
}

/// Answers a request that failed.
pub(crate) async fn answer(session: &mut Session, error: &Error, node: &Node, ctx: &Context) -> FailToProxy {
    let (status, why) = status_of(error);
    let origin = ctx.attempts.origin().map_or("", |origin| origin.host.as_str());
    if status == CLIENT_LEFT {
        tracing::debug!(host = ctx.host, error = %error, "the client left");
        return FailToProxy { error_code: status, can_reuse_downstream: false };
    }
    node.figures.failures.add(1);
    match *error.etype() == BUSY {
        // Counted by itself, and no line for each of very many.
        true => tracing::debug!(host = ctx.host, error = %error, "the origins are busy"),
        false => tracing::warn!(host = ctx.host, origin, status, error = %error, "request failed"),
    }
    if session.response_written().is_none() {
        session.set_keepalive(None);
        // The client may be gone; then there is nobody to tell.
        let _ = match *error.etype() == BUSY {
            true => respond_busy(session, why, node, ctx).await,
            false => respond_own(session, status, "text/plain", why).await,
        };
    }
    FailToProxy { error_code: status, can_reuse_downstream: false }
}

/// Says that the origins are busy, when to come back, and that it was not the cache that refused (RFC 9211 §2.8).
async fn respond_busy(session: &mut Session, why: &str, node: &Node, ctx: &Context) -> Result<bool> {
    let mut status = String::new();
    let outcome = ctx.outcome(session.cache.phase(), false);
    outcome.write_status(None, false, &mut status);
    status.push_str("; detail=origin-busy");
    let fields = [
        (RETRY_AFTER, HeaderValue::from_static(RETRY_AFTER_SECONDS)),
        (CACHE_STATUS, own_value(&status)),
        (VIA, node.via.clone()),
    ];
    respond_own_with(session, 503, "text/plain", why, fields).await
}

/// Whether an error is one that only says which way a request goes on: no origin failed.
pub(crate) fn is_of_ours(error: &Error) -> bool {
    *error.etype() == SHIELD || *error.etype() == CONFIRMED
}

/// The status for an error, and the sentence for the client. What breaks on reading or writing anything but an origin is
/// the client's connection, also where the framework does not say so (bodies from the cache).
pub(crate) fn status_of(error: &Error) -> (u16, &'static str) {
    use ErrorType::{
        ConnectTimedout, ConnectionClosed, HTTPStatus, ReadError, ReadTimedout, TLSHandshakeTimedout, WriteError,
        WriteTimedout,
    };
    match (error.esource(), error.etype()) {
        (_, busy) if *busy == BUSY => (503, "the origin is busy"),
        (_, filter) if *filter == FILTER => (503, "a filter of this site failed"),
        (_, unread) if *unread == UNREAD => (CLIENT_LEFT, ""),
        (_, overdue) if *overdue == OVERDUE => (504, "the origin did not answer in time"),
        // A client that stopped sending its body may still read.
        (ErrorSource::Downstream, ReadTimedout) => (408, "the request did not come in time"),
        (_, HTTPStatus(status)) => (*status, "the request cannot be answered"),
        (ErrorSource::Upstream, ConnectTimedout | ReadTimedout | WriteTimedout | TLSHandshakeTimedout) => {
            (504, "the origin did not answer in time")
        }
        (ErrorSource::Upstream, _) => (502, "the origin failed"),
        (_, ReadError | WriteError | ConnectionClosed | ReadTimedout | WriteTimedout) => (CLIENT_LEFT, ""),
        (ErrorSource::Downstream, _) => (400, "the request is not valid"),
        _ => (500, "this node failed"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slow_origin_is_a_504_a_broken_one_a_502_and_a_client_that_left_gets_nothing() {
        let status = |etype: ErrorType, source: ErrorSource| {
            let mut error = Error::new(etype);
            error.esource = source;
            status_of(&error).0
        };
        assert_eq!(status(ErrorType::ReadTimedout, ErrorSource::Upstream), 504);
        assert_eq!(status(ErrorType::ConnectTimedout, ErrorSource::Upstream), 504);
        assert_eq!(status(ErrorType::ConnectRefused, ErrorSource::Upstream), 502);
        assert_eq!(status(ErrorType::WriteError, ErrorSource::Downstream), CLIENT_LEFT);
        assert_eq!(status(ErrorType::ReadTimedout, ErrorSource::Downstream), 408);
        assert_eq!(status(ErrorType::WriteError, ErrorSource::Unset), CLIENT_LEFT);
        assert_eq!(status(ErrorType::WriteError, ErrorSource::Upstream), 502);
        assert_eq!(status(ErrorType::InvalidHTTPHeader, ErrorSource::Downstream), 400);
        assert_eq!(status(ErrorType::InternalError, ErrorSource::Internal), 500);
    }
}

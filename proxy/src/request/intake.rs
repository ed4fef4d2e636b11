//! How much of a request is taken in: the size of its body, and how fast it comes.
//!
//! Heads are bounded before ([`crate::hits`], [`crate::listen`]). Invariant: a body that breaks a bound is not passed on any
//! further, and the request ends with 413 or 408.

use bytes::Bytes;
use http::header::ALLOW;
use http::{HeaderValue, Method};
use pingora::proxy::Session;
use pingora::{Error, ErrorType, Result};

use super::context::Context;
use super::respond::{content_length, own_with};
use crate::config::Limits;
use crate::listen::h2::Upload;
use crate::node::Node;
use crate::observe::figures::Refused;
use crate::rescue;

/// What a 405 names (RFC 9110 §15.5.6): the usual ones; others are the origin's to refuse.
const METHODS: &str = "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS";

/// What holds for a request before anything of it is looked at.
pub(super) fn prepare(session: &mut Session, limits: &Limits) {
    // Interim responses are passed on as they are read (`respond::interim`), and then only.
    session.set_ignore_info_resp(true);
    session.set_write_timeout(Some(limits.write_timeout.0));
    session.set_read_timeout(Some(limits.body_timeout.0));
    // What is left of a body that nobody asked for is read for as long as a piece of it may take.
    session.set_total_drain_timeout(Some(limits.body_timeout.0));
}

/// Refuses what is not taken in at all: a body that is too long by what it states, and TRACE, which reflects what clients and proxies
/// on the way may have to keep to themselves (RFC 9110 §9.3.8). `true`: answered.
pub(super) async fn refuses(session: &mut Session, node: &Node) -> Result<bool> {
    if session.req_header().method == Method::TRACE {
        session.set_keepalive(None);
        let allow = [(ALLOW, HeaderValue::from_static(METHODS))];
        return own_with(session, 405, "text/plain", "TRACE is not answered here", allow).await;
    }
    if is_too_long(session, node) {
        session.set_keepalive(None);
        return rescue::refuse(session, 413, "the request body is larger than this node takes").await;
    }
    Ok(false)
}

/// Whether the length it states is too much already.
pub(super) fn is_too_long(session: &Session, node: &Node) -> bool {
    let most = node.settings.load().limits.body_bytes;
    let stated = content_length(&session.req_header().headers);
    let too_long = most.zip(stated).is_some_and(|(most, stated)| stated > most.0);
    if too_long {
        node.figures.refused(Refused::Body);
    }
    too_long
}

/// A piece of a body came.
///
/// # Errors
/// With the status, when it is too much or too slow.
pub(super) fn take(session: &Session, body: Option<&Bytes>, end: bool, node: &Node, ctx: &mut Context) -> Result<()> {
    let piece = body.map_or(0, Bytes::len);
    if let Some(upload) = session.req_header().extensions.get::<std::sync::Arc<Upload>>() {
        upload.note(piece, end);
    }
    if piece == 0 {
        return Ok(());
    }
    ctx.received += piece as u64;
    let settings = node.settings.load();
    let limits = &settings.limits;
    let elapsed = ctx.started.elapsed();
    let slow =
        elapsed > limits.body_timeout.0 && (ctx.received as f64) < limits.body_rate.0 as f64 * elapsed.as_secs_f64();
    let why = match limits.body_bytes {
        Some(most) if ctx.received > most.0 => Refused::Body,
        _ if slow => Refused::BodyTime,
        _ => return Ok(()),
    };
    node.figures.refused(why);
    Err(Error::explain(ErrorType::HTTPStatus(why.status()), "a request body breaks a limit").into_down())
}

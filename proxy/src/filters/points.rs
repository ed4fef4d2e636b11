//! The four points of a request at which a site's filters are called, and bodies on their way into the cache.
//!
//! What a filter may say is checked by its host. Here it is done: changes, a reply, another key, and what becomes of a request when
//! a filter fails. Invariants: a request that comes from this node itself passes `request`, `lookup` and `response` only once; the
//! node's own refusals pass no filter; a body that a filter has begun to rewrite has no stated length.

use bytes::Bytes;
use http::header::{ACCEPT_ENCODING, CONTENT_ENCODING, CONTENT_LENGTH};
use http::{Method, StatusCode, Version};
use littoral_plugin_host::filter::{Changes, Fault, Kept, Point, Reply, Rewriter, Verdict};
use pingora::http::{RequestHeader, ResponseHeader};
use pingora::proxy::Session;
use pingora::{Error, Result};

use super::lent::{Lent, change, field};
use crate::node::Node;
use crate::request::context::Context;
use crate::request::{compress, own_value, signed, target};
use crate::rescue;

const FAILED: &str = "a filter of this site failed";

/// What filters leave with a request.
#[derive(Debug, Default)]
pub(crate) struct Filtered {
    /// What each has kept, in the order of the chain.
    kept: Vec<Kept>,
    /// What it is looked up under.
    pub(crate) lookup: Option<String>,
    /// Those who rewrite the body, in the order it passes them.
    rewriters: Vec<Rewriter>,
    /// Bytes of it still to come, where the origin said how many.
    left: Option<u64>,
}

/// Calls one filter of the chain, and makes its changes.
async fn call(
    point: Point,
    index: usize,
    session: &mut Session,
    mut response: Option<&mut ResponseHeader>,
    ctx: &mut Context,
) -> Result<Option<Verdict>> {
    let Some(filter) = ctx.site.as_ref().and_then(|site| site.filters.all().get(index)).cloned() else {
        return Ok(None);
    };
    let kept = ctx.filtered.kept.get_mut(index).map(std::mem::take).unwrap_or_default();
    let lent = Lent::take(session, response.as_deref_mut(), ctx)?;
    let called = filter.call(point, Box::new(lent), kept).await;
    Lent::put_back(called.exchange, session, response.as_deref_mut(), ctx)?;
    let (verdict, changes) = match called.outcome {
        Ok((verdict, changes)) => (Some(verdict), changes),
        Err(_) if filter.is_closed() => return Err(Error::explain(rescue::FILTER, FAILED)),
        Err(_) => (None, Changes::default()),
    };
    if !called.kept.is_empty() {
        let places = ctx.filtered.kept.len().max(index + 1);
        ctx.filtered.kept.resize(places, Kept::NOTHING);
        ctx.filtered.kept[index] = called.kept;
    }
    match response {
        Some(response) => change(response, changes.fields)?,
        None => change(session.req_header_mut(), changes.fields)?,
    }
    if let (Some(wanted), Some(site)) = (changes.target, ctx.site.clone()) {
        let wrong = |error| Error::because(rescue::FILTER, "a filter's target went unchecked", error);
        let uri = http::Uri::builder().path_and_query(wanted).build().map_err(wrong)?;
        session.req_header_mut().set_uri(uri);
        target::normalise(session.req_header_mut(), &site);
    }
    Ok(verdict)
}

fn chain_len(ctx: &Context) -> usize {
    ctx.site.as_ref().map_or(0, |site| site.filters.all().len())
}

fn asks(ctx: &Context, index: usize, point: Point) -> bool {
    ctx.site.as_ref().and_then(|site| site.filters.all().get(index)).is_some_and(|filter| filter.asks(point))
}

/// The request has been routed, and the cache is about to be asked. Whether a filter has answered it. What the node asks itself for
/// has passed `request` already; where it is looked up is asked again.
pub(crate) async fn on_request(session: &mut Session, node: &Node, ctx: &mut Context) -> Result<bool> {
    if !ctx.is_rest
        && !ctx.background
        && let Some(missing) = ctx.site.as_ref().and_then(|site| site.filters.missing())
    {
        node.plugins.absent.turned_away(missing);
        return Err(Error::explain(rescue::FILTER, FAILED));
    }
    let filters = if ctx.is_rest { 0 } else { chain_len(ctx) };
    for index in 0..filters {
        if !ctx.background
            && asks(ctx, index, Point::Request)
            && let Some(Verdict::Reply(reply)) = call(Point::Request, index, session, None, ctx).await?
        {
            answer(session, node, ctx, reply).await?;
            return Ok(true);
        }
    }
    for index in 0..filters {
        if asks(ctx, index, Point::Lookup)
            && let Some(Verdict::LookUp(other)) = call(Point::Lookup, index, session, None, ctx).await?
        {
            ctx.filtered.lookup = Some(other);
        }
    }
    Ok(false)
}

/// Sends a filter's own response.
async fn answer(session: &mut Session, node: &Node, ctx: &mut Context, reply: Reply) -> Result<()> {
    let mut head = ResponseHeader::build_no_case(reply.status, Some(reply.fields.len() + 4))?;
    for (name, value) in &reply.fields {
        let (name, value) = field(name, value)?;
        head.append_header(name, value)?;
    }
    let has_none = matches!(reply.status, 204 | 304);
    if !has_none {
        head.insert_header(CONTENT_LENGTH, reply.body.len())?;
    }
    signed(&mut head, node, own_value("littoral; detail=filter"))?;
    ctx.count(&node.figures, reply.status);
    let bodiless = has_none || session.req_header().method == Method::HEAD;
    session.write_response_header(Box::new(head), bodiless).await?;
    if !bodiless {
        session.write_response_body(Some(Bytes::from(reply.body)), true).await?;
    }
    Ok(())
}

/// An origin is about to be asked: a body that may be rewritten is asked for without a content coding.
pub(crate) fn ask_plain(upstream: &mut RequestHeader, ctx: &Context) {
    if ctx.site.as_ref().is_some_and(|site| site.filters.asks(Point::Body)) {
        upstream.remove_header(&ACCEPT_ENCODING);
    }
}

/// An origin's head has come.
pub(crate) async fn on_origin(session: &mut Session, response: &mut ResponseHeader, ctx: &mut Context) -> Result<()> {
    if ctx.is_rest {
        return Ok(());
    }
    let mut rewriters = Vec::new();
    for index in (0..chain_len(ctx)).rev() {
        if asks(ctx, index, Point::Origin)
            && let Some(Verdict::Rewrite(rewriter)) = call(Point::Origin, index, session, Some(response), ctx).await?
        {
            rewriters.push(*rewriter);
        }
    }
    let length = compress::length_of(response);
    // Of HTTP/2, the end may come with the trailers, which say nothing here.
    let end_is_seen = length.is_some() || response.version < Version::HTTP_2;
    let whole = response.status == StatusCode::OK && end_is_seen && !response.headers.contains_key(CONTENT_ENCODING);
    let reads = matches!(session.req_header().method, Method::GET | Method::HEAD);
    if rewriters.is_empty() || !whole || !reads {
        return Ok(());
    }
    compress::unmeasure(response)?;
    if session.req_header().method == Method::GET {
        (ctx.filtered.rewriters, ctx.filtered.left) = (rewriters, length);
    }
    Ok(())
}

/// A piece of an origin's body.
///
/// # Errors
/// When a filter that must not be gone past has failed: the response is cut off.
pub(crate) fn on_body(ctx: &mut Context, body: &mut Option<Bytes>, end: bool) -> Result<()> {
    let Filtered { rewriters, left, .. } = &mut ctx.filtered;
    if rewriters.is_empty() {
        return Ok(());
    }
    let came = body.take().unwrap_or_default();
    *left = left.map(|left| left.saturating_sub(came.len() as u64));
    let last = end || *left == Some(0);
    let cut = |fault: Fault| Error::explain(rescue::FILTER, fault.to_string());
    let mut piece = came;
    for rewriter in rewriters.iter_mut() {
        piece = rewriter.rewrite(&piece, last).map_err(cut)?.into();
    }
    if last {
        rewriters.clear();
    }
    *body = (!piece.is_empty()).then_some(piece);
    Ok(())
}

/// A head is about to go to the client.
pub(crate) async fn on_response(session: &mut Session, response: &mut ResponseHeader, ctx: &mut Context) -> Result<()> {
    if ctx.background {
        return Ok(());
    }
    for index in (0..chain_len(ctx)).rev() {
        if asks(ctx, index, Point::Response) {
            call(Point::Response, index, session, Some(response), ctx).await?;
        }
    }
    Ok(())
}

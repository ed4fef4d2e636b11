//! Manifests under the rules of their site (`site.dash.rewrite`), rewritten when they are answered.
//!
//! What is stored is the origin's: rules that change hold at once, the rate policy and warm jobs see the whole ladder, and a revalidation
//! has the origin's own validator. So the node asks itself for the manifest, and the answer has a validator and a length of its own;
//! a Range is not heeded (RFC 9110 §14.2). What another node of ours asks for, as one of its shield, it will rewrite itself. Invariants: only
//! this process can ask for a manifest as it is without saying so in `CDN-Loop`; no more of a body is held than a manifest may have, and what
//! is longer, no 200, not to be transformed or of a coding that is not known passes as it is, counted.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use bytes::Bytes;
use http::header::{
    ACCEPT_RANGES, CACHE_CONTROL, CONNECTION, CONTENT_ENCODING, CONTENT_LENGTH, DATE, ETAG, EXPIRES, LAST_MODIFIED,
    TRANSFER_ENCODING,
};
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};
use littoral_cache::conditions::{Condition, evaluate};
use littoral_manifests::limits::MPD_BYTES_MAX;
use pingora::Result;
use pingora::http::{RequestHeader, ResponseHeader};
use pingora::proxy::Session;

use super::context::Context;
use super::{cdn_loop, compress, respond, slices, target};
use crate::clock::now_ms;
use crate::node::Node;
use crate::video::rewrite::{Made, plain};

/// Says that a manifest is wanted as the origin has it, behind the token of this process; and whether for a client that is answered
/// already.
pub(crate) const AS_IS: HeaderName = HeaderName::from_static("x-littoral-manifest");
/// Of a client that is answered with what is made of it.
const INNER: &str = "inner";

/// Fields of a response that are about the origin's bytes.
const ABOUT_THE_BYTES: [HeaderName; 12] = [
    CONTENT_LENGTH,
    TRANSFER_ENCODING,
    CONNECTION,
    DATE,
    CONTENT_ENCODING,
    ETAG,
    LAST_MODIFIED,
    ACCEPT_RANGES,
    HeaderName::from_static("content-md5"),
    HeaderName::from_static("content-digest"),
    HeaderName::from_static("repr-digest"),
    HeaderName::from_static("digest"),
];

/// Notes that this process asks for a manifest as it is. The field goes either way: nobody outside can.
pub(super) fn take(request: &mut RequestHeader, node: &Node, ctx: &mut Context) {
    let Some(field) = request.remove_header(&AS_IS) else { return };
    let text = field.to_str().unwrap_or_default();
    let (token, which) = text.split_once(' ').unwrap_or((text, ""));
    if token == node.token {
        ctx.as_is = true;
        ctx.background |= which == INNER;
    }
}

/// Answers a request for a manifest that has rules. `true`: answered.
pub(super) async fn answers(session: &mut Session, node: &Arc<Node>, ctx: &mut Context) -> Result<bool> {
    let Some(site) = ctx.site.clone().filter(|site| site.rewrites_manifests() && !ctx.as_is && !ctx.background) else {
        return Ok(false);
    };
    let (Some(asking), Some(video)) = (ask_for_it(session.req_header(), node, ctx), &site.video) else {
        return Ok(false);
    };
    let Some(rewriting) = &video.rewriting else { return Ok(false) };
    let mut reply = slices::ask(asking).await.map_err(|error| slices::failed(&error))?;
    slices::note_outcome(ctx, reply.headers());
    let mut body = Vec::new();
    let mut is_held = reply.status() == StatusCode::OK && may_be_changed(reply.headers());
    while is_held && let Some(bytes) = reply.chunk().await.map_err(|error| slices::failed(&error))? {
        body.extend_from_slice(&bytes);
        is_held = body.len() <= MPD_BYTES_MAX;
    }
    let coding = reply.headers().get(CONTENT_ENCODING).map(|coding| coding.to_str().unwrap_or("?"));
    let made = is_held.then(|| plain(&body, coding)).flatten().map(|text| {
        let offer = rewriting.offer(&text, now_ms());
        let client = session.client_addr().and_then(|address| address.as_inet()).map(std::net::SocketAddr::ip);
        let told = ctx.told.unwrap_or_default();
        rewriting.make(&text, offer.and_then(|offer| node.rate.ceiling(&offer, &told, client)))
    });
    match made {
        Some(made) => {
            video.figures.manifests[usize::from(made.verbatim.is_some())].fetch_add(1, Relaxed);
            if rewriting.is_by_policy() {
                keep_private(reply.headers_mut());
            }
            send(session, node, ctx, reply.headers(), &made).await?;
        }
        None => {
            video.figures.manifests[2].fetch_add(1, Relaxed);
            slices::pass_on(session, node, ctx, reply, Bytes::from(body)).await?;
        }
    }
    Ok(true)
}

/// What the node asks itself instead; `None`: it is no request for a manifest, or comes from a node that rewrites it itself.
fn ask_for_it(request: &RequestHeader, node: &Node, ctx: &Context) -> Option<reqwest::RequestBuilder> {
    let reads = matches!(request.method, Method::GET | Method::HEAD) && !target::has_body(&request.headers);
    let path = request.uri.path_and_query().map_or("/", |path| path.as_str());
    let is_one = is_manifest(request.uri.path()) && reads && slices::is_as_written(path) && !ctx.host.is_empty();
    if !is_one || cdn_loop::is_from_below(&request.headers) {
        return None;
    }
    let mut asking = slices::of_itself(node, &ctx.host, path)?;
    for (name, value) in slices::asked_alike(request) {
        asking = asking.header(name, value);
    }
    Some(asking.header(AS_IS, format!("{} {INNER}", node.token)))
}

fn may_be_changed(headers: &HeaderMap) -> bool {
    let short = respond::content_length(headers).is_none_or(|length| length <= MPD_BYTES_MAX as u64);
    short && !compress::must_not_be_transformed(headers)
}

/// What was made for one client is nobody else's (RFC 9111 §5.2.2.7), and another one for the same client the next time.
fn keep_private(headers: &mut HeaderMap) {
    let mut said = headers.get_all(CACHE_CONTROL).iter().filter_map(|field| field.to_str().ok());
    let is_never_stored = said.any(|text| text.to_ascii_lowercase().contains("no-store"));
    for name in [EXPIRES, HeaderName::from_static("cdn-cache-control"), HeaderName::from_static("surrogate-control")] {
        headers.remove(name);
    }
    let control = if is_never_stored { "private, no-store" } else { "private, no-cache" };
    headers.insert(CACHE_CONTROL, HeaderValue::from_static(control));
}

/// Whether a path is that of a manifest.
pub(crate) fn is_manifest(path: &str) -> bool {
    path.len() > 4 && path.as_bytes()[path.len() - 4..].eq_ignore_ascii_case(b".mpd")
}

async fn send(session: &mut Session, node: &Node, ctx: &mut Context, reply: &HeaderMap, made: &Made) -> Result<()> {
    let mut head = ResponseHeader::build_no_case(StatusCode::OK, Some(reply.len() + 2))?;
    for (name, value) in reply.iter().filter(|(name, _)| !ABOUT_THE_BYTES.contains(name)) {
        head.append_header(name.clone(), value.clone())?;
    }
    head.insert_header(ETAG, made.tag.clone())?;
    head.insert_header(CONTENT_LENGTH, made.bytes.len())?;
    let request = session.req_header();
    let body = match compress::begin(request, &mut head, ctx) {
        Some(encoder) => coded(made, encoder)?,
        None => made.bytes.clone(),
    };
    head.remove_header(&TRANSFER_ENCODING);
    let condition = evaluate(&request.headers, StatusCode::OK, &head.headers);
    let bodiless = request.method == Method::HEAD || condition != Condition::Holds;
    match condition {
        Condition::NotModified => {
            head.set_status(StatusCode::NOT_MODIFIED)?;
            head.remove_header(&CONTENT_ENCODING);
            head.remove_header(&CONTENT_LENGTH);
        }
        Condition::Failed => {
            head.set_status(StatusCode::PRECONDITION_FAILED)?;
            head.remove_header(&CONTENT_ENCODING);
            head.insert_header(CONTENT_LENGTH, 0)?;
        }
        Condition::Holds => head.insert_header(CONTENT_LENGTH, body.len())?,
    }
    crate::filters::points::on_response(session, &mut head, ctx).await?;
    crate::video::tell(session, node, ctx, &mut head)?;
    ctx.count(&node.figures, head.status.as_u16());
    session.write_response_header(Box::new(head), bodiless).await?;
    match bodiless {
        true => Ok(()),
        false => session.write_response_body(Some(body), true).await,
    }
}

/// In the coding of `encoder`, made once.
fn coded(made: &Made, mut encoder: compress::Encoder) -> Result<Bytes> {
    let kept = &made.coded[encoder.coding() as usize];
    if let Some(bytes) = kept.get() {
        return Ok(bytes.clone());
    }
    let bytes = encoder.encode(Some(made.bytes.clone()), true)?.unwrap_or_default();
    Ok(kept.get_or_init(|| bytes).clone())
}

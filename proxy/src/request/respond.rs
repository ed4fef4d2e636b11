//! Fields of responses, and the few responses this node writes itself.

use bytes::Bytes;
use http::header::{
    ACCEPT_RANGES, AGE, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, DATE, ETAG, TRANSFER_ENCODING,
    VARY, VIA,
};
use http::{HeaderMap, HeaderName, HeaderValue, Version};
use littoral_cache::Outcome;
use pingora::Result;
use pingora::http::ResponseHeader;
use pingora::protocols::http::ServerSession;
use pingora::proxy::Session;

use super::context::Context;
use crate::control::pushed::asking;
use crate::node::Node;

/// RFC 9211.
pub(crate) const CACHE_STATUS: HeaderName = HeaderName::from_static("cache-status");
/// The node that answered.
pub(crate) const SERVED_BY: HeaderName = HeaderName::from_static("x-served-by");
/// The representation chosen for an `auto` URL.
pub(crate) const REPRESENTATION: HeaderName = HeaderName::from_static("x-littoral-representation");

/// What every response of the data port carries.
pub(super) fn add_fields(response: &mut ResponseHeader, node: &Node, ctx: &Context, outcome: Outcome) -> Result<()> {
    let mut status = String::with_capacity(64);
    outcome.write_status(ctx.ttl_s, ctx.stored, &mut status);
    if ctx.fat {
        status.push_str("; detail=body");
    }
    if let Some(reason) = ctx.unstorable.filter(|_| !ctx.stored) {
        status.push_str("; detail=");
        status.push_str(reason.as_str());
    }
    without_surrogates(response);
    for (name, value) in ctx.withheld.iter().filter(|(_, value)| !value.is_empty()) {
        if !response.headers.get_all(name).iter().any(|there| there == value) {
            response.append_header(name, value.clone())?;
        }
    }
    signed(response, node, status)?;
    if let Some(representation) = &ctx.representation {
        response.insert_header(REPRESENTATION, own_value(representation))?;
    }
    Ok(())
}

/// Surrogate keys are between origin and cache (Edge Architecture 1.0 §2.2).
pub(crate) fn without_surrogates(response: &mut ResponseHeader) {
    for name in littoral_cache::entry::SURROGATE_FIELDS {
        response.remove_header(&name);
    }
}

/// Says what the cache did (`status`, RFC 9211) and who answered.
pub(crate) fn signed(response: &mut ResponseHeader, node: &Node, status: impl TryInto<HeaderValue>) -> Result<()> {
    response.append_header(CACHE_STATUS, status)?;
    response.append_header(VIA, node.via.clone())?;
    response.insert_header(SERVED_BY, node.served_by.clone())?;
    Ok(())
}

/// Takes away the fields that end at this hop (RFC 9110 §7.6.1) but for Transfer-Encoding, which the framework reads and
/// writes itself.
pub(super) fn end_hop(response: &mut ResponseHeader) {
    if response.status == http::StatusCode::SWITCHING_PROTOCOLS {
        return;
    }
    let ending = littoral_cache::entry::hop_by_hop(&response.headers);
    for name in ending.iter().filter(|name| **name != TRANSFER_ENCODING) {
        response.remove_header(name);
    }
}

/// An interim response of an origin, as it is read: the framework passes them on to clients of HTTP/1.1 only, and loses those that come
/// together with a head that is kept. 100 is left to it: who asked for it gets it, before the body that it is about.
pub(super) async fn interim(session: &mut Session, response: &ResponseHeader) -> Result<()> {
    match session.as_downstream_mut() {
        ServerSession::Custom(over_h2) => over_h2.write_response_header_ref(response, false).await,
        ServerSession::H1(over_h1) if response.status != http::StatusCode::CONTINUE => {
            // RFC 9110 §15.2: HTTP/1.0 has none.
            let older = over_h1.req_header().version < Version::HTTP_11;
            over_h1.set_ignore_info_resp(older);
            let written = over_h1.write_response_header_ref(response).await;
            over_h1.set_ignore_info_resp(true);
            written.map_err(|error| error.into_down())
        }
        _ => Ok(()),
    }
}

/// What is kept says what every answer from it says: when it came, if the origin did not (RFC 9110 §6.6.1; of a confirmation
/// as well, or it would stay as old as the first response), that ranges of it are served, and not who else had it.
pub(super) fn complete(headers: &mut HeaderMap, status: http::StatusCode, undated: Option<std::time::SystemTime>) {
    let date = undated.and_then(|now| HeaderValue::from_str(&httpdate::fmt_http_date(now)).ok());
    if let Some(date) = date {
        headers.insert(DATE, date);
    }
    if status == http::StatusCode::OK {
        headers.insert(ACCEPT_RANGES, HeaderValue::from_static("bytes"));
    }
    headers.remove(SERVED_BY);
}

/// Says how old a response is that comes from another cache (RFC 9111 §4.2.3, §5.1). What is not stored keeps its own Age.
pub(super) fn set_age(response: &mut ResponseHeader, age: std::time::Duration) -> Result<()> {
    if age.as_secs() > 0 && response.headers.get(AGE).is_none() {
        response.insert_header(AGE, age.as_secs())?;
    }
    Ok(())
}

/// Content-Length, when it is one number.
pub(super) fn content_length(headers: &HeaderMap) -> Option<u64> {
    let mut fields = headers.get_all(CONTENT_LENGTH).into_iter();
    let field = fields.next().filter(|_| fields.next().is_none())?;
    field.to_str().ok().filter(|text| text.bytes().all(|byte| byte.is_ascii_digit()))?.parse().ok()
}

/// Updates stored fields with those of a 304 (RFC 9111 §3.2): all but the ones that describe the stored bytes or one
/// connection, and Vary, which selects them.
pub(super) fn update(stored: &mut HeaderMap, confirmed: &HeaderMap) {
    const KEPT: [HeaderName; 9] = [
        CONTENT_LENGTH,
        CONTENT_ENCODING,
        CONTENT_RANGE,
        TRANSFER_ENCODING,
        ETAG,
        VARY,
        HeaderName::from_static("content-md5"),
        HeaderName::from_static("content-digest"),
        HeaderName::from_static("repr-digest"),
    ];
    for name in confirmed.keys().filter(|name| !KEPT.contains(name)) {
        stored.remove(name);
        for value in confirmed.get_all(name) {
            stored.append(name, value.clone());
        }
    }
}

/// Answers what is for the node on every host: health probes, and the proof an authority asks for. Whether it was.
pub(super) async fn node_itself(session: &mut Session, node: &Node) -> Result<bool> {
    let path = session.req_header().uri.path();
    if path == super::HEALTH_PATH {
        return health(session, node).await;
    }
    let is_told = path == crate::rtt::PATH || path == asking::PATH;
    if is_told && !node.settings.load().rtt.tell.is_empty() {
        return told(session, node).await;
    }
    match node.acme.answer(path) {
        Some(proof) => own(session, 200, "text/plain", &proof).await,
        None => Ok(false),
    }
}

/// Answers a health probe.
async fn health(session: &mut Session, node: &Node) -> Result<bool> {
    let settings = node.settings.load();
    let figures = serde_json::json!({
        "node": settings.node.name,
        "cluster": settings.node.cluster,
        "load_permille": node.load_permille(),
    });
    own(session, 200, "application/json", &figures.to_string()).await
}

/// Tells those who choose clusters how far away clients are, or what was pushed to this node.
async fn told(session: &mut Session, node: &Node) -> Result<bool> {
    let client = session.client_addr().and_then(|address| address.as_inet()).map(|address| address.ip().to_canonical());
    let settings = node.settings.load();
    let may = client.is_some_and(|client| settings.rtt.tell.iter().any(|prefix| prefix.0.contains(&client)));
    node.rtt.told[usize::from(!may)].add(1);
    let is_of_titles = session.req_header().uri.path() == asking::PATH;
    match may {
        true if is_of_titles => own(session, 200, "application/json", &node.control.told_pushed(node)).await,
        true => own(session, 200, "text/plain; charset=utf-8", &node.rtt.text()).await,
        false => own(session, 403, "text/plain; charset=utf-8", "rtt.tell does not name you").await,
    }
}

/// Sends a response of this node's own.
pub(crate) async fn own(session: &mut Session, status: u16, content_type: &'static str, text: &str) -> Result<bool> {
    own_with(session, status, content_type, text, []).await
}

/// Like [`own`], with more fields.
pub(crate) async fn own_with<const MORE: usize>(
    session: &mut Session,
    status: u16,
    content_type: &'static str,
    text: &str,
    more: [(HeaderName, HeaderValue); MORE],
) -> Result<bool> {
    let body = own_body(text);
    let mut response = ResponseHeader::build_no_case(status, Some(3 + MORE))?;
    response.insert_header(CONTENT_TYPE, HeaderValue::from_static(content_type))?;
    response.insert_header(CONTENT_LENGTH, body.len())?;
    response.insert_header(http::header::CACHE_CONTROL, HeaderValue::from_static("no-store"))?;
    for (name, value) in more {
        response.insert_header(name, value)?;
    }
    let bodiless = session.req_header().method == http::Method::HEAD;
    session.write_response_header(Box::new(response), bodiless).await?;
    if !bodiless {
        session.write_response_body(Some(body), true).await?;
    }
    Ok(true)
}

/// A field value made of this node's own text.
pub(crate) fn own_value(text: &str) -> HeaderValue {
    let visible: String = text.chars().filter(|c| c.is_ascii_graphic() || *c == ' ').collect();
    HeaderValue::from_str(&visible).expect("invariant: visible ASCII is a field value")
}

/// A body of this node's own text.
fn own_body(text: &str) -> Bytes {
    Bytes::from(format!("{text}\n"))
}

//! What an origin's response does to the cache: whether it is stored, what of a stored one it confirms, what it invalidates.
//!
//! The rules are [`littoral_cache::freshness`]'s; here they meet the request, its site and the store.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use http::header::{CONTENT_LOCATION, DATE, LOCATION, SET_COOKIE};
use http::{HeaderMap, HeaderValue, Method, StatusCode};
use littoral_cache::freshness::{SetCookie, Storable, Unstorable, assess};

use littoral_cache::vary::Vary;
use littoral_cache::{Begin, Entry, Head, Key, Refused};
use pingora::http::ResponseHeader;
use pingora::proxy::Session;

use super::context::Context;
use super::pieces::Asked;
use super::respond;
use crate::config::Ranges;
use crate::node::Node;
use crate::site::Site;
use crate::storage::{CacheMeta, Confirmed, NoCacheReason, RespCacheable, TicketSlot, meta_of};

/// Whether a response is stored, and what that says about the next one under its key.
pub(super) fn decide(node: &Node, session: &Session, response: &ResponseHeader, ctx: &mut Context) -> RespCacheable {
    match admit(node, session, response, ctx) {
        Ok(meta) => {
            if let Some(key) = ctx.key.as_ref().filter(|_| ctx.passed) {
                node.store.forget_passed(key);
            }
            RespCacheable::Cacheable(meta)
        }
        Err(reason) => {
            if ctx.slice.is_none() && ctx.pieces.is_none() && is_lasting(reason, response.status) {
                let pass_for = ctx.site.as_ref().map_or(Duration::ZERO, |site| site.pass_for);
                ctx.key.iter().for_each(|key| node.store.remember_passed(key, ctx.asked + pass_for));
            }
            let obsolete = session.cache.maybe_cache_meta().and_then(|meta| meta.extensions().get::<Arc<Entry>>());
            if let Some(entry) = obsolete.filter(|_| is_replaced(reason, response.status, ctx)) {
                node.store.discard(entry);
            }
            if let Some(key) =
                ctx.key.as_ref().filter(|_| ctx.pieces.is_some() && is_replaced(reason, response.status, ctx))
            {
                node.store.drop_pieces(key);
            }
            ctx.unstorable = Some(reason);
            node.figures.unstorable(reason);
            RespCacheable::Uncacheable(NoCacheReason::Custom(reason.as_str()))
        }
    }
}

/// Metadata with a ticket for a response that may be stored, or of one that was confirmed.
///
/// # Errors
/// Why it is not stored.
pub(super) fn admit(
    node: &Node,
    session: &Session,
    response: &ResponseHeader,
    ctx: &mut Context,
) -> Result<CacheMeta, Unstorable> {
    let (request, now) = (session.req_header(), SystemTime::now());
    let site = ctx.site.clone().ok_or(Unstorable::Status)?;
    let (mut headers, status) = match (&ctx.confirmed, session.cache.maybe_cache_meta()) {
        // Not the framework's merger, which takes what must stay.
        (Some(confirmed), Some(stored)) => {
            let mut headers = stored.headers().clone();
            respond::update(&mut headers, confirmed);
            (headers, stored.response_header().status)
        }
        _ => (response.headers.clone(), response.status),
    };
    let dated = ctx.confirmed.as_ref().unwrap_or(&response.headers).contains_key(DATE);
    respond::complete(&mut headers, status, (!dated).then_some(now));
    // A slice or a piece is whole in itself.
    let is_part = status == StatusCode::PARTIAL_CONTENT && (ctx.slice.is_some() || ctx.pieces.is_some());
    if ctx.slice.is_some_and(|slice| is_part && ctx.confirmed.is_none() && !slice.is_in(response)) {
        return Err(Unstorable::Status);
    }
    let as_if = if is_part { StatusCode::OK } else { status };
    let storable = assess(&request.headers, as_if, &headers, (ctx.asked, now), &site.rules)?;
    if Vary::of(&headers) == Vary::Any {
        return Err(Unstorable::VaryAny);
    }
    withhold(&mut headers, &storable, &site, ctx);
    let (lifetime, head) = (storable.lifetime, Head::for_storage(status, &headers));
    if ctx.confirmed.is_some() {
        let mut meta = meta_of(&head, &lifetime, None, now);
        meta.extensions_mut().insert(Confirmed { purges: ctx.asked_purges, lifetime });
        return Ok(meta);
    }
    let key = ctx.key.clone().ok_or(Unstorable::Status)?;
    let piece = ctx.pieces.as_ref().and_then(Asked::length);
    if status == StatusCode::OK && site.ranges == Ranges::Forward {
        node.store.drop_pieces(&key);
    }
    let length = piece.or_else(|| respond::content_length(&response.headers));
    let (begun, begun_purges) = (ctx.asked, ctx.asked_purges);
    let begin = Begin { key, head: head.clone(), lifetime, length, begun, begun_purges };
    let ticket = node.store.admit(begin).map_err(|refused| match refused {
        Refused::TooLarge => Unstorable::TooLarge,
        Refused::NoRoom => Unstorable::NoRoom,
    })?;
    (ctx.stored, ctx.cache_generation) = (ticket.will_publish(), ticket.decided_by());
    // What is no manifest must not take the place of the one that is: anybody can ask for a name that is not there.
    if status == StatusCode::OK {
        node.rate.passed(ctx, request.uri.path());
    }
    Ok(TicketSlot::meta(ticket, &head, &lifetime))
}

/// Takes out what must not be stored; the client that asked gets it, but for cookies of a site that strips them.
fn withhold(headers: &mut HeaderMap, storable: &Storable, site: &Site, ctx: &mut Context) {
    for name in &storable.without {
        if *name != SET_COOKIE || site.rules.set_cookie != SetCookie::Strip {
            ctx.withheld.extend(headers.get_all(name).into_iter().map(|value| (name.clone(), value.clone())));
        }
        headers.remove(name);
    }
}

/// Whether the next response under the key will hardly be stored either, so that requests for it should not wait for each
/// other. Not when the request was the reason, nor when the origin is in trouble.
fn is_lasting(reason: Unstorable, status: StatusCode) -> bool {
    let by_the_request = matches!(reason, Unstorable::Request | Unstorable::Authorised | Unstorable::NoRoom);
    !by_the_request && !status.is_server_error() && status != StatusCode::NOT_MODIFIED
}

/// Whether an answer that is not stored says that what is stored is no more (RFC 9111 §4.3.3): one about the resource, not about
/// the request or the origin's troubles; or a confirmation that takes the right to keep it.
fn is_replaced(reason: Unstorable, status: StatusCode, ctx: &Context) -> bool {
    if ctx.confirmed.is_some() {
        return matches!(reason, Unstorable::NoStore | Unstorable::Private);
    }
    let about_it = matches!(status.as_u16(), 200..=303 | 307..=399 | 401..=406 | 410 | 451);
    about_it && is_lasting(reason, status)
}

/// Invalidates what a successful unsafe request may have changed (RFC 9111 §4.4): its own URL, and those that Location and
/// Content-Location name on the same host. Returns their paths.
pub(super) fn invalidate(node: &Node, session: &Session, response: &ResponseHeader, ctx: &Context) -> Vec<String> {
    let request = session.req_header();
    let succeeded = response.status.is_success() || response.status.is_redirection();
    let Some(site) = ctx.site.as_ref().filter(|_| succeeded && !is_safe(&request.method)) else {
        return Vec::new();
    };
    let path = request.uri.path_and_query().map_or("/", |path| path.as_str());
    let named = [LOCATION, CONTENT_LOCATION].into_iter().filter_map(|name| response.headers.get(name));
    let named = named.filter_map(|named| path_of(named, path, &ctx.host));
    let own = ctx.filtered.lookup.as_deref().unwrap_or(path);
    let invalidated: Vec<_> = named.chain([own.to_owned()]).collect();
    for path in &invalidated {
        node.store.invalidate(key(site, &ctx.host, path));
        node.figures.invalidated.add(1);
    }
    invalidated
}

/// Methods that change nothing (RFC 9110 §9.2.1, RFC 3253, RFC 5323, RFC 4918).
fn is_safe(method: &Method) -> bool {
    matches!(method.as_str(), "GET" | "HEAD" | "OPTIONS" | "TRACE" | "PROPFIND" | "REPORT" | "SEARCH" | "QUERY")
}

/// The key that a site gives a URL.
pub(crate) fn key(site: &Site, host: &str, path_and_query: &str) -> Key {
    let path = site.query.apply(path_and_query);
    match site.knows_cmcd {
        true => Key::new(host, &crate::video::told::without_query(&path)),
        false => Key::new(host, &path),
    }
}

/// Path and query of a URL that a field names, seen from `path` on this host; `None` when it is of another host. Scheme and port make
/// no difference: they are no part of a key, so that a URL with others is the same object here.
pub(super) fn path_of(field: &HeaderValue, path: &str, host: &str) -> Option<String> {
    let base = url::Url::parse(&format!("http://{host}{path}")).ok()?;
    let named = base.join(field.to_str().ok()?).ok()?;
    let is_ours = named.host_str() == Some(host) && matches!(named.scheme(), "http" | "https");
    is_ours.then(|| named[url::Position::BeforePath..url::Position::AfterQuery].to_owned())
}

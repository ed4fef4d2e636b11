//! Answers to POST that later GETs may be given (RFC 9110 §9.3.3, RFC 9111 §4): those that say so by an explicit lifetime and a
//! Content-Location that is the very URL, on a site with `store_post`.
//!
//! A POST itself always goes to the origin and invalidates first what it may have changed (§4.4), its own URL among that; what it brings
//! is stored as what a GET of that URL would have brought. Invariant: no purge but this request's own lies between its being
//! sent and its answer's being stored.

use std::mem::replace;
use std::time::SystemTime;

use bytes::Bytes;
use http::header::CONTENT_LOCATION;
use http::{Method, StatusCode};
use littoral_cache::freshness::{Rules, assess};
use littoral_cache::vary::Vary;
use littoral_cache::{Key, Ticket};
use pingora::http::ResponseHeader;
use pingora::proxy::Session;

use super::admission;
use super::context::Context;
use crate::node::Node;
use crate::storage::TicketSlot;

/// The head of an answer: invalidates what its request may have changed, and prepares to keep it where it may be. Returns the
/// paths of what was invalidated.
pub(super) fn take_head(node: &Node, session: &Session, response: &ResponseHeader, ctx: &mut Context) -> Vec<String> {
    let unpurged = |key: &Key| !node.store.is_purged_since(ctx.asked_purges, key, &response.headers);
    let key = key_of_kept(session, response, ctx).filter(unpurged);
    let before = node.store.purges();
    let invalidated = admission::invalidate(node, session, response, ctx);
    let purges = node.store.purges();
    let Some(key) = key.filter(|_| purges == before + invalidated.len() as u64) else { return invalidated };
    let asked_purges = replace(&mut ctx.asked_purges, purges);
    ctx.key = Some(key.clone());
    let admitted = admission::admit(node, session, response, ctx);
    (ctx.key, ctx.asked_purges) = (None, asked_purges);
    let (Ok(meta), Some(site)) = (admitted, &ctx.site) else { return invalidated };
    let of = Vary::of(meta.headers()).variance(&session.req_header().headers, &site.selectors);
    let start = |ticket: Ticket| ticket.start(node.store.place_of(&key, of).as_ref(), of);
    ctx.post = TicketSlot::ticket(&meta).map(start);
    invalidated
}

/// The key under which an answer may be found by a GET; `None` when it says nothing of the kind.
fn key_of_kept(session: &Session, response: &ResponseHeader, ctx: &Context) -> Option<Key> {
    let request = session.req_header();
    // What is kept in slices or compressed is kept in another form than this one.
    let site = ctx.site.as_ref().filter(|site| {
        site.store_post && site.slice.is_none() && site.compress.is_none() && ctx.filtered.lookup.is_none()
    })?;
    let is_one = request.method == Method::POST && response.status == StatusCode::OK && !ctx.background;
    let path = request.uri.path_and_query().map_or("/", |path| path.as_str());
    let mut named = response.headers.get_all(CONTENT_LOCATION).into_iter();
    let location = named.next().filter(|_| is_one && named.next().is_none())?;
    let is_itself = admission::path_of(location, path, &ctx.host).is_some_and(|named| named == path);
    // Without what a site adds, only an explicit lifetime is one.
    let rules = Rules { set_cookie: site.rules.set_cookie, untargeted: site.rules.untargeted, ..Rules::default() };
    let times = (ctx.asked, SystemTime::now());
    let explicit = || assess(&request.headers, response.status, &response.headers, times, &rules).is_ok();
    (is_itself && explicit()).then(|| super::key(site, &ctx.host, path))
}

/// A piece of the answer's body.
pub(super) fn take(ctx: &mut Context, body: Option<&Bytes>, end_of_stream: bool) {
    let Some(mut writer) = ctx.post.take() else { return };
    if body.is_some_and(|bytes| writer.write(bytes.clone()).is_err()) {
        return;
    }
    match end_of_stream {
        // What came short is not published.
        true => drop(writer.finish(SystemTime::now())),
        false => ctx.post = Some(writer),
    }
}

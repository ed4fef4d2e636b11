//! Ranges of objects that are not whole here: a site with `ranges = "forward"` has a range sent on as it came, keeps the piece that
//! answers it and answers from the pieces it has (RFC 9111 §3.3, §3.4; RFC 9110 §14, §15.3.7).
//!
//! What is joined, and when it is a whole object, is [`littoral_cache::Store::join`]'s; from then on it is a hit like any other.
//! A request that lies in what is stored is answered here, before the framework looks anything up; any other goes past the
//! framework's cache, and what its origin sends is noted as it passes. Invariants: a piece is stored only with a strong validator and as
//! long as its Content-Range says, in an answer to a request for a range; requests that go on do not wait for each other.

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use bytes::Bytes;
use http::header::{
    ETAG, IF_MATCH, IF_MODIFIED_SINCE, IF_NONE_MATCH, IF_RANGE, IF_UNMODIFIED_SINCE, LAST_MODIFIED, RANGE, SET_COOKIE,
};
use http::{HeaderMap, Method, StatusCode};
use littoral_cache::conditions::{Condition, evaluate, if_range, strong_validator};
use littoral_cache::demand::Reuse;
use littoral_cache::entry::Body;
use littoral_cache::freshness::{SetCookie, Unstorable, assess};
use littoral_cache::range::{ByteRange, Part, parse};
use littoral_cache::vary::Vary;
use littoral_cache::{Entry, FillWriter, FwdReason, Head, Key, Outcome, Piece, PieceOf};
use pingora::http::{RequestHeader, ResponseHeader};
use pingora::proxy::{FailToProxy, Session};
use pingora::{Error, Result};

use super::context::Context;
use super::{admission, respond, slices, target};
use crate::clock::now_ms;
use crate::config::Ranges;
use crate::node::Node;
use crate::rescue;
use crate::site::Site;
use crate::storage::{RespCacheable, TicketSlot};

/// Bytes given to the client at a time: one write, whose time-out is per write.
const WRITE_BYTES: u64 = 256 << 10;

/// A request for a range that goes to an origin, and what is kept of the answer.
#[derive(Debug, Default)]
pub struct Asked {
    /// Something of the object is stored.
    partial: bool,
    /// What is asked for is stored, but stale: the origin may confirm it.
    stale: Option<Found>,
    /// Where the answer lies in its object.
    piece: Option<Piece>,
    /// What it varies on.
    of: Option<[u8; 16]>,
    /// Takes the body that comes.
    writer: Option<FillWriter>,
}

/// A part of an object that is stored.
#[derive(Debug)]
struct Found {
    entry: Arc<Entry>,
    body: Arc<Body>,
    piece: Piece,
    part: Part,
}

impl Asked {
    /// Why the origin is asked (RFC 9211 §2.2).
    pub(super) fn reason(&self) -> FwdReason {
        match (&self.stale, self.partial) {
            (Some(_), _) => FwdReason::Stale,
            (None, true) => FwdReason::Partial,
            (None, false) => FwdReason::UriMiss,
        }
    }

    /// The length of the answer, when it is a piece.
    pub(super) fn length(&self) -> Option<u64> {
        self.piece.map(|piece| piece.end - piece.first)
    }
}

/// Answers a request for one range from what is stored of its object, or notes that it goes on as it is. `true`: answered.
pub(super) async fn begin(session: &mut Session, node: &Arc<Node>, ctx: &mut Context) -> Result<bool> {
    let request = session.req_header();
    let site = ctx.site.as_ref().filter(|site| site.ranges == Ranges::Forward).cloned();
    let Some(site) = site else { return Ok(false) };
    let is_ours = ctx.background || ctx.is_rest || ctx.slice.is_some();
    let Some(field) = one_range(request).filter(|_| !is_ours && !session.is_upgrade_req()) else { return Ok(false) };
    let path = request.uri.path_and_query().map_or("/", |path| path.as_str());
    let key = super::key(&site, &ctx.host, path);
    if node.store.has_whole(&key).await {
        return Ok(false);
    }
    let pieces = pieces_for(node, &key, request, &site);
    let mut asked = Asked { partial: !pieces.is_empty(), ..Asked::default() };
    if let Some(found) = pieces.iter().find_map(|entry| find(entry, field)) {
        if !if_range(&request.headers, &found.entry.head().headers) {
            // The client has another version: it wants the whole of this one.
            return Ok(false);
        }
        let (entry, now_ms) = (&found.entry, now_ms());
        let ttl_ms = entry.ttl_ms(now_ms);
        match ctx.demand.on(entry.age_s(now_ms), ttl_ms, entry.lifetime().may_be_stale) {
            Reuse::ByFreshness if ttl_ms > 0 => return serve(session, node, ctx, &found, Outcome::Hit).await,
            Reuse::Stale => return serve(session, node, ctx, &found, Outcome::Stale).await,
            _ => asked.stale = Some(found).filter(|_| is_unconditional(&request.headers)),
        }
    }
    ctx.key = Some(key);
    ctx.pieces = Some(asked);
    Ok(false)
}

/// The Range field of a GET that asks for one range and not for all from the first byte on, which the whole is fetched for.
fn one_range(request: &RequestHeader) -> Option<&[u8]> {
    let mut fields = request.headers.get_all(RANGE).into_iter();
    let field = fields.next().filter(|_| fields.next().is_none() && request.method == Method::GET)?;
    let (_, set) = field.to_str().ok()?.split_once('=')?;
    let is_all = set.trim().strip_suffix('-').is_some_and(|first| first.trim().bytes().all(|digit| digit == b'0'));
    // Of some length or other it is one part, unless it is none at all.
    let is_one = !set.contains(',') && parse(field.as_bytes(), u64::MAX) != ByteRange::Whole;
    (is_one && !is_all && !target::has_body(&request.headers)).then_some(field.as_bytes())
}

/// The pieces of the variant that a request selects, the latest first.
fn pieces_for(node: &Node, key: &Key, request: &RequestHeader, site: &Site) -> Vec<Arc<Entry>> {
    let mut pieces = node.store.pieces(key);
    pieces.retain(|entry| {
        let of = Vary::of(&entry.head().headers).variance(&request.headers, &site.selectors);
        entry.variance() == Some(PieceOf(of).variance())
    });
    pieces.sort_by_key(|entry| std::cmp::Reverse(entry.stored_ms()));
    pieces
}

/// What a Range field asks for, when all of it is in a piece.
fn find(entry: &Arc<Entry>, field: &[u8]) -> Option<Found> {
    let piece = entry.piece()?;
    let ByteRange::Parts(parts) = parse(field, piece.total) else { return None };
    let part = *parts.first().filter(|part| part.first >= piece.first && part.last < piece.end)?;
    Some(Found { entry: entry.clone(), body: entry.body()?, piece, part })
}

/// Whether a request says nothing of what the client has, so that the node may say what it has itself.
fn is_unconditional(request: &HeaderMap) -> bool {
    const CONDITIONS: [http::HeaderName; 5] =
        [IF_MATCH, IF_NONE_MATCH, IF_MODIFIED_SINCE, IF_UNMODIFIED_SINCE, IF_RANGE];
    !CONDITIONS.iter().any(|name| request.contains_key(name))
}

/// Sends what was found. Always `Ok(true)`: answered.
async fn serve(
    session: &mut Session,
    node: &Arc<Node>,
    ctx: &mut Context,
    found: &Found,
    outcome: Outcome,
) -> Result<bool> {
    let Found { entry, body, piece, part } = found;
    let now_ms = now_ms();
    node.store.touch(entry, now_ms);
    let stored = &entry.head().headers;
    let condition = evaluate(&session.req_header().headers, StatusCode::OK, stored);
    let mut head = slices::head_of(stored, piece.total, Some(*part), condition)?;
    for name in ["content-md5", "content-digest"] {
        head.remove_header(name);
    }
    respond::set_age(&mut head, Duration::from_secs(entry.age_s(now_ms)))?;
    ctx.ttl_s = Some(entry.ttl_ms(now_ms).div_euclid(1000));
    ctx.outcome = Some(outcome);
    ctx.stamps.sending = Some(Instant::now());
    crate::filters::points::on_response(session, &mut head, ctx).await?;
    crate::video::tell(session, node, ctx, &mut head)?;
    ctx.count(&node.figures, head.status.as_u16());
    respond::add_fields(&mut head, node, ctx, outcome)?;
    crate::video::prefetch::on_response(session, node, ctx, head.status.as_u16());
    let bodiless = condition != Condition::Holds;
    session.write_response_header(Box::new(head), bodiless).await?;
    if !bodiless {
        let (mut at, end) = (part.first - piece.first, part.last + 1 - piece.first);
        while at < end {
            let bytes = body.slice(at, end.min(at + WRITE_BYTES));
            at += bytes.len() as u64;
            session.write_response_body(Some(bytes), false).await?;
        }
        session.write_response_body(None, true).await?;
    }
    Ok(true)
}

/// Asks the origin to confirm what is stored but stale, by its validator.
pub(super) fn ask(upstream: &mut RequestHeader, ctx: &Context) -> Result<()> {
    let Some(found) = ctx.pieces.as_ref().and_then(|asked| asked.stale.as_ref()) else { return Ok(()) };
    let stored = &found.entry.head().headers;
    match (stored.get(ETAG), stored.get(LAST_MODIFIED)) {
        (Some(tag), _) => upstream.insert_header(IF_NONE_MATCH, tag.clone()),
        (None, Some(date)) => upstream.insert_header(IF_MODIFIED_SINCE, date.clone()),
        (None, None) => Ok(()),
    }
}

/// The head of the answer: prepares to keep what comes.
///
/// # Errors
/// [`rescue::CONFIRMED`] when what is stored answers the request after all: see [`deliver`].
pub(super) fn take_head(
    node: &Node,
    session: &Session,
    response: &mut ResponseHeader,
    ctx: &mut Context,
) -> Result<()> {
    let Some(asked) = &mut ctx.pieces else { return Ok(()) };
    if response.status == StatusCode::NOT_MODIFIED {
        return if asked.stale.is_some() { confirm(node, session, response, ctx) } else { Ok(()) };
    }
    // It is another version than the one that was to be confirmed, or the same with its bytes.
    asked.stale = None;
    if response.status == StatusCode::PARTIAL_CONTENT {
        asked.piece = piece_of(response).filter(|_| strong_validator(&response.headers).is_some());
        if asked.piece.is_none() {
            ctx.unstorable = Some(Unstorable::Status);
            node.figures.unstorable(Unstorable::Status);
            return Ok(());
        }
    }
    let RespCacheable::Cacheable(meta) = admission::decide(node, session, response, ctx) else { return Ok(()) };
    let (Some(ticket), Some(site)) = (TicketSlot::ticket(&meta), &ctx.site) else { return Ok(()) };
    if site.rules.set_cookie == SetCookie::Strip {
        response.remove_header(&SET_COOKIE);
    }
    let of = Vary::of(meta.headers()).variance(&session.req_header().headers, &site.selectors);
    let (Some(asked), Some(key)) = (&mut ctx.pieces, &ctx.key) else { return Ok(()) };
    asked.of = of;
    asked.writer = Some(match asked.piece {
        Some(piece) => ticket.start_piece(PieceOf(of), piece),
        None => ticket.start(node.store.place_of(key, of).as_ref(), of),
    });
    Ok(())
}

/// Where a 206 lies in its object, when it is one part and as long as it says.
fn piece_of(response: &ResponseHeader) -> Option<Piece> {
    let (Part { first, last }, total) = slices::content_range(&response.headers)?;
    let piece = Piece { first, end: last + 1, total };
    let stated = respond::content_length(&response.headers);
    stated.is_none_or(|length| length == piece.end - first).then_some(piece)
}

/// The origin's 304: all pieces of the same version are as good as new (RFC 9111 §4.3.4).
fn confirm(node: &Node, session: &Session, response: &ResponseHeader, ctx: &mut Context) -> Result<()> {
    let changed = || Error::explain(pingora::ErrorType::InvalidHTTPHeader, "a 304 about something else").into_up();
    let asked = ctx.pieces.as_ref().and_then(|asked| asked.stale.as_ref());
    let (Some(found), Some(site), Some(key)) = (asked, &ctx.site, &ctx.key) else { return Ok(()) };
    let tag = found.entry.head().headers.get(ETAG).cloned();
    if response.headers.get(ETAG).is_some_and(|named| Some(named) != tag.as_ref()) {
        return Err(changed());
    }
    let (request, now) = (session.req_header(), SystemTime::now());
    let mut kept = 0_usize;
    for entry in pieces_for(node, key, request, site) {
        let mut headers = entry.head().headers.clone();
        respond::update(&mut headers, &response.headers);
        let undated = (!response.headers.contains_key(http::header::DATE)).then_some(now);
        respond::complete(&mut headers, StatusCode::PARTIAL_CONTENT, undated);
        match assess(&request.headers, StatusCode::OK, &headers, (ctx.asked, now), &site.rules) {
            Ok(storable) => {
                storable.without.iter().for_each(|name| drop(headers.remove(name)));
                let head = Head::for_storage(StatusCode::PARTIAL_CONTENT, &headers);
                kept += usize::from(node.store.refresh(&entry, head, storable.lifetime, ctx.asked_purges, now));
            }
            Err(Unstorable::NoStore | Unstorable::Private) => node.store.discard(&entry),
            Err(_) => {}
        }
    }
    tracing::debug!(host = ctx.host, kept, "pieces were confirmed");
    Err(Error::new(rescue::CONFIRMED).into_up())
}

/// The end of a request whose origin confirmed what is stored: that is sent. For the framework the request has failed, so that it
/// uses neither connection again.
pub(super) async fn deliver(session: &mut Session, node: &Arc<Node>, ctx: &mut Context) -> FailToProxy {
    let Some(mut found) = ctx.pieces.take().and_then(|asked| asked.stale) else {
        return FailToProxy { error_code: 500, can_reuse_downstream: false };
    };
    ctx.attempts.end();
    session.set_keepalive(None);
    // With the fields that it has now, where there was room for them.
    let field = session.req_header().headers.get(RANGE).map(|field| field.as_bytes().to_vec()).unwrap_or_default();
    if let (Some(key), Some(site)) = (&ctx.key, &ctx.site) {
        let pieces = pieces_for(node, key, session.req_header(), site);
        found = pieces.iter().find_map(|entry| find(entry, &field)).unwrap_or(found);
    }
    match serve(session, node, ctx, &found, Outcome::Revalidated(FwdReason::Stale)).await {
        Err(error) => rescue::answer(session, &error, node, ctx).await,
        Ok(_) => {
            ctx.mended = true;
            FailToProxy { error_code: 0, can_reuse_downstream: false }
        }
    }
}

/// A piece of the answer's body.
pub(super) fn take(node: &Node, ctx: &mut Context, body: Option<&Bytes>, end_of_stream: bool) {
    let Some(asked) = &mut ctx.pieces else { return };
    let Some(mut writer) = asked.writer.take() else { return };
    if body.is_some_and(|bytes| writer.write(bytes.clone()).is_err()) {
        return;
    }
    if !end_of_stream {
        asked.writer = Some(writer);
        return;
    }
    let now = SystemTime::now();
    if let (Ok(Some(entry)), Some(_)) = (writer.finish(now), asked.piece) {
        node.store.join(&entry, PieceOf(asked.of), now);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_range_that_is_not_the_whole_goes_on_and_nothing_else_does() {
        for (method, field, expected) in [
            ("GET", "bytes=5-9", true),
            ("GET", "bytes=0-9", true),
            ("GET", "bytes=-5", true),
            ("GET", "bytes=5-", true),
            ("GET", "bytes=0-", false),
            ("GET", "bytes= 00- ", false),
            ("GET", "bytes=0-1,5-9", false),
            ("GET", "bytes=-", false),
            ("GET", "bytes=9-5", false),
            ("GET", "items=5-9", false),
            ("GET", "x", false),
            ("HEAD", "bytes=5-9", false),
        ] {
            let mut request = RequestHeader::build(method, b"/", None).unwrap();
            request.insert_header(RANGE, field).unwrap();
            assert_eq!(one_range(&request).is_some(), expected, "{method} {field}");
        }
    }

    #[test]
    fn a_piece_is_as_long_as_it_says() {
        for (range, length, expected) in [
            ("bytes 4-8/10", Some("5"), Some((4, 9, 10))),
            ("bytes 4-8/10", None, Some((4, 9, 10))),
            ("bytes 4-9/10", Some("5"), None),
            ("bytes 4-8/*", Some("5"), None),
            ("bytes 8-4/10", Some("5"), None),
            ("bytes 4-10/10", Some("7"), None),
        ] {
            let mut response = ResponseHeader::build(206, None).unwrap();
            response.insert_header("content-range", range).unwrap();
            length.iter().for_each(|length| response.insert_header("content-length", *length).unwrap());
            let found = piece_of(&response).map(|piece| (piece.first, piece.end, piece.total));
            assert_eq!(found, expected, "{range} {length:?}");
        }
    }
}

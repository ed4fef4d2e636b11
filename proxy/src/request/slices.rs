//! Large objects as slices: a site with `slice` keeps a response as parts of that size, each fetched by a range of its own, so that
//! of a large file only what is asked for is fetched and kept.
//!
//! A request of a client is answered here by putting slices together. Each slice is a request to this very node, so that it
//! collapses, is stored, revalidated and purged like any other, and it has the fields of the client's; in the cache it is a variant of the URL. Invariants: all
//! slices of one answer have the same strong validator (RFC 9110 §8.8.1, §15.3.7.3) and the same whole length, else the answer breaks and the URL is
//! purged; what has no such validator is put together of nothing, and fetched whole; a slice whose bytes are not the ones asked for is not
//! stored; only this process can ask for one.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{
    ACCEPT_ENCODING, ACCEPT_RANGES, AGE, CONNECTION, CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, COOKIE, DATE, ETAG,
    EXPECT, HOST, IF_MATCH, IF_MODIFIED_SINCE, IF_NONE_MATCH, IF_RANGE, IF_UNMODIFIED_SINCE, LAST_MODIFIED, RANGE,
    TRANSFER_ENCODING,
};
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};
use littoral_cache::Target;
use littoral_cache::conditions::{Condition, evaluate, if_range, strong_validator};
use littoral_cache::freshness::date_field;
use littoral_cache::range::{ByteRange, Part, parse};
use pingora::http::{RequestHeader, ResponseHeader};
use pingora::proxy::Session;
use pingora::{Error, ErrorType, Result};
use tokio::task::JoinHandle;

use super::byteranges::Byteranges;
use super::context::Context;
use super::respond::content_length;
use super::target::join_cookies;
use crate::itself;
use crate::node::Node;

/// The error of an object that is another one from a slice on.
const CHANGED: &str = "the object changed";

/// Says which slice is asked for, behind the token of this process.
pub(super) const SLICE: HeaderName = HeaderName::from_static("x-littoral-slice");

/// One part of a large object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Slice {
    /// Its place, from 0.
    pub index: u64,
    /// Bytes of every slice but the last.
    pub size: u64,
}

/// What tells one version of an object from another.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Version {
    total: u64,
    /// A strong one.
    validator: HeaderValue,
}

/// Fields of a request that are about the answer itself, which another one is made of.
const ABOUT_THE_ANSWER: [HeaderName; 10] = [
    HOST,
    RANGE,
    IF_MATCH,
    IF_NONE_MATCH,
    IF_MODIFIED_SINCE,
    IF_UNMODIFIED_SINCE,
    IF_RANGE,
    ACCEPT_ENCODING,
    CONTENT_LENGTH,
    EXPECT,
];
/// What their names begin with that tell of the player: they are counted once.
const OF_THE_PLAYER: &str = "cmcd-";

impl Slice {
    /// The slice a request of this process is for. The field goes either way: nobody outside can ask for one.
    pub(super) fn take(request: &mut RequestHeader, node: &Node, size: Option<u64>) -> Option<Self> {
        let field = request.remove_header(&SLICE)?;
        let (token, index) = field.to_str().ok()?.split_once(' ')?;
        let index = index.parse().ok().filter(|_| token == node.token)?;
        Some(Self { index, size: size? })
    }

    fn first(self) -> u64 {
        self.index.saturating_mul(self.size)
    }

    fn last(self) -> u64 {
        self.first().saturating_add(self.size - 1)
    }

    /// The Range field that asks an origin for it.
    pub(super) fn range(self) -> String {
        format!("bytes={}-{}", self.first(), self.last())
    }

    /// Whether a 206 is this slice and nothing else.
    pub(super) fn is_in(self, response: &ResponseHeader) -> bool {
        let Some((part, total)) = content_range(&response.headers) else {
            return false;
        };
        let expected = Part { first: self.first(), last: self.last().min(total.saturating_sub(1)) };
        response.status == StatusCode::PARTIAL_CONTENT
            && part == expected
            && content_length(&response.headers).is_none_or(|length| length == part.last - part.first + 1)
    }
}

/// `bytes first-last/total` (RFC 9110 §14.4).
pub(crate) fn content_range(headers: &HeaderMap) -> Option<(Part, u64)> {
    let (range, total) = headers.get(CONTENT_RANGE)?.to_str().ok()?.strip_prefix("bytes ")?.split_once('/')?;
    let (first, last) = range.split_once('-')?;
    let (part, total) = (Part { first: first.parse().ok()?, last: last.parse().ok()? }, total.parse().ok()?);
    (part.first <= part.last && part.last < total).then_some((part, total))
}

/// The whole length that a 416 tells.
fn total_of_unsatisfiable(headers: &HeaderMap) -> Option<u64> {
    headers.get(CONTENT_RANGE)?.to_str().ok()?.strip_prefix("bytes */")?.parse().ok()
}

/// Answers a GET or HEAD from slices. `false`: nothing was answered, and the whole is to be fetched.
pub(super) async fn serve(session: &mut Session, node: &Arc<Node>, ctx: &mut Context, size: u64) -> Result<bool> {
    let request = session.req_header();
    let asked = request.headers.get(RANGE).filter(|_| request.method == Method::GET).cloned();
    let path = request.uri.path_and_query().map_or("/", |path| path.as_str()).to_owned();
    let of_player = |name: &HeaderName| name.as_str().starts_with(OF_THE_PLAYER);
    let fields = asked_alike(request).into_iter().filter(|(name, _)| !of_player(name)).collect();
    let fetch = Fetch { node: node.clone(), host: ctx.host.clone(), path, fields, size };
    let guess = asked.as_ref().map_or(0, |field| first_named(field.as_bytes())) / size;
    let mut reply = fetch.slice(guess).await?;
    if reply.status() == StatusCode::RANGE_NOT_SATISFIABLE && guess > 0 {
        // Behind the end: how long it is says the answer, or the first slice.
        if let Some(total) = total_of_unsatisfiable(reply.headers()) {
            return unsatisfiable(session, node, ctx, total).await.map(|()| true);
        }
        reply = fetch.slice(0).await?;
    }
    let Some((_, total)) = content_range(reply.headers()).filter(|_| reply.status() == StatusCode::PARTIAL_CONTENT)
    else {
        note_outcome(ctx, reply.headers());
        return pass_on(session, node, ctx, reply, Bytes::new()).await.map(|()| true);
    };
    let request = session.req_header();
    let ranges = match asked.filter(|_| if_range(&request.headers, reply.headers())) {
        Some(field) => parse(field.as_bytes(), total),
        None => ByteRange::Whole,
    };
    let (parts, is_partial) = match ranges {
        ByteRange::Parts(parts) => (parts, true),
        ByteRange::Whole => (vec![Part { first: 0, last: total - 1 }], false),
        ByteRange::Unsatisfiable => return unsatisfiable(session, node, ctx, total).await.map(|()| true),
    };
    let version = Version::of(reply.headers(), total);
    let is_one = parts.iter().all(|part| part.first / size == guess && part.last / size == guess);
    if version.is_none() && !is_one {
        // Nobody could tell whether two slices are of the same object.
        return Ok(false);
    }
    note_outcome(ctx, reply.headers());
    let condition = evaluate(&request.headers, StatusCode::OK, reply.headers());
    let bodiless = request.method == Method::HEAD || condition != Condition::Holds;
    let mut head = head_of(reply.headers(), total, Some(parts[0]).filter(|_| is_partial), condition)?;
    let several = (parts.len() > 1).then(|| Byteranges::of(total, reply.headers().get(CONTENT_TYPE)));
    if let Some(several) = several.as_ref().filter(|_| head.status == StatusCode::PARTIAL_CONTENT) {
        head.remove_header(&CONTENT_RANGE);
        head.insert_header(CONTENT_TYPE, several.content_type())?;
        head.insert_header(CONTENT_LENGTH, several.length(&parts))?;
    }
    crate::filters::points::on_response(session, &mut head, ctx).await?;
    crate::video::tell(session, node, ctx, &mut head)?;
    ctx.count(&node.figures, head.status.as_u16());
    crate::video::prefetch::on_response(session, node, ctx, head.status.as_u16());
    session.write_response_header(Box::new(head), bodiless).await?;
    if bodiless {
        return Ok(true);
    }
    let mut first = Some(reply).filter(|_| parts[0].first / size == guess);
    for part in parts {
        if let Some(several) = &several {
            session.write_response_body(Some(several.before(part).into()), false).await?;
        }
        send(session, &fetch, part, version.as_ref(), first.take()).await.inspect_err(|error| {
            // Not when it was the client that left.
            if let (ErrorType::Custom(CHANGED), Some(site)) = (error.etype(), &ctx.site) {
                node.store.purge(&[Target::Url(super::key(site, &fetch.host, &fetch.path))]);
            }
        })?;
    }
    let end = several.map(|several| several.end().into());
    session.write_response_body(end, true).await.map(|()| true)
}

/// The fields of a request that hold for what this node asks itself in its place, by HTTP/1.1.
pub(super) fn asked_alike(request: &RequestHeader) -> Vec<(HeaderName, HeaderValue)> {
    let headers = &request.headers;
    let cookies = join_cookies(request.version, headers).and_then(|cookies| HeaderValue::from_bytes(&cookies).ok());
    let ending = littoral_cache::entry::hop_by_hop(headers);
    let is_joined = |name: &HeaderName| *name == COOKIE && cookies.is_some();
    let holds = |name: &HeaderName| !ABOUT_THE_ANSWER.contains(name) && !ending.contains(name) && !is_joined(name);
    let fields = headers.iter().filter(|(name, _)| holds(name));
    let mut fields: Vec<_> = fields.map(|(name, value)| (name.clone(), value.clone())).collect();
    fields.extend(cookies.map(|cookies| (COOKIE, cookies)));
    fields
}

/// Whether a request is one to put slices together for.
pub(super) fn are_for(session: &Session, node: &Node, ctx: &Context) -> bool {
    let request = session.req_header();
    let reads = matches!(request.method, Method::GET | Method::HEAD) && !super::target::has_body(&request.headers);
    let path = request.uri.path_and_query().map_or("/", |path| path.as_str());
    is_as_written(path)
        && reads
        && ctx.slice.is_none()
        && !ctx.background
        && node.itself.is_some()
        && !ctx.demand.only_if_cached
}

/// Whether the client in here writes a path as it is: else it would ask for another URL.
pub(crate) fn is_as_written(path: &str) -> bool {
    url::Url::parse(&format!("http://h{path}"))
        .is_ok_and(|url| &url[url::Position::BeforePath..url::Position::AfterQuery] == path)
}

/// The secondary key of a slice, or of the whole, of a response with this one.
pub(crate) fn variance(of_response: Option<[u8; 16]>, slice: Option<Slice>) -> [u8; 16] {
    let (index, size) = slice.map_or((u64::MAX, 0), |slice| (slice.index, slice.size));
    let text = [&of_response.unwrap_or_default()[..], &index.to_le_bytes(), &size.to_le_bytes()].concat();
    littoral_cache::key::hash_bytes(&text).to_le_bytes()
}

/// The first byte that a Range field names, when it is a plain number; else 0.
fn first_named(field: &[u8]) -> u64 {
    let text = std::str::from_utf8(field).unwrap_or("");
    let spec = text.split_once('=').map_or("", |(_, specs)| specs);
    spec.trim().split('-').next().and_then(|first| first.trim().parse().ok()).unwrap_or(0)
}

/// The bytes of `part`, slice after slice; the next one is asked for while one is sent.
async fn send(
    session: &mut Session,
    fetch: &Fetch,
    part: Part,
    version: Option<&Version>,
    first: Option<reqwest::Response>,
) -> Result<()> {
    let (from, to) = (part.first / fetch.size, part.last / fetch.size);
    let mut current = match first {
        Some(reply) => reply,
        None => fetch.slice(from).await?,
    };
    for index in from..=to {
        let next = (index < to).then(|| fetch.ahead(index + 1));
        let slice = Slice { index, size: fetch.size };
        let whole = content_range(current.headers()).filter(|(part, _)| part.first == slice.first());
        let changed = || Error::explain(ErrorType::Custom(CHANGED), "between two of its slices").into_up();
        let (_, total) = whole.ok_or_else(changed)?;
        if Version::of(current.headers(), total).as_ref() != version {
            return Err(changed());
        }
        let mut at = slice.first();
        while let Some(bytes) = current.chunk().await.map_err(|error| failed(&error))? {
            let end = at + bytes.len() as u64;
            let (skip, keep) = (part.first.max(at) - at, (part.last + 1).min(end).saturating_sub(at));
            if skip < keep {
                let wanted = bytes.slice(skip as usize..keep as usize);
                session.write_response_body(Some(wanted), false).await?;
            }
            at = end;
        }
        if at != slice.last().min(total - 1) + 1 {
            return Err(Error::explain(ErrorType::ReadError, "a slice ended early").into_up());
        }
        if let Some(next) = next {
            current = next.await.map_err(|_| failed(&"the fetch of a slice was lost"))??;
        }
    }
    Ok(())
}

impl Version {
    /// `None` where there is no strong validator: an entity tag that is, or without any a Last-Modified at least a second before the response was made
    /// (RFC 9110 §8.8.2.2), which is as long before its Date as its Age says.
    fn of(headers: &HeaderMap, total: u64) -> Option<Self> {
        let made = || {
            let age = headers.get(AGE).and_then(|age| age.to_str().ok()?.parse().ok()).unwrap_or(0);
            date_field(headers, DATE)?.checked_sub(Duration::from_secs(age))
        };
        let validator = strong_validator(headers)?;
        let is_strong = headers.contains_key(ETAG) || made()? > date_field(headers, LAST_MODIFIED)?;
        is_strong.then(|| Self { total, validator: validator.clone() })
    }
}

/// Asks this node for slices.
#[derive(Clone)]
struct Fetch {
    node: Arc<Node>,
    host: String,
    path: String,
    /// Of the client's request, those that hold for its slices.
    fields: Arc<[(HeaderName, HeaderValue)]>,
    size: u64,
}

impl Fetch {
    async fn slice(&self, index: u64) -> Result<reqwest::Response> {
        let no_door = || Error::explain(ErrorType::InternalError, "slices need a listener for HTTP");
        let asking = of_itself(&self.node, &self.host, &self.path).ok_or_else(no_door)?;
        let asking = self.fields.iter().fold(asking, |asking, (name, value)| asking.header(name, value));
        let reply = ask(asking.header(SLICE, format!("{} {index}", self.node.token))).await;
        reply.map_err(|error| failed(&error))
    }

    fn ahead(&self, index: u64) -> JoinHandle<Result<reqwest::Response>> {
        let fetch = self.clone();
        tokio::spawn(async move { fetch.slice(index).await })
    }
}

/// A GET of a URL of one of its hosts for the node itself; `None` where it has no listener for HTTP.
pub(crate) fn of_itself(node: &Node, host: &str, path: &str) -> Option<reqwest::RequestBuilder> {
    Some(node.itself.as_ref()?.get(itself::url(path)).header(HOST, host))
}

/// Sends a GET to the node itself; once more where it fails, since a kept connection may be closed just when it is used again
/// (RFC 9112 §9.3.1).
pub(crate) async fn ask(request: reqwest::RequestBuilder) -> reqwest::Result<reqwest::Response> {
    let again = request.try_clone();
    match (request.send().await, again) {
        (Err(error), Some(again)) if error.is_request() => again.send().await,
        (sent, _) => sent,
    }
}

pub(super) fn failed(error: &impl ToString) -> Box<Error> {
    Error::explain(ErrorType::ReadError, format!("asking this node itself: {}", error.to_string())).into_up()
}

/// The head of an answer made of slices, from that of one of them.
pub(super) fn head_of(
    slice: &HeaderMap,
    total: u64,
    part: Option<Part>,
    condition: Condition,
) -> Result<ResponseHeader> {
    let status = match (condition, part) {
        (Condition::NotModified, _) => StatusCode::NOT_MODIFIED,
        (Condition::Failed, _) => StatusCode::PRECONDITION_FAILED,
        (_, Some(_)) => StatusCode::PARTIAL_CONTENT,
        (_, None) => StatusCode::OK,
    };
    let mut head = ResponseHeader::build_no_case(status, Some(slice.len() + 2))?;
    const ITS_OWN: [HeaderName; 5] = [CONTENT_RANGE, CONTENT_LENGTH, TRANSFER_ENCODING, CONNECTION, DATE];
    for (name, value) in slice.iter().filter(|(name, _)| !ITS_OWN.contains(name)) {
        head.append_header(name.clone(), value.clone())?;
    }
    head.insert_header(ACCEPT_RANGES, "bytes")?;
    match (status, part) {
        (StatusCode::PARTIAL_CONTENT, Some(Part { first, last })) => {
            head.insert_header(CONTENT_RANGE, format!("bytes {first}-{last}/{total}"))?;
            head.insert_header(CONTENT_LENGTH, last - first + 1)?;
        }
        (StatusCode::OK, _) => head.insert_header(CONTENT_LENGTH, total)?,
        (StatusCode::PRECONDITION_FAILED, _) => head.insert_header(CONTENT_LENGTH, 0)?,
        _ => {}
    }
    Ok(head)
}

async fn unsatisfiable(session: &mut Session, node: &Node, ctx: &mut Context, total: u64) -> Result<()> {
    let mut head = ResponseHeader::build_no_case(StatusCode::RANGE_NOT_SATISFIABLE, Some(2))?;
    head.insert_header(CONTENT_RANGE, format!("bytes */{total}"))?;
    head.insert_header(CONTENT_LENGTH, 0)?;
    ctx.count(&node.figures, head.status.as_u16());
    session.write_response_header(Box::new(head), true).await
}

/// What is no slice (an error, a redirect, the whole of an origin that has no ranges) goes on as it is.
///
/// `begun` is what of its body was read already.
pub(super) async fn pass_on(
    session: &mut Session,
    node: &Node,
    ctx: &mut Context,
    mut reply: reqwest::Response,
    begun: Bytes,
) -> Result<()> {
    let mut head = ResponseHeader::build_no_case(reply.status(), Some(reply.headers().len()))?;
    for (name, value) in reply.headers().iter().filter(|(name, _)| **name != CONNECTION && **name != DATE) {
        head.append_header(name.clone(), value.clone())?;
    }
    crate::filters::points::on_response(session, &mut head, ctx).await?;
    crate::video::tell(session, node, ctx, &mut head)?;
    let bodiless = session.req_header().method == Method::HEAD;
    ctx.count(&node.figures, head.status.as_u16());
    session.write_response_header(Box::new(head), bodiless).await?;
    if bodiless {
        return Ok(());
    }
    if !begun.is_empty() {
        session.write_response_body(Some(begun), false).await?;
    }
    while let Some(bytes) = reply.chunk().await.map_err(|error| failed(&error))? {
        session.write_response_body(Some(bytes), false).await?;
    }
    session.write_response_body(None, true).await
}

/// What the node answered itself with says whether the client waited for the origin, and why.
pub(super) fn note_outcome(ctx: &mut Context, slice: &HeaderMap) {
    let statuses = slice.get_all(super::respond::CACHE_STATUS);
    // Each cache appends its own.
    let told = statuses.iter().next_back().and_then(|status| littoral_cache::told(status.to_str().ok()?));
    ctx.outcome = Some(told.unwrap_or(littoral_cache::Outcome::Miss(littoral_cache::FwdReason::UriMiss)));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_very_bytes_of_a_slice_are_that_slice() {
        let check = |index, range: &str, length: &str, expected| {
            let mut response = ResponseHeader::build(206, None).unwrap();
            response.insert_header(CONTENT_RANGE, range).unwrap();
            response.insert_header(CONTENT_LENGTH, length).unwrap();
            assert_eq!(Slice { index, size: 10 }.is_in(&response), expected, "{index} {range} {length}");
        };
        check(0, "bytes 0-9/25", "10", true);
        check(2, "bytes 20-24/25", "5", true);
        check(2, "bytes 20-23/25", "4", false);
        check(0, "bytes 0-8/25", "9", false);
        check(1, "bytes 0-9/25", "10", false);
        check(0, "bytes 0-9/*", "10", false);
        check(0, "bytes 0-9/25", "9", false);
        check(0, "bytes 0-9/5", "10", false);
        assert_eq!(Slice { index: 3, size: 10 }.range(), "bytes=30-39");
        assert_eq!(Slice { index: u64::MAX, size: 10 }.last(), u64::MAX);
    }

    #[test]
    fn what_the_node_asks_itself_has_the_fields_of_the_request_and_cookies_in_one() {
        let asked = |version, fields: &[(&'static str, &str)]| {
            let mut request = RequestHeader::build("GET", b"/a", None).unwrap();
            request.set_version(version);
            for (name, value) in fields {
                request.append_header(*name, *value).unwrap();
            }
            let mut alike = asked_alike(&request);
            alike.sort_by_key(|(name, _)| name.to_string());
            alike.iter().map(|(name, value)| format!("{name}: {}", value.to_str().unwrap())).collect::<Vec<_>>()
        };
        let fields = [
            ("cookie", "a=1"),
            ("range", "bytes=0-1"),
            ("cookie", "b=2"),
            ("connection", "x-hop"),
            ("x-hop", "1"),
            ("x-a", "b"),
        ];
        assert_eq!(asked(http::Version::HTTP_2, &fields), ["cookie: a=1; b=2", "x-a: b"]);
        assert_eq!(asked(http::Version::HTTP_11, &fields), ["cookie: a=1", "cookie: b=2", "x-a: b"]);
        assert_eq!(asked(http::Version::HTTP_2, &fields[4..]), ["x-a: b", "x-hop: 1"]);
    }

    #[test]
    fn the_first_byte_named_is_found_where_it_is_plain() {
        for (field, first) in
            [("bytes=20-", 20), ("bytes= 7-9,1-2", 7), ("bytes=-5", 0), ("x", 0), ("bytes=99999999999999999999-", 0)]
        {
            assert_eq!(first_named(field.as_bytes()), first, "{field}");
        }
    }
}

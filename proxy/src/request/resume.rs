//! A fill whose origin broke off goes on where it stopped: the rest is asked for by a range.
//!
//! The framework gives up the request that began the fill. Here the fill is taken from it first; a task asks this very node for the
//! rest, past the cache, so that origins are chosen, bounded and retried as for any request, and what the client still misses is
//! sent to it from the fill. Invariants: only bytes of the same object are put together, by a strong validator (RFC 9110 §8.8.1), else
//! the fill breaks; only this process can ask for a rest; it is asked for so often as the site says and no more.

use std::sync::Arc;
use std::time::SystemTime;

use http::header::{
    ACCEPT_RANGES, CONNECTION, CONTENT_ENCODING, CONTENT_LENGTH, ETAG, EXPECT, HOST, IF_MATCH, IF_MODIFIED_SINCE,
    IF_NONE_MATCH, IF_RANGE, IF_UNMODIFIED_SINCE, LAST_MODIFIED, RANGE,
};
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};
use littoral_cache::conditions::strong_validator;
use littoral_cache::fill::{Fill, FillReader, FillWriter};
use littoral_cache::range::Part;
use pingora::http::RequestHeader;
use pingora::proxy::{FailToProxy, ProxyHttp, RangeType, Session};
use pingora::{Error, ErrorSource, ErrorType, Result};

use super::RequestPath;
use super::context::Context;
use super::slices::{ask, content_range, is_as_written};
use super::unread::Unread;
use crate::itself;
use crate::node::Node;
use crate::observe::figures::Resumed;
use crate::rescue;
use crate::site::Site;
use crate::storage::{Filling, head_of};

/// Says that the rest of an object is asked for, by the token of this process.
pub(super) const RESUME: HeaderName = HeaderName::from_static("x-littoral-resume");

/// What of a response goes to the client that waits for it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Share {
    /// All of its body.
    #[default]
    Whole,
    /// The bytes from the first to before the second.
    Part(u64, u64),
    /// Several parts, with heads of their own.
    Parts,
}

impl Share {
    /// As the framework was told.
    pub(super) fn of(range: &RangeType) -> Self {
        match range {
            RangeType::None => Self::Whole,
            RangeType::Single(part) => Self::Part(part.start as u64, part.end as u64),
            RangeType::Multi(_) => Self::Parts,
            RangeType::Invalid => Self::Part(0, 0),
        }
    }
}

/// Whether a request is one of this process for the rest of an object. The field goes either way.
pub(super) fn take(request: &mut RequestHeader, node: &Node) -> bool {
    request.remove_header(&RESUME).is_some_and(|token| token.as_bytes() == node.token.as_bytes())
}

/// A fill that goes on without the request that began it.
#[derive(Debug)]
pub struct Resumption {
    fill: Arc<Fill>,
    /// That of the client, unless it has left.
    reader: Option<FillReader>,
}

/// A fill that goes on, and how its rest is asked for.
struct Rest {
    node: Arc<Node>,
    site: Arc<Site>,
    url: String,
    request: HeaderMap,
    writer: FillWriter,
    validator: HeaderValue,
    /// The part of the object that is filled, and the length of the whole.
    part: Part,
    total: u64,
}

/// How asking for the rest ended.
enum Ended {
    /// The fill is whole.
    Whole,
    /// It broke off again, or the answer was an error.
    Early,
    /// It is no longer the same object, or no ranges of it are to be had.
    Changed,
    /// Nobody reads it, and it is not fetched for nobody.
    Unread,
}

/// Takes a fill over that its origin broke off, if it can go on. `error` is why it broke.
pub(super) fn take_over(node: &Arc<Node>, session: &Session, error: &Error, ctx: &mut Context) {
    let broke_off = *error.esource() == ErrorSource::Upstream && *error.etype() != rescue::OVERDUE;
    if !broke_off || !session.cache.enabled() || ctx.encoder.is_some() {
        return;
    }
    let key = session.cache.cache_key();
    let Some(fill) = Filling::of(key).filter(|fill| can_go_on(node, fill, ctx)) else { return };
    let Some((url, site)) = url_of(node, session).zip(ctx.site.clone()) else { return };
    let Some((part, total)) = part_of(&fill).filter(|(part, _)| part.first + fill.filled() <= part.last) else {
        return;
    };
    let headers = &fill.head().headers;
    let (Some(validator), Some(writer)) = (strong_validator(headers).cloned(), Filling::take_over(key)) else { return };
    let mut request = session.req_header().headers.clone();
    for name in littoral_cache::entry::hop_by_hop(&request) {
        request.remove(name);
    }
    const OTHERS: [HeaderName; 9] = [
        CONNECTION,
        CONTENT_LENGTH,
        IF_MATCH,
        IF_NONE_MATCH,
        IF_MODIFIED_SINCE,
        IF_UNMODIFIED_SINCE,
        IF_RANGE,
        RANGE,
        EXPECT,
    ];
    OTHERS.iter().for_each(|name| drop(request.remove(name)));
    if let Ok(host) = HeaderValue::from_str(&ctx.host) {
        request.insert(HOST, host);
    }
    // The place at the origin that broke off is free for whoever is asked now.
    ctx.attempts.end();
    // From now on it counts as read by this client, if that is still there.
    ctx.resumed = Some(Resumption { reader: fill.reader().filter(|_| !*ctx.left.get_mut()), fill });
    let rest = Rest { node: node.clone(), site, url, request, writer, validator, part, total };
    tokio::spawn(rest.fetch());
}

fn can_go_on(node: &Node, fill: &Fill, ctx: &Context) -> bool {
    let headers = &fill.head().headers;
    let resumes = ctx.site.as_ref().is_some_and(|site| site.fill.resume > 0);
    let has_ranges = headers.get(ACCEPT_RANGES).is_none_or(|ranges| ranges != "none");
    // The explicit proxy cannot ask itself for what the node would take for one of its sites.
    let is_ours = ctx.forward.is_none() && !ctx.host.is_empty();
    is_ours && resumes && has_ranges && node.itself.is_some() && strong_validator(headers).is_some()
}

/// Which part of an object is filled, of a length known from the start: the whole, or a slice.
fn part_of(fill: &Fill) -> Option<(Part, u64)> {
    let length = fill.length()?;
    match fill.head().status {
        StatusCode::OK => Some((Part { first: 0, last: length.checked_sub(1)? }, length)),
        StatusCode::PARTIAL_CONTENT => {
            content_range(&fill.head().headers).filter(|(part, _)| part.last - part.first + 1 == length)
        }
        _ => None,
    }
}

fn url_of(node: &Node, session: &Session) -> Option<String> {
    let path = session.req_header().uri.path_and_query()?.as_str();
    is_as_written(path).then_some(())?;
    node.itself.is_some().then(|| itself::url(path))
}

impl Rest {
    async fn fetch(mut self) {
        let mut ended = Ended::Early;
        let fill = self.writer.fill().clone();
        let mut unread = Unread::default();
        for _ in 0..self.site.fill.resume {
            ended = self.fetch_once(&fill, &mut unread).await;
            if !matches!(ended, Ended::Early) {
                break;
            }
        }
        let whole = matches!(ended, Ended::Whole) && self.writer.finish(SystemTime::now()).is_ok();
        let resumed = match ended {
            Ended::Whole if whole => Resumed::Whole,
            Ended::Changed => Resumed::Changed,
            Ended::Unread => return,
            _ => Resumed::Failed,
        };
        self.node.figures.resumed(resumed);
        tracing::debug!(url = self.url, whole, "a fill that broke off was resumed");
    }

    async fn fetch_once(&mut self, fill: &Fill, unread: &mut Unread) -> Ended {
        let first = self.part.first + fill.filled();
        let Some(itself) = &self.node.itself else { return Ended::Early };
        let request = itself.get(&self.url).headers(self.request.clone());
        let request = request.header(RANGE, format!("bytes={first}-{}", self.part.last));
        let request = request.header(IF_RANGE, self.validator.clone()).header(RESUME, &self.node.token);
        let Ok(mut reply) = ask(request).await else { return Ended::Early };
        if reply.status().is_server_error() {
            return Ended::Early;
        }
        if !self.is_rest(&reply, first, fill) {
            return Ended::Changed;
        }
        while let Ok(Some(piece)) = reply.chunk().await {
            if !unread.may_go_on(fill, 0, &self.site, &self.node.figures) {
                return Ended::Unread;
            }
            if self.writer.write(piece).is_err() {
                return Ended::Changed;
            }
        }
        if fill.length() == Some(fill.filled()) { Ended::Whole } else { Ended::Early }
    }

    /// Whether an answer is the rest from `first` on, of the same object in the same coding.
    fn is_rest(&self, reply: &reqwest::Response, first: u64, fill: &Fill) -> bool {
        let (stored, came) = (&fill.head().headers, reply.headers());
        let same = |name: HeaderName| stored.get(&name) == came.get(&name);
        let same_date = !came.contains_key(LAST_MODIFIED) || same(LAST_MODIFIED);
        reply.status() == StatusCode::PARTIAL_CONTENT
            && content_range(came) == Some((Part { first, last: self.part.last }, self.total))
            && same(ETAG)
            && same(CONTENT_ENCODING)
            && same_date
    }
}

/// The end of a request whose fill goes on without it.
pub(super) async fn end(
    path: &RequestPath,
    session: &mut Session,
    ctx: &mut Context,
    resumption: Resumption,
) -> FailToProxy {
    match deliver(path, session, ctx, resumption).await {
        Err(error) => rescue::answer(session, &error, &path.node, ctx).await,
        Ok(()) => {
            ctx.mended = true;
            FailToProxy { error_code: 0, can_reuse_downstream: false }
        }
    }
}

/// Sends a client what it still misses of a fill that goes on without its request.
///
/// # Errors
/// When the rest did not come, or the client left.
async fn deliver(
    path: &RequestPath,
    session: &mut Session,
    ctx: &mut Context,
    Resumption { fill, reader }: Resumption,
) -> Result<()> {
    let Some(mut reader) = reader else {
        return Err(Error::explain(ErrorType::ConnectionClosed, "the client left").into_down());
    };
    while session.has_pending_downstream_tasks() {
        session.write_downstream_proxy_tasks().await?;
    }
    let early = |why: &'static str| Error::explain(ErrorType::ReadError, why).into_up();
    if session.response_written().is_none() {
        send_head(path, session, ctx, &fill).await?;
    }
    let status = session.response_written().map_or(StatusCode::OK, |head| head.status);
    let has_body = matches!(status, StatusCode::OK | StatusCode::PARTIAL_CONTENT);
    if session.req_header().method == Method::HEAD || !has_body {
        return session.as_mut().finish_body().await;
    }
    let (first, end) = match ctx.share {
        Share::Whole => (0, fill.length().unwrap_or(u64::MAX)),
        Share::Part(first, end) => (first, end),
        Share::Parts => return Err(early("several parts of an object whose origin broke off")),
    };
    reader.seek(first + session.body_bytes_sent() as u64, Some(end));
    while let Some(bytes) =
        reader.read().await.map_err(|_| early("an origin broke off, and so did asking for the rest"))?
    {
        session.write_response_body(Some(bytes), false).await?;
    }
    session.write_response_body(None, true).await?;
    session.as_mut().finish_body().await
}

/// The head, when the origin broke off before it was sent.
async fn send_head(path: &RequestPath, session: &mut Session, ctx: &mut Context, fill: &Fill) -> Result<()> {
    let mut head = head_of(fill.head());
    if let Some(length) = fill.length() {
        head.insert_header(CONTENT_LENGTH, length)?;
    }
    let mut bodiless = session.req_header().method == Method::HEAD;
    if path.cache_not_modified_filter(session, &head, ctx)? {
        bodiless = true;
        head.set_status(StatusCode::NOT_MODIFIED)?;
        head.remove_header(&CONTENT_LENGTH);
    } else {
        bodiless |= matches!(path.range_header_filter(session, &mut head, ctx), RangeType::Invalid);
    }
    path.response_filter(session, &mut head, ctx).await?;
    session.write_response_header(Box::new(head), bodiless).await
}

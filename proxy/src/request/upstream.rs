//! The way of a request to an origin: which one, when there is room, and whether a failure is worth another.
//!
//! Who may be asked at all is [`crate::origin`]'s, the status of a failure [`crate::rescue`]'s. Invariants: a place at an
//! origin is held while a request to it is under way and no longer; what has an answer's head is not asked again; retries
//! stay within the budget of the site.

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use http::header::{COOKIE, HOST, RANGE, TE, VIA};
use http::{HeaderName, HeaderValue, Version};
use pingora::http::RequestHeader;
use pingora::protocols::http::authority::validate_request_authority;
use pingora::proxy::Session;
use pingora::upstreams::peer::HttpPeer;
use pingora::{Error, ErrorSource, ErrorType, Result};

use super::RequestPath;
use super::cdn_loop;
use super::context::Context;
use super::{pieces, target};
use crate::clock::elapsed_ms;
use crate::listen::h2::Upload;
use crate::observe::figures::Figures;
use crate::origin::health::Verdict;
use crate::origin::{Busy, Origin, Slot, Wish, hash_of};
use crate::rescue;
use crate::site::Site;

/// Edge Architecture Specification 1.0 §2.2: tells origins that a Surrogate-Control of theirs is heeded here.
const SURROGATE_CAPABILITY: HeaderName = HeaderName::from_static("surrogate-capability");
const CAPABILITY: HeaderValue = HeaderValue::from_static("littoral=\"Surrogate/1.0\"");

/// How often an origin or a shield is asked for one request at most.
pub const ATTEMPTS_MAX: usize = 2 + crate::config::RETRIES_MAX;

/// What one request has to do with origins.
#[derive(Debug, Default)]
pub struct Attempts {
    /// How often an origin was asked.
    pub count: usize,
    /// Those that were asked, in order.
    tried: Vec<Arc<Origin>>,
    /// The place at the last of them, while it is at work.
    slot: Option<Slot>,
    /// The first of them was a node of the site's shield.
    shielded: bool,
    /// Waiting for room at them.
    queued: Option<Duration>,
}

impl Attempts {
    /// The origin asked last.
    pub fn origin(&self) -> Option<&Arc<Origin>> {
        self.tried.last()
    }

    /// Whether the one asked last is a node of the site's shield.
    pub(super) fn is_at_shield(&self) -> bool {
        self.shielded && self.count == 1
    }

    /// How long it waited for room at origins; `None`: it asked none.
    pub fn queued(&self) -> Option<Duration> {
        self.queued
    }

    /// The origin has nothing more to do for this request.
    pub(super) fn end(&mut self) {
        self.slot = None;
    }
}

/// What the framework leaves undone for sessions that are not its own, as those of HTTP/2 clients are, when everything else is in the
/// request: it is for one host, and over HTTP/2 it says again that its client takes trailers.
pub(super) fn complete(session: &Session, upstream: &mut RequestHeader) -> Result<()> {
    if let Some(upload) = session.req_header().extensions.get::<Arc<Upload>>() {
        upload.goes_to(upstream.version);
    }
    if !session.as_downstream().is_custom() {
        return Ok(());
    }
    let takes_trailers = |value: &HeaderValue| value.as_bytes().eq_ignore_ascii_case(b"trailers");
    if upstream.version == Version::HTTP_2 && session.req_header().headers.get(TE).is_some_and(takes_trailers) {
        upstream.insert_header(TE, "trailers")?;
    }
    validate_request_authority(upstream).map_err(|error| error.into_in())
}

impl RequestPath {
    /// Which origin is asked next, once it has room.
    pub(super) async fn next_peer(&self, session: &Session, ctx: &mut Context) -> Result<Box<HttpPeer>> {
        let no_site = || Error::explain(ErrorType::InternalError, "a request without a site reached the origins");
        let site = ctx.site.clone().ok_or_else(no_site)?;
        let unreachable =
            || Error::explain(ErrorType::HTTPStatus(502), "no origin of the site has an address").into_up();
        ctx.attempts.end();
        if let Some(peer) = super::forward::peer(&self.node, ctx)? {
            self.begin_fetch(&site, ctx);
            return Ok(peer);
        }
        let wished = Instant::now();
        let slot = match self.enter_shield(&site, session, ctx).await {
            Some(slot) => slot,
            None => self.enter(&site, session, ctx).await?.ok_or_else(unreachable)?,
        };
        ctx.attempts.queued = Some(ctx.attempts.queued.unwrap_or_default() + wished.elapsed());
        let origin = slot.origin().clone();
        let address = origin.address(ctx.attempts.count).ok_or_else(unreachable)?;
        ctx.attempts.tried.push(origin.clone());
        ctx.attempts.slot = Some(slot);
        self.begin_fetch(&site, ctx);
        Ok(origin.peer(address, &site.timeouts))
    }

    /// Makes the request to the origin of what the client sent.
    pub(super) fn address(&self, session: &Session, upstream: &mut RequestHeader, ctx: &Context) -> Result<()> {
        // In the spelling of the key, without a port: what is stored must not depend on what the key does not say.
        let origin = ctx.attempts.origin();
        let own = origin.filter(|_| ctx.host.is_empty()).map(|origin| origin.host.as_str());
        match origin.and_then(|origin| origin.host_field.clone()) {
            Some(host) => upstream.insert_header(HOST, host)?,
            None => upstream.insert_header(HOST, own.unwrap_or(&ctx.host))?,
        }
        if let Some(cookies) = target::join_cookies(session.req_header().version, &upstream.headers) {
            upstream.insert_header(COOKIE, cookies)?;
        }
        if let Some(site) = ctx.site.as_ref().filter(|_| ctx.key.is_some() || ctx.is_rest) {
            target::take_out_misleading(upstream, site);
        }
        if let Some(slice) = ctx.slice {
            upstream.insert_header(RANGE, slice.range())?;
        }
        pieces::ask(upstream, ctx)?;
        upstream.append_header(VIA, self.node.via.clone())?;
        upstream.insert_header(cdn_loop::CDN_LOOP, self.cdn_loop(session, ctx))?;
        upstream.append_header(SURROGATE_CAPABILITY, CAPABILITY)?;
        sign(upstream, ctx)
    }

    /// Counts an attempt that begins.
    fn begin_fetch(&self, site: &Site, ctx: &mut Context) {
        if ctx.attempts.count == usize::from(ctx.attempts.shielded) {
            site.origins.budget.deposit(elapsed_ms());
        }
        ctx.attempts.count += 1;
        (ctx.asked, ctx.asked_purges) = (SystemTime::now(), self.node.store.purges());
        self.node.figures.fetch(ctx.attempts.count > 1);
    }

    /// A place at the node of the site's shield that the object belongs to, unless the request came from there.
    async fn enter_shield(&self, site: &Site, session: &Session, ctx: &mut Context) -> Option<Slot> {
        let shield = site.shield.as_ref().filter(|_| ctx.attempts.count == 0)?;
        if cdn_loop::is_from_tier(&session.req_header().headers, &shield.tier) {
            return None;
        }
        let wish = Wish { now_ms: elapsed_ms(), key: key_of(session, ctx), tried: &[] };
        let slot = shield.enter(&wish, &self.node.name).await?;
        ctx.attempts.shielded = true;
        self.node.figures.shielded.add(1);
        Some(slot)
    }

    /// The field that ends loops, for whom the request is sent to now.
    fn cdn_loop(&self, session: &Session, ctx: &Context) -> http::HeaderValue {
        let shield = ctx.site.as_ref().and_then(|site| site.shield.as_ref());
        let tier = shield.filter(|_| ctx.attempts.is_at_shield()).map(|shield| shield.tier.as_str());
        cdn_loop::value(&session.req_header().headers, &self.node.name, tier)
    }

    /// A shield's answer that only says that it has none: an origin is asked instead, where the request may be repeated.
    pub(super) fn is_shield_failing(&self, session: &Session, status: u16, ctx: &Context) -> bool {
        ctx.attempts.is_at_shield() && matches!(status, 421 | 502..=504 | 508) && is_repeatable(session)
    }

    /// A place at an origin; `None` when not one has an address. While the queue of one is full, the next is asked; the time
    /// to wait is spent once.
    async fn enter(&self, site: &Site, session: &Session, ctx: &Context) -> Result<Option<Slot>> {
        let figures = &self.node.figures;
        let mut tried = ctx.attempts.tried.clone();
        let key = key_of(session, ctx);
        let busy = |why| Error::explain(rescue::BUSY, why).into_up();
        for _ in site.origins.all() {
            let wish = Wish { now_ms: elapsed_ms(), key, tried: &tried };
            let Some(origin) = site.origins.pick(&wish) else { return Ok(None) };
            if !origin.has_room() {
                figures.queued.add(1);
            }
            match Slot::at(origin.clone()).await {
                Ok(slot) => return Ok(Some(slot)),
                Err(Busy::TimedOut) => {
                    figures.queue_timeouts.add(1);
                    return Err(busy("the request waited too long for an origin"));
                }
                Err(Busy::QueueFull) => tried.push(origin),
            }
        }
        figures.queues_full.add(1);
        Err(busy("too many requests wait for the origins"))
    }

    /// Notes what the origin did that was asked last, for its health.
    pub(super) fn note_origin(&self, ctx: &Context, answered: bool) {
        let (Some(origin), Some(site)) = (ctx.attempts.origin(), &ctx.site) else { return };
        if answered {
            if origin.health().succeeded(elapsed_ms()) {
                tracing::info!(%origin, "origin asked again as before");
            }
            return;
        }
        let group = match &site.shield {
            Some(shield) if ctx.attempts.is_at_shield() => &shield.nodes,
            _ => &site.origins,
        };
        match group.failed(origin, elapsed_ms()) {
            Verdict::AsBefore => {}
            Verdict::Spared => self.node.figures.spared.add(1),
            Verdict::Ejected => {
                self.node.figures.ejections.add(1);
                tracing::warn!(%origin, "origin left out after repeated failures");
            }
        }
    }

    /// Whether another origin, or the same again, is asked after a failure that would be worth it.
    pub(super) fn may_retry(&self, ctx: &Context) -> bool {
        if ctx.attempts.is_at_shield() {
            self.node.figures.shield_failures.add(1);
            return true;
        }
        let made = ctx.attempts.count - usize::from(ctx.attempts.shielded);
        let Some(site) = ctx.site.as_ref().filter(|site| made <= site.retries) else { return false };
        let granted = site.origins.budget.withdraw(elapsed_ms());
        if !granted {
            self.node.figures.retries_refused.add(1);
        }
        granted
    }

    /// Whether a failure on the way is worth another attempt: nothing has come yet, and the request may be repeated.
    pub(super) fn is_worth_retrying(&self, session: &Session, error: &Error, ctx: &Context) -> bool {
        let untouched = !ctx.answered && session.response_written().is_none();
        // One that is slow is not asked again: nobody waits for twice the time that was set.
        let another = ctx.site.as_ref().is_some_and(|site| site.origins.all().len() > 1);
        let worth_it = another || ctx.attempts.is_at_shield() || *error.etype() != ErrorType::ReadTimedout;
        *error.esource() != ErrorSource::Downstream && is_repeatable(session) && untouched && worth_it
    }
}

/// Last before it is sent: tells of its trace, and signs a request to an origin that wants it.
fn sign(request: &mut RequestHeader, ctx: &Context) -> Result<()> {
    ctx.traced.as_ref().map_or(Ok(()), |traced| traced.inject(request))?;
    let Some((origin, signer)) = ctx.attempts.origin().and_then(|origin| Some((origin, origin.signer.as_ref()?)))
    else {
        return Ok(());
    };
    let fails = |why: String| Error::explain(ErrorType::InternalError, format!("cannot sign the request: {why}"));
    let host = request.headers.get(HOST).cloned().ok_or_else(|| fails("it has no host".to_owned()))?;
    signer.sign(request, origin.tls, &host, SystemTime::now()).map_err(fails)
}

/// A piece of an origin's body has come: whether there is time for more.
///
/// # Errors
/// [`rescue::OVERDUE`] when there is none.
pub(super) fn check_time(session: &Session, ctx: &Context, end_of_stream: bool, figures: &Figures) -> Result<()> {
    let total = ctx.site.as_ref().map_or(Duration::ZERO, |site| site.timeouts.total.0);
    let in_time = total.is_zero() || ctx.stamps.asked.is_none_or(|asked| asked.elapsed() <= total);
    if in_time || end_of_stream || session.is_upgrade_req() {
        return Ok(());
    }
    figures.overdue.add(1);
    Err(Error::explain(rescue::OVERDUE, "the whole answer took longer than timeouts.total").into_up())
}

fn is_repeatable(session: &Session) -> bool {
    session.req_header().method.is_idempotent() && !session.as_ref().retry_buffer_truncated()
}

/// Of what is asked for: the cache key's text, or what it would be.
fn key_of(session: &Session, ctx: &Context) -> u64 {
    match &ctx.key {
        Some(key) => hash_of(key.text()),
        None => hash_of(&[ctx.host.as_bytes(), b" ", session.req_header().raw_path()].concat()),
    }
}

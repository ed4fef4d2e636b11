//! The way of a request, phase by phase in the order they run.
//!
//! Fresh hits on plain GETs are answered before this, in [`crate::hits`]; whatever is not that simple comes here: misses,
//! revalidation, variants, ranges, conditions, other methods, errors. What a phase needs is computed by the modules it
//! calls; this file only says what happens when.
//!
//! Invariants: a response is stored only if [`littoral_cache::freshness`] allows it and the store gave a ticket; an origin
//! is asked at most twice, and never again once its response head has come.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Instant, SystemTime};

use async_trait::async_trait;
use bytes::Bytes;
use http::header::{CONTENT_LENGTH, TRANSFER_ENCODING};
use http::{Method, StatusCode};
use littoral_cache::conditions::{self, Condition};
use littoral_cache::demand::{Demand, Reuse};
use littoral_cache::vary::Vary;
use littoral_cache::{Entry, Outcome};
use pingora::http::{RequestHeader, ResponseHeader};
use pingora::proxy::{FailToProxy, ProxyHttp, Session};
use pingora::upstreams::peer::HttpPeer;
use pingora::{Error, ErrorSource, ErrorType, Result};

use crate::clock::now_ms;
use crate::filters::points as filters;
use crate::listen::chunks;
use crate::node::Node;
use crate::request::context::Context;
use crate::rescue;
use crate::storage::{
    CacheKey, CacheMeta, CacheOptionOverrides, ForcedFreshness, Handler, InFlight, PASSES, RespCacheable, cache_key,
};
use crate::video;

mod admission;
mod arrival;
mod byteranges;
mod carried;
mod cdn_loop;
pub(crate) mod compress;
pub mod context;
pub(crate) use admission::key;
pub(crate) use respond::{own as respond_own, own_value, signed, without_surrogates};
pub(crate) mod forward;
mod intake;
pub(crate) mod manifest;
pub mod pieces;
mod posts;
mod range;
pub(crate) mod respond;
pub mod resume;
pub(crate) mod slices;
mod steer;
pub(crate) mod target;
pub mod unread;
mod upstream;
pub use upstream::ATTEMPTS_MAX;

/// Answered by the node itself on every host: who it is and how loaded. Health probes read it.
pub const HEALTH_PATH: &str = "/.well-known/littoral";

/// The request path of a node.
pub struct RequestPath {
    pub(crate) node: Arc<Node>,
    /// Its clients came to the explicit proxy.
    pub(crate) forward: bool,
}

#[async_trait]
impl ProxyHttp for RequestPath {
    type CTX = Context;

    fn new_ctx(&self) -> Context {
        Context::new()
    }

    /// No downstream module is used: compression is a matter of stored variants.
    fn init_downstream_modules(&self, _modules: &mut pingora::modules::http::HttpModules) {}

    /// First: what holds for the connection.
    async fn early_request_filter(&self, session: &mut Session, ctx: &mut Context) -> Result<()> {
        ctx.background = session.subrequest_ctx.is_some();
        carried::take(session, ctx.background);
        ctx.traced = self.node.traces.begin(session.req_header());
        session.set_proxy_tasks_enabled(true);
        intake::prepare(session, &self.node.settings.load().limits);
        Ok(())
    }

    /// Then: route to a site, or answer at once. `true`: answered.
    async fn request_filter(&self, session: &mut Session, ctx: &mut Context) -> Result<bool> {
        if self.forward {
            return forward::begin(session, &self.node, ctx).await;
        }
        let Some((host, site)) = arrival::settle(session, &self.node, ctx.background).await? else {
            return Ok(true);
        };
        target::normalise(session.req_header_mut(), &site);
        ctx.slice = slices::Slice::take(session.req_header_mut(), &self.node, site.slice);
        manifest::take(session.req_header_mut(), &self.node, ctx);
        ctx.is_rest = resume::take(session.req_header_mut(), &self.node);
        ctx.background |= ctx.is_rest;
        if site.client_directives {
            ctx.demand = Demand::of(&session.req_header().headers);
        }
        (ctx.host, ctx.site) = (host, Some(site.clone()));
        video::begin(session, ctx);
        if filters::on_request(session, &self.node, ctx).await? {
            return Ok(true);
        }
        if site.auto && !self.node.rate.resolve(session, ctx).await? {
            return rescue::refuse(session, 404, "no representation for this auto URL").await;
        }
        if manifest::answers(session, &self.node, ctx).await? {
            return Ok(true);
        }
        if let Some(size) = site.slice.filter(|_| slices::are_for(session, &self.node, ctx))
            && slices::serve(session, &self.node, ctx, size).await?
        {
            return Ok(true);
        }
        ctx.background |= ctx.slice.is_some();
        pieces::begin(session, &self.node, ctx).await
    }

    /// A piece of the body, on its way to the origin.
    async fn request_body_filter(
        &self,
        session: &mut Session,
        body: &mut Option<Bytes>,
        end_of_stream: bool,
        ctx: &mut Context,
    ) -> Result<()> {
        intake::take(session, body.as_ref(), end_of_stream, &self.node, ctx)
    }

    /// GET and HEAD go through the cache, everything else past it.
    fn request_cache_filter(&self, session: &mut Session, ctx: &mut Context) -> Result<()> {
        let request = session.req_header();
        let is_read = matches!(request.method, Method::GET | Method::HEAD);
        if !is_read || ctx.is_rest || ctx.pieces.is_some() || session.is_upgrade_req() {
            return Ok(());
        }
        ctx.fat = target::has_body(&request.headers);
        if ctx.fat {
            return Ok(());
        }
        let Some(site) = &ctx.site else { return Ok(()) };
        let path = request.uri.path_and_query().map_or("/", |path| path.as_str());
        let key = admission::key(site, &ctx.host, ctx.filtered.lookup.as_deref().unwrap_or(path));
        // What is stored all the same, perhaps for others, is looked at.
        let store = &self.node.store;
        ctx.passed = store.is_passed(&key, SystemTime::now()) && store.stored(&key, None).is_none();
        ctx.key = Some(key);
        let mut overrides = CacheOptionOverrides::default();
        overrides.wait_timeout = Some(self.node.collapse_wait);
        session.cache.enable(self.node.shelf, None, Some(&PASSES), Some(self.node.fill_lock), Some(overrides));
        Ok(())
    }

    fn cache_key_callback(&self, _session: &Session, ctx: &mut Context) -> Result<CacheKey> {
        let missing = || Error::explain(ErrorType::InternalError, "the cache is on but the request has no key");
        let grace = ctx.demand.stale_if_error;
        ctx.key.as_ref().map(|key| cache_key(key, ctx.passed, grace)).ok_or_else(missing)
    }

    /// Vary (RFC 9111 §4.1): the secondary key this request selects.
    fn cache_vary_filter(&self, meta: &CacheMeta, ctx: &mut Context, request: &RequestHeader) -> Option<[u8; 16]> {
        let site = ctx.site.as_ref()?;
        let variance = Vary::of(meta.headers()).variance(&request.headers, &site.selectors);
        let variance = if site.slice.is_some() { Some(slices::variance(variance, ctx.slice)) } else { variance };
        // Asked again for the response itself, which varies with nobody: what the lookup saw stands.
        ctx.other_variant |= variance.is_some() && meta.variance().is_some() && meta.variance() != variance;
        variance
    }

    /// Something is stored: count it, and tell a stale one from a fill in flight.
    async fn cache_hit_filter(
        &self,
        _session: &mut Session,
        meta: &CacheMeta,
        _hit: &mut Handler,
        is_fresh: bool,
        ctx: &mut Context,
    ) -> Result<Option<ForcedFreshness>> {
        ctx.was_stale = !is_fresh;
        ctx.collapsed = meta.extensions().get::<InFlight>().is_some();
        let Some(entry) = meta.extensions().get::<Arc<Entry>>() else {
            // A fill in flight whose lifetime is already over serves those who waited for it.
            return Ok((ctx.collapsed && !is_fresh).then_some(ForcedFreshness::ForceFresh));
        };
        let now_ms = now_ms();
        self.node.store.touch(entry, now_ms);
        // What was confirmed since the request came was confirmed for it too.
        let confirmed = is_fresh && entry.stored_ms() > now_ms.saturating_sub(ctx.started.elapsed().as_millis() as u64);
        let lifetime = entry.lifetime();
        Ok(match ctx.demand.on(entry.age_s(now_ms), entry.ttl_ms(now_ms), lifetime.may_be_stale) {
            Reuse::AfterValidation if !confirmed => {
                ctx.insists = is_fresh;
                Some(ForcedFreshness::ForceExpired)
            }
            Reuse::Stale => {
                ctx.patient = true;
                Some(ForcedFreshness::ForceFresh)
            }
            _ => None,
        })
    }

    /// RFC 5861: stale while it is revalidated, and when the origin fails, within the windows the response gave.
    fn should_serve_stale(&self, session: &mut Session, ctx: &mut Context, error: Option<&Error>) -> bool {
        if error.is_none() {
            carried::give(session, ctx);
        }
        error.is_none_or(|error| *error.esource() == ErrorSource::Upstream)
    }

    fn cache_miss(&self, session: &mut Session, ctx: &mut Context) {
        ctx.missed = true;
        session.cache.cache_miss();
    }

    /// Before an origin is asked: a client may want only what is stored (RFC 9111 §5.2.1.7).
    async fn proxy_upstream_filter(&self, session: &mut Session, ctx: &mut Context) -> Result<bool> {
        if ctx.demand.only_if_cached && (!ctx.background || ctx.as_is) {
            rescue::refuse(session, 504, "only-if-cached: nothing stored will do").await?;
            return Ok(false);
        }
        forward::find(session, &self.node, ctx).await
    }

    /// A miss: which origin is asked. Called again for a retry.
    async fn upstream_peer(&self, session: &mut Session, ctx: &mut Context) -> Result<Box<HttpPeer>> {
        let peer = self.next_peer(session, ctx).await?;
        ctx.stamps.ask();
        Ok(peer)
    }

    /// The way to the origin is open.
    async fn connected_to_upstream(
        &self,
        _session: &mut Session,
        _reused: bool,
        _peer: &HttpPeer,
        _fd: std::os::fd::RawFd,
        _digest: Option<&pingora::protocols::Digest>,
        ctx: &mut Context,
    ) -> Result<()> {
        ctx.stamps.connected = Some(Instant::now());
        Ok(())
    }

    async fn upstream_request_filter(
        &self,
        session: &mut Session,
        upstream: &mut RequestHeader,
        ctx: &mut Context,
    ) -> Result<()> {
        if !forward::send(upstream, &self.node, ctx)? {
            filters::ask_plain(upstream, ctx);
            self.address(session, upstream, ctx)?;
        }
        upstream::complete(session, upstream)
    }

    /// The origin's head, before anything else sees it.
    async fn upstream_response_filter(
        &self,
        session: &mut Session,
        response: &mut ResponseHeader,
        ctx: &mut Context,
    ) -> Result<()> {
        if is_interim(response.status) {
            return respond::interim(session, response).await;
        }
        let failing = matches!(response.status.as_u16(), 502..=504);
        if self.is_shield_failing(session, response.status.as_u16(), ctx) {
            self.note_origin(ctx, !failing);
            return Err(Error::explain(rescue::SHIELD, "the shield has no answer").into_up());
        }
        ctx.answered = true;
        let invalidated = posts::take_head(&self.node, session, response, ctx);
        crate::purge::invalidated(&self.node, &ctx.host, invalidated).await;
        ctx.stamps.answered = Some(Instant::now());
        self.node.figures.first_byte(&ctx.stamps);
        respond::end_hop(response);
        filters::on_origin(session, response, ctx).await?;
        if !ctx.is_rest {
            ctx.encoder = compress::begin(session.req_header(), response, ctx);
        }
        ctx.confirmed = (response.status == http::StatusCode::NOT_MODIFIED).then(|| response.headers.clone());
        self.note_origin(ctx, !failing);
        pieces::take_head(&self.node, session, response, ctx)
    }

    /// The origin's body: with its end, the origin has room for another request, however slow the client is.
    fn upstream_response_body_filter(
        &self,
        session: &mut Session,
        body: &mut Option<Bytes>,
        end_of_stream: bool,
        ctx: &mut Context,
    ) -> Result<Option<std::time::Duration>> {
        upstream::check_time(session, ctx, end_of_stream, &self.node.figures)?;
        unread::check(session, ctx, &self.node.figures)?;
        filters::on_body(ctx, body, end_of_stream)?;
        if let Some(encoder) = &mut ctx.encoder {
            *body = encoder.encode(body.take(), end_of_stream)?;
        }
        pieces::take(&self.node, ctx, body.as_ref(), end_of_stream);
        posts::take(ctx, body.as_ref(), end_of_stream);
        if end_of_stream {
            ctx.attempts.end();
            ctx.stamps.ended = Some(Instant::now());
        }
        Ok(None)
    }

    /// Whether the response is stored (RFC 9111 §3), and whether the store has room for it.
    fn response_cache_filter(
        &self,
        session: &Session,
        response: &ResponseHeader,
        ctx: &mut Context,
    ) -> Result<RespCacheable> {
        Ok(admission::decide(&self.node, session, response, ctx))
    }

    /// Conditions on what is stored (RFC 9110 §13.2.2): whether the client has it already.
    fn cache_not_modified_filter(
        &self,
        session: &Session,
        response: &ResponseHeader,
        ctx: &mut Context,
    ) -> Result<bool> {
        let condition = conditions::evaluate(&session.req_header().headers, response.status, &response.headers);
        ctx.failed = condition == Condition::Failed;
        Ok(condition == Condition::NotModified)
    }

    /// Ranges of what is stored (RFC 9110 §14), instead of the framework's reading of them.
    fn range_header_filter(
        &self,
        session: &mut Session,
        response: &mut ResponseHeader,
        ctx: &mut Context,
    ) -> pingora::proxy::RangeType {
        let range = match ctx.failed {
            true => range::fail(response),
            false => range::select(session.req_header(), response),
        };
        ctx.share = resume::Share::of(&range);
        range
    }

    /// Every response, on its way to the client.
    async fn response_filter(
        &self,
        session: &mut Session,
        response: &mut ResponseHeader,
        ctx: &mut Context,
    ) -> Result<()> {
        if is_interim(response.status) {
            return Ok(());
        }
        let outcome = ctx.outcome(session.cache.phase(), session.cache.lock_duration().is_some());
        ctx.outcome = Some(outcome);
        ctx.stamps.sending = Some(Instant::now());
        if let Some(meta) = session.cache.maybe_cache_meta() {
            let left = meta.fresh_until().duration_since(SystemTime::now());
            ctx.ttl_s =
                Some(left.map_or_else(|past| -(past.duration().as_secs() as i64), |left| left.as_secs() as i64));
            respond::set_age(response, meta.age())?;
        }
        if session.req_header().version < http::Version::HTTP_11 && response.status != StatusCode::SWITCHING_PROTOCOLS {
            // It knows no chunks (RFC 9112 §6.1): the end of the connection is the end of the body.
            if response.remove_header(&TRANSFER_ENCODING).is_some() {
                session.set_keepalive(None);
            }
        }
        filters::on_response(session, response, ctx).await?;
        video::tell(session, &self.node, ctx, response)?;
        if matches!(outcome, Outcome::Miss(_)) && response.headers.contains_key(CONTENT_LENGTH) {
            chunks::hold(session.as_downstream());
        }
        ctx.count(&self.node.figures, response.status.as_u16());
        video::prefetch::on_response(session, &self.node, ctx, response.status.as_u16());
        respond::add_fields(response, &self.node, ctx, outcome)
    }

    /// A piece of the body, on its way to the client: how long it waits.
    fn response_body_filter(
        &self,
        _session: &mut Session,
        body: &mut Option<Bytes>,
        _end_of_stream: bool,
        ctx: &mut Context,
    ) -> Result<Option<std::time::Duration>> {
        Ok(self.node.rate.paced(ctx, body.as_ref()))
    }

    /// Whether a failed attempt is worth another one.
    fn fail_to_connect(
        &self,
        _s: &mut Session,
        _peer: &HttpPeer,
        ctx: &mut Context,
        mut error: Box<Error>,
    ) -> Box<Error> {
        self.note_origin(ctx, false);
        // Nothing was sent yet, so that any method may be tried again.
        error.set_retry(self.may_retry(ctx));
        error
    }

    fn error_while_proxy(
        &self,
        peer: &HttpPeer,
        session: &mut Session,
        error: Box<Error>,
        ctx: &mut Context,
        client_reused: bool,
    ) -> Box<Error> {
        let mut error = error.more_context(format!("origin {peer}"));
        if *error.esource() == ErrorSource::Upstream && !client_reused && !rescue::is_of_ours(&error) {
            self.note_origin(ctx, false);
        }
        error.set_retry(self.is_worth_retrying(session, &error, ctx) && self.may_retry(ctx));
        resume::take_over(&self.node, session, &error, ctx);
        error
    }

    /// The last word on an error: [`rescue`] picks the status.
    async fn fail_to_proxy(&self, session: &mut Session, error: &Error, ctx: &mut Context) -> FailToProxy {
        if *error.etype() == rescue::CONFIRMED {
            return pieces::deliver(session, &self.node, ctx).await;
        }
        match ctx.resumed.take() {
            Some(resumption) => resume::end(self, session, ctx, resumption).await,
            None => rescue::answer(session, error, &self.node, ctx).await,
        }
    }

    /// Last, always: what is known only now.
    async fn logging(&self, session: &mut Session, error: Option<&Error>, ctx: &mut Context) {
        if ctx.background {
            return;
        }
        let error = error.filter(|_| !ctx.mended);
        let status = session.response_written().map_or(0, |response| response.status.as_u16());
        let sent = session.body_bytes_sent() as u64;
        let figures = &self.node.figures;
        ctx.count(figures, status);
        figures.sent_bytes.add(sent);
        if error.is_some() {
            figures.broken.add(1);
        }
        figures.took(ctx.outcome, ctx.started.elapsed());
        crate::observe::tell(&self.node, session, ctx, error.is_none());
        if !ctx.is_paced {
            self.node.rate.delivered(session, sent, ctx.started.elapsed());
        }
        tracing::debug!(
            host = ctx.host,
            path = session.req_header().uri.path(),
            status,
            bytes = sent,
            outcome = ctx.outcome.map_or("none", |outcome| outcome.as_str()),
            "request"
        );
    }

    fn suppress_error_log(&self, _session: &Session, _ctx: &Context, _error: &Error) -> bool {
        // Counted and answered by `rescue`; a failing origin must not flood the log.
        true
    }

    fn suppress_proxy_warn_log(
        &self,
        _session: &Session,
        ctx: &Context,
        _error: &Error,
        context: pingora::proxy::ProxyWarnLogContext,
    ) -> bool {
        if matches!(context, pingora::proxy::ProxyWarnLogContext::DownstreamCache) {
            // The only word on it: a client left while what it asked for is being filled.
            ctx.left.store(true, Relaxed);
        }
        true
    }
}

/// Another response follows. Not so after 101, which ends HTTP on the connection.
fn is_interim(status: StatusCode) -> bool {
    status.is_informational() && status != StatusCode::SWITCHING_PROTOCOLS
}

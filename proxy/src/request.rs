//! The way of a request, phase by phase in the order they run.
//!
//! Fresh hits on plain GETs are answered before this, in [`crate::hits`]; whatever is not that simple comes here: misses,
//! revalidation, variants, ranges, conditions, other methods, errors. What a phase needs is computed by the modules it
//! calls; this file only says what happens when.
//!
//! Invariants: a response is stored only if [`littoral_cache::freshness`] allows it and the store gave a ticket; an origin
//! is asked at most twice, and never again once its response head has come.

use std::sync::Arc;
use std::time::SystemTime;

use async_trait::async_trait;
use bytes::Bytes;
use http::header::{COOKIE, DATE, HOST, IF_NONE_MATCH, TRANSFER_ENCODING, VIA};
use http::{HeaderValue, Method, StatusCode};
use littoral_cache::freshness::{Unstorable, lifetime, storable};
use littoral_cache::vary::Vary;
use littoral_cache::{Begin, Entry, Head, Key};
use pingora::http::{RequestHeader, ResponseHeader};
use pingora::protocols::http::conditional_filter::not_modified_filter;
use pingora::proxy::{FailToProxy, ProxyHttp, Session};
use pingora::upstreams::peer::HttpPeer;
use pingora::{Error, ErrorSource, ErrorType, Result};

use crate::clock::now_ms;
use crate::node::Node;
use crate::request::context::Context;
use crate::rescue;
use crate::storage::{
    Asked, CacheKey, CacheMeta, CacheOptionOverrides, ForcedFreshness, Handler, InFlight, NoCacheReason, RespCacheable,
    TicketSlot, cache_key,
};

mod cdn_loop;
pub mod context;
pub(crate) use respond::own as respond_own;
mod range;
pub(crate) mod respond;
mod target;
mod upstream;
pub use upstream::ATTEMPTS_MAX;

/// Answered by the node itself on every host: who it is and how loaded. Health probes read it.
pub const HEALTH_PATH: &str = "/.well-known/littoral";

/// The request path of a node.
pub struct RequestPath {
    pub(crate) node: Arc<Node>,
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
        session.set_proxy_tasks_enabled(true);
        session.set_write_timeout(Some(self.node.settings.load().limits.write_timeout.0));
        Ok(())
    }

    /// Then: route to a site, or answer at once. `true`: answered.
    async fn request_filter(&self, session: &mut Session, ctx: &mut Context) -> Result<bool> {
        let host = match target::settle(session.req_header_mut()) {
            Ok(host) => host,
            Err(why) => return rescue::refuse(session, 400, why).await,
        };
        if session.req_header().uri.path() == HEALTH_PATH {
            return respond::health(session, &self.node).await;
        }
        let passes = self.node.settings.load().limits.passes;
        if cdn_loop::passes(&session.req_header().headers, &self.node.name) > passes {
            self.node.figures.loops.add(1);
            return rescue::refuse(session, 508, "the request has passed this node before: it goes round in circles")
                .await;
        }
        let Some(site) = self.node.sites.load().find(&host).cloned() else {
            return rescue::refuse(session, 421, "no site of this node has this host").await;
        };
        (ctx.host, ctx.site) = (host, Some(site.clone()));
        if site.auto && !self.node.rate.resolve(session, ctx).await? {
            return rescue::refuse(session, 404, "no representation for this auto URL").await;
        }
        Ok(false)
    }

    /// GET and HEAD go through the cache, everything else past it.
    fn request_cache_filter(&self, session: &mut Session, ctx: &mut Context) -> Result<()> {
        let request = session.req_header();
        if !matches!(request.method, Method::GET | Method::HEAD) || session.is_upgrade_req() {
            return Ok(());
        }
        let path = request.uri.path_and_query().map_or("/", |path| path.as_str());
        let path = crate::rate::cmcd::without_query(path, ctx.site.as_ref().is_some_and(|site| site.auto));
        ctx.key = Some(Key::new(&ctx.host, &path));
        let mut overrides = CacheOptionOverrides::default();
        overrides.wait_timeout = Some(self.node.collapse_wait);
        session.cache.enable(self.node.shelf, None, None, Some(self.node.fill_lock), Some(overrides));
        Ok(())
    }

    fn cache_key_callback(&self, _session: &Session, ctx: &mut Context) -> Result<CacheKey> {
        let missing = || Error::explain(ErrorType::InternalError, "the cache is on but the request has no key");
        ctx.key.as_ref().map(cache_key).ok_or_else(missing)
    }

    /// Vary (RFC 9111 §4.1): the secondary key this request selects.
    fn cache_vary_filter(&self, meta: &CacheMeta, ctx: &mut Context, request: &RequestHeader) -> Option<[u8; 16]> {
        let variance = Vary::of(meta.headers()).variance(&request.headers);
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
        if let Some(entry) = meta.extensions().get::<Arc<Entry>>() {
            entry.touch(now_ms());
        }
        // A fill in flight whose lifetime is already over serves those who waited for it.
        Ok((ctx.collapsed && !is_fresh).then_some(ForcedFreshness::ForceFresh))
    }

    /// RFC 5861: stale while it is revalidated, and when the origin fails, within the windows the response gave.
    fn should_serve_stale(&self, _session: &mut Session, _ctx: &mut Context, error: Option<&Error>) -> bool {
        error.is_none_or(|error| *error.esource() == ErrorSource::Upstream)
    }

    fn cache_miss(&self, session: &mut Session, ctx: &mut Context) {
        ctx.missed = true;
        session.cache.cache_miss();
    }

    /// A miss: which origin is asked. Called again for a retry.
    async fn upstream_peer(&self, session: &mut Session, ctx: &mut Context) -> Result<Box<HttpPeer>> {
        self.next_peer(session, ctx).await
    }

    async fn upstream_request_filter(
        &self,
        session: &mut Session,
        upstream: &mut RequestHeader,
        ctx: &mut Context,
    ) -> Result<()> {
        // In the spelling of the key, without a port: what is stored must not depend on what the key does not say.
        upstream.insert_header(HOST, ctx.host.as_str())?;
        if let Some(cookies) = target::join_cookies(session.req_header().version, &upstream.headers) {
            upstream.insert_header(COOKIE, cookies)?;
        }
        upstream.append_header(VIA, self.node.via.clone())?;
        upstream.insert_header(cdn_loop::CDN_LOOP, cdn_loop::value(&session.req_header().headers, &self.node.name))?;
        Ok(())
    }

    /// The origin's head, before anything else sees it.
    async fn upstream_response_filter(
        &self,
        _session: &mut Session,
        response: &mut ResponseHeader,
        ctx: &mut Context,
    ) -> Result<()> {
        if is_interim(response.status) {
            return Ok(());
        }
        ctx.answered = true;
        respond::end_hop(response);
        ctx.confirmed = (response.status == http::StatusCode::NOT_MODIFIED).then(|| response.headers.clone());
        let failing = matches!(response.status.as_u16(), 502..=504);
        self.note_origin(ctx, !failing);
        Ok(())
    }

    /// The origin's body: with its end, the origin has room for another request, however slow the client is.
    fn upstream_response_body_filter(
        &self,
        _session: &mut Session,
        _body: &mut Option<Bytes>,
        end_of_stream: bool,
        ctx: &mut Context,
    ) -> Result<Option<std::time::Duration>> {
        if end_of_stream {
            ctx.attempts.end();
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
        Ok(match self.admit(session, response, ctx) {
            Ok(meta) => RespCacheable::Cacheable(meta),
            Err(reason) => {
                ctx.unstorable = Some(reason);
                self.node.figures.unstorable(reason);
                RespCacheable::Uncacheable(NoCacheReason::Custom(reason.as_str()))
            }
        })
    }

    /// Conditions on what is stored (RFC 9110 §13.1); `*` holds for anything that is.
    fn cache_not_modified_filter(&self, session: &Session, response: &ResponseHeader, _: &mut Context) -> Result<bool> {
        let any = session.req_header().headers.get(IF_NONE_MATCH).is_some_and(|field| field == "*");
        Ok((any && response.status == StatusCode::OK) || not_modified_filter(session.req_header(), response))
    }

    /// Ranges of what is stored (RFC 9110 §14), instead of the framework's reading of them.
    fn range_header_filter(
        &self,
        session: &mut Session,
        response: &mut ResponseHeader,
        _ctx: &mut Context,
    ) -> pingora::proxy::RangeType {
        range::select(session.req_header(), response)
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
        if !ctx.background {
            // Counted before it is sent: whoever has read the response finds it in the figures.
            self.node.figures.request(ctx.outcome, response.status.as_u16());
        }
        respond::add_fields(response, &self.node, ctx, outcome)
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
        if *error.esource() == ErrorSource::Upstream && !client_reused {
            self.note_origin(ctx, false);
        }
        error.set_retry(self.is_worth_retrying(session, &error, ctx) && self.may_retry(ctx));
        error
    }

    /// The last word on an error: [`rescue`] picks the status.
    async fn fail_to_proxy(&self, session: &mut Session, error: &Error, ctx: &mut Context) -> FailToProxy {
        rescue::answer(session, error, &self.node, ctx).await
    }

    /// Last, always: what is known only now.
    async fn logging(&self, session: &mut Session, error: Option<&Error>, ctx: &mut Context) {
        if ctx.background {
            return;
        }
        let status = session.response_written().map_or(0, |response| response.status.as_u16());
        let sent = session.body_bytes_sent() as u64;
        let figures = &self.node.figures;
        if ctx.outcome.is_none() {
            figures.request(None, status);
        }
        figures.sent_bytes.add(sent);
        if error.is_some() {
            figures.broken.add(1);
        }
        self.node.rate.delivered(session, sent, ctx.started.elapsed());
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
        _ctx: &Context,
        _error: &Error,
        _context: pingora::proxy::ProxyWarnLogContext,
    ) -> bool {
        true
    }
}

impl RequestPath {
    /// Metadata with a ticket for a response that may be stored, or of one that was confirmed.
    fn admit(&self, session: &Session, response: &ResponseHeader, ctx: &mut Context) -> Result<CacheMeta, Unstorable> {
        let (request, now) = (session.req_header(), SystemTime::now());
        let mut headers = response.headers.clone();
        if let Some(confirmed) = &ctx.confirmed {
            respond::update(&mut headers, confirmed);
        }
        let dated = ctx.confirmed.as_ref().unwrap_or(&response.headers).contains_key(DATE);
        respond::complete(&mut headers, response.status, (!dated).then_some(now));
        storable(&request.headers, response.status, &headers)?;
        if Vary::of(&headers) == Vary::Any {
            return Err(Unstorable::VaryAny);
        }
        let default_ttl = ctx.site.as_ref().map(|site| site.default_ttl);
        let lifetime = lifetime(response.status, &headers, ctx.asked, now, default_ttl)?;
        let head = Head::for_storage(response.status, &headers);
        if ctx.confirmed.is_some() {
            let mut meta = crate::storage::meta_of(&head, &lifetime, None, now);
            meta.extensions_mut().insert(Asked(ctx.asked_purges));
            return Ok(meta);
        }
        let key = ctx.key.clone().ok_or(Unstorable::Status)?;
        let length = respond::content_length(&response.headers);
        let (begun, begun_purges) = (ctx.asked, ctx.asked_purges);
        let begin = Begin { key, head: head.clone(), lifetime, length, begun, begun_purges };
        let ticket = self.node.store.admit(begin).map_err(|_| Unstorable::TooLarge)?;
        ctx.stored = ticket.will_publish();
        self.node.rate.passed(ctx, request.uri.path());
        Ok(TicketSlot::meta(ticket, &head, &lifetime))
    }
}

/// Another response follows. Not so after 101, which ends HTTP on the connection.
fn is_interim(status: StatusCode) -> bool {
    status.is_informational() && status != StatusCode::SWITCHING_PROTOCOLS
}

/// A field value made of this node's own text.
pub(crate) fn own_value(text: &str) -> HeaderValue {
    let visible: String = text.chars().filter(|c| c.is_ascii_graphic() || *c == ' ').collect();
    HeaderValue::from_str(&visible).expect("invariant: visible ASCII is a field value")
}

/// A body of this node's own text.
pub(crate) fn own_body(text: &str) -> Bytes {
    Bytes::from(format!("{text}\n"))
}

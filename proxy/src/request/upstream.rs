//! The way of a request to an origin: which one, when there is room, and whether a failure is worth another.
//!
//! Who may be asked at all is [`crate::origin`]'s, the status of a failure [`crate::rescue`]'s. Invariants: a place at an
//! origin is held while a request to it is under way and no longer; what has an answer's head is not asked again; retries
//! stay within the budget of the site.

use std::sync::Arc;
use std::time::SystemTime;

use pingora::proxy::Session;
use pingora::upstreams::peer::HttpPeer;
use pingora::{Error, ErrorSource, ErrorType, Result};

use super::RequestPath;
use super::context::Context;
use crate::clock::now_ms;
use crate::origin::health::Verdict;
use crate::origin::{Busy, Origin, Slot, Wish, hash_of};
use crate::rescue;
use crate::site::Site;

/// How often an origin is asked for one request at most.
pub const ATTEMPTS_MAX: usize = 1 + crate::config::RETRIES_MAX;

/// What one request has to do with origins.
#[derive(Debug, Default)]
pub struct Attempts {
    /// How often an origin was asked.
    pub count: usize,
    /// Those that were asked, in order.
    tried: Vec<Arc<Origin>>,
    /// The place at the last of them, while it is at work.
    slot: Option<Slot>,
}

impl Attempts {
    /// The origin asked last.
    pub fn origin(&self) -> Option<&Arc<Origin>> {
        self.tried.last()
    }

    /// The origin has nothing more to do for this request.
    pub(super) fn end(&mut self) {
        self.slot = None;
    }
}

impl RequestPath {
    /// Which origin is asked next, once it has room.
    pub(super) async fn next_peer(&self, session: &Session, ctx: &mut Context) -> Result<Box<HttpPeer>> {
        let no_site = || Error::explain(ErrorType::InternalError, "a request without a site reached the origins");
        let site = ctx.site.clone().ok_or_else(no_site)?;
        let unreachable =
            || Error::explain(ErrorType::HTTPStatus(502), "no origin of the site has an address").into_up();
        ctx.attempts.end();
        let slot = self.enter(&site, session, ctx).await?.ok_or_else(unreachable)?;
        let origin = slot.origin().clone();
        let address = origin.address(ctx.attempts.count).ok_or_else(unreachable)?;
        if ctx.attempts.count == 0 {
            site.origins.budget.deposit(now_ms());
        }
        ctx.attempts.count += 1;
        ctx.attempts.tried.push(origin.clone());
        ctx.attempts.slot = Some(slot);
        (ctx.asked, ctx.asked_purges) = (SystemTime::now(), self.node.store.purges());
        self.node.figures.fetch(ctx.attempts.count > 1);
        Ok(origin.peer(address, &site.timeouts))
    }

    /// A place at an origin; `None` when not one has an address. While the queue of one is full, the next is asked; the time
    /// to wait is spent once.
    async fn enter(&self, site: &Site, session: &Session, ctx: &Context) -> Result<Option<Slot>> {
        let figures = &self.node.figures;
        let mut tried = ctx.attempts.tried.clone();
        let key = key_of(session, ctx);
        let busy = |why| Error::explain(rescue::BUSY, why).into_up();
        for _ in site.origins.all() {
            let wish = Wish { now_ms: now_ms(), key, tried: &tried };
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
            if origin.health().succeeded(now_ms()) {
                tracing::info!(%origin, "origin asked again as before");
            }
            return;
        }
        match site.origins.failed(origin, now_ms()) {
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
        let Some(site) = ctx.site.as_ref().filter(|site| ctx.attempts.count <= site.retries) else { return false };
        let granted = site.origins.budget.withdraw(now_ms());
        if !granted {
            self.node.figures.retries_refused.add(1);
        }
        granted
    }

    /// Whether a failure on the way is worth another attempt: nothing has come yet, and the request may be repeated.
    pub(super) fn is_worth_retrying(&self, session: &Session, error: &Error, ctx: &Context) -> bool {
        let repeatable = session.req_header().method.is_idempotent() && !session.as_ref().retry_buffer_truncated();
        let untouched = !ctx.answered && session.response_written().is_none();
        // One that is slow is not asked again: nobody waits for twice the time that was set.
        let another = ctx.site.as_ref().is_some_and(|site| site.origins.all().len() > 1);
        let worth_it = another || *error.etype() != ErrorType::ReadTimedout;
        *error.esource() != ErrorSource::Downstream && repeatable && untouched && worth_it
    }
}

/// Of what is asked for: the cache key's text, or what it would be.
fn key_of(session: &Session, ctx: &Context) -> u64 {
    match &ctx.key {
        Some(key) => hash_of(key.text()),
        None => hash_of(&[ctx.host.as_bytes(), b" ", session.req_header().raw_path()].concat()),
    }
}

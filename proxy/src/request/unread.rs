//! A fill that nobody reads any more: whether it is fetched to its end all the same.
//!
//! What is fetched for nobody yet is a hit for the next who asks, but clients that ask for much and leave must not keep origins
//! busy without end. Invariant: no more than `fill.unread` fills of a site go on unread, each for `fill.unread_bytes` at most; a
//! reader that joins makes a fill one like others again.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use littoral_cache::fill::Fill;
use pingora::proxy::Session;
use pingora::{Error, Result};

use super::context::Context;
use crate::observe::figures::Figures;
use crate::rescue;
use crate::site::Site;
use crate::storage::Filling;

/// Why a fill that nobody reads is ended.
#[derive(Debug, Clone, Copy)]
pub enum TooMuch {
    /// As many as may already go on.
    Fills,
    /// It needs, or has taken, more bytes than are fetched for nobody.
    Bytes,
}

impl TooMuch {
    /// As metric labels, in the order of the variants.
    pub const LABELS: [&str; 2] = ["fills", "bytes"];
}

/// What is known of one fill.
#[derive(Debug, Default)]
pub struct Unread {
    alone: Option<Alone>,
}

/// Counts as one of its site.
#[derive(Debug)]
struct Alone {
    site: Arc<Site>,
    /// Bytes that had come when its last reader left.
    since: u64,
}

impl Unread {
    /// Whether a fill goes on with the next piece. `absent` of its readers have left, but still count.
    pub(super) fn may_go_on(&mut self, fill: &Fill, absent: usize, site: &Arc<Site>, figures: &Figures) -> bool {
        if fill.readers() > absent {
            self.alone = None;
            return true;
        }
        let filled = fill.filled();
        if self.alone.is_none() {
            self.alone = Alone::begin(site, filled);
        }
        let Some(alone) = &self.alone else {
            figures.unread_ended[TooMuch::Fills as usize].add(1);
            return false;
        };
        let most = site.fill.unread_bytes.map_or(u64::MAX, |most| most.0);
        let unread = fill.length().unwrap_or(filled).saturating_sub(alone.since);
        if unread > most {
            figures.unread_ended[TooMuch::Bytes as usize].add(1);
        }
        unread <= most
    }
}

impl Alone {
    fn begin(site: &Arc<Site>, since: u64) -> Option<Self> {
        let one_more = |count| (count < site.fill.unread).then_some(count + 1);
        site.unread.fetch_update(Relaxed, Relaxed, one_more).ok()?;
        Some(Self { site: site.clone(), since })
    }
}

impl Drop for Alone {
    fn drop(&mut self) {
        self.site.unread.fetch_sub(1, Relaxed);
    }
}

/// The client that began a fill has left: whether the fill goes on.
///
/// # Errors
/// When it does not.
pub(super) fn check(session: &Session, ctx: &mut Context, figures: &Figures) -> Result<()> {
    if !*ctx.left.get_mut() || !session.cache.enabled() {
        return Ok(());
    }
    let fill = Filling::of(session.cache.cache_key());
    let Some((fill, site)) = fill.zip(ctx.site.clone()) else { return Ok(()) };
    match ctx.unread.may_go_on(&fill, 1, &site, figures) {
        true => Ok(()),
        false => Err(Error::explain(rescue::UNREAD, "nobody reads this fill any more")),
    }
}

//! What one request remembers between phases.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::{Instant, SystemTime};

use http::{HeaderMap, HeaderName, HeaderValue};
use littoral_cache::demand::Demand;
use littoral_cache::freshness::Unstorable;
use littoral_cache::{FillWriter, FwdReason, Key, Outcome};

use super::upstream::Attempts;
use crate::filters::points::Filtered;
use crate::observe::access::Stamps;
use crate::observe::figures::Figures;
use crate::observe::trace::Traced;
use crate::rate::pace::Pace;
use crate::request::compress::Encoder;
use crate::request::forward::Forwarded;
use crate::request::pieces::Asked;
use crate::request::resume::{Resumption, Share};
use crate::request::slices::Slice;
use crate::request::unread::Unread;
use crate::site::Site;
use crate::storage::CachePhase;
use crate::video::told::Told;

/// The state of one request.
#[derive(Debug)]
pub struct Context {
    /// When it came.
    pub started: Instant,
    /// Bytes of its body that came.
    pub received: u64,
    /// Where it is routed to.
    pub site: Option<Arc<Site>>,
    /// Its host, normalised.
    pub host: String,
    /// Its cache key, when it may be answered from the cache.
    pub key: Option<Key>,
    /// A revalidation in the background: not counted as a request.
    pub background: bool,
    /// What its player told, where the site reads that.
    pub(crate) told: Option<Told>,
    /// The representation an `auto` URL was resolved to.
    pub representation: Option<String>,
    /// How fast it goes to its player.
    pub(crate) pace: Option<Pace>,
    /// It was held back for that.
    pub(crate) is_paced: bool,
    /// The generation of the plugin that chose it.
    pub rate_generation: Option<u64>,
    /// The generation of the plugin that said whether the response is stored.
    pub cache_generation: Option<u64>,
    /// Whom a request to the explicit proxy is for.
    pub(crate) forward: Option<Forwarded>,
    /// The origins asked.
    pub attempts: Attempts,
    /// When an origin was asked.
    pub asked: SystemTime,
    /// The number of purges before that.
    pub asked_purges: u64,
    /// An origin's response head has come: no retry any more.
    pub answered: bool,
    /// The fields of the origin's 304.
    pub confirmed: Option<HeaderMap>,
    /// The lookup ended in a miss.
    pub missed: bool,
    /// A stored response was stale.
    pub was_stale: bool,
    /// Another variant is stored.
    pub other_variant: bool,
    /// It reads a fill that another request began.
    pub collapsed: bool,
    /// The response is being stored.
    pub stored: bool,
    /// Why it is not.
    pub unstorable: Option<Unstorable>,
    /// Remaining freshness in seconds of what is sent.
    pub ttl_s: Option<i64>,
    /// What the request asks of the cache.
    pub demand: Demand,
    /// What is stored is fresh, but will not do for this request.
    pub insists: bool,
    /// It takes what is stale.
    pub patient: bool,
    /// The conditions of the request have failed: 412.
    pub failed: bool,
    /// The slice that this process asked itself for.
    pub slice: Option<Slice>,
    /// A range of an object that is not whole here, which goes to the origin.
    pub(crate) pieces: Option<Asked>,
    /// Takes the body of an answer to POST that GETs may be given.
    pub post: Option<FillWriter>,
    /// A GET or HEAD with a body, of which no key can tell.
    pub fat: bool,
    /// What came under the key of late was not stored: nobody waits for anybody.
    pub passed: bool,
    /// Compresses the origin's body before anybody sees it.
    pub encoder: Option<Encoder>,
    /// What of the response goes to the client.
    pub share: Share,
    /// The client has left, while what it asked for is being filled.
    pub left: AtomicBool,
    /// What is known of that fill then.
    pub unread: Unread,
    /// The fill that goes on although its origin broke off.
    pub resumed: Option<Resumption>,
    /// The client got all of it.
    pub mended: bool,
    /// It is this process that asks for a manifest as its origin has it.
    pub as_is: bool,
    /// It is this process that asks for the rest of an object.
    pub is_rest: bool,
    /// Fields of the response that are this client's alone.
    pub withheld: Vec<(HeaderName, HeaderValue)>,
    /// What the site's filters left with it.
    pub(crate) filtered: Filtered,
    /// Its trace, when there is one.
    pub(crate) traced: Option<Box<Traced>>,
    /// When its stages began and ended.
    pub(crate) stamps: Stamps,
    /// What was done, once known.
    pub outcome: Option<Outcome>,
    /// It is in the figures.
    counted: bool,
}

impl Context {
    /// Of a request that came now.
    pub fn new() -> Self {
        Self {
            started: Instant::now(),
            received: 0,
            site: None,
            host: String::new(),
            key: None,
            background: false,
            told: None,
            representation: None,
            pace: None,
            is_paced: false,
            rate_generation: None,
            cache_generation: None,
            forward: None,
            attempts: Attempts::default(),
            asked: SystemTime::now(),
            asked_purges: 0,
            answered: false,
            confirmed: None,
            missed: false,
            was_stale: false,
            other_variant: false,
            collapsed: false,
            stored: false,
            unstorable: None,
            ttl_s: None,
            demand: Demand::default(),
            insists: false,
            patient: false,
            failed: false,
            slice: None,
            pieces: None,
            post: None,
            fat: false,
            passed: false,
            encoder: None,
            share: Share::default(),
            left: AtomicBool::new(false),
            unread: Unread::default(),
            resumed: None,
            mended: false,
            as_is: false,
            is_rest: false,
            withheld: Vec::new(),
            filtered: Filtered::default(),
            traced: None,
            stamps: Stamps::default(),
            outcome: None,
            counted: false,
        }
    }

    /// Counts the request, once: before its answer is sent, so that whoever has read that finds it in the figures.
    pub fn count(&mut self, figures: &Figures, status: u16) {
        if !self.background && !std::mem::replace(&mut self.counted, true) {
            figures.request(self.outcome, status);
        }
    }

    /// What the cache does with this request, by the framework's phase and what was noted on the way.
    pub fn outcome(&self, phase: CachePhase, waited: bool) -> Outcome {
        match phase {
            CachePhase::Hit if self.patient => Outcome::Stale,
            CachePhase::Hit if self.collapsed || waited => Outcome::Collapsed,
            CachePhase::Hit => Outcome::Hit,
            CachePhase::Stale if self.attempts.count > 0 => Outcome::StaleOnError,
            CachePhase::Stale | CachePhase::StaleUpdating => Outcome::Stale,
            CachePhase::Revalidated | CachePhase::RevalidatedNoCache(_) => Outcome::Revalidated(self.why_validated()),
            CachePhase::Expired => Outcome::Miss(self.why_validated()),
            _ => Outcome::Miss(self.reason()),
        }
    }

    fn why_validated(&self) -> FwdReason {
        if self.insists { FwdReason::Request } else { FwdReason::Stale }
    }

    fn reason(&self) -> FwdReason {
        match () {
            () if self.fat => FwdReason::Bypass,
            () if let Some(asked) = &self.pieces => asked.reason(),
            () if self.key.is_none() => FwdReason::Method,
            () if self.insists => FwdReason::Request,
            () if self.was_stale => FwdReason::Stale,
            () if self.other_variant => FwdReason::VaryMiss,
            () if self.missed => FwdReason::UriMiss,
            () => FwdReason::Bypass,
        }
    }
}

impl Default for Context {
    fn default() -> Self {
        Self::new()
    }
}

//! The one module that names `pingora::cache`: the framework's storage interface over [`littoral_cache::Store`].
//!
//! It translates; it decides nothing. Admission is decided before a fill reaches it ([`Ticket`] in the metadata), because
//! the framework treats a refusal here as the end of the request.

use std::any::Any;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use async_trait::async_trait;
use bytes::Bytes;
use http::header::CONTENT_LENGTH;
use parking_lot::Mutex;
use pingora::cache::key::CacheHashKey;
use pingora::cache::predictor::CacheablePredictor;
use pingora::cache::storage::{
    HandleHit, HandleMiss, HitHandler, MissFinishType, MissHandler, PurgeOutcome, PurgeTarget, PurgeType,
};
use pingora::cache::trace::SpanHandle;
use pingora::http::ResponseHeader;
use pingora::{Error, ErrorType, Result};

pub use pingora::cache::lock::CacheLock;
pub use pingora::cache::storage::HitHandler as Handler;
pub use pingora::cache::{
    CacheKey, CacheMeta, CacheOptionOverrides, CachePhase, ForcedFreshness, NoCacheReason, RespCacheable, Storage,
};

use crate::clock::now_ms;
use littoral_cache::budget::Reservation;
use littoral_cache::disk::Streamed;
use littoral_cache::entry::Body;
use littoral_cache::fill::{FillError, FillReader};
use littoral_cache::freshness::Lifetime;
use littoral_cache::{Entry, Fill, FillWriter, Found, Head, Key, Store, Ticket};

/// Bytes given to the framework at a time: one write to the client, whose time-out is per write.
const SLICE_BYTES: u64 = 256 << 10;

/// How often an object is looked for that is evicted between being found and being read.
const FINDS_MAX: usize = 3;

/// The framework's view of the store.
pub struct Shelf {
    store: Arc<Store>,
}

/// A ticket on its way through the framework's metadata to [`Shelf::get_miss_handler`].
#[derive(Clone)]
pub struct TicketSlot(Arc<Mutex<Option<Ticket>>>);

/// Marks metadata read from a fill in flight.
#[derive(Clone, Copy)]
pub struct InFlight;

/// In the metadata of a confirmed response: [`Store::purges`] when the origin was asked, and how long it may be used now.
#[derive(Clone, Copy)]
pub struct Confirmed {
    /// Purges before that.
    pub purges: u64,
    /// From now on.
    pub lifetime: Lifetime,
}

/// Tells the framework which requests need not wait for each other: what it reads is in the key ([`cache_key`]), what it would
/// note is noted by the request path.
pub struct Passes;

/// The one there is.
pub static PASSES: Passes = Passes;

/// In the framework's key: what came under it of late was not stored.
#[derive(Clone, Copy)]
struct Passed;

/// In the framework's key: for how many seconds the client takes what is stale, should the origin fail.
#[derive(Clone, Copy)]
struct Grace(u32);

impl CacheablePredictor for Passes {
    fn cacheable_prediction(&self, key: &CacheKey) -> bool {
        key.extensions.get::<Passed>().is_none()
    }

    fn predicted_uncacheable_reason(&self, _key: &CacheKey) -> Option<NoCacheReason> {
        Some(NoCacheReason::OriginNotCache)
    }

    fn mark_cacheable(&self, _key: &CacheKey) -> bool {
        true
    }

    fn mark_uncacheable(&self, _key: &CacheKey, _reason: NoCacheReason) -> Option<bool> {
        None
    }
}

/// What is found, as the framework reads it.
enum Hit {
    /// In memory, from `at` to `end`.
    Stored { body: Arc<Body>, at: u64, end: u64 },
    /// On disk; `block` is what was read last, and where it begins.
    Streamed { body: Streamed, at: u64, end: u64, block: (u64, Bytes), _room: Reservation },
    /// In flight; `own`: read by the very task that fills.
    Filling { reader: FillReader, own: bool },
}

struct Miss {
    filling: Filling,
    written: usize,
}

/// In the framework's key: the fill that its request began and reads along, until it ends or is taken over.
#[derive(Clone, Default)]
pub struct Filling(Arc<Mutex<Option<FillWriter>>>);

impl Filling {
    /// The fill that the request of a key began.
    pub fn of(key: &CacheKey) -> Option<Arc<Fill>> {
        key.extensions.get::<Self>()?.0.lock().as_ref().map(|writer| writer.fill().clone())
    }

    /// Takes it away from the framework, which can then neither end it nor let it fail.
    pub fn take_over(key: &CacheKey) -> Option<FillWriter> {
        key.extensions.get::<Self>()?.0.lock().take()
    }
}

impl Shelf {
    /// Lives as long as the process, as the framework asks.
    pub fn leak(store: Arc<Store>) -> &'static Self {
        Box::leak(Box::new(Self { store }))
    }
}

impl TicketSlot {
    /// Metadata for an admitted response.
    pub fn meta(ticket: Ticket, head: &Head, lifetime: &Lifetime) -> CacheMeta {
        let mut meta = meta_of(head, lifetime, None, SystemTime::now());
        meta.extensions_mut().insert(Self(Arc::new(Mutex::new(Some(ticket)))));
        meta
    }

    /// Takes the ticket out of an admitted response's metadata; `None` when it was taken before.
    pub fn ticket(meta: &CacheMeta) -> Option<Ticket> {
        meta.extensions().get::<Self>().and_then(|slot| slot.0.lock().take())
    }
}

/// The framework's key: ours, with its hash, so that nothing is hashed twice. `passed`: its requests do not wait for each other;
/// `grace`: seconds the client takes it stale when the origin fails.
pub fn cache_key(key: &Key, passed: bool, grace: Option<u32>) -> CacheKey {
    let mut framework_key = CacheKey::new(key.text().to_vec(), "");
    framework_key.set_primary_bin_override(key.hash().to_le_bytes());
    framework_key.extensions.insert(key.clone());
    framework_key.extensions.insert(Filling::default());
    if passed {
        framework_key.extensions.insert(Passed);
    }
    if let Some(seconds) = grace {
        framework_key.extensions.insert(Grace(seconds));
    }
    framework_key
}

/// Metadata for fields and lifetime.
pub fn meta_of(head: &Head, lifetime: &Lifetime, variance: Option<[u8; 16]>, created: SystemTime) -> CacheMeta {
    let seconds = |window: Duration| u32::try_from(window.as_secs()).unwrap_or(u32::MAX);
    let (swr, sie) = (seconds(lifetime.stale_while_revalidate), seconds(lifetime.stale_if_error));
    let mut meta = CacheMeta::new(lifetime.fresh_until, created, swr, sie, head_of(head));
    meta.set_epoch_override(lifetime.born);
    if let Some(variance) = variance {
        meta.set_variance(variance);
    }
    meta
}

/// A head as the framework has it.
pub fn head_of(head: &Head) -> ResponseHeader {
    let (mut parts, ()) = http::Response::new(()).into_parts();
    parts.status = head.status;
    parts.headers = head.headers.clone();
    ResponseHeader::from(parts)
}

fn our_key(key: &CacheKey) -> Result<&Key> {
    key.extensions
        .get::<Key>()
        .ok_or_else(|| Error::explain(ErrorType::InternalError, "a cache key not made by cache_key"))
}

/// Variants are removed with their primary here, so the framework's tombstone by time must never fire: the primary is
/// always older than its variants.
fn created(key: &CacheKey) -> SystemTime {
    if key.variance_bin().is_some() { SystemTime::now() } else { SystemTime::UNIX_EPOCH }
}

impl Shelf {
    fn stored(key: &CacheKey, entry: &Arc<Entry>, body: Arc<Body>) -> Option<(CacheMeta, HitHandler)> {
        let end = body.length();
        Self::hit(key, entry, end, Hit::Stored { body, at: 0, end })
    }

    fn hit(key: &CacheKey, entry: &Arc<Entry>, length: u64, body: Hit) -> Option<(CacheMeta, HitHandler)> {
        let mut lifetime = *entry.lifetime();
        if let Some(Grace(seconds)) = key.extensions.get().filter(|_| lifetime.may_be_stale) {
            lifetime.stale_if_error = lifetime.stale_if_error.max(Duration::from_secs(u64::from(*seconds)));
        }
        let mut meta = meta_of(entry.head(), &lifetime, entry.variance(), created(key));
        if entry.is_expired() || entry.is_ahead(now_ms()) {
            meta.expire_at(SystemTime::now() - Duration::from_secs(1));
        }
        let header = meta.response_header_mut();
        if header.status != http::StatusCode::NO_CONTENT {
            header.insert_header(CONTENT_LENGTH, length).ok()?;
        }
        meta.extensions_mut().insert(entry.clone());
        Some((meta, Box::new(body)))
    }

    /// `None` when the fill has let go of its beginning.
    fn filling(key: &CacheKey, fill: &Arc<Fill>, own: bool) -> Option<(CacheMeta, HitHandler)> {
        let reader = fill.reader()?;
        let mut meta = meta_of(fill.head(), fill.lifetime(), fill.variance(), created(key));
        meta.extensions_mut().insert(InFlight);
        Some((meta, Box::new(Hit::Filling { reader, own })))
    }
}

#[async_trait]
impl Storage for Shelf {
    async fn lookup(&'static self, key: &CacheKey, _: &SpanHandle) -> Result<Option<(CacheMeta, HitHandler)>> {
        let variance = key.get_variance_key();
        for _ in 0..FINDS_MAX {
            match self.store.find(our_key(key)?, variance).await {
                // Evicted since it was found, a disk may have it.
                Some(Found::Stored(entry)) => match entry.body() {
                    Some(body) => return Ok(Self::stored(key, &entry, body)),
                    None => continue,
                },
                Some(Found::Read(entry, body)) => return Ok(Self::stored(key, &entry, body)),
                Some(Found::Streamed(entry, body, room)) => {
                    let end = body.length();
                    let hit = Hit::Streamed { body, at: 0, end, block: (0, Bytes::new()), _room: room };
                    return Ok(Self::hit(key, &entry, end, hit));
                }
                Some(Found::Filling(fill)) => return Ok(Self::filling(key, &fill, false)),
                None => return Ok(None),
            }
        }
        Ok(None)
    }

    async fn lookup_streaming_write(
        &'static self,
        key: &CacheKey,
        _tag: Option<&[u8]>,
        _: &SpanHandle,
    ) -> Result<Option<(CacheMeta, HitHandler)>> {
        // Not by its place in the store, where another may have come: the framework panics when it is not found.
        Ok(Filling::of(key).and_then(|fill| Self::filling(key, &fill, true)))
    }

    async fn get_miss_handler(&'static self, key: &CacheKey, meta: &CacheMeta, _: &SpanHandle) -> Result<MissHandler> {
        let no_ticket = || Error::explain(ErrorType::InternalError, "a fill begins without a ticket");
        let writer = TicketSlot::ticket(meta).ok_or_else(no_ticket)?.start(key.get_variance_key(), meta.variance());
        let filling = key.extensions.get::<Filling>().cloned().unwrap_or_default();
        *filling.0.lock() = Some(writer);
        Ok(Box::new(Miss { filling, written: 0 }))
    }

    async fn purge(&'static self, _: PurgeTarget<'_>, _: PurgeType, _: &SpanHandle) -> Result<PurgeOutcome> {
        // Purges come through the admin API and eviction is the store's own; the framework never asks.
        Ok(PurgeOutcome::NotFound)
    }

    async fn update_meta(&'static self, key: &CacheKey, meta: &CacheMeta, _: &SpanHandle) -> Result<bool> {
        let Some(entry) = meta.extensions().get::<Arc<Entry>>() else {
            return Ok(false);
        };
        let mut headers = meta.headers().clone();
        headers.remove(CONTENT_LENGTH);
        let head = Head { status: entry.head().status, headers };
        let Some(Confirmed { purges, lifetime }) = meta.extensions().get().copied() else {
            return Ok(false);
        };
        debug_assert_eq!(our_key(key)?.hash(), entry.key().hash());
        Ok(self.store.refresh(entry, head, lifetime, purges, SystemTime::now()))
    }

    fn support_streaming_partial_write(&self) -> bool {
        true
    }

    fn as_any(&self) -> &(dyn Any + Send + Sync + 'static) {
        self
    }
}

/// The next piece of a body on disk, whose block is read when it is due.
async fn next_piece(body: &Streamed, at: u64, end: u64, block: &mut (u64, Bytes)) -> Result<Bytes> {
    if at >= end {
        return Ok(Bytes::new());
    }
    if !(block.0..block.0 + block.1.len() as u64).contains(&at) {
        // Let go of before the next is read: no more than one is paid for.
        *block = (0, Bytes::new());
        let read = body.block(at).await;
        *block = read.map_err(|broken| Error::because(ErrorType::ReadError, "reading from disk", broken))?;
    }
    let (from, bytes) = block;
    let upto = (end - *from).min(bytes.len() as u64) as usize;
    Ok(bytes.slice((at - *from) as usize..upto))
}

/// The next piece of a fill in flight.
async fn next_filled(reader: &mut FillReader, own: bool) -> Result<Option<Bytes>> {
    let read = reader.read().await;
    if read == Err(FillError::Behind) && own {
        // An error here would end the fill for all who read it.
        reader.ended().await;
    }
    read.map_err(|error| match error {
        FillError::Behind => Error::because(ErrorType::WriteTimedout, "reading a fill in flight", error).into_down(),
        // What fails a fill is its origin, also for those who only read along.
        _ => Error::because(ErrorType::ReadError, "reading a fill in flight", error).into_up(),
    })
}

#[async_trait]
impl HandleHit for Hit {
    async fn read_body(&mut self) -> Result<Option<Bytes>> {
        let (piece, at) = match self {
            Self::Stored { body, at, end } => (body.slice(*at, (*end).min(*at + SLICE_BYTES)), at),
            Self::Streamed { body, at, end, block, .. } => (next_piece(body, *at, *end, block).await?, at),
            Self::Filling { reader, own } => return next_filled(reader, *own).await,
        };
        *at += piece.len() as u64;
        Ok((!piece.is_empty()).then_some(piece))
    }

    async fn finish(self: Box<Self>, _: &'static (dyn Storage + Sync), _: &CacheKey, _: &SpanHandle) -> Result<()> {
        Ok(())
    }

    fn can_seek(&self) -> bool {
        true
    }

    fn seek(&mut self, start: usize, end: Option<usize>) -> Result<()> {
        let (start, upto) = (start as u64, end.map(|end| end as u64));
        let (length, at, end) = match self {
            Self::Stored { body, at, end } => (body.length(), at, end),
            Self::Streamed { body, at, end, .. } => (body.length(), at, end),
            Self::Filling { reader, .. } => {
                reader.seek(start, upto);
                return Ok(());
            }
        };
        (*at, *end) = (start.min(length), upto.map_or(length, |upto| upto.min(length)));
        Ok(())
    }

    fn should_count_access(&self) -> bool {
        false
    }

    fn as_any(&self) -> &(dyn Any + Send + Sync) {
        self
    }

    fn as_any_mut(&mut self) -> &mut (dyn Any + Send + Sync) {
        self
    }
}

#[async_trait]
impl HandleMiss for Miss {
    async fn write_body(&mut self, data: Bytes, _eof: bool) -> Result<()> {
        self.written += data.len();
        let mut filling = self.filling.0.lock();
        let written = filling.as_mut().map_or(Err(FillError::Incomplete), |writer| writer.write(data));
        written.map_err(|error| {
            // What came is wrong: there is nothing to go on from.
            *filling = None;
            match error {
                FillError::Incomplete => Error::because(ErrorType::ReadError, "filling the cache", error).into_up(),
                _ => Error::because(ErrorType::InternalError, "filling the cache", error),
            }
        })
    }

    async fn finish(self: Box<Self>) -> Result<MissFinishType> {
        let written = self.written;
        let writer = self.filling.0.lock().take();
        let finished = writer.map_or(Err(FillError::Incomplete), |writer| writer.finish(SystemTime::now()).map(drop));
        finished.map_err(|error| Error::because(ErrorType::ReadError, "filling the cache", error).into_up())?;
        Ok(MissFinishType::Created(written))
    }
}

impl Drop for Miss {
    fn drop(&mut self) {
        // The key lives on in places; the fill does not.
        drop(self.filling.0.lock().take());
    }
}

//! What a swarm has of the cache: found by its URL, read piece by piece on its way to a peer or into a sum.
//!
//! Invariants: what was purged, evicted or has become stale is not begun to be sent; a content that is held keeps nothing in memory; who
//! reads never waits for the medium on a thread.

use std::io::{Error, ErrorKind, Result};
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use http::StatusCode;
use littoral_cache::disk::Streamed;
use littoral_cache::entry::Body;
use littoral_cache::{Entry, Found, Key, Store};
use littoral_plugin_host::service::swarm::{Algorithm, Summing, Unsent};

use crate::clock::now_ms;

/// Bytes of a body on disk that are read at a time.
const READ_BYTES: usize = 64 << 10;
/// Bytes that are summed up before others have their turn.
const SUMMED_BYTES: usize = 64 << 10;

/// A content that is held.
pub(super) struct Object {
    entry: Arc<Entry>,
    /// If it is on a disk: its body there, and the purges that it has outlived.
    streamed: Option<(Streamed, u64)>,
    length: u64,
}

/// Bytes of a body that are still to be read.
#[derive(Clone)]
pub(super) struct Part {
    body: Place,
    at: u64,
    end: u64,
}

#[derive(Clone)]
enum Place {
    Memory(Arc<Body>),
    Disk(Streamed),
}

/// What the cache has under a key, if it is whole, fresh, and the same for everybody.
pub(super) async fn find(store: &Arc<Store>, key: &Key) -> Option<Object> {
    let purges = store.purges();
    let (entry, streamed, length) = match store.find(key, None).await? {
        Found::Stored(entry) => {
            let length = entry.body()?.length();
            (entry, None, length)
        }
        Found::Read(entry, body) => (entry, None, body.length()),
        Found::Streamed(entry, body, _) => {
            let length = body.length();
            (entry, Some((body, purges)), length)
        }
        Found::Filling(_) => return None,
    };
    let is_plain = entry.head().status == StatusCode::OK && entry.piece().is_none() && !entry.varies();
    (is_plain && entry.ttl_ms(now_ms()) > 0).then_some(Object { entry, streamed, length })
}

impl Object {
    /// Its bytes.
    pub(super) fn length(&self) -> u64 {
        self.length
    }

    /// So many of them from `at`.
    ///
    /// # Errors
    /// It is no longer there, or there are not so many.
    pub(super) fn part(&self, store: &Store, at: u64, length: u32) -> std::result::Result<Part, Unsent> {
        let now_ms = now_ms();
        if self.entry.ttl_ms(now_ms) <= 0 {
            return Err(Unsent::Gone);
        }
        let body = match &self.streamed {
            Some((body, purges)) if *purges == store.purges() => Place::Disk(body.clone()),
            Some(_) => return Err(Unsent::Gone),
            None => Place::Memory(self.entry.body().ok_or(Unsent::Gone)?),
        };
        let end = at.checked_add(length.into()).filter(|end| *end <= self.length).ok_or(Unsent::TooFar)?;
        store.touch(&self.entry, now_ms);
        Ok(Part { body, at, end })
    }
}

impl Part {
    pub(super) fn is_empty(&self) -> bool {
        self.at == self.end
    }

    /// The next bytes of it, from where it was read to; none at its end.
    ///
    /// # Errors
    /// When they cannot be read.
    pub(super) async fn next(&mut self, store: &Store) -> Result<Bytes> {
        let (from, end) = (self.at, self.end);
        let bytes = match &self.body {
            _ if from == end => return Ok(Bytes::new()),
            Place::Memory(body) => body.slice(from, end),
            Place::Disk(body) => read(body, store, from, end).await?,
        };
        if bytes.is_empty() {
            return Err(ErrorKind::UnexpectedEof.into());
        }
        self.at += bytes.len() as u64;
        Ok(bytes)
    }

    /// Their sum; `None` when they cannot be read.
    pub(super) async fn sum(mut self, store: &Store, algorithm: Algorithm) -> Option<Vec<u8>> {
        let mut summing = Summing::new(algorithm);
        loop {
            let bytes = self.next(store).await.ok()?;
            if bytes.is_empty() {
                return Some(summing.sum());
            }
            for piece in bytes.chunks(SUMMED_BYTES) {
                summing.add(piece);
                tokio::task::yield_now().await;
            }
        }
    }
}

async fn read(body: &Streamed, store: &Store, from: u64, end: u64) -> Result<Bytes> {
    let most = (end - from).min(READ_BYTES as u64) as usize;
    let mut piece = BytesMut::zeroed(most);
    if let Some(bytes @ 1..) = body.read_at_once(from, &mut piece).map_err(Error::other)? {
        piece.truncate(bytes);
        return Ok(piece.freeze());
    }
    let _room = store.room_for_block(body).ok_or(ErrorKind::OutOfMemory)?;
    let (begin, block) = body.block(from).await.map_err(Error::other)?;
    let block = block.slice((from - begin) as usize..);
    Ok(block.slice(..block.len().min((end - from) as usize)))
}

//! Objects that are not whole here: what came in answer to ranges (RFC 9111 §3.3), joined as more of it comes (§3.4).
//!
//! A piece is an entry beside the primary slot, so that it is charged, evicted, purged and invalidated like any other; no lookup finds
//! it, only [`Store::pieces`], and it is on no disk. Whether a piece answers a request is the request path's question. Invariants:
//! only pieces of the same variant, whole length and strong validator are joined; what a hard purge names, or may name, is not;
//! those of one URL are within [`PIECES`] and the bytes of the largest object stored; when the last gap is closed the object is
//! published as whole and its pieces are gone.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::SystemTime;

use http::header::{ACCEPT_RANGES, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_RANGE, ETAG};
use http::{HeaderName, HeaderValue, StatusCode};

use super::{Store, Ticket, slot_of};
use crate::conditions::strong_validator;
use crate::disk::layout::id_of;
use crate::entry::{Body, Entry, Head, Parts};
use crate::fill::FillWriter;
use crate::key::{Key, digest};
use crate::limits::{PIECE_BLOCK_BYTES, PIECE_BLOCKS, PIECES};
use crate::surrogate::{Purged, keys_of};

const CONTENT_MD5: HeaderName = HeaderName::from_static("content-md5");
const CONTENT_DIGEST: HeaderName = HeaderName::from_static("content-digest");

/// Where a piece lies in its object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Piece {
    /// Offset of its first byte.
    pub first: u64,
    /// Offset behind its last one.
    pub end: u64,
    /// Bytes of the whole object.
    pub total: u64,
}

/// The variant that pieces are of: the secondary key their response selects, `None` when it does not vary.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PieceOf(pub Option<[u8; 16]>);

impl PieceOf {
    /// The secondary key of its pieces, which is that of no whole response.
    pub fn variance(self) -> [u8; 16] {
        digest(&[b"piece", self.0.as_ref().map_or(&[], |variance| &variance[..])]).to_le_bytes()
    }

    /// That of the one piece from `first` to before `end`.
    fn place(self, piece: Piece) -> [u8; 16] {
        digest(&[&self.variance(), &piece.first.to_le_bytes(), &piece.end.to_le_bytes()]).to_le_bytes()
    }
}

impl Ticket {
    /// Begins the fill of a piece, whose length was told to [`Store::admit`].
    pub fn start_piece(self, of: PieceOf, piece: Piece) -> FillWriter {
        debug_assert_eq!(self.begin.length, Some(piece.end - piece.first));
        self.begin(Some(&of.place(piece)), Some(of.variance()), Some(piece))
    }
}

impl Store {
    /// The pieces of a URL's objects, of all variants, in no order.
    pub fn pieces(&self, key: &Key) -> Vec<Arc<Entry>> {
        let entries = self.variants.of(key.hash()).into_iter().filter_map(|slot| self.table.get(slot));
        entries.filter(|entry| entry.key() == key && entry.piece().is_some()).collect()
    }

    /// Whether a response to a URL is there that is no piece: published, in flight or on disk. While a disk is scanned its index
    /// cannot tell, so the disk itself is asked: a guess would have the whole fetched for a part of it.
    pub async fn has_whole(self: &Arc<Self>, key: &Key) -> bool {
        if self.lookup(key, None).is_some() {
            return true;
        }
        let id = id_of(key.text(), None);
        let Some(volume) = self.disks.as_ref().and_then(|disks| disks.having(id)) else { return false };
        volume.index().get(id).is_some() || self.find(key, None).await.is_some()
    }

    /// The published responses to a URL that are no pieces, of all variants, slices among them, in no order.
    pub fn responses(&self, key: &Key) -> Vec<Arc<Entry>> {
        let entries = self.slots_of_url(key).into_iter().filter_map(|slot| self.table.get(slot));
        entries.filter(|entry| entry.key() == key && entry.piece().is_none()).collect()
    }

    /// Whether a disk has the variant of a URL that is stored beside its primary one.
    pub fn has_variant_on_disk(&self, key: &Key, variance: &[u8; 16]) -> bool {
        let id = id_of(key.text(), Some(variance));
        let volume = self.disks.as_ref().and_then(|disks| disks.having(id));
        volume.is_some_and(|volume| volume.index().get(id).is_some())
    }

    /// Where a whole response goes that nobody looked up before: beside the primary slot when another variant is there.
    pub fn place_of(&self, key: &Key, variance: Option<[u8; 16]>) -> Option<[u8; 16]> {
        let other =
            |variance: &[u8; 16]| self.stored(key, None).is_some_and(|there| there.variance() != Some(*variance));
        variance.filter(other)
    }

    /// Removes the pieces of a URL: what came later is not to be joined with them.
    pub fn drop_pieces(&self, key: &Key) {
        let pieces = self.pieces(key);
        let _in_flight = self.in_flight.lock();
        pieces.iter().for_each(|piece| _ = self.remove(piece));
    }

    /// Joins a piece just published with what is stored of its object, or publishes the object when nothing is missing; pieces of
    /// another version of it go.
    pub fn join(&self, newest: &Arc<Entry>, of: PieceOf, now: SystemTime) {
        let mut same = self.pieces(newest.key());
        same.retain(|piece| piece.variance() == newest.variance());
        let (mut same, others): (Vec<_>, Vec<_>) = same.into_iter().partition(|piece| is_same(newest, piece));
        if !others.is_empty() {
            let _in_flight = self.in_flight.lock();
            others.iter().for_each(|piece| _ = self.remove(piece));
        }
        same.sort_by_key(|piece| extent(piece).first);
        let run = run_of(newest, &same);
        let is_all = |piece: Piece| piece.first == 0 && piece.end == piece.total;
        if run.len() > 1 || run.first().is_some_and(|piece| is_all(extent(piece))) {
            self.publish_joined(&run, of, now);
        }
        self.bound_pieces(newest.key());
    }

    /// Publishes what pieces that touch or overlap are together, in their place.
    fn publish_joined(&self, run: &[Arc<Entry>], of: PieceOf, now: SystemTime) {
        // That of the latest request speaks for all (§3.4), as a 304 would.
        let Some(latest) = run.iter().max_by_key(|piece| (piece.purges(), piece.stored_ms())) else { return };
        let Some(parts) = parts_of(run) else { return };
        let body = Body::joined(&parts);
        let Piece { total, .. } = extent(latest);
        let first = extent(&run[0]).first;
        let piece = Piece { first, end: first + body.length(), total };
        let whole = body.length() == total;
        if body.blocks().len() > PIECE_BLOCKS || (whole && total > self.settings.object_bytes_max) {
            return;
        }
        let key = latest.key().clone();
        let head = head_of(latest, (!whole).then_some(piece));
        let blocks = if whole { 0 } else { body.blocks().len() as u64 * PIECE_BLOCK_BYTES };
        let Ok(overhead) = self.make_room(Entry::overhead(&key, &head) + blocks) else { return };
        let place = if whole { self.place_of(&key, of.0) } else { Some(of.place(piece)) };
        let (surrogates, _) = keys_of(&head.headers);
        let joined = Entry::new(Parts {
            slot: slot_of(&key, place.as_ref()),
            key,
            variance: if whole { of.0 } else { Some(of.variance()) },
            piece: (!whole).then_some(piece),
            head,
            body,
            lifetime: *latest.lifetime(),
            stored: now,
            fetch_us: latest.fetch_us(),
            surrogates,
            purges: latest.purges(),
            overhead,
        });
        let _in_flight = self.in_flight.lock();
        let purged = |piece: &Entry| self.purges.since(piece.purges(), piece.key().text(), piece.surrogates());
        let listed = |piece: &Arc<Entry>| self.table.get(piece.slot()).is_some_and(|there| Arc::ptr_eq(&there, piece));
        // The purge is about to come to it, and would not find it in what it was joined to.
        if !run.iter().all(|piece| listed(piece) && purged(piece) != Purged::Hard) {
            return;
        }
        if latest.is_expired() || purged(latest) == Purged::Soft {
            joined.expire();
        }
        joined.inherit(latest);
        run.iter().for_each(|piece| _ = self.remove(piece));
        self.replace(&joined);
        if let Some(disks) = self.disks.as_ref().filter(|_| whole) {
            disks.offer(&joined);
        }
        self.counters.pieces_joined.fetch_add(run.len() as u64, Relaxed);
    }

    /// Lets go of the pieces longest unused until they are few and small enough.
    fn bound_pieces(&self, key: &Key) {
        let mut pieces = self.pieces(key);
        pieces.sort_by_key(|piece| std::cmp::Reverse(piece.used_ms()));
        let mut bytes = 0_u64;
        for (place, piece) in pieces.iter().enumerate() {
            let Piece { first, end, .. } = extent(piece);
            bytes = bytes.saturating_add(end - first);
            if place >= PIECES || bytes > self.settings.object_bytes_max {
                let in_flight = self.in_flight.lock();
                let dropped = self.remove(piece);
                drop(in_flight);
                self.counters.pieces_dropped.fetch_add(u64::from(dropped), Relaxed);
            }
        }
    }
}

/// Where a piece lies.
fn extent(entry: &Entry) -> Piece {
    entry.piece().unwrap_or(Piece { first: 0, end: 0, total: 0 })
}

/// Whether the bytes of two pieces are of the same representation (RFC 9111 §3.4).
fn is_same(one: &Entry, other: &Entry) -> bool {
    let (a, b) = (&one.head().headers, &other.head().headers);
    let validator = strong_validator(a);
    validator.is_some()
        && validator == strong_validator(b)
        && a.get(ETAG) == b.get(ETAG)
        && a.get(CONTENT_ENCODING) == b.get(CONTENT_ENCODING)
        && extent(one).total == extent(other).total
}

/// Of pieces by their place, those that make one run without a gap with `newest`.
fn run_of(newest: &Arc<Entry>, pieces: &[Arc<Entry>]) -> Vec<Arc<Entry>> {
    let mut run: Vec<Arc<Entry>> = Vec::new();
    let mut reach = 0;
    for piece in pieces {
        let Piece { first, end, .. } = extent(piece);
        if first > reach || run.is_empty() {
            if run.iter().any(|piece| Arc::ptr_eq(piece, newest)) {
                break;
            }
            run.clear();
        }
        reach = reach.max(end);
        run.push(piece.clone());
    }
    if run.iter().any(|piece| Arc::ptr_eq(piece, newest)) { run } else { Vec::new() }
}

/// What each piece of a run adds to those before it; `None` when one has just been evicted.
fn parts_of(run: &[Arc<Entry>]) -> Option<Vec<(Arc<Body>, u64, u64)>> {
    let mut reach = run.first().map_or(0, |piece| extent(piece).first);
    let mut parts = Vec::with_capacity(run.len());
    for piece in run {
        let Piece { first, end, .. } = extent(piece);
        if end > reach {
            parts.push((piece.body()?, reach - first, end - first));
            reach = end;
        }
    }
    Some(parts)
}

/// The head of what was joined: that of `latest`, of a piece or of the whole object.
fn head_of(latest: &Entry, piece: Option<Piece>) -> Head {
    let mut headers = latest.head().headers.clone();
    // What tells of the bytes that came in one response (RFC 9530 §2).
    for name in [CONTENT_LENGTH, CONTENT_RANGE, CONTENT_MD5, CONTENT_DIGEST] {
        headers.remove(name);
    }
    let Some(Piece { first, end, total }) = piece else {
        headers.insert(ACCEPT_RANGES, HeaderValue::from_static("bytes"));
        return Head { status: StatusCode::OK, headers };
    };
    if let Ok(range) = HeaderValue::from_str(&format!("bytes {first}-{}/{total}", end - 1)) {
        headers.insert(CONTENT_RANGE, range);
    }
    Head { status: StatusCode::PARTIAL_CONTENT, headers }
}

#[cfg(test)]
mod tests;

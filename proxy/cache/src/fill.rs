//! An object in flight: one writer, any number of readers that stream it while it fills.
//!
//! A reader gets the pieces as the origin sent them, without a copy, at its own speed. It ends cleanly only when the fill
//! ended as promised; if the writer vanished or the length was wrong, it gets an error, never a short body with a clean
//! end.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64};
use std::time::SystemTime;

use bytes::{Bytes, BytesMut};
use parking_lot::Mutex;
use tokio::sync::Notify;

use crate::budget::Reservation;
use crate::entry::{Body, Entry, Head};
use crate::freshness::Lifetime;
use crate::key::Key;
use crate::limits::BLOCK_BYTES;
use crate::store::Store;

/// Pieces smaller than this on average are put together when the fill ends.
const PIECE_BYTES_MIN: usize = 16 << 10;

/// An object in flight.
#[derive(Debug)]
pub struct Fill {
    pub(crate) id: u64,
    pub(crate) key: Key,
    pub(crate) slot: u128,
    pub(crate) variance: Option<[u8; 16]>,
    pub(crate) head: Head,
    pub(crate) lifetime: Lifetime,
    pub(crate) surrogates: Box<[u128]>,
    /// Set by a purge: stream to those who read, publish nothing.
    pub(crate) doomed: AtomicBool,
    /// Set by a pin that came while it fills (Unix milliseconds).
    pub(crate) pinned_until_ms: AtomicU64,
    length: Option<u64>,
    state: Mutex<State>,
    moved: Notify,
}

#[derive(Debug)]
struct State {
    pieces: Vec<Bytes>,
    filled: u64,
    /// Changes when `pieces` is cut anew, so that readers find their place again.
    cut: u32,
    phase: Phase,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    Filling,
    Complete,
    Failed,
}

/// Why a fill ended badly.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum FillError {
    /// The writer stopped before the end, or sent fewer or more bytes than promised.
    #[error("the fill ended before the object was complete")]
    Incomplete,
    /// More bytes than the site or the cache has room for.
    #[error("the object does not fit in the cache")]
    TooLarge,
}

/// The one who fills. Dropped without [`FillWriter::finish`], the fill has failed.
#[derive(Debug)]
pub struct FillWriter {
    fill: Arc<Fill>,
    store: Arc<Store>,
    bytes: Option<Reservation>,
    overhead: Option<Reservation>,
    begun: SystemTime,
    publish: bool,
    length_max: u64,
}

/// One who reads along.
#[derive(Debug)]
pub struct FillReader {
    fill: Arc<Fill>,
    position: u64,
    end: u64,
    piece: usize,
    within: usize,
    cut: u32,
}

pub(crate) struct FillParts {
    pub(crate) id: u64,
    pub(crate) key: Key,
    pub(crate) slot: u128,
    pub(crate) variance: Option<[u8; 16]>,
    pub(crate) head: Head,
    pub(crate) lifetime: Lifetime,
    pub(crate) surrogates: Box<[u128]>,
    pub(crate) length: Option<u64>,
}

impl Fill {
    pub(crate) fn new(parts: FillParts) -> Arc<Self> {
        let FillParts { id, key, slot, variance, head, lifetime, surrogates, length } = parts;
        let state = State { pieces: Vec::new(), filled: 0, cut: 0, phase: Phase::Filling };
        let (doomed, pinned_until_ms) = (AtomicBool::new(false), AtomicU64::new(0));
        let (state, moved) = (Mutex::new(state), Notify::new());
        Arc::new(Self {
            id,
            key,
            slot,
            variance,
            head,
            lifetime,
            surrogates,
            doomed,
            pinned_until_ms,
            length,
            state,
            moved,
        })
    }

    /// Identifies this fill among all of the process.
    pub fn id(&self) -> u64 {
        self.id
    }

    /// The primary key.
    pub fn key(&self) -> &Key {
        &self.key
    }

    /// Status and fields.
    pub fn head(&self) -> &Head {
        &self.head
    }

    /// How long it may be used.
    pub fn lifetime(&self) -> &Lifetime {
        &self.lifetime
    }

    /// The secondary key, when the response varies.
    pub fn variance(&self) -> Option<[u8; 16]> {
        self.variance
    }

    /// The length the origin promised, when it did.
    pub fn length(&self) -> Option<u64> {
        self.length
    }

    /// Reads from the first byte.
    pub fn reader(self: &Arc<Self>) -> FillReader {
        FillReader { fill: self.clone(), position: 0, end: u64::MAX, piece: 0, within: 0, cut: 0 }
    }

    fn set_phase(&self, phase: Phase) {
        self.state.lock().phase = phase;
        self.moved.notify_waiters();
    }
}

impl FillReader {
    /// Reads on from `first` and stops before `end` (`None`: at the end of the body).
    pub fn seek(&mut self, first: u64, end: Option<u64>) {
        self.position = first;
        self.end = end.unwrap_or(u64::MAX);
        // Not this cut: the next read looks the place up.
        self.cut = u32::MAX;
    }

    /// The next bytes, waiting for them; `None` at the clean end. Safe to cancel.
    ///
    /// # Errors
    /// [`FillError::Incomplete`] when the fill failed, even if bytes are left to read.
    pub async fn read(&mut self) -> Result<Option<Bytes>, FillError> {
        let fill = self.fill.clone();
        loop {
            let moved = fill.moved.notified();
            tokio::pin!(moved);
            moved.as_mut().enable();
            if let Some(outcome) = self.poll() {
                return outcome;
            }
            moved.await;
        }
    }

    fn poll(&mut self) -> Option<Result<Option<Bytes>, FillError>> {
        let fill = self.fill.clone();
        let state = fill.state.lock();
        if state.phase == Phase::Failed {
            return Some(Err(FillError::Incomplete));
        }
        if self.position >= self.end {
            return Some(Ok(None));
        }
        if self.cut != state.cut {
            self.find_place(&state);
        }
        match state.pieces.get(self.piece) {
            Some(piece) => {
                let wanted = usize::try_from(self.end - self.position).unwrap_or(usize::MAX);
                let upto = piece.len().min(self.within.saturating_add(wanted));
                let bytes = piece.slice(self.within..upto);
                self.position += bytes.len() as u64;
                self.piece += 1;
                self.within = 0;
                Some(Ok(Some(bytes)))
            }
            None if state.phase == Phase::Complete => Some(Ok(None)),
            None => None,
        }
    }

    fn find_place(&mut self, state: &State) {
        let mut start = 0;
        self.cut = state.cut;
        for (at, piece) in state.pieces.iter().enumerate() {
            let next = start + piece.len() as u64;
            if self.position < next {
                (self.piece, self.within) = (at, (self.position - start) as usize);
                return;
            }
            start = next;
        }
        if self.position > start {
            // Seeking ahead of the fill: look again when more has come.
            self.cut = u32::MAX;
        }
        (self.piece, self.within) = (state.pieces.len(), 0);
    }
}

impl FillWriter {
    pub(crate) fn new(
        fill: Arc<Fill>,
        store: Arc<Store>,
        bytes: Reservation,
        overhead: Reservation,
        begun: SystemTime,
        publish: bool,
        length_max: u64,
    ) -> Self {
        Self { fill, store, bytes: Some(bytes), overhead: Some(overhead), begun, publish, length_max }
    }

    /// The fill, for readers.
    pub fn fill(&self) -> &Arc<Fill> {
        &self.fill
    }

    /// Appends what the origin sent.
    ///
    /// # Errors
    /// When it does not fit, or is more than the origin promised; the fill is then lost.
    pub fn write(&mut self, piece: Bytes) -> Result<(), FillError> {
        if piece.is_empty() {
            return Ok(());
        }
        let mut state = self.fill.state.lock();
        let filled = state.filled + piece.len() as u64;
        if self.fill.length.is_some_and(|length| filled > length) {
            return Err(FillError::Incomplete);
        }
        let bytes = self.bytes.as_mut().expect("invariant: taken only by finish");
        let short = filled.saturating_sub(bytes.bytes());
        if filled > self.length_max || (short > 0 && !bytes.grow(short)) {
            return Err(FillError::TooLarge);
        }
        state.pieces.push(piece);
        state.filled = filled;
        drop(state);
        self.fill.moved.notify_waiters();
        Ok(())
    }

    /// Ends the fill: checks the length and publishes the object, unless the policy or a purge said no.
    /// Returns the published entry.
    ///
    /// # Errors
    /// [`FillError::Incomplete`] when fewer bytes came than promised.
    pub fn finish(mut self, now: SystemTime) -> Result<Option<Arc<Entry>>, FillError> {
        let mut state = self.fill.state.lock();
        if self.fill.length.is_some_and(|length| length != state.filled) {
            return Err(FillError::Incomplete);
        }
        let mut bytes = self.bytes.take().expect("invariant: finish consumes the writer");
        bytes.shrink_to(state.filled);
        if let Some(blocks) = recut(&state.pieces, state.filled) {
            state.pieces = blocks;
            state.cut += 1;
        }
        let body = Body::new(state.pieces.clone(), state.filled, bytes);
        drop(state);
        let overhead = self.overhead.take().expect("invariant: finish consumes the writer");
        let published = self.store.publish(&self.fill, body, overhead, self.begun, now, self.publish);
        self.fill.set_phase(Phase::Complete);
        Ok(published)
    }
}

impl Drop for FillWriter {
    fn drop(&mut self) {
        // `overhead` is there only when finish did not come to its end.
        if self.overhead.is_some() {
            self.fill.set_phase(Phase::Failed);
            self.store.abandon(&self.fill);
        }
    }
}

/// Fewer, larger pieces, when the origin sent crumbs.
fn recut(pieces: &[Bytes], filled: u64) -> Option<Vec<Bytes>> {
    let crumbs = pieces.len() > 1 && filled / (pieces.len() as u64) < PIECE_BYTES_MIN as u64;
    if !crumbs && pieces.iter().all(|piece| piece.len() <= BLOCK_BYTES) {
        return None;
    }
    let mut blocks = Vec::new();
    let mut left = usize::try_from(filled).unwrap_or(usize::MAX);
    let mut block = BytesMut::with_capacity(left.min(BLOCK_BYTES));
    for piece in pieces {
        let mut piece = piece.clone();
        while !piece.is_empty() {
            let part = piece.split_to(piece.len().min(BLOCK_BYTES - block.len()));
            left -= part.len();
            block.extend_from_slice(&part);
            if block.len() == BLOCK_BYTES {
                blocks.push(std::mem::replace(&mut block, BytesMut::with_capacity(left.min(BLOCK_BYTES))).freeze());
            }
        }
    }
    if !block.is_empty() {
        blocks.push(block.freeze());
    }
    Some(blocks)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn crumbs_are_put_together_and_large_pieces_left_alone() {
        let crumbs: Vec<_> = (0..100u8).map(|byte| Bytes::from(vec![byte; 1000])).collect();
        let blocks = recut(&crumbs, 100_000).unwrap();
        assert_eq!(blocks.len(), 1);
        assert_eq!(blocks[0][1000..1003], [1, 1, 1]);
        let large = [Bytes::from(vec![0; 64 << 10]), Bytes::from(vec![1; 64 << 10])];
        assert!(recut(&large, 128 << 10).is_none());
        let huge = [Bytes::from(vec![7; BLOCK_BYTES + 5])];
        let cut = recut(&huge, BLOCK_BYTES as u64 + 5).unwrap();
        assert_eq!(cut.iter().map(Bytes::len).collect::<Vec<_>>(), [BLOCK_BYTES, 5]);
    }
}

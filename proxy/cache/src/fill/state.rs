//! What a fill holds: the pieces that came and are not let go, the bytes reserved for them, and how far each reader is.

use std::sync::Arc;

use bytes::{Bytes, BytesMut};

use crate::budget::Reservation;
use crate::entry::Body;
use crate::limits::BLOCK_BYTES;

/// Pieces smaller than this on average are put together when the fill ends.
const PIECE_BYTES_MIN: usize = 16 << 10;

/// The place of a reader that has left.
const GONE: u64 = u64::MAX;

#[derive(Debug)]
pub(super) struct State {
    pub(super) pieces: Vec<Bytes>,
    /// Changes when `pieces` is cut anew, so that readers find their place again.
    pub(super) cut: u32,
    pub(super) phase: Phase,
    /// Where the first piece starts: bytes let go.
    start: u64,
    filled: u64,
    /// For the pieces, until a body takes it over.
    bytes: Option<Reservation>,
    /// Holds the bytes for those who still read when the entry has left the store.
    body: Option<Arc<Body>>,
    /// The first byte each reader may still use, or [`GONE`].
    marks: Vec<u64>,
    free: Vec<usize>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Phase {
    Filling,
    Complete,
    Failed,
}

impl State {
    pub(super) fn new(bytes: Reservation) -> Self {
        Self {
            pieces: Vec::new(),
            cut: 0,
            phase: Phase::Filling,
            start: 0,
            filled: 0,
            bytes: Some(bytes),
            body: None,
            marks: Vec::new(),
            free: Vec::new(),
        }
    }

    /// Where what is held starts.
    pub(super) fn start(&self) -> u64 {
        self.start
    }

    /// Bytes that came.
    pub(super) fn filled(&self) -> u64 {
        self.filled
    }

    /// Bytes held.
    pub(super) fn held(&self) -> u64 {
        self.filled - self.start
    }

    /// Bytes that came and bytes reserved.
    pub(super) fn figures(&self) -> (u64, u64) {
        (self.filled, self.bytes.as_ref().map_or(0, Reservation::bytes))
    }

    pub(super) fn push(&mut self, piece: Bytes) {
        self.filled += piece.len() as u64;
        self.pieces.push(piece);
    }

    pub(super) fn hold(&mut self, room: Reservation) {
        self.bytes.as_mut().expect("invariant: taken only by finish").absorb(room);
    }

    /// Reserves `length` bytes beyond those held, in the overdraft where the bound is reached.
    pub(super) fn overdraw(&mut self, length: u64) -> bool {
        let wanted = self.held() + length;
        let bytes = self.bytes.as_mut().expect("invariant: taken only by finish");
        let short = wanted.saturating_sub(bytes.bytes());
        short == 0 || bytes.grow(short)
    }

    /// Notes a reader at the first byte: its mark. `None` when that byte is let go.
    pub(super) fn attach(&mut self) -> Option<usize> {
        if self.start > 0 {
            return None;
        }
        let mark = self.free.pop().unwrap_or(self.marks.len());
        if mark == self.marks.len() {
            self.marks.push(0);
        }
        self.marks[mark] = 0;
        Some(mark)
    }

    pub(super) fn note(&mut self, mark: usize, position: u64) {
        self.marks[mark] = position;
    }

    pub(super) fn readers(&self) -> usize {
        self.marks.len() - self.free.len()
    }

    pub(super) fn detach(&mut self, mark: usize) {
        self.marks[mark] = GONE;
        self.free.push(mark);
    }

    /// Lets go of the pieces that every reader is done with.
    pub(super) fn let_go_of_taken(&mut self) {
        let wanted = self.marks.iter().copied().min().unwrap_or(GONE);
        let (mut end, mut taken) = (self.start, 0);
        while taken < self.pieces.len() && end + self.pieces[taken].len() as u64 <= wanted {
            end += self.pieces[taken].len() as u64;
            taken += 1;
        }
        self.let_go(taken, end);
    }

    /// Lets go of the oldest piece; `false` when there is none.
    pub(super) fn let_go_of_oldest(&mut self) -> bool {
        let oldest = self.pieces.first().map(|piece| self.start + piece.len() as u64);
        oldest.inspect(|end| self.let_go(1, *end)).is_some()
    }

    fn let_go(&mut self, pieces: usize, start: u64) {
        if pieces > 0 {
            self.pieces.drain(..pieces);
            self.start = start;
            self.cut += 1;
            let held = self.held();
            if let Some(bytes) = &mut self.bytes {
                bytes.shrink_to(held);
            }
        }
    }

    /// The whole body; in these blocks, where it has been put together already.
    pub(super) fn finish(&mut self, blocks: Option<Vec<Bytes>>) -> Arc<Body> {
        let mut bytes = self.bytes.take().expect("invariant: a fill ends once");
        bytes.shrink_to(self.filled);
        if let Some(blocks) = blocks.or_else(|| recut(&self.pieces, self.filled)) {
            self.pieces = blocks;
            self.cut += 1;
        }
        let body = Body::new(self.pieces.clone(), self.filled, bytes);
        self.body = Some(body.clone());
        body
    }

    /// Lets go of everything: nothing of it is read any more.
    pub(super) fn fail(&mut self) {
        self.phase = Phase::Failed;
        self.pieces = Vec::new();
        self.bytes = None;
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

//! The bytes of a stored body. They are shared by whoever reads them and by every body that was joined of them.
//!
//! Invariant: bytes are charged for as long as anybody has them, and once.

use std::sync::Arc;

use bytes::Bytes;

use crate::budget::Reservation;

/// The bytes of a stored body, in blocks of at most [`crate::limits::BLOCK_BYTES`].
#[derive(Debug)]
pub struct Body {
    blocks: Blocks,
    length: u64,
    /// What it takes itself.
    _bytes: Option<Reservation>,
    /// The bodies that it was joined from, whose bytes it has; none of them was joined itself.
    of: Box<[Arc<Self>]>,
}

/// One block lies in the body itself: a small object, which has no other, is found with fewer steps and takes less.
#[derive(Debug)]
enum Blocks {
    One(Bytes),
    Many(Box<[Bytes]>),
}

impl Body {
    pub(crate) fn new(blocks: Vec<Bytes>, length: u64, bytes: Reservation) -> Arc<Self> {
        debug_assert_eq!(blocks.iter().map(|block| block.len() as u64).sum::<u64>(), length);
        Arc::new(Self { blocks: Blocks::of(blocks), length, _bytes: Some(bytes), of: Box::default() })
    }

    /// Of the parts of others, each from (inclusive) and to (exclusive), one after another: the same bytes, charged no second time.
    pub(crate) fn joined(parts: &[(Arc<Self>, u64, u64)]) -> Arc<Self> {
        let blocks: Vec<Bytes> = parts.iter().flat_map(|(body, from, to)| body.cut(*from, *to)).collect();
        let length = blocks.iter().map(|block| block.len() as u64).sum();
        let of = parts.iter().flat_map(|(body, ..)| match &body.of[..] {
            [] => std::slice::from_ref(body),
            of => of,
        });
        Arc::new(Self { blocks: Blocks::of(blocks), length, _bytes: None, of: of.cloned().collect() })
    }

    /// What lies from `from` (inclusive) to `to` (exclusive), block by block.
    fn cut(&self, from: u64, to: u64) -> impl Iterator<Item = Bytes> {
        let mut start = 0;
        self.blocks().iter().filter_map(move |block| {
            let (first, end) = (start, start + block.len() as u64);
            start = end;
            let (skip, keep) = (from.max(first) - first, to.min(end).saturating_sub(first));
            (skip < keep).then(|| block.slice(skip as usize..keep as usize))
        })
    }

    /// Stands for a body of this length that lies elsewhere.
    pub(crate) fn elsewhere(length: u64, nothing: Reservation) -> Arc<Self> {
        Arc::new(Self { blocks: Blocks::of(Vec::new()), length, _bytes: Some(nothing), of: Box::default() })
    }

    /// The blocks, in order.
    pub fn blocks(&self) -> &[Bytes] {
        match &self.blocks {
            Blocks::One(block) => std::slice::from_ref(block),
            Blocks::Many(blocks) => blocks,
        }
    }

    /// Length in bytes.
    pub fn length(&self) -> u64 {
        self.length
    }

    /// The part of the body from `from` (inclusive) to `to` (exclusive) that lies in one block; empty at the end.
    pub fn slice(&self, from: u64, to: u64) -> Bytes {
        let mut start = 0;
        for block in self.blocks() {
            let end = start + block.len() as u64;
            if from < end {
                let upto = to.min(end);
                return block.slice((from - start) as usize..(upto.max(from) - start) as usize);
            }
            start = end;
        }
        Bytes::new()
    }
}

impl Blocks {
    fn of(blocks: Vec<Bytes>) -> Self {
        match <[Bytes; 1]>::try_from(blocks) {
            Ok([block]) => Self::One(block),
            Err(blocks) => Self::Many(blocks.into_boxed_slice()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::budget::Budget;

    #[test]
    fn slices_stop_at_block_ends() {
        let bytes = Budget::new(100).reserve(7).unwrap();
        let body = Body::new(vec![Bytes::from_static(b"abc"), Bytes::from_static(b"defg")], 7, bytes);
        assert_eq!(body.slice(0, 7), "abc");
        assert_eq!(body.slice(3, 5), "de");
        assert_eq!(body.slice(2, 3), "c");
        assert_eq!(body.slice(7, 7), "");
    }

    #[test]
    fn a_joined_body_has_the_bytes_of_its_parts_and_is_charged_once() {
        let budget = Budget::new(100);
        let of = |text: &'static [u8]| {
            let blocks = text.chunks(3).map(Bytes::from_static).collect();
            Body::new(blocks, text.len() as u64, budget.reserve(text.len() as u64).unwrap())
        };
        let (one, other) = (of(b"abcdef"), of(b"efghi"));
        let joined = Body::joined(&[(one.clone(), 0, 6), (other.clone(), 2, 5)]);
        assert_eq!((joined.length(), joined.blocks().concat()), (9, b"abcdefghi".to_vec()));
        let again = Body::joined(&[(joined.clone(), 1, 4), (joined.clone(), 4, 5)]);
        assert_eq!(again.blocks().concat(), b"bcde");
        drop((one, other));
        assert_eq!(budget.used(), 11);
        drop((joined, again));
        assert_eq!(budget.used(), 0);
    }
}

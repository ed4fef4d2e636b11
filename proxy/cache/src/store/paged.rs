//! Large bodies lie in pages that the system can send by itself; where there are none, or none is left, on the heap.

use std::sync::Arc;

use bytes::{Buf, Bytes};
use littoral_pages::{Pages, Writer};

use super::Store;
use crate::limits::{OVERDRAFT_BYTES, PAGED_BYTES};

/// Pages for all the bodies that so much memory has room for, were each as small as one may be that lies there. A slot that is not
/// in use costs an address and no memory.
pub(super) fn pages_for(memory_bytes: u64) -> Option<Arc<Pages>> {
    let slots = memory_bytes.saturating_add(OVERDRAFT_BYTES) / PAGED_BYTES;
    Pages::new(u32::try_from(slots).ok()?).ok()
}

impl Store {
    /// Where large bodies lie; `None`: this system has no such memory.
    pub fn pages(&self) -> Option<&Arc<Pages>> {
        self.pages.as_ref()
    }

    /// For a body of this length, if it is large.
    pub(super) fn writer(&self, length: u64) -> Option<Writer> {
        self.pages.clone().filter(|_| length >= PAGED_BYTES).map(Writer::new)
    }

    /// A body in such pages if it is large and they have room, else as it is.
    pub(super) fn paged(&self, blocks: Vec<Bytes>, length: u64) -> Vec<Bytes> {
        let written = self.writer(length).and_then(|mut writer| {
            for block in &blocks {
                let mut left = &block[..];
                while !left.is_empty() {
                    left.advance(writer.write(left)?.len());
                }
            }
            Some(writer.finish())
        });
        written.unwrap_or(blocks)
    }
}

#[cfg(test)]
mod tests {
    use std::time::SystemTime;

    use super::*;
    use crate::entry::Body;
    use crate::limits::BLOCK_BYTES;
    use crate::store::Settings;
    use crate::store::tests::begin;
    use crate::{FillWriter, LfuSize, Target};

    fn store() -> Arc<Store> {
        Store::new(Settings { memory_bytes: 64 << 20, object_bytes_max: 8 << 20 }, Box::new(LfuSize))
    }

    fn fill(store: &Arc<Store>, length: Option<u64>) -> FillWriter {
        store.admit(begin(store, "/a", length, None)).unwrap().start(None, None)
    }

    fn told(bytes: u64) -> Vec<u8> {
        (0..bytes).map(|at| (at / 7) as u8).collect()
    }

    fn stored(store: &Arc<Store>, bytes: u64, length: Option<u64>) -> Arc<Body> {
        let mut writer = fill(store, length);
        told(bytes).chunks(50_000).for_each(|piece| writer.write(Bytes::copy_from_slice(piece)).unwrap());
        let entry = writer.finish(SystemTime::now()).unwrap().unwrap();
        assert!(entry.body().unwrap().blocks().concat() == told(bytes));
        entry.body().unwrap().clone()
    }

    fn is_paged(store: &Store, body: &Body) -> bool {
        body.blocks().iter().all(|block| store.pages().unwrap().place(block).is_some())
    }

    #[test]
    fn a_large_body_of_told_length_lies_in_pages_a_slot_a_block_until_nobody_has_it() {
        let store = store();
        let body = stored(&store, 3_000_000, Some(3_000_000));
        assert!(is_paged(&store, &body));
        assert_eq!(body.blocks().iter().map(Bytes::len).collect::<Vec<_>>(), [BLOCK_BYTES, BLOCK_BYTES, 902_848]);
        assert_eq!(store.purge(&[Target::All]), 1);
        assert_eq!(store.pages().unwrap().taken(), 3, "it is read");
        drop(body);
        assert_eq!(store.pages().unwrap().taken(), 0);
    }

    #[test]
    fn small_bodies_and_those_of_untold_length_lie_on_the_heap() {
        let store = store();
        for (bytes, length) in [(PAGED_BYTES - 1, Some(PAGED_BYTES - 1)), (2 * PAGED_BYTES, None)] {
            assert!(!is_paged(&store, &stored(&store, bytes, length)), "{bytes} {length:?}");
        }
        assert_eq!(store.pages().unwrap().taken(), 0);
    }

    #[test]
    fn readers_along_a_fill_find_their_place_when_it_ends() {
        let store = store();
        let mut writer = fill(&store, Some(1_500_000));
        let (all, mut reader) = (told(1_500_000), writer.fill().reader().unwrap());
        let mut read = Vec::new();
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        for (number, piece) in all.chunks(70_000).enumerate() {
            writer.write(Bytes::copy_from_slice(piece)).unwrap();
            if number % 3 == 0 {
                read.extend_from_slice(&runtime.block_on(reader.read()).unwrap().unwrap());
            }
        }
        writer.finish(SystemTime::now()).unwrap();
        while let Some(piece) = runtime.block_on(reader.read()).unwrap() {
            read.extend_from_slice(&piece);
        }
        assert!(read == all);
    }

    #[test]
    fn with_no_slot_left_a_body_lies_on_the_heap_whole_and_it_is_counted() {
        let store = store();
        let pages = store.pages().unwrap();
        let mut others: Vec<_> = std::iter::repeat_with(|| Writer::new(pages.clone())).take(320).collect();
        others.iter_mut().skip(1).for_each(|writer| assert!(writer.write(b"taken").is_some()));
        assert!(!is_paged(&store, &stored(&store, 1_200_000, Some(1_200_000))), "one slot of two");
        assert_eq!(pages.refused(), 1);
        let heap = vec![Bytes::from(told(1_200_000))];
        assert!(store.paged(heap.clone(), 1_200_000) == heap);
        drop(others);
        assert!(pages.place(&store.paged(heap, 1_200_000)[0]).is_some());
    }
}

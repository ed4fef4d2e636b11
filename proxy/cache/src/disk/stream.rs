//! The body of an object that stays on disk while it is served: read block by block, each verified before it is handed out.
//!
//! What the system has in memory is read by whoever serves it, which takes less than to have somebody else do it; what has to
//! come from the medium is read by the threads that may wait.

use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use tokio::sync::oneshot;

use super::reader::{Broken, Object, Readers};
use super::{Shared, Volume};

/// A body on disk. Clones read it independently.
#[derive(Clone)]
pub struct Streamed(Arc<Source>);

struct Source {
    id: u128,
    object: Object,
    volume: Arc<Volume>,
    shared: Arc<Shared>,
    readers: Readers,
}

impl std::fmt::Debug for Streamed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Streamed").field("length", &self.length()).finish_non_exhaustive()
    }
}

impl Streamed {
    pub(super) fn new(id: u128, object: Object, volume: Arc<Volume>, shared: Arc<Shared>, readers: Readers) -> Self {
        Self(Arc::new(Source { id, object, volume, shared, readers }))
    }

    /// Length in bytes.
    pub fn length(&self) -> u64 {
        self.0.object.header.body
    }

    /// The block that byte `at` lies in, and where that begins; empty behind the end.
    ///
    /// # Errors
    /// When it is not as it was written, cannot be read, or too many reads wait.
    pub async fn block(&self, at: u64) -> Result<(u64, Bytes), Broken> {
        let number = at / crate::limits::DISK_BLOCK_BYTES;
        let (from, length) = self.0.object.header.block(number);
        let mut block = BytesMut::zeroed(length as usize);
        let read = match self.0.object.read_at_once(&mut block, number, from) {
            Ok(true) => Ok(block),
            Ok(false) => self.wait_for(block, number, from).await,
            Err(broken) => Err(broken),
        };
        let read = read.inspect_err(|broken| self.0.volume.broke(self.0.id, broken, &self.0.shared.counters));
        read.map(|block| (from, block.freeze()))
    }

    async fn wait_for(&self, mut block: BytesMut, number: u64, from: u64) -> Result<BytesMut, Broken> {
        let (tell, told) = oneshot::channel();
        let source = self.0.clone();
        let read = move || {
            let read = source.object.read_into(&mut block, number, from).map(|()| block);
            drop(source);
            let _ = tell.send(read);
        };
        if !self.0.readers.submit(read) {
            return Err(Broken::Refused);
        }
        told.await.unwrap_or(Err(Broken::Refused))
    }
}

//! The body of an object that stays on disk while it is served: read block by block, each verified before it is handed out.
//!
//! What the system has in memory is read by whoever serves it, which takes less than to have somebody else do it; what has to
//! come from the medium is read by the threads that may wait. A block is verified when it comes from the medium, and then as often as
//! any of the object did: the system reads ahead. Invariant: what is handed out was verified since this object was last read from the
//! medium; what the system sends by itself it had in memory at most [`SEEN_MS`] before.

use std::os::fd::BorrowedFd;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
use std::sync::{Arc, LazyLock};
use std::time::Instant;

use bytes::{Bytes, BytesMut};
use tokio::sync::oneshot;

use super::reader::{Broken, Object, Readers};
use super::{Shared, Volume};
use crate::limits::DISK_BLOCK_BYTES;

/// Blocks that are sent with one call: others wait for it.
const SENT_BLOCKS: u64 = 4;

/// How long a block that was seen in memory is taken to be there still, in milliseconds: to ask takes a third of what sending does, and
/// what was used so lately is the last that the system gives up.
const SEEN_MS: u32 = 10_000;

/// What [`now_ms`] counts from.
static START: LazyLock<Instant> = LazyLock::new(Instant::now);

/// A body on disk. Clones read it independently.
#[derive(Clone)]
pub struct Streamed(Arc<Source>);

struct Source {
    id: u128,
    object: Object,
    /// For each block when all of it was last seen in memory, by [`now_ms`]; 0 when it was not verified.
    seen_ms: Box<[AtomicU32]>,
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
    pub(super) fn new(
        id: u128,
        mut object: Object,
        volume: Arc<Volume>,
        shared: Arc<Shared>,
        readers: Readers,
    ) -> Self {
        let blocks = object.header.body.div_ceil(DISK_BLOCK_BYTES);
        let seen_ms = (0..blocks).map(|_| AtomicU32::new(0)).collect();
        // It may be kept open for long.
        object.forget_first();
        Self(Arc::new(Source { id, object, seen_ms, volume, shared, readers }))
    }

    /// Length in bytes.
    pub fn length(&self) -> u64 {
        self.0.object.header.body
    }

    /// Bytes it takes in memory for as long as it is open, beside its header.
    pub(crate) fn overhead(&self) -> u64 {
        let sums = self.length().div_ceil(DISK_BLOCK_BYTES) * size_of::<u32>() as u64;
        (size_of::<Source>() + size_of_val(&*self.0.seen_ms)) as u64 + sums
    }

    /// The block that byte `at` lies in, and where that begins; empty behind the end.
    ///
    /// # Errors
    /// When it is not as it was written, cannot be read, or too many reads wait.
    pub async fn block(&self, at: u64) -> Result<(u64, Bytes), Broken> {
        let number = at / DISK_BLOCK_BYTES;
        let (from, length) = self.0.object.header.block(number);
        let mut block = BytesMut::zeroed(length as usize);
        let read = match self.0.object.read_at_once(&mut block, from) {
            Ok(true) if self.0.is_verified(number) => Ok(block),
            Ok(true) => self.0.object.verify(&block, number).map(|()| block),
            Ok(false) => self.wait_for(block, number, from).await,
            Err(broken) => Err(broken),
        };
        match read {
            Ok(block) => {
                self.0.saw(number);
                Ok((from, block.freeze()))
            }
            Err(broken) => Err(self.0.broke(broken)),
        }
    }

    /// Reads what begins at `at` into `into`, as much as lies in one block, if the system has it in memory and it was verified:
    /// how many bytes; else `None`, and it is [`Self::block`] that reads it.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn read_at_once(&self, at: u64, into: &mut [u8]) -> Result<Option<usize>, Broken> {
        let number = at / DISK_BLOCK_BYTES;
        let (from, length) = self.0.object.header.block(number);
        let bytes = (from + length).saturating_sub(at).min(into.len() as u64) as usize;
        if !self.0.is_verified(number) {
            return Ok(None);
        }
        let read = self.0.object.read_at_once(&mut into[..bytes], at).map_err(|broken| self.0.broke(broken))?;
        Ok(read.then_some(bytes))
    }

    /// Sends what begins at `at` straight from the system's memory to a socket that does not block, as many blocks of it as were
    /// verified and are there, but no more than some: how many bytes it took, 0 when it is full; `None` as for
    /// [`Self::read_at_once`].
    ///
    /// # Errors
    /// What the socket says.
    pub fn send_at_once(&self, at: u64, to: BorrowedFd<'_>) -> std::io::Result<Option<usize>> {
        let numbers = at / DISK_BLOCK_BYTES..;
        let there = numbers.take_while(|number| self.0.is_there(*number)).take(SENT_BLOCKS as usize).count() as u64;
        let end = (at / DISK_BLOCK_BYTES + there).saturating_mul(DISK_BLOCK_BYTES).min(self.length());
        if end <= at {
            return Ok(None);
        }
        self.0.object.send_at_once(at, (end - at) as usize, to)
    }

    async fn wait_for(&self, mut block: BytesMut, number: u64, from: u64) -> Result<BytesMut, Broken> {
        let (tell, told) = oneshot::channel();
        let source = self.0.clone();
        let read = move || {
            source.seen_ms.iter().for_each(|seen_ms| seen_ms.store(0, Relaxed));
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

impl Source {
    fn is_verified(&self, number: u64) -> bool {
        self.seen_ms.get(number as usize).is_some_and(|seen_ms| seen_ms.load(Relaxed) > 0)
    }

    fn saw(&self, number: u64) {
        if let Some(seen_ms) = self.seen_ms.get(number as usize) {
            seen_ms.store(now_ms(), Relaxed);
        }
    }

    /// Whether a block was verified and the system has it in memory.
    fn is_there(&self, number: u64) -> bool {
        let Some(seen_ms) = self.seen_ms.get(number as usize).map(|seen_ms| seen_ms.load(Relaxed)) else {
            return false;
        };
        if seen_ms > 0 && now_ms().wrapping_sub(seen_ms) < SEEN_MS {
            return true;
        }
        let (from, length) = self.object.header.block(number);
        let there = seen_ms > 0 && self.object.is_in_memory(from, length);
        if there {
            self.saw(number);
        }
        there
    }

    /// What cannot be read is not kept open; what is to be done about it, is.
    fn broke(&self, broken: Broken) -> Broken {
        self.volume.broke(self.id, &broken, &self.shared.counters);
        if !matches!(broken, Broken::Refused) {
            self.shared.opened.forget(self.id);
        }
        broken
    }
}

/// Milliseconds since some moment, never 0; after seven weeks they begin anew.
fn now_ms() -> u32 {
    (START.elapsed().as_millis() as u32).max(1)
}

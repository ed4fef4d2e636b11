//! Memory that the system can send by itself: one file in memory, mapped once, given out in slots.
//!
//! What lies in a file can be sent to a socket by its pages (`sendfile(2)`), without a copy; what lies on the heap cannot. Here it
//! is both: bytes for whoever reads them, and a place in a file for who sends them. What is stored where, and when a send pays, is
//! for the cache to say.
//!
//! Invariant: a page that was written is never written again. A socket may have it long after the send returned, for a client that
//! has not confirmed it; so a slot that nobody reads any more gives its pages back to the system, which frees each when the last
//! socket is done with it, and whoever gets the slot next gets other pages.

use std::fs::File;
use std::io::{Error, Result};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::FileExt;
use std::ptr::NonNull;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use bytes::Bytes;
use parking_lot::Mutex;
use rustix::fs::{FallocateFlags, MemfdFlags, fallocate, memfd_create};
use rustix::io::Errno;
use rustix::mm::{MapFlags, ProtFlags, mmap, munmap};

/// Bytes of a slot. What of it is not written takes no memory.
pub const SLOT_BYTES: usize = 1 << 20;

/// A file in memory, in slots of [`SLOT_BYTES`].
#[derive(Debug)]
pub struct Pages {
    file: File,
    map: Mapping,
    slots: Mutex<Slots>,
    refused: AtomicU64,
}

/// Which slots nobody has.
#[derive(Debug)]
struct Slots {
    /// They were given back.
    free: Vec<u32>,
    /// This one and those behind it were never given out.
    next: u32,
    count: u32,
}

/// The file's bytes in this process, for as long as it lives.
#[derive(Debug)]
struct Mapping {
    at: NonNull<u8>,
    bytes: usize,
}

#[allow(unsafe_code, reason = "a pointer says nothing of who may have it")]
// SAFETY: the mapping is only read, and only where nothing is written any more, as `Taken` says.
unsafe impl Send for Mapping {}
#[allow(unsafe_code, reason = "as above")]
// SAFETY: as above.
unsafe impl Sync for Mapping {}

impl Mapping {
    #[allow(unsafe_code, reason = "there is no safe way to map a file")]
    fn of(file: &File, bytes: usize) -> Result<Self> {
        // SAFETY: the system chooses the place, so that nothing else loses its own.
        let at = unsafe { mmap(std::ptr::null_mut(), bytes, ProtFlags::READ, MapFlags::SHARED, file, 0) }?;
        let at = NonNull::new(at.cast()).ok_or(Errno::NOMEM)?;
        Ok(Self { at, bytes })
    }
}

impl Drop for Mapping {
    #[allow(unsafe_code, reason = "there is no safe way to unmap a file")]
    fn drop(&mut self) {
        // SAFETY: it was mapped by `of` with this length; whoever reads from it holds the `Pages` that it is part of. That this
        // can fail is not written down anywhere.
        let _ = unsafe { munmap(self.at.as_ptr().cast(), self.bytes) };
    }
}

/// A slot somebody has. Its pages go back to the system, and it to the others, when the last of its bytes is dropped.
#[derive(Debug)]
struct Taken {
    pages: Arc<Pages>,
    number: u32,
}

impl AsRef<[u8]> for Taken {
    #[allow(unsafe_code, reason = "what is mapped has no other way to be looked at")]
    fn as_ref(&self) -> &[u8] {
        // SAFETY: the slot lies within the mapping, which lives as long as `pages`. Its bytes change only by `Writer::write`, which
        // is given the part that nobody has been given to read; `Bytes` keeps where they are and looks at none of them by itself.
        unsafe {
            std::slice::from_raw_parts(self.pages.map.at.as_ptr().add(self.number as usize * SLOT_BYTES), SLOT_BYTES)
        }
    }
}

impl Drop for Taken {
    fn drop(&mut self) {
        let hole = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
        let (at, length) = (place_of(self.number), SLOT_BYTES as u64);
        // A slot that kept its pages would be written over while a socket has them: nobody gets it again.
        if fallocate(&self.pages.file, hole, at, length).is_ok() {
            self.pages.slots.lock().free.push(self.number);
        }
    }
}

fn place_of(number: u32) -> u64 {
    u64::from(number) * SLOT_BYTES as u64
}

impl Pages {
    /// A file of so many slots. Only what is written in them takes memory.
    ///
    /// # Errors
    /// When the system has no files in memory, or not as many addresses.
    pub fn new(slots: u32) -> Result<Arc<Self>> {
        let bytes = place_of(slots);
        let file = File::from(memfd_create("littoral-pages", MemfdFlags::CLOEXEC)?);
        file.set_len(bytes)?;
        let map = Mapping::of(&file, usize::try_from(bytes).map_err(Error::other)?)?;
        let slots = Mutex::new(Slots { free: Vec::new(), next: 0, count: slots });
        Ok(Arc::new(Self { file, map, slots, refused: AtomicU64::new(0) }))
    }

    /// Slots that somebody has.
    pub fn taken(&self) -> usize {
        let slots = self.slots.lock();
        slots.next as usize - slots.free.len()
    }

    /// How often there was no slot, or no memory to write one.
    pub fn refused(&self) -> u64 {
        self.refused.load(Relaxed)
    }

    /// Where in the file these bytes lie; `None` when they lie elsewhere.
    pub fn place(&self, bytes: &[u8]) -> Option<u64> {
        let from = bytes.as_ptr().addr().checked_sub(self.map.at.addr().get())?;
        (from + bytes.len() <= self.map.bytes).then_some(from as u64)
    }

    /// Sends bytes from a place of the file to a socket. `None`: it takes none now.
    ///
    /// # Errors
    /// Of the socket.
    pub fn send(&self, place: u64, bytes: usize, to: BorrowedFd<'_>) -> Result<Option<usize>> {
        match rustix::fs::sendfile(to, &self.file, Some(&mut { place }), bytes) {
            Ok(sent) => Ok(Some(sent)),
            Err(Errno::AGAIN | Errno::INTR) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    fn take(self: &Arc<Self>) -> Option<Taken> {
        let mut slots = self.slots.lock();
        let number = slots.free.pop().or_else(|| {
            let next = slots.next;
            (next < slots.count).then(|| {
                slots.next += 1;
                next
            })
        });
        drop(slots);
        number.map(|number| Taken { pages: self.clone(), number })
    }
}

impl AsFd for Pages {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }
}

/// One who writes bytes behind each other, into as many slots as they need.
#[derive(Debug)]
pub struct Writer {
    pages: Arc<Pages>,
    /// The slots so far, each as far as it was written; the last one is [`Self::open`].
    blocks: Vec<Bytes>,
    open: Option<Open>,
}

#[derive(Debug)]
struct Open {
    whole: Bytes,
    place: u64,
    written: usize,
}

impl Writer {
    /// Into slots of these pages.
    pub fn new(pages: Arc<Pages>) -> Self {
        Self { pages, blocks: Vec::new(), open: None }
    }

    /// Writes what of `bytes` the slot at hand has room for: the same bytes, where they lie from now on. `None`, and counted: there
    /// is no slot, or no memory; nothing more should be written then.
    pub fn write(&mut self, bytes: &[u8]) -> Option<Bytes> {
        let written = self.try_write(bytes);
        if written.is_none() {
            self.pages.refused.fetch_add(1, Relaxed);
        }
        written
    }

    fn try_write(&mut self, bytes: &[u8]) -> Option<Bytes> {
        let open = match self.open.take_if(|open| open.written == SLOT_BYTES) {
            Some(full) => {
                self.blocks.push(full.whole);
                None
            }
            None => self.open.take(),
        };
        let open = match open {
            Some(open) => open,
            None => {
                let taken = self.pages.take()?;
                let place = place_of(taken.number);
                Open { whole: Bytes::from_owner(taken), place, written: 0 }
            }
        };
        let Open { whole, place, written } = self.open.insert(open);
        let upto = SLOT_BYTES.min(*written + bytes.len());
        self.pages.file.write_all_at(&bytes[..upto - *written], *place + *written as u64).ok()?;
        let part = whole.slice(*written..upto);
        *written = upto;
        Some(part)
    }

    /// All that was written, a block a slot.
    pub fn finish(self) -> Vec<Bytes> {
        let Self { mut blocks, open, .. } = self;
        blocks.extend(open.map(|Open { whole, written, .. }| whole.slice(..written)));
        blocks
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read;
    use std::os::unix::net::UnixStream;

    use super::*;

    /// Bytes that tell where they are.
    fn told(count: usize, seed: usize) -> Vec<u8> {
        (0..count).map(|at| ((at + seed) / 7) as u8).collect()
    }

    fn write_all(writer: &mut Writer, mut bytes: &[u8]) -> Vec<Bytes> {
        let mut parts = Vec::new();
        while !bytes.is_empty() {
            let part = writer.write(bytes).unwrap();
            bytes = &bytes[part.len()..];
            parts.push(part);
        }
        parts
    }

    #[test]
    fn what_was_written_is_read_and_sent_from_where_it_lies() {
        let pages = Pages::new(4).unwrap();
        let all = told(2 * SLOT_BYTES + 777, 0);
        let mut writer = Writer::new(pages.clone());
        let parts: Vec<_> = all.chunks(100_000).flat_map(|piece| write_all(&mut writer, piece)).collect();
        assert!(parts.concat() == all);
        let blocks = writer.finish();
        assert_eq!(blocks.iter().map(Bytes::len).collect::<Vec<_>>(), [SLOT_BYTES, SLOT_BYTES, 777]);
        assert!(blocks.concat() == all);
        let block = &blocks[1][5..];
        assert_eq!(pages.place(block), Some(SLOT_BYTES as u64 + 5));
        let (near, mut far) = UnixStream::pair().unwrap();
        let sent = pages.send(pages.place(block).unwrap(), 9000, near.as_fd()).unwrap().unwrap();
        let mut read = vec![0; sent];
        far.read_exact(&mut read).unwrap();
        assert_eq!(read, block[..sent]);
        assert_eq!((pages.place(&all), pages.place(b"elsewhere")), (None, None));
    }

    #[test]
    fn a_socket_keeps_what_it_was_given_when_the_slot_is_written_by_others() {
        let pages = Pages::new(1).unwrap();
        let first = told(50_000, 1);
        let mut writer = Writer::new(pages.clone());
        let block = write_all(&mut writer, &first).remove(0);
        let (near, mut far) = UnixStream::pair().unwrap();
        let sent = pages.send(pages.place(&block).unwrap(), block.len(), near.as_fd()).unwrap().unwrap();
        drop((block, writer));
        let mut writer = Writer::new(pages.clone());
        let second = write_all(&mut writer, &told(SLOT_BYTES, 70_000)).remove(0);
        assert_eq!(pages.place(&second), Some(0), "the same slot");
        let mut read = vec![0; sent];
        far.read_exact(&mut read).unwrap();
        assert!(read == first[..sent]);
    }

    #[test]
    fn a_slot_is_free_again_when_the_last_of_its_bytes_is_dropped_and_takes_no_memory() {
        let pages = Pages::new(1).unwrap();
        let blocks = |file: &File| std::os::unix::fs::MetadataExt::blocks(&file.metadata().unwrap());
        let mut writer = Writer::new(pages.clone());
        let part = write_all(&mut writer, &told(300_000, 0)).remove(0);
        drop(writer);
        let last = part.slice(7..9);
        drop(part);
        assert_eq!((pages.taken(), last[0]), (1, 1));
        assert!(blocks(&pages.file) >= 300_000 / 512);
        assert!(Writer::new(pages.clone()).write(b"no slot").is_none());
        drop(last);
        assert_eq!((pages.taken(), blocks(&pages.file), pages.refused()), (0, 0, 1));
        assert_eq!(Writer::new(pages.clone()).write(b"a slot").unwrap(), "a slot");
    }

    #[test]
    fn more_addresses_than_there_are_is_an_error() {
        assert!(Pages::new(u32::MAX).is_err());
    }
}

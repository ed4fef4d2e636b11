//! The operations on files that the disk tier makes: what a test may let fail.

use std::fs::File;
use std::io::{IoSliceMut, Result, Write};
use std::os::fd::BorrowedFd;
use std::os::unix::fs::FileExt;
use std::path::Path;

use rustix::io::{Errno, ReadWriteFlags, preadv2};

/// Bytes of a page of memory; where pages are larger, some are asked about more than once.
const PAGE_BYTES: u64 = 4096;

/// A file system, as far as objects need one.
pub trait Files: Send + Sync + 'static {
    /// Opens an object to read it.
    ///
    /// # Errors
    /// What the file system says, here and below.
    fn open(&self, path: &Path) -> Result<Box<dyn Opened>>;
    /// Opens an object to change it.
    ///
    /// # Errors
    /// As [`Self::open`].
    fn change(&self, path: &Path) -> Result<Box<dyn Opened>>;
    /// Makes a file that is not there yet.
    ///
    /// # Errors
    /// As [`Self::open`].
    fn create(&self, path: &Path) -> Result<Box<dyn Created>>;
    /// Opens a file to append to it.
    ///
    /// # Errors
    /// As [`Self::open`].
    fn append_to(&self, path: &Path) -> Result<Box<dyn Created>>;
    /// Puts a finished file in its place, whatever was there; makes the directory.
    ///
    /// # Errors
    /// As [`Self::open`].
    fn publish(&self, from: &Path, to: &Path) -> Result<()>;
    /// Brings all that was changed on the file system that holds `path` to the medium.
    ///
    /// # Errors
    /// As [`Self::open`].
    fn sync_all(&self, path: &Path) -> Result<()>;
    /// Brings the names in a directory to the medium.
    ///
    /// # Errors
    /// As [`Self::open`].
    fn sync_directory(&self, path: &Path) -> Result<()>;
    /// Removes a file.
    ///
    /// # Errors
    /// As [`Self::open`].
    fn remove(&self, path: &Path) -> Result<()>;
    /// Bytes free for us on the file system that holds `path`.
    ///
    /// # Errors
    /// As [`Self::open`].
    fn free_bytes(&self, path: &Path) -> Result<u64>;
}

/// A file to read, or to change.
pub trait Opened: Send + Sync {
    /// Its length in bytes.
    ///
    /// # Errors
    /// What the file system says.
    fn length(&self) -> Result<u64>;
    /// Reads exactly `into`, from byte `at` on.
    ///
    /// # Errors
    /// What the file system says, also when the file ends before.
    fn read_at(&self, into: &mut [u8], at: u64) -> Result<()>;
    /// Reads as [`Self::read_at`] does, if that takes no waiting for the medium. `false` when it would, or may: `into` is then
    /// anything.
    ///
    /// # Errors
    /// What the file system says.
    fn read_at_once(&self, into: &mut [u8], at: u64) -> Result<bool>;
    /// Whether the system has all of these bytes in memory; `false` also when it cannot tell.
    fn is_in_memory(&self, at: u64, bytes: u64) -> bool;
    /// Sends up to `bytes` from byte `at` on to a socket that does not block: how many it took, 0 when it is full. What is not in
    /// memory is waited for. `None` when it fails or cannot be done: to read them tells.
    ///
    /// # Errors
    /// What the socket says.
    fn send_at_once(&self, at: u64, bytes: usize, to: BorrowedFd<'_>) -> Result<Option<usize>>;
    /// Writes `bytes` over what is there, from byte `at` on; only into what [`Files::change`] opened.
    ///
    /// # Errors
    /// What the file system says.
    fn write_at(&self, bytes: &[u8], at: u64) -> Result<()>;
}

/// A file that is being written.
pub trait Created: Send {
    /// Appends `bytes`.
    ///
    /// # Errors
    /// What the file system says.
    fn append(&mut self, bytes: &[u8]) -> Result<()>;
    /// Brings it to the medium.
    ///
    /// # Errors
    /// What the file system says.
    fn sync(&mut self) -> Result<()>;
}

/// The real ones.
#[derive(Debug, Clone, Copy, Default)]
pub struct RealFiles;

impl Files for RealFiles {
    fn open(&self, path: &Path) -> Result<Box<dyn Opened>> {
        Ok(Box::new(File::open(path)?))
    }

    fn change(&self, path: &Path) -> Result<Box<dyn Opened>> {
        Ok(Box::new(File::options().read(true).write(true).open(path)?))
    }

    fn create(&self, path: &Path) -> Result<Box<dyn Created>> {
        Ok(Box::new(File::create_new(path)?))
    }

    fn append_to(&self, path: &Path) -> Result<Box<dyn Created>> {
        Ok(Box::new(File::options().append(true).open(path)?))
    }

    fn publish(&self, from: &Path, to: &Path) -> Result<()> {
        match (std::fs::rename(from, to), to.parent()) {
            (Err(error), Some(parent)) if error.kind() == std::io::ErrorKind::NotFound => {
                std::fs::create_dir_all(parent)?;
                std::fs::rename(from, to)
            }
            (renamed, _) => renamed,
        }
    }

    fn sync_all(&self, path: &Path) -> Result<()> {
        Ok(nix::unistd::syncfs(File::open(path)?)?)
    }

    fn sync_directory(&self, path: &Path) -> Result<()> {
        File::open(path)?.sync_all()
    }

    fn remove(&self, path: &Path) -> Result<()> {
        std::fs::remove_file(path)
    }

    fn free_bytes(&self, path: &Path) -> Result<u64> {
        let told = nix::sys::statvfs::statvfs(path)?;
        Ok(told.blocks_available().saturating_mul(told.fragment_size()))
    }
}

impl Opened for File {
    fn length(&self) -> Result<u64> {
        Ok(self.metadata()?.len())
    }

    fn read_at(&self, into: &mut [u8], at: u64) -> Result<()> {
        self.read_exact_at(into, at)
    }

    fn read_at_once(&self, into: &mut [u8], at: u64) -> Result<bool> {
        let length = into.len();
        match preadv2(self, &mut [IoSliceMut::new(into)], at, ReadWriteFlags::NOWAIT) {
            Ok(read) => Ok(read == length),
            // Not in memory, or a file system that cannot tell.
            Err(Errno::AGAIN | Errno::OPNOTSUPP | Errno::INVAL | Errno::NOSYS | Errno::INTR) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    fn is_in_memory(&self, at: u64, bytes: u64) -> bool {
        let end = at + bytes;
        let pages = at / PAGE_BYTES..end.div_ceil(PAGE_BYTES);
        // Two neighbouring bytes tell of two pages with one call.
        pages.step_by(2).all(|page| {
            let from = ((page + 1) * PAGE_BYTES - 1).min(end - 1);
            let mut both = [0; 2];
            let told = both.len().min((end - from) as usize);
            let read = preadv2(self, &mut [IoSliceMut::new(&mut both[..told])], from, ReadWriteFlags::NOWAIT);
            read.is_ok_and(|read| read == told)
        })
    }

    fn send_at_once(&self, at: u64, bytes: usize, to: BorrowedFd<'_>) -> Result<Option<usize>> {
        match rustix::fs::sendfile(to, self, Some(&mut { at }), bytes) {
            Ok(0) => Ok(None),
            Ok(sent) => Ok(Some(sent)),
            Err(Errno::AGAIN | Errno::INTR) => Ok(Some(0)),
            Err(error @ (Errno::PIPE | Errno::CONNRESET | Errno::TIMEDOUT | Errno::NOTCONN)) => Err(error.into()),
            Err(_) => Ok(None),
        }
    }

    fn write_at(&self, bytes: &[u8], at: u64) -> Result<()> {
        self.write_all_at(bytes, at)
    }
}

impl Created for File {
    fn append(&mut self, bytes: &[u8]) -> Result<()> {
        self.write_all(bytes)
    }

    fn sync(&mut self) -> Result<()> {
        self.sync_data()
    }
}

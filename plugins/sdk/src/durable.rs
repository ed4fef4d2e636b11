//! What a plugin keeps on the node's disk: [`Durable`], which [`Connection::durable`](crate::service::Connection::durable) gives, and
//! [`Exchange::durable`](crate::filter::Exchange::durable).
//!
//! ```
//! use littoral_plugin::service::{Connection, Durable, Refusal};
//!
//! fn deliver(peer: &mut impl Connection, message: &[u8]) -> Result<(), Refusal> {
//!     let mut kept = peer.durable();
//!     kept.put(b"mail/1", message)?;
//!     kept.put(b"next", b"2")?;
//!     kept.commit() // both, or neither; on the disk when it returns
//! }
//! # let mut peer = littoral_plugin::service::sketch::Sketch::saying("");
//! # deliver(&mut peer, b"hello").unwrap();
//! # assert_eq!(peer.durable().get(b"mail/1"), Ok(Some(b"hello".to_vec())));
//! ```
//!
//! The operator grants it (`durable` of the `[[plugin]]`). The contract in `plugins/wit/durable.wit` says what is allowed. In native tests,
//! [`sketch::Vault`] is the disk.

pub mod sketch;

/// Why a durable store did not do what it was asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// There would be more than was granted: nothing was changed.
    Full,
    /// What was expected is no longer so: nothing was changed.
    Conflict,
    /// One commit would have more than it may: what was to be noted is not.
    TooMuch,
    /// Another process has the store for a moment, or too much waits: nothing was changed.
    Busy,
    /// The disk failed. Whether a commit was made is not known.
    Failed,
}

impl std::fmt::Display for Refusal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Full => "the durable store is full",
            Self::Conflict => "what was read has changed",
            Self::TooMuch => "too much for one commit",
            Self::Busy => "the durable store is busy",
            Self::Failed => "the disk failed",
        })
    }
}

impl std::error::Error for Refusal {}

/// How much is stored, and may be.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Usage {
    /// Entries.
    pub keys: u64,
    /// Entries there may be.
    pub keys_max: u64,
    /// Bytes they are charged: key, value and 32 for each.
    pub bytes: u64,
    /// Bytes that are granted.
    pub bytes_max: u64,
}

/// What all instances of a service keep on disk. Changes are noted until [`Durable::commit`] makes all of them at once.
pub trait Durable {
    /// The value of a key, with what is noted.
    ///
    /// # Errors
    /// As the contract says.
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, Refusal>;
    /// The first `max` keys (at most 1000) that begin with `prefix` and come behind `after`, with what is noted. Fewer are all there are.
    ///
    /// # Errors
    /// As the contract says.
    fn keys(&self, prefix: &[u8], after: Option<&[u8]>, max: usize) -> Result<Vec<Vec<u8>>, Refusal>;
    /// Notes a value (at most 256 KiB) of a key (1 to 256 bytes).
    ///
    /// # Errors
    /// As the contract says.
    fn put(&mut self, key: &[u8], value: &[u8]) -> Result<(), Refusal>;
    /// Notes that an entry goes.
    ///
    /// # Errors
    /// As the contract says.
    fn remove(&mut self, key: &[u8]) -> Result<(), Refusal>;
    /// Notes that the commit is only for the case that this is stored under the key then; `None`: nothing is.
    ///
    /// # Errors
    /// As the contract says.
    fn expect(&mut self, key: &[u8], value: Option<&[u8]>) -> Result<(), Refusal>;
    /// Makes all that was noted, or nothing of it, and returns when the disk has it. Then nothing is noted any more.
    ///
    /// # Errors
    /// As the contract says.
    fn commit(&mut self) -> Result<(), Refusal>;
    /// Forgets what was noted.
    fn discard(&mut self);
    /// How much is stored and may be, without what is noted.
    fn used(&self) -> Usage;
}

impl<D: Durable> Durable for &mut D {
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, Refusal> {
        (**self).get(key)
    }
    fn keys(&self, prefix: &[u8], after: Option<&[u8]>, max: usize) -> Result<Vec<Vec<u8>>, Refusal> {
        (**self).keys(prefix, after, max)
    }
    fn put(&mut self, key: &[u8], value: &[u8]) -> Result<(), Refusal> {
        (**self).put(key, value)
    }
    fn remove(&mut self, key: &[u8]) -> Result<(), Refusal> {
        (**self).remove(key)
    }
    fn expect(&mut self, key: &[u8], value: Option<&[u8]>) -> Result<(), Refusal> {
        (**self).expect(key, value)
    }
    fn commit(&mut self) -> Result<(), Refusal> {
        (**self).commit()
    }
    fn discard(&mut self) {
        (**self).discard();
    }
    fn used(&self) -> Usage {
        (**self).used()
    }
}

/// Binds a durable store to the host, inside what the export macros make.
#[doc(hidden)]
#[macro_export]
macro_rules! bind_durable {
    ($kept:ty) => {
        impl $crate::durable::Durable for $kept {
            fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, $crate::durable::Refusal> {
                littoral::plugin::durable::get(key).map_err(durable_refusal)
            }
            fn keys(
                &self,
                prefix: &[u8],
                after: Option<&[u8]>,
                max: usize,
            ) -> Result<Vec<Vec<u8>>, $crate::durable::Refusal> {
                let max = u32::try_from(max).unwrap_or(u32::MAX);
                littoral::plugin::durable::keys(prefix, after, max).map_err(durable_refusal)
            }
            fn put(&mut self, key: &[u8], value: &[u8]) -> Result<(), $crate::durable::Refusal> {
                littoral::plugin::durable::put(key, value).map_err(durable_refusal)
            }
            fn remove(&mut self, key: &[u8]) -> Result<(), $crate::durable::Refusal> {
                littoral::plugin::durable::remove(key).map_err(durable_refusal)
            }
            fn expect(&mut self, key: &[u8], value: Option<&[u8]>) -> Result<(), $crate::durable::Refusal> {
                littoral::plugin::durable::expect(key, value).map_err(durable_refusal)
            }
            fn commit(&mut self) -> Result<(), $crate::durable::Refusal> {
                littoral::plugin::durable::commit().map_err(durable_refusal)
            }
            fn discard(&mut self) {
                littoral::plugin::durable::discard();
            }
            fn used(&self) -> $crate::durable::Usage {
                let littoral::plugin::durable::Usage { keys, keys_max, bytes, bytes_max } =
                    littoral::plugin::durable::used();
                $crate::durable::Usage { keys, keys_max, bytes, bytes_max }
            }
        }

        fn durable_refusal(told: littoral::plugin::durable::Refusal) -> $crate::durable::Refusal {
            use littoral::plugin::durable::Refusal;
            match told {
                Refusal::Full => $crate::durable::Refusal::Full,
                Refusal::Conflict => $crate::durable::Refusal::Conflict,
                Refusal::TooMuch => $crate::durable::Refusal::TooMuch,
                Refusal::Busy => $crate::durable::Refusal::Busy,
                Refusal::Failed => $crate::durable::Refusal::Failed,
            }
        }
    };
}

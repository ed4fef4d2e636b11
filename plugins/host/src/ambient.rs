//! What every guest on the component runtime may call, whatever its world: log, counters, clock, entropy, and the store it was granted.
//!
//! Invariant: every function here returns at once and calls no guest.

use std::sync::Arc;

use wasmtime::Result;

use crate::filter::bindings::littoral::plugin::{ambient, env, store};
use crate::limits::LOG_BYTES_MAX;
use crate::status::Counters;
use crate::store::Store;

/// A guest said what is not allowed.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(crate) struct Nonsense(pub(crate) String);

/// What a guest has of it.
pub(crate) struct Ambient {
    name: String,
    counters: Arc<Counters>,
    store: Arc<Store>,
    now_ms: fn() -> u64,
}

impl Ambient {
    /// Of an instance of the plugin of this name.
    pub(crate) fn of(name: &str, counters: &Arc<Counters>, store: &Arc<Store>, now_ms: fn() -> u64) -> Self {
        Self { name: name.to_owned(), counters: counters.clone(), store: store.clone(), now_ms }
    }
}

pub(crate) fn nonsense(why: String) -> wasmtime::Error {
    wasmtime::Error::new(Nonsense(why))
}

impl env::Host for Ambient {
    fn log(&mut self, level: env::Level, text: String) -> Result<()> {
        if !self.counters.may_log() {
            return Ok(());
        }
        let (plugin, text) = (self.name.as_str(), &text[..text.floor_char_boundary(LOG_BYTES_MAX)]);
        match level {
            env::Level::Debug => tracing::debug!(plugin, "{text}"),
            env::Level::Info => tracing::info!(plugin, "{text}"),
            env::Level::Warn => tracing::warn!(plugin, "{text}"),
            env::Level::Error => tracing::error!(plugin, "{text}"),
        }
        Ok(())
    }

    fn count(&mut self, metric: u32, delta: u64) -> Result<()> {
        self.counters.add(metric, delta);
        Ok(())
    }
}

impl ambient::Host for Ambient {
    fn now_ms(&mut self) -> Result<u64> {
        Ok((self.now_ms)())
    }

    fn random(&mut self) -> Result<u64> {
        let mut bytes = [0; 8];
        match rustix::rand::getrandom(&mut bytes[..], rustix::rand::GetRandomFlags::empty()) {
            Ok(8) => Ok(u64::from_le_bytes(bytes)),
            _ => Err(wasmtime::Error::msg("the system has no entropy")),
        }
    }
}

impl store::Host for Ambient {
    fn get(&mut self, key: Vec<u8>) -> Result<Option<Vec<u8>>> {
        self.store.get(&key, (self.now_ms)()).map_err(nonsense)
    }

    fn put(&mut self, key: Vec<u8>, value: Vec<u8>, ttl_ms: u64) -> Result<()> {
        self.store.put(&key, value, ttl_ms, (self.now_ms)()).map_err(nonsense)
    }

    fn remove(&mut self, key: Vec<u8>) -> Result<()> {
        self.store.remove(&key).map_err(nonsense)
    }

    fn swap(&mut self, key: Vec<u8>, expected: Option<Vec<u8>>, value: Vec<u8>, ttl_ms: u64) -> Result<bool> {
        self.store.swap(&key, expected.as_deref(), value, ttl_ms, (self.now_ms)()).map_err(nonsense)
    }

    fn add(&mut self, key: Vec<u8>, delta: i64, ttl_ms: u64) -> Result<i64> {
        self.store.add(&key, delta, ttl_ms, (self.now_ms)()).map_err(nonsense)
    }
}

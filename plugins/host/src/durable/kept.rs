//! What a service keeps on disk, on the host's side: checks what it says, and hands it on to its [`Draft`].

use std::time::Instant;

use wasmtime::Result;

use super::bindings::littoral::plugin::durable::{Host, Refusal as Told, Usage};
use super::guest::Guest;
use crate::ambient::nonsense;
use crate::durable::limits::{KEY_BYTES_MAX, KEYS_TOLD_MAX, VALUE_BYTES_MAX};
use crate::durable::{Draft, Refusal};

fn told(refusal: Refusal) -> Told {
    match refusal {
        Refusal::Full => Told::Full,
        Refusal::Conflict => Told::Conflict,
        Refusal::TooMuch => Told::TooMuch,
        Refusal::Busy => Told::Busy,
        Refusal::Failed => Told::Failed,
    }
}

/// A key as long as it may be.
fn is_key(key: &[u8]) -> Result<()> {
    match (1..=KEY_BYTES_MAX).contains(&key.len()) {
        true => Ok(()),
        false => Err(nonsense(format!("a durable key of {} bytes: it is 1 to {KEY_BYTES_MAX}", key.len()))),
    }
}

fn is_value(value: &[u8]) -> Result<()> {
    match value.len() <= VALUE_BYTES_MAX {
        true => Ok(()),
        false => Err(nonsense(format!("a durable value of {} bytes: at most {VALUE_BYTES_MAX}", value.len()))),
    }
}

impl Guest {
    fn draft(&mut self) -> Result<&mut Draft> {
        if self.begins {
            return Err(nonsense("its durable store is not for `init`: a node only tries that".into()));
        }
        // One that imports it is not loaded without a grant.
        self.draft.as_mut().ok_or_else(|| nonsense("it was granted no durable store".into()))
    }
}

impl Host for Guest {
    async fn get(&mut self, key: Vec<u8>) -> Result<Result<Option<Vec<u8>>, Told>> {
        is_key(&key)?;
        let since = Instant::now();
        let got = self.draft()?.get(&key).await;
        self.time.waited(since.elapsed());
        Ok(got.map_err(told))
    }

    async fn keys(&mut self, prefix: Vec<u8>, after: Option<Vec<u8>>, max: u32) -> Result<Result<Vec<Vec<u8>>, Told>> {
        if prefix.len() > KEY_BYTES_MAX {
            return Err(nonsense(format!("a durable prefix of {} bytes: at most {KEY_BYTES_MAX}", prefix.len())));
        }
        after.as_deref().map_or(Ok(()), is_key)?;
        let most = max as usize;
        if !(1..=KEYS_TOLD_MAX).contains(&most) {
            return Err(nonsense(format!("{most} durable keys asked for: it is 1 to {KEYS_TOLD_MAX}")));
        }
        let since = Instant::now();
        let keys = self.draft()?.keys(&prefix, after.as_deref(), most).await;
        self.time.waited(since.elapsed());
        Ok(keys.map_err(told))
    }

    fn put(&mut self, key: Vec<u8>, value: Vec<u8>) -> Result<Result<(), Told>> {
        is_key(&key)?;
        is_value(&value)?;
        Ok(self.draft()?.put(key, value).map_err(told))
    }

    fn remove(&mut self, key: Vec<u8>) -> Result<Result<(), Told>> {
        is_key(&key)?;
        Ok(self.draft()?.remove(key).map_err(told))
    }

    fn expect(&mut self, key: Vec<u8>, value: Option<Vec<u8>>) -> Result<Result<(), Told>> {
        is_key(&key)?;
        value.as_deref().map_or(Ok(()), is_value)?;
        Ok(self.draft()?.expect(key, value).map_err(told))
    }

    async fn commit(&mut self) -> Result<Result<(), Told>> {
        self.draft()?;
        if self.commits.as_ref().is_some_and(|commits| !commits.may()) {
            self.draft()?.refuse();
            return Ok(Err(Told::Busy));
        }
        let since = Instant::now();
        let committed = self.draft()?.commit().await;
        match committed {
            Ok(true) => self.time.begin_anew(),
            _ => self.time.waited(since.elapsed()),
        }
        Ok(committed.map(drop).map_err(told))
    }

    fn discard(&mut self) -> Result<()> {
        self.draft()?.discard();
        Ok(())
    }

    fn used(&mut self) -> Result<Usage> {
        let (used, most) = self.draft()?.usage();
        Ok(Usage { keys: used.keys, keys_max: most.keys, bytes: used.bytes, bytes_max: most.bytes })
    }
}

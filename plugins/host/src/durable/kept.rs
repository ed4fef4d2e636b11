//! What a plugin keeps on disk, on the host's side: checks what it says, and hands it on to its [`Draft`].

use std::time::Instant;

use wasmtime::Result;
use wasmtime::component::HasData;

use super::limits::{KEY_BYTES_MAX, KEYS_TOLD_MAX, VALUE_BYTES_MAX};
use super::{Draft, Refusal};
use crate::ambient::nonsense;
use crate::filter::bindings::littoral::plugin::durable::{Host, Refusal as Told, Usage};
use crate::service::Rate;
use crate::service::time::Time;
use crate::within::{Within, bounded};

/// A guest that keeps something, for the time of one function of the host.
pub(crate) struct Keeper<'a> {
    pub(crate) draft: Option<&'a mut Draft>,
    pub(crate) time: &'a mut Time,
    /// How often it may commit, where anybody can have it do so.
    pub(crate) commits: Option<&'a Rate>,
    /// How long its call may wait, where that is bounded here.
    pub(crate) within: Option<Within<'a>>,
    /// Why nothing may be kept here.
    pub(crate) forbidden: Option<&'static str>,
}

/// What has a [`Keeper`].
pub(crate) struct OfKeeper;

impl HasData for OfKeeper {
    type Data<'a> = Keeper<'a>;
}

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

impl Keeper<'_> {
    fn draft(&mut self) -> Result<&mut Draft> {
        if let Some(why) = self.forbidden {
            return Err(nonsense(why.into()));
        }
        // One that imports it is not loaded without a grant.
        self.draft.as_deref_mut().ok_or_else(|| nonsense("it was granted no durable store".into()))
    }
}

impl Host for Keeper<'_> {
    async fn get(&mut self, key: Vec<u8>) -> Result<Result<Option<Vec<u8>>, Told>> {
        is_key(&key)?;
        self.draft()?;
        let Self { draft: Some(draft), time, within, .. } = self else { return Ok(Err(Told::Failed)) };
        let since = Instant::now();
        let got = bounded(within.as_mut(), draft.get(&key)).await;
        time.waited(since.elapsed());
        Ok(got.unwrap_or(Err(Refusal::Busy)).map_err(told))
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
        self.draft()?;
        let Self { draft: Some(draft), time, within, .. } = self else { return Ok(Err(Told::Failed)) };
        let since = Instant::now();
        let keys = bounded(within.as_mut(), draft.keys(&prefix, after.as_deref(), most)).await;
        time.waited(since.elapsed());
        Ok(keys.unwrap_or(Err(Refusal::Busy)).map_err(told))
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
        let (commits, is_bounded) = (self.commits, self.within.is_some());
        let draft = self.draft()?;
        if commits.is_some_and(|commits| !commits.may()) {
            draft.refuse();
            return Ok(Err(Told::Busy));
        }
        let Self { draft: Some(draft), time, within, .. } = self else { return Ok(Err(Told::Failed)) };
        let since = Instant::now();
        let committed = match bounded(within.as_mut(), draft.commit()).await {
            Some(committed) => committed,
            None => {
                // One that was dropped before it began has left its changes.
                let is_begun = draft.is_empty();
                draft.discard();
                Err(if is_begun { Refusal::Failed } else { Refusal::Busy })
            }
        };
        match committed {
            Ok(true) if !is_bounded => time.begin_anew(),
            _ => time.waited(since.elapsed()),
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

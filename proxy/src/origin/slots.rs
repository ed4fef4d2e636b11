//! How many requests an origin gets at a time, and who waits for their turn.
//!
//! First come, first served; the queue is bounded in length and in time. Which origin is asked is [`super::Origins`]'.
//! Invariant: a place that was given is free again when its [`Slot`] is dropped, however the request ends.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::Origin;

/// The places of an origin with a bound.
#[derive(Debug)]
pub struct Slots {
    places: Arc<Semaphore>,
    waiting: AtomicUsize,
    queue: usize,
    patience: Duration,
}

/// Why there is no place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Busy {
    /// The queue is full.
    QueueFull,
    /// It took longer than a request may wait.
    TimedOut,
}

/// A request under way at an origin.
#[derive(Debug)]
pub struct Slot {
    origin: Arc<Origin>,
    _place: Option<OwnedSemaphorePermit>,
}

impl Slots {
    /// So many places, so many who wait, each for so long.
    pub fn new(places: usize, queue: usize, patience: Duration) -> Self {
        let places = Arc::new(Semaphore::new(places.min(Semaphore::MAX_PERMITS)));
        Self { places, waiting: AtomicUsize::new(0), queue, patience }
    }

    /// Whether a request would not have to wait.
    pub fn has_room(&self) -> bool {
        self.places.available_permits() > 0
    }

    /// How many wait.
    pub fn waiting(&self) -> usize {
        self.waiting.load(Relaxed)
    }

    async fn enter(&self) -> Result<OwnedSemaphorePermit, Busy> {
        if let Ok(place) = self.places.clone().try_acquire_owned() {
            return Ok(place);
        }
        let _waiter = Waiter::join(&self.waiting, self.queue).ok_or(Busy::QueueFull)?;
        let place = tokio::time::timeout(self.patience, self.places.clone().acquire_owned()).await;
        Ok(place.map_err(|_| Busy::TimedOut)?.expect("invariant: the semaphore is never closed"))
    }
}

/// One who waits; no more when dropped.
struct Waiter<'a>(&'a AtomicUsize);

impl<'a> Waiter<'a> {
    fn join(waiting: &'a AtomicUsize, bound: usize) -> Option<Self> {
        let joined = waiting.fetch_update(Relaxed, Relaxed, |now| (now < bound).then_some(now + 1));
        joined.is_ok().then(|| Self(waiting))
    }
}

impl Drop for Waiter<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Relaxed);
    }
}

impl Slot {
    /// Waits for a place at `origin`, when it has a bound.
    ///
    /// # Errors
    /// Why there is none.
    pub async fn at(origin: Arc<Origin>) -> Result<Self, Busy> {
        let place = match &origin.slots {
            Some(slots) => Some(slots.enter().await?),
            None => None,
        };
        origin.live.under_way.fetch_add(1, Relaxed);
        Ok(Self { origin, _place: place })
    }

    /// Where it is.
    pub fn origin(&self) -> &Arc<Origin> {
        &self.origin
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.origin.live.under_way.fetch_sub(1, Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;
    use crate::config::origin::Origin as Raw;
    use crate::config::units::Span;

    fn bounded(queue: usize, patience: Duration) -> Arc<Origin> {
        let raw = Raw::of_url("http://127.0.0.1:1");
        let raw = Raw { max_connections: Some(1), queue, queue_timeout: Span(patience), ..raw };
        Arc::new(Origin::of(&raw).unwrap())
    }

    #[tokio::test(start_paused = true)]
    async fn who_waits_is_served_in_order_and_who_finds_the_queue_full_is_told() {
        let origin = bounded(2, Duration::from_secs(9));
        let first = Slot::at(origin.clone()).await.unwrap();
        assert!(!origin.has_room());
        let (mut second, mut third) = (Box::pin(Slot::at(origin.clone())), Box::pin(Slot::at(origin.clone())));
        assert!(second.as_mut().now_or_never().is_none() && third.as_mut().now_or_never().is_none());
        assert_eq!((origin.waiting(), Slot::at(origin.clone()).await.unwrap_err()), (2, Busy::QueueFull));
        drop(first);
        assert!(third.as_mut().now_or_never().is_none(), "the one before is served first");
        let second = second.await.unwrap();
        assert_eq!((origin.waiting(), origin.under_way()), (1, 1));
        drop(second);
        drop(third.await.unwrap());
        assert_eq!((origin.waiting(), origin.under_way(), origin.has_room()), (0, 0, true));
    }

    #[tokio::test(start_paused = true)]
    async fn nobody_waits_longer_than_the_time_out_and_who_leaves_frees_the_queue() {
        let origin = bounded(1, Duration::from_secs(1));
        let _first = Slot::at(origin.clone()).await.unwrap();
        assert_eq!(Slot::at(origin.clone()).await.unwrap_err(), Busy::TimedOut);
        let mut leaver = Box::pin(Slot::at(origin.clone()));
        assert!(leaver.as_mut().now_or_never().is_none() && origin.waiting() == 1);
        drop(leaver);
        assert_eq!(origin.waiting(), 0);
    }
}

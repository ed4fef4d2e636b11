//! How long one call of a filter waits for all that is outside of it, beside what it asks by HTTP ([`crate::fetch`] has a bound of its own).
//!
//! The host has no clock to wake by; the caller brings one with each [`Wire`], which can wait. Invariant: what is not done in time is dropped, and
//! whoever dropped it never asks the same connection again.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::task::Poll;
use std::time::{Duration, Instant};

use crate::service::Wire;

/// What is left of a call's time to wait.
pub(crate) struct Within<'a> {
    /// When it is over; `None` before the first wait.
    pub(crate) until: &'a mut Option<Instant>,
    /// How long all waits of a call may take.
    pub(crate) most: Duration,
    /// What wakes when it is over.
    pub(crate) clock: &'a mut dyn Wire,
}

impl Within<'_> {
    /// Waits for something, as long as there is time. `None`: there was not enough, and it was dropped.
    pub(crate) async fn of<T>(&mut self, work: impl Future<Output = T>) -> Option<T> {
        let now = Instant::now();
        let left = self.until.get_or_insert(now + self.most).saturating_duration_since(now);
        if left.is_zero() {
            return None;
        }
        let (mut work, mut over) = (pin!(work), self.clock.sleep(left));
        let mut is_clock = true;
        poll_fn(|context| {
            if let Poll::Ready(done) = work.as_mut().poll(context) {
                return Poll::Ready(Some(done));
            }
            // One that cannot wait is no clock: where nobody is outside, nothing takes long.
            if is_clock && let Poll::Ready(rung) = over.as_mut().poll(context) {
                if rung.is_ok() {
                    return Poll::Ready(None);
                }
                is_clock = false;
            }
            Poll::Pending
        })
        .await
    }
}

/// Waits within a bound, where there is one.
pub(crate) async fn bounded<T>(within: Option<&mut Within<'_>>, work: impl Future<Output = T>) -> Option<T> {
    match within {
        Some(within) => within.of(work).await,
        None => Some(work.await),
    }
}

//! A tier's seat for a policy that keeps its own state: what is told to it, and what it names.
//!
//! Hits note their uses in [`told`] and go on; whoever makes room for the tier, off the request path, tells the policy in order
//! ([`seat`]) and removes what it names. The same for objects in memory and on disk. Which policy it is, the tier's
//! [`Eviction`](crate::Eviction) says. Invariants: one policy at a time decides for a tier, and no hit waits for it; what it names
//! wrongly costs no object that is there; after a fault, and while it is away, samples are scored as ever.

use littoral_evict::{Exact, Place};

pub(crate) mod seat;
#[cfg(test)]
pub(crate) mod testing;
pub(crate) mod told;

use crate::trace::place::place_of;

/// A policy with state of its own, started for one tier.
pub trait Keep: Exact + Send {
    /// Whether it has faulted: it is not asked again, and what it named in the last call does not count.
    fn is_broken(&self) -> bool {
        false
    }

    /// It named what was not there.
    fn lied(&mut self) {}

    /// Whether nothing that it was told waits to reach it.
    fn is_up_to_date(&self) -> bool {
        true
    }
}

impl Keep for Box<dyn Exact + Send> {}

/// Where the object of a key stands in a title; `None` for what is no part of one.
pub(crate) fn place_of_key(text: &[u8]) -> Option<Place> {
    let (host, path) = std::str::from_utf8(text).ok()?.split_once(' ')?;
    place_of(host, path)
}

//! Signatures that were made: one takes tens of microseconds, and most answers are given again and again.
//!
//! Kept are two generations. What is found in the old one moves to the young; when that is full, the old one goes. So names that
//! somebody draws by chance push out each other, and not what is asked for often. Invariant: never more than
//! [`SIGNATURES_MAX`] are kept.

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};

use parking_lot::Mutex;
use ring::digest::{SHA256, digest};

use crate::limits::SIGNATURES_MAX;

/// Parts that are locked each for itself.
const PARTS: usize = 16;
const GENERATION_MAX: usize = SIGNATURES_MAX / PARTS / 2;

/// What was signed by which key, as a digest: what many sets could share nobody can make.
type What = [u8; 32];

/// A signature and from when to when it holds, as RRSIG records say it (seconds since 1970, which wrap around).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Kept {
    pub(super) inception: u32,
    pub(super) expiration: u32,
    pub(super) signature: [u8; 64],
}

/// The signatures of a node.
#[derive(Debug)]
pub(crate) struct Signatures {
    parts: Box<[Mutex<Generations>]>,
    hash: RandomState,
}

#[derive(Debug, Default)]
struct Generations {
    young: HashMap<What, Kept>,
    old: HashMap<What, Kept>,
}

impl Default for Signatures {
    fn default() -> Self {
        Self { parts: (0..PARTS).map(|_| Mutex::default()).collect(), hash: RandomState::new() }
    }
}

impl Signatures {
    /// What is kept of what the parts of `signed` say together, when `fresh` holds for it.
    pub(super) fn find(&self, what: &What, fresh: impl Fn(&Kept) -> bool) -> Option<Kept> {
        let mut part = self.part(what).lock();
        if let Some(kept) = part.young.get(what) {
            return Some(*kept).filter(fresh);
        }
        let kept = part.old.remove(what).filter(fresh)?;
        part.keep(*what, kept);
        Some(kept)
    }

    pub(super) fn keep(&self, what: What, kept: Kept) {
        self.part(&what).lock().keep(what, kept);
    }

    /// How many are kept.
    pub(crate) fn count(&self) -> usize {
        let count = |part: &Mutex<Generations>| {
            let part = part.lock();
            part.young.len() + part.old.len()
        };
        self.parts.iter().map(count).sum()
    }

    fn part(&self, what: &What) -> &Mutex<Generations> {
        &self.parts[self.hash.hash_one(what) as usize % PARTS]
    }
}

impl Generations {
    fn keep(&mut self, what: What, kept: Kept) {
        if self.young.len() >= GENERATION_MAX {
            self.old = std::mem::take(&mut self.young);
        }
        self.young.insert(what, kept);
    }
}

/// The name of something that is signed.
pub(super) fn what(bytes: &[u8]) -> What {
    let mut what = [0; 32];
    what.copy_from_slice(digest(&SHA256, bytes).as_ref());
    what
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kept(inception: u32) -> Kept {
        Kept { inception, expiration: 0, signature: [0; 64] }
    }

    #[test]
    fn names_drawn_by_chance_push_out_each_other_and_not_what_is_asked_for_often() {
        let signatures = Signatures::default();
        let often = what(b"often");
        signatures.keep(often, kept(7));
        for chance in 0..4 * SIGNATURES_MAX {
            signatures.keep(what(&chance.to_be_bytes()), kept(1));
            if chance % 1000 == 0 {
                assert_eq!(signatures.find(&often, |_| true), Some(kept(7)), "{chance}");
            }
        }
        let count = signatures.count();
        assert!((SIGNATURES_MAX / 4..=SIGNATURES_MAX).contains(&count), "{count}");
        assert_eq!(signatures.find(&often, |_| false), None, "one that is no longer fresh is told");
    }
}

//! What was answered under a manifest's name and is none that can be used, such as a page that says sorry, so that it is not read, or asked
//! for, again with each request.
//!
//! It is known by its stored entry while that is stored; what is not stored is known by its path for [`REFUSED_MS`], and another that is
//! stored meanwhile is read at once. Invariant: at most [`REFUSED_MAX`] are known; with one more all are read again.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Weak};

use littoral_cache::Entry;
use littoral_manifests::ManifestError;
use parking_lot::Mutex;

/// So long what is not stored is not asked for again, in ms.
pub(crate) const REFUSED_MS: u64 = 60_000;
/// Paths that are known.
const REFUSED_MAX: usize = 4096;

/// Why a manifest is not used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Why {
    /// It is one, of a live title.
    Live,
    /// It is none, or one that says nothing usable.
    Unreadable,
}

impl Why {
    pub(super) fn of(error: &ManifestError) -> Self {
        match error {
            ManifestError::Dynamic => Self::Live,
            _ => Self::Unreadable,
        }
    }
}

#[derive(Debug)]
struct Found {
    why: Why,
    /// Nothing, when it was not stored.
    stored: Weak<Entry>,
    until_ms: u64,
}

/// Those that are known, and how often one was met.
#[derive(Debug, Default)]
pub(super) struct Refused {
    by_path: Mutex<HashMap<String, Found>>,
    read: AtomicU64,
    remembered: AtomicU64,
}

impl Refused {
    /// Remembers what was read, under its host and path.
    pub(super) fn note(&self, path: String, why: Why, stored: Weak<Entry>, now_ms: u64) {
        if why == Why::Unreadable {
            self.read.fetch_add(1, Relaxed);
        }
        let mut by_path = self.by_path.lock();
        if by_path.len() >= REFUSED_MAX {
            by_path.clear();
        }
        by_path.insert(path, Found { why, stored, until_ms: now_ms.saturating_add(REFUSED_MS) });
    }

    /// Why what is at a path now, `stored` or not, is known to be of no use.
    pub(super) fn why(&self, path: &str, stored: Option<&Arc<Entry>>, now_ms: u64) -> Option<Why> {
        let holds = |found: &&Found| match stored {
            Some(entry) => is(&found.stored, entry),
            None => now_ms < found.until_ms,
        };
        let why = self.by_path.lock().get(path).filter(holds)?.why;
        if why == Why::Unreadable {
            self.remembered.fetch_add(1, Relaxed);
        }
        Some(why)
    }

    /// How often it was found by reading, and how often remembered.
    pub(super) fn counts(&self) -> [(&'static str, u64); 2] {
        [("read", self.read.load(Relaxed)), ("remembered", self.remembered.load(Relaxed))]
    }
}

/// Whether an entry is the one that was meant: a `Weak` keeps its place in memory from being another's.
pub(super) fn is(meant: &Weak<Entry>, entry: &Arc<Entry>) -> bool {
    std::ptr::eq(meant.as_ptr(), Arc::as_ptr(entry))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_stored_is_known_for_a_minute_and_counted_unless_it_is_live() {
        let refused = Refused::default();
        refused.note("h /a.mpd".into(), Why::Unreadable, Weak::new(), 1000);
        refused.note("h /live.mpd".into(), Why::Live, Weak::new(), 1000);
        assert_eq!(refused.why("h /a.mpd", None, 60_999), Some(Why::Unreadable));
        assert_eq!(refused.why("h /live.mpd", None, 60_999), Some(Why::Live));
        assert_eq!((refused.why("h /a.mpd", None, 61_000), refused.why("h /b.mpd", None, 1000)), (None, None));
        assert_eq!(refused.counts(), [("read", 1), ("remembered", 1)]);
    }

    #[test]
    fn no_more_are_known_than_the_bound() {
        let refused = Refused::default();
        (0..2 * REFUSED_MAX).for_each(|one| refused.note(format!("h /{one}"), Why::Unreadable, Weak::new(), 0));
        assert!(refused.by_path.lock().len() <= REFUSED_MAX);
    }
}

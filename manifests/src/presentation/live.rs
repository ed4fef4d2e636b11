//! What makes a presentation a live one, and which of its segments are there at a given time (ISO/IEC 23009-1 §5.3.9.5.3,
//! DASH-IF interoperability points §4.3.2).
//!
//! Invariant: no clock is read here.

use super::Presentation;
use super::raw::Mpd;

/// What a live manifest says of itself. Instants are ms since 1970, UTC.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Live {
    /// When the presentation begins; times of periods count from here.
    pub availability_start_ms: u64,
    /// When the last segment goes.
    pub availability_end_ms: Option<u64>,
    /// When this manifest was written.
    pub publish_ms: Option<u64>,
    /// How soon it may have changed; `None`: it will not.
    pub minimum_update_ms: Option<u64>,
    /// How long segments stay.
    pub time_shift_ms: Option<u64>,
    /// How far behind the newest segment a player is to stay.
    pub suggested_delay_ms: Option<u64>,
    /// Where the manifest is to be fetched from next time, the first first; where it came from when empty. As written: maybe
    /// relative.
    pub locations: Vec<String>,
    /// Where patches (RFC 5261) of it are, and for how many ms from `publish_ms`. Noted only: patches are not applied here.
    pub patches: Vec<(String, Option<u64>)>,
}

impl Live {
    pub(super) fn of(mpd: &Mpd) -> Option<Self> {
        mpd.is_dynamic.then(|| Self {
            availability_start_ms: mpd.availability_start_ms.unwrap_or(0),
            availability_end_ms: mpd.availability_end_ms,
            publish_ms: mpd.publish_ms,
            minimum_update_ms: mpd.minimum_update_ms,
            time_shift_ms: mpd.time_shift_ms,
            suggested_delay_ms: mpd.suggested_delay_ms,
            locations: mpd.locations.clone(),
            patches: mpd.patches.clone(),
        })
    }
}

impl Presentation {
    /// When a live manifest should be fetched again, in ms since 1970; `None` when it will not change.
    pub fn update_due_ms(&self) -> Option<u64> {
        let live = self.live.as_ref()?;
        Some(live.publish_ms.unwrap_or(live.availability_start_ms).saturating_add(live.minimum_update_ms?))
    }
}

/// The part of a period that is there now, in ms from its start.
#[derive(Debug, Clone, Copy)]
pub(super) struct Window {
    /// When the period begins, in ms since 1970.
    pub(super) begins_ms: u64,
    /// Segments that end later are not there yet.
    pub(super) newest_end_ms: u64,
    /// Segments that end earlier are gone.
    pub(super) oldest_end_ms: u64,
    /// Where segments that are there all at once end, when nothing else says so.
    elapsed_ms: u64,
    offset_ms: u64,
}

impl Window {
    /// Of a period that starts `start_ms` into the presentation; `None` while it has not begun.
    ///
    /// `offset_ms` is the `availabilityTimeOffset` in force.
    pub(super) fn of(live: &Live, now_ms: u64, start_ms: u64, offset_ms: u64) -> Option<Self> {
        let now_ms = live.availability_end_ms.map_or(now_ms, |end| end.min(now_ms));
        let begins_ms = live.availability_start_ms.checked_add(start_ms)?;
        let elapsed_ms =
            now_ms.saturating_add(offset_ms).checked_sub(begins_ms).map(|_| now_ms.saturating_sub(begins_ms))?;
        Some(Self {
            begins_ms,
            newest_end_ms: elapsed_ms.saturating_add(offset_ms),
            oldest_end_ms: live.time_shift_ms.map_or(0, |depth| elapsed_ms.saturating_sub(depth)),
            elapsed_ms,
            offset_ms,
        })
    }

    /// The newest end, also where everything is there at once and nothing else ends the list.
    pub(super) fn open_end_ms(&self) -> u64 {
        if self.newest_end_ms == u64::MAX { self.elapsed_ms } else { self.newest_end_ms }
    }

    /// Whether a segment is there: it stays for its own length longer than the time-shift buffer is deep.
    pub(super) fn holds(&self, end_ms: u64, duration_ms: u64) -> bool {
        end_ms <= self.newest_end_ms && end_ms.saturating_add(duration_ms) >= self.oldest_end_ms
    }

    /// When a segment becomes available, in ms since 1970.
    pub(super) fn available_ms(&self, end_ms: u64) -> u64 {
        self.begins_ms.saturating_add(end_ms).saturating_sub(self.offset_ms)
    }
}

//! When segments are: numbers, times and durations, unrolled from a timeline or from one duration for all, within what of a live
//! presentation is there.
//!
//! Invariant: never more than [`SEGMENTS_OF_ONE_MAX`], whatever the numbers say; nothing overflows.

use super::live::Window;
use super::raw::Entry;
use crate::limits::SEGMENTS_OF_ONE_MAX;

/// One segment, times in units of the timescale.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Slot {
    pub(super) number: u64,
    pub(super) time: u64,
    pub(super) duration: u64,
    /// Place in a sequence of segments with the same number, from 1.
    pub(super) sub_number: u64,
}

/// What numbers and times are to be read by.
#[derive(Debug, Clone, Copy)]
pub(super) struct Timing {
    /// Units per second, never 0 and never more than 32 bits.
    pub(super) timescale: u64,
    /// The media time at which the period starts.
    pub(super) offset: i64,
    /// The number of the first segment.
    pub(super) first: u64,
    /// The number of the last one.
    pub(super) last: Option<u64>,
    /// Length of the period.
    pub(super) period_ms: Option<u64>,
    /// Of a live presentation.
    pub(super) window: Option<Window>,
}

impl Slot {
    /// The segment `step` of many of one length.
    pub(super) fn uniform(step: u64, duration_milli: u64, timing: &Timing) -> Self {
        let time = u128::from(step) * u128::from(duration_milli) / 1000;
        Self {
            number: timing.first.saturating_add(step),
            time: u64::try_from(time).unwrap_or(u64::MAX),
            duration: duration_milli / 1000,
            sub_number: 1,
        }
    }
}

impl Timing {
    /// Units in ms.
    pub(super) fn ms(&self, units: u64) -> u64 {
        u64::try_from(u128::from(units) * 1000 / u128::from(self.timescale)).unwrap_or(u64::MAX)
    }

    /// The media time of a time in the period; 0 where it would be less.
    fn units(&self, ms: u64) -> u64 {
        let units = i128::from(ms) * i128::from(self.timescale) / 1000 + i128::from(self.offset);
        u64::try_from(units.max(0)).unwrap_or(u64::MAX)
    }

    /// When a slot starts, in ms from the start of the period.
    pub(super) fn start_ms(&self, slot: &Slot) -> u64 {
        let since = i128::from(slot.time) - i128::from(self.offset);
        u64::try_from(since.max(0) * 1000 / i128::from(self.timescale)).unwrap_or(u64::MAX)
    }

    /// The media time at which the period starts, in ms.
    pub(super) fn offset_ms(&self) -> i64 {
        i64::try_from(i128::from(self.offset) * 1000 / i128::from(self.timescale)).unwrap_or(0)
    }

    /// Whether it is there now.
    pub(super) fn holds(&self, slot: &Slot) -> bool {
        let duration_ms = self.ms(slot.duration);
        self.window.is_none_or(|window| window.holds(self.start_ms(slot).saturating_add(duration_ms), duration_ms))
    }
}

/// Segments of one duration until the period or the numbers end. Times count from the start of the period.
pub(super) fn even(duration_milli: u64, timing: &Timing) -> Option<Vec<Slot>> {
    // A thousandth of a unit is this part of a millisecond.
    let (length, scale) = (u128::from(duration_milli), u128::from(timing.timescale));
    if length < 1000 {
        return None;
    }
    let by_time = timing.period_ms.map(|period_ms| {
        let total = u128::from(period_ms) * scale;
        // What is left over and shorter than a millisecond comes of rounding.
        (total / length + u128::from(total % length >= scale)).max(u128::from(total > 0))
    });
    let by_number = timing.last.map(|last| u128::from(last) + 1).map(|end| end.saturating_sub(timing.first.into()));
    let (mut from, mut to) = (0, by_time.into_iter().chain(by_number).min());
    if let Some(window) = timing.window {
        let whole_period = timing.period_ms.is_some_and(|period_ms| window.newest_end_ms >= period_ms);
        if !whole_period {
            let there = u128::from(window.open_end_ms()) * scale / length;
            to = Some(to.map_or(there, |to| to.min(there)));
        }
        from = (u128::from(window.oldest_end_ms) * scale).div_ceil(length).saturating_sub(2);
    }
    let to = to?.max(from);
    if to - from > SEGMENTS_OF_ONE_MAX as u128 {
        return None;
    }
    let (from, to) = (u64::try_from(from).ok()?, u64::try_from(to).ok()?);
    let in_period = Timing { offset: 0, ..*timing };
    Some((from..to).map(|step| Slot::uniform(step, duration_milli, &in_period)).collect())
}

/// SegmentTimeline (§5.3.9.6): `S@t,@d,@r,@n,@k`; a negative `r` repeats until the next `S@t`, the end of the period, or now.
pub(super) fn unroll(entries: &[Entry], timing: &Timing) -> Option<Vec<Slot>> {
    let mut slots = Vec::new();
    let mut time = entries.first()?.time.unwrap_or(0);
    let mut number = timing.first;
    for (at, entry) in entries.iter().enumerate() {
        time = entry.time.unwrap_or(time);
        number = entry.number.unwrap_or(number);
        let next = entries.get(at + 1).and_then(|next| next.time);
        let mut count = match u64::try_from(entry.repeats) {
            Ok(repeats) => repeats.saturating_add(1),
            Err(_) if entry.duration == 0 => return None,
            Err(_) => {
                let open = || timing.window.map(|window| window.open_end_ms());
                let end = next.or_else(|| timing.period_ms.or_else(open).map(|ms| timing.units(ms)))?;
                end.saturating_sub(time).div_ceil(entry.duration).max(1)
            }
        };
        if let Some(gone) = gone_by(timing, time, entry.duration) {
            let gone = gone.min(count);
            (time, number) = (time.checked_add(gone.checked_mul(entry.duration)?)?, number.saturating_add(gone));
            count -= gone;
        }
        let parts = entry.parts.max(1);
        if count.checked_mul(parts)?.checked_add(slots.len() as u64)? > SEGMENTS_OF_ONE_MAX as u64 {
            return None;
        }
        for _ in 0..count {
            if timing.last.is_some_and(|last| number > last) {
                return Some(slots);
            }
            let whole = Slot { number, time, duration: entry.duration, sub_number: 1 };
            if timing.holds(&whole) {
                let part = |sub_number| Slot { duration: entry.duration / parts, sub_number, ..whole };
                slots.extend((1..=parts).map(part));
            }
            (time, number) = (time.checked_add(entry.duration)?, number.saturating_add(1));
        }
    }
    Some(slots)
}

/// How many segments from `time` on are certainly gone, so that a run that began years ago costs nothing.
fn gone_by(timing: &Timing, time: u64, duration: u64) -> Option<u64> {
    let oldest = timing.units(timing.window?.oldest_end_ms);
    Some(oldest.saturating_sub(time).checked_div(duration)?.saturating_sub(2))
}

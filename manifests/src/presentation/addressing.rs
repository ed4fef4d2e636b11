//! How a representation names its segments: SegmentTemplate, SegmentList or SegmentBase, each inherited from the
//! adaptation set and the period (ISO/IEC 23009-1 §5.3.9.1), attribute by attribute.

use super::live::Window;
use super::names::{Names, range_of};
use super::raw::{self, Part, Segments};
use super::slots::{Slot, Timing, even, unroll};
use super::{ManifestError, Representation, Resource, Segment};
use crate::limits::URL_BYTES_MAX;
use crate::template::{Pattern, Values};

/// The id under which a player asks the edge to choose.
const AUTO_ID: &str = "auto";

/// Which element says how segments are named.
#[derive(Clone, Copy, PartialEq, Eq)]
enum By {
    Template,
    List,
    Base,
}

/// The addressing in force for one representation: the same element of each level that has it, innermost first.
pub(super) struct Addressing<'a> {
    by: By,
    levels: [Option<&'a Segments>; 3],
}

impl<'a> Addressing<'a> {
    /// Of a representation, its set and its period. The innermost level that names segments says by which element.
    pub(super) fn of(levels: [&'a raw::Addressing; 3]) -> Self {
        let kind = |level: &&raw::Addressing| match level {
            raw::Addressing { template: Some(_), .. } => Some(By::Template),
            raw::Addressing { list: Some(_), .. } => Some(By::List),
            raw::Addressing { base: Some(_), .. } => Some(By::Base),
            _ => None,
        };
        let by = levels.iter().find_map(kind).unwrap_or(By::Base);
        let chosen = |level: &'a raw::Addressing| match by {
            By::Template => level.template.as_ref(),
            By::List => level.list.as_ref(),
            By::Base => level.base.as_ref(),
        };
        Self { by, levels: levels.map(chosen) }
    }

    /// What the innermost level that has it says.
    fn first<T>(&self, of: impl Fn(&'a Segments) -> Option<T>) -> Option<T> {
        self.levels.iter().flatten().find_map(|level| of(level))
    }

    /// The `availabilityTimeOffset` in force, in ms: those of all levels together.
    pub(super) fn availability_offset_ms(&self) -> u64 {
        let offsets = self.levels.iter().flatten().filter_map(|level| level.availability_offset_ms);
        offsets.fold(0, u64::saturating_add)
    }

    fn timing(&self, period_ms: Option<u64>, window: Option<Window>) -> Timing {
        Timing {
            timescale: self.first(|level| level.timescale).map_or(1, u64::from).max(1),
            offset: self.first(|level| level.presentation_offset).unwrap_or(0),
            first: self.first(|level| level.start_number).unwrap_or(1),
            last: self.first(|level| level.end_number),
            period_ms,
            window,
        }
    }

    fn slots(&self, timing: &Timing) -> Option<Vec<Slot>> {
        match self.first(|level| level.timeline.as_ref()) {
            Some(timeline) => unroll(timeline, timing),
            None => even(self.first(|level| level.duration_milli)?, timing),
        }
    }

    /// Fills in init, segments or index of `into`, as far as `names` bytes of URLs and paths go. `period_ms` is how long the
    /// period is, `window` what of it is there.
    pub(super) fn list(
        &self,
        period_ms: Option<u64>,
        window: Option<Window>,
        names: &mut usize,
        into: &mut Representation,
    ) -> Result<(), ManifestError> {
        let timing = self.timing(period_ms, window);
        into.timescale = timing.timescale;
        match self.by {
            By::Template => self.by_template(&timing, names, into),
            By::List => self.by_list(&timing, names, into),
            By::Base => self.by_base(&timing, into),
        }
    }

    fn by_template(&self, timing: &Timing, names: &mut usize, into: &mut Representation) -> Result<(), ManifestError> {
        let problem = |text| ManifestError::Addressing(into.id.clone(), text);
        let text = self.first(|level| level.media.as_deref());
        let text = text.ok_or_else(|| problem("its SegmentTemplate has no media"))?;
        let slots = self.slots(timing);
        let slots = slots
            .ok_or_else(|| problem("its segments cannot be counted: no usable duration or timeline, or too many"))?;
        let pattern = |text: &str, id: &str, of_segments| Pattern::new(text, id, into.bandwidth, of_segments);
        let media =
            pattern(text, &into.id, true).filter(|media| into.base().join(&media.filled(Values::default())).is_ok());
        let media = media.ok_or_else(|| problem("its media is no usable template"))?;
        let initialization = self.first(|level| level.initialization.as_deref());
        let init = match initialization {
            Some(text) => {
                let name = pattern(text, &into.id, false).map(|found| found.filled(Values::default()));
                let found = name.and_then(|name| Part { url: Some(name), range: None }.resource(into.base()));
                Some(found.ok_or_else(|| problem("its initialization is no usable template"))?)
            }
            None => self.first(|level| level.init.as_ref()).and_then(|init| init.resource(into.base())),
        };
        let of_auto = text.contains("$RepresentationID$").then(|| pattern(text, AUTO_ID, true)).flatten();
        let auto =
            of_auto.map(|media| Box::new((media, initialization.and_then(|text| pattern(text, AUTO_ID, false)))));
        let longest = media.longest().max(auto.as_ref().map_or(0, |auto| auto.0.longest()));
        take(names, slots.len().saturating_mul(into.base().as_str().len() + longest))?;
        into.segments = slots.iter().map(|slot| timing.segment(slot, 0)).collect();
        (into.init, into.names) = (init, Names::Template { media, auto });
        Ok(())
    }

    fn by_list(&self, timing: &Timing, names: &mut usize, into: &mut Representation) -> Result<(), ManifestError> {
        let base = into.base().clone();
        into.init = self.first(|level| level.init.as_ref()).and_then(|init| init.resource(&base));
        let Some(parts) = self.first(|level| level.urls.as_ref()) else { return Ok(()) };
        let duration_milli = self.first(|level| level.duration_milli).unwrap_or(0);
        let timeline = self.first(|level| level.timeline.as_ref()).and_then(|entries| unroll(entries, timing));
        into.segments.reserve(parts.len());
        for (step, part) in parts.iter().enumerate() {
            let problem = || ManifestError::Addressing(into.id.clone(), "a SegmentURL is no usable URL or range");
            let length = base.as_str().len() + part.url.as_ref().map_or(0, String::len);
            let is_range = part.range.as_ref().is_none_or(|range| range_of(range).is_some());
            if length > URL_BYTES_MAX || !is_range {
                return Err(problem());
            }
            take(names, length)?;
            let slot = timeline.as_ref().and_then(|slots| slots.get(step).copied());
            let slot = slot.unwrap_or_else(|| Slot::uniform(step as u64, duration_milli, timing));
            if timing.holds(&slot) {
                into.segments.push(timing.segment(&slot, step));
            }
        }
        into.names = Names::List(parts.clone());
        Ok(())
    }

    /// SegmentBase, or nothing at all: one file, whose segments a sidx lists, or which is one segment.
    fn by_base(&self, timing: &Timing, into: &mut Representation) -> Result<(), ManifestError> {
        let base = into.base().clone();
        into.init = self.first(|level| level.init.as_ref()).and_then(|init| init.resource(&base));
        let index = self.first(|level| level.index_range.as_deref());
        let index = index.or_else(|| self.first(|level| level.index.as_ref()).and_then(|part| part.range.as_deref()));
        match index {
            Some(text) => {
                let problem = || ManifestError::Addressing(into.id.clone(), "its indexRange is no byte range");
                let range = range_of(text).ok_or_else(problem)?;
                into.index = Some(Resource { url: base, range: Some(range) });
                into.index_walk.offset_ms = timing.offset_ms();
            }
            None => {
                let slot = Slot { number: 1, time: 0, duration: 0, sub_number: 1 };
                let (start_ms, duration_ms) = (0, timing.period_ms.unwrap_or(0));
                let segment = Segment { start_ms, duration_ms, ..timing.segment(&slot, 0) };
                into.segments.push(segment);
            }
        }
        Ok(())
    }
}

impl Timing {
    /// The segment of a slot, named by a list's `entry`.
    fn segment(&self, slot: &Slot, entry: usize) -> Segment {
        let (start_ms, duration_ms) = (self.start_ms(slot), self.ms(slot.duration));
        let available = |window: Window| window.available_ms(start_ms.saturating_add(duration_ms));
        Segment {
            start_ms,
            duration_ms,
            number: slot.number,
            time: slot.time,
            sub_number: slot.sub_number,
            available_ms: self.window.map(available),
            entry: u32::try_from(entry).unwrap_or(u32::MAX),
        }
    }
}

/// Takes `bytes` from what is left for names.
pub(super) fn take(names: &mut usize, bytes: usize) -> Result<(), ManifestError> {
    *names = names.checked_sub(bytes).ok_or(ManifestError::TooMany("bytes of segment names"))?;
    Ok(())
}

//! How a representation names its segments: SegmentTemplate, SegmentList or SegmentBase, each inherited from the
//! adaptation set and the period (ISO/IEC 23009-1 §5.3.9.1), attribute by attribute.

use dash_mpd_core::{AdaptationSet, Period, S, SegmentBase, SegmentList, SegmentTemplate};
use url::Url;

use super::{ByteRange, ManifestError, Representation, Resource, Segment};
use crate::limits::{SEGMENTS_OF_ONE_MAX, URL_BYTES_MAX};
use crate::template::{Values, expand};

/// The id under which a player asks the edge to choose.
const AUTO_ID: &str = "auto";

/// The addressing in force for one representation.
pub(super) struct Addressing {
    template: Option<SegmentTemplate>,
    list: Option<SegmentList>,
    base: Option<SegmentBase>,
    period_ms: Option<u64>,
}

/// When a segment starts and how long it is, in units of a timescale.
#[derive(Clone, Copy)]
struct Slot {
    start: u64,
    duration: u64,
}

impl Addressing {
    pub(super) fn of(
        period: &Period,
        set: &AdaptationSet,
        raw: &dash_mpd_core::Representation,
        period_ms: Option<u64>,
    ) -> Self {
        let templates = [&raw.SegmentTemplate, &set.SegmentTemplate, &period.SegmentTemplate];
        let lists = [&raw.SegmentList, &set.SegmentList, &period.SegmentList];
        let bases = [&raw.SegmentBase, &set.SegmentBase, &period.SegmentBase];
        Self {
            template: templates.into_iter().flatten().cloned().reduce(inherit_template),
            list: lists.into_iter().flatten().cloned().reduce(inherit_list),
            base: bases.into_iter().flatten().next().cloned(),
            period_ms,
        }
    }

    /// Fills in init, segments or index of `into`, as far as `names` bytes of URLs and paths go.
    pub(super) fn list(&self, base: &Url, names: &mut usize, into: &mut Representation) -> Result<(), ManifestError> {
        if let Some(template) = &self.template {
            return self.by_template(template, base, names, into);
        }
        if let Some(list) = &self.list {
            return self.by_list(list, base, names, into);
        }
        self.by_base(base, into)
    }

    fn by_template(
        &self,
        template: &SegmentTemplate,
        base: &Url,
        names: &mut usize,
        into: &mut Representation,
    ) -> Result<(), ManifestError> {
        let problem = |text| ManifestError::Addressing(into.id.clone(), text);
        let media = template.media.as_deref().ok_or_else(|| problem("its SegmentTemplate has no media"))?;
        let timescale = template.timescale.unwrap_or(1).max(1);
        let first = template.startNumber.unwrap_or(1);
        let slots = match &template.SegmentTimeline {
            Some(timeline) => {
                unroll(&timeline.segments, self.units(timescale), template.presentationTimeOffset.unwrap_or(0))
            }
            None => self.even(template.duration, timescale, first, template.endNumber),
        };
        let slots = slots
            .ok_or_else(|| problem("its segments cannot be counted: no usable duration or timeline, or too many"))?;
        let (id, bandwidth) = (into.id.clone(), into.bandwidth);
        let url = |text: &str, id: &str, number: Option<u64>, time: Option<u64>| {
            base.join(&expand(text, Values { id, bandwidth, number, time })?).ok()
        };
        if let Some(text) = &template.initialization {
            let init = url(text, &id, None, None).ok_or_else(|| problem("its initialization is no usable template"))?;
            into.init = Some(Resource { url: init, range: None });
            into.auto_paths.extend(url(text, AUTO_ID, None, None).map(|url| url.path().to_owned()));
        } else {
            into.init = template
                .Initialization
                .as_ref()
                .and_then(|init| resource(base, init.sourceURL.as_deref(), init.range.as_deref()));
            into.auto_paths.push(String::new());
        }
        let offset = template.presentationTimeOffset.unwrap_or(0);
        for (step, slot) in slots.iter().enumerate() {
            let (number, time) = (Some(first.saturating_add(step as u64)), Some(slot.start));
            let found = url(media, &id, number, time).ok_or_else(|| problem("its media is no usable template"))?;
            let auto = url(media, AUTO_ID, number, time).map(|url| url.path().to_owned());
            take(names, found.as_str().len() + auto.as_ref().map_or(0, String::len))?;
            into.segments.push(slot.segment(Resource { url: found, range: None }, timescale, offset));
            into.auto_paths.extend(auto);
        }
        if !media.contains("$RepresentationID$") {
            into.auto_paths.clear();
        }
        Ok(())
    }

    fn by_list(
        &self,
        list: &SegmentList,
        base: &Url,
        names: &mut usize,
        into: &mut Representation,
    ) -> Result<(), ManifestError> {
        let problem = |text| ManifestError::Addressing(into.id.clone(), text);
        if list.segment_urls.len() > SEGMENTS_OF_ONE_MAX {
            return Err(problem("it has too many segments"));
        }
        let timescale = list.timescale.unwrap_or(1).max(1);
        let timeline = list.SegmentTimeline.as_ref().and_then(|line| unroll(&line.segments, self.units(timescale), 0));
        let even = list.duration.unwrap_or(0);
        into.init = list
            .Initialization
            .as_ref()
            .and_then(|init| resource(base, init.sourceURL.as_deref(), init.range.as_deref()));
        for (step, entry) in list.segment_urls.iter().enumerate() {
            let found = resource(base, entry.media.as_deref(), entry.mediaRange.as_deref());
            let found = found.ok_or_else(|| problem("a SegmentURL is no usable URL or range"))?;
            take(names, found.url.as_str().len())?;
            let uniform = Slot { start: even.saturating_mul(step as u64), duration: even };
            let slot = timeline.as_ref().and_then(|slots| slots.get(step).copied()).unwrap_or(uniform);
            into.segments.push(slot.segment(found, timescale, 0));
        }
        Ok(())
    }

    /// SegmentBase, or nothing at all: one file, whose segments a sidx lists, or which is one segment.
    fn by_base(&self, base: &Url, into: &mut Representation) -> Result<(), ManifestError> {
        let segment_base = self.base.as_ref();
        let init = segment_base.and_then(|found| found.Initialization.as_ref());
        into.init = init.and_then(|init| resource(base, init.sourceURL.as_deref(), init.range.as_deref()));
        match segment_base.and_then(|found| found.indexRange.as_deref()) {
            Some(text) => {
                let problem = || ManifestError::Addressing(into.id.clone(), "its indexRange is no byte range");
                let range = range_of(text).ok_or_else(problem)?;
                into.index = Some(Resource { url: base.clone(), range: Some(range) });
            }
            None => {
                let resource = Resource { url: base.clone(), range: None };
                into.segments.push(Segment { resource, start_ms: 0, duration_ms: self.period_ms.unwrap_or(0) });
            }
        }
        Ok(())
    }

    fn units(&self, timescale: u64) -> Option<u64> {
        self.period_ms.map(|ms| ms.saturating_mul(timescale) / 1000)
    }

    /// Segments of one duration until the period or the numbers end.
    fn even(&self, duration: Option<f64>, timescale: u64, first: u64, last: Option<u64>) -> Option<Vec<Slot>> {
        let duration = duration.filter(|duration| duration.is_finite() && *duration >= 1.0)?;
        let by_time = self.units(timescale).map(|units| (units as f64 / duration - 1e-6).ceil().max(0.0));
        let by_number = last.map(|last| last.checked_sub(first).map_or(0.0, |steps| steps as f64 + 1.0));
        let count = by_time.into_iter().chain(by_number).reduce(f64::min)?;
        if count > SEGMENTS_OF_ONE_MAX as f64 {
            return None;
        }
        let slot = |step: u64| Slot { start: (step as f64 * duration) as u64, duration: duration as u64 };
        Some((0..count as u64).map(slot).collect())
    }
}

impl Slot {
    fn segment(self, resource: Resource, timescale: u64, offset: u64) -> Segment {
        let scale = |units: u64| u64::try_from(u128::from(units) * 1000 / u128::from(timescale)).unwrap_or(u64::MAX);
        Segment { resource, start_ms: scale(self.start.saturating_sub(offset)), duration_ms: scale(self.duration) }
    }
}

/// SegmentTimeline (§5.3.9.6): `S@t,@d,@r`; a negative `r` repeats until the next `S@t` or the end of the period.
fn unroll(entries: &[S], period_units: Option<u64>, offset: u64) -> Option<Vec<Slot>> {
    let mut slots = Vec::new();
    let mut time = entries.first()?.t.unwrap_or(0);
    for (at, entry) in entries.iter().enumerate() {
        time = entry.t.unwrap_or(time);
        let repeats = match entry.r.unwrap_or(0) {
            repeats @ 0.. => repeats as u64,
            _ if entry.d == 0 => return None,
            _ => {
                let next = entries.get(at + 1).and_then(|next| next.t);
                let end = next.or_else(|| Some(period_units?.saturating_add(offset)))?;
                end.saturating_sub(time).div_ceil(entry.d).saturating_sub(1)
            }
        };
        if slots.len() as u64 + repeats.saturating_add(1) > SEGMENTS_OF_ONE_MAX as u64 {
            return None;
        }
        for _ in 0..=repeats {
            slots.push(Slot { start: time, duration: entry.d });
            time = time.checked_add(entry.d)?;
        }
    }
    Some(slots)
}

/// Takes `bytes` from what is left for names.
fn take(names: &mut usize, bytes: usize) -> Result<(), ManifestError> {
    *names = names.checked_sub(bytes).ok_or(ManifestError::TooMany("bytes of segment names"))?;
    Ok(())
}

fn resource(base: &Url, url: Option<&str>, range: Option<&str>) -> Option<Resource> {
    let url = url.map_or_else(|| Some(base.clone()), |text| base.join(text).ok())?;
    if url.as_str().len() > URL_BYTES_MAX {
        return None;
    }
    let range = match range {
        Some(text) => Some(range_of(text)?),
        None => None,
    };
    Some(Resource { url, range })
}

fn range_of(text: &str) -> Option<ByteRange> {
    let (first, last) = text.trim().split_once('-')?;
    let range = ByteRange { first: first.parse().ok()?, last: last.parse().ok()? };
    (range.first <= range.last && range.last < u64::MAX).then_some(range)
}

/// Attributes the inner element lacks come from the outer one.
fn inherit_template(inner: SegmentTemplate, outer: SegmentTemplate) -> SegmentTemplate {
    SegmentTemplate {
        media: inner.media.or(outer.media),
        initialization: inner.initialization.or(outer.initialization),
        startNumber: inner.startNumber.or(outer.startNumber),
        endNumber: inner.endNumber.or(outer.endNumber),
        duration: inner.duration.or(outer.duration),
        timescale: inner.timescale.or(outer.timescale),
        presentationTimeOffset: inner.presentationTimeOffset.or(outer.presentationTimeOffset),
        SegmentTimeline: inner.SegmentTimeline.or(outer.SegmentTimeline),
        Initialization: inner.Initialization.or(outer.Initialization),
        ..inner
    }
}

fn inherit_list(inner: SegmentList, outer: SegmentList) -> SegmentList {
    SegmentList {
        duration: inner.duration.or(outer.duration),
        timescale: inner.timescale.or(outer.timescale),
        SegmentTimeline: inner.SegmentTimeline.or(outer.SegmentTimeline),
        Initialization: inner.Initialization.or(outer.Initialization),
        segment_urls: if inner.segment_urls.is_empty() { outer.segment_urls } else { inner.segment_urls },
        ..inner
    }
}

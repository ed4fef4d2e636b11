//! SegmentTemplate, SegmentList, SegmentBase and what they hold.

use std::sync::Arc;

use super::{Element, Source, attributes, number, push, seconds_ms};
use crate::limits::{SEGMENTS_OF_ONE_MAX, TAGS_MAX};
use crate::presentation::ManifestError;
use crate::presentation::raw::{Addressing, Entry, Part, Segments};

impl Source<'_> {
    /// Reads an element that may say how segments are named; any other is skipped.
    pub(super) fn addressing(&mut self, element: &Element<'_>, into: &mut Addressing) -> Result<(), ManifestError> {
        match self.name(element) {
            "SegmentTemplate" => into.template = Some(self.segments(element)?),
            "SegmentList" => into.list = Some(self.segments(element)?),
            "SegmentBase" => into.base = Some(self.segments(element)?),
            _ => self.skip(element)?,
        }
        Ok(())
    }

    fn segments(&mut self, element: &Element<'_>) -> Result<Segments, ManifestError> {
        let (mut segments, mut urls) = (Segments::default(), Vec::new());
        attributes(element, |name, value| segments.attribute(name, &value))?;
        while let Some(child) = self.child(element)? {
            match self.name(&child) {
                "SegmentTimeline" => segments.timeline = Some(self.timeline(&child)?),
                "SegmentURL" => {
                    let part = self.part(&child, ["media", "mediaRange"])?;
                    push(&mut urls, part, SEGMENTS_OF_ONE_MAX, "segments of one representation")?;
                }
                "Initialization" => segments.init = Some(self.part(&child, ["sourceURL", "range"])?),
                "RepresentationIndex" => segments.index = Some(self.part(&child, ["sourceURL", "range"])?),
                _ => self.skip(&child)?,
            }
        }
        segments.urls = (!urls.is_empty()).then(|| Arc::new(urls));
        Ok(segments)
    }

    fn part(&mut self, element: &Element<'_>, names: [&str; 2]) -> Result<Part, ManifestError> {
        let mut part = Part::default();
        attributes(element, |name, value| {
            match name {
                _ if name == names[0] => part.url = Some(value.into_owned()),
                _ if name == names[1] => part.range = Some(value.into_owned()),
                _ => {}
            }
            Ok(())
        })?;
        self.skip(element)?;
        Ok(part)
    }

    fn timeline(&mut self, element: &Element<'_>) -> Result<Vec<Entry>, ManifestError> {
        let mut entries = Vec::new();
        while let Some(child) = self.child(element)? {
            if self.name(&child) == "S" {
                let mut entry = Entry { parts: 1, ..Entry::default() };
                attributes(&child, |name, value| entry.attribute(name, &value))?;
                push(&mut entries, entry, TAGS_MAX, "tags")?;
            }
            self.skip(&child)?;
        }
        Ok(entries)
    }
}

impl Segments {
    fn attribute(&mut self, name: &str, value: &str) -> Result<(), ManifestError> {
        let text = || Some(value.to_owned());
        match name {
            "timescale" => self.timescale = Some(number(name, value)?),
            "presentationTimeOffset" => self.presentation_offset = Some(number(name, value)?),
            "availabilityTimeOffset" => self.availability_offset_ms = seconds_ms(value),
            "duration" => self.duration_milli = Some(thousandths(name, value)?),
            "startNumber" => self.start_number = Some(number(name, value)?),
            "endNumber" => self.end_number = Some(number(name, value)?),
            "media" => self.media = text(),
            "initialization" => self.initialization = text(),
            "indexRange" => self.index_range = text(),
            _ if name.ends_with(":href") => return Err(ManifestError::Remote),
            _ => {}
        }
        Ok(())
    }
}

impl Entry {
    fn attribute(&mut self, name: &str, value: &str) -> Result<(), ManifestError> {
        match name {
            "t" => self.time = Some(number(name, value)?),
            "d" => self.duration = number(name, value)?,
            "r" => self.repeats = number(name, value)?,
            "n" => self.number = Some(number(name, value)?),
            "k" => self.parts = number(name, value)?,
            _ => {}
        }
        Ok(())
    }
}

/// A number that ought to be whole; packagers write fractions.
fn thousandths(name: &str, value: &str) -> Result<u64, ManifestError> {
    let value = value.trim();
    let (whole, fraction) = value.split_once('.').unwrap_or((value, ""));
    let whole: u64 = number(name, whole)?;
    let digits = format!("{:0<3}", fraction.get(..3).unwrap_or(fraction));
    let fraction: u64 = number(name, &digits)?;
    let problem = || ManifestError::Malformed(format!("{name}={whole} is too long"));
    whole.checked_mul(1000).and_then(|whole| whole.checked_add(fraction)).ok_or_else(problem)
}

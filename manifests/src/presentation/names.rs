//! Where segments are: names are made when they are asked for, since a title of hours has tens of thousands of them, and most are
//! never asked for.

use std::sync::Arc;

use url::Url;

use super::{ByteRange, Representation, Resource, Segment};
use crate::limits::URL_BYTES_MAX;
use crate::presentation::raw::Part;
use crate::template::{Pattern, Values};

/// How the segments of a representation are named.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) enum Names {
    /// One file.
    #[default]
    Whole,
    /// By a template, and by the same with the id `auto` for media and initialisation segment.
    Template { media: Pattern, auto: Option<Box<(Pattern, Option<Pattern>)>> },
    /// One by one.
    List(Arc<Vec<Part>>),
    /// Ranges of one file.
    Ranges(Vec<ByteRange>),
}

impl Representation {
    /// Where the names of its files are relative to.
    pub(super) fn base(&self) -> &Url {
        &self.places[0].url
    }

    /// What to fetch for a segment; `None` where there is no such segment, or its name makes no URL.
    pub fn resource(&self, segment: usize) -> Option<Resource> {
        let segment = self.segments.get(segment)?;
        match &self.names {
            Names::Whole => Some(Resource { url: self.base().clone(), range: None }),
            Names::Template { media, .. } => {
                Some(Resource { url: self.base().join(&media.filled(segment.values())).ok()?, range: None })
            }
            Names::List(parts) => parts.get(segment.entry as usize)?.resource(self.base()),
            Names::Ranges(ranges) => {
                let range = ranges.get(segment.entry as usize).copied();
                range.map(|range| Resource { url: self.base().clone(), range: Some(range) })
            }
        }
    }

    /// The same resource at another of [`Self::places`]; `None` where there is no such place, or the resource is named in a way
    /// that does not depend on the place.
    pub fn elsewhere(&self, resource: &Resource, place: usize) -> Option<Resource> {
        let name = self.base().make_relative(&resource.url)?;
        let url = self.places.get(place)?.url.join(&name).ok()?;
        Some(Resource { url, range: resource.range })
    }

    /// The path by which a player asks for a segment (`None`: the initialisation segment) without choosing among the
    /// representations of the set; `None` where the addressing has no room for the id `auto`.
    pub fn auto_path(&self, segment: Option<usize>) -> Option<String> {
        let Names::Template { auto: Some(auto), .. } = &self.names else { return None };
        let name = match segment {
            None => auto.1.as_ref()?.filled(Values::default()),
            Some(place) => auto.0.filled(self.segments.get(place)?.values()),
        };
        self.base().join(&name).ok().map(|url| url.path().to_owned())
    }
}

impl Segment {
    fn values(&self) -> Values {
        Values { number: self.number, time: self.time, sub_number: self.sub_number }
    }
}

impl Part {
    pub(super) fn resource(&self, base: &Url) -> Option<Resource> {
        let url = self.url.as_ref().map_or_else(|| Some(base.clone()), |text| base.join(text).ok())?;
        if url.as_str().len() > URL_BYTES_MAX {
            return None;
        }
        let range = match &self.range {
            Some(text) => Some(range_of(text)?),
            None => None,
        };
        Some(Resource { url, range })
    }
}

pub(super) fn range_of(text: &str) -> Option<ByteRange> {
    let (first, last) = text.trim().split_once('-')?;
    let range = ByteRange { first: first.parse().ok()?, last: last.parse().ok()? };
    (range.first <= range.last && range.last < u64::MAX).then_some(range)
}

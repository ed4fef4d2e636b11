//! An on-demand presentation: every representation with every segment.

use std::collections::HashMap;

use dash_mpd_core::{AdaptationSet, BaseURL, MPD, Period};
use url::Url;

use crate::limits::{
    MPD_BYTES_MAX, NAMES_BYTES_MAX, PERIODS_MAX, REPRESENTATIONS_MAX, SEGMENTS_MAX, SIDX_BYTES_MAX, TAGS_MAX,
    TEXT_BYTES_MAX, URL_BYTES_MAX,
};
use crate::sidx;

mod addressing;
mod durations;

use addressing::Addressing;

/// Why a manifest cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ManifestError {
    /// Larger than [`MPD_BYTES_MAX`].
    #[error("the manifest has more than {MPD_BYTES_MAX} bytes")]
    TooLarge,
    /// No MPD.
    #[error("this is no MPD: {0}")]
    Malformed(String),
    /// A live presentation, whose segments cannot be listed once and for all.
    #[error("the manifest is type=\"dynamic\" (live); only on-demand manifests can be listed")]
    Dynamic,
    /// Parts of it are elsewhere.
    #[error("the manifest refers to a remote period or adaptation set (xlink), which is not followed")]
    Remote,
    /// More than the named bounds allow.
    #[error("the manifest has more {0} than are listed")]
    TooMany(&'static str),
    /// A representation says nothing usable of its segments.
    #[error("representation {0:?}: {1}")]
    Addressing(String, &'static str),
    /// An index that cannot be read.
    #[error("representation {0:?}: its sidx cannot be read")]
    Index(String),
}

/// What a representation is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// Video.
    Video,
    /// Audio.
    Audio,
    /// Subtitles and anything else.
    Other,
}

/// First and last byte, both included.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ByteRange {
    /// Offset of the first byte.
    pub first: u64,
    /// Offset of the last byte.
    pub last: u64,
}

/// Something to fetch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Resource {
    /// Where.
    pub url: Url,
    /// Which bytes of it; all when `None`.
    pub range: Option<ByteRange>,
}

/// A media segment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Segment {
    /// What to fetch.
    pub resource: Resource,
    /// When it starts, in ms from the start of its period.
    pub start_ms: u64,
    /// How long it is, in ms; 0 when the manifest does not say.
    pub duration_ms: u64,
}

/// A representation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Representation {
    /// Its id, unique in its period.
    pub id: String,
    /// Place of its period.
    pub period: usize,
    /// Place of its adaptation set in the period.
    pub set: usize,
    /// What it is.
    pub kind: Kind,
    /// Bits per second.
    pub bandwidth: u64,
    /// Codecs (RFC 6381).
    pub codecs: String,
    /// Height in pixels.
    pub height: Option<u64>,
    /// The initialisation segment.
    pub init: Option<Resource>,
    /// The media segments; empty while [`Self::index`] is to be fetched.
    pub segments: Vec<Segment>,
    /// The sidx to fetch and hand to [`Self::index_fetched`], when the segments are only known from it.
    pub index: Option<Resource>,
    /// Paths of its segments under the id `auto`, in the order of init and segments.
    pub(crate) auto_paths: Vec<String>,
}

/// A presentation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Presentation {
    /// How long it is, in ms, when the manifest says so.
    pub duration_ms: Option<u64>,
    /// All representations of all periods, in order.
    pub representations: Vec<Representation>,
}

impl Presentation {
    /// Reads an MPD. `base` is where it was fetched from.
    ///
    /// # Errors
    /// See [`ManifestError`].
    pub fn parse(bytes: &[u8], base: &Url) -> Result<Self, ManifestError> {
        if bytes.len() > MPD_BYTES_MAX {
            return Err(ManifestError::TooLarge);
        }
        if bytes.iter().filter(|byte| **byte == b'<').count() > TAGS_MAX {
            return Err(ManifestError::TooMany("tags"));
        }
        let text = std::str::from_utf8(bytes).map_err(|_| ManifestError::Malformed("it is not UTF-8".into()))?;
        durations::check(text)?;
        let mpd =
            dash_mpd_core::parse(text).map_err(|error| ManifestError::Malformed(first_line(&error.to_string())))?;
        if mpd.periods.is_empty() {
            return Err(ManifestError::Malformed("it has no Period".into()));
        }
        if mpd.mpdtype.as_deref() == Some("dynamic") {
            return Err(ManifestError::Dynamic);
        }
        Self::of(&mpd, base)
    }

    fn of(mpd: &MPD, base: &Url) -> Result<Self, ManifestError> {
        if mpd.periods.len() > PERIODS_MAX {
            return Err(ManifestError::TooMany("periods"));
        }
        let base = join(base, &mpd.base_url);
        let mut listed = Self { duration_ms: mpd.mediaPresentationDuration.map(millis), representations: Vec::new() };
        let mut names = NAMES_BYTES_MAX;
        let durations = period_durations_ms(mpd);
        for (number, (period, duration_ms)) in mpd.periods.iter().zip(durations).enumerate() {
            listed.add_period((number, period, duration_ms), &base, &mut names)?;
        }
        Ok(listed)
    }

    /// Lists a period; `names` is what is left of [`NAMES_BYTES_MAX`].
    fn add_period(
        &mut self,
        (number, period, duration_ms): (usize, &Period, Option<u64>),
        base: &Url,
        names: &mut usize,
    ) -> Result<(), ManifestError> {
        if period.href.is_some() {
            return Err(ManifestError::Remote);
        }
        let base = join(base, &period.BaseURL);
        for (set_number, set) in period.adaptations.iter().enumerate() {
            if set.href.is_some() {
                return Err(ManifestError::Remote);
            }
            let set_base = join(&base, &set.BaseURL);
            for raw in &set.representations {
                let url = join(&set_base, &raw.BaseURL);
                let mut representation = describe(number, set_number, set, raw)?;
                if url.as_str().len() > URL_BYTES_MAX {
                    return Err(ManifestError::Addressing(representation.id, "its BaseURL is too long"));
                }
                let addressing = Addressing::of(period, set, raw, duration_ms);
                addressing.list(&url, names, &mut representation)?;
                self.representations.push(representation);
                self.check_bounds()?;
            }
        }
        Ok(())
    }

    fn check_bounds(&self) -> Result<(), ManifestError> {
        let segments: usize = self.representations.iter().map(|representation| representation.segments.len()).sum();
        match () {
            () if self.representations.len() > REPRESENTATIONS_MAX => Err(ManifestError::TooMany("representations")),
            () if segments > SEGMENTS_MAX => Err(ManifestError::TooMany("segments")),
            () => Ok(()),
        }
    }

    /// Everything there is to fetch, each once: initialisation and media segments of all representations that `wanted`
    /// says, init segments first.
    pub fn resources(&self, wanted: impl Fn(&Representation) -> bool) -> Vec<&Resource> {
        let wanted: Vec<_> = self.representations.iter().filter(|representation| wanted(representation)).collect();
        let inits = wanted.iter().filter_map(|representation| representation.init.as_ref());
        let media =
            wanted.iter().flat_map(|representation| representation.segments.iter().map(|segment| &segment.resource));
        let mut seen = HashMap::new();
        inits
            .chain(media)
            .filter(|resource| seen.insert((resource.url.as_str(), resource.range.map(|r| r.first)), ()).is_none())
            .collect()
    }
}

impl Representation {
    /// The path by which a player asks for a segment (`None`: the initialisation segment) without choosing among the
    /// representations of the set; `None` where the addressing has no room for the id `auto`.
    pub fn auto_path(&self, segment: Option<usize>) -> Option<&str> {
        let path = self.auto_paths.get(segment.map_or(0, |place| place + 1))?;
        (!path.is_empty()).then_some(path)
    }

    /// Lists the segments from the bytes of [`Self::index`].
    ///
    /// # Errors
    /// When they are no usable sidx.
    pub fn index_fetched(&mut self, bytes: &[u8]) -> Result<(), ManifestError> {
        let problem = || ManifestError::Index(self.id.clone());
        let resource = self.index.clone().ok_or_else(problem)?;
        let index = (bytes.len() <= SIDX_BYTES_MAX).then(|| sidx::parse(bytes)).flatten().ok_or_else(problem)?;
        let origin = resource.range.map_or(0, |range| range.first) + index.end as u64;
        let mut at = origin.checked_add(index.first_offset).ok_or_else(problem)?;
        let mut time = index.earliest;
        let mut segments = Vec::with_capacity(index.subsegments.len());
        for subsegment in &index.subsegments {
            let last = at
                .checked_add(u64::from(subsegment.size))
                .and_then(|end| end.checked_sub(1))
                .filter(|last| *last >= at);
            let range = ByteRange { first: at, last: last.ok_or_else(problem)? };
            let scale = |units: u64| units.saturating_mul(1000) / u64::from(index.timescale);
            segments.push(Segment {
                resource: Resource { url: resource.url.clone(), range: Some(range) },
                start_ms: scale(time),
                duration_ms: scale(u64::from(subsegment.duration)),
            });
            at = range.last + 1;
            time = time.saturating_add(u64::from(subsegment.duration));
        }
        self.segments = segments;
        self.index = None;
        Ok(())
    }
}

fn describe(
    period: usize,
    number: usize,
    set: &AdaptationSet,
    raw: &dash_mpd_core::Representation,
) -> Result<Representation, ManifestError> {
    let (id, codecs) =
        (raw.id.as_deref().unwrap_or(""), raw.codecs.as_ref().or(set.codecs.as_ref()).map_or("", String::as_str));
    if id.len().max(codecs.len()) > TEXT_BYTES_MAX {
        return Err(ManifestError::TooMany("bytes in an id or codecs"));
    }
    let mime = raw.mimeType.as_ref().or(set.mimeType.as_ref()).map_or("", String::as_str);
    let content = raw.contentType.as_ref().or(set.contentType.as_ref()).map_or("", String::as_str);
    let kind = match () {
        () if mime.starts_with("video/") || content == "video" => Kind::Video,
        () if mime.starts_with("audio/") || content == "audio" => Kind::Audio,
        () => Kind::Other,
    };
    Ok(Representation {
        id: id.to_owned(),
        period,
        set: number,
        kind,
        bandwidth: raw.bandwidth.unwrap_or(0),
        codecs: codecs.to_owned(),
        height: raw.height.or(set.height),
        init: None,
        segments: Vec::new(),
        index: None,
        auto_paths: Vec::new(),
    })
}

/// How long each period lasts, in milliseconds (ISO/IEC 23009-1 §5.3.2.1). It starts at `@start`, or where the one before it
/// ends, or at 0; it lasts for `@duration`, or until the next one starts, or until the end of the presentation.
fn period_durations_ms(mpd: &MPD) -> Vec<Option<u64>> {
    let mut before_ends = Some(0);
    let mut starts = Vec::with_capacity(mpd.periods.len());
    for period in &mpd.periods {
        let start = period.start.map(millis).or(before_ends);
        before_ends = start.zip(period.duration).map(|(start, duration)| start.saturating_add(millis(duration)));
        starts.push(start);
    }
    let ends = starts.iter().skip(1).copied().chain([mpd.mediaPresentationDuration.map(millis)]);
    let lasts = |((period, start), end): ((&Period, &Option<u64>), Option<u64>)| {
        let until_end = || start.zip(end).map(|(start, end)| end.saturating_sub(start));
        period.duration.map(millis).or_else(until_end)
    };
    mpd.periods.iter().zip(&starts).zip(ends).map(lasts).collect()
}

/// The first BaseURL counts; the others are alternatives (§5.6.5).
fn join(base: &Url, elements: &[BaseURL]) -> Url {
    elements.first().and_then(|element| base.join(element.base.trim()).ok()).unwrap_or_else(|| base.clone())
}

fn millis(duration: std::time::Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

fn first_line(text: &str) -> String {
    text.lines().next().unwrap_or("").chars().take(200).collect()
}

#[cfg(test)]
mod tests;

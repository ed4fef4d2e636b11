//! A presentation: every representation with every segment.

use std::collections::HashSet;

use url::Url;

use crate::limits::{MPD_BYTES_MAX, TAGS_MAX};

mod addressing;
mod behind;
mod index;
mod list;
mod live;
mod names;
mod places;
mod raw;
mod reader;
mod slots;
mod times;

pub use behind::Coming;
pub use live::Live;
pub use places::Place;

/// Properties that say a set holds a picture now and then, for seeking (DASH-IF interoperability points §3.2.9).
pub(crate) const TRICK_SCHEMES: [&str; 2] =
    ["http://dashif.org/guidelines/trickmode", "http://dashif.org/guidelines/thumbnail_tile"];

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
    /// Subtitles and captions.
    Text,
    /// Thumbnails.
    Image,
    /// Anything else.
    Other,
}

/// First and last byte, both included.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct ByteRange {
    /// Offset of the first byte.
    pub first: u64,
    /// Offset of the last byte.
    pub last: u64,
}

/// Something to fetch.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Resource {
    /// Where.
    pub url: Url,
    /// Which bytes of it; all when `None`.
    pub range: Option<ByteRange>,
}

/// A media segment; [`Representation::resource`] says where it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Segment {
    /// When it starts, in ms from the start of its period.
    pub start_ms: u64,
    /// How long it is, in ms; 0 when the manifest does not say.
    pub duration_ms: u64,
    /// Its number, which `$Number$` stands for.
    pub number: u64,
    /// Its media time in units of [`Representation::timescale`], which `$Time$` stands for.
    pub time: u64,
    /// Its place among segments of the same number (`$SubNumber$`), from 1.
    pub sub_number: u64,
    /// When it becomes available, in ms since 1970; `None` in what is not live.
    pub available_ms: Option<u64>,
    /// Its place in a list of names or ranges.
    entry: u32,
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
    /// Whether it only serves seeking with pictures: no player plays it.
    pub is_trick: bool,
    /// Bits per second.
    pub bandwidth: u64,
    /// Codecs (RFC 6381).
    pub codecs: String,
    /// Language (RFC 5646); empty when not said.
    pub language: String,
    /// Roles of its set, such as `main` or `caption`.
    pub roles: Vec<String>,
    /// Width in pixels.
    pub width: Option<u64>,
    /// Height in pixels.
    pub height: Option<u64>,
    /// Units per second of [`Segment::time`].
    pub timescale: u64,
    /// Where its files are: the place that segments name, and then its alternatives. Never empty.
    pub places: Vec<Place>,
    /// The initialisation segment.
    pub init: Option<Resource>,
    /// The media segments; empty while [`Self::index`] is to be fetched.
    pub segments: Vec<Segment>,
    /// The sidx to fetch and hand to [`Self::index_fetched`], when the segments are only known from it.
    pub index: Option<Resource>,
    /// What of [`Self::index`] is not listed yet.
    index_walk: index::Walk,
    names: names::Names,
}

/// A period.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Period {
    /// Its id; empty when it has none.
    pub id: String,
    /// When it starts, in ms from the start of the presentation; `None` when that is not known yet.
    pub start_ms: Option<u64>,
    /// How long it is, in ms, when the manifest says so.
    pub duration_ms: Option<u64>,
}

/// A way to tell the time (UTCTiming, ISO/IEC 23009-1 §5.8.4.11).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Clock {
    /// How, such as `urn:mpeg:dash:utc:http-iso:2014`.
    pub scheme: String,
    /// Whom to ask, or the time itself.
    pub value: String,
}

/// Content steering (ETSI TS 103 998).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Steering {
    /// Where the steering server is, as written: maybe relative.
    pub url: String,
    /// The service location to begin with.
    pub default_service_location: Option<String>,
    /// Whether to ask before anything is fetched.
    pub query_before_start: bool,
}

/// A presentation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Presentation {
    /// How long it is, in ms, when the manifest says so.
    pub duration_ms: Option<u64>,
    /// Its periods in order.
    pub periods: Vec<Period>,
    /// All representations of all periods, in order.
    pub representations: Vec<Representation>,
    /// Set when it is live.
    pub live: Option<Live>,
    /// Clocks to set one's own by, the first first.
    pub clocks: Vec<Clock>,
    /// Its content steering.
    pub steering: Option<Steering>,
}

impl Presentation {
    /// Reads an MPD of an on-demand presentation. `base` is where it was fetched from.
    ///
    /// # Errors
    /// [`ManifestError::Dynamic`] when it is live; else see [`ManifestError`].
    pub fn parse(bytes: &[u8], base: &Url) -> Result<Self, ManifestError> {
        let mpd = read(bytes)?;
        if mpd.is_dynamic { Err(ManifestError::Dynamic) } else { Self::of(&mpd, base, 0) }
    }

    /// Reads an MPD, live or not. Of a live one it lists what is available at `now_ms` (ms since 1970, by the clock the manifest
    /// names: [`Self::clocks`]), and no period that has not begun.
    ///
    /// # Errors
    /// See [`ManifestError`].
    pub fn parse_at(bytes: &[u8], base: &Url, now_ms: u64) -> Result<Self, ManifestError> {
        Self::of(&read(bytes)?, base, now_ms)
    }

    /// Everything there is to fetch, each once: initialisation and media segments of all representations that `wanted`
    /// says, init segments first.
    pub fn resources(&self, wanted: impl Fn(&Representation) -> bool) -> Vec<Resource> {
        let wanted: Vec<_> = self.representations.iter().filter(|representation| wanted(representation)).collect();
        let inits = wanted.iter().filter_map(|representation| representation.init.clone());
        let media = wanted.iter().flat_map(|one| (0..one.segments.len()).filter_map(|segment| one.resource(segment)));
        let mut seen = HashSet::new();
        inits.chain(media).filter(|resource| seen.insert(resource.clone())).collect()
    }
}

/// Reads the text, within its bounds.
fn read(bytes: &[u8]) -> Result<raw::Mpd, ManifestError> {
    if bytes.len() > MPD_BYTES_MAX {
        return Err(ManifestError::TooLarge);
    }
    if memchr::memchr_iter(b'<', bytes).count() > TAGS_MAX {
        return Err(ManifestError::TooMany("tags"));
    }
    let text = std::str::from_utf8(bytes).map_err(|_| ManifestError::Malformed("it is not UTF-8".into()))?;
    let mpd = reader::read(text)?;
    if mpd.periods.is_empty() { Err(ManifestError::Malformed("it has no Period".into())) } else { Ok(mpd) }
}

/// The beginning of a text, for an error message.
fn shortened(text: &str) -> String {
    text.lines().next().unwrap_or("").chars().take(200).collect()
}

#[cfg(test)]
mod tests;

//! Playlists of files: segments and the initialisation sections before them.

use quick_m3u8::tag::hls::Tag;

use super::{Lines, PlaylistError};
use crate::limits::SEGMENTS_OF_ONE_MAX;
use crate::presentation::{ByteRange, Resource};

/// Milliseconds of a segment that are believed: a day.
const SEGMENT_S_MAX: f64 = 86_400.0;

/// A file, or a part of one, that a playlist names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct File {
    /// Where it is.
    pub resource: Resource,
    /// When it starts, in ms from the start of the playlist.
    pub start_ms: u64,
    /// How long it is, in ms; 0 of an initialisation section.
    pub duration_ms: u64,
    /// Its media sequence number; `None` of an initialisation section.
    pub number: Option<u64>,
}

/// A media playlist that is whole.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Media {
    /// Initialisation sections and segments in the order they are played. What is a gap is left out.
    pub files: Vec<File>,
    /// How long all segments are together, in ms, gaps included.
    pub duration_ms: u64,
}

#[derive(Default)]
pub(super) struct Builder {
    files: Vec<File>,
    duration_ms: u64,
    number: u64,
    /// Of the segment whose URI comes.
    segment_ms: Option<u64>,
    range: Option<(u64, Option<u64>)>,
    /// The range of the segment before.
    last: Option<Resource>,
    is_gap: bool,
    is_ended: bool,
    /// A tag that only media playlists have was seen.
    is_one: bool,
}

impl Builder {
    pub(super) fn is_empty(&self) -> bool {
        !self.is_one
    }

    pub(super) fn take(&mut self, tag: &Tag<'_>, lines: &mut Lines<'_>) -> Result<(), PlaylistError> {
        match tag {
            Tag::Targetduration(_) => self.is_one = true,
            Tag::MediaSequence(first) if self.number == 0 && self.duration_ms == 0 => {
                self.number = first.media_sequence()
            }
            Tag::MediaSequence(_) => return Err(lines.wrong("a media sequence after a segment")),
            Tag::Inf(inf) => {
                let seconds = inf.duration();
                if !(0.0..=SEGMENT_S_MAX).contains(&seconds) {
                    return Err(lines.wrong("a segment that is no time or more than a day long"));
                }
                self.is_one = true;
                self.segment_ms = Some((seconds * 1000.0).round() as u64);
            }
            Tag::Byterange(range) => self.range = Some((range.length(), range.offset())),
            Tag::Gap(_) => self.is_gap = true,
            Tag::Map(map) => {
                self.is_one = true;
                let url = lines.url(map.uri())?;
                let range = map.byterange().map(|range| bytes(range.offset, range.length, lines)).transpose()?;
                let resource = Resource { url, range };
                self.push(File { resource, start_ms: self.duration_ms, duration_ms: 0, number: None })?;
            }
            Tag::Endlist(_) => (self.is_one, self.is_ended) = (true, true),
            Tag::Skip(_) => return Err(PlaylistError::Delta),
            _ => {}
        }
        Ok(())
    }

    pub(super) fn uri(&mut self, uri: &str, lines: &mut Lines<'_>) -> Result<(), PlaylistError> {
        let Some(duration_ms) = self.segment_ms.take() else {
            return Err(lines.wrong("a URI without #EXTINF or #EXT-X-STREAM-INF before it"));
        };
        let url = lines.url(uri)?;
        let range = match self.range.take() {
            None => None,
            Some((length, Some(offset))) => Some(bytes(offset, length, lines)?),
            Some((length, None)) => {
                // It goes on where the last one of the same file ended (RFC 8216 §4.3.2.2).
                let before = self.last.as_ref().filter(|before| before.url == url).and_then(|before| before.range);
                let before = before.ok_or_else(|| lines.wrong("a range without an offset and none before it"))?;
                Some(bytes(before.last + 1, length, lines)?)
            }
        };
        let number = self.number;
        self.number = number.checked_add(1).ok_or_else(|| lines.wrong("a media sequence number beyond 64 bits"))?;
        let resource = Resource { url, range };
        self.last = range.map(|_| resource.clone());
        let file = File { resource, start_ms: self.duration_ms, duration_ms, number: Some(number) };
        self.duration_ms += duration_ms;
        if std::mem::take(&mut self.is_gap) { Ok(()) } else { self.push(file) }
    }

    fn push(&mut self, file: File) -> Result<(), PlaylistError> {
        if self.files.len() == SEGMENTS_OF_ONE_MAX {
            return Err(PlaylistError::TooMany("segments"));
        }
        self.files.push(file);
        Ok(())
    }

    pub(super) fn end(self) -> Result<Media, PlaylistError> {
        if !self.is_ended {
            return Err(PlaylistError::Live);
        }
        Ok(Media { files: self.files, duration_ms: self.duration_ms })
    }
}

fn bytes(first: u64, length: u64, lines: &Lines<'_>) -> Result<ByteRange, PlaylistError> {
    let last = length.checked_sub(1).and_then(|more| first.checked_add(more)).filter(|last| *last < u64::MAX);
    Ok(ByteRange { first, last: last.ok_or_else(|| lines.wrong("a range of no bytes, or beyond 64 bits"))? })
}

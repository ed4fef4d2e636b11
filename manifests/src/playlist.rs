//! HLS playlists (RFC 8216 and its second edition): what variants and renditions a multivariant playlist has, and what files and byte
//! ranges a media playlist.
//!
//! Lines are told apart and read by `quick-m3u8`; here is what they mean together: relative URLs, ranges that go on where the last one
//! ended, variables, what is a gap. What players alone need (keys, parts of a segment to come, ranges of dates) is passed over. What the
//! playlists of variants are is for whoever fetches them to read, with [`Multivariant::media`].

use std::collections::HashMap;

use quick_m3u8::config::ParsingOptions;
use quick_m3u8::tag::KnownTag;
use quick_m3u8::tag::hls::Tag;
use quick_m3u8::{HlsLine, Reader};
use url::Url;

use crate::limits::{NAMES_BYTES_MAX, PLAYLIST_BYTES_MAX, URL_BYTES_MAX, VARIABLES_MAX};

mod media;
mod multivariant;

pub use media::{File, Media};
pub use multivariant::{Multivariant, Rendition, Role};

/// Why a playlist cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PlaylistError {
    /// Larger than [`PLAYLIST_BYTES_MAX`].
    #[error("the playlist has more than {PLAYLIST_BYTES_MAX} bytes")]
    TooLarge,
    /// It does not begin with `#EXTM3U`.
    #[error("this is no HLS playlist: it does not begin with #EXTM3U")]
    NoPlaylist,
    /// A line that cannot be understood where it is.
    #[error("line {0} of the playlist: {1}")]
    Malformed(usize, &'static str),
    /// More than the named bounds allow.
    #[error("the playlist has more {0} than are listed")]
    TooMany(&'static str),
    /// A media playlist that goes on, whose files cannot be listed once and for all.
    #[error("the playlist has no #EXT-X-ENDLIST (live); only on-demand playlists can be listed")]
    Live,
    /// It says only what changed since an earlier one.
    #[error("the playlist is a delta update (#EXT-X-SKIP); ask for a whole one")]
    Delta,
}

/// A playlist.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Playlist {
    /// Of other playlists.
    Multivariant(Multivariant),
    /// Of files.
    Media(Media),
}

/// Whether a body claims to be a playlist, by its first line (RFC 8216 §4.3.1.1).
pub fn is_playlist(body: &[u8]) -> bool {
    body.strip_prefix(b"#EXTM3U").is_some_and(|rest| rest.first().is_none_or(u8::is_ascii_whitespace))
}

impl Playlist {
    /// Reads a playlist. `base` is where it was fetched from.
    ///
    /// # Errors
    /// See [`PlaylistError`]; of a live media playlist [`PlaylistError::Live`].
    pub fn parse(bytes: &[u8], base: &Url) -> Result<Self, PlaylistError> {
        Self::within(bytes, base, &Variables::default())
    }

    fn within(bytes: &[u8], base: &Url, imported: &Variables) -> Result<Self, PlaylistError> {
        if bytes.len() > PLAYLIST_BYTES_MAX {
            return Err(PlaylistError::TooLarge);
        }
        if !is_playlist(bytes) {
            return Err(PlaylistError::NoPlaylist);
        }
        let mut lines = Lines::new(bytes, base, imported);
        let (mut list, mut media) = (multivariant::Builder::default(), media::Builder::default());
        while let Some(line) = lines.next()? {
            match line {
                Line::Tag(tag) => {
                    list.take(&tag, &mut lines)?;
                    media.take(&tag, &mut lines)?;
                }
                Line::Uri(uri) if list.awaits_uri() => list.uri(&uri, &mut lines)?,
                Line::Uri(uri) => media.uri(&uri, &mut lines)?,
            }
        }
        match (list.is_empty(), media.is_empty()) {
            (false, false) => Err(lines.wrong("it is a multivariant playlist and a media playlist at once")),
            (false, true) => Ok(Self::Multivariant(list.end(lines)?)),
            _ => Ok(Self::Media(media.end()?)),
        }
    }
}

/// What a line is, as far as it matters.
enum Line<'a> {
    Tag(Box<Tag<'a>>),
    Uri(String),
}

/// Variables by name (`EXT-X-DEFINE`).
type Variables = HashMap<String, String>;

/// The lines of a playlist, and what holds for the rest of it.
struct Lines<'a> {
    reader: Reader<&'a [u8], quick_m3u8::tag::NoCustomTag>,
    base: &'a Url,
    imported: &'a Variables,
    variables: Variables,
    number: usize,
    /// Of all URLs so far, as they are after resolution.
    names_bytes: usize,
}

impl<'a> Lines<'a> {
    fn new(bytes: &'a [u8], base: &'a Url, imported: &'a Variables) -> Self {
        let reader = Reader::from_bytes(bytes, ParsingOptions::default());
        Self { reader, base, imported, variables: Variables::default(), number: 0, names_bytes: 0 }
    }

    fn next(&mut self) -> Result<Option<Line<'a>>, PlaylistError> {
        loop {
            self.number += 1;
            let line =
                self.reader.read_line().map_err(|_| PlaylistError::Malformed(self.number, "it cannot be read"))?;
            match line {
                None => return Ok(None),
                Some(HlsLine::Uri(uri)) => return Ok(Some(Line::Uri(uri.into_owned()))),
                Some(HlsLine::KnownTag(KnownTag::Hls(Tag::Define(define)))) => self.define(&define)?,
                Some(HlsLine::KnownTag(KnownTag::Hls(tag))) => return Ok(Some(Line::Tag(Box::new(tag)))),
                Some(_) => {}
            }
        }
    }

    fn wrong(&self, why: &'static str) -> PlaylistError {
        PlaylistError::Malformed(self.number, why)
    }

    fn define(&mut self, define: &quick_m3u8::tag::hls::Define<'_>) -> Result<(), PlaylistError> {
        let (name, value) = if let Some(name) = define.name() {
            (name, define.value().unwrap_or_default().to_owned())
        } else if let Some(name) = define.import() {
            let value = self.imported.get(name);
            (
                name,
                value
                    .ok_or_else(|| self.wrong("it imports a variable that its multivariant playlist does not have"))?
                    .clone(),
            )
        } else if let Some(name) = define.queryparam() {
            let value = self.base.query_pairs().find(|(key, _)| key == name).map(|(_, value)| value.into_owned());
            (name, value.ok_or_else(|| self.wrong("it wants a query parameter that its URL does not have"))?)
        } else {
            return Err(self.wrong("it defines nothing"));
        };
        if self.variables.len() == VARIABLES_MAX || value.len() > URL_BYTES_MAX {
            return Err(PlaylistError::TooMany("variables"));
        }
        self.variables.insert(name.to_owned(), value);
        Ok(())
    }

    /// Puts the values of variables in place of `{$name}`. A value is not looked through again.
    fn substitute(&self, text: &str) -> Result<String, PlaylistError> {
        let (mut whole, mut rest) = (String::new(), text);
        while let Some((before, from)) = rest.split_once("{$") {
            let (name, after) = from.split_once('}').ok_or_else(|| self.wrong("a variable that does not end"))?;
            whole.push_str(before);
            whole.push_str(self.variables.get(name).ok_or_else(|| self.wrong("a variable that is not defined"))?);
            if whole.len() > URL_BYTES_MAX {
                return Err(PlaylistError::TooMany("bytes in a URL"));
            }
            rest = after;
        }
        whole.push_str(rest);
        Ok(whole)
    }

    fn url(&mut self, uri: &str) -> Result<Url, PlaylistError> {
        let uri = self.substitute(uri.trim())?;
        if uri.len() > URL_BYTES_MAX {
            return Err(PlaylistError::TooMany("bytes in a URL"));
        }
        let url = self.base.join(&uri).map_err(|_| self.wrong("no URL"))?;
        self.names_bytes += url.as_str().len();
        if self.names_bytes > NAMES_BYTES_MAX { Err(PlaylistError::TooMany("names")) } else { Ok(url) }
    }
}

#[cfg(test)]
mod tests;

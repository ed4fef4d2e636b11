//! Playlists of playlists: variants, which are whole, and the renditions that go with them.

use quick_m3u8::tag::hls::{MediaType, Tag};
use url::Url;

use super::{Lines, Media, Playlist, PlaylistError, Variables};
use crate::limits::{REPRESENTATIONS_MAX, TEXT_BYTES_MAX};
use crate::presentation::Steering;

/// What a rendition is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// A variant: what a player chooses among.
    Variant,
    /// Pictures only, for seeking (`EXT-X-I-FRAME-STREAM-INF`).
    Trick,
    /// Another angle.
    Video,
    /// Audio beside a variant.
    Audio,
    /// Subtitles.
    Text,
}

/// A playlist that a multivariant playlist names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rendition {
    /// Its stable id, if it has one; else the group and the name of what goes beside variants, and the URI as written of variants.
    pub id: String,
    /// What it is.
    pub role: Role,
    /// Where its playlist is.
    pub url: Url,
    /// Bits per second at its highest; 0 of what goes beside variants.
    pub bandwidth: u64,
    /// Codecs (RFC 6381); empty when not said.
    pub codecs: String,
    /// Language (RFC 5646); empty when not said.
    pub language: String,
    /// Width and height in pixels.
    pub size: Option<(u64, u64)>,
    /// The group it is in, or of audio those it goes with; empty when there is none.
    pub group: String,
}

/// A multivariant playlist.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Multivariant {
    /// In the order they are written.
    pub renditions: Vec<Rendition>,
    /// Its content steering.
    pub steering: Option<Steering>,
    variables: Variables,
}

impl Multivariant {
    /// Reads the media playlist of one of its renditions. `base` is where that was fetched from.
    ///
    /// # Errors
    /// See [`PlaylistError`].
    pub fn media(&self, bytes: &[u8], base: &Url) -> Result<Media, PlaylistError> {
        match Playlist::within(bytes, base, &self.variables)? {
            Playlist::Media(media) => Ok(media),
            Playlist::Multivariant(_) => Err(PlaylistError::Malformed(1, "a multivariant playlist inside another")),
        }
    }
}

/// A variant whose URI comes with the next line.
struct Awaited {
    id: Option<String>,
    bandwidth: u64,
    codecs: String,
    size: Option<(u64, u64)>,
    group: String,
}

#[derive(Default)]
pub(super) struct Builder {
    renditions: Vec<Rendition>,
    steering: Option<Steering>,
    awaited: Option<Awaited>,
}

impl Builder {
    pub(super) fn is_empty(&self) -> bool {
        self.renditions.is_empty() && self.awaited.is_none()
    }

    pub(super) fn awaits_uri(&self) -> bool {
        self.awaited.is_some()
    }

    pub(super) fn take(&mut self, tag: &Tag<'_>, lines: &mut Lines<'_>) -> Result<(), PlaylistError> {
        match tag {
            Tag::StreamInf(stream) => {
                if self.awaited.is_some() {
                    return Err(lines.wrong("a variant without a URI comes before it"));
                }
                self.awaited = Some(Awaited {
                    id: stream.stable_variant_id().map(|id| text(id, lines)).transpose()?,
                    bandwidth: stream.bandwidth(),
                    codecs: text(stream.codecs().unwrap_or_default(), lines)?,
                    size: stream.resolution().map(|size| (size.width, size.height)),
                    group: text(stream.audio().unwrap_or_default(), lines)?,
                });
            }
            Tag::IFrameStreamInf(stream) => {
                let one = Rendition {
                    id: text(stream.stable_variant_id().unwrap_or_else(|| stream.uri()), lines)?,
                    role: Role::Trick,
                    url: lines.url(stream.uri())?,
                    bandwidth: stream.bandwidth(),
                    codecs: text(stream.codecs().unwrap_or_default(), lines)?,
                    language: String::new(),
                    size: stream.resolution().map(|size| (size.width, size.height)),
                    group: String::new(),
                };
                self.push(one)?;
            }
            Tag::Media(media) => {
                // Without a URI it is in the variants themselves.
                let Some(uri) = media.uri() else { return Ok(()) };
                let role = match media.media_type().known() {
                    Some(MediaType::Audio) => Role::Audio,
                    Some(MediaType::Video) => Role::Video,
                    Some(MediaType::Subtitles) => Role::Text,
                    _ => return Ok(()),
                };
                let group = text(media.group_id(), lines)?;
                let id = match media.stable_rendition_id() {
                    Some(id) => text(id, lines)?,
                    None => format!("{group}/{}", text(media.name(), lines)?),
                };
                let language = text(media.language().unwrap_or_default(), lines)?;
                let url = lines.url(uri)?;
                self.push(Rendition {
                    id,
                    role,
                    url,
                    bandwidth: 0,
                    codecs: String::new(),
                    language,
                    size: None,
                    group,
                })?;
            }
            Tag::ContentSteering(steering) => {
                self.steering = Some(Steering {
                    url: lines.substitute(steering.server_uri())?,
                    default_service_location: steering.pathway_id().map(str::to_owned),
                    query_before_start: false,
                });
            }
            _ => {}
        }
        Ok(())
    }

    pub(super) fn uri(&mut self, uri: &str, lines: &mut Lines<'_>) -> Result<(), PlaylistError> {
        let Some(awaited) = self.awaited.take() else { return Ok(()) };
        let one = Rendition {
            id: awaited.id.map_or_else(|| text(uri, lines), Ok)?,
            role: Role::Variant,
            url: lines.url(uri)?,
            bandwidth: awaited.bandwidth,
            codecs: awaited.codecs,
            language: String::new(),
            size: awaited.size,
            group: awaited.group,
        };
        self.push(one)
    }

    fn push(&mut self, one: Rendition) -> Result<(), PlaylistError> {
        if self.renditions.len() == REPRESENTATIONS_MAX {
            return Err(PlaylistError::TooMany("variants and renditions"));
        }
        self.renditions.push(one);
        Ok(())
    }

    pub(super) fn end(self, lines: Lines<'_>) -> Result<Multivariant, PlaylistError> {
        if self.awaited.is_some() {
            return Err(lines.wrong("the last variant has no URI"));
        }
        Ok(Multivariant { renditions: self.renditions, steering: self.steering, variables: lines.variables })
    }
}

/// A text of an attribute, within its bound.
fn text(value: &str, lines: &Lines<'_>) -> Result<String, PlaylistError> {
    let whole = lines.substitute(value)?;
    if whole.len() > TEXT_BYTES_MAX { Err(PlaylistError::TooMany("bytes in a text")) } else { Ok(whole) }
}

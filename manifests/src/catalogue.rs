//! What names titles and objects without being a manifest: lists of URLs, one on a line, and sitemaps (sitemaps.org, protocol 0.9, with
//! Google's video extension). And what kind of thing a body is at all.
//!
//! Whether a URL may be fetched is for whoever fetches it to say; here it only has to be one. Invariant: within its bounds, a catalogue
//! names all it has or is refused; half a list is none.

use quick_xml::Reader;
use quick_xml::escape::resolve_predefined_entity;
use quick_xml::events::Event;
use url::Url;

use crate::limits::{CATALOGUE_BYTES_MAX, CATALOGUE_URLS_MAX, NAMES_BYTES_MAX, SITEMAPS_MAX, URL_BYTES_MAX};
use crate::playlist::is_playlist;

/// What a body is, by how it begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Body {
    /// XML whose document element is no other one's below: an MPD, or to be refused as none.
    Mpd,
    /// An HLS playlist.
    Playlist,
    /// `urlset` or `sitemapindex`.
    Sitemap,
    /// Text that is none of these.
    Urls,
}

/// Why a catalogue cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CatalogueError {
    /// Larger than [`CATALOGUE_BYTES_MAX`].
    #[error("the list has more than {CATALOGUE_BYTES_MAX} bytes")]
    TooLarge,
    /// More than the named bounds allow.
    #[error("the list has more {0} than are read")]
    TooMany(&'static str),
    /// A line that is no URL.
    #[error("this is no MPD, no playlist, no sitemap, and line {0} is no URL")]
    NoUrl(usize),
    /// A sitemap that cannot be read.
    #[error("this sitemap cannot be read: {0}")]
    Malformed(&'static str),
}

/// What a catalogue names, in its order, resolved against where it was.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Catalogue {
    /// Titles and objects.
    pub urls: Vec<Url>,
    /// Other sitemaps.
    pub sitemaps: Vec<Url>,
    bytes: usize,
}

impl Body {
    /// Tells by the first bytes that say something.
    pub fn of(bytes: &[u8]) -> Self {
        if is_playlist(bytes) {
            return Self::Playlist;
        }
        let text = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes).trim_ascii_start();
        match text.first() {
            Some(b'<') if has_sitemap_root(text) => Self::Sitemap,
            Some(b'<') => Self::Mpd,
            _ => Self::Urls,
        }
    }
}

/// Whether a URL names a title, by how its path ends.
pub fn is_title(url: &Url) -> bool {
    let path = url.path();
    [".mpd", ".m3u8"].iter().any(|end| path.len() > end.len() && path.to_ascii_lowercase().ends_with(end))
}

impl Catalogue {
    /// Reads a list of URLs: one on a line, absolute or from `/` on; empty lines and those with `#` before are passed over.
    ///
    /// # Errors
    /// See [`CatalogueError`].
    pub fn of_lines(bytes: &[u8], base: &Url) -> Result<Self, CatalogueError> {
        let mut catalogue = Self::within(bytes)?;
        for (number, line) in bytes.split(|byte| *byte == b'\n').enumerate() {
            let no_url = CatalogueError::NoUrl(number + 1);
            let line = line.trim_ascii();
            if line.is_empty() || line.starts_with(b"#") {
                continue;
            }
            let line = std::str::from_utf8(line).map_err(|_| no_url.clone())?;
            if !line.starts_with('/') && !line.contains("://") {
                return Err(no_url);
            }
            let url = catalogue.resolved(line, base)?.ok_or(no_url)?;
            catalogue.add(url)?;
        }
        Ok(catalogue)
    }

    /// Reads a sitemap or an index of sitemaps. Of a page with a video, the video's own URL counts too.
    ///
    /// # Errors
    /// See [`CatalogueError`].
    pub fn of_sitemap(bytes: &[u8], base: &Url) -> Result<Self, CatalogueError> {
        let mut catalogue = Self::within(bytes)?;
        let text = std::str::from_utf8(bytes).map_err(|_| CatalogueError::Malformed("it is not UTF-8"))?;
        let mut reader = Reader::from_str(text);
        // Within which element a location is, and the text of the location read now.
        let (mut is_index, mut location): (bool, Option<String>) = (false, None);
        let mut depth = 0_usize;
        loop {
            match reader.read_event().map_err(|_| CatalogueError::Malformed("it is no XML"))? {
                Event::DocType(_) => return Err(CatalogueError::Malformed("it has a document type definition")),
                Event::Start(start) => {
                    depth += 1;
                    match start.local_name().into_inner() {
                        "sitemap" => is_index = true,
                        "url" => is_index = false,
                        "loc" | "content_loc" => location = Some(String::new()),
                        _ => {}
                    }
                }
                Event::Text(text) => append(&mut location, &text.xml10_content())?,
                Event::CData(text) => append(&mut location, &text.xml10_content())?,
                Event::GeneralRef(reference) => {
                    let of_number = reference.resolve_char_ref().ok().flatten().map(String::from);
                    let named = || resolve_predefined_entity(&reference).map(str::to_owned);
                    let text = of_number
                        .or_else(named)
                        .ok_or(CatalogueError::Malformed("an entity that is not one of XML's five"))?;
                    append(&mut location, &text)?;
                }
                Event::End(end) => {
                    depth = depth.saturating_sub(1);
                    if matches!(end.local_name().into_inner(), "loc" | "content_loc")
                        && let Some(text) = location.take()
                    {
                        let url = catalogue.resolved(text.trim(), base)?;
                        catalogue
                            .located(url.ok_or(CatalogueError::Malformed("a location that is no URL"))?, is_index)?;
                    }
                }
                Event::Eof if depth > 0 => return Err(CatalogueError::Malformed("it ends in the middle")),
                Event::Eof => return Ok(catalogue),
                _ => {}
            }
        }
    }

    fn within(bytes: &[u8]) -> Result<Self, CatalogueError> {
        if bytes.len() > CATALOGUE_BYTES_MAX { Err(CatalogueError::TooLarge) } else { Ok(Self::default()) }
    }

    fn resolved(&mut self, text: &str, base: &Url) -> Result<Option<Url>, CatalogueError> {
        if text.len() > URL_BYTES_MAX {
            return Err(CatalogueError::TooMany("bytes in a URL"));
        }
        let url = base.join(text).ok().filter(|url| matches!(url.scheme(), "http" | "https"));
        self.bytes += url.as_ref().map_or(0, |url| url.as_str().len());
        if self.bytes > NAMES_BYTES_MAX { Err(CatalogueError::TooMany("names")) } else { Ok(url) }
    }

    fn located(&mut self, url: Url, is_index: bool) -> Result<(), CatalogueError> {
        if !is_index {
            return self.add(url);
        }
        if self.sitemaps.len() == SITEMAPS_MAX {
            return Err(CatalogueError::TooMany("sitemaps"));
        }
        self.sitemaps.push(url);
        Ok(())
    }

    fn add(&mut self, url: Url) -> Result<(), CatalogueError> {
        if self.urls.len() == CATALOGUE_URLS_MAX {
            return Err(CatalogueError::TooMany("URLs"));
        }
        self.urls.push(url);
        Ok(())
    }
}

fn append(location: &mut Option<String>, text: &str) -> Result<(), CatalogueError> {
    let Some(location) = location else { return Ok(()) };
    if location.len() + text.len() > 2 * URL_BYTES_MAX {
        return Err(CatalogueError::TooMany("bytes in a URL"));
    }
    location.push_str(text);
    Ok(())
}

/// Whether the document element is that of a sitemap. What is wrong before it, the reader of an MPD says.
fn has_sitemap_root(bytes: &[u8]) -> bool {
    let head = &bytes[..bytes.len().min(URL_BYTES_MAX)];
    let head = match std::str::from_utf8(head) {
        Ok(head) => head,
        Err(error) => std::str::from_utf8(&head[..error.valid_up_to()]).unwrap_or_default(),
    };
    let mut reader = Reader::from_str(head);
    loop {
        match reader.read_event() {
            Ok(Event::Start(root) | Event::Empty(root)) => {
                return matches!(root.local_name().into_inner(), "urlset" | "sitemapindex");
            }
            Ok(Event::Eof) | Err(_) => return false,
            Ok(_) => {}
        }
    }
}

#[cfg(test)]
mod tests;

//! One tag, as bytes: its name, what kind of element it opens, where its attributes are.

use std::ops::Range;

/// What an element is to the rewriter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Mpd,
    Period,
    Set,
    Representation,
    /// SegmentTemplate.
    Template,
    /// BaseURL.
    BaseUrl,
    /// Any other whose text is a URL.
    UrlText,
    /// ContentSteering.
    Steering,
    /// One whose attributes may be URLs.
    UrlHolder,
    /// EssentialProperty or SupplementalProperty of a set.
    Property,
    /// What may come in a Period after its sets.
    AfterSets,
    Other,
}

/// A tag.
#[derive(Debug, Clone, Copy)]
pub(super) struct Tag<'a> {
    /// All of it, from `<` to `>`.
    pub(super) bytes: &'a [u8],
    name: &'a [u8],
    pub(super) is_end: bool,
    pub(super) is_empty: bool,
}

/// Reads a tag; `None` when it is none.
pub(super) fn read(bytes: &[u8]) -> Option<Tag<'_>> {
    let is_end = bytes.get(1) == Some(&b'/');
    let from = 1 + usize::from(is_end);
    let inner = bytes.get(from..bytes.len().checked_sub(1)?)?;
    let length = inner.iter().position(|byte| byte.is_ascii_whitespace() || *byte == b'/').unwrap_or(inner.len());
    let is_name =
        inner.first().is_some_and(|first| first.is_ascii_alphabetic() || matches!(first, b'_' | b':' | 0x80..));
    let is_empty = !is_end && inner.last() == Some(&b'/');
    is_name.then_some(Tag { bytes, name: &inner[..length], is_end, is_empty })
}

impl<'a> Tag<'a> {
    /// The prefix of its name with the colon; empty without one.
    pub(super) fn prefix(&self) -> &'a [u8] {
        &self.name[..memchr::memchr(b':', self.name).map_or(0, |colon| colon + 1)]
    }

    /// What it opens, inside an element of kind `parent`.
    pub(super) fn kind(&self, prefix: &[u8], parent: Option<Kind>) -> Kind {
        let Some(local) = self.name.strip_prefix(prefix) else { return Kind::Other };
        match (local, parent) {
            (b"MPD", None) => Kind::Mpd,
            (b"Period", Some(Kind::Mpd)) => Kind::Period,
            (b"AdaptationSet", Some(Kind::Period)) => Kind::Set,
            (b"Representation", Some(Kind::Set)) => Kind::Representation,
            (b"SegmentTemplate", Some(Kind::Period | Kind::Set | Kind::Representation)) => Kind::Template,
            (b"Subset" | b"EmptyAdaptationSet" | b"Preselection", Some(Kind::Period)) => Kind::AfterSets,
            (b"EssentialProperty" | b"SupplementalProperty", Some(Kind::Set)) => Kind::Property,
            (b"BaseURL", Some(Kind::Mpd | Kind::Period | Kind::Set | Kind::Representation)) => Kind::BaseUrl,
            (b"Location" | b"PatchLocation", Some(Kind::Mpd)) => Kind::UrlText,
            (b"ContentSteering", Some(Kind::Mpd)) => Kind::Steering,
            (
                b"SegmentURL" | b"Initialization" | b"RepresentationIndex" | b"BitstreamSwitching" | b"SegmentList",
                Some(_),
            ) => Kind::UrlHolder,
            _ => Kind::Other,
        }
    }

    /// Its attributes: names, and where in [`Self::bytes`] the values are. What is not written like one ends them.
    pub(super) fn attributes(&self) -> impl Iterator<Item = (&'a [u8], Range<usize>)> + use<'a> {
        let bytes = self.bytes;
        let mut at = 1 + self.name.len();
        std::iter::from_fn(move || {
            let space = |from: usize| from + bytes[from..].iter().take_while(|byte| byte.is_ascii_whitespace()).count();
            let from = space(at);
            let equals = from + memchr::memchr(b'=', bytes.get(from..)?)?;
            let name = bytes[from..equals].trim_ascii_end();
            let open = space(equals + 1);
            let quote = bytes.get(open).copied().filter(|quote| matches!(quote, b'"' | b'\''))?;
            let length = memchr::memchr(quote, &bytes[open + 1..])?;
            at = open + 1 + length + 1;
            Some((name, open + 1..open + 1 + length))
        })
    }

    /// The value of an attribute as it is written.
    pub(super) fn value(&self, name: &str) -> Option<&'a str> {
        let found = self.attributes().find(|(known, _)| *known == name.as_bytes())?;
        std::str::from_utf8(&self.bytes[found.1]).ok()
    }

    pub(super) fn number(&self, name: &str) -> Option<u64> {
        self.value(name)?.trim().parse().ok()
    }
}

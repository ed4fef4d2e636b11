//! One adaptation set on its way through: what its representations are judged by, and those kept back until it ends.

use super::super::rules::Rules;
use super::super::tag::Tag;

/// What a set holds, as far as rules tell it apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Media {
    Video,
    Audio,
    Text,
}

#[derive(Debug, Default)]
pub(super) struct Set {
    pub(super) media: Option<Media>,
    pub(super) is_trick: bool,
    is_of_language: bool,
    codecs: Option<String>,
    height: Option<u64>,
    /// Whether its template names segments by the id of the representation, when it has one.
    by_id: Option<bool>,
    /// Representations that stay so far.
    pub(super) stays: usize,
    /// Whether none stays but for having to.
    is_exhausted: bool,
    /// The best of those that become `auto`.
    best: Option<(u64, Vec<u8>)>,
    /// The lowest of those that should go, and whether it would be `auto`.
    lowest: Option<(u64, Vec<u8>, bool)>,
    /// The one that is open.
    open: Open,
}

#[derive(Debug, Default)]
struct Open {
    bandwidth: u64,
    is_wanted: bool,
    has_base_url: bool,
    by_id: Option<bool>,
}

impl Set {
    pub(super) fn new(tag: &Tag<'_>, rules: &Rules) -> Self {
        let media = media(tag);
        let is_spoken = !matches!(media, Some(Media::Video));
        let language = tag.value("lang").filter(|_| is_spoken && !rules.languages.is_empty());
        Self {
            media,
            is_of_language: language.is_none_or(|language| rules.languages.iter().any(|one| is_of(language, one))),
            codecs: tag.value("codecs").map(str::to_owned),
            height: tag.number("height"),
            ..Self::default()
        }
    }

    /// A representation begins.
    pub(super) fn representation(&mut self, tag: &Tag<'_>, rules: &Rules) {
        let media = media(tag).or(self.media);
        self.media = self.media.or(media);
        let bandwidth = tag.number("bandwidth").unwrap_or(0);
        let height = tag.number("height").or(self.height);
        let codecs = tag.value("codecs").or(self.codecs.as_deref());
        let is_known = |codec: &str| rules.codecs.iter().any(|allowed| codec.trim().starts_with(allowed.as_str()));
        let has_codecs = rules.codecs.is_empty() || codecs.is_none_or(|codecs| codecs.split(',').all(is_known));
        let fits = height.zip(rules.max_height).is_none_or(|(height, most)| height <= most)
            && rules.max_bandwidth.is_none_or(|most| bandwidth <= most);
        let is_wanted = match media {
            Some(Media::Video) => fits && has_codecs,
            Some(Media::Audio) => has_codecs,
            _ => true,
        };
        self.open = Open { bandwidth, is_wanted, has_base_url: false, by_id: None };
    }

    /// A BaseURL; one of a set or a period harms nothing, for the open representation is forgotten with the next.
    pub(super) fn base_url(&mut self) {
        self.open.has_base_url = true;
    }

    /// Where to note what a template says, `holds` deep in what is kept back; `None` outside of sets.
    pub(super) fn by_id(&mut self, holds: usize) -> Option<&mut Option<bool>> {
        match holds {
            0 => None,
            1 => Some(&mut self.by_id),
            _ => Some(&mut self.open.by_id),
        }
    }

    /// Whether the open representation is named by its id, when anything says so.
    pub(super) fn is_by_id(&self) -> Option<bool> {
        self.open.by_id.or(self.by_id)
    }

    /// Whether the open representation may become `auto`: it has to be video, found where its siblings are.
    pub(super) fn may_be_auto(&self) -> bool {
        self.media == Some(Media::Video) && !self.is_trick && !self.open.has_base_url
    }

    pub(super) fn is_wanted(&self) -> bool {
        self.open.is_wanted
    }

    /// Keeps the open representation back; whether one goes for it.
    pub(super) fn keep_back(&mut self, bytes: Vec<u8>, is_wanted: bool, is_auto: bool) -> bool {
        let bandwidth = self.open.bandwidth;
        if is_wanted {
            let is_better = self.best.as_ref().is_none_or(|(known, _)| bandwidth > *known);
            let had_one = self.best.is_some();
            if is_better {
                self.best = Some((bandwidth, bytes));
            }
            return had_one;
        }
        let is_lower = self.lowest.as_ref().is_none_or(|(known, ..)| bandwidth < *known);
        let had_one = self.lowest.is_some();
        if is_lower {
            self.lowest = Some((bandwidth, bytes, is_auto));
        }
        had_one
    }

    /// What has to be written before the set ends, whether that is an `auto` one, and how many go.
    pub(super) fn settle(&mut self) -> (Vec<u8>, bool, u32) {
        let dropped = u32::from(self.lowest.is_some());
        match (self.best.take(), self.lowest.take()) {
            (Some((_, best)), _) => (best, true, dropped),
            (None, Some((_, lowest, is_auto))) if self.stays == 0 => {
                self.is_exhausted = true;
                (lowest, is_auto, 0)
            }
            _ => (Vec::new(), false, dropped),
        }
    }

    /// Whether the rules let the set stay.
    pub(super) fn is_allowed(&self) -> bool {
        self.is_of_language && !self.is_exhausted
    }

    /// What is kept back, to be let go.
    pub(super) fn take_kept_back(&mut self) -> [Option<Vec<u8>>; 2] {
        [self.best.take().map(|(_, bytes)| bytes), self.lowest.take().map(|(_, bytes, _)| bytes)]
    }
}

/// Attributes of a set that would not be true of what is left.
pub(super) fn untrue(tag: &Tag<'_>, rules: &Rules) -> Vec<&'static [u8]> {
    let above = |name: &str, most: Option<u64>| tag.number(name).zip(most).is_some_and(|(value, most)| value > most);
    let mut untrue: Vec<&[u8]> = Vec::new();
    if above("maxHeight", rules.max_height) {
        untrue.extend([&b"maxHeight"[..], b"maxWidth"]);
    }
    if above("maxBandwidth", rules.max_bandwidth) {
        untrue.push(b"maxBandwidth");
    }
    untrue
}

fn media(tag: &Tag<'_>) -> Option<Media> {
    let of_type = |name: &str| match name.split('/').next() {
        Some("video") => Some(Media::Video),
        Some("audio") => Some(Media::Audio),
        Some("text") => Some(Media::Text),
        _ => None,
    };
    tag.value("contentType").and_then(of_type).or_else(|| tag.value("mimeType").and_then(of_type))
}

/// Whether a language is `wanted`, or a kind of it.
fn is_of(language: &str, wanted: &str) -> bool {
    let begin = language.get(..wanted.len()).is_some_and(|begin| begin.eq_ignore_ascii_case(wanted));
    begin && matches!(language.as_bytes().get(wanted.len()), None | Some(b'-'))
}

//! URLs led to the edge: in attributes, and as the text of an element.

use super::rules::{Report, Rules};
use super::tag::{Kind, Tag};
use crate::limits::URL_BYTES_MAX;

/// Attributes that are URLs, or begin like one.
const URL_ATTRIBUTES: [&[u8]; 6] =
    [b"media", b"initialization", b"index", b"bitstreamSwitching", b"sourceURL", b"xlink:href"];

/// Writes a start tag with its URLs led to the edge, and without the attributes `cut` names.
pub(super) fn write(tag: &Tag<'_>, cut: &[&[u8]], rules: &Rules, report: &mut Report, out: &mut Vec<u8>) {
    let mut written = 0;
    for (name, value) in tag.attributes() {
        if cut.contains(&name) {
            // With the white space before its name and with its closing quote.
            let head = &tag.bytes[..value.start];
            let from = head.len() - head.iter().rev().take_while(|byte| **byte != b'=').count() - 1;
            let name_at = tag.bytes[..from].trim_ascii_end().len() - name.len();
            out.extend_from_slice(tag.bytes[written..name_at].trim_ascii_end());
            written = value.end + 1;
        } else if URL_ATTRIBUTES.contains(&name)
            && let Some((length, replacement)) = rules.replacement(&tag.bytes[value.clone()])
        {
            out.extend_from_slice(&tag.bytes[written..value.start]);
            out.extend_from_slice(&replacement);
            written = value.start + length;
            report.urls_replaced += 1;
        }
    }
    out.extend_from_slice(&tag.bytes[written..]);
}

/// The text of an element that is a URL: kept back until it is whole.
#[derive(Debug, Default)]
pub(super) struct UrlText(Option<Vec<u8>>);

impl UrlText {
    /// An element was opened.
    pub(super) fn opened(&mut self, kind: Kind, rules: &Rules) {
        let is_url = matches!(kind, Kind::BaseUrl | Kind::UrlText) && !rules.origins.is_empty();
        self.0 = is_url.then(Vec::new);
    }

    /// Whether text is kept back.
    pub(super) fn is_open(&self) -> bool {
        self.0.is_some()
    }

    /// Text came.
    pub(super) fn text(&mut self, text: &[u8], sink: &mut Vec<u8>) {
        match &mut self.0 {
            Some(kept) if kept.len() + text.len() <= URL_BYTES_MAX => kept.extend_from_slice(text),
            kept => {
                sink.extend(kept.take().into_iter().flatten());
                sink.extend_from_slice(text);
            }
        }
    }

    /// The text has ended.
    pub(super) fn flush(&mut self, rules: &Rules, report: &mut Report, sink: &mut Vec<u8>) {
        let Some(text) = self.0.take() else { return };
        let url = text.trim_ascii_start();
        let (space, url) = text.split_at(text.len() - url.len());
        sink.extend_from_slice(space);
        match rules.replacement(url.trim_ascii_end()) {
            Some((length, replacement)) => {
                sink.extend_from_slice(&replacement);
                sink.extend_from_slice(&url[length..]);
                report.urls_replaced += 1;
            }
            None => sink.extend_from_slice(url),
        }
    }
}

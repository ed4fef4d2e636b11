//! Segment templates (ISO/IEC 23009-1 §5.3.9.4.4): `$RepresentationID$`, `$Number$`, `$Time$`, `$SubNumber$`, `$Bandwidth$`,
//! `$$`, each number with an optional `%0Nd`.
//!
//! Invariant: what a template is filled with is never longer than [`URL_BYTES_MAX`].

use std::fmt::Write;

use crate::limits::{FORMAT_WIDTH_MAX, TEMPLATE_PARTS_MAX, URL_BYTES_MAX};

/// A template of one representation, of which only what differs from segment to segment is left to fill in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Pattern {
    /// Before the first identifier.
    head: String,
    /// Each identifier, its width, and the text behind it.
    parts: Vec<(Identifier, usize, String)>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Identifier {
    Number,
    Time,
    SubNumber,
}

/// What a segment's name is made of.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Values {
    pub(crate) number: u64,
    pub(crate) time: u64,
    /// From 1.
    pub(crate) sub_number: u64,
}

/// What a name was made of, as far as its template says.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Read {
    pub(crate) number: Option<u64>,
    pub(crate) time: Option<u64>,
    pub(crate) sub_number: Option<u64>,
}

impl Pattern {
    /// Reads a template; `None` when it is malformed, too long, or has identifiers where `of_segments` says there can be none.
    pub(crate) fn new(template: &str, id: &str, bandwidth: u64, of_segments: bool) -> Option<Self> {
        let mut pattern = Self { head: String::new(), parts: Vec::new() };
        let mut pieces = template.split('$');
        pattern.literal(pieces.next()?);
        while let Some(identifier) = pieces.next() {
            // A lone dollar has no end.
            let literal = pieces.next()?;
            let (name, format) =
                identifier.split_once('%').map_or((identifier, None), |(name, format)| (name, Some(format)));
            let width = width(format)?;
            match name {
                "" if format.is_none() => pattern.literal("$"),
                "RepresentationID" if format.is_none() => pattern.literal(id),
                "Bandwidth" => pattern.literal(&format!("{bandwidth:0width$}")),
                "Number" if of_segments => pattern.parts.push((Identifier::Number, width, String::new())),
                "Time" if of_segments => pattern.parts.push((Identifier::Time, width, String::new())),
                "SubNumber" if of_segments => pattern.parts.push((Identifier::SubNumber, width, String::new())),
                _ => return None,
            }
            pattern.literal(literal);
            if pattern.parts.len() > TEMPLATE_PARTS_MAX || pattern.head.len() > URL_BYTES_MAX {
                return None;
            }
        }
        (pattern.longest() <= URL_BYTES_MAX).then_some(pattern)
    }

    fn literal(&mut self, text: &str) {
        self.parts.last_mut().map_or(&mut self.head, |(_, _, behind)| behind).push_str(text);
    }

    /// Fills it in.
    pub(crate) fn filled(&self, values: Values) -> String {
        let mut name = String::with_capacity(self.longest());
        name.push_str(&self.head);
        for (identifier, width, behind) in &self.parts {
            let number = match identifier {
                Identifier::Number => values.number,
                Identifier::Time => values.time,
                Identifier::SubNumber => values.sub_number,
            };
            write!(name, "{number:0width$}").expect("invariant: a String takes what is written");
            name.push_str(behind);
        }
        name
    }

    /// Reads a name backwards. `None`: it is no name of this template, or one of a template with a digit right behind a number. Widths are
    /// not looked at.
    pub(crate) fn read(&self, name: &str) -> Option<Read> {
        let mut rest = name.strip_prefix(self.head.as_str())?;
        let mut read = Read::default();
        for (identifier, _, behind) in &self.parts {
            let (digits, after) = rest.split_at(rest.bytes().take_while(u8::is_ascii_digit).count());
            let number = digits.parse().ok()?;
            match identifier {
                Identifier::Number => read.number = Some(number),
                Identifier::Time => read.time = Some(number),
                Identifier::SubNumber => read.sub_number = Some(number),
            }
            rest = after.strip_prefix(behind.as_str())?;
        }
        rest.is_empty().then_some(read)
    }

    /// Bytes of the longest name it can make.
    pub(crate) fn longest(&self) -> usize {
        self.head.len() + self.parts.iter().map(|(_, _, text)| FORMAT_WIDTH_MAX + text.len()).sum::<usize>()
    }
}

/// The width a format `0Nd` asks for.
fn width(format: Option<&str>) -> Option<usize> {
    let Some(format) = format else { return Some(1) };
    let width = format.strip_prefix('0')?.strip_suffix('d')?.parse().ok()?;
    (width <= FORMAT_WIDTH_MAX).then_some(width)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn expand(template: &str) -> Option<String> {
        let pattern = Pattern::new(template, "v1", 500, true)?;
        Some(pattern.filled(Values { number: 7, time: 90_000, sub_number: 2 }))
    }

    #[test]
    fn identifiers_and_formats_are_filled_in() {
        for (template, expected) in [
            ("seg-$RepresentationID$-$Number%05d$.m4s", "seg-v1-00007.m4s"),
            ("$Bandwidth$/$Time$.mp4", "500/90000.mp4"),
            ("$Bandwidth%06d$-$Number$.$SubNumber%02d$", "000500-7.02"),
            ("a$$b", "a$b"),
            ("plain", "plain"),
        ] {
            assert_eq!(expand(template).as_deref(), Some(expected), "{template}");
        }
    }

    #[test]
    fn malformed_templates_are_refused() {
        for template in [
            "$Number",
            "$Nonsense$",
            "$Number%5d$",
            "$Number%099d$",
            "$Number%09999d$",
            "$Number%0-1d$",
            "$RepresentationID%02d$",
            &"$Number$".repeat(1000),
            &"x".repeat(URL_BYTES_MAX + 1),
        ] {
            assert_eq!(expand(template), None, "{template}");
        }
        assert_eq!(Pattern::new("$Number$.mp4", "", 0, false), None, "an initialisation segment has no number");
    }
}

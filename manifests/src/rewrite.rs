//! Rewrites an MPD as it passes, without losing what it does not know: bytes are only cut out or put in where a rule says so.
//!
//! It reads no more than tags need: what is inside a comment, a CDATA section or a processing instruction passes untouched, and so
//! does everything after a place that cannot be understood ([`Report::verbatim`]).
//!
//! Invariant: without rules the output is the input, byte for byte, however it is cut into chunks; what is well-formed stays so;
//! never more is kept than a handful of buffers of [`HELD_BYTES_MAX`](crate::limits::HELD_BYTES_MAX).

use crate::limits::{REWRITE_DEPTH_MAX, TAG_BYTES_MAX};

mod filter;
mod rules;
mod tag;
mod urls;

pub use rules::{Report, Rules, ServiceLocation, SteeringRule};

use filter::Filter;
use tag::{Kind, Tag};
use urls::UrlText;

/// A manifest on its way through.
///
/// ```
/// use littoral_manifests::rewrite::{Rewriter, Rules};
///
/// let rules = Rules { max_height: Some(720), ..Rules::default() };
/// let mut rewriter = Rewriter::new(rules);
/// let mut out = Vec::new();
/// for chunk in [&b"<MPD><Period><AdaptationSet>"[..], b"</AdaptationSet></Period></MPD>"] {
///     rewriter.push(chunk, &mut out);
/// }
/// let report = rewriter.finish(&mut out);
/// assert_eq!(report.representations_dropped, 0);
/// ```
#[derive(Debug)]
pub struct Rewriter {
    rules: Rules,
    report: Report,
    /// What came last and is not whole yet, from its `<`.
    carry: Vec<u8>,
    /// How much of the tag in [`Self::carry`] was looked at, and the quote it is in, if any.
    seen: (usize, u8),
    /// What the next bytes belong to.
    inside: Inside,
    /// Kinds of the open elements, outermost first.
    open: Vec<Kind>,
    /// Prefix of the document element with its colon.
    prefix: Vec<u8>,
    is_inserted: bool,
    url_text: UrlText,
    filter: Filter,
}

/// Bytes that pass in one go; more would let what is kept back grow without being looked at.
const RUN_BYTES_MAX: usize = 64 << 10;

/// Where the reading is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Inside {
    /// Between tags, or in one.
    Content,
    /// In something that passes untouched until this.
    Until(&'static [u8]),
    /// Behind what could not be understood.
    Verbatim,
}

impl Rewriter {
    /// For one manifest.
    pub fn new(rules: Rules) -> Self {
        Self {
            filter: Filter::new(&rules),
            rules,
            report: Report::default(),
            carry: Vec::new(),
            seen: (0, 0),
            inside: Inside::Content,
            open: Vec::new(),
            prefix: Vec::new(),
            is_inserted: false,
            url_text: UrlText::default(),
        }
    }

    /// Takes the next bytes of the manifest, and appends to `out` what can already be said of it.
    pub fn push(&mut self, chunk: &[u8], out: &mut Vec<u8>) {
        if self.carry.is_empty() {
            let used = self.take(chunk, out);
            self.carry.extend_from_slice(&chunk[used..]);
        } else {
            let mut carry = std::mem::take(&mut self.carry);
            carry.extend_from_slice(chunk);
            let used = self.take(&carry, out);
            carry.drain(..used);
            self.carry = carry;
        }
    }

    /// The manifest has ended, whole or not: appends what was kept back.
    pub fn finish(mut self, out: &mut Vec<u8>) -> Report {
        if !self.open.is_empty() || !self.carry.is_empty() {
            self.give_up("it ends in the middle", out);
        }
        self.url_text.flush(&self.rules, &mut self.report, self.filter.sink(out));
        self.filter.release(out);
        out.extend_from_slice(&self.carry);
        self.report
    }

    /// Takes as many of the bytes as are whole tokens.
    fn take(&mut self, bytes: &[u8], out: &mut Vec<u8>) -> usize {
        let mut at = 0;
        while at < bytes.len() {
            let rest = &bytes[at..];
            let used = match self.inside {
                Inside::Verbatim => {
                    out.extend_from_slice(rest);
                    rest.len()
                }
                Inside::Until(end) => self.until(end, rest, out),
                Inside::Content => match self.run(rest) {
                    0 if rest[0] == b'<' => self.markup(rest, out),
                    0 => self.text(rest, out),
                    length => {
                        self.filter.sink(out).extend_from_slice(&rest[..length]);
                        self.filter.check_bound(&mut self.report, out);
                        length
                    }
                },
            };
            if used == 0 {
                break;
            }
            at += used;
        }
        at
    }

    /// How many bytes are text and tags that no rule is for, which is nearly all of a long manifest: they pass in one go.
    fn run(&mut self, rest: &[u8]) -> usize {
        if self.url_text.is_open() || self.filter.discards() {
            return 0;
        }
        let mut at = 0;
        while at < RUN_BYTES_MAX {
            let Some(open) = memchr::memchr(b'<', &rest[at..]) else { return rest.len() };
            at += open;
            if matches!(rest.get(at + 1), None | Some(b'!' | b'?')) {
                return at;
            }
            let Some(length) = self.tag_end(&rest[at..]) else { return at };
            let passes = tag::read(&rest[at..at + length]).is_some_and(|tag| self.passes(&tag));
            if !passes {
                // Its end need not be looked for again.
                self.seen = (length - 1, 0);
                return at;
            }
            at += length;
        }
        at
    }

    /// Whether no rule is for a tag; if so it is noted as opened or closed.
    fn passes(&mut self, tag: &Tag<'_>) -> bool {
        let is_passed = |kind: Kind, rules: &Rules| match kind {
            Kind::Other => true,
            Kind::UrlHolder => rules.origins.is_empty(),
            _ => rules.are_none(),
        };
        if tag.is_end {
            return self.open.pop_if(|kind| is_passed(*kind, &self.rules)).is_some();
        }
        let kind = tag.kind(&self.prefix, self.open.last().copied());
        let depth = 1..REWRITE_DEPTH_MAX;
        let passes = depth.contains(&self.open.len()) && is_passed(kind, &self.rules);
        self.open.extend((passes && !tag.is_empty).then_some(kind));
        passes
    }

    fn text(&mut self, rest: &[u8], out: &mut Vec<u8>) -> usize {
        let length = memchr::memchr(b'<', rest).unwrap_or(rest.len());
        self.url_text.text(&rest[..length], self.filter.sink(out));
        self.filter.check_bound(&mut self.report, out);
        length
    }

    /// Passes on what is inside something untouched; all but what may be the beginning of its end.
    fn until(&mut self, end: &'static [u8], rest: &[u8], out: &mut Vec<u8>) -> usize {
        let found = memchr::memmem::find(rest, end);
        let length = found.map_or_else(|| rest.len().saturating_sub(end.len() - 1), |at| at + end.len());
        if found.is_some() {
            self.inside = Inside::Content;
        }
        self.filter.sink(out).extend_from_slice(&rest[..length]);
        self.filter.check_bound(&mut self.report, out);
        length
    }

    /// What begins with `<`; 0 when there is not enough of it yet.
    fn markup(&mut self, rest: &[u8], out: &mut Vec<u8>) -> usize {
        const UNTOUCHED: [(&[u8], &[u8]); 3] = [(b"<!--", b"-->"), (b"<![CDATA[", b"]]>"), (b"<?", b"?>")];
        let untouched = if matches!(rest.get(1), None | Some(b'!' | b'?')) { &UNTOUCHED[..] } else { &[] };
        for (start, end) in untouched {
            if rest.starts_with(start) {
                self.url_text.flush(&self.rules, &mut self.report, self.filter.sink(out));
                self.filter.sink(out).extend_from_slice(start);
                self.inside = Inside::Until(end);
                return start.len();
            }
            if start.starts_with(rest) {
                return 0;
            }
        }
        match self.tag_end(rest) {
            Some(length) => {
                self.url_text.flush(&self.rules, &mut self.report, self.filter.sink(out));
                match tag::read(&rest[..length]) {
                    Some(tag) => self.tag(&tag, out),
                    None => self.give_up("it has a tag that is none", out),
                }
                // A tag that cannot be understood is taken again, as it is.
                if self.inside == Inside::Verbatim { self.pass(&rest[..length], out) } else { length }
            }
            None if rest.len() > TAG_BYTES_MAX => {
                self.give_up("it has a tag that is too long", out);
                self.pass(rest, out)
            }
            None => 0,
        }
    }

    fn pass(&mut self, bytes: &[u8], out: &mut Vec<u8>) -> usize {
        out.extend_from_slice(bytes);
        bytes.len()
    }

    /// The length of the tag `rest` begins with: to the first `>` outside of quotes.
    fn tag_end(&mut self, rest: &[u8]) -> Option<usize> {
        let (seen, mut quote) = std::mem::take(&mut self.seen);
        // Tags are short: a loop is faster here than a search.
        for (at, byte) in rest.iter().enumerate().skip(seen.max(1)) {
            match (*byte, quote) {
                (b'>', 0) => return Some(at + 1),
                (b'"' | b'\'', 0) => quote = *byte,
                (byte, open) if byte == open => quote = 0,
                _ => {}
            }
        }
        self.seen = (rest.len(), quote);
        None
    }

    fn tag(&mut self, tag: &Tag<'_>, out: &mut Vec<u8>) {
        if tag.is_end {
            let Some(kind) = self.open.pop() else { return self.give_up("it has an end tag too many", out) };
            return self.filter.end(kind, tag.bytes, &self.rules, &mut self.report, out);
        }
        if self.open.len() == REWRITE_DEPTH_MAX {
            return self.give_up("it is nested too deep", out);
        }
        if self.open.is_empty() && self.prefix.is_empty() {
            self.prefix = tag.prefix().to_vec();
        }
        let kind = tag.kind(&self.prefix, self.open.last().copied());
        if kind == Kind::Period && !self.is_inserted {
            self.is_inserted = true;
            self.rules.insert(&self.prefix, &mut self.report, self.filter.sink(out));
        }
        if kind == Kind::BaseUrl && self.open.len() == 1 {
            self.report.has_base_url = true;
        }
        self.filter.start(kind, tag, &self.rules, &mut self.report, out);
        if tag.is_empty {
            return self.filter.end(kind, b"", &self.rules, &mut self.report, out);
        }
        self.open.push(kind);
        self.url_text.opened(kind, &self.rules);
    }

    /// From here on everything passes as it is.
    fn give_up(&mut self, why: &'static str, out: &mut Vec<u8>) {
        self.inside = Inside::Verbatim;
        self.report.verbatim.get_or_insert(why);
        self.url_text.flush(&self.rules, &mut self.report, self.filter.sink(out));
        self.filter.release(out);
    }
}

#[cfg(test)]
mod tests;

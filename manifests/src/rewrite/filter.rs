//! Which representations and sets stay, and under which id.
//!
//! Whether one goes is only known when all of its siblings were seen, for something has to stay: so a set, and in it a
//! representation, is kept back until its end. One with more bytes than [`HELD_BYTES_MAX`] stays.

use std::ops::Range;

use super::rules::{Report, Rules};
use super::tag::{Kind, Tag};
use super::urls;
use crate::limits::HELD_BYTES_MAX;
use crate::presentation::TRICK_SCHEMES;

mod set;

use set::{Media, Set};

/// The id under which a player asks the edge to choose.
const AUTO_ID: &[u8] = b"auto";

#[derive(Debug, Default)]
pub(super) struct Filter {
    is_active: bool,
    /// What is kept back: a set, and a representation in it.
    holds: Vec<Hold>,
    /// Open elements of what is left out.
    discarded: usize,
    /// What is left out is written here.
    scratch: Vec<u8>,
    set: Set,
    period: Period,
}

/// Something kept back.
#[derive(Debug, Default)]
struct Hold {
    bytes: Vec<u8>,
    /// Where the value of its id is.
    id: Option<Range<usize>>,
    /// It was too much, and passes.
    is_released: bool,
}

/// What is known of the period so far.
#[derive(Debug, Default)]
struct Period {
    /// Whether its template names segments by the id of the representation, when it has one.
    by_id: Option<bool>,
    /// Whether a set of video, and one of audio, stays.
    stays: [bool; 2],
    /// The first set of each that should go.
    last: [Option<Vec<u8>>; 2],
}

impl Filter {
    pub(super) fn new(rules: &Rules) -> Self {
        Self { is_active: rules.filters(), ..Self::default() }
    }

    /// Whether what comes is left out.
    pub(super) fn discards(&self) -> bool {
        self.discarded > 0
    }

    /// Where the next bytes go.
    #[inline]
    pub(super) fn sink<'a>(&'a mut self, out: &'a mut Vec<u8>) -> &'a mut Vec<u8> {
        if self.holds.is_empty() && self.discarded == 0 {
            return out;
        }
        if self.discarded > 0 {
            self.scratch.clear();
            return &mut self.scratch;
        }
        self.holds.iter_mut().rev().find(|hold| !hold.is_released).map_or(out, |hold| &mut hold.bytes)
    }

    /// Lets what is kept back pass when it has become too much.
    #[inline]
    pub(super) fn check_bound(&mut self, report: &mut Report, out: &mut Vec<u8>) {
        if self.holds.iter().any(|hold| hold.bytes.len() > HELD_BYTES_MAX) {
            self.let_pass(report, out);
        }
    }

    fn let_pass(&mut self, report: &mut Report, out: &mut Vec<u8>) {
        while let Some(hold) = self.holds.iter_mut().rev().find(|hold| hold.bytes.len() > HELD_BYTES_MAX) {
            hold.is_released = true;
            let bytes = std::mem::take(&mut hold.bytes);
            report.kept_over_bound += 1;
            // What is around it has begun before it.
            self.sink(out).extend_from_slice(&bytes);
        }
    }

    /// Lets everything pass that is kept back.
    pub(super) fn release(&mut self, out: &mut Vec<u8>) {
        self.discarded = 0;
        let set = self.set.take_kept_back();
        let period = std::mem::take(&mut self.period).last;
        out.extend(period.into_iter().flatten().flatten());
        let mut holds = std::mem::take(&mut self.holds).into_iter();
        out.extend(holds.next().map(|hold| hold.bytes).unwrap_or_default());
        out.extend(set.into_iter().flatten().flatten());
        out.extend(holds.flat_map(|hold| hold.bytes));
    }

    /// A start tag.
    pub(super) fn start(&mut self, kind: Kind, tag: &Tag<'_>, rules: &Rules, report: &mut Report, out: &mut Vec<u8>) {
        if kind == Kind::Other && self.discarded == 0 {
            self.sink(out).extend_from_slice(tag.bytes);
            return self.check_bound(report, out);
        }
        if self.discarded > 0 || (kind == Kind::Steering && rules.steering.is_some()) {
            self.discarded += 1;
            return;
        }
        let mut cut: Vec<&[u8]> = Vec::new();
        match kind {
            Kind::Period => self.period = Period::default(),
            Kind::AfterSets => self.settle_period(report, out),
            Kind::Set if self.is_active => {
                self.set = Set::new(tag, rules);
                self.holds.push(Hold::default());
                cut = set::untrue(tag, rules);
            }
            Kind::Representation if self.is_active => {
                self.set.representation(tag, rules);
                let id = tag.attributes().find(|(name, _)| *name == b"id").map(|(_, value)| value);
                self.holds.push(Hold { id, ..Hold::default() });
            }
            Kind::Property => {
                self.set.is_trick |= tag.value("schemeIdUri").is_some_and(|scheme| TRICK_SCHEMES.contains(&scheme))
            }
            Kind::BaseUrl => self.set.base_url(),
            Kind::Template => {
                let by_id = tag.value("media").map(|media| media.contains("$RepresentationID$"));
                let place = self.set.by_id(self.holds.len()).unwrap_or(&mut self.period.by_id);
                *place = by_id.or(*place);
            }
            _ => {}
        }
        if kind == Kind::Steering {
            self.sink(out).extend_from_slice(tag.bytes);
        } else {
            urls::write(tag, &cut, rules, report, self.sink(out));
        }
        self.check_bound(report, out);
    }

    /// An end tag, or nothing for an element that is empty.
    pub(super) fn end(&mut self, kind: Kind, tag: &[u8], rules: &Rules, report: &mut Report, out: &mut Vec<u8>) {
        if self.discarded > 0 {
            self.discarded -= 1;
            return;
        }
        if kind == Kind::Other {
            return self.sink(out).extend_from_slice(tag);
        }
        match kind {
            Kind::Set if self.is_active => self.settle_set(report, out),
            Kind::Period => self.settle_period(report, out),
            _ => {}
        }
        self.sink(out).extend_from_slice(tag);
        match kind {
            Kind::Representation if self.is_active => self.end_representation(rules, report, out),
            Kind::Set if self.is_active => self.end_set(report, out),
            _ => {}
        }
    }

    fn end_representation(&mut self, rules: &Rules, report: &mut Report, out: &mut Vec<u8>) {
        let Some(hold) = self.holds.pop() else { return };
        if hold.is_released {
            self.set.stays += 1;
            return;
        }
        let by_id = self.set.is_by_id().or(self.period.by_id).unwrap_or(false);
        let is_auto = rules.auto && by_id && self.set.may_be_auto() && hold.id.is_some();
        let is_wanted = self.set.is_wanted();
        if is_wanted && !is_auto {
            self.set.stays += 1;
            return self.sink(out).extend_from_slice(&hold.bytes);
        }
        let bytes = if is_auto { hold.named(AUTO_ID) } else { hold.bytes };
        if self.set.keep_back(bytes, is_wanted, is_auto) {
            report.representations_dropped += 1;
        }
    }

    /// Nothing more comes in this set: what has to stay does.
    fn settle_set(&mut self, report: &mut Report, out: &mut Vec<u8>) {
        let (chosen, is_auto, dropped) = self.set.settle();
        report.representations_dropped += dropped;
        report.autos += u32::from(is_auto);
        self.sink(out).extend_from_slice(&chosen);
        self.check_bound(report, out);
    }

    fn end_set(&mut self, report: &mut Report, out: &mut Vec<u8>) {
        let Some(hold) = self.holds.pop() else { return };
        let set = std::mem::take(&mut self.set);
        let place = match set.media {
            Some(Media::Video) if !set.is_trick => Some(0),
            Some(Media::Audio) => Some(1),
            _ => None,
        };
        if set.is_allowed() || hold.is_released {
            place.into_iter().for_each(|place| self.period.stays[place] = true);
            return out.extend_from_slice(&hold.bytes);
        }
        match place {
            Some(place) if !self.period.stays[place] && self.period.last[place].is_none() => {
                self.period.last[place] = Some(hold.bytes);
            }
            _ => report.sets_dropped += 1,
        }
    }

    /// No more sets come in this period: what has to stay does.
    fn settle_period(&mut self, report: &mut Report, out: &mut Vec<u8>) {
        for place in 0..2 {
            let Some(bytes) = self.period.last[place].take() else { continue };
            if self.period.stays[place] {
                report.sets_dropped += 1;
            } else {
                report.kept_last += 1;
                self.period.stays[place] = true;
                out.extend_from_slice(&bytes);
            }
        }
    }
}

#[cfg(test)]
impl Filter {
    /// Bytes kept back by elements that are open.
    pub(super) fn kept_bytes(&self) -> usize {
        self.holds.iter().map(|hold| hold.bytes.len()).sum()
    }
}

impl Hold {
    /// Its bytes with another id.
    fn named(mut self, id: &[u8]) -> Vec<u8> {
        if let Some(place) = self.id {
            self.bytes.splice(place, id.iter().copied());
        }
        self.bytes
    }
}

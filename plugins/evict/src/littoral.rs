//! Ours, for titles that are played from their start: an object is worth the hits a second that are to be expected of it.
//!
//! Of a segment of a title that is two sums. Those who will start the title: starts a second, times the share of viewers who get as
//! far as this segment, times the share of its representation. And those who are playing it and have not come this far: for each the
//! chance that they get here in this representation, divided by the time until then. So the segments just ahead of a player are
//! kept, also of a title nobody else watches, and those behind the last player of a rare title go first. All of it is learnt from
//! the requests: survival and shares over all titles, starts by title. What is worth least for its bytes goes, of a sample and of what
//! was worst before; what arrives competes with it, so that it need not be kept at all.
//!
//! Objects that are part of no title go by a published policy: [`S3Fifo`], or [`Gdsf`] when objects count and not bytes. Which of
//! the two kinds gives room is decided by what each hit of late for the bytes it holds.
//!
//! Parameters: [`Metric`], and how long a start counts ([`MEMORY_MS`]).

use crate::counts::{ByKey, mix};
use crate::{Exact, Gdsf, HANDLES_MAX, Object, Place, S3Fifo};

pub mod audience;
mod title;

use audience::Audience;
use title::Title;

/// How long a start of a title counts: it has lost two thirds of its weight after so long.
pub const MEMORY_MS: f64 = 4.0 * 3_600_000.0;
/// Titles that are told apart; of further ones the segments are objects like any other.
pub const TITLES_MAX: usize = 1 << 14;
/// Objects drawn for each that goes.
const DRAWN: usize = 16;
/// Objects looked at again because they were the worst before.
const KEPT: usize = 16;
/// No place in a vector.
const OUT: u32 = u32::MAX;

/// What is to be large.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Metric {
    /// The share of objects that are hits: bytes count as costs in full.
    Objects,
    /// The share of bytes that are hits.
    Bytes,
    /// Both: half way between.
    #[default]
    Both,
}

/// The policy.
pub struct Littoral {
    metric: Metric,
    rows: Vec<Row>,
    /// Handles of objects of titles, in no order.
    dense: Vec<u32>,
    titles: Vec<Title>,
    known: ByKey<u32>,
    audience: Audience,
    worst: Vec<u32>,
    plain: Box<dyn Exact + Send>,
    of_titles: Kind,
    of_plain: Kind,
    state: u64,
}

/// What one kind of objects holds and hits.
#[derive(Debug, Clone, Copy, Default)]
struct Kind {
    bytes: u64,
    /// What its hits of late were worth in the metric.
    gain: f64,
}

#[derive(Debug, Clone, Copy)]
struct Row {
    bytes: u64,
    /// Of what it is part; `title` is its number here.
    place: Place,
    /// Where it is in `dense`; [`OUT`] for what is part of no title.
    at: u32,
    there: bool,
}

impl std::fmt::Debug for Littoral {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Littoral").field("metric", &self.metric).finish_non_exhaustive()
    }
}

impl Metric {
    /// What an object of so many bytes costs.
    fn cost(self, bytes: u64) -> f64 {
        match self {
            Self::Objects => bytes.max(1) as f64,
            Self::Bytes => 1.0,
            Self::Both => (bytes.max(1) as f64).sqrt(),
        }
    }

    /// What a hit of such an object is worth.
    fn gain(self, bytes: u64) -> f64 {
        bytes as f64 / self.cost(bytes)
    }
}

impl Littoral {
    /// For a cache of so many bytes.
    pub fn new(capacity: u64, metric: Metric) -> Self {
        let plain: Box<dyn Exact + Send> = match metric {
            Metric::Objects => Box::new(Gdsf::default()),
            _ => Box::new(S3Fifo::with_large(capacity)),
        };
        Self {
            metric,
            rows: Vec::new(),
            dense: Vec::new(),
            titles: Vec::new(),
            known: ByKey::default(),
            audience: Audience::default(),
            worst: Vec::new(),
            plain,
            of_titles: Kind::default(),
            of_plain: Kind::default(),
            state: 0,
        }
    }

    fn row(&self, handle: u32) -> Option<&Row> {
        self.rows.get(handle as usize).filter(|row| row.there)
    }

    /// The number of a title here; `None` when there are too many.
    fn title(&mut self, name: u32, now_ms: u64) -> Option<u32> {
        if let Some(title) = self.known.get(&u64::from(name)) {
            return Some(*title);
        }
        if self.titles.len() >= TITLES_MAX {
            return self.reuse(name, now_ms);
        }
        self.titles.push(Title::new(name));
        self.known.insert(name.into(), self.titles.len() as u32 - 1);
        Some(self.titles.len() as u32 - 1)
    }

    /// Gives the number of a title without objects to another: of some drawn the one started least.
    fn reuse(&mut self, name: u32, now_ms: u64) -> Option<u32> {
        let drawn = (0..DRAWN).map(|_| self.random() as usize % self.titles.len()).collect::<Vec<_>>();
        let starts = |at: &usize| self.titles[*at].starts(now_ms);
        let free = drawn.into_iter().filter(|at| self.titles[*at].residents == 0);
        let least = free.min_by(|one, other| starts(one).total_cmp(&starts(other)))?;
        self.known.remove(&u64::from(self.titles[least].name));
        self.titles[least] = Title::new(name);
        self.known.insert(name.into(), least as u32);
        Some(least as u32)
    }

    fn random(&mut self) -> u64 {
        self.state = self.state.wrapping_add(1);
        mix(self.state)
    }

    /// A viewer asked for what stands at `place`, whose title is a number here.
    fn watched(&mut self, place: &Place, now_ms: u64) {
        if let Some(title) = self.titles.get_mut(place.title as usize) {
            title.asked(place, now_ms, &mut self.audience);
        }
    }

    /// Expected hits a millisecond for what an object costs.
    fn worth(&self, handle: u32, now_ms: u64) -> f64 {
        let row = &self.rows[handle as usize];
        let Some(title) = self.titles.get(row.place.title as usize) else { return 0.0 };
        title.hits(&row.place, now_ms, &self.audience) / self.metric.cost(row.bytes)
    }

    /// The object of a title that is worth least, of those drawn and of the worst before.
    fn least(&mut self, now_ms: u64) -> Option<u32> {
        let mut drawn = std::mem::take(&mut self.worst);
        drawn.retain(|handle| self.row(*handle).is_some_and(|row| row.at != OUT));
        for _ in 0..DRAWN.min(self.dense.len()) {
            let at = self.random() as usize % self.dense.len();
            drawn.push(self.dense[at]);
        }
        drawn.sort_unstable();
        drawn.dedup();
        let mut scored: Vec<(f64, u32)> = drawn.iter().map(|handle| (self.worth(*handle, now_ms), *handle)).collect();
        scored.sort_unstable_by(|one, other| one.0.total_cmp(&other.0));
        drawn.clear();
        drawn.extend(scored.iter().skip(1).take(KEPT).map(|(_, handle)| *handle));
        self.worst = drawn;
        scored.first().map(|(_, handle)| *handle)
    }

    /// Whether room is to come from titles.
    fn titles_give(&self) -> bool {
        let dense = |kind: &Kind| kind.gain / kind.bytes.max(1) as f64;
        match (self.of_titles.bytes, self.of_plain.bytes) {
            (0, _) => false,
            (_, 0) => true,
            _ => dense(&self.of_titles) <= dense(&self.of_plain),
        }
    }

    /// Takes an object out of the books; its bytes.
    fn strike(&mut self, handle: u32) -> u64 {
        let Some(row) = self.row(handle).copied() else { return 0 };
        self.rows[handle as usize].there = false;
        if row.at == OUT {
            self.of_plain.bytes -= row.bytes;
            return row.bytes;
        }
        self.of_titles.bytes -= row.bytes;
        self.dense.swap_remove(row.at as usize);
        if let Some(moved) = self.dense.get(row.at as usize) {
            self.rows[*moved as usize].at = row.at;
        }
        if let Some(title) = self.titles.get_mut(row.place.title as usize) {
            title.residents = title.residents.saturating_sub(1);
        }
        row.bytes
    }

    fn enter(&mut self, object: &Object, place: Option<Place>) {
        if self.rows.len() <= object.handle as usize {
            let empty = Row { bytes: 0, place: Place::default(), at: OUT, there: false };
            self.rows.resize(object.handle as usize + 1, empty);
        }
        let at = place.map_or(OUT, |_| self.dense.len() as u32);
        let row = Row { bytes: object.bytes, place: place.unwrap_or_default(), at, there: true };
        self.rows[object.handle as usize] = row;
        let Some(place) = place else {
            self.of_plain.bytes += object.bytes;
            return;
        };
        self.of_titles.bytes += object.bytes;
        self.dense.push(object.handle);
        self.titles[place.title as usize].residents += 1;
        // It competes with all others from the start.
        self.worst.push(object.handle);
    }
}

impl Exact for Littoral {
    fn used(&mut self, handle: u32, now_ms: u64, go: &mut Vec<u32>) {
        let Some(row) = self.row(handle).copied() else { return };
        let gain = self.metric.gain(row.bytes);
        // Gains fade with the gains of both.
        let fade = 1.0 - 1e-4;
        self.of_titles.gain *= fade;
        self.of_plain.gain *= fade;
        if row.at == OUT {
            self.of_plain.gain += gain;
            self.plain.used(handle, now_ms, go);
        } else {
            self.of_titles.gain += gain;
            self.watched(&row.place, now_ms);
        }
    }

    fn arrives(&mut self, object: &Object, need: u64, now_ms: u64, go: &mut Vec<u32>) {
        self.gone(object.handle);
        if object.handle >= HANDLES_MAX {
            return;
        }
        let number = object.place.and_then(|place| self.title(place.title, now_ms));
        let place = object.place.zip(number).map(|(place, title)| Place { title, ..place });
        if let Some(place) = place {
            self.watched(&place, now_ms);
            self.enter(object, Some(place));
            self.evict(need, now_ms, go);
            return;
        }
        let mut left = need;
        while left > 0 && self.of_titles.bytes > 0 && self.titles_give() {
            let Some(handle) = self.least(now_ms) else { break };
            left = left.saturating_sub(self.strike(handle));
            go.push(handle);
        }
        let named = go.len();
        self.enter(object, None);
        self.plain.arrives(object, left, now_ms, go);
        for handle in &go[named..] {
            self.strike(*handle);
        }
    }

    fn evict(&mut self, need: u64, now_ms: u64, go: &mut Vec<u32>) {
        let mut freed = 0;
        while freed < need {
            let named = go.len();
            if self.titles_give() {
                let Some(handle) = self.least(now_ms) else { return };
                go.push(handle);
            } else {
                self.plain.evict(1, now_ms, go);
            }
            if go.len() == named {
                return;
            }
            freed += go[named..].iter().map(|handle| self.strike(*handle)).sum::<u64>();
        }
    }

    fn gone(&mut self, handle: u32) {
        if self.strike(handle) > 0 {
            self.plain.gone(handle);
        }
    }
}

//! How popular objects are, learnt from the requests of an access log: what is pushed first, and what of it.
//!
//! Titles are told apart by [`Place`], and of each the requests by representation; how far viewers get, and which representation they
//! see where a title says little, is the audience's, by the very code that eviction learns it with ([`Audience`]). What eviction has
//! beside it, who is watching now, says nothing of tomorrow, and the number of a title's requests stands for its starts here. What is part of no title is
//! counted by itself. [`Figures`] is what has been learnt, as it goes from one process to another, [`Estimate`] answers from it.
//!
//! Invariants: requests fade with time ([`MEMORY_MS`]); memory by [`TITLES_MAX`], [`RUNGS_MAX`] and [`OBJECTS_MAX`], whatever a log says: of some drawn the
//! one asked for least makes room, and is counted.

use std::collections::HashMap;

use littoral_evict::littoral::audience::SEGMENTS;
use littoral_evict::{Audience, Place, mix};

use crate::trace::Request;

mod estimate;
mod figures;

pub use estimate::{Estimate, Watched};
pub use figures::{FIGURES_BYTES_MAX, Figures};

/// How long a request counts: it has lost two thirds of its weight after so long.
pub const MEMORY_MS: f64 = 24.0 * 3_600_000.0;
/// Titles that are told apart.
pub const TITLES_MAX: usize = 1 << 14;
/// Representations of one title that are told apart.
pub const RUNGS_MAX: usize = 16;
/// Objects of no title that are told apart.
pub const OBJECTS_MAX: usize = 1 << 15;
/// Titles or objects drawn for one that makes room.
const DRAWN: usize = 16;

/// Requests and their bytes, faded.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
struct Asked {
    requests: f64,
    bytes: f64,
}

impl Asked {
    fn fade(&mut self, by: f64) {
        self.requests *= by;
        self.bytes *= by;
    }

    fn count(&mut self, bytes: u64) {
        self.requests += 1.0;
        self.bytes += bytes as f64;
    }
}

/// What was asked for under one name.
#[derive(Debug, Clone)]
struct Row<T> {
    name: u64,
    /// Faded to `at_ms`.
    asked: T,
    at_ms: u64,
}

/// Of an object, or of the representations of a title.
trait Fading: Default {
    fn fade(&mut self, by: f64);
    fn requests(&self) -> f64;
}

impl Fading for Asked {
    fn fade(&mut self, by: f64) {
        Asked::fade(self, by);
    }
    fn requests(&self) -> f64 {
        self.requests
    }
}

/// A title.
#[derive(Debug, Clone, Default)]
struct Title {
    /// By representation.
    rungs: Vec<(u16, Asked)>,
    /// Its segments are named by their times, which say nothing of how far a viewer got.
    by_time: bool,
}

impl Fading for Title {
    fn fade(&mut self, by: f64) {
        self.rungs.iter_mut().for_each(|(_, asked)| asked.fade(by));
    }
    fn requests(&self) -> f64 {
        self.rungs.iter().map(|(_, asked)| asked.requests).sum()
    }
}

/// What is left of a request's weight after so long.
fn left_of(ms: u64) -> f64 {
    (-(ms as f64) / MEMORY_MS).exp()
}

/// Names, of which so many are known.
#[derive(Debug)]
struct Names<T> {
    rows: Vec<Row<T>>,
    known: HashMap<u64, u32, foldhash::fast::FixedState>,
    most: usize,
    forgotten: u64,
}

impl<T: Fading> Names<T> {
    fn new(most: usize) -> Self {
        Self { rows: Vec::new(), known: HashMap::default(), most, forgotten: 0 }
    }

    /// What was asked for under `name`, faded to now.
    fn at(&mut self, name: u64, now_ms: u64) -> &mut T {
        let place = match self.known.get(&name) {
            Some(place) => *place as usize,
            None => self.enter(name, now_ms),
        };
        let row = &mut self.rows[place];
        row.asked.fade(left_of(now_ms.saturating_sub(row.at_ms)));
        row.at_ms = now_ms;
        &mut row.asked
    }

    fn enter(&mut self, name: u64, now_ms: u64) -> usize {
        let place = if self.rows.len() < self.most { self.rows.len() } else { self.least(name, now_ms) };
        let row = Row { name, asked: T::default(), at_ms: now_ms };
        if place == self.rows.len() {
            self.rows.push(row);
        } else {
            self.known.remove(&self.rows[place].name);
            self.forgotten += 1;
            self.rows[place] = row;
        }
        self.known.insert(name, place as u32);
        place
    }

    /// Of some drawn the one asked for least.
    fn least(&self, seed: u64, now_ms: u64) -> usize {
        let drawn =
            (0..DRAWN as u64).map(|draw| mix(seed ^ mix(self.forgotten << 8 | draw)) as usize % self.rows.len());
        let requests = |place: &usize| {
            let row = &self.rows[*place];
            row.asked.requests() * left_of(now_ms.saturating_sub(row.at_ms))
        };
        drawn.min_by(|one, other| requests(one).total_cmp(&requests(other))).unwrap_or(0)
    }

    /// All of them faded to now, what is asked for most first.
    fn all(mut self, now_ms: u64) -> Vec<(u64, T)> {
        self.rows.iter_mut().for_each(|row| row.asked.fade(left_of(now_ms.saturating_sub(row.at_ms))));
        self.rows.sort_by(|one, other| {
            other.asked.requests().total_cmp(&one.asked.requests()).then(one.name.cmp(&other.name))
        });
        self.rows.into_iter().map(|row| (row.name, row.asked)).collect()
    }
}

/// Learns from requests, in the order of their times.
#[derive(Debug)]
pub struct Popularity {
    audience: Audience,
    titles: Names<Title>,
    objects: Names<Asked>,
    /// The first and the last time.
    span_ms: Option<(u64, u64)>,
    requests: u64,
    bytes: u64,
}

impl Default for Popularity {
    fn default() -> Self {
        Self::new(TITLES_MAX, OBJECTS_MAX)
    }
}

impl Popularity {
    fn new(titles: usize, objects: usize) -> Self {
        let (titles, objects) = (Names::new(titles), Names::new(objects));
        Self { audience: Audience::default(), titles, objects, span_ms: None, requests: 0, bytes: 0 }
    }

    /// One request. A time before the latest counts as that.
    pub fn saw(&mut self, request: &Request) {
        let (from, until) = self.span_ms.unwrap_or((request.now_ms, request.now_ms));
        let now_ms = request.now_ms.max(until);
        self.span_ms = Some((from, now_ms));
        self.requests += 1;
        self.bytes = self.bytes.saturating_add(request.bytes);
        let Some(Place { title, rung, segment }) = request.place else {
            return self.objects.at(request.id, now_ms).count(request.bytes);
        };
        if rung == Place::NONE {
            return; // A manifest: it is read, and thereby warm, before anything else.
        }
        let title = self.titles.at(title.into(), now_ms);
        if segment != Place::HEAD {
            title.by_time |= segment as usize >= SEGMENTS;
            // Behind all that are told apart: it counts for its representation only.
            self.audience.saw(if title.by_time { Place::HEAD } else { segment }, rung);
        }
        match title.rungs.iter().position(|(known, _)| *known == rung) {
            Some(at) => title.rungs[at].1.count(request.bytes),
            None if title.rungs.len() < RUNGS_MAX => {
                title.rungs.push((rung, Asked { requests: 1.0, bytes: request.bytes as f64 }));
            }
            None => {} // A title of more representations than any packager makes.
        }
    }

    /// What has been learnt.
    pub fn figures(self) -> Figures {
        figures::of(self)
    }
}

#[cfg(test)]
mod tests;

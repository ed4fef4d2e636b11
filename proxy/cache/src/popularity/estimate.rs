//! Answers from [`Figures`]: how many requests an object is worth in a time as long as the log's.

use std::collections::HashMap;

use super::{Figures, MEMORY_MS};
use crate::trace::id_of;
use crate::trace::place::place_of;
use littoral_evict::Place;

/// Requests that everybody's choice of a representation counts for beside a title's own.
const PRIOR_REQUESTS: f64 = 20.0;
/// Requests that a title counts for of which the log says nothing: it may be new.
const UNKNOWN_REQUESTS: f64 = 1.0;
/// Bytes of an object of which nothing tells how large it is, with a log that says nothing either.
const BYTES_DEFAULT: u64 = 1 << 20;

/// Segments of a representation whose manifest is not known.
const SEGMENTS_ASSUMED: usize = 100;

type ByName<T> = HashMap<u64, T, foldhash::fast::RandomState>;

/// What [`Figures`] mean.
#[derive(Debug)]
pub struct Estimate {
    titles: ByName<Vec<(u16, f64, f64)>>,
    objects: ByName<(f64, f64)>,
    shares: HashMap<u16, f64>,
    /// Sums of the shares of viewers who get to the segments before.
    reach: Vec<f64>,
    /// What a faded request counts for.
    weight: f64,
    requests: u64,
    bytes: u64,
}

/// What is asked of one representation of one title.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Watched {
    /// Requests for all of its segments.
    pub requests: f64,
    /// Mean bytes of what was asked for; `None` where the log does not say.
    pub bytes: Option<u64>,
}

impl Estimate {
    /// Of figures that were checked.
    pub fn new(figures: Figures) -> Self {
        let Figures { span_ms, requests, bytes, forgotten: _, reach, shares, titles, objects } = figures;
        let mut sums = vec![0.0];
        // Beyond what was told apart as many get on as to its end.
        reach.iter().for_each(|share| sums.push(sums[sums.len() - 1] + share.max(1e-6)));
        Self {
            titles: titles.into_iter().map(|(name, rungs)| (name.into(), rungs)).collect(),
            objects: objects.into_iter().map(|(id, requests, bytes)| (id, (requests, bytes))).collect(),
            shares: shares.into_iter().collect(),
            reach: sums,
            // Requests that come evenly fade to so much of their number.
            weight: match span_ms as f64 / MEMORY_MS {
                span if span > 1e-6 => span / (1.0 - (-span).exp()),
                _ => 1.0,
            },
            requests,
            bytes,
        }
    }

    /// Bytes that the log's requests moved.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Mean bytes of a request.
    pub fn mean_bytes(&self) -> u64 {
        self.bytes.checked_div(self.requests).unwrap_or(BYTES_DEFAULT).max(1)
    }

    /// The representation that `path` on `host` is a part of; `None` for what is part of no title.
    pub fn watched(&self, host: &str, path: &str) -> Option<Watched> {
        // A log of the common format says no host.
        let places = [place_of(host, path)?, place_of("", path)?];
        let known = places.iter().find_map(|place| Some((place.rung, self.titles.get(&place.title.into())?)));
        let (rung, rungs) = known.unwrap_or((places[0].rung, const { &Vec::new() }));
        let all: f64 = rungs.iter().map(|(_, requests, _)| requests).sum();
        let own = rungs.iter().find(|(known, ..)| *known == rung);
        let (own, bytes) = own.map_or((0.0, 0.0), |(_, requests, bytes)| (*requests, *bytes));
        let anybody = self.shares.get(&rung).copied().unwrap_or(0.0);
        let share = (own + PRIOR_REQUESTS * anybody) / (all + PRIOR_REQUESTS);
        let of_all = if rungs.is_empty() { UNKNOWN_REQUESTS } else { all };
        let bytes = (own >= 0.5 && rung != Place::NONE).then(|| (bytes / own) as u64);
        Some(Watched { requests: of_all * share * self.weight, bytes })
    }

    /// Requests for the segment at place `at` of `count`, of a representation that is asked for so often.
    pub fn hits(&self, watched: &Watched, at: usize, count: usize) -> f64 {
        let all = self.sum(count.max(1));
        if all <= 0.0 { 0.0 } else { watched.requests * (self.sum(at + 1) - self.sum(at)) / all }
    }

    /// Shares of viewers summed over the first segments.
    fn sum(&self, count: usize) -> f64 {
        let (last, known) = (self.reach.len() - 1, self.reach[count.min(self.reach.len() - 1)]);
        // A log without titles: all are alike.
        let step = if last == 0 { 1.0 } else { self.reach[last] - self.reach[last - 1] };
        known + step * count.saturating_sub(last) as f64
    }

    /// Requests for an object by itself, and its bytes: for one that no manifest was read for. A segment is taken for one of
    /// [`SEGMENTS_ASSUMED`].
    pub fn object(&self, host: &str, path: &str) -> Watched {
        let part = place_of(host, path).filter(|place| place.rung != Place::NONE);
        if let Some((place, watched)) = part.zip(self.watched(host, path)) {
            let at = place.segment as usize;
            let is_whole = place.segment == Place::HEAD;
            let count = SEGMENTS_ASSUMED.max(at.saturating_add(1));
            return Watched {
                requests: if is_whole { watched.requests } else { self.hits(&watched, at, count) },
                ..watched
            };
        }
        let ids = [id_of(host, path), id_of("", path)];
        let known = ids.iter().find_map(|id| self.objects.get(id));
        let of = |(requests, bytes): &(f64, f64)| Watched {
            requests: requests * self.weight,
            bytes: (*requests >= 0.5).then(|| (bytes / requests) as u64),
        };
        known.map_or_else(Watched::default, of)
    }
}

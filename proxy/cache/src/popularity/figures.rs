//! What has been learnt of a log, as one process tells it to another: JSON, of bounded length, judged when it is read.

use littoral_evict::littoral::audience::SEGMENTS;
use serde::{Deserialize, Serialize};

use super::{Asked, OBJECTS_MAX, Popularity, RUNGS_MAX, TITLES_MAX};

/// Bytes of them as JSON. With more, titles and objects asked for least are left off.
pub const FIGURES_BYTES_MAX: usize = 8 << 20;
/// Representations of all titles together; [`littoral_evict::Audience`] has as many.
const SHARES_MAX: usize = 64;

/// Requests and bytes, faded, by representation.
type Rungs = Vec<(u16, f64, f64)>;

/// What has been learnt. Requests and their bytes are faded to the end of the log.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Figures {
    /// From the first request to the last, in milliseconds.
    pub span_ms: u64,
    /// Requests, not faded.
    pub requests: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Titles and objects that made room for others.
    pub forgotten: u64,
    /// Of those who start a title the share that asks for the segment of this number, from 0.
    pub reach: Vec<f64>,
    /// The share of all requests for segments by representation.
    pub shares: Vec<(u16, f64)>,
    /// Titles by [`littoral_evict::Place::title`], the most popular first, with their representations.
    pub titles: Vec<(u32, Rungs)>,
    /// What is part of no title by [`crate::trace::id_of`].
    pub objects: Vec<(u64, f64, f64)>,
}

/// Three digits behind the point: what is left out is less than one request says.
fn short(number: f64) -> f64 {
    (number * 1000.0).round() / 1000.0
}

pub(super) fn of(learnt: Popularity) -> Figures {
    let Popularity { audience, titles, objects, span_ms, requests, bytes } = learnt;
    let (from_ms, until_ms) = span_ms.unwrap_or_default();
    let forgotten = titles.forgotten + objects.forgotten;
    let titles = titles.all(until_ms);
    let rung = |(rung, Asked { requests, bytes }): (u16, Asked)| (rung, short(requests), bytes.round());
    let titles: Vec<(u32, Rungs)> =
        titles.into_iter().map(|(name, title)| (name as u32, title.rungs.into_iter().map(rung).collect())).collect();
    let mut shares: Vec<(u16, f64)> = Vec::new();
    for (rung, ..) in titles.iter().flat_map(|(_, rungs)| rungs) {
        if shares.len() < SHARES_MAX && shares.iter().all(|(known, _)| known != rung) {
            shares.push((*rung, audience.share(*rung)));
        }
    }
    let objects = objects.all(until_ms).into_iter();
    let objects = objects.map(|(id, Asked { requests, bytes })| (id, short(requests), bytes.round())).collect();
    // With names by time alone nothing is known.
    let is_known = audience.reached(1) + audience.reached(2) > 0.0;
    let told = if is_known { SEGMENTS as u32 - 1 } else { 0 };
    let reach = falling((0..told).map(|segment| audience.survive(0, segment)));
    let span_ms = until_ms - from_ms;
    let mut figures = Figures { span_ms, requests, bytes, forgotten, reach, shares, titles, objects };
    figures.shorten();
    figures
}

/// Nobody comes to a segment without the ones before: what says so is chance, or another way of counting from 1.
fn falling(reach: impl Iterator<Item = f64>) -> Vec<f64> {
    let mut least = 1.0_f64;
    let mut first = true;
    let down = |share: f64| {
        least = if std::mem::take(&mut first) { 1.0 } else { least.min(share) };
        (least * 1e6).round() / 1e6
    };
    reach.map(down).collect()
}

impl Figures {
    /// Leaves off what is asked for least until they are short enough.
    fn shorten(&mut self) {
        while serde_json::to_vec(self).is_ok_and(|json| json.len() > FIGURES_BYTES_MAX) {
            let before = self.titles.len() + self.objects.len();
            self.titles.truncate(self.titles.len() / 2);
            self.objects.truncate(self.objects.len() / 2);
            self.forgotten += (before - self.titles.len() - self.objects.len()) as u64;
        }
    }

    /// Reads them from JSON.
    ///
    /// # Errors
    /// What is wrong with it; see [`Self::check`].
    pub fn from_json(json: &[u8]) -> Result<Self, String> {
        if json.len() > FIGURES_BYTES_MAX {
            return Err(format!("popularity of more than {FIGURES_BYTES_MAX} bytes"));
        }
        let figures: Self = serde_json::from_slice(json).map_err(|error| format!("popularity: {error}"))?;
        figures.check().map(|()| figures)
    }

    /// Whether they are such as are told by [`Popularity::figures`]: bounded, and of numbers that can be counted.
    ///
    /// # Errors
    /// The first thing that is wrong.
    pub fn check(&self) -> Result<(), String> {
        let wrong = |what: &str| Err(format!("popularity: {what}"));
        let counts = |requests: &f64, bytes: &f64| [requests, bytes].iter().all(|count| (0.0..=1e30).contains(*count));
        if self.reach.len() >= SEGMENTS || self.shares.len() > SHARES_MAX {
            return wrong("more segments or shares than are told apart");
        }
        if self.titles.len() > TITLES_MAX || self.objects.len() > OBJECTS_MAX {
            return wrong("more titles or objects than are told apart");
        }
        if self.titles.iter().any(|(_, rungs)| rungs.len() > RUNGS_MAX) {
            return wrong("a title of more representations than are told apart");
        }
        let shares = self.reach.iter().chain(self.shares.iter().map(|(_, share)| share));
        if !shares.clone().all(|share| (0.0..=1.0).contains(share)) {
            return wrong("a share is a number from 0 to 1");
        }
        let rungs = self.titles.iter().flat_map(|(_, rungs)| rungs).map(|(_, requests, bytes)| (requests, bytes));
        let objects = self.objects.iter().map(|(_, requests, bytes)| (requests, bytes));
        if !rungs.chain(objects).all(|(requests, bytes)| counts(requests, bytes)) {
            return wrong("a count is a number from 0 to 1e30");
        }
        Ok(())
    }
}

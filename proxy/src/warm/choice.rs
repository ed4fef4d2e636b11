//! What of that which could be fetched is fetched, and in which order: the most requests for its bytes first, as far as the budget goes,
//! and of a cluster's nodes each its part.
//!
//! How many requests an object is worth is [`littoral_cache::popularity`]'s, whose it is among siblings the shield's
//! ([`crate::origin::Origins::owners`]). Invariant: without popularity the order is the one in which things were listed.

use std::collections::HashMap;

use serde::{Deserialize, Serialize};
use url::Url;

use super::job::{Expected, Gain};

/// What an object takes at least, however small it is: a request.
const BYTES_MIN: u64 = 1 << 10;
/// Of all expected requests the share that the head has, when the order says nothing.
pub(super) const HEAD_DEFAULT: f64 = 0.8;
/// Copies of an object among siblings.
pub(super) const COPIES_MAX: usize = 64;

/// Whose objects a node takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum Place {
    /// By the tier of the node's own cluster.
    Node,
    /// The head: what is asked for most.
    Deep,
    /// The tail: what is left.
    Home,
    /// Head and tail.
    All,
}

/// Which part of a job is this node's.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Part {
    pub(super) place: Place,
    /// Of all expected requests, best objects first, those of the head.
    pub(super) head: f64,
    /// Siblings that have an object of the head; one has one of the tail.
    pub(super) copies: usize,
}

/// An object that could be fetched.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Object {
    pub(super) url: Url,
    /// As far as anything tells.
    pub(super) bytes: Option<u64>,
    /// Requests to be expected.
    pub(super) hits: f64,
    pub(super) stored: bool,
}

/// What an order leaves of the objects.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Bounds {
    pub(super) part: Option<Part>,
    /// Bytes to fetch.
    pub(super) bytes: Option<u64>,
    /// Bytes of an object of which nothing tells how large it is.
    pub(super) mean_bytes: u64,
    /// Whether popularity orders them.
    pub(super) by_popularity: bool,
}

impl Bounds {
    fn cost(&self, object: &Object) -> u64 {
        object.bytes.unwrap_or(self.mean_bytes).max(BYTES_MIN)
    }

    /// What is fetched, in order. `owns` says whether this node is among the first so many of an object's.
    pub(super) fn choose(&self, mut objects: Vec<Object>, owns: impl Fn(&Url, usize) -> bool) -> Vec<Object> {
        let worth = |object: &Object| object.hits / self.cost(object) as f64;
        if self.by_popularity {
            // Stable: what is worth the same stays as it was listed.
            objects.sort_by(|one, other| worth(other).total_cmp(&worth(one)));
        }
        if let Some(part) = self.part {
            let all: f64 = objects.iter().map(|object| object.hits).sum();
            let mut before = 0.0;
            objects.retain(|object| {
                let is_head = all > 0.0 && before < part.head * all;
                before += object.hits;
                let is_ours = match part.place {
                    Place::Deep => is_head,
                    Place::Home => !is_head,
                    Place::All | Place::Node => true,
                };
                is_ours && owns(&object.url, if is_head { part.copies } else { 1 })
            });
        }
        if let Some(most) = self.bytes {
            let mut left = most;
            objects.retain(|object| {
                let cost = if object.stored { 0 } else { object.bytes.unwrap_or(self.mean_bytes) };
                let fits = cost <= left;
                left -= if fits { cost } else { 0 };
                fits
            });
        }
        objects
    }
}

/// Which of some representations viewers see: of each set, those asked for most until together they have this share of its requests.
/// `watched`: the set and the requests of each. A set that nobody asked for is seen whole.
pub(super) fn seen(watched: Vec<((usize, usize), f64)>, share: f64) -> Vec<bool> {
    let mut order: Vec<usize> = (0..watched.len()).collect();
    order.sort_by(|one, other| watched[*other].1.total_cmp(&watched[*one].1));
    let mut sets: HashMap<(usize, usize), (f64, f64)> = HashMap::new();
    watched.iter().for_each(|(set, requests)| sets.entry(*set).or_default().0 += requests);
    let mut seen = vec![false; watched.len()];
    for one in order {
        let (set, requests) = watched[one];
        let Some((all, before)) = sets.get_mut(&set) else { continue };
        seen[one] = share >= 1.0 || *all <= 0.0 || *before < share * *all;
        *before += requests;
    }
    seen
}

/// What fetching them means. `of_bytes`: what a log's requests moved, where there is one.
pub(super) fn expected(chosen: &[Object], listed: usize, of_bytes: Option<u64>) -> Expected {
    let mut expected = Expected { objects: chosen.len(), left_out: listed - chosen.len(), ..Expected::default() };
    let mut gain = Gain::default();
    for object in chosen {
        expected.stored += usize::from(object.stored);
        expected.unmeasured += usize::from(object.bytes.is_none());
        let bytes = object.bytes.unwrap_or(0);
        expected.bytes = expected.bytes.saturating_add(bytes).min(u64::MAX / 16);
        if !object.stored {
            // What was pushed is there for its first viewer; the others would find what he fetched.
            let first = 1.0 - (-object.hits).exp();
            gain.requests += first;
            gain.bytes = gain.bytes.saturating_add((first * bytes as f64) as u64);
        }
    }
    gain.requests = (gain.requests * 10.0).round() / 10.0;
    gain.share = (gain.bytes as f64 / of_bytes.unwrap_or(0).max(1) as f64 * 1e4).round() / 1e4;
    expected.gain = of_bytes.map(|_| gain);
    expected
}

#[cfg(test)]
mod tests {
    use super::*;

    fn object(name: &str, bytes: impl Into<Option<u64>>, hits: f64) -> Object {
        let url = Url::parse(&format!("http://video.example/{name}")).unwrap();
        Object { url, bytes: bytes.into(), hits, stored: false }
    }

    fn four() -> Vec<Object> {
        vec![
            object("large", 1_000_000, 10.0),
            object("best", 100_000, 10.0),
            object("unmeasured", None, 10.0),
            object("rare", 100_000, 1.0),
        ]
    }

    fn names(objects: &[Object]) -> Vec<&str> {
        objects.iter().map(|object| &object.url.path()[1..]).collect()
    }

    const BY_POPULARITY: Bounds = Bounds { part: None, bytes: None, mean_bytes: 200_000, by_popularity: true };

    #[test]
    fn the_most_requests_for_their_bytes_come_first_and_without_popularity_nothing_moves() {
        let ordered = BY_POPULARITY.choose(four(), |_, _| true);
        assert_eq!(names(&ordered), ["best", "unmeasured", "large", "rare"]);
        let listed = Bounds { by_popularity: false, ..BY_POPULARITY }.choose(four(), |_, _| true);
        assert_eq!(names(&listed), ["large", "best", "unmeasured", "rare"]);
    }

    #[test]
    fn a_budget_takes_the_best_that_fit_and_what_is_stored_costs_nothing() {
        let within = |bytes, objects| {
            names(&Bounds { bytes: Some(bytes), ..BY_POPULARITY }.choose(objects, |_, _| true)).join(" ")
        };
        assert_eq!(within(400_000, four()), "best unmeasured rare");
        assert_eq!(within(0, four()), "");
        let mut stored = four();
        stored[0].stored = true;
        assert_eq!(within(100_000, stored), "best large");
    }

    #[test]
    fn deep_and_home_share_a_job_without_a_gap_and_the_head_has_more_copies() {
        let part = |place| {
            let part = Some(Part { place, head: 0.6, copies: 2 });
            // This node is everybody's second.
            let owned = Bounds { part, ..BY_POPULARITY }.choose(four(), |_, copies| copies >= 2);
            let all = Bounds { part, ..BY_POPULARITY }.choose(four(), |_, _| true);
            (names(&all).join(" "), names(&owned).join(" "))
        };
        assert_eq!(part(Place::Deep), ("best unmeasured".into(), "best unmeasured".into()));
        assert_eq!(part(Place::Home), ("large rare".into(), String::new()));
        assert_eq!(part(Place::All), ("best unmeasured large rare".into(), "best unmeasured".into()));
    }

    #[test]
    fn of_each_set_those_are_seen_that_have_the_share_together() {
        let (video, audio) = ((0, 0), (0, 1));
        let watched = vec![(video, 5.0), (video, 70.0), (video, 25.0), (audio, 0.0), (audio, 0.0)];
        assert_eq!(seen(watched.clone(), 0.9), [false, true, true, true, true]);
        assert_eq!(seen(watched.clone(), 0.7), [false, true, false, true, true]);
        assert_eq!(seen(watched, 1.0), [true; 5]);
    }

    #[test]
    fn what_is_gained_are_the_first_requests_for_what_is_not_there() {
        let mut objects = four();
        objects[0].stored = true;
        let expected = expected(&objects, 6, Some(1_000_000));
        let gain = expected.gain.unwrap();
        assert_eq!((expected.objects, expected.left_out, expected.stored, expected.unmeasured), (4, 2, 1, 1));
        // Two that are surely asked for, one with a chance of 63 %.
        assert_eq!((gain.requests, gain.bytes, gain.share), (2.6, 163_207, 0.1632));
    }
}

//! What warm jobs have pushed to this node and is still there: the titles that it tells deciders of.
//!
//! A title is what is right below a directory of a site. One counts once all that a job wanted of it, and of what is farther below, was stored, until its
//! pin ends, and while the last object of it that was is there: a purge of the title ends it. Invariant: no more than [`TITLES_MAX`] are kept, those whose pins end last.

use std::collections::{BTreeMap, HashSet};
use std::time::SystemTime;

use littoral_cache::entry::millis;
use littoral_cache::{Key, Store};
use parking_lot::Mutex;
use url::Url;

use crate::clock::now_ms;
use crate::control::message::{TITLE_BYTES_MAX, TITLES_MAX, Title};
use crate::control::pushed::directory_of;
use crate::node::Node;
use crate::site::Sites;

/// A site by its name, and a directory.
type Place = (String, String);

/// What was pushed.
#[derive(Debug, Default)]
pub(super) struct Pushed {
    titles: Mutex<BTreeMap<Place, Held>>,
}

#[derive(Debug)]
struct Held {
    until_ms: u64,
    /// One of its objects.
    sample: Key,
}

/// What one job has stored so far.
#[derive(Debug, Default)]
pub(super) struct Stored {
    places: BTreeMap<Place, OfJob>,
}

/// A title of a job: an object of it that is stored, and whether one that was wanted is not.
#[derive(Debug, Default)]
struct OfJob {
    sample: Option<Key>,
    lacks: bool,
}

fn place_of(sites: &Sites, url: &Url) -> Option<Place> {
    let (host, path) = crate::purge::host_and_path(url.as_str())?;
    let directory = directory_of(&path).to_owned();
    Some((sites.find(&host)?.name.clone(), directory)).filter(|(_, directory)| directory.len() <= TITLE_BYTES_MAX)
}

/// A directory and all that it is below of: a manifest lies above its segments.
fn above((site, directory): &Place) -> impl Iterator<Item = Place> {
    directory.match_indices('/').map(|(end, _)| (site.clone(), directory[..=end].to_owned()))
}

impl Stored {
    /// An object is there.
    pub(super) fn has(&mut self, node: &Node, url: &Url, key: Key) {
        if let Some(place) = place_of(&node.sites.load(), url) {
            self.places.entry(place).or_default().sample = Some(key);
        }
    }

    /// An object is not.
    pub(super) fn lacks(&mut self, node: &Node, url: &Url) {
        if let Some(place) = place_of(&node.sites.load(), url) {
            self.places.entry(place).or_default().lacks = true;
        }
    }
}

impl Pushed {
    /// A job has ended.
    pub(super) fn add(&self, stored: Stored, until: SystemTime) {
        let until_ms = millis(until);
        let lacking: HashSet<Place> =
            stored.places.iter().filter(|(_, of)| of.lacks).flat_map(|(place, _)| above(place)).collect();
        let mut titles = self.titles.lock();
        for (place, OfJob { sample, .. }) in stored.places {
            let Some(sample) = sample.filter(|_| !lacking.contains(&place)) else { continue };
            if titles.len() >= TITLES_MAX && !titles.contains_key(&place) {
                let first = titles.iter().min_by_key(|(_, held)| held.until_ms);
                let Some(first) = first.filter(|(_, held)| held.until_ms < until_ms) else { continue };
                let first = first.0.clone();
                titles.remove(&first);
            }
            titles.insert(place, Held { until_ms, sample });
        }
    }

    /// What is still there.
    pub(super) fn told(&self, store: &Store) -> Vec<Title> {
        let now_ms = now_ms();
        let mut titles = self.titles.lock();
        let is_there = |key: &Key| {
            !store.responses(key).is_empty() || store.disks().is_some_and(|disks| disks.item(key).is_some())
        };
        titles.retain(|_, held| held.until_ms > now_ms && is_there(&held.sample));
        let told = |((site, directory), held): (&Place, &Held)| Title {
            site: site.clone(),
            directory: directory.clone(),
            for_s: u32::try_from((held.until_ms - now_ms) / 1000).unwrap_or(u32::MAX),
        };
        titles.iter().map(told).collect()
    }
}

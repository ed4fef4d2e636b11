//! What was pushed to the nodes of each cluster, as they tell it, by themselves or when they are asked ([`asking`]): where a title is held.
//!
//! It reads no clock. A title is what is right below a directory of a site. Invariants: no more than [`TITLES_KNOWN_MAX`] titles are kept, of which each node's are
//! its last; looking one up takes a moment, however many there are, and no lock; what was taken counts once it is settled, which takes as long as there are titles.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::Duration;

use arc_swap::ArcSwap;
use parking_lot::Mutex;

use super::counts::Outcome;
use super::heard::Speaker;
use super::message::{self, Title};

pub(crate) mod asking;

/// Titles of all nodes; what a further node tells is refused until others are too old.
pub(super) const TITLES_KNOWN_MAX: usize = 1 << 16;

/// What all nodes told last.
#[derive(Default)]
pub(crate) struct Told {
    by: Mutex<BTreeMap<Speaker, OfNode>>,
    /// Whether something was taken since the index was made.
    is_unsettled: AtomicBool,
    index: ArcSwap<Index>,
}

struct OfNode {
    /// In milliseconds that never go back.
    heard_ms: u64,
    until_ms: u64,
    titles: Vec<Title>,
}

/// Clusters by site and directory, each until when.
type Index = HashMap<(String, String), Vec<(String, u64)>>;

/// The directory of a request's path, to its last `/`.
pub(crate) fn directory_of(path: &str) -> &str {
    let path = path.split_once('?').map_or(path, |(path, _)| path);
    path.rfind('/').map_or("/", |end| &path[..=end])
}

impl Told {
    /// Takes what a node tells, in place of what it told before; it holds for `age` at most.
    ///
    /// # Errors
    /// How that is counted.
    pub(super) fn take(&self, speaker: Speaker, bytes: &[u8], now_ms: u64, age: Duration) -> Result<(), Outcome> {
        if speaker.0.is_empty() {
            return Err(Outcome::Cluster);
        }
        let titles = message::Pushed::read(bytes)?.titles;
        let mut by = self.by.lock();
        by.retain(|of, told| told.until_ms > now_ms && *of != speaker);
        let others: usize = by.values().map(|told| told.titles.len()).sum();
        if others + titles.len() > TITLES_KNOWN_MAX {
            return Err(Outcome::Full);
        }
        let until_ms = now_ms.saturating_add(u64::try_from(age.as_millis()).unwrap_or(u64::MAX));
        by.insert(speaker, OfNode { heard_ms: now_ms, until_ms, titles });
        self.is_unsettled.store(true, Relaxed);
        Ok(())
    }

    /// Forgets whom `is_known` does not know.
    pub(super) fn retain(&self, is_known: impl Fn(&Speaker) -> bool) {
        let mut by = self.by.lock();
        by.retain(|speaker, _| is_known(speaker));
        self.index.store(Arc::new(indexed(&by)));
    }

    pub(super) fn is_unsettled(&self) -> bool {
        self.is_unsettled.load(Relaxed)
    }

    /// Has what was taken count.
    pub(super) fn settle(&self) {
        let by = self.by.lock();
        self.is_unsettled.store(false, Relaxed);
        self.index.store(Arc::new(indexed(&by)));
    }

    /// The clusters that hold the title which a path of a site is of.
    pub(super) fn holders(&self, site: &str, path: &str, now_ms: u64) -> Vec<String> {
        let index = self.index.load();
        if index.is_empty() {
            return Vec::new();
        }
        let title = (site.to_owned(), directory_of(path).to_owned());
        let holds = |(cluster, until_ms): &(String, u64)| (*until_ms > now_ms).then(|| cluster.clone());
        index.get(&title).map(|clusters| clusters.iter().filter_map(holds).collect()).unwrap_or_default()
    }

    /// How many titles each cluster holds.
    pub(super) fn counts(&self, now_ms: u64) -> BTreeMap<String, usize> {
        let index = self.index.load();
        let mut counts = BTreeMap::new();
        for (cluster, _) in index.values().flatten().filter(|(_, until_ms)| *until_ms > now_ms) {
            *counts.entry(cluster.clone()).or_default() += 1;
        }
        counts
    }
}

fn until_ms(told: &OfNode, title: &Title) -> u64 {
    told.until_ms.min(told.heard_ms.saturating_add(u64::from(title.for_s) * 1000))
}

fn indexed(by: &BTreeMap<Speaker, OfNode>) -> Index {
    let mut index = Index::new();
    for ((cluster, _), told) in by {
        for title in &told.titles {
            let until_ms = until_ms(told, title);
            let clusters = index.entry((title.site.clone(), title.directory.clone())).or_default();
            match clusters.iter_mut().find(|(known, _)| known == cluster) {
                Some((_, known)) => *known = until_ms.max(*known),
                None => clusters.push((cluster.clone(), until_ms)),
            }
        }
    }
    index
}

#[cfg(test)]
mod tests {
    use super::*;

    const AGE: Duration = Duration::from_secs(600);

    fn speaker(cluster: &str, node: &str) -> Speaker {
        (cluster.into(), node.into())
    }

    fn titles(directories: &[&str], for_s: u32) -> Vec<u8> {
        let title = |directory: &&str| Title { site: "a".into(), directory: (*directory).into(), for_s };
        message::Pushed { v: 1, titles: directories.iter().map(title).collect() }.written()
    }

    #[test]
    fn a_cluster_holds_what_any_of_its_nodes_was_pushed_until_it_is_too_old_or_not_told_any_more() {
        let told = Told::default();
        told.take(speaker("ams", "a"), &titles(&["/one/"], 60), 0, AGE).unwrap();
        told.take(speaker("ams", "b"), &titles(&["/one/", "/two/"], 3600), 1_000, AGE).unwrap();
        told.take(speaker("fra", "c"), &titles(&["/two/"], 60), 1_000, AGE).unwrap();
        assert!(told.is_unsettled() && told.holders("a", "/two/", 1_000).is_empty());
        told.settle();
        assert!(!told.is_unsettled());
        let holders = |path: &str, now_ms| told.holders("a", path, now_ms).concat();
        assert_eq!((holders("/one/x.mp4?b=/c/", 1_000), holders("/two/", 1_000)), ("ams".into(), "amsfra".into()));
        for path in ["/one", "/one/two/x", "/", "/two/one/"] {
            assert_eq!(holders(path, 1_000), "", "{path}");
        }
        assert!(told.holders("b", "/one/x", 1_000).is_empty());
        assert_eq!(told.counts(1_000), [("ams".to_owned(), 2), ("fra".to_owned(), 1)].into());
        assert_eq!(holders("/two/x", 61_000), "ams", "its pin has ended at the other");
        assert_eq!(holders("/one/x", 601_001), "", "it was told too long ago");
        told.take(speaker("ams", "b"), &titles(&[], 1), 2_000, AGE).unwrap();
        told.settle();
        assert_eq!((holders("/one/x", 2_000), holders("/two/x", 2_000)), ("ams".into(), "fra".into()));
        told.retain(|(cluster, _)| cluster == "fra");
        assert_eq!((holders("/one/x", 2_000), holders("/two/x", 2_000)), (String::new(), "fra".into()));
    }

    #[test]
    fn what_cannot_be_read_or_is_too_much_is_refused() {
        let told = Told::default();
        let many: Vec<String> = (0..message::TITLES_MAX).map(|number| format!("/{number}/")).collect();
        let many = titles(&many.iter().map(String::as_str).collect::<Vec<_>>(), 60);
        assert_eq!(told.take(speaker("ams", "a"), b"{}", 0, AGE), Err(Outcome::Malformed));
        assert_eq!(told.take(speaker("", "a"), &many, 0, AGE), Err(Outcome::Cluster));
        for node in 0..TITLES_KNOWN_MAX / message::TITLES_MAX {
            told.take(speaker("ams", &node.to_string()), &many, 0, AGE).unwrap();
        }
        assert_eq!(told.take(speaker("ams", "more"), &many, 0, AGE), Err(Outcome::Full));
        assert_eq!(told.take(speaker("ams", "more"), &many, 600_001, AGE), Ok(()), "the others are too old");
    }
}

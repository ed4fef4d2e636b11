//! Round-trip times as nodes tell them by a control plane, put together by cluster for the director.
//!
//! Invariant: no more than [`ROWS_MAX`] rows are kept, of which each node's are its last.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use littoral_geo::rtt::{Row, Told as OfCluster, merged, parse};

use super::counts::Outcome;
use super::heard::Speaker;
use super::message::RTT_BYTES_MAX;

/// Rows of all nodes, some 24 MiB; what a further node tells is refused until others are too old.
pub(super) const ROWS_MAX: usize = 1 << 20;

/// What all nodes told last.
#[derive(Default)]
pub(super) struct Told {
    by: BTreeMap<Speaker, OfNode>,
    /// Clusters of which something was told since the director heard of them.
    news: BTreeSet<String>,
}

struct OfNode {
    heard_ms: u64,
    until_ms: u64,
    rows: Vec<Row>,
}

impl Told {
    /// Takes what a node tells, at a time in Unix milliseconds, in place of what it told before.
    ///
    /// # Errors
    /// How that is counted.
    pub(super) fn take(&mut self, speaker: Speaker, bytes: &[u8], heard_ms: u64, age: Duration) -> Result<(), Outcome> {
        if bytes.len() > RTT_BYTES_MAX {
            return Err(Outcome::Large);
        }
        if speaker.0.is_empty() {
            return Err(Outcome::Cluster);
        }
        let rows = std::str::from_utf8(bytes).ok().and_then(|text| parse(text).ok()).ok_or(Outcome::Malformed)?;
        self.by.retain(|of, told| told.until_ms > heard_ms && *of != speaker);
        let others: usize = self.by.values().map(|told| told.rows.len()).sum();
        if others + rows.len() > ROWS_MAX {
            return Err(Outcome::Full);
        }
        let until_ms = heard_ms.saturating_add(u64::try_from(age.as_millis()).unwrap_or(u64::MAX));
        self.news.insert(speaker.0.clone());
        self.by.insert(speaker, OfNode { heard_ms, until_ms, rows });
        Ok(())
    }

    pub(super) fn has_news(&self) -> bool {
        !self.news.is_empty()
    }

    /// All that is told of the clusters of which there is something new, at a time in Unix milliseconds.
    pub(super) fn news(&mut self, now_ms: u64) -> Vec<(String, OfCluster)> {
        let told = |cluster: String| {
            let nodes = || self.by.iter().filter(|((of, _), told)| *of == cluster && told.until_ms > now_ms);
            let (rows, _) = merged(nodes().flat_map(|(_, told)| told.rows.iter().copied()).collect());
            let by = nodes().map(|((_, node), _)| node.as_str()).collect::<Vec<_>>().join(", ");
            let heard_ms = nodes().map(|(_, told)| told.heard_ms).max()?;
            let until_ms = nodes().map(|(_, told)| told.until_ms).max()?;
            Some((cluster, OfCluster { heard_ms, until_ms, by, rows }))
        };
        std::mem::take(&mut self.news).into_iter().filter_map(told).collect()
    }
}

/// A text of round-trip times, cut to what one message may have: rows with most measurements first to stay. Says how many are left out.
pub(super) fn cut(text: String) -> (String, usize) {
    if text.len() <= RTT_BYTES_MAX {
        return (text, 0);
    }
    let Ok(mut rows) = parse(&text) else { return (text, 0) };
    let all = rows.len();
    rows.sort_unstable_by_key(|row| std::cmp::Reverse(row.samples));
    // Rows are of about the same length: what the mean says fits, less a little.
    rows.truncate(all * RTT_BYTES_MAX / text.len() * 9 / 10);
    rows.sort_unstable_by_key(|row| row.prefix);
    while littoral_geo::rtt::write(rows.iter()).len() > RTT_BYTES_MAX {
        rows.truncate(rows.len() / 2);
    }
    (littoral_geo::rtt::write(rows.iter()), all - rows.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    const AGE: Duration = Duration::from_secs(600);

    fn text(rows: &[&str]) -> Vec<u8> {
        format!("littoral-rtt 1\n{}\n", rows.join("\n")).into_bytes()
    }

    fn speaker(cluster: &str, node: &str) -> Speaker {
        (cluster.into(), node.into())
    }

    #[test]
    fn nodes_of_a_cluster_are_put_together_and_each_ones_last_word_counts() {
        let mut told = Told::default();
        told.take(speaker("ams", "a"), &text(&["198.51.100.0/24 90000 3 0"]), 1_000, AGE).unwrap();
        told.take(speaker("ams", "a"), &text(&["198.51.100.0/24 10000 3 0"]), 2_000, AGE).unwrap();
        told.take(speaker("ams", "b"), &text(&["198.51.100.0/24 30000 3 0"]), 3_000, AGE).unwrap();
        let news = told.news(3_000);
        let (cluster, of) = &news[0];
        assert_eq!((cluster.as_str(), of.by.as_str(), of.rows[0].rtt_us), ("ams", "a, b", 20_000));
        assert_eq!((of.heard_ms, of.until_ms, told.has_news()), (3_000, 603_000, false));
        told.take(speaker("ams", "b"), &text(&["198.51.100.0/24 30000 3 0"]), 602_001, AGE).unwrap();
        assert_eq!(told.news(602_001)[0].1.by, "b", "the other one's is too old");
    }

    #[test]
    fn what_cannot_be_read_or_is_too_much_is_refused() {
        let mut told = Told::default();
        for (cluster, bytes, outcome) in [
            ("ams", b"nonsense".to_vec(), Outcome::Malformed),
            ("ams", vec![0xff; 9], Outcome::Malformed),
            ("ams", vec![b' '; RTT_BYTES_MAX + 1], Outcome::Large),
            ("", text(&["198.51.100.0/24 30000 3 0"]), Outcome::Cluster),
        ] {
            assert_eq!(told.take(speaker(cluster, "a"), &bytes, 1, AGE), Err(outcome));
        }
        assert!(!told.has_news());
    }

    #[test]
    fn a_text_that_is_too_long_keeps_those_with_most_measurements() {
        let row = |n: u32| format!("10.{}.{}.0/24 1234567 {} 123456", n / 256, n % 256, n + 1);
        let rows: Vec<String> = (0..30_000).map(row).collect();
        let long = format!("littoral-rtt 1\n{}\n", rows.join("\n"));
        let (short, left_out) = cut(long.clone());
        let kept = parse(&short).unwrap();
        assert!(short.len() <= RTT_BYTES_MAX && left_out > 0 && kept.len() + left_out == 30_000, "{left_out}");
        assert!(kept.iter().all(|row| row.samples > left_out as u32));
        assert_eq!(cut("littoral-rtt 1\n".into()), ("littoral-rtt 1\n".into(), 0));
    }
}

//! The table of a node's own round-trip times, kept from one process to the next: the file [`FILE`] in `node.data`, replaced whole.
//!
//! Its first line is `littoral-rtt-kept 1`, when it was written in Unix seconds, and the SHA-256 of that and of the text behind it, which is as nodes tell each other
//! theirs. Invariants: the file has no more than [`FILE_BYTES_MAX`]; what is not right to the last byte changes nothing and costs a warning; a process
//! that has handed over does not write any more, lest it replaces what its successor has measured.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use littoral_geo::limits::{RTT_PREFIXES_MAX, RTT_TEXT_BYTES_MAX};
use littoral_geo::rtt::{Row, parse, write};
use sha2::{Digest, Sha256};
use tokio::time::{Instant, MissedTickBehavior, interval_at};

use super::{Rtt, now_s};
use crate::clock::now_ms;
use crate::kept;
use crate::node::Node;

/// Its name.
const FILE: &str = "rtt";
/// Bytes it may have: the text and its first line.
const FILE_BYTES_MAX: u64 = RTT_TEXT_BYTES_MAX as u64 + 128;
/// What it begins with.
const FORMAT: &str = "littoral-rtt-kept 1";
/// Between two times that it is written: what a crash may cost.
const EVERY: Duration = Duration::from_secs(60);

/// Where it is kept, and whose it is to write.
#[derive(Debug, Default)]
pub(super) struct Keeping {
    file: Option<PathBuf>,
    is_handed_over: bool,
    /// Whether it was said that it cannot be written.
    said: bool,
}

impl Rtt {
    /// Takes up what a process before this one has kept in a directory, and keeps it there from now on. `None`: it is kept nowhere.
    pub(crate) fn resume(&self, directory: Option<&Path>) {
        let Some(file) = directory.map(|directory| directory.join(FILE)) else { return };
        let read = kept::read(&file, FILE_BYTES_MAX).map_err(|error| error.to_string());
        match read.and_then(|text| text.map_or(Ok(Vec::new()), |text| rows_of(&text, now_ms() / 1000))) {
            Ok(rows) => {
                self.table.lock().resume(&rows, now_s());
                tracing::debug!(rows = rows.len(), "round-trip times are taken up");
            }
            Err(problem) => {
                tracing::warn!(file = %file.display(), problem, "kept round-trip times cannot be used: measuring begins anew");
            }
        }
        self.keeping.lock().file = Some(file);
    }

    /// Writes the file. It takes as long as the disk does.
    pub(crate) fn keep(&self) {
        let mut keeping = self.keeping.lock();
        let Keeping { file: Some(file), is_handed_over: false, .. } = &*keeping else { return };
        let rows = self.table.lock().all(now_s(), RTT_PREFIXES_MAX);
        if rows.is_empty() && !file.exists() {
            return;
        }
        let written = kept::write(file, text_of(&rows, now_ms() / 1000).as_bytes());
        match written {
            Ok(()) => keeping.said = false,
            Err(problem) => {
                if !std::mem::replace(&mut keeping.said, true) {
                    tracing::warn!(problem, "round-trip times are not kept");
                }
            }
        }
    }

    /// Writes it for a process that takes over, and never again unless that one fails.
    pub(crate) fn hand_over(&self) {
        self.keep();
        self.keeping.lock().is_handed_over = true;
    }

    /// Nobody has taken over.
    pub(crate) fn take_back(&self) {
        self.keeping.lock().is_handed_over = false;
    }
}

/// Writes it now and then, for as long as the node runs.
pub(crate) async fn keep_on(node: Arc<Node>) {
    let mut every = interval_at(Instant::now() + EVERY, EVERY);
    every.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        every.tick().await;
        let node = node.clone();
        // What goes wrong is said by what writes.
        let _ = tokio::task::spawn_blocking(move || node.rtt.keep()).await;
    }
}

fn text_of(rows: &[Row], unix_s: u64) -> String {
    let text = write(rows.iter());
    format!("{FORMAT} {unix_s} {}\n{text}", digest(unix_s, &text))
}

fn digest(unix_s: u64, text: &str) -> String {
    let digest = Sha256::new().chain_update(unix_s.to_be_bytes()).chain_update(text);
    digest.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The rows, as old as they are now. Where the clock was set back no time has gone by.
fn rows_of(text: &str, unix_s: u64) -> Result<Vec<Row>, String> {
    let (head, text) = text.split_once('\n').ok_or("it has no first line")?;
    let head = head.strip_prefix(FORMAT).and_then(|rest| rest.strip_prefix(' '));
    let head = head.ok_or_else(|| format!("it does not begin with {FORMAT:?}"))?;
    let (written_s, sum) = head.split_once(' ').ok_or("its first line is cut off")?;
    let written_s: u64 = written_s.parse().map_err(|_| "its first line has no time")?;
    if sum != digest(written_s, text) {
        return Err("its checksum is another: it was cut off or changed".into());
    }
    let since_s = u32::try_from(unix_s.saturating_sub(written_s)).unwrap_or(u32::MAX);
    let aged = |row: Row| Row { age_s: row.age_s.saturating_add(since_s), ..row };
    Ok(parse(text)?.into_iter().map(aged).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config;
    use crate::config::units::Span;

    fn rtt(samples: u32) -> Rtt {
        let rtt = Rtt::default();
        rtt.put(&config::Rtt { samples, keep: Span(Duration::from_secs(7200)), ..config::Rtt::default() });
        rtt
    }

    const TOLD: &str = "littoral-rtt 1\n198.51.100.0/24 21500 7 3600\n2001:db8::/48 9000 4 0 probes\n";

    #[test]
    fn what_a_process_has_measured_the_next_one_knows_and_what_is_too_old_is_gone() {
        let directory = tempfile::tempdir().unwrap();
        let (one, two) = (rtt(3), rtt(3));
        one.resume(Some(directory.path()));
        one.learn(TOLD).unwrap();
        // Of too few connections to be told, which the next process may have more of.
        one.learn("littoral-rtt 1\n192.0.2.0/24 100 2 0\n").unwrap();
        one.keep();
        two.resume(Some(directory.path()));
        let lines = |rtt: &Rtt| rtt.text().lines().map(str::to_owned).collect::<Vec<_>>();
        assert_eq!((lines(&two).len(), two.kept().0), (3, 3), "{}", two.text());
        let age: u32 = lines(&two)[1].strip_prefix("198.51.100.0/24 21500 7 ").unwrap().parse().unwrap();
        assert!((3600..3700).contains(&age), "{age}");
        assert!(lines(&two)[2].starts_with("2001:db8::/48 9000 4 ") && lines(&two)[2].ends_with(" probes"));
        let written = text_of(&parse(TOLD).unwrap(), 1_000_000);
        let ages = |unix_s| rows_of(&written, unix_s).unwrap().iter().map(|row| row.age_s).collect::<Vec<_>>();
        assert_eq!([ages(1_000_000), ages(1_000_060), ages(999_000)], [[3600, 0], [3660, 60], [3600, 0]]);
        let three = rtt(1);
        three.table.lock().resume(&rows_of(&written, 1_004_000).unwrap(), now_s());
        assert_eq!((three.kept().0, lines(&three).len()), (1, 2), "the older one is beyond rtt.keep");
    }

    #[test]
    fn a_file_that_is_not_right_to_the_last_byte_is_an_empty_table() {
        let written = text_of(&parse(TOLD).unwrap(), 7);
        assert_eq!(rows_of(&written, 7).unwrap().len(), 2);
        for at in 0..written.len() {
            let mut bytes = written.clone().into_bytes();
            bytes[at] ^= 1;
            let changed = String::from_utf8(bytes).unwrap();
            assert!(rows_of(&changed, 7).is_err(), "{at}: {changed}");
            assert!(rows_of(&written[..at], 7).is_err(), "cut off at {at}");
        }
        let directory = tempfile::tempdir().unwrap();
        let rtt = rtt(1);
        std::fs::write(directory.path().join(FILE), &written[1..]).unwrap();
        rtt.resume(Some(directory.path()));
        assert_eq!(rtt.kept().0, 0);
        rtt.learn(TOLD).unwrap();
        rtt.keep();
        let text = std::fs::read_to_string(directory.path().join(FILE)).unwrap();
        assert_eq!(rows_of(&text, 0).unwrap().len(), 2, "it is replaced by one that is right");
    }

    #[test]
    fn who_has_handed_over_does_not_write_over_its_successor() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join(FILE);
        let rtt = rtt(1);
        rtt.resume(Some(directory.path()));
        rtt.keep();
        assert!(!file.exists(), "there is nothing to keep");
        rtt.learn(TOLD).unwrap();
        rtt.hand_over();
        std::fs::remove_file(&file).expect("it was written for the successor");
        rtt.keep();
        assert!(!file.exists());
        rtt.take_back();
        rtt.keep();
        assert!(file.exists());
    }
}

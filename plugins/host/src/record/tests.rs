//! What is in the file, and what is left out of it. How it is replayed is tried with real guests in `tests/it`.

use std::path::Path;

use super::*;
use crate::query::Decide;
use crate::types::{Choice, Flow, NONE};

fn choice(first: u16) -> Choice {
    Choice { clusters: [first, NONE, NONE], ttl_s: 0 }
}

fn decide(lane: &Lane, snapshot: u64, first: u16) {
    lane.decided(1, snapshot, &Decide(&Flow::default()), &Ok(choice(first)));
}

fn lines(file: &Path) -> Vec<Line> {
    let text = std::fs::read_to_string(file).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn recorder(file: &Path, bytes: u64) -> Recorder {
    let spec = RecordSpec { file: file.to_owned(), bytes };
    let recorder = Recorder::start("p", &spec, 1, &Snapshot::default()).unwrap();
    recorder.lane().generation(1, "abc", "{\"a\":1}");
    recorder
}

#[test]
fn decisions_stand_behind_what_they_rest_on_whoever_came_first() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("r.jsonl");
    let recorder = recorder(&file, 1 << 20);
    let known = Snapshot::default();
    let ladder = |snapshot: u64| Told::Ladder { snapshot, id: 9, kbps: vec![1] };
    decide(recorder.lane(), 1, 0);
    recorder.lane().told(ladder(2), 2, &known);
    decide(recorder.lane(), 2, 2);
    decide(recorder.lane(), 1, 1);
    drop(recorder);
    let told = lines(&file);
    assert_eq!(told[0], Line::Record { version: line::VERSION, plugin: "p".into() });
    let place = |wanted: &dyn Fn(&Line) -> bool| told.iter().rposition(wanted).unwrap();
    let ladder = place(&|line| matches!(line, Line::Ladder { snapshot: 2, .. }));
    let decided = |of: u64| place(&|line| matches!(line, Line::Decision { snapshot, .. } if *snapshot == of));
    assert!(place(&|line| matches!(line, Line::Generation { number: 1, .. })) < decided(1), "{told:?}");
    assert!(decided(1) < decided(2) && ladder < decided(2), "{told:?}");
}

#[test]
fn two_files_hold_what_is_allowed_and_each_stands_by_itself() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("r.jsonl");
    let (bytes, before) = (8192, directory.path().join("r.jsonl.1"));
    std::fs::write(&file, "of an earlier run").unwrap();
    let recorder = recorder(&file, bytes);
    for _ in 0..100 {
        decide(recorder.lane(), 1, 3);
    }
    let counts = recorder.counts.clone();
    drop(recorder);
    let sizes = [&file, &before].map(|file| std::fs::metadata(file).unwrap().len());
    assert!(sizes.iter().sum::<u64>() <= bytes, "{sizes:?}");
    for file in [&file, &before] {
        let told = lines(file);
        assert!(matches!(told[0], Line::Record { .. }) && matches!(told[1], Line::Generation { .. }), "{told:?}");
    }
    assert_eq!([&counts.decisions, &counts.dropped, &counts.failed].map(|count| count.load(Relaxed)), [100, 0, 0]);
}

#[test]
fn a_queue_without_room_loses_decisions_and_counts_them() {
    let counts = Arc::<Counts>::default();
    let (queue, ends) = (ArrayQueue::new(2), AtomicBool::new(false));
    let lane = Lane { queue, told: Mutex::default(), ends, counts: counts.clone() };
    (0..5).for_each(|first| decide(&lane, 1, first));
    assert_eq!((lane.queue.len(), counts.dropped.load(Relaxed)), (2, 3));
}

#[test]
fn what_is_told_too_fast_is_kept_as_its_outcome() {
    let (queue, ends) = (ArrayQueue::new(1), AtomicBool::new(false));
    let lane = Lane { queue, told: Mutex::default(), ends, counts: Arc::default() };
    let known = Snapshot { version: 5, ..Snapshot::default() };
    for snapshot in 0..=RECORD_TOLD_MAX as u64 {
        lane.told(Told::Ladder { snapshot, id: 1, kbps: Vec::new() }, snapshot, &known);
    }
    let waiting = lane.told.lock();
    assert!(matches!(&waiting[..], [Told::All { snapshot, .. }] if *snapshot == known), "{waiting:?}");
}

#[test]
fn what_cannot_be_written_is_counted_and_costs_nothing_else() {
    let recorder = recorder(Path::new("/proc/nowhere/r.jsonl"), 1 << 20);
    decide(recorder.lane(), 1, 0);
    let counts = recorder.counts.clone();
    drop(recorder);
    assert!(counts.failed.load(Relaxed) > 0 && counts.decisions.load(Relaxed) == 0);
}

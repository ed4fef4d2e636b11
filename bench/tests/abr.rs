//! The headless player and its policies, beside what sabre says of the same titles and traces.
//!
//! A small title and two traces of our own are always played, and every request compared with sabre's. The public traces are where `LITTORAL_DATA` says: its folder `abr` has
//! `movies/`, `sabre-traces/` and what sabre's own run of them printed in `sabre-out/`.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on says so by panicking")]

use std::path::{Path, PathBuf};

use littoral_bench::abr::movie::{self, Movie};
use littoral_bench::abr::player::{self, Decision, Session};
use littoral_bench::abr::{POLICIES, mean, policy};

/// sabre's names of the policies.
const SABRE: [(&str, &str); 9] = [
    ("BOLA-basic-U", "rate-bola-basic-u"),
    ("BOLA-basic-O", "rate-bola-basic"),
    ("BOLA-finite-U", "rate-bola-finite-u"),
    ("BOLA-finite-O", "rate-bola-finite"),
    ("BOLA-PL", "rate-bola-plain"),
    ("BOLA-E", "rate-bola"),
    ("THROUGHPUT", "rate-throughput"),
    ("DYNAMIC", "rate-dynamic"),
    ("DYNAMIC-DASH", "rate-dynamic-dash"),
];
/// Title, folder of traces and buffer of each set.
const SETS: [(&str, &str, &str, f64); 4] = [
    ("3G-VOD", "bbb", "3Glogs", 25.0),
    ("4G-VOD", "bbb4k", "4Glogs", 25.0),
    ("3G-LIVE10", "bbb", "3Glogs", 10.0),
    ("4G-LIVE10", "bbb4k", "4Glogs", 10.0),
];

fn own(file: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata/abr").join(file)
}

/// The public traces; `None`, said in the output, where they are not.
fn data() -> Option<PathBuf> {
    let found = std::env::var_os("LITTORAL_DATA").map(|data| Path::new(&data).join("abr")).filter(|data| data.is_dir());
    if found.is_none() {
        println!("not compared with sabre's public traces: LITTORAL_DATA names no folder that has abr/");
    }
    found
}

fn play(movie: &Movie, trace: &Path, buffer_s: f64, name: &str, watch: impl FnMut(&Decision)) -> Session {
    let trace = movie::trace(trace).unwrap();
    player::play(movie, &trace, buffer_s * 1000.0, policy(name).unwrap().as_mut(), watch)
}

fn traces(folder: &Path) -> Vec<PathBuf> {
    let mut files: Vec<PathBuf> = folder.read_dir().unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    files
}

fn near(ours: f64, theirs: f64, what: &str) {
    assert!((ours - theirs).abs() <= 1e-6 * theirs.abs().max(1.0), "{what}: {ours}, sabre has {theirs}");
}

#[test]
fn every_policy_plays_every_segment_once_and_in_order() {
    let movie = Movie::read(&own("movie.json")).unwrap();
    for name in POLICIES {
        let mut next = 0;
        play(&movie, &own("trace.json"), 12.0, name, |decision| {
            assert_eq!(decision.segment, next, "{name}");
            next += usize::from(decision.transfer.abandoned_for.is_none());
        });
        assert_eq!(next, movie.segment_sizes_bits.len(), "{name}");
    }
}

#[test]
fn on_the_public_traces_rate_and_stall_are_those_of_sabre() {
    let Some(data) = data() else { return };
    let csv = std::fs::read_to_string(data.join("sabre-out/sabre-per-trace.csv")).unwrap();
    let mut compared = 0;
    for row in csv.lines().skip(1).map(|line| line.split(',').collect::<Vec<_>>()) {
        let Some((_, name)) = SABRE.iter().find(|(theirs, _)| *theirs == row[1]) else { continue };
        let (set, title, folder, buffer_s) = SETS.into_iter().find(|set| set.0 == row[0]).unwrap();
        let movie = Movie::read(&data.join(format!("movies/{title}.json"))).unwrap();
        let session = play(&movie, &data.join(format!("sabre-traces/{folder}/{}", row[2])), buffer_s, name, |_| ());
        let figures = [session.rate_kbps, session.stall_share, session.stall_s, session.stalls as f64];
        for (ours, theirs) in figures.into_iter().zip(&row[3..7]) {
            near(ours, theirs.parse().unwrap(), &format!("{set} {name} {}", row[2]));
        }
        compared += 1;
    }
    assert_eq!(compared, 9 * 2 * (86 + 40));
}

/// What sabre prints of the titles and traces of our own, a session in each line (bench/README.md says how it was made).
const RECORD: &str = include_str!("../testdata/abr/sabre.txt");

#[test]
fn each_request_on_traces_of_our_own_is_the_one_that_sabre_makes() {
    let movie = Movie::read(&own("movie.json")).unwrap();
    for line in RECORD.lines() {
        let told: Vec<&str> = line.split(' ').collect();
        let (&[trace, buffer, name], rest) = told.split_first_chunk().unwrap();
        let (figures, requests) = rest.split_first_chunk::<6>().unwrap();
        let mut ours = Vec::new();
        let session = play(&movie, &own(trace), buffer.parse().unwrap(), name, |decision| {
            // sabre prints whole bits, cut off.
            let bits = (decision.transfer.bits + 1e-6) as u64;
            ours.push(format!("{}:{}:{bits}", decision.segment, decision.rung));
        });
        assert_eq!(ours, requests, "{trace} {buffer} {name}");
        let Session { rate_kbps, play_s, stall_s, stalls, change_kbps, score, .. } = session;
        let session = [rate_kbps, play_s, stall_s, stalls as f64, change_kbps, score];
        for (ours, theirs) in session.into_iter().zip(figures) {
            near(ours, theirs.parse().unwrap(), &format!("{trace} {buffer} {name}"));
        }
    }
    let sabres = POLICIES.iter().filter(|name| SABRE.iter().any(|(_, ours)| ours == *name)).count();
    assert_eq!((sabres, RECORD.lines().count()), (SABRE.len(), 2 * 2 * SABRE.len()));
}

/// Segment, rung and bits of each line of a request in sabre's log: `[0-403]  0: q=0 s=886360/886360 t=…`.
fn requests(log: &str) -> Vec<(usize, usize, u64)> {
    let request = |line: &str| {
        let (_, rest) = line.strip_prefix('[')?.split_once("]  ")?;
        let (segment, rest) = rest.split_once(": q=")?;
        let (rung, rest) = rest.split_once(" s=")?;
        let (bits, _) = rest.split_once('/')?;
        Some((segment.parse().ok()?, rung.parse().ok()?, bits.parse().ok()?))
    };
    log.lines().filter_map(request).collect()
}

#[test]
fn decision_by_decision_the_policies_do_what_sabre_does() {
    let Some(data) = data() else { return };
    for (trace, folder, title) in
        [("report.2010-09-20_1542CEST", "3Glogs", "bbb"), ("report_bus_0001", "4Glogs", "bbb4k")]
    {
        let movie = Movie::read(&data.join(format!("movies/{title}.json"))).unwrap();
        for (theirs, name) in [
            ("bola-basic-O", "rate-bola-basic"),
            ("bola-finite-O", "rate-bola-finite"),
            ("bola-e", "rate-bola"),
            ("dynamic", "rate-dynamic"),
            ("throughput", "rate-throughput"),
        ] {
            let log = std::fs::read_to_string(data.join(format!("sabre-out/verbose/{trace}-{theirs}.log"))).unwrap();
            let mut ours = Vec::new();
            let file = data.join(format!("sabre-traces/{folder}/{trace}.json"));
            play(&movie, &file, 25.0, name, |decision| {
                // sabre prints whole bits, cut off.
                ours.push((decision.segment, decision.rung, (decision.transfer.bits + 1e-6) as u64));
            });
            assert_eq!(ours, requests(&log), "{name} on {trace}");
            assert!(ours.len() >= movie.segment_sizes_bits.len());
        }
    }
}

/// Mean figures of a set.
fn set_mean(data: &Path, set: (&str, &str, &str, f64), name: &str) -> Session {
    let movie = Movie::read(&data.join(format!("movies/{}.json", set.1))).unwrap();
    let files = traces(&data.join(format!("sabre-traces/{}", set.2)));
    let sessions: Vec<Session> = files.iter().map(|file| play(&movie, file, set.3, name, |_| ())).collect();
    mean(sessions.iter())
}

#[test]
fn bba_and_mpc_come_to_the_means_of_the_modules_run_inside_sabre() {
    let Some(data) = data() else { return };
    let csv = std::fs::read_to_string(data.join("sabre-out/qoe-summary.csv")).unwrap();
    let mut compared = 0;
    for row in csv.lines().map(|line| line.split(',').collect::<Vec<_>>()) {
        // Of MPC those on six rungs: how its module searched among ten is not on record.
        let name = match row[1] {
            "BBA-0" => "rate-bba",
            "RobustMPC" if row[0].starts_with("4G") => "rate-mpc",
            _ => continue,
        };
        let set = SETS.into_iter().find(|set| set.0 == row[0]).unwrap();
        let session = set_mean(&data, set, name);
        let figures = [session.qoe, session.qoe_log, session.stall_share, session.rate_kbps, session.change_kbps];
        for ((ours, theirs), digits) in figures.into_iter().zip(&row[3..]).zip([5e-5, 5e-5, 5e-6, 0.5, 0.5]) {
            let theirs: f64 = theirs.parse().unwrap();
            assert!((ours - theirs).abs() <= digits * 1.01, "{} {name}: {ours}, on record is {theirs}", row[0]);
        }
        compared += 1;
    }
    assert_eq!(compared, 6);
}

#[test]
fn what_is_no_title_or_trace_is_told_with_its_file_and_place() {
    let directory = tempfile::tempdir().unwrap();
    let told = |name: &str, text: &str| {
        let file = directory.path().join(name);
        std::fs::write(&file, text).unwrap();
        let error = if name.starts_with("movie") { Movie::read(&file).err() } else { movie::trace(&file).err() };
        let error = format!("{:#}", error.unwrap());
        assert!(error.contains(name), "{error}");
        error
    };
    let title = |rest: &str| format!("{{\"segment_duration_ms\": 2000, {rest}}}");
    for (name, text, expected) in [
        ("movie1", "{", "not in sabre's form"),
        ("movie2", &title("\"bitrates_kbps\": [], \"segment_sizes_bits\": []"), "0 rungs"),
        ("movie3", &title("\"bitrates_kbps\": [5, 4], \"segment_sizes_bits\": [[1, 1]]"), "must be positive and rise"),
        ("movie4", &title("\"bitrates_kbps\": [5], \"segment_sizes_bits\": [[1], [1, 2]]"), "segment_sizes_bits[1]"),
        ("movie5", &title("\"bitrates_kbps\": [5], \"segment_sizes_bits\": [[-1]]"), "segment_sizes_bits[0]"),
        ("trace1", "[]", "less than 1 kbit/s"),
        ("trace2", "[{\"duration_ms\": 1000, \"bandwidth_kbps\": 0, \"latency_ms\": 1}]", "less than 1 kbit/s"),
        ("trace3", "[{\"duration_ms\": 0, \"bandwidth_kbps\": 9, \"latency_ms\": 1}]", "period 0"),
        ("trace4", "[{\"duration_ms\": 1e300, \"bandwidth_kbps\": 9, \"latency_ms\": 1}]", "period 0"),
    ] {
        let error = told(name, text);
        assert!(error.contains(expected), "{error}");
    }
    let missing = format!("{:#}", Movie::read(&directory.path().join("missing")).unwrap_err());
    assert!(missing.contains("missing: cannot be read"), "{missing}");
}

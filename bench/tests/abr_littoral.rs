//! Our rate rule beside the published ones, and guests beside their rules, over whole sessions.
//!
//! Links and titles of our own making are always played. Where `LITTORAL_DATA` has the public traces, `docs/rate.md` has a table of them, whose
//! claims are checked here.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on says so by panicking")]

use std::path::{Path, PathBuf};

use littoral_bench::abr::edge::{Native, Seated};
use littoral_bench::abr::movie::{self, Movie, Period};
use littoral_bench::abr::{POLICIES, mean, player, policy};
use littoral_plugin_host::author;
use littoral_rate::Rule;
use littoral_rate::bola::{Form, Rise};
use littoral_rate::edge::{self, Edge};

/// Ours.
const OURS: &str = "rate-littoral";
/// Title, folder of traces, buffer in seconds, of each set.
const SETS: [(&str, &str, &str, f64); 4] = [
    ("3G-VOD", "bbb", "3Glogs", 25.0),
    ("4G-VOD", "bbb4k", "4Glogs", 25.0),
    ("3G-LIVE10", "bbb", "3Glogs", 10.0),
    ("4G-LIVE10", "bbb4k", "4Glogs", 10.0),
];

struct Random(u64);

impl Random {
    /// From 0 to 1.
    fn draw(&mut self) -> f64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as f64 / f64::from(1_u32 << 31)
    }
}

/// A title whose segments differ in size by up to 30 % from their rate.
fn title(kbps: &[f64]) -> Movie {
    let mut random = Random(11);
    let segment = |_| {
        let share = 3_000.0 * (0.7 + 0.6 * random.draw());
        kbps.iter().map(|kbps| kbps * share).collect::<Vec<f64>>()
    };
    let sizes: Vec<Vec<f64>> = (0..150).map(segment).collect();
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("movie.json");
    let told = serde_json::json!({"segment_duration_ms": 3_000.0, "bitrates_kbps": kbps, "segment_sizes_bits": sizes});
    std::fs::write(&file, told.to_string()).unwrap();
    Movie::read(&file).unwrap()
}

/// A link whose rate wanders about one of its own, near `kbps`.
fn link(seed: u64, kbps: f64, swing: f64) -> Vec<Period> {
    let mut random = Random(seed);
    let (own, mut level) = (kbps * (0.5 + random.draw()), 0.0_f64);
    let period = |_| {
        level = 0.8 * level + swing * (random.draw() - 0.5);
        Period { ms: 1_000.0 + 3_000.0 * random.draw(), kbps: own * level.exp(), latency_ms: 60.0 }
    };
    (0..200).map(period).collect()
}

/// Mean score of a policy.
fn score(movie: &Movie, traces: &[Vec<Period>], buffer_s: f64, name: &str) -> f64 {
    let play =
        |trace: &Vec<Period>| player::play(movie, trace, buffer_s * 1000.0, policy(name).unwrap().as_mut(), |_| ());
    let sessions: Vec<_> = traces.iter().map(play).collect();
    mean(sessions.iter()).score
}

/// Ours is above all others.
fn above(movie: &Movie, traces: &[Vec<Period>], buffer_s: f64, what: &str) {
    let ours = score(movie, traces, buffer_s, OURS);
    for name in POLICIES.into_iter().filter(|name| *name != OURS) {
        let theirs = score(movie, traces, buffer_s, name);
        assert!(ours > theirs, "{what}: {ours:.4}, {name} has {theirs:.4}");
    }
}

#[test]
fn ours_is_above_all_others_on_links_of_our_own_making() {
    for (kbps, mean_kbps, swing) in [
        (&[250.0, 500.0, 1_000.0, 2_000.0, 4_000.0, 6_000.0][..], 1_200.0, 1.2),
        (&[1_000.0, 2_500.0, 5_000.0, 8_000.0, 16_000.0, 35_000.0][..], 20_000.0, 0.8),
    ] {
        let movie = title(kbps);
        let links: Vec<_> = (0..16).map(|number| link(1_000 + 77 * number, mean_kbps, swing)).collect();
        for buffer_s in [25.0, 10.0] {
            above(&movie, &links, buffer_s, &format!("{mean_kbps} kbit/s, {buffer_s} s"));
        }
    }
}

/// Whether ours was designed with a trace: half of them by their names (FNV-1a, even).
fn designed_with(name: &str) -> bool {
    let hash = name.bytes().fold(0x811c_9dc5_u32, |hash, byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193));
    hash.is_multiple_of(2)
}

#[test]
fn ours_is_above_all_others_on_public_traces_it_was_designed_with_and_on_the_rest() {
    let Some(data) =
        std::env::var_os("LITTORAL_DATA").map(|data| Path::new(&data).join("abr")).filter(|abr| abr.is_dir())
    else {
        println!("not played on public traces: LITTORAL_DATA names no folder that has abr/");
        return;
    };
    for (set, movie, folder, buffer_s) in SETS {
        let movie = Movie::read(&data.join(format!("movies/{movie}.json"))).unwrap();
        let mut halves = [Vec::new(), Vec::new()];
        for entry in data.join("sabre-traces").join(folder).read_dir().unwrap() {
            let entry = entry.unwrap();
            let half = usize::from(!designed_with(&entry.file_name().to_string_lossy()));
            halves[half].push(movie::trace(&entry.path()).unwrap());
        }
        for (half, traces) in ["designed with", "the rest"].into_iter().zip(&halves) {
            assert!(traces.len() >= 19, "{set}: {}", traces.len());
            above(&movie, traces, buffer_s, &format!("{set}, {half}"));
        }
    }
}

fn guest(name: &str) -> PathBuf {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let built = std::env::var_os("LITTORAL_PLUGINS").map_or_else(|| root.join("target/plugins"), PathBuf::from);
    let file = built.join(format!("{name}.wasm"));
    if !file.is_file() {
        author::build(&[root.join("plugins/policy").join(name)], &built).expect("a guest that builds");
    }
    file
}

/// Rungs of a session, in order.
fn rungs(movie: &Movie, trace: &[Period], buffer_s: f64, rule: &mut dyn Rule) -> Vec<usize> {
    let mut rungs = Vec::new();
    player::play(movie, trace, buffer_s * 1000.0, rule, |decision| rungs.push(decision.rung));
    rungs
}

/// Plays sessions with a guest and with its rule.
fn same(name: &str, config: &str, rule: impl Edge + Copy) {
    let buffer_s = 25.0;
    let config = format!("{{\"buffer\": {buffer_s}{config}}}");
    let seated = Seated::new(&guest(name), &config).unwrap();
    let movie = title(&[250.0, 500.0, 1_000.0, 2_000.0, 4_000.0, 6_000.0]);
    for number in 0..4 {
        let trace = link(number, 1_500.0, 1.2);
        let native = rungs(&movie, &trace, buffer_s, &mut Native::new(rule, buffer_s * 1000.0));
        let ours = rungs(&movie, &trace, buffer_s, seated.rule().as_mut());
        assert_eq!(ours, native, "{name} {config}");
        assert!(ours.iter().max() > Some(&0) && ours.len() == movie.segment_sizes_bits.len(), "{name}: {ours:?}");
    }
    assert_eq!(seated.faults(), 0, "{name}");
}

#[test]
fn a_guest_plays_whole_sessions_as_its_rule_does_natively() {
    same("rate-bba", "", edge::Bba);
    same("rate-bola", "", edge::BolaE { rise: Rise::Sustained });
    same("rate-bola", ",\"form\":\"finite\"", edge::Bola { form: Form::Finite, rise: Rise::Sustained });
    same("rate-mpc", "", edge::Mpc { looks: edge::LOOKS });
    same("rate-dynamic", "", edge::Dynamic);
    same("rate-dynamic", ",\"form\":\"dash\"", edge::DynamicDash);
    same(OURS, "", edge::Littoral);
}

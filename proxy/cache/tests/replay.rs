//! Exact policies decide as a published simulator's do: the same hit ratios, within 0.1 percentage points.
//!
//! A small trace of our own is always replayed. The public ones are where `LITTORAL_DATA` says: its folder `eviction` has them, and the
//! simulator's figures.

#![allow(clippy::unwrap_used, reason = "a test that cannot read its trace has failed")]

use std::collections::HashMap;
use std::fs::File;
use std::path::{Path, PathBuf};

use littoral_cache::replay::bounds::{Belady, Curve};
use littoral_cache::replay::{Exactly, Tally, Tier};
use littoral_cache::trace::{Form, Reader, Request};
use littoral_evict::{Littoral, Metric, Place, mix, named};

/// Percentage points that a ratio may be off.
const TOLERANCE: f64 = 0.1;

/// The simulator's names of policies, and ours.
const POLICIES: [(&str, &str); 5] =
    [("LRU", "lru"), ("GDSF", "gdsf"), ("S3FIFO", "s3fifo"), ("Sieve", "sieve"), ("WTinyLFU", "tinylfu")];

fn data() -> Option<PathBuf> {
    let found = std::env::var_os("LITTORAL_DATA").map(|data| Path::new(&data).join("eviction"));
    let found = found.filter(|data| data.is_dir());
    if found.is_none() {
        println!("not compared on public traces: LITTORAL_DATA names no folder that has eviction/");
    }
    found
}

fn requests(file: &Path) -> Vec<Request> {
    let mut reader = Reader::new(File::open(file).unwrap(), Form::Oracle);
    std::iter::from_fn(|| reader.next_request().unwrap()).collect()
}

fn replay(mut tier: impl Tier, requests: &[Request]) -> Tally {
    requests.iter().for_each(|request| tier.request(request));
    tier.tally()
}

/// What a tier hits with a policy by the simulator's name.
fn asked(theirs: &str, capacity: u64, requests: &[Request]) -> Tally {
    match POLICIES.iter().find(|(name, _)| *name == theirs) {
        Some((_, ours)) => replay(Exactly::new(named(ours, capacity).unwrap(), capacity), requests),
        None => replay(Belady::new(capacity), requests),
    }
}

/// What is wrong with each row of a table of the simulator's, none when it is within the tolerance.
fn compare(table: &Path, trace: &str, requests: &[Request], only: &[&str]) -> Vec<String> {
    let text = std::fs::read_to_string(table).unwrap();
    let mut wrong = Vec::new();
    for line in text.lines().skip(1) {
        let columns: Vec<&str> = line.split(',').collect();
        let (capacity, ratio) = (columns[5].parse().unwrap(), |at: usize| columns[at].parse::<f64>().unwrap());
        if columns[0] != trace || !only.contains(&columns[6]) {
            continue;
        }
        let tally = asked(columns[6], capacity, requests);
        let (object, byte) = (100.0 * tally.object_hit_ratio(), 100.0 * tally.byte_hit_ratio());
        let (of_objects, of_bytes) = (100.0 * ratio(7), 100.0 * ratio(8));
        let told = format!(
            "{trace} {} {capacity}: {object:.2} / {byte:.2}, the simulator {of_objects:.2} / {of_bytes:.2}",
            columns[6]
        );
        println!("{told}");
        if (object - of_objects).abs() > TOLERANCE || (byte - of_bytes).abs() > TOLERANCE || tally.nonsense > 0 {
            wrong.push(told);
        }
    }
    wrong
}

#[test]
fn exact_policies_hit_what_the_reference_hits_on_public_traces() {
    let Some(data) = data() else { return };
    let table = data.join("libcachesim-hit-ratios.csv");
    let mut wrong = Vec::new();
    for trace in ["adaptsize-67k", "cloudPhysicsIO", "dash-vod-synth"] {
        let name = format!("{trace}.oracleGeneral.bin");
        let requests = requests(&data.join(&name));
        // Its W-TinyLFU counts in a filter made for as many keys as the tier has bytes, which overflows above 2 GiB.
        let only = ["LRU", "GDSF", "S3FIFO", "Sieve", "Belady", "WTinyLFU"];
        let only = if trace == "dash-vod-synth" { &only[..5] } else { &only[..] };
        wrong.extend(compare(&table, &name, &requests, only));
    }
    // For that trace the simulator was asked again with sizes in KiB.
    let mut requests = requests(&data.join("dash-vod-synth.oracleGeneral.bin"));
    requests.iter_mut().for_each(|request| request.bytes = request.bytes.div_ceil(1024));
    let name = "dash-vod-synth-kib.oracleGeneral.bin";
    wrong.extend(compare(&data.join("libcachesim-kib-scaled.csv"), name, &requests, &["LRU", "S3FIFO", "WTinyLFU"]));
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

/// A trace of our own, the same everywhere: some objects again and again, a third never again, sizes from 1 byte to 32 KiB.
fn own() -> Vec<Request> {
    let request = |number: u64| {
        let (a, b) = (mix(2 * number) % 2000, mix(2 * number + 1) % 2000);
        let id = if number.is_multiple_of(3) { 100_000 + number } else { a * b / 2000 };
        let bytes = 1 + mix(id) % (1 + (1 << (mix(id + 7) % 16)));
        Request { now_ms: number * 100, id, bytes, ..Request::default() }
    };
    let mut requests: Vec<Request> = (0..60_000).map(request).collect();
    let mut next = HashMap::new();
    for (number, request) in requests.iter_mut().enumerate().rev() {
        request.next = next.insert(request.id, number as u64);
    }
    requests
}

/// What libCacheSim 0.3.5 hits of it, with its defaults: policy, bytes of the tier, object and byte hit ratio in percent.
const OWN: &[(&str, u64, f64, f64)] = &[
    ("LRU", 2_206_665, 36.5483, 33.4601),
    ("GDSF", 2_206_665, 59.6800, 33.1159),
    ("S3FIFO", 2_206_665, 54.2500, 50.5256),
    ("Sieve", 2_206_665, 53.3383, 50.7735),
    ("WTinyLFU", 2_206_665, 58.0317, 41.6481),
    ("Belady", 2_206_665, 61.0950, 57.8773),
    ("LRU", 4_413_331, 51.8000, 48.4779),
    ("GDSF", 4_413_331, 62.3267, 50.3930),
    ("S3FIFO", 4_413_331, 61.1817, 58.2086),
    ("Sieve", 4_413_331, 60.7950, 57.8923),
    ("WTinyLFU", 4_413_331, 62.3617, 58.6799),
    ("Belady", 4_413_331, 63.5083, 60.4883),
    ("LRU", 8_826_662, 60.6433, 57.4931),
    ("GDSF", 8_826_662, 63.3150, 58.6636),
    ("S3FIFO", 8_826_662, 62.7283, 59.7168),
    ("Sieve", 8_826_662, 62.8067, 59.9406),
    ("WTinyLFU", 8_826_662, 63.1333, 59.8872),
    ("Belady", 8_826_662, 63.5083, 60.4883),
];

#[test]
fn exact_policies_hit_what_the_reference_hits_on_a_trace_of_our_own() {
    let requests = own();
    for (theirs, capacity, of_objects, of_bytes) in OWN {
        let tally = asked(theirs, *capacity, &requests);
        let (object, byte) = (100.0 * tally.object_hit_ratio(), 100.0 * tally.byte_hit_ratio());
        let told = format!("{theirs} {capacity}: {object:.4} / {byte:.4}, the simulator {of_objects} / {of_bytes}");
        assert!((object - of_objects).abs() <= TOLERANCE && (byte - of_bytes).abs() <= TOLERANCE, "{told}");
    }
}

#[test]
fn the_curve_of_least_recently_used_is_what_a_tier_of_each_size_hits() {
    let requests = own();
    let mut curve = Curve::default();
    requests.iter().for_each(|request| curve.request(request));
    let points = curve.points();
    for capacity in [500_000, 2_206_665, 8_826_662] {
        let tally = asked("LRU", capacity, &requests);
        let (_, object, byte) = points.iter().take_while(|(bytes, ..)| *bytes <= capacity).last().unwrap();
        let off = (object - tally.object_hit_ratio()).abs().max((byte - tally.byte_hit_ratio()).abs());
        assert!(off < 0.02 && !curve.is_estimate(), "{capacity}: {object} / {byte}, {tally:?}");
    }
}

/// Policies that [`littoral_evict::Littoral`] is compared with on titles.
const OTHERS: [&str; 5] = ["lru", "gdsf", "s3fifo", "sieve", "tinylfu"];

/// A day of some titles being watched: starts by popularity, a tenth leaves with each ten segments, representations change now and then.
fn titles() -> Vec<Request> {
    let mut requests = Vec::new();
    for session in 0..1_500_u64 {
        let random = |of: u64| mix(session << 20 | of);
        let title = (random(1) % 200 * (random(2) % 200) / 200) as u32;
        let (mut now_ms, mut rung) = (random(3) % 36_000_000, (random(4) % 5) as u16);
        for segment in 0..300_u32 {
            let drawn = random(10 + u64::from(segment));
            if drawn % 100 == 0 {
                break;
            }
            if drawn % 17 == 0 {
                rung = (rung + (drawn / 100 % 3) as u16).saturating_sub(1).min(4);
            }
            let id = u64::from(title) << 32 | u64::from(segment) << 8 | u64::from(rung);
            let bytes = (200_000 << rung) + mix(id) % 100_000;
            requests.push(Request { now_ms, id, bytes, next: None, place: Some(Place { title, rung, segment }) });
            now_ms += if segment < 5 { 500 } else { 4_000 };
        }
    }
    requests.sort_by_key(|request| request.now_ms);
    requests
}

fn ours_is_above(requests: &[Request], wss: u64, more: &[(f64, f64)]) {
    for percent in [1, 5, 10] {
        let capacity = wss / 100 * percent;
        let of = |name: &str| replay(Exactly::new(named(name, capacity).unwrap(), capacity), requests);
        let ours = of("littoral");
        let (object, byte) = (ours.object_hit_ratio(), ours.byte_hit_ratio());
        println!("littoral at {percent} %: {:.2} / {:.2}", 100.0 * object, 100.0 * byte);
        for name in OTHERS {
            let theirs = of(name);
            assert!(
                object > theirs.object_hit_ratio() && byte > theirs.byte_hit_ratio(),
                "{percent} %: {name} {theirs:?}, ours {ours:?}"
            );
        }
        if let Some((of_objects, of_bytes)) =
            more.get([1, 5, 10].iter().position(|known| *known == percent).unwrap_or(3))
        {
            assert!(100.0 * object > *of_objects && 100.0 * byte > *of_bytes, "{percent} %: {ours:?}");
        }
    }
}

#[test]
fn on_titles_ours_hits_more_objects_and_more_bytes_than_any_policy_that_does_not_know_them() {
    let requests = titles();
    let distinct: HashMap<u64, u64> = requests.iter().map(|request| (request.id, request.bytes)).collect();
    ours_is_above(&requests, distinct.values().sum(), &[]);
}

#[test]
fn on_the_public_dash_trace_ours_is_above_every_row_of_the_tables() {
    let Some(data) = data() else { return };
    let file = flate2::read::GzDecoder::new(File::open(data.join("dash-vod-synth.csv.gz")).unwrap());
    let mut reader = Reader::new(file, Form::Csv);
    let requests: Vec<Request> = std::iter::from_fn(|| reader.next_request().unwrap()).collect();
    // The best of any policy that knows titles there, each column by itself.
    ours_is_above(&requests, 235_437_258_511, &[(14.1662, 10.8709), (25.9298, 23.6382), (32.1485, 30.3933)]);
}

#[test]
fn on_public_general_traces_ours_is_within_a_point_of_the_best_in_its_metric() {
    let Some(data) = data() else { return };
    for (trace, wss) in [("adaptsize-67k", 304_213_576_u64), ("cloudPhysicsIO", 2_029_769_728)] {
        let requests = requests(&data.join(format!("{trace}.oracleGeneral.bin")));
        for percent in [1, 5, 10, 20] {
            let capacity = wss * percent / 100;
            let others = OTHERS.map(|name| replay(Exactly::new(named(name, capacity).unwrap(), capacity), &requests));
            let ours = |metric| replay(Exactly::new(Littoral::new(capacity, metric), capacity), &requests);
            let best = |ratio: fn(&Tally) -> f64| 100.0 * others.iter().map(ratio).fold(0.0, f64::max);
            let objects = (100.0 * ours(Metric::Objects).object_hit_ratio(), best(Tally::object_hit_ratio));
            let bytes = (100.0 * ours(Metric::Bytes).byte_hit_ratio(), best(Tally::byte_hit_ratio));
            println!("{trace} {percent} %: objects {objects:.2?}, bytes {bytes:.2?}");
            assert!(
                objects.0 >= objects.1 - 1.0 && bytes.0 >= bytes.1 - 1.0,
                "{trace} {percent} %: {objects:?} {bytes:?}"
            );
        }
    }
}

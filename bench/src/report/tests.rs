//! Tests of the arithmetic and the tables.

use super::*;

fn machine() -> Machine {
    Machine {
        cpu: "A processor".to_owned(),
        cores: 2,
        kernel: "6.1".to_owned(),
        load_before: 0.1,
        date: "2026-01-02".to_owned(),
        commit: "abc1234".to_owned(),
    }
}

fn round(number: u32, engine: Engine, cpu: f64) -> Round {
    Round {
        number,
        engine,
        case: Case::Hit1k,
        generator: "wrk".to_owned(),
        requests: 1000,
        requests_per_second: 333.0,
        cpu_us_per_request: cpu,
        p50_us: Some(10.0),
        p99_us: Some(20.0),
    }
}

#[test]
fn median_is_the_middle_and_the_spread_its_ends() {
    assert_eq!(Spread::of(vec![3.0, 1.0, 2.0]), Some(Spread { min: 1.0, median: 2.0, max: 3.0 }));
    assert_eq!(Spread::of(vec![4.0, 1.0]), Some(Spread { min: 1.0, median: 2.5, max: 4.0 }));
    assert_eq!(Spread::of(vec![]), None);
}

#[test]
fn ratios_are_taken_within_a_round_and_only_where_both_counted() {
    let mut results = Results::new(machine(), 3, 3, 32);
    // The machine was twice as slow in round 1, for both; in round 2 nginx did not count.
    for (number, ours, theirs) in [(0, 8.0, Some(10.0)), (1, 16.0, Some(20.0)), (2, 8.0, None)] {
        results.rounds.push(round(number, Engine::Littoral, ours));
        results.rounds.extend(theirs.map(|cpu| round(number, Engine::Nginx, cpu)));
    }
    assert_eq!(results.ratios((Case::Hit1k, "wrk"), Engine::Nginx), [0.8, 0.8]);
    for engine in [Engine::Littoral, Engine::Nginx] {
        results.versions.insert(engine, "1".to_owned());
    }
    let table = results.cpu_table();
    assert!(table.contains("| hit-1k | wrk | 8.00 | 15.00 | – |"), "{table}");
}

#[test]
fn a_mark_is_met_by_the_median_against_whom_it_names_and_never_by_what_was_not_measured() {
    let mut results = Results::new(machine(), 3, 3, 32);
    assert_eq!(results.marks_table(), "", "nothing was measured");
    for (number, ours, theirs) in [(0, 8.0, 10.0), (1, 7.0, 10.0), (2, 9.0, 10.0)] {
        results.rounds.push(round(number, Engine::Littoral, ours));
        results.rounds.push(round(number, Engine::Nginx, theirs));
    }
    let table = results.marks_table();
    assert!(table.contains("| ≤ 0.80 × nginx | 8.00 µs | nginx 10.00 µs | 0.80 (0.70–0.90) | met |"), "{table}");
    assert!(!table.contains("stretch"), "HAProxy was not measured: {table}");
    for number in 0..3 {
        results.rounds.push(round(number, Engine::Haproxy, 7.0));
    }
    assert!(results.marks_table().contains("| 1.14 (1.00–1.29) | stretch missed |"), "{}", results.marks_table());
}

#[test]
fn the_best_is_whoever_has_the_lowest_median() {
    let mut results = Results::new(machine(), 1, 3, 32);
    for (engine, cpu) in [(Engine::Littoral, 9.0), (Engine::Nginx, 20.0), (Engine::Varnish, 10.0)] {
        results.rounds.push(Round { case: Case::Hit64k, ..round(0, engine, cpu) });
    }
    let table = results.marks_table();
    assert!(table.contains("| ≤ 0.80 × the best | 9.00 µs | Varnish 10.00 µs | 0.90 | **missed** |"), "{table}");
}

#[test]
fn figures_taken_once_have_marks_too() {
    let mut results = Results::new(machine(), 1, 3, 32);
    for (engine, total_bytes) in [(Engine::Littoral, 30 << 20), (Engine::Nginx, 20 << 20)] {
        results.idle.push(Idle { engine, connections: 100, held_bytes: 100 << 10, total_bytes });
    }
    results.index = Some(Index { objects: 1000, held_bytes: 60_000 });
    let table = results.marks_table();
    assert!(table.contains("| ≤ 1.20 × nginx | 30 MiB | nginx 20 MiB | 1.50 | **missed** |"), "{table}");
    assert!(table.contains("| ≤ 120 B | 60 B | – | – | met |"), "{table}");
}

#[test]
fn memory_is_given_per_object_and_per_byte_cached() {
    let mut results = Results::new(machine(), 1, 1, 1);
    let memory = Memory { engine: Engine::Nginx, objects: 10, object_bytes: 65536, held_bytes: 10 * 65536 * 5 / 4 };
    results.memory.push(memory);
    assert!(results.memory_table().contains("| nginx | 10 × 64 KiB | 80.0 KiB | 1.25 |"));
}

#[test]
fn a_results_file_reads_back_and_renders_the_same() {
    let mut results = Results::new(machine(), 1, 1, 1);
    results.rounds.push(round(0, Engine::LittoralBare, 1.0));
    results.versions.insert(Engine::Varnish, "varnishd 7".to_owned());
    results.start_ms = vec![10.0, 30.0, 20.0];
    let directory = tempfile::tempdir().expect("a directory");
    let path = results.write(directory.path()).expect("writable");
    assert_eq!(path.file_name().expect("a file"), "2026-01-02-abc1234.json");
    let readme = directory.path().join("README.md");
    fs::write(&readme, format!("before\n{BEGIN}\nold\n{END}\nafter\n")).expect("writable");
    render(&path, Some(&readme)).expect("rendered");
    let text = fs::read_to_string(&readme).expect("readable");
    assert_eq!(text, format!("before\n{BEGIN}\n{}\n{END}\nafter\n", results.markdown().trim_end()));
    assert!(text.contains("20 ms (10–30, 3 starts)"));
}

#[test]
fn a_readme_without_markers_is_left_alone() {
    assert_eq!(splice("no markers", "table"), None);
    assert_eq!(splice(&format!("{END}{BEGIN}"), "table"), None);
}

//! The origin as a process, started and asked the way `run` does it.

use littoral_bench::fetch;
use littoral_bench::load::open::Latency;
use littoral_bench::machine::{CpuTime, SERVER_CORE, Server};
use littoral_bench::origin::Object;

#[test]
fn the_origin_serves_what_it_promises_counts_it_and_ends_with_its_handle() {
    let directory = tempfile::tempdir().expect("a directory");
    let command = [env!("CARGO_BIN_EXE_littoral-bench"), "origin"];
    let mut origin = Server::start(SERVER_CORE, &command, directory.path().join("stderr")).expect("started");
    let address = origin.ready_line().expect("ready")["http"];

    for number in 0..3 {
        fetch::check(address, Object { bytes: 70_000, number }).expect("the promised body");
    }
    assert_eq!(fetch::get(address, "/count").expect("counted"), b"3");
    let refusal = fetch::get(address, "/o/1/2/3").expect_err("no such object");
    assert!(format!("{refusal:#}").contains("404"), "{refusal:#}");

    let pid = origin.pid();
    CpuTime::of_tree(pid).expect("it runs");
    drop(origin);
    assert!(CpuTime::of_tree(pid).is_err(), "the process is gone");
}

#[test]
fn a_server_that_ends_before_it_is_ready_says_why() {
    let directory = tempfile::tempdir().expect("a directory");
    let command = [env!("CARGO_BIN_EXE_littoral-bench"), "origin", "--bind", "203.0.113.1:1"];
    let mut origin = Server::start(SERVER_CORE, &command, directory.path().join("stderr")).expect("started");
    let reason = format!("{:#}", origin.ready_line().expect_err("that address is not ours"));
    assert!(reason.contains("cannot listen on 203.0.113.1:1"), "{reason}");
}

#[test]
fn the_open_loop_asks_at_its_rate_and_ends_with_an_error_at_a_wrong_answer() {
    let directory = tempfile::tempdir().expect("a directory");
    let program = env!("CARGO_BIN_EXE_littoral-bench");
    let mut origin =
        Server::start(SERVER_CORE, &[program, "origin"], directory.path().join("stderr")).expect("started");
    let address = origin.ready_line().expect("ready")["http"];
    let load = |paths: &str| {
        let list = directory.path().join("paths");
        std::fs::write(&list, paths).expect("writable");
        let mut command = std::process::Command::new(program);
        command.args(["load", "--rate=500", "--seconds=1", "--connections=4", &format!("--peer={address}"), "--paths"]);
        command.arg(list).output().expect("it runs")
    };

    let good = load("/o/100/1\n/o/70000/2\n");
    let seen: Latency = serde_json::from_slice(&good.stdout).expect("figures");
    assert!((300..700).contains(&seen.requests), "{seen:?}");
    assert!(seen.p50_us > 0.0 && seen.p99_us >= seen.p50_us, "{seen:?}");
    let asked = String::from_utf8(fetch::get(address, "/count").expect("counted")).expect("a number");
    assert!(asked.parse::<u64>().expect("a number") >= seen.requests, "{asked}");

    let bad = load("/o/100/1\n/nothing\n");
    assert!(!bad.status.success());
    assert!(String::from_utf8_lossy(&bad.stderr).contains("404"), "{}", String::from_utf8_lossy(&bad.stderr));
}

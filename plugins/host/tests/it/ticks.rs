//! Ticks of a filter as whoever has it tick sees them: by the clock of the test, and without anything that waits.

use std::net::IpAddr;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use littoral_plugin_host::fetch::FetchSpec;
use littoral_plugin_host::filter::{Exchange, Fault, Filter, FilterHost, FilterSpec, Kept, Point};
use littoral_plugin_host::service::Nowhere;
use littoral_plugin_host::tick::{Ticked, Ticks};
use littoral_plugin_host::{HostSettings, State, author};

use super::{advance, guest, now_ms};

const MS: fn(u64) -> Duration = Duration::from_millis;

pub(super) struct Plain;

impl Exchange for Plain {
    fn method(&self) -> &str {
        "GET"
    }
    fn host(&self) -> &str {
        "site.example"
    }
    fn target(&self) -> &str {
        "/"
    }
    fn client(&self) -> Option<IpAddr> {
        None
    }
    fn is_secure(&self) -> bool {
        false
    }
    fn status(&self) -> u16 {
        0
    }
    fn field(&self, _of_request: bool, _name: &str, _index: usize) -> Option<&[u8]> {
        None
    }
}

fn spec(config: &str) -> FilterSpec {
    FilterSpec {
        name: "ticks".into(),
        file: guest("filter-ticks"),
        config: config.into(),
        store_bytes: 1 << 16,
        http: Some(FetchSpec::of(&[])),
        ..FilterSpec::default()
    }
}

pub(super) fn load(config: &str) -> Arc<Filter> {
    let host = FilterHost::new(HostSettings { cache_dir: None, compiler: None, now_ms }).unwrap();
    host.load(spec(config)).unwrap()
}

pub(super) fn run<T>(future: impl Future<Output = T>) -> T {
    let mut future = pin!(future);
    loop {
        if let Poll::Ready(done) = future.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
            return done;
        }
    }
}

pub(super) fn tick(filter: &Filter) -> Ticked {
    run(filter.tick(Box::new(Nowhere)))
}

fn done(filter: &Filter) -> u64 {
    filter.status().ticks.unwrap().outcomes["done"]
}

#[test]
fn what_a_tick_says_of_the_next_is_within_bounds() {
    for (config, expected) in [
        (r#"{"how": "once"}"#, Ticked::Never),
        (r#"{"how": "often", "after_ms": 1}"#, Ticked::Again(MS(100))),
        (r#"{"how": "often", "after_ms": 2500}"#, Ticked::Again(MS(2500))),
        (r#"{"how": "often", "after_ms": 1000000000000}"#, Ticked::Again(MS(86_400_000))),
    ] {
        let filter = load(config);
        assert_eq!([tick(&filter), tick(&filter)], [expected; 2], "{config}");
        let told = filter.status().ticks.unwrap();
        assert_eq!((told.outcomes["done"], told.under_way, told.last_ms), (2, false, now_ms()));
        assert_eq!(filter.status().instances, 0, "each had its own, and left it");
    }
}

#[test]
fn a_filter_in_quarantine_does_not_tick() {
    let filter = load(r#"{"how": "fail", "after_ms": 500}"#);
    assert_eq!(tick(&filter), Ticked::Again(MS(500)));
    for _ in 0..3 {
        let called = run(filter.call(Point::Request, Box::new(Plain), Kept::NOTHING));
        assert_eq!(called.outcome.err(), Some(Fault::Trap));
    }
    assert_eq!(filter.status().state, State::Quarantined);
    assert_eq!([tick(&filter), tick(&filter)], [Ticked::Quarantined(MS(1000)); 2]);
    advance(999);
    assert_eq!((tick(&filter), done(&filter)), (Ticked::Quarantined(MS(1)), 1));
    advance(1);
    assert_eq!((tick(&filter), done(&filter)), (Ticked::Again(MS(500)), 2));
}

#[test]
fn ticks_that_fail_do_not_take_a_filter_from_requests_but_take_a_reload_back() {
    let good = r#"{"how": "often", "after_ms": 500}"#;
    let bad = r#"{"how": "trap"}"#;
    let filter = load(bad);
    for _ in 0..10 {
        assert_eq!(tick(&filter), Ticked::Failed);
    }
    let told = filter.status();
    assert_eq!((told.state, told.faults["trap"]), (State::Running, 10));
    assert!(told.last_fault.unwrap().starts_with("at tick: it trapped"));
    assert!(run(filter.call(Point::Request, Box::new(Plain), Kept::NOTHING)).outcome.is_ok());

    let filter = load(good);
    assert_eq!(filter.reload(Some(spec(bad))).unwrap(), 2);
    run(filter.turned(1));
    for _ in 0..3 {
        assert_eq!((Ticks::generation(&*filter), tick(&filter)), (2, Ticked::Failed));
    }
    run(filter.turned(2));
    assert_eq!((filter.status().state, Ticks::generation(&*filter)), (State::RolledBack, 1));
    assert_eq!(tick(&filter), Ticked::Again(MS(500)));
}

#[test]
fn a_tick_that_is_given_up_is_held_against_nobody_and_one_that_was_ended_is_a_fault() {
    let filter = load(r#"{"how": "give-up"}"#);
    assert_eq!(filter.reload(None).unwrap(), 2);
    for _ in 0..5 {
        assert_eq!(tick(&filter), Ticked::Failed);
    }
    let told = filter.status();
    assert_eq!((told.faults["gave-up"], told.last_fault, told.generation), (5, None, 2));
    filter.overdue();
    assert_eq!(filter.status().ticks.unwrap().outcomes["deadline"], 1);
}

#[test]
fn a_tick_that_computes_for_too_long_is_stopped() {
    let filter = load(r#"{"how": "spin"}"#);
    assert_eq!(tick(&filter), Ticked::Failed);
    assert_eq!(filter.status().faults["deadline"], 1);
}

#[test]
fn the_file_says_whether_a_plugin_ticks() {
    let inspected = author::inspect(&guest("filter-ticks")).unwrap();
    assert_eq!(inspected.worlds, ["timed-http-filter"]);
    let filter =
        FilterSpec { file: guest("filter-headers"), config: r#"{"response": {"remove": ["a"]}}"#.into(), ..spec("") };
    let host = FilterHost::new(HostSettings { cache_dir: None, compiler: None, now_ms }).unwrap();
    let filter = host.load(filter).unwrap();
    assert_eq!((tick(&filter), filter.status().ticks), (Ticked::Never, None));
}

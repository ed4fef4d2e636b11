//! Where a guest was when it failed, as its status tells: by the names its author left in the file.

use std::sync::Arc;

use littoral_plugin_host::filter::{Fault, Filter, FilterHost, FilterSpec, Kept, Point};
use littoral_plugin_host::tick::Ticked;
use littoral_plugin_host::{HostSettings, limits};

use super::ticks::{self, Plain, run};
use super::{guest, now_ms};

/// Bytes and lines are bounded, the reason comes first, and `name` is among the functions.
fn names(told: &[String], reason: &str, name: &str) {
    assert!(told.first().is_some_and(|first| first.contains(reason)), "{told:?}");
    assert!(told.iter().skip(1).any(|frame| frame.contains(name)), "{name}: {told:?}");
    assert!(told.len() <= 1 + limits::TRACE_FRAMES_MAX, "{told:?}");
    assert!(told.iter().all(|line| line.len() <= limits::TRACE_LINE_BYTES_MAX), "{told:?}");
}

fn faults(how: &str) -> Arc<Filter> {
    let host = FilterHost::new(HostSettings { cache_dir: None, compiler: None, now_ms }).unwrap();
    let config = format!("{{\"how\": \"{how}\", \"at\": \"request\"}}");
    host.load(FilterSpec { name: "f".into(), file: guest("filter-faults"), config, ..FilterSpec::default() }).unwrap()
}

fn failed(filter: &Arc<Filter>) -> Option<Fault> {
    run(filter.call(Point::Request, Box::new(Plain), Kept::NOTHING)).outcome.err()
}

#[test]
fn a_filter_that_fails_tells_in_which_of_its_functions_by_the_core_path() {
    let filter = faults("trap");
    assert_eq!(filter.status().last_backtrace, Vec::<String>::new());
    assert_eq!(failed(&filter), Some(Fault::Trap));
    let told = filter.status();
    assert_eq!(told.path, "core");
    names(&told.last_backtrace, "unreachable", "filter@0.1.0#on-request");
    // What the host refuses has a place in the guest too.
    let filter = faults("framing");
    assert_eq!(failed(&filter), Some(Fault::Nonsense));
    names(&filter.status().last_backtrace, "content-length", "filter@0.1.0#on-request");
    // However deep it is.
    let filter = faults("recurse");
    assert_eq!(failed(&filter), Some(Fault::Trap));
    names(&filter.status().last_backtrace, "stack", "filter_faults::recurse");
}

#[test]
fn a_filter_that_fails_tells_in_which_of_its_functions_by_the_fiber_path_and_at_a_tick() {
    let filter = ticks::load(r#"{"how": "fail"}"#);
    assert_eq!((failed(&filter), filter.status().path), (Some(Fault::Trap), "fiber"));
    names(&filter.status().last_backtrace, "unreachable", "filter@0.1.0#on-request");
    let filter = ticks::load(r#"{"how": "trap"}"#);
    assert_eq!(ticks::tick(&filter), Ticked::Failed);
    names(&filter.status().last_backtrace, "unreachable", "timer@0.1.0#tick");
}

#[test]
fn a_filter_that_gives_up_has_no_place_to_look_for() {
    let filter = ticks::load(r#"{"how": "give-up"}"#);
    assert_eq!(ticks::tick(&filter), Ticked::Failed);
    assert_eq!(filter.status().last_backtrace, Vec::<String>::new());
}

//! Guests that lie about their memory, in the canonical ABI's own terms, and that flood what they may import: each call is a fault or an
//! answer, and the host lives on.

use std::net::IpAddr;
use std::path::Path;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use littoral_plugin_host::filter::{Change, Exchange, Fault as Failed, Filter, FilterHost, FilterSpec, Kept, Point};
use littoral_plugin_host::{Fault, Flow, HostSettings, Interface, Object, PluginSpec, State, fuzzing};

use super::marionette::{Marionette, Operation};
use super::{advance, ask, flow, guest, host, now_ms, spec};

/// What is asked of a policy that lies: its faults, of all four questions.
fn faults_of(allocate: &str, answer: &str) -> [Option<Fault>; 4] {
    let text = include_str!("hostile.wat").replace("{ALLOCATE}", allocate).replace("{ANSWER}", answer);
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("hostile.wasm");
    std::fs::write(&file, wat::parse_str(&text).unwrap()).unwrap();
    let plugin = host().load(spec("hostile", file), Some(Interface::Routing)).unwrap();
    let (sample, mut scores) = ([Object::default(); 3], [0.0; 3]);
    let decided = plugin.decide(&flow()).err();
    advance(60_000);
    let selected = plugin.select(&ask(), 3).err();
    advance(60_000);
    let admitted = plugin.admit(&sample[0], 0, 0, 0).err();
    advance(60_000);
    let scored = plugin.score(&sample, 0, 0, &mut scores).err();
    advance(60_000);
    [decided, selected, admitted, scored]
}

#[test]
fn a_policy_that_answers_from_anywhere_is_nonsense() {
    for address in ["-1", "-8", "65535", "65529", "2147483647", "-2147483648"] {
        let faults = faults_of("(i32.const 1024)", &format!("(i32.const {address})"));
        assert_eq!(faults, [Some(Fault::Nonsense); 4], "{address}");
    }
    // Inside its memory, but a list that is longer than all of it.
    let list = "(i32.store (i32.const 16) (i32.const 8)) (i32.store (i32.const 20) (i32.const -1)) (i32.const 16)";
    assert_eq!(faults_of("(i32.const 1024)", list)[3], Some(Fault::Nonsense));
    let wrapping = "(i32.store (i32.const 16) (i32.const -4)) (i32.store (i32.const 20) (i32.const 3)) (i32.const 16)";
    assert_eq!(faults_of("(i32.const 1024)", wrapping)[3], Some(Fault::Nonsense));
}

#[test]
fn a_policy_whose_allocator_gives_what_it_has_not_is_nonsense() {
    let good = "(i32.store (i32.const 16) (i32.const 32)) (i32.store (i32.const 20) (i32.const 3)) (i32.const 16)";
    assert_eq!(faults_of("(i32.const 1024)", good)[3], None, "this one is well");
    for address in ["-1", "65500", "2147483647"] {
        assert_eq!(faults_of(&format!("(i32.const {address})"), good)[3], Some(Fault::Nonsense), "{address}");
    }
}

#[test]
fn a_policy_that_grows_tables_or_recurses_is_stopped() {
    let grows = "(loop $again (drop (table.grow $grows (ref.null func) (i32.const 1000))) (br $again)) (i32.const 0)";
    assert_eq!(faults_of("(i32.const 1024)", grows), [Some(Fault::Memory); 4]);
    let recurses = "(i32.add (call $answer) (i32.const 1))";
    for fault in faults_of("(i32.const 1024)", recurses) {
        assert!(matches!(fault, Some(Fault::Trap | Fault::Fuel)), "{fault:?}");
    }
}

#[test]
fn a_policy_that_floods_what_it_may_import_runs_out_of_fuel() {
    for (how, kind) in [("recurse", Fault::Trap), ("log", Fault::Fuel), ("count", Fault::Fuel)] {
        let config = format!("{{\"how\": \"{how}\"}}");
        let spec = PluginSpec { config, ..PluginSpec::new("faults", guest("policy-faults")) };
        let plugin = host().load(spec, Some(Interface::Routing)).unwrap();
        assert!(plugin.decide(&flow()).is_err_and(|fault| fault == kind || fault == Fault::Fuel), "{how}");
        let counted = plugin.status().counters;
        assert!(counted.len() <= 64 && counted.keys().all(|counter| *counter < 64), "{how}: {counted:?}");
    }
    let spec = PluginSpec { config: r#"{"how": "init"}"#.into(), ..PluginSpec::new("faults", guest("policy-faults")) };
    let problem = host().load(spec, None).unwrap_err().to_string();
    assert!(problem.contains("its init failed: ") && problem.contains("unreachable"), "{problem}");
}

#[test]
fn a_policy_may_log_and_count_with_any_numbers() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("speaker.wasm");
    std::fs::write(&file, wat::parse_str(include_str!("speaker.wat")).unwrap()).unwrap();
    let plugin = host().load(spec("speaker", file), Some(Interface::Routing)).unwrap();
    for number in [0, 1, 65_535, 65_536, u64::from(u32::MAX), 1 << 31] {
        for length in [0, 1, 1024, u64::from(u32::MAX)] {
            let flow = Flow { key: number, addr_hi: length, addr_lo: number, zone: number as u16, ..flow() };
            assert!(plugin.decide(&flow).is_ok(), "{number} {length}");
        }
    }
    assert!(plugin.status().counters.keys().all(|counter| *counter < 64));
}

/// A request without anything.
struct Plain;

impl Exchange for Plain {
    fn method(&self) -> &str {
        "GET"
    }
    fn host(&self) -> &str {
        "site.example"
    }
    fn target(&self) -> &str {
        "/a"
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
    fn field(&self, _of_request: bool, name: &str, index: usize) -> Option<&[u8]> {
        let values: &[&[u8]] = match name {
            "host" => &[b"here"],
            "x-two" => &[b"one", b"two"],
            _ => &[],
        };
        values.get(index).copied()
    }
}

/// Filters that are moved by what is kept for them, one by each path.
fn marionettes(directory: &Path) -> (Marionette, [Arc<Filter>; 2]) {
    let marionette = Marionette::of("http-filter", &["fetch", "connection", "durable", "dial"]);
    let file = directory.join("marionette.wasm");
    std::fs::write(&file, &marionette.component).unwrap();
    let filters = ["core", "fiber"].map(|path| {
        let host = FilterHost::new(HostSettings { cache_dir: None, compiler: None, now_ms }).unwrap();
        let (name, file) = ("marionette".into(), file.clone());
        let filter = host.load(FilterSpec { name, file, store_bytes: 1 << 20, ..FilterSpec::default() }).unwrap();
        if path == "fiber" {
            fuzzing::by_fibers(&filter);
        }
        assert_eq!(filter.status().path, path);
        filter
    });
    (marionette, filters)
}

/// Runs a program at `request`.
fn run(filter: &Arc<Filter>, program: Vec<u8>) -> Result<Vec<Change>, Failed> {
    advance(60_000);
    let mut called = pin!(filter.call(Point::Request, Box::new(Plain), program.into()));
    loop {
        if let Poll::Ready(called) = called.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
            return called.outcome.map(|(_, changes)| changes.fields);
        }
    }
}

#[test]
fn a_filter_that_calls_with_good_pointers_is_heard() {
    let directory = tempfile::tempdir().unwrap();
    let (moved, filters) = marionettes(directory.path());
    // Of what stands behind the two operations, the second of which ends nothing.
    let set = moved.program(&[("exchange.set-field", &[64, 3, 67, 5]), ("env.count", &[7, 1])], b"x-avalue");
    for filter in filters {
        assert_eq!(run(&filter, set.clone()), Ok(vec![Change::Set("x-a".into(), b"value".into())]));
        assert_eq!(filter.status().counters, [(7, 1)].into());
    }
}

#[test]
fn a_filter_whose_pointers_are_wild_fails_its_call_and_nothing_else() {
    let directory = tempfile::tempdir().unwrap();
    let (moved, filters) = marionettes(directory.path());
    let (outside, last) = (u32::MAX, 65_535);
    let cases: &[(&str, &[Operation<'_>], Failed)] = &[
        ("an answer outside", &[("end", &[outside - 3])], Failed::Nonsense),
        ("an answer that is not aligned", &[("end", &[65_281])], Failed::Nonsense),
        ("an answer over the end", &[("end", &[65_532])], Failed::Nonsense),
        ("room for a string outside", &[("allocate", &[outside - 7]), ("exchange.method", &[1024])], Failed::Nonsense),
        ("room over the end", &[("allocate", &[last]), ("exchange.host", &[1024])], Failed::Nonsense),
        ("a place for the result outside", &[("exchange.method", &[outside - 3])], Failed::Nonsense),
        ("a place for the result that is not aligned", &[("exchange.target", &[1025])], Failed::Nonsense),
        ("a name outside", &[("exchange.field", &[outside, 8, 1024])], Failed::Nonsense),
        ("a name of all memory there could be", &[("exchange.fields", &[0, outside, 1024])], Failed::Nonsense),
        ("a value that wraps", &[("exchange.set-field", &[32, 3, outside - 1, 16])], Failed::Nonsense),
        ("more than may be kept", &[("exchange.keep", &[0, 2000])], Failed::Nonsense),
        ("a key of nothing", &[("store.get", &[0, 0, 1024])], Failed::Nonsense),
        ("a value of all memory", &[("store.put", &[0, 4, 0, 65_536])], Failed::Nonsense),
        ("a discriminant that is none", &[("store.swap", &[0, 4, 7, 0, 0, 0, 0])], Failed::Nonsense),
        ("text that is none", &[("write", &[2048, outside]), ("exchange.set-target", &[2048, 4])], Failed::Nonsense),
        ("a level that is none", &[("env.log", &[99, 0, 4])], Failed::Nonsense),
        ("a count while it frees its answer", &[("write", &[65_504, 1]), ("end", &[65_440])], Failed::Trap),
        ("memory beyond its bound", &[("grow", &[1000])], Failed::Memory),
        ("a table beyond its bound", &[("grow", &[0, 100_000])], Failed::Memory),
    ];
    for (filter, (what, operations, fault)) in
        filters.iter().flat_map(|filter| cases.iter().map(move |case| (filter, case)))
    {
        let mut text = [b'x'; 64];
        text[0] = b'y';
        assert_eq!(
            run(filter, moved.program(operations, &text)),
            Err(*fault),
            "{what}, {}: {:?}",
            filter.status().path,
            filter.status().last_fault
        );
    }
    for filter in filters {
        let well = moved.program(&[("exchange.secure", &[])], b"");
        assert_eq!(run(&filter, well), Ok(Vec::new()), "and it is asked again");
        assert!(filter.status().instances <= 1, "none is left behind");
    }
}

#[test]
fn a_filter_answers_with_any_reply_it_claims_only_if_all_of_it_is_there() {
    let directory = tempfile::tempdir().unwrap();
    let (moved, filters) = marionettes(directory.path());
    // A reply at 4096: some, status 200, no fields, a body that begins at 0 and is longer than memory.
    let reply = |length: u32| {
        moved.program(
            &[("write", &[4096, 1]), ("write", &[4100, 200]), ("write", &[4116, length]), ("end", &[4096])],
            b"",
        )
    };
    let fields = [("write", &[4096, 1][..]), ("write", &[4100, 200]), ("write", &[4108, 1 << 28]), ("end", &[4096])];
    // No fields, at an address that is none of a list's.
    let nowhere = |at: u32| {
        let nothing = ("write", &[4104, at][..]);
        moved.program(&[("write", &[4096, 1]), ("write", &[4100, 200]), nothing, ("end", &[4096])], b"")
    };
    for filter in filters {
        assert_eq!(run(&filter, reply(10)), Ok(Vec::new()));
        assert_eq!(run(&filter, nowhere(65_536)), Ok(Vec::new()), "just behind its memory");
        for at in [3, 65_540] {
            assert_eq!(run(&filter, nowhere(at)), Err(Failed::Nonsense), "{at}");
        }
        for length in [65_537, u32::MAX, 1 << 31] {
            assert_eq!(run(&filter, reply(length)), Err(Failed::Nonsense), "{length}");
        }
        assert_eq!(run(&filter, moved.program(&fields, b"")), Err(Failed::Nonsense));
    }
}

#[test]
fn a_filter_reads_by_the_core_path_what_it_reads_by_the_component_runtime() {
    let directory = tempfile::tempdir().unwrap();
    let (moved, filters) = marionettes(directory.path());
    // What it reads comes to 2048, where the answers are at 1024, and is set as the value of a field whose name lies behind.
    let at = 4 * 32;
    let said = |reads: &[Operation<'_>], length: u32| {
        let set: &[Operation<'_>] = &[("exchange.set-field", &[at, 3, 2048, length])];
        moved.program(&[&[("allocate", &[2048][..])], reads, set].concat(), b"x-ahostx-two")
    };
    let cases: &[(&str, &[Operation<'_>], &[u8])] = &[
        ("the method", &[("exchange.method", &[1024]), ("env.count", &[1, 1])], b"GET"),
        ("the host", &[("exchange.host", &[1024]), ("env.count", &[1, 1])], b"site.example"),
        ("the target", &[("exchange.target", &[1024]), ("env.count", &[1, 1])], b"/a"),
        ("a field", &[("exchange.field", &[at + 3, 4, 1024]), ("env.count", &[1, 1])], b"here"),
        ("a field of the request", &[("exchange.request-field", &[at + 3, 4, 1024]), ("env.count", &[1, 1])], b"here"),
        // In the canonical ABI's order: that it is there is written before the room for it is asked for.
        (
            "a field whose room is its answer's",
            &[("exchange.field", &[at + 3, 4, 2048]), ("env.count", &[1, 1])],
            b"here",
        ),
        ("what was stored", &[("store.put", &[at, 3, at + 3, 4, 0]), ("store.get", &[at, 3, 1024])], b"host"),
    ];
    for filter in filters {
        for (what, reads, value) in cases {
            let changes = run(&filter, said(reads, value.len() as u32));
            let expected = vec![Change::Set("x-a".into(), value.to_vec())];
            assert_eq!(changes, Ok(expected), "{what}, {}: {:?}", filter.status().path, filter.status().last_fault);
        }
        // The second of two values, behind the list of two.
        let second = [("allocate", &[2048][..]), ("exchange.fields", &[at + 7, 5, 1024]), ("env.count", &[1, 1])];
        let set: [Operation<'_>; 1] = [("exchange.set-field", &[at, 3, 2048 + 19, 3])];
        let program = moved.program(&[&second[..], &set].concat(), b"x-ahostx-two");
        assert_eq!(run(&filter, program), Ok(vec![Change::Set("x-a".into(), b"two".into())]));
    }
}

#[test]
fn a_filter_that_computes_for_long_lets_others_run_from_then_on() {
    let host = FilterHost::new(HostSettings { cache_dir: None, compiler: None, now_ms }).unwrap();
    let spec = |how: &str| {
        let config = format!("{{\"how\": \"{how}\", \"at\": \"request\"}}");
        FilterSpec { name: "faults".into(), file: guest("filter-faults"), config, ..FilterSpec::default() }
    };
    let spins = host.load(spec("spin")).unwrap();
    assert_eq!(spins.status().path, "core");
    assert_eq!(run(&spins, Vec::new()), Err(Failed::Deadline), "its deadline holds by the core path");
    assert_eq!(spins.status().path, "fiber");
    assert_eq!(run(&spins, Vec::new()), Err(Failed::Deadline), "and by the other");
    let traps = host.load(spec("trap")).unwrap();
    for _ in 0..2 {
        assert_eq!(run(&traps, Vec::new()), Err(Failed::Trap));
        assert_eq!(traps.status().path, "core", "what is over soon stays there");
    }
}

/// What becomes of so many calls at once, on one thread: how many were each of two faults.
fn at_once(filter: &Arc<Filter>, calls: usize, faults: [Failed; 2]) -> [usize; 2] {
    let call = |_| Box::pin(filter.call(Point::Request, Box::new(Plain), Kept::NOTHING));
    let mut calls: Vec<_> = (0..calls).map(call).collect();
    let mut ended = Vec::new();
    while !calls.is_empty() {
        calls.retain_mut(|call| match call.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Pending => true,
            Poll::Ready(called) => {
                ended.extend(called.outcome.err());
                false
            }
        });
    }
    faults.map(|fault| ended.iter().filter(|other| **other == fault).count())
}

#[test]
fn calls_that_compute_for_long_take_turns_and_end_with_the_first_that_fail() {
    let host = FilterHost::new(HostSettings { cache_dir: None, compiler: None, now_ms }).unwrap();
    let config = r#"{"how": "spin", "at": "request"}"#.into();
    let spec = FilterSpec { name: "faults".into(), file: guest("filter-faults"), config, ..FilterSpec::default() };
    let spins = host.load(spec).unwrap();
    // From here on it lets others run.
    assert_eq!(run(&spins, Vec::new()), Err(Failed::Deadline));
    let processors = std::thread::available_parallelism().unwrap().get();
    let calls = 32 + processors;
    let [late, cut] = at_once(&spins, calls, [Failed::Deadline, Failed::Quarantined]);
    assert!(late >= 2 && late <= 1 + processors && late + cut == calls, "{late} and {cut} of {calls}");
    assert_eq!(spins.status().state, State::Quarantined);
    for _ in 0..3 {
        advance(1_000);
        assert_eq!(at_once(&spins, 8, [Failed::Deadline, Failed::Quarantined]), [1, 7], "one tries, nobody else");
    }
    assert_eq!(spins.status().state, State::Quarantined, "three have tried");
}

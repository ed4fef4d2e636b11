//! The host with real guests: the policies answer, the fixtures misbehave, and nothing but a fault comes of it.

use littoral_plugin_host::{
    ClusterRow, Fault, Flow, Host, HostSettings, Interface, Measured, Object, PluginSpec, Verdict,
};

use super::{advance, ask, flow, guest, host, load, now_ms, rows, spec};

#[test]
fn the_three_policies_answer_as_their_native_twins_do() {
    let route = load("route-geo", Interface::Routing);
    route.push_clusters(1, rows());
    assert_eq!(route.decide(&flow()).unwrap().clusters[0], 1);
    assert_eq!(route.decide(&Flow { candidates: 0b101, ..flow() }).unwrap().clusters[2], 65535);
    let rate = load("rate-throughput", Interface::Rate);
    rate.push_ladder(7, vec![100, 400, 1000]);
    assert_eq!(rate.select(&ask(), 3).unwrap().rung, 1);
    let evict = load("evict-lfu-size", Interface::Cache);
    let (small, large) = (Object { bytes: 10, ..Object::default() }, Object { bytes: 1 << 20, ..Object::default() });
    assert_eq!(evict.admit(&large, 950, 0, 0), Ok(Verdict::Bypass));
    assert_eq!(evict.admit(&small, 950, 0, 0), Ok(Verdict::Admit));
    let mut scores = [0.0; 2];
    evict.score(&[small, large], 0, 0, &mut scores).unwrap();
    assert!(scores[1] < scores[0]);
    assert_eq!((evict.status().calls, evict.status().counters), (3, [(0, 1)].into()), "it counts what it refuses");
}

#[test]
fn every_fixture_is_a_fault_for_every_question_and_nothing_worse() {
    for (name, kinds) in [
        ("spin", vec![Fault::Fuel]),
        ("grow", vec![Fault::Memory, Fault::Fuel, Fault::Trap]),
        ("trap", vec![Fault::Trap]),
        ("nonsense", vec![Fault::Nonsense]),
    ] {
        let plugin = load(name, Interface::Routing);
        let mut scores = [0.0; 3];
        let sample = [Object::default(); 3];
        let asks: [&dyn Fn() -> Option<Fault>; 2] =
            [&|| plugin.decide(&flow()).err(), &|| plugin.select(&ask(), 3).err()];
        for asked in asks {
            let fault = asked().unwrap_or_else(|| panic!("{name} answered"));
            assert!(kinds.contains(&fault), "{name}: {fault:?}");
            // Far enough apart that the breaker forgives.
            advance(60_000);
        }
        let fault = plugin.score(&sample, 0, 0, &mut scores).unwrap_err();
        assert!(kinds.contains(&fault), "{name}: {fault:?}");
        assert_eq!(plugin.status().faults.values().sum::<u64>(), 3, "{name}");
        advance(60_000);
    }
}

#[test]
fn three_faults_in_ten_seconds_are_a_quarantine_that_ends() {
    let plugin = load("trap", Interface::Routing);
    for _ in 0..3 {
        assert_eq!(plugin.decide(&flow()), Err(Fault::Trap));
    }
    assert_eq!(plugin.decide(&flow()), Err(Fault::Quarantined));
    assert_eq!(plugin.status().faults["trap"], 3, "nothing is called in quarantine");
    assert_eq!(plugin.status().quarantined_until_ms, now_ms() + 1000);
    advance(1000);
    assert_eq!(plugin.decide(&flow()), Err(Fault::Trap));
}

#[test]
fn a_file_that_is_no_fitting_policy_is_told_what_it_is_and_what_to_do() {
    let directory = tempfile::tempdir().unwrap();
    let check = |name: &str, bytes: &[u8], change: &dyn Fn(&mut PluginSpec), expected: &str| {
        let file = directory.path().join(name);
        std::fs::write(&file, bytes).unwrap();
        let mut spec = spec("p", file);
        change(&mut spec);
        let problem = host().load(spec, Some(Interface::Routing)).unwrap_err().to_string();
        assert!(problem.contains(name) && problem.contains(expected), "{problem}");
    };
    let (rate, route) = (std::fs::read(guest("rate-throughput")).unwrap(), std::fs::read(guest("route-geo")).unwrap());
    check("text.wasm", b"hello", &|_| {}, "no WebAssembly component");
    check("core.wasm", &wat::parse_str("(module)").unwrap(), &|_| {}, "core module, not a component");
    check("empty.wasm", &wat::parse_str("(component (core module))").unwrap(), &|_| {}, "exports nothing");
    check("rate.wasm", &rate, &|_| {}, "expected littoral:plugin/routing@0.1.x");
    check("torn.wasm", &route[..route.len() / 2], &|_| {}, "it is damaged");
    check("pin.wasm", &route, &|spec| spec.sha256 = Some("00".into()), "the config pins 00");
    check("big.wasm", &route, &|spec| spec.memory_bytes = Some(1 << 30), "memory is at most");
    check("small.wasm", &route, &|spec| spec.memory_bytes = Some(64 << 10), "cannot be started");
    let missing = host().load(spec("p", directory.path().join("missing.wasm")), None).unwrap_err().to_string();
    assert!(missing.contains("missing.wasm: cannot be read"), "{missing}");
}

#[test]
fn a_config_the_guest_refuses_is_told_in_its_own_words() {
    let mut refused = spec("rate", guest("rate-throughput"));
    refused.config = r#"{"safety": 7}"#.into();
    let problem = host().load(refused, Some(Interface::Rate)).unwrap_err().to_string();
    assert!(problem.contains("it refuses its config: safety is 0.1 to 1.0, not 7"), "{problem}");
}

#[test]
fn compiled_code_is_kept_and_a_damaged_copy_is_not_used() {
    let directory = tempfile::tempdir().unwrap();
    let host =
        || Host::new(HostSettings { cache_dir: Some(directory.path().to_owned()), compiler: None, now_ms }).unwrap();
    let kept = || std::fs::read_dir(directory.path()).unwrap().map(|entry| entry.unwrap().path()).collect::<Vec<_>>();
    host().load(spec("route", guest("route-geo")), None).unwrap();
    assert_eq!(kept().len(), 1);
    let mut bytes = std::fs::read(&kept()[0]).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 0xff;
    std::fs::write(&kept()[0], &bytes).unwrap();
    let plugin = host().load(spec("route", guest("route-geo")), None).unwrap();
    plugin.push_clusters(1, rows());
    assert_eq!(plugin.decide(&flow()).unwrap().clusters[0], 1);
    assert_ne!(std::fs::read(&kept()[0]).unwrap(), bytes, "written anew");
}

#[test]
fn any_bytes_are_refused_without_a_panic() {
    let route = std::fs::read(guest("route-geo")).unwrap();
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("p.wasm");
    let mut state = 1_u64;
    for _ in 0..300 {
        let mut bytes = route.clone();
        for _ in 0..4 {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            let at = (state >> 33) as usize % bytes.len();
            bytes[at] ^= (state >> 20) as u8;
        }
        std::fs::write(&file, &bytes).unwrap();
        // Most are damaged; one that is not must still answer or fault.
        if let Ok(plugin) = host().load(spec("p", file.clone()), None) {
            let _ = plugin.decide(&flow());
        }
    }
}

#[test]
fn what_was_measured_of_a_client_is_there_for_its_question_and_for_no_other() {
    let route = load("route-rtt", Interface::Routing);
    route.push_clusters(1, rows());
    // The client is beside cluster 1.
    let near = |times: &[(u16, u32)]| Flow { measured: Measured::of(times.iter().copied()), ..flow() };
    let first = |flow: &Flow| route.decide(flow).unwrap().clusters[0];
    assert_eq!(first(&near(&[])), 1);
    assert_eq!(first(&near(&[(0, 9_000), (1, 200_000)])), 0);
    assert_eq!(first(&flow()), 1, "nothing is left of the question before");
    assert_eq!(first(&near(&[(1, 200_000), (2, 11_000)])), 2);
    assert!(route.reads_measured() && !load("route-geo", Interface::Routing).reads_measured());
    assert_eq!(route.status().faults.values().sum::<u64>(), 0);
}

#[test]
fn prices_are_told_with_the_clusters_and_hold_until_they_are_told_again() {
    let route = load("route-load", Interface::Routing);
    assert!(route.reads_priced() && !load("route-geo", Interface::Routing).reads_priced());
    let push = |version: u64, prices: [Option<u32>; 3]| {
        let priced = rows().into_iter().zip(prices).map(|(row, price_us)| ClusterRow { price_us, ..row });
        route.push_clusters(version, priced.collect());
        route.decide(&flow()).unwrap().clusters[0]
    };
    // The client is beside cluster 1, a quarter of the way around the world from the others: 150 ms.
    assert_eq!(push(1, [None; 3]), 1);
    assert_eq!(push(2, [Some(0); 3]), 1);
    assert_ne!(push(3, [Some(0), Some(400_000), Some(0)]), 1);
    assert_eq!(push(4, [None; 3]), 1, "nothing is left of what was told before");
    assert_eq!(route.status().faults.values().sum::<u64>(), 0);
}

#[test]
fn clusters_are_known_by_name_and_an_order_that_changes_changes_nothing() {
    let config = r#"{"chain": ["lhr", "ams"]}"#.to_owned();
    let asked = PluginSpec { config, ..spec("route-failover", guest("route-failover")) };
    let route = host().load(asked, Some(Interface::Routing)).unwrap();
    let first = |version: u64, names: [&str; 3]| {
        let named = rows().into_iter().zip(names).map(|(row, name)| ClusterRow { name: name.to_owned(), ..row });
        route.push_clusters(version, named.collect());
        route.decide(&flow()).unwrap().clusters
    };
    assert_eq!(first(1, ["ams", "fra", "lhr"]), [2, 0, 1]);
    assert_eq!(first(2, ["lhr", "fra", "ams"]), [0, 2, 1]);
    // Whom nobody has any more is passed over; nothing is left of the names before.
    assert_eq!(first(3, ["", "ams", "fra"])[0], 1);
    assert_eq!(route.status().faults.values().sum::<u64>(), 0);
}

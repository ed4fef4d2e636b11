//! What a status tells of what a plugin asks for, beside what it is granted, and of the limits that hold for a policy.

use std::collections::BTreeMap;

use littoral_plugin_host::service::{DialSpec, ServiceHost, ServiceSpec};
use littoral_plugin_host::{Asked, HostSettings, Interface, PluginSpec, limits};

use super::{guest, host, load, now_ms, spec, ticks};

/// What of a world may be granted: whether it is asked for, and granted.
fn capabilities(asked: &Asked) -> BTreeMap<&'static str, (bool, bool)> {
    asked.capabilities.iter().map(|(key, of)| (*key, (of.asked, of.granted))).collect()
}

#[test]
fn a_filter_tells_what_it_imports_and_exports_and_what_of_that_is_granted() {
    let told = ticks::load(r#"{"how": "once"}"#).status().manifest;
    assert_eq!(told.exports, ["filter", "timer"]);
    assert!(["store", "fetch"].iter().all(|name| told.imports.iter().any(|import| import == name)), "{told:?}");
    let neither = (false, false);
    let expected = [("store", (true, true)), ("durable", neither), ("http", (true, true)), ("dial", neither)];
    assert_eq!(capabilities(&told), expected.into());
}

#[test]
fn what_is_granted_and_not_asked_for_is_seen_and_so_is_what_is_neither() {
    let host = ServiceHost::new(HostSettings { cache_dir: None, compiler: None, now_ms }).unwrap();
    let dial = Some(DialSpec { reaches: vec!["mail.example:25".parse().unwrap()], authorities: None });
    let file = guest("service-uppercase");
    let service = host.load(ServiceSpec { name: "s".into(), file, dial, ..ServiceSpec::default() }).unwrap();
    let told = service.status().manifest;
    assert_eq!(told.exports, ["service"]);
    let expected =
        [("store", (false, false)), ("durable", (false, false)), ("http", (false, false)), ("dial", (false, true))];
    assert_eq!(capabilities(&told), expected.into());
}

#[test]
fn a_policys_limits_are_told_where_the_operator_says_nothing_and_where_he_does() {
    let plugin = load("trap", Interface::Cache);
    let told = plugin.status();
    assert_eq!((told.grants.fuel, told.manifest.capabilities.len()), (None, 0));
    assert!(told.manifest.exports.iter().any(|name| name == "cache"), "{:?}", told.manifest);
    let fuel = &told.limits.fuel;
    assert_eq!((fuel["admit"], fuel["score"]), (limits::FUEL_CACHE, limits::FUEL_CACHE));
    assert_eq!((fuel["decide"], fuel["control"]), (limits::FUEL_DECISION, limits::FUEL_CONTROL));
    assert_eq!(told.limits.memory_bytes, limits::MEMORY_BYTES_DEFAULT as u64);
    let granted = PluginSpec { fuel: Some(7_000_000), memory_bytes: Some(4 << 20), ..spec("p", guest("trap")) };
    let told = host().load(granted, None).unwrap().status();
    assert_eq!((told.limits.fuel["score"], told.limits.fuel["decide"]), (7_000_000, 7_000_000));
    assert_eq!((told.limits.fuel["control"], told.limits.memory_bytes), (limits::FUEL_CONTROL, 4 << 20));
}

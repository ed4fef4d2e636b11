//! Generations: what runs after a reload, after a rollback, and after two reloads at once.

use std::path::PathBuf;
use std::sync::Arc;

use littoral_plugin_host::{Fault, Interface, Plugin, PluginSpec, State};

use super::{advance, ask, flow, guest, host, rows, spec};

/// A plugin in a file that a test may replace.
struct Replaceable {
    plugin: Arc<Plugin>,
    file: PathBuf,
    _directory: tempfile::TempDir,
}

impl Replaceable {
    fn new(name: &str) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("policy.wasm");
        std::fs::copy(guest(name), &file).unwrap();
        let plugin = host().load(spec("route", file.clone()), Some(Interface::Routing)).unwrap();
        plugin.push_clusters(1, rows());
        Self { plugin, file, _directory: directory }
    }

    fn put(&self, name: &str) {
        std::fs::copy(guest(name), &self.file).unwrap();
    }

    fn fault_three_times(&self) {
        for _ in 0..3 {
            assert_eq!(self.plugin.decide(&flow()), Err(Fault::Trap));
        }
    }

    fn first_choice(&self) -> Result<u16, Fault> {
        self.plugin.decide(&flow()).map(|choice| choice.clusters[0])
    }
}

#[test]
fn a_reload_that_faults_at_once_is_rolled_back() {
    let route = Replaceable::new("route-geo");
    assert!(route.first_choice().is_ok());
    route.put("trap");
    assert_eq!(route.plugin.reload(None).unwrap(), 2);
    route.fault_three_times();
    assert_eq!(route.first_choice(), Ok(1), "the old one is back, and knows the clusters");
    assert_eq!(route.plugin.status().generation, 1);
}

#[test]
fn a_changed_file_takes_over_and_a_bad_one_does_not() {
    let route = Replaceable::new("nonsense");
    assert_eq!(route.first_choice(), Err(Fault::Nonsense));
    route.put("route-geo");
    assert_eq!(route.plugin.reload(None).unwrap(), 2);
    assert_eq!(route.first_choice(), Ok(1));
    std::fs::write(&route.file, b"not wasm").unwrap();
    assert!(route.plugin.reload(None).unwrap_err().to_string().contains("no WebAssembly component"));
    assert_eq!(route.first_choice(), Ok(1));
}

#[test]
fn a_number_is_not_used_again_after_a_rollback() {
    let route = Replaceable::new("route-geo");
    route.put("trap");
    assert_eq!(route.plugin.reload(None).unwrap(), 2);
    route.fault_three_times();
    assert_eq!(route.plugin.status().generation, 1);
    assert_eq!(route.plugin.reload(None).unwrap(), 3);
    assert_eq!(route.plugin.status().generation, 3);
}

#[test]
fn after_a_rollback_the_old_generation_runs_with_its_own_file_and_config() {
    let old = PluginSpec { config: r#"{"safety": 0.5}"#.into(), ..spec("rate", guest("rate-throughput")) };
    // The rate policy refuses this config; the guest that traps does not look at it.
    let bad = PluginSpec { config: r#"{"safety": 7}"#.into(), ..spec("rate", guest("trap")) };
    let plugin = host().load(old.clone(), Some(Interface::Rate)).unwrap();
    plugin.push_ladder(7, vec![100, 400, 1000]);
    assert_eq!(plugin.select(&ask(), 3).unwrap().rung, 0, "half of 500 kbit/s");
    plugin.reload(Some(bad.clone())).unwrap();
    for _ in 0..3 {
        assert_eq!(plugin.select(&ask(), 3), Err(Fault::Trap));
    }
    assert_eq!(plugin.select(&ask(), 3).map(|answer| answer.rung), Ok(0));
    assert_eq!(plugin.status().file, old.file.display().to_string());
    assert_eq!(plugin.spec(), bad, "what the operator wants stays, so that the same config is not loaded again");
}

#[test]
fn reloads_at_once_are_made_one_after_another() {
    let route = Replaceable::new("route-geo");
    let reload = || (0..4).map(|_| route.plugin.reload(None).unwrap()).collect::<Vec<_>>();
    let mut numbers: Vec<u64> = std::thread::scope(|scope| {
        let reloaders: Vec<_> = (0..3).map(|_| scope.spawn(reload)).collect();
        reloaders.into_iter().flat_map(|reloader| reloader.join().unwrap()).collect()
    });
    numbers.sort_unstable();
    assert_eq!(numbers, (2..14).collect::<Vec<_>>());
    assert_eq!(route.plugin.status().generation, 13, "the last to be loaded is the one that runs");
}

#[test]
fn the_same_file_loaded_twice_can_still_be_rolled_back() {
    let route = Replaceable::new("route-geo");
    route.put("trap");
    route.plugin.reload(None).unwrap();
    route.plugin.reload(None).unwrap();
    route.fault_three_times();
    assert_eq!(route.first_choice(), Ok(1));
    assert_eq!(route.plugin.status().generation, 1);
}

#[test]
fn a_file_is_loaded_when_it_changed_and_not_when_it_is_the_last_one_loaded() {
    let route = Replaceable::new("route-geo");
    assert_eq!(route.plugin.reload_if_changed(), Ok(None));
    route.put("trap");
    assert_eq!(route.plugin.reload_if_changed(), Ok(Some(2)));
    assert_eq!(route.plugin.reload_if_changed(), Ok(None));
    route.fault_three_times();
    assert_eq!(route.plugin.reload_if_changed(), Ok(None), "what was rolled back is not loaded again");
    assert_eq!((route.first_choice(), route.plugin.status().generation), (Ok(1), 1));
    std::fs::write(&route.file, b"half a fi").unwrap();
    assert!(route.plugin.reload_if_changed().is_err());
    route.put("route-geo");
    assert_eq!(route.plugin.reload_if_changed(), Ok(Some(3)));
}

#[test]
fn the_status_says_whether_it_runs_is_in_quarantine_or_was_rolled_back() {
    let route = Replaceable::new("route-geo");
    let state = || route.plugin.status().state;
    assert_eq!(state(), State::Running);
    route.put("trap");
    route.plugin.reload(None).unwrap();
    route.fault_three_times();
    assert_eq!(state(), State::RolledBack);
    route.plugin.reload(None).unwrap();
    assert_eq!(state(), State::Running);
    // Too late for a rollback: whatever this is, it is not the reload.
    advance(61_000);
    route.fault_three_times();
    assert_eq!(state(), State::Quarantined);
    advance(1000);
    assert_eq!(state(), State::Running);
}

//! Generations: what runs after a reload and after a rollback.

use std::path::PathBuf;
use std::sync::Arc;

use littoral_plugin_host::{Fault, Interface, Plugin};

use super::{flow, guest, host, rows, spec};

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

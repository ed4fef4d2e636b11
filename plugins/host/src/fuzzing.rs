//! What the fuzz targets in `fuzz/` reach and no user of this crate needs.

use std::sync::Arc;

use crate::component::{Interface, open};
use crate::engine::{Content, Host, PluginSpec};
use crate::filter::Filter;
pub use crate::service::{Fuzzed as Connection, NoLine};

/// Larger core modules are looked into but not compiled: the compiler's time is not what is tried.
const CORE_BYTES_MAX: usize = 64 << 10;

/// Takes any bytes the way of a plugin file: opened, checked, compiled, started. Whether they are a plugin.
pub fn component(host: &Arc<Host>, bytes: &[u8]) -> bool {
    let Ok(opened) = open(bytes) else { return false };
    assert!(opened.core.start < opened.core.end && opened.core.end <= bytes.len(), "the core module lies in the file");
    let checked = opened.check(None).is_ok();
    for interface in Interface::ALL {
        assert_eq!(opened.check(Some(interface)).is_ok(), checked && opened.has(interface));
    }
    if !checked || opened.core.len() > CORE_BYTES_MAX {
        return false;
    }
    let spec = PluginSpec::new("any", "any.wasm");
    host.generation(spec, None, &Content::of(bytes.to_vec())).is_ok()
}

/// Reads a URL that a guest asks for: whether with TLS, the host, the port, the target. `None`: it is none.
pub fn url(text: &str) -> Option<(bool, String, u16, String)> {
    crate::fetch::read_url(text)
}

/// Has all further calls of a filter go by the component runtime.
pub fn by_fibers(filter: &Filter) {
    filter.slowed();
}

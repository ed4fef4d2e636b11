//! Any bytes as a plugin file: refused, or compiled and started within its limits. Seeds are in `seeds/component`, which
//! libfuzzer takes as a second directory: `cargo fuzz run component fuzz/corpus/component fuzz/seeds/component`.
#![no_main]

use std::sync::{Arc, LazyLock};

use littoral_plugin_host::{Host, HostSettings, fuzzing};

static HOST: LazyLock<Arc<Host>> =
    LazyLock::new(|| Host::new(HostSettings { cache_dir: None, compiler: None, now_ms: || 1 }).expect("a machine that runs plugins"));

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    fuzzing::component(&HOST, bytes);
});

//! The export shell.

littoral_plugin::wit_bindgen::generate!({
    path: "../../wit",
    world: "cache-policy",
    runtime_path: "littoral_plugin::wit_bindgen::rt",
});

use exports::littoral::plugin::cache::{Object, Verdict};
use exports::littoral::plugin::control::Cluster;
use exports::littoral::plugin::{cache, control};
use littoral::plugin::env::count;

use crate::{REFUSED, admits, score};

struct EvictLfuSize;

impl control::Guest for EvictLfuSize {
    fn init(_config: String) -> Result<(), String> {
        Ok(())
    }
    fn clusters(_version: u64, _all: Vec<Cluster>) {}
    fn ladder(_id: u32, _kbps: Vec<u32>) {}
}

impl cache::Guest for EvictLfuSize {
    fn admit(object: Object, fill_permille: u16, _now_ms: u64, _rand: u64) -> Verdict {
        if admits(object.hits, object.bytes, fill_permille) {
            return Verdict::Admit;
        }
        count(REFUSED, 1);
        Verdict::Bypass
    }

    fn score(sample: Vec<Object>, _now_ms: u64, _rand: u64) -> Vec<f32> {
        sample.iter().map(|object| score(object.hits, object.idle_s, object.bytes)).collect()
    }
}

export!(EvictLfuSize);

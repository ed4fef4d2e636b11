//! The export shell.

use littoral_plugin::cache_policy::cache::{Object, Verdict};
use littoral_plugin::cache_policy::control::Cluster;
use littoral_plugin::cache_policy::{cache, control, export};

use crate::{admits, score};

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
        if admits(object.hits, object.bytes, fill_permille) { Verdict::Admit } else { Verdict::Bypass }
    }

    fn score(sample: Vec<Object>, _now_ms: u64, _rand: u64) -> Vec<f32> {
        sample.iter().map(|object| score(object.hits, object.idle_s, object.bytes)).collect()
    }
}

export!(EvictLfuSize with_types_in littoral_plugin::cache_policy);

//! `[cache]`.

use super::{Wrong, wrong};
use crate::config::{Cache, Config, MEMORY_MAX};

impl Config {
    pub(super) fn check_cache(&self) -> Result<(), Wrong> {
        let (memory, object) = (self.cache.memory.0, self.cache.max_object.0);
        if !(1 << 20..=MEMORY_MAX).contains(&memory) {
            return wrong("cache.memory", "cache.memory is 1MiB to 256TiB");
        }
        if object > memory && self.cache.max_object != Cache::default().max_object {
            return wrong("cache.max_object", "cache.max_object is larger than cache.memory");
        }
        Ok(())
    }
}

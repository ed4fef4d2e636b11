//! `[cache]`.

use littoral_cache::limits::DISKS;

use super::{Wrong, at_most, wrong};
use crate::config::{Cache, Config, Disk, MEMORY_MAX};

/// Largest share a disk may have relative to another.
const WEIGHT_MAX: u32 = 1000;

impl Config {
    pub(super) fn check_cache(&self) -> Result<(), Wrong> {
        let (memory, object) = (self.cache.memory.0, self.cache.max_object.0);
        if !(1 << 20..=MEMORY_MAX).contains(&memory) {
            return wrong("cache.memory", "cache.memory is 1MiB to 256TiB");
        }
        if object > memory && self.cache.max_object != Cache::default().max_object {
            return wrong("cache.max_object", "cache.max_object is larger than cache.memory");
        }
        self.check_disks()
    }

    fn check_disks(&self) -> Result<(), Wrong> {
        let disks = &self.cache.disk;
        at_most("cache.disk", disks.len(), DISKS)?;
        for (at, disk) in disks.iter().enumerate() {
            let key = |name: &str| match disks.len() {
                1 => format!("cache.disk.{name}"),
                _ => format!("cache.disk.{at}.{name}"),
            };
            if disk.size.0 < 1 << 20 {
                return wrong(key("size"), "cache.disk.size is at least 1MiB");
            }
            if !(1..=WEIGHT_MAX).contains(&disk.weight) {
                return wrong(key("weight"), format!("cache.disk.weight is 1 to {WEIGHT_MAX}"));
            }
            if disk.path.exists() && !disk.path.is_dir() {
                return wrong(key("path"), format!("{} is no directory: name one", disk.path.display()));
            }
            let inside = |other: &&Disk| disk.path.starts_with(&other.path);
            if disks.iter().enumerate().any(|(place, other)| place != at && inside(&other)) {
                let problem =
                    format!("{} is, or is in, another disk's directory: give each its own", disk.path.display());
                return wrong(key("path"), problem);
            }
        }
        Ok(())
    }
}

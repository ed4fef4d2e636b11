//! Policies that say what a cache keeps, with state of their own by object handle.
//!
//! Each policy is a struct behind [`Exact`]: it is told of every use and every arrival, in order, and names what has to go. Who
//! holds the objects, their bytes and the clock is the caller: the node, a replay of a trace, or the host of a guest. Published
//! policies decide as libCacheSim's do, object by object; a test in `proxy/cache` compares the hit ratios.
//!
//! Invariant: pure. No clock, no entropy but a seed, no I/O, and no panic for any order of calls: a handle that is not known is
//! ignored, one that is told twice replaces itself.

pub mod counts;
pub mod gdsf;
pub mod list;
pub mod littoral;
pub mod lru;
pub mod s3fifo;
pub mod sieve;
pub mod tinylfu;

pub use counts::mix;
pub use gdsf::Gdsf;
pub use littoral::audience::Audience;
pub use littoral::{Littoral, Metric};
pub use lru::Lru;
pub use s3fifo::S3Fifo;
pub use sieve::Sieve;
pub use tinylfu::TinyLfu;

/// Handles above this are not taken: a policy keeps a row for each handle up to the highest.
pub const HANDLES_MAX: u32 = 1 << 24;

/// Where an object stands in a title that is played from its start to its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Place {
    /// The title, by a hash or a number.
    pub title: u32,
    /// The representation, the lowest rate first where that is known; [`Place::NONE`] for a manifest.
    pub rung: u16,
    /// The number of the segment; [`Place::HEAD`] for manifests and initialisation segments.
    pub segment: u32,
}

impl Place {
    /// No representation.
    pub const NONE: u16 = u16::MAX;
    /// What comes before the first segment.
    pub const HEAD: u32 = u32::MAX;
}

/// An object that arrives.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Object {
    /// Its number for as long as it is there; used again afterwards. Small numbers are used first.
    pub handle: u32,
    /// The same whenever the same object comes again.
    pub key: u64,
    /// Bytes it takes.
    pub bytes: u64,
    /// Microseconds its fill took; 0 when unknown.
    pub fetch_us: u32,
    /// Where it stands in a title, if it is part of one.
    pub place: Option<Place>,
}

/// A policy that keeps its own state. Times are milliseconds of any clock that does not go back.
pub trait Exact {
    /// An object that is there was asked for. What goes for that, should it move others out of their places, is named in `go`.
    fn used(&mut self, handle: u32, now_ms: u64, go: &mut Vec<u32>);

    /// An object that is not there was asked for and may be kept, once `need` bytes have gone. `go` gets the handles of what goes;
    /// its own among them refuses it. What is named is gone without being told of again.
    fn arrives(&mut self, object: &Object, need: u64, now_ms: u64, go: &mut Vec<u32>);

    /// `need` bytes have to go for another reason.
    fn evict(&mut self, need: u64, now_ms: u64, go: &mut Vec<u32>);

    /// An object has gone for another reason: purged, or its fill failed.
    fn gone(&mut self, handle: u32);
}

impl<P: Exact + ?Sized> Exact for Box<P> {
    fn used(&mut self, handle: u32, now_ms: u64, go: &mut Vec<u32>) {
        (**self).used(handle, now_ms, go);
    }
    fn arrives(&mut self, object: &Object, need: u64, now_ms: u64, go: &mut Vec<u32>) {
        (**self).arrives(object, need, now_ms, go);
    }
    fn evict(&mut self, need: u64, now_ms: u64, go: &mut Vec<u32>) {
        (**self).evict(need, now_ms, go);
    }
    fn gone(&mut self, handle: u32) {
        (**self).gone(handle);
    }
}

/// Has a guest answer as an exact policy: its type holds one in its first field, as `Option<Box<dyn Exact>>`, made by `$make` when the
/// guest is told the bytes of its tier. The guest depends on the SDK.
#[macro_export]
macro_rules! guest {
    ($policy:ty, $make:expr) => {
        impl littoral_plugin::policy::Exact for $policy {
            fn start(&mut self, bytes: u64) {
                let make: fn(&Self, u64) -> Box<dyn $crate::Exact> = $make;
                self.exact = Some(make(self, bytes));
            }
            fn used(&mut self, handle: u32, now_ms: u64, go: &mut Vec<u32>) {
                if let Some(exact) = &mut self.exact {
                    exact.used(handle, now_ms, go);
                }
            }
            fn arrives(
                &mut self,
                object: &littoral_plugin::policy::Arrival,
                need: u64,
                now_ms: u64,
                go: &mut Vec<u32>,
            ) {
                let littoral_plugin::policy::Arrival { handle, key, bytes, fetch_us, position } = *object;
                let place = position.map(|littoral_plugin::policy::Position { title, rung, segment }| $crate::Place {
                    title,
                    rung,
                    segment,
                });
                if let Some(exact) = &mut self.exact {
                    exact.arrives(&$crate::Object { handle, key, bytes, fetch_us, place }, need, now_ms, go);
                }
            }
            fn evict(&mut self, need: u64, now_ms: u64, go: &mut Vec<u32>) {
                if let Some(exact) = &mut self.exact {
                    exact.evict(need, now_ms, go);
                }
            }
            fn gone(&mut self, handle: u32) {
                if let Some(exact) = &mut self.exact {
                    exact.gone(handle);
                }
            }
        }
    };
}

/// Names of the policies here.
pub const NAMES: &[&str] = &["lru", "gdsf", "s3fifo", "sieve", "tinylfu", "littoral"];

/// A policy by its name, for a cache of so many bytes; `None` when there is none of that name.
pub fn named(name: &str, capacity: u64) -> Option<Box<dyn Exact + Send>> {
    Some(match name {
        "lru" => Box::new(Lru::default()),
        "gdsf" => Box::new(Gdsf::default()),
        "s3fifo" => Box::new(S3Fifo::new(capacity)),
        "sieve" => Box::new(Sieve::default()),
        "littoral" => Box::new(Littoral::new(capacity, Metric::default())),
        "tinylfu" => Box::new(TinyLfu::new(capacity)),
        _ => return None,
    })
}

#[cfg(test)]
mod tests;

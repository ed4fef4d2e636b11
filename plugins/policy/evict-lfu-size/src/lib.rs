//! What to keep: objects used often for their size and of late; one-hit wonders are refused when the cache is nearly full.
//!
//! The score is `(hits + 1) / ((idle + 1) * (bytes + 1))`, a sampled relative of GreedyDual-Size-Frequency; the lowest goes
//! first.

use littoral_plugin::env::count;
use littoral_plugin::policy::{Cache, Moment, Object, Verdict};

/// From this fill on, an object nobody asked for before is refused.
const SELECTIVE_PERMILLE: u16 = 900;
/// Objects up to this size are always admitted.
const ALWAYS_ADMITTED_BYTES: u64 = 64 << 10;

/// Counter: objects it did not admit.
pub const REFUSED: u32 = 0;

/// The policy.
#[derive(Debug)]
pub struct EvictLfuSize;

impl Cache for EvictLfuSize {
    fn new(config: &str) -> Result<Self, String> {
        littoral_plugin::no_config(config).map(|()| Self)
    }

    fn admit(&self, object: &Object, fill_permille: u16, _at: Moment) -> Verdict {
        if fill_permille < SELECTIVE_PERMILLE || object.hits > 0 || object.bytes <= ALWAYS_ADMITTED_BYTES {
            return Verdict::Admit;
        }
        count(REFUSED, 1);
        Verdict::Bypass
    }

    fn score(&self, object: &Object, _at: Moment) -> f32 {
        // A signed number becomes a float in one instruction, an unsigned one of 64 bits does not.
        let bytes = object.bytes as i64 as f32;
        (f32::from(object.hits) + 1.0) / ((object.idle_s as f32 + 1.0) * (bytes + 1.0))
    }
}

littoral_plugin::export_policy!(EvictLfuSize, cache, "../../wit");

#[cfg(test)]
mod tests {
    use littoral_plugin::env::counted;
    use littoral_plugin::policy::sketch::Seat;

    use super::*;

    fn seat() -> Seat<EvictLfuSize> {
        Seat::cache("{}").unwrap()
    }

    #[test]
    fn large_idle_and_rarely_used_objects_go_first() {
        let object = |hits, idle_s, bytes| Object { hits, idle_s, bytes, ..Object::default() };
        let sample = [object(5, 10, 1000), object(0, 10, 1000), object(5, 1000, 1000), object(5, 10, 1_000_000)];
        assert_eq!(seat().order(&sample, Moment::default()), Ok(vec![3, 2, 1, 0]));
    }

    #[test]
    fn a_large_one_hit_wonder_is_refused_only_when_it_is_crowded() {
        let admits = |hits, bytes, fill_permille| {
            let object = Object { hits, bytes, ..Object::default() };
            seat().admit(&object, fill_permille, Moment::default()) == Ok(Verdict::Admit)
        };
        assert!(admits(0, 1 << 20, 100) && admits(1, 1 << 20, 950) && admits(0, 100, 999));
        assert_eq!(counted(REFUSED), 0);
        assert!(!admits(0, 1 << 20, 950));
        assert_eq!(counted(REFUSED), 2, "a seat asks twice");
    }
}

//! What to keep: objects used often for their size and of late; one-hit wonders are refused when the cache is nearly full.
//!
//! The score is `(hits + 1) / ((idle + 1) * (bytes + 1))`, a sampled relative of GreedyDual-Size-Frequency; the lowest goes
//! first.

#[cfg(target_arch = "wasm32")]
mod guest;

/// From this fill on, an object nobody asked for before is refused.
pub const SELECTIVE_PERMILLE: u16 = 900;
/// Objects up to this size are always admitted.
pub const ALWAYS_ADMITTED_BYTES: u64 = 64 << 10;

/// Counter: objects it did not admit.
pub const REFUSED: u32 = 0;

/// The worth of an object.
pub fn score(hits: u16, idle_s: u32, bytes: u64) -> f32 {
    (f32::from(hits) + 1.0) / ((idle_s as f32 + 1.0) * (bytes as f32 + 1.0))
}

/// Whether an object is kept.
pub fn admits(hits: u16, bytes: u64, fill_permille: u16) -> bool {
    fill_permille < SELECTIVE_PERMILLE || hits > 0 || bytes <= ALWAYS_ADMITTED_BYTES
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn large_idle_and_rarely_used_objects_are_worth_less() {
        let base = score(5, 10, 1000);
        assert!(score(0, 10, 1000) < base && score(5, 1000, 1000) < base && score(5, 10, 100_000) < base);
    }

    #[test]
    fn a_large_one_hit_wonder_is_refused_only_when_it_is_crowded() {
        assert!(admits(0, 1 << 20, 100) && !admits(0, 1 << 20, 950) && admits(1, 1 << 20, 950) && admits(0, 100, 999));
    }
}

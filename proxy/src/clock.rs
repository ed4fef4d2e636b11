//! The clocks of the process in one place: what people call the time, and the time that goes by.
//!
//! The first can be set, forth and back; whatever waits for a while goes by the second.

use std::sync::LazyLock;
use std::time::{Instant, SystemTime};

static BEGAN: LazyLock<Instant> = LazyLock::new(Instant::now);

/// Now, in Unix milliseconds.
pub fn now_ms() -> u64 {
    littoral_cache::entry::millis(SystemTime::now())
}

/// Milliseconds since the process asked for the first time. It never goes back.
pub fn elapsed_ms() -> u64 {
    u64::try_from(BEGAN.elapsed().as_millis()).unwrap_or(u64::MAX)
}
